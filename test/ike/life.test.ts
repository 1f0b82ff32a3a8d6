import assert from "node:assert/strict";
import test from "node:test";
import { readLife, shorter } from "../../ike/life.ts";
import { type Attribute, basic, variable } from "../../isakmp/attributes.ts";

const [TYPE, DURATION] = [11, 12];
const seconds = basic(TYPE, 1);
const kilobytes = basic(TYPE, 2);

/** Attributes, and the seconds and kilobytes that they mean. */
const CASES: readonly (readonly [string, readonly Attribute[], number | null, number | null])[] = [
  ["nothing", [], null, null],
  ["seconds", [seconds, basic(DURATION, 300)], 300, null],
  ["both", [seconds, basic(DURATION, 300), kilobytes, basic(DURATION, 50)], 300, 50],
  ["both, the other way round", [kilobytes, basic(DURATION, 50), seconds, basic(DURATION, 300)], 300, 50],
  ["a long duration of four octets", [seconds, variable(DURATION, Uint8Array.of(0, 1, 81, 128))], 86_400, null],
  ["a short duration of four octets", [seconds, variable(DURATION, Uint8Array.of(0, 0, 1, 44))], 300, null],
  ["a type of four octets", [variable(TYPE, Uint8Array.of(0, 0, 0, 2)), basic(DURATION, 7)], null, 7],
  ["other attributes between", [seconds, basic(4, 1), basic(DURATION, 300)], 300, null],
  ["a duration in front of its type", [basic(DURATION, 300), seconds], null, null],
  ["a type without a duration", [seconds], null, null],
  ["an unknown type", [basic(TYPE, 3), basic(DURATION, 300)], null, null],
  ["zero, which is no limit", [seconds, basic(DURATION, 0)], null, null],
  ["seconds twice: the shorter wins", [seconds, basic(DURATION, 300), seconds, basic(DURATION, 200)], 200, null],
  ["two durations for one type", [seconds, basic(DURATION, 300), basic(DURATION, 400)], 300, null],
  ["more octets than a number has", [seconds, variable(DURATION, new Uint8Array(9).fill(255))], 2 ** 40, null],
  ["an empty duration", [seconds, variable(DURATION, new Uint8Array(0))], 2 ** 40, null],
];

for (const [name, attributes, s, kb] of CASES)
  test(`a lifetime from ${name}`, () => assert.deepEqual(readLife(attributes, TYPE, DURATION), { seconds: s, kilobytes: kb }));

test("of two limits the smaller counts, and null is none", () => {
  assert.deepEqual([shorter(null, null), shorter(null, 3), shorter(3, null), shorter(3, 4), shorter(4, 3)], [null, 3, 3, 3, 3]);
});
