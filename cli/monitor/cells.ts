/**
 * Text on a screen of fixed width: how many cells it takes, and how to make it take exactly so many.
 * Invariant: nothing that moves the cursor gets through, and no line is ever wider than it was asked to be.
 */
import { styleText } from "node:util";
import { type Style, safe } from "../format.ts";

/** A piece of a line in one style. */
export interface Span {
  readonly text: string;
  readonly style?: Style;
}

export type Line = readonly Span[];

/** Cells of a text on a terminal: two for the wide letters of East Asia and for pictographs, none for marks that join others. */
export function cells(text: string): number {
  let count = 0;
  for (const character of text) count += cellsOf(character);
  return count;
}

function cellsOf(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(character)) return 0;
  const wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3);
  const wider = (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60);
  return wide || wider || (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd) ? 2 : 1;
}

/** `text` in exactly `width` cells: filled up with blanks, or cut with a mark. */
export function fit(text: string, width: number, align: "left" | "right" = "left", mark = "~"): string {
  const plain = safe(text);
  const taken = cells(plain);
  if (taken <= width) return align === "left" ? plain + " ".repeat(width - taken) : " ".repeat(width - taken) + plain;
  if (width <= 0) return "";
  let [cut, count] = ["", 0];
  for (const character of plain) {
    if (count + cellsOf(character) > width - 1) break;
    cut += character;
    count += cellsOf(character);
  }
  return `${cut}${mark}${" ".repeat(width - count - 1)}`;
}

/** A line in exactly `width` cells, with its colours where they are wanted. */
export function paintLine(line: Line, width: number, colours: boolean): string {
  let left = width;
  let out = "";
  for (const { text, style } of line) {
    if (left <= 0) break;
    const plain = safe(text);
    const piece = fit(plain, Math.min(cells(plain), left));
    left -= cells(piece);
    out += style && colours ? styleText(style, piece, { validateStream: false }) : piece;
  }
  return out + " ".repeat(Math.max(0, left));
}
