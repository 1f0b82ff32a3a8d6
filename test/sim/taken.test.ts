/** What one rule decides about, no peer draws to itself under another: not when it asks, and not when the rule comes later. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, pair, said } from "./setting.ts";
import { story } from "./world.ts";

const wall = (action: "block" | "permit", filter: string): RuleText => ({
  name: '"wall"',
  action: `"${action}"`,
  filters: `["${filter}"]`,
  auth: "",
  start: "",
});
const rule = (action: string, filter: string | null): RuleText => ({
  name: '"other"',
  action: `"${action}"`,
  ...(filter === null ? {} : { filters: `["${filter}"]` }),
  start: '"never"',
});
const udp = { ...packet(B, A), protocol: 17, sourcePort: 9, destinationPort: 9 };

/** The wall, the rule beside it, and what the peer proposes. B is 192.0.2.2. */
const TAKEN: readonly (readonly [RuleText, RuleText, proposed?: string])[] = [
  [wall("block", "any <-> any"), rule("respond", null)],
  [wall("block", "192.0.2.0/24 <-> any"), rule("respond", null)],
  [wall("block", "me <-> any"), rule("respond", null)],
  [wall("permit", "any <-> any"), rule("respond", null)],
  [wall("block", "192.0.2.2 <-> any"), rule("require", "me <-> any")],
  [wall("block", "192.0.2.2 <-> any"), rule("request", "me <-> any")],
  [wall("block", "192.0.2.2 <-> any"), rule("respond", "me <-> any")],
  [wall("permit", "192.0.2.2 <-> any"), rule("require", "me <-> any")],
  [wall("block", "192.0.2.2 <-> any udp"), rule("require", "me <-> any udp"), "me <-> 192.0.2.2 udp"],
  [wall("block", "me <-> 192.0.2.1-192.0.2.6"), rule("require", "me <-> 192.0.2.1")],
  [wall("block", "me <-> 192.0.2.1"), rule("respond", "me <-> 192.0.2.0/24")],
];

const of = (proposed: string | undefined) => towards(B, proposed === undefined ? {} : { filters: `["${proposed}"]` });

for (const [one, other, proposed] of TAKEN) {
  const texts = configuration([one, other]);
  const alone = configuration([other]);
  policyOf(texts);
  const named = `${one["action"]} ${one["filters"]}, ${other["action"]} ${other["filters"] ?? "by default"}`;

  test(
    `${named}: the first one decides, whoever asks`,
    story(pair(of(proposed), texts), (world) => {
      world.run(100);
      const before = world.ping(world.host("B"), udp);
      world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
      world.run(3000);
      assert.equal(childrenOf(world, "B").length, 0);
      assert.equal(world.ping(world.host("B"), udp), before);
      assert.match(said(world.host("B"), "error", "warning").join("\n"), /rule wall \((block|permit)\) decides about that traffic/);
    }),
  );

  test(
    `${named}: the first one decides also where it came by a reload`,
    story(pair(of(proposed), alone), (world) => {
      world.run(100);
      world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
      world.run(3000);
      assert.equal(childrenOf(world, "B").length, 1);
      world.host("B").input({ type: "policy", policy: policyOf(texts) });
      world.run(3000);
      assert.equal(childrenOf(world, "B").length, 0);
      assert.notEqual(world.ping(world.host("B"), udp), "protected");
    }),
  );
}

test(
  "what the default response rule agreed on stands behind every filter: a block for a part of it stays shut",
  story(pair(towards(B), configuration([wall("block", "any <-> any udp"), rule("respond", null)])), (world) => {
    world.run(100);
    world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
    world.run(3000);
    assert.equal(childrenOf(world, "B").length, 1);
    assert.equal(world.ping(world.host("B"), packet(B, A)), "protected");
    assert.equal(world.ping(world.host("B"), udp), "refused");
  }),
);

/** B's rule with a child or a soft SA in it, and a narrower one that comes later. */
const NARROWER: readonly (readonly [string, RuleText, RuleText])[] = [
  ["block", rule("respond", "me <-> 192.0.2.0/24"), wall("block", "me <-> 192.0.2.1")],
  [
    "require",
    rule("respond", "me <-> 192.0.2.0/24"),
    { ...rule("require", "me <-> 192.0.2.1"), name: '"strict"', auth: '[{ method = "psk", secret = "another key than that" }]' },
  ],
];

for (const [action, other, narrower] of NARROWER) {
  const texts = configuration([other, narrower]);
  policyOf(texts);
  for (const how of ["a reload", "a restart"] as const)
    test(
      `${action} for one host that came by ${how} decides about it, whatever a wider rule has agreed on`,
      story(pair(towards(B), configuration([other])), (world) => {
        const host = world.host("B");
        host.keepJournal();
        world.run(100);
        world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
        world.run(3000);
        assert.equal(world.ping(host, udp), "protected");
        host.policy = policyOf(texts);
        if (how === "a restart") host.crash();
        else host.input({ type: "policy", policy: host.policy });
        world.run(3000);
        assert.notEqual(world.ping(host, udp), "protected");
        assert.equal(host.xfrm.inbound({ ...udp, source: A, destination: B }, []), false);
      }),
    );
}
