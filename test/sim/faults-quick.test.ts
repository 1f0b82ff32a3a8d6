/** Quick Mode with a peer that proved itself and still makes mistakes, or means harm. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { Peer, PeerMessage, Script } from "./peer.ts";
import { connected, ESP_ATTRIBUTES, hostId, offerEsp } from "./peer-payloads.ts";
import { towards } from "./policies.ts";
import { A, B, childrenOf, ikesOf } from "./setting.ts";
import { against, assertSameKeys, initiated, installed, ke, nonce, octetsOf, proved, replacing } from "./versus.ts";
import type { World } from "./world.ts";

const without = (type: number, ...more: readonly Attribute[]): readonly Attribute[] => [
  ...ESP_ATTRIBUTES.filter((a) => a.type !== type),
  ...more,
];
const sa = (attributes: readonly Attribute[], spi = 0x2000) => offerEsp(spi, attributes);
const base = offerEsp(0x2000).value;
const [proposal] = base.proposals;
assert.ok(proposal);
const withSpi = (...spi: readonly number[]) => payload("sa", { ...base, proposals: [{ ...proposal, spi: Uint8Array.from(spi) }] });
const id4 = (type: number, ...data: readonly number[]) => payload("id", { type, protocol: 0, port: 0, data: Uint8Array.from(data) });
const hash = (data: Uint8Array) => payload("hash", { data });
const hashes = (message: PeerMessage): readonly (readonly [string, Script])[] => [
  ["no HASH", { hash: { [message]: () => [] } }],
  ["an empty HASH", { hash: { [message]: () => [hash(octetsOf(0))] } }],
  ["half a HASH", { hash: { [message]: (digest: Uint8Array) => [hash(digest.slice(0, 16))] } }],
  ["a HASH with an octet more", { hash: { [message]: (digest: Uint8Array) => [hash(Uint8Array.of(...digest, 0))] } }],
  ["a wrong HASH", { hash: { [message]: (digest: Uint8Array) => [hash(digest.map((octet) => octet ^ 0x80))] } }],
  ["something before HASH", { hash: { [message]: (digest: Uint8Array) => [payload("vid", { data: octetsOf(4) }), hash(digest)] } }],
];

/** Changes to both messages that carry an SA; `told` is what the peer hears when it sends them as message 1. */
const FAULTS: readonly (readonly [string, Payload["name"], (old: Payload) => readonly Payload[], number | null])[] = [
  ["no SA", "sa", () => [], null],
  ["two SAs", "sa", (p) => [p, p], null],
  ["no nonce", "nonce", () => [], null],
  ["an empty nonce", "nonce", () => [nonce(0)], null],
  ["a nonce of 7 octets", "nonce", () => [nonce(7)], null],
  ["a nonce of 257 octets", "nonce", () => [nonce(257)], null],
  ["two nonces", "nonce", (p) => [p, p], null],
  ["a KE that no group asks for", "nonce", (p) => [p, ke(32)], null],
  ["no key length", "sa", () => [sa(without(6))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["a key length of zero", "sa", () => [sa(without(6, basic(6, 0)))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["the key length twice", "sa", () => [sa([...ESP_ATTRIBUTES, basic(6, 128)])], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["another key length", "sa", () => [sa(without(6, basic(6, 256)))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["no integrity", "sa", () => [sa(without(5))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["another integrity", "sa", () => [sa(without(5, basic(5, 2)))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["tunnel mode", "sa", () => [sa(without(4, basic(4, 1)))], NOTIFY["INVALID-ID-INFORMATION"]],
  ["mode 77", "sa", () => [sa(without(4, basic(4, 77)))], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["group 77", "sa", () => [sa([...ESP_ATTRIBUTES, basic(3, 77)])], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["an SPI of zero", "sa", () => [withSpi(0, 0, 0, 0)], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["a reserved SPI", "sa", () => [withSpi(0, 0, 0, 255)], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["an SPI of 3 octets", "sa", () => [withSpi(1, 2, 3)], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["an SPI of 8 octets", "sa", () => [withSpi(1, 2, 3, 4, 5, 6, 7, 8)], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["no SPI", "sa", () => [withSpi()], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  ["an unknown attribute", "sa", () => [sa([...ESP_ATTRIBUTES, basic(99, 1)])], NOTIFY["NO-PROPOSAL-CHOSEN"]],
  [
    "an identity of another host",
    "id",
    (p) => [p.name === "id" && p.raw[7] === 2 ? hostId("192.0.2.77") : p],
    NOTIFY["INVALID-ID-INFORMATION"],
  ],
  ["a subnet with holes", "id", () => [id4(4, 192, 0, 2, 0, 255, 0, 255, 0)], NOTIFY["INVALID-ID-INFORMATION"]],
  ["a range that ends before it starts", "id", () => [id4(7, 192, 0, 2, 9, 192, 0, 2, 1)], NOTIFY["INVALID-ID-INFORMATION"]],
  ["an address of 3 octets", "id", () => [id4(1, 192, 0, 2)], NOTIFY["INVALID-ID-INFORMATION"]],
  ["a name where an address belongs", "id", () => [id4(2, 97, 46, 98)], NOTIFY["INVALID-ID-INFORMATION"]],
];

/** Lists of identities: how many of the two are there. */
const COUNTS: readonly (readonly [string, Script["edit"]])[] = ([1, 3] as const).flatMap((count) => {
  const edit = (payloads: readonly Payload[]): readonly Payload[] => {
    const ids = payloads.filter((p) => p.name === "id");
    return [...payloads.filter((p) => p.name !== "id"), ...[...ids, ...ids].slice(0, count)];
  };
  return [[`${count} identities`, { QM1: edit, QM2: edit }] as const];
});

function refusedRequest(world: World, peer: Peer, script: Script, told: number | null): void {
  proved(world, peer);
  peer.script = script;
  peer.quick();
  world.run(1000);
  assert.equal(installed(world), 0);
  assert.deepEqual(childrenOf(world, "A"), []);
  assert.equal(ikesOf(world, "A").length, 1);
  assert.deepEqual(peer.notifies, told === null ? [] : [told]);
  peer.script = {};
  peer.quick();
  world.run(1000);
  assertSameKeys(world, peer);
}

for (const [what, name, make, told] of FAULTS) {
  test(
    `message 1 with ${what} installs nothing, and a good one after it does`,
    against({}, (world, peer) => refusedRequest(world, peer, replacing("QM1", name, make), told)),
  );
  test(
    `message 2 with ${what} ends the command with a reason, installs nothing, and leaves the IKE SA`,
    against(replacing("QM2", name, make), (world) => {
      const line = initiated(world);
      assert.equal(line.exit, 1);
      assert.match(line.reason ?? "", /^(unexpected-payloads|answer-not-offered|selectors-mismatch)$/);
      assert.equal(installed(world), 0);
      assert.equal(ikesOf(world, "A").length, 1);
    }),
  );
}

for (const [what, edit] of COUNTS) {
  test(
    `message 1 with ${what} installs nothing`,
    against({}, (world, peer) => refusedRequest(world, peer, { edit: edit ?? {} }, null)),
  );
  test(
    `message 2 with ${what} installs nothing`,
    against({ edit: edit ?? {} }, (world) => {
      assert.equal(initiated(world).reason, "unexpected-payloads");
      assert.equal(installed(world), 0);
    }),
  );
}

for (const [what, script] of hashes("QM1"))
  test(
    `message 1 with ${what} is dropped without a word, and a good one after it is taken`,
    against({}, (world, peer) => refusedRequest(world, peer, script, null)),
  );

for (const [what, script] of hashes("QM2"))
  test(
    `message 2 with ${what} is dropped: the command waits for a better one until it gives up`,
    against(script, (world) => {
      assert.deepEqual(initiated(world).reason, "peer-silent");
      assert.equal(installed(world), 0);
    }),
  );

for (const [what, script] of hashes("QM3"))
  test(
    `message 3 with ${what} proves nothing: no outbound SA comes of it`,
    against({}, (world, peer) => {
      proved(world, peer);
      peer.script = script;
      peer.quick();
      world.run(10_000);
      assert.equal(installed(world), 1);
      world.run(30_000);
      assert.equal(installed(world), 0);
    }),
  );

test(
  "a message 1 without identities means the two hosts",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.script = replacing("QM1", "id", () => []);
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
    assert.deepEqual(
      childrenOf(world, "A").map(({ local, remote }) => [local, remote]),
      [[`${A}/32`, `${B}/32`]],
    );
  }),
);

test(
  "a message 2 that leaves out identities which we sent is refused",
  against(
    replacing("QM2", "id", () => []),
    (world) => {
      assert.equal(initiated(world).reason, "unexpected-payloads");
      assert.equal(installed(world), 0);
    },
  ),
);

const KE_FAULTS: readonly (readonly [string, readonly Payload[], string])[] = [
  ["no KE", [], "unexpected-payloads"],
  ["an empty KE", [ke(0)], "invalid-key"],
  ["a KE of zeros", [ke(32, 0)], "invalid-key"],
  ["a short KE", [ke(31)], "invalid-key"],
  ["two KEs", [ke(32), ke(32)], "unexpected-payloads"],
];

for (const [what, payloads, reason] of KE_FAULTS) {
  const text = towards(B, {}, { pfs: "x25519" });
  test(
    `with PFS, message 2 with ${what} is refused: ${reason}`,
    against(
      replacing("QM2", "ke", () => payloads),
      (world) => {
        assert.equal(initiated(world).reason, reason);
        assert.equal(installed(world), 0);
      },
      text,
    ),
  );
  test(
    `with PFS, message 1 with ${what} is refused`,
    against(
      {},
      (world, peer) => {
        proved(world, peer);
        peer.script = {
          edit: { QM1: (all) => [...all.map((p) => (p.name === "sa" ? sa([...ESP_ATTRIBUTES, basic(3, 31)]) : p)), ...payloads] },
        };
        peer.quick();
        world.run(1000);
        assert.equal(installed(world), 0);
        assert.deepEqual(peer.notifies, reason === "invalid-key" ? [NOTIFY["INVALID-KEY-INFORMATION"]] : []);
      },
      text,
    ),
  );
}

test(
  "attributes in another order and encoding are taken, and come back as they were",
  against({}, (world, peer) => {
    const odd = [...ESP_ATTRIBUTES]
      .reverse()
      .map((a) => (a.type === 6 || a.type === 5 ? variable(a.type, Uint8Array.of(0, ...a.value)) : a));
    // The life attributes are a pair, type first.
    const life = [basic(1, 1), variable(2, Uint8Array.of(0, 0, 1, 44))];
    proved(world, peer);
    peer.script = replacing("QM1", "sa", () => [sa([...odd.filter(({ type }) => type > 2), ...life])]);
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
  }),
);

for (const flags of [0x80, 0x40, 0x20, 0x10, 0x08])
  test(`flag ${flags} in every message of Quick Mode is ignored, in both roles`, () => {
    const script: Script = { flags: { QM1: flags, QM2: flags, QM3: flags } };
    against(script, (world, peer) => {
      assert.equal(initiated(world).exit, 0);
      assertSameKeys(world, peer);
    })();
    against(script, (world, peer) => {
      proved(world, peer);
      peer.quick();
      world.run(100);
      assertSameKeys(world, peer);
    })();
  });

// The commit bit, RFC 2408 §3.1

const COMMIT: Script = { flags: { QM2: 2 } };

for (const [form, say] of [
  ["as the fourth message of the exchange", (peer: Peer) => peer.connect()],
  ["as an Informational message", (peer: Peer) => void peer.inform([connected(peer.children.at(-1)?.spiIn ?? 0)])],
] as const)
  test(
    `commit bit, CONNECTED ${form}: message 3 is repeated until it comes, then outbound follows`,
    against(COMMIT, (world, peer) => {
      const a = world.host("A");
      const id = a.initiate();
      world.run(500);
      assert.equal(installed(world), 1);
      say(peer);
      world.run(50);
      assert.equal(installed(world), 2);
      assert.equal(a.outcome(id).exit, 0);
      assertSameKeys(world, peer);
      world.run(60_000);
      assert.equal(world.sent.filter(({ label, from }) => label === "QM3" && from === A).length, 1);
    }),
  );

test(
  "commit bit without CONNECTED: message 3 is sent five times at most, and the pair is used after a second",
  against(COMMIT, (world, peer) => {
    assert.equal(initiated(world).exit, 0);
    assertSameKeys(world, peer);
    world.run(120_000);
    const times = world.sent.filter(({ label, from }) => label === "QM3" && from === A).length;
    assert.ok(times >= 1 && times <= 5, `${times} times`);
  }),
);

test(
  "a commit bit in message 1 asks nothing of a responder",
  against({ flags: { QM1: 2 } }, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
  }),
);

test(
  "a peer that asks for three hundred Quick Modes and finishes none costs a bounded number of exchanges",
  against({ raw: { QM3: () => null } }, (world, peer) => {
    proved(world, peer);
    for (let i = 0; i < 300; i++) peer.quick();
    world.run(2000);
    assert.ok(installed(world) <= 256);
    world.run(60_000);
    assert.equal(installed(world), 0);
  }),
);
