/**
 * ECDSA as IKE uses it (RFC 4754 §3): over the octets of HASH_x themselves, which are not hashed again, with r and s of fixed length side by side.
 * OpenSSL's interface in Node hashes whatever it signs, so this is noble's in both providers.
 */
import { p256, p384, p521 } from "@noble/curves/nist.js";

/** The methods 9, 10 and 11. `octets`: of r, and of s. */
export const ECDSA_CURVES = {
  ecdsa256: { curve: p256, octets: 32 },
  ecdsa384: { curve: p384, octets: 48 },
  ecdsa521: { curve: p521, octets: 66 },
} as const;

export type EcdsaName = keyof typeof ECDSA_CURVES;

/**
 * Signs `hash` (the octets of HASH_I or HASH_R) with a private scalar of `octets` octets; 2 × `octets` octets.
 * The nonce is derived from key and message with fresh randomness mixed in (RFC 6979 §3.6), so that neither a bad source nor a fault reveals the key.
 */
export function ecdsaSign(name: EcdsaName, scalar: Uint8Array, hash: Uint8Array, entropy: Uint8Array): Uint8Array {
  return ECDSA_CURVES[name].curve.sign(hash, scalar, { prehash: false, lowS: false, extraEntropy: entropy, format: "compact" });
}

/** Whether `signature` is one of `hash` under a public point (SEC 1, uncompressed). Any other length, or values out of range, is none. */
export function ecdsaVerify(name: EcdsaName, point: Uint8Array, hash: Uint8Array, signature: Uint8Array): boolean {
  const { curve, octets } = ECDSA_CURVES[name];
  if (signature.length !== 2 * octets || hash.length === 0) return false;
  try {
    return curve.verify(signature, hash, point, { prehash: false, lowS: false, format: "compact" });
  } catch {
    return false;
  }
}
