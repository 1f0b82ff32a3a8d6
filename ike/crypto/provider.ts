/**
 * What IKE asks of cryptography. Two providers implement it (`openssl.ts`, `noble.ts`); each is the other's oracle in tests.
 * All calls are synchronous; none makes its own random numbers.
 */
import type { Result } from "../../isakmp/result.ts";
import type { Secret } from "./secret.ts";
import type { Encryption, Group, HashName } from "./suite.ts";

/** Fills and returns `length` octets that no one can predict. In the simulator it is seeded. `use`: what the peer hears anyway may have been drawn before. */
export type Random = (length: number, use?: "nonce") => Uint8Array;

/** Why a public value was refused: wrong length, or a degenerate element (0, 1, p-1, off the curve, all-zero secret). */
export type BadPublicValue = { readonly kind: "bad-public-value"; readonly what: string };

export interface KeyPair {
  readonly privateKey: Secret;
  /** KE payload body, exactly `group.publicOctets` long, padded on the left (RFC 2409 §5: no octet may be lost). */
  readonly publicValue: Uint8Array;
}

export interface Crypto {
  readonly name: "openssl" | "noble";
  /** Plain hash over the concatenation. */
  hash(name: HashName, ...chunks: readonly Uint8Array[]): Uint8Array;
  /** HMAC over the concatenation: the prf of RFC 2409 §4. */
  hmac(name: HashName, key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array;
  /** CBC without padding: `data` is a multiple of the block. Single DES runs as 3DES with one key. */
  encrypt(cipher: Encryption, key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array;
  decrypt(cipher: Encryption, key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array;
  generateKeyPair(group: Group, random: Random): KeyPair;
  /** g^xy, exactly `group.secretOctets` long, padded on the left. */
  agree(group: Group, privateKey: Secret, peerPublic: Uint8Array): Result<Secret, BadPublicValue>;
}
