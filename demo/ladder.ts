/**
 * Two hosts and what went between them as a sequence, 78 columns wide. Pure: the same rungs are the same text.
 */

/** One packet. `label` names it, `parts` what is in it. */
export interface Rung {
  /** Milliseconds since the first one. */
  readonly at: number;
  readonly from: "left" | "right";
  readonly kind: "ike" | "esp";
  readonly label: string;
  /** Octets of it: the ISAKMP message, or the IP payload that ESP is. */
  readonly octets: number;
  readonly parts: string;
}

/** How a line is painted. */
export type PaintRung = (kind: "head" | "ike" | "esp" | "parts", text: string) => string;

const [GUTTER, INNER] = [8, 68];

/** The lines: both hosts' names, and one or more lines for each packet. */
export function drawLadder(ends: readonly [string, string], rungs: readonly Rung[], paint: PaintRung = plain): readonly string[] {
  const [left, right] = ends;
  const head = `${"ms".padStart(GUTTER - 1)} ${left}${right.padStart(INNER + 2 - left.length)}`;
  return [paint("head", head), ...rungs.flatMap((rung) => [paint(rung.kind, arrowLine(rung)), ...partLines(rung, paint)])];
}

/** Words filled into lines of at most `width` columns; longer words stand alone. */
export function fill(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

const plain: PaintRung = (_, text) => text;

function arrowLine({ at, from, kind, label, octets }: Rung): string {
  const stroke = kind === "esp" ? "=" : "-";
  const [begin, end] = from === "left" ? [stroke.repeat(2), `${stroke}>`] : [`<${stroke}`, stroke.repeat(2)];
  const size = `${octets} octets`;
  const middle = stroke.repeat(Math.max(2, INNER - begin.length - end.length - label.length - size.length - 4));
  return `${at.toFixed(1).padStart(GUTTER - 1)} |${begin} ${label} ${middle} ${size} ${end}|`;
}

const partLines = ({ parts }: Rung, paint: PaintRung): readonly string[] =>
  parts === "" ? [] : fill(parts, INNER - 6).map((line) => `${" ".repeat(GUTTER)}|${paint("parts", `   ${line}`.padEnd(INNER))}|`);
