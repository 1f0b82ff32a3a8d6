/**
 * `npm run restarts -- --times N`: kills and restarts daemons N times each under traffic, in a guest with ESP (test/guest/restart.guest.ts).
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const at = process.argv.indexOf("--times");
const times = at < 0 ? 20 : Number(process.argv[at + 1]);
if (!Number.isInteger(times) || times < 1) {
  console.error("usage: npm run restarts -- --times N");
  process.exit(2);
}
const seconds = 120 + 60 * times;
const inside = [
  "env",
  `MAINMODE_RESTARTS=${times}`,
  process.execPath,
  "--test",
  "--test-reporter=spec",
  "dist/test/guest/restart.guest.js",
];
const { status } = spawnSync("demo/uml-run", ["-t", String(seconds), ...inside], { stdio: ["ignore", "inherit", "inherit"] });
process.exit(status ?? 1);
