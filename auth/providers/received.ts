/**
 * What a peer put into its CERT payloads (RFC 2408 §3.9, RFC 4945 §3.3.10): certificates, revocation lists, and PKCS#7 bags of both.
 * Anybody can send these, so number and size are bounded before anything is read, and reading is linear.
 */
import { constructed, DER, each, element, oid, only, optional, smallInteger } from "../../isakmp/der.ts";
import { CERT_ENCODING } from "../../isakmp/numbers.ts";
import { type Reader, readWith } from "../../isakmp/reader.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type RevocationList, readCrl } from "./crl.ts";

/** One CERT payload: its encoding (RFC 2408 §3.9) and octets. */
export interface SentCertificate {
  readonly encoding: number;
  readonly data: Uint8Array;
}

export interface Received {
  /** In the order they came, none twice. */
  readonly certificates: readonly Certificate[];
  readonly lists: readonly RevocationList[];
  /** What could not be read, or is of a kind that is not used. */
  readonly ignored: readonly string[];
}

/** Bounds on what one peer may send; honest chains have up to five certificates. */
export const RECEIVED_LIMITS = { certificates: 24, lists: 8, octets: 131_072 } as const;

/** Reads the payloads. An error for more than the bounds allow: then nothing of it is looked at. */
export function readReceived(sent: readonly SentCertificate[]): Result<Received, string> {
  const octets = sent.reduce((sum, { data }) => sum + data.length, 0);
  if (octets > RECEIVED_LIMITS.octets)
    return err(`the peer sent ${octets} octets of certificates; ${RECEIVED_LIMITS.octets} are the most that is read`);
  const ignored: string[] = [];
  const raw: Raw = { certificates: new Map(), lists: new Map() };
  for (const { encoding, data } of sent) {
    if (ONE_CERTIFICATE.has(encoding)) raw.certificates.set(keyOf(data), data);
    else if (encoding === CERT_ENCODING.CRL) raw.lists.set(keyOf(data), data);
    else if (encoding === CERT_ENCODING["PKCS #7 wrapped X.509"]) unpack(raw, data, ignored);
    else ignored.push(`a certificate of encoding ${encoding}, which is not used`);
    const excess = excessOf(raw);
    if (excess !== undefined) return err(excess);
  }
  const certificates = readAll(raw.certificates, readCertificate, "a certificate", ignored);
  return ok({ certificates, lists: readAll(raw.lists, readCrl, "a revocation list", ignored), ignored: ignored.slice(0, 8) });
}

interface Raw {
  readonly certificates: Map<string, Uint8Array>;
  readonly lists: Map<string, Uint8Array>;
}

const ONE_CERTIFICATE: ReadonlySet<number> = new Set([CERT_ENCODING["X.509 - Signature"], CERT_ENCODING["X.509 - Key Exchange"]]);

const keyOf = (data: Uint8Array): string => Buffer.from(data.buffer, data.byteOffset, data.length).toString("latin1");

function excessOf({ certificates, lists }: Raw): string | undefined {
  const { certificates: most, lists: mostLists } = RECEIVED_LIMITS;
  if (certificates.size > most) return `the peer sent more than ${most} certificates`;
  return lists.size > mostLists ? `the peer sent more than ${mostLists} revocation lists` : undefined;
}

function readAll<T>(
  raw: ReadonlyMap<string, Uint8Array>,
  read: (der: Uint8Array) => Result<T, string>,
  what: string,
  ignored: string[],
): readonly T[] {
  return [...raw.values()].flatMap((der) => {
    const one = read(der);
    if (!one.ok) ignored.push(`${what} that cannot be read: ${one.error}`);
    return one.ok ? [one.value] : [];
  });
}

function unpack(raw: Raw, data: Uint8Array, ignored: string[]): void {
  const bag = readPkcs7(data);
  if (!bag.ok) {
    ignored.push(`a PKCS #7 payload that cannot be read: ${bag.error}`);
    return;
  }
  for (const der of bag.value.certificates) raw.certificates.set(keyOf(der), der);
  for (const der of bag.value.lists) raw.lists.set(keyOf(der), der);
}

interface Bag {
  readonly certificates: readonly Uint8Array[];
  readonly lists: readonly Uint8Array[];
}

const SIGNED_DATA = "1.2.840.113549.1.7.2";

/** Certificates and lists of a SignedData (RFC 2315 §9.1, RFC 5652 §5.1), whose own signatures mean nothing here. */
export function readPkcs7(der: Uint8Array): Result<Bag, string> {
  const read = readWith(der, (r) => {
    const outer = only(r, DER.sequence, "content");
    const type = oid(outer, "content type");
    if (type !== SIGNED_DATA) outer.fail(`content of type ${type}`);
    const body = only(only(outer, constructed(0), "signed data"), DER.sequence, "signed data");
    smallInteger(element(body, DER.integer, "version").body, "version");
    element(body, DER.set, "digest algorithms");
    element(body, DER.sequence, "inner content");
    const certificates = sequences(optional(body, constructed(0), "certificates")?.body, RECEIVED_LIMITS.certificates + 1);
    const lists = sequences(optional(body, constructed(1), "revocation lists")?.body, RECEIVED_LIMITS.lists + 1);
    return { certificates, lists };
  });
  return read.ok ? read : err(`at octet ${read.error.offset}: ${read.error.what}`);
}

/** Other choices than certificates proper (tag SEQUENCE) are attribute certificates and the like. */
const sequences = (r: Reader | undefined, max: number): readonly Uint8Array[] =>
  r ? each(r, max, "entries").flatMap(({ tag, der }) => (tag === DER.sequence ? [der] : [])) : [];
