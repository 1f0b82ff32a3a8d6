/**
 * A certification authority for tests: throwaway keys, and certificates and lists that may have any fault. It writes DER of its own, so that what
 * it says is not read back by the code that wrote it.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { encodeName } from "../../policy/distinguished-name.ts";

/** One element. */
export function tlv(tag: number, ...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const body = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const length: number[] = [];
  for (let left = body.length; left > 0 || length.length === 0; left >>= 8) length.unshift(left & 255);
  const head = body.length < 0x80 ? [body.length] : [0x80 + length.length, ...length];
  return Uint8Array.from(Buffer.concat([Uint8Array.of(tag, ...head), body]));
}

export const seq = (...parts: readonly Uint8Array[]): Uint8Array => tlv(0x30, ...parts);
export const int = (value: number): Uint8Array => tlv(0x02, value > 0x7f ? [value >> 8, value & 255] : [value]);
const text = (tag: number, value: string): Uint8Array => tlv(tag, Buffer.from(value, "latin1"));

export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((number) => {
    const groups = [number % 128];
    for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left % 128) + 128);
    return groups;
  });
  return tlv(0x06, octets);
}

export function name(written: string): Uint8Array {
  if (written === "") return seq();
  const der = encodeName(written);
  if (!der.ok) throw new Error(der.error);
  return der.value;
}

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export type KeyKind = "rsa1024" | "rsa2048" | "rsa3072" | "p256" | "p384" | "p521" | "ed25519" | "secp256k1" | "p256 written out";

/** A new key. RSA ones take their time: tests share them. */
export function newKey(kind: KeyKind): KeyPair {
  if (kind === "ed25519") return generateKeyPairSync("ed25519");
  if (kind === "p256 written out") return writtenOut(newKey("p256"));
  if (kind.startsWith("rsa")) return generateKeyPairSync("rsa", { modulusLength: Number(kind.slice(3)) });
  const namedCurve = { p256: "P-256", p384: "P-384", p521: "P-521", secp256k1: "secp256k1" }[kind as "p256"];
  return generateKeyPairSync("ec", { namedCurve });
}

const P256 = {
  p: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
  a: "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
  b: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
  g: "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
  n: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
} as const;

/** The same key with the curve's parameters in place of its name (SpecifiedECDomain, which RFC 5480 §2.1.1 forbids). */
function writtenOut({ privateKey, publicKey }: KeyPair): KeyPair {
  const octets = (tag: number, hex: string): Uint8Array => tlv(tag, Buffer.from(tag === 0x02 ? `00${hex}` : hex, "hex"));
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const parameters = seq(
    int(1),
    seq(oid("1.2.840.10045.1.1"), octets(0x02, P256.p)),
    seq(octets(0x04, P256.a), octets(0x04, P256.b)),
    octets(0x04, P256.g),
    octets(0x02, P256.n),
    int(1),
  );
  const point = tlv(0x03, [0, 4], Buffer.from(x, "base64url"), Buffer.from(y, "base64url"));
  const der = Buffer.from(seq(seq(oid("1.2.840.10045.2.1"), parameters), point));
  return { privateKey, publicKey: createPublicKey({ key: der, format: "der", type: "spki" }) };
}

export const DAY = 24 * 3600_000;
/** The tests' today. */
export const NOW = Date.parse("2026-11-21T12:00:00Z");

export interface Extension {
  readonly id: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export interface CertificateOptions {
  readonly subject: string | Uint8Array;
  readonly key: KeyPair;
  /** Who signs; the certificate itself where not given. */
  readonly issuer?: Authority;
  readonly serial?: number;
  readonly from?: number;
  readonly to?: number;
  readonly extensions?: readonly Extension[];
  readonly version?: 1 | 3;
  readonly hash?: Hash;
  /** A signature that does not belong here. */
  readonly signature?: Uint8Array;
}

/** What signing needs: a name and a key. */
export interface Authority {
  readonly subject: Uint8Array;
  readonly key: KeyPair;
}

export interface Issued extends Authority {
  readonly der: Uint8Array;
  readonly pem: string;
}

export type Hash = "sha1" | "md5" | "sha256" | "sha384" | "sha512";

/** A certificate. */
export function issue(options: CertificateOptions): Issued {
  const { key, serial = nextSerial(), from = NOW - DAY, to = NOW + 365 * DAY, extensions = [], version = 3, hash = "sha256" } = options;
  const subject = typeof options.subject === "string" ? name(options.subject) : options.subject;
  const signer = options.issuer ?? { subject, key };
  const algorithm = algorithmOf(signer.key.privateKey, hash);
  const tbs = seq(
    ...(version === 3 ? [tlv(0xa0, int(2))] : []),
    int(serial),
    algorithm,
    signer.subject,
    seq(timeOf(from), timeOf(to)),
    subject,
    key.publicKey.export({ type: "spki", format: "der" }),
    ...(extensions.length > 0 ? [tlv(0xa3, seq(...extensions.map(extension)))] : []),
  );
  const der = seq(tbs, algorithm, tlv(0x03, [0], options.signature ?? signatureOf(tbs, signer.key.privateKey, hash)));
  return { der, subject, key, pem: pem("CERTIFICATE", der) };
}

export const pem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n")}\n-----END ${label}-----\n`;

let serials = 1000;
const nextSerial = (): number => serials++;

function extension({ id, critical, value }: Extension): Uint8Array {
  return seq(oid(id), ...(critical ? [tlv(0x01, [0xff])] : []), tlv(0x04, value));
}

const ALGORITHMS: Readonly<Record<string, string>> = {
  "rsa md5": "1.2.840.113549.1.1.4",
  "rsa sha1": "1.2.840.113549.1.1.5",
  "rsa sha256": "1.2.840.113549.1.1.11",
  "rsa sha384": "1.2.840.113549.1.1.12",
  "rsa sha512": "1.2.840.113549.1.1.13",
  "ec sha1": "1.2.840.10045.4.1",
  "ec sha256": "1.2.840.10045.4.3.2",
  "ec sha384": "1.2.840.10045.4.3.3",
  "ec sha512": "1.2.840.10045.4.3.4",
};

function algorithmOf(key: KeyObject, hash: Hash): Uint8Array {
  if (key.asymmetricKeyType === "ed25519") return seq(oid("1.3.101.112"));
  const id = ALGORITHMS[`${key.asymmetricKeyType} ${hash}`] ?? "";
  return seq(oid(id), ...(key.asymmetricKeyType === "rsa" ? [tlv(0x05)] : []));
}

const signatureOf = (tbs: Uint8Array, key: KeyObject, hash: Hash): Uint8Array =>
  sign(key.asymmetricKeyType === "ed25519" ? null : hash, tbs, key);

/** UTCTime up to 2049, then GeneralizedTime (RFC 5280 §4.1.2.5). */
function timeOf(milliseconds: number): Uint8Array {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d+Z$|[-:T]/g, "");
  return Number(digits.slice(0, 4)) < 2050 ? text(0x17, `${digits.slice(2)}Z`) : text(0x18, `${digits}Z`);
}

export interface CrlOptions {
  readonly issuer: Authority;
  readonly revoked?: readonly number[];
  readonly thisUpdate?: number;
  /** null: none. */
  readonly nextUpdate?: number | null;
  readonly extensions?: readonly Extension[];
  readonly entryExtensions?: readonly Extension[];
  readonly hash?: Hash;
}

/** A revocation list, DER. */
export function issueCrl({
  issuer,
  revoked = [],
  thisUpdate = NOW - DAY,
  nextUpdate = NOW + DAY,
  extensions = [],
  entryExtensions = [],
  hash = "sha256",
}: CrlOptions): Uint8Array {
  const algorithm = algorithmOf(issuer.key.privateKey, hash);
  const more = entryExtensions.length > 0 ? [seq(...entryExtensions.map(extension))] : [];
  const entries = revoked.map((serial) => seq(int(serial), timeOf(thisUpdate), ...more));
  const tbs = seq(
    int(1),
    algorithm,
    issuer.subject,
    timeOf(thisUpdate),
    ...(nextUpdate === null ? [] : [timeOf(nextUpdate)]),
    ...(entries.length > 0 ? [seq(...entries)] : []),
    tlv(0xa0, seq(extension({ id: "2.5.29.20", critical: false, value: int(1) }), ...extensions.map(extension))),
  );
  return seq(tbs, algorithm, tlv(0x03, [0], signatureOf(tbs, issuer.key.privateKey, hash)));
}

/** Extensions of RFC 5280 §4.2.1. */
export const EXT = {
  ca: (pathLength?: number, critical = true): Extension => ({
    id: "2.5.29.19",
    critical,
    value: seq(tlv(0x01, [0xff]), ...(pathLength === undefined ? [] : [int(pathLength)])),
  }),
  noCa: (): Extension => ({ id: "2.5.29.19", critical: true, value: seq() }),
  /** Bits from the first: 0 digitalSignature, 5 keyCertSign, 6 cRLSign. */
  usage: (...bits: readonly number[]): Extension => {
    const octet = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
    return { id: "2.5.29.15", critical: true, value: tlv(0x03, [Math.max(0, 7 - Math.max(...bits)), octet]) };
  },
  purposes: (...ids: readonly string[]): Extension => ({ id: "2.5.29.37", critical: false, value: seq(...ids.map(oid)) }),
  names: (...names: readonly GeneralName[]): Extension => ({ id: "2.5.29.17", critical: false, value: seq(...names.map(generalName)) }),
  constraints: (permitted: readonly GeneralName[], excluded: readonly GeneralName[] = []): Extension => ({
    id: "2.5.29.30",
    critical: true,
    value: seq(
      ...[permitted, excluded].flatMap((trees, i) =>
        trees.length > 0 ? [tlv(0xa0 + i, ...trees.map((tree) => seq(generalName(tree))))] : [],
      ),
    ),
  }),
  /** Where a certificate's list is; `reasons`: for some of them only. */
  points: (uri: string, reasons = false): Extension => ({
    id: "2.5.29.31",
    critical: false,
    value: seq(seq(fullName(uri), ...(reasons ? [tlv(0x81, [6, 0x40])] : []))),
  }),
  /** Whose list it is; `flag`: a further field. */
  point: (uri: string, critical = true, ...flags: readonly Uint8Array[]): Extension => ({
    id: "2.5.29.28",
    critical,
    value: seq(fullName(uri), ...flags),
  }),
  keyId: (id: string): Extension => ({ id: "2.5.29.14", critical: false, value: tlv(0x04, Buffer.from(id, "hex")) }),
  authorityKeyId: (id: string): Extension => ({ id: "2.5.29.35", critical: false, value: seq(tlv(0x80, Buffer.from(id, "hex"))) }),
  unknown: (critical: boolean): Extension => ({ id: "1.3.6.1.4.1.99999.1", critical, value: tlv(0x05) }),
};

const fullName = (uri: string): Uint8Array => tlv(0xa0, tlv(0xa0, text(0x86, uri)));

export type GeneralName =
  | { readonly dns: string }
  | { readonly email: string }
  | { readonly ip: readonly number[] }
  | { readonly dn: string }
  | { readonly uri: string };

function generalName(one: GeneralName): Uint8Array {
  if ("dns" in one) return text(0x82, one.dns);
  if ("email" in one) return text(0x81, one.email);
  if ("ip" in one) return tlv(0x87, one.ip);
  if ("uri" in one) return text(0x86, one.uri);
  return tlv(0xa4, name(one.dn));
}

/** PKCS#7 with certificates and lists and no signers. */
export function pkcs7(certificates: readonly Uint8Array[], lists: readonly Uint8Array[] = []): Uint8Array {
  const data = seq(
    int(1),
    tlv(0x31),
    seq(oid("1.2.840.113549.1.7.1")),
    ...(certificates.length > 0 ? [tlv(0xa0, ...certificates)] : []),
    ...(lists.length > 0 ? [tlv(0xa1, ...lists)] : []),
    tlv(0x31),
  );
  return seq(oid("1.2.840.113549.1.7.2"), tlv(0xa0, data));
}

/** A root, an intermediate and a host's certificate, all good. Keys are of P-256 where nothing else is said. */
export function hierarchy(kind: KeyKind = "p256") {
  const root = issue({ subject: "C=DE, O=Test only, CN=Root", key: newKey(kind), extensions: [EXT.ca(), EXT.usage(5, 6)] });
  const middle = issue({
    subject: "C=DE, O=Test only, CN=Middle",
    key: newKey(kind),
    issuer: root,
    extensions: [EXT.ca(0), EXT.usage(5, 6)],
  });
  const leaf = issue({
    subject: "C=DE, O=Test only, CN=host",
    key: newKey(kind),
    issuer: middle,
    serial: 4711,
    extensions: [EXT.noCa(), EXT.usage(0), EXT.names({ dns: "host.example.test" }, { email: "me@Example.test" }, { ip: [192, 0, 2, 7] })],
  });
  return { root, middle, leaf };
}
