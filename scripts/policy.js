/**
 * `npm run policy`: actions and policies in a real kernel, in a guest with ESP: the table of what goes over the wire (test/actions), and
 * random policies held against the plain evaluator.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const files = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .filter((name) => name.endsWith(".policy.js"))
  .sort();
if (files.length < 2) {
  console.error("no policy tests in dist/test");
  process.exit(1);
}
const lab = resolve(".lab/policy");
rmSync(lab, { recursive: true, force: true });
mkdirSync(join(lab, "secrets"), { recursive: true, mode: 0o700 });
const inside = [
  "env",
  `MAINMODE_LEDGER=${join(lab, "secrets")}`,
  process.execPath,
  "--test",
  "--test-concurrency=1",
  "--test-reporter=spec",
  "--test-timeout=300000",
  ...files,
];
const { status } = spawnSync("demo/uml-run", ["-t", "450", "-w", lab, ...inside], { stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
