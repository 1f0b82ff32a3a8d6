/**
 * Everything about one SA, and the events about it.
 */
import { duration, octets } from "../format.ts";
import type { Line } from "./cells.ts";
import { fit } from "./cells.ts";
import type { Model } from "./model.ts";
import { eventLine } from "./parts.ts";
import { type Child, type Ike, type Row, rowsOf } from "./rows.ts";
import type { Look } from "./screen.ts";
import { columnsFor, saLine, titleLine } from "./table.ts";

const EVENTS = 100;

/** Lines about the chosen SA; those about none where it is gone. */
export function detailLines(model: Model, columns: number, look: Look): readonly Line[] {
  const row = rowsOf(model).find(({ key }) => key === model.selected);
  if (!row) return [[{ text: `  ${model.selected ?? "the SA"} is gone`, style: "yellow" }]];
  const table = columnsFor(columns);
  const facts = row.kind === "ike" ? ikeFacts(row.sa) : childFacts(row.sa, model);
  const events = model.events.filter((event) => isAbout(event, row)).slice(-EVENTS);
  return [
    titleLine(table, ""),
    saLine(model, row, table, look, false),
    ...facts.map(([name, value]): Line => [{ text: `  ${fit(name, 15)}`, style: "bold" }, { text: value }]),
    [{ text: "EVENTS ABOUT IT", style: "bold" }],
    ...events.flatMap((event) => eventLine(event, columns, false)),
  ];
}

const isAbout = (event: Model["events"][number], { kind, sa }: Row): boolean =>
  kind === "ike" ? event.ike === sa.id || event.initiatorCookie === sa.initiatorCookie : event.child === sa.id;

type Fact = readonly [name: string, value: string];

const ikeFacts = (sa: Ike): readonly Fact[] => [
  ["local", `${sa.local}${sa.localId === null ? "" : `  ${sa.localId}`}`],
  ["remote", `${sa.remote}${sa.remoteId === null ? "" : `  ${sa.remoteId}`}`],
  ["role", `${sa.role}, NAT: ${sa.nat}`],
  ["authentication", sa.auth],
  ["algorithms", sa.encryption === null ? "-" : `${sa.encryption} ${sa.hash} ${sa.group}`],
  ["cookies", `${sa.initiatorCookie} ${sa.responderCookie}`],
  ["lifetime", sa.secondsLeft === null ? "-" : `${duration(sa.secondsLeft)} of ${duration(sa.lifetimeSeconds ?? 0)} left`],
  ["Quick Modes", String(sa.quickModes)],
];

function childFacts(sa: Child, { rates }: Model): readonly Fact[] {
  const rate = rates.get(sa.id);
  const port = (number: number | null): string => (number === null ? "" : `:${number}`);
  return [
    ["selector", `${sa.local}${port(sa.localPort)} - ${sa.remote}${port(sa.remotePort)}, ${sa.protocol}`],
    ["mode", sa.tunnel === null ? sa.mode : `${sa.mode} ${sa.tunnel.local} = ${sa.tunnel.remote}`],
    ...sa.protections.map(
      ({ protocol, encryption, integrity, spiIn, spiOut }): Fact => [
        protocol,
        `${[encryption, integrity].filter((name) => name !== null).join(" ")}, spi ${spiIn} in, ${spiOut} out`,
      ],
    ),
    ["PFS", sa.group ?? "none"],
    ["octets", `${octets(sa.bytesIn)} in, ${octets(sa.bytesOut)} out${rate ? `; ${octets(rate.in)}/s in, ${octets(rate.out)}/s out` : ""}`],
    ["lifetime", sa.secondsLeft === null ? "-" : `${duration(sa.secondsLeft)} of ${duration(sa.lifetimeSeconds ?? 0)} left`],
    ["volume", sa.lifetimeKilobytes === null ? "no limit" : octets(sa.lifetimeKilobytes * 1000)],
    ["renewals", String(sa.rekeys)],
    ...(sa.warning === null ? [] : [["warning", sa.warning] as const]),
  ];
}
