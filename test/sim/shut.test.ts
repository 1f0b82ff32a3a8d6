/** What stronger rules take that came later, by a reload or a restart: children end, their peers are told, and nothing weaker stands in between. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const WAYS = ["a reload", "a restart"] as const;

const wall = (action: "block" | "permit", filter: string): RuleText => ({
  name: '"wall"',
  action: `"${action}"`,
  filters: `["${filter}"]`,
  auth: "",
  start: "",
});
const rule = (action: string, filter: string, more: RuleText = {}): RuleText => ({
  name: '"other"',
  action: `"${action}"`,
  filters: `["${filter}"]`,
  start: '"never"',
  ...more,
});

/** Two hosts of a family; texts say 192.0.2, which IPv6 writes as 2001:db8::. */
const of = (family: 4 | 6, text: string): string =>
  family === 4 ? text : text.replaceAll("192.0.2.0/24", "2001:db8::/64").replaceAll("192.0.2.", "2001:db8::");
const world = (family: 4 | 6, a: string, b: string): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [of(family, A)], policy: policyOf(of(family, a)) },
    { name: "B", addresses: [of(family, B)], policy: policyOf(of(family, b)) },
  ],
});
const between = (family: 4 | 6, from: string, to: string) => packet(of(family, from), of(family, to));

/** B gets another policy; at no moment goes what must not go. */
function change(world: World, host: Host, how: (typeof WAYS)[number], text: string, goes: () => boolean): void {
  let gone = 0;
  const look = (): undefined => void (goes() && gone++);
  host.refuse = look;
  host.policy = policyOf(text);
  if (how === "a restart") host.crash();
  else host.input({ type: "policy", policy: host.policy });
  world.run(3000);
  look();
  assert.equal(gone, 0);
}

const OTHERS: readonly RuleText[] = [
  rule("respond", "me <-> 192.0.2.0/24"),
  rule("require", "me <-> 192.0.2.0/24"),
  rule("request", "me <-> 192.0.2.0/24"),
  rule("require", "me <-> 192.0.2.0/24", { discovery: "true" }),
];

for (const family of [4, 6] as const)
  for (const how of WAYS)
    for (const action of ["block", "permit"] as const)
      for (const other of OTHERS)
        test(
          `IPv${family}, ${other["action"]}${other["discovery"] ? " with discovery" : ""}: what comes to the same packets and is a ${action} has them after ${how}`,
          story(world(family, towards(B), configuration([other])), (world) => {
            const [a, b] = [world.host("A"), world.host("B")];
            b.keepJournal();
            world.run(100);
            a.initiate();
            world.run(3000);
            const out = between(family, B, A);
            assert.equal(world.ping(b, out), "protected");
            const texts = of(family, configuration([other, wall(action, "192.0.2.2 <-> 192.0.2.0/24")]));
            change(world, b, how, texts, () => action === "block" && b.xfrm.outbound(out).kind === "clear");
            assert.equal(childrenOf(world, "B").length, 0);
            assert.equal(childrenOf(world, "A").length, 0, "the peer is told");
            assert.equal(b.xfrm.outbound(out).kind, action === "block" ? "blocked" : "clear");
            assert.equal(b.xfrm.inbound(between(family, A, B), [], "in"), action === "permit");
            assert.match(said(b).join("\n"), new RegExp(`closed, rule wall \\(${action}\\) decides about that traffic`));
          }),
        );
