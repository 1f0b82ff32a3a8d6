/** `npm run browser`: the web monitor in Chromium (test/browser). */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const argv = [...process.execArgv, "--test", "--test-timeout=150000", "dist/test/browser/monitor.browser.js"];
process.exitCode = spawnSync(process.execPath, argv, { stdio: ["ignore", "inherit", "inherit"] }).status ?? 1;
