/**
 * Faults that were known in other implementations, each by its name: what the message was, and that it costs us nothing.
 * Names such as impair-40 are those of libreswan's tests. The rest of that list: lengths and counts, key lengths (impair-08), wrong HASHes (impair-09),
 * reserved flags and identities (impair-31) are in faults*.test.ts here and in test/isakmp/, zero cookies (impair-14) in faults.test.ts, duplicates and
 * replays (impair-01, -02) in attacks.test.ts and schedules.test.ts, a kernel that refuses SAs (impair-install) in kernel.test.ts.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { encodeMessage } from "../../isakmp/message.ts";
import { DOI, EXCHANGE, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { Peer } from "./peer.ts";
import { deleteOf, notify, offerEsp, offerIke } from "./peer-payloads.ts";
import { PSK, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, pair } from "./setting.ts";
import { against, assertSameKeys, installed, ke, nonce, octetsOf, proved, replacing } from "./versus.ts";
import { story, type World } from "./world.ts";

const FIELDS = {
  initiatorCookie: octetsOf(8),
  responderCookie: new Uint8Array(8),
  exchange: EXCHANGE["Identity Protection"],
  flags: 0,
  messageId: 0,
};

/** First messages that crashed somebody. All are dropped, nothing stays, and whoever comes next is served. */
const FIRST_PACKETS: readonly (readonly [string, Uint8Array])[] = [
  ["fuzzer-ikev1-01: a header and nothing else", encodeMessage(FIELDS, [])],
  ["fuzzer-ikev1-01: a proposal without transforms", encodeMessage(FIELDS, [emptyProposal()])],
  ["fuzzer-ikev1-01: a fragment without data", fragment(new Uint8Array(0))],
  [
    "fuzzer-ikev1-03 (CVE-2020-1763): a delete in clear for nobody",
    encodeMessage({ ...FIELDS, exchange: EXCHANGE.Informational, messageId: 9 }, [deleteOf(1)]),
  ],
  ["fuzzer-ikev1-01: a hash where an offer belongs", encodeMessage(FIELDS, [payload("hash", { data: octetsOf(20) })])],
  ["fuzzer-ikev1-01: a GSS token without an offer", encodeMessage(FIELDS, [payload("gss", { data: octetsOf(40) })])],
  ["fuzzer-ikev1-01: a last fragment with a high number", fragment(octetsOf(100), 255)],
  [
    "fuzzer-ikev1-03 (CVE-2020-1763): an encrypted Informational message for nobody",
    encodeMessage({ ...FIELDS, exchange: 5, flags: 1, messageId: 7 }, [deleteOf(1)]),
  ],
  ["fuzzer-ikev1-01: a message 1 that says it is encrypted", encodeMessage({ ...FIELDS, flags: 1 }, [offerIke()])],
  ["fuzzer-ikev1-01: a long vendor id before the offer", encodeMessage(FIELDS, [unknownPayload(), offerIke()])],
  ["fuzzer-ikev1-01: Aggressive Mode", encodeMessage({ ...FIELDS, exchange: EXCHANGE.Aggressive }, [offerIke(), ke(32), nonce(16)])],
];

function emptyProposal(): Payload {
  const offer = offerIke();
  return { ...offer, raw: Uint8Array.from([...offer.raw.subarray(0, 8), 0, 0, 0, 8, 1, 1, 0, 0]) };
}

function fragment(data: Uint8Array, number = 1): Uint8Array {
  return encodeMessage(FIELDS, [payload("fragment", { id: 1, number, flags: 1, data })]);
}

function unknownPayload(): Payload {
  return payload("vid", { data: octetsOf(300, 0xff) });
}

for (const [name, bytes] of FIRST_PACKETS)
  test(
    `${name}: at most one short answer, no SA, and the next peer is served`,
    against({}, (world) => {
      world.attach(B, () => {});
      const before = world.sent.length;
      for (let i = 0; i < 3; i++) world.deliver(B, A, bytes, true);
      world.run(10);
      const answered = world.sent.slice(before).reduce((sum, sent) => sum + sent.bytes.length, 0);
      assert.ok(answered <= 3 * 3 * bytes.length, `${answered} octets for ${3 * bytes.length}`);
      world.run(61_000);
      assert.deepEqual(ikesOf(world, "A"), []);
      const peer = new Peer(world, B, A);
      proved(world, peer);
      peer.quick();
      world.run(100);
      assertSameKeys(world, peer);
    }),
  );

test(
  "impair-40-ikev1-delete-child (CVE-2023-38712): two deletes of phase 1 in one message end it once, and nothing is used after its end",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    const both = payload("delete", {
      doi: DOI.IPSEC,
      protocol: PROTOCOL.ISAKMP,
      spiSize: 16,
      spis: [Buffer.concat([peer.cookieI, peer.cookieR])],
    });
    peer.inform([
      both,
      both,
      deleteOf(peer.children[0]?.spiIn ?? 0),
      notify(NOTIFY["R-U-THERE"], PROTOCOL.ISAKMP, octetsOf(16), octetsOf(4)),
    ]);
    world.run(100);
    assert.deepEqual(ikesOf(world, "A"), []);
    assert.equal(installed(world), 2);
  }),
);

test(
  "a delete with an SPI size that is not its protocol's is refused whole",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    for (const spiSize of [0, 3, 8])
      peer.inform([{ ...deleteOf(1), raw: Uint8Array.from([0, 0, 0, 1, 3, spiSize, 0, 1, ...octetsOf(spiSize)]) }]);
    world.run(100);
    assertSameKeys(world, peer);
  }),
);

test(
  "a Quick Mode offer whose SPI is empty or of another size makes no SA and ends nothing",
  against({}, (world, peer) => {
    proved(world, peer);
    for (const size of [0, 1, 3, 5, 16]) {
      peer.script = replacing("QM1", "sa", () => {
        const { value } = offerEsp(7);
        return [payload("sa", { ...value, proposals: value.proposals.map((proposal) => ({ ...proposal, spi: octetsOf(size) })) })];
      });
      peer.quick();
    }
    world.run(1000);
    assert.equal(installed(world), 0);
    peer.script = {};
    peer.quick();
    world.run(100);
    assertSameKeys(world, peer);
  }),
);

for (const [name, payloads] of [
  ["KE of zero (ikev1-impair-05)", [ke(32, 0), nonce(32)]],
  ["missing KE (ikev1-impair-06)", [nonce(32)]],
  ["empty KE (ikev1-impair-07)", [ke(0), nonce(32)]],
] as const)
  test(
    `${name} in message 3 gives no keys, and a better message 3 is still taken`,
    against({ edit: { MM3: () => payloads } }, (world, peer) => {
      peer.start();
      world.run(100);
      assert.ok(!peer.established);
      assert.equal(ikesOf(world, "A").filter(({ state }) => state !== "negotiating").length, 0);
      const again = new Peer(world, B, A, { cookie: octetsOf(8, 3) });
      proved(world, again);
    }),
  );

for (const [what, more] of [
  ["a rule that wants that address", { auth: `[{ method = "psk", secret = "${PSK}", remote-id = "ip:${B}" }]` }],
  ["a rule that wants nobody in particular", {}],
] as const)
  test(
    `impair-30-ikev1-ip-as-fqdn: an address as text in an FQDN is a name, to ${what}`,
    against(
      { identity: Buffer.from(B) },
      (world, peer) => {
        peer.start();
        world.run(100);
        const wanted = "auth" in more;
        assert.equal(peer.established, !wanted);
        assert.deepEqual(
          ikesOf(world, "A")
            .filter(({ state }) => state === "established")
            .map(({ remoteId }) => remoteId),
          wanted ? [] : [`fqdn:${B}`],
        );
        world.run(61_000);
      },
      towards(B, more),
    ),
  );

/** Under negotiation discovery a child has policies of its own. */
for (const name of ["A", "B"] as const)
  test(
    `impair-install-ipsec-sa-*-policy-*: the kernel of the ${name === "A" ? "initiator" : "responder"} refuses the child's policies: nothing is left of it`,
    story(pair(towards(B, { discovery: "true" }), towards(A, { discovery: "true" })), (world) => {
      world.run(10);
      const before = ["A", "B"].map((host) => world.host(host).xfrm.policies.size);
      let refused = 0;
      world.host(name).refuse = (command) => {
        if (command.do !== "add-policy" && command.do !== "update-policy") return undefined;
        refused++;
        return "Cannot allocate memory";
      };
      const id = world.host("A").initiate("peer", 10);
      world.run(15_000);
      assert.ok(refused > 0, "the kernel was asked");
      // The responder's come with its outbound SAs, after message 3: then the initiator is told to take its own down.
      if (name === "A") assert.equal(world.host("A").outcome(id).exit, 1);
      world.run(180_000);
      for (const host of ["A", "B"]) {
        assert.deepEqual(childrenOf(world, host), []);
        assert.equal(world.host(host).xfrm.states.size, 0);
      }
      assert.deepEqual(
        ["A", "B"].map((host) => world.host(host).xfrm.policies.size),
        before,
      );
      world.host(name).refuse = () => undefined;
      const again = world.host("A").initiate("peer", 10);
      world.run(12_000);
      assert.equal(world.host("A").outcome(again).exit, 0);
      assertTraffic(world);
    }),
  );

// Storms and orders

test(
  "a storm of deletes: ten thousand for SPIs that nobody has cost nothing, and those that stand stay",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    for (let i = 0; i < 40; i++) peer.inform([deleteOf(...Array.from({ length: 250 }, (_, k) => 0x10_0000 + 250 * i + k))]);
    world.run(1000);
    assertSameKeys(world, peer);
    assert.equal(childrenOf(world, "A").length, 1);
    assert.equal(world.host("A").events.filter(({ level }) => level === "warning" || level === "error").length, 0);
  }),
);

test(
  "messages of another connection of the same two hosts, replayed in both orders and sealed ones spliced under the new cookies, change nothing",
  story(pair(), (world) => {
    bringUp(world);
    const first = [...world.sent];
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(200_000);
    let busy = false;
    world.intercept = (sent) => {
      if (busy) return undefined;
      busy = true;
      // Nothing protects messages 1 to 4: what comes first under the right cookies is taken.
      for (const old of first.filter(({ bytes }) => (bytes[19] ?? 0) & 1))
        world.deliver(old.from, old.to, spliced(old.bytes, sent.bytes), true);
      for (const old of [...first].reverse()) world.deliver(old.from, old.to, old.bytes, true);
      busy = false;
      return undefined;
    };
    bringUp(world, world.host("A"), "peer", 20_000);
    world.intercept = () => undefined;
    assertTraffic(world);
  }),
);

/** The body of one message under the cookies of another. */
function spliced(body: Uint8Array, cookies: Uint8Array): Uint8Array {
  return Uint8Array.from([...cookies.subarray(0, 16), ...body.subarray(16)]);
}

test(
  "every message under the wrong exchange type, before the right one comes, changes nothing",
  story(pair(), (world) => {
    world.intercept = (sent) => {
      for (const exchange of [1, 2, 4, 5, 6, 32, 33, 34, 35, 243, 250]) {
        if (exchange === sent.bytes[18]) continue;
        const wrong = Uint8Array.from(sent.bytes);
        wrong[18] = exchange;
        world.deliver(sent.from, sent.to, wrong, true);
      }
      return undefined;
    };
    bringUp(world, world.host("A"), "peer", 10_000);
    assertTraffic(world);
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    // The deletes came through, too, though they had passed for Quick Modes before.
    for (const name of ["A", "B"]) assert.deepEqual(childrenOf(world, name), []);
    world.intercept = () => undefined;
  }),
);

// Amplification

test(
  "whatever a stranger sends as message 1, and however often, what goes to its address is at most three times as long",
  against({}, (world) => {
    let [sent, received] = [0, 0];
    world.attach(B, (bytes) => {
      received += bytes.length;
    });
    const offers: readonly (readonly Payload[])[] = [
      [],
      [offerIke()],
      [offerIke([])],
      [payload("vid", { data: octetsOf(16) })],
      [nonce(8)],
    ];
    const deliver = (bytes: Uint8Array): void => {
      sent += bytes.length;
      world.deliver(B, A, bytes, true);
      world.run(50);
      assert.ok(received <= 3 * sent, `${received} octets for ${sent}`);
    };
    for (const [i, payloads] of offers.entries())
      for (let times = 0; times < 5; times++) deliver(encodeMessage({ ...FIELDS, initiatorCookie: octetsOf(8, 50 + i) }, payloads));
    // Nor does anything more come by itself.
    const before = received;
    settle(world);
    assert.equal(received, before);
    assert.ok(received > 0);
  }),
);

const settle = (world: World): void => world.run(61_000);
