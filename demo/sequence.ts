/**
 * Packets between two hosts as a sequence: time runs down, an arrow for each packet, its payloads in the arrow.
 */
import type { Style } from "./screen.ts";
import type { Step } from "./wire.ts";

/** The two hosts; `left` stands on the left. */
export interface Ends {
  readonly left: { readonly name: string; readonly address: string };
  readonly right: { readonly name: string; readonly address: string };
}

/** Columns of the arrow between the two bars, and of the time before them; 31 are left for what follows. */
const [ARROW, TIME] = [36, 9];

const LOOK: Readonly<Record<Step["kind"], { readonly stroke: string; readonly style: Style }>> = {
  clear: { stroke: "-", style: "yellow" },
  sealed: { stroke: "=", style: "green" },
  esp: { stroke: "#", style: "cyan" },
  other: { stroke: ".", style: "red" },
};

/** What the strokes mean. */
export const LEGEND = "--- in clear   === sealed by IKE   ### ESP";

/** The lines. Of several ESP packets only the first `most` are drawn. */
export function drawSequence(
  ends: Ends,
  steps: readonly Step[],
  paint: (style: Style, text: string) => string = (_, text) => text,
  most = 4,
): readonly string[] {
  const start = steps[0]?.time ?? 0;
  const margin = " ".repeat(TIME);
  const heading = (left: string, right: string): string => `${margin} ${left.padEnd(ARROW + 2 - right.length)}${right}`;
  const lines = [heading(ends.left.name, ends.right.name), heading(ends.left.address, ends.right.address)];
  let esp = 0;
  for (const step of steps) {
    if (step.kind === "esp" && ++esp > most) continue;
    lines.push(`${timeText(step.time - start)} |${arrow(step, step.source === ends.left.address, paint)}| ${step.about}`);
  }
  return esp > most ? [...lines, `${margin} ${`: ${esp - most} more`.padEnd(ARROW + 1)}:`] : lines;
}

const timeText = (milliseconds: number): string => `${milliseconds.toFixed(1)} ms`.padStart(TIME);

function arrow({ kind, what }: Step, rightwards: boolean, paint: (style: Style, text: string) => string): string {
  const { stroke, style } = LOOK[kind];
  const room = ARROW - 6;
  const text = what.length > room ? `${what.slice(0, room - 2)}..` : what;
  const label = text === "" ? "" : ` ${text} `;
  const rest = stroke.repeat(ARROW - 3 - label.length);
  return paint(style, rightwards ? `${stroke.repeat(2)}${label}${rest}>` : `<${rest}${label}${stroke.repeat(2)}`);
}
