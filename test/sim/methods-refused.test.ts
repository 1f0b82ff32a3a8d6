/** What a refusal may lead to: which method is tried next, which is not, and how often a stranger may try. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { ok } from "../../isakmp/result.ts";
import { kerberos, OTHER_CA, withAuth, x509 } from "./credentials.ts";
import { failure, makeToken, type RunJob } from "./jobs.ts";
import { methodHosts as hosts, jobKinds, PSK_ENTRY as psk } from "./methods.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, labels, said } from "./setting.ts";
import { makeOffer } from "./strangers.ts";
import { story, type World } from "./world.ts";

const both = [kerberos("A"), psk] as const;
const theirs = [kerberos("B"), psk] as const;
const methods = (world: World, name: string): readonly string[] => ikesOf(world, name).map(({ auth, state }) => `${auth} ${state}`);

function endAll(world: World): void {
  for (const host of world.hosts) host.command({ name: "terminate", target: { kind: "all" } });
  world.run(1000);
}

/** A host's jobs of one kind end otherwise. */
function changing(world: World, name: string, kind: string, outcome: (right: ReturnType<RunJob>) => ReturnType<RunJob>): () => void {
  const host = world.host(name);
  const { runJob } = host;
  host.runJob = (job) => (job.kind === kind ? outcome(runJob(job)) : runJob(job));
  return () => {
    host.runJob = runJob;
  };
}

test(
  "a method that did not work here lately is passed over in a peer's offer where there is another",
  story(hosts(both, theirs), (world) => {
    changing(world, "B", "usable", () => failure("kerberos-no-credentials", "no ticket", "me"));
    bringUp(world, world.host("B"));
    assert.deepEqual(methods(world, "B"), ["psk established"]);
    endAll(world);
    bringUp(world);
    assert.deepEqual(methods(world, "A"), ["psk established"]);
  }),
);

test(
  "a method that did not work here lately is taken all the same from a peer that has nothing else",
  story(hosts([kerberos("A")], theirs), (world) => {
    changing(world, "B", "usable", () => failure("kerberos-no-credentials", "no ticket", "me"));
    const id = world.host("B").initiate();
    world.run(31_000);
    assert.notEqual(world.host("B").outcome(id).exit, 0);
    bringUp(world);
    assertTraffic(world);
    assert.deepEqual(methods(world, "A"), ["kerberos established"]);
  }),
);

test(
  "whoever keeps our KDC from us does not lead us to a weaker method: what only beginning needs does not matter when we answer",
  story(hosts(both, theirs), (world) => {
    changing(world, "B", "usable", () => failure("kerberos-kdc-unreachable", "no KDC", "me"));
    bringUp(world, world.host("B"));
    assert.deepEqual(methods(world, "B"), ["psk established"]);
    endAll(world);
    bringUp(world);
    assert.deepEqual(methods(world, "A"), ["kerberos established"]);
  }),
);

for (const reason of ["provider-busy", "provider-timeout"] as const)
  test(
    `a moment of ${reason} ends an attempt, and the next one has the same method`,
    story(hosts(both, theirs), (world) => {
      const mend = changing(world, "B", "gss-unwrap", () => failure(reason, "too much at once", "me"));
      const id = world.host("A").initiate();
      world.run(31_000);
      assert.notEqual(world.host("A").outcome(id).exit, 0);
      mend();
      world.run(1000);
      bringUp(world);
      assert.deepEqual(methods(world, "A"), ["kerberos established"]);
    }),
  );

test(
  "so many negotiations at once that Kerberos is busy: it is offered all the same, and nothing weaker when it stays so",
  story(hosts(both, theirs), (world) => {
    const kinds = ["usable", "gss-step"] as const;
    for (const kind of kinds) {
      const mend = changing(world, "A", kind, () => failure("provider-busy", "too much at once", "me"));
      const id = world.host("A").initiate();
      world.run(31_000);
      if (kind === "gss-step") assert.notEqual(world.host("A").outcome(id).exit, 0);
      assert.equal(methods(world, "A").includes("psk established"), false);
      mend();
      endAll(world);
    }
    bringUp(world);
    assert.deepEqual(methods(world, "A"), ["kerberos established"]);
  }),
);

test(
  "a stranger's token that our keytab can't read does not switch Kerberos off",
  story(hosts([kerberos("A")], theirs), (world) => {
    const mend = changing(world, "B", "gss-step", () => failure("kerberos-wrong-key", "a ticket for another key", "me"));
    const id = world.host("A").initiate();
    world.run(31_000);
    assert.notEqual(world.host("A").outcome(id).exit, 0);
    mend();
    world.run(60_000);
    bringUp(world, world.host("B"));
    assert.deepEqual(methods(world, "B"), ["kerberos established"]);
    assert.equal(said(world.host("B"), "warning").filter((text) => text.includes("left out")).length, 0);
  }),
);

test(
  "after a Kerberos proof of the responder's that is wrong, no weaker method is offered",
  story(hosts(both, theirs), (world) => {
    changing(world, "B", "gss-wrap", (right) =>
      right?.ok && right.value.kind === "gss-wrapped" ? ok({ ...right.value, data: right.value.data.map((octet) => octet ^ 1) }) : right,
    );
    const id = world.host("A").initiate();
    world.run(60_000);
    assert.notEqual(world.host("A").outcome(id).exit, 0);
    assert.equal(new Set(world.sent.filter(({ label }) => label === "MM1").map(({ bytes }) => Buffer.from(bytes).toString("hex"))).size, 1);
  }),
);

test(
  "algorithms do not lead from the keytab of an address to that of a wider rule",
  story(
    {
      hosts: [
        {
          name: "A",
          addresses: [A],
          policy: withAuth(policyOf(towards(B, {}, { mainMode: ["aes256-sha256-x25519"] })), kerberos("A")),
        },
        {
          name: "B",
          addresses: [B],
          policy: (() => {
            const wide = { name: '"wide"', filters: '["me <-> 192.0.2.0/24"]', "main-mode": '{ proposals = ["aes256-sha256-x25519"] }' };
            const policy = policyOf(configuration([{ filters: `["me <-> ${A}"]` }, wide]));
            const entries = [kerberos("B", { keytab: "/near" }), kerberos("B", { keytab: "/wide" })];
            return { ...policy, rules: policy.rules.map((rule, i) => ({ ...rule, auth: entries.slice(i, i + 1) })) };
          })(),
        },
      ],
    },
    (world) => {
      const id = world.host("A").initiate();
      world.run(31_000);
      assert.notEqual(world.host("A").outcome(id).exit, 0);
      assert.deepEqual([labels(world).includes("MM2"), jobKinds(world, "B")], [false, []]);
    },
  ),
);

test(
  "one negotiation has four refused proofs, and no token of a fifth message reaches Kerberos",
  story(hosts([kerberos("A")], [kerberos("B")]), (world) => {
    world.attach(A, () => {});
    world.deliver(A, B, makeOffer(new Uint8Array(8).fill(9)), true);
    const answer = world.sent.find(({ to }) => to === A);
    const header = answer && decodeHeader(answer.bytes);
    assert.ok(header?.ok);
    for (let i = 0; i < 10; i++) {
      const [ke, nonce] = [payload("ke", { data: new Uint8Array(32).fill(3) }), payload("nonce", { data: new Uint8Array(16).fill(i) })];
      const token = makeToken({ n: 1, from: "x", to: `nobody ${i}` }, 0);
      const fields = { ...header.value, exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 };
      world.deliver(A, B, encodeMessage(fields, [ke, nonce, payload("gss", { data: token })]), true);
      world.run(100);
    }
    assert.equal(jobKinds(world, "B").filter((kind) => kind === "gss-step").length, 4);
    assert.equal(world.host("B").engine.counters().get("too many refused proofs"), 6);
    world.run(70_000);
  }),
);

test("a rule that a reload takes away while a proof for it is checked gets no IKE SA", () => {
  const text = configuration([
    { name: '"one"', filters: '["me <-> 192.0.2.1"]', action: '"respond"' },
    { name: '"two"', filters: '["me <-> 192.0.2.0/24"]', action: '"respond"' },
  ]);
  const believing = x509("B", "p256");
  const other = { ...believing, trust: { ...believing.trust, anchors: [OTHER_CA.der], names: [OTHER_CA.subject] } };
  const base = policyOf(text);
  const full = { ...base, rules: base.rules.map((rule) => ({ ...rule, auth: [rule.name === "one" ? other : believing] })) };
  const less = { ...full, rules: full.rules.filter(({ name }) => name === "one") };
  story(
    {
      hosts: [
        { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B)), x509("A", "p256")) },
        { name: "B", addresses: [B], policy: full },
      ],
      jobDelays: [300],
    },
    (world) => {
      world.host("A").initiate();
      world.runUntil("a proof is checked", () => world.host("B").jobs.some(({ kind }) => kind === "verify"));
      world.host("B").input({ type: "policy", policy: less });
      world.run(20_000);
      assert.deepEqual(methods(world, "B"), []);
      assert.equal(childrenOf(world, "A").length, 0);
    },
  )();
});
