import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  ATTRIBUTE,
  ATTRIBUTES,
  type Attribute,
  attributeNumber,
  basic,
  decodeAttributes,
  numberAttribute,
  variable,
} from "../../isakmp/attributes.ts";
import { encodeOne } from "../../isakmp/codec.ts";
import { attribute, mutated, octets } from "./arbitraries.ts";
import { hex } from "./build.ts";

const encoded = (list: readonly Attribute[]) => encodeOne(ATTRIBUTES, list);
const attributes = fc.array(attribute, { maxLength: 64 });

test("a basic attribute has the AF bit and its value in place of the length", () => {
  assert.deepEqual(encodeOne(ATTRIBUTE, basic(1, 7)), hex("80010007"));
});

test("a variable attribute has a length and its octets", () => {
  assert.deepEqual(encodeOne(ATTRIBUTE, variable(12, hex("00015180"))), hex("000c0004 00015180"));
});

test("a number takes the short form as long as it fits", () => {
  assert.deepEqual(numberAttribute(12, 65535), basic(12, 65535));
  assert.deepEqual(numberAttribute(12, 65536), variable(12, hex("00010000")));
  assert.deepEqual(numberAttribute(12, 0xffffffff), variable(12, hex("ffffffff")));
  assert.throws(() => numberAttribute(12, 2 ** 32), RangeError);
  assert.throws(() => numberAttribute(12, -1), RangeError);
  assert.throws(() => numberAttribute(12, 0.5), RangeError);
});

test("a number is read from either form, with leading zeros or without", () => {
  assert.equal(attributeNumber(basic(12, 28800)), 28800);
  assert.equal(attributeNumber(variable(12, hex("00007080"))), 28800);
  assert.equal(attributeNumber(variable(12, hex("07"))), 7);
  assert.equal(attributeNumber(variable(12, hex("0000000000000000000000007080"))), 28800);
  assert.equal(attributeNumber(variable(12, hex("ffffffffffff"))), 2 ** 48 - 1);
  assert.equal(attributeNumber(variable(12, new Uint8Array(20))), 0);
});

test("more than 48 bits are no number, and nothing is none either", () => {
  assert.equal(attributeNumber(variable(12, hex("01000000000000"))), undefined);
  assert.equal(attributeNumber(variable(12, hex(""))), undefined);
});

test("what cannot be an attribute is a bug of the caller", () => {
  assert.throws(() => encodeOne(ATTRIBUTE, basic(0x8000, 1)), RangeError);
  assert.throws(() => encodeOne(ATTRIBUTE, { type: 1, format: "basic", value: hex("000001") }), RangeError);
  assert.throws(() => basic(1, 65536), RangeError);
  assert.throws(() => encodeOne(ATTRIBUTE, variable(1, new Uint8Array(65536))), RangeError);
  assert.throws(() => encoded(Array(65).fill(basic(1, 1))), RangeError);
});

test("both forms survive a round trip, octet for octet", () => {
  fc.assert(
    fc.property(attributes, (list) => {
      assert.deepEqual(decodeAttributes(encoded(list)), { ok: true, value: list });
    }),
  );
});

test("any octets are attributes that encode to the same octets, or malformed", () => {
  let hits = 0;
  fc.assert(
    fc.property(fc.oneof(octets({ maxLength: 40 }), mutated(attributes.map(encoded))), (bytes) => {
      const outcome = decodeAttributes(bytes);
      if (outcome.ok) {
        hits++;
        assert.deepEqual(encoded(outcome.value), bytes);
      } else assert.ok(outcome.error.offset <= bytes.length);
    }),
  );
  assert.ok(hits > 0, "nothing decoded");
});

test("any number within 32 bits comes back as it went", () => {
  fc.assert(fc.property(fc.nat(0x7fff), fc.nat(0xffffffff), (type, n) => assert.equal(attributeNumber(numberAttribute(type, n)), n)));
});
