/** What an import made, as short lines that a test can be read by. */
import { type Finding, formatFinding } from "../../../policy/windows/diagnostics.ts";
import type { DraftRule } from "../../../policy/windows/draft.ts";
import { type ImportOptions, importScript } from "../../../policy/windows/import.ts";

export const OPTIONS: ImportOptions = {
  fileName: "script.cmd",
  encoding: undefined,
  policy: undefined,
  lenient: false,
  local: [],
  allowWeak: false,
  upgradeCrypto: false,
  keytab: undefined,
  principal: undefined,
  certificate: undefined,
  key: undefined,
  ca: [],
  secretsFolder: "",
};

export interface Summary {
  /** One line for each rule. */
  readonly rules: readonly string[];
  /** Codes with their lines, such as `E_SYNTAX@3`, without those that a script of Windows always gets. */
  readonly codes: readonly string[];
  readonly mainMode: string;
  readonly toml: string;
  readonly secrets: readonly string[];
  readonly findings: readonly Finding[];
  readonly weakens: boolean;
}

/** Said of nearly every script: its algorithms, its keys, its Kerberos. */
const USUAL: ReadonlySet<string> = new Set(["W_WEAK_ALGORITHM", "W_PSK_CLEARTEXT", "W_KEYTAB", "W_SOFT_FALLBACK", "W_CA_NAME"]);

/** Imports a script and sums up. */
export function summary(script: string | Uint8Array, options: Partial<ImportOptions> = {}): Summary {
  const bytes = typeof script === "string" ? new TextEncoder().encode(script) : script;
  const result = importScript(bytes, { ...OPTIONS, ...options });
  const findings = result.ok ? result.value.findings : result.error;
  const codes = findings.filter(({ code }) => !USUAL.has(code)).map(({ code, line }) => `${code}@${line}`);
  const weakens = findings.some((finding) => finding.weakens);
  if (!result.ok) return { rules: [], codes, mainMode: "", toml: "", secrets: [], findings, weakens };
  const { draft, toml, secrets } = result.value;
  const { mainMode } = draft;
  return {
    rules: draft.rules.map(ruleText),
    codes,
    mainMode: mainMode ? [mainMode.proposals.join(" "), mainMode.lifetime, mainMode.quickModes, mainMode.masterPfs].join(", ") : "none",
    toml,
    secrets: secrets.map(({ name, octets }) => `${name}: ${new TextDecoder().decode(octets)}`),
    findings,
    weakens,
  };
}

function ruleText(rule: DraftRule): string {
  const auth = rule.auth.map((entry) => entry.method).join(">");
  const tunnel = rule.tunnel ? ` tunnel ${rule.tunnel.local ?? "me"}..${rule.tunnel.remote}` : "";
  const quick =
    rule.quickMode &&
    ` ${[rule.quickMode.proposals.join(" "), rule.quickMode.lifetime, rule.quickMode.volume, rule.quickMode.pfs].join(", ")}`;
  const main = rule.mainMode
    ? `; main mode ${[rule.mainMode.proposals.join(" "), rule.mainMode.lifetime, rule.mainMode.quickModes].join(", ")}`
    : "";
  return `${rule.disabled ? "# " : ""}${rule.name}: ${rule.action}${rule.inboundClear ? " inbound-clear" : ""}${rule.discovery ? " discovery" : ""} ${rule.filters.join(" | ")}${tunnel}${auth && ` by ${auth}`}${quick ?? ""}${main}`;
}

/** All findings as a person sees them, for failed tests. */
export const shown = ({ findings }: Summary): string => findings.map((finding) => formatFinding("script", finding)).join("\n");
