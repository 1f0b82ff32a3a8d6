/**
 * The other parts of the terminal monitor: head, negotiations in flight, events, statistics, help.
 */
import type { EventDocument } from "../../daemon/control-protocol.ts";
import { octets } from "../format.ts";
import { cells, fit, type Line, type Span } from "./cells.ts";
import type { Model } from "./model.ts";
import { shortTime } from "./table.ts";

/** What is seen at one glance: connection, numbers, rates; tunnels that should be up and are not; totals. */
export function headLines(model: Model, columns: number): readonly Line[] {
  const { snapshot, rates, connection, paused } = model;
  const clock = snapshot ? `${snapshot.time.slice(11, 19)} UTC` : "";
  const state: Span = paused
    ? { text: " PAUSED ", style: "yellow" }
    : connection === "live"
      ? { text: " live ", style: "green" }
      : { text: connection === "gone" ? " daemon gone, trying again " : " connecting ", style: "red" };
  if (!snapshot) return [[{ text: "mainmode", style: "bold" }, state]];
  const { status, live } = snapshot;
  const rate = [...rates.values()].reduce((sum, one) => ({ in: sum.in + one.in, out: sum.out + one.out }), { in: 0, out: 0 });
  const ikes = status.ikeSas.filter((ike) => ike.state !== "negotiating").length;
  const counts = `${ikes} IKE, ${status.childSas.length} child, ${live.negotiations.length} in flight`;
  const text = ` ${counts}  in ${octets(rate.in)}/s  out ${octets(rate.out)}/s`;
  const first: Line = [
    { text: "mainmode", style: "bold" },
    state,
    { text: fit(text, Math.max(0, columns - 8 - cells(state.text) - clock.length)) },
    { text: clock },
  ];
  const down = live.rules.filter(({ wanted, up }) => wanted && !up).map(({ rule }) => rule);
  return [
    first,
    totalsLine(model),
    ...(down.length > 0 ? [[{ text: `DOWN, but should be up: ${down.join(", ")}`, style: "red" }] as Line] : []),
    ...(status.policiesUnknown
      ? [[{ text: `NOT KNOWN whether the policies stand: ${status.policiesUnknown.reason}`, style: "red" }] as Line]
      : []),
    ...(status.refusedPolicies.length > 0
      ? [[{ text: `NOT IN THE KERNEL: ${status.refusedPolicies.length} policies; see status`, style: "red" }] as Line]
      : []),
    ...(status.softSas.length > 0
      ? [[{ text: `IN CLEAR: ${status.softSas.length} peers that speak no IKE`, style: "yellow" }] as Line]
      : []),
  ];
}

/** Totals that tell whether all is well. */
function totalsLine({ snapshot }: Model): Line {
  const sum = (name: string, where: Readonly<Record<string, string>> = {}): number | null => {
    const samples = snapshot?.stats.metrics.find((metric) => metric.name === `mainmode_${name}`)?.samples;
    if (!samples) return null;
    return samples
      .filter(({ labels }) => Object.entries(where).every(([key, value]) => labels[key] === value))
      .reduce((all, { value }) => all + value, 0);
  };
  const bad = (text: string, value: number | null): Span => ({
    text: `${text} ${value ?? "n/a"}  `,
    ...(value ? { style: "yellow" as const } : {}),
  });
  const good = (text: string, value: number | null): Span => ({ text: `${text} ${value ?? "n/a"}  ` });
  return [
    good("main", sum("ike_sa_established_total")),
    good("quick", sum("child_sa_established_total")),
    good("rekeys", sum("child_sa_rekeys_total")),
    bad("failed", sum("negotiation_failures_total")),
    bad("auth", sum("authentication_failures_total")),
    bad("spi", sum("kernel_drops_total", { reason: "bad_spi" })),
    bad("icv", sum("kernel_drops_total", { reason: "auth_or_decrypt" })),
    bad("replay", sum("kernel_drops_total", { reason: "replay" })),
  ];
}

/** One line for each: at which step it is, for how long, and what stands in its way. */
export function negotiationLines({ snapshot }: Model): readonly Line[] {
  return (snapshot?.live.negotiations ?? []).map(({ kind, rule, peer, role, step, seconds, repeats, trouble }): Line => {
    const dots = "*".repeat(step.message) + ".".repeat(Math.max(0, step.of - step.message));
    const what = kind === "main-mode" ? "Main Mode " : "Quick Mode";
    const again = repeats > 0 ? `, sent again ${repeats}x` : "";
    return [
      { text: `  ${fit(peer.replace(/:500$/, ""), 16)} ${fit(rule, 9)} ${what} ${role === "initiator" ? "->" : "<-"} ` },
      { text: `[${fit(dots, 6)}] `, style: "yellow" },
      { text: `${step.message}/${step.of} ${step.text}, ${shortTime(seconds)}${again}` },
      { text: trouble === null ? "" : `  ${trouble}`, style: "red" },
    ];
  });
}

const LEVEL_STYLES: Readonly<Record<EventDocument["level"], Span["style"]>> = {
  ...{ error: "red", warning: "yellow", notice: undefined, info: "dim", debug: "dim" },
};

/** A record; `long` with its reason and what to try, on a line of its own. */
export function eventLine(event: EventDocument, columns: number, long: boolean): readonly Line[] {
  const style = LEVEL_STYLES[event.level];
  const styled = (text: string): Span => (style ? { text, style } : { text });
  const mark = event.level === "error" ? "!!" : event.level === "warning" ? " !" : "  ";
  const line: Line = [{ text: `${event.time.slice(11, 19)}${mark} `, style: "dim" }, styled(fit(event.text, Math.max(0, columns - 11)))];
  const more = [event.reason, event.winEventId === undefined ? undefined : `Windows ${event.winEventId}`, event.hint].filter(
    (part) => part !== undefined,
  );
  return long && more.length > 0 ? [line, [{ text: fit(`           ${more.join("; ")}`, columns), style: "dim" }]] : [line];
}

/** Every statistic of IP Security Monitor, page by page. */
export function statisticsLines({ snapshot }: Model): readonly Line[] {
  const pages = [
    ["main-mode", "MAIN MODE"],
    ["quick-mode", "QUICK MODE"],
    ["filtering-platform", "FILTERING PLATFORM"],
  ] as const;
  return pages.flatMap(([page, title]): readonly Line[] => [
    [{ text: title, style: "bold" }],
    ...(snapshot?.stats.windows ?? [])
      .filter((each) => each.page === page)
      .map(({ name, value }): Line => [{ text: `  ${fit(name, 40)}` }, { text: fit(value === null ? "n/a" : String(value), 16, "right") }]),
  ]);
}

const HELP = [
  ["q, ctrl-c", "quit"],
  ["tab, 1 2 3", "SAs, events, statistics"],
  ["up down, j k", "choose an SA, or scroll"],
  ["enter", "details of the chosen SA, and the events about it"],
  ["/", "filter: words that an SA's rule, address, identity, algorithm, SPI ... must contain"],
  ["s", "sort by id, rule, peer, time left, rate"],
  ["p, space", "hold the picture still, and go on"],
  ["escape", "back; without the filter"],
  ["", ""],
  ["TIME LEFT", "until an SA ends; it is renewed before that"],
  ["VOLUME", "what is left of its octets, by the busier direction"],
  ["STATE", "nego: being made; rekey: its successor is; drain, close: on its way out"],
] as const;

/** What the keys do, and what the columns mean. */
export const helpLines = (): readonly Line[] =>
  HELP.map(([key, what]): Line => [{ text: `  ${fit(key, 14)}`, style: "bold" }, { text: what }]);
