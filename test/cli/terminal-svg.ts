/**
 * A terminal's screen as a picture: what `tmux capture-pane -e` prints, drawn as SVG in the reader's light or dark scheme. Every cell has its place,
 * whatever font draws it; blocks are drawn, since fonts leave gaps between them.
 */
import { escapeXml } from "../../isakmp/ladder-svg.ts";

export interface Screen {
  readonly title: string;
  readonly columns: number;
  /** Lines with escapes that change style (SGR) and no others. */
  readonly lines: readonly string[];
}

interface Look {
  readonly colour: string;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly inverse: boolean;
}

interface Piece extends Look {
  readonly text: string;
  /** The column of its first cell. */
  readonly at: number;
}

const PLAIN: Look = { colour: "", bold: false, dim: false, inverse: false };
/** By the last digit of SGR 30 to 37 and 90 to 97. */
const COLOURS = ["k", "r", "g", "y", "b", "m", "c", "w"];
const [CELL, LINE, MARGIN] = [7.5, 17, 12];

/** The picture, beginning with `<svg`. Throws on an escape that it does not know. */
export function drawScreen({ title, columns, lines }: Screen): string {
  const [width, height] = [2 * MARGIN + columns * CELL, 2 * MARGIN + lines.length * LINE];
  let look = PLAIN;
  const drawn = lines.map((line, row) => {
    const read = piecesOf(line, look);
    look = read.look;
    return read.pieces.map((piece) => drawPiece(piece, MARGIN + row * LINE)).join("");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
<rect class="ground" width="${width}" height="${height}" rx="6"/>
${drawn.filter((line) => line !== "").join("\n")}
</svg>
`;
}

/** Characters on a terminal without their escapes. */
export const textOf = (line: string): string => line.replace(ESCAPE, "");

// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes begin with one
const ESCAPE = /\x1b\[([\d;]*)m/g;

function piecesOf(line: string, before: Look): { readonly pieces: readonly Piece[]; readonly look: Look } {
  const pieces: Piece[] = [];
  let [look, at] = [before, 0];
  // Text and the numbers of escapes take turns.
  for (const [i, part] of line.split(ESCAPE).entries()) {
    if (i % 2 === 1) look = part.split(";").reduce((now, code) => styled(now, Number(code)), look);
    else if (part !== "") {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left
      if (/[\x00-\x1f]/.test(part)) throw new Error(`not an escape of style: ${JSON.stringify(part)}`);
      pieces.push({ ...look, text: part, at });
      at += [...part].length;
    }
  }
  return { pieces, look };
}

function styled(look: Look, code: number): Look {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...look, bold: true };
  if (code === 2) return { ...look, dim: true };
  if (code === 7) return { ...look, inverse: true };
  if (code === 22) return { ...look, bold: false, dim: false };
  if (code === 27) return { ...look, inverse: false };
  if (code === 49) return look;
  if (code === 39) return { ...look, colour: "" };
  if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) return { ...look, colour: COLOURS[code % 10] ?? "" };
  throw new Error(`SGR ${code} is not known`);
}

function drawPiece({ text, at, colour, bold, dim, inverse }: Piece, top: number): string {
  const x = MARGIN + at * CELL;
  const classes = [colour, bold ? "bold" : "", dim ? "dim" : "", inverse ? "on" : ""].filter(Boolean).join(" ");
  const cells = [...text];
  const back = inverse ? `<rect class="${colour || "t"}" x="${x}" y="${top}" width="${cells.length * CELL}" height="${LINE}"/>` : "";
  // Words apart: a long run would drift in a font of another width.
  const words = [...text.matchAll(/[^ █░]+(?: [^ █░]+)*/gu)].map((match) => {
    const start = [...text.slice(0, match.index)].length;
    const length = [...match[0]].length;
    const name = classes === "" ? "" : ` class="${classes}"`;
    return `<text${name} x="${x + start * CELL}" y="${top + 13}" textLength="${length * CELL}" xml:space="preserve">${escapeXml(match[0])}</text>`;
  });
  const blocks = [...text.matchAll(/█+|░+/gu)].map((match) => {
    const start = [...text.slice(0, match.index)].length;
    const name = `${inverse ? "hole" : colour || "t"}${match[0].startsWith("░") ? " empty" : ""}`;
    return `<rect class="${name}" x="${x + start * CELL}" y="${top + 3}" width="${[...match[0]].length * CELL}" height="${LINE - 6}"/>`;
  });
  return back + words.join("") + blocks.join("");
}

/** Colours that stand out from the ground by 4.5 to 1 at least, in both schemes. */
const LIGHT = {
  ground: "#ffffff",
  t: "#1c2330",
  k: "#1c2330",
  r: "#b3261e",
  g: "#1a6b34",
  y: "#835600",
  b: "#1f5fbf",
  m: "#8a2f8a",
  c: "#0b6670",
  w: "#565f6e",
};
const DARK = {
  ground: "#14181f",
  t: "#e6eaf0",
  k: "#96a0b0",
  r: "#ff8f85",
  g: "#6fd08c",
  y: "#e8bb57",
  b: "#6ea8fe",
  m: "#e09be0",
  c: "#62ccd8",
  w: "#e6eaf0",
};
/** Both schemes, for a test of how well they can be read. */
export const SCHEMES = { LIGHT, DARK } as const;

const variables = (scheme: typeof LIGHT): string =>
  Object.entries(scheme)
    .map(([name, value]) => `--${name}:${value}`)
    .join(";");

const STYLE = [
  `:root{${variables(LIGHT)}}`,
  `@media(prefers-color-scheme:dark){:root{${variables(DARK)}}}`,
  "text{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--t)}",
  ".hole{fill:var(--ground)}.ground{fill:var(--ground);stroke:var(--w);stroke-opacity:.4}.bold{font-weight:700}text.dim{fill-opacity:.75}.empty{fill-opacity:.25}",
  ...Object.keys(LIGHT)
    .filter((name) => name !== "ground")
    .map((name) => `.${name}{fill:var(--${name})}`),
  "text.on{fill:var(--ground)}",
].join("");
