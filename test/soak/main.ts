/**
 * `npm run soak`: traffic through SAs that live 30 seconds and 20 MB, both ends renewing, against strongSwan and libreswan in a kernel with ESP.
 * Not one packet may be lost or seen in clear, and SAs must not pile up.
 *
 *   npm run soak -- [--minutes N] [--peer PEER] [--rate OCTETS] [--life SECONDS] [--volume OCTETS] [--main-life SECONDS] [--no-disasters] [-w DIR]
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { makePki } from "../interop/pki.ts";
import { place, type Scenario } from "../interop/scenario.ts";
import { uml } from "../interop/uml.ts";
import type { SoakPlan, SoakResult } from "./guest.ts";

const HELP = `npm run soak -- [options]
  --minutes N          with each peer (15)
  --peer PEER          strongswan or libreswan; both at the same time where it is left out
  --rate OCTETS        a second, of the UDP flow (500000); 0: as fast as it goes, figures only
  --life SECONDS       of a Quick Mode (30)
  --volume OCTETS      of a Quick Mode (20000000)
  --main-life SECONDS  of a Main Mode (120)
  --no-disasters       no peer is killed and no delete lost afterwards
  --restarts N         of our daemon afterwards, every other by kill -9 (0); wants a life of three restarts at least
  --evidence           records the wire and the news of both kernels
  -w DIR               where logs go (.lab/soak)`;

const PEERS = ["strongswan", "libreswan"] as const;
type Peer = (typeof PEERS)[number];

/** Runs what the command line asks for; resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...{ minutes: text, peer: text, restarts: text, rate: text, life: text, volume: text, "main-life": text },
      ...{ "no-disasters": flag, evidence: flag, help: flag, write: { type: "string", short: "w" } },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const peers = values.peer === undefined ? PEERS : PEERS.filter((peer) => peer === values.peer);
  if (peers.length === 0) return 2;
  const plans = peers.map((peer): SoakPlan => {
    const directory = resolve(values.write ?? ".lab/soak", peer);
    const lives = {
      mainModeSeconds: Number(values["main-life"] ?? 120),
      quickModeSeconds: Number(values.life ?? 30),
      octets: Number(values.volume ?? 20_000_000),
    };
    const [seconds, rate] = [Number(values.minutes ?? 15) * 60, Number(values.rate ?? 500_000)];
    return {
      directory,
      peer,
      placed: place(scenario(peer), 0),
      lives,
      seconds,
      rate,
      disasters: !values["no-disasters"],
      evidence: values.evidence ?? false,
      restarts: Number(values.restarts ?? 0),
    };
  });
  let failed = false;
  // Each guest has one processor.
  await Promise.all(
    plans.map(async (plan) => {
      const result = await soak(plan);
      const wrong = typeof result === "string" ? [result] : judge(plan, result);
      if (typeof result !== "string") console.log(report(plan, result));
      for (const fault of wrong) console.log(`WRONG with ${plan.peer}: ${fault}`);
      failed ||= wrong.length > 0;
    }),
  );
  return failed ? 1 : 0;
}

const scenario = (peer: Peer): Scenario => ({
  ...{ name: `soak-${peer}`, peer, role: "initiator", ike: "aes128-sha1-modp2048", protect: "esp:aes128-sha1", pfs: "modp2048" },
  ...{
    mode: "transport",
    family: 4,
    inner: 4,
    flows: 1,
    only: null,
    trigger: "traffic",
    deletes: "us",
    differs: null,
    certificates: null,
    kerberos: false,
    fragmentation: null,
    narrow: false,
    shortSha256: false,
  },
});

/** What the guest found, or why there is nothing. */
async function soak(plan: SoakPlan): Promise<SoakResult | string> {
  rmSync(plan.directory, { recursive: true, force: true });
  mkdirSync(plan.directory, { recursive: true });
  const [planFile, resultFile] = [`${plan.directory}/plan.json`, `${plan.directory}/result.json`];
  makePki(`${plan.directory}/pki`, [plan.placed]);
  writeFileSync(planFile, JSON.stringify(plan, null, 1));
  const guest = fileURLToPath(import.meta.url).replace(/main(\.[jt]s)$/, "guest$1");
  const argv = [
    "-m",
    "2G",
    "-t",
    `${plan.seconds + 500 + plan.restarts * 30}`,
    "-w",
    plan.directory,
    process.execPath,
    guest,
    planFile,
    resultFile,
  ];
  const { status, said } = await uml(argv);
  if (status === 0 && existsSync(resultFile)) return JSON.parse(readFileSync(resultFile, "utf8"));
  return `the guest ended with ${status}, see ${plan.directory}: ${said.slice(-1500)}`;
}

/** Pairs in a kernel at a time: three of both directions where both ends renew at once, and one that drains. */
const MOST_STATES = 10;

/** Seconds until traffic passes after a disaster: dead peer detection at 5 s needs 32 s, and a Main Mode comes after it. */
const LONGEST_OUTAGE = 90;

function judge({ rate, seconds, lives, restarts }: SoakPlan, found: SoakResult): readonly string[] {
  const lostPings = found.pings.sent - found.pings.received;
  const lost = found.flow.sent - found.flow.received;
  const least = Math.floor(seconds / lives.quickModeSeconds / 1.5);
  const faults: readonly (readonly [boolean, string])[] = [
    [found.clear > 0, `${found.clear} packets in clear`],
    [!(found.pings.sent > seconds * 10), `only ${found.pings.sent} pings`],
    // An uncapped flow may fill a queue.
    [rate > 0 && !(lostPings === 0), `${lostPings} of ${found.pings.sent} pings lost`],
    [rate > 0 && !(lost === 0), `${lost} of ${found.flow.sent} datagrams lost`],
    [found.rekeys < least, `only ${found.rekeys} rekeys, ${least} at least were due`],
    [
      Math.max(found.mostStates.us, found.mostStates.theirs) > MOST_STATES,
      `up to ${found.mostStates.us} and ${found.mostStates.theirs} SAs`,
    ],
    [restarts > 0 && !(found.restarted.pings > restarts * 10), `only ${found.restarted.pings} pings while our daemon was restarted`],
    [!(found.restarted.lost === 0), `${found.restarted.lost} of ${found.restarted.pings} pings lost while our daemon was restarted`],
    [found.restarted.forgot > 0, `after ${found.restarted.forgot} restarts nothing was as before`],
    [(found.afterKill ?? 0) > LONGEST_OUTAGE, `${found.afterKill} s without traffic after the peer was killed`],
    [(found.afterLostDelete ?? 0) > LONGEST_OUTAGE, `${found.afterLostDelete} s without traffic after a lost delete`],
  ];
  return faults.flatMap(([bad, text]) => (bad ? [text] : []));
}

function report({ peer, seconds, lives, rate }: SoakPlan, found: SoakResult): string {
  const outage = (value: number | null): string => (value === null ? "not tried" : `${value.toFixed(1)} s`);
  const megabytes = found.resident.map((kilobytes) => (kilobytes / 1000).toFixed(1));
  return [
    `${peer}: ${(seconds / 60).toFixed(1)} min at ${lives.quickModeSeconds} s and ${lives.octets / 1e6} MB, Main Mode ${lives.mainModeSeconds} s, ${rate ? `${rate / 1000} kB/s` : "uncapped"}`,
    `  pings ${found.pings.sent}, lost ${found.pings.sent - found.pings.received}; datagrams ${found.flow.sent}, lost ${found.flow.sent - found.flow.received}; in clear ${found.clear}`,
    ...(["us", "theirs"] as const).flatMap((side) =>
      Object.entries(found.dropped[side]).map(
        ([name, count]) => `  the kernel of ${side === "us" ? "mainmode" : peer} counted ${name} ${count}`,
      ),
    ),
    `  rekeys ${found.rekeys}, Main Modes ${found.mainModes}, SAs in the kernels at most ${found.mostStates.us} and ${found.mostStates.theirs}, warnings ${found.warnings.length}`,
    `  resident ${megabytes[0]} MB at first, ${megabytes[1]} MB at the end, ${megabytes[2]} MB at most`,
    `  our daemon restarted ${found.restarted.times} times under ${found.restarted.pings} pings, lost ${found.restarted.lost}`,
    `  traffic again after the peer was killed: ${outage(found.afterKill)}; after a lost delete: ${outage(found.afterLostDelete)}`,
    ...[...new Set(found.warnings)].slice(0, 5).map((text) => `  warning: ${text}`),
  ].join("\n");
}
