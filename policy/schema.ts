/**
 * The shape of the configuration file (interface.md §2): every documented key, what each holds, and the defaults.
 * Each key is judged by itself here; what concerns several keys, and which ones are required, is judged in `rules.ts`,
 * on whatever was readable. That is why every key is optional here and lists may have holes.
 */
import { z } from "zod";
import type { ChildSuite, Group, IkeSuite } from "../ike/crypto/suite.ts";
import { type AddressRange, canonicalAddress, parseRange } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { parseFilter } from "./filter.ts";
import { parseIdentity } from "./identity.ts";
import { parseListen } from "./listen.ts";
import { nearest } from "./nearest.ts";
import { patternFault } from "./principals.ts";
import { parseChildSuite, parseGroup, parseIkeSuite, parseWeakName } from "./proposal.ts";
import type { KeyPath } from "./toml-locator.ts";
import { parseDuration, parseVolume } from "./units.ts";

/** What holds where the file says nothing. Offers are few, so that a first message fits any path without fragments. */
export const DEFAULTS = {
  control: "/run/mainmode/control.sock",
  port: 500,
  natPort: 4500,
  crypto: "openssl",
  keepAcrossRestart: true,
  onStop: "remove",
  policyName: "default",
  mainModeProposals: ["aes256-sha256-modp2048", "aes128-sha1-modp2048", "3des-sha1-modp2048"],
  mainModeLifetime: "480m",
  quickModes: 0,
  masterPfs: false,
  quickModeProposals: ["esp:aes256-sha256", "esp:aes128-sha1", "esp:3des-sha1"],
  quickModeLifetime: "5m",
  quickModeVolume: "100MB",
  quickModePfs: "modp2048",
  mode: "transport",
  start: "on-traffic",
  fallbackAfter: "3s",
  fallbackFor: "5m",
  crl: "if-present",
  sendCertificate: "asked",
  keytab: "/etc/krb5.keytab",
  tokenOctet: "auto",
  hashTokenOctet: false,
  hashedName: "auto",
  nameEncoding: "utf-16le",
  dpd: "60s",
  fragmentation: "auto",
  natTraversal: "auto",
} as const;

/** Names of rules: what commands and log lines can carry. */
const NAME = /^(?=.*\S)[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,64}$/u;
/** Octets of `sun_path` without its final zero. */
const SOCKET_PATH_LIMIT = 107;
const MAX_LIST = 64;
/** More than these an IKE SA has no message ids for. */
const MAX_QUICK_MODES = 10_000;

/** Text that `reader` understands. `expected` is said of anything that is no text. */
const read = <T>(expected: string, reader: (text: string) => Result<T, string>) =>
  z.string({ error: `${expected} is expected, in quotes` }).transform((text, context): T => {
    const result = reader(text);
    if (result.ok) return result.value;
    context.addIssue(result.error);
    return z.NEVER;
  });

const list = <T extends z.ZodType>(item: T, expected: string) =>
  z
    .array(item.optional(), { error: `a list of ${expected} is expected, in square brackets` })
    .min(1, { error: `the list is empty; it needs at least one of ${expected}` })
    .max(MAX_LIST, { error: `more than ${MAX_LIST} entries` });

const yesOrNo = z.boolean({ error: "true or false is expected, without quotes" });
const port = z
  .int({ error: "a port number is expected, without quotes" })
  .refine((value) => value >= 1 && value <= 65535, { error: "a port is from 1 to 65535" });

/** One of a few words; those of `later` are documented and not built. */
const choice = <const T extends string>(words: readonly T[], later: readonly string[] = []) =>
  read(`one of ${words.join(", ")}`, (text): Result<T, string> => {
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return ok(word);
    if (later.includes(text))
      return err(
        `${JSON.stringify(text)} is not available yet; ${words.map((known) => `"${known}"`).join(" and ")} ${words.length > 1 ? "are" : "is"}`,
      );
    return err(`unknown value ${JSON.stringify(text)}; the nearest known one is "${nearest(text, [...words, ...later]) ?? ""}"`);
  });

const address = read("an address", (text) => {
  const canonical = canonicalAddress(text.trim());
  return canonical === undefined ? err(`${JSON.stringify(text)} is no IPv4 or IPv6 address`) : ok(canonical);
});
const range = read("an address, subnet or range", (text): Result<AddressRange, string> => {
  const value = parseRange(text.trim());
  return value ? ok(value) : err(`${JSON.stringify(text)} is no address, subnet (10.1.0.0/16) or range (10.1.0.1-10.1.0.9)`);
});
const socketPath = read("a path", (text) => {
  if (!/^\/[^\0]*$/.test(text)) return err(`${JSON.stringify(text)} is no absolute path`);
  const octets = new TextEncoder().encode(text).length;
  return octets <= SOCKET_PATH_LIMIT ? ok(text) : err(`the path has ${octets} octets; a socket's may have ${SOCKET_PATH_LIMIT}`);
});
const listen = read('an address and a port such as "127.0.0.1:9500"', parseListen);
const folder = read("a folder", (text) => (/^\/[^\0]*$/.test(text) ? ok(text) : err(`${JSON.stringify(text)} is no absolute path`)));
const name = read("a name", (text) => (NAME.test(text) ? ok(text) : err("a name has from 1 to 64 visible characters")));
const DESCRIPTION = /^[^\p{Cc}\p{Zl}\p{Zp}]{1,500}$/u;
const description = read("a description", (text) =>
  DESCRIPTION.test(text) ? ok(text) : err("a description has from 1 to 500 characters, in one line"),
);
const identity = read('an identity such as "fqdn:a.example.test"', parseIdentity);
const duration = read('a duration such as "480m"', parseDuration);
const none =
  <T>(reader: (text: string) => Result<T, string>) =>
  (text: string): Result<T | null, string> =>
    text === "none" ? ok(null) : reader(text);
const dpd = read('a duration such as "60s", or "none"', none(parseDuration));
const volume = read('a volume such as "100MB"', none(parseVolume));
const pfs = read(
  'a group such as "modp2048", "main-mode" or "none"',
  none((text): Result<Group | "main-mode", string> => {
    if (text === "main-mode") return ok(text);
    const group = parseGroup(text);
    return group.ok ? group : err(`${group.error}, "main-mode" and "none"`);
  }),
);

/** `true` allows every weak algorithm, a list those that it names. */
const allowWeak = z.unknown().transform((value, context): true | readonly string[] => {
  if (typeof value === "boolean") return value || [];
  if (!Array.isArray(value)) context.addIssue("true, false or a list of algorithms is expected");
  const names: string[] = [];
  for (const [i, item] of (Array.isArray(value) ? value : []).entries()) {
    if (item === undefined) continue;
    const known = typeof item === "string" ? parseWeakName(item) : err("the name of an algorithm is expected, in quotes");
    if (known.ok) names.push(known.value);
    else context.issues.push({ code: "custom", message: known.error, input: item, path: [i] });
  }
  return names;
});

const mainMode = z.strictObject({
  proposals: list(read<IkeSuite>('an offer such as "aes256-sha256-modp2048"', parseIkeSuite), "offers").optional(),
  lifetime: duration.optional(),
  "quick-modes": z
    .int({ error: "a number is expected, without quotes" })
    .refine((value) => value >= 0 && value <= MAX_QUICK_MODES, { error: `from 0 (no limit) to ${MAX_QUICK_MODES}` })
    .optional(),
  "master-pfs": yesOrNo.optional(),
});

const quickMode = z.strictObject({
  proposals: list(read<ChildSuite>('an offer such as "esp:aes128-sha1"', parseChildSuite), "offers").optional(),
  lifetime: duration.optional(),
  volume: volume.optional(),
  pfs: pfs.optional(),
});

/** Kinds of traffic that `exempt` names, and lists of them that Windows has. */
export const EXEMPTIONS = ["kerberos", "dns", "dhcp", "rsvp", "broadcast", "multicast", "icmp", "path-mtu"] as const;
export const EXEMPTION_SETS = ["windows", "strict"] as const;

/** An identity, or `principal:NAME@REALM`, or `group:NAME`: read where the groups are known. */
const demandText = z.string({ error: 'an identity such as "fqdn:a.example.test", "principal:host/a@REALM" or "group:NAME" is expected' });

/** RFC 2401 §4.3 reserves SPIs up to 255. */
const spi = z
  .int({ error: "a number such as 0x1001 is expected, without quotes" })
  .refine((value) => value >= 256 && value <= 0xffff_ffff, { error: "an SPI is from 0x100 to 0xffffffff" });

/** Keys that belong to one method of authentication. */
export const METHOD_OF_KEY = {
  secret: "psk",
  "secret-file": "psk",
  certificate: "x509",
  key: "x509",
  ca: "x509",
  crl: "x509",
  "crl-files": "x509",
  "send-certificate": "x509",
  "password-file": "x509",
  keytab: "kerberos",
  principal: "kerberos",
  "peer-principal": "kerberos",
  "token-octet": "kerberos",
  "hash-token-octet": "kerberos",
  "hashed-name": "kerberos",
  "name-encoding": "kerberos",
} as const;

/** A name and perhaps a realm (RFC 1964 §2.1.1). Longer names than this no peer takes. */
const PRINCIPAL = /^(?=.{1,255}$)(?:[^\s\p{Cc}\p{Cf}\\@]|\\.)+(?:@[^\s\p{Cc}\p{Cf}\\@]+)?$/u;
const principal = read("a principal", (text) =>
  PRINCIPAL.test(text) ? ok(text) : err(`${JSON.stringify(text)} is no principal such as "host/a.example.test@EXAMPLE.TEST"`),
);

const peerPrincipal = read("a principal", (text) => {
  const fault = PRINCIPAL.test(text) ? patternFault(text) : `it is no principal such as "host/b.example.test@EXAMPLE.TEST"`;
  return fault === undefined ? ok(text) : err(`${JSON.stringify(text)}: ${fault}`);
});

const file = z.string({ error: "the path of a file is expected, in quotes" });

const authEntry = z.strictObject({
  method: choice(["psk", "x509", "kerberos"]).optional(),
  secret: z.string({ error: "the key is expected in quotes" }).optional(),
  "secret-file": file.optional(),
  "local-id": identity.optional(),
  "remote-id": identity.optional(),
  certificate: file.optional(),
  key: file.optional(),
  ca: list(file, "files").optional(),
  crl: choice(["if-present", "require"]).optional(),
  "crl-files": list(file, "files").optional(),
  "send-certificate": choice(["asked", "always", "never"]).optional(),
  "password-file": file.optional(),
  keytab: file.optional(),
  principal: principal.optional(),
  "peer-principal": peerPrincipal.optional(),
  "token-octet": choice(["auto", "always", "never"]).optional(),
  "hash-token-octet": yesOrNo.optional(),
  "hashed-name": choice(["auto", "wire", "single-octet"]).optional(),
  "name-encoding": choice(["utf-16le", "latin-1"]).optional(),
});

const rule = z.strictObject({
  name: name.optional(),
  description: description.optional(),
  filters: list(read('a filter such as "me <-> 192.0.2.2"', parseFilter), "filters").optional(),
  action: choice(["require", "respond", "permit", "block", "request"]).optional(),
  auth: list(authEntry, "methods").optional(),
  mode: choice(["transport", "tunnel"]).optional(),
  tunnel: z.strictObject({ local: address.optional(), remote: address.optional() }).optional(),
  peer: range.optional(),
  "local-id": identity.optional(),
  "remote-id": identity.optional(),
  "main-mode": mainMode.optional(),
  "quick-mode": quickMode.optional(),
  "allow-weak": allowWeak.optional(),
  start: choice(["on-traffic", "now", "never"]).optional(),
  dpd: dpd.optional(),
  "fallback-after": duration.optional(),
  "fallback-for": duration.optional(),
  "inbound-clear": yesOrNo.optional(),
  discovery: yesOrNo.optional(),
  "require-encryption": yesOrNo.optional(),
  fragmentation: choice(["auto", "force", "off"]).optional(),
  "nat-traversal": choice(["auto", "force", "off"]).optional(),
  "sha256-96": yesOrNo.optional(),
  "remote-ids": list(demandText, "identities").optional(),
  "remote-ca": list(read('a name such as "dn:C=DE, O=Example, CN=CA"', parseIdentity), "names").optional(),
});

/** One SA pair with keys from the file. */
const manualSa = z.strictObject({
  name: name.optional(),
  filters: list(read('a filter such as "me <-> 192.0.2.2"', parseFilter), "filters").optional(),
  local: address.optional(),
  remote: address.optional(),
  mode: choice(["transport", "tunnel"]).optional(),
  protection: read<ChildSuite>('one such as "esp:aes128-sha1"', parseChildSuite).optional(),
  "spi-in": spi.optional(),
  "spi-out": spi.optional(),
  "key-in": z.string({ error: "the key is expected in quotes, as 0x and hex digits" }).optional(),
  "key-out": z.string({ error: "the key is expected in quotes, as 0x and hex digits" }).optional(),
  "key-in-file": file.optional(),
  "key-out-file": file.optional(),
});

/** What is said of a list of tables that is none. */
export const NO_LIST = {
  rule: "rules are tables of a list; write [[rule]]",
  sa: "manual SAs are tables of a list; write [[sa]]",
} as const;

/** The whole file. */
export const DOCUMENT = z.strictObject({
  daemon: z
    .strictObject({
      control: socketPath.optional(),
      addresses: list(address, "addresses").optional(),
      port: port.optional(),
      "nat-port": port.optional(),
      crypto: choice(["openssl", "noble"]).optional(),
      "keep-across-restart": yesOrNo.optional(),
      "runtime-directory": folder.optional(),
    })
    .optional(),
  policy: z
    .strictObject({
      name: name.optional(),
      "allow-weak": allowWeak.optional(),
      "main-mode": mainMode.optional(),
      "quick-mode": quickMode.optional(),
      dpd: dpd.optional(),
      "on-stop": choice(["remove", "keep"]).optional(),
      exempt: z.array(choice([...EXEMPTIONS, ...EXEMPTION_SETS]).optional(), { error: 'a list is expected, such as ["dns"]' }).optional(),
      groups: z.record(z.string(), list(demandText, "identities")).optional(),
    })
    .optional(),
  sa: z.array(manualSa.optional(), { error: NO_LIST.sa }).optional(),
  rule: z.array(rule.optional(), { error: NO_LIST.rule }).optional(),
  metrics: z.strictObject({ listen: listen.optional() }).optional(),
  web: z.strictObject({ listen: listen.optional() }).optional(),
});

export type Document = z.output<typeof DOCUMENT>;
export type RawRule = NonNullable<NonNullable<Document["rule"]>[number]>;
export type RawManual = NonNullable<NonNullable<Document["sa"]>[number]>;
export type RawAuth = NonNullable<NonNullable<RawRule["auth"]>[number]>;
export type RawMainMode = z.output<typeof mainMode>;
export type RawQuickMode = z.output<typeof quickMode>;

/** The keys that the table at `path` may have; empty where no table belongs. */
export function knownKeys(path: KeyPath): readonly string[] {
  const at = shapeAt(path);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** Whether a table, and nothing else, belongs at `path`. */
export function isTablesPlace(path: KeyPath): boolean {
  const at = shapeAt(path);
  return at instanceof z.ZodObject || at instanceof z.ZodRecord;
}

function shapeAt(path: KeyPath): unknown {
  let at: unknown = DOCUMENT;
  for (const step of path) {
    at = plain(at);
    if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodObject) at = Object.hasOwn(at.shape, step) ? at.shape[step] : undefined;
    else return undefined;
  }
  return plain(at);
}

/** The tables, by their headers, that know `key`: where a misplaced key belongs. */
export function tablesKnowing(key: string): readonly string[] {
  return TABLES.filter(([path]) => knownKeys(path).includes(key)).map(([, header]) => header);
}

const TABLES: readonly (readonly [KeyPath, string])[] = [
  [["daemon"], "[daemon]"],
  [["policy"], "[policy]"],
  [["policy", "main-mode"], "[policy.main-mode]"],
  [["policy", "quick-mode"], "[policy.quick-mode]"],
  [["rule", 0], "[[rule]]"],
  [["rule", 0, "auth", 0], "an entry of auth"],
  [["sa", 0], "[[sa]]"],
  [["web"], "[web]"],
  [["rule", 0, "tunnel"], "tunnel"],
];

const plain = (schema: unknown): unknown => (schema instanceof z.ZodOptional ? plain(schema.unwrap()) : schema);
