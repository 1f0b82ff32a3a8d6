/** Stories of long messages on paths that drop them, and of fragments that nobody honest sent. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { cut } from "../../ike/fragments.ts";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { payload } from "../../isakmp/payloads.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { kerberos, withAuth, x509 } from "./credentials.ts";
import { simJobs } from "./jobs.ts";
import { DELIVER, DROP, type Fate } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, ikesOf, labels } from "./setting.ts";
import { inWorld, type Sent, story, type World, type WorldOptions } from "./world.ts";

type How = "auto" | "force" | "off";

const [RSA_A, RSA_B] = [x509("A", "rsa2048"), x509("B", "rsa2048")];

/** A and B with certificates, and how each of them treats long messages. */
const hosts = (
  a: How,
  b: How,
  entries: readonly [AuthEntry, AuthEntry] = [RSA_A, RSA_B],
  more: Partial<WorldOptions> = {},
): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B, { fragmentation: `"${a}"` })), entries[0]), jobs: JOBS },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A, { fragmentation: `"${b}"` })), entries[1]), jobs: JOBS },
  ],
  ...more,
});
/** Tokens as they are with the authorisation data of a large domain. */
const JOBS = (fail: (text: string) => never) => simJobs(fail, { padding: 12_000 });

const LONGEST = 548;
/** A path that drops what would need IP fragments. */
const narrow = (sent: Sent): Fate | undefined => (sent.bytes.length > LONGEST ? DROP : undefined);
const pieces = (world: World): number => labels(world).filter((label) => label === "FRAG").length;
const counted = (world: World, name: string, what: string): number => world.host(name).engine.counters().get(what) ?? 0;

for (const [a, b] of [
  ["auto", "auto"],
  ["auto", "force"],
  ["force", "auto"],
] as const)
  test(
    `certificates pass a path that drops all long datagrams: ${a} with ${b}`,
    story(hosts(a, b), (world) => {
      world.intercept = narrow;
      bringUp(world, world.host("A"), "peer", 29_000);
      assertTraffic(world);
      assert.ok(counted(world, "A", "fragment whole") >= 1 && counted(world, "B", "fragment whole") >= 1);
    }),
  );

test(
  "whose message 3 came in fragments gets message 4 in fragments at once",
  story(hosts("force", "auto", [kerberos("A"), kerberos("B")]), (world) => {
    bringUp(world, world.host("A"), "peer", 29_000);
    assert.equal(counted(world, "A", "fragment whole"), 1);
    assert.ok(!labels(world).includes("MM4"));
  }),
);

test(
  "by rule, long messages go out in fragments at once, and short ones never do",
  story(hosts("force", "force"), (world) => {
    bringUp(world);
    assertTraffic(world);
    assert.ok(world.sent.every(({ bytes }) => bytes.length <= LONGEST));
    const [first] = labels(world).flatMap((label, i) => (label === "FRAG" ? [i] : []));
    assert.deepEqual(labels(world).slice(0, 4), ["MM1", "MM2", "MM3", "MM4"]);
    assert.equal(first, 4);
  }),
);

test(
  "on a wide path nothing is cut: fragments are for what was not answered",
  story(hosts("auto", "auto"), (world) => {
    bringUp(world);
    assert.equal(pieces(world), 0);
  }),
);

test(
  "a peer whose messages come in fragments is answered in fragments at once",
  story(hosts("force", "auto"), (world) => {
    bringUp(world);
    assert.ok(world.sent.every(({ bytes }) => bytes.length <= LONGEST));
  }),
);

for (const [a, b] of [
  ["force", "off"],
  ["off", "force"],
] as const)
  test(
    `to a peer that does not announce fragmentation messages go whole: ${a} with ${b}`,
    story(hosts(a, b), (world) => {
      bringUp(world);
      assertTraffic(world);
      assert.equal(pieces(world), 0);
    }),
  );

test("a Kerberos token of 12 kB passes whole, and in fragments by rule", () => {
  for (const how of ["auto", "force"] as const)
    inWorld(hosts(how, how, [kerberos("A"), kerberos("B")]), (world) => {
      bringUp(world);
      assertTraffic(world);
      assert.equal(pieces(world) > 40, how === "force");
      world.end();
    });
});

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(DELIVER) },
  { weight: 2, arbitrary: fc.constant(DROP) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.constantFrom(1, 6, 30, 700) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), bit: fc.nat(4000) }) },
);

test("any schedule of loss, repetition, delay and damage of fragments heals", () => {
  fc.assert(
    fc.property(fc.array(fate, { maxLength: 24 }), fc.constantFrom("auto" as const, "force" as const), (fates, how) => {
      inWorld(hosts(how, "force", [RSA_A, RSA_B], { fates }), (world) => {
        const a = world.host("A");
        for (let tries = 0; tries < 4 && ikesOf(world, "A").every(({ state }) => state !== "established"); tries++) {
          a.initiate();
          world.run(40_000);
        }
        bringUp(world, a, "peer", 30_000);
        assertTraffic(world);
        world.end();
      });
    }),
    { seed: 1, numRuns: 150 },
  );
});

test(
  "a stranger who sees the cookies can spoil a message, and not its repetition; what he completes changes nothing",
  story(hosts("force", "force"), (world) => {
    let spoilt = 0;
    world.intercept = (sent) => {
      if (sent.label !== "FRAG" || sent.from !== A || spoilt > 0) return undefined;
      spoilt++;
      const forged = Uint8Array.from(sent.bytes);
      forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
      world.deliver(A, B, forged, true);
      return undefined;
    };
    bringUp(world, world.host("A"), "peer", 29_000);
    assertTraffic(world);
    const [ike] = ikesOf(world, "B");
    assert.ok(ike);
    const [initiatorCookie, responderCookie] = [ike.initiatorCookie, ike.responderCookie].map((text) => Buffer.from(text, "hex"));
    assert.ok(initiatorCookie && responderCookie);
    const header = { initiatorCookie, responderCookie, exchange: 5, flags: 0, messageId: 77 };
    const long = encodeMessage(header, [payload("vid", { data: new Uint8Array(1500) })]);
    const decoded = decodeHeader(long);
    assert.ok(decoded.ok);
    for (const piece of cut(long, decoded.value, 4) ?? []) world.deliver(A, B, piece, true);
    const whole = counted(world, "B", "fragment whole");
    // Pieces of something that is no message, of a piece, or of a message of another SA.
    const others = ["initiatorCookie", "responderCookie"].map((name) =>
      encodeMessage({ ...header, [name]: new Uint8Array(8).fill(3) }, [payload("vid", { data: new Uint8Array(1500) })]),
    );
    for (const inner of [new Uint8Array(1500), (cut(long, decoded.value, 4) ?? [])[0] ?? long, ...others])
      world.deliver(A, B, encodeMessage(header, [payload("fragment", { id: 9, number: 1, flags: 1, data: inner })]), true);
    assert.equal(counted(world, "B", "fragment whole"), whole + 4);
    assert.equal(counted(world, "B", "fragments that make no message"), 4);
    assertTraffic(world);
  }),
);

test(
  "fragments for cookies that nobody has, from other addresses, or with something beside them, leave nothing",
  story(hosts("force", "force"), (world) => {
    bringUp(world);
    const b = world.host("B");
    const [ike] = ikesOf(world, "B");
    assert.ok(ike);
    const cookies = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));
    const header = {
      initiatorCookie: cookies(ike.initiatorCookie),
      responderCookie: cookies(ike.responderCookie),
      exchange: 2,
      flags: 0,
      messageId: 0,
    };
    const one = payload("fragment", { id: 1, number: 1, flags: 0, data: new Uint8Array(500) });
    const before = b.engine.size;
    world.deliver(A, B, encodeMessage({ ...header, responderCookie: new Uint8Array(8) }, [one]), true);
    world.deliver(A, B, encodeMessage({ ...header, initiatorCookie: new Uint8Array(8).fill(9) }, [one]), true);
    world.deliver("192.0.2.77", B, encodeMessage(header, [one]), true);
    world.deliver(A, B, encodeMessage(header, [one, payload("vid", { data: new Uint8Array(4) })]), true);
    assert.equal(b.engine.size, before);
    assert.equal(counted(world, "B", "fragment of unknown cookies"), 3);
    assert.equal(counted(world, "B", "fragment malformed"), 1);
    // What never becomes whole is given up.
    world.deliver(A, B, encodeMessage(header, [one]), true);
    assert.equal(counted(world, "B", "fragment kept") > 0, true);
    world.run(71_000);
    assert.equal(counted(world, "B", "fragments given up"), 1);
  }),
);
