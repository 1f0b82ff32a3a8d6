/**
 * `mainmode policy import`: from the octets of a script to a configuration and everything there is to say about it. Nothing is
 * executed, no file is written and the kernel is not touched here.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import { applyAdvfirewall } from "./advfirewall.ts";
import { applyCommand } from "./apply.ts";
import { CONSEC_NAME, convertConsec, hasConsec, requiresCrl } from "./consec-convert.ts";
import { type ConsecStore, emptyConsec } from "./consec-store.ts";
import { findCommand, type NetshContext } from "./context.ts";
import { type ConvertOptions, convertPolicy } from "./convert.ts";
import { type Finding, type Findings, mayHoldKey, startFindings, withoutWords } from "./diagnostics.ts";
import type { DraftPolicy, SecretFile } from "./draft.ts";
import { type DraftContext, startContext } from "./draft-auth.ts";
import { fitDraft } from "./fit.ts";
import { applyIpsecpol, isIpsecpol } from "./ipsecpol.ts";
import { type PsState, playPowerShell } from "./netipsec.ts";
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
  const stores: Stores = { policies: emptyStore(), consec: emptyConsec() };
  const start = { line: 1, column: 1 };
  const decoded = decodeScript(bytes, options.encoding);
  if (!decoded.ok) findings.say("E_ENCODING", start, decoded.error);
  else {
    const { text, guessed } = decoded.value;
    if (guessed) findings.say("W_ENCODING", start, "the script is no UTF-8 and was read as Windows-1252");
    if (isRegistryFile(text)) playRegistry(text, stores.policies, findings);
    else playScript(text, options, stores, findings);
  }
  const context = startContext(options, findings, requiresCrl(stores.consec));
  const made = makeDraft(stores, options.policy, context);
  if (!made) return err(inOrder(findings.all));
  const draft = fitDraft(made.draft, context);
  return ok({
    toml: writeToml(draft, options.fileName),
    draft,
    secrets: context.secrets,
    findings: inOrder(findings.all),
    report: reportOf(stores, made.policy, draft),
  });
}

const inOrder = (all: readonly Finding[]): readonly Finding[] => [...all].sort((a, b) => a.line - b.line || a.column - b.column);

/** Windows has both at a time: policies of `ipsec static`, and connection security rules. */
interface Stores {
  readonly policies: WindowsStore;
  readonly consec: ConsecStore;
}

/** Plays every command of the script on the stores. */
function playScript(text: string, options: ImportOptions, stores: Stores, all: Findings): void {
  const shell = shellOf(options.fileName, text);
  const context: NetshContext = { at: "none" };
  const state: PsState = { texts: new Map(), values: new Map() };
  const forget = (name: string): void => {
    state.texts.delete(name);
    state.values.delete(name);
  };
  for (const line of readScript(text, { shell, findings: all, variables: state.texts, forget })) {
    const findings = mayHoldKey(line.text) === undefined ? all : withoutWords(all);
    if (line.objects) {
      playPowerShell(line, state, stores.consec, findings);
      continue;
    }
    const words = splitWords(line.text, line, shell);
    if (!words.ok) {
      findings.say("E_SYNTAX", words.error, words.error.what);
      continue;
    }
    if (isIpsecpol(words.value[0])) {
      applyIpsecpol(words.value.slice(1), stores.policies, findings, options.lenient);
      continue;
    }
    const command = findCommand(words.value, context, findings);
    if (command?.context === "advfirewall") applyAdvfirewall(command.words, stores.consec, findings, options.lenient);
    const parsed = command?.context === "static" && parseStatic(command.words, findings, options.lenient);
    if (parsed) applyCommand(stores.policies, parsed, findings);
  }
}

interface Made {
  readonly draft: DraftPolicy;
  readonly policy: WindowsPolicy | null;
}

/** The draft of what is asked for: a policy by its name, the connection security rules by theirs, else what Windows has in force. */
function makeDraft({ policies, consec }: Stores, wanted: string | undefined, context: DraftContext): Made | undefined {
  const { findings } = context;
  const onlyRules = wanted?.toLowerCase() === CONSEC_NAME.toLowerCase();
  const rules = hasConsec(consec) && (wanted === undefined || onlyRules);
  const start = { line: 1, column: 1 };
  if (onlyRules && !rules) {
    findings.say("E_NO_SUCH_OBJECT", start, "the script makes no connection security rule");
    return undefined;
  }
  if (hasConsec(consec) && !rules)
    findings.say(
      "W_OTHER_POLICY",
      consec.rules.all()[0] ?? start,
      `the connection security rules were left out; they are ${JSON.stringify(CONSEC_NAME)}`,
    );
  const chosen = onlyRules || (rules && policies.policies.all().length === 0) ? undefined : choosePolicy(policies, wanted, findings);
  if (!chosen) return rules ? { draft: convertConsec(consec, context, false), policy: null } : undefined;
  const policy = resolvePolicy(policies, chosen, findings);
  reportUnused(policies, policy, findings);
  const draft = convertPolicy(policy, context);
  if (!rules) return { draft, policy };
  const more = convertConsec(consec, context, true);
  const allowWeak = [...new Set([...draft.allowWeak, ...more.allowWeak])].sort();
  return { draft: { ...draft, allowWeak, exempt: more.exempt, rules: [...draft.rules, ...more.rules] }, policy };
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

function reportOf({ policies, consec }: Stores, policy: WindowsPolicy | null, draft: DraftPolicy): readonly string[] {
  const became = new Map<number, DraftPolicy["rules"][number][]>();
  for (const one of draft.rules) became.set(one.line, [...(became.get(one.line) ?? []), one]);
  const state = (line: number, otherwise: string): string => {
    const [first, ...more] = became.get(line) ?? [];
    const filters = [first, ...more].reduce((sum, one) => sum + (one?.filters.length ?? 0), 0);
    return first ? (first.disabled ? "a comment" : `${first.action}, ${filters} filters`) : otherwise;
  };
  const rule = (what: string, name: string, line: number, otherwise: string) =>
    `${what} ${JSON.stringify(name)} (line ${line}): ${state(line, otherwise)}`;
  return [
    ...policies.policies
      .all()
      .map((other) => `policy ${JSON.stringify(other.name)}: ${other.name === policy?.name ? "imported" : "left out"}`),
    ...(policy?.rules ?? []).map(({ name, line }) => rule("rule", name, line, "the other half of a tunnel, or left out")),
    ...policies.lists.all().map((list) => `filter list ${JSON.stringify(list.name)}: ${list.filters.size} filters`),
    ...policies.actions.all().map((action) => `filter action ${JSON.stringify(action.name)}: ${action.action}`),
    ...consec.rules.all().map(({ name, line }) => rule("connection security rule", name, line, "left out")),
    ...consec.mainRules
      .all()
      .map(({ name, line }) => `main mode rule ${JSON.stringify(name)} (line ${line}): put into the rules for its peers`),
    ...[...consec.sets.values()].map(
      ({ name, type, line }) => `${type} set ${JSON.stringify(name)} (line ${line}): put into the rules that name it`,
    ),
  ];
}
