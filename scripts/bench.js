/** `npm run bench`: the benchmark under the options of V8 with which the daemon is meant to run. Its own options are those of bench/main.ts. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { V8_OPTIONS } = await import("../dist/daemon/v8-options.js");
const { status } = spawnSync(process.execPath, [...V8_OPTIONS, "dist/bench/main.js", ...process.argv.slice(2)], { stdio: "inherit" });
process.exitCode = status ?? 1;
