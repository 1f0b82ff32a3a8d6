/** Some of the orders that `npm run lifetimes -- --interleavings` runs all of. */
import assert from "node:assert/strict";
import test from "node:test";
import { exploreDelays } from "./delays.ts";
import { SCENARIOS } from "./duel.ts";
import { explore } from "./interleavings.ts";

for (const scenario of SCENARIOS)
  for (const losses of [0, 1])
    test(`${scenario}: in each of the first 250 orders, with ${losses === 0 ? "no" : "one"} datagram lost, traffic passes and one pair or two stand`, () => {
      const { orders } = explore(scenario, { losses, orders: 250 });
      assert.equal(orders, 250);
    });

for (const scenario of SCENARIOS)
  for (const losses of [0, 1])
    test(`${scenario}: in every order with ${losses === 0 ? "two events that have to wait and no datagram" : "one event that has to wait and one datagram"} lost, traffic passes`, () => {
      const { orders, complete } = exploreDelays(scenario, { losses, delays: 2 - losses, orders: 10_000 });
      assert.ok(complete, "all of them");
      assert.ok(orders > 100, `${orders} orders`);
    });
