import assert from "node:assert/strict";
import test from "node:test";
import { err, ok, type Result } from "../../isakmp/result.ts";

test("a result is a value or an error, told apart by one field", () => {
  const text = (r: Result<number, string>) => (r.ok ? `value ${r.value}` : `error ${r.error}`);
  assert.equal(text(ok(0)), "value 0");
  assert.equal(text(err("")), "error ");
});
