/**
 * IPv4 and IPv6 addresses, prefixes and ranges: text, octets, and sets of addresses as closed intervals.
 * Text is canonical: dotted quad, or RFC 5952. A link-local zone ("%eth0") is refused, since ID payloads can't carry it.
 */
import { uint32, uint32Octets } from "./octets.ts";

export type Family = 4 | 6;

/** A closed interval of addresses of one family; a host is a range of one. */
export interface AddressRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** Address width in bits. */
export const bitsOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** Every address of a family. */
export const everyAddress = (family: Family): AddressRange => ({ family, first: 0n, last: (1n << BigInt(bitsOf(family))) - 1n });

/** Reads an address; undefined if the text is none. */
export function parseAddress(text: string): { readonly family: Family; readonly value: bigint } | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** Canonical text of an address, or undefined if the text is none. */
export function canonicalAddress(text: string): string | undefined {
  // A dotted quad without leading zeros is canonical as it stands.
  if (!text.includes(":")) return ipv4Number(text) === undefined ? undefined : text;
  const address = parseIpv6(text);
  return address && formatAddress(address.family, address.value);
}

/** Reads `ADDRESS`, `ADDRESS/LENGTH` or `FIRST-LAST`. Host bits beyond a prefix are cleared. */
export function parseRange(text: string): AddressRange | undefined {
  const dash = text.indexOf("-");
  if (dash > 0) {
    const [first, last] = [parseAddress(text.slice(0, dash)), parseAddress(text.slice(dash + 1))];
    if (!first || !last || first.family !== last.family || first.value > last.value) return undefined;
    return { family: first.family, first: first.value, last: last.value };
  }
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  if (slash < 0) return hostRange(address.family, address.value);
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > bitsOf(address.family)) return undefined;
  return prefixRange(address.family, address.value, Number(length));
}

/** The range of a single address. */
export const hostRange = (family: Family, value: bigint): AddressRange => ({ family, first: value, last: value });

/** The range that a prefix of `length` bits spans. */
export function prefixRange(family: Family, value: bigint, length: number): AddressRange {
  const host = (1n << BigInt(bitsOf(family) - length)) - 1n;
  return { family, first: value & ~host, last: value | host };
}

/** Prefix length of a range that is exactly one prefix, else undefined. */
export function prefixLength(range: AddressRange): number | undefined {
  if (isHost(range)) return bitsOf(range.family);
  const size = range.last - range.first + 1n;
  if ((size & (size - 1n)) !== 0n || range.first % size !== 0n) return undefined;
  return bitsOf(range.family) - (size.toString(2).length - 1);
}

/** `ADDRESS/LENGTH` where the range is a prefix, `FIRST-LAST` where it is not (the form of interface.md §3). */
export function formatRange(range: AddressRange): string {
  const length = prefixLength(range);
  const first = formatAddress(range.family, range.first);
  return length === undefined ? `${first}-${formatAddress(range.family, range.last)}` : `${first}/${length}`;
}

/** The fewest prefixes that cover a range exactly (at most 2 * bits - 2). */
export const prefixesOf = (range: AddressRange): readonly { readonly address: string; readonly length: number }[] =>
  splitRange(range).map(({ first, length }) => ({ address: formatAddress(range.family, first), length }));

/** The same with their first addresses as numbers. */
export function splitRange(range: AddressRange): readonly { readonly first: bigint; readonly length: number }[] {
  const out: { first: bigint; length: number }[] = [];
  const bits = bitsOf(range.family);
  if (isHost(range)) return [{ first: range.first, length: bits }];
  for (let at = range.first; at <= range.last; ) {
    let size = at === 0n ? 1n << BigInt(bits) : at & -at;
    while (at + size - 1n > range.last) size >>= 1n;
    out.push({ first: at, length: bits - (size.toString(2).length - 1) });
    at += size;
  }
  return out;
}

/** Whether a range is a single address. */
export const isHost = (range: AddressRange): boolean => range.first === range.last;

/** Whether every address of `inner` is in `outer`. */
export const covers = (outer: AddressRange, inner: AddressRange): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;

/** Whether two ranges hold the same addresses. */
export const sameRange = (a: AddressRange, b: AddressRange): boolean => a.family === b.family && a.first === b.first && a.last === b.last;

/** Whether a range holds the address `text`; false for a text that is no address. */
export const includesAddress = (range: AddressRange, text: string): boolean => {
  const address = parseAddress(text);
  return address !== undefined && covers(range, hostRange(address.family, address.value));
};

/** The common part of two ranges, or undefined. */
export function intersection(a: AddressRange, b: AddressRange): AddressRange | undefined {
  if (a.family !== b.family) return undefined;
  const first = a.first > b.first ? a.first : b.first;
  const last = a.last < b.last ? a.last : b.last;
  return first <= last ? { family: a.family, first, last } : undefined;
}

/** The 4 or 16 octets of an address as text, network order; undefined for a text that is none. */
export function addressOctets(text: string): Uint8Array | undefined {
  const quad = ipv4Number(text);
  if (quad !== undefined) return uint32Octets(quad);
  const address = parseAddress(text);
  return address && addressBytes(address.family, address.value);
}

/** 4 or 16 octets, network order. */
export function addressBytes(family: Family, value: bigint): Uint8Array {
  if (family === 4) return uint32Octets(Number(value));
  const out = new Uint8Array(16);
  let rest = value;
  for (let i = out.length - 1; i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}

/** The address in 4 or 16 octets; undefined for any other length. */
export function addressFromBytes(bytes: Uint8Array): { readonly family: Family; readonly value: bigint } | undefined {
  if (bytes.length === 4) return { family: 4, value: BigInt(uint32(bytes)) };
  if (bytes.length !== 16) return undefined;
  let value = 0n;
  for (let at = 0; at < 16; at += 4) value = (value << 32n) | BigInt(uint32(bytes, at));
  return { family: 6, value };
}

/** Canonical text of an address. */
export function formatAddress(family: Family, value: bigint): string {
  if (family === 4) {
    const quad = Number(value);
    return `${quad >>> 24}.${(quad >>> 16) & 255}.${(quad >>> 8) & 255}.${quad & 255}`;
  }
  const bytes = addressBytes(family, value);
  const groups = Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16));
  return shortenZeros(groups);
}

/** `ADDRESS:PORT`, with brackets round an IPv6 address. */
export const formatEndpoint = (address: string, port: number): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

function parseIpv4(text: string): { family: 4; value: bigint } | undefined {
  const value = ipv4Number(text);
  return value === undefined ? undefined : { family: 4, value: BigInt(value) };
}

const [DOT, ZERO] = [0x2e, 0x30];

/** A dotted quad, no leading zeros. Character by character, since the addresses of every datagram pass here. */
function ipv4Number(text: string): number | undefined {
  let [value, parts, part, digits] = [0, 0, 0, 0];
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? DOT : text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || part > 255) return undefined;
      value = value * 256 + part;
      parts++;
      part = 0;
      digits = 0;
    } else {
      const digit = code - ZERO;
      if (digit < 0 || digit > 9 || digits === 3 || (digits > 0 && part === 0)) return undefined;
      part = part * 10 + digit;
      digits++;
    }
  }
  return parts === 4 ? value : undefined;
}

function parseIpv6(text: string): { family: 6; value: bigint } | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = [groupsOf(halves[0] ?? "", halves.length === 1), halves.length === 2 ? groupsOf(halves[1] ?? "", true) : []];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<bigint>(halves.length === 2 ? missing : 0).fill(0n), ...tail];
  return { family: 6, value: groups.reduce((value, group) => (value << 16n) | group, 0n) };
}

/** 16-bit groups of one side of "::"; the last one may be a dotted quad where the side ends the address. */
function groupsOf(text: string, isEnd: boolean): bigint[] | undefined {
  if (text === "") return [];
  const out: bigint[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (isEnd && i === parts.length - 1 && part.includes(".")) {
      const quad = parseIpv4(part);
      if (!quad) return undefined;
      out.push(quad.value >> 16n, quad.value & 0xffffn);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(BigInt(`0x${part}`));
    else return undefined;
  }
  return out;
}

/** RFC 5952 §4.2: the longest run of two or more zero groups becomes "::", the first one if equal. */
function shortenZeros(groups: readonly string[]): string {
  let [start, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === "0") run++;
    if (run > length) [start, length] = [i, run];
  }
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}
