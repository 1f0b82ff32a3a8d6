/**
 * A negotiation as a picture: two ends, and what went between them, as one self-contained SVG that follows the reader's light or dark scheme.
 * Everything a peer chose is text: escaped, without control characters, cut to fit. No script, no reference to anything outside.
 */

/** One line of the ladder. `at`: milliseconds since the first. */
export interface LadderRung {
  readonly at: number;
  readonly kind: "message" | "repeat" | "note" | "failure";
  /** Of messages; notes stand in the middle. */
  readonly from: "left" | "right";
  readonly label: string;
  /** What stands at the arrow's end: octets, or nothing. */
  readonly size: string;
  /** What is in it, a line each. */
  readonly parts: readonly string[];
}

export interface Ladder {
  readonly title: string;
  readonly left: string;
  readonly right: string;
  readonly rungs: readonly LadderRung[];
}

const [WIDTH, LEFT, RIGHT, TOP] = [860, 92, 768, 74];
const LINE = 15;
/** Characters that fit between the two lines, and parts that are drawn of one message. */
const FITS = 96;
const MOST_PARTS = 18;
const MOST_PIECES = 3;
const MOST_RUNGS = 200;

/** The picture as text, beginning with `<svg`. */
export function drawSvg({ title, left, right, rungs }: Ladder): string {
  const drawn = rungs.slice(0, MOST_RUNGS);
  const out: string[] = [];
  let y = TOP;
  for (const rung of drawn) {
    const partLines = partsOf(rung);
    out.push(rung.kind === "note" || rung.kind === "failure" ? noteAt(rung, y) : arrowAt(rung, y));
    partLines.forEach((text, i) => {
      out.push(`<text class="part" x="${LEFT + 14}" y="${y + 16 + i * LINE}">${escapeXml(text)}</text>`);
    });
    y += 34 + partLines.length * LINE;
  }
  if (rungs.length > drawn.length)
    out.push(`<text class="note" x="${(LEFT + RIGHT) / 2}" y="${y}">${rungs.length - drawn.length} more</text>`);
  const height = y + 24;
  const head = (x: number, text: string): string =>
    `<text class="end" x="${x}" y="34">${escapeXml(text.slice(0, 45))}</text><line class="life" x1="${x}" y1="44" x2="${x}" y2="${height - 14}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
<rect class="ground" width="${WIDTH}" height="${height}"/>
${head(LEFT, left)}${head(RIGHT, right)}
${out.join("\n")}
</svg>
`;
}

/** Text as XML has it; control characters, which XML does not, and what turns the direction of text become a middle dot. */
export const escapeXml = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffe\uffff]/gu, "·").replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function partsOf({ parts }: LadderRung): readonly string[] {
  const lines = parts.slice(0, MOST_PARTS).flatMap(wrapped);
  return parts.length > MOST_PARTS ? [...lines, `… ${parts.length - MOST_PARTS} more lines`] : lines;
}

/** A line in pieces that fit, further ones indented; blanks in front are kept, and what takes too many pieces is cut. */
function wrapped(text: string): readonly string[] {
  const indent = /^ */.exec(text)?.[0].length ?? 0;
  const lines: string[] = [];
  let rest = text.slice(0, FITS * MOST_PIECES).trimStart();
  if (rest === "") return [""];
  for (let room = FITS - indent; rest !== ""; room = FITS - indent - 2) {
    const at = rest.length <= room ? rest.length : Math.max(rest.lastIndexOf(" ", room), 0) || room;
    lines.push(`${"\u00a0".repeat(lines.length === 0 ? indent : indent + 2)}${rest.slice(0, at)}`);
    rest = rest.slice(at).trimStart();
  }
  return lines.slice(0, MOST_PIECES);
}

const timeAt = (at: number, y: number): string => `<text class="time" x="${LEFT - 34}" y="${y + 4}">${at.toFixed(1)}</text>`;

function arrowAt({ at, from, kind, label, size }: LadderRung, y: number): string {
  const [begin, end] = from === "left" ? [LEFT, RIGHT] : [RIGHT, LEFT];
  const back = from === "left" ? -9 : 9;
  const head = `M${end} ${y}l${back} -5v10z`;
  return `${timeAt(at, y)}<line class="${kind}" x1="${begin}" y1="${y}" x2="${end + back}" y2="${y}"/><path class="head" d="${head}"/><text class="label" x="${LEFT + 14}" y="${y - 6}">${escapeXml(label)}</text><text class="size" x="${RIGHT - 14}" y="${y - 6}">${escapeXml(size)}</text>`;
}

function noteAt({ at, kind, label }: LadderRung, y: number): string {
  const text = label.length > FITS ? `${label.slice(0, FITS - 1)}…` : label;
  return `${timeAt(at, y)}<rect class="${kind}" x="${LEFT + 4}" y="${y - 12}" width="${RIGHT - LEFT - 8}" height="20" rx="4"/><text class="said" x="${LEFT + 14}" y="${y + 3}">${escapeXml(text)}</text>`;
}

const STYLE = [
  ":root{--g:#fff;--t:#1c2330;--f:#667085;--l:#b8c0cc;--a:#1f5fbf;--n:#f0f3f8;--x:#fbe4e2}",
  "@media(prefers-color-scheme:dark){:root{--g:#14181f;--t:#e6eaf0;--f:#96a0b0;--l:#4a5566;--a:#6ea8fe;--n:#202733;--x:#4a2323}}",
  "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:var(--t)}",
  ".ground{fill:var(--g)}.life{stroke:var(--l);stroke-width:2}.end{font-weight:700;font-size:13px;text-anchor:middle}",
  ".time{fill:var(--f);font-size:11px;text-anchor:end}.label{font-weight:700}.size{fill:var(--f);text-anchor:end}.part{fill:var(--f);font-size:11px}",
  "line.message,line.repeat{stroke:var(--a);stroke-width:2}line.repeat{stroke-dasharray:5 4}.head{fill:var(--a)}",
  "rect.note{fill:var(--n)}rect.failure{fill:var(--x)}.said{font-size:11px}",
].join("");
