/**
 * `npm run nat`: mainmode with strongSwan and libreswan through routers that translate addresses, in a guest with ESP (test/nat). Logs, configurations and captures
 * stay in `.lab/nat`. A word as argument takes the files whose names have it: `npm run nat -- inward`.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const word = process.argv[2] ?? "";
const files = readdirSync("dist/test/nat")
  .filter((name) => name.endsWith(".nat.js") && name.includes(word))
  .map((name) => join("dist/test/nat", name))
  .sort();
if (files.length < (word ? 1 : 5)) {
  console.error(`no tests of NAT traversal${word && ` with ${word}`} in dist/test/nat`);
  process.exit(1);
}
mkdirSync(".lab/nat", { recursive: true });
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
mkdirSync(".lab/nat/secrets", { recursive: true, mode: 0o700 });
const inside = [
  "env",
  `MAINMODE_LEDGER=${resolve(".lab/nat/secrets")}`,
  process.execPath,
  "--test",
  "--test-concurrency=1",
  "--test-reporter=spec",
  "--test-timeout=280000",
  ...files,
];
const { status } = spawnSync("demo/uml-run", ["-t", "540", "-w", ".lab/nat", ...inside], { env, stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
