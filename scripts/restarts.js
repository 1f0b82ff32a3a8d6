/**
 * `npm run restarts -- --times N [--peer strongswan|libreswan]`: kills and restarts our daemons N times each under traffic, in a guest with ESP:
 * two of ours (test/guest/restart.guest.ts), or one of ours with a peer, every other time by kill -9 (test/soak).
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { values } = parseArgs({ options: { times: { type: "string", default: "20" }, peer: { type: "string" } } });
const times = Number(values.times);
if (!Number.isInteger(times) || times < 1) {
  console.error("usage: npm run restarts -- --times N [--peer strongswan|libreswan]");
  process.exit(2);
}
process.exitCode = values.peer === undefined ? amongOurselves() : await withPeer(values.peer);

function amongOurselves() {
  const lab = resolve(".lab/restarts");
  rmSync(lab, { recursive: true, force: true });
  mkdirSync(join(lab, "secrets"), { recursive: true, mode: 0o700 });
  const inside = [
    "env",
    `MAINMODE_LEDGER=${join(lab, "secrets")}`,
    `MAINMODE_RESTARTS=${times}`,
    process.execPath,
    "--test",
    "--test-reporter=spec",
    "dist/test/guest/restart.guest.js",
  ];
  const { status } = spawnSync("demo/uml-run", ["-t", String(600 + 120 * times), "-w", lab, ...inside], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return status ?? 1;
}

/** Lives that no restart comes near, and a trickle of traffic. */
async function withPeer(peer) {
  const { main } = await import("../dist/test/soak/main.js");
  const lives = ["--life", "900", "--main-life", "7200", "--volume", "4000000000"];
  return main(["--peer", peer, "--minutes", "0.2", "--rate", "10000", ...lives, "--no-disasters", "--restarts", String(times)]);
}
