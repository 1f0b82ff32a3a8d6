/**
 * `npm run policy -- [--only WORD] [--random N] [--rounds N] [--seed N]`: policies in a real kernel, in a guest with ESP: the table of what goes over the wire
 * (test/actions), open sockets while daemons are reloaded, killed and started, policies imported from Windows, and random ones held against the
 * plain evaluator. `npm test` runs all of it once; here the two that begin at random can be run for longer (files whose name has WORD alone), and
 * random policies from a seed that a failure told.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    random: { type: "string", default: "25" },
    rounds: { type: "string", default: "1" },
    seed: { type: "string" },
  },
});
const [random, rounds] = [Number(values.random), Number(values.rounds)];
if (![random, rounds].every((number) => Number.isInteger(number) && number > 0) || !/^-?\d+$/.test(values.seed ?? "0")) {
  console.error("usage: npm run policy -- [--only WORD] [--random N] [--rounds N] [--seed N]");
  process.exit(2);
}
const files = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .filter((name) => name.endsWith(".policy.js") && new RegExp(values.only).test(name))
  .sort();
if (files.length < (values.only ? 1 : 4)) {
  console.error("no policy tests in dist/test");
  process.exit(1);
}
/** For a guest that hangs: a multiple of what a slow machine needs. */
const limit = 1500 + 4 * random + 240 * rounds;
const lab = resolve(".lab/policy");
rmSync(lab, { recursive: true, force: true });
mkdirSync(join(lab, "secrets"), { recursive: true, mode: 0o700 });
const inside = [
  "env",
  `MAINMODE_LEDGER=${join(lab, "secrets")}`,
  `MAINMODE_POLICIES=${random}`,
  `MAINMODE_ROUNDS=${rounds}`,
  ...(values.seed === undefined ? [] : [`MAINMODE_SEED=${values.seed}`]),
  process.execPath,
  "--test",
  "--test-concurrency=1",
  "--test-reporter=spec",
  `--test-timeout=${1000 * limit}`,
  ...files,
];
const { status } = spawnSync("demo/uml-run", ["-t", `${limit}`, "-w", lab, ...inside], { stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
