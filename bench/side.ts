/**
 * One side of the benchmark, a process of its own so that its CPU time and memory can be told from the other's: core, event loop and log of
 * the daemon, an in-memory kernel, a UDP socket on loopback. Started by `sides.ts`, with which it speaks over IPC.
 *
 * A datagram carries four octets in front that name the pair of hosts it belongs to: a side has one socket, not ten thousand.
 */
import { createSocket, type Socket } from "node:dgram";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createJobRunner } from "../auth/providers/run-job.ts";
import { createLog } from "../daemon/log.ts";
import { Loop } from "../daemon/loop.ts";
import { systemRandom } from "../daemon/random.ts";
import { noLookup } from "../daemon/udp-socket.ts";
import { nobleCrypto } from "../ike/crypto/noble.ts";
import { opensslCrypto, warmUp } from "../ike/crypto/openssl.ts";
import { groupNamed } from "../ike/crypto/suite.ts";
import type { SaEvent } from "../ike/effect.ts";
import { createEngine, type Engine } from "../ike/engine.ts";
import type { Path } from "../ike/input.ts";
import type { KernelSa } from "../ike/kernel-contract.ts";
import { ok } from "../isakmp/result.ts";
import { memoryKernel } from "../kernel/memory.ts";
import type { Kernel } from "../kernel/port.ts";
import { floorPass } from "./floor.ts";
import { benchPolicy, GROUPS, pairAddresses, type RuleName, sideAddresses } from "./pairs.ts";
import type { SideAnswer, SideOptions, SideRequest } from "./side-protocol.ts";

const IKE_PORT = 500;
/** Negotiations under way at the same time: as many as in the load test of strongSwan that the targets were taken from. */
const WINDOW = 32;
const BUFFER_OCTETS = 4 << 20;
/** The core begins Main Modes for traffic at a bounded rate; the benchmark's clock goes that much faster, so that none waits for its turn. */
const PACE_MS = 5;

/** Whoever waits for an event is told once: to settle a promise again and again costs more than the events do. */
const nobody = (): void => {};

class BenchSide {
  readonly #role: SideOptions["role"];
  readonly #crypto;
  readonly #engine: Engine;
  readonly #loop: Loop;
  readonly #memory = memoryKernel({ keyless: true });
  readonly #socket: Socket;
  readonly #reqids = new Map<string, number>();
  readonly #keys = new Map<string, Uint8Array>();
  #peerPort = 0;
  #clockOffset = 0;
  /**
   * Children that came up and went, and how many of each were asked for. Both are counted from the beginning: the other side may be ahead
   * of our own request.
   */
  #established = 0;
  #closed = 0;
  #toEstablish = 0;
  #renewed = 0;
  #toRenew = 0;
  readonly #delays = monitorEventLoopDelay({ resolution: 1 });
  #toClose = 0;
  #onEvent: () => void = nobody;
  #commands = 0;
  #onReply: () => void = () => {};

  constructor(options: SideOptions, socket: Socket) {
    this.#role = options.role;
    this.#socket = socket;
    this.#crypto = options.crypto === "noble" ? nobleCrypto : opensslCrypto;
    warmUp(GROUPS.map(groupNamed));
    this.#engine = createEngine({ crypto: this.#crypto, random: systemRandom, port: IKE_PORT });
    const kernel: Pick<Kernel, "run"> = options.kernel === "keeps" ? this.#memory : forgetful(this.#memory);
    // Records are made as for a log on stderr, and thrown away.
    const log = createLog({ format: "text", prefixed: false, write: () => {}, time: () => Date.now() });
    this.#loop = new Loop({
      engine: this.#engine,
      kernel,
      clock: this.#clock,
      send: ({ path, bytes }) => this.#send(path, bytes),
      route: () => Promise.resolve(undefined),
      authenticate: createJobRunner().run,
      reply: (_id, _line, last) => last && this.#onReply(),
      log: (event) => {
        this.#note(event);
        log(event);
      },
      stopped: () => {},
    });
    socket.on("message", (message) => this.#receive(message));
    this.#memory.listen((event) => this.#loop.push({ type: "kernel-event", event }));
    this.#loop.push({ type: "addresses", addresses: sideAddresses(options.role) });
    this.#loop.push({ type: "policy", policy: benchPolicy(options.role, Buffer.from(options.secret, "hex")) });
  }

  async perform(request: SideRequest): Promise<SideAnswer> {
    const before = process.cpuUsage();
    await this.#perform(request);
    const used = process.cpuUsage(before);
    const loopDelay = { p99: this.#delays.percentile(99) / 1e6, peak: this.#delays.max / 1e6 };
    return { cpuMs: (used.user + used.system) / 1000, residentOctets: process.memoryUsage.rss(), loopDelay };
  }

  #perform(request: SideRequest): Promise<void> | void {
    switch (request.do) {
      case "meet":
        this.#peerPort = request.port;
        return this.#loop.settled();
      case "establish":
        return this.#establish(request.rule, request.first, request.count);
      case "floor": {
        const pass = floorPass(this.#crypto, systemRandom, groupNamed(request.group));
        for (let i = 0; i < request.passes; i++) pass();
        return;
      }
      case "delete":
        return this.#delete(request.rule, request.count);
      case "advance":
        return this.#advance(request.seconds);
      case "renew":
        return this.#renew(request.rule, request.count);
      case "watch":
        this.#delays.reset();
        return void this.#delays.enable();
      case "watched":
        return void this.#delays.disable();
      case "memory":
        return collect();
    }
  }

  readonly #clock = (): number => performance.now() + this.#clockOffset;

  async #establish(rule: RuleName, first: number, count: number): Promise<void> {
    const before = this.#toEstablish;
    this.#toEstablish += count;
    let started = 0;
    const more = (): void => {
      while (this.#role === "initiator" && started < count && before + started - this.#established < WINDOW)
        this.#acquire(rule, first + started++);
    };
    more();
    while (this.#established < this.#toEstablish) {
      await this.#event();
      more();
    }
    await this.#loop.settled();
  }

  /** A packet between two hosts meets the rule's policy; looking for its SA among ten thousand would be the kernel's work. */
  #acquire(rule: RuleName, n: number): void {
    this.#clockOffset += PACE_MS;
    const [source, destination] = pairAddresses(rule, n);
    const reqid = this.#reqids.get(source) ?? this.#findReqid(source);
    const packet = { source, destination, ipProtocol: 1, sourcePort: 0, destinationPort: 0 };
    this.#loop.push({ type: "kernel-event", event: { type: "acquire", protocol: "esp", reqid, ...packet } });
  }

  #findReqid(source: string): number {
    const policy = [...this.#memory.policies.values()].find((p) => p.direction === "out" && p.selector.source === source);
    const reqid = policy?.templates[0]?.reqid;
    if (reqid === undefined) throw new Error(`no policy protects ${source}`);
    this.#reqids.set(source, reqid);
    return reqid;
  }

  /** The kernel says of one child after the other that it nears its end, as many in every turn as make all of them a second. */
  async #renew(rule: RuleName, count: number): Promise<void> {
    this.#toRenew += count;
    if (this.#role === "responder") {
      while (this.#renewed < this.#toRenew) await this.#event();
      return;
    }
    const pairs = new Set(Array.from({ length: count }, (_, n) => pairAddresses(rule, n).join(" ")));
    const newest = new Map<string, KernelSa>();
    for (const { sa } of this.#memory.states.values())
      if (pairs.has(`${sa.source} ${sa.destination}`)) newest.set(`${sa.source} ${sa.destination}`, sa);
    const due = [...newest.values()];
    for (const started = performance.now(); due.length > 0; await new Promise((resolve) => setTimeout(resolve, 1))) {
      const left = Math.max(0, Math.floor(count * (1 - (performance.now() - started) / 1000)));
      for (const sa of due.splice(left)) {
        this.#memory.setCounters(sa, { octets: 1000, packets: 10 });
        for (const event of this.#memory.expire(sa, false)) this.#memory.inject(event);
      }
    }
  }

  async #delete(rule: RuleName, count: number): Promise<void> {
    this.#toClose += count;
    if (this.#role === "initiator")
      await new Promise<void>((resolve) => {
        this.#onReply = resolve;
        const command = { name: "terminate", target: { kind: "rule", rule } } as const;
        this.#loop.push({ type: "command", id: ++this.#commands, command });
      });
    while (this.#closed < this.#toClose) await this.#event();
    await this.#loop.settled();
    // Deletes are said again after one and four seconds; the next negotiations shall not pay for that.
    for (const seconds of [2, 5]) await this.#advance(seconds);
  }

  async #advance(seconds: number): Promise<void> {
    this.#clockOffset += seconds * 1000;
    for (let wake = this.#engine.nextWake(); wake !== undefined && wake <= this.#clock(); wake = this.#engine.nextWake()) {
      this.#loop.push({ type: "tick" });
      await this.#loop.settled();
    }
  }

  #note({ event, level, text }: SaEvent): void {
    if (event === "child.established") this.#established++;
    else if (event === "child.closed") this.#closed++;
    else if (event === "child.rekeyed") this.#renewed++;
    else if (level === "warning" || level === "error") process.stderr.write(`bench: ${this.#role}: ${text}\n`);
    const tell = this.#onEvent;
    this.#onEvent = nobody;
    tell();
  }

  #event(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEvent = resolve;
    });
  }

  #send(path: Path, bytes: Uint8Array): void {
    const key = this.#keys.get(path.local.address + path.remote.address) ?? this.#remember(path);
    this.#socket.send([key, bytes], this.#peerPort, "127.0.0.1");
  }

  /** The four octets that name a pair: those of its addresses that differ. */
  #remember({ local, remote }: Path): Uint8Array {
    const [a, b] = this.#role === "initiator" ? [local, remote] : [remote, local];
    const [, second = 0, , fourth = 0] = a.address.split(".").map(Number);
    const [, otherSecond = 0, , otherFourth = 0] = b.address.split(".").map(Number);
    const key = Uint8Array.of(second, fourth, otherSecond, otherFourth);
    this.#keys.set(local.address + remote.address, key);
    return key;
  }

  #receive(message: Uint8Array): void {
    const [a, b] = [`10.${message[0]}.0.${message[1]}`, `10.${message[2]}.0.${message[3]}`];
    const [local, remote] = this.#role === "initiator" ? [a, b] : [b, a];
    const path = { local: { address: local, port: IKE_PORT }, remote: { address: remote, port: IKE_PORT } };
    this.#loop.push({ type: "datagram", path, bytes: new Uint8Array(message.buffer, message.byteOffset + 4, message.length - 4) });
  }
}

/** A kernel that keeps policies only. */
function forgetful(kernel: Kernel): Pick<Kernel, "run"> {
  return {
    run: async (commands) => {
      const kept = commands.filter((command) => "policy" in command);
      const done = await kernel.run(kept);
      return done.ok ? ok(commands.flatMap((command) => (command.do === "read-sa" ? [{ octets: 0, packets: 0 }] : []))) : done;
    },
  };
}

/** Several collections, with time between them for finalisers and for pages to go back. */
async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

if (process.send) {
  const options = JSON.parse(process.argv[2] ?? "") as SideOptions;
  const socket = createSocket({ type: "udp4", lookup: noLookup, recvBufferSize: BUFFER_OCTETS, sendBufferSize: BUFFER_OCTETS });
  const side = new BenchSide(options, socket);
  const tell = (message: object): void => void process.send?.(message);
  process.on("message", (request: SideRequest) => {
    side.perform(request).then(tell, (error: unknown) => tell({ error: String(error) }));
  });
  process.on("disconnect", () => process.exit());
  socket.bind(0, "127.0.0.1", () => tell({ port: socket.address().port }));
}
