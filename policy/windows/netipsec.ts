/**
 * The NetIPsec cmdlets played through: what `New-…` makes are objects that variables hold and later cmdlets name. Rules come to the same store
 * as those of `netsh advfirewall consec`.
 */

import { fieldKey, putGlobal } from "./advfirewall.ts";
import { WORDS } from "./consec-grammar.ts";
import { type ConsecSet, type ConsecShelf, type ConsecStore, freshId, type Given, type StoredConsec } from "./consec-store.ts";
import { readConsecValue } from "./consec-values.ts";
import type { Code, Findings, Place } from "./diagnostics.ts";
import { CMDLETS, type Cmdlet, COMMON, type Parameter, tagOf } from "./netipsec-grammar.ts";
import { makeProposal, makeSet, type Proposal } from "./netipsec-objects.ts";
import { type Argument, type Command, type Expression, parseStatements, type Statement } from "./powershell.ts";

export type PsValue =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly PsValue[] }
  | { readonly kind: "rule"; readonly id: string; readonly name: string }
  | { readonly kind: "set"; readonly set: ConsecSet }
  | { readonly kind: "proposal"; readonly proposal: Proposal }
  | { readonly kind: "unknown"; readonly what: string };

/** What a script has defined so far: texts by `script.ts`, everything else here. */
export interface PsState {
  readonly texts: Map<string, string>;
  readonly values: Map<string, PsValue>;
}

interface Env {
  readonly state: PsState;
  readonly store: ConsecStore;
  readonly findings: Findings;
  readonly place: Place;
}

/** Objects that variables may hold, and entries of a list. */
const MOST = 1000;

/** Plays one line. What isn't about IPsec is passed over; what can't be followed is reported if it is. */
export function playPowerShell(line: Place & { readonly text: string }, state: PsState, store: ConsecStore, findings: Findings): void {
  const place = { line: line.line, column: line.column };
  const statements = parseStatements(line.text, isSwitch);
  const matters = /-NetIPsec|-NetFirewallSetting/i.test(line.text);
  if (!statements.ok) {
    forget(line.text, state);
    if (matters) findings.say("E_SYNTAX", place, `this statement of PowerShell is not understood: ${statements.error}`);
    return;
  }
  for (const statement of statements.value) play(statement, { state, store, findings, place });
}

/** A variable whose new value is not known. */
function forget(text: string, { texts, values }: PsState): void {
  const name = /^\$(?:\w+:)?(\w+)\s*\+?=/.exec(text)?.[1]?.toLowerCase();
  if (name === undefined) return;
  texts.delete(name);
  values.delete(name);
}

function play({ target, append, pipeline }: Statement, env: Env): void {
  let value: PsValue = { kind: "list", items: [] };
  for (const [i, stage] of pipeline.entries()) value = i === 0 ? evaluate(stage, env) : pipe(stage, value, env);
  if (target === null) return;
  const { texts, values } = env.state;
  const before = append ? lookUp(target, env) : undefined;
  const items = [...(before ? itemsOf(before) : []), ...itemsOf(value)];
  const next: PsValue = append ? (items.length > MOST ? unknown("a long list") : { kind: "list", items }) : value;
  texts.delete(target);
  values.delete(target);
  if (next.kind === "text") texts.set(target, next.text);
  else if (values.size < MOST) values.set(target, next);
}

const unknown = (what: string): PsValue => ({ kind: "unknown", what });
const itemsOf = (value: PsValue): readonly PsValue[] => (value.kind === "list" ? value.items : [value]);

/** What only shows or hides. */
const SINK = /^(out-(null|host|default|string|file)|format-\w+|select-object|write-\w+|tee-object)$/i;

function pipe(stage: Expression, input: PsValue, env: Env): PsValue {
  if (stage.kind !== "command") return unknown("the end of a pipeline");
  if (SINK.test(stage.command.name)) return input;
  if (cmdletOf(stage.command.name)) return run(stage.command, env, input);
  const concerns = [input, ...itemsOf(input)].some(({ kind }) => kind === "rule" || kind === "set" || kind === "proposal");
  if (concerns || isIpsec(stage.command.name))
    say(env, "E_DYNAMIC_SCRIPT", `what ${stage.command.name} does with rules is known only when the script runs`);
  return unknown(`what ${stage.command.name} gives`);
}

const isIpsec = (name: string): boolean => /-NetIPsec|-NetFirewallSetting$/i.test(name);
const say = ({ findings, place }: Env, code: Code, text: string): void => findings.say(code, place, text);

function evaluate(expression: Expression, env: Env): PsValue {
  switch (expression.kind) {
    case "text":
      return expression;
    case "unknown":
      return unknown(expression.what);
    case "list":
      return { kind: "list", items: expression.items.map((item) => evaluate(item, env)) };
    case "template": {
      const parts = expression.parts.map((part) => (typeof part === "string" ? part : textOf(evaluate(part, env))));
      const missing = parts.find((part) => typeof part !== "string");
      return missing && typeof missing !== "string" ? unknown(missing.what) : { kind: "text", text: parts.join("") };
    }
    case "variable":
      return membersOf(lookUp(expression.name, env), expression.members, `$${expression.name}`);
    case "command":
      return membersOf(run(expression.command, env, null), expression.members, expression.command.name);
  }
}

const CONSTANTS: ReadonlyMap<string, string> = new Map([
  ["true", "True"],
  ["false", "False"],
  ["null", ""],
]);

function lookUp(name: string, { state: { texts, values } }: Env): PsValue {
  const text = CONSTANTS.get(name) ?? texts.get(name);
  return text === undefined ? (values.get(name) ?? unknown(`the value of $${name}`)) : { kind: "text", text };
}

function membersOf(value: PsValue, members: readonly string[], what: string): PsValue {
  const [member, ...more] = members;
  if (member === undefined) return value;
  const [only] = value.kind === "list" && value.items.length === 1 ? value.items : [value];
  const { id, name } = only?.kind === "set" ? only.set : only?.kind === "rule" ? only : { id: undefined, name: undefined };
  const text = ["name", "instanceid", "id", "ipsecrulename"].includes(member) ? id : member === "displayname" ? name : undefined;
  if (value.kind === "unknown") return value;
  return text === undefined || more.length > 0 ? unknown(`${what}.${member}`) : { kind: "text", text };
}

/** A value as one text: lists with commas, objects by their names. */
function textOf(value: PsValue): string | { readonly what: string } {
  switch (value.kind) {
    case "text":
      return value.text;
    case "rule":
      return value.id;
    case "set":
      return value.set.id;
    case "proposal":
      return { what: "a proposal where a name or text belongs" };
    case "unknown":
      return { what: value.what };
    case "list": {
      const parts = value.items.map(textOf);
      const wrong = parts.find((part) => typeof part !== "string");
      return wrong && typeof wrong !== "string" ? wrong : parts.join(",");
    }
  }
}

const BY_NAME: ReadonlyMap<string, Cmdlet> = new Map(CMDLETS.map((cmdlet) => [cmdlet.name.toLowerCase(), cmdlet]));
const cmdletOf = (name: string): Cmdlet | undefined => BY_NAME.get(name.toLowerCase());

/** The parameter that a word means: in full, by an alias, or shortened without doubt. */
function parameterOf(cmdlet: Cmdlet, word: string): readonly Parameter[] {
  const lower = word.toLowerCase();
  const exact = cmdlet.parameters.filter(({ name, aliases }) => name.toLowerCase() === lower || aliases.includes(lower));
  return exact.length > 0 ? exact : cmdlet.parameters.filter(({ name }) => name.toLowerCase().startsWith(lower));
}

function isSwitch(command: string, word: string): boolean {
  const cmdlet = cmdletOf(command);
  const common = COMMON.get(word.toLowerCase());
  const [found] = cmdlet ? parameterOf(cmdlet, word) : [];
  return found ? found.kind === "switch" : (common ?? false);
}

/** A parameter as it was given; null: a switch alone. */
export interface Taken {
  readonly parameter: Parameter;
  readonly value: PsValue | null;
}
export type TakenMap = ReadonlyMap<string, Taken>;

/** Runs a cmdlet; whatever it makes is the value. `input`: what a pipeline hands over. */
function run(command: Command, env: Env, input: PsValue | null): PsValue {
  const cmdlet = cmdletOf(command.name);
  if (!cmdlet) {
    if (/^(get|show|find|measure)-net/i.test(command.name)) return unknown(`what ${command.name} finds`);
    if (isIpsec(command.name)) say(env, "E_UNKNOWN_VERB", `${command.name} is not followed`);
    for (const { value } of command.arguments) if (value) evaluate(value, env);
    return unknown(`what ${command.name} gives`);
  }
  const taken = takeAll(cmdlet, command.arguments, env);
  if (taken === "nothing") return unknown(`what ${cmdlet.name} would make`);
  if (!taken) return unknown(`the result of ${cmdlet.name} in line ${env.place.line}, which was not understood`);
  const missing = cmdlet.required.filter((name) => !taken.has(name));
  if (missing.length > 0) {
    say(env, "E_SYNTAX", `${cmdlet.name} needs -${missing.join(", -")}`);
    return unknown(`the result of ${cmdlet.name} in line ${env.place.line}`);
  }
  switch (cmdlet.subject) {
    case "auth":
    case "main-proposal":
    case "quick-proposal": {
      const made = makeProposal(cmdlet.subject, taken, (code, text) => say(env, code, text));
      return made ? { kind: "proposal", proposal: made } : unknown(`the proposal of line ${env.place.line}, which was not understood`);
    }
    case "setting":
      for (const { parameter, value } of taken.values()) {
        const text = value && textOf(value);
        if (typeof text === "string") putGlobal(tagOf(parameter), settingText(parameter, text), env.place, env.store, env.findings);
      }
      return unknown("nothing");
    case "rule":
    case "main-rule":
      return runRule(cmdlet, taken, env, input);
    default:
      return runSet(cmdlet, cmdlet.subject, taken, env);
  }
}

/** The cmdlet's words for what `set global ipsec` numbers. */
const settingText = ({ name }: Parameter, text: string): string =>
  name === "CertValidationLevel" ? (CRL_WORDS.get(text.toLowerCase()) ?? text) : text;

const CRL_WORDS: ReadonlyMap<string, string> = new Map([
  ["none", "0"],
  ["attemptcrlcheck", "1"],
  ["requirecrlcheck", "2"],
]);

/** The arguments by parameter. "nothing": -WhatIf; undefined: one is wrong, and said. */
function takeAll(cmdlet: Cmdlet, given: readonly Argument[], env: Env): TakenMap | "nothing" | undefined {
  const taken = new Map<string, Taken>();
  let whole = true;
  const wrong = (code: Code, text: string): void => {
    say(env, code, text);
    whole = false;
  };
  for (const { name, value } of given) {
    const common = COMMON.has(name.toLowerCase());
    if (common && /^(wi|whatif)$/i.test(name) && !(value && isFalse(evaluate(value, env)))) {
      say(env, "W_OTHER_COMMAND", `${cmdlet.name} with -WhatIf does nothing`);
      return "nothing";
    }
    if (common && /session$/i.test(name)) say(env, "W_REMOTE", `${cmdlet.name} is for another machine`);
    if (common) continue;
    const evaluated = value && evaluate(value, env);
    const found = name === "" ? positional(cmdlet, taken) : parameterOf(cmdlet, name);
    const [parameter] = found;
    if (name === "" && evaluated?.kind === "unknown") wrong("E_DYNAMIC_SCRIPT", `${evaluated.what} is known only when the script runs`);
    else if (!parameter)
      wrong(
        name === "" ? "E_JUNK" : "E_UNKNOWN_TAG",
        name === "" ? `a value of ${cmdlet.name} has no parameter` : `${cmdlet.name} has no -${name}`,
      );
    else if (found.length > 1) wrong("E_AMBIGUOUS_TAG", `-${name} can mean ${found.map((one) => one.name).join(" or ")}`);
    else if (taken.has(parameter.name)) wrong("E_SYNTAX", `-${parameter.name} is given twice`);
    else if (parameter.kind !== "switch" && !evaluated) wrong("E_SYNTAX", `-${parameter.name} has no value`);
    else if (parameter.kind in WORDS && !isOneOf(parameter, evaluated))
      wrong("E_BAD_VALUE", `-${parameter.name} is one of ${WORDS[parameter.kind as keyof typeof WORDS].join(", ")}`);
    else if (evaluated?.kind === "unknown")
      wrong("E_DYNAMIC_SCRIPT", `-${parameter.name}: ${evaluated.what} is known only when the script runs`);
    else if (parameter.name === "PolicyStore" || parameter.name === "GPOSession") aboutStore(evaluated, env);
    else if (!(parameter.kind === "switch" && isFalse(evaluated))) taken.set(parameter.name, { parameter, value: evaluated });
  }
  return whole ? taken : undefined;
}

/** Words are judged at once, whoever reads them. Numbers of `set global` have words of their own. */
function isOneOf(parameter: Parameter, value: PsValue | null): boolean {
  const text = value && textOf(value);
  return typeof text !== "string" || readConsecValue(tagOf(parameter).kind, settingText(parameter, text)).ok;
}

const isFalse = (value: PsValue | null): boolean => value?.kind === "text" && /^(false|0)$/i.test(value.text);

/** Rules and sets are chosen by name without saying so. */
const positional = (cmdlet: Cmdlet, taken: TakenMap): readonly Parameter[] =>
  cmdlet.verb === "new" ? [] : cmdlet.parameters.filter(({ name }) => /^(Name|IPsecRuleName)$/.test(name) && !taken.has(name));

function aboutStore(value: PsValue | null, env: Env): void {
  const text = value && textOf(value);
  if (typeof text !== "string" || !/^(persistentstore|activestore|localhost|)$/i.test(text))
    say(env, "W_DOMAIN_STORE", "the rule is for a group policy object");
}

/** Values for the store; undefined where one can't be read. */
function fieldsOf(taken: TakenMap, env: Env): ReadonlyMap<string, Given> | undefined {
  const fields = new Map<string, Given>();
  let whole = true;
  for (const { parameter, value } of taken.values()) {
    const tag = tagOf(parameter);
    const text = value ? textOf(value) : "True";
    const read = typeof text === "string" ? readConsecValue(tag.kind, text) : ({ ok: false, error: text.what } as const);
    if (read.ok) fields.set(fieldKey(tag), { value: read.value, tag: `-${tag.name}`, ...env.place });
    else {
      say(env, "E_BAD_VALUE", `-${tag.name}: ${read.error}`);
      whole = false;
    }
  }
  return whole ? fields : undefined;
}

const textIn = (fields: ReadonlyMap<string, Given>, key: string): string | undefined => {
  const value = fields.get(key)?.value;
  return value?.kind === "text" ? value.text : undefined;
};

function runRule(cmdlet: Cmdlet, taken: TakenMap, env: Env, input: PsValue | null): PsValue {
  const { store } = env;
  const shelf = cmdlet.subject === "rule" ? store.rules : store.mainRules;
  const fields = fieldsOf(taken, env);
  if (!fields) return unknown(`the result of ${cmdlet.name} in line ${env.place.line}`);
  const [id, name] = [textIn(fields, "group"), textIn(fields, "name")];
  if (cmdlet.verb === "new") {
    const rule: StoredConsec = { ...env.place, id: id ?? freshId(store), name: name ?? "", values: fields };
    const there = shelf.byId(rule.id);
    if (there) say(env, "E_DUP_NAME", `a rule with this -Name was made in line ${there.line}`);
    else if (shelf.isFull()) say(env, "E_LIMIT", "there are more rules than are read");
    else shelf.put(rule);
    return { kind: "rule", id: rule.id, name: rule.name };
  }
  const rules = taken.has("All") || (cmdlet.verb === "get" && taken.size === 0) ? shelf.all() : chosenRules(shelf, id, name, input);
  if (rules.length === 0 && cmdlet.verb !== "get" && !taken.has("All") && !(input && itemsOf(input).length === 0)) {
    const code = /[*?]/.test(`${id}${name}`) ? "E_DYNAMIC_SCRIPT" : cmdlet.verb === "remove" ? "W_NOTHING_DELETED" : "E_NO_SUCH_OBJECT";
    say(env, code, `${cmdlet.name} finds no rule ${JSON.stringify(name ?? id ?? "")}`);
  }
  for (const rule of rules) change(shelf, rule, cmdlet.verb, fields, env);
  return { kind: "list", items: rules.map((rule) => ({ kind: "rule", id: rule.id, name: rule.name }) as const) };
}

function chosenRules(shelf: ConsecShelf, id: string | undefined, name: string | undefined, input: PsValue | null): readonly StoredConsec[] {
  if (input) return itemsOf(input).flatMap((one) => (one.kind === "rule" ? (shelf.byId(one.id) ?? []) : []));
  if (id !== undefined) return [shelf.byId(id) ?? []].flat();
  return name === undefined ? [] : shelf.byName(name);
}

function change(shelf: ConsecShelf, rule: StoredConsec, verb: Cmdlet["verb"], fields: ReadonlyMap<string, Given>, env: Env): void {
  if (verb === "remove") return shelf.remove(rule);
  const enabled: readonly (readonly [string, Given])[] =
    verb === "enable" || verb === "disable"
      ? [["enable", { value: { kind: "boolean", yes: verb === "enable" }, tag: verb, ...env.place }]]
      : [...fields].filter(([key]) => key !== "group" && key !== "name" && key !== "newname");
  if (verb !== "get") shelf.put({ ...rule, name: textIn(fields, "newname") ?? rule.name, values: new Map([...rule.values, ...enabled]) });
}

function runSet(cmdlet: Cmdlet, subject: ConsecSet["type"], taken: TakenMap, env: Env): PsValue {
  const { store } = env;
  const text = (name: string): string | undefined => {
    const value = taken.get(name)?.value;
    const found = value && textOf(value);
    return typeof found === "string" ? found : undefined;
  };
  const old = cmdlet.verb === "new" ? undefined : findSet(store, subject, text("Name"), text("DisplayName"));
  if (cmdlet.verb !== "new" && !old) {
    say(
      env,
      cmdlet.verb === "remove" ? "W_NOTHING_DELETED" : "E_NO_SUCH_OBJECT",
      `${cmdlet.name} finds no set ${JSON.stringify(text("Name") ?? text("DisplayName") ?? "")}`,
    );
    return unknown("a set that is not there");
  }
  if (cmdlet.verb === "remove") {
    if (old) store.sets.delete(old.id.toLowerCase());
    return unknown("a set that was removed");
  }
  if (store.sets.size >= MOST && !old) {
    say(env, "E_LIMIT", `there are more than ${MOST} sets`);
    return unknown("one set too many");
  }
  const content = makeSet(subject, taken, old ?? null, (code, what) => say(env, code, what));
  if (!content) return unknown(`the set of line ${env.place.line}, which was not understood`);
  const id = old?.id ?? text("Name") ?? freshId(store);
  const set: ConsecSet = { ...env.place, ...content, id, name: text("NewDisplayName") ?? old?.name ?? text("DisplayName") ?? "" };
  const there = store.sets.get(id.toLowerCase());
  if (cmdlet.verb === "new" && there) say(env, "E_DUP_NAME", `a set with this -Name was made in line ${there.line}`);
  else store.sets.set(id.toLowerCase(), set);
  if (taken.has("Default") || store.defaults.get(subject)?.id === id) store.defaults.set(subject, set);
  // It is what `set global mainmode` writes, too: the later one holds.
  if (subject === "main" && taken.has("Default")) for (const field of ["main", "life"]) store.globals.delete(field);
  return { kind: "set", set };
}

function findSet(store: ConsecStore, type: ConsecSet["type"], id: string | undefined, name: string | undefined): ConsecSet | undefined {
  const found = id === undefined ? undefined : store.sets.get(id.toLowerCase());
  if (found || name === undefined) return found?.type === type ? found : undefined;
  return [...store.sets.values()].find((set) => set.type === type && set.name.toLowerCase() === name.toLowerCase());
}
