import assert from "node:assert/strict";
import { test } from "node:test";
import { createFeed } from "../../daemon/feed.ts";
import type { LogRecord } from "../../daemon/log.ts";

const record = (text: string, level: LogRecord["level"] = "info"): LogRecord => ({
  event: "ike.started",
  level,
  text,
  peer: "192.0.2.2:500",
});

test("a listener gets every record from then on, with its time, until it ends listening", () => {
  const feed = createFeed(() => 1000);
  const heard: unknown[] = [];
  feed.publish(record("before"));
  const end = feed.listen((event) => heard.push(event));
  feed.publish(record("one"));
  end();
  feed.publish(record("after"));
  assert.deepEqual(heard, [{ time: "1970-01-01T00:00:01.000Z", level: "info", event: "ike.started", text: "one", peer: "192.0.2.2:500" }]);
});

test("a listener that throws costs nobody else a record, and the log is written first", () => {
  const feed = createFeed();
  const heard: string[] = [];
  feed.listen(() => {
    throw new Error("bad listener");
  });
  feed.listen(({ text }) => heard.push(`heard ${text}`));
  feed.through(({ text }) => heard.push(`logged ${text}`))(record("one"));
  assert.deepEqual(heard, ["logged one", "heard one"]);
});

test("latecomers get the last records, without debug ones, and never more than 200", () => {
  const feed = createFeed();
  for (let i = 0; i < 1000; i++) feed.publish(record(String(i), i % 10 === 9 ? "debug" : "info"));
  assert.deepEqual(
    feed.recent(3).map(({ text }) => text),
    ["996", "997", "998"],
  );
  assert.equal(feed.recent(1000).length, 200);
  assert.deepEqual(feed.recent(0), []);
});
