/** Stories of peers that proved themselves and meddle, of floods, and of bugs of our own: what one party does costs nobody else. */
import assert from "node:assert/strict";
import test from "node:test";
import { encodeMessage } from "../../isakmp/message.ts";
import { DOI, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { Peer } from "./peer.ts";
import { u32 } from "./peer-keys.ts";
import { deleteOf, hostId, notify, offerEsp, offerIke } from "./peer-payloads.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, pair } from "./setting.ts";
import { against, assertSameKeys, installed, octetsOf, proved, replacing } from "./versus.ts";
import { inWorld, story } from "./world.ts";

const C = "192.0.2.3";

const THREE = {
  hosts: [
    {
      name: "A",
      addresses: [A],
      policy: policyOf(configuration([B, C].map((peer) => ({ name: `"${peer}"`, filters: `["me <-> ${peer}"]` })))),
    },
    { name: "B", addresses: [B], policy: policyOf(towards(A)) },
  ],
};

test(
  "an authenticated peer cannot delete or displace what was made with another",
  story(THREE, (world) => {
    const a = world.host("A");
    bringUp(world, a, B);
    const peer = new Peer(world, C, A);
    proved(world, peer);
    peer.quick();
    world.run(100);
    const [theirs] = childrenOf(world, "A");
    const [ike] = ikesOf(world, "A");
    assert.ok(theirs && ike);
    const cookies = Buffer.from(`${ike.initiatorCookie}${ike.responderCookie}`, "hex");
    peer.inform([
      deleteOf(...theirs.protections.flatMap(({ spiIn, spiOut }) => [Number(spiIn), Number(spiOut)])),
      payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spiSize: 16, spis: [cookies] }),
      notify(NOTIFY["INITIAL-CONTACT"]),
      notify(NOTIFY["NO-PROPOSAL-CHOSEN"], PROTOCOL.ESP, u32(Number(theirs.protections[0]?.spiIn))),
    ]);
    world.run(1000);
    assertTraffic(world);
    assert.equal(childrenOf(world, "A").length, 2);
    assert.equal(ikesOf(world, "A").length, 2);
  }),
);

test(
  "a peer whose rule covers a whole subnet can ask for itself alone: another host's traffic is not its to draw",
  against(
    {},
    (world, peer) => {
      proved(world, peer);
      for (const ids of [
        [hostId(C), hostId(A)],
        [hostId(B), hostId(C)],
      ]) {
        peer.script = { edit: { QM1: (payloads) => [...payloads.filter(({ name }) => name !== "id"), ...ids] } };
        peer.quick();
      }
      world.run(1000);
      assert.equal(installed(world), 0);
      assert.deepEqual(peer.notifies, [NOTIFY["INVALID-ID-INFORMATION"], NOTIFY["INVALID-ID-INFORMATION"]]);
      peer.script = {};
      peer.quick();
      world.run(1000);
      assertSameKeys(world, peer);
    },
    towards("192.0.2.0/24", { action: '"respond"', filters: '["any <-> 192.0.2.0/24"]' }),
  ),
);

test(
  "two deletes in one message, and two SPIs in one delete, are all obeyed",
  against({}, (world, peer) => {
    proved(world, peer);
    for (let i = 0; i < 4; i++) peer.quick();
    world.run(100);
    assert.equal(childrenOf(world, "A").length, 4);
    const [one, two, three, four] = peer.children.map(({ spiIn }) => spiIn);
    peer.inform([deleteOf(one ?? 0), deleteOf(two ?? 0)]);
    world.run(15_000);
    assert.equal(childrenOf(world, "A").length, 2);
    peer.inform([deleteOf(three ?? 0, four ?? 0)]);
    world.run(15_000);
    assert.equal(installed(world), 0);
  }),
);

test(
  "a peer that gives two pairs one SPI keeps the first; the second is refused and undone",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
    const [first] = peer.children;
    peer.script = replacing("QM1", "sa", () => [offerEsp(first?.spiIn ?? 0)]);
    peer.quick();
    world.run(1000);
    assert.equal(installed(world), 2);
    assert.equal(childrenOf(world, "A").length, 1);
    peer.inform([deleteOf(first?.spiIn ?? 0)]);
    world.run(100);
    assert.equal(installed(world), 0);
  }),
);

test(
  "a delete of the IKE SA by its own cookies ends it, and its children live on",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    const spis = [Buffer.concat([peer.cookieI, peer.cookieR])];
    peer.inform([payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spiSize: 16, spis })]);
    world.run(100);
    assert.deepEqual(ikesOf(world, "A"), []);
    assertSameKeys(world, peer);
  }),
);

test(
  "INITIAL-CONTACT in an Informational message takes the older SAs of the same identity",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    const fresh = new Peer(world, B, A, { cookie: octetsOf(8) });
    proved(world, fresh);
    fresh.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
    world.run(100);
    assert.equal(ikesOf(world, "A").length, 1);
    assert.equal(installed(world), 0);
  }),
);

test(
  "INITIAL-CONTACT takes nothing of another identity behind the same address",
  against({}, (world, peer) => {
    const [one, two] = ["one", "two"].map((name) => new TextEncoder().encode(`${name}.example.test`));
    assert.ok(one && two);
    peer.script = { identity: one };
    proved(world, peer);
    peer.quick();
    world.run(100);
    const other = new Peer(world, B, A, { cookie: octetsOf(8), identity: two });
    proved(world, other);
    other.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
    world.run(100);
    assert.equal(ikesOf(world, "A").length, 2);
    assert.equal(installed(world), 2);
  }),
);

test(
  "a message id counts once: a second message under it is not even opened",
  against({}, (world, peer) => {
    proved(world, peer);
    for (let i = 0; i < 2; i++) peer.quick();
    world.run(100);
    const [one, two] = peer.children.map(({ spiIn }) => spiIn);
    peer.inform([deleteOf(one ?? 0)], 4242);
    peer.inform([deleteOf(two ?? 0)], 4242);
    world.run(15_000);
    assert.equal(childrenOf(world, "A").length, 1);
    peer.inform([deleteOf(two ?? 0)], 0);
    world.run(15_000);
    assert.equal(childrenOf(world, "A").length, 1);
    peer.inform([deleteOf(two ?? 0)], 4243);
    world.run(15_000);
    assert.equal(childrenOf(world, "A").length, 0);
  }),
);

test(
  "messages sealed from a wrong IV, or with a wrong key, are dropped",
  against({}, (world, peer) => {
    proved(world, peer);
    const { lastBlock, keys } = peer;
    assert.ok(keys);
    peer.lastBlock = lastBlock.map((octet) => octet ^ 1);
    peer.quick();
    peer.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
    peer.lastBlock = lastBlock;
    peer.keys = { ...keys, cipher: keys.cipher.map((octet) => octet ^ 1) };
    peer.quick();
    peer.keys = { ...keys, a: keys.a.map((octet) => octet ^ 1) };
    peer.quick();
    world.run(1000);
    assert.equal(installed(world), 0);
    peer.keys = keys;
    peer.quick();
    world.run(1000);
    assertSameKeys(world, peer);
  }),
);

test(
  "R-U-THERE is answered with the number it brought, once each",
  against({}, (world, peer) => {
    proved(world, peer);
    const cookies = Buffer.concat([peer.cookieI, peer.cookieR]);
    const bytes = peer.inform([notify(NOTIFY["R-U-THERE"], PROTOCOL.ISAKMP, cookies, u32(99))]);
    world.run(100);
    world.deliver(B, A, bytes);
    world.run(100);
    const acks = peer.heard.flatMap(({ sealed, payloads }) => (sealed ? payloads.filter((p) => p.name === "notify") : []));
    assert.deepEqual(
      acks.map(({ value }) => [value.type, Buffer.from(value.data).toString("hex")]),
      [[NOTIFY["R-U-THERE-ACK"], "00000063"]],
    );
  }),
);

test(
  "an unauthentic refusal during Quick Mode is ignored; an authentic one ends it at once",
  against({ raw: { QM2: () => null } }, (world, peer) => {
    const a = world.host("A");
    const id = a.initiate();
    world.run(100);
    peer.informClear([notify(NOTIFY["NO-PROPOSAL-CHOSEN"])]);
    world.run(100);
    assert.equal(a.replies.get(id)?.at(-1)?.exit, undefined);
    peer.inform([notify(NOTIFY["NO-PROPOSAL-CHOSEN"], PROTOCOL.ESP)]);
    world.run(100);
    assert.equal(a.outcome(id).reason, "peer-refused");
    assert.match(a.outcome(id).text, /NO-PROPOSAL-CHOSEN/);
  }),
);

// Bounds

test(
  "strangers who insist, but send nothing more than message 1, cost twenty thousand entries for a minute",
  against(
    {},
    (world) => {
      const sa = offerIke();
      for (let i = 1; i <= 20_100; i++) {
        const fields = { initiatorCookie: new Uint8Array(8), responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
        new DataView(fields.initiatorCookie.buffer).setUint32(0, i);
        if (i % 10 === 0) world.now++;
        const remote = { address: `10.${i >> 8}.${i & 255}.1`, port: 500 };
        const input = { type: "datagram", path: { local: { address: A, port: 500 }, remote }, bytes: encodeMessage(fields, [sa]) } as const;
        for (let times = 0; times < 2; times++) world.host("A").engine.handle(input, world.now);
      }
      assert.equal(ikesOf(world, "A").length, 20_000);
      world.run(61_000);
      assert.equal(ikesOf(world, "A").length, 0);
    },
    towards("10.0.0.0/8"),
  ),
);

// Our own bugs

test("a bug in the core costs the SA that it happened in, and no other", () => {
  inWorld(THREE, (world) => {
    const a = world.host("A");
    a.mayHaveBugs = true;
    bringUp(world, a, B);
    const peer = new Peer(world, C, A);
    proved(world, peer);
    const { crypto } = world.tap;
    const { hmac } = crypto;
    crypto.hmac = () => {
      throw new Error("a bug for the test");
    };
    peer.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
    world.run(6);
    crypto.hmac = hmac;
    world.run(1000);
    assert.deepEqual(
      ikesOf(world, "A").map(({ remote }) => remote),
      [`${B}:500`],
    );
    assert.ok(a.events.some(({ event, text }) => event === "bug" && text.includes("a bug for the test")));
    assertTraffic(world);
    world.end();
  });
});

test("a bug while a negotiation is under way ends it, and the next one works", () => {
  inWorld(pair(), (world) => {
    const a = world.host("A");
    a.mayHaveBugs = true;
    const { crypto } = world.tap;
    const { generateKeyPair } = crypto;
    crypto.generateKeyPair = () => {
      throw new Error("a bug for the test");
    };
    const id = a.initiate();
    world.run(100);
    assert.equal(a.outcome(id).exit, 1);
    crypto.generateKeyPair = generateKeyPair;
    bringUp(world);
    assertTraffic(world);
    world.end();
  });
});
