/**
 * Text for terminals: columns, colours where somebody can see them, and nothing that could move a cursor.
 */
import { styleText } from "node:util";

/** A column: its title, and which side its cells lean to. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "left" | "right";
  /** Colour of a cell; used on terminals only. */
  readonly style?: (row: Row) => Style | undefined;
}

export type Style = "green" | "yellow" | "red" | "dim" | "bold" | "inverse";

/** Lines of a table, titles first, two blanks between columns and none at the end of a line. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], colours: boolean): readonly string[] {
  const cells = rows.map((row) => columns.map((column) => safe(column.cell(row))));
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const pad = (text: string, i: number): string => {
    if (columns[i]?.align === "right") return text.padStart(widths[i] ?? 0);
    return i === columns.length - 1 ? text : text.padEnd(widths[i] ?? 0);
  };
  const line = (texts: readonly string[]): string => texts.join("  ").trimEnd();
  const paint = (text: string, style: Style | undefined): string =>
    colours && style ? styleText(style, text, { validateStream: false }) : text;
  return [
    paint(line(columns.map(({ title }, i) => pad(title, i))), "bold"),
    ...rows.map((row, at) => line(columns.map((column, i) => paint(pad(cells[at]?.[i] ?? "", i), column.style?.(row))))),
  ];
}

/** Whether a stream is a terminal that wants colours (https://no-color.org). */
export const wantsColours = (stream: NodeJS.WriteStream): boolean => stream.isTTY === true && !process.env["NO_COLOR"];

/** Text of the daemon's or a peer's on one line, without control characters. */
export const safe = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");

/** `48 s`, `7 min 5 s`, `8 h 0 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `192 B`, `1.5 kB`, `100 MB`: powers of 1000, as IKE counts. */
export function octets(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}
