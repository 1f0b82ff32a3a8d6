/**
 * What the demo writes: 80 columns, colours only where somebody can see them.
 */
import { styleText } from "node:util";

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan";

export interface Screen {
  /** A numbered step. */
  step(title: string): void;
  /** Lines, indented by two. Text longer than a line is broken between words. */
  say(...lines: readonly string[]): void;
  /** Lines as they are. */
  show(lines: readonly string[]): void;
  paint(style: Style, text: string): string;
}

export const WIDTH = 80;
const INDENT = "  ";

export function createScreen(write: (text: string) => void, colours: boolean): Screen {
  let steps = 0;
  const paint = (style: Style, text: string): string => (colours ? styleText(style, text, { validateStream: false }) : text);
  const show = (lines: readonly string[]): void => write(lines.map((line) => `${line.trimEnd()}\n`).join(""));
  return {
    step: (title) => show(["", paint("bold", `${++steps}. ${title}`)]),
    say: (...lines) => show(lines.flatMap((line) => wrap(line, WIDTH - INDENT.length)).map((line) => INDENT + line)),
    show,
    paint,
  };
}

/** Breaks a line between words; continued lines are indented by two more. Words that are too long stay whole. */
export function wrap(text: string, width: number): readonly string[] {
  const lead = /^ */.exec(text)?.[0] ?? "";
  const lines: string[] = [];
  let line = lead;
  let empty = true;
  for (const word of text.trim().split(/ (?! )/)) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `${lead}  `;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

/** Columns two blanks apart, each as wide as its widest cell. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
