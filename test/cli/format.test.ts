import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { duration, octets, safe, table, wantsColours } from "../../cli/format.ts";

const COLUMNS = [
  { title: "N", cell: (row: { n: number }) => String(row.n), align: "right" as const },
  { title: "WORD", cell: (row: { n: number }) => "x".repeat(row.n), style: () => "green" as const },
];

test("columns are as wide as their widest cell, and no line ends in blanks", () => {
  assert.deepEqual(table(COLUMNS, [{ n: 1 }, { n: 12 }], false), [" N  WORD", " 1  x", "12  xxxxxxxxxxxx"]);
  assert.deepEqual(table(COLUMNS, [{ n: 0 }], false), ["N  WORD", "0"]);
});

test("colours are added round the text and do not move the columns", () => {
  const [plain, coloured] = [table(COLUMNS, [{ n: 3 }], false), table(COLUMNS, [{ n: 3 }], true)];
  assert.notDeepEqual(plain, coloured);
  assert.deepEqual(
    coloured.map((line) => stripVTControlCharacters(line).trimEnd()),
    plain,
  );
});

test("only a terminal wants colours, and NO_COLOR forbids them", (t) => {
  const before = process.env["NO_COLOR"];
  t.after(() => {
    if (before === undefined) delete process.env["NO_COLOR"];
    else process.env["NO_COLOR"] = before;
  });
  delete process.env["NO_COLOR"];
  assert.equal(wantsColours({ isTTY: true } as NodeJS.WriteStream), true);
  assert.equal(wantsColours({} as NodeJS.WriteStream), false);
  process.env["NO_COLOR"] = "1";
  assert.equal(wantsColours({ isTTY: true } as NodeJS.WriteStream), false);
});

test("durations and octets read well", () => {
  assert.deepEqual([0, 59.6, 61, 3599, 28_790, -5].map(duration), ["0 s", "1 min 0 s", "1 min 1 s", "59 min 59 s", "7 h 59 min", "0 s"]);
  assert.deepEqual([0, 999, 1000, 1540, 123_456, 1e8, 2.5e12, 1e18].map(octets), [
    "0 B",
    "999 B",
    "1 kB",
    "1.5 kB",
    "123 kB",
    "100 MB",
    "2.5 TB",
    "1000000 TB",
  ]);
});

test("control characters become blanks", () => {
  assert.equal(safe("a\u001b[31m\r\nb\u2028c"), "a [31m b c");
});
