/**
 * A draft as the text of a configuration file, with comments that say where each rule came from.
 */
import type { DraftAuth, DraftMainMode, DraftPolicy, DraftQuickMode, DraftRule } from "./draft.ts";

/** The whole file. `source` is the script's name, for the comments. */
export function writeToml(policy: DraftPolicy, source: string): string {
  const { mainMode } = policy;
  const lines = [
    ...policy.comments.map(comment),
    "",
    "[policy]",
    `name = ${quote(policy.name)}`,
    ...(policy.allowWeak.length > 0 ? [`allow-weak = ${list(policy.allowWeak)}`] : []),
    ...(policy.exempt === null ? [] : [`exempt = ${list(policy.exempt)}`]),
    ...(mainMode ? ["", "[policy.main-mode]", ...mainModeKeys(mainMode)] : []),
    ...policy.rules.flatMap((rule) => ["", ...ruleLines(rule, source)]),
  ];
  return `${lines.join("\n")}\n`;
}

const mainModeKeys = ({ proposals, lifetime, quickModes, masterPfs }: DraftMainMode): readonly string[] => [
  ...(proposals.length > 0 ? [`proposals = ${list(proposals)}`] : []),
  `lifetime = ${quote(lifetime)}`,
  ...(quickModes > 0 ? [`quick-modes = ${quickModes}`] : []),
  ...(masterPfs ? ["master-pfs = true"] : []),
];

function ruleLines(rule: DraftRule, source: string): readonly string[] {
  const body = [
    "[[rule]]",
    `name = ${quote(rule.name)}`,
    ...(rule.comments.length > 0 ? [`description = ${quote(shortened(rule.comments.join("; ")))}`] : []),
    ...listLines("filters", rule.filters.map(quote)),
    `action = ${quote(rule.action)}`,
    ...inboundLines(rule),
    ...(rule.discovery ? ["discovery = true"] : []),
    ...(rule.auth.length > 0 ? listLines("auth", rule.auth.map(authText)) : []),
    ...(rule.tunnel ? ['mode = "tunnel"', `tunnel = { ${tunnelText(rule.tunnel)} }`] : []),
    ...(rule.mainMode ? [`main-mode = { ${mainModeKeys(rule.mainMode).join(", ")} }`] : []),
    ...(rule.quickMode ? [`quick-mode = { ${quickText(rule.quickMode)} }`] : []),
  ];
  return [comment(`${source}:${rule.line}`), ...(rule.disabled ? body.map(comment) : body)];
}

/** Characters that a description may have. */
const LONGEST = 500;
const shortened = (text: string): string => {
  const plain = [...text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")];
  return plain.length <= LONGEST ? plain.join("") : `${plain.slice(0, LONGEST - 1).join("")}…`;
};

/** `request` accepts clear text unless it says otherwise, `require` only where it says so. */
const inboundLines = ({ action, inboundClear }: DraftRule): readonly string[] =>
  (action === "request" && !inboundClear) || (action === "require" && inboundClear) ? [`inbound-clear = ${inboundClear}`] : [];

const tunnelText = ({ local, remote }: NonNullable<DraftRule["tunnel"]>): string =>
  [...(local === null ? [] : [`local = ${quote(local)}`]), `remote = ${quote(remote)}`].join(", ");

const quickText = ({ proposals, lifetime, volume, pfs }: DraftQuickMode): string =>
  [
    ...(proposals.length > 0 ? [`proposals = ${list(proposals)}`] : []),
    `lifetime = ${quote(lifetime)}`,
    `volume = ${quote(volume)}`,
    `pfs = ${quote(pfs)}`,
  ].join(", ");

function authText(entry: DraftAuth): string {
  switch (entry.method) {
    case "kerberos":
      return `{ method = "kerberos"${optional("keytab", entry.keytab)}${optional("principal", entry.principal)} }`;
    case "psk":
      return `{ method = "psk", secret-file = ${quote(entry.secretFile)} }`;
    case "x509":
      return `{ method = "x509", certificate = ${quote(entry.certificate)}${optional("key", entry.key)}, ca = ${list(entry.ca)}${entry.crlRequired ? ', crl = "require"' : ""} }`;
  }
}

const optional = (key: string, value: string | null): string => (value === null ? "" : `, ${key} = ${quote(value)}`);

/** One line where it fits, else a line for each. */
function listLines(key: string, items: readonly string[]): readonly string[] {
  const short = `${key} = [${items.join(", ")}]`;
  return short.length <= 120 ? [short] : [`${key} = [`, ...items.map((item) => `  ${item},`), "]"];
}

const list = (items: readonly string[]): string => `[${items.map(quote).join(", ")}]`;

/** A basic string of TOML. Its escapes are those of JSON, but for DEL, which TOML wants escaped too. */
export const quote = (text: string): string => JSON.stringify(text).replace(/\u007f/g, "\\u007f");

/** A comment: one line, no control characters, whatever a script had in its names. */
const comment = (text: string): string => (text === "" ? "#" : `# ${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")}`);
