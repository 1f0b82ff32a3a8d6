/** Some of the orders that `npm run lifetimes -- --interleavings` runs all of. */
import assert from "node:assert/strict";
import test from "node:test";
import { explore, SCENARIOS } from "./interleavings.ts";

for (const scenario of SCENARIOS)
  for (const losses of [0, 1])
    test(`${scenario}: in each of the first 250 orders, with ${losses === 0 ? "no" : "one"} datagram lost, traffic passes and one pair or two stand`, () => {
      const { orders } = explore(scenario, { losses, orders: 250 });
      assert.equal(orders, 250);
    });
