import assert from "node:assert/strict";
import { test } from "node:test";
import { measurePolicy } from "../../bench/policy-rules.ts";
import { type Results, report, table } from "../../bench/report.ts";
import { median, spread } from "../../bench/statistics.ts";
import { err } from "../../isakmp/result.ts";

test("the median is the middle value, or the mean of the two in the middle", () => {
  assert.deepEqual([median([3]), median([9, 1, 5]), median([4, 1, 3, 2])], [3, 5, 2.5]);
  assert.throws(() => median([]), RangeError);
  assert.equal(spread([2, 6, 3]), 3);
});

test("words lean left, numbers right, and no line ends in blanks", () => {
  assert.deepEqual(
    table(
      [
        ["group", "ms"],
        ["x", "10.25"],
      ],
      1,
    ),
    ["  group     ms", "  x      10.25"],
  );
});

const side = (ratio: number, otherMs: number) => ({ cpuMs: 1.25, floorMs: 1, ratio, otherMs, spread: 1.1 });
const results = (ratio: number, otherMs: number, grown: number, pairKiB: number): Results => ({
  machine: "a machine",
  negotiations: [
    { group: "modp2048", standing: 100, initiator: side(ratio, otherMs), responder: side(1.1, 0.1) },
    { group: "modp2048", standing: 10_000, initiator: side(ratio, otherMs), responder: side(1.1 * grown, 0.1) },
  ],
  restore: { ikes: 100, children: 100, milliseconds: 500, journalOctets: 1e5, memoryOctets: 1e6 },
  rekeys: [{ group: "x25519", standing: 100, initiatorMs: 0.5, responderMs: 0.4, floorMs: 0.2 }],
  loopDelay: { peers: 1000, milliseconds: 2500, delays: { initiator: { p99: 20, peak: 30 }, responder: { p99: 50, peak: 60 } } },
  memory: {
    few: 2500,
    many: 10_000,
    fresh: { initiator: 20_000, responder: 20_000 },
    settled: { initiator: 1024, responder: pairKiB * 1024 },
  },
  kernel: err("no root"),
  policy: [
    {
      rules: 1000,
      kernelPolicies: 20_000,
      loadMs: 411,
      compileMs: 167,
      installMs: 700,
      reloadMs: 300,
      whyMs: 158,
      lookUpMicroseconds: 10.04,
    },
  ],
});

test("targets that are reached are ok, and each one that is not is named", () => {
  const missed = (found: Results): readonly number[] =>
    report(found)
      .split("\n")
      .flatMap((line) => /^ {2}(ok|MISSED)\b/.exec(line)?.[1] ?? [])
      .flatMap((word, i) => (word === "MISSED" ? [i] : []));
  const good = results(1.3, 0.5, 1.1, 16);
  assert.equal(report(good).match(/^ {2}ok\b/gm)?.length, 8);
  assert.deepEqual(missed(good), []);
  assert.deepEqual(missed(results(1.31, 0.5, 1.1, 16)), [0]);
  assert.deepEqual(missed(results(1.3, 0.51, 1.1, 16)), [1]);
  assert.deepEqual(missed(results(1.31, 0.5, 1.25, 16)), [0, 2]);
  const slow = { group: "modp2048", standing: 100, initiatorMs: 1.5, responderMs: 1.2, floorMs: 1 } as const;
  assert.deepEqual(missed({ ...good, rekeys: [slow] }), [3]);
  const slowly = { ikes: 1, children: 1, milliseconds: 2001, journalOctets: 1, memoryOctets: 1 };
  assert.deepEqual(missed({ ...good, restore: slowly }), [5]);
  const delays = { initiator: { p99: 20, peak: 30 }, responder: { p99: 50.1, peak: 60 } };
  assert.deepEqual(missed({ ...good, loopDelay: { ...good.loopDelay, delays } }), [6]);
  assert.deepEqual(missed(results(1.3, 0.5, 1.1, 16.1)), [7]);
});

test("what could not be measured says why, and lines fit a terminal", () => {
  const text = report(results(1.2, 0.3, 1, 12));
  assert.match(text, /ip -batch: not measured, no root/);
  for (const line of text.split("\n")) assert.ok(line.length <= 80, `${line.length}: ${line}`);
});

test("what many rules cost is a row of its own", () => {
  assert.match(report(results(1.2, 0.3, 1, 12)), /^ *1000 +20000 +411 +167 +700 +300 +158 +10\.0$/m);
});

test("the cost of rules is measured over every filter of them", () => {
  const cost = measurePolicy(3);
  assert.deepEqual([cost.rules, cost.kernelPolicies], [3, 3 * 5 * 2 * 2]);
});
