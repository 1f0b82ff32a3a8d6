/** `mainmode stats`: every statistic, under our names or Windows', as a table, as JSON, or as Prometheus wants it. */
import type { MetricView, StatsDocument, WindowsStatisticView } from "../../daemon/control-protocol.ts";
import { ask } from "../client.ts";
import { EXIT, Failure } from "../exit.ts";
import { type Column, safe, table, wantsColours } from "../format.ts";
import { conclude } from "../report.ts";

export interface StatsOptions {
  readonly control: string;
  readonly form: "table" | "windows" | "json" | "prometheus";
}

/** Resolves with the exit code. */
export async function stats({ control, form }: StatsOptions): Promise<number> {
  let found: StatsDocument | undefined;
  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  const end = await ask({
    path: control,
    request: { command: "stats", form: form === "prometheus" ? "prometheus" : "document" },
    onStats: (document) => (found = document),
    onLine: (text) => write(safe(text)),
  });
  if (end.exit !== EXIT.done) return conclude(end);
  if (form === "prometheus") return EXIT.done;
  if (!found) throw new Failure(EXIT.failed, "the daemon sent no statistics", "are daemon and command of the same version?");
  if (form === "json") write(JSON.stringify(found, undefined, 2));
  else write(statsText(found, form, wantsColours(process.stdout)).join("\n"));
  return EXIT.done;
}

/** The tables for people. */
export function statsText(document: StatsDocument, form: "table" | "windows", colours: boolean): readonly string[] {
  const since = `since ${document.since}`;
  if (form === "table") return [`Statistics ${since}`, ...table(METRIC_COLUMNS, document.metrics.flatMap(rowsOf), colours)];
  return PAGES.flatMap(([page, title], i) => [
    ...(i === 0 ? [] : [""]),
    `${title} ${since}`,
    ...table(
      WINDOWS_COLUMNS,
      document.windows.filter((each) => each.page === page),
      colours,
    ),
  ]);
}

const PAGES: readonly (readonly [WindowsStatisticView["page"], string])[] = [
  ["main-mode", "IKE statistics (IP Security Monitor, Main Mode)"],
  ["quick-mode", "IPsec statistics (IP Security Monitor, Quick Mode)"],
  ["filtering-platform", "Filtering platform (Windows Vista and later)"],
];

interface Row {
  readonly name: string;
  readonly value: string;
  readonly help: string;
}

/** One line for each sample; one with n/a where there is none to be had. Help stands in the first. */
function rowsOf({ name, samples, help }: MetricView): readonly Row[] {
  const short = name.replace(/^mainmode_/, "").replace(/_total$/, "");
  if (!samples) return [{ name: short, value: "n/a", help }];
  return samples.map(({ labels, value }, i) => {
    const text = Object.entries(labels).map(([key, word]) => `${key}=${word}`);
    return { name: [short, ...text].join(" "), value: String(value), help: i === 0 ? help : "" };
  });
}

const METRIC_COLUMNS: readonly Column<Row>[] = [
  { title: "STATISTIC", cell: ({ name }) => name },
  { title: "VALUE", cell: ({ value }) => value, align: "right", style: ({ value }) => (value === "0" ? "dim" : undefined) },
  { title: "MEANING", cell: ({ help }) => help, style: () => "dim" },
];

const WINDOWS_COLUMNS: readonly Column<WindowsStatisticView>[] = [
  { title: "STATISTIC", cell: ({ name }) => name },
  { title: "VALUE", cell: ({ value }) => (value === null ? "n/a" : String(value)), align: "right" },
  {
    title: "HERE",
    cell: ({ metrics }) => metrics.map((name) => name.replace(/^mainmode_/, "")).join(" + ") || "belongs to AuthIP",
    style: () => "dim",
  },
];
