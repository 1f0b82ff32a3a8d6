/** A short form of `npm run lifetimes`: some hours of some peers; the week itself is a command of its own. */
import assert from "node:assert/strict";
import test from "node:test";
import { runWeeks } from "./weeks.ts";

test("ten hours of twelve peers with loss and restarts: every packet passes but after a restart, nothing piles up, nothing is left", () => {
  const found = runWeeks({ peers: 12, hours: 10, loss: 0.01, restarts: 2, seed: 5 });
  assert.deepEqual(found.wrong, []);
  assert.equal(found.packets.clear, 0);
  assert.ok(found.packets.protected > 70_000, "packets");
  assert.ok(found.rekeys > 1200, "rekeys");
  assert.ok(found.mainModes > 24, "Main Modes beyond the first ones");
  assert.ok(found.letGo > 10, "idle pairs");
  assert.ok(found.restarts > 5, "restarts");
});

test("without restarts and loss no packet waits or is lost once everything is up, and Main Mode is renewed in time", () => {
  const found = runWeeks({ peers: 4, hours: 17, loss: 0, restarts: 0, seed: 3 });
  assert.deepEqual(found.wrong, []);
  assert.equal(found.packets.clear, 0);
  assert.ok(found.mainModes >= 8, `${found.mainModes} Main Modes`);
  assert.ok(found.mostIkeSas <= 2, "IKE SAs");
});
