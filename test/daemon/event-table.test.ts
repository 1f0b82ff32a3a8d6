import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENTS, WINDOWS_EVENTS, withWindowsIds } from "../../daemon/event-table.ts";
import type { LogRecord } from "../../daemon/log.ts";

const ids = (record: Partial<LogRecord> & Pick<LogRecord, "event">): readonly (number | undefined)[] => {
  const { winEventId, winEventIdXp } = withWindowsIds({ level: "info", text: "", ...record });
  return [winEventId, winEventIdXp];
};

const CASES: readonly (readonly [Partial<LogRecord> & Pick<LogRecord, "event">, number | undefined, number | undefined])[] = [
  [{ event: "ike.established", auth: "psk" }, 4650, 541],
  [{ event: "ike.established", auth: "rsa" }, 4651, 541],
  [{ event: "ike.failed", reason: "psk-mismatch-probable" }, 4653, 547],
  [{ event: "ike.failed", reason: "certificate-untrusted" }, 4652, 544],
  [{ event: "ike.failed", reason: "signature-invalid" }, 4652, 545],
  [{ event: "ike.failed", reason: "no-proposal-chosen" }, 4653, 546],
  [{ event: "child.failed", reason: "no-proposal-chosen" }, 4654, 546],
  [{ event: "ike.closed" }, 4655, 543],
  [{ event: "child.established" }, 5451, 541],
  [{ event: "child.closed" }, 5452, 542],
  [{ event: "packet.dropped" }, 4976, undefined],
  [{ event: "packet.dropped", exchange: "quick-mode" }, 4977, undefined],
  [{ event: "policy.failed", winEventId: 5472 }, 5472, undefined],
  [{ event: "svc.dos-mode" }, 4646, undefined],
  [{ event: "child.wanted" }, undefined, undefined],
  [{ event: "svc.socket", failurePoint: "me" }, 5480, undefined],
  // Good news, such as where the web monitor is.
  [{ event: "svc.socket" }, undefined, undefined],
  [{ event: "svc.failed", level: "error" }, 5484, undefined],
  [{ event: "svc.failed", level: "warning" }, undefined, undefined],
];
for (const [record, windows, xp] of CASES)
  test(`${JSON.stringify(record)} is Windows event ${windows ?? "none"}, and ${xp ?? "none"} of 2000 to 2003`, () => {
    assert.deepEqual(ids(record), [windows, xp]);
  });

/** Security log of Vista and later, and of 2000 to 2003, as far as IPsec goes; ranges included. */
const OF_WINDOWS = [
  ...[541, 542, 543, 544, 545, 546, 547, 279, 280, 4284, 4285, 4292, 4646, 4650, 4651, 4652, 4653, 4654, 4655],
  ...[4709, 4710, 4711, 4712, 4960, 4961, 4962, 4963, 4965, 4976, 4977, 4978, 4979, 4980, 4981, 4982, 4983, 4984],
  ...Array.from({ length: 10 }, (_, i) => 5040 + i),
  ...Array.from({ length: 11 }, (_, i) => 5440 + i),
  ...[5451, 5452, 5453, ...Array.from({ length: 13 }, (_, i) => 5456 + i), 5471, 5472, 5473, 5474],
  ...[5477, 5478, 5479, 5480, 5483, 5484, 5485],
];

test("every IPsec event of Windows has a row that says what stands for it, or why nothing does", () => {
  const covered = WINDOWS_EVENTS.flatMap(({ ids }) => {
    const [from = 0, to = from] = ids.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  assert.deepEqual(
    OF_WINDOWS.filter((id) => !covered.includes(id)),
    [],
  );
  assert.equal(new Set(covered).size, covered.length);
  for (const { ours, note, ids } of WINDOWS_EVENTS) assert.ok(ours !== null || note !== "", ids);
});

test("every number that an event may bear stands in Windows' list with that event", () => {
  const listed = (id: number) => WINDOWS_EVENTS.find(({ ids }) => (ids.includes("-") ? within(ids, id) : ids === String(id)));
  for (const [event, { windows, xp }] of Object.entries(EVENTS))
    for (const id of [windows, xp]) assert.ok(id === null || listed(id), `${event} ${id}`);
});

const within = (ids: string, id: number): boolean => {
  const [from = 0, to = 0] = ids.split("-").map(Number);
  return id >= from && id <= to;
};
