import assert from "node:assert/strict";
import { test } from "node:test";
import { refusals } from "./accepted.ts";
import { type Summary, shown, summary } from "./imported.ts";
import { SCRIPTS } from "./scripts.ts";

/** Frames make actions that a row does not use. */
const withoutFrame = ({ codes }: Summary): readonly string[] => codes.filter((code) => !/^W_UNUSED_OBJECT@[2-46]$|^W_POLLING/.test(code));

for (const { name, script, options = {}, rules, codes = [] } of SCRIPTS) {
  test(`import: ${name}`, () => {
    const got = summary(script, options);
    assert.deepEqual(got.rules, rules, shown(got));
    assert.deepEqual(
      withoutFrame(got),
      codes.filter((code) => !/^W_UNUSED_OBJECT@[2-46]$/.test(code)),
      shown(got),
    );
    assert.deepEqual(refusals(got.toml), [], got.toml);
  });
}

test("there are at least fifty scripts", () => {
  assert.ok(SCRIPTS.length >= 50, String(SCRIPTS.length));
  assert.equal(new Set(SCRIPTS.map(({ name }) => name)).size, SCRIPTS.length);
});
