/** Main Mode with every method of authentication: on a good network, a bad one, with slow answers, and with several methods in one offer. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, decodePayloads, encodeMessage } from "../../isakmp/message.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { parseIdentity } from "../../policy/identity.ts";
import type { Identity } from "../../policy/types.ts";
import { kerberos, OTHER_CA, principalOf, withAuth, x509 } from "./credentials.ts";
import { failure, simJobs } from "./jobs.ts";
import { jobKinds, METHODS, methodHosts, PSK_ENTRY } from "./methods.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, labels, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const [psk, hosts, pairs] = [PSK_ENTRY, methodHosts, METHODS];
const identity = (text: string): Identity => {
  const read = parseIdentity(text);
  assert.ok(read.ok);
  return read.value;
};

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

test(
  "of two rules with one keytab the first names its peer, and the second is found by the name of the address all the same, in both roles",
  story(
    {
      hosts: (["A", "B"] as const).map((name) => {
        const other = name === "A" ? B : A;
        const rules = [{ filters: `["me <-> ${other}:80 tcp"]`, name: '"named"' }, { filters: `["me <-> ${other}"]` }];
        const policy = policyOf(configuration(rules));
        const entries = [kerberos(name, { peerPrincipal: "host/c.example.test@EXAMPLE.TEST" }), kerberos(name, { peerPrincipal: null })];
        const names = { [A]: ["a.example.test"], [B]: ["b.example.test"] };
        return {
          name,
          addresses: [name === "A" ? A : B],
          policy: { ...policy, rules: policy.rules.map((rule, i) => ({ ...rule, auth: entries.slice(i, i + 1) })) },
          jobs: (fail) => simJobs(fail, { names }),
        };
      }),
    },
    (world) => {
      bringUp(world, world.host("A"), "peer");
      assert.deepEqual(
        ["A", "B"].flatMap((name) => ikesOf(world, name).map(({ rule, state }) => `${rule} ${state}`)),
        ["peer established", "peer established"],
      );
    },
  ),
);

test(
  "names of an address are looked up only where a rule needs them",
  story(hosts(pairs.Kerberos[0], [kerberos("B", { peerPrincipal: null })], { realm: { names: { [A]: ["a.example.test"] } } }), (world) => {
    bringUp(world);
    const wants = (name: string) => world.host(name).jobs.flatMap((job) => (job.kind === "gss-step" ? [job.wantsNames] : []));
    assert.deepEqual([wants("A"), wants("B")], [[false, false], [true]]);
  }),
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
    // Whoever answers message 2 chooses the name that is asked for: it must not switch the method off.
    assert.deepEqual(
      said(a, "warning").filter((text) => text.includes("left out")),
      [],
    );
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
