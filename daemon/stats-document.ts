/**
 * Every statistic at one moment, as a document and as Prometheus' text.
 */
import type { Statistics } from "../ike/statistics.ts";
import { type Labels, METRICS, type Picture, type Sample } from "../ike/statistics-table.ts";
import { WINDOWS_STATISTICS } from "../ike/windows-statistics.ts";
import type { MetricView, StatsDocument, WindowsStatisticView } from "./control-protocol.ts";

/** The document of `stats --json`. */
export function statsDocument(statistics: Statistics, picture: Picture): StatsDocument {
  const metrics = METRICS.map(({ name, type, help, source }): MetricView => {
    const samples = source.kind === "picture" ? source.read(picture) : statistics.samples(name);
    return { name, type, help, samples };
  });
  const byName = new Map(metrics.map((metric) => [metric.name, metric.samples]));
  const windows = WINDOWS_STATISTICS.map(
    ({ page, name, of }): WindowsStatisticView => ({ page, name, metrics: of.map(([metric]) => metric), value: addUp(of, byName) }),
  );
  return { since: new Date(picture.shell.countedSince * 1000).toISOString(), metrics, windows };
}

/** null where nothing here corresponds, or a part of it is not to be had. */
function addUp(of: readonly (readonly [string, Labels])[], byName: ReadonlyMap<string, readonly Sample[] | null>): number | null {
  let sum: number | null = null;
  for (const [metric, where] of of) {
    const samples = byName.get(metric);
    if (!samples) return null;
    for (const { labels, value } of samples)
      if (Object.entries(where).every(([key, wanted]) => labels[key] === wanted)) sum = (sum ?? 0) + value;
    sum ??= 0;
  }
  return sum;
}

/** Prometheus' text format 0.0.4. What is not to be had is left out. */
export function prometheusText({ metrics }: Pick<StatsDocument, "metrics">): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of metrics) {
    if (!samples) continue;
    lines.push(`# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", " ")}`, `# TYPE ${name} ${type}`);
    for (const { labels, value } of samples) lines.push(`${name}${labelText(labels)} ${value}`);
  }
  return `${lines.join("\n")}\n`;
}

function labelText(labels: Labels): string {
  const texts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
  );
  return texts.length === 0 ? "" : `{${texts.join(",")}}`;
}
