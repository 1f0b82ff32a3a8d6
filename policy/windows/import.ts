/**
 * `mainmode policy import`: from the octets of a script to a configuration and everything there is to say about it. Nothing is
 * executed, no file is written and the kernel is not touched here.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import { applyCommand } from "./apply.ts";
import { findCommand } from "./context.ts";
import { type ConvertOptions, convertPolicy } from "./convert.ts";
import { type Finding, type Findings, startFindings } from "./diagnostics.ts";
import type { DraftPolicy, SecretFile } from "./draft.ts";
import { applyIpsecpol, isIpsecpol } from "./ipsecpol.ts";
import { parseStatic } from "./parse.ts";
import { playRegistry } from "./registry.ts";
import { isRegistryFile } from "./registry-file.ts";
import { readScript, shellOf } from "./script.ts";
import { decodeScript } from "./source-text.ts";
import { emptyStore, resolvePolicy, type StoredPolicy, type WindowsPolicy, type WindowsStore } from "./store.ts";
import { writeToml } from "./toml.ts";
import { splitWords } from "./words.ts";

export interface ImportOptions extends ConvertOptions {
  /** The script's name, for comments and to tell PowerShell from a batch file. */
  readonly fileName: string;
  readonly encoding: string | undefined;
  /** Which policy, where there are several or none is assigned. */
  readonly policy: string | undefined;
  readonly lenient: boolean;
}

export interface Imported {
  readonly toml: string;
  readonly draft: DraftPolicy;
  readonly secrets: readonly SecretFile[];
  readonly findings: readonly Finding[];
  /** What became of every object of the script, one line each. */
  readonly report: readonly string[];
}

/** Imports a script. The error: nothing to import, with the findings that say why. */
export function importScript(bytes: Uint8Array, options: ImportOptions): Result<Imported, readonly Finding[]> {
  const findings = startFindings();
  const store = emptyStore();
  const text = decodeScript(bytes, options.encoding);
  if (text.ok && isRegistryFile(text.value)) playRegistry(text.value, store, findings);
  else if (text.ok) playScript(text.value, options, store, findings);
  else findings.say("E_ENCODING", { line: 1, column: 1 }, text.error);
  const chosen = choosePolicy(store, options.policy, findings);
  if (!chosen) return err(inOrder(findings.all));
  const policy = resolvePolicy(store, chosen, findings);
  reportUnused(store, policy, findings);
  const { draft, secrets } = convertPolicy(policy, options, findings);
  return ok({
    toml: writeToml(draft, options.fileName),
    draft,
    secrets,
    findings: inOrder(findings.all),
    report: reportOf(store, policy, draft),
  });
}

const inOrder = (all: readonly Finding[]): readonly Finding[] => [...all].sort((a, b) => a.line - b.line || a.column - b.column);

/** Plays every command of the script on the store. */
function playScript(text: string, options: ImportOptions, store: WindowsStore, findings: Findings): void {
  const shell = shellOf(options.fileName, text);
  const context = { inStatic: false };
  for (const line of readScript(text, shell, findings)) {
    const words = splitWords(line.text, line, shell);
    if (!words.ok) {
      findings.say("E_SYNTAX", words.error, words.error.what);
      continue;
    }
    if (isIpsecpol(words.value[0])) {
      applyIpsecpol(words.value.slice(1), store, findings);
      continue;
    }
    const command = findCommand(words.value, context, findings);
    const parsed = command && parseStatic(command, findings, options.lenient);
    if (parsed) applyCommand(store, parsed, findings);
  }
}

/** The policy that is asked for, else the assigned one, else the only one. */
function choosePolicy(store: WindowsStore, wanted: string | undefined, findings: Findings): StoredPolicy | undefined {
  const all = store.policies.all();
  const start = { line: 1, column: 1 };
  const names = all.map(({ name }) => JSON.stringify(name)).join(", ");
  if (wanted !== undefined) {
    const found = store.policies.find(wanted);
    if (!found)
      findings.say("E_NO_SUCH_OBJECT", start, `there is no policy ${JSON.stringify(wanted)}; the script makes ${names || "none"}`);
    return found;
  }
  const assigned = all.find((policy) => policy.assigned);
  const chosen = assigned ?? (all.length === 1 ? all[0] : undefined);
  if (!assigned && all.length > 0)
    findings.say("W_NOT_ASSIGNED", chosen ?? start, chosen ? `policy ${names} is made, not assigned` : `the script makes ${names}`);
  if (all.length === 0) findings.say("E_NO_SUCH_OBJECT", start, "the script makes no policy");
  for (const other of all)
    if (chosen && other !== chosen) findings.say("W_OTHER_POLICY", other, `policy ${JSON.stringify(other.name)} was left out`);
  return chosen;
}

function reportUnused(store: WindowsStore, policy: WindowsPolicy, findings: Findings): void {
  const used = new Set(policy.rules.flatMap(({ filterList, filterAction }) => [filterList.name, filterAction.name]));
  for (const [what, items] of [
    ["filter list", store.lists.all()],
    ["filter action", store.actions.all()],
  ] as const)
    for (const item of items) if (!used.has(item.name)) findings.say("W_UNUSED_OBJECT", item, `${what} ${JSON.stringify(item.name)}`);
}

function reportOf(store: WindowsStore, policy: WindowsPolicy, draft: DraftPolicy): readonly string[] {
  const became = new Map(draft.rules.map((rule) => [rule.line, rule]));
  return [
    ...store.policies.all().map((other) => `policy ${JSON.stringify(other.name)}: ${other.name === policy.name ? "imported" : "left out"}`),
    ...policy.rules.map((rule) => {
      const ours = became.get(rule.line);
      const state = ours
        ? ours.disabled
          ? "a comment"
          : `${ours.action}, ${ours.filters.length} filters`
        : "the other half of a tunnel, or left out";
      return `rule ${JSON.stringify(rule.name)} (line ${rule.line}): ${state}`;
    }),
    ...store.lists.all().map((list) => `filter list ${JSON.stringify(list.name)}: ${list.filters.length} filters`),
    ...store.actions.all().map((action) => `filter action ${JSON.stringify(action.name)}: ${action.action}`),
  ];
}
