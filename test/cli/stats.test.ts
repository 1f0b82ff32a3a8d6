import assert from "node:assert/strict";
import { test } from "node:test";
import { statsText } from "../../cli/commands/stats.ts";
import type { StatsDocument } from "../../daemon/control-protocol.ts";
import { fakeDaemon, mainmode } from "./fake-daemon.ts";

const STATS: StatsDocument = {
  since: "2026-01-01T00:00:00.000Z",
  metrics: [
    {
      name: "mainmode_ike_sa_established_total",
      type: "counter",
      help: "Main Modes that came to an SA.",
      samples: [
        { labels: { role: "initiator" }, value: 12 },
        { labels: { role: "responder" }, value: 0 },
      ],
    },
    { name: "mainmode_xfrm_stat", type: "counter", help: "The kernel's own.", samples: null },
  ],
  windows: [
    { page: "main-mode", name: "IKE Main Mode", metrics: ["mainmode_ike_sa_established_total"], value: 12 },
    { page: "quick-mode", name: "Bad SPI Packets", metrics: ["mainmode_kernel_drops_total"], value: null },
    { page: "filtering-platform", name: "totalExtendedModesStarted", metrics: [], value: null },
  ],
};

test("the table has a line for each sample, and n/a where there is none", () => {
  assert.deepEqual(statsText(STATS, "table", false), [
    "Statistics since 2026-01-01T00:00:00.000Z",
    "STATISTIC                          VALUE  MEANING",
    "ike_sa_established role=initiator     12  Main Modes that came to an SA.",
    "ike_sa_established role=responder      0",
    "xfrm_stat                            n/a  The kernel's own.",
  ]);
});

test("under Windows' names it has the pages of IP Security Monitor", () => {
  const lines = statsText(STATS, "windows", false);
  assert.match(lines.join("\n"), /^IKE statistics \(IP Security Monitor, Main Mode\)/);
  assert.match(lines.join("\n"), /^IKE Main Mode +12 {2}ike_sa_established_total$/m);
  assert.match(lines.join("\n"), /^Bad SPI Packets +n\/a {2}kernel_drops_total$/m);
  assert.match(lines.join("\n"), /^totalExtendedModesStarted +n\/a {2}belongs to AuthIP$/m);
});

test("--json prints the document and nothing else, --prometheus the daemon's lines, and two forms at once are wrong usage", async (t) => {
  const { path } = await fakeDaemon(t, [
    { type: "stats", stats: STATS },
    { type: "end", exit: 0 },
  ]);
  const json = await mainmode(["stats", "--json", "--control", path]);
  assert.deepEqual([json.exit, JSON.parse(json.stdout), json.stderr], [0, STATS, ""]);
  const lines = await fakeDaemon(t, [
    { type: "line", text: "mainmode_x 1" },
    { type: "end", exit: 0 },
  ]);
  const text = await mainmode(["stats", "--prometheus", "--control", lines.path]);
  assert.deepEqual([text.exit, text.stdout], [0, "mainmode_x 1\n"]);
  assert.deepEqual(lines.requests, ['{"command":"stats","form":"prometheus"}']);
  assert.equal((await mainmode(["stats", "--json", "--prometheus", "--control", path])).exit, 2);
});
