/** What we ask peers for: nothing that could carry no packet, or that a stronger rule decides about; the refusal names that rule. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, pair, said } from "./setting.ts";
import { story } from "./world.ts";

const rule = (name: string, action: string, filters: string, more: RuleText = {}): RuleText => ({
  ...{ name: `"${name}"`, action: `"${action}"`, filters: `["${filters.split(", ").join('", "')}"]`, start: '"never"', ...more },
  ...(action === "block" || action === "permit" ? { auth: "", start: "" } : {}),
});
const ANOTHER = '[{ method = "psk", secret = "another key than that" }]';
const WIDE = "me <-> 192.0.2.0/24";
const NAMED = /rule wall (\(\w+\) decides about that traffic|comes first for all of that traffic)/;

/** A's rule, what is beside it, whether it gets its child, and the rule by which a packet to B is protected then. */
const CASES: readonly (readonly [RuleText, RuleText, boolean])[] = [
  [rule("peer", "require", WIDE), rule("wall", "block", "me <-> 192.0.2.2"), false],
  [rule("peer", "respond", WIDE), rule("wall", "block", "192.0.2.1 <-> 192.0.2.0/24"), false],
  [rule("peer", "require", WIDE), rule("wall", "permit", "192.0.2.1 <-> 192.0.2.0/24"), false],
  [rule("peer", "respond", WIDE), rule("wall", "permit", "me <-> 192.0.2.2"), false],
  [rule("peer", "require", WIDE), rule("wall", "require", "me <-> 192.0.2.2"), false],
  [rule("peer", "require", WIDE), rule("wall", "require", "me <-> 192.0.2.2", { auth: ANOTHER }), false],
  [rule("peer", "respond", WIDE), rule("wall", "require", "me <-> 192.0.2.2", { auth: ANOTHER }), false],
  [rule("peer", "require", WIDE), rule("wall", "respond", "me <-> 192.0.2.2"), false],
  [rule("peer", "respond", WIDE), rule("wall", "respond", "me <-> 192.0.2.2"), false],
  [rule("peer", "request", WIDE), rule("wall", "require", "192.0.2.1 <-> 192.0.2.0/24", { auth: ANOTHER }), false],
  // Some packets pass.
  [rule("peer", "require", WIDE), rule("wall", "block", "me <-> 192.0.2.2 tcp"), true],
  [rule("peer", "require", WIDE), rule("wall", "require", "me <-> 192.0.2.2 tcp", { auth: ANOTHER }), true],
  [rule("peer", "require", WIDE), rule("wall", "block", "any <-> any"), true],
  [rule("peer", "require", WIDE), rule("wall", "require", "me <-> any", { auth: ANOTHER }), true],
  [rule("peer", "require", WIDE), rule("wall", "require", "me -> 192.0.2.2"), true],
  [rule("peer", "require", "me <-> 192.0.2.1-192.0.2.6"), rule("wall", "block", "me <-> 192.0.2.0/30"), true],
  [rule("peer", "require", "me <-> 192.0.2.0/30"), rule("wall", "block", "me <-> 192.0.2.1-192.0.2.6"), false],
  // Two filters of one rule come to the same packets between these hosts.
  [rule("peer", "require", "me <-> 192.0.2.0/24, me <-> 192.0.2.2"), rule("wall", "block", "me <-> 198.51.100.0/24"), true],
];

const udp = { ...packet(A, B), protocol: 17, sourcePort: 9, destinationPort: 9 };

for (const [own, wall, gets] of CASES) {
  const text = configuration([own, wall]);
  policyOf(text);
  const named = `${own["action"]} ${own["filters"]} beside ${wall["action"]} ${wall["filters"]}${wall["auth"] ? " with another key" : ""}`;
  test(
    `${named}: initiate ${gets ? "makes a child in which packets pass" : "says whose traffic that is"}`,
    story(pair(text, towards(A, { action: '"respond"' })), (world) => {
      const a = world.host("A");
      world.run(100);
      const id = a.initiate("peer", 30, B);
      world.run(3000);
      assert.equal(a.outcome(id).exit === 0, gets, a.outcome(id).text);
      assert.equal(childrenOf(world, "A").length, gets ? 1 : 0);
      if (!gets) {
        assert.match(a.outcome(id).text, NAMED);
        assert.equal(a.outcome(id).reason, "other-rule");
        assert.equal(world.sent.length, 0, "nobody is asked");
      } else if (wall["filters"]?.includes(" -> "))
        assert.equal(world.ping(world.host("B"), { ...udp, source: B, destination: A }), "protected");
      else assert.equal(world.ping(a, udp), "protected");
    }),
  );
}

const always = configuration([rule("peer", "require", "me <-> 192.0.2.2", { start: '"now"' })]);
const alwaysWalled = configuration([
  rule("peer", "require", "me <-> 192.0.2.2, me <-> 192.0.2.2:80 tcp", { start: '"now"' }),
  rule("wall", "block", "me <-> 192.0.2.2:81 tcp"),
]);

for (const text of [always, alwaysWalled]) {
  policyOf(text);
  test(
    "what shall always be up comes up, is renewed, and is there again after its peer has ended it",
    story(pair(text, towards(A, { action: '"respond"' })), (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      for (let i = 0; i < 30; i++) {
        world.run(20_000);
        assert.equal(world.ping(a, udp), "protected");
        world.ping(b, { ...udp, source: B, destination: A });
      }
      assert.ok(childrenOf(world, "A").every(({ rule: name }) => name === "peer"));
      b.command({ name: "terminate", target: { kind: "all" } });
      world.run(300_000);
      assert.equal(world.ping(a, udp), "protected");
    }),
  );
}

const shut = configuration([
  rule("peer", "require", "me <-> 192.0.2.2", { start: '"now"' }),
  rule("wall", "block", "192.0.2.1 <-> 192.0.2.2"),
]);
policyOf(shut);

test(
  "what shall always be up and a block decides about is refused once, and begins where the block goes",
  story(pair(shut, towards(A, { action: '"respond"' })), (world) => {
    const a = world.host("A");
    world.run(600_000);
    assert.equal(said(a, "error", "warning").filter((line) => NAMED.test(line)).length, 1);
    a.input({ type: "policy", policy: policyOf(always) });
    world.run(10_000);
    assert.equal(world.ping(a, udp), "protected");
  }),
);
