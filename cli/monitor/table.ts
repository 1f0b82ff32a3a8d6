/**
 * One line of the SA table: who, in what state, how much time and volume is left as bars, and how fast it goes.
 */
import { octets } from "../format.ts";
import { fit, type Line, type Span } from "./cells.ts";
import type { Model } from "./model.ts";
import type { Child, Ike, Row } from "./rows.ts";
import type { Look } from "./screen.ts";

/** Widths of columns that grow with the screen. */
export interface Columns {
  readonly rule: number;
  readonly peer: number;
  readonly bar: number;
  /** Room for what an SA protects, and by what; 0 where there is none. */
  readonly about: number;
}

/** At 80 columns everything but `about` fits. */
export function columnsFor(columns: number): Columns {
  const spare = Math.max(0, columns - 80);
  const about = spare >= 40 ? Math.min(70, spare - 20) : 0;
  const rest = spare - (about > 0 ? about + 2 : 0) - (spare >= 60 ? 12 : 0);
  return {
    rule: 8 + Math.min(11, Math.floor(rest / 2)),
    peer: 15 + Math.min(12, Math.ceil(rest / 2)),
    bar: 6 + (spare >= 60 ? 6 : 0),
    about,
  };
}

/** The head of the table; `note` at its end. */
export function titleLine({ rule, peer, bar, about }: Columns, note: string): Line {
  const cells = [
    ...["  ID ".padEnd(6), fit("RULE", rule), fit("PEER", peer), fit("STATE", 6), fit("TIME LEFT", bar + 7), fit("VOLUME", bar + 5)],
    ...[fit("IN/s", 7, "right"), fit("OUT/s", 7, "right")],
    ...(about > 0 ? [` ${fit("WHAT", about)}`] : []),
  ];
  return [
    { text: cells.join(" "), style: "bold" },
    { text: note === "" ? "" : ` ${note}`, style: "dim" },
  ];
}

/** A row. */
export function saLine(model: Model, row: Row, columns: Columns, look: Look, selected: boolean): Line {
  const { sa } = row;
  const mark = selected ? ">" : " ";
  const id = row.kind === "ike" ? `${mark} ${sa.id}` : `${mark}   ${sa.id}`;
  const rate = row.kind === "child" ? model.rates.get(sa.id) : undefined;
  const left = fractionLeft(sa.secondsLeft, sa.lifetimeSeconds);
  const line: readonly Span[] = [
    { text: `${fit(id, 6)} ${fit(row.kind === "ike" ? sa.rule : `  ${sa.rule}`, columns.rule)} ${fit(peerOf(row), columns.peer)} ` },
    { text: fit(STATES[sa.state], 6), style: STYLES[sa.state] },
    { text: " " },
    { text: bar(left, columns.bar, look), style: styleLeft(left) },
    { text: fit(sa.secondsLeft === null ? "-" : shortTime(sa.secondsLeft), 7, "right") },
    { text: " " },
    ...volumeSpans(row, columns.bar, look),
    { text: ` ${fit(rate ? shortOctets(rate.in) : "", 7, "right")} ${fit(rate ? shortOctets(rate.out) : "", 7, "right")}` },
    ...(columns.about > 0 ? [{ text: `  ${fit(aboutOf(row), columns.about)}`, style: "dim" } as const] : []),
  ];
  return selected ? line.map(({ text }) => ({ text, style: "inverse" as const })) : line;
}

const STATES: Readonly<Record<Ike["state"] | Child["state"], string>> = {
  ...{ negotiating: "nego", established: "up", installed: "up", rekeying: "rekey", closing: "close", draining: "drain" },
};

const STYLES: Readonly<Record<Ike["state"] | Child["state"], NonNullable<Span["style"]>>> = {
  ...{ negotiating: "yellow", established: "green", installed: "green", rekeying: "yellow", closing: "dim", draining: "dim" },
};

/** Without IKE's usual port, which is in nobody's way. */
const peerOf = (row: Row): string => row.sa.remote.replace(/:500$/, "").replace(/\/32$|\/128$/, "");

const aboutOf = (row: Row): string =>
  row.kind === "ike"
    ? `${row.sa.remoteId ?? row.sa.role} ${row.sa.auth}${row.sa.encryption === null ? "" : ` ${row.sa.encryption}-${row.sa.hash}-${row.sa.group}`}`
    : `${row.sa.mode === "tunnel" ? "tunnel " : ""}${row.sa.local} - ${row.sa.remote} ${row.sa.protocol} ${row.sa.protections.map(protection).join("+")}`;

const protection = ({ protocol, encryption, integrity }: Child["protections"][number]): string =>
  `${protocol}:${[encryption, integrity].filter((name) => name !== null).join("-")}`;

const fractionLeft = (left: number | null, all: number | null): number | null =>
  left === null || !all ? null : Math.min(1, Math.max(0, left / all));

function volumeSpans(row: Row, width: number, look: Look): readonly Span[] {
  if (row.kind === "ike" || row.sa.lifetimeKilobytes === null) return [{ text: fit(row.kind === "ike" ? "" : "no limit", width + 5) }];
  const used = Math.max(row.sa.bytesIn, row.sa.bytesOut);
  const left = 1 - Math.min(1, used / (row.sa.lifetimeKilobytes * 1000));
  return [{ text: bar(left, width, look), style: styleLeft(left) }, { text: fit(`${Math.floor(left * 100)}%`, 5, "right") }];
}

/** A bar of what is left; blank where nothing is known. */
function bar(left: number | null, width: number, { unicode }: Look): string {
  if (left === null) return " ".repeat(width);
  const full = left > 0 ? Math.max(1, Math.round(left * width)) : 0;
  return (unicode ? "█" : "#").repeat(full) + (unicode ? "░" : "-").repeat(width - full);
}

const styleLeft = (left: number | null): NonNullable<Span["style"]> =>
  left === null || left > 0.25 ? "green" : left > 0.1 ? "yellow" : "red";

/** `59s`, `12m05s`, `7h59m`, `3d04h`: seven cells at most. */
export function shortTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d${two(Math.floor((whole % 86_400) / 3600))}h`;
}

const shortOctets = (rate: number): string => octets(rate).replace(" ", "");
