/**
 * `npm run policy`: actions and policies in a real kernel, in a guest with ESP: the table of what goes over the wire (test/actions), and
 * random policies held against the plain evaluator.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
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
const inside = [process.execPath, "--test", "--test-concurrency=1", "--test-reporter=spec", "--test-timeout=300000", ...files];
const { status } = spawnSync("demo/uml-run", ["-t", "450", ...inside], { stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
