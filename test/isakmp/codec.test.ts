import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { bytes, type Codec, countOf, encodeOne, lengthOf, list, reserved, rest, sizeText, struct, uint } from "../../isakmp/codec.ts";
import { PROTOCOL } from "../../isakmp/numbers.ts";
import { readWith } from "../../isakmp/reader.ts";
import { mutated, octets, record, uint8, uint16, uint32 } from "./arbitraries.ts";
import { hex } from "./build.ts";

/** One of everything a layout can be made of. */
const EVERYTHING = struct("everything", {
  protocol: uint(1, PROTOCOL),
  keyLength: lengthOf("key"),
  pairCount: countOf("pairs", 2),
  pad: reserved(1),
  cookie: bytes(2),
  key: rest(16),
  pairs: list(struct("pair", { left: uint(2), right: uint(4) }), 5),
});

const value = record({
  protocol: uint8,
  cookie: octets({ minLength: 2, maxLength: 2 }),
  key: octets({ maxLength: 16 }),
  pairs: fc.array(record({ left: uint16, right: uint32 }), { maxLength: 5 }),
});

const decode = <T>(codec: Codec<T>, input: Uint8Array) => readWith(input, (r) => codec.decode(r));

test("fields stand on the wire in the order of their keys, measures filled in and reserved octets zero", () => {
  const encoded = encodeOne(EVERYTHING, { protocol: 3, cookie: hex("c0c1"), key: hex("aabbcc"), pairs: [{ left: 1, right: 2 }] });
  assert.deepEqual(encoded, hex("03 03 0001 00 c0c1 aabbcc 0001 00000002"));
});

test("measures and reserved octets are no part of the value", () => {
  const outcome = decode(EVERYTHING, hex("03 01 0000 ff c0c1 aa"));
  assert.deepEqual(outcome, { ok: true, value: { protocol: 3, cookie: hex("c0c1"), key: hex("aa"), pairs: [] } });
});

test("whatever is encoded decodes to the same", () => {
  fc.assert(
    fc.property(value, (v) => {
      assert.deepEqual(decode(EVERYTHING, encodeOne(EVERYTHING, v)), { ok: true, value: v });
    }),
  );
});

test("whatever decodes encodes to the same octets, reserved ones aside", () => {
  let hits = 0;
  fc.assert(
    fc.property(mutated(value.map((v) => encodeOne(EVERYTHING, v))), (input) => {
      const outcome = decode(EVERYTHING, input);
      if (!outcome.ok) return;
      hits++;
      assert.deepEqual(encodeOne(EVERYTHING, outcome.value), input.with(4, 0));
    }),
  );
  assert.ok(hits > 0, "no input decoded");
});

test("errors say which field of what failed", () => {
  const what = (input: string) => {
    const outcome = decode(EVERYTHING, hex(input));
    return outcome.ok ? "accepted" : outcome.error.what;
  };
  assert.equal(what(""), "everything: protocol needs 1 octet, 0 left");
  assert.equal(what("03 01 0000"), "everything: reserved octets needs 1 octet, 0 left");
  assert.equal(what("03 02 0000 00 c0c1 aa"), "everything: key needs 2 octets, 1 left");
  assert.equal(what("03 00 0000 00 c0c1 0001"), "pair: right needs 4 octets, 0 left");
  assert.equal(what("03 00 0002 00 c0c1 0001 00000001"), "everything: pairs: 2 announced, 1 present");
});

test("a length that its field does not fill is a lie", () => {
  const codec = struct("pair", { size: lengthOf("data"), data: bytes(2) });
  assert.deepEqual(decode(codec, hex("02 aabb")), { ok: true, value: { data: hex("aabb") } });
  const outcome = decode(codec, hex("03 aabbcc"));
  assert.ok(!outcome.ok);
  assert.deepEqual([outcome.error.what, outcome.error.offset], ["1 octet after the end of pair: data", 3]);
});

test("what a layout cannot hold is a bug of the caller", () => {
  const good = { protocol: 3, cookie: hex("c0c1"), key: hex(""), pairs: [] };
  assert.throws(() => encodeOne(EVERYTHING, { ...good, protocol: 256 }), RangeError);
  assert.throws(() => encodeOne(EVERYTHING, { ...good, cookie: hex("c0") }), RangeError);
  assert.throws(() => encodeOne(EVERYTHING, { ...good, key: new Uint8Array(17) }), RangeError);
  assert.throws(() => encodeOne(EVERYTHING, { ...good, pairs: Array(6).fill({ left: 0, right: 0 }) }), RangeError);
});

test("a length too long for its own field is a bug of the caller", () => {
  const codec = struct("long", { size: lengthOf("data"), data: rest() });
  assert.throws(() => encodeOne(codec, { data: new Uint8Array(256) }), RangeError);
});

test("a value describes itself by field, with names for numbers and counts for octets", () => {
  const v = { protocol: 3, cookie: hex("c0c1"), key: hex("aabb"), pairs: [{ left: 1, right: 2 }] };
  assert.equal(EVERYTHING.describe(v), "protocol ESP, cookie c0c1, key 2 octets, pairs left 1, right 2");
  assert.equal(sizeText(hex("00")), "1 octet");
});
