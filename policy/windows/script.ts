/**
 * From a script's text to the command lines in it, in order. Scripts are read, never executed: comments go, lines are continued, simple
 * variables are put in; what only running it could tell (loops, conditions, arguments) is reported with its line.
 */
import type { Findings, Place } from "./diagnostics.ts";
import { readAssignment, substitute } from "./variables.ts";
import type { Shell } from "./words.ts";

/** One command with its place. */
export interface CommandLine extends Place {
  readonly text: string;
  /** A statement of PowerShell about objects, as it stands: `powershell.ts` reads it. */
  readonly objects: boolean;
}

/** Lines longer than this are no policy. */
const LONGEST_LINE = 65_536;

/**
 * Finds the commands of a script, one by one; `variables` are what they are where the command stands. What can't be known without running
 * it goes to `findings`, where it concerns IPsec.
 */
export function* readScript(text: string, shell: Shell, findings: Findings, variables: Map<string, string>): Generator<CommandLine> {
  let depth = 0;
  for (const line of joinLines(text, shell)) {
    const code = withoutPrompt(withoutComment(line.text, shell).trim());
    if (code === "") continue;
    if (code.length > LONGEST_LINE) {
      findings.say("E_SYNTAX", line, `a line of ${code.length} characters`);
      continue;
    }
    const opened = depth + opens(code, shell);
    const inside = depth > 0 || opened > 0 || isConditional(code, shell);
    depth = Math.max(0, opened - closes(code, shell));
    if (inside) {
      if (concernsIpsec(code)) findings.say("E_DYNAMIC_SCRIPT", line, `this line runs under a condition or in a loop: ${shorten(code)}`);
      continue;
    }
    const assigned = readAssignment(code, shell, variables);
    if (shell === "powershell" && assigned !== "plain" && isAboutObjects(code)) {
      yield { ...line, text: code, objects: true };
      continue;
    }
    if (assigned !== "none") continue;
    if (isFlow(code, shell)) {
      findings.say("E_DYNAMIC_SCRIPT", line, `the script jumps: ${shorten(code)}`);
      continue;
    }
    yield* commandsOf({ ...line, text: code }, shell, variables, findings);
  }
}

/** A cmdlet of IPsec, or a variable that may get one's result. */
const isAboutObjects = (code: string): boolean => /-NetIPsec|-NetFirewallSetting\b|^\$(?:\w+:)?\w+\s*\+?=/i.test(code);

/** Whether a script is one of PowerShell: by its name, or by what only PowerShell writes. */
export const shellOf = (fileName: string, text: string): Shell =>
  /\.psm?1$/i.test(fileName) || /^\s*\$\w+\s*=|^\s*(New|Set|Remove|Enable|Disable)-Net(IPsec|FirewallSetting)/im.test(text)
    ? "powershell"
    : "batch";

/** Physical lines, joined where a `^` or backtick at their end says so. The place is that of the first. */
function* joinLines(text: string, shell: Shell): Generator<CommandLine> {
  // A comment of PowerShell ends with its line, whatever stands there; a list and an open parenthesis go on.
  const continued = shell === "batch" ? /(^|[^^])(\^\^)*\^$/ : /^(?!\s*#)(?:.*\s)?`$|^(?!\s*#)(?!.*\s#).*[,(|]\s*$/;
  let [joined, start] = ["", 0];
  let inBlock = false;
  const lines = text.split(/\r\n|\n|\r/);
  for (const [i, line] of lines.entries()) {
    if (shell === "powershell") {
      if (inBlock || /^\s*<#/.test(line)) {
        const end = line.indexOf("#>");
        inBlock = end < 0;
        if (inBlock || line.slice(end + 2).trim() === "") continue;
        // What stands behind a comment is a statement.
        yield { text: line.slice(end + 2), line: i + 1, column: end + 3, objects: false };
        continue;
      }
    }
    if (joined === "") start = i + 1;
    if (i + 1 < lines.length && continued.test(line) && joined.length < LONGEST_LINE) joined += `${line.replace(/[\^`]$/, "")} `;
    else {
      yield { text: joined + line, line: start, column: 1, objects: false };
      joined = "";
    }
  }
}

function withoutComment(line: string, shell: Shell): string {
  if (/^\s*(@?rem(\s|$)|::|#|;)/i.test(line)) return "";
  return shell === "powershell" ? cutAt(line, (i) => line[i] === "#" && /\s/.test(line[i - 1] ?? " ")) : line;
}

/** `netsh ipsec static>add …` of a transcript: the prompt says the context. */
const withoutPrompt = (line: string): string =>
  line.replace(/^(netsh(?:\s+ipsec(?:\s+static)?|\s+advfirewall(?:\s+(?:consec|mainmode|firewall))?)?)\s*>/i, "$1 ");

/** The line up to the first place outside of quotes that fits. */
function cutAt(line: string, fits: (index: number) => boolean): string {
  for (const i of outsideQuotes(line)) if (fits(i)) return line.slice(0, i);
  return line;
}

/** Indexes of the characters outside of double quotes. */
function* outsideQuotes(line: string): Generator<number> {
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '"') quoted = !quoted;
    else if (!quoted) yield i;
  }
}

const count = (code: string, wanted: string): number => [...outsideQuotes(code)].filter((i) => code[i] === wanted).length;

/** Blocks: in a batch file only those of `if`, `for` and `else`, as filter specifications have parentheses too. */
const opens = (code: string, shell: Shell): number =>
  shell === "powershell" ? count(code, "{") : /^\s*@?(if|for|\)?\s*else)\b/i.test(code) ? Math.max(0, Number(/\(\s*$/.test(code))) : 0;
const closes = (code: string, shell: Shell): number => (shell === "powershell" ? count(code, "}") : Number(/^\s*\)/.test(code)));

const isConditional = (code: string, shell: Shell): boolean =>
  shell === "powershell" ? /^(if|for|foreach|while|do|switch|function|try)\b/i.test(code) : /^@?(if|for)\b/i.test(code);

/** Jumps that make the order of lines mean nothing; leaving the script is none. */
const isFlow = (code: string, shell: Shell): boolean =>
  shell === "batch" && (/^@?goto\s+(?!:?(eof|end|exit|fin)\b)/i.test(code) || /^@?call\s+:/i.test(code));

/** Whether a line that can't be followed would have mattered. */
const concernsIpsec = (code: string): boolean =>
  /\bipsec(pol|cmd)?\b|advfirewall|consec|mainmode|NetIPsec|^\s*@?(add|set|delete)\s+(policy|rule|filter|defaultrule)/i.test(code);

function* commandsOf(line: CommandLine, shell: Shell, variables: ReadonlyMap<string, string>, findings: Findings): Generator<CommandLine> {
  for (const part of splitCommands(line.text, shell)) {
    const bare = withoutRedirections(part.text.replace(/^\s*@?\s*/, ""));
    if (bare.trim() === "") continue;
    if (part.after === "||" && concernsIpsec(bare)) {
      findings.say("E_DYNAMIC_SCRIPT", line, `this command runs only when the one before it failed: ${shorten(bare.trim())}`);
      continue;
    }
    const { text, unknown } = substitute(bare, shell, variables);
    if (unknown !== undefined && concernsIpsec(text))
      findings.say("E_DYNAMIC_SCRIPT", line, `the value of ${unknown} is known only when the script runs`);
    else yield { line: line.line, column: line.column + line.text.indexOf(bare.trim()), text: text.trim(), objects: false };
  }
}

interface Part {
  readonly text: string;
  /** The separator before it. */
  readonly after: string;
}

/** Splits at `&&`, `||`, `&`, `|` and PowerShell's `;`, outside of quotes. */
function splitCommands(code: string, shell: Shell): readonly Part[] {
  const parts: Part[] = [];
  let [start, after, skip] = [0, "", -1];
  for (const i of outsideQuotes(code)) {
    const c = code[i];
    const separates = c === "|" || (c === "&" && !/[<>]/.test(code[i - 1] ?? "")) || (c === ";" && shell === "powershell");
    if (!separates || i <= skip || (shell === "batch" && code[i - 1] === "^")) continue;
    const double = code[i + 1] === c;
    parts.push({ text: code.slice(start, i), after });
    after = double ? `${c}${c}` : (c as string);
    start = i + after.length;
    skip = start - 1;
  }
  return [...parts, { text: code.slice(start), after }];
}

/** `>nul`, `2>&1`, `>> file`: where output goes is no part of the policy. A filter's `<->` has no place in these languages. */
function withoutRedirections(code: string): string {
  let [kept, from] = ["", 0];
  for (const i of outsideQuotes(code)) {
    if (i < from || (code[i] !== ">" && code[i] !== "<")) continue;
    const target = /^(>>?|<)\s*(&\d|"[^"]*"|\S+)?/.exec(code.slice(i));
    const digit = /(^|\s)\d$/.test(code.slice(from, i)) ? 1 : 0;
    kept += code.slice(from, i - digit);
    from = i + (target?.[0].length ?? 1);
  }
  return kept + code.slice(from);
}

/** A piece of a line for a message: never what stands behind the name of a key. */
export function shorten(text: string): string {
  const key = /psk|preshare/i.exec(text);
  const open = key ? text.slice(0, key.index) : text;
  return JSON.stringify(key || text.length > 60 ? `${open.slice(0, 57)}...` : text);
}
