/**
 * `netsh advfirewall` played through: connection security rules, main mode rules and global settings. Here every value has its tag; what
 * is about the firewall alone is said and left out.
 */
import type { Result } from "../../isakmp/result.ts";
import { err, ok } from "../../isakmp/result.ts";
import { CONSEC_COMMANDS, type ConsecCommand, type ConsecTag, GLOBALS } from "./consec-grammar.ts";
import { type ConsecShelf, type ConsecStore, freshId, type Given, type StoredConsec, type Values } from "./consec-store.ts";
import { readConsecValue } from "./consec-values.ts";
import type { Code, Findings, Place } from "./diagnostics.ts";
import { matching, SHOWING } from "./grammar.ts";
import { equalsWithin, type Word } from "./words.ts";

/** Plays one command, without the words `netsh advfirewall`. What it can't do is reported and changes nothing. */
export function applyAdvfirewall(words: readonly Word[], store: ConsecStore, findings: Findings, lenient: boolean): void {
  const [first, ...rest] = words;
  if (!first) return;
  const contexts = matching(["consec", "mainmode"] as const, (name) => name, first.text);
  if (contexts.length === 1 && first.text.length > 1) {
    applyRule(contexts[0] as ConsecCommand["context"], first, rest, store, findings, lenient);
    return;
  }
  const word = first.text.toLowerCase();
  const other = OTHERS[word];
  if (other) other(first, rest, store, findings);
  else findings.say("E_UNKNOWN_VERB", first, `${JSON.stringify(first.text)} is no command of netsh advfirewall that is known`);
}

type Handler = (at: Word, words: readonly Word[], store: ConsecStore, findings: Findings) => void;

const silent: Handler = () => undefined;
const OTHERS: Readonly<Record<string, Handler>> = {
  set: setGlobal,
  reset: (_at, _words, store) => {
    for (const shelf of [store.rules, store.mainRules, store.sets, store.defaults, store.globals]) shelf.clear();
  },
  import: (at, [file], _store, findings) =>
    findings.say("E_BINARY_IMPORT", at, `the rules of ${JSON.stringify(file?.text ?? "")} are not in this script`),
  firewall: (at, words, _store, findings) => {
    const demands = words.find(({ text }) => /^sec\w*=auth/i.test(text));
    if (demands) findings.say("W_FIREWALL_SECURITY", at, "a rule of the firewall lets only authenticated connections pass");
    else findings.say("W_OTHER_COMMAND", at, "a rule of the firewall was left out");
  },
  export: silent,
  show: silent,
  dump: silent,
  monitor: silent,
  help: silent,
  "?": silent,
};

function applyRule(
  context: ConsecCommand["context"],
  at: Word,
  words: readonly Word[],
  store: ConsecStore,
  findings: Findings,
  lenient: boolean,
): void {
  const [verb, object, ...tags] = words;
  if (!verb) return;
  const rows = CONSEC_COMMANDS.filter((one) => one.context === context);
  const verbs = matching([...rows.map((one) => one.verb), ...SHOWING], (name) => name, verb.text);
  if (verbs.length === 1 && SHOWING.some((name) => name === verbs[0])) return;
  const row = verbs.length === 1 ? rows.find((one) => one.verb === verbs[0]) : undefined;
  if (!row || !object || matching(["rule"], (name) => name, object.text).length === 0)
    return findings.say("E_UNKNOWN_VERB", verb, `${context} knows add rule, set rule and delete rule`);
  const split = tags.findIndex(({ text, equals, quoted }) => equals < 0 && !quoted && text.toLowerCase() === "new");
  const [before, after] = row.verb === "add" ? [[], tags] : split < 0 ? [tags, []] : [tags.slice(0, split), tags.slice(split + 1)];
  const keys = readTags(row, row.keys, before, findings, lenient);
  const values = readTags(row, row.tags, after, findings, lenient);
  if (!keys || !values) return;
  const shelf = context === "consec" ? store.rules : store.mainRules;
  const place = { line: at.line, column: at.column };
  if (row.verb === "add") return add(row, values, place, shelf, store, findings);
  if (row.verb === "set" && split < 0) return findings.say("E_SYNTAX", at, "set rule wants new before the values that it sets");
  for (const rule of meant(keys, place, shelf, row, findings)) {
    if (row.verb === "delete") shelf.remove(rule);
    else shelf.put({ ...rule, name: nameOf(values) ?? rule.name, values: new Map([...rule.values, ...values]) });
  }
}

/** Values by their fields; undefined where one is wrong, which is then reported. Tags that share a field keep apart by their names. */
function readTags(
  row: ConsecCommand,
  tags: readonly ConsecTag[],
  words: readonly Word[],
  findings: Findings,
  lenient: boolean,
): Values | undefined {
  const values = new Map<string, Given>();
  const seen = new Set<string>();
  let whole = true;
  for (const word of words) {
    const read = readTag(row, tags, word, seen);
    if (read.ok) {
      values.set(fieldKey(read.value.tag), { ...read.value.given });
      continue;
    }
    const { code, what } = read.error;
    const skip = lenient && code !== "E_SYNTAX";
    findings.say(skip ? (code === "E_JUNK" ? "W_LENIENT" : "W_SKIPPED_VALUE") : code, word, skip ? `skipped: ${what}` : what);
    whole &&= skip;
  }
  return whole ? values : undefined;
}

/** The key of a value: its field, but for those that several tags share. */
export const fieldKey = ({ field, name }: ConsecTag): string => (SHARED.has(field) ? `${field} ${name}` : field);
const SHARED: ReadonlySet<string> = new Set(["other", "authorise", "interface"]);

interface Wrong {
  readonly code: Code;
  readonly what: string;
}

function readTag(
  row: ConsecCommand,
  tags: readonly ConsecTag[],
  word: Word,
  seen: Set<string>,
): Result<{ readonly tag: ConsecTag; readonly given: Given }, Wrong> {
  const hidden = [...seen].some((name) => name.endsWith("psk"));
  const equals = word.equals > 0 ? word.equals : equalsWithin(word);
  if (equals <= 0)
    return err({
      code: "E_JUNK",
      what: hidden ? "a word after the key has no tag; put the key in quotes" : `${JSON.stringify(word.text)} has no tag`,
    });
  const written = word.text.slice(0, equals).trim().toLowerCase();
  const [tag, ...more] = matching(tags, ({ name }) => name, written);
  if (!tag)
    return err({
      code: "E_UNKNOWN_TAG",
      what: `${JSON.stringify(written)} is no tag of ${row.verb} rule here; known are ${tags.map(({ name }) => name).join(", ")}`,
    });
  if (more.length > 0)
    return err({
      code: "E_AMBIGUOUS_TAG",
      what: `${JSON.stringify(written)} can mean ${[tag, ...more].map(({ name }) => name).join(" or ")}`,
    });
  if (seen.has(tag.name)) return err({ code: "E_SYNTAX", what: `${tag.name} is given twice` });
  seen.add(tag.name);
  const value = readConsecValue(tag.kind, word.text.slice(equals + 1));
  if (!value.ok) return err({ code: "E_BAD_VALUE", what: `${tag.name}: ${value.error}` });
  return ok({ tag, given: { value: value.value, tag: tag.name, line: word.line, column: word.column } });
}

const nameOf = (values: Values): string | undefined => {
  const value = values.get("name")?.value;
  return value?.kind === "text" ? value.text : undefined;
};

function add(row: ConsecCommand, values: Values, place: Place, shelf: ConsecShelf, store: ConsecStore, findings: Findings): void {
  const missing = row.required.filter((name) => !values.has(name));
  if (missing.length > 0) return findings.say("E_SYNTAX", place, `${row.context} add rule needs ${missing.join(", ")}`);
  const name = nameOf(values) ?? "";
  const [there] = shelf.byName(name);
  if (there || name.toLowerCase() === "all")
    return findings.say(
      "E_DUP_NAME",
      place,
      there ? `a rule ${JSON.stringify(name)} was made in line ${there.line}` : 'no rule can be called "all"',
    );
  if (shelf.isFull()) return findings.say("E_LIMIT", place, "there are more rules than are read");
  shelf.put({ ...place, id: freshId(store), name, values });
}

/** The rules that the keys choose; none is an error. */
function meant(keys: Values, place: Place, shelf: ConsecShelf, row: ConsecCommand, findings: Findings): readonly StoredConsec[] {
  const name = nameOf(keys);
  const all = name?.toLowerCase() === "all" && row.verb === "delete";
  const candidates = name === undefined || all ? (all ? shelf.all() : []) : shelf.byName(name);
  const others = [...keys].filter(([field]) => field !== "name");
  const found = candidates.filter((rule) => others.every(([field, given]) => same(rule.values.get(field), given)));
  const group = keys.get("group");
  if (found.length === 0 && !all)
    findings.say(
      row.verb === "delete" && !group ? "W_NOTHING_DELETED" : "E_NO_SUCH_OBJECT",
      place,
      group
        ? "a group of rules is chosen, and no script makes groups"
        : `there is no such rule ${JSON.stringify(name ?? "")} to ${row.verb}`,
    );
  return found;
}

/** Equal values; what was never said is any. */
function same(had: Given | undefined, wanted: Given): boolean {
  if (had) return JSON.stringify(had.value) === JSON.stringify(wanted.value);
  const { value } = wanted;
  if (value.kind === "sides") return value.sides.length + value.lost.length === 0;
  if (value.kind === "ports") return value.ports.length + value.lost.length === 0;
  if (value.kind === "words") return value.words.every((word) => word === "any" || word === "static");
  return value.kind === "number" && value.number === 0;
}

/** `set global SECTION PARAMETER VALUE`, `set store …`, and what is the firewall's. */
function setGlobal(at: Word, [what, section, parameter, value]: readonly Word[], store: ConsecStore, findings: Findings): void {
  const word = what?.text.toLowerCase() ?? "";
  if (word === "store" || word.startsWith("store=")) {
    const where = word === "store" ? section : what;
    if (where && !/\blocal$/i.test(where.text)) findings.say("W_DOMAIN_STORE", at, "the rules are for a group policy object");
    return;
  }
  if (word !== "global") return findings.say("W_OTHER_COMMAND", at, `set ${JSON.stringify(what?.text ?? "")} is the firewall's`);
  const table = section?.text.toLowerCase();
  if (table !== "mainmode" && table !== "ipsec") return findings.say("W_OTHER_COMMAND", at, "this setting is the firewall's");
  const joined = parameter && parameter.equals > 0;
  const name = joined ? parameter.text.slice(0, parameter.equals) : parameter?.text;
  const text = joined ? parameter.text.slice(parameter.equals + 1) : value?.text;
  const [tag, ...more] = matching(GLOBALS[table], (candidate) => candidate.name, name ?? "");
  if (!tag || more.length > 0)
    return findings.say(
      "E_UNKNOWN_TAG",
      parameter ?? at,
      `set global ${table} knows ${GLOBALS[table].map((known) => known.name).join(", ")}`,
    );
  if (text === undefined) return findings.say("E_SYNTAX", at, `${tag.name} has no value`);
  putGlobal(tag, text, parameter as Word, store, findings);
}

/** A global setting, whoever makes it. `notconfigured` takes it back. */
export function putGlobal(tag: ConsecTag, text: string, { line, column }: Place, store: ConsecStore, findings: Findings): void {
  if (/^notconfigured$/i.test(text)) {
    store.globals.delete(fieldKey(tag));
    return;
  }
  const read = readConsecValue(tag.kind, text);
  if (read.ok) store.globals.set(fieldKey(tag), { value: read.value, tag: tag.name, line, column });
  else findings.say("E_BAD_VALUE", { line, column }, `${tag.name}: ${read.error}`);
}
