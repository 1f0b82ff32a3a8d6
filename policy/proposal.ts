/**
 * Proposals as text: `aes256-sha256-modp2048` for Main Mode, `esp:aes128-sha1` or `ah:sha1+esp:3des-sha1` for Quick Mode.
 * The spelling is the one strongSwan users know; the names in `ike/crypto/suite.ts` are the canonical form, so that
 * reading what was formatted gives the same suite. Weakness is judged here (`weakNames`), permitted elsewhere.
 */
import {
  type ChildSuite,
  childSuiteName,
  ENCRYPTIONS,
  type Encryption,
  ESP_CIPHERS,
  type EspCipher,
  GROUPS,
  type Group,
  HASHES,
  type HashAlgorithm,
  type IkeSuite,
  INTEGRITIES,
  type Integrity,
  ikeSuiteName,
  type ProtocolSuite,
} from "../ike/crypto/suite.ts";
import { err, ok, type Result } from "../isakmp/result.ts";

/** Reads a Main Mode offer, `cipher-hash-group`. The error says which part is wrong and what is known. */
export function parseIkeSuite(text: string): Result<IkeSuite, string> {
  const parts = text.trim().toLowerCase().split("-");
  const [cipherText, hashText, groupText] = parts;
  if (cipherText === undefined || hashText === undefined || groupText === undefined || parts.length > 3) {
    return err(
      `${quote(text)} is not cipher-hash-group, such as "aes256-sha256-modp2048"${parts.length > 3 ? "; write one offer each" : ""}`,
    );
  }
  const encryption = ikeCipher(cipherText);
  if (!encryption.ok) return encryption;
  const hash = lookUp<HashAlgorithm>(HASHES, hashText, "hash");
  if (!hash.ok) return hash;
  const group = parseGroup(groupText);
  if (!group.ok) return group;
  return ok({ encryption: encryption.value, hash: hash.value, group: group.value });
}

/** Reads a Quick Mode offer: `esp:cipher-integrity`, `esp:` with a GCM cipher alone, `ah:integrity`, or one of each joined by `+`. */
export function parseChildSuite(text: string): Result<ChildSuite, string> {
  const suites: ProtocolSuite[] = [];
  for (const part of text.trim().toLowerCase().split("+")) {
    const suite = parseProtocol(part.trim(), text);
    if (!suite.ok) return suite;
    if (suites.some((other) => other.protocol === suite.value.protocol)) {
      return err(`${quote(text)} names ${suite.value.protocol} twice; "+" joins one AH and one ESP, alternatives are separate offers`);
    }
    suites.push(suite.value);
  }
  return ok(suites.sort((a, b) => (a.protocol === b.protocol ? 0 : a.protocol === "ah" ? -1 : 1)));
}

/** Reads the name of a Diffie-Hellman group. */
export const parseGroup = (text: string): Result<Group, string> => lookUp<Group>(GROUPS, text.trim().toLowerCase(), "group");

/** The text that `parseIkeSuite` reads. */
export const formatIkeSuite: (suite: IkeSuite) => string = ikeSuiteName;
/** The text that `parseChildSuite` reads. */
export const formatChildSuite: (suite: ChildSuite) => string = childSuiteName;

/** The weak algorithms of an offer by canonical name; empty where there are none. */
export const weakInIkeSuite = (suite: IkeSuite): readonly string[] => weakNames([suite.encryption, suite.hash, suite.group]);
/** The weak algorithms of an offer by canonical name; empty where there are none. */
export const weakInChildSuite = (suite: ChildSuite): readonly string[] => weakNames(suite.flatMap((part) => [part.cipher, part.integrity]));

/** Reads a name for `allow-weak`: any spelling of a weak algorithm; gives the canonical one. */
export function parseWeakName(text: string): Result<string, string> {
  const name = text.trim().toLowerCase();
  const canonical = SYNONYMS.get(name) ?? name;
  if (WEAK_NAMES.includes(canonical)) return ok(canonical);
  return err(`${quote(text)} is not a weak algorithm; those are ${WEAK_NAMES.join(", ")}`);
}

interface Named {
  readonly name: string;
  readonly weak: boolean;
}

const weakNames = (rows: readonly (Named | null)[]): readonly string[] => [
  ...new Set(rows.flatMap((row) => (row?.weak ? [row.name] : []))),
];
/**
 * What `allow-weak` can name that is no part of an offer, in certificates: RSA keys below 2048 bits, signatures over SHA-1, and roots of version
 * 1, which do not say that they are CAs.
 */
const WEAK_CERTIFICATES: readonly string[] = ["rsa1024", "sha1-certificates", "v1-ca"];
const WEAK_NAMES = [...weakNames([...ENCRYPTIONS, ...HASHES, ...GROUPS, ...ESP_CIPHERS, ...INTEGRITIES]), ...WEAK_CERTIFICATES];

/** Other spellings, left, of our names, right. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ["aes", "aes128"],
  ["sha", "sha1"],
  ["sha2", "sha256"],
  ["sha2_256", "sha256"],
  ["sha2_384", "sha384"],
  ["sha2_512", "sha512"],
  ["curve25519", "x25519"],
  ...["aesgcm", "aesgcm16", "aesgcm128", "aes128gcm", "aes128gcm128"].map((name) => [name, "aes128gcm16"] as const),
  ...["aes192gcm", "aes192gcm128"].map((name) => [name, "aes192gcm16"] as const),
  ...["aes256gcm", "aes256gcm128"].map((name) => [name, "aes256gcm16"] as const),
]);

/** Names whose meaning is clear but that no offer can carry: pattern and the reason, with what to write instead. */
const EXPLAINED: readonly (readonly [RegExp, string])[] = [
  [/^3des[-_]?\d+$/, "3des has one key length only; write 3des"],
  [/^des[-_]?\d+$/, "des has one key length only; write des"],
  [/^aes\d*(gcm|ccm)(8|12|64|96)$/, "only tags of 16 octets are known; write aes128gcm16"],
  [/^prf/, "IKEv1 derives its prf from the hash; leave it out"],
  [/^(no)?esn$/, "extended sequence numbers are not known"],
];

const quote = (text: string): string => JSON.stringify(text);

/** A row by any spelling of its name. */
function lookUp<T extends Named>(rows: readonly T[], text: string, what: string): Result<T, string> {
  const name = SYNONYMS.get(text) ?? text;
  const row = rows.find((candidate) => candidate.name === name);
  if (row) return ok(row);
  const why = EXPLAINED.find(([pattern]) => pattern.test(text));
  if (why) return err(`${quote(text)}: ${why[1]}`);
  return err(`unknown ${what} ${quote(text)}; known are ${rows.map((candidate) => candidate.name).join(", ")}`);
}

function ikeCipher(text: string): Result<Encryption, string> {
  const combined = lookUp<EspCipher>(ESP_CIPHERS, text, "cipher");
  if (combined.ok && combined.value.icvBits !== null) {
    return err(`${quote(text)} is for esp only, IKEv1 itself has no combined modes; write aes128, aes192 or aes256`);
  }
  return lookUp<Encryption>(ENCRYPTIONS, text, "cipher");
}

function parseProtocol(part: string, whole: string): Result<ProtocolSuite, string> {
  const colon = part.indexOf(":");
  const protocol = part.slice(0, Math.max(colon, 0));
  const names = part.slice(colon + 1).split("-");
  if (protocol === "esp") return parseEsp(names);
  if (protocol === "ah") return parseAh(names);
  return err(`${quote(whole)} does not say which protocol; write "esp:aes128-sha1", "ah:sha1" or both joined by "+"`);
}

function parseAh(names: readonly string[]): Result<ProtocolSuite, string> {
  const integrity = lookUp<Integrity>(INTEGRITIES, names[0] ?? "", "integrity algorithm");
  if (!integrity.ok) return integrity;
  const extra = tooMany(names, 1, "ah takes an integrity algorithm only");
  return extra ?? ok({ protocol: "ah", cipher: null, integrity: integrity.value });
}

function parseEsp(names: readonly string[]): Result<ProtocolSuite, string> {
  const [cipherText = "", integrityText] = names;
  const cipher = lookUp<EspCipher>(ESP_CIPHERS, cipherText, "ESP cipher");
  if (!cipher.ok) return cipher;
  const name = cipher.value.name;
  if (cipher.value.icvBits !== null) {
    const extra = tooMany(names, 1, `${name} authenticates by itself and takes no integrity algorithm`);
    return extra ?? ok({ protocol: "esp", cipher: cipher.value, integrity: null });
  }
  // Encryption without integrity falls to chosen-ciphertext attacks, and NULL without it protects nothing (RFC 4303 §3.2).
  if (integrityText === undefined) return err(`esp:${name} has no integrity algorithm; write "esp:${name}-sha256"`);
  const integrity = lookUp<Integrity>(INTEGRITIES, integrityText, "integrity algorithm");
  if (!integrity.ok) return integrity;
  const extra = tooMany(names, 2, "esp takes a cipher and an integrity algorithm");
  return extra ?? ok({ protocol: "esp", cipher: cipher.value, integrity: integrity.value });
}

/** The error for names beyond the first `count`: a group there is strongSwan's way of asking for PFS. */
function tooMany(names: readonly string[], count: number, rule: string): Result<never, string> | undefined {
  const first = names[count];
  if (first === undefined) return undefined;
  const group = parseGroup(first);
  return err(group.ok ? `the group of PFS is a key of its own; write pfs = "${group.value.name}"` : `${rule}; ${quote(first)} is too much`);
}
