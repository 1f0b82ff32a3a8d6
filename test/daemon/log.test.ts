import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createLog, journalFields, type LogOptions, type LogRecord } from "../../daemon/log.ts";
import { createLimiter } from "../../daemon/log-limit.ts";
import { Secret } from "../../ike/crypto/secret.ts";

const NOON = Date.UTC(2026, 10, 21, 12);

const failed: LogRecord = {
  event: "ike.failed",
  level: "warning",
  text: "192.0.2.2: no proposal in common",
  rule: "hr",
  peer: "192.0.2.2",
  initiatorCookie: "0011223344556677",
  responderCookie: "8899aabbccddeeff",
  winEventId: 4653,
  failurePoint: "me",
  reason: "no-proposal-chosen",
  hint: "give both ends one proposal in common",
};

/** Everything that these records make a log write. */
function written(records: readonly LogRecord[], more: Partial<LogOptions> = {}): string[] {
  const lines: string[] = [];
  const log = createLog({ format: "text", prefixed: false, write: (line) => lines.push(line), time: () => NOON, ...more });
  for (const record of records) log(record);
  return lines;
}

test("a record is one line of text with its time, level, fields and hint", () => {
  assert.deepEqual(written([failed]), [
    "2026-11-21T12:00:00.000Z warning 192.0.2.2: no proposal in common (give both ends one proposal in common) " +
      "[ike.failed rule=hr peer=192.0.2.2 initiatorCookie=0011223344556677 responderCookie=8899aabbccddeeff " +
      "winEventId=4653 failurePoint=me reason=no-proposal-chosen]",
  ]);
});

test("under systemd the priority stands in front instead of time and level", () => {
  const at = (level: LogRecord["level"]): string | undefined =>
    written([{ event: "svc.stopping", level, text: "up" }], { prefixed: true, level: "debug" })[0];
  assert.deepEqual(
    (["error", "warning", "notice", "info", "debug"] as const).map(at),
    [3, 4, 5, 6, 7].map((priority) => `<${priority}>up [svc.stopping]`),
  );
});

test("as JSON a record is one object a line with the fields of the interface", () => {
  const [line = ""] = written([failed], { format: "json" });
  assert.deepEqual(JSON.parse(line), { time: "2026-11-21T12:00:00.000Z", ...failed, winEventIdXp: 546 });
  assert.deepEqual(JSON.parse(written([{ event: "svc.started", level: "info", text: "up" }], { format: "json" })[0] ?? ""), {
    time: "2026-11-21T12:00:00.000Z",
    level: "info",
    event: "svc.started",
    text: "up",
    winEventId: 5478,
  });
});

test("the journal gets the Windows event as WIN_EVENT_ID, and a record that it refuses becomes a line", () => {
  const sent: ReadonlyMap<string, string>[] = [];
  const journal = (fields: ReadonlyMap<string, string>): boolean => sent.push(fields) < 2;
  const lines = written([failed, failed], { journal, prefixed: true });
  assert.deepEqual(Object.fromEntries(sent[0] ?? []), {
    MESSAGE: "192.0.2.2: no proposal in common (give both ends one proposal in common)",
    PRIORITY: "4",
    SYSLOG_IDENTIFIER: "mainmode",
    EVENT: "ike.failed",
    RULE: "hr",
    PEER: "192.0.2.2",
    INITIATOR_COOKIE: "0011223344556677",
    RESPONDER_COOKIE: "8899aabbccddeeff",
    WIN_EVENT_ID: "4653",
    WIN_EVENT_ID_XP: "546",
    FAILURE_POINT: "me",
    REASON: "no-proposal-chosen",
  });
  assert.equal(lines.length, 1);
});

test("less important records than wanted are left out", () => {
  const levels = ["error", "warning", "notice", "info", "debug"] as const;
  const count = (level: LogRecord["level"]): number =>
    written(
      levels.map((each) => ({ event: "svc.started", level: each, text: "x" })),
      { level },
    ).length;
  assert.deepEqual(levels.map(count), [1, 2, 3, 4, 5]);
});

test("whatever a peer put into a record, it stays one line without control characters", () => {
  const lines = written([{ ...failed, text: "\u001b[2J\nFeb 1 forged\r\u0000\u2028\u202e", rule: 'a b"\n', hint: "x\ny" }]);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /warning \\u\{1b\}\[2J\\nFeb 1 forged\\u\{d\}\\u\{0\}\\u\{2028\}\\u\{202e\} \(x\\ny\)/);
  assert.match(lines[0] ?? "", /rule="a b\\"\\\\n" peer/);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const record: LogRecord = { ...failed, event: "svc.started", text, rule: text, peer: text, hint: text };
      for (const options of [{}, { format: "json" as const }, { prefixed: true }]) {
        const [line = ""] = written([record], options);
        assert.doesNotMatch(line, /[\p{Cc}]/u);
      }
      for (const value of journalFields(record).values()) assert.doesNotMatch(value, /[\p{Cc}]/u);
    }),
  );
});

test("a text of any length makes a line of bounded length", () => {
  const huge = "x".repeat(1_000_000);
  for (const format of ["text", "json"] as const) {
    const [line = ""] = written([{ ...failed, text: huge }], { format });
    assert.ok(line.length < 6000, `${line.length}`);
  }
});

test("a secret that strays into a record is shown as its length", () => {
  const secret = new Secret(new TextEncoder().encode("hunter2"));
  for (const format of ["text", "json"] as const) {
    const [line = ""] = written([{ ...failed, text: `key ${secret}`, rule: secret as unknown as string }], { format });
    assert.match(line, /<secret 7 B>/);
    assert.doesNotMatch(line, /hunter2|104,117/);
  }
  secret.destroy();
});

test("one peer can't fill the log, and what was left out is counted", () => {
  let now = NOON;
  const lines: string[] = [];
  const log = createLog({ format: "text", prefixed: true, write: (line) => lines.push(line), time: () => now });
  for (let i = 0; i < 1000; i++) log(failed);
  assert.equal(lines.length, 20);
  log({ ...failed, peer: "192.0.2.3" });
  assert.equal(lines.length, 21);
  now += 1000;
  log(failed);
  log(failed);
  assert.equal(lines.length, 23);
  assert.match(lines[21] ?? "", /^<4>980 records about 192\.0\.2\.2 were left out/);
});

test("a peer does not get a new budget with each of its ports", () => {
  for (const peer of [(port: number) => `192.0.2.2:${port}`, (port: number) => `[2001:db8::2]:${port}`]) {
    const limiter = createLimiter();
    const passed = Array.from({ length: 100 }, (_, port) => limiter({ ...failed, peer: peer(port) }, NOON)).filter(({ pass }) => pass);
    assert.equal(passed.length, 20);
  }
  const limiter = createLimiter();
  const hosts = Array.from({ length: 100 }, (_, i) => limiter({ ...failed, peer: `2001:db8::${i}` }, NOON));
  assert.ok(hosts.every(({ pass }) => pass));
});

test("records that only authenticated peers can cause are never left out", () => {
  const records = Array.from({ length: 500 }, (): LogRecord => ({ ...failed, event: "child.established", level: "notice" }));
  assert.equal(written(records).length, 500);
});

test("a flood from forged addresses shares one budget, and the table of peers stays bounded", () => {
  const limiter = createLimiter();
  let passed = 0;
  for (let i = 0; i < 100_000; i++) if (limiter({ ...failed, peer: `peer ${i}` }, NOON).pass) passed++;
  assert.equal(passed, 500);
  // A hundred records in five seconds about ever new peers, and the count of what was left out.
  const later = Array.from({ length: 1000 }, (_, i) => limiter({ ...failed, peer: `other ${i}` }, NOON + 5 * i));
  assert.equal(later.filter(({ pass }) => pass).length, 99);
  assert.deepEqual(later.find(({ pass }) => pass)?.suppressed, { peer: "", count: 99_500 + 10 });
  // Once their budgets are full again the others make room.
  assert.equal(limiter({ ...failed, peer: "a late one" }, NOON + 60_000).pass, true);
});

test("a clock that is set back does not silence a peer for ever", () => {
  const limiter = createLimiter();
  for (let i = 0; i < 30; i++) limiter(failed, NOON);
  assert.equal(limiter(failed, NOON - 3_600_000).pass, false);
  assert.equal(limiter(failed, NOON - 3_600_000 + 1000).pass, true);
});

test("how many records were left out is said even if none follows", () => {
  const lines: string[] = [];
  const later: (() => void)[] = [];
  const log = createLog({
    format: "text",
    prefixed: false,
    write: (line) => lines.push(line),
    time: () => NOON,
    later: (act) => later.push(act),
  });
  for (let i = 0; i < 25; i++) log(failed);
  assert.deepEqual([lines.length, later.length], [20, 1]);
  later[0]?.();
  assert.match(lines[20] ?? "", /5 records about .* were left out \[log\.suppressed/);
  log(failed);
  assert.deepEqual([lines.length, later.length], [21, 2]);
  later[1]?.();
  later[1]?.();
  assert.equal(lines.length, 22);
});
