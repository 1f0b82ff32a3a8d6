/** A short run of the fuzzers, and whether they would find something. The long ones are `npm run fuzz`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzDecoder, outcomeOf } from "./decoder.ts";
import { fuzzExchanges } from "./exchanges.ts";
import { seedMessages } from "./main.ts";
import { dice, mutated } from "./mutate.ts";

test("every kept message of the corpus still has an outcome of its own kind, and none is a bug", () => {
  const outcomes = seedMessages().map(outcomeOf);
  assert.ok(outcomes.length > 100);
  assert.deepEqual(
    outcomes.filter((outcome) => outcome.startsWith("BUG")),
    [],
  );
  assert.ok(new Set(outcomes).size > 100);
});

test("five thousand mutants for the decoder", () => {
  const { inputs, wrong, outcomes } = fuzzDecoder(seedMessages(), 5000, 7);
  assert.deepEqual(wrong, []);
  assert.ok(inputs >= 5000);
  assert.ok(outcomes > 100);
});

test("mutants in front of every message of an exchange, and from a peer that has the key", () => {
  const { inputs, wrong } = fuzzExchanges(1200, 7);
  assert.deepEqual(wrong, []);
  assert.ok(inputs >= 1200);
});

test("the same seed gives the same mutants, another one others", () => {
  const all = (seed: number): string => {
    const d = dice(seed);
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);
    return Array.from({ length: 50 }, () => Buffer.from(mutated(bytes, d)).toString("hex")).join();
  };
  assert.equal(all(1), all(1));
  assert.notEqual(all(1), all(2));
});
