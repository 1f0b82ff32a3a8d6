/** package.json against the tree: what it would publish is there, and what users need is published. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const ROOT =
  [".", ".."].map((up) => join(dirname(fileURLToPath(import.meta.url)), "..", up)).find((path) => existsSync(join(path, "package.json"))) ??
  ".";
const { files } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly files: readonly string[] };

test("package.json publishes nothing that is not there", () => {
  const named = files.filter((path) => !path.startsWith("!") && path !== "dist");
  assert.ok(named.length > 0);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(ROOT, path))),
    [],
  );
});

test("package.json publishes every folder that a user needs", () => {
  const needed = ["docs", "examples", "packaging"].filter((folder) => existsSync(join(ROOT, folder)));
  assert.deepEqual(
    needed.filter((folder) => !files.includes(folder)),
    [],
  );
});
