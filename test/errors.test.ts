/** docs/errors.md against the program: each reason code has its section, with all four parts, and each section is of a code. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { AUTH_REASONS } from "../auth/method.ts";
import { ERROR_POLICY } from "../ike/errors.ts";

const ROOT =
  [".", ".."].map((up) => join(dirname(fileURLToPath(import.meta.url)), "..", up)).find((path) => existsSync(join(path, "package.json"))) ??
  ".";
const page = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((section) => [/^`([^`]+)`/.exec(section)?.[1] ?? "", section]),
);

/** Codes that are written where something fails: of the daemon, and of the commands. Labels of statistics are none. */
function written(): readonly string[] {
  const files = ["ike", "daemon", "auth", "policy"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((name) => join(ROOT, folder, name)),
  );
  const sources = files.filter((name) => name.endsWith(".ts") && !name.endsWith("statistics.ts"));
  assert.ok(sources.length > 100);
  return sources.flatMap((name) => [...readFileSync(name, "utf8").matchAll(/\breason: "([a-z.-]+)"/g)].map(([, code]) => code ?? ""));
}

const drops = ["drop.bad-spi", "drop.integrity", "drop.replay", "drop.cleartext"];
const codes = new Set([...Object.values(ERROR_POLICY).map(({ reason }) => reason), ...Object.keys(AUTH_REASONS), ...written(), ...drops]);

test("each reason code has its section", () => {
  assert.deepEqual(
    [...codes].filter((code) => !sections.has(code)),
    [],
  );
});

test("each section is of a code that there is; errno's names share one", () => {
  assert.deepEqual(
    [...sections.keys()].filter((code) => code !== "E…" && !codes.has(code)),
    [],
  );
});

test("each section says what it means on both ends, how a trace shows it, and what to change", () => {
  for (const [code, section] of sections)
    for (const part of ["Here", "There", "Trace", "Change"])
      assert.match(section, new RegExp(`^- \\*${part}\\*: \\S.+\\.$`, "m"), `${code}: ${part}`);
});
