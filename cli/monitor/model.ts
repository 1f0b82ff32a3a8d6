/**
 * What the terminal monitor knows and shows: a value, and how updates of the daemon and keys change it. Pure: times come in from outside.
 */
import type { EventDocument, SnapshotDocument } from "../../daemon/control-protocol.ts";
import type { Update } from "../client.ts";

export type Page = "sas" | "events" | "statistics" | "help";
export type Sort = "id" | "rule" | "peer" | "left" | "rate";

export interface Model {
  readonly connection: "connecting" | "live" | "gone";
  readonly snapshot: SnapshotDocument | null;
  /** Octets a second of each child, by its id. */
  readonly rates: ReadonlyMap<number, Rate>;
  /** Oldest first. */
  readonly events: readonly EventDocument[];
  /** Records that did not reach us. */
  readonly lost: number;
  readonly page: Page;
  readonly sort: Sort;
  readonly filter: string;
  /** The filter is being typed. */
  readonly typing: boolean;
  /** A row of the SA table, by its key; null: the first. */
  readonly selected: string | null;
  readonly detail: boolean;
  /** What comes is kept back. */
  readonly paused: boolean;
  readonly scroll: number;
}

export interface Rate {
  readonly in: number;
  readonly out: number;
}

export const START: Model = {
  connection: "connecting",
  snapshot: null,
  rates: new Map(),
  events: [],
  lost: 0,
  page: "sas",
  sort: "id",
  filter: "",
  typing: false,
  selected: null,
  detail: false,
  paused: false,
  scroll: 0,
};

const KEPT_EVENTS = 500;

/** Takes what the daemon told. While paused the picture stands still; events are kept all the same. */
export function onUpdate(model: Model, update: Update): Model {
  switch (update.kind) {
    case "event":
      return update.level === "debug" ? model : { ...model, events: [...model.events, update].slice(-KEPT_EVENTS) };
    case "lost":
      return { ...model, lost: model.lost + update.count };
    case "snapshot":
      if (model.paused) return model;
      return { ...model, connection: "live", snapshot: update, rates: ratesOf(model.snapshot, update, model.rates) };
  }
}

/** Octets a second between two snapshots. Of pairs that both have; a counter that the kernel did not tell is none. */
function ratesOf(before: SnapshotDocument | null, now: SnapshotDocument, last: Model["rates"]): Model["rates"] {
  if (!before) return new Map();
  const seconds = (Date.parse(now.time) - Date.parse(before.time)) / 1000;
  if (!(seconds > 0)) return last;
  const old = new Map(before.status.childSas.map((child) => [child.id, child]));
  return new Map(
    now.status.childSas.flatMap((child) => {
      const was = old.get(child.id);
      const rate = (to: number, from: number): number => Math.max(0, to - from) / seconds;
      return was ? [[child.id, { in: rate(child.bytesIn, was.bytesIn), out: rate(child.bytesOut, was.bytesOut) }] as const] : [];
    }),
  );
}

const PAGES: readonly Page[] = ["sas", "events", "statistics"];
const SORTS: readonly Sort[] = ["id", "rule", "peer", "left", "rate"];

const after = <T>(all: readonly T[], one: T): T => all[(all.indexOf(one) + 1) % all.length] as T;

/** A key: a printable character, or a name such as "up", "enter", "escape". null: the user wants to go. `rows`: keys of the SA table's rows as shown. */
export function onKey(model: Model, key: string, rows: readonly string[]): Model | null {
  if (key === "ctrl-c") return null;
  if (model.typing) return onTyping(model, key);
  switch (key) {
    case "q":
      return null;
    case "escape":
      if (model.page === "help") return { ...model, page: "sas" };
      return model.detail ? { ...model, detail: false } : { ...model, filter: "" };
    case "tab":
      return { ...model, page: after(PAGES, model.page), detail: false, scroll: 0 };
    case "1":
    case "2":
    case "3":
      return { ...model, page: PAGES[Number(key) - 1] as Page, detail: false, scroll: 0 };
    case "?":
    case "h":
      return { ...model, page: model.page === "help" ? "sas" : "help" };
    case "s":
      return { ...model, sort: after(SORTS, model.sort) };
    case "p":
    case " ":
      return { ...model, paused: !model.paused };
    case "/":
      return { ...model, typing: true };
    case "enter":
      return rows.length === 0 || model.page !== "sas"
        ? model
        : { ...model, detail: !model.detail, selected: rows[at(model, rows)] ?? null };
  }
  return onMove(model, key, rows);
}

const STEPS: Readonly<Record<string, number>> = {
  ...{ up: -1, k: -1, down: 1, j: 1, "page-up": -10, "page-down": 10 },
  ...{ home: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY },
};

function onMove(model: Model, key: string, rows: readonly string[]): Model {
  const step = STEPS[key];
  if (step === undefined) return model;
  if (model.page !== "sas") return { ...model, scroll: Math.min(10_000, Math.max(0, model.scroll + step)) };
  const to = Math.min(rows.length - 1, Math.max(0, at(model, rows) + step));
  return { ...model, selected: rows[to] ?? null };
}

const at = (model: Model, rows: readonly string[]): number => Math.max(0, rows.indexOf(model.selected ?? ""));

function onTyping(model: Model, key: string): Model {
  if (key === "enter") return { ...model, typing: false };
  if (key === "escape") return { ...model, typing: false, filter: "" };
  if (key === "backspace") return { ...model, filter: [...model.filter].slice(0, -1).join("") };
  return [...key].length === 1 && model.filter.length < 60 ? { ...model, filter: model.filter + key, selected: null } : model;
}

/** The keys in what a terminal sent. Sequences that mean nothing to us are passed over. */
export function keysOf(input: string): readonly string[] {
  const keys: string[] = [];
  for (let rest = input; rest !== ""; ) {
    const [code, key] = SEQUENCES.find(([sequence]) => rest.startsWith(sequence)) ?? unknownKey(rest);
    if (key !== "") keys.push(key);
    rest = rest.slice(code.length);
  }
  return keys;
}

/** A printable character stands for itself; an escape alone is the key; of longer sequences the end is a letter or a tilde. */
function unknownKey(rest: string): readonly [code: string, key: string] {
  const first = String.fromCodePoint(rest.codePointAt(0) ?? 32);
  if (first !== ESCAPE) return [first, first >= " " ? first : ""];
  if (rest[1] !== "[" && rest[1] !== "O") return [first, "escape"];
  let end = 2;
  while (rest[1] === "[" && end < rest.length && !/[A-Za-z~]/.test(rest[end] ?? "")) end++;
  return [rest.slice(0, end + 1), ""];
}

const ESCAPE = "\x1b";

/** Longest first. */
const SEQUENCES: readonly (readonly [string, string])[] = [
  ["\x1b[5~", "page-up"],
  ["\x1b[6~", "page-down"],
  ["\x1b[1~", "home"],
  ["\x1b[4~", "end"],
  ["\x1b[A", "up"],
  ["\x1b[B", "down"],
  ["\x1bOA", "up"],
  ["\x1bOB", "down"],
  ["\x1b[H", "home"],
  ["\x1b[F", "end"],
  ["\r", "enter"],
  ["\n", "enter"],
  ["\t", "tab"],
  ["\x7f", "backspace"],
  ["\b", "backspace"],
  ["\x03", "ctrl-c"],
];
