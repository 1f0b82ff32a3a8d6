/** The benchmark's machinery once, with as little work as possible: it must keep working, whatever the figures. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { measureKernel } from "../../bench/kernel-lines.ts";
import { measureMemory } from "../../bench/memory.ts";
import { measureNegotiations } from "../../bench/negotiations.ts";
import { GROUPS } from "../../bench/pairs.ts";
import { startSides } from "../../bench/sides.ts";

test("two processes negotiate over UDP, and each side's cost is at least its floor's exponentiations", async () => {
  const costs = await measureNegotiations({ batch: 8, repeats: 1, warmUp: 1, standing: [4, 12] }, () => {});
  assert.deepEqual(
    costs.map(({ group, standing }) => `${group} ${standing}`),
    [4, 12].flatMap((standing) => GROUPS.map((group) => `${group} ${standing}`)),
  );
  for (const { initiator, responder } of costs)
    for (const { cpuMs, floorMs, ratio } of [initiator, responder]) {
      assert.ok(floorMs > 0 && cpuMs > 0, `${cpuMs} ms, floor ${floorMs} ms`);
      assert.ok(Math.abs(ratio - cpuMs / floorMs) < 1e-9);
    }
});

test("a side that is asked late has seen what the other one did, and does not wait for more", { timeout: 60_000 }, async () => {
  const sides = await startSides({ crypto: "openssl", kernel: "keeps" });
  const work = [
    { do: "establish", rule: "x25519", first: 0, count: 3 },
    { do: "delete", rule: "x25519", count: 3 },
  ] as const;
  try {
    for (const request of work) {
      await sides.tell("initiator", request);
      await sides.tell("responder", request);
    }
  } finally {
    await sides.close();
  }
});

test("the memory of pairs is measured before and after what lingers is over", async () => {
  const { few, many, fresh, settled } = await measureMemory(60, () => {});
  assert.deepEqual([few, many], [15, 60]);
  for (const octets of [...Object.values(fresh), ...Object.values(settled)]) assert.ok(Number.isFinite(octets));
});

test("the kernel's lines are counted, or the reason why not is given", () => {
  const measured = measureKernel(20);
  if (!measured.ok) assert.match(measured.error, /no network namespace can be used here \(.+\)/);
  else {
    assert.equal(measured.value.lines, measured.value.what === "policies" ? 80 : 160);
    assert.ok(measured.value.linesPerSecond > 0);
  }
});
