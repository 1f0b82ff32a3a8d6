/**
 * The authentication of a rule: entries in order of preference, with their keys read and their identities defaulted.
 */

import type { Secret } from "../ike/crypto/secret.ts";
import type { Result } from "../isakmp/result.ts";
import type { Report } from "./diagnostic.ts";
import { isIdentityPattern } from "./identity.ts";
import { buildKerberos } from "./kerberos-entries.ts";
import type { Allowed } from "./offers.ts";
import { METHOD_OF_KEY, type RawAuth, type RawRule } from "./schema.ts";
import { secretOfFile, secretOfText } from "./secrets.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { AuthEntry, Identity, ManualSa } from "./types.ts";
import { buildX509 } from "./x509-entries.ts";
import type { CertificateAccess, FileReader } from "./x509-files.ts";

/**
 * Octets of a secret file, as they stand there; the receiver wipes them. The error never holds any of them.
 * undefined: it is not to be had here, and that is no fault of the configuration.
 */
export type SecretReader = (reference: string) => Result<Uint8Array | undefined, string>;

/** A text of the configuration, as far as keys matter. */
export interface TextWithKeys {
  /** Others may read it. */
  readonly exposed: boolean;
  readonly known: KnownKeys | undefined;
}

/** Keys of what is in force. Whoever asks gets copies. */
export interface KnownKeys {
  /** An entry of a rule by its place; undefined where it is to be read. `isInline`: its key stood in the text. */
  readonly entry: (rule: string, index: number, isInline: boolean) => AuthEntry | undefined;
  readonly manual: (name: string) => ManualSa | undefined;
}

/** What reading entries needs. */
export interface AuthContext {
  readonly report: Report;
  readonly readSecret: SecretReader;
  /** The text in which the value at a path stands. */
  readonly layerOf: (path: KeyPath) => TextWithKeys;
  /** undefined: nobody here can read certificates. */
  readonly certificates: CertificateAccess | undefined;
  readonly readFile: FileReader;
}

/** The entries of a rule that could be read. `allowed`: which weak algorithms the rule may use. */
export function buildAuth(rule: RawRule, path: KeyPath, allowed: Allowed, context: AuthContext): readonly AuthEntry[] {
  const entries: AuthEntry[] = [];
  for (const [i, raw] of (rule.auth ?? []).entries()) {
    const at = [...path, "auth", i];
    const method = raw && methodOf(raw, at, context.report);
    if (!raw || !method) continue;
    const { known } = context.layerOf(at);
    const before = known?.entry(rule.name ?? "", i, raw.secret !== undefined);
    if (before) {
      entries.push(before);
      continue;
    }
    // The text has blanks in its place, which must never become a key.
    if (known && raw.secret !== undefined) context.report.error([...at, "secret"], "this key is not known any more; write it again");
    if (known && raw.secret !== undefined) continue;
    const [localId, remoteId] = [raw["local-id"] ?? rule["local-id"] ?? null, raw["remote-id"] ?? rule["remote-id"] ?? null];
    reportPattern(localId, raw["local-id"] ? [...at, "local-id"] : [...path, "local-id"], context.report);
    const entry = BUILDERS[method]({ raw, at, allowed, localId, remoteId }, context);
    if (entry) entries.push(entry);
  }
  return entries;
}

type Method = AuthEntry["method"];

/** An entry as it was written, and what it has from its rule. */
export interface EntrySource {
  readonly raw: RawAuth;
  readonly at: KeyPath;
  readonly allowed: Allowed;
  readonly localId: Identity | null;
  readonly remoteId: Identity | null;
}

const BUILDERS: Readonly<Record<Method, (source: EntrySource, context: AuthContext) => AuthEntry | undefined>> = {
  psk: ({ raw, at, localId, remoteId }, context) => {
    const secret = readPsk(raw, at, context);
    return secret && { method: "psk", secret, localId, remoteId };
  },
  x509: buildX509,
  kerberos: buildKerberos,
};

/** The method, where it is one, after saying which keys belong to another. */
function methodOf(raw: RawAuth, at: KeyPath, report: Report): Method | undefined {
  if (report.failed([...at, "method"])) return undefined;
  if (raw.method === undefined) {
    report.error(at, 'method is missing; add method = "psk", method = "x509" or method = "kerberos"');
    return undefined;
  }
  for (const [key, method] of Object.entries(METHOD_OF_KEY)) {
    if (method !== raw.method && raw[key as keyof typeof METHOD_OF_KEY] !== undefined)
      report.error([...at, key], `${key} belongs to the method ${method}`, "key");
  }
  return raw.method;
}

function reportPattern(localId: Identity | null, at: KeyPath, report: Report): void {
  if (localId && isIdentityPattern(localId) && !report.failed(at))
    report.error(at, "a * stands for any value, and we are somebody; write the value");
}

function readPsk(raw: RawAuth, at: KeyPath, { report, readSecret, layerOf }: AuthContext): Secret | undefined {
  const { secret: text, "secret-file": file } = raw;
  if (report.failed([...at, "secret"]) || report.failed([...at, "secret-file"])) return undefined;
  if (text !== undefined && file !== undefined) {
    report.error([...at, "secret"], "secret and secret-file exclude each other; keep secret-file", "key");
    return undefined;
  }
  if (text === undefined && file === undefined) {
    // A misspelt key in the entry has been reported already; it is probably this one.
    if (!report.failed(at)) report.error(at, 'the pre-shared key is missing; add secret-file = "…"');
    return undefined;
  }
  const key = text === undefined ? "secret-file" : "secret";
  if (text !== undefined && layerOf(at).exposed) {
    report.warning(
      [...at, key],
      "this key stands in a file that others may read; use secret-file, or take the right to read away from others",
      "key",
    );
  }
  const secret = text === undefined ? readFileSecret(file ?? "", readSecret) : secretOfText(text);
  if (!secret) {
    report.warning([...at, key], "not checked: credentials exist only inside the service");
    return undefined;
  }
  if (!secret.ok) report.error([...at, key], secret.error);
  return secret.ok ? secret.value : undefined;
}

function readFileSecret(reference: string, readSecret: SecretReader): Result<Secret, string> | undefined {
  const octets = readSecret(reference);
  if (!octets.ok) return octets;
  return octets.value && secretOfFile(octets.value);
}
