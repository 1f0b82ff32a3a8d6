import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  writeFileSync(file, statistics(5));
  const told: number[] = [];
  let heard = (): void => {};
  const more = (): Promise<void> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  const watch = watchUnknownSpis({
    file,
    everyMs: 1,
    onMore: (packets) => {
      told.push(packets);
      heard();
    },
  });
  // The first look has been by the time that this read has come back twice.
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const count of [8, 8, 20]) {
    const next = more();
    writeFileSync(file, statistics(count));
    await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 200))]);
  }
  watch.close();
  rmSync(folder, { recursive: true });
  assert.deepEqual(told, [3, 12]);
});
