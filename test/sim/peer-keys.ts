/**
 * The key schedule once more, written down from RFC 2409 for one suite (AES-128, SHA-256): the scripted peer shares no such code with the core.
 */
import { createHash, createHmac } from "node:crypto";

type Octets = Uint8Array;

export const hmac = (key: Octets, ...chunks: readonly Octets[]): Octets => {
  const h = createHmac("sha256", key);
  for (const chunk of chunks) h.update(chunk);
  return Uint8Array.from(h.digest());
};

export const sha256 = (...chunks: readonly Octets[]): Octets =>
  Uint8Array.from(createHash("sha256").update(Buffer.concat(chunks)).digest());

export const u32 = (n: number): Octets => Uint8Array.of(n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255);

/** What phase 1 leaves: RFC 2409 §5. */
export interface Phase1Material {
  readonly skeyid: Octets;
  readonly d: Octets;
  readonly a: Octets;
  /** The first 16 octets of SKEYID_e. */
  readonly cipher: Octets;
  readonly iv: Octets;
}

/** Everything that Diffie-Hellman and the nonces give. */
export function phase1(psk: Octets, ni: Octets, nr: Octets, gxy: Octets, gxi: Octets, gxr: Octets, ci: Octets, cr: Octets): Phase1Material {
  return phase1From(hmac(psk, ni, nr), gxy, gxi, gxr, ci, cr);
}

/** The same from an SKEYID. */
export function phase1From(skeyid: Octets, gxy: Octets, gxi: Octets, gxr: Octets, ci: Octets, cr: Octets): Phase1Material {
  const d = hmac(skeyid, gxy, ci, cr, Uint8Array.of(0));
  const a = hmac(skeyid, d, gxy, ci, cr, Uint8Array.of(1));
  const e = hmac(skeyid, a, gxy, ci, cr, Uint8Array.of(2));
  return { skeyid, d, a, cipher: e.slice(0, 16), iv: sha256(gxi, gxr).slice(0, 16) };
}

/** ESP keys of one direction, 48 octets: AES-128, then HMAC-SHA-256 (RFC 2409 §5.5). */
export function keymat(d: Octets, gxy: Octets | null, spi: Octets, ni: Octets, nr: Octets): Octets {
  const tail = [gxy ?? new Uint8Array(0), Uint8Array.of(3), spi, ni, nr];
  const k1 = hmac(d, ...tail);
  const k2 = hmac(d, k1, ...tail);
  return Uint8Array.from([...k1, ...k2]).slice(0, 48);
}
