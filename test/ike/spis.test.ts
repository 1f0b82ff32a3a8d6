import assert from "node:assert/strict";
import test from "node:test";
import type { Core } from "../../ike/core.ts";
import { releaseSpis, takeSpi } from "../../ike/spis.ts";
import { Store } from "../../sa-store/store.ts";
import { drawing } from "./crypto/fixtures.ts";

const coreDrawing = (...values: readonly string[]): Core => ({ random: drawing(...values), store: new Store() }) as unknown as Core;

test("SPIs are taken as they are drawn, but for reserved ones and those in use", () => {
  const core = coreDrawing("00000000", "00000fff", "00001000", "00001000", "ffffffff");
  assert.deepEqual([takeSpi(core), takeSpi(core)], [0x1000, 0xffffffff]);
});

test("a released SPI may be drawn again", () => {
  const core = coreDrawing("00001000", "00001000");
  releaseSpis(core, [takeSpi(core)]);
  assert.equal(takeSpi(core), 0x1000);
  assert.equal(core.store.size, 1);
});
