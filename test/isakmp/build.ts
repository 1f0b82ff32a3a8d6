/** Octets by hand, so that tests of faults don't lean on the encoder they would have to break. */
import { fromHex } from "../../isakmp/hex.ts";

/** Joins numbers (one octet each), hexadecimal texts (spaces are for the eye) and octets. */
export function octets(...parts: readonly (number | string | Uint8Array)[]): Uint8Array {
  const out: number[] = [];
  for (const part of parts) {
    if (typeof part === "number") out.push(part);
    else if (typeof part === "string") out.push(...hex(part));
    else out.push(...part);
  }
  return Uint8Array.from(out);
}

/** Octets of a hexadecimal text. */
export function hex(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll(/\s/g, ""));
  if (!bytes) throw new Error(`no hexadecimal text: ${text}`);
  return bytes;
}

export const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
export const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff);

/** A generic header and a body; `length` only to lie about it. */
export const generic = (next: number, body: Uint8Array, length = body.length + 4): Uint8Array => octets(next, 0, u16(length), body);

/** A whole datagram: Identity Protection, cookies of 1 and 2, message id 0; `length` only to lie about it. */
export const datagram = (first: number, body: Uint8Array, length = 28 + body.length): Uint8Array =>
  octets("0101010101010101 0202020202020202", first, "10 02 00 00000000", u32(length), body);

/** DOI IPSEC and SIT_IDENTITY_ONLY, in front of proposals. */
export const SA_HEAD = hex("00000001 00000001");
