/**
 * The terminal monitor's screen: a model to lines, exactly as many and as wide as the terminal has. Pure.
 */
import { octets } from "../format.ts";
import type { Line, Span } from "./cells.ts";
import { fit, paintLine } from "./cells.ts";
import { detailLines } from "./detail.ts";
import type { Model } from "./model.ts";
import { eventLine, headLines, helpLines, negotiationLines, statisticsLines } from "./parts.ts";
import { rowsOf } from "./rows.ts";
import { columnsFor, saLine, titleLine } from "./table.ts";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** `colours`: escapes for styles. `unicode`: bars of blocks instead of ASCII. */
export interface Look {
  readonly colours: boolean;
  readonly unicode: boolean;
}

/** The whole screen. */
export function screen(model: Model, size: Size, look: Look): readonly string[] {
  const { columns, rows } = size;
  const head = headLines(model, columns);
  const foot = footLine(model);
  const room = Math.max(0, rows - head.length - 1);
  const body = bodyOf(model, columns, room, look).slice(0, room);
  const filled = [...head, ...body, ...Array.from({ length: room - body.length }, (): Line => []), foot];
  return filled.slice(0, rows).map((line) => paintLine(line, columns, look.colours));
}

function bodyOf(model: Model, columns: number, room: number, look: Look): readonly Line[] {
  switch (model.page) {
    case "help":
      return helpLines();
    case "events":
      return scrolled(
        [...model.events].reverse().flatMap((event) => eventLine(event, columns, true)),
        model.scroll,
        room,
      );
    case "statistics":
      return scrolled(statisticsLines(model), model.scroll, room);
    case "sas":
      return model.detail ? detailLines(model, columns, look) : mainPage(model, columns, room, look);
  }
}

const scrolled = (lines: readonly Line[], scroll: number, room: number): readonly Line[] =>
  lines.slice(Math.min(scroll, Math.max(0, lines.length - room)));

/** SAs, then negotiations in flight, then the last events; each gets its share, and what one does not need the others have. */
function mainPage(model: Model, columns: number, room: number, look: Look): readonly Line[] {
  const rows = rowsOf(model);
  const negotiations = negotiationLines(model);
  const forNegotiations = negotiations.length === 0 ? 0 : Math.min(negotiations.length, Math.max(1, Math.floor(room / 5))) + 1;
  const leastEvents = Math.min(room >= 14 ? 5 : 3, model.events.length + 1);
  const forSas = Math.min(rows.length + 1, Math.max(2, room - forNegotiations - leastEvents));
  const forEvents = Math.max(0, room - forSas - forNegotiations - 1);
  const table = columnsFor(columns);
  const selected = Math.max(
    0,
    rows.findIndex(({ key }) => key === model.selected),
  );
  const visible = Math.max(1, forSas - 1);
  const first = Math.min(Math.max(0, rows.length - visible), Math.max(0, selected - Math.floor(visible / 2)));
  const sas = rows.slice(first, first + visible).map((row, i): Line => saLine(model, row, table, look, first + i === selected));
  const hidden = rows.length - sas.length;
  return [
    titleLine(table, hidden > 0 ? `${hidden} more` : ""),
    ...(rows.length === 0 ? [dim(model.filter === "" ? "  no SAs" : "  no SA matches the filter")] : sas),
    ...(forNegotiations > 0 ? [section("IN FLIGHT", columns), ...negotiations.slice(0, forNegotiations - 1)] : []),
    section("EVENTS", columns),
    ...model.events.slice(-forEvents).flatMap((event) => eventLine(event, columns, false)),
  ];
}

const dim = (text: string): Line => [{ text, style: "dim" }];
const section = (title: string, columns: number): Line => [{ text: fit(title, columns), style: "bold" }];

function footLine(model: Model): Line {
  if (model.typing) return [{ text: ` filter: ${model.filter}_   (enter: keep it, escape: without) `, style: "inverse" }];
  const keys: readonly Span[] = [
    { text: " q quit  tab page  / filter  s sort:", style: "inverse" },
    { text: `${model.sort}  `, style: "inverse" },
    { text: model.detail ? "enter back  " : "enter details  ", style: "inverse" },
    { text: `p ${model.paused ? "go on" : "pause"}  ? help `, style: "inverse" },
  ];
  return model.filter === "" ? keys : [...keys, { text: ` filter: ${model.filter}`, style: "yellow" }];
}

/** The same for a reader that is no terminal: what there is to say, once, without a width. */
export function plainText(model: Model): readonly string[] {
  const { snapshot } = model;
  if (!snapshot) return [];
  const table = columnsFor(120);
  const look = { colours: false, unicode: false };
  const text = (lines: readonly Line[]): readonly string[] => lines.map((line) => paintLine(line, 120, false).trimEnd());
  return [
    ...text(headLines(model, 120)),
    ...text([titleLine(table, ""), ...rowsOf(model).map((row) => saLine(model, row, table, look, false))]),
    ...text(negotiationLines(model)),
  ];
}

/** Octets a second, short: `1.2 MB/s`. */
export const perSecond = (rate: number): string => `${octets(rate)}/s`;
