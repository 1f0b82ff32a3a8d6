/**
 * Records the picture of the terminal monitor: mainmode and strongSwan in a guest with ESP, SAs with pings through them, a tunnel that does not come
 * up and a peer with another key, seen in tmux.
 *
 *   node dist/test/interop/picture.js      after `node scripts/setup.js interop` and `node scripts/setup.js test`
 */
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PICTURE, readScreen, SIZE } from "../cli/monitor-picture.ts";
import { drawScreen } from "../cli/terminal-svg.ts";
import type { Plan } from "./guest.ts";
import { mainmode } from "./mainmode.ts";
import { makeNetwork, on } from "./network.ts";
import { makePki } from "./pki.ts";
import { place } from "./scenario.ts";
import { scenarios } from "./scenarios.ts";
import { shell } from "./shell.ts";
import { strongswan } from "./strongswan.ts";

/** Names in the picture, and whose scenarios they are. */
const SHOWN: Readonly<Record<string, string>> = {
  database: "strongswan-initiator-usual",
  "branch-office": "strongswan-initiator-office",
  warehouse: "strongswan-responder-two-filters",
  "file-server": "strongswan-initiator-rsa2048",
  "old-printer": "strongswan-initiator-3des-modp1024",
  kiosk: "strongswan-initiator-wrong-psk",
};

function record(): void {
  const directory = resolve(".lab/picture");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const placed = Object.entries(SHOWN).map(([name, id], index) => {
    const scenario = scenarios().find((one) => one.name === id);
    if (!scenario) throw new Error(`no scenario ${id}`);
    return place({ ...scenario, name }, index);
  });
  makePki(`${directory}/pki`, placed);
  writeFileSync(`${directory}/plan.json`, JSON.stringify({ directory, us: "mainmode", theirs: "strongswan", placed } satisfies Plan));
  const argv = ["-t", "280", "-m", "2G", "-w", directory, process.execPath, fileURLToPath(import.meta.url), `${directory}/plan.json`];
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const { status } = spawnSync("demo/uml-run", argv, { env, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`the guest ended with ${status}, see ${directory}`);
  copyFileSync(`${directory}/screen`, PICTURE.screen);
  writeFileSync(PICTURE.svg, drawScreen(readScreen()));
}

/** Inside of the guest. */
async function show({ directory, placed }: Plan): Promise<void> {
  const run = shell(() => `${directory}/transcript.txt`);
  mkdirSync("/dev/pts", { recursive: true });
  await run(["mount", "-t", "devpts", "devpts", "/dev/pts"]);
  await makeNetwork(run, placed);
  const party = (side: "us" | "theirs") => {
    mkdirSync(`${directory}/${side}`, { recursive: true });
    return { side, placed, run, directory: `${directory}/${side}`, pki: `${directory}/pki` };
  };
  const [us, theirs] = [mainmode(party("us")), strongswan(party("theirs"))];
  await Promise.all([us.start(), theirs.start()]);
  const tmux = (...words: readonly string[]) => run(["tmux", "-S", `${tmpdir()}/tmux`, "-f", "/dev/null", ...words]);
  const monitor = ["env", "LC_ALL=C.UTF-8", process.execPath, "dist/cli/main.js", "monitor", "--control", `${tmpdir()}/us/control.sock`];
  await tmux("new-session", "-d", "-x", `${SIZE.columns}`, "-y", `${SIZE.rows}`, monitor.join(" "));
  for (const scenario of placed) {
    if (scenario.role === "responder") await theirs.initiate(scenario);
    else if (scenario.differs === null) await us.initiate(scenario);
    else void us.initiate(scenario);
    for (const [i, flow] of scenario.us.flows.entries()) {
      const size = ["-s", `${200 + 300 * i + 40 * scenario.name.length}`, "-i", `${0.1 + scenario.name.length / 40}`];
      const words = on("us", ["ping", "-n", "-q", ...size, "-I", flow.address, scenario.theirs.flows[i]?.address ?? ""]);
      if (scenario.differs === null) spawn(words[0] ?? "", words.slice(1), { stdio: "ignore" });
    }
  }
  await new Promise((done) => setTimeout(done, 9000));
  const { stdout } = await tmux("capture-pane", "-p", "-e");
  writeFileSync(`${directory}/screen`, stdout);
}

const [, , plan] = process.argv;
if (plan === undefined) record();
// What still runs ends with the guest.
else
  await show(JSON.parse(readFileSync(plan, "utf8"))).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
