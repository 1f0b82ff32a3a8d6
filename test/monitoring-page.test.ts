import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { TABLES } from "./monitoring-page.ts";

const ROOT =
  [".", ".."].map((up) => join(dirname(fileURLToPath(import.meta.url)), "..", up)).find((path) => existsSync(join(path, "package.json"))) ??
  ".";
const page = readFileSync(join(ROOT, "docs/monitoring.md"), "utf8");

for (const [name, lines] of Object.entries(TABLES))
  test(`docs/monitoring.md has the table of ${name} as the program has it`, () => {
    assert.deepEqual(
      lines.filter((line) => !page.split("\n").includes(line)),
      [],
    );
    assert.ok(page.includes(lines.join("\n")), "rows in another order, or rows between them");
  });
