/**
 * What is wrong with a configuration, and where. A report collects everything: an administrator mends all of it in one go.
 */
import type { Layered } from "./layers.ts";
import type { KeyPath } from "./toml-locator.ts";

export interface Diagnostic {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  readonly message: string;
  readonly severity: "error" | "warning";
  /** The rule that it is about. */
  readonly rule?: string;
}

/** `FILE:LINE:COL: message`; a warning says so after the place. */
export function formatDiagnostic({ file, line, column, message, severity }: Diagnostic): string {
  return `${file}:${line}:${column}: ${severity === "warning" ? "warning: " : ""}${message}`;
}

/** A finding about the key or value at `path`; it is shown at the nearest enclosing place where the path does not exist. */
export interface Finding {
  readonly path: KeyPath;
  readonly part: "key" | "value";
  /** What the message is said of, where that is not `path`. */
  readonly about: KeyPath;
  readonly message: string;
  readonly severity: Diagnostic["severity"];
}

export interface Report {
  readonly error: Say;
  readonly warning: Say;
  /** Whether an error at `path`, inside it or round it was reported: then what depends on it is not judged again. */
  readonly failed: (path: KeyPath) => boolean;
  readonly findings: readonly Finding[];
}

type Say = (path: KeyPath, message: string, part?: Finding["part"], about?: KeyPath) => void;

/** An empty report. */
export function startReport(): Report {
  const findings: Finding[] = [];
  const add =
    (severity: Finding["severity"]): Say =>
    (path, message, part = "value", about = path) => {
      findings.push({ path, part, about, message, severity });
    };
  const overlap = (a: KeyPath, b: KeyPath) => a.every((step, i) => i >= b.length || b[i] === step);
  const failed = (path: KeyPath) => findings.some((finding) => finding.severity === "error" && overlap(path, finding.path));
  return { error: add("error"), warning: add("warning"), failed, findings };
}

/** The findings as diagnostics, in the order of `files` and their texts. `names` gives rules their names in messages. */
export function diagnosticsOf(
  report: Report,
  files: readonly string[],
  find: Layered["find"],
  names: readonly (string | undefined)[],
): readonly Diagnostic[] {
  return report.findings
    .map(({ path, part, about, message, severity }): Diagnostic => {
      const rule = about[0] === "rule" && typeof about[1] === "number" ? names[about[1]] : undefined;
      return { ...find(path, part), message: `${describePath(about, names)}${message}`, severity, ...(rule === undefined ? {} : { rule }) };
    })
    .map((diagnostic, order) => ({ diagnostic, order, file: files.indexOf(diagnostic.file) }))
    .sort(
      (a, b) => a.file - b.file || a.diagnostic.line - b.diagnostic.line || a.diagnostic.column - b.diagnostic.column || a.order - b.order,
    )
    .map(({ diagnostic }) => diagnostic);
}

/** `[policy.main-mode] lifetime: ` or `rule "hr": auth.method: `, without indexes of lists. */
function describePath(path: KeyPath, names: readonly (string | undefined)[]): string {
  const [top, second, ...deeper] = path;
  if (top === undefined) return "";
  if (top === "rule" && typeof second === "number") {
    const name = names[second];
    const rule = name === undefined ? `rule number ${second + 1}` : `rule ${JSON.stringify(name)}`;
    return `${[rule, ...dotted(deeper)].join(": ")}: `;
  }
  const tables = second !== undefined && MODES.has(String(second)) ? 2 : 1;
  return `${[`[${path.slice(0, tables).join(".")}]`, ...dotted(path.slice(tables))].join(" ")}: `;
}

const MODES: ReadonlySet<string> = new Set(["main-mode", "quick-mode"]);

const dotted = (path: KeyPath): readonly string[] => {
  const keys = path.filter((step) => typeof step === "string");
  return keys.length > 0 ? [keys.join(".")] : [];
};
