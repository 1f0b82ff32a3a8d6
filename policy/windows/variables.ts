/**
 * Variables of scripts: plain assignments are followed, everything computed is reported where it is used. All of it reads its text once,
 * character by character: a pattern that tries several ways through it could be made to take for ever.
 */
import { outsideQuotes } from "./script-lines.ts";
import type { Shell } from "./words.ts";

/** Variables that a script may define, and the length of their values: a script must not make us hold more. */
const MOST = 1000;
const LONGEST = 4096;

/**
 * Reads `set NAME=value`, `set "NAME=value"` or `$name = "value"`. `dynamic`: an assignment whose value is not known; the name is then unknown too.
 */
export function readAssignment(
  code: string,
  shell: Shell,
  variables: Map<string, string>,
  expanded?: ReadonlyMap<string, string>,
): "none" | "plain" | "dynamic" {
  const found = shell === "batch" ? batchAssignment(code) : powershellAssignment(code);
  if (!found) return "none";
  const name = found.name.toLowerCase();
  const value =
    found.value === undefined
      ? undefined
      : found.literal
        ? known(found.value)
        : substitute(found.value, shell, variables, "value", expanded);
  if (
    value === undefined ||
    value.unknown !== undefined ||
    value.text.length > LONGEST ||
    (variables.size >= MOST && !variables.has(name))
  ) {
    variables.delete(name);
    return "dynamic";
  }
  variables.set(name, value.text);
  return "plain";
}

/** Every name, in small letters, that a piece of a script may set, wherever in it. */
export function assignedNames(code: string, shell: Shell): readonly string[] {
  const pattern =
    shell === "batch"
      ? /\bset\s+(?:\/[ap]\s+)?(?:"\s*)?([^=\s"&|+*/-]+)\s*(?:[-+*/%&^|]|<<|>>)?=/gi
      : /\$(?:[a-z]\w*:)?(\w+)(?:\s*(?:[-+*/%]?=(?!=)|\+\+|--)|\s+in\s)|(?:Set|New|Clear|Remove)-Variable\s+(?:-Name\s+)?["']?(\w+)/gi;
  return [...code.matchAll(pattern)].map(([, name, other]) => (name ?? other ?? "").toLowerCase());
}

interface Assignment {
  readonly name: string;
  /** undefined: computed. */
  readonly value: string | undefined;
  /** Nothing in it is a variable. */
  readonly literal: boolean;
}

const known = (text: string): { readonly text: string; readonly unknown: undefined } => ({ text, unknown: undefined });

function batchAssignment(code: string): Assignment | undefined {
  const computed = /^@?set\s+\/[ap]\s+(?:"\s*)?([^=\s"*/+-]+)\s*(?:[-+*/%&^|]|<<|>>)?=/i.exec(code);
  if (computed) return { name: computed[1] as string, value: undefined, literal: false };
  const [, quoted, quotedValue, bare, bareValue] = /^@?set\s+(?=\S)(?:"([^"=]+)=([^"]*)"|([^"=/]+?)=(.*))\s*$/i.exec(code) ?? [];
  const name = (quoted ?? bare)?.trim();
  // `set policy name=P` is netsh's, not the shell's.
  if (name === undefined || /\s/.test(name)) return undefined;
  return { name, value: quotedValue ?? withoutCarets(bareValue ?? ""), literal: false };
}

/** Outside of quotes a caret stands for the character behind it. */
function withoutCarets(text: string): string {
  const plain = new Set(outsideQuotes(text, "batch"));
  let [kept, quoted] = ["", false];
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if (c === '"') quoted = !quoted;
    if (c === "^" && !quoted && !plain.has(i)) kept += text[++i] ?? "";
    else kept += c;
  }
  return kept;
}

function powershellAssignment(code: string): Assignment | undefined {
  const [, name, value = ""] = /^(?:\[[\w.[\]]+\]\s*)?\$(?:\w+:)?(\w+)\s*=(?!=)\s*(.*)$/.exec(code) ?? [];
  if (name === undefined) return undefined;
  const text = value.trim();
  if (/^-?\d+$/.test(text)) return { name, value: text, literal: true };
  if (/^'(?:[^']|'')*'$/.test(text)) return { name, value: text.slice(1, -1).replaceAll("''", "'"), literal: true };
  return { name, value: isOneText(text) ? text.slice(1, -1) : undefined, literal: false };
}

/** Whether a value is one text in double quotes, and nothing else. */
function isOneText(text: string): boolean {
  if (text.length < 2 || text[0] !== '"') return false;
  for (let i = 1; i < text.length; i++) {
    if (text[i] === "`") i++;
    else if (text[i] === '"') return i === text.length - 1;
  }
  return false;
}

/**
 * A text with its variables put in; `unknown` is the first that has no known value. In a `line` of PowerShell what stands in single quotes is left
 * as it is, and a value stays one word whatever it holds; a `value` is what is between double quotes. `netsh`: netsh itself reads the line, and no shell.
 * `expanded`: what `%NAME%` stands for, where that is not what the variables are now.
 */
export function substitute(
  text: string,
  shell: Shell,
  variables: ReadonlyMap<string, string>,
  of: "line" | "value" | "netsh",
  expanded: ReadonlyMap<string, string> = variables,
): { readonly text: string; readonly unknown: string | undefined } {
  return shell === "batch"
    ? inBatch(text, variables, of === "netsh", expanded)
    : inPowerShell(text, variables, of === "netsh" ? "line" : of);
}

/** `literal`: a single percent sign stands for itself, as it does to netsh; cmd takes it away. */
function inBatch(
  text: string,
  variables: ReadonlyMap<string, string>,
  literal: boolean,
  expanded: ReadonlyMap<string, string>,
): { readonly text: string; readonly unknown: string | undefined } {
  let unknown: string | undefined;
  const put = (whole: string, name: string, changed: boolean): string => {
    const values = whole.startsWith("%") ? expanded : variables;
    const value = changed ? undefined : (values.get(name.toLowerCase()) ?? SYSTEM.get(name.toLowerCase()));
    if (value === undefined) unknown ??= whole;
    return value ?? whole;
  };
  const pattern = /%%|%(\d|\*|~\w+)|%([A-Za-z_][\w ()-]*)(:[^%]*)?%|!([A-Za-z_]\w*)(:[^!]*)?!|%[^%]*%|%/g;
  const result = text.replace(pattern, (whole, argument, name, changed, delayed, changedToo) =>
    whole === "%%"
      ? "%"
      : whole === "%"
        ? literal
          ? whole
          : ""
        : argument !== undefined
          ? put(whole, "", false)
          : put(whole, name ?? delayed ?? "", (changed ?? changedToo) !== undefined),
  );
  return { text: result, unknown };
}

function inPowerShell(
  text: string,
  variables: ReadonlyMap<string, string>,
  of: "line" | "value",
): { readonly text: string; readonly unknown: string | undefined } {
  let [result, quote] = ["", ""];
  let unknown: string | undefined;
  const variable = /\$\{(\w+)\}|\$(\w+(?::\w+)?)|\$\(/y;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if (of === "line" && (c === "'" || c === '"') && (quote === "" || quote === c)) quote = quote === "" ? c : "";
    if (c === "`" && quote !== "'") {
      const next = text[++i] ?? "";
      result += of === "line" ? c + next : (ESCAPES.get(next) ?? next);
      continue;
    }
    variable.lastIndex = i;
    const found = c === "$" && quote !== "'" ? variable.exec(text) : null;
    if (!found) {
      result += of === "value" && c === '"' && text[i + 1] === '"' ? text[++i] : c;
      continue;
    }
    const [whole, braced, plain] = found;
    const name = (braced ?? plain ?? "").toLowerCase();
    const value = BUILT_IN.get(name) ?? variables.get(name.replace(/^(global|script|local):/, "")) ?? SYSTEM.get(name.replace(/^env:/, ""));
    if (value === undefined || (/^[.[]\w/.test(text.slice(variable.lastIndex, variable.lastIndex + 2)) && quote === "")) unknown ??= whole;
    result += value === undefined ? whole : of === "value" ? value : value.replace(/[\s`"';|&<>#(){}$]/g, "`$&");
    i = variable.lastIndex - 1;
  }
  return { text: result, unknown };
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["0", "\0"],
]);

/** PowerShell's constants. */
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ["true", "True"],
  ["false", "False"],
  ["null", ""],
]);

/** Where Windows is: the paths of programs begin with it. */
const SYSTEM: ReadonlyMap<string, string> = new Map([
  ["systemroot", "C:\\Windows"],
  ["windir", "C:\\Windows"],
]);
