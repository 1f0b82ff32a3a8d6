import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { Writer } from "../../isakmp/writer.ts";
import { octets } from "./arbitraries.ts";
import { hex } from "./build.ts";

test("integers of one to six octets are written in network order", () => {
  const out = new Writer();
  out.uint(1, 1);
  out.uint(0x203, 2);
  out.uint(0x708090a, 4);
  out.uint(2 ** 48 - 2, 6);
  assert.deepEqual(out.finish(), hex("01 0203 0708090a fffffffffffe"));
});

test("a length is patched when it is known", () => {
  const out = new Writer();
  const at = out.reserve(2);
  out.bytes(hex("aabbcc"));
  out.patch(at, out.length, 2);
  assert.deepEqual(out.finish(), hex("0005aabbcc"));
});

test("a number that does not fit is a bug, not a shorter number", () => {
  for (const [value, size] of [
    [256, 1],
    [65536, 2],
    [2 ** 32, 4],
    [-1, 4],
    [1.5, 2],
    [Number.NaN, 2],
  ] as const)
    assert.throws(() => new Writer().uint(value, size), RangeError, `${value} in ${size}`);
});

test("a patch outside what was written is a bug", () => {
  const out = new Writer();
  out.reserve(2);
  assert.throws(() => out.patch(1, 0, 2), RangeError);
  assert.throws(() => out.patch(-1, 0, 1), RangeError);
});

test("what is finished does not change with later writes", () => {
  const out = new Writer();
  out.uint(1, 1);
  const first = out.finish();
  out.patch(0, 9, 1);
  assert.deepEqual(first, hex("01"));
});

test("any pieces come out joined, whatever the buffer had to grow", () => {
  fc.assert(
    fc.property(fc.array(octets({ maxLength: 700 }), { maxLength: 12 }), (pieces) => {
      const out = new Writer();
      for (const piece of pieces) out.bytes(piece);
      assert.deepEqual(Buffer.from(out.finish()), Buffer.concat(pieces));
      assert.equal(out.length, Buffer.concat(pieces).length);
    }),
  );
});
