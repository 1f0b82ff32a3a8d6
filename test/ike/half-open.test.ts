/** What strangers can make us keep before they prove anything: bounded in entries and in octets, and out of the way of those who did. */
import assert from "node:assert/strict";
import test from "node:test";
import { LOAD } from "../../ike/gate.ts";
import { basic, variable } from "../../isakmp/attributes.ts";
import { encodeMessage } from "../../isakmp/message.ts";
import { IKE_ATTRIBUTE, NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { HALF_OPEN_LIMITS, HalfOpen } from "../../sa-store/half-open.ts";
import type { Negotiation } from "../../sa-store/ike-sa.ts";
import type { Stranger } from "../../sa-store/stranger.ts";
import { ROW } from "../../sa-store/strangers.ts";
import { withAuth, x509 } from "../sim/credentials.ts";
import { IKE_ATTRIBUTES, offerIke } from "../sim/peer-payloads.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { A, B, ikesOf } from "../sim/setting.ts";
import { against, initiated, octetsOf } from "../sim/versus.ts";
import { story, type World } from "../sim/world.ts";

/** Message 1 with the cookie `number`, from `remote`; as often as it takes while there are many. */
function stranger(
  world: World,
  number: number,
  remote: string,
  more: readonly Payload[] = [],
  times = 1,
  offer: Payload = offerIke(),
): void {
  const initiatorCookie = new Uint8Array(8).fill(1);
  new DataView(initiatorCookie.buffer).setUint32(0, number);
  const fields = { initiatorCookie, responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
  const path = { local: { address: A, port: 500 }, remote: { address: remote, port: 500 } };
  const bytes = encodeMessage(fields, [offer, ...more]);
  for (let i = 0; i < times; i++) world.host("A").engine.handle({ type: "datagram", path, bytes }, world.now);
}

/** An address in a network of its own. */
const far = (i: number): string => `10.${i >> 8}.${i & 255}.1`;
const EVERYBODY = towards("10.0.0.0/8", { filters: `["me <-> 10.0.0.0/8", "me <-> ${B}"]` });

test(
  "a peer whose message 3 is here outlives strangers who came after it, and those make room for each other at random",
  against(
    { raw: { MM5: () => null } },
    (world, peer) => {
      peer.start();
      world.run(6);
      for (let i = 1; i < 20_000; i++) stranger(world, i, far(i), [], 2);
      world.run(100);
      for (let i = 20_000; i < 22_000; i++) stranger(world, i, far(i), [], 2);
      const kept = new Set(ikesOf(world, "A").map(({ initiatorCookie }) => initiatorCookie));
      assert.equal(kept.size, 20_000);
      assert.ok(kept.has(Buffer.from(peer.cookieI).toString("hex")));
      const alive = (from: number): number =>
        Array.from({ length: 2000 }, (_, i) => (from + i).toString(16).padStart(8, "0")).filter((number) => kept.has(`${number}01010101`))
          .length;
      for (const from of [1, 10_000, 20_000]) assert.ok(alive(from) > 1600 && alive(from) < 2000, `${alive(from)} of those from ${from}`);
    },
    EVERYBODY,
  ),
);

test(
  "from a thousand half-open strangers on a message 1 is answered when it is repeated, whoever sends it",
  against(
    {},
    (world, peer) => {
      for (let i = 1; i <= 3000; i++) stranger(world, i, far(i));
      assert.equal(ikesOf(world, "A").length, LOAD);
      peer.start();
      world.run(10);
      assert.equal(ikesOf(world, "A").length, LOAD);
      const first = world.sent.find(({ label }) => label === "MM1");
      assert.ok(first);
      world.send(B, A, first.bytes);
      world.run(100);
      assert.ok(peer.established);
    },
    EVERYBODY,
  ),
);

test(
  "a source that sends ever new messages 1 gets a hundred at once and twenty a second; one that repeats its own is answered all the same",
  against(
    {},
    (world) => {
      for (let i = 1; i <= 500; i++) stranger(world, i, far(1));
      assert.equal(ikesOf(world, "A").length, 100);
      stranger(world, 500, far(1));
      assert.equal(ikesOf(world, "A").length, 101);
      world.run(1000);
      for (let i = 501; i <= 600; i++) stranger(world, i, far(1));
      assert.equal(ikesOf(world, "A").length, 121);
      stranger(world, 700, far(2));
      assert.equal(ikesOf(world, "A").length, 122);
    },
    EVERYBODY,
  ),
);

/** A stranger whose row is some 150 octets longer than its offer. */
const strangerOf = (number: number, octets: number, remote = far(number)): Stranger => ({
  ...{ id: number, startedAt: number, rule: "peer", contact: false, told: false, fragmented: false, trouble: 0 },
  path: { local: { address: A, port: 500 }, remote: { address: remote, port: 500 } },
  cookieI: octetsOf(8, number & 255),
  ...{ cookieR: octetsOf(8), print: octetsOf(10), offer: octetsOf(octets), flight: octetsOf(20) },
  refused: { digest: octetsOf(16), count: 0 },
});

test("half-open entries keep no more than their limits, whatever they hold", () => {
  const table = new HalfOpen();
  let [drawn, number] = [0, 0];
  const settle = (): void => {
    for (;;) {
      const gone = table.makeRoom((below) => drawn++ % below);
      if (!gone) return;
      if (gone !== "stranger") table.remove(gone);
    }
  };
  const put = (octets: number): void => {
    table.strangers.put(strangerOf(++number, octets));
    settle();
  };
  const hear = (octets: number): Negotiation => {
    const made = { state: { kind: "ke-answered" } } as unknown as Negotiation;
    table.put(made, octets);
    settle();
    return made;
  };
  const early = hear(2000);
  for (let i = 0; i < 1000; i++) put(60_000);
  assert.ok(table.octets <= HALF_OPEN_LIMITS.bulky + 2000);
  const bulky = table.strangers.size;
  // Long offers make room for each other, never for short ones.
  for (let i = 0; i < 1000; i++) put(500);
  assert.equal(table.strangers.size, bulky + 1000);
  for (let i = 0; i < 30_000; i++) put(500);
  assert.equal(table.count, HALF_OPEN_LIMITS.entries);
  for (let i = 0; i < 2000; i++) hear(60_000);
  assert.ok(table.octets <= HALF_OPEN_LIMITS.bulky + HALF_OPEN_LIMITS.heard + (HALF_OPEN_LIMITS.entries + 256) * ROW);
  // Of those whose message 3 was good the oldest go.
  table.remove(early);
  const before = table.count;
  for (let i = 0; i < 25_000; i++) hear(100);
  assert.ok(table.count >= before);
  assert.equal(table.count, HALF_OPEN_LIMITS.entries);
  assert.equal(table.strangers.size, 0);
  assert.ok(table.octets < 25_000 * 100, "what strangers had is given back");
});

test(
  "what a message 1 brings besides its offer is not kept",
  against(
    {},
    (world) => {
      const ballast = payload("vid", { data: octetsOf(60_000) });
      for (let i = 1; i <= 900; i++) stranger(world, i, far(i), [ballast]);
      assert.equal(ikesOf(world, "A").length, 900);
    },
    EVERYBODY,
  ),
);

test(
  "an offer that fills a datagram, and whose answer would be longer than one, leaves nothing",
  against(
    {},
    (world) => {
      const long = (octets: number): Payload => offerIke([...IKE_ATTRIBUTES, variable(20_000, octetsOf(octets))]);
      stranger(world, 1, far(1), [], 1, long(60_000));
      assert.equal(ikesOf(world, "A").length, 1);
      stranger(world, 2, far(2), [], 1, long(65_380));
      assert.equal(ikesOf(world, "A").length, 1);
      assert.equal(world.host("A").engine.counters().get("answer too long for its question"), 1);
    },
    EVERYBODY,
  ),
);

test(
  "the names of CAs that a message 1 asks for count as what is kept of it",
  story(
    {
      hosts: [{ name: "A", addresses: [A], policy: withAuth(policyOf(EVERYBODY), x509("A", "p256")) }],
    },
    (world) => {
      const names = Array.from({ length: 60 }, (_, i) => payload("certReq", { encoding: 4, data: octetsOf(1000, i) }));
      const signed = offerIke(
        IKE_ATTRIBUTES.map((one) => (one.type === IKE_ATTRIBUTE["Authentication Method"] ? basic(one.type, 9) : one)),
      );
      for (let i = 1; i <= 900; i++) stranger(world, i, far(i), names, 2, signed);
      const kept = ikesOf(world, "A").length;
      assert.ok(kept > 10 && kept * 60_000 <= HALF_OPEN_LIMITS.bulky + 70_000, `${kept}`);
    },
  ),
);

test(
  "messages 1 with a peer's forged address do not keep us from making initial contact with it",
  against({}, (world, peer) => {
    for (let i = 1; i <= 10; i++) stranger(world, i, B);
    initiated(world);
    assert.ok(peer.notifies.includes(NOTIFY["INITIAL-CONTACT"]));
  }),
);

test(
  "a header without an offer gets no answer longer than itself",
  against({}, (world) => {
    const answers: number[] = [];
    world.attach("192.0.2.200", (bytes) => answers.push(bytes.length));
    const fields = { initiatorCookie: octetsOf(8), responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
    world.deliver("192.0.2.200", A, encodeMessage(fields, []));
    world.deliver("192.0.2.200", A, encodeMessage({ ...fields, initiatorCookie: octetsOf(8, 8) }, [offerIke()]));
    world.run(10);
    assert.deepEqual(answers, [40]);
  }),
);

test(
  "a public value of a wrong length costs no exponentiation",
  against({ edit: { MM3: (payloads) => [payload("ke", { data: octetsOf(5) }), ...payloads.slice(1)] } }, (world, peer) => {
    let made = 0;
    const { crypto } = world.tap;
    const { generateKeyPair } = crypto;
    crypto.generateKeyPair = (...all) => {
      made++;
      return generateKeyPair(...all);
    };
    peer.start();
    world.run(1000);
    assert.equal(made, 0);
    assert.ok(peer.notifies.includes(NOTIFY["INVALID-KEY-INFORMATION"]));
  }),
);
