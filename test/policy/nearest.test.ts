import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { editDistance, nearest } from "../../policy/nearest.ts";

test("the nearest word has the fewest changes", () => {
  const words = ["proposals", "lifetime", "quick-modes", "master-pfs"];
  assert.equal(nearest("proposal", words), "proposals");
  assert.equal(nearest("Lifetmie", words), "lifetime");
  assert.equal(nearest("quickmodes", words), "quick-modes");
  assert.equal(nearest("x", []), undefined);
});

test("two letters exchanged are one change, and a word is no change from itself", () => {
  assert.equal(editDistance("prot", "port"), 1);
  assert.equal(editDistance("kitten", "sitting"), 3);
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 }), (a, b) => {
      assert.equal(editDistance(a, a), 0);
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.ok(editDistance(a, b) >= Math.abs(a.length - b.length) && editDistance(a, b) <= Math.max(a.length, b.length));
      assert.equal(editDistance(a, `${a}x`), 1);
    }),
  );
});
