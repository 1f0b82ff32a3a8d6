/** Ranges that meet are found without a look at each, and they are those that a look at each finds. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type AddressRange, type Family, intersection } from "../../isakmp/address.ts";
import { MeetingRanges } from "../../policy/meeting-ranges.ts";

/** Small numbers, so that they meet often; any ranges, not only prefixes. */
const range = fc
  .record({ family: fc.constantFrom<Family>(4, 6), from: fc.bigInt(0n, 60n), length: fc.bigInt(0n, 20n) })
  .map(({ family, from, length }): AddressRange => ({ family, first: from, last: from + length }));

test("of any ranges those are found that have an address in common with one, each once", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), range, (ranges, wanted) => {
      const items = ranges.map((one, i) => ({ one, i }));
      const found = new MeetingRanges(items, ({ one }) => one).with(wanted).map(({ i }) => i);
      const expected = items.filter(({ one }) => intersection(one, wanted) !== undefined).map(({ i }) => i);
      assert.deepEqual(
        [...found].sort((a, b) => a - b),
        expected,
      );
    }),
    { numRuns: 500 },
  );
});
