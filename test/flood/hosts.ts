/**
 * Runs in namespaces of its own: one daemon that anybody may call, a flood of first messages from forged addresses, and in the middle of it honest
 * peers who begin: half of them strongSwan's, half mainmode's. All are started before the flood. The machine's kernel may have no ESP: ours is in
 * memory (daemon.ts), strongSwan's a process (its plugin kernel-libipsec, which wants tunnels in UDP).
 *
 *   node hosts.js PLAN RESULT
 */
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { ask, type Status } from "../../cli/client.ts";
import { V8_OPTIONS } from "../../daemon/runtime-options.ts";
import { eventually, type Shell, shell, start, stop } from "../interop/shell.ts";
import { inGuest } from "../interop/uml.ts";

export interface FloodPlan {
  readonly directory: string;
  /** First messages a second. */
  readonly rate: number;
  /** How long at most the honest ones may take, under the flood. */
  readonly seconds: number;
  /** Seconds that the flood lasts at least. */
  readonly least: number;
  readonly honest: number;
}

export interface FloodResult {
  readonly sent: number;
  readonly sentSeconds: number;
  /** Datagrams that reached the daemon's sockets, that its program dropped in the kernel, and that did not fit into the buffers. */
  readonly received: number;
  readonly sieved: number;
  readonly overrun: number;
  /** Seconds after which so many of each kind stood. */
  readonly strongswan: Stood;
  readonly mainmode: Stood;
  /** Pairs of SAs that stand with us. */
  readonly children: number;
  /** Resident kilobytes of our daemon: before, at most, after. */
  readonly resident: readonly [number, number, number];
  readonly mostHalfOpen: number;
  readonly logOctets: number;
}

export interface Stood {
  readonly wanted: number;
  readonly reached: number;
  readonly firstSeconds: number;
  readonly lastSeconds: number;
}

const US = "192.0.2.1";
const STORM = "192.0.2.254";
/** Behind us and behind the strongSwan of a number. */
const OUR_LAN = "198.51.100.1";
const lanOf = (i: number): string => `203.0.113.${1 + i}`;
const KEY = "a throwaway key for this test";
/** Until the table of half-open negotiations is full enough that strangers are put off. */
const BEFORE_HONEST_MS = 5000;
const SPACES = ["us", "swan", "mates", "storm"] as const;
type Space = (typeof SPACES)[number];

const addressOf = (i: number): string => `192.0.2.${11 + i}`;
const on = (space: Space, argv: readonly string[]): readonly string[] => ["ip", "netns", "exec", space, ...argv];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function main(planFile: string, resultFile: string): Promise<void> {
  const plan: FloodPlan = JSON.parse(readFileSync(planFile, "utf8"));
  const run = shell(() => `${plan.directory}/transcript.txt`);
  const half = Math.floor(plan.honest / 2);
  const [swans, mates] = [range(0, half), range(half, plan.honest)];
  await makeNetwork(run, swans, mates);
  const us = await startUs(plan, swans);
  const [swan, mate] = await Promise.all([startSwan(run, plan, swans), startMates(plan, mates)]);
  const before = resident(us);
  const datagrams = await counted(run);
  const storm = await startStorm(run, plan);
  await sleep(BEFORE_HONEST_MS);
  const watch = watching(plan, us);
  const began = performance.now();
  void beginMates(plan, mates).catch((error: unknown) => console.error(error));
  await swanctl(run, ["--load-all", "--noprompt", "--file", "/run/swan/swanctl.conf"]);
  const [strongswan, mainmode] = await Promise.all([
    standing(plan, began, swans.length, async () => ((await swanctl(run, ["--list-sas"])).match(/INSTALLED/g) ?? []).length),
    standing(
      plan,
      began,
      mates.length,
      async () => (await statusOf(plan, "mates")).childSas.filter(({ state }) => state === "installed").length,
    ),
  ]);
  const sent = await finished(storm, plan, began);
  const { most, halfOpen } = await watch();
  const after = await counted(run);
  const { childSas, ikeSas } = await statusOf(plan, "us");
  const result: FloodResult = {
    sent: sent.sent,
    sentSeconds: sent.seconds,
    received: after.received - datagrams.received,
    sieved: after.sieved - datagrams.sieved,
    overrun: after.overrun - datagrams.overrun,
    strongswan,
    mainmode,
    children: childSas.filter(({ state }) => state === "installed").length,
    resident: [before, most, resident(us)],
    mostHalfOpen: Math.max(halfOpen, halfOpenOf(ikeSas)),
    logOctets: readFileSync(`${plan.directory}/us.log`).length,
  };
  for (const child of [swan, mate, us]) await stop(child);
  writeFileSync(resultFile, JSON.stringify(result));
}

const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Four hosts on one wire. The way to forged addresses leads to the one that forges them, which says nothing. */
async function makeNetwork(run: Shell, swans: readonly number[], mates: readonly number[]): Promise<void> {
  for (const name of [...SPACES, "wire"]) await run(["ip", "netns", "add", name]);
  const links = SPACES.map((name) => `link add ${name} netns wire type veth peer name wire netns ${name}`);
  await batch(run, [], ["link add bridge netns wire type bridge forward_delay 0", ...links]);
  await batch(run, ["-n", "wire"], ["link set bridge up", ...SPACES.map((name) => `link set ${name} master bridge up`)]);
  const addresses = { us: [US], swan: swans.map(addressOf), mates: mates.map(addressOf), storm: [STORM] };
  for (const name of SPACES)
    await batch(
      run,
      ["-n", name],
      ["link set lo up", "link set wire up", ...addresses[name].map((one) => `address add ${one}/24 dev wire`)],
    );
  await batch(
    run,
    ["-n", "swan"],
    swans.map((i) => `address add ${lanOf(i)}/32 dev lo`),
  );
  await batch(run, ["-n", "us"], [`neighbour add ${STORM} lladdr ${await mac(run, "storm")} dev wire`, `route add default via ${STORM}`]);
}

const batch = (run: Shell, options: readonly string[], lines: readonly string[]) =>
  run(["ip", ...options, "-batch", "-"], { input: `${lines.join("\n")}\n` });

const mac = async (run: Shell, space: Space): Promise<string> =>
  /link\/ether (\S+)/.exec((await run(["ip", "-n", space, "link", "show", "wire"])).stdout)?.[1] ?? "";

const POLICY = `[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["esp:aes128-sha256"]
pfs = "none"
`;

/** Transport mode with anybody; a tunnel for each strongSwan. */
const ourRules = (swans: readonly number[]): string =>
  [
    rule("anybody", "me <-> any", 'action = "respond"'),
    ...swans.map((i) =>
      rule(
        `swan-${i}`,
        `${OUR_LAN} <-> ${lanOf(i)}`,
        `mode = "tunnel"\ntunnel = { local = "${US}", remote = "${addressOf(i)}" }\naction = "require"\nstart = "never"`,
      ),
    ),
  ].join("");

const rule = (name: string, filter: string, more: string): string =>
  `[[rule]]\nname = "${name}"\nfilters = ["${filter}"]\nauth = [{ method = "psk", secret = "${KEY}" }]\n${more}\n`;

const controlOf = (plan: FloodPlan, space: Space): string => `/run/${space}-${plan.honest}.sock`;

async function daemon(plan: FloodPlan, space: Space, rules: string): Promise<ChildProcess> {
  const file = `${plan.directory}/${space}.toml`;
  writeFileSync(file, `[daemon]\ncontrol = "${controlOf(plan, space)}"\nkeep-across-restart = false\n${POLICY}${rules}`, { mode: 0o600 });
  const child = start(on(space, [process.execPath, ...V8_OPTIONS, sibling("daemon"), file]), `${plan.directory}/${space}.log`);
  const said = (): string => readFileSync(`${plan.directory}/${space}.log`, "utf8");
  if (!(await eventually(90, () => said().includes("mainmode serves IKE")))) throw new Error(`${space} does not start`);
  return child;
}

/** Another file of this folder, as sources or built. */
const sibling = (name: string): string => new URL(import.meta.url.replace(/hosts(\.[jt]s)$/, `${name}$1`)).pathname;

const startUs = (plan: FloodPlan, swans: readonly number[]): Promise<ChildProcess> => daemon(plan, "us", ourRules(swans));

const startMates = (plan: FloodPlan, mates: readonly number[]): Promise<ChildProcess> =>
  daemon(plan, "mates", mates.map((i) => rule(`mate-${i}`, `${addressOf(i)} <-> ${US}`, 'action = "require"\nstart = "never"')).join(""));

/** As rules do that should be up: whoever has no SA after a while begins again. Nobody waits for them: what stands is looked at. */
async function beginMates(plan: FloodPlan, mates: readonly number[]): Promise<void> {
  for (const until = performance.now() + plan.seconds * 1000; performance.now() < until; await sleep(AGAIN_MS)) {
    const { childSas } = await statusOf(plan, "mates");
    const up = new Set(childSas.map(({ rule: name }) => name));
    const left = mates.filter((i) => !up.has(`mate-${i}`));
    if (left.length === 0) return;
    await beginThese(plan, left);
  }
}

/** A little longer than one attempt takes. */
const AGAIN_MS = 30_000;

async function beginThese(plan: FloodPlan, mates: readonly number[]): Promise<void> {
  const path = controlOf(plan, "mates");
  const begin = (i: number) => ask({ path, request: { command: "initiate", rule: `mate-${i}`, wait: 1 }, patienceSeconds: 60 });
  // So many clients at once the control socket takes.
  for (let i = 0; i < mates.length; i += 16) await Promise.all(mates.slice(i, i + 16).map(begin));
}

async function statusOf(plan: FloodPlan, space: Space): Promise<Status> {
  let found: Status | undefined;
  await ask({
    path: controlOf(plan, space),
    request: { command: "status" },
    onStatus: (document) => (found = document),
    patienceSeconds: 20,
  });
  if (!found) throw new Error("no status");
  return found;
}

/** charon at its own intervals of retransmission. */
async function startSwan(run: Shell, plan: FloodPlan, swans: readonly number[]): Promise<ChildProcess> {
  const own = "/run/swan";
  mkdirSync(own, { recursive: true });
  writeFileSync(
    `${own}/strongswan.conf`,
    `charon-systemd {
  load = random nonce openssl curve25519 hmac kdf vici kernel-libipsec kernel-netlink socket-default
  install_routes = no
  filelog { log { path = ${plan.directory}/charon.log
    default = 1
    flush_line = yes } }
  plugins { vici { socket = unix:///run/vici } }
}
`,
  );
  const connections = swans.map(
    (i) => `swan-${i} { version = 1
 local_addrs = ${addressOf(i)}
 remote_addrs = ${US}
 proposals = aes128-sha256-x25519
 keyingtries = 0
 local { auth = psk }
 remote { auth = psk }
 children { child-${i} { mode = tunnel
 local_ts = ${lanOf(i)}/32
 remote_ts = ${OUR_LAN}/32
 esp_proposals = aes128-sha256
 start_action = start } } }`,
  );
  writeFileSync(`${own}/swanctl.conf`, `connections {\n${connections.join("\n")}\n}\nsecrets { ike-all { secret = "${KEY}" } }\n`);
  const script = `mount --bind ${own} /run && STRONGSWAN_CONF=/run/strongswan.conf exec charon-systemd`;
  const child = start(on("swan", ["unshare", "-m", "sh", "-c", script]), `${plan.directory}/charon.out`);
  if (!(await eventually(30, async () => (await swanctl(run, ["--stats"])) !== ""))) throw new Error("charon does not start");
  return child;
}

async function swanctl(run: Shell, argv: readonly string[]): Promise<string> {
  const env = { STRONGSWAN_CONF: "/run/swan/strongswan.conf" };
  const { status, stdout } = await run(["swanctl", ...argv, "--uri", "unix:///run/swan/vici"], { env, mayFail: true, seconds: 60 });
  return status === 0 ? stdout : "";
}

/** Asks until all stand, or the time is over. */
async function standing(plan: FloodPlan, began: number, wanted: number, count: () => Promise<number>): Promise<Stood> {
  let [reached, firstSeconds, lastSeconds] = [0, 0, 0];
  await eventually(plan.seconds, async () => {
    const now = await count();
    const seconds = (performance.now() - began) / 1000;
    if (now > 0 && firstSeconds === 0) firstSeconds = seconds;
    if (now > reached) [reached, lastSeconds] = [now, seconds];
    if (now < wanted) await sleep(1000);
    return now >= wanted;
  });
  return { wanted, reached, firstSeconds, lastSeconds };
}

async function startStorm(run: Shell, plan: FloodPlan): Promise<ChildProcess> {
  const index = /^(\d+):/m.exec((await run(["ip", "-n", "storm", "link", "show", "wire"])).stdout)?.[1] ?? "";
  const argv = [
    index,
    await mac(run, "storm"),
    await mac(run, "us"),
    US,
    `${plan.rate}`,
    `${Math.max(plan.seconds, plan.least) + BEFORE_HONEST_MS / 1000}`,
  ];
  // Before all others, so that the rate is what it should be however busy they are.
  return start(on("storm", ["nice", "-n", "-10", process.execPath, sibling("storm"), ...argv]), `${plan.directory}/storm.json`);
}

/** The flood goes on for a while after the last honest peer. */
async function finished(storm: ChildProcess, plan: FloodPlan, began: number): Promise<{ readonly sent: number; readonly seconds: number }> {
  await sleep(Math.max(0, plan.least * 1000 - (performance.now() - began)));
  storm.kill("SIGTERM");
  if (storm.exitCode === null) await new Promise((resolve) => storm.once("exit", resolve));
  return JSON.parse(readFileSync(`${plan.directory}/storm.json`, "utf8"));
}

/** What UDP counts in our namespace. */
async function counted(run: Shell): Promise<Pick<FloodResult, "received" | "sieved" | "overrun">> {
  const { stdout } = await run(on("us", ["cat", "/proc/net/snmp"]));
  const [names = [], values = []] = stdout.split("\n").flatMap((line) => (line.startsWith("Udp: ") ? [line.split(" ")] : []));
  const of = (name: string): number => Number(values[names.indexOf(name)] ?? 0);
  return { received: of("InDatagrams"), sieved: of("InErrors") - of("RcvbufErrors"), overrun: of("RcvbufErrors") };
}

/** Memory and the table of half-open negotiations, looked at now and then. */
function watching(plan: FloodPlan, us: ChildProcess): () => Promise<{ readonly most: number; readonly halfOpen: number }> {
  let [most, halfOpen, over] = [0, 0, false];
  const looking = (async () => {
    for (let i = 0; !over; i++) {
      most = Math.max(most, resident(us));
      if (i % 20 === 19)
        await statusOf(plan, "us").then(
          ({ ikeSas }) => {
            halfOpen = Math.max(halfOpen, halfOpenOf(ikeSas));
          },
          () => {},
        );
      await sleep(1000);
    }
  })();
  return async () => {
    over = true;
    await looking;
    return { most, halfOpen };
  };
}

const halfOpenOf = (ikeSas: Status["ikeSas"]): number => ikeSas.filter(({ state }) => state === "negotiating").length;

/** Kilobytes that a process holds. */
const resident = (child: ChildProcess): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0);

await inGuest(main);
