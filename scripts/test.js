/**
 * `npm test`: lint, then every test that can run on this machine; the kernel's tests in a guest with ESP. What can't run is named, with the command
 * that would make it possible. Fails if a test fails, if one is skipped, or if there are suspiciously few.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

/** Fewer files than this means that the build lost some. */
const LEAST_FILES = 40;

const compiled = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .sort();
const unit = compiled.filter((name) => name.endsWith(".test.js"));
const guest = compiled.filter((name) => name.endsWith(".guest.js"));
if (unit.length < LEAST_FILES) fail(`only ${unit.length} test files in dist/test; expected at least ${LEAST_FILES}`);

const steps = [
  { name: "lint", run: () => spawn("node_modules/.bin/biome", ["check", "."]) },
  { name: "tests", run: () => testFiles([], unit) },
  {
    name: "kernel tests in a guest",
    run: () => testFiles(["test/lab/uml-run", "-t", "300"], guest),
    missing: existsSync("/usr/bin/linux.uml") ? null : "apt-get install user-mode-linux kmod busybox-static iproute2 iputils-ping",
  },
];

const missing = steps.filter((step) => step.missing);
for (const step of steps) {
  if (step.missing) continue;
  const started = Date.now();
  console.log(`\n== ${step.name}`);
  step.run();
  console.log(`== ${step.name}: ${((Date.now() - started) / 60_000).toFixed(1)} min`);
}
for (const step of missing) console.log(`\nNOT RUN: ${step.name}. To make it possible: ${step.missing}`);
if (missing.length > 0 && process.env["CI"]) fail("in CI everything has to run");

/** Runs files with Node's test runner, by a command in front of it if need be, and reads its last words. */
function testFiles(prefix, files) {
  const report = join("dist", `report-${prefix.length}.tap`);
  const inGuest = prefix.length > 0;
  const runner = [
    "node",
    "--test",
    "--test-concurrency=2",
    "--test-timeout=240000",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    ...(inGuest ? [] : ["--test-reporter=tap", `--test-reporter-destination=${report}`]),
    ...files,
  ];
  const [command, ...args] = [...prefix, ...runner];
  if (inGuest) return spawn(command, args);
  spawn(command, args);
  const skipped = Number(/^# skipped (\d+)$/m.exec(readFileSync(report, "utf8"))?.[1] ?? -1);
  const todo = Number(/^# todo (\d+)$/m.exec(readFileSync(report, "utf8"))?.[1] ?? -1);
  if (skipped !== 0 || todo !== 0) fail(`${skipped} tests skipped and ${todo} todo; none may be`);
}

function spawn(command, args) {
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`failed: ${command} ${args.slice(0, 3).join(" ")} …`);
}

function fail(text) {
  console.error(`\n${text}`);
  process.exit(1);
}
