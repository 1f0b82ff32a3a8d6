/**
 * Where a batch file goes: labels, jumps and its end. Nothing is followed; what a jump makes uncertain is said, and what stands behind the
 * end of a script is not taken for something that it does.
 */
import type { Findings, Place } from "./diagnostics.ts";
import type { Shell } from "./words.ts";

export interface Flow {
  /** Labels that were met, with their lines. */
  readonly labels: Map<string, number>;
  /** Labels further down that something above jumps to, with the first such line. */
  readonly ahead: Map<string, { readonly at: Place; readonly onFailure: boolean }>;
  /** Variables that were set, with the line, in their order. What a jump made unknown is taken from the end: many jumps are no square. */
  readonly assigned: { readonly name: string; readonly line: number }[];
  /** The last line that concerned IPsec; 0: none. */
  lastIpsec: number;
  /** The script has ended; `until` is the label where it would go on, "" for nowhere. */
  left: { readonly until: string } | undefined;
  /** What was said of what is not reached. */
  said: "nothing" | "undone" | "all";
  readonly findings: Findings;
  readonly forget: (name: string) => void;
}

/** A flow at the first line. */
export const startFlow = ({ findings, forget }: Pick<Flow, "findings" | "forget">): Flow => ({
  labels: new Map(),
  ahead: new Map(),
  assigned: [],
  lastIpsec: 0,
  left: undefined,
  said: "nothing",
  findings,
  forget,
});

/** Labels that a script may have. */
const MOST = 1000;

/** Whether the line is a label. What a jump to it may have skipped is uncertain from here on. */
export function meetsLabel(flow: Flow, code: string, { line }: Place): boolean {
  const name = /^:\s*([^\s:&|<>]+)/.exec(code)?.[1]?.toLowerCase();
  if (name === undefined) return /^:/.test(code);
  if (flow.left) {
    if (flow.left.until !== name) return true;
    flow.left = undefined;
  }
  if (flow.labels.size < MOST) flow.labels.set(name, line);
  const jump = flow.ahead.get(name);
  if (!jump || jump.onFailure) return true;
  forgetSince(flow, jump.at.line);
  if (flow.lastIpsec > jump.at.line)
    flow.findings.say("E_DYNAMIC_SCRIPT", jump.at, `the lines from here to label ${JSON.stringify(name)} run only where it does not jump`);
  return true;
}

/** Looks for jumps that are made under a condition. `onFailure`: only where something went wrong. */
export function jumps(flow: Flow, code: string, { line, column }: Place, onFailure: boolean): void {
  for (const [, target = ""] of code.matchAll(/\bgoto\s+:?([^\s:&|<>()]+)/gi)) {
    const name = target.toLowerCase();
    const label = flow.labels.get(name);
    if (label === undefined) {
      if (name !== "eof" && !flow.ahead.has(name) && flow.ahead.size < MOST) flow.ahead.set(name, { at: { line, column }, onFailure });
      continue;
    }
    forgetSince(flow, label);
    if (flow.lastIpsec >= label)
      flow.findings.say(
        "E_DYNAMIC_SCRIPT",
        { line, column },
        `this line jumps back to label ${JSON.stringify(name)}: what follows it runs several times`,
      );
  }
}

function forgetSince({ assigned, forget }: Flow, line: number): void {
  for (let last = assigned.at(-1); last !== undefined && last.line >= line; last = assigned.at(-1)) {
    forget(last.name);
    assigned.pop();
  }
}

/** Whether a statement ends the script, or jumps to a label further down; one that is nowhere ends the script. */
export function leaves(flow: Flow, text: string, shell: Shell, inNetsh: boolean): boolean {
  if (shell === "powershell" ? /^(exit|return|throw)\b/i.test(text) : /^@?exit(\s|$)/i.test(text) && !(inNetsh && /^exit$/i.test(text))) {
    flow.left = { until: "" };
    return true;
  }
  const [, target] = (shell === "batch" && /^@?goto\s*:?\s*([^\s:&|<>()%!]+)\s*$/i.exec(text)) || [];
  if (target === undefined || flow.labels.has(target.toLowerCase())) return false;
  flow.left = { until: /^eof$/i.test(target) ? "" : target.toLowerCase() };
  return true;
}

/** Commands that take protection away: it is well that they were not played. */
const UNDOES = /\bdelete\s|\bRemove-Net|\bassign=n|\bshow\b|\becho\b|\bDisable-Net/i;

/** Says once that commands stand where the script does not come by itself, and once more if they would have protected something. */
export function unreached(flow: Flow, code: string, at: Place): void {
  const undone = UNDOES.test(code);
  if (flow.said === "all" || (undone && flow.said === "undone")) return;
  flow.said = undone ? "undone" : "all";
  if (undone)
    flow.findings.say("W_NOT_REACHED", at, "this line and others stand where the script does not come by itself: behind its end or a jump");
  else
    flow.findings.say(
      "E_DYNAMIC_SCRIPT",
      at,
      "this line and others stand behind the end of the script or a jump, where only another jump leads; they were not read",
    );
}
