/**
 * The build: tsc for everything that runs under Node, tsc for what runs in a browser, and the files that need no compiler. Plain JavaScript.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

for (const args of [[], ["-p", "web"]]) {
  const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
mkdirSync("dist/web", { recursive: true });
for (const name of readdirSync("web")) if (/\.(html|css|svg)$/.test(name)) copyFileSync(`web/${name}`, `dist/web/${name}`);
