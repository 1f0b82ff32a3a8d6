import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { MultiIndex } from "../../sa-store/multi-index.ts";

test("whatever is added and removed, each key has its values in the order in which they came", () => {
  const values = Array.from({ length: 5 }, (_, n) => ({ n }));
  const deed = fc.record({ add: fc.boolean(), key: fc.integer({ min: 0, max: 2 }), value: fc.constantFrom(...values) });
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 60, size: "max" }), (deeds) => {
      const index = new MultiIndex<number, { n: number }>();
      const lists = new Map<number, { n: number }[]>([0, 1, 2].map((key) => [key, []]));
      for (const { add, key, value } of deeds) {
        const list = lists.get(key) ?? [];
        const without = list.filter((known) => known !== value);
        lists.set(key, !add ? without : list.includes(value) ? list : [...list, value]);
        if (add) index.add(key, value);
        else index.remove(key, value);
        for (const [k, expected] of lists) {
          assert.deepEqual(index.all(k), expected);
          assert.equal(index.has(k), expected.length > 0);
        }
        assert.equal(index.size, [...lists.values()].filter((some) => some.length > 0).length);
      }
    }),
  );
});
