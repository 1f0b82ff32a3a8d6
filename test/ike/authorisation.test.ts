/** What a peer may have that proved itself: its own rules' selectors, under algorithms that those rules allow, and nobody else's traffic. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseRange } from "../../isakmp/address.ts";
import { basic } from "../../isakmp/attributes.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { idPayloadOf } from "../../policy/selector.ts";
import { Peer, type Script } from "../sim/peer.ts";
import { ESP_ATTRIBUTES, offerEsp } from "../sim/peer-payloads.ts";
import { configuration, PSK, policyOf, type RuleText } from "../sim/policies.ts";
import { A, childrenOf, ikesOf, packet, said } from "../sim/setting.ts";
import { proved } from "../sim/versus.ts";
import { story, type World } from "../sim/world.ts";

const [B, C] = ["192.0.2.2", "192.0.2.3"];
const INSIDE = "10.0.0.1";

const host = (rules: readonly RuleText[]) => ({
  hosts: [{ name: "A", addresses: [A, INSIDE], policy: policyOf(configuration(rules)) }],
});

const tunnelRule = (name: string, remote: string, filter: string, more: RuleText = {}): RuleText => ({
  name: `"${name}"`,
  mode: '"tunnel"',
  tunnel: `{ local = "${A}", remote = "${remote}" }`,
  filters: `["${filter}"]`,
  auth: `[{ method = "psk", secret = "the key of ${name}" }]`,
  ...more,
});

/** An ID payload for one side of a selector. */
function id(range: string, protocol = 0, port = 0) {
  const parsed = parseRange(range);
  assert.ok(parsed);
  return payload("id", idPayloadOf(parsed, protocol, port));
}

let spi = 0x3000;

/** A Quick Mode for `remote` (the peer's side) and `local` (ours). */
const asking = (remote: ReturnType<typeof id>, local: ReturnType<typeof id>, tunnel: boolean): Script => ({
  edit: {
    QM1: (payloads) => [
      offerEsp(spi++, tunnel ? ESP_ATTRIBUTES.map((a) => (a.type === 4 ? basic(4, 1) : a)) : ESP_ATTRIBUTES),
      ...payloads.filter((p) => p.name === "nonce"),
      remote,
      local,
    ],
  },
});

/** The peer at C proves itself with `psk` and asks; what A then has for it. */
function asks(world: World, script: Script, psk: string): Peer {
  world.run(10);
  const peer = new Peer(world, C, A, { ...script, psk });
  proved(world, peer);
  peer.quick();
  world.run(500);
  return peer;
}

function assertRefused(world: World, peer: Peer, why: RegExp): void {
  assert.deepEqual(childrenOf(world, "A"), []);
  assert.ok(peer.notifies.includes(NOTIFY["INVALID-ID-INFORMATION"]), "the peer is told");
  assert.ok(
    said(world.host("A"), "warning").some((text) => why.test(text)),
    `the log says why: ${said(world.host("A"), "warning").join("; ")}`,
  );
}

const WIDE = tunnelRule("c", C, "10.0.0.0/16 <-> 10.0.0.0/8", { action: '"respond"' });

for (const action of ["require", "respond"])
  for (const [remote, local] of [
    ["10.1.0.0/16", "10.0.0.0/16"],
    ["10.1.2.3/32", "10.0.0.1/32"],
    ["10.0.0.0/15", "10.0.0.1/32"],
  ] as const)
    test(
      `a peer with a wide rule does not get ${local} <-> ${remote}, which a narrower ${action} rule gives to another peer`,
      story(host([tunnelRule("b", B, "10.0.0.0/16 <-> 10.1.0.0/16", { action: `"${action}"` }), WIDE]), (world) => {
        const peer = asks(world, asking(id(remote), id(local), true), "the key of c");
        assertRefused(world, peer, /rule b/);
        const verdict = world.host("A").xfrm.outbound(packet(INSIDE, "10.1.2.3"));
        assert.notEqual(verdict.kind, "protected");
      }),
    );

test(
  "a peer with a wide rule gets all of it, and what no narrower rule is about",
  story(host([tunnelRule("b", B, "10.0.0.0/16 <-> 10.1.0.0/16"), WIDE]), (world) => {
    const peer = asks(world, asking(id("10.0.0.0/8"), id("10.0.0.0/16"), true), "the key of c");
    assert.equal(childrenOf(world, "A").length, 1);
    peer.script = { ...peer.script, ...asking(id("10.2.0.0/16"), id("10.0.0.0/16"), true) };
    peer.quick();
    world.run(500);
    assert.equal(childrenOf(world, "A").length, 2);
    assert.equal(world.host("A").xfrm.outbound(packet(INSIDE, "10.1.2.3")).kind, "acquire", "still the other peer's");
  }),
);

const AES256 = '{ proposals = ["aes256-sha256-x25519"] }';

test(
  "an address with a key of its own is not believed with the key of a wider rule, whatever algorithms it offers",
  story(
    host([
      { name: '"host"', filters: `["me <-> ${C}"]`, auth: '[{ method = "psk", secret = "its own key" }]', "main-mode": AES256 },
      { name: '"group"', action: '"respond"', filters: '["me <-> 192.0.2.0/24"]' },
    ]),
    (world) => {
      world.run(10);
      const peer = new Peer(world, C, A, { psk: PSK });
      peer.start();
      world.run(500);
      assert.equal(peer.established, false);
      assert.deepEqual(ikesOf(world, "A"), []);
      assert.ok(peer.notifies.includes(NOTIFY["NO-PROPOSAL-CHOSEN"]));
    },
  ),
);

test(
  "an IKE SA with algorithms of one rule does not carry the children of a rule that allows others only",
  story(
    host([
      { name: '"strong"', filters: `["me:22 <-> ${C} tcp"]`, "main-mode": AES256 },
      { name: '"plain"', action: '"respond"', filters: `["me:80 <-> ${C} tcp"]` },
    ]),
    (world) => {
      const peer = asks(world, asking(id(C, 6), id(A, 6, 22), false), PSK);
      assertRefused(world, peer, /rule strong/);
      peer.script = { ...peer.script, ...asking(id(C, 6), id(A, 6, 80), false) };
      peer.quick();
      world.run(500);
      assert.deepEqual(
        childrenOf(world, "A").map(({ rule }) => rule),
        ["plain"],
      );
    },
  ),
);

test(
  "a port without a protocol is no selector (RFC 2407 §4.6.2)",
  story(host([{ filters: `["me <-> ${C}"]` }]), (world) => {
    assertRefused(world, asks(world, asking(id(C), id(A, 0, 445), false), PSK), /port 445 without a protocol/);
  }),
);
