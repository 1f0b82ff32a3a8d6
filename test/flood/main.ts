/**
 * `npm run flood`: first messages from forged addresses while honest peers negotiate, in namespaces without a way out.
 *
 *   npm run flood -- [--seconds N] [--rate R] [--honest N] [-w DIR]
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { LOAD } from "../../ike/gate.ts";
import type { FloodPlan, FloodResult, Stood } from "./hosts.ts";

const HELP = `npm run flood -- [options]
  --seconds N   in which every honest peer has to succeed (300)
  --rate R      first messages a second (10000)
  --least N     how many seconds the flood lasts at least (30)
  --honest N    honest peers, half of them strongSwan's (100)
  -w DIR        where logs go (.lab/flood)`;

/** Kilobytes that the daemon may grow by: V8's young generation is 48 MB of them, and it leaves old garbage lying for a while. */
const MOST_GROWTH = 300_000;

/** Runs what the command line asks for; resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = {
    seconds: text,
    rate: text,
    least: text,
    honest: text,
    write: { type: "string", short: "w" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...argv], options });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const plan: FloodPlan = {
    directory: resolve(values.write ?? ".lab/flood"),
    rate: Number(values.rate ?? 10_000),
    seconds: Number(values.seconds ?? 300),
    least: Number(values.least ?? 30),
    honest: Number(values.honest ?? 100),
  };
  const found = await flood(plan);
  if (typeof found === "string") {
    console.error(found);
    return 1;
  }
  console.log(report(plan, found));
  const wrong = judge(plan, found);
  for (const text of wrong) console.log(`WRONG ${text}`);
  return wrong.length === 0 ? 0 : 1;
}

/** What was found, or why there is nothing. */
async function flood(plan: FloodPlan): Promise<FloodResult | string> {
  rmSync(plan.directory, { recursive: true, force: true });
  mkdirSync(plan.directory, { recursive: true });
  const [planFile, resultFile] = [`${plan.directory}/plan.json`, `${plan.directory}/result.json`];
  writeFileSync(planFile, JSON.stringify(plan));
  const hosts = fileURLToPath(import.meta.url).replace(/main(\.[jt]s)$/, "hosts$1");
  // What runs there ends with us, however we end, and so do its namespaces.
  const argv = [
    ...["--pdeathsig", "KILL", "unshare"],
    ...["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"],
    "sh",
    "-c",
    'mount -t tmpfs none /run && exec "$@"',
    "sh",
  ];
  const status = await new Promise<number | null>((resolve, reject) => {
    const child = spawn("setpriv", [...argv, process.execPath, hosts, planFile, resultFile], { stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (status === 0 && existsSync(resultFile)) return JSON.parse(readFileSync(resultFile, "utf8"));
  return `it ended with ${status}, see ${plan.directory}`;
}

/** Of the rate that was asked for, below which it was no such flood; and half-open strangers from which on others have to come twice. */
const LEAST_RATE = 0.9;
const LOADED = LOAD * 0.9;
/** Those from before, and what a full filter takes for repeated in a minute. */
const MOST_HALF_OPEN = 10 * LOAD;
/** Octets of the log of a run: what all peers together may cause in its minutes, and what stands at its beginning. */
const MOST_LOG = 10_000_000;

/** What was not as it has to be. */
export function judge({ rate }: Pick<FloodPlan, "rate">, found: FloodResult): readonly string[] {
  const { strongswan, mainmode, children, resident } = found;
  const [before, most] = resident;
  const sent = found.sent / found.sentSeconds;
  const faults: readonly (readonly [boolean, string])[] = [
    [strongswan.reached < strongswan.wanted, `${strongswan.reached} of ${strongswan.wanted} of strongSwan's succeeded`],
    [mainmode.reached < mainmode.wanted, `${mainmode.reached} of ${mainmode.wanted} of mainmode's succeeded`],
    [children < strongswan.wanted + mainmode.wanted, `${children} pairs of SAs stand with us`],
    [most - before > MOST_GROWTH, `the daemon grew from ${before} to ${most} kB`],
    [sent < rate * LEAST_RATE, `${sent.toFixed(0)} first messages a second were sent, of ${rate}: this machine cannot make such a flood`],
    [found.received + found.overrun + found.sieved < found.sent * LEAST_RATE, `${found.received} of ${found.sent} datagrams arrived`],
    [found.mostHalfOpen < LOADED, `no more than ${found.mostHalfOpen} were half-open: the flood was no load`],
    [found.mostHalfOpen > MOST_HALF_OPEN, `${found.mostHalfOpen} were half-open: the second look keeps nobody out`],
    [found.logOctets > MOST_LOG, `the log grew to ${found.logOctets} octets`],
  ];
  return faults.flatMap(([bad, text]) => (bad ? [text] : []));
}

function report({ rate }: FloodPlan, found: FloodResult): string {
  const stood = ({ reached, wanted, firstSeconds, lastSeconds }: Stood): string =>
    `${reached} of ${wanted} stood, the first after ${firstSeconds.toFixed(1)} s, the last after ${lastSeconds.toFixed(1)} s`;
  const megabytes = found.resident.map((kilobytes) => (kilobytes / 1000).toFixed(0));
  return [
    `flood: ${found.sent} first messages in ${found.sentSeconds.toFixed(1)} s, ${(found.sent / found.sentSeconds).toFixed(0)} a second (${rate} asked for); ${found.received} datagrams read, ${found.sieved} dropped by our program, ${found.overrun} found the buffer full`,
    `strongSwan: ${stood(found.strongswan)}`,
    `mainmode: ${stood(found.mainmode)}`,
    `half-open at most ${found.mostHalfOpen} when looked at; resident ${megabytes[0]} MB before, ${megabytes[1]} MB at most, ${megabytes[2]} MB after; log ${(found.logOctets / 1000).toFixed(0)} kB`,
  ].join("\n");
}
