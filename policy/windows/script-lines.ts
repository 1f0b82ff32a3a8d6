/**
 * A script's physical lines as logical ones: joined where they go on, without comments and prompts, and where quotes begin and end in them.
 * Everything here takes time in proportion to the text.
 */
import type { Place } from "./diagnostics.ts";
import type { Shell } from "./words.ts";

/** A logical line; `literal`: it holds a text of several lines, which is no command. */
export interface LogicalLine extends Place {
  readonly text: string;
  /** The part of it that stood behind its first physical line. */
  readonly more: string;
  readonly literal: boolean;
}

/** Lines longer than this are no policy. */
export const LONGEST_LINE = 65_536;

/** Lines that an open parenthesis may hold together. */
const MOST_JOINED = 500;

/**
 * The lines of a script, joined where a `^` or backtick at their end, or in PowerShell an open parenthesis, says so. The place is that of the
 * first. A `rem` of several words ends with its line, whatever stands there.
 */
export function* joinLines(text: string, shell: Shell): Generator<LogicalLine> {
  // A comment of PowerShell ends with its line, whatever stands there; a list and an open parenthesis go on.
  const continued = /^(?!\s*#)(?:.*\s)?`$|^(?!\s*#)(?!.*\s#).*[,(|]\s*$/;
  const lines = text.split(/\r\n|\n|\r/);
  let joined = "";
  let [start, first, open] = [0, 0, 0];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    if (shell === "powershell" && joined === "") {
      const block = /^\s*<#/.test(line) ? endOf(lines, i, "#>") : undefined;
      if (block) {
        i = block.line;
        // What stands behind a comment is a statement.
        if (block.rest.trim() !== "") yield { text: block.rest, more: "", line: i + 1, column: block.column, literal: false };
        continue;
      }
      const quote = /@(['"])\s*$/.exec(line)?.[1];
      if (quote !== undefined && !/^\s*#/.test(line)) {
        const from = i;
        do i++;
        while (i < lines.length && !lines[i]?.startsWith(`${quote}@`));
        yield { text: lines.slice(from, i + 1).join(" "), more: "", line: from + 1, column: 1, literal: true };
        continue;
      }
    }
    if (joined === "") [start, first, open] = [i + 1, 0, 0];
    if (shell === "powershell") open = Math.max(0, open + openedIn(line));
    const goesOn =
      shell === "batch"
        ? endsInCaret(line) && !(joined === "" && /^\s*@?rem\s+\S+\s+\S/i.test(line))
        : continued.test(line) || (open > 0 && i + 1 - start < MOST_JOINED);
    if (i + 1 < lines.length && goesOn && joined.length < LONGEST_LINE) {
      // To cmd the next line follows at once; PowerShell ends a word with the line.
      joined += shell === "batch" ? line.slice(0, -1) : `${withoutComment(line, shell).replace(/`$/, "")} `;
      first ||= joined.length;
    } else {
      yield { text: joined + line, more: first === 0 ? "" : `${joined}${line}`.slice(first), line: start, column: 1, literal: false };
      joined = "";
    }
  }
}

/** Parentheses of PowerShell that a line opens, less those that it closes. */
function openedIn(line: string): number {
  let open = 0;
  const code = withoutComment(line, "powershell");
  for (const i of outsideQuotes(code, "powershell")) open += code[i] === "(" ? 1 : code[i] === ")" ? -1 : 0;
  return open;
}

/** An odd number of carets: the last one stands for itself no more. */
function endsInCaret(line: string): boolean {
  let carets = 0;
  while (line[line.length - 1 - carets] === "^") carets++;
  return carets % 2 === 1;
}

/** Where a block comment ends: the index of that line, and what follows the mark there. */
function endOf(lines: readonly string[], from: number, mark: string) {
  for (let i = from; i < lines.length; i++) {
    const at = (lines[i] as string).indexOf(mark);
    if (at >= 0) return { line: i, rest: (lines[i] as string).slice(at + mark.length), column: at + mark.length + 1 };
  }
  return { line: lines.length - 1, rest: "", column: 1 };
}

/** The line without a comment, and without the prompt of a transcript. */
export const codeOf = (line: string, shell: Shell): string => withoutPrompt(withoutComment(line, shell).trim());

function withoutComment(line: string, shell: Shell): string {
  if (/^\s*(@?rem(\s|$)|::|#|;)/i.test(line)) return "";
  if (shell === "batch") return line;
  for (const i of outsideQuotes(line, shell)) if (line[i] === "#" && /\s/.test(line[i - 1] ?? " ")) return line.slice(0, i);
  return line;
}

/** `netsh ipsec static>add …` says the context, `C:\>netsh …` and `PS C:\> …` nothing. A path that is called and writes to a file is no prompt. */
const withoutPrompt = (line: string): string =>
  line
    .replace(/^PS\s+[A-Z]:\\[^<>|"]*>\s*/i, "")
    .replace(/^(?![^>]*netsh)[A-Z]:\\[^<>|&"=]*>\s*(?=(?:\S*\\)?(?:netsh|ipsecpol|ipseccmd)(?:\.exe)?\s)/i, "")
    .replace(/^(netsh(?:\s+ipsec(?:\s+static)?|\s+advfirewall(?:\s+(?:consec|mainmode|firewall))?)?)\s*>/i, "$1 ");

/** Indexes of the characters that stand for themselves to the shell: outside of quotes, and not escaped by `^` or a backtick. */
export function* outsideQuotes(line: string, shell: Shell): Generator<number> {
  const mark = shell === "batch" ? "^" : "`";
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const c = line[i] as string;
    if (c === mark && (quote === "" || (shell === "powershell" && quote === '"'))) i++;
    else if (quote !== "") quote = c === quote ? "" : quote;
    else if (c === '"' || (c === "'" && shell === "powershell")) quote = c;
    else yield i;
  }
}
