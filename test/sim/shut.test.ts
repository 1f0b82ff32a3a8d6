/** What stronger rules take that came later, by a reload or a restart: children end, their peers are told, and nothing weaker stands in between. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
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

const ANOTHER = '[{ method = "psk", secret = "another key than that" }]';
const narrow = (action: string, filter = "me <-> 192.0.2.1", more: RuleText = {}): RuleText => ({
  ...rule(action, filter, more),
  name: '"narrow"',
});

/** What B has, what comes, and whether the child of the first one ends. */
const NEGOTIATING: readonly (readonly [RuleText, RuleText, boolean])[] = [
  [rule("respond", "me <-> 192.0.2.0/24"), narrow("require"), true],
  [rule("respond", "me <-> 192.0.2.0/24"), narrow("require", undefined, { auth: ANOTHER }), true],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require"), true],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require", undefined, { auth: ANOTHER }), true],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("request"), true],
  [rule("request", "me <-> 192.0.2.0/24"), narrow("require", undefined, { discovery: "true" }), true],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("respond"), true],
  // A range is in the kernel as hosts and prefixes.
  [rule("require", "me <-> 192.0.2.0/30"), narrow("require", "me <-> 192.0.2.1-192.0.2.6"), true],
  // Just the same packets, and more than the child's rule asks for, by a key that the peer has not.
  [rule("respond", "me <-> 192.0.2.0/24"), narrow("require", "192.0.2.2 <-> 192.0.2.0/24", { auth: ANOTHER }), true],
  // Packets would pass, but under the wrong rule.
  [rule("respond", "me <-> 192.0.2.0/24"), narrow("respond"), true],
  [rule("respond", "me <-> 192.0.2.0/24"), narrow("require", "192.0.2.2 <-> 192.0.2.0/24"), true],
  [rule("request", "me <-> 192.0.2.0/24"), narrow("require", "192.0.2.2 <-> 192.0.2.0/24"), true],
  // Packets pass, and by the rule that decides about them one way at least.
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require", "me <-> 192.0.2.1 tcp"), false],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require", "me <-> 192.0.2.1 tcp", { auth: ANOTHER }), false],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require", "me <-> any"), false],
  [rule("request", "me <-> 192.0.2.0/24"), narrow("request", "192.0.2.2 <-> 192.0.2.0/24"), false],
  [rule("require", "me <-> 192.0.2.0/24"), narrow("require", "me -> 192.0.2.1"), false],
];

for (const how of WAYS)
  for (const [other, one, ends] of NEGOTIATING)
    test(
      `${other["action"]} ${other["filters"]}: ${one["action"]} ${one["filters"]}${one["auth"] ? " with another key" : ""}${one["discovery"] ? " under discovery" : ""} that comes by ${how} ${ends ? "ends" : "leaves"} its child`,
      story(world(4, towards(B), configuration([other])), (world) => {
        const [a, b] = [world.host("A"), world.host("B")];
        b.keepJournal();
        world.run(100);
        a.initiate();
        world.run(3000);
        const udp = { ...packet(B, A), protocol: 17, sourcePort: 9, destinationPort: 9 };
        assert.equal(world.ping(b, udp), "protected");
        change(world, b, how, configuration([other, one]), () => false);
        assert.equal(childrenOf(world, "B").length, ends ? 0 : 1);
        assert.equal(childrenOf(world, "A").length, ends ? 0 : 1);
        const reason =
          /closed, rule narrow (\(\w+\) decides about that traffic|comes first for all of that traffic|is about that traffic, and this peer has not proved)/;
        if (ends) assert.match(said(b).join("\n"), reason);
        else if (!one["filters"]?.includes("->") || one["filters"].includes("<->")) assert.equal(world.ping(b, udp), "protected");
        else assert.equal(world.ping(a, { ...udp, source: A, destination: B }), "protected");
      }),
    );

for (const [what, texts] of [
  ["a block", wall("block", "192.0.2.2 <-> 192.0.2.0/24")],
  ["a narrower block", wall("block", "me <-> 192.0.2.1")],
  ["a rule that requires protection", narrow("require", "192.0.2.2 <-> 192.0.2.0/24")],
  ["a narrower rule that requires protection", narrow("require", "me <-> 192.0.2.1")],
] as const)
  for (const after of [1000, 8000]) {
    const both = policyOf(configuration([rule("request", "me <-> 192.0.2.0/24", { start: '"on-traffic"' }), texts]));
    test(
      `what a rule lets through in clear, or is about to, ends where ${what} comes (${after} ms after it asked)`,
      story(
        world(
          4,
          configuration([wall("permit", "me <-> any")]),
          configuration([rule("request", "me <-> 192.0.2.0/24", { start: '"on-traffic"' })]),
        ),
        (world) => {
          world.intercept = () => DROP;
          const b = world.host("B");
          world.run(100);
          world.ping(b, packet(B, A));
          world.run(after);
          if (after > 4000) assert.equal(b.xfrm.outbound(packet(B, A)).kind, "clear");
          b.input({ type: "policy", policy: both });
          for (let i = 0; i < 20; i++) {
            world.run(500);
            assert.notEqual(b.xfrm.outbound(packet(B, A)).kind, "clear");
          }
        },
      ),
    );
  }

for (const after of [0, 20, 40, 60, 80, 100, 120, 160, 220])
  for (const discovery of ["true", "false"]) {
    const other = rule("require", "me <-> 192.0.2.0/24", { discovery, start: '"on-traffic"' });
    const both = policyOf(configuration([other, wall("block", "192.0.2.2 <-> 192.0.2.0/24")]));
    test(
      `a block that comes ${after} ms after a negotiation began has those packets (discovery: ${discovery})`,
      story(world(4, towards(B), configuration([other])), (world) => {
        const b = world.host("B");
        world.run(100);
        world.ping(b, packet(B, A));
        world.run(after);
        b.input({ type: "policy", policy: both });
        // A, whose second message has no answer, gives up in the end.
        world.run(100_000);
        assert.equal(childrenOf(world, "B").length, 0);
        assert.equal(childrenOf(world, "A").length, 0);
        assert.equal(b.xfrm.outbound(packet(B, A)).kind, "blocked");
      }),
    );
  }

for (const action of ["respond", "require"])
  for (const wide of [wall("block", "192.0.2.2 <-> 192.0.2.0/24"), wall("block", "me <-> 192.0.2.1"), narrow("require")]) {
    const both = policyOf(configuration([rule(action, "me <-> 192.0.2.0/24"), wide]));
    test(
      `${action}: ${wide["action"]} ${wide["filters"]} that came while the address was away ends the child, at the latest as it is back`,
      story(world(4, towards(B), configuration([rule(action, "me <-> 192.0.2.0/24")])), (world) => {
        const b = world.host("B");
        world.run(100);
        world.host("A").initiate();
        world.run(3000);
        assert.equal(childrenOf(world, "B").length, 1);
        b.input({ type: "addresses", addresses: ["198.51.100.9"] });
        b.input({ type: "policy", policy: both });
        world.run(1000);
        b.input({ type: "addresses", addresses: b.addresses });
        world.run(3000);
        assert.equal(childrenOf(world, "B").length, 0);
      }),
    );
  }
