/**
 * The two hosts of the demo: their configuration, their daemons, and what those tell. Everything is written into one temporary directory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { HostMessage, HostOptions } from "./host-protocol.ts";
import { type Outcome, run, searchPath } from "./programs.ts";
import { otherSide, SIDES, type Side, type Stage } from "./stage.ts";
import type { Plaintexts, Seen } from "./wire.ts";

/** The one rule of both hosts. */
export const RULE = "partner";

export interface Hosts {
  /** The rule of one host as it stands in its configuration file. */
  readonly rule: readonly string[];
  /** Runs a command of mainmode's on a host, for instance `initiate partner`. */
  command(side: Side, words: readonly string[]): Promise<Outcome>;
  /** What the hosts told since the last call: their in-memory kernels' commands. */
  kernelLines(side: Side): readonly Extract<HostMessage, { type: "kernel" }>[];
  readonly plaintexts: Plaintexts;
  /** Messages that the hosts sent since the last call, where they tell. */
  sent(): readonly Seen[];
  /** Resolves when a host's daemon has ended, with its exit code. */
  ended(side: Side): Promise<number | null>;
  /** Ends both daemons and removes what was written. */
  close(): Promise<void>;
}

/** Starts a daemon on both hosts of a stage; resolves once both serve. Throws what a daemon said that did not start. */
export async function startHosts(stage: Stage): Promise<Hosts> {
  const directory = mkdtempSync(join(tmpdir(), "mainmode-demo-"));
  const secretFile = join(directory, `${RULE}.psk`);
  writeFileSync(secretFile, `0s${randomBytes(32).toString("base64")}\n`, { mode: 0o600 });
  const salt = randomBytes(16).toString("hex");
  const hosts = { left: new Host("left", stage, directory), right: new Host("right", stage, directory) };
  const close = async (): Promise<void> => {
    await Promise.all(SIDES.map((side) => hosts[side].stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await Promise.all(SIDES.map((side) => hosts[side].start(salt)));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    rule: ruleLines(stage, "left", `${RULE}.psk`),
    command: (side, words) => run([...stage.hosts[side].enter, process.execPath, CLI, "--control", hosts[side].control, ...words], 60),
    kernelLines: (side) => hosts[side].kernelLines.splice(0),
    get plaintexts() {
      return new Map(SIDES.flatMap((side) => [...hosts[side].plaintexts]));
    },
    sent: () => SIDES.flatMap((side) => hosts[side].sent.splice(0)).sort((a, b) => a.time - b.time),
    ended: (side) => hosts[side].ended,
    close,
  };
}

/** The ending of our own files: built, or bare for a Node that reads TypeScript. */
const ENDING = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const CLI = fileURLToPath(new URL(`../cli/main${ENDING}`, import.meta.url));
const HOST = fileURLToPath(new URL(`./host-process${ENDING}`, import.meta.url));

const START_SECONDS = 30;
const STOP_SECONDS = 12;

/** One daemon. */
class Host {
  readonly control: string;
  readonly plaintexts = new Map<string, string>();
  readonly sent: Seen[] = [];
  readonly kernelLines: Extract<HostMessage, { type: "kernel" }>[] = [];
  readonly #stage: Stage;
  readonly #side: Side;
  readonly #configFile: string;
  #child: ChildProcess | undefined;
  #log: string[] = [];
  #onLine: (event: string) => void = () => {};
  ended: Promise<number | null> = Promise.resolve(null);

  constructor(side: Side, stage: Stage, directory: string) {
    this.#side = side;
    this.#stage = stage;
    this.control = join(directory, `${side}.sock`);
    this.#configFile = join(directory, `${side}.toml`);
    writeFileSync(this.#configFile, configuration(stage, side, this.control, join(directory, `${RULE}.psk`)), { mode: 0o600 });
  }

  start(salt: string): Promise<void> {
    const options: HostOptions = { configFile: this.#configFile, kernel: this.#stage.kernel, salt };
    const [program = "", ...words] = [...this.#stage.hosts[this.#side].enter, process.execPath, HOST, JSON.stringify(options)];
    // In a group of its own: Ctrl-C is the demo's to hear, which then ends the hosts in order.
    const env = { ...process.env, PATH: searchPath() };
    const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe", "ipc"], detached: true, env });
    this.#child = child;
    child.on("message", (message: HostMessage) => this.#heard(message));
    this.ended = new Promise((resolve) => {
      child.on("error", () => resolve(null));
      child.on("exit", resolve);
    });
    this.#readLog(child);
    return this.#ready();
  }

  /** A full stop, as by its unit; after a while without mercy. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_SECONDS * 1000);
    await this.ended;
    clearTimeout(timer);
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error(`the daemon of ${this.#side} did not start: ${this.#lastWords()}`));
      const timer = setTimeout(fail, START_SECONDS * 1000);
      void this.ended.then(() => {
        clearTimeout(timer);
        fail();
      });
      this.#onLine = (event) => {
        if (event !== "svc.started") return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The log is JSON, a record a line; what comes before the log stands is text. */
  #readLog(child: ChildProcess): void {
    let rest = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.#log = [...this.#log.slice(-20), line];
        this.#onLine(/"event":"([a-z.]+)"/.exec(line)?.[1] ?? "");
      }
    });
  }

  #lastWords(): string {
    const last = this.#log.at(-1) ?? "it said nothing";
    return /"text":"((?:[^"\\]|\\.)*)"/.exec(last)?.[1] ?? last;
  }

  #heard(message: HostMessage): void {
    if (message.type === "sealed") this.plaintexts.set(message.sealed, message.plain);
    else if (message.type === "kernel") this.kernelLines.push(message);
    else {
      const { time, source, destination } = message;
      this.sent.push({ time, source, destination, protocol: "udp", octets: Uint8Array.from(Buffer.from(message.octets, "hex")) });
    }
  }
}

/** A host's whole configuration file. */
function configuration(stage: Stage, side: Side, control: string, secretFile: string): string {
  const { address } = stage.hosts[side];
  return [
    "[daemon]",
    `control   = ${JSON.stringify(control)}`,
    `addresses = [${JSON.stringify(address)}]`,
    `port      = ${stage.ports.ike}`,
    `nat-port  = ${stage.ports.nat}`,
    "",
    ...ruleLines(stage, side, secretFile),
    "",
  ].join("\n");
}

function ruleLines(stage: Stage, side: Side, secretFile: string): readonly string[] {
  const filter = `${stage.hosts[side].address} <-> ${stage.hosts[otherSide(side)].address}`;
  return [
    "[[rule]]",
    `name    = "${RULE}"`,
    `filters = ["${filter}"]`,
    `action  = "require"`,
    `auth    = [{ method = "psk", secret-file = ${JSON.stringify(secretFile)} }]`,
  ];
}
