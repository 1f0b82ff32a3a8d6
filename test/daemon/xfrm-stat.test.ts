import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogRecord } from "../../daemon/log.ts";
import { statsDocument } from "../../daemon/stats-document.ts";
import { dropWatch, parseXfrmStat, readXfrmStat } from "../../daemon/xfrm-stat.ts";
import { createStatistics } from "../../ike/statistics.ts";
import { NOTHING_LIVE } from "./fakes.ts";

const TEXT =
  "XfrmInError             \t0\nXfrmInNoStates          \t3\nXfrmInStateProtoError   \t2\nXfrmInNoPols            \t1\nnonsense\n";

test("the kernel's counters are read by their names; a kernel without them has none", () => {
  assert.deepEqual(Object.fromEntries(parseXfrmStat(TEXT)), {
    XfrmInError: 0,
    XfrmInNoStates: 3,
    XfrmInStateProtoError: 2,
    XfrmInNoPols: 1,
  });
  assert.equal(readXfrmStat("/proc/net/there-is-no-such-file"), null);
});

const shell = { startedAt: 0, countedSince: 0, version: "1", queued: 0, handled: 0, dropped: 0, bugs: 0, socketFailures: [], octets: [] };
const documentWith = (xfrm: ReadonlyMap<string, number> | null) =>
  statsDocument(createStatistics(), {
    status: { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null },
    live: NOTHING_LIVE,
    drops: new Map(),
    shell: { ...shell, xfrm },
  });

test("without the kernel's counters what depends on them is not to be had, which is not zero", () => {
  const { metrics, windows } = documentWith(null);
  for (const name of ["mainmode_xfrm_stat", "mainmode_kernel_drops_total"])
    assert.equal(metrics.find((metric) => metric.name === name)?.samples, null);
  const value = (name: string) => windows.find((each) => each.page === "quick-mode" && each.name === name)?.value;
  assert.deepEqual([value("Bad SPI Packets"), value("Rekeys")], [null, 0]);
});

test("Windows' names for drops add up the kernel's counters", () => {
  const { windows } = documentWith(parseXfrmStat(TEXT));
  const value = (name: string) => windows.find((each) => each.name === name)?.value;
  assert.deepEqual(
    ["Bad SPI Packets", "Packets Not Authenticated", "Packets With Replay Detection", "invalidClearTextInbound"].map(value),
    [3, 2, 0, 1],
  );
});

test("drops are told once for what came since the last look, with the event that Windows has for them", () => {
  const records: LogRecord[] = [];
  let text = TEXT;
  const look = dropWatch(
    (record) => records.push(record),
    () => parseXfrmStat(text),
  );
  look();
  look();
  assert.equal(records.length, 0);
  text = TEXT.replace("XfrmInNoStates          \t3", "XfrmInNoStates          \t7");
  look();
  look();
  assert.deepEqual(
    records.map((record) => [record.event, record.text]),
    [["drop.bad-spi", "4 packets that came in had an SPI that the kernel does not know; the kernel dropped them"]],
  );
});
