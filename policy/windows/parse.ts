/**
 * From the words of a command to the command: verb and object by the table, each value under its tag, read by its kind.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { Findings, Place } from "./diagnostics.ts";
import { ALIASES, COMMANDS, type CommandRow, matching, SHOWING, type Tag } from "./grammar.ts";
import { type BadValue, readValue, type Value } from "./values.ts";
import { equalsWithin, type Word } from "./words.ts";

/** A command of the static context with its values. */
export interface StaticCommand extends Place {
  readonly row: CommandRow;
  /** By the tag's name; the last of each. */
  readonly values: ReadonlyMap<string, Given>;
  /** Authentication in the order in which it was named. */
  readonly auth: readonly Given[];
}

export interface Given extends Place {
  readonly tag: string;
  readonly value: Value;
}

/** Reads a command of `netsh ipsec static` (without these words); undefined where it only shows something, or is wrong and was reported. */
export function parseStatic(words: readonly Word[], findings: Findings, lenient: boolean): StaticCommand | undefined {
  const [verb, object] = words;
  if (!verb) return undefined;
  // A word that can mean both showing and changing is neither: nothing that changes is taken for showing.
  const verbs = [...new Set(matching([...COMMANDS.map((row) => row.verb), ...SHOWING], (name) => name, verb.text))];
  if (verbs.length === 1 && SHOWING.some((name) => name === verbs[0])) return undefined;
  if (verbs.length !== 1) {
    findings.say(
      "E_UNKNOWN_VERB",
      verb,
      `${JSON.stringify(verb.text)} is ${verbs.length === 0 ? "no command" : `one of ${verbs.join(", ")}`}`,
    );
    return undefined;
  }
  const ofVerb = COMMANDS.filter((row) => row.verb === verbs[0]);
  const alone = ofVerb.find((row) => row.object === "");
  const rows = alone ? [alone] : object ? matching(ofVerb, (row) => row.object, object.text) : [];
  const [row] = rows;
  if (!row || rows.length > 1) {
    const known = ofVerb.map((candidate) => candidate.object).join(", ");
    findings.say("E_UNKNOWN_VERB", object ?? verb, `${verbs[0]} ${object ? JSON.stringify(object.text) : "what"}? Known are ${known}`);
    return undefined;
  }
  return readTags(row, words.slice(alone ? 1 : 2), verb, findings, lenient);
}

function readTags(row: CommandRow, words: readonly Word[], at: Place, findings: Findings, lenient: boolean): StaticCommand | undefined {
  const values = new Map<string, Given>();
  const auth: Given[] = [];
  let [whole, confused] = [true, false];
  const mayHide = row.tags.some(({ name }) => name === "psk");
  for (const word of words) {
    const read = readWord(row, word, values);
    if (!read.ok) {
      const { code } = read.error;
      // Behind a wrong word values have no certain tags: any may be the key.
      const what = confused && mayHide && word.equals <= 0 ? "a word without a tag, behind one that is wrong" : read.error.what;
      confused ||= word.equals <= 0;
      const skip = lenient && (code === "E_JUNK" || code === "E_UNKNOWN_TAG" || code === "E_BAD_VALUE");
      findings.say(skip ? (code === "E_JUNK" ? "W_LENIENT" : "W_SKIPPED_VALUE") : code, word, skip ? `skipped: ${what}` : what);
      whole &&= skip;
      continue;
    }
    const given = read.value;
    if (values.has(given.tag) && given.tag !== "rootca") {
      findings.say("E_SYNTAX", word, `${given.tag} is given twice`);
      whole = false;
    }
    values.set(given.tag, given);
    if (AUTH_TAGS.has(given.tag)) auth.push(given);
  }
  const missing = row.tags.filter(({ name, required }) => required && !values.has(name)).map(({ name }) => name);
  if (whole && missing.length > 0) findings.say("E_SYNTAX", at, `${row.verb} ${row.object} needs ${missing.join(", ")}`);
  return whole && missing.length === 0 ? { row, values, auth, line: at.line, column: at.column } : undefined;
}

const AUTH_TAGS: ReadonlySet<string> = new Set(["kerberos", "psk", "rootca"]);

interface Wrong {
  readonly code: "E_JUNK" | "E_UNKNOWN_TAG" | "E_AMBIGUOUS_TAG" | BadValue["code"];
  readonly what: string;
}

function readWord(row: CommandRow, word: Word, values: ReadonlyMap<string, Given>): Result<Given, Wrong> {
  const inner = equalsWithin(word);
  const equals = word.equals > 0 ? word.equals : inner > 0 && findTag(row, word.text.slice(0, inner).trim()).ok ? inner : -1;
  const tag = equals > 0 ? findTag(row, word.text.slice(0, equals).trim()) : nextTag(row, values, word);
  if (!tag.ok) return tag;
  const value = readValue(tag.value.kind, equals > 0 ? word.text.slice(equals + 1) : word.text);
  if (!value.ok) return err({ ...value.error, what: `${tag.value.name}: ${value.error.what}` });
  return ok({ tag: tag.value.name, value: value.value, line: word.line, column: word.column });
}

function findTag(row: CommandRow, written: string): Result<Tag, Wrong> {
  const name = ALIASES.get(written.toLowerCase()) ?? written.toLowerCase();
  const tags = matching(row.tags, (tag) => tag.name, name);
  const [tag] = tags;
  const known = row.tags.map((candidate) => candidate.name).join(", ");
  if (!tag)
    return err({ code: "E_UNKNOWN_TAG", what: `${JSON.stringify(written)} is no tag of ${row.verb} ${row.object}; known are ${known}` });
  if (tags.length > 1)
    return err({
      code: "E_AMBIGUOUS_TAG",
      what: `${JSON.stringify(written)} can mean ${tags.map((candidate) => candidate.name).join(" or ")}`,
    });
  return ok(tag);
}

/** A value without a tag fills the first tag that has none. Names come first everywhere; what follows a complete command is junk. */
function nextTag(row: CommandRow, values: ReadonlyMap<string, Given>, word: Word): Result<Tag, Wrong> {
  const next = row.tags.find(({ name }) => !values.has(name));
  // A key without quotes that has blanks in it: what stands behind them is no value of another tag.
  const free = values.has("psk") && next?.name !== "rootca" && next?.name !== "id" ? undefined : next;
  if (free) return ok(free);
  // What stands behind a key may be a part of it.
  const shown = values.has("psk") ? "a word (put the key in quotes)" : JSON.stringify(word.text);
  return err({ code: "E_JUNK", what: `${shown} is one word too many` });
}
