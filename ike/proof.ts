/**
 * The transcripts that prove: HASH_I and HASH_R of phase 1, HASH(1) to HASH(3) of phase 2 (RFC 2409 §5, §5.5, §5.7).
 * Inputs are payload bodies as they stood on the wire; nothing is encoded again in order to be hashed.
 */
import { uint32Octets } from "../isakmp/octets.ts";
import type { Payload } from "../isakmp/payloads.ts";
import type { Crypto } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { HashAlgorithm } from "./crypto/suite.ts";

/** What both phase 1 hashes cover, from one side's point of view: "own" is the side whose proof it is. */
export interface Transcript {
  readonly ownPublic: Uint8Array;
  readonly peerPublic: Uint8Array;
  readonly ownCookie: Uint8Array;
  readonly peerCookie: Uint8Array;
  /** SAi_b: the initiator's SA body of message 1, for both proofs. */
  readonly saBody: Uint8Array;
  readonly ownIdBody: Uint8Array;
}

/**
 * HASH_I or HASH_R, RFC 2409 §5: prf(SKEYID, g^x-own | g^x-peer | CKY-own | CKY-peer | SAi_b | ID_b). `more` is what Kerberos adds: GIx and
 * GSSx (draft-ietf-ipsec-isakmp-gss-auth-07 §3.1). `hash` is phase 1's, or that of an ECDSA method (RFC 4754 §3).
 */
export const phase1Hash = (
  crypto: Crypto,
  hash: HashAlgorithm,
  skeyid: Secret,
  t: Transcript,
  more: readonly Uint8Array[] = [],
): Uint8Array =>
  skeyid.use((key) => crypto.hmac(hash.name, key, t.ownPublic, t.peerPublic, t.ownCookie, t.peerCookie, t.saBody, t.ownIdBody, ...more));

/** HASH(1), RFC 2409 §5.5 and §5.7: prf(SKEYID_a, M-ID | everything after the HASH payload). */
export const hash1 = (crypto: Crypto, hash: HashAlgorithm, skeyidA: Secret, messageId: number, rest: Uint8Array): Uint8Array =>
  skeyidA.use((key) => crypto.hmac(hash.name, key, uint32Octets(messageId), rest));

/** HASH(2): prf(SKEYID_a, M-ID | Ni_b | everything after the HASH payload). */
export const hash2 = (
  crypto: Crypto,
  hash: HashAlgorithm,
  skeyidA: Secret,
  messageId: number,
  ni: Uint8Array,
  rest: Uint8Array,
): Uint8Array => skeyidA.use((key) => crypto.hmac(hash.name, key, uint32Octets(messageId), ni, rest));

/** HASH(3): prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b). */
export const hash3 = (
  crypto: Crypto,
  hash: HashAlgorithm,
  skeyidA: Secret,
  messageId: number,
  ni: Uint8Array,
  nr: Uint8Array,
): Uint8Array => skeyidA.use((key) => crypto.hmac(hash.name, key, Uint8Array.of(0), uint32Octets(messageId), ni, nr));

/**
 * The octets after the HASH payload of a received phase 2 message, generic headers included, padding not.
 * Undefined where HASH is not the first payload, as RFC 2409 §5.5 demands.
 */
export function afterHash(payloads: readonly Payload[], plain: Uint8Array): Uint8Array | undefined {
  const [first] = payloads;
  const last = payloads.at(-1);
  if (first?.name !== "hash" || !last) return undefined;
  return plain.subarray(first.end, last.end);
}
