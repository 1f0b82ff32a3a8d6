import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AddressRange, type Family, formatAddress, includesAddress, intersection } from "../../isakmp/address.ts";
import { networkKey, OverlapIndex, PrefixIndex } from "../../policy/prefix-index.ts";

const range = fc
  .record({ family: fc.constantFrom<Family>(4, 6), a: fc.bigInt(0n, 40n), b: fc.bigInt(0n, 40n), high: fc.boolean() })
  .map(({ family, a, b, high }): AddressRange => {
    const base = high ? (1n << (family === 4 ? 32n : 128n)) - 41n : 0n;
    return { family, first: base + (a < b ? a : b), last: base + (a < b ? b : a) };
  });

test("for any ranges and address, what is found is what a look at each of them finds, each once", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), range, (ranges, { family, first }) => {
      const index = new PrefixIndex<AddressRange>();
      for (const one of ranges) index.add(one, one);
      const expected = ranges.filter((one) => includesAddress(one, formatAddress(family, first)));
      const found = index.at(family, first);
      assert.equal(found.length, expected.length);
      assert.deepEqual(new Set(found), new Set(expected));
    }),
  );
});

test("for any ranges, what meets another one is what a look at each of them finds, each once", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), range, (ranges, asked) => {
      const found = new OverlapIndex(ranges.map((one) => ({ range: one, item: one }))).meeting(asked);
      const expected = ranges.filter((one) => intersection(one, asked) !== undefined);
      assert.equal(found.length, expected.length);
      assert.deepEqual(new Set(found), new Set(expected));
    }),
  );
});

test("all addresses are a prefix like another one", () => {
  const index = new PrefixIndex<string>();
  index.add({ family: 4, first: 0n, last: (1n << 32n) - 1n }, "any");
  assert.deepEqual([index.at(4, 7n), index.at(6, 7n)], [["any"], []]);
});

test("hosts of one number in many networks have different keys, also in the lower 64 bits by which V8 files them", () => {
  const keys = Array.from({ length: 1000 }, (_, k) => networkKey(6, (0x2001_0db8n << 96n) | (BigInt(k) << 64n) | 1n, 128));
  assert.equal(new Set(keys.map((key) => BigInt.asUintN(64, key))).size, 1000);
});
