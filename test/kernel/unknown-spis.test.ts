import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { unknownSpisIn, watchUnknownSpis } from "../../kernel/unknown-spis.ts";

const statistics = (count: number): string =>
  `XfrmInError             \t0\nXfrmInNoStates          \t${count}\nXfrmOutNoStates         \t99\n`;

test("the count is found among the others, and a kernel that does not count says so", () => {
  assert.equal(unknownSpisIn(statistics(17)), 17);
  assert.equal(unknownSpisIn("XfrmInError 0\nXfrmOutNoStates 5\n"), undefined);
});

test("what is counted after the first look is told, and only what is new", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-xfrm-"));
  const file = join(folder, "xfrm_stat");
  // As /proc has it: no reader ever sees half of it.
  const counted = (count: number): void => {
    writeFileSync(`${file}.new`, statistics(count));
    renameSync(`${file}.new`, file);
  };
  counted(5);
  const told: number[] = [];
  const watch = watchUnknownSpis({ file, everyMs: 1, onMore: (packets) => void told.push(packets) });
  const sum = (): number => told.reduce((all, one) => all + one, 0);
  const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
  // Whenever the first look is: what comes after it is told, and what it saw is not.
  let count = 5;
  while (told.length === 0) {
    counted(++count);
    await soon();
  }
  // Whoever has seen this has seen all before it.
  count += 1000;
  counted(count);
  while (sum() < 1000) await soon();
  const before = count - 5 - sum();
  assert.ok(before >= 0, "what was counted before anybody looked was told");
  for (const more of [3, 0, 12]) {
    count += more;
    counted(count);
    while (sum() < count - 5 - before) await soon();
    await soon();
    assert.equal(sum(), count - 5 - before);
  }
  watch.close();
  rmSync(folder, { recursive: true });
});
