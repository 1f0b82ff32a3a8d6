/**
 * The demo in a kernel with ESP: two network namespaces with a wire between them, a daemon's process in each, real packets.
 * Everything that is said to have happened is checked where it is said: on the wire, and in both kernels' counters.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { table } from "../cli/format.ts";
import { fromHex } from "../isakmp/hex.ts";
import { formatSpi } from "../kernel/xfrm-args.ts";
import { type StateRecord, xfrmStates } from "../kernel/xfrm-state.ts";
import { type Capture, captureWire } from "./capture.ts";
import type { Cleanup } from "./cleanup.ts";
import { type DemoAuth, makeCredentials } from "./credentials.ts";
import { espRung, holdsText, ikeRungs, readWire, type Wire } from "./packets.ts";
import type { Page } from "./page.ts";
import { type End, initiate, makeScene, showRule, showStatus, shutdown } from "./scene.ts";
import { showLadder } from "./show.ts";

const ADDRESSES = ["192.0.2.1", "192.0.2.2"] as const;
const PINGS = 3;
/** What every ping carries, to be looked for on the wire: 16 octets, as many as ping repeats. */
const PATTERN = "mainmode in demo";

/** Runs it; throws at the first thing that did not work. */
export async function runInNamespaces(page: Page, cleanup: Cleanup, auth: DemoAuth): Promise<void> {
  const spaces = { a: `mainmode-demo-${process.pid}-a`, b: `mainmode-demo-${process.pid}-b` };
  const hosts: Host[] = [];
  page.part("Two hosts, a daemon on each");
  await makeWire(cleanup, spaces);
  const credentials = await makeCredentials(page, cleanup, auth, spaces);
  const options = { credentials, addresses: ADDRESSES };
  const scene = makeScene(options);
  const capture = await captureWire(`/run/netns/${spaces.a}`, "wire");
  try {
    page.text(`a ${ADDRESSES[0]}  <--- veth --->  ${ADDRESSES[1]} b`);
    page.text("a's rule; b's mirrors it:");
    showRule(page, options);
    for (const end of [scene.a, scene.b]) hosts.push(startHost(cleanup, spaces[end.name], end));
    await Promise.all(hosts.map(({ ready }) => ready));
    for (const { end, pid } of hosts) page.done(`${end.name}: \`mainmode daemon\` runs, process ${pid}; its policies are in the kernel`);
    page.part("Main Mode and Quick Mode");
    await initiate(page, scene.a);
    page.part(`${PINGS} pings through ESP`);
    await ping(page, spaces.a);
    await checkCounters(page, spaces);
    page.part("mainmode status, on both hosts");
    await showStatus(page, [scene.a, scene.b]);
    page.part("Full stop");
    await stop(page, hosts, spaces);
    await credentials.stop();
    capture.stop();
    page.part("What went over the wire");
    const key = hosts[0]?.key();
    const wire = readWire(capture.frames, ADDRESSES[0]);
    showWire(page, wire, key);
    checkWire(page, wire, capture);
  } catch (error) {
    capture.stop();
    for (const { end, log } of hosts) for (const line of log.slice(-6)) page.text(`${end.name}'s log: ${line}`, "dim");
    throw error;
  }
}

interface Host {
  readonly end: End;
  readonly pid: number;
  /** The last lines that it logged, text only. */
  readonly log: readonly string[];
  readonly ready: Promise<void>;
  readonly gone: Promise<number | null>;
  /** The key of its phase 1 cipher, once there is one. */
  readonly key: () => Uint8Array | undefined;
}

const run = promisify(execFile);

async function makeWire(cleanup: Cleanup, spaces: Readonly<Record<End["name"], string>>): Promise<void> {
  for (const name of Object.values(spaces)) {
    cleanup.later(() => {
      if (spawnSync("ip", ["netns", "del", name], { stdio: "ignore" }).status !== 0)
        throw new Error(`the namespace ${name} is still there`);
    });
    await run("ip", ["netns", "add", name]);
  }
  await run("ip", ["link", "add", "wire", "netns", spaces.a, "type", "veth", "peer", "name", "wire", "netns", spaces.b]);
  for (const [i, name] of Object.values(spaces).entries()) {
    await run("ip", ["-n", name, "link", "set", "lo", "up"]);
    // No IPv6 on the wire: its own chatter would only have to be explained.
    await run("ip", ["-n", name, "link", "set", "wire", "addrgenmode", "none"]);
    await run("ip", ["-n", name, "address", "add", `${ADDRESSES[i]}/24`, "dev", "wire"]);
    await run("ip", ["-n", name, "link", "set", "wire", "up"]);
  }
}

/** `host.ts` beside this file: source files end in .ts, built ones in .js. */
const HOST = fileURLToPath(new URL(`host${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

function startHost(cleanup: Cleanup, space: string, end: End): Host {
  const argv = ["netns", "exec", space, process.execPath, HOST, end.configFile];
  const child = spawn("ip", argv, { stdio: ["ignore", "ignore", "pipe", "ipc"] });
  cleanup.later(() => child.kill("SIGKILL"));
  const log: string[] = [];
  let key: Uint8Array | undefined;
  child.on("message", (message: { readonly key?: string }) => {
    key = message.key === undefined ? key : fromHex(message.key);
  });
  const gone = new Promise<number | null>((resolve) => {
    child.once("close", resolve);
    child.once("error", () => resolve(null));
  });
  return { end, pid: child.pid ?? 0, log, ready: readiness(child, end, log), gone, key: () => key };
}

const PATIENCE_MS = 30_000;

/** Resolves when the daemon says that it has started. */
function readiness(child: ChildProcess, end: End, log: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon of host ${end.name} does not start`)), PATIENCE_MS);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    let rest = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const { event, text: said } = parse(line);
        log.push(said);
        if (log.length > 100) log.shift();
        if (event === "svc.started") settle(resolve);
      }
    });
    child.once("close", (code) => settle(() => reject(new Error(`the daemon of host ${end.name} ended with ${code}`))));
    child.once("error", (error) => settle(() => reject(error)));
  });
}

function parse(line: string): { readonly event: string; readonly text: string } {
  try {
    const record = JSON.parse(line) as { readonly event?: string; readonly text?: string };
    return { event: record.event ?? "", text: record.text ?? line };
  } catch {
    return { event: "", text: line };
  }
}

async function ping(page: Page, space: string): Promise<void> {
  const pattern = Buffer.from(PATTERN, "latin1").toString("hex");
  const argv = ["ping", "-n", "-c", String(PINGS), "-i", "0.3", "-W", "3", "-w", "15", "-p", pattern, ADDRESSES[1]];
  page.line(`  ${page.paint("bold", `a$ ping -c ${PINGS} ${ADDRESSES[1]}`)}`);
  const { stdout } = await run("ip", ["netns", "exec", space, ...argv]).catch((error: { readonly stdout?: string }) => ({
    stdout: error.stdout ?? "",
  }));
  for (const line of stdout.split("\n").filter((each) => /bytes from|packets transmitted/.test(each))) page.text(line);
  const received = Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  if (received !== PINGS) throw new Error(`${received} of ${PINGS} pings were answered`);
}

interface Counted extends StateRecord {
  readonly host: string;
  readonly way: "out" | "in";
}

/** Both kernels have to have counted every packet, on the SA of its direction. */
async function checkCounters(page: Page, spaces: Readonly<Record<End["name"], string>>): Promise<void> {
  const counted = (await Promise.all([statesOf(spaces.a, "a", ADDRESSES[0]), statesOf(spaces.b, "b", ADDRESSES[1])])).flat();
  const order = counted.sort((x, y) => x.sa.source.localeCompare(y.sa.source) || y.way.localeCompare(x.way));
  page.line();
  const lines = table<Counted>(
    [
      { title: "KERNEL OF", cell: ({ host }) => host },
      { title: "SA", cell: ({ sa }) => `${sa.protocol} ${formatSpi(sa.spi)}` },
      { title: "FROM", cell: ({ sa }) => sa.source },
      { title: "TO", cell: ({ sa }) => sa.destination },
      { title: "WAY", cell: ({ way }) => way },
      { title: "PACKETS", cell: ({ counters }) => String(counters.packets), align: "right" },
      { title: "OCTETS", cell: ({ counters }) => String(counters.octets), align: "right" },
    ],
    order,
    page.colours,
  );
  for (const line of lines) page.line(`  ${line}`);
  if (counted.length !== 4) throw new Error(`the kernels hold ${counted.length} SAs, not 4`);
  const wrong = counted.filter(({ counters }) => counters.packets !== PINGS);
  if (wrong.length > 0) throw new Error(`${wrong.length} SAs have not counted ${PINGS} packets`);
  page.done(`both kernels counted ${PINGS} packets on each of their two SAs: requests one way, answers the other`);
}

async function statesOf(space: string, host: string, own: string): Promise<readonly Counted[]> {
  const { stdout } = await run("ip", ["-n", space, "-s", "xfrm", "state", "list", "nokeys"], { encoding: "buffer" });
  return xfrmStates()
    .push(new Uint8Array(stdout))
    .filter(({ sa }) => sa.spi !== 0)
    .map((record) => ({ ...record, host, way: record.sa.source === own ? "out" : "in" }));
}

async function stop(page: Page, hosts: readonly Host[], spaces: Readonly<Record<End["name"], string>>): Promise<void> {
  for (const { end } of hosts) await shutdown(page, end);
  const codes = await Promise.all(hosts.map(({ gone }) => gone));
  if (codes.some((code) => code !== 0)) throw new Error(`the daemons ended with ${codes.join(" and ")}`);
  const left = await Promise.all(
    Object.values(spaces).flatMap((space) =>
      [
        ["state", "list", "nokeys"],
        ["policy", "list"],
      ].map(async (what) => (await run("ip", ["-n", space, "xfrm", ...what])).stdout),
    ),
  );
  if (left.join("").trim() !== "") throw new Error("SAs or policies are left in a kernel");
  page.done("a told b; neither kernel holds an SA or a policy any more");
}

function showWire(page: Page, { messages, esp }: Wire, key: Uint8Array | undefined): void {
  const begin = messages[0]?.at ?? 0;
  const rungs = [...ikeRungs(messages, key, begin), ...esp.map((packet) => espRung(packet, begin))];
  showLadder(
    page,
    [`a ${ADDRESSES[0]}`, `${ADDRESSES[1]} b`],
    rungs.sort((x, y) => x.at - y.at),
  );
}

/** Every packet of the wire has to be IKE, ESP, or the question who has an address. */
function checkWire(page: Page, { messages, esp, neighbours, clear }: Wire, { frames }: Capture): void {
  page.line();
  if (esp.length !== 2 * PINGS) throw new Error(`${esp.length} ESP packets were on the wire, not ${2 * PINGS}`);
  if (clear > 0) throw new Error(`${clear} packets went in clear`);
  if (holdsText(frames, PATTERN)) throw new Error(`"${PATTERN}", which the pings carry, stands readable on the wire`);
  page.done(
    `${frames.length} packets on the wire: ${messages.length} of IKE, ${esp.length} of ESP, ${neighbours} of ARP, 0 in clear; the pings carry "${PATTERN}", no packet on the wire does`,
  );
}
