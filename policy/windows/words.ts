/**
 * One command line as words: quotes, escapes, `tag = value` with or without blanks. Every character ends in a word or in an error.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { Place } from "./diagnostics.ts";

/** A word of a command: the text without its quotes, and where the first unquoted `=` stands in it, if any. */
export interface Word extends Place {
  readonly text: string;
  /** Index in `text`, or -1. */
  readonly equals: number;
  /** Some of it stood in quotes: such a word is a value even when it looks like something else. */
  readonly quoted: boolean;
}

export interface Fault extends Place {
  readonly what: string;
}

/** The two shells quote differently. */
export type Shell = "batch" | "powershell";

/**
 * Splits a command line. In double quotes `\'` stands for a double quote (netsh's own rule for CA names); PowerShell also has single quotes
 * and the backtick. The error is an unclosed quote.
 */
export function splitWords(line: string, at: Place, shell: Shell): Result<readonly Word[], Fault> {
  const words: Word[] = [];
  let i = 0;
  while (i < line.length) {
    if (isBlank(line[i])) {
      i++;
      continue;
    }
    const word = readWord(line, i, shell);
    if (!word.ok) return err({ ...at, column: at.column + i, what: word.error });
    words.push({ text: word.value.text, equals: word.value.equals, quoted: word.value.quoted, line: at.line, column: at.column + i });
    i = word.value.end;
  }
  return ok(joinEquals(words));
}

const isBlank = (c: string | undefined): boolean => c === " " || c === "\t" || c === "\u00a0";

interface Read {
  readonly text: string;
  readonly equals: number;
  readonly quoted: boolean;
  readonly end: number;
}

function readWord(line: string, start: number, shell: Shell): Result<Read, string> {
  let [text, equals, quoted, i] = ["", -1, false, start];
  while (i < line.length && !isBlank(line[i])) {
    const c = line[i] as string;
    if (c === '"' || (c === "'" && shell === "powershell")) {
      const inner = readQuoted(line, i, shell);
      if (inner === undefined) return err(`a quote (${c}) is not closed`);
      text += inner.text;
      quoted = true;
      i = inner.end;
      continue;
    }
    if (c === "=" && equals < 0) equals = text.length;
    if ((shell === "batch" ? c === "^" : c === "`") && i + 1 < line.length) i++;
    text += line[i];
    i++;
  }
  return ok({ text, equals, quoted, end: i });
}

function readQuoted(line: string, start: number, shell: Shell): { readonly text: string; readonly end: number } | undefined {
  const quote = line[start] as string;
  let text = "";
  for (let i = start + 1; i < line.length; i++) {
    const c = line[i] as string;
    if (c === "\\" && line[i + 1] === "'" && quote === '"') {
      text += '"';
      i++;
    } else if (shell === "powershell" && quote === '"' && c === "`" && i + 1 < line.length) {
      i++;
      text += line[i];
    } else if (c === quote && shell === "powershell" && line[i + 1] === quote) {
      text += quote;
      i++;
    } else if (c === quote) return { text, end: i + 1 };
    else text += c;
  }
  return undefined;
}

/** Where the `=` of a word stands that is in quotes as a whole, `"tag=value"`: the quotes are the shell's, and netsh never sees them. -1: there is none. */
export const equalsWithin = ({ text, equals, quoted }: Word): number =>
  quoted && equals < 0 ? (/^[a-z]\w{2,}\s*(?==)/i.exec(text)?.[0].length ?? -1) : -1;

/** `tag = value`, `tag= value` and `tag =value` become one word each. */
function joinEquals(words: readonly Word[]): readonly Word[] {
  const joined: Word[] = [];
  for (let i = 0; i < words.length; i++) {
    const [word, next, after] = [words[i] as Word, words[i + 1], words[i + 2]];
    if (word.equals < 0 && !word.quoted && next?.equals === 0 && !next.quoted) {
      const bare = next.text === "=";
      const value = bare ? after : undefined;
      joined.push(join(word, bare ? (value ?? empty(next)) : { ...next, text: next.text.slice(1) }));
      i += value ? 2 : 1;
    } else if (word.equals >= 0 && word.equals === word.text.length - 1 && !word.quoted && next && next.equals < 0) {
      joined.push(join({ ...word, text: word.text.slice(0, -1) }, next));
      i++;
    } else joined.push(word);
  }
  return joined;
}

const empty = (word: Word): Word => ({ ...word, text: "", equals: -1 });
const join = (tag: Word, value: Word): Word => ({
  ...tag,
  text: `${tag.text}=${value.text}`,
  equals: tag.text.length,
  quoted: value.quoted,
});
