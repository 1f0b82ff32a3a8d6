/** What stands in front of rules for a child or a soft SA is about packets that its own rule decides about, each way by itself. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const ANOTHER = '[{ method = "psk", secret = "another key than that" }]';
const rule = (name: string, action: string, filter: string, more: RuleText = {}): RuleText => ({
  ...{ name: `"${name}"`, action: `"${action}"`, filters: `["${filter}"]` },
  ...(action === "block" || action === "permit" ? { auth: "", start: "" } : {}),
  ...more,
});
const udp = (source: string, destination: string) => ({ ...packet(source, destination), protocol: 17, sourcePort: 9, destinationPort: 9 });

/** What comes in clear, and what leaves. */
const seen = (world: World): { readonly comes: boolean; readonly leaves: string } => {
  const { xfrm } = world.host("B");
  return { comes: xfrm.inbound(udp(A, B), [], "in"), leaves: xfrm.outbound(udp(B, A)).kind };
};

const WALLS: readonly RuleText[] = [
  rule("wall", "block", "any <-> 192.0.2.0/24"),
  rule("wall", "block", "any <-> any"),
  rule("wall", "permit", "me <-> 192.0.2.0/24"),
  rule("wall", "require", "me <-> 192.0.2.0/24", { auth: ANOTHER }),
  rule("wall", "require", "me <-> 192.0.2.0/24"),
];
const named = ({ action, filters, auth }: RuleText): string => `${action} ${filters}${auth === ANOTHER ? " with another key" : ""}`;

for (const wall of WALLS)
  for (const action of ["respond", "request", "require"])
    for (const filter of ["me -> 192.0.2.1", "me <- 192.0.2.1"]) {
      const text = configuration([wall, rule("one", action, filter)]);
      policyOf(text);
      test(
        `${action} ${filter} beside ${named(wall)}: a peer that asks for it opens nothing the other way`,
        story(pair(towards(B), text), (world) => {
          world.run(100);
          const before = seen(world);
          world.host("A").initiate();
          world.run(3000);
          const after = seen(world);
          if (filter.includes("->")) assert.equal(after.comes, before.comes);
          else assert.equal(after.leaves, before.leaves);
        }),
      );
    }

const LATER: readonly (readonly [RuleText, RuleText])[] = [
  [rule("first", "respond", "me <-> 192.0.2.0/24"), rule("strict", "require", "192.0.2.2 <-> 192.0.2.0/24")],
  [rule("first", "request", "me <-> 192.0.2.0/24"), rule("strict", "require", "192.0.2.2 <-> 192.0.2.0/24")],
  [rule("first", "respond", "192.0.2.2 <- 192.0.2.1"), rule("strict", "block", "me <-> 192.0.2.0-192.0.2.6")],
];
for (const [first, strict] of LATER) {
  policyOf(configuration([first, strict]));
  for (const how of ["a reload", "a restart"])
    test(
      `${named(first)}, and ${named(strict)} comes by ${how}: what a child had in front of it lets nothing past it`,
      story(pair(towards(B), configuration([first])), (world) => {
        const b = world.host("B");
        b.keepJournal();
        world.run(100);
        world.host("A").initiate();
        world.run(3000);
        b.policy = policyOf(configuration([first, strict]));
        if (how === "a restart") b.crash();
        else b.input({ type: "policy", policy: b.policy });
        world.run(3000);
        const { comes, leaves } = seen(world);
        // What a narrower rule that only responds is about may come in clear.
        assert.equal(comes, first["filters"]?.includes("<- ") === true);
        assert.equal(leaves, strict["action"] === '"block"' ? "blocked" : "acquire");
      }),
    );
}

/** A rule for one way, and what its packets meet beside a child that was there before. The child keeps the other way, and stays. */
const ONE_WAY: readonly (readonly [RuleText, Partial<ReturnType<typeof seen>>])[] = [
  [rule("later", "block", "192.0.2.2 -> 192.0.2.0/24"), { leaves: "blocked" }],
  [rule("later", "block", "192.0.2.2 <- 192.0.2.0/24"), { comes: false, leaves: "protected" }],
  [rule("later", "permit", "192.0.2.2 -> 192.0.2.0/24"), { comes: true, leaves: "clear" }],
];
for (const [later, expected] of ONE_WAY) {
  const [alone, beside] = [[rule("first", "respond", "me <-> 192.0.2.0/24")], [rule("first", "respond", "me <-> 192.0.2.0/24"), later]];
  for (const [how, before, after, meets] of [
    ["comes by a reload", alone, beside, expected],
    ["goes by a reload", beside, alone, { comes: true, leaves: "protected" }],
  ] as const)
    test(
      `${named(later)} ${how}: a child that stays has in front of the rules what it wants beside those that there are now`,
      story(pair(towards(B), configuration(before)), (world) => {
        const b = world.host("B");
        world.run(100);
        world.host("A").initiate();
        world.run(3000);
        const [child] = childrenOf(world, "B");
        b.policy = policyOf(configuration(after));
        b.input({ type: "policy", policy: b.policy });
        world.run(3000);
        assert.deepEqual(
          childrenOf(world, "B").map(({ id }) => id),
          [child?.id],
        );
        assert.deepEqual({ ...seen(world), ...meets }, seen(world));
      }),
    );
}

/** B's rules, what comes by a reload when the peer was silent for a while, and whether clear text may leave and come then. */
const SILENT: readonly (readonly [readonly RuleText[], RuleText | null, leaves: boolean, comes: boolean])[] = [
  [
    [rule("soft", "request", "me <-> 192.0.2.0/24", { start: '"on-traffic"' })],
    rule("strict", "require", "192.0.2.2 -> 192.0.2.0/24"),
    false,
    true,
  ],
  [
    [rule("soft", "request", "me <-> 192.0.2.1", { start: '"on-traffic"' })],
    rule("strict", "require", "192.0.2.2 <- 192.0.2.1"),
    true,
    false,
  ],
  [
    [
      rule("soft", "request", "192.0.2.2 <-> 192.0.2.0-192.0.2.6", { start: '"on-traffic"' }),
      rule("strict", "require", "me <- 192.0.2.0/30"),
    ],
    null,
    true,
    false,
  ],
];
for (const [rules, later, leaves, comes] of SILENT) {
  if (later) policyOf(configuration([...rules, later]));
  for (const wait of [1000, 8000])
    test(
      `${rules.map(named).join(", ")}${later ? `, and ${named(later)} that comes` : ""} ${wait} ms after a silent peer was asked: clear text goes the one way only`,
      story(pair(towards(B), configuration(rules)), (world) => {
        const b = world.host("B");
        world.run(100);
        world.intercept = () => DROP;
        world.ping(b, udp(B, A));
        world.run(wait);
        if (later) b.input({ type: "policy", policy: policyOf(configuration([...rules, later])) });
        const was = { leaves: false, comes: false };
        for (let second = 0; second < 12; second++) {
          world.run(1000);
          const now = seen(world);
          was.leaves ||= now.leaves === "clear";
          was.comes ||= now.comes;
        }
        if (!leaves) assert.equal(was.leaves, false);
        if (!comes) assert.equal(was.comes, false);
        if (wait === 8000) assert.deepEqual(was, { leaves, comes });
      }),
    );
}

for (const start of ["never", "now"])
  test(
    `a weaker rule with start = "${start}" beside a stronger one of the same packets, which the peer can't prove: it is not asked for`,
    story(
      pair(
        towards(B, { action: '"respond"' }),
        configuration([
          rule("strict", "require", "192.0.2.2 <-> 192.0.2.1", { auth: ANOTHER }),
          rule("weak", "request", "me <-> 192.0.2.1", { start: `"${start}"` }),
        ]),
      ),
      (world) => {
        if (start === "never") world.host("B").initiate("weak");
        world.run(5000);
        assert.deepEqual(childrenOf(world, "B"), []);
        assert.equal(seen(world).leaves, "acquire");
      },
    ),
  );

const ON_TRAFFIC: RuleText = { start: '"on-traffic"' };
for (const [filter, stronger] of [
  ["me <-> 192.0.2.1", "192.0.2.2 <-> 192.0.2.1"],
  ["me <-> 192.0.2.1-192.0.2.2", "me <-> 192.0.2.1-192.0.2.6"],
] as const) {
  const later = rule("later", "require", filter, ON_TRAFFIC);
  const both = configuration([rule("first", "require", stronger, ON_TRAFFIC), later]);
  policyOf(both);
  test(
    `${stronger} that comes to stand before ${filter}: its child is made anew under the first, within seconds`,
    story(pair(towards(B), configuration([later])), (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      world.run(100);
      a.initiate();
      world.run(3000);
      b.input({ type: "policy", policy: policyOf(both) });
      for (let second = 0; second < 20; second++) {
        world.ping(b, udp(B, A));
        world.ping(a, udp(A, B));
        world.run(1000);
      }
      assert.equal(world.ping(b, udp(B, A)), "protected");
      assert.equal(world.ping(a, udp(A, B)), "protected");
      assert.deepEqual(
        childrenOf(world, "B").map((child) => child.rule),
        ["first"],
      );
    }),
  );
}
