/**
 * `npm run packages`: the npm package, the Debian package in a Debian 13 that runs, and the containers (test/packages/). Root on Debian, about five
 * minutes. `-- --only WORD` runs the files whose names contain it. They look for secrets in what was said themselves: their daemons are not ours to watch.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const at = process.argv.indexOf("--only");
const only = at < 0 ? "" : (process.argv[at + 1] ?? "");
const files = readdirSync("dist/test/packages")
  .filter((name) => name.endsWith(".packages.js") && name.includes(only))
  .map((name) => join("dist/test/packages", name));
if (files.length < (only ? 1 : 5)) fail(`only ${files.length} files in dist/test/packages`);
const missing = ["/usr/bin/lintian", "/usr/bin/podman", "/usr/bin/linux.uml", "/usr/bin/docker-compose", ".lab/debian13"].filter(
  (file) => !existsSync(file),
);
if (missing.length > 0) fail(`${missing.join(", ")} missing; as root on Debian: node scripts/setup.js packages`);

const report = ".lab/packages.tap";
mkdirSync(".lab", { recursive: true });
const reporters = [
  "--test-reporter=spec",
  "--test-reporter-destination=stdout",
  "--test-reporter=tap",
  `--test-reporter-destination=${report}`,
];
// Two at a time: one waits for a guest while the other builds.
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=2", "--test-timeout=540000", ...reporters, ...files], {
  stdio: ["ignore", "inherit", "inherit"],
});
if (status !== 0) process.exit(1);
const last = readFileSync(report, "utf8");
const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(last)?.[1] ?? Number.NaN);
if (!(count("pass") > 0) || count("skipped") + count("todo") + count("cancelled") !== 0) fail(`${report}: tests are missing`);

function fail(text) {
  console.error(text);
  process.exit(1);
}
