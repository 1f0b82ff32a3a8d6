/**
 * The algorithm table: one row per algorithm with its names and numbers everywhere it appears
 * (IKE phase 1, ESP/AH transforms, xfrm) and its sizes in octets. Nothing else in the project knows these.
 */
import { AH_TRANSFORM, AUTH_ALGORITHM, ENCRYPTION, ESP_TRANSFORM, GROUP, HASH } from "../../isakmp/numbers.ts";

export type EncryptionName = "aes128" | "aes192" | "aes256" | "3des" | "des";
export type HashName = "md5" | "sha1" | "sha256" | "sha384" | "sha512";
export type GroupName =
  | "modp768"
  | "modp1024"
  | "modp1536"
  | "modp2048"
  | "modp3072"
  | "modp4096"
  | "modp6144"
  | "modp8192"
  | "ecp256"
  | "ecp384"
  | "ecp521"
  | "x25519";
export type EspCipherName = "aes128" | "aes192" | "aes256" | "aes128gcm16" | "aes192gcm16" | "aes256gcm16" | "3des" | "des" | "null";
export type IntegrityName = HashName;

/** A phase 1 cipher, RFC 2409 appendix A. `keyLengthAttribute` in bits is sent and required for AES only (RFC 3602 §5). */
export interface Encryption {
  readonly name: EncryptionName;
  readonly ike: number;
  readonly keyLengthAttribute: number | null;
  readonly keyOctets: number;
  readonly blockOctets: number;
  readonly weak: boolean;
}

/** A phase 1 hash and, as HMAC, the prf (RFC 2409 §4). */
export interface HashAlgorithm {
  readonly name: HashName;
  readonly ike: number;
  readonly octets: number;
  readonly blockOctets: number;
  readonly weak: boolean;
}

/** A Diffie-Hellman group. `exponentOctets` is the length of our private value. */
export interface Group {
  readonly name: GroupName;
  readonly ike: number;
  readonly kind: "modp" | "ecp" | "x25519";
  readonly publicOctets: number;
  readonly secretOctets: number;
  readonly exponentOctets: number;
  readonly weak: boolean;
}

/** An ESP cipher. `keyOctets` includes `saltOctets` (RFC 4106 §8.1); `icvBits` is set for combined modes. */
export interface EspCipher {
  readonly name: EspCipherName;
  readonly esp: number;
  readonly keyLengthAttribute: number | null;
  readonly keyOctets: number;
  readonly saltOctets: number;
  readonly icvBits: number | null;
  readonly xfrm: string;
  readonly weak: boolean;
}

/** An integrity algorithm of ESP (`attribute`) and AH (`ah` and `attribute`). Lengths: RFC 2403, 2404, 4868. */
export interface Integrity {
  readonly name: IntegrityName;
  readonly attribute: number;
  readonly ah: number;
  readonly keyOctets: number;
  readonly truncateBits: number;
  readonly xfrm: string;
  readonly weak: boolean;
}

const encryption = (
  name: EncryptionName,
  ike: number,
  keyLengthAttribute: number | null,
  keyOctets: number,
  blockOctets: number,
  weak = false,
): Encryption => ({ name, ike, keyLengthAttribute, keyOctets, blockOctets, weak });
export const ENCRYPTIONS: readonly Encryption[] = [
  encryption("aes128", ENCRYPTION["AES-CBC"], 128, 16, 16),
  encryption("aes192", ENCRYPTION["AES-CBC"], 192, 24, 16),
  encryption("aes256", ENCRYPTION["AES-CBC"], 256, 32, 16),
  encryption("3des", ENCRYPTION["3DES-CBC"], null, 24, 8),
  encryption("des", ENCRYPTION["DES-CBC"], null, 8, 8, true),
];

const hash = (name: HashName, ike: number, octets: number, blockOctets: number, weak = false): HashAlgorithm => ({
  name,
  ike,
  octets,
  blockOctets,
  weak,
});
export const HASHES: readonly HashAlgorithm[] = [
  hash("md5", HASH.MD5, 16, 64, true),
  hash("sha1", HASH.SHA, 20, 64),
  hash("sha256", HASH["SHA2-256"], 32, 64),
  hash("sha384", HASH["SHA2-384"], 48, 128),
  hash("sha512", HASH["SHA2-512"], 64, 128),
];

const modp = (name: GroupName, octets: number, exponentOctets: number, weak = false): Group => ({
  name,
  ike: GROUP[name],
  kind: "modp",
  publicOctets: octets,
  secretOctets: octets,
  exponentOctets,
  weak,
});
/** RFC 5903 §7: the public value is x | y without a form octet, the secret is x. */
const ecp = (name: GroupName, octets: number): Group => ({
  name,
  ike: GROUP[name],
  kind: "ecp",
  publicOctets: 2 * octets,
  secretOctets: octets,
  exponentOctets: octets,
  weak: false,
});
export const GROUPS: readonly Group[] = [
  modp("modp768", 96, 20, true),
  modp("modp1024", 128, 20, true),
  modp("modp1536", 192, 25),
  modp("modp2048", 256, 28),
  modp("modp3072", 384, 35),
  modp("modp4096", 512, 41),
  modp("modp6144", 768, 46),
  modp("modp8192", 1024, 50),
  ecp("ecp256", 32),
  ecp("ecp384", 48),
  ecp("ecp521", 66),
  { name: "x25519", ike: GROUP.x25519, kind: "x25519", publicOctets: 32, secretOctets: 32, exponentOctets: 32, weak: false },
];

const cbc = (
  name: EspCipherName,
  esp: number,
  keyLengthAttribute: number | null,
  keyOctets: number,
  xfrm: string,
  weak = false,
): EspCipher => ({ name, esp, keyLengthAttribute, keyOctets, saltOctets: 0, icvBits: null, xfrm, weak });
const gcm = (name: EspCipherName, bits: number): EspCipher => ({
  name,
  esp: ESP_TRANSFORM["ESP_AES-GCM_16"],
  keyLengthAttribute: bits,
  keyOctets: bits / 8 + 4,
  saltOctets: 4,
  icvBits: 128,
  xfrm: "rfc4106(gcm(aes))",
  weak: false,
});
export const ESP_CIPHERS: readonly EspCipher[] = [
  cbc("aes128", ESP_TRANSFORM.ESP_AES, 128, 16, "cbc(aes)"),
  cbc("aes192", ESP_TRANSFORM.ESP_AES, 192, 24, "cbc(aes)"),
  cbc("aes256", ESP_TRANSFORM.ESP_AES, 256, 32, "cbc(aes)"),
  gcm("aes128gcm16", 128),
  gcm("aes192gcm16", 192),
  gcm("aes256gcm16", 256),
  cbc("3des", ESP_TRANSFORM.ESP_3DES, null, 24, "cbc(des3_ede)"),
  cbc("des", ESP_TRANSFORM.ESP_DES, null, 8, "cbc(des)", true),
  cbc("null", ESP_TRANSFORM.ESP_NULL, null, 0, "ecb(cipher_null)"),
];

const integrity = (
  name: IntegrityName,
  attribute: number,
  ah: number,
  keyOctets: number,
  truncateBits: number,
  weak = false,
): Integrity => ({ name, attribute, ah, keyOctets, truncateBits, xfrm: `hmac(${name})`, weak });
export const INTEGRITIES: readonly Integrity[] = [
  integrity("md5", AUTH_ALGORITHM["HMAC-MD5"], AH_TRANSFORM.AH_MD5, 16, 96, true),
  integrity("sha1", AUTH_ALGORITHM["HMAC-SHA"], AH_TRANSFORM.AH_SHA, 20, 96),
  integrity("sha256", AUTH_ALGORITHM["HMAC-SHA2-256"], AH_TRANSFORM["AH_SHA2-256"], 32, 128),
  integrity("sha384", AUTH_ALGORITHM["HMAC-SHA2-384"], AH_TRANSFORM["AH_SHA2-384"], 48, 192),
  integrity("sha512", AUTH_ALGORITHM["HMAC-SHA2-512"], AH_TRANSFORM["AH_SHA2-512"], 64, 256),
];

/** Phase 1 algorithms of one offer, without the authentication method. */
export interface IkeSuite {
  readonly encryption: Encryption;
  readonly hash: HashAlgorithm;
  readonly group: Group;
}

/** One protocol of a phase 2 offer: ESP (cipher; integrity null only with a combined mode) or AH (cipher null). */
export type ProtocolSuite =
  | { readonly protocol: "esp"; readonly cipher: EspCipher; readonly integrity: Integrity | null }
  | { readonly protocol: "ah"; readonly cipher: null; readonly integrity: Integrity };

/** A phase 2 offer: one protocol, or AH and ESP together (RFC 2407 §4.2: proposals with one number are a bundle). */
export type ChildSuite = readonly ProtocolSuite[];

const one = <T extends { readonly name: string }>(rows: readonly T[], what: string) => {
  const byName = new Map(rows.map((row) => [row.name, row]));
  return (name: T["name"]): T => {
    const row = byName.get(name);
    if (!row) throw new Error(`no ${what} ${name}`);
    return row;
  };
};
/** Rows by our own names. A wrong name is a bug and throws. */
export const encryptionNamed = one(ENCRYPTIONS, "encryption");
export const hashNamed = one(HASHES, "hash");
export const groupNamed = one(GROUPS, "group");
export const espCipherNamed = one(ESP_CIPHERS, "ESP cipher");
export const integrityNamed = one(INTEGRITIES, "integrity");

/** `aes128-sha1-modp2048`, the spelling of configuration files. */
export const ikeSuiteName = (suite: IkeSuite): string => `${suite.encryption.name}-${suite.hash.name}-${suite.group.name}`;

/** `esp:aes128-sha1`, `esp:aes128gcm16` or `ah:sha1`. */
export const protocolSuiteName = (suite: ProtocolSuite): string =>
  `${suite.protocol}:${[suite.cipher?.name, suite.integrity?.name].filter((name) => name !== undefined).join("-")}`;

/** `ah:sha1+esp:3des-sha1` for a bundle. */
export const childSuiteName = (suite: ChildSuite): string => suite.map(protocolSuiteName).join("+");
