import assert from "node:assert/strict";
import { test } from "node:test";
import { startCleanup } from "../../demo/cleanup.ts";

test("steps are undone once, the last one first, and one that can't be is told and keeps no other from it", () => {
  const cleanup = startCleanup();
  const undone: string[] = [];
  cleanup.later(() => undone.push("first"));
  cleanup.later(() => {
    throw new Error("still there");
  });
  cleanup.later(() => undone.push("last"));
  assert.deepEqual(cleanup.now(), ["still there"]);
  cleanup.now();
  assert.deepEqual(undone, ["last", "first"]);
});

test("afterwards signals mean what they meant before", () => {
  const before = process.listenerCount("SIGINT");
  const cleanup = startCleanup();
  assert.equal(process.listenerCount("SIGINT"), before + 1);
  cleanup.now();
  assert.equal(process.listenerCount("SIGINT"), before);
});
