/**
 * What rules of a draft need whatever they came from: authentication with its key files, and names that fit and are nobody else's.
 */
import type { ConvertOptions } from "./convert.ts";
import type { Findings, Place } from "./diagnostics.ts";
import type { DraftAuth, SecretFile } from "./draft.ts";
import type { WindowsAuth } from "./store.ts";

/** What the rules of one file share. */
export interface DraftContext {
  readonly options: ConvertOptions;
  readonly findings: Findings;
  readonly secrets: SecretFile[];
  /** Keys that have a file, with its name. */
  readonly secretNames: Map<string, string>;
  /** Names that are taken, and how often more of them were asked for. */
  readonly names: Map<string, number>;
  /** Weak algorithms that the file has to allow. */
  readonly weak: Set<string>;
  /** Certificates need a fresh list of revoked ones. */
  readonly crlRequired: boolean;
}

/** An empty context. */
export const startContext = (options: ConvertOptions, findings: Findings, crlRequired: boolean): DraftContext => ({
  options,
  findings,
  secrets: [],
  secretNames: new Map(),
  names: new Map(),
  weak: new Set(),
  crlRequired,
});

/** Windows' default where a rule names no method. */
const DEFAULT_AUTH: readonly WindowsAuth[] = [{ kind: "kerberos" }];

/** A rule's authentication as entries of ours, in their order; keys go to files. None left is said. */
export function authOf(context: DraftContext, auth: readonly WindowsAuth[], at: Place, rule: string): readonly DraftAuth[] {
  const { findings } = context;
  const entries = (auth.length > 0 ? auth : DEFAULT_AUTH).flatMap((method) => entryOf(context, method, at, rule));
  if (entries.length === 0) findings.say("E_NO_METHOD", at, `rule ${JSON.stringify(rule)} has no authentication left; it is a comment`);
  // Every CA of a script stands for the same files.
  return [...new Map(entries.map((entry) => [JSON.stringify(entry), entry])).values()];
}

function entryOf(context: DraftContext, method: WindowsAuth, at: Place, rule: string): readonly DraftAuth[] {
  switch (method.kind) {
    case "kerberos":
      context.findings.say("W_KEYTAB", at, `rule ${JSON.stringify(rule)} authenticates with Kerberos`);
      return [{ method: "kerberos", keytab: context.options.keytab ?? null, principal: context.options.principal ?? null }];
    case "psk":
      context.findings.say("W_PSK_CLEARTEXT", at, `rule ${JSON.stringify(rule)} has a pre-shared key`);
      if (/[^ -~]/.test(method.key))
        context.findings.say("W_PSK_CHARACTERS", at, `the pre-shared key of rule ${JSON.stringify(rule)} has characters beyond ASCII`);
      return [{ method: "psk", secretFile: secretFile(context, method.key, rule) }];
    case "ca":
      return certificateOf(context, method, at, rule);
  }
}

function certificateOf(
  { options, findings, crlRequired }: DraftContext,
  method: WindowsAuth & { kind: "ca" },
  at: Place,
  rule: string,
): readonly DraftAuth[] {
  if (method.mapping) findings.say("W_CERTMAP", at, `rule ${JSON.stringify(rule)} maps certificates to accounts`);
  if (method.excludeName)
    findings.say("W_SETTING", at, `rule ${JSON.stringify(rule)}: the name of the CA is asked for in spite of excludecaname`);
  const { certificate, key, ca } = options;
  if (certificate === undefined) {
    findings.say(
      "W_CERTIFICATE",
      at,
      `rule ${JSON.stringify(rule)} wants certificates of ${JSON.stringify(method.name)}; give --certificate, --key and --ca`,
    );
    return [];
  }
  if (ca.length === 0) {
    findings.say("W_CA", at, `rule ${JSON.stringify(rule)} trusts ${JSON.stringify(method.name)}; give that CA's file with --ca`);
    return [];
  }
  findings.say("W_CA_NAME", at, `rule ${JSON.stringify(rule)} trusts ${JSON.stringify(method.name)}`);
  return [{ method: "x509", certificate, key: key ?? null, ca, crlRequired }];
}

/** The file of a key: equal keys share one, named after the first rule that has it. */
function secretFile(context: DraftContext, key: string, rule: string): string {
  const base =
    rule
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 40) || "rule";
  const name = context.secretNames.get(key) ?? `${fresh(base, context.names, "secret ", "-")}.psk`;
  if (!context.secretNames.has(key)) context.secrets.push({ name, octets: secretOctets(key) });
  context.secretNames.set(key, name);
  return `${context.options.secretsFolder}${name}`;
}

/** What our reader would take for something else (hex, base64, a line end) is written as hex. */
function secretOctets(key: string): Uint8Array {
  const octets = new TextEncoder().encode(key);
  if (!/^0[xs]|[\r\n]$/.test(key)) return octets;
  return new TextEncoder().encode(`0x${[...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("")}`);
}

/** Octets of a name that commands and logs carry: 64 visible characters. */
export function ourName(name: string, at: Place, findings: Findings): string {
  const visible = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "").trim();
  const short = [...visible].slice(0, 64).join("");
  // UTF-16 units are what the reader counts.
  const fitting = short.length > 64 ? short.slice(0, 64).replace(/[\ud800-\udbff]$/, "") : short;
  if (fitting !== name) findings.say("W_NAME", at, `${JSON.stringify(name)} became ${JSON.stringify(fitting || "unnamed")}`);
  return fitting || "unnamed";
}

/** A rule's name that no other rule has. */
export const uniqueName = ({ names }: DraftContext, name: string): string => fresh(name, names, "", " ");

/** `base`, or with the first free number behind it. `taken` counts, so that a thousand equal names are no square. */
function fresh(base: string, taken: Map<string, number>, kind: string, between: string): string {
  const short = base.slice(0, 56).replace(/[\ud800-\udbff]$/, "");
  let unique = base;
  for (let n = taken.get(`${kind}${base}`) ?? 1; taken.has(`${kind}${unique}`); n++) {
    unique = between === " " ? `${short} (${n + 1})` : `${base}${between}${n + 1}`;
    taken.set(`${kind}${base}`, n + 1);
  }
  taken.set(`${kind}${unique}`, 1);
  return unique;
}
