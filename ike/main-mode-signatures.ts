/**
 * Messages 5 and 6 of Main Mode with signatures: RFC 2409 §5.1 (RSA), RFC 4754 (ECDSA). Signing and checking are jobs; the hash is ours.
 * Order of costs: what is wrong with the shape of a message is found before anybody is asked to check a signature.
 */
import { ownIdentity, signatureMethod, type X509Choice } from "../auth/choice.ts";
import { METHOD_HASH, type SignatureMethod, type VerifiedOutcome } from "../auth/method.ts";
import { ruleForCertificate } from "../auth/proof.ts";
import { CERT_ENCODING } from "../isakmp/numbers.ts";
import { type Payload, type PayloadOf, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { idPayloadValue } from "../policy/identity.ts";
import { sameName } from "../policy/name-match.ts";
import type { Rule, X509Entry } from "../policy/types.ts";
import { sameOctets } from "./crypto/compare.ts";
import { type HashAlgorithm, hashNamed } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { match } from "./flight.ts";
import {
  claimedIdentity,
  greeting,
  hear,
  initiatorsSa,
  openProof,
  responderLife,
  respondersSa,
  sealProof,
  sideHash,
} from "./main-mode-proof.ts";
import type {
  Asked,
  AuthSent,
  Checking,
  Established,
  KeAnswered,
  KeSent,
  Keyed,
  Proving,
  SignatureAuth,
  Signing,
} from "./main-mode-states.ts";
import { type Asking, MAIN_MODE_SIGNATURES, type Message, type Stepped, type Tools } from "./main-mode-table.ts";

type SignedKeyed = Keyed & { readonly auth: SignatureAuth };

/** CERT payloads that a message may have: a chain, its CRLs, and some to spare. */
const MOST_CERTIFICATES = 24;
/** CAs that we ask for by name; beyond it one request without a name asks for anything. */
const MOST_REQUESTS = 12;
/** CAs that a peer may ask for, and octets of each. */
const MOST_ASKED = 64;
const LONGEST_NAME = 2048;

export const NOTHING_ASKED: Asked = { any: false, names: [] };

/**
 * Adds a message's certificate requests (RFC 2408 §3.10) to those before. Whoever wants PKCS #7 wants our certificate too, and gets it plain; requests
 * for revocation lists are no request for one.
 */
export function hearRequests(asked: Asked, requests: readonly PayloadOf<"certReq">[]): Asked {
  const ours = requests.filter(({ value }) => WANT_CERTIFICATE.includes(value.encoding));
  const named = ours.map(({ value }) => value.data).filter(({ length }) => length > 0 && length <= LONGEST_NAME);
  const names = [...asked.names, ...named.map((name) => Uint8Array.from(name))];
  return { any: asked.any || ours.some(({ value }) => value.data.length === 0), names: names.slice(0, MOST_ASKED) };
}

const WANT_CERTIFICATE: readonly number[] = [CERT_ENCODING["X.509 - Signature"], CERT_ENCODING["PKCS #7 wrapped X.509"]];

/** Our certificate requests in message 3 or 4: one for each CA of these rules, or one for any. */
export function certificateRequests(entries: readonly X509Entry[]): readonly Payload[] {
  const names: Uint8Array[] = [];
  for (const name of entries.flatMap(({ trust }) => trust.names)) if (!names.some((one) => sameOctets(one, name))) names.push(name);
  const few = names.length > 0 && names.length <= MOST_REQUESTS ? names : [new Uint8Array(0)];
  return few.map((data) => payload("certReq", { encoding: CERT_ENCODING["X.509 - Signature"], data }));
}

/** Entries of rules whose key is of the same kind: any of them may be the one that the peer is for. */
export const claimsOf = (rules: readonly Rule[], method: SignatureMethod): readonly X509Choice[] =>
  rules.flatMap((rule) =>
    rule.auth.flatMap((entry): readonly X509Choice[] =>
      entry.method === "x509" && signatureMethod(entry) === method ? [{ method: "x509", rule, entry }] : [],
    ),
  );

/** Message 4 came: our signature is to be made. */
export function signProof(tools: Tools, before: KeSent, keyed: SignedKeyed, greet: boolean): Asking<Signing> {
  return {
    next: { kind: "signing", before, keyed, greet },
    job: signJob(tools, keyed, keyed.auth.entry, "initiator"),
  };
}

/** The signature is here: message 5. */
export function onSigned(tools: Tools, { before, keyed, greet }: Signing, signature: Uint8Array): Result<Stepped<AuthSent>, IkeError> {
  const { id, ownId } = ownIdPayload(keyed, keyed.auth.entry);
  const payloads = [
    id,
    ...certificates(keyed.auth.entry, keyed.auth.asked),
    payload("sig", { data: signature }),
    ...greeting(keyed, greet),
  ];
  const sealed = sealProof(tools, keyed, payloads);
  return ok({ next: { kind: "auth-sent", ownId, ...keyed, iv: sealed.iv }, send: sealed.bytes, spent: [before.pair.privateKey] });
}

/** Message 5 or 6 came: the peer's signature is to be checked, for every rule that it might belong to. */
export function onSignature(
  tools: Tools,
  before: (AuthSent | KeAnswered) & { readonly auth: SignatureAuth },
  message: Message,
): Result<Asking<Checking>, IkeError> {
  const opened = openProof(tools, before, message);
  if (!opened.ok) return opened;
  const fromInitiator = before.kind === "ke-answered";
  const got = match(fromInitiator ? MAIN_MODE_SIGNATURES.m5 : MAIN_MODE_SIGNATURES.m6, opened.value.payloads);
  if (!got.ok) return got;
  const { id, sig, cert, certReq, notify } = got.value;
  const method = signatureMethod(before.auth.entry);
  const fault = signatureFault(method, sig.value.data) ?? certificateFault(cert);
  if (fault !== undefined) return err({ kind: "payloads", what: fault });
  const peerId = claimedIdentity(id);
  if (!peerId.ok) return peerId;
  const claimed = before.kind === "ke-answered" ? claimsOf(before.candidates, method) : [before.auth];
  const keyed: SignedKeyed = {
    ...before,
    iv: opened.value.iv,
    heard: hear(before.heard, notify),
    auth: { ...before.auth, asked: hearRequests(before.auth.asked, certReq) },
  };
  return ok({
    next: { kind: "checking", before, keyed, claimed, peerId: peerId.value },
    job: {
      kind: "verify",
      entries: claimed.map(({ entry }) => entry),
      method,
      hash: sideHash(tools, before, fromInitiator ? "initiator" : "responder", id.raw, [], hashOf(before, method)),
      signature: sig.value.data,
      certificates: cert.map(({ value }) => value),
      id: { type: id.value.type, data: id.value.data },
      peerAddress: before.path.remote.address,
    },
  });
}

/** The peer's certificate is good: the initiator is done, the responder signs in its turn. */
export function onVerified(
  tools: Tools,
  { before, keyed, claimed, peerId }: Checking,
  verified: VerifiedOutcome,
): Result<Stepped<Established> | Asking<Proving>, IkeError> {
  const found = ruleForCertificate(claimed, verified);
  if (!found.ok) return found;
  if (before.kind === "auth-sent")
    return ok({ next: initiatorsSa(keyed, found.value, peerId, before.ownId), send: null, spent: [before.skeyid] });
  const { entry } = found.value.proof;
  if (entry.method !== "x509") return err({ kind: "id-mismatch", what: "the peer's certificate belongs to no rule with certificates" });
  return ok({
    next: { kind: "proving", before, keyed, found: found.value, peerId },
    job: signJob(tools, keyed, entry, "responder"),
  });
}

/** Our signature is here: message 6. */
export function onProven(
  tools: Tools,
  { before, keyed, found, peerId }: Proving,
  signature: Uint8Array,
): Result<Stepped<Established>, IkeError> {
  const { entry } = found.proof;
  if (entry.method !== "x509") return err({ kind: "id-mismatch", what: "the peer's certificate belongs to no rule with certificates" });
  const { id, ownId } = ownIdPayload(keyed, entry);
  const life = responderLife(before, found.rule);
  const payloads = [id, ...certificates(entry, keyed.auth.asked), payload("sig", { data: signature }), ...life.notify];
  const sealed = sealProof(tools, keyed, payloads);
  const next = respondersSa({ ...keyed, iv: sealed.iv }, found, peerId, ownId, life.seconds);
  return ok({ next, send: sealed.bytes, spent: [before.skeyid] });
}

/** The prf of HASH_x: that of an ECDSA method whatever phase 1's hash (RFC 4754 §3). */
const hashOf = (keyed: Keyed, method: SignatureMethod): HashAlgorithm => {
  const own = METHOD_HASH[method];
  return own === null ? keyed.suite.hash : hashNamed(own);
};

function ownIdPayload(keyed: Keyed, entry: X509Entry) {
  const ownId = ownIdentity(entry, keyed.path.local.address);
  return { ownId, id: payload("id", idPayloadValue(ownId)) };
}

function signJob(tools: Tools, keyed: SignedKeyed, entry: X509Entry, side: "initiator" | "responder") {
  const method = signatureMethod(entry);
  const { id } = ownIdPayload(keyed, entry);
  return { kind: "sign", entry, method, hash: sideHash(tools, keyed, side, id.raw, [], hashOf(keyed, method)) } as const;
}

/** Our chain, as the entry wants it: always, when the peer asked for it (by the name of an issuer of ours, or any), or never. */
function certificates({ own, sendCertificate }: X509Entry, asked: Asked): readonly Payload[] {
  const wanted = asked.any || asked.names.some((name) => own.issuers.some((issuer) => sameName(issuer, name)));
  if (sendCertificate === "never" || (sendCertificate === "asked" && !wanted)) return [];
  return own.chain.map((data) => payload("cert", { encoding: CERT_ENCODING["X.509 - Signature"], data }));
}

/** Octets of an ECDSA signature are known (RFC 4754 §7); an RSA modulus has 1024 to 16384 bits. */
const SIGNATURE_OCTETS: Readonly<Record<SignatureMethod, readonly [number, number]>> = {
  3: [128, 2048],
  9: [64, 64],
  10: [96, 96],
  11: [132, 132],
};

function signatureFault(method: SignatureMethod, { length }: Uint8Array): string | undefined {
  const [least, most] = SIGNATURE_OCTETS[method];
  return length < least || length > most
    ? `a signature of ${length} octets, ${least === most ? least : `${least} to ${most}`} are possible`
    : undefined;
}

const certificateFault = (cert: readonly PayloadOf<"cert">[]): string | undefined =>
  cert.length > MOST_CERTIFICATES ? `${cert.length} certificates, at most ${MOST_CERTIFICATES} are read` : undefined;
