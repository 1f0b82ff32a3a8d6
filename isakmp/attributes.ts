/**
 * Data attributes, RFC 2408 §3.3: a 15-bit class and either two octets (AF bit set, "basic") or a length and octets ("variable").
 * Both encodings survive a round trip: the responder returns the chosen transform as it came (RFC 2409 §5).
 */
import { type Codec, list } from "./codec.ts";
import { toHex } from "./hex.ts";
import { type Malformed, type Reader, readWith } from "./reader.ts";
import type { Result } from "./result.ts";
import type { Writer } from "./writer.ts";

/** One attribute as it stood on the wire. `value` has 2 octets where the format is basic. */
export interface Attribute {
  readonly type: number;
  readonly format: "basic" | "variable";
  readonly value: Uint8Array;
}

/** An attribute of two octets. */
export const basic = (type: number, number: number): Attribute => ({ type, format: "basic", value: bigEndian(number, 2) });

/** An attribute of any length. */
export const variable = (type: number, value: Uint8Array): Attribute => ({ type, format: "variable", value });

/** A number in the shorter form: basic below 65536, else variable in four octets. RangeError beyond 32 bits. */
export const numberAttribute = (type: number, number: number): Attribute =>
  number < 0x10000 ? basic(type, number) : variable(type, bigEndian(number, 4));

/** The attribute as a number of at most 48 bits, leading zeros aside; undefined where it holds more, or nothing. */
export function attributeNumber({ value }: Attribute): number | undefined {
  let number = 0;
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  if (value.length === 0 || value.length - start > 6) return undefined;
  for (let i = start; i < value.length; i++) number = number * 256 + (value[i] ?? 0);
  return number;
}

/** The wire form of one attribute. */
export const ATTRIBUTE: Codec<Attribute> = { name: "attribute", encode, decode, describe };

/** Attributes up to the end of a transform or notification. No transform that is meant to be read has 64. */
export const ATTRIBUTES: Codec<readonly Attribute[]> = list(ATTRIBUTE, 64);

/** Attributes outside an SA payload, as in the data of RESPONDER-LIFETIME (RFC 2407 §4.6.3.1). */
export const decodeAttributes = (bytes: Uint8Array): Result<readonly Attribute[], Malformed> =>
  readWith(bytes, (r) => ATTRIBUTES.decode(r));

const AF = 0x8000;

function encode(a: Attribute, out: Writer): void {
  if (!Number.isInteger(a.type) || a.type < 0 || a.type >= AF) throw new RangeError(`attribute class ${a.type} does not fit into 15 bits`);
  if (a.format === "basic") {
    if (a.value.length !== 2) throw new RangeError(`basic attribute ${a.type} with ${a.value.length} octets`);
    out.uint(AF | a.type, 2);
  } else {
    out.uint(a.type, 2);
    out.uint(a.value.length, 2);
  }
  out.bytes(a.value);
}

function decode(r: Reader): Attribute {
  const head = r.uint(2, "attribute class");
  const type = head & (AF - 1);
  if (head & AF) return { type, format: "basic", value: octetsOf(r, 2, type) };
  // Texts are made only for complaints: there are a dozen attributes in a message.
  if (r.left < 2) r.uint(2, `length of attribute ${type}`);
  return { type, format: "variable", value: octetsOf(r, r.uint(2, "length of an attribute"), type) };
}

const octetsOf = (r: Reader, size: number, type: number): Uint8Array => r.bytes(size, r.left < size ? `attribute ${type}` : "attribute");

function describe(a: Attribute): string {
  return `${a.type}=${attributeNumber(a) ?? toHex(a.value)}`;
}

function bigEndian(number: number, size: number): Uint8Array {
  if (!Number.isInteger(number) || number < 0 || number >= 256 ** size) throw new RangeError(`${number} does not fit into ${size} octets`);
  const out = new Uint8Array(size);
  for (let i = size - 1, left = number; i >= 0; i--, left = Math.floor(left / 256)) out[i] = left % 256;
  return out;
}
