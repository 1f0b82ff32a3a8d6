/** `npm run bench`: the benchmark under the settings of V8 and the C library with which the daemon is meant to run. Its own options are those of bench/main.ts. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { ENVIRONMENT, V8_OPTIONS } = await import("../dist/daemon/runtime-options.js");
const { status } = spawnSync(process.execPath, [...V8_OPTIONS, "dist/bench/main.js", ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...process.env, ...ENVIRONMENT },
});
process.exitCode = status ?? 1;
