/**
 * Exponentiation modulo a prime by way of a key file: OpenSSL completes a PKCS #8 Diffie-Hellman key by computing its public half,
 * generator^x, so a key whose generator is Y yields Y^x. It does so in constant time, as for any private key, and asks nothing of prime
 * or generator, which is what makes it cheap where `modp-engine.ts` says that DiffieHellman objects are dear.
 */
import { createPrivateKey, createPublicKey } from "node:crypto";

/** base^x mod prime, as long as needed and no longer. `base` lies between 1 and prime - 1, the first bit of `x` is 1. */
export function modpPower(prime: Uint8Array, base: Uint8Array, x: Uint8Array): Uint8Array {
  const der = privateKeyInfo(prime, base, x);
  try {
    const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
    return publicHalf(key.export({ format: "der", type: "spki" }));
  } finally {
    der.fill(0);
  }
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;
const VERSION_0 = [INTEGER, 1, 0];
/** dhKeyAgreement, 1.2.840.113549.1.3.1 (PKCS #3 §9). */
const DH_KEY_AGREEMENT = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1];

/** PrivateKeyInfo of RFC 5208 §5 with the parameters of PKCS #3. `x` comes last and is copied once, so that one `fill` wipes it. */
function privateKeyInfo(prime: Uint8Array, base: Uint8Array, x: Uint8Array): Buffer {
  const parameters = wrap(SEQUENCE, integer(prime), integer(base));
  const algorithm = wrap(SEQUENCE, Buffer.from(DH_KEY_AGREEMENT), parameters);
  const xHeader = [...header(INTEGER, x.length + 1), 0];
  const keyHeader = header(OCTET_STRING, xHeader.length + x.length);
  const before = Buffer.concat([Buffer.from(VERSION_0), algorithm, Buffer.from(keyHeader), Buffer.from(xHeader)]);
  return Buffer.concat([Buffer.from(header(SEQUENCE, before.length + x.length)), before, x]);
}

/** The number in SubjectPublicKeyInfo (RFC 3279 §2.3.3): SEQUENCE { algorithm, BIT STRING { 00, INTEGER } }. */
function publicHalf(spki: Uint8Array): Uint8Array {
  const outer = contents(spki, 0, SEQUENCE);
  const algorithm = contents(spki, outer.start, SEQUENCE);
  const bits = contents(spki, algorithm.end, BIT_STRING);
  const { start, end } = contents(spki, bits.start + 1, INTEGER);
  const number = Uint8Array.from(spki.subarray(spki[start] === 0 ? start + 1 : start, end));
  spki.fill(0);
  return number;
}

/** Tag and length in DER; nothing here is longer than 65535 octets. */
function header(tag: number, length: number): number[] {
  if (length < 0x80) return [tag, length];
  return length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
}

function wrap(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from(header(tag, length)), ...parts]);
}

/** A positive INTEGER: no zero in front, but where the first bit is set. */
function integer(octets: Uint8Array): Buffer {
  const first = octets.findIndex((octet) => octet !== 0);
  const digits = octets.subarray(first);
  return (digits[0] ?? 0) & 0x80 ? wrap(INTEGER, Buffer.of(0), digits) : wrap(INTEGER, digits);
}

/** Where the contents of the element at `offset` begin and end. The DER is OpenSSL's own, so anything unexpected is a bug. */
function contents(der: Uint8Array, offset: number, tag: number): { readonly start: number; readonly end: number } {
  const length = der[offset + 1] ?? 0;
  const more = length < 0x80 ? 0 : length - 0x80;
  const long = der.subarray(offset + 2, offset + 2 + more).reduce((value, octet) => value * 256 + octet, 0);
  const start = offset + 2 + more;
  const end = start + (more === 0 ? length : long);
  if (der[offset] !== tag || end > der.length) throw new Error("OpenSSL exported a Diffie-Hellman key in an unknown form");
  return { start, end };
}
