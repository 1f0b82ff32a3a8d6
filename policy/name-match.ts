/**
 * Distinguished names compared and matched against a configured pattern. Equal octets are equal names; where octets differ, RFC 5280 §7.1 decides:
 * names are equal where attributes, order and characters are; the string type they are encoded with says nothing about who somebody is, and
 * neither do the case of letters and runs of blanks. A value that is no string is compared octet by octet.
 */
import { elements } from "./distinguished-name.ts";

/** A text that is equal for equal names; undefined for octets that are no name. */
export function nameKey(der: Uint8Array): string | undefined {
  const parts = partsOf(der);
  return parts && JSON.stringify(parts.map((set) => set.map(({ type, value }) => `${type}=${value}`).sort()));
}

/** Its relative names in order, each as a text that is equal for equal ones. */
export const nameParts = (der: Uint8Array): readonly string[] | undefined =>
  partsOf(der)?.map((set) => JSON.stringify(set.map(({ type, value }) => `${type}=${value}`).sort()));

/** The texts of an attribute in a name, in lower case; `type`: the octets of its object identifier in hex. */
export const attributeTexts = (der: Uint8Array, type: string): readonly string[] =>
  (partsOf(der) ?? []).flatMap((set) =>
    set.filter((part) => part.type === type && part.value.startsWith("t:")).map(({ value }) => value.slice(2)),
  );

/** Whether two names are the same: octet by octet, else as RFC 5280 §7.1 has it. Octets that are no name equal nothing but themselves. */
export function sameName(a: Uint8Array, b: Uint8Array): boolean {
  if (sameOctets(a, b)) return true;
  const one = nameKey(a);
  return one !== undefined && one === nameKey(b);
}

/**
 * Whether two names are written the same: octet by octet, or the same attributes with the same characters in the same order, capitals and
 * blanks included, in whatever string types. It is what an ID payload and a certificate's subject have to be to each other.
 */
export const sameWriting = (a: Uint8Array, b: Uint8Array): boolean => {
  if (sameOctets(a, b)) return true;
  const one = writing(a);
  return one !== undefined && one === writing(b);
};

const writing = (der: Uint8Array): string | undefined => {
  const parts = partsOf(der, (text) => text);
  return parts && JSON.stringify(parts.map((set) => set.map(({ type, value }) => `${type}=${value}`).sort()));
};

/** Whether a name fits a pattern: the same attributes in the same order, a value `*` of the pattern stands for any one value. */
export function nameMatches(pattern: Uint8Array, name: Uint8Array): boolean {
  if (sameOctets(pattern, name)) return true;
  const [wanted, found] = [partsOf(pattern), partsOf(name)];
  if (!wanted || !found || wanted.length !== found.length) return false;
  return wanted.every((set, i) => setMatches(set, found[i] ?? []));
}

/** Whether a name has a value `*`: then it is a pattern and nobody's name. */
export const isPattern = (der: Uint8Array): boolean => partsOf(der)?.some((set) => set.some(({ value }) => value === ANY)) ?? false;

interface Part {
  /** The object identifier's octets in hex. */
  readonly type: string;
  readonly value: string;
}

/** What the value `*` becomes. */
const ANY = "t:*";
const SEQUENCE = 0x30;
const SET = 0x31;
const OID = 0x06;

/** In a relative name of several attributes each may occur once (X.501 §9.3), so attributes are paired by type. */
function setMatches(wanted: readonly Part[], found: readonly Part[]): boolean {
  const left = [...found];
  for (const { type, value } of wanted) {
    const at = left.findIndex((part) => part.type === type && (value === ANY || part.value === value));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

function partsOf(der: Uint8Array, fold = folded): readonly (readonly Part[])[] | undefined {
  const outer = der.length <= MAX_OCTETS ? elements(der) : undefined;
  const sets = outer?.length === 1 && outer[0]?.tag === SEQUENCE ? elements(outer[0].body) : undefined;
  const parts = sets?.map((set) => (set.tag === SET ? elements(set.body)?.map((pair) => partOf(pair.tag, pair.body, fold)) : undefined));
  return parts?.every((set) => set && set.length > 0 && set.every((part) => part !== undefined))
    ? (parts as readonly (readonly Part[])[])
    : undefined;
}

const MAX_OCTETS = 4096;

function partOf(tag: number, body: Uint8Array, fold: typeof folded): Part | undefined {
  const [type, value, ...rest] = tag === SEQUENCE ? (elements(body) ?? []) : [];
  if (!type || !value || rest.length > 0 || type.tag !== OID) return undefined;
  const text = TEXT_OF[value.tag]?.(value.body);
  return { type: hex(type.body), value: text === undefined ? `x:${hex(value.der)}` : `t:${fold(text)}` };
}

const folded = (text: string): string => text.trim().replace(/\s+/g, " ").toLowerCase();

const latin = (octets: Uint8Array): string => octets.reduce((text, octet) => text + String.fromCharCode(octet), "");

/** Readers of the string types (X.680 §41) that names are encoded with. */
const TEXT_OF: Readonly<Record<number, (octets: Uint8Array) => string | undefined>> = {
  [0x0c]: (octets) => decoded("utf-8", octets),
  [0x13]: latin,
  [0x14]: latin,
  [0x16]: latin,
  [0x1e]: (octets) => (octets.length % 2 === 0 ? decoded("utf-16be", octets) : undefined),
};

function decoded(encoding: string, octets: Uint8Array): string | undefined {
  try {
    if (encoding !== "utf-16be") return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(octets);
    const swapped = octets.map((_, i) => octets[i ^ 1] ?? 0);
    return new TextDecoder("utf-16le", { fatal: true, ignoreBOM: true }).decode(swapped);
  } catch {
    return undefined;
  }
}

const hex = (octets: Uint8Array): string => Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
const sameOctets = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((octet, i) => octet === b[i]);
