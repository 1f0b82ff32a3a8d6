/** Proofs that lie: by certificate and by Kerberos, from peers that did Diffie-Hellman and from strangers that did not. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, decodePayloads, encodeMessage, encodePayloads, type Header } from "../../isakmp/message.ts";
import { EXCHANGE } from "../../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload } from "../../isakmp/payloads.ts";
import { ok } from "../../isakmp/result.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { kerberos, withAuth, x509 } from "./credentials.ts";
import { makeToken, simJobs } from "./jobs.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, ikesOf, said } from "./setting.ts";
import { makeOffer } from "./strangers.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const hosts = (a: readonly AuthEntry[], b: readonly AuthEntry[], more: Partial<WorldOptions> = {}): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B)), ...a) },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), ...b) },
  ],
  ...more,
});
const rsa = [[x509("A", "rsa2048")], [x509("B", "rsa2048")]] as const;
const ecdsa = [[x509("A", "p384")], [x509("B", "p384")]] as const;
const gss = [[kerberos("A")], [kerberos("B")]] as const;

const jobs = (world: World, name: string, kind: string): number => world.host(name).jobs.filter((job) => job.kind === kind).length;

type Name = "A" | "B";

/** A begins; the proof of one of the two is wrong. The other refuses it with these words, having asked for so many checks. */
function refused(world: World, words: RegExp, kind: string, most: number, liar: Name = "A"): void {
  const victim = liar === "A" ? "B" : "A";
  const id = world.host("A").initiate();
  world.run(29_900);
  assert.notEqual(world.host("A").outcome(id).exit, 0);
  assert.deepEqual(
    ikesOf(world, victim).filter(({ state }) => state === "established"),
    [],
  );
  const heard = [...said(world.host(victim), "warning"), ...(victim === "A" ? [world.host("A").outcome(id).text] : [])];
  assert.ok(
    heard.some((text) => words.test(text)),
    heard.join("\n"),
  );
  assert.ok(jobs(world, victim, kind) <= most, `${jobs(world, victim, kind)} times ${kind}`);
}

/** The liar's jobs end with what `change` makes of the right outcome. */
function meddling(world: World, kind: "signed" | "gss-wrapped", change: (octets: Uint8Array) => Uint8Array, liar: Name): void {
  const a = world.host(liar);
  const { runJob } = a;
  a.runJob = (job) => {
    const outcome = runJob(job);
    if (!outcome?.ok || outcome.value.kind !== kind) return outcome;
    if (outcome.value.kind === "signed") return ok({ kind: "signed", signature: change(outcome.value.signature) });
    return outcome.value.kind === "gss-wrapped" ? ok({ kind: "gss-wrapped", data: change(outcome.value.data) }) : outcome;
  };
}

const ROLE: Readonly<Record<Name, string>> = { A: "initiator", B: "responder" };
const flip = (octets: Uint8Array): Uint8Array => octets.map((octet, i) => (i === octets.length - 1 ? octet ^ 1 : octet));

for (const [name, pair, change, words, checks] of [
  ["an RSA signature cut in half", rsa, (s) => s.subarray(0, 100), /signature of 100 octets/, 0],
  ["an empty RSA signature", rsa, () => new Uint8Array(), /signature of 0 octets/, 0],
  ["an RSA signature of another key's length", rsa, (s) => Uint8Array.from([...s, ...s]), /512 octets/, 1],
  ["an RSA signature with one bit changed", rsa, flip, /signature/, 1],
  ["an ECDSA signature with an octet more", ecdsa, (s) => Uint8Array.from([...s, 0]), /97 octets/, 0],
  ["an ECDSA signature of zeros", ecdsa, (s) => s.map(() => 0), /signature/, 1],
  ["an ECDSA signature with one bit changed", ecdsa, flip, /signature/, 1],
] as const satisfies readonly (readonly [string, typeof rsa | typeof ecdsa, (s: Uint8Array) => Uint8Array, RegExp, number])[])
  for (const liar of ["A", "B"] as const)
    test(
      `${name}, of the ${ROLE[liar]}, proves nothing, and costs ${checks} checks whatever is repeated`,
      story(hosts(pair[0], pair[1]), (world) => {
        meddling(world, "signed", change, liar);
        refused(world, words, "verify", checks, liar);
      }),
    );

for (const [name, change, words, checks] of [
  ["an empty one", () => new Uint8Array(), /wrapped HASH of 0 octets/, 0],
  ["one of 60 kB", () => new Uint8Array(60_000), /wrapped HASH of 60000 octets/, 0],
  ["one cut short", (s) => s.subarray(0, 25), /seal is broken/, 1],
  ["one with a bit changed", flip, /seal is broken/, 1],
] as const satisfies readonly (readonly [string, (s: Uint8Array) => Uint8Array, RegExp, number])[])
  for (const liar of ["A", "B"] as const)
    test(
      `a wrapped hash of the ${ROLE[liar]} that is ${name} proves nothing`,
      story(hosts(gss[0], gss[1]), (world) => {
        meddling(world, "gss-wrapped", change, liar);
        refused(world, words, "gss-unwrap", checks, liar);
      }),
    );

for (const [name, change] of [
  ["of something else", (hash: Uint8Array) => hash.map((octet) => octet ^ 1)],
  ["of half the hash", (hash: Uint8Array) => hash.subarray(0, hash.length / 2)],
  ["of nothing", () => new Uint8Array()],
  ["of more than the hash", (hash: Uint8Array) => Uint8Array.from([...hash, 0])],
] as const)
  for (const liar of ["A", "B"] as const)
    test(
      `a well wrapped hash of the ${ROLE[liar]} ${name} proves nothing`,
      story(hosts(gss[0], gss[1]), (world) => {
        const host = world.host(liar);
        const { runJob } = host;
        host.runJob = (job) => runJob(job.kind === "gss-wrap" ? { ...job, data: change(job.data) } : job);
        refused(world, liar === "A" ? /HASH_I is wrong/ : /HASH_R is wrong/, "gss-unwrap", 1, liar);
      }),
    );

/** The payloads of message 5 are changed after they were proved; or `choose` says for each sealed message how it is changed. */
function editing(world: World, edit: Edit, choose?: () => Edit | undefined): void {
  const { crypto } = world.tap as { crypto: { encrypt: (typeof world.tap.crypto)["encrypt"] } };
  const { encrypt } = crypto;
  crypto.encrypt = (cipher, key, iv, data) => {
    const chosen = choose ? choose() : edit;
    if (!choose) crypto.encrypt = encrypt;
    if (!chosen) return encrypt(cipher, key, iv, data);
    // Message 5 begins with its ID, and in a later round with a HASH.
    const payloads = [5, 8].map((first) => decodePayloads(first, data, { padding: true })).find(({ ok: good }) => good);
    assert.ok(payloads?.ok);
    const plain = encodePayloads(chosen(payloads.value));
    const missing = cipher.blockOctets - (plain.length % cipher.blockOctets);
    return encrypt(cipher, key, iv, Buffer.concat([plain, new Uint8Array(missing - 1), Uint8Array.of(missing - 1)]));
  };
}

type Edit = (payloads: readonly Payload[]) => readonly Payload[];

/** The same for message 6, which is the second to be sealed. */
function editingAnswer(world: World, edit: Edit): void {
  let sealed = 0;
  editing(world, edit, () => (++sealed === 2 ? edit : undefined));
}

const changingId = (payloads: readonly Payload[]): readonly Payload[] =>
  payloads.map((p) => (p.name === "id" ? payload("id", { ...p.value, data: Uint8Array.of(192, 0, 2, 77), type: 1 }) : p));

for (const [name, pair, words] of [
  ["by certificate", rsa, /192\.0\.2\.77|signature/],
  ["by Kerberos", gss, /HASH_[IR] is wrong/],
] as const)
  for (const liar of ["A", "B"] as const)
    test(
      `an identity of the ${ROLE[liar]} changed after the proof ${name} is refused`,
      story(hosts(pair[0], pair[1]), (world) => {
        if (liar === "A") editing(world, changingId);
        else editingAnswer(world, changingId);
        refused(world, words, name === "by certificate" ? "verify" : "gss-unwrap", 1, liar);
      }),
    );

test(
  "an identity that changes from one round to the next is refused",
  story(
    hosts(gss[0], gss[1], {
      hosts: hosts(gss[0], gss[1]).hosts.map((host) => ({ ...host, jobs: (fail) => simJobs(fail, { tokens: 4 }) })),
    }),
    (world) => {
      // Message 5 carries a token and the true identity; the next one, the hash, another identity beside it.
      let sent = 0;
      editing(
        world,
        (payloads) => payloads,
        () => {
          sent++;
          return sent === 3
            ? (payloads) => [...payloads, payload("id", { type: 1, protocol: 0, port: 0, data: Uint8Array.of(192, 0, 2, 77) })]
            : undefined;
        },
      );
      refused(world, /changed its identity/, "gss-unwrap", 0);
    },
  ),
);

test(
  "an identity that is said again in a later round, as it was, does no harm",
  story(
    hosts(gss[0], gss[1], {
      hosts: hosts(gss[0], gss[1]).hosts.map((host) => ({ ...host, jobs: (fail) => simJobs(fail, { tokens: 4 }) })),
    }),
    (world) => {
      let [sealed, said] = [0, 0];
      editing(
        world,
        (payloads) => payloads,
        () => {
          if (++sealed !== 3) return undefined;
          return (payloads) => {
            said++;
            return [...payloads, payload("id", { type: 1, protocol: 0, port: 0, data: Uint8Array.from(A.split("."), Number) })];
          };
        },
      );
      bringUp(world);
      assert.equal(said, 1);
    },
  ),
);

test(
  "a HASH while a token is due is refused without asking Kerberos",
  story(
    hosts(gss[0], gss[1], {
      hosts: hosts(gss[0], gss[1]).hosts.map((host) => ({ ...host, jobs: (fail) => simJobs(fail, { tokens: 4 }) })),
    }),
    (world) => {
      editing(world, (payloads) => payloads.map((p) => (p.name === "gss" ? payload("hash", { data: new Uint8Array(52) }) : p)));
      refused(world, /a HASH before the context was complete/, "gss-unwrap", 0);
    },
  ),
);

test(
  "a message 5 with a HASH and a token is refused without asking Kerberos",
  story(hosts(gss[0], gss[1]), (world) => {
    const token = payload("gss", { data: makeToken({ n: 3, from: "a", to: "b" }, 0) });
    editing(world, (payloads) => [...payloads, token]);
    refused(world, /neither a HASH nor a GSS token, or both/, "gss-unwrap", 0);
  }),
);

test(
  "a token after the context is complete never reaches Kerberos",
  story(hosts(gss[0], gss[1]), (world) => {
    editing(world, (payloads) =>
      payloads.map((p) => (p.name === "hash" ? payload("gss", { data: makeToken({ n: 3, from: "a", to: "b" }, 0) }) : p)),
    );
    refused(world, /GSS token after the context was complete/, "gss-step", 1);
  }),
);

test(
  "a message 5 with neither a HASH nor a token is refused without asking Kerberos",
  story(hosts(gss[0], gss[1]), (world) => {
    editing(world, (payloads) => payloads.filter(({ name }) => name !== "hash"));
    refused(world, /neither a HASH nor a GSS token/, "gss-unwrap", 0);
  }),
);

/** Certificates of message 5 or 6 become these. */
const bomb =
  (make: (p: PayloadOf<"cert">) => readonly Payload[]): Edit =>
  (payloads) =>
    payloads.flatMap((p): readonly Payload[] => (p.name === "cert" ? make(p) : [p]));
const always = (host: Name) => [x509(host, "p384", { sendCertificate: "always" })];

for (const liar of ["A", "B"] as const)
  for (const [name, make, words, checks] of [
    ["a hundred certificates", (p) => Array.from({ length: 100 }, () => payload("cert", p.value)), /100 certificates, at most/, 0],
    [
      "hundreds of tiny ones",
      () => Array.from({ length: 400 }, (_, i) => payload("cert", { encoding: 4, data: Uint8Array.of(0x30, 2, i & 255, 0) })),
      /more than 128 payloads/,
      0,
    ],
    ["a certificate of 40 kB", (p) => [payload("cert", { ...p.value, data: new Uint8Array(40_000).fill(0x30) })], /certificate/, 1],
    [
      "a certificate nested a thousand deep",
      (p) => [payload("cert", { ...p.value, data: Uint8Array.from({ length: 4000 }, (_, i) => [0x30, 0x82, 0x0f, 0x9c][i % 4] ?? 0) })],
      /certificate/,
      1,
    ],
  ] as const satisfies readonly (readonly [string, (p: PayloadOf<"cert">) => readonly Payload[], RegExp, number])[])
    test(
      `${name} from the ${ROLE[liar]} cost${checks === 0 ? " no check" : " one check"} and are refused`,
      story(hosts(always("A"), always("B")), (world) => {
        if (liar === "A") editing(world, bomb(make));
        else editingAnswer(world, bomb(make));
        refused(world, words, "verify", checks, liar);
      }),
    );

test(
  "hundreds of certificate requests in clear keep nothing and change nothing",
  story(hosts(rsa[0], rsa[1]), (world) => {
    const flood = Array.from({ length: 100 }, (_, i) => payload("certReq", { encoding: 4, data: new Uint8Array(100).fill(i) }));
    world.intercept = (sent) => {
      if (sent.label !== "MM3" || sent.nth > 1) return undefined;
      const header = decodeHeader(sent.bytes);
      assert.ok(header.ok);
      const payloads = decodePayloads(header.value.nextPayload, sent.bytes.subarray(28));
      assert.ok(payloads.ok);
      world.after(1, () => world.deliver(A, B, encodeMessage(header.value, [...payloads.value, ...flood])));
      return { kind: "drop" };
    };
    bringUp(world);
    assertTraffic(world);
  }),
);

// Strangers

/** Read before any story begins: its key is no leak. */
const WIDE = policyOf(towards("192.0.2.0/24")).rules[0]?.filters ?? [];

const exchange = (header: Header, payloads: readonly Payload[]): Uint8Array =>
  encodeMessage({ ...header, exchange: EXCHANGE["Identity Protection"], flags: 0, messageId: 0 }, payloads);

/** Many negotiations from one address, each up to message 3 with this token. B's Kerberos is slow. */
function flood(world: World, times: number, token: (i: number) => Uint8Array, from: string = A): void {
  for (let i = 0; i < times; i++) {
    const cookieI = Uint8Array.of(9, 9, 9, 9, i >> 8, i & 255, from.length, 1);
    const before = world.sent.length;
    world.deliver(from, B, makeOffer(cookieI), true);
    const answer = world.sent.slice(before).find(({ to }) => to === from);
    const header = answer && decodeHeader(answer.bytes);
    assert.ok(header?.ok, "message 2");
    const ke = payload("ke", { data: new Uint8Array(32).fill(3) });
    const nonce = payload("nonce", { data: new Uint8Array(16).fill(i & 255) });
    world.deliver(from, B, exchange(header.value, [ke, nonce, payload("gss", { data: token(i) })]), true);
  }
}

test(
  "a stranger keeps four calls of Kerberos busy at most, and others are served",
  story(hosts(gss[0], gss[1], { jobDelays: [50] }), (world) => {
    const C = "192.0.2.3";
    world.attach(C, () => {});
    const b = world.host("B");
    b.input({
      type: "policy",
      policy: {
        ...b.policy,
        rules: b.policy.rules.map((rule) => ({ ...rule, peer: null, filters: WIDE })),
      },
    });
    flood(world, 60, (i) => makeToken({ n: 1, from: `x${i}`, to: "host/b.example.test@EXAMPLE.TEST" }, 0), C);
    assert.equal(jobs(world, "B", "gss-step"), 4);
    assert.equal(b.engine.counters().get("too many jobs of one peer"), 56);
    bringUp(world, world.host("A"), "peer", 10_000);
    world.run(70_000);
  }),
);

test(
  "what is no token is refused without asking Kerberos, and without Diffie-Hellman",
  story(hosts(gss[0], gss[1]), (world) => {
    const bad = [
      new Uint8Array(),
      Uint8Array.of(0x60),
      new Uint8Array(2000).fill(0x60),
      Uint8Array.of(0, 0x60, 1),
      Uint8Array.of(0x60, 0x84, 255, 255, 255, 255, 1),
      Uint8Array.of(0x60, 0x80, 0, 0),
    ];
    flood(world, bad.length, (i) => bad[i] ?? new Uint8Array());
    assert.equal(jobs(world, "B", "gss-step"), 0);
    assert.equal(
      world.sent.some(({ label }) => label === "MM4"),
      false,
    );
    world.run(70_000);
  }),
);
