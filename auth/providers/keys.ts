/**
 * Certificates and private keys as they lie in files: PEM, DER, PKCS#7 and PKCS#12, in any order and number.
 * These are the administrator's own files. Errors say which part cannot be used and never show any of it.
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { createRequire } from "node:module";
import type { asn1, pkcs12, pki } from "node-forge";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { readPkcs7 } from "./received.ts";

/** What a file held. Certificates and lists are DER, in the order of the file. */
export interface Material {
  readonly certificates: readonly Uint8Array[];
  readonly lists: readonly Uint8Array[];
  readonly keys: readonly KeyObject[];
}

const NOTHING: Material = { certificates: [], lists: [], keys: [] };

/** Reads a file of any of the known forms. `password` opens keys and PKCS#12 that are encrypted. */
export function readMaterial(octets: Uint8Array, password: Uint8Array | undefined): Result<Material, string> {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1");
  if (text.includes(BEGIN)) return readPem(text, password);
  return octets[0] === SEQUENCE ? readDer(octets, text, password) : err("it holds neither PEM nor DER");
}

const SEQUENCE = 0x30;
type Part = Result<Partial<Material>, string>;

function readPem(text: string, password: Uint8Array | undefined): Result<Material, string> {
  const found = { certificates: [] as Uint8Array[], lists: [] as Uint8Array[], keys: [] as KeyObject[] };
  for (const { label, body, block } of blocksOf(text)) {
    const part = readBlock(label, body, block, password);
    if (!part.ok) return part;
    found.certificates.push(...(part.value.certificates ?? []));
    found.lists.push(...(part.value.lists ?? []));
    found.keys.push(...(part.value.keys ?? []));
  }
  return found.certificates.length + found.keys.length + found.lists.length > 0
    ? ok(found)
    : err("its PEM blocks are no certificates, keys or revocation lists");
}

interface Block {
  readonly label: string;
  readonly body: string;
  /** With its first and last line. */
  readonly block: string;
}

/** The blocks one after another; text between them is nobody's (RFC 7468 §2). */
function blocksOf(text: string): readonly Block[] {
  const blocks: Block[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0; at = text.indexOf(BEGIN, at)) {
    const label = /^[A-Z0-9 ]{1,64}(?=-----)/.exec(text.slice(at + BEGIN.length, at + 96))?.[0];
    const start = at + BEGIN.length + (label?.length ?? 0) + DASHES.length;
    const last = `-----END ${label}${DASHES}`;
    const end = label === undefined ? -1 : text.indexOf(last, start);
    if (label !== undefined && end < 0) return blocks;
    if (label !== undefined) blocks.push({ label, body: text.slice(start, end), block: text.slice(at, end + last.length) });
    at = label === undefined ? start : end + last.length;
  }
  return blocks;
}

const [BEGIN, DASHES] = ["-----BEGIN ", "-----"];

function readBlock(label: string, body: string, block: string, password: Uint8Array | undefined): Part {
  if (label.endsWith("PRIVATE KEY")) {
    const encrypted = label.startsWith("ENCRYPTED") || body.includes("ENCRYPTED");
    if (encrypted && !password) return err(ENCRYPTED);
    return readKey({ key: block, ...(encrypted && password ? { passphrase: Buffer.from(password) } : {}) });
  }
  const der = Uint8Array.from(Buffer.from(body, "base64"));
  if (label === "CERTIFICATE" || label === "X509 CERTIFICATE") return ok({ certificates: [der] });
  if (label === "X509 CRL") return ok({ lists: [der] });
  return label === "PKCS7" || label === "CMS" ? readPkcs7(der) : ok({});
}

const ENCRYPTED = "the key is encrypted; add password-file";
const WRONG_PASSWORD = "the password in password-file does not open it";

function readKey(input: Parameters<typeof createPrivateKey>[0]): Part {
  try {
    return ok({ keys: [createPrivateKey(input)] });
  } catch (error) {
    const encrypted = typeof input === "object" && "passphrase" in input;
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ERR_MISSING_PASSPHRASE") return err(ENCRYPTED);
    return err(encrypted ? WRONG_PASSWORD : "it has a private key of a form that is not known");
  }
}

/** DER says of itself only by its inside what it is: PKCS#12 and keys start with a version, the others with a sequence or a type. */
function readDer(octets: Uint8Array, text: string, password: Uint8Array | undefined): Result<Material, string> {
  const inner = octets.subarray((octets[1] ?? 0) < 0x80 ? 2 : 2 + ((octets[1] ?? 0) & 0x7f));
  const [tag, length, version] = inner;
  if (tag === 0x02 && length === 1 && version === 3) return readPkcs12(text, password);
  const whole = Buffer.from(octets);
  if (tag === 0x02) {
    const types = ["pkcs8", "pkcs1", "sec1"] as const;
    const found = types.map((type) => readKey({ key: whole, format: "der", type })).find((part) => part.ok);
    return found?.ok ? ok({ ...NOTHING, ...found.value }) : err("it has a private key of a form that is not known");
  }
  if (tag === 0x06) return asMaterial(readPkcs7(octets));
  if (tag !== SEQUENCE) return err("it is none of certificate, revocation list, key, PKCS#7 and PKCS#12");
  // An encrypted PKCS#8 key begins with the identifier of its cipher, a certificate or list with a longer sequence of its own.
  if (length !== undefined && length < 0x80 && version === 0x06) return readEncrypted(whole, password);
  return ok({ ...NOTHING, ...(isList(octets) ? { lists: [octets] } : { certificates: [octets] }) });
}

const asMaterial = (part: Part): Result<Material, string> => (part.ok ? ok({ ...NOTHING, ...part.value }) : part);

function readEncrypted(key: Buffer, password: Uint8Array | undefined): Result<Material, string> {
  if (!password) return err(ENCRYPTED);
  return asMaterial(readKey({ key, format: "der", type: "pkcs8", passphrase: Buffer.from(password) }));
}

/** Whether DER of a signed structure is a list: by its third field, which is a time there and a name or a number in a certificate. */
function isList(octets: Uint8Array): boolean {
  const skip = (at: number, inside: boolean): number => {
    const first = octets[at + 1] ?? 0;
    const size = first < 0x80 ? 0 : first & 0x7f;
    const length = size === 0 ? first : octets.subarray(at + 2, at + 2 + size).reduce((sum, octet) => sum * 256 + octet, 0);
    return at + 2 + size + (inside ? 0 : length);
  };
  let at = skip(skip(0, true), true);
  if (octets[at] === 0xa0) return false;
  if (octets[at] === 0x02) at = skip(at, false);
  at = skip(skip(at, false), false);
  return octets[at] === 0x17 || octets[at] === 0x18;
}

const KEY_BAGS = ["1.2.840.113549.1.12.10.1.1", "1.2.840.113549.1.12.10.1.2"];
const CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3";

/** RFC 7292. Loaded when there is such a file: the library is large, and nothing else needs it. */
function readPkcs12(text: string, password: Uint8Array | undefined): Result<Material, string> {
  const forge: typeof import("node-forge") = createRequire(import.meta.url)("node-forge");
  let store: pkcs12.Pkcs12Pfx;
  const pkcs5 = forge.pkcs5 as unknown as { pbkdf2: Derive };
  const { pbkdf2 } = pkcs5;
  try {
    const octets = Buffer.from(password ?? []);
    // PBES2 derives keys from the password's octets, the forms before it (and the check of the whole) from its UTF-16 (RFC 7292 §B.1). forge has one
    // argument for both, and takes it for characters: so the octets are put in where it asks for the former. Nothing here lets others run between.
    pkcs5.pbkdf2 = (_, ...rest) => pbkdf2(octets.toString("latin1"), ...rest);
    store = forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(text), false, textOf(octets));
  } catch {
    return err(password ? `${WRONG_PASSWORD}, or it uses an algorithm that is not known` : "it is encrypted; add password-file");
  } finally {
    pkcs5.pbkdf2 = pbkdf2;
  }
  const bags = store.safeContents.flatMap(({ safeBags }) => safeBags);
  const der = (value: asn1.Asn1): Uint8Array => Uint8Array.from(Buffer.from(forge.asn1.toDer(value).getBytes(), "latin1"));
  const certificates: Uint8Array[] = [];
  const keys: KeyObject[] = [];
  for (const { type, cert, key, asn1: raw } of bags) {
    if (type === CERTIFICATE_BAG) certificates.push(der(cert ? forge.pki.certificateToAsn1(cert) : (raw as asn1.Asn1)));
    if (!KEY_BAGS.includes(type)) continue;
    const part = readKey({ key: privateDer(forge, key, raw, der), format: "der", type: "pkcs8" });
    if (!part.ok) return part;
    keys.push(...(part.value.keys ?? []));
  }
  return ok({ certificates, lists: [], keys });
}

/** The one of its forms that opening uses. A password, salt and key have a character for each octet. */
type Derive = (password: string, salt: string, iterations: number, size: number, hash: unknown) => string;

/** The characters of a password: UTF-8, or one for each octet where it is none, as OpenSSL has it. */
function textOf(octets: Buffer): string {
  const text = octets.toString("utf8");
  return Buffer.from(text, "utf8").equals(octets) ? text : octets.toString("latin1");
}

/** forge opens RSA keys itself and leaves others as they are. */
function privateDer(
  forge: typeof import("node-forge"),
  key: pki.PrivateKey | null | undefined,
  raw: asn1.Asn1 | undefined,
  der: (value: asn1.Asn1) => Uint8Array,
): Buffer {
  const value = key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)) : (raw as asn1.Asn1);
  return Buffer.from(der(value));
}
