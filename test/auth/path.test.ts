import assert from "node:assert/strict";
import { test } from "node:test";
import { validatePath } from "../../auth/providers/path.ts";
import { CASES, certificate, terrainOf } from "./path-cases.ts";

for (const one of CASES) {
  test(`${one.name}: ${one.fault ? one.fault[0] : "the path holds"}`, () => {
    const result = validatePath(certificate(one.leaf.der), terrainOf(one));
    if (one.fault === null) return assert.ok(result.ok, result.ok ? "" : result.error.what);
    assert.ok(!result.ok, "the path was taken");
    assert.equal(result.error.kind, one.fault[0], result.error.what);
    assert.match(result.error.what, one.fault[1]);
  });
}
