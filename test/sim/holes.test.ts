/** Of tunnels that only respond, one within another's networks: what the narrower one is about never goes to the wider one's peer, as why says. */
import assert from "node:assert/strict";
import test from "node:test";
import { explain } from "../../policy/why.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B, bringUp, childrenOf, packet } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const C = "192.0.2.3";
const psk = (secret: string): string => `[{ method = "psk", secret = "${secret}, of this test only" }]`;
const tunnel = (name: string, filter: string, local: string, remote: string, more: RuleText = {}): RuleText => ({
  name: `"${name}"`,
  filters: `["${filter}"]`,
  mode: '"tunnel"',
  tunnel: `{ local = "${local}", remote = "${remote}" }`,
  auth: psk(`the key of ${[local, remote].sort().join(" and ")}`),
  ...more,
});

/** B answers A for a network, and somebody else for a part of it. */
const GATEWAY = (...narrower: readonly RuleText[]): string =>
  configuration([tunnel("wide", "10.1.0.0/16 <-> 10.2.0.0/16", B, A, { action: '"respond"' }), ...narrower]);
const NARROW = tunnel("narrow", "10.1.0.0/16 <-> 10.2.5.0/24", B, C, { action: '"respond"' });
const world = (b: string): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: policyOf(configuration([tunnel("peer", "10.2.0.0/16 <-> 10.1.0.0/16", A, B)])) },
    { name: "B", addresses: [B, "10.1.0.1"], policy: policyOf(b) },
    { name: "C", addresses: [C], policy: policyOf(configuration([tunnel("peer", "10.2.5.0/24 <-> 10.1.0.0/16", C, B)])) },
  ],
});

const IN_WIDE = packet("10.1.0.7", "10.2.0.7");
const IN_NARROW = packet("10.1.0.7", "10.2.5.7");

test(
  "with the wider one's child alone, what the narrower one is about passes in clear, both ways, and nothing of it through the wider one's",
  story(world(GATEWAY(NARROW)), (world) => {
    const b = world.host("B");
    world.run(100);
    bringUp(world);
    const said = explain(b.policy, b.addresses, IN_NARROW);
    assert.deepEqual([said.rule, said.verdict, said.policy?.selector], ["narrow", "protect-if-asked", "10.1.0.0/16 -> 10.2.5.0/24"]);
    const wide = b.xfrm.outbound(IN_WIDE);
    assert.equal(wide.kind, "protected");
    assert.equal(b.xfrm.outbound(IN_NARROW).kind, "clear");
    const back = world.host("A").xfrm.outbound(packet("10.2.5.7", "10.1.0.7"));
    assert.ok(back.kind === "protected");
    assert.equal(b.xfrm.inbound(packet("10.2.5.7", "10.1.0.7"), back.through, "fwd"), false);
    assert.equal(b.xfrm.inbound(packet("10.2.5.7", "10.1.0.7"), [], "fwd"), true);
  }),
);

test("each of two peers has what its own rule is about, in whatever order they ask, and what is left when one is gone", () => {
  for (const order of [
    ["A", "C"],
    ["C", "A"],
  ] as const)
    story(world(GATEWAY(NARROW)), (world) => {
      const b = world.host("B");
      world.run(100);
      for (const name of order) bringUp(world, world.host(name));
      assert.equal(childrenOf(world, "B").length, 2);
      const to = (sent: typeof IN_WIDE): string | undefined => {
        const verdict = b.xfrm.outbound(sent);
        return verdict.kind === "protected" ? verdict.through[0]?.destination : verdict.kind;
      };
      assert.deepEqual([to(IN_WIDE), to(IN_NARROW)], [A, C]);
      world.host("C").command({ name: "terminate", target: { kind: "all" } });
      world.run(2000);
      assert.deepEqual([to(IN_WIDE), to(IN_NARROW)], [A, "clear"]);
    })();
});

test(
  "a narrower filter of the same peer is no hole in its tunnel",
  story(world(GATEWAY(tunnel("narrow", "10.1.0.0/16 <-> 10.2.5.0/24", B, A, { action: '"respond"' }))), (world) => {
    const b = world.host("B");
    world.run(100);
    assert.equal(b.xfrm.policies.size, 0);
    bringUp(world);
    assert.equal(b.xfrm.outbound(IN_NARROW).kind, "protected");
  }),
);

test(
  "nor is a transport rule for the far end itself: what it sends through the tunnel to the gateway's inner address comes in",
  story(
    {
      hosts: [
        { name: "A", addresses: [A], policy: policyOf(configuration([tunnel("peer", `${A} <-> 10.1.0.0/16`, A, B)])) },
        {
          name: "B",
          addresses: [B, "10.1.0.1"],
          policy: policyOf(
            configuration([
              tunnel("wide", `10.1.0.0/16 <-> ${A}`, B, A, { action: '"respond"' }),
              { name: '"host"', action: '"respond"', filters: `["me <-> ${A}"]` },
            ]),
          ),
        },
      ],
    },
    (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      world.run(100);
      assert.equal(b.xfrm.policies.size, 0);
      bringUp(world);
      const inner = packet(A, "10.1.0.1");
      const sent = a.xfrm.outbound(inner);
      assert.ok(sent.kind === "protected");
      assert.equal(b.xfrm.inbound(inner, sent.through, "in"), true);
      assert.equal(b.xfrm.outbound(packet("10.1.0.1", A)).kind, "protected");
    },
  ),
);
