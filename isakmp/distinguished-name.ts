/**
 * Readable text of an X.501 name in DER, as ID_DER_ASN1_DN and certificate requests carry it (RFC 2407 §4.6.2.11).
 * For logs only: nothing is decided by this text. Order is that of the encoding; values are made safe to print.
 */
import { printable, toHex } from "./hex.ts";
import { type Reader, readWith } from "./reader.ts";

/** `C=DE, O=Example, CN=b`, or undefined where the octets are no name. At most 64 parts are read. */
export function describeName(der: Uint8Array): string | undefined {
  const parts = readWith(der, (r) => {
    const names = element(r, SEQUENCE);
    r.finish("the name");
    const out: string[] = [];
    while (names.left > 0) {
      if (out.length === 64) names.fail("more than 64 parts");
      const set = element(names, SET);
      const values: string[] = [];
      while (set.left > 0) values.push(part(element(set, SEQUENCE)));
      out.push(values.join("+"));
    }
    return out;
  });
  return parts.ok ? parts.value.join(", ") : undefined;
}

const SEQUENCE = 0x30;
const SET = 0x31;
const OBJECT_IDENTIFIER = 0x06;
const BMP_STRING = 0x1e;

/** Attribute types by the octets of their object identifier, RFC 4519 and RFC 2985. */
const TYPES: Readonly<Record<string, string>> = {
  "550403": "CN",
  "550404": "SN",
  "550405": "serialNumber",
  "550406": "C",
  "550407": "L",
  "550408": "ST",
  "550409": "STREET",
  "55040a": "O",
  "55040b": "OU",
  "55040c": "title",
  "55042a": "GN",
  "0992268993f22c640101": "UID",
  "0992268993f22c640119": "DC",
  "2a864886f70d010901": "emailAddress",
};

/** The contents of the next element, which must have the tag; lengths of up to two octets. */
function element(r: Reader, tag: number): Reader {
  const at = r.at;
  const found = r.uint(1, "tag");
  if (found !== tag) r.fail(`tag ${found} where ${tag} belongs`, at);
  return contents(r);
}

function contents(r: Reader): Reader {
  const first = r.uint(1, "length");
  if (first < 0x80) return r.sub(first, "element");
  if (first !== 0x81 && first !== 0x82) r.fail(`length of form ${first}`);
  return r.sub(r.uint(first - 0x80, "length"), "element");
}

function part(r: Reader): string {
  const type = toHex(element(r, OBJECT_IDENTIFIER).rest());
  const tag = r.uint(1, "tag");
  const value = contents(r).rest();
  r.finish("the attribute");
  // A BMPString has two octets a character; in a name of Latin letters the first of each is zero.
  const octets = tag === BMP_STRING && value.every((octet, i) => i % 2 === 1 || octet === 0) ? value.filter((_, i) => i % 2 === 1) : value;
  return `${TYPES[type] ?? type}=${printable(octets)}`;
}
