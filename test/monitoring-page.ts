/** The tables of docs/monitoring.md as the program has them. */
import { EVENTS, WINDOWS_EVENTS } from "../daemon/event-table.ts";
import { METRICS } from "../ike/statistics-table.ts";
import { WINDOWS_STATISTICS } from "../ike/windows-statistics.ts";

/** Lines of Markdown, table by table. */
export const TABLES: Readonly<Record<string, readonly string[]>> = {
  metrics: [
    "| metric | type | counts |",
    "| --- | --- | --- |",
    ...METRICS.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${help} |`),
  ],
  windows: [
    "| Windows | page | here |",
    "| --- | --- | --- |",
    ...WINDOWS_STATISTICS.map(({ name, page, of }) => {
      const parts = of.map(([metric, where]) => `\`${metric}${Object.entries(where).map(([key, value]) => `{${key}="${value}"}`)}\``);
      return `| ${name} | ${page} | ${parts.join(" + ") || "nothing: it belongs to AuthIP"} |`;
    }),
  ],
  events: [
    "| `event` | Windows | 2000 to 2003 | says |",
    "| --- | --- | --- | --- |",
    ...Object.entries(EVENTS).map(([name, { windows, xp, says }]) => `| \`${name}\` | ${windows ?? ""} | ${xp ?? ""} | ${says} |`),
  ],
  windowsEvents: [
    "| Windows event | says | here |",
    "| --- | --- | --- |",
    ...WINDOWS_EVENTS.map(
      ({ ids, says, ours, note }) => `| ${ids} | ${says} | ${[ours && `\`${ours}\``, note].filter(Boolean).join("; ")} |`,
    ),
  ],
};
