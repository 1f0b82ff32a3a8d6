/**
 * Runs inside a guest: mainmode on one side, a peer on the other, short lifetimes on both, traffic without a pause, and what became of it.
 *
 *   node guest.js PLAN RESULT
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { states } from "../interop/kernel-view.ts";
import { libreswan } from "../interop/libreswan.ts";
import { EVENT_LOG, mainmode } from "../interop/mainmode.ts";
import { capture, makeNetwork, on, ping, type Side } from "../interop/network.ts";
import type { Lives, Party, PartyOptions } from "../interop/party.ts";
import type { Placed } from "../interop/scenario.ts";
import { eventually, type Shell, shell, start, stop } from "../interop/shell.ts";
import { strongswan } from "../interop/strongswan.ts";
import { inGuest, keepLedgerIn } from "../interop/uml.ts";

export interface SoakPlan {
  readonly directory: string;
  readonly peer: "strongswan" | "libreswan";
  readonly placed: Placed;
  readonly lives: Lives;
  readonly seconds: number;
  /** Octets a second of the UDP flow; 0: as fast as it goes. */
  readonly rate: number;
  /** Whether the peer is killed and a delete lost afterwards. */
  readonly disasters: boolean;
  /** How often our daemon is killed and started again afterwards, every other time with a word of warning. */
  readonly restarts: number;
  /** Whether the wire is recorded, and what both kernels say of their SAs. */
  readonly evidence: boolean;
}

export interface SoakResult {
  readonly pings: { readonly sent: number; readonly received: number };
  readonly flow: { readonly sent: number; readonly received: number };
  /** What both kernels dropped during that time, by the names of /proc/net/xfrm_stat. */
  readonly dropped: Readonly<Record<Side, Counts>>;
  /** Packets that were neither IKE nor protected nor ARP. */
  readonly clear: number;
  readonly rekeys: number;
  readonly mainModes: number;
  readonly warnings: readonly string[];
  readonly mostStates: { readonly us: number; readonly theirs: number };
  /** Resident kilobytes of mainmode: at first, at the end, at most. */
  readonly resident: readonly [number, number, number];
  /** Seconds until traffic passed again after the peer was killed and restarted, and after a delete was lost; null: not tried. */
  readonly restarted: Restarted;
  readonly afterKill: number | null;
  readonly afterLostDelete: number | null;
}

/** What our own restarts did to a flow of pings. */
export interface Restarted {
  readonly times: number;
  readonly pings: number;
  readonly lost: number;
  /** Restarts after which no IKE SA was there that had been there before. */
  readonly forgot: number;
}

type Counts = Readonly<Record<string, number>>;

async function main(planFile: string, resultFile: string): Promise<void> {
  const plan: SoakPlan = JSON.parse(readFileSync(planFile, "utf8"));
  keepLedgerIn(plan.directory);
  const run = shell(() => `${plan.directory}/transcript.txt`);
  // The receiver may be slow for a moment; that is not what is measured.
  writeFileSync("/proc/sys/net/core/rmem_max", `${16 << 20}`);
  await makeNetwork(run, [plan.placed]);
  const clear = start(["ip", "netns", "exec", "wire", "tcpdump", "-n", "-l", "-i", "bridge", `not (${MAY_BE_SEEN})`], clearFile(plan));
  const party = (side: "us" | "theirs"): PartyOptions => {
    mkdirSync(`${plan.directory}/${side}`, { recursive: true });
    return { side, placed: [plan.placed], run, directory: `${plan.directory}/${side}`, lives: plan.lives, pki: `${plan.directory}/pki` };
  };
  const us = mainmode(party("us"));
  const theirs = plan.peer === "strongswan" ? strongswan(party("theirs")) : libreswan(party("theirs"));
  await Promise.all([us.start(), theirs.start()]);
  const begun = await us.initiate(plan.placed);
  if (!begun.ok) throw new Error(`no SA: ${begun.text}`);
  await eventually(20, async () => (await pings(run, plan)) > 0);
  const witnesses = plan.evidence ? await witness(run, plan) : [];
  const result = await underTraffic(run, plan, us);
  const restarted = await restarts(plan, us);
  await stop(clear);
  for (const one of witnesses) await stop(one);
  const afterKill = plan.disasters ? await killed(run, plan, theirs) : null;
  const afterLostDelete = plan.disasters ? await deleteLost(run, plan, us) : null;
  await us.stop();
  await theirs.stop();
  const packets = readFileSync(clearFile(plan), "utf8")
    .split("\n")
    .filter((line) => / IP6? /.test(line)).length;
  writeFileSync(resultFile, JSON.stringify({ ...result, restarted, clear: packets, afterKill, afterLostDelete } satisfies SoakResult));
}

const clearFile = ({ directory }: SoakPlan): string => `${directory}/clear.txt`;
const MAY_BE_SEEN = "udp port 500 or udp port 4500 or ip proto 50 or ip proto 51 or arp or ip6 or igmp";

/** For whoever has to find out why a packet was lost: the wire, and the news of both kernels. */
const witness = async (run: Shell, { directory }: SoakPlan): Promise<readonly ChildProcess[]> => [
  await capture(run, `${directory}/wire.pcap`, `${directory}/tcpdump.txt`, 120),
  ...(["us", "theirs"] as const).map((side) =>
    start(on(side, ["ip", "-t", "xfrm", "monitor", "SA", "policy", "expire", "acquire"]), `${directory}/${side}/monitor.txt`),
  ),
];

/** What a host's kernel has dropped so far. */
async function drops(run: Shell, side: Side): Promise<Counts> {
  const { stdout } = await run(on(side, ["cat", "/proc/net/xfrm_stat"]));
  return Object.fromEntries(
    stdout.split("\n").flatMap((line) => (line ? [[line.split(/\s+/)[0] ?? "", Number(line.split(/\s+/)[1])]] : [])),
  );
}

const since = (before: Counts, after: Counts): Counts =>
  Object.fromEntries(
    Object.entries(after).flatMap(([name, count]) => (count > (before[name] ?? 0) ? [[name, count - (before[name] ?? 0)]] : [])),
  );

const pings = (run: Shell, { placed }: SoakPlan): Promise<number> => ping(run, "us", placed.us.host, placed.theirs.host, 1, 1);

async function underTraffic(
  run: Shell,
  plan: SoakPlan,
  us: Party,
): Promise<Omit<SoakResult, "clear" | "restarted" | "afterKill" | "afterLostDelete">> {
  const { placed, seconds, rate, directory } = plan;
  const [own, other] = [placed.us.host, placed.theirs.host];
  const flow = new URL(import.meta.url.replace(/guest(\.[jt]s)$/, "flow$1")).pathname;
  const log = (name: string): string => `${directory}/${name}.txt`;
  const receiver = start(on("theirs", [process.execPath, flow, "receive", other]), log("received"));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const before = resident(us);
  const dropped = { us: await drops(run, "us"), theirs: await drops(run, "theirs") };
  const sending = run(on("us", [process.execPath, flow, "send", own, other, `${rate || UNCAPPED}`, `${seconds}`]), {
    seconds: seconds + 60,
  });
  // Two at 50 a second: the guest's clock ticks a hundred times a second, and a sleep takes one tick more than asked for.
  const one = () =>
    run(on("us", ["ping", "-n", "-D", "-i", "0.01", "-c", `${seconds * 45}`, other]), { seconds: seconds * 2 + 60, mayFail: true });
  const pinging = Promise.all([one(), one()]);
  const most = { us: 0, theirs: 0, resident: before };
  const watching = setInterval(() => {
    most.resident = Math.max(most.resident, resident(us));
    for (const side of ["us", "theirs"] as const)
      void states(run, side, placed).then((list) => {
        most[side] = Math.max(most[side], list.length);
      });
  }, 5000);
  const [sent, pinged] = await Promise.all([sending, pinging]);
  clearInterval(watching);
  await stop(receiver);
  const after = resident(us);
  const events = readFileSync(`${directory}/us/${EVENT_LOG}`, "utf8")
    .split("\n")
    .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  return {
    pings: {
      sent: pinged.reduce((sum, { stdout }) => sum + number(stdout, /(\d+) packets transmitted/), 0),
      received: pinged.reduce((sum, { stdout }) => sum + number(stdout, /(\d+) received/), 0),
    },
    dropped: { us: since(dropped.us, await drops(run, "us")), theirs: since(dropped.theirs, await drops(run, "theirs")) },
    flow: { sent: JSON.parse(sent.stdout).sent, received: JSON.parse(readFileSync(log("received"), "utf8")).received },
    rekeys: events.filter(({ event }) => event === "child.rekeyed").length,
    mainModes: events.filter(({ event, level }) => event === "ike.established" && level !== "warning").length,
    warnings: events
      .filter(({ level }) => level === "warning" || level === "error")
      .map((event) => `${event.text ?? event.msg ?? JSON.stringify(event)}`),
    mostStates: { us: most.us, theirs: most.theirs },
    resident: [before, after, most.resident],
  };
}

const UNCAPPED = 1e9;

/** Kilobytes that the daemon holds. */
const resident = (party: Party): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${party.pid()}/status`, "utf8"))?.[1] ?? 0);

/** Seconds until a ping is answered. */
async function recovered(run: Shell, plan: SoakPlan): Promise<number> {
  const started = performance.now();
  const again = await eventually(180, async () => (await pings(run, plan)) > 0);
  return again ? (performance.now() - started) / 1000 : Number.POSITIVE_INFINITY;
}

/** Our daemon dies, or is told to end, and is started again at once, while packets pass. */
async function restarts({ directory, placed, restarts: times }: SoakPlan, us: Party): Promise<Restarted> {
  if (times === 0) return { times, pings: 0, lost: 0, forgot: 0 };
  // Twenty a second; told to end, it says how many.
  const log = `${directory}/pings.txt`;
  const pinging = start(on("us", ["ping", "-n", "-q", "-i", "0.05", placed.theirs.host]), log);
  let forgot = 0;
  for (let done = 0; done < times; done++) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * (0.5 + Math.random())));
    const before = await cookies(us);
    const pid = us.pid();
    if (done % 2 === 0 && pid !== undefined) process.kill(pid, "SIGKILL");
    else await us.stop();
    await us.start();
    const after = await cookies(us);
    if (!before.some((cookie) => after.includes(cookie))) forgot++;
  }
  const ended = new Promise((resolve) => pinging.once("exit", resolve));
  pinging.kill("SIGINT");
  await ended;
  const said = readFileSync(log, "utf8");
  const number = (pattern: RegExp): number => Number(pattern.exec(said)?.[1] ?? Number.NaN);
  const sent = number(/(\d+) packets transmitted/);
  return { times, pings: sent, lost: sent - number(/(\d+) received/), forgot };
}

const cookies = async (us: Party): Promise<readonly string[]> =>
  ((await us.ourselves?.status())?.ikeSas ?? []).map(({ initiatorCookie, responderCookie }) => `${initiatorCookie} ${responderCookie}`);

/** The peer dies without a word, and comes back knowing nothing. Its kernel keeps its SAs, as after a crash, until the new one flushes them. */
async function killed(run: Shell, plan: SoakPlan, theirs: Party): Promise<number> {
  const pid = theirs.pid();
  if (pid !== undefined) process.kill(pid, "SIGKILL");
  await run(["ip", "-n", "theirs", "xfrm", "state", "flush"]);
  await run(["ip", "-n", "theirs", "xfrm", "policy", "flush"]);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await theirs.start();
  return recovered(run, plan);
}

/** We delete while the wire is cut, so that the peer goes on with what we have no more. */
async function deleteLost(run: Shell, plan: SoakPlan, us: Party): Promise<number> {
  await run(["ip", "-n", "wire", "link", "set", "theirs", "down"]);
  await us.terminate(plan.placed);
  await new Promise((resolve) => setTimeout(resolve, 7000));
  await run(["ip", "-n", "wire", "link", "set", "theirs", "up"]);
  const started = performance.now();
  const begun = await us.initiate(plan.placed);
  if (!begun.ok) throw new Error(`no SA after a lost delete: ${begun.text}`);
  return (await recovered(run, plan)) === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : (performance.now() - started) / 1000;
}

await inGuest(main);
