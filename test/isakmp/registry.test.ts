import assert from "node:assert/strict";
import test from "node:test";
import { isNamed, nameOf, registry } from "../../isakmp/registry.ts";

const COLOURS = registry({ red: 1, green: 2, rouge: 1 });

test("a number has the first name given to it", () => {
  assert.equal(nameOf(COLOURS, 1), "red");
  assert.equal(nameOf(COLOURS, 2), "green");
});

test("a number without a name stays a number", () => {
  assert.equal(nameOf(COLOURS, 3), "3");
  assert.deepEqual([isNamed(COLOURS, 1), isNamed(COLOURS, 3)], [true, false]);
});

test("names are numbers by key, and properties of objects are no names", () => {
  assert.equal(COLOURS.rouge, 1);
  assert.equal(nameOf(registry({}), 0), "0");
});

test("a table that was never declared names nothing", () => {
  assert.equal(nameOf({ red: 1 }, 1), "1");
});
