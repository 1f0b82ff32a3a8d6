/**
 * From a script's text to the command lines in it, in order. Scripts are read, never executed: comments go, lines are continued, simple
 * variables are put in; what only running it could tell (loops, conditions, jumps, arguments) is reported with its line.
 */

import { demandsIpsec, mayCall, startsNetsh } from "./context.ts";
import { type Findings, mayHoldKey, type Place } from "./diagnostics.ts";
import { type Flow, jumps, leaves, meetsLabel, startFlow, unreached } from "./script-flow.ts";
import { codeOf, joinLines, LONGEST_LINE, outsideQuotes } from "./script-lines.ts";
import { assignedNames, readAssignment, substitute } from "./variables.ts";
import type { Shell } from "./words.ts";

/** One command with its place. */
export interface CommandLine extends Place {
  readonly text: string;
  /** A statement of PowerShell about objects, as it stands: `powershell.ts` reads it. */
  readonly objects: boolean;
}

/** What a reader of scripts shares with who plays them. */
export interface ScriptContext {
  readonly shell: Shell;
  readonly findings: Findings;
  /** The texts of variables, where the command that is read stands. */
  readonly variables: Map<string, string>;
  /** A variable, by its name in small letters, has a value that is not known. */
  readonly forget: (name: string) => void;
}

type Values = ReadonlyMap<string, string>;

interface Walk extends ScriptContext {
  readonly flow: Flow;
  depth: number;
  /** Commands of netsh itself are typed: `exit` leaves it, and not the script. */
  inNetsh: boolean;
  /** What `%NAME%` stands for: cmd puts values in before it runs the line, or the block in parentheses. undefined: what it is now. */
  expanded: Values | undefined;
  readonly group: { before: Values | undefined };
  /** What variables were at each `setlocal`; `endlocal` brings it back. */
  readonly locals: Values[];
}

/** Finds the commands of a script, one by one. What can't be known without running it goes to the findings, where it concerns IPsec. */
export function* readScript(text: string, context: ScriptContext): Generator<CommandLine> {
  const walk: Walk = {
    ...context,
    flow: startFlow(context),
    depth: 0,
    inNetsh: false,
    expanded: undefined,
    group: { before: undefined },
    locals: [],
  };
  const { shell, findings, flow } = walk;
  for (const line of joinLines(text, shell)) {
    const code = codeOf(line.text, shell);
    // cmd may take the next line for a part of such a comment or label, or not: that depends on how it is written.
    if (shell === "batch" && /^(:|$)/.test(code) && concernsIpsec(line.more))
      findings.say("E_DYNAMIC_SCRIPT", line, "a comment or label ends in a caret, so that the next line may be a part of it");
    // To cmd a line may begin with a semicolon; elsewhere that is a comment.
    if (/^\s*;/.test(line.text) && concernsIpsec(line.text) && !flow.left)
      findings.say("E_DYNAMIC_SCRIPT", line, "a line begins with a semicolon, which is a comment to some, and nothing to cmd");
    if (code === "") continue;
    if (code.length > LONGEST_LINE) {
      findings.say("E_SYNTAX", line, `a line of ${code.length} characters`);
      for (const name of assignedNames(code, shell)) context.forget(name);
      continue;
    }
    if (shell === "batch" && meetsLabel(flow, code, line)) continue;
    const matters = concernsIpsec(code);
    if (flow.left) {
      if (matters) unreached(flow, code, line);
      continue;
    }
    if (matters) flow.lastIpsec = line.line;
    const inside = enters(walk, code);
    if (line.literal || inside) unknown(code, line, walk, line.literal ? "this text holds commands" : CONDITION);
    else yield* statementsOf(code, line, walk);
  }
}

/** Whether a line runs under a condition, or more than once; follows blocks. In a batch file they are those of `if`, `for` and `else`. */
function enters(walk: Walk, code: string): boolean {
  const { shell, depth, group } = walk;
  const conditional = isConditional(code, shell);
  const [opened, closed] =
    shell === "powershell" ? [count(code, "{", shell), count(code, "}", shell)] : [count(code, "(", shell), count(code, ")", shell)];
  const counts = shell === "powershell" || depth > 0 || conditional;
  if (counts) walk.depth = Math.max(0, depth + opened - closed);
  else if (/^@?\($/.test(code)) group.before = new Map(walk.variables);
  else if (code.startsWith(")")) group.before = undefined;
  return depth > 0 || conditional || (shell === "powershell" && opened > 0);
}

const CONDITION = "this line runs under a condition or in a loop";

/** What may run or not: its commands are reported, and what it sets is not known from here on. */
function unknown(code: string, at: Place, walk: Walk, why: string): void {
  const { shell, findings, flow } = walk;
  if (concernsIpsec(code)) findings.say("E_DYNAMIC_SCRIPT", at, `${why}: ${shorten(code)}`);
  else if (mayCall(code)) findings.say("W_CALLED", at, `something else is called under a condition: ${shorten(code)}`);
  for (const name of assignedNames(code, shell)) walk.forget(name);
  if (shell === "batch") jumps(flow, code, at, /\berrorlevel\b/i.test(code));
}

/** Statements of one line, in their order. */
function* statementsOf(code: string, at: Place, walk: Walk): Generator<CommandLine> {
  const { shell, findings, flow } = walk;
  const statements = shell === "powershell" ? splitStatements(code) : splitCommands(code, shell);
  const sets = shell === "batch" && statements.length > 1 && assignedNames(code, shell).length > 0;
  walk.expanded = walk.group.before ?? (sets ? new Map(walk.variables) : undefined);
  for (const [i, part] of statements.entries()) {
    const text = (shell === "batch" ? withoutRedirections(part.text, shell) : part.text).trim();
    if (text === "" || /^@?rem(\s|$)|^#/i.test(text)) continue;
    if (isConditional(text, shell)) {
      // What follows an `if` in its line belongs to it.
      const rest = statements.slice(i).map((one) => one.text);
      return unknown(rest.join(" & "), at, walk, CONDITION);
    }
    const place = { line: at.line, column: at.column + Math.max(0, code.indexOf(text)) };
    if (shell === "batch" && readsCommands(text, part)) findings.say("E_DYNAMIC_SCRIPT", place, READS_COMMANDS);
    if (part.after === "||" || part.after === "&&") {
      for (const name of assignedNames(text, shell)) walk.forget(name);
      if (shell === "batch") jumps(flow, text, at, true);
    }
    if (part.after === "||") {
      if (concernsIpsec(text))
        findings.say("E_DYNAMIC_SCRIPT", at, `this command runs only when the one before it failed: ${shorten(text)}`);
      continue;
    }
    if (part.after === "&&" && concernsIpsec(text) && !isSureToSucceed(statements[i - 1]?.text ?? "")) {
      findings.say("E_DYNAMIC_SCRIPT", at, `this command runs only when the one before it succeeds: ${shorten(text)}`);
      continue;
    }
    if (part.after !== "&&" && leaves(flow, text, shell, walk.inNetsh)) {
      for (const later of statements.slice(i)) if (concernsIpsec(later.text)) unreached(flow, later.text, at);
      return;
    }
    noteNetsh(text, walk);
    yield* statement(text, place, part.after === "&&", walk);
  }
}

/** What is done, and asks for nothing: of such commands success is assumed. */
const isSureToSucceed = (text: string): boolean =>
  (/^[@(\s]*(call\s+)?"?(\S*[\\/])?(netsh|ipsecpol|ipseccmd)(\.exe)?"?\s/i.test(text) && !/\bshow\b/i.test(text)) ||
  /^[@(\s]*([%!$&]|(echo|cd|chdir|set|setlocal|title|rem|cls|color|pushd|popd|md|mkdir|copy|del|erase|timeout|pause|net\s+st(art|op)|sc\s+(config|start|stop))(?![\w-]))/i.test(
    text,
  );

const noteNetsh = (text: string, walk: Walk): void => {
  if (/^(pushd\s+)?(netsh(\.exe)?|(netsh(\.exe)?\s+)?(ipsec(\s+static)?|advfirewall(\s+\w+)?))$/i.test(text)) walk.inNetsh = true;
  else if (/^(exit|bye|quit|popd)$/i.test(text)) walk.inNetsh = false;
};

/** One statement: an assignment, something about objects, a jump, or commands. */
function* statement(text: string, at: Place, conditional: boolean, walk: Walk): Generator<CommandLine> {
  const { shell, findings, variables, flow } = walk;
  if (shell === "batch" && /^@?(setlocal|endlocal)\b/i.test(text)) return followLocals(walk, /endlocal/i.test(text));
  const assigned = conditional ? "none" : readAssignment(text, shell, variables, walk.expanded);
  for (const name of assignedNames(text, shell)) flow.assigned.push({ name, line: at.line });
  if (shell === "powershell" && demandsIpsec(text))
    return findings.say("W_FIREWALL_SECURITY", at, "a rule of the firewall lets only authenticated connections pass");
  const called =
    shell === "powershell" && assigned !== "plain" ? /^\$[\w:]+\s*=\s*(?:&\s*)?((?:"[^"]*"|\S+)(?:\s.*)?)$/.exec(text)?.[1] : undefined;
  if (called !== undefined && /^"?(\S*[\\/])?netsh(\.exe)?\b/i.test(called)) {
    for (const name of assignedNames(text, shell)) walk.forget(name);
    return yield* commandsOf(called, at, walk);
  }
  if (assigned === "dynamic" && (startsNetsh(text) || /\b(ipsec\s+static|advfirewall\s+(consec|mainmode))\b/i.test(text)))
    findings.say("E_DYNAMIC_SCRIPT", at, `netsh runs, or will, for a value that is computed: ${shorten(text)}`);
  if (shell === "powershell" && assigned !== "plain" && isAboutObjects(text)) return yield { ...at, text, objects: true };
  if (assigned !== "none" || (conditional && assignedNames(text, shell).length > 0)) return;
  if (isFlow(text, shell)) return findings.say("E_DYNAMIC_SCRIPT", at, `the script jumps: ${shorten(text)}`);
  yield* commandsOf(text, at, walk);
}

/** `setlocal` keeps what variables are, `endlocal` brings it back. */
function followLocals({ variables, locals, forget }: Walk, ends: boolean): void {
  const before = ends ? locals.pop() : undefined;
  if (!ends && locals.length < 32) locals.push(new Map(variables));
  if (!before) return;
  for (const name of [...variables.keys()]) if (variables.get(name) !== before.get(name)) forget(name);
  for (const [name, value] of before) variables.set(name, value);
}

/** A cmdlet of IPsec, or a variable that may get one's result. */
const isAboutObjects = (code: string): boolean => /-NetIPsec|-NetFirewallSetting\b|^(\[[\w.[\]]+\])?\$(?:\w+:)?\w+\s*\+?=/i.test(code);

/** Whether a script is one of PowerShell: by its name, or by what only PowerShell writes. */
export const shellOf = (fileName: string, text: string): Shell =>
  /\.psm?1$/i.test(fileName) ||
  /^\s*(PS [^>\r\n]*>\s*)?(\$\w+\s*=|(New|Set|Remove|Enable|Disable)-Net(IPsec|FirewallSetting|FirewallRule))/im.test(text)
    ? "powershell"
    : "batch";

/** A character outside of quotes, but for the braces of `${name}`. */
function count(line: string, wanted: string, shell: Shell): number {
  const code = shell === "powershell" ? line.replace(/\$\{\w+\}/g, "") : line;
  let found = 0;
  for (const i of outsideQuotes(code, shell)) if (code[i] === wanted) found++;
  return found;
}

const isConditional = (code: string, shell: Shell): boolean =>
  shell === "powershell" ? /^(if|for|foreach|while|do|switch|function|try)\b/i.test(code) : /^@?(if|for)\b/i.test(code);

/** Jumps that make the order of lines mean nothing. */
const isFlow = (code: string, shell: Shell): boolean => shell === "batch" && /^[@(\s]*(goto\b|call\s+:)/i.test(code);

/** Whether a line that can't be followed would have mattered. */
export const concernsIpsec = (code: string): boolean =>
  /\bipsec(pol|cmd)?\b|advfirewall|consec|mainmode|NetIPsec|NetFirewallSetting|\bnetsh(\.exe)?["']?\s+["']?[@$%!]/i.test(code) ||
  /^(?!@?(?:echo|rem|title|write-))(?:[@$&%!"'\w:\\.(){}]+\s+)?(add|set|delete)\s+(policy|rule|filter|defaultrule)/i.test(code);

function* commandsOf(text: string, at: Place, walk: Walk): Generator<CommandLine> {
  const { shell, variables, findings } = walk;
  const parts = shell === "powershell" ? splitCommands(text, shell) : [{ text, after: "" }];
  for (const part of parts) {
    const bare = withoutRedirections(part.text.replace(/^\s*@?\s*/, ""), shell).trim();
    if (bare === "") continue;
    if (shell === "powershell" && readsCommands(bare, part)) findings.say("E_DYNAMIC_SCRIPT", at, READS_COMMANDS);
    if (part.after === "||" && concernsIpsec(bare)) {
      findings.say("E_DYNAMIC_SCRIPT", at, `this command runs only when the one before it failed: ${shorten(bare)}`);
      continue;
    }
    const put = substitute(bare, shell, variables, walk.inNetsh ? "netsh" : "line", walk.expanded);
    // What this very line sets is not yet there when it runs, and was meant to be.
    const meant = walk.expanded ? substitute(bare, shell, variables, "line").text : "";
    if (put.unknown !== undefined && (concernsIpsec(put.text) || concernsIpsec(meant))) {
      const what = mayHoldKey(bare) ? "a variable" : put.unknown;
      findings.say("E_DYNAMIC_SCRIPT", at, `the value of ${what} is known only when the script runs`);
    } else yield { line: at.line, column: at.column + Math.max(0, text.indexOf(bare)), text: put.text.trim(), objects: false };
  }
}

const READS_COMMANDS = "netsh reads its commands from a file or another program; import that, too";

/** Whether a command is netsh that gets its commands by `<` or from a pipe. */
const readsCommands = (text: string, part: Part): boolean =>
  /^@?"?(\S*[\\/])?netsh(\.exe)?"?(\s|$)/i.test(text) &&
  ([...outsideQuotes(part.text, "batch")].some((i) => part.text[i] === "<") ||
    (part.after === "|" && /netsh(\.exe)?"?(\s+(-c\s+)?"?ipsec(\s+static)?"?)?$/i.test(text)));

interface Part {
  readonly text: string;
  /** The separator before it. */
  readonly after: string;
}

/** Splits at `&&`, `||`, `&` and `|`, outside of quotes. */
function splitCommands(code: string, shell: Shell): readonly Part[] {
  const parts: Part[] = [];
  let [start, after, skip] = [0, "", -1];
  for (const i of outsideQuotes(code, shell)) {
    const c = code[i];
    if (i <= skip || !(c === "|" || (c === "&" && !/[<>]/.test(code[i - 1] ?? "")))) continue;
    const double = code[i + 1] === c;
    parts.push({ text: code.slice(start, i), after });
    after = double ? `${c}${c}` : (c as string);
    start = i + after.length;
    skip = start - 1;
  }
  return [...parts, { text: code.slice(start), after }];
}

/** Splits at PowerShell's `;`, outside of quotes, parentheses and braces. */
function splitStatements(code: string): readonly Part[] {
  const parts: Part[] = [];
  let [start, depth] = [0, 0];
  for (const i of outsideQuotes(code, "powershell")) {
    const c = code[i] as string;
    if ("({[".includes(c)) depth++;
    else if (")}]".includes(c)) depth--;
    else if (c === ";" && depth <= 0) {
      parts.push({ text: code.slice(start, i), after: "" });
      start = i + 1;
    }
  }
  return [...parts, { text: code.slice(start), after: "" }];
}

/** `>nul`, `2>&1`, `>> file`: where output goes is no part of the policy. A filter's `<->` has no place in these languages. */
function withoutRedirections(code: string, shell: Shell): string {
  let [kept, from] = ["", 0];
  for (const i of outsideQuotes(code, shell)) {
    if (i < from || (code[i] !== ">" && code[i] !== "<")) continue;
    const target = /^(>>?|<)\s*(&\d|"[^"]*"|\S+)?/.exec(code.slice(i, i + 4096));
    const digit = /(^|\s)\d$/.test(code.slice(Math.max(from, i - 2), i)) ? 1 : 0;
    kept += code.slice(from, i - digit);
    from = i + (target?.[0].length ?? 1);
  }
  return kept + code.slice(from);
}

/** A piece of a line for a message: never what stands behind the name of a key. */
export function shorten(text: string): string {
  const key = mayHoldKey(text);
  const open = key === undefined ? text : text.slice(0, key);
  return JSON.stringify(key !== undefined || text.length > 60 ? `${open.slice(0, 57)}...` : text);
}
