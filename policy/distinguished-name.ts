/**
 * Distinguished names: `C=DE, O=Example, CN=b` <-> DER (X.501 Name).
 * The text keeps the order of the DER, as IKE tools do, and not the reverse order of RFC 4514; escapes are RFC 4514's.
 * What is decoded comes from peers: bounded, and any surprise makes it undecodable instead of half decoded.
 */
import { err, ok, type Result } from "../isakmp/result.ts";

/** Attributes by short name; the first name of an OID is the one written. `type` is the string type they are encoded with. */
const ATTRIBUTES: readonly { readonly names: readonly string[]; readonly oid: string; readonly type: StringType }[] = [
  { names: ["CN"], oid: "2.5.4.3", type: "utf8" },
  { names: ["SURNAME"], oid: "2.5.4.4", type: "utf8" },
  { names: ["serialNumber"], oid: "2.5.4.5", type: "printable" },
  { names: ["C"], oid: "2.5.4.6", type: "printable" },
  { names: ["L"], oid: "2.5.4.7", type: "utf8" },
  { names: ["ST", "S"], oid: "2.5.4.8", type: "utf8" },
  { names: ["STREET"], oid: "2.5.4.9", type: "utf8" },
  { names: ["O"], oid: "2.5.4.10", type: "utf8" },
  { names: ["OU"], oid: "2.5.4.11", type: "utf8" },
  { names: ["T", "title"], oid: "2.5.4.12", type: "utf8" },
  { names: ["GN", "givenName"], oid: "2.5.4.42", type: "utf8" },
  { names: ["UID"], oid: "0.9.2342.19200300.100.1.1", type: "utf8" },
  { names: ["DC"], oid: "0.9.2342.19200300.100.1.25", type: "ia5" },
  { names: ["E", "emailAddress"], oid: "1.2.840.113549.1.9.1", type: "ia5" },
];

type StringType = "utf8" | "printable" | "ia5";
const STRING_TAG = { utf8: 0x0c, printable: 0x13, ia5: 0x16 } as const;
const [SEQUENCE, SET, OID] = [0x30, 0x31, 0x06];

/** Longer names are neither made nor read. */
const MAX_OCTETS = 4096;

/** The DER of a name. Errors say which part cannot be read. */
export function encodeName(text: string): Result<Uint8Array, string> {
  const names: Uint8Array[] = [];
  for (const part of splitOutsideEscapes(text, ",")) {
    const set: Uint8Array[] = [];
    for (const pair of splitOutsideEscapes(part, "+")) {
      const attribute = encodeAttribute(pair);
      if (!attribute.ok) return attribute;
      set.push(attribute.value);
    }
    names.push(tlv(SET, join(set.sort(compareOctets))));
  }
  const der = tlv(SEQUENCE, join(names));
  return der.length <= MAX_OCTETS ? ok(der) : err(`the name has ${der.length} octets; ${MAX_OCTETS} are the most`);
}

/** The text of a DER name, or undefined for octets that are none. `encodeName` of it need not give the same string types. */
export function decodeName(der: Uint8Array): string | undefined {
  const outer = der.length <= MAX_OCTETS ? elements(der) : undefined;
  const sets = outer?.length === 1 && outer[0]?.tag === SEQUENCE ? elements(outer[0].body) : undefined;
  const parts = sets?.map((set) => (set.tag === SET ? elements(set.body)?.map(attributeText) : undefined));
  if (!parts) return undefined;
  const texts: string[] = [];
  for (const part of parts) {
    if (!part || part.length === 0 || part.includes(undefined)) return undefined;
    texts.push(part.join("+"));
  }
  return texts.join(", ");
}

/** Splits at `separator` where no backslash stands before it and no quotes stand round it. */
function splitOutsideEscapes(text: string, separator: string): readonly string[] {
  const parts: string[] = [];
  let [start, inQuotes] = [0, false];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') inQuotes = !inQuotes;
    else if (text[at] === separator && !inQuotes) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function encodeAttribute(pair: string): Result<Uint8Array, string> {
  const equals = pair.indexOf("=");
  const keyword = pair.slice(0, Math.max(equals, 0)).trim();
  if (keyword === "") return err(`${JSON.stringify(pair.trim())} is not NAME=value; a comma inside a value is written "\\,"`);
  const known = ATTRIBUTES.find(({ names }) => names.some((name) => name.toLowerCase() === keyword.toLowerCase()));
  const oid = encodeOid(known?.oid ?? keyword);
  if (!oid) {
    return err(
      `unknown attribute ${JSON.stringify(keyword)}; known are ${ATTRIBUTES.map(({ names }) => names[0]).join(", ")}, and dotted numbers`,
    );
  }
  const raw = pair.slice(equals + 1).trim();
  if (raw !== "*" && /(^|[^\\])(\\\\)*\*/.test(raw))
    return err(`${keyword}: ${JSON.stringify(raw)}: a * stands for a whole value only; a star itself is written "\\2A"`);
  // Both would be the same octets, and a name that means one person must not match everybody.
  if (raw !== "*" && decodeUtf8(unescapeValue(raw) ?? new Uint8Array(0))?.trim() === "*")
    return err(`${keyword}: ${JSON.stringify(raw)}: a value that is a star alone can't be told from a pattern`);
  const value = encodeValue(raw, known?.type ?? "utf8");
  return value ? ok(tlv(SEQUENCE, join([tlv(OID, oid), value]))) : err(`${keyword}: ${JSON.stringify(raw)} is no value of it`);
}

/** `#hex` is DER as it stands (RFC 4514 §2.4); anything else is text. */
function encodeValue(raw: string, type: StringType): Uint8Array | undefined {
  if (/^#([0-9a-fA-F]{2})+$/.test(raw)) {
    const der = Uint8Array.from(raw.slice(1).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    return elements(der)?.length === 1 ? der : undefined;
  }
  const octets = unescapeValue(raw);
  if (!octets || octets.length === 0) return undefined;
  const ascii = octets.every((octet) => octet < 0x80);
  const text = decodeUtf8(octets);
  if (text === undefined) return undefined;
  if (type === "printable" && !PRINTABLE.test(text)) return tlv(STRING_TAG.utf8, octets);
  return type === "ia5" && !ascii ? undefined : tlv(STRING_TAG[type], octets);
}

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** Escapes of RFC 4514 §3: `\,` and `\C3\A4`; quotes round the value as in RFC 2253 §4. */
function unescapeValue(raw: string): Uint8Array | undefined {
  const inner = /^"(?:[^"\\]|\\.)*"$/s.test(raw) ? raw.slice(1, -1) : raw;
  const out: number[] = [];
  for (let at = 0; at < inner.length; ) {
    const hex = /^\\([0-9a-fA-F]{2})/.exec(inner.slice(at, at + 3));
    if (hex?.[1] !== undefined) {
      out.push(Number.parseInt(hex[1], 16));
      at += 3;
      continue;
    }
    if (inner[at] === "\\") at++;
    const point = inner.codePointAt(at);
    if (point === undefined) return undefined;
    const char = String.fromCodePoint(point);
    out.push(...new TextEncoder().encode(char));
    at += char.length;
  }
  return Uint8Array.from(out);
}

function attributeText(attribute: Element): string | undefined {
  const [oid, value, ...rest] = attribute.tag === SEQUENCE ? (elements(attribute.body) ?? []) : [];
  if (!oid || !value || rest.length > 0 || oid.tag !== OID) return undefined;
  const dotted = decodeOid(oid.body);
  if (dotted === undefined) return undefined;
  const known = ATTRIBUTES.find((row) => row.oid === dotted);
  return `${known?.names[0] ?? dotted}=${valueText(value, known?.type ?? "utf8")}`;
}

/** Text where reading it again gives the same octets, else `#hex`. */
function valueText(value: Element, type: StringType): string {
  const text = STRING_TAGS.has(value.tag) ? decodeUtf8(value.body) : undefined;
  const shown = text
    ?.replace(/[\\",+;<>#=]/g, "\\$&")
    .replace(/^ | $/g, "\\20")
    .replace(UNSEEN, hexEscape);
  if (shown !== undefined && sameOctets(encodeValue(shown, type), value.der)) return shown;
  // The string type differs from ours, or it is no string at all: show readable text all the same where that is harmless.
  if (text && READABLE.test(text)) return shown ?? text;
  return `#${Array.from(value.der, (octet) => octet.toString(16).padStart(2, "0")).join("")}`;
}

const STRING_TAGS: ReadonlySet<number> = new Set(Object.values(STRING_TAG));
/** Control and format characters: a peer's name must not paint on terminals or hide what it says. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const READABLE = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u;

const hexEscape = (char: string): string =>
  Array.from(new TextEncoder().encode(char), (octet) => `\\${octet.toString(16).toUpperCase().padStart(2, "0")}`).join("");

export interface Element {
  readonly tag: number;
  readonly body: Uint8Array;
  /** Tag and length too. */
  readonly der: Uint8Array;
}

/** The elements that fill `der` exactly, or undefined. Lengths must be minimal, as DER wants (X.690 §10.1). */
export function elements(der: Uint8Array): readonly Element[] | undefined {
  const out: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const [tag, first] = [der[at], der[at + 1]];
    if (tag === undefined || first === undefined || first === 0x80 || first > 0x82) return undefined;
    const lengthOctets = first & 0x80 ? first & 0x7f : 0;
    let length = lengthOctets === 0 ? first : 0;
    for (let i = 0; i < lengthOctets; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
    if (lengthOctets > 0 && length < (lengthOctets === 1 ? 0x80 : 0x100)) return undefined;
    const start = at + 2 + lengthOctets;
    if (start + length > der.length) return undefined;
    out.push({ tag, body: der.subarray(start, start + length), der: der.subarray(at, start + length) });
    at = start + length;
  }
  return out;
}

function tlv(tag: number, body: Uint8Array): Uint8Array {
  const length =
    body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return join([Uint8Array.of(tag, ...length), body]);
}

/** Largest arc of an OID that is read or written. */
const OID_LIMIT = 0xffff_ffff;

function encodeOid(dotted: string): Uint8Array | undefined {
  if (!/^[0-2](\.(0|[1-9]\d{0,9})){1,20}$/.test(dotted)) return undefined;
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  if ((first < 2 && second > 39) || rest.some((number) => number > OID_LIMIT) || second > OID_LIMIT - 80) return undefined;
  const octets = [first * 40 + second, ...rest].flatMap((number) => {
    const groups = [number % 128];
    for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left % 128) + 128);
    return groups;
  });
  return Uint8Array.from(octets);
}

function decodeOid(octets: Uint8Array): string | undefined {
  const numbers: number[] = [];
  let [number, open] = [0, false];
  for (const octet of octets) {
    // A leading zero group would give one OID two spellings (X.690 §8.19.2).
    if (!open && octet === 0x80) return undefined;
    number = (open ? number * 128 : 0) + (octet & 0x7f);
    if (number > OID_LIMIT) return undefined;
    open = octet >= 0x80;
    if (!open) numbers.push(number);
  }
  const [head, ...rest] = numbers;
  if (open || head === undefined) return undefined;
  const first = Math.min(Math.floor(head / 40), 2);
  return [first, head - first * 40, ...rest].join(".");
}

function decodeUtf8(octets: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return undefined;
  }
}

const join = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const sameOctets = (a: Uint8Array | undefined, b: Uint8Array): boolean => a !== undefined && compareOctets(a, b) === 0;

/** DER's order of the elements of a SET OF (X.690 §11.6). */
function compareOctets(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
