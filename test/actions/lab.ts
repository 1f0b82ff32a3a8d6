/**
 * Two hosts and a wire in namespaces of a guest, a daemon on each, and what is on the wire: for the table of actions.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ask, type Status } from "../../cli/client.ts";
import { ledgerWords } from "../ledger-words.ts";

export type Side = "us" | "theirs";
/** `mute`: one more host on the wire, where no daemon runs. */
export type Place = Side | "mute";

const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const sh = (command: string): string => execFileSync("/bin/sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Where the wire's own packets go, which nobody takes: they tell how far the capture is. */
const NOWHERE = "198.51.100.2";

export interface Packet {
  /** Seconds since 1970. */
  readonly at: number;
  readonly source: string;
  readonly destination: string;
  readonly kind: "clear" | "esp" | "ah";
  /** As tcpdump tells it. */
  readonly text: string;
}

/** Whether answers should come: then they are waited for, as a machine that is busy needs it. */
export type Patience = "expected" | "doubtful";
const SECONDS: Readonly<Record<Patience, number>> = { expected: 20, doubtful: 1 };

export interface Pinged {
  readonly from: string;
  readonly to: string;
  readonly patience: Patience;
}

/** Addresses of each host: both families. */
export type Addresses = Readonly<Record<Side, readonly string[]> & { readonly mute?: readonly string[] }>;

/** The hosts, their daemons and the wire between them. */
export class Lab {
  readonly folder = mkdtempSync("/dev/shm/mainmode-actions-");
  readonly #daemons = new Map<Side, ChildProcess>();
  readonly #programs: ChildProcess[] = [];
  #wire: ChildProcess | undefined;
  /** Whether somebody takes policies from the kernels; if not, no daemon may miss any. */
  mayLose = false;
  readonly #places: readonly Place[];
  #marks = 0;
  #pings = 0;

  constructor(addresses: Addresses) {
    this.#places = addresses.mute ? ["us", "theirs", "mute"] : ["us", "theirs"];
    for (const name of [...this.#places, "wire"]) sh(`ip netns add ${name}`);
    sh("ip -n wire link add bridge type bridge forward_delay 0; ip -n wire link set bridge up");
    for (const side of this.#places) {
      sh(`ip link add ${side} netns wire type veth peer name eth0 netns ${side}; ip -n wire link set ${side} master bridge up`);
      const lines = (addresses[side] ?? []).map((one) => `address add ${one}/${one.includes(":") ? "64 nodad" : "24"} dev eth0`);
      execFileSync("ip", ["-n", side, "-batch", "-"], { input: [...lines, "link set lo up", "link set eth0 up"].join("\n") });
    }
  }

  /** Starts the capture; resolves when it captures. */
  async watch(): Promise<void> {
    const file = join(this.folder, "wire.pcap");
    // Not before the bridge has its ports, and so the address that it keeps: it would forget its neighbour.
    sh(`ip -n wire address add 198.51.100.1/24 dev bridge; ip -n wire neighbour add ${NOWHERE} lladdr 02:00:00:00:00:01 dev bridge`);
    const argv = ["netns", "exec", "wire", "tcpdump", "--immediate-mode", "-i", "bridge", "-U", "-s", "120", "-Z", "root", "-w", file];
    this.#wire = spawn("ip", argv, { stdio: "ignore" });
    for (let i = 0; i < 1200; i++) {
      await wait(50);
      if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0) return;
    }
    assert.fail("tcpdump does not start");
  }

  /** Every ping that was on the wire, whatever it was wrapped in. */
  async packets(): Promise<readonly Packet[]> {
    return (await this.lines()).flatMap(packetOf);
  }

  /** What tcpdump says of every packet so far; a filter in its language narrows it. */
  async lines(...filter: readonly string[]): Promise<readonly string[]> {
    await this.#captured();
    const argv = ["-n", "-tt", "-r", join(this.folder, "wire.pcap"), ...filter];
    const { stdout } = await promisify(execFile)("tcpdump", argv, { maxBuffer: 1 << 26 });
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** Resolves when everything that was on the wire before is in the file. */
  async #captured(): Promise<void> {
    const mark = `mark ${++this.#marks} of the wire`;
    sh(`ip netns exec wire bash -c 'echo "${mark}" >/dev/udp/${NOWHERE}/9'`);
    for (let i = 0; i < 1200; i++) {
      if (readFileSync(join(this.folder, "wire.pcap")).includes(mark)) return;
      await wait(50);
    }
    assert.fail("tcpdump is not there any more");
  }

  /** Starts a daemon; resolves when its policies stand. */
  async start(side: Side, configuration: string): Promise<void> {
    const file = join(this.folder, `${side}.toml`);
    writeFileSync(file, configuration, { mode: 0o600 });
    const child = spawn("ip", ["netns", "exec", side, process.execPath, ...ledgerWords(), MAIN, "daemon", "-c", file], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#daemons.set(side, child);
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      writeFileSync(join(this.folder, `${side}.log`), said);
    });
    // The control socket answers before the policies are in the kernel; this is said after that.
    for (let i = 0; i < 1800; i++) {
      if (said.includes("mainmode serves IKE")) return;
      await wait(50);
    }
    assert.fail(`${side} did not start\n${said}`);
  }

  control(side: Side): string {
    return join(this.folder, `${side}.sock`);
  }

  log(side: Side): string {
    return readFileSync(join(this.folder, `${side}.log`), "utf8");
  }

  async status(side: Side): Promise<Status> {
    let found: Status | undefined;
    await ask({
      path: this.control(side),
      request: { command: "status" },
      onStatus: (document) => (found = document),
      patienceSeconds: 20,
    });
    assert.ok(found);
    return found;
  }

  /** Kills a daemon without a chance to clean up; or with another signal, that lets it. */
  async kill(side: Side, signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#daemons.get(side);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  /** Lets a daemon read another configuration. */
  async reload(side: Side, configuration: string): Promise<void> {
    writeFileSync(join(this.folder, `${side}.toml`), configuration, { mode: 0o600 });
    const { exit, text } = await ask({ path: this.control(side), request: { command: "reload" } });
    assert.equal(exit, 0, text);
  }

  /** A program on a host, by its words; it ends with the lab. */
  run(side: Place, ...words: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", side, ...words], { stdio: ["pipe", "pipe", "inherit"] });
    this.#programs.push(child);
    return child;
  }

  /** Sends `count` pings; how many answers were heard. */
  async ping(side: Side, from: string, to: string, count: number, patience: Patience = "expected"): Promise<number> {
    const [answers = 0] = await this.pings(side, [{ from, to, patience }], count);
    return answers;
  }

  /** The same from and to many at once. */
  async pings(side: Place, ends: readonly Pinged[], count: number): Promise<readonly number[]> {
    const first = this.#pings + 1;
    this.#pings += ends.length;
    const file = (i: number): string => join(this.folder, `ping-${first + i}`);
    const lines = ends.map(
      ({ from, to, patience }, i) => `ping -n -q -c ${count} -i 0.4 -W ${SECONDS[patience]} -I ${from} ${to} >${file(i)} 2>&1 &`,
    );
    const child = this.run(side, "/bin/sh", "-c", [...lines, "wait"].join("\n"));
    await new Promise((resolve) => child.once("close", resolve));
    return ends.map((_, i) => Number(/(\d+) received/.exec(readFileSync(file(i), "utf8"))?.[1] ?? 0));
  }

  /** For whoever looks for secrets in them. */
  #keepLogs(): void {
    const ledger = process.env["MAINMODE_LEDGER"];
    if (ledger === undefined) return;
    for (const side of this.#daemons.keys())
      writeFileSync(join(dirname(ledger), `${process.pid}-${Date.now()}-${side}.log`), this.log(side));
  }

  async end(): Promise<void> {
    for (const side of ["us", "theirs"] as const) await this.kill(side);
    const missed = this.mayLose ? [] : [...this.#daemons.keys()].flatMap((side) => MISSED.exec(this.log(side)) ?? []);
    for (const program of this.#programs) program.kill("SIGKILL");
    this.#wire?.kill("SIGKILL");
    for (const name of [...this.#places, "wire"]) sh(`ip netns del ${name}`);
    this.#keepLogs();
    rmSync(this.folder, { recursive: true });
    assert.deepEqual(missed, []);
  }
}

/** A daemon looks for policies that are where it put them. */
const MISSED = /.*(?:policy\.gone|whether the policies stand is not known).*/;

/** `1700000000.5 IP 192.0.2.1 > 192.0.2.2: ICMP echo request, …`, and the same in ESP or AH. Neighbour discovery and IKE are no pings. */
function packetOf(line: string): readonly Packet[] {
  const [, at, source, destination, rest = ""] = /^(\d+\.\d+) IP6? (\S+) > (\S+): (.*)$/.exec(line) ?? [];
  if (!at || !source || !destination) return [];
  const kind = rest.startsWith("AH(")
    ? "ah"
    : rest.startsWith("ESP(")
      ? "esp"
      : /^ICMP6?, echo|^ICMP echo/.test(rest)
        ? "clear"
        : undefined;
  return kind ? [{ at: Number(at), source, destination, kind, text: line }] : [];
}
