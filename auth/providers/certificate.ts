/**
 * An X.509 certificate read into what IKE decides by (RFC 5280 §4). One parser for all of it: no second one may see other names or flags than
 * those that were checked. Signatures and keys are `signed.ts`'s, paths `path.ts`'s.
 */
import {
  boolean,
  constructed,
  DER,
  type DerElement,
  each,
  element,
  namedBits,
  oid,
  only,
  optional,
  primitive,
  smallInteger,
  time,
} from "../../isakmp/der.ts";
import { toHex } from "../../isakmp/hex.ts";
import { type Malformed, type Reader, readWith } from "../../isakmp/reader.ts";
import { err, type Result } from "../../isakmp/result.ts";
import { decodeName } from "../../policy/distinguished-name.ts";
import { nameKey } from "../../policy/name-match.ts";
import { readPoints } from "./distribution-points.ts";
import { type GeneralNames, generalNamesOf, type NameConstraints, NO_NAMES, readNameConstraints } from "./general-names.ts";
import { readSigned, type Signed } from "./signed.ts";

/** An X.501 name as it stands, for comparing (`key`) and for reading. */
export interface Name {
  readonly der: Uint8Array;
  readonly key: string;
  readonly text: string;
}

export interface Certificate {
  readonly der: Uint8Array;
  /** What the issuer signed. */
  readonly signed: Signed;
  readonly version: number;
  /** Hex digits. */
  readonly serial: string;
  readonly issuer: Name;
  readonly subject: Name;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly extensions: Extensions;
}

/** undefined: the certificate does not say. */
export interface Extensions {
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  /** Bits of `KEY_USAGE`. */
  readonly keyUsage: number | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly names: GeneralNames;
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyId: string | undefined;
  readonly authorityKeyId: string | undefined;
  /** Where its list is, as `readPoints` names that. */
  readonly listPoints: readonly string[];
  /** Object identifiers of critical extensions that are not understood: RFC 5280 §4.2 refuses the certificate. */
  readonly unknownCritical: readonly string[];
}

/** RFC 5280 §4.2.1.3. */
export const KEY_USAGE = { digitalSignature: 1 << 0, nonRepudiation: 1 << 1, keyCertSign: 1 << 5, cRLSign: 1 << 6 } as const;

/** Octets of a certificate; the largest ones in use have some 8 kB. */
export const MAX_CERTIFICATE = 16_384;

/** Reads one certificate in DER. The error says where it stops making sense. */
export function readCertificate(der: Uint8Array): Result<Certificate, string> {
  if (der.length > MAX_CERTIFICATE) return err(`it has ${der.length} octets; ${MAX_CERTIFICATE} are read`);
  const read: Result<Certificate, Malformed> = readWith(der, (r) => {
    const signed = readSigned(r, "certificate");
    return readTbs(der, signed, signed.contents.fork());
  });
  return read.ok ? read : err(`at octet ${read.error.offset}: ${read.error.what}`);
}

/** Whether two certificates are the same one. */
export const sameCertificate = (a: Certificate, b: Certificate): boolean => Buffer.compare(a.der, b.der) === 0;

/** Whether it names itself as its issuer. */
export const isSelfIssued = ({ subject, issuer }: Certificate): boolean => subject.key === issuer.key;

/** Short text for messages: the subject, or the serial number where there is none. */
export const certificateTitle = ({ subject, serial }: Certificate): string => (subject.text === "" ? `serial ${serial}` : subject.text);

function readTbs(der: Uint8Array, signed: Signed, r: Reader): Certificate {
  const version = optional(r, constructed(0), "version");
  const number = version ? smallInteger(only(version.body, DER.integer, "version"), "version") + 1 : 1;
  const serial = element(r, DER.integer, "serial number").body.rest();
  if (serial.length === 0 || serial.length > 21) r.fail(`serial number of ${serial.length} octets`);
  const algorithm = element(r, DER.sequence, "signature algorithm");
  // The algorithm that is signed must be the one that is used (RFC 5280 §4.1.1.2).
  if (Buffer.compare(algorithm.der, signed.algorithm.der) !== 0) r.fail("two different signature algorithms");
  const issuer = readName(r, "issuer");
  const validity = element(r, DER.sequence, "validity").body;
  const [notBefore, notAfter] = [time(validity, "not before"), time(validity, "not after")];
  const subject = readName(r, "subject");
  const publicKey = element(r, DER.sequence, "public key").der;
  for (const number of [1, 2]) optional(r, primitive(number), "unique identifier");
  const listed = optional(r, constructed(3), "extensions");
  r.finish("the certificate's contents");
  if (listed && number !== 3) r.fail(`extensions in version ${number}`);
  const extensions = listed ? readExtensions(only(listed.body, DER.sequence, "extensions")) : NO_EXTENSIONS;
  return { der, signed, version: number, serial: toHex(serial), issuer, subject, notBefore, notAfter, publicKey, extensions };
}

/** A name; one that cannot be compared is refused. */
export function readName(r: Reader, what: string): Name {
  const { der } = element(r, DER.sequence, what);
  const [key, text] = [nameKey(der), decodeName(der)];
  if (key === undefined || text === undefined) r.fail(`${what}: no distinguished name`);
  return { der, key, text };
}

/** One extension of a certificate or CRL. */
export interface Extension {
  readonly id: string;
  readonly critical: boolean;
  readonly value: DerElement;
}

const MAX_EXTENSIONS = 64;

/** The extensions of a list; none may stand there twice (RFC 5280 §4.2). */
export function listExtensions(r: Reader): readonly Extension[] {
  const seen = new Set<string>();
  return each(r, MAX_EXTENSIONS, "extensions").map(({ tag, body }) => {
    if (tag !== DER.sequence) body.fail("no extension");
    const id = oid(body, "extension");
    const flag = optional(body, DER.boolean, "critical");
    const critical = flag ? boolean(flag.body, "critical") : false;
    const value = element(body, DER.octetString, "extension");
    body.finish("the extension");
    if (seen.has(id)) body.fail(`the extension ${id} stands there twice`);
    seen.add(id);
    return { id, critical, value };
  });
}

const NO_EXTENSIONS: Extensions = {
  basicConstraints: undefined,
  keyUsage: undefined,
  extendedKeyUsage: undefined,
  names: NO_NAMES,
  nameConstraints: undefined,
  subjectKeyId: undefined,
  authorityKeyId: undefined,
  listPoints: [],
  unknownCritical: [],
};

function readExtensions(r: Reader): Extensions {
  let found = NO_EXTENSIONS;
  for (const { id, critical, value } of listExtensions(r)) {
    const read = READERS[id];
    if (read) found = { ...found, ...read(value.body) };
    else if (critical && !HARMLESS.has(id)) found = { ...found, unknownCritical: [...found.unknownCritical, id] };
  }
  return found;
}

/** Extensions by object identifier, RFC 5280 §4.2.1. */
const READERS: Readonly<Record<string, (r: Reader) => Partial<Extensions>>> = {
  "2.5.29.14": (r) => ({ subjectKeyId: toHex(only(r, DER.octetString, "subject key identifier").rest()) }),
  "2.5.29.15": (r) => ({ keyUsage: namedBits(only(r, DER.bitString, "key usage"), "key usage") }),
  "2.5.29.17": (r) => ({ names: generalNamesOf(r, "subject alternative names") }),
  "2.5.29.19": (r) => ({ basicConstraints: readBasicConstraints(only(r, DER.sequence, "basic constraints")) }),
  "2.5.29.30": (r) => ({ nameConstraints: readNameConstraints(only(r, DER.sequence, "name constraints")) }),
  "2.5.29.31": (r) => ({ listPoints: readPoints(r) }),
  "2.5.29.35": (r) => ({ authorityKeyId: readAuthorityKeyId(only(r, DER.sequence, "authority key identifier")) }),
  "2.5.29.37": (r) => ({ extendedKeyUsage: readUsages(only(r, DER.sequence, "extended key usage")) }),
};

/** Critical or not, these change nothing for us: policies, where nobody requires one (RFC 5280 §6.1.1 c). */
const HARMLESS: ReadonlySet<string> = new Set(["2.5.29.32"]);

function readBasicConstraints(r: Reader): Extensions["basicConstraints"] {
  const flag = optional(r, DER.boolean, "CA flag");
  const length = optional(r, DER.integer, "path length");
  r.finish("basic constraints");
  return { ca: flag ? boolean(flag.body, "CA flag") : false, pathLength: length ? smallInteger(length.body, "path length") : undefined };
}

function readAuthorityKeyId(r: Reader): string | undefined {
  const id = optional(r, primitive(0), "authority key identifier");
  return id ? toHex(id.body.rest()) : undefined;
}

function readUsages(r: Reader): readonly string[] {
  const usages: string[] = [];
  while (r.left > 0) {
    if (usages.length === 64) r.fail("more than 64 key usages");
    usages.push(oid(r, "extended key usage"));
  }
  return usages;
}
