import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { sameDigest } from "../../../ike/crypto/compare.ts";

test("digests are the same if length and every octet are, however long they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (digest, at, change) => {
      const other = digest.map((octet, i) => (i === at % digest.length ? octet ^ change : octet));
      assert.equal(sameDigest(digest, Uint8Array.from(digest)), true);
      assert.equal(sameDigest(digest, other), digest.length === 0);
      assert.equal(sameDigest(digest, Uint8Array.of(...digest, 0)), false);
    }),
  );
});
