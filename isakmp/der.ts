/**
 * DER (X.690) as certificates, CRLs and PKCS#7 carry it: a bounded cursor over elements, for octets that a peer sent.
 * Invariant: definite, minimal lengths and single-octet tags only, so that one value has one encoding; what is read are views, nothing is copied.
 */
import type { Reader } from "./reader.ts";

/** Tags, X.680 §8.4; `context` gives the constructed or primitive tags of a CHOICE or an optional field. */
export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a constructed element `[number]`. */
export const constructed = (number: number): number => 0xa0 | number;
/** Tag of a primitive element `[number] IMPLICIT`. */
export const primitive = (number: number): number => 0x80 | number;

/** One element: `der` with tag and length, `body` without. */
export interface DerElement {
  readonly tag: number;
  readonly body: Reader;
  readonly der: Uint8Array;
}

/** The next element, whatever its tag. */
export function anyElement(r: Reader, what: string): DerElement {
  const at = r.at;
  const whole = r.peek();
  const tag = r.uint(1, what);
  if ((tag & 0x1f) === 0x1f) r.fail(`${what}: a tag of several octets`, at);
  const body = r.sub(lengthOf(r, what), what);
  return { tag, body, der: whole.subarray(0, r.at - at) };
}

/** The next element, which has to have this tag. */
export function element(r: Reader, tag: number, what: string): DerElement {
  const at = r.at;
  const found = anyElement(r, what);
  if (found.tag !== tag) r.fail(`${what}: tag ${found.tag} where ${tag} belongs`, at);
  return found;
}

/** The next element if it has this tag. */
export const optional = (r: Reader, tag: number, what: string): DerElement | undefined =>
  r.left > 0 && r.peek()[0] === tag ? element(r, tag, what) : undefined;

/** Contents of an element with this tag that fills the reader: nothing may follow it. */
export function only(r: Reader, tag: number, what: string): Reader {
  const { body } = element(r, tag, what);
  r.finish(what);
  return body;
}

/** Every element up to the end, at most `max` of them. */
export function each(r: Reader, max: number, what: string): readonly DerElement[] {
  const found: DerElement[] = [];
  while (r.left > 0) {
    if (found.length === max) r.fail(`${what}: more than ${max}`);
    found.push(anyElement(r, what));
  }
  return found;
}

/** An object identifier in dotted decimals. Arcs beyond 2^32 are refused. */
export function oid(r: Reader, what: string): string {
  const { body } = element(r, DER.oid, what);
  return oidText(body, what);
}

/** The same of an element's contents. */
export function oidText(body: Reader, what: string): string {
  const at = body.at;
  const arcs: number[] = [];
  let [arc, open] = [0, false];
  for (const octet of body.rest()) {
    // A leading zero group would give one identifier two spellings (X.690 §8.19.2).
    if (!open && octet === 0x80) body.fail(`${what}: object identifier with a leading zero`, at);
    arc = arc * 128 + (octet & 0x7f);
    if (arc > 0xffff_ffff) body.fail(`${what}: object identifier with a huge arc`, at);
    open = octet >= 0x80;
    if (open) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [head, ...rest] = arcs;
  if (open || head === undefined) body.fail(`${what}: unfinished object identifier`, at);
  const first = Math.min(Math.floor(head / 40), 2);
  return [first, head - first * 40, ...rest].join(".");
}

/** A boolean; DER knows 0 and 255 only. */
export function boolean(body: Reader, what: string): boolean {
  const value = body.uint(1, what);
  body.finish(what);
  if (value !== 0 && value !== 0xff) body.fail(`${what}: boolean ${value}`);
  return value === 0xff;
}

/** A non-negative integer below 2^31. */
export function smallInteger(body: Reader, what: string): number {
  const octets = body.rest();
  if (octets.length === 0 || octets.length > 4 || (octets[0] ?? 0) > 0x7f) body.fail(`${what}: not an integer from 0 to 2^31`);
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

/** The octets of a BIT STRING that has no unused bits. */
export function wholeBits(body: Reader, what: string): Uint8Array {
  if (body.uint(1, what) !== 0) body.fail(`${what}: bits that make no whole octets`);
  return body.rest();
}

/** The first 32 named bits of a BIT STRING: bit 0 is the value 1. */
export function namedBits(body: Reader, what: string): number {
  const unused = body.uint(1, what);
  const octets = body.rest();
  if (unused > 7 || (octets.length === 0 && unused > 0)) body.fail(`${what}: ${unused} unused bits`);
  let bits = 0;
  for (let i = 0; i < Math.min(octets.length * 8 - unused, 32); i++) {
    if (((octets[i >> 3] as number) >> (7 - (i & 7))) & 1) bits |= 1 << i;
  }
  return bits >>> 0;
}

/** A UTCTime or GeneralizedTime of RFC 5280 §4.1.2.5 (UTC, seconds, no fractions), in milliseconds since 1970. */
export function time(r: Reader, what: string): number {
  const at = r.at;
  const { tag, body } = anyElement(r, what);
  const text = String.fromCharCode(...body.rest().subarray(0, 16));
  const short = tag === DER.utcTime ? /^(\d\d)(\d{4})(\d{6})Z$/.exec(text) : undefined;
  const digits = short
    ? `${Number(short[1]) >= 50 ? "19" : "20"}${short[1]}${short[2]}${short[3]}`
    : tag === DER.generalizedTime
      ? (/^(\d{14})Z$/.exec(text)?.[1] ?? "")
      : "";
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(digits) ?? [];
  const value = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(value)) r.fail(`${what}: no time`, at);
  return value;
}

function lengthOf(r: Reader, what: string): number {
  const at = r.at;
  const first = r.uint(1, what);
  if (first < 0x80) return first;
  const octets = first & 0x7f;
  if (octets === 0 || octets > 3)
    r.fail(octets === 0 ? `${what}: indefinite length, which DER has not` : `${what}: length of ${octets} octets`, at);
  const length = r.uint(octets, what);
  if (length < 0x80 || (octets > 1 && length < 256 ** (octets - 1))) r.fail(`${what}: a length that is not minimal`, at);
  return length;
}
