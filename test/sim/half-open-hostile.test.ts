/** Stories of strangers that mean ill: what they can draw from us, push out, or keep busy. */
import assert from "node:assert/strict";
import test from "node:test";
import { LOAD } from "../../ike/gate.ts";
import { variable } from "../../isakmp/attributes.ts";
import { fromHex } from "../../isakmp/hex.ts";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { payload } from "../../isakmp/payloads.ts";
import type { AuthEntry, Rule } from "../../policy/types.ts";
import { HALF_OPEN_LIMITS } from "../../sa-store/half-open.ts";
import { kerberos, principalOf, withAuth } from "./credentials.ts";
import { failure, makeToken } from "./jobs.ts";
import { IKE_ATTRIBUTES, offerIke } from "./peer-payloads.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, ikesOf } from "./setting.ts";
import { makeOffer, standsThough } from "./strangers.ts";
import { ke, nonce, octetsOf } from "./versus.ts";
import { story, type World } from "./world.ts";

const NETWORK = policyOf(towards("10.0.0.0/8", { filters: `["me <-> 10.0.0.0/8", "me <-> ${B}"]` }));
const OURS = { hosts: [{ name: "A", addresses: [A], policy: NETWORK }] } as const;
const FORGED = "10.1.2.3";

const fields = (cookie: Uint8Array, responderCookie: Uint8Array = new Uint8Array(8)) =>
  ({ initiatorCookie: cookie, responderCookie, exchange: 2, flags: 0, messageId: 0 }) as const;
const counted = (world: World, what: string): number => world.host("A").engine.counters().get(what) ?? 0;
const deliver = (world: World, from: string, bytes: Uint8Array): void => {
  const path = { local: { address: A, port: 500 }, remote: { address: from, port: 500 } };
  world.host("A").input({ type: "datagram", path, bytes });
};

/** Behind the message 1 below they give it the checksum of a header with nothing behind it, from the lowest octets of both halves upwards. */
const STEERED =
  "15155c389b218745699df65c9a92e6f6934d4fd91680dac4020eb29e2df8c54851834a2e6cf598b13a8d15046a085e2467981b54aae80e942fb1b3f5020eb29e7e6a6e6a53905fdce50ac5b6f7115751d05b0f3a87f5b715726e128ef11a4a6b531f4bd3e135b62cb434f0d8f306b3d2d05b0f3a2f358f552a82c6b610d97c35f0e7af2e53e30b87fe03de07ab049bfc731f741a06ccb9817b044bfc61b5067c";

test(
  "a short message that has the checksum of a long message 1 draws no long answer",
  story(OURS, (world) => {
    const cookie = new Uint8Array(8).fill(7);
    const long = encodeMessage(fields(cookie), [offerIke([...IKE_ATTRIBUTES, variable(20_000, new Uint8Array(900))])]);
    const short = encodeMessage(fields(cookie), []);
    const steered = fromHex(STEERED);
    assert.ok(steered);
    deliver(world, FORGED, Uint8Array.from([...long, ...steered]));
    const sent = (): number => world.sent.filter(({ from }) => from === A).length;
    assert.equal(sent(), 1);
    deliver(world, FORGED, short);
    assert.deepEqual([sent(), counted(world, "message 1 changed")], [1, 1]);
  }),
);

test(
  "long messages 1 count by what they take: with a twentieth of their share in use each is answered when it is repeated",
  story(OURS, (world) => {
    const long = (number: number): Uint8Array => {
      const cookie = Uint8Array.from(octetsOf(8, 1));
      new DataView(cookie.buffer).setUint32(0, number);
      return encodeMessage(fields(cookie), [offerIke([...IKE_ATTRIBUTES, variable(20_000, new Uint8Array(9000))])]);
    };
    for (let i = 1; i <= 500; i++) deliver(world, `10.${i >> 8}.${i & 255}.1`, long(i));
    const here = ikesOf(world, "A").length;
    assert.ok(here > 10 && here * 9000 <= (HALF_OPEN_LIMITS.bulky * LOAD) / HALF_OPEN_LIMITS.entries + 30_000, `${here}`);
    deliver(world, "10.1.244.1", long(500));
    assert.equal(ikesOf(world, "A").length, here + 1);
  }),
);

test(
  "one tick forgets a hundred strangers whose time is over, and the next one more",
  story(OURS, (world) => {
    for (let i = 1; i <= 400; i++) {
      const cookie = Uint8Array.from(octetsOf(8, 1));
      new DataView(cookie.buffer).setUint32(0, i);
      deliver(world, `10.${i >> 8}.${i & 255}.1`, encodeMessage(fields(cookie), [offerIke()]));
    }
    const { engine } = world.host("A");
    const left = (): number => engine.live(world.now).halfOpen;
    const later = world.now + 61_000;
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) {
      engine.handle({ type: "tick" }, later + 2 * i);
      seen.push(left());
    }
    assert.deepEqual(seen, [300, 200, 100, 0, 0]);
  }),
);

const third = (cookies: { cookieI: Uint8Array; cookieR: Uint8Array }, to: string): Uint8Array => {
  const token = makeToken({ n: 1, from: principalOf("B"), to }, 0);
  return encodeMessage(fields(cookies.cookieI, cookies.cookieR), [ke(32), nonce(16), payload("gss", { data: token })]);
};

test(
  "a stranger that came back from a job has its minute from the beginning: afterwards a ticket costs nothing",
  story(
    { hosts: [{ name: "A", addresses: [A], policy: withAuth(policyOf(towards("192.0.2.0/24")), kerberos("A")) }], jobDelays: [5] },
    (world) => {
      let cookieR: Uint8Array = new Uint8Array(8);
      world.attach("192.0.2.33", (bytes) => {
        const header = decodeHeader(bytes);
        if (header.ok && header.value.exchange === 2) cookieR = Uint8Array.from(header.value.responderCookie);
      });
      const cookieI = octetsOf(8, 3);
      world.deliver("192.0.2.33", A, makeOffer(cookieI));
      world.run(59_000);
      // A younger one, behind which the first one stands when its ticket was refused.
      world.deliver("192.0.2.34", A, makeOffer(octetsOf(8, 4)));
      world.deliver("192.0.2.33", A, third({ cookieI, cookieR }, "host/elsewhere@EXAMPLE.TEST"), true);
      world.run(10_000);
      const jobs = (): number => world.host("A").jobs.filter(({ kind }) => kind === "gss-step").length;
      const before = jobs();
      world.deliver("192.0.2.33", A, third({ cookieI, cookieR }, principalOf("A")), true);
      world.run(100);
      assert.deepEqual([before, jobs(), counted(world, "unknown cookies")], [1, 1, 1]);
      assert.equal(ikesOf(world, "A").length, 1);
    },
  ),
);

const OTHER = "host/other.example.test@EXAMPLE.TEST";

test(
  "with two principals, the one that message 2 named takes the ticket, though its keytab seems to fail meanwhile",
  story(
    {
      hosts: [
        {
          name: "A",
          addresses: [A],
          policy: withAuth(policyOf(towards(B)), kerberos("A", { principal: OTHER, keytab: "/other" }), kerberos("A")),
        },
        { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), kerberos("B", { peerPrincipal: OTHER })) },
      ],
    },
    (world) => assert.ok(standsThough(world, (job) => "entry" in job && job.entry.method === "kerberos" && job.entry.keytab === "/other")),
  ),
);

/** Two rules of A's for B, one entry each; what B's attempt comes to. */
const inTwoRules = (one: AuthEntry, other: AuthEntry, prepare?: (world: World) => void) => {
  const policy = policyOf(towards(B));
  const [rule] = policy.rules as [Rule, ...Rule[]];
  const rules = [
    { ...rule, name: "first", auth: [one] },
    { ...rule, name: "peer", auth: [other] },
  ];
  return story(
    {
      hosts: [
        { name: "A", addresses: [A], policy: { ...policy, rules } },
        { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), kerberos("B")) },
      ],
    },
    (world) => {
      prepare?.(world);
      const id = world.host("B").initiate();
      world.run(40_000);
      assert.equal(world.host("B").outcome(id).exit, 0);
    },
  );
};

test(
  "a rule that writes our principal in another encoding takes its peers though the first one does not",
  inTwoRules(kerberos("A", { peerPrincipal: "host/elsewhere@EXAMPLE.TEST" }), kerberos("A", {}, { nameEncoding: "latin-1" })),
);

test(
  "of two keytabs of one principal the one that works takes the ticket",
  inTwoRules(kerberos("A", { keytab: "/k1" }), kerberos("A", { keytab: "/k2" }), (world) => {
    const a = world.host("A");
    const { runJob } = a;
    a.runJob = (job) =>
      "entry" in job && job.entry.method === "kerberos" && job.entry.keytab === "/k1"
        ? failure("provider-failed", "no keytab", "me")
        : runJob(job);
    a.initiate("first");
  }),
);
