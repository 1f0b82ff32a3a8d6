/**
 * Variables of scripts: plain assignments are followed, everything computed is reported where it is used.
 */
import type { Shell } from "./words.ts";

/** Variables that a script may define, and the length of their values: a script must not make us hold more. */
const MOST = 1000;
const LONGEST = 4096;

/**
 * Reads `set NAME=value`, `set "NAME=value"` or `$name = "value"`. `dynamic`: an assignment whose value is not known; the name is then unknown too.
 */
export function readAssignment(code: string, shell: Shell, variables: Map<string, string>): "none" | "plain" | "dynamic" {
  const found = shell === "batch" ? batchAssignment(code) : powershellAssignment(code);
  if (!found) return "none";
  const name = found.name.toLowerCase();
  const value = found.value === undefined ? undefined : substitute(found.value, shell, variables);
  if (value === undefined || value.unknown !== undefined || value.text.length > LONGEST || variables.size >= MOST) {
    variables.delete(name);
    return "dynamic";
  }
  variables.set(name, value.text);
  return "plain";
}

interface Assignment {
  readonly name: string;
  /** undefined: computed. */
  readonly value: string | undefined;
}

function batchAssignment(code: string): Assignment | undefined {
  const computed = /^@?set\s+\/[ap]\s+"?\s*([^=\s"]+?)\s*[-+*/]?=/i.exec(code);
  if (computed) return { name: computed[1] as string, value: undefined };
  const [, quoted, quotedValue, bare, bareValue] = /^@?set\s+(?:"([^"=]+)=([^"]*)"|([^"=/]+?)=(.*))\s*$/i.exec(code) ?? [];
  const name = (quoted ?? bare)?.trim();
  // `set policy name=P` is netsh's, not the shell's.
  if (name === undefined || /\s/.test(name)) return undefined;
  return { name, value: quotedValue ?? bareValue ?? "" };
}

function powershellAssignment(code: string): Assignment | undefined {
  const [, name, value = ""] = /^\$(?:\w+:)?(\w+)\s*=\s*(.*)$/.exec(code) ?? [];
  if (name === undefined) return undefined;
  const literal = /^"((?:[^"$`]|`.)*(?:\$\w+[^"$`]*)*)"$|^'([^']*)'$|^(-?\d+)$/.exec(value.trim());
  return { name, value: literal ? (literal[1] ?? literal[2] ?? literal[3] ?? "") : undefined };
}

/** A text with its variables put in; `unknown` is the first that has no known value. */
export function substitute(
  text: string,
  shell: Shell,
  variables: ReadonlyMap<string, string>,
): { readonly text: string; readonly unknown: string | undefined } {
  let unknown: string | undefined;
  const put = (whole: string, name: string): string => {
    const value = variables.get(name.toLowerCase());
    if (value === undefined) unknown ??= whole;
    return value ?? whole;
  };
  const result =
    shell === "batch"
      ? text.replace(/%%|%(\d|\*|~\w+)|%([A-Za-z_][\w ()-]*)(?::[^%]*)?%|!([A-Za-z_]\w*)!/g, (whole, argument, name, delayed) =>
          whole === "%%" ? "%" : argument !== undefined ? put(whole, "") : put(whole, name ?? delayed),
        )
      : text.replace(/\$\{(\w+)\}|\$(\w+(?::\w+)?)|(\$\()/g, (whole, braced, name, computed) =>
          computed !== undefined ? put(whole, "") : (BUILT_IN.get(String(braced ?? name).toLowerCase()) ?? put(whole, braced ?? name)),
        );
  return { text: result, unknown };
}

/** PowerShell's constants. */
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ["true", "True"],
  ["false", "False"],
  ["null", ""],
]);
