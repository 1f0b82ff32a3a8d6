import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { Reader, readWith } from "../../isakmp/reader.ts";
import { octets, uint32 } from "./arbitraries.ts";
import { hex } from "./build.ts";

test("integers of one to six octets are read in network order", () => {
  const r = new Reader(hex("01 0203 040506 0708090a ffffffffffff"));
  assert.deepEqual(
    [r.uint(1, "a"), r.uint(2, "b"), r.uint(3, "c"), r.uint(4, "d"), r.uint(6, "e")],
    [1, 0x203, 0x40506, 0x708090a, 2 ** 48 - 1],
  );
  assert.equal(r.left, 0);
});

test("octets are views of the datagram, not copies", () => {
  const bytes = hex("00112233");
  const view = new Reader(bytes, 1).bytes(2, "view");
  assert.equal(view.buffer, bytes.buffer);
  assert.deepEqual(view, hex("1122"));
});

test("a reader never sees octets before its window or behind it", () => {
  const inner = new Reader(hex("00112233445566"), 1).sub(3, "inner");
  assert.deepEqual(inner.peek(), hex("112233"));
  assert.deepEqual(inner.fork().rest(), hex("112233"));
  inner.bytes(1, "first");
  assert.equal(inner.at, 2);
  assert.equal(readWith(hex("0011"), () => inner.bytes(3, "too much")).ok, false);
});

test("the outer reader goes on behind the inner one, whatever was read inside", () => {
  const outer = new Reader(hex("001122334455"));
  outer.sub(4, "inner").uint(1, "x");
  assert.equal(outer.at, 4);
  assert.deepEqual(outer.rest(), hex("4455"));
});

test("an error names the offset in the datagram, the base included", () => {
  const outcome = readWith(hex("0011223344"), (r) => r.sub(3, "inner").sub(2, "innermost").uint(4, "number"), 100);
  assert.deepEqual(outcome, { ok: false, error: { kind: "malformed", offset: 100, what: "number needs 4 octets, 2 left" } });
});

test("an error can carry the notify type that answers it", () => {
  const outcome = readWith(hex("00"), (r) => r.fail("bad", 0, 5));
  assert.deepEqual(outcome, { ok: false, error: { kind: "malformed", offset: 0, what: "bad", notify: 5 } });
});

test("left-over octets are an error, and none are not", () => {
  assert.equal(readWith(hex("00"), (r) => r.finish("it")).ok, false);
  assert.equal(readWith(hex(""), (r) => r.finish("it")).ok, true);
});

test("a bug is no malformed message: other exceptions pass through", () => {
  assert.throws(
    () =>
      readWith(hex("00"), () => {
        throw new TypeError("bug");
      }),
    TypeError,
  );
});

test("any sequence of reads gives octets of the window in order, or stops at its end", () => {
  fc.assert(
    fc.property(octets(), fc.array(fc.nat(20)), uint32, (bytes, sizes, base) => {
      let wanted = 0;
      const outcome = readWith(
        bytes,
        (r) =>
          sizes.map((size) => {
            wanted += size;
            return r.bytes(size, "piece");
          }),
        base,
      );
      assert.equal(outcome.ok, wanted <= bytes.length);
      if (outcome.ok) assert.deepEqual(Buffer.concat(outcome.value), Buffer.from(bytes.subarray(0, wanted)));
      else assert.ok(outcome.error.offset >= base && outcome.error.offset <= base + bytes.length);
    }),
  );
});
