/** Main Mode with every method of authentication: on a good network, a bad one, with slow answers, and with several methods in one offer. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { decodeHeader, decodePayloads, encodeMessage } from "../../isakmp/message.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { parseIdentity } from "../../policy/identity.ts";
import type { AuthEntry, Identity } from "../../policy/types.ts";
import { kerberos, OTHER_CA, principalOf, withAuth, x509 } from "./credentials.ts";
import type { HostOptions } from "./host.ts";
import { failure, type Realm, simJobs } from "./jobs.ts";
import { DELIVER, DROP, type Fate } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, labels, losing, packet, said } from "./setting.ts";
import { inWorld, story, type World, type WorldOptions } from "./world.ts";

const psk = policyOf(towards(B)).rules[0]?.auth[0] as AuthEntry;
const identity = (text: string): Identity => {
  const read = parseIdentity(text);
  assert.ok(read.ok);
  return read.value;
};

interface Setting extends Partial<WorldOptions> {
  readonly realm?: Realm;
  readonly start?: string;
}

/** A and B with these entries. */
function hosts(a: readonly AuthEntry[], b: readonly AuthEntry[], { realm, start, ...more }: Setting = {}): WorldOptions {
  const jobs: HostOptions["jobs"] = (fail) => simJobs(fail, realm);
  const rule = start ? { start } : {};
  return {
    hosts: [
      { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B, rule)), ...a), jobs },
      { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), ...b), jobs },
    ],
    ...more,
  };
}

const pairs = {
  psk: [[psk], [psk], "psk"],
  "RSA 2048": [[x509("A", "rsa2048")], [x509("B", "rsa2048")], "rsa"],
  "ECDSA P-256": [[x509("A", "p256")], [x509("B", "p256")], "ecdsa"],
  "ECDSA P-384": [[x509("A", "p384")], [x509("B", "p384")], "ecdsa"],
  "ECDSA P-521": [[x509("A", "p521")], [x509("B", "p521")], "ecdsa"],
  Kerberos: [[kerberos("A")], [kerberos("B")], "kerberos"],
} as const satisfies Record<string, readonly [readonly AuthEntry[], readonly AuthEntry[], string]>;

const jobKinds = (world: World, name: string): readonly string[] => world.host(name).jobs.map(({ kind }) => kind);
const statusAuth = (world: World, name: string) => ikesOf(world, name).map(({ auth, state }) => `${auth} ${state}`);

for (const [name, [a, b, auth]] of Object.entries(pairs))
  test(
    `${name}: both prove themselves, in six messages, and traffic passes`,
    story(hosts(a, b), (world) => {
      bringUp(world);
      assertTraffic(world);
      assert.deepEqual(labels(world).slice(0, 6), ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6"]);
      for (const host of ["A", "B"]) assert.deepEqual(statusAuth(world, host), [`${auth} established`]);
      if (auth === "psk") assert.deepEqual([...jobKinds(world, "A"), ...jobKinds(world, "B")], [], "no job for a key");
    }),
  );

test(
  "an SA by certificate names both subjects, one by Kerberos the addresses",
  story(hosts(pairs["RSA 2048"][0], pairs["RSA 2048"][1]), (world) => {
    bringUp(world);
    const [sa] = ikesOf(world, "A");
    assert.deepEqual([sa?.localId, sa?.remoteId], ["dn:C=DE, O=Simulated, CN=A", "dn:C=DE, O=Simulated, CN=B"]);
    assert.ok(said(world.host("A"), "notice").some((text) => text.includes("RSA signatures as")));
  }),
);

for (const message of ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6"] as const)
  for (const [name, [a, b]] of Object.entries(pairs).filter(([one]) => one === "Kerberos" || one === "RSA 2048"))
    test(
      `${name}: ${message} is lost once, and twice; every job is done once`,
      story(hosts(a, b), (world) => {
        world.intercept = losing(message, 2);
        bringUp(world, world.host("A"), "peer", 10_000);
        assertTraffic(world);
        for (const host of ["A", "B"]) {
          const kinds = jobKinds(world, host).filter((kind) => kind !== "usable");
          assert.equal(
            new Set(kinds).size,
            kinds.filter((kind) => kind !== "gss-step").length + (kinds.includes("gss-step") ? 1 : 0),
            kinds.join(),
          );
        }
      }),
    );

test(
  "message 3 repeated after its ticket was accepted gets the stored answer, and while it is being accepted nothing",
  story(hosts(pairs.Kerberos[0], pairs.Kerberos[1], { jobDelays: [500] }), (world) => {
    const id = world.host("A").initiate();
    world.runUntil("message 3", () => labels(world).includes("MM3"));
    const third = world.sent.find(({ label }) => label === "MM3");
    assert.ok(third);
    world.run(100);
    for (let i = 0; i < 5; i++) world.deliver(A, B, third.bytes);
    assert.equal(world.host("B").engine.counters().get("repeat while a job runs"), 5);
    world.runUntil("message 4", () => labels(world).includes("MM4"));
    const answers = () => world.sent.filter(({ label }) => label === "MM4");
    assert.equal(answers().length, 1);
    world.deliver(A, B, third.bytes);
    assert.equal(answers().length, 2);
    assert.deepEqual(answers()[0]?.bytes, answers()[1]?.bytes);
    assert.equal(jobKinds(world, "B").filter((kind) => kind === "gss-step").length, 1);
    world.run(20_000);
    assert.equal(world.host("A").outcome(id).exit, 0);
  }),
);

test(
  "an initiator whose own job takes long does not ask the peer again for what it has",
  story(hosts(pairs.Kerberos[0], pairs.Kerberos[1], { jobDelays: [3000] }), (world) => {
    const id = world.host("A").initiate();
    world.run(28_000);
    assert.equal(world.host("A").outcome(id).exit, 0);
    const order = labels(world).filter((label) => label === "MM3" || label === "MM4");
    const asked = order.lastIndexOf("MM3");
    // Each of its repeats before the answer came has one, and none follows.
    assert.ok(asked < order.length - 1 && asked <= 3, order.join());
  }),
);

for (const [kind, octets] of [
  ["p256", 32],
  ["p384", 48],
  ["p521", 64],
  ["rsa2048", 20],
] as const)
  test(
    `${kind}: what is signed is the HASH of the method, ${octets} octets, though phase 1 hashes with SHA-1`,
    story(
      {
        hosts: (["A", "B"] as const).map((name) => ({
          name,
          addresses: [name === "A" ? A : B],
          policy: withAuth(policyOf(towards(name === "A" ? B : A, {}, { mainMode: ["aes128-sha1-x25519"] })), x509(name, kind)),
        })),
      },
      (world) => {
        bringUp(world);
        const lengths = world.hosts.flatMap(({ jobs }) => jobs.flatMap((job) => ("hash" in job ? [job.hash.length] : [])));
        assert.deepEqual(lengths, [octets, octets, octets, octets]);
      },
    ),
  );

test(
  "an answer with method 65001 and no vendor id of GSS-API is XAUTH, and no ticket is asked for",
  story(hosts(pairs.Kerberos[0], pairs.Kerberos[1]), (world) => {
    world.intercept = (sent) => {
      const header = decodeHeader(sent.bytes);
      const payloads = sent.label === "MM2" && header.ok ? decodePayloads(header.value.nextPayload, sent.bytes.subarray(28)) : undefined;
      if (!payloads?.ok || !header.ok) return undefined;
      const bare = encodeMessage(
        header.value,
        payloads.value.filter(({ name }) => name === "sa"),
      );
      if (bare.length === sent.bytes.length) return undefined;
      world.after(1, () => world.deliver(B, A, bare));
      return DROP;
    };
    const id = world.host("A").initiate();
    world.run(29_000);
    assert.match(world.host("A").outcome(id).text, /XAUTH/);
    assert.equal(jobKinds(world, "A").includes("gss-step"), false);
    world.run(60_000);
  }),
);

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { withCrossShrink: true },
  { weight: 5, arbitrary: fc.constant(DELIVER) },
  { weight: 2, arbitrary: fc.constant(DROP) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.constantFrom(1, 6, 30, 700, 3000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), bit: fc.nat(4000) }) },
);

for (const [name, [a, b]] of Object.entries({ ...pairs, "Kerberos in three rounds": pairs.Kerberos }).filter(
  ([one]) => !/psk|P-384|P-521/.test(one),
))
  test(`${name}: any schedule of loss, repetition, delay and damage with slow jobs heals`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.array(fate, { maxLength: 30, size: "max" }),
        fc.array(fc.constantFrom(0, 1, 30, 400, 2500), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (seed, fates, jobDelays, bothBegin) =>
          inWorld(hosts(a, b, { seed, fates, jobDelays, start: '"now"', realm: { tokens: name.endsWith("rounds") ? 5 : 2 } }), (world) => {
            if (bothBegin) world.host("B").initiate();
            world.run(120_000);
            world.traffic(world.host("A"), packet(A, B), 10_000);
            world.run(13 * 60_000);
            if (world.ping(world.host("A"), packet(A, B)) !== "protected") world.run(60_000);
            assertTraffic(world);
            world.end();
          }),
      ),
      {
        numRuns: Number(process.env["MAINMODE_SIM_RUNS"] ?? 120),
        interruptAfterTimeLimit: 5000,
        markInterruptAsFailure: false,
        ...(process.env["MAINMODE_SIM_RUNS"] === undefined ? { seed: 1 } : {}),
      },
    );
  });

for (const tokens of [3, 4, 5, 6])
  test(
    `Kerberos with ${tokens} tokens needs further rounds, and gets them`,
    story(hosts(pairs.Kerberos[0], pairs.Kerberos[1], { realm: { tokens } }), (world) => {
      bringUp(world, world.host("A"), "peer", 5000);
      assertTraffic(world);
    }),
  );

test(
  "Kerberos with more tokens than three a side is given up with that reason",
  story(hosts(pairs.Kerberos[0], pairs.Kerberos[1], { realm: { tokens: 9 } }), (world) => {
    const id = world.host("A").initiate();
    world.run(31_000);
    assert.notEqual(world.host("A").outcome(id).exit, 0);
    assert.ok([...said(world.host("A")), ...said(world.host("B"))].some((text) => /more than 3/.test(text)));
  }),
);

test(
  "a ticket of many kilobytes passes",
  story(hosts(pairs.Kerberos[0], pairs.Kerberos[1], { realm: { padding: 20_000 } }), (world) => {
    bringUp(world);
    assertTraffic(world);
  }),
);

for (const quirks of [
  { tokenOctet: "always" },
  { tokenOctet: "always", hashTokenOctet: true },
  { hashedName: "wire" },
  { hashedName: "single-octet", nameEncoding: "latin-1" },
  { nameEncoding: "latin-1", hashedName: "wire" },
] as const)
  test(
    `Kerberos with ${JSON.stringify(quirks)} at one end is understood by the other`,
    story(hosts([kerberos("A", {}, quirks)], [kerberos("B", {}, "hashTokenOctet" in quirks ? quirks : {})]), (world) => {
      bringUp(world);
      assertTraffic(world);
    }),
  );

test(
  "the authenticated principal decides, not the name that the peer claims",
  story(hosts([kerberos("A")], [kerberos("B", { peerPrincipal: "host/c.example.test@EXAMPLE.TEST" })]), (world) => {
    const id = world.host("A").initiate();
    world.run(31_000);
    assert.match(world.host("A").outcome(id).text, /unverified: AUTHENTICATION-FAILED/);
    assert.ok(
      said(world.host("B"), "warning").some((text) => text.includes(`authenticates as ${principalOf("A")}; rule peer wants host/c`)),
    );
    assert.equal(labels(world).includes("MM4"), false);
  }),
);

test(
  "without peer-principal the principal is host/ of a name of the peer's address",
  story(
    hosts([kerberos("A", { peerPrincipal: null })], [kerberos("B", { peerPrincipal: null })], {
      realm: { names: { [A]: ["a.example.test"], [B]: ["other", "B.example.test"] } },
    }),
    (world) => bringUp(world),
  ),
);

// Several methods

/** Whether a host refused an offer. */
const refusedSuite = (world: World, name: string): boolean =>
  world.sent.some(({ bytes, from }) => {
    const header = decodeHeader(bytes);
    if (!header.ok || world.hostAt(from)?.name !== name) return false;
    const payloads = decodePayloads(header.value.nextPayload, bytes.subarray(28));
    return payloads.ok && payloads.value.some((p) => p.name === "notify" && p.value.type === NOTIFY["NO-PROPOSAL-CHOSEN"]);
  });

for (const [name, a, b, expected] of [
  ["the first of the initiator's that the responder has", [kerberos("A"), x509("A", "p256"), psk], [psk, x509("B", "p256")], "ecdsa"],
  ["the initiator's order counts", [psk, kerberos("A")], [kerberos("B"), psk], "psk"],
  ["an RSA and an ECDSA entry are two methods", [x509("A", "rsa2048"), x509("A", "p384")], [x509("B", "p384"), psk], "ecdsa"],
  ["Kerberos first", [kerberos("A"), psk], [psk, kerberos("B")], "kerberos"],
] as const)
  test(
    `of several methods: ${name}`,
    story(hosts(a, b), (world) => {
      bringUp(world);
      assertTraffic(world);
      for (const host of ["A", "B"]) assert.deepEqual(statusAuth(world, host), [`${expected} established`]);
    }),
  );

test(
  "a peer that only has Kerberos to offer is refused where no rule has it",
  story(hosts([kerberos("A")], [psk]), (world) => {
    const id = world.host("A").initiate();
    world.run(10_000);
    assert.equal(world.host("A").outcome(id).exit, 1);
    assert.ok(refusedSuite(world, "B"));
    assert.ok(said(world.host("B"), "warning").some((text) => text.includes("no rule for this peer has this method")));
  }),
);

test(
  "a method that can't be used here is left out of the offer, with one warning",
  story(hosts([kerberos("A"), psk], [kerberos("B"), psk]), (world) => {
    const a = world.host("A");
    const { runJob } = a;
    a.runJob = (job) => (job.kind === "usable" ? failure("kerberos-no-credentials", "no ticket", "me") : runJob(job));
    bringUp(world);
    assert.deepEqual(statusAuth(world, "A"), ["psk established"]);
    a.command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    bringUp(world);
    assert.equal(said(a, "warning").filter((text) => text.includes("Kerberos can't be used here and is left out: no ticket")).length, 1);
  }),
);

test(
  "where no method can be used the command says why, and nothing is sent",
  story(hosts([kerberos("A")], [kerberos("B")]), (world) => {
    const a = world.host("A");
    a.runJob = () => failure("kerberos-kdc-unreachable", "no KDC answers", "me");
    const id = a.initiate();
    world.run(1000);
    const { exit, reason, text } = a.outcome(id);
    assert.deepEqual([exit, reason], [1, "kerberos-kdc-unreachable"]);
    assert.match(text, /no KDC answers/);
    assert.deepEqual(labels(world), []);
  }),
);

test(
  "a ticket that can't be had after message 2 leads on to the next method, our own fault being no failed proof",
  story(hosts([kerberos("A"), psk], [kerberos("B"), psk]), (world) => {
    const a = world.host("A");
    const { runJob } = a;
    a.runJob = (job) => (job.kind === "gss-step" ? failure("kerberos-kdc-unreachable", "no KDC answers", "me") : runJob(job));
    bringUp(world);
    assert.deepEqual(statusAuth(world, "A"), ["psk established"]);
    assert.deepEqual(jobKinds(world, "A"), ["usable", "gss-step", "gss-drop"]);
  }),
);

test(
  "a job that never ends is given up with that reason, and nothing is left",
  story(hosts([x509("A", "p256")], [x509("B", "p256")]), (world) => {
    const a = world.host("A");
    const { runJob } = a;
    a.runJob = (job) => (job.kind === "sign" ? undefined : runJob(job));
    const id = a.initiate();
    world.run(30_000);
    assert.equal(a.outcome(id).reason, "provider-timeout");
    assert.deepEqual(ikesOf(world, "A"), []);
    world.run(60_000);
  }),
);

for (const [name, a, b, reason] of [
  ["another CA", x509("A", "p256"), x509("B", "p256", {}, OTHER_CA), /certificate/],
  ["another identity than remote-id", x509("A", "p256", { remoteId: identity("dn:C=DE, O=Simulated, CN=C") }), x509("B", "p256"), /CN=C/],
  [
    "an identity that the certificate does not prove",
    x509("A", "p256"),
    x509("B", "p256", { localId: identity("fqdn:evil.example.test") }),
    /evil/,
  ],
  ["no certificate at all", x509("A", "p256"), x509("B", "p256", { sendCertificate: "never" }), /no certificate/],
] as const)
  test(
    `the initiator refuses ${name}, and says so`,
    story(hosts([a], [b]), (world) => {
      const id = world.host("A").initiate();
      world.run(31_000);
      const outcome = world.host("A").outcome(id);
      assert.equal(outcome.exit, 1);
      assert.match(outcome.text, reason);
      assert.equal(childrenOf(world, "A").length, 0);
    }),
  );

test(
  "a pattern in remote-id takes whom it means",
  story(hosts([x509("A", "p256", { remoteId: identity("dn:C=DE, O=*, CN=B") })], [x509("B", "p256")]), (world) => bringUp(world)),
);

test(
  "an unusable proof of the responder's keeps the initiator from a weaker method",
  story(hosts([x509("A", "p256"), psk], [x509("B", "p256", {}, OTHER_CA), psk]), (world) => {
    const id = world.host("A").initiate();
    world.run(60_000);
    assert.equal(world.host("A").outcome(id).exit, 1);
    assert.equal(labels(world).filter((label) => label === "MM1").length, 1, "one offer");
  }),
);
