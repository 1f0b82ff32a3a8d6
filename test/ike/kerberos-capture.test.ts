/**
 * The recorded negotiation with Kerberos (two racoons, MIT Kerberos) walked through by our own steps, once as its initiator and once as its
 * responder: every value that does not need Kerberos' session keys comes out as recorded.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { hashedParts } from "../../auth/gss.ts";
import type { AuthJob } from "../../auth/method.ts";
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import { Secret } from "../../ike/crypto/secret.ts";
import { onAccepted, onAnswer, onKeyExchange, onPublicValue, onTicket } from "../../ike/main-mode.ts";
import { onGssMessage, onStepped, onUnwrapped, onWrapped } from "../../ike/main-mode-kerberos.ts";
import { onOffer } from "../../ike/main-mode-offer.ts";
import { sideHash } from "../../ike/main-mode-proof.ts";
import type { KeAnswered, KerberosAuth, Keyed, SaSent } from "../../ike/main-mode-states.ts";
import type { Asking, Message, Stepped, Tools } from "../../ike/main-mode-table.ts";
import { silent } from "../../ike/note.ts";
import { toHex } from "../../isakmp/hex.ts";
import { decodeHeader, decodePayloads } from "../../isakmp/message.ts";
import type { Payload, PayloadOf } from "../../isakmp/payloads.ts";
import { ok, type Result } from "../../isakmp/result.ts";
import type { AuthEntry, KerberosEntry, Rule } from "../../policy/types.ts";
import { kerberos } from "../sim/credentials.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { vectors } from "../vectors.ts";
import { unhex } from "./crypto/fixtures.ts";

const { mainMode: V } = vectors<{ readonly mainMode: Readonly<Record<string, string>> & { readonly messages: readonly string[] } }>(
  "kerberos",
);
const bytes = (name: string): Uint8Array => unhex(V[name] ?? "");
const [I, R] = ["10.99.0.1", "10.99.0.2"];

/** OpenSSL, but for the two private values that nobody recorded. */
function tools(own: "publicI" | "publicR", ...random: readonly string[]): Tools {
  const left = [...random];
  return {
    crypto: {
      ...opensslCrypto,
      generateKeyPair: () => ({ privateKey: new Secret(new Uint8Array(20)), publicValue: bytes(own) }),
      agree: (_group, _key, peerPublic) => {
        assert.equal(toHex(peerPublic), V[own === "publicI" ? "publicR" : "publicI"]);
        return ok(new Secret(bytes("shared")));
      },
    },
    random: () => bytes(left.shift() ?? ""),
    note: silent,
  };
}

function received(i: number): Message & { readonly payloads: readonly Payload[] } {
  const octets = unhex(V.messages[i] ?? "");
  const header = decodeHeader(octets);
  assert.ok(header.ok);
  const payloads = i > 3 ? ok([]) : decodePayloads(header.value.nextPayload, octets.subarray(28));
  assert.ok(payloads.ok);
  return { header: header.value, bytes: octets, payloads: payloads.value };
}

function saOf(i: number): PayloadOf<"sa"> {
  const sa = received(i).payloads.find((p) => p.name === "sa");
  assert.ok(sa);
  return sa;
}

function rule(peer: string, entry: AuthEntry): Rule {
  const text = towards(peer, { "allow-weak": "true" }, { mainMode: ["aes256-sha1-modp1024"], mainLife: "60m" });
  const [first] = policyOf(text).rules;
  assert.ok(first);
  return { ...first, auth: [entry] };
}

const pathOf = (local: string, remote: string) => ({ local: { address: local, port: 500 }, remote: { address: remote, port: 500 } });
const value = <T>(result: Result<T, { readonly what: string }>): T => {
  assert.ok(result.ok, result.ok ? "" : result.error.what);
  return result.value;
};
const asking = <K extends AuthJob["kind"]>(
  step: Stepped<unknown> | Asking,
  kind: K,
): Asking & { readonly job: Extract<AuthJob, { kind: K }> } => {
  assert.ok("job" in step && step.job.kind === kind, "it asks for a job");
  return step as never;
};
const stepped = <S>(step: Stepped<S> | Asking): Stepped<S> => {
  assert.ok(!("job" in step), "no job");
  return step as Stepped<S>;
};

const entryOf = (host: "A" | "B"): KerberosEntry => kerberos(host);
const peer = (host: string) => ({ principal: `host/${host}.example.test@EXAMPLE.TEST`, addressNames: [] });

function assertKeys({ skeyid, keys, iv }: Keyed): void {
  const hex = (secret: Secret): string => secret.use(toHex);
  assert.deepEqual(
    [hex(skeyid), hex(keys.d), hex(keys.a), hex(keys.e), hex(keys.cipher), toHex(iv)],
    [V["skeyid"], V["skeyidD"], V["skeyidA"], V["skeyidE"], V["key"], V["iv"]],
  );
}

test("as the responder: the offer, its answer with our name, message 4, the keys and HASH_I before it was wrapped are as recorded", () => {
  const ours = rule(I, entryOf("B"));
  const kit = tools("publicR", "cookieR", "nonceR");
  const [m1, m3, m5] = [received(0), received(2), received(4)];
  const answered = value(
    onOffer(
      kit,
      pathOf(R, I),
      { candidates: [ours], context: "1", unusable: () => false, contact: false, cookieR: null, agreed: null },
      m1.header.initiatorCookie,
      m1.payloads,
    ),
  );
  const m2 = answered.send ?? new Uint8Array();
  const payloads = decodePayloads(1, m2.subarray(28));
  const sa = payloads.ok && payloads.value.find((p) => p.name === "sa");
  assert.ok(sa);
  assert.equal(toHex(sa.raw), toHex(saOf(1).raw), "SA with the responder's name");
  assert.ok(
    payloads.value.some((p) => p.name === "vid" && toHex(p.value.data) === "621b04bb09882ac1e15935fefa24aeee"),
    "GSSAPI",
  );

  const accepting = asking(value(onKeyExchange(kit, answered.next, m3.payloads)), "gss-step");
  assert.equal(toHex(accepting.job.token ?? new Uint8Array()), V["tokenI"]);
  assert.ok(accepting.next.kind === "accepting");
  const outcome = { kind: "gss-stepped", token: bytes("tokenR"), complete: true, peer: peer("a") } as const;
  const keyed = value(onAccepted(kit, accepting.next, outcome));
  assert.equal(toHex(keyed.send ?? new Uint8Array()), V.messages[3]);
  assertKeys(keyed.next);

  const unwrapping = asking(value(onGssMessage(kit, keyed.next as KeAnswered & { readonly auth: KerberosAuth }, m5)), "gss-unwrap");
  assert.equal(toHex(unwrapping.job.data), V["wrappedHashI"]);
  assert.ok(unwrapping.next.kind === "unwrapping");
  assert.ok(
    unwrapping.next.expected.some((hash) => toHex(hash) === V["hashI"]),
    "HASH_I",
  );
  const wrapping = asking(value(onUnwrapped(kit, unwrapping.next, bytes("hashI"))), "gss-wrap");
  // What racoon would wrap: it says UDP and 500 in its identity, where we say nothing.
  assert.ok(wrapping.next.kind === "wrapping");
  const { keyed: mine } = wrapping.next;
  assert.equal(toHex(sideHash(kit, mine, "responder", bytes("idR"), hashedParts(mine.auth.gss.own, "single-octet"))), V["hashR"]);
  assert.equal(onUnwrapped(kit, unwrapping.next, bytes("hashR")).ok, false, "another hash");
  assert.equal(onUnwrapped(kit, unwrapping.next, bytes("hashI").subarray(0, 10)).ok, false, "half of it");
  const done = stepped(value(onWrapped(kit, wrapping.next, bytes("wrappedHashR"))));
  assert.ok(done.next.kind === "established" && done.next.proof.method === "kerberos");
});

test("whatever form of names a rule hashes itself, the peer's proof is tried in both: racoon's single octets pass where we hash as on the wire", () => {
  const entry: KerberosEntry = { ...entryOf("B"), quirks: { ...entryOf("B").quirks, hashedName: "wire" } };
  const kit = tools("publicR", "cookieR", "nonceR");
  const [m1, m3, m5] = [received(0), received(2), received(4)];
  const welcome = { candidates: [rule(I, entry)], context: "1", unusable: () => false, contact: false, cookieR: null, agreed: null };
  const answered = value(onOffer(kit, pathOf(R, I), welcome, m1.header.initiatorCookie, m1.payloads));
  const accepting = asking(value(onKeyExchange(kit, answered.next, m3.payloads)), "gss-step");
  assert.ok(accepting.next.kind === "accepting");
  const outcome = { kind: "gss-stepped", token: bytes("tokenR"), complete: true, peer: peer("a") } as const;
  const keyed = value(onAccepted(kit, accepting.next, outcome));
  const { next } = asking(value(onGssMessage(kit, keyed.next as KeAnswered & { readonly auth: KerberosAuth }, m5)), "gss-unwrap");
  assert.ok(next.kind === "unwrapping");
  const expected = next.expected.map(toHex);
  assert.equal(new Set(expected).size, 2);
  assert.equal(expected.indexOf(V["hashI"] as string), 1, "the likelier one first");
  assert.ok("job" in value(onUnwrapped(kit, next, bytes("hashI"))), "it is taken");
});

test("a name in message 2 that the rule does not want gets no ticket asked for", () => {
  const entry = { ...entryOf("A"), peerPrincipal: "host/somebody.else@OTHER.TEST" };
  const ours = { ...rule(R, entry), auth: [entry] };
  const [m1, m2] = [received(0), received(1)];
  const sa = saOf(0);
  const common = { path: pathOf(I, R), cookieI: m1.header.initiatorCookie, saBody: sa.raw, offered: sa.value } as const;
  const sent: SaSent = { kind: "sa-sent", ...common, rule: ours, choices: [{ method: "kerberos", rule: ours, entry }] };
  const answered = onAnswer(tools("publicI", "nonceI"), sent, m2.header, m2.payloads, "1");
  assert.ok(!answered.ok);
  assert.match(
    answered.error.what,
    /calls itself host\/b\.example\.test@EXAMPLE\.TEST, and peer-principal is host\/somebody\.else@OTHER\.TEST/,
  );
});

test("as the initiator: the target, message 3, the keys and HASH_R before it was wrapped are as recorded", () => {
  const ours = rule(R, entryOf("A"));
  const kit = tools("publicI", "nonceI");
  const [m1, m2, m4, m6] = [received(0), received(1), received(3), received(5)];
  const sa = saOf(0);
  const sent: SaSent = {
    kind: "sa-sent",
    path: pathOf(I, R),
    cookieI: m1.header.initiatorCookie,
    saBody: sa.raw,
    rule: ours,
    choices: [{ method: "kerberos", rule: ours, entry: entryOf("A") }],
    offered: sa.value,
  };
  const ticketing = asking(value(onAnswer(kit, sent, m2.header, m2.payloads, "1")), "gss-step");
  assert.deepEqual([ticketing.job.target, ticketing.job.role], ["host/b.example.test@EXAMPLE.TEST", "initiate"]);
  assert.ok(ticketing.next.kind === "ticketing");
  const three = value(onTicket(kit, ticketing.next, { kind: "gss-stepped", token: bytes("tokenI"), complete: false, peer: null }));
  assert.equal(toHex(three.send ?? new Uint8Array()), V.messages[2]);

  const stepping = asking(value(onPublicValue(kit, three.next, m4.payloads, false)), "gss-step");
  assert.equal(toHex(stepping.job.token ?? new Uint8Array()), V["tokenR"]);
  assert.ok(stepping.next.kind === "stepping");
  assertKeys(stepping.next.keyed);
  const wrapping = asking(
    value(onStepped(kit, stepping.next, { kind: "gss-stepped", token: null, complete: true, peer: peer("b") })),
    "gss-wrap",
  );
  assert.ok(wrapping.next.kind === "wrapping");
  const { keyed } = wrapping.next;
  assert.equal(toHex(sideHash(kit, keyed, "initiator", bytes("idI"), hashedParts(keyed.auth.gss.own, "single-octet"))), V["hashI"]);

  const five = stepped(value(onWrapped(kit, wrapping.next, bytes("wrappedHashI"))));
  assert.ok(five.next.kind === "auth-sent" && five.next.auth.method === "kerberos");
  // Message 6 continues the IV chain of racoon's message 5, which named its identity otherwise.
  const recorded = received(4).bytes;
  const waiting = { ...five.next, auth: five.next.auth, iv: recorded.subarray(recorded.length - 16) };
  const unwrapping = asking(value(onGssMessage(kit, waiting, m6)), "gss-unwrap");
  assert.equal(toHex(unwrapping.job.data), V["wrappedHashR"]);
  assert.ok(unwrapping.next.kind === "unwrapping");
  assert.ok(
    unwrapping.next.expected.some((hash) => toHex(hash) === V["hashR"]),
    "HASH_R",
  );
  const done = stepped(value(onUnwrapped(kit, unwrapping.next, bytes("hashR"))));
  assert.ok(done.next.kind === "established");
  assert.deepEqual(done.next.peerId, { type: "ip", address: R });
});

test("the same message 1 without its vendor id of GSS-API is XAUTH, and refused with that reason", () => {
  const m1 = received(0);
  const bare = m1.payloads.filter((p) => p.name === "sa");
  const welcome = { candidates: [rule(I, entryOf("B"))], context: "1", unusable: () => false, contact: false, cookieR: null, agreed: null };
  const refused = onOffer(tools("publicR"), pathOf(R, I), welcome, m1.header.initiatorCookie, bare);
  assert.ok(!refused.ok);
  assert.equal(refused.error.kind, "no-proposal");
  assert.match(refused.error.what, /without a vendor id of GSS-API is XAUTH/);
});
