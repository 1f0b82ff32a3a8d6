/**
 * One statement of PowerShell as far as policies need it: an assignment, cmdlets with their parameters, texts, lists, variables and their
 * members, commands in parentheses. It is read, never executed; what only running it could tell is `unknown` with the reason.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";

export type Expression =
  | { readonly kind: "text"; readonly text: string }
  /** A text in double quotes with `$name` in it. */
  | { readonly kind: "template"; readonly parts: readonly (string | Variable)[] }
  | Variable
  | { readonly kind: "command"; readonly command: Command; readonly members: readonly string[] }
  | { readonly kind: "list"; readonly items: readonly Expression[] }
  | { readonly kind: "unknown"; readonly what: string };

export interface Variable {
  readonly kind: "variable";
  readonly name: string;
  readonly members: readonly string[];
}

export interface Command {
  readonly name: string;
  /** `-Name value`, `-Switch` (value null), in their order. Values without a name have the name "". */
  readonly arguments: readonly Argument[];
}

export interface Argument {
  readonly name: string;
  readonly value: Expression | null;
}

/** `$target = …` or `$target += …`; pipelines have several commands. */
export interface Statement {
  readonly target: string | null;
  readonly append: boolean;
  readonly pipeline: readonly Expression[];
}

/** Which parameters of a cmdlet stand alone. */
export type IsSwitch = (command: string, parameter: string) => boolean;

/** Deeper parentheses than these are nobody's policy. */
const DEEPEST = 16;

/** Reads the statements of one logical line. The error says what is wrong, without values. */
export function parseStatements(line: string, isSwitch: IsSwitch): Result<readonly Statement[], string> {
  const reader: Reader = { text: line, at: 0, isSwitch };
  const statements: Statement[] = [];
  try {
    for (skip(reader); reader.at < line.length; skip(reader)) {
      if (line[reader.at] === ";") {
        reader.at++;
        continue;
      }
      statements.push(readStatement(reader));
    }
    return ok(statements);
  } catch (error) {
    if (error instanceof Broken) return err(error.message);
    throw error;
  }
}

class Broken extends Error {}

interface Reader {
  readonly text: string;
  at: number;
  readonly isSwitch: IsSwitch;
}

const skip = (reader: Reader): void => {
  while (/[\s\u00a0]/.test(reader.text[reader.at] ?? "")) reader.at++;
};
const peek = (reader: Reader): string => reader.text[reader.at] ?? "";

/** The match of `pattern` (sticky) at the reader's place, which is then behind it. */
function take(reader: Reader, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = reader.at;
  const found = pattern.exec(reader.text);
  if (found) reader.at = pattern.lastIndex;
  return found;
}

function readStatement(reader: Reader): Statement {
  take(reader, /\[void\]\s*/iy);
  const assigned = take(reader, /(?:\[[\w.[\]]+\])?\$(?:\w+:)?(\w+)\s*(\+?)=(?!=)/y);
  const pipeline: Expression[] = [];
  do {
    skip(reader);
    pipeline.push(readCommandOrList(reader, 0));
    skip(reader);
  } while (take(reader, /\|(?!\|)/y));
  if (reader.at < reader.text.length && peek(reader) !== ";") throw new Broken("it goes on where it should end");
  return { target: assigned?.[1]?.toLowerCase() ?? null, append: assigned?.[2] === "+", pipeline };
}

/** A cmdlet with its arguments, or values. */
function readCommandOrList(reader: Reader, depth: number): Expression {
  const name = take(reader, /&?\s*([A-Za-z]+-[A-Za-z0-9]+)(?=$|[\s;|)])/y);
  if (name) return { kind: "command", command: readCommand(reader, name[1] as string, depth), members: [] };
  return readList(reader, depth, /[\s,;|()]/);
}

function readCommand(reader: Reader, name: string, depth: number): Command {
  const given: Argument[] = [];
  for (skip(reader); reader.at < reader.text.length && !/[;|)]/.test(peek(reader)); skip(reader)) {
    const parameter = take(reader, /[-\u2013]([A-Za-z][\w]*)(:?)/y);
    if (!parameter) {
      if (take(reader, /\d?>{1,2}\s*(?:&\d|\$null|\S+)/y)) continue;
      given.push({ name: "", value: readList(reader, depth, /[\s,;|()]/) });
      continue;
    }
    const [, word = "", colon] = parameter;
    const next = reader.text.slice(reader.at).trimStart();
    const alone = (reader.isSwitch(name, word) && colon !== ":") || next === "" || /^[;|)]|^[-\u2013][A-Za-z]/.test(next);
    if (!alone) skip(reader);
    given.push({ name: word, value: alone ? null : readList(reader, depth, /[\s,;|()]/) });
  }
  return { name, arguments: given };
}

/** One value, or several with commas. */
function readList(reader: Reader, depth: number, ends: RegExp): Expression {
  const items: Expression[] = [readValue(reader, depth, ends)];
  for (;;) {
    const before = reader.at;
    skip(reader);
    if (!take(reader, /,/y)) {
      reader.at = before;
      break;
    }
    skip(reader);
    items.push(readValue(reader, depth, ends));
  }
  return items.length === 1 ? (items[0] as Expression) : { kind: "list", items };
}

function readValue(reader: Reader, depth: number, ends: RegExp): Expression {
  if (depth > DEEPEST) throw new Broken("parentheses are nested too deep");
  const c = peek(reader);
  if (c === "" || c === ",") throw new Broken("a value is missing");
  if (/["\u201c\u201d\u201e]/.test(c)) return readTemplate(reader);
  if (/['\u2018\u2019\u201a]/.test(c)) return readPlain(reader);
  if (c === "(" || take(reader, /@(?=\()/y)) return readParentheses(reader, depth);
  if (c === "@" || c === "{") {
    const what = c === "{" ? "a block" : "a table of parameters (splatting)";
    reader.at = reader.text.length;
    return { kind: "unknown", what };
  }
  const variable = take(reader, /\$(?:\{([^}]+)\}|(?:\w+:)?(\w+))/y);
  if (variable) return { kind: "variable", name: (variable[1] ?? variable[2] ?? "").toLowerCase(), members: readMembers(reader) };
  let word = "";
  while (reader.at < reader.text.length && !ends.test(peek(reader))) {
    if (peek(reader) === "`") reader.at++;
    word += peek(reader);
    reader.at++;
  }
  if (word === "") throw new Broken(`${JSON.stringify(peek(reader))} is not expected`);
  return { kind: "text", text: word };
}

function readMembers(reader: Reader): readonly string[] {
  const members: string[] = [];
  for (let found = take(reader, /\.(\w+)/y); found; found = take(reader, /\.(\w+)/y)) members.push((found[1] as string).toLowerCase());
  if (/[[(]/.test(peek(reader))) throw new Broken("an index or a method is used");
  return members;
}

function readParentheses(reader: Reader, depth: number): Expression {
  reader.at++;
  skip(reader);
  if (take(reader, /\)/y)) return { kind: "list", items: [] };
  if (depth > DEEPEST) throw new Broken("parentheses are nested too deep");
  const inner = readCommandOrList(reader, depth + 1);
  skip(reader);
  if (!take(reader, /\)/y)) throw new Broken("a parenthesis is not closed");
  const members = readMembers(reader);
  if (members.length === 0) return inner;
  if (inner.kind === "command" || inner.kind === "variable") return { ...inner, members: [...inner.members, ...members] };
  return { kind: "unknown", what: "a member of a list" };
}

function readPlain(reader: Reader): Expression {
  const [, quoted] = take(reader, /['\u2018\u2019\u201a]((?:[^'\u2018\u2019\u201a]|'')*)['\u2018\u2019\u201a]/y) ?? [];
  if (quoted === undefined) throw new Broken("a quote is not closed");
  return { kind: "text", text: quoted.replaceAll("''", "'") };
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "0": "\0" };

function readTemplate(reader: Reader): Expression {
  reader.at++;
  const parts: (string | Variable)[] = [];
  let text = "";
  for (;;) {
    const c = peek(reader);
    if (c === "") throw new Broken("a quote is not closed");
    reader.at++;
    if (/["\u201c\u201d\u201e]/.test(c)) {
      if (c !== peek(reader)) break;
      reader.at++;
      text += c;
    } else if (c === "`") {
      text += ESCAPES[peek(reader)] ?? peek(reader);
      reader.at++;
    } else if (c === "$" && /[\w{(]/.test(peek(reader))) {
      const variable = take(reader, /\{([^}]+)\}|(\w+:\w+|\w+)|\(\s*\$(\w+)((?:\.\w+)*)\s*\)/y);
      if (!variable) throw new Broken("a text is computed");
      const [, braced, plain, computed, members = ""] = variable;
      parts.push(text, {
        kind: "variable",
        name: (braced ?? plain?.replace(/^\w+:/, "") ?? computed ?? "").toLowerCase(),
        members: members
          .split(".")
          .filter((member) => member !== "")
          .map((member) => member.toLowerCase()),
      });
      text = "";
    } else text += c;
  }
  return parts.length === 0 ? { kind: "text", text } : { kind: "template", parts: [...parts, text] };
}
