/**
 * The views that follow the daemon: SAs, negotiations in flight, statistics, events. Each draws what is known now.
 */
import { type Column, duration, element, leftBar, octets, sparkline, tableOf } from "./dom.ts";
import type { ChildSa, Flight, HistorySample, IkeSa, LogEvent, Snapshot, WindowsStatistic } from "./types.ts";

/** Everything that views draw from, and what they may ask for. */
export interface Page {
  readonly snapshot: Snapshot | null;
  readonly history: readonly HistorySample[];
  /** The newest first. */
  readonly events: readonly LogEvent[];
  readonly filter: string;
  readonly redraw: () => void;
  /** Shows the negotiation of an initiator cookie. */
  readonly openCookie: (cookie: string) => void;
}

const GOOD: ReadonlySet<string> = new Set(["established", "installed"]);
const BAD: ReadonlySet<string> = new Set(["failed", "closing", "error"]);

/** A state in its colour. */
export const stateText = (state: string): HTMLElement =>
  element("span", { class: GOOD.has(state) ? "good" : BAD.has(state) ? "bad" : "warn" }, state);

/** Tiles with small charts, what is in flight, and the last events. */
export function overview(page: Page): readonly Node[] {
  const { snapshot, history } = page;
  const { ikeSas = [], childSas = [] } = snapshot?.status ?? {};
  const now = history.at(-1);
  const tile = (title: string, value: string, series: (sample: HistorySample) => number): HTMLElement =>
    element(
      "div",
      { class: "card tile" },
      element("b", {}, value),
      element("span", {}, title),
      sparkline(history.map(series), `${title} over the last minutes`),
    );
  return [
    element(
      "div",
      { class: "tiles" },
      tile("Main Mode SAs", String(ikeSas.filter(({ state }) => state !== "negotiating").length), (s) => s.ikeSas),
      tile("Quick Mode SAs", String(childSas.filter(({ state }) => state !== "negotiating").length), (s) => s.childSas),
      tile("negotiations in flight", String(snapshot?.live.negotiations.length ?? 0), (s) => s.inFlight),
      tile("failures in 5 s", String(now?.failures ?? 0), (s) => s.failures),
      tile("through the SAs", `${octets(now?.octetsPerSecond ?? 0)}/s`, (s) => s.octetsPerSecond),
    ),
    element("h2", {}, "In flight"),
    tableOf(
      {
        name: "flight",
        columns: FLIGHT,
        rows: snapshot?.live.negotiations ?? [],
        empty: "nothing",
        onOpen: (f) => page.openCookie(f.initiatorCookie),
      },
      page.redraw,
    ),
    element("h2", {}, "Last events"),
    eventTable(page, page.events.slice(0, 12)),
  ];
}

const FLIGHT: readonly Column<Flight>[] = [
  { title: "Peer", cell: ({ peer }) => peer, order: ({ peer }) => peer },
  { title: "Rule", cell: ({ rule }) => rule },
  { title: "Exchange", cell: ({ kind }) => (kind === "main-mode" ? "Main Mode" : "Quick Mode") },
  { title: "Role", cell: ({ role }) => role },
  { title: "Step", cell: ({ step }) => leftBar(`${step.message}/${step.of} ${step.text}`, step.message, step.of) },
  { title: "Since", cell: ({ seconds }) => duration(seconds), kind: "number", order: ({ seconds }) => seconds },
  { title: "Repeats", cell: ({ repeats }) => String(repeats), kind: "number" },
  { title: "Trouble", cell: ({ trouble }) => trouble ?? "", kind: "wrap" },
];

/** Security associations of Main Mode, with the columns of IP Security Monitor and some more. */
export function mainModeSas(page: Page): readonly Node[] {
  const rows = filtered(page.snapshot?.status.ikeSas ?? [], page.filter);
  return [
    tableOf(
      { name: "ike", columns: IKE, rows, empty: "no Main Mode SA", onOpen: (sa) => page.openCookie(sa.initiatorCookie) },
      page.redraw,
    ),
  ];
}

const IKE: readonly Column<IkeSa>[] = [
  { title: "Me", cell: ({ local }) => local, order: ({ local }) => local },
  { title: "Peer", cell: ({ remote }) => remote, order: ({ remote }) => remote },
  { title: "Identity", cell: ({ remoteId }) => remoteId ?? "", order: ({ remoteId }) => remoteId ?? "" },
  { title: "State", cell: ({ state }) => stateText(state), order: ({ state }) => state },
  { title: "Role", cell: ({ role }) => role, order: ({ role }) => role },
  { title: "Authentication", cell: ({ auth }) => auth, order: ({ auth }) => auth },
  { title: "Encryption", cell: ({ encryption }) => encryption ?? "" },
  { title: "Integrity", cell: ({ hash }) => hash ?? "" },
  { title: "Diffie-Hellman", cell: ({ group }) => group ?? "" },
  { title: "Quick Modes", cell: ({ quickModes }) => String(quickModes), kind: "number", order: ({ quickModes }) => quickModes },
  {
    title: "Left",
    cell: (sa) => leftBar(duration(sa.secondsLeft), sa.secondsLeft, sa.lifetimeSeconds),
    order: ({ secondsLeft }) => secondsLeft ?? 0,
  },
  { title: "NAT", cell: ({ nat }) => nat },
  { title: "Rule", cell: ({ rule }) => rule, order: ({ rule }) => rule },
  { title: "Cookie", cell: ({ initiatorCookie }) => element("code", {}, initiatorCookie) },
];

/** Security associations of Quick Mode. */
export function quickModeSas(page: Page): readonly Node[] {
  const rows = filtered(page.snapshot?.status.childSas ?? [], page.filter);
  const cookies = new Map(page.snapshot?.status.ikeSas.map(({ id, initiatorCookie }) => [id, initiatorCookie]));
  const onOpen = ({ ike }: ChildSa): void => page.openCookie(cookies.get(ike ?? -1) ?? "");
  return [tableOf({ name: "child", columns: CHILD, rows, empty: "no Quick Mode SA", onOpen }, page.redraw)];
}

const port = (number: number | null): string => (number === null ? "any" : String(number));
const joined = (child: ChildSa, part: (p: ChildSa["protections"][number]) => string | null): string =>
  child.protections.map((protection) => part(protection) ?? "-").join(" + ");

const CHILD: readonly Column<ChildSa>[] = [
  { title: "Me", cell: ({ local }) => local, order: ({ local }) => local },
  { title: "Peer", cell: ({ remote }) => remote, order: ({ remote }) => remote },
  { title: "Protocol", cell: ({ protocol }) => protocol },
  { title: "My port", cell: ({ localPort }) => port(localPort) },
  { title: "Peer port", cell: ({ remotePort }) => port(remotePort) },
  { title: "State", cell: ({ state }) => stateText(state), order: ({ state }) => state },
  { title: "Mode", cell: ({ mode, tunnel }) => (tunnel ? `${mode} ${tunnel.local} = ${tunnel.remote}` : mode) },
  { title: "AH / ESP", cell: (child) => joined(child, ({ protocol }) => protocol.toUpperCase()) },
  { title: "Confidentiality", cell: (child) => joined(child, ({ encryption }) => encryption) },
  { title: "Integrity", cell: (child) => joined(child, ({ integrity }) => integrity) },
  { title: "PFS", cell: ({ group }) => group ?? "none" },
  { title: "In", cell: ({ bytesIn }) => octets(bytesIn), kind: "number", order: ({ bytesIn }) => bytesIn },
  { title: "Out", cell: ({ bytesOut }) => octets(bytesOut), kind: "number", order: ({ bytesOut }) => bytesOut },
  {
    title: "Left",
    cell: (c) => leftBar(duration(c.secondsLeft), c.secondsLeft, c.lifetimeSeconds),
    order: ({ secondsLeft }) => secondsLeft ?? 0,
  },
  { title: "Rekeys", cell: ({ rekeys }) => String(rekeys), kind: "number", order: ({ rekeys }) => rekeys },
  { title: "Rule", cell: ({ rule }) => rule, order: ({ rule }) => rule },
  {
    title: "SPI in",
    cell: (child) =>
      element(
        "code",
        {},
        joined(child, ({ spiIn }) => spiIn),
      ),
  },
  {
    title: "SPI out",
    cell: (child) =>
      element(
        "code",
        {},
        joined(child, ({ spiOut }) => spiOut),
      ),
  },
];

const PAGES: readonly (readonly [string, string])[] = [
  ["main-mode", "Main Mode"],
  ["quick-mode", "Quick Mode"],
  ["filtering-platform", "Filtering platform"],
];

/** The statistics under Windows' names, and all metrics under ours. */
export function statistics(page: Page): readonly Node[] {
  const stats = page.snapshot?.stats;
  if (!stats) return [element("p", { class: "faint" }, "not known yet")];
  const windows = PAGES.flatMap(([name, title]) => {
    const rows = filtered(
      stats.windows.filter((row) => row.page === name),
      page.filter,
    );
    return [element("h2", {}, title), tableOf({ name, columns: WINDOWS, rows, empty: "nothing" }, page.redraw)];
  });
  const samples = stats.metrics.flatMap(({ name, help, samples }) =>
    (samples ?? []).map(({ labels, value }) => ({
      name,
      help,
      labels: Object.entries(labels)
        .map(([k, v]) => `${k}=${v}`)
        .join(" "),
      value,
    })),
  );
  const metrics = tableOf({ name: "metrics", columns: METRICS, rows: filtered(samples, page.filter), empty: "nothing" }, page.redraw);
  return [element("p", { class: "faint" }, `since ${stats.since}`), ...windows, element("h2", {}, "Metrics"), metrics];
}

const WINDOWS: readonly Column<WindowsStatistic>[] = [
  { title: "Statistic", cell: ({ name }) => name, order: ({ name }) => name },
  { title: "Value", cell: ({ value }) => (value === null ? "n/a" : String(value)), kind: "number", order: ({ value }) => value ?? -1 },
];

const METRICS: readonly Column<{ readonly name: string; readonly help: string; readonly labels: string; readonly value: number }>[] = [
  { title: "Metric", cell: ({ name }) => element("code", {}, name), order: ({ name }) => name },
  { title: "Labels", cell: ({ labels }) => labels },
  { title: "Value", cell: ({ value }) => String(value), kind: "number", order: ({ value }) => value },
  { title: "Meaning", cell: ({ help }) => help, kind: "wrap" },
];

/** Records of the log as they come. */
export const events = (page: Page): readonly Node[] => [eventTable(page, filtered(page.events, page.filter))];

function eventTable(page: Page, rows: readonly LogEvent[]): HTMLElement {
  const onOpen = ({ initiatorCookie }: LogEvent): void => page.openCookie(initiatorCookie ?? "");
  return tableOf({ name: "events", columns: EVENTS, rows, empty: "nothing yet", onOpen }, page.redraw);
}

const LEVELS: Readonly<Record<string, string>> = { error: "bad", warning: "warn" };

const EVENTS: readonly Column<LogEvent>[] = [
  { title: "Time", cell: ({ time }) => new Date(time).toLocaleTimeString() },
  { title: "Event", cell: ({ event, level }) => element("span", { class: LEVELS[level] ?? "" }, event) },
  { title: "Windows", cell: ({ winEventId }) => (winEventId === undefined ? "" : String(winEventId)), kind: "number" },
  { title: "Peer", cell: ({ peer }) => peer ?? "" },
  { title: "What happened", cell: ({ text, hint }) => (hint === undefined ? text : `${text} (${hint})`), kind: "wrap" },
];

/** Rows any of whose values has the text. */
export function filtered<Row extends object>(rows: readonly Row[], text: string): readonly Row[] {
  const wanted = text.trim().toLowerCase();
  return wanted === "" ? rows : rows.filter((row) => JSON.stringify(Object.values(row)).toLowerCase().includes(wanted));
}
