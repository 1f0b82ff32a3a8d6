/** Main Mode with a peer that makes mistakes, or means harm. Whatever it sends, the engine ends with a reason or goes on. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { PeerMessage, Script } from "./peer.ts";
import { IKE_ATTRIBUTES, offerIke } from "./peer-payloads.ts";
import { towards } from "./policies.ts";
import { A, B, ikesOf, said } from "./setting.ts";
import { against, assertSameKeys, initiated, ke, nonce, octetsOf, proved, replacing } from "./versus.ts";

test(
  "an independent responder agrees with the engine about every digest and key",
  against({}, (world, peer) => {
    assert.equal(initiated(world).exit, 0);
    assert.ok(peer.established);
    assert.ok(peer.children[0]?.confirmed);
    assertSameKeys(world, peer);
  }),
);

test(
  "an independent initiator agrees with the engine about every digest and key",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
  }),
);

test(
  "with PFS too",
  against(
    {},
    (world, peer) => {
      assert.equal(initiated(world).exit, 0);
      assertSameKeys(world, peer);
    },
    towards(B, {}, { pfs: "x25519" }),
  ),
);

const without = (type: number, ...more: readonly Attribute[]): readonly Attribute[] => [
  ...IKE_ATTRIBUTES.filter((a) => a.type !== type),
  ...more,
];
const answering = (sa: readonly Payload[]): Script => replacing("MM2", "sa", () => sa);
const one = offerIke().value.proposals[0];
const sa = (proposals: readonly (typeof one & object)[]) => payload("sa", { ...offerIke().value, proposals });
assert.ok(one);
const [transform] = one.transforms;
assert.ok(transform);

/** Message 2, as the engine must not take it; the last column is the reason that the command hears. */
const BAD_ANSWERS: readonly (readonly [string, Script, string])[] = [
  ["another key length", answering([offerIke(without(14, basic(14, 256)))]), "answer-not-offered"],
  ["no key length", answering([offerIke(without(14))]), "answer-not-offered"],
  ["a key length of zero", answering([offerIke(without(14, basic(14, 0)))]), "answer-not-offered"],
  ["the key length twice", answering([offerIke([...IKE_ATTRIBUTES, basic(14, 128)])]), "answer-not-offered"],
  ["another hash", answering([offerIke(without(2, basic(2, 2)))]), "answer-not-offered"],
  ["another group", answering([offerIke(without(4, basic(4, 14)))]), "answer-not-offered"],
  ["a group of its own making", answering([offerIke([...IKE_ATTRIBUTES, variable(6, octetsOf(8))])]), "answer-not-offered"],
  ["another method", answering([offerIke(without(3, basic(3, 3)))]), "answer-not-offered"],
  ["two transforms", answering([sa([{ ...one, transforms: [transform, transform] }])]), "answer-not-offered"],
  ["two proposals", answering([sa([one, one])]), "answer-not-offered"],
  ["a proposal for ESP", answering([sa([{ ...one, protocol: 3 }])]), "answer-not-offered"],
  ["no SA payload", answering([]), "unexpected-payloads"],
  ["two SA payloads", answering([offerIke(), offerIke()]), "unexpected-payloads"],
];

for (const [what, script, reason] of BAD_ANSWERS)
  test(
    `message 2 with ${what} is not accepted: ${reason}`,
    against(script, (world) => {
      const line = initiated(world);
      assert.deepEqual({ exit: line.exit, reason: line.reason }, { exit: 1, reason });
      assert.ok(world.sent.every(({ label }) => label !== "MM3"));
    }),
  );

test(
  "message 2 with a cookie of zeros counts as no answer",
  against({ cookie: octetsOf(8, 0) }, (world) => assert.equal(initiated(world).exit, 75)),
);

test(
  "message 2 with attributes in another order and encoding, and another lifetime, is accepted",
  against(
    answering([
      offerIke(
        [
          variable(12, octetsOf(4, 1)),
          basic(11, 1),
          ...without(12)
            .filter(({ type }) => type !== 11)
            .reverse(),
        ].map((a) => (a.type === 4 || a.type === 2 ? variable(a.type, Uint8Array.of(0, 0, ...a.value)) : a)),
      ),
    ]),
    (world) => assert.equal(initiated(world).exit, 0),
  ),
);

/** Public values and nonces that cannot be used. */
const BAD_KEYS: readonly (readonly [string, Payload["name"], readonly Payload[], string])[] = [
  ["a public value of zeros", "ke", [ke(32, 0)], "invalid-key"],
  ["an empty public value", "ke", [ke(0)], "invalid-key"],
  ["a public value one octet short", "ke", [ke(31)], "invalid-key"],
  ["a public value one octet long", "ke", [ke(33)], "invalid-key"],
  ["no public value", "ke", [], "unexpected-payloads"],
  ["two public values", "ke", [ke(32), ke(32)], "unexpected-payloads"],
  ["no nonce", "nonce", [], "unexpected-payloads"],
  ["an empty nonce", "nonce", [nonce(0)], "unexpected-payloads"],
  ["a nonce of 7 octets", "nonce", [nonce(7)], "unexpected-payloads"],
  ["a nonce of 257 octets", "nonce", [nonce(257)], "unexpected-payloads"],
  ["two nonces", "nonce", [nonce(32), nonce(32)], "unexpected-payloads"],
];

for (const [what, name, payloads, reason] of BAD_KEYS) {
  test(
    `message 4 with ${what} is not accepted: ${reason}`,
    against(
      replacing("MM4", name, () => payloads),
      (world, peer) => {
        const line = initiated(world);
        assert.deepEqual({ exit: line.exit, reason: line.reason }, { exit: 1, reason });
        assert.ok(world.sent.every(({ label }) => label !== "MM5"));
        assert.deepEqual(peer.notifies, reason === "invalid-key" ? [NOTIFY["INVALID-KEY-INFORMATION"]] : []);
      },
    ),
  );
  test(
    `message 3 with ${what} is not answered by message 4, and a good one after it is`,
    against({}, (world, peer) => {
      peer.script = replacing("MM3", name, () => payloads);
      peer.start();
      world.run(5000);
      assert.ok(world.sent.every(({ label }) => label !== "MM4"));
      assert.deepEqual(
        ikesOf(world, "A").map(({ state }) => state),
        ["negotiating"],
      );
      world.run(60_000);
      assert.deepEqual(ikesOf(world, "A"), []);
      peer.script = {};
      proved(world, peer);
    }),
  );
}

/** Proofs that prove nothing. */
const BAD_PROOFS: readonly (readonly [string, "id" | "hash", (old: Payload) => readonly Payload[]])[] = [
  ["no HASH", "hash", () => []],
  ["an empty HASH", "hash", () => [payload("hash", { data: octetsOf(0) })]],
  ["half a HASH", "hash", (p) => [payload("hash", { data: p.raw.slice(0, 16) })]],
  ["a HASH with an octet more", "hash", (p) => [payload("hash", { data: Uint8Array.of(...p.raw, 0) })]],
  ["a wrong HASH", "hash", (p) => [payload("hash", { data: p.raw.map((octet, i) => (i === 31 ? octet ^ 1 : octet)) })]],
  ["two HASH payloads", "hash", (p) => [p, p]],
  ["no identity", "id", () => []],
  ["two identities", "id", (p) => [p, p]],
  [
    "another identity than was hashed",
    "hash",
    (p) => [payload("hash", { data: p.raw }), payload("id", { type: 1, protocol: 0, port: 0, data: octetsOf(4) })],
  ],
];

for (const [what, name, make] of BAD_PROOFS) {
  const edit = (message: PeerMessage): Script =>
    what.startsWith("another identity")
      ? {
          edit: {
            [message]: (payloads: readonly Payload[]) =>
              payloads.map((p) => (p.name === "id" ? payload("id", { ...p.value, data: octetsOf(4) }) : p)),
          },
        }
      : replacing(message, name, make);
  test(
    `message 6 with ${what} proves nothing: the command fails, and nobody is believed`,
    against(edit("MM6"), (world, peer) => {
      const line = initiated(world);
      assert.equal(line.exit, 1);
      assert.match(line.reason ?? "", /^(psk-mismatch|hash-mismatch)$/);
      assert.deepEqual(ikesOf(world, "A"), []);
      assert.ok(peer.heard.every(({ sealed, payloads }) => !sealed || payloads.length <= 1));
    }),
  );
  test(
    `message 5 with ${what} proves nothing, and a good one after it does`,
    against(edit("MM5"), (world, peer) => {
      peer.start();
      world.run(5000);
      assert.equal(peer.established, false);
      assert.deepEqual(
        ikesOf(world, "A").map(({ state }) => state),
        ["negotiating"],
      );
      assert.equal(peer.notifies.length, 1);
      assert.ok(said(world.host("A"), "warning").length >= 1);
      world.run(60_000);
      peer.script = {};
      proved(world, peer);
    }),
  );
}

test(
  "a message 1 whose initiator cookie is zero leaves no trace",
  against({ cookie: octetsOf(8, 0) }, (world, peer) => {
    peer.start();
    world.run(1000);
    assert.deepEqual(ikesOf(world, "A"), []);
    assert.ok(world.sent.every(({ from }) => from !== A));
  }),
);

test(
  "a message 1 without anything acceptable gets one notify, no longer than itself, and leaves no state",
  against(
    replacing("MM1", "sa", () => [offerIke(without(2, basic(2, 1)))]),
    (world, peer) => {
      peer.start();
      world.run(1000);
      assert.deepEqual(peer.notifies, [NOTIFY["NO-PROPOSAL-CHOSEN"]]);
      assert.deepEqual(ikesOf(world, "A"), []);
      const [asked, told] = world.sent;
      assert.ok(asked && told && told.bytes.length <= asked.bytes.length);
    },
  ),
);

for (const flags of [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02])
  test(`flag ${flags} in every message of Main Mode is ignored, in both roles`, () => {
    const names: readonly PeerMessage[] = ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6"];
    const script: Script = { flags: Object.fromEntries(names.map((name) => [name, flags])) };
    against(script, (world, peer) => proved(world, peer))();
    against(script, (world) => assert.equal(initiated(world).exit, 0))();
  });

test("vendor ids and unknown payloads may stand in any message", () => {
  const extra = (payloads: readonly Payload[]) => [
    ...payloads,
    payload("vid", { data: octetsOf(16) }),
    { name: "unknown", type: 99, raw: octetsOf(5), start: -1, end: -1 } as const,
  ];
  const script: Script = { edit: Object.fromEntries(["MM1", "MM2", "MM3", "MM4", "MM5", "MM6"].map((name) => [name, extra])) };
  against(script, (world, peer) => proved(world, peer))();
  against(script, (world) => assert.equal(initiated(world).exit, 0))();
});
