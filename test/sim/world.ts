/**
 * The deterministic simulator: hosts with engines and kernels in memory, a network with fates, one virtual clock.
 * A world depends on its options alone, so every failure can be run again; invariants are checked after every event.
 */
import { liveSecrets } from "../../ike/crypto/secret.ts";
import type { Path } from "../../ike/input.ts";
import type { KernelPolicy, KernelSa } from "../../ike/kernel-contract.ts";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import type { Packet } from "../../kernel/memory-traffic.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import { seededRandom, type Tap, tapped } from "./crypto.ts";
import { Host, type HostOptions } from "./host.ts";
import { changedBy, establishedOf, Invariants } from "./invariants.ts";
import { type Label, labeller } from "./labels.ts";
import { drawLadder, type Rung } from "./ladder.ts";
import { inward, NatBox, type NatBoxOptions, outward, type Translated } from "./nat-box.ts";
import { copiesOf, DELIVER, type Fate, formatFate } from "./network.ts";

export interface WorldOptions {
  readonly hosts: readonly HostOptions[];
  readonly seed?: number;
  /** What becomes of the first datagrams; those after the list are delivered. */
  readonly fates?: readonly Fate[];
  /** The fates come round again until this moment. */
  readonly cycleUntil?: number;
  /** Routers that translate addresses between hosts inside and everybody else. */
  readonly nats?: readonly NatBoxOptions[];
  /** How long kernels take, in turn; default 1 ms. */
  readonly kernelDelays?: readonly number[];
  /** How long authentication jobs take, in turn; default 2 ms. */
  readonly jobDelays?: readonly number[];
  /** Real Diffie-Hellman instead of the toy. */
  readonly realGroups?: boolean;
  /** Policies that others put into the kernel of a host before we start, by its name. */
  readonly foreign?: Readonly<Record<string, readonly KernelPolicy[]>>;
}

/** A datagram as it leaves. `nth` counts those with the same label and sender, from 1. */
export interface Sent {
  readonly from: string;
  readonly to: string;
  readonly label: Label;
  readonly nth: number;
  readonly bytes: Uint8Array;
}

/** What became of one packet of traffic. `lost`: protected, but the receiver could not unwrap it. */
export type Arrival = "clear" | "refused" | "acquire" | "protected" | "lost" | "expired";

const LATENCY = 5;
const MOST_EVENTS = 400_000;
/** Of a datagram's sender and receiver. */
interface Ports {
  readonly from: number;
  readonly to: number;
}

const IKE_PORTS: Ports = { from: 500, to: 500 };

interface Due {
  readonly at: number;
  readonly serial: number;
  readonly action: () => void;
}

export class World {
  now = 0;
  readonly seed: number;
  readonly tap: Tap;
  readonly hosts: readonly Host[];
  readonly nats: readonly NatBox[];
  readonly rungs: Rung[] = [];
  /** Decides before the list of fates does; undefined leaves it to the list. */
  intercept: (sent: Sent) => Fate | undefined = () => undefined;
  /** Whatever was sent, for stories that look into messages. */
  readonly sent: Sent[] = [];
  readonly #fates: readonly Fate[];
  readonly #cycleUntil: number;
  readonly #delays: readonly number[];
  readonly #queue: Due[] = [];
  readonly #labels = labeller();
  readonly #counts = new Map<string, number>();
  readonly #seen = new Map<string, Set<string>>();
  readonly #strangers = new Map<string, (bytes: Uint8Array, from: string) => void>();
  readonly #invariants: Invariants;
  readonly #secrets = liveSecrets();
  #serial = 0;
  #delay = 0;
  readonly #jobDelays: readonly number[];
  #jobDelay = 0;
  #fate = 0;
  #steps = 0;
  #crashed = false;

  constructor(options: WorldOptions) {
    this.seed = options.seed ?? 1;
    this.tap = tapped(!options.realGroups);
    this.#fates = options.fates ?? [];
    this.nats = (options.nats ?? []).map((box) => new NatBox(box, () => this.now));
    this.#cycleUntil = options.cycleUntil ?? 0;
    this.#delays = options.kernelDelays ?? [1];
    this.#jobDelays = options.jobDelays ?? [2];
    this.#invariants = new Invariants({ hostAt: (address) => this.hostAt(address), fail: (text) => this.fail(text) });
    this.hosts = options.hosts.map((host, i) => new Host(host, this.#surroundings(i)));
    for (const host of this.hosts) {
      host.xfrm.apply((options.foreign?.[host.name] ?? []).map((policy) => ({ do: "add-policy", policy })));
      host.boot();
    }
  }

  #surroundings(i: number) {
    return {
      crypto: this.tap.crypto,
      random: seededRandom(this.seed * 31 + i),
      now: () => this.now,
      after: (ms: number, action: () => void) => this.after(ms, action),
      send: (_host: Host, path: Path, bytes: Uint8Array) =>
        this.send(path.local.address, path.remote.address, bytes, { from: path.local.port, to: path.remote.port }),
      note: (host: Host, text: string) => void this.rungs.push({ at: this.now, kind: "note", host: host.name, text }),
      fail: (text: string): never => this.fail(text),
      kernelDelay: () => this.#delays[this.#delay++ % this.#delays.length] ?? 1,
      jobDelay: () => this.#jobDelays[this.#jobDelay++ % this.#jobDelays.length] ?? 2,
      onKernel: this.#onKernel.bind(this),
    };
  }

  #onKernel(...[host, done]: Parameters<Invariants["afterKernel"]>): void {
    this.#invariants.afterKernel(host, done);
  }

  host(name: string): Host {
    return this.hosts.find((host) => host.name === name) ?? this.fail(`no host ${name}`);
  }

  hostAt(address: string): Host | undefined {
    return this.hosts.find((host) => host.addresses.includes(address));
  }

  /** A party that is no engine: gets every datagram for its address. */
  attach(address: string, receive: (bytes: Uint8Array, from: string) => void): void {
    this.#strangers.set(address, receive);
  }

  after(ms: number, action: () => void): void {
    const due = { at: this.now + ms, serial: ++this.#serial, action };
    let i = this.#queue.length;
    while (i > 0 && (this.#queue[i - 1] as Due).at > due.at) i--;
    this.#queue.splice(i, 0, due);
  }

  /** Sends a datagram through the network. */
  send(from: string, to: string, bytes: Uint8Array, ports: Ports = IKE_PORTS): void {
    const leaves = outward(this.nats, { source: { address: from, port: ports.from }, destination: { address: to, port: ports.to } });
    if (bytes.length === 1) return;
    const label = this.#labels(bytes, from);
    const nth = (this.#counts.get(`${from} ${label}`) ?? 0) + 1;
    this.#counts.set(`${from} ${label}`, nth);
    const sent: Sent = { from, to, label, nth, bytes };
    this.sent.push(sent);
    const fate = this.intercept(sent) ?? this.#nextFate();
    const note = fate.kind === "deliver" ? "" : ` [${formatFate(fate)}]`;
    this.#rung(sent, `${label}${note}`);
    for (const copy of copiesOf(bytes, fate, LATENCY)) this.after(copy.delay, () => this.#arrive(leaves, copy.bytes, copy.corrupt));
  }

  #arrive(leaves: Translated, bytes: Uint8Array, corrupt: boolean): void {
    const arrives = inward(this.nats, leaves);
    if (!arrives) return;
    const { source, destination } = arrives;
    this.deliver(source.address, destination.address, bytes, corrupt, { from: source.port, to: destination.port });
  }

  #nextFate(): Fate {
    const at = this.#fate++;
    const { length } = this.#fates;
    return this.#fates[this.now < this.#cycleUntil && length > 0 ? at % length : at] ?? DELIVER;
  }

  #rung({ from, to, bytes }: Sent, what: string): void {
    const nameOf = (address: string) => this.hostAt(address)?.name ?? address;
    this.rungs.push({ at: this.now, kind: "datagram", from: nameOf(from), to: nameOf(to), what, bytes });
  }

  /** Puts a datagram before its receiver now. `forged`: somebody else made it, so it must not touch anything established. */
  deliver(from: string, to: string, bytes: Uint8Array, forged = false, ports: Ports = IKE_PORTS): void {
    const stranger = this.#strangers.get(to);
    if (stranger) return stranger(bytes, from);
    const host = this.hostAt(to);
    if (!host) return;
    const seen = this.#seen.get(host.name) ?? new Set<string>();
    this.#seen.set(host.name, seen);
    const content = Buffer.from(bytes).toString("latin1");
    const tainted = forged || seen.has(content);
    // What came before its SA was there was not read: a repetition is the first that counts.
    if (knowsSa(host, bytes)) seen.add(content);
    const before = tainted ? establishedOf(host.engine.view(this.now)) : undefined;
    const path = { local: { address: to, port: ports.to }, remote: { address: from, port: ports.from } };
    host.input({ type: "datagram", path, bytes: Uint8Array.from(bytes) });
    const changed = before && changedBy(before, establishedOf(host.engine.view(this.now)));
    if (changed) this.fail(`${host.name}: an unauthenticated datagram changed ${changed}`);
  }

  /** Lets time pass. */
  run(ms: number): void {
    const end = this.now + ms;
    while (this.#step(end));
    this.now = end;
  }

  /** Lets time pass until `done`; fails where it doesn't come in `limit` milliseconds. */
  runUntil(what: string, done: () => boolean, limit = 60_000): void {
    const end = this.now + limit;
    while (!done()) if (!this.#step(end)) this.fail(`${what}: did not happen within ${limit / 1000} s`);
  }

  /** One event not later than `end`; false where there is none. */
  #step(end: number): boolean {
    let [host, at]: [Host | undefined, number] = [undefined, this.#queue[0]?.at ?? Number.POSITIVE_INFINITY];
    for (const candidate of this.hosts) {
      const wake = candidate.engine.nextWake();
      if (wake !== undefined && wake < at) [host, at] = [candidate, wake];
    }
    if (at > end) return false;
    if (++this.#steps > MOST_EVENTS) this.fail(`more than ${MOST_EVENTS} events`);
    this.now = Math.max(this.now, at);
    if (host) host.input({ type: "tick" });
    else this.#queue.shift()?.action();
    return true;
  }

  /** Switches a host off and on again. What its memory held is not counted as leaked. */
  reboot(host: Host): void {
    this.#crashed = true;
    host.reboot();
  }

  /** One packet of traffic, now; both kernels count it, and their events reach the engines. */
  ping(from: Host, packet: Packet, octets = 100): Arrival {
    const verdict = from.xfrm.outbound(packet);
    if (verdict.kind === "acquire") {
      from.kernelEvents([verdict.event]);
      return "acquire";
    }
    const through = verdict.kind === "protected" ? verdict.through : [];
    if (verdict.kind === "blocked") return "refused";
    if (verdict.kind === "clear") from.kernelEvents(verdict.wanted);
    for (const sa of through) {
      const { passed, events } = from.xfrm.pass(sa, octets);
      from.kernelEvents(events);
      if (!passed) return "expired";
    }
    const carrier = through.at(-1);
    if (carrier && this.nats.length > 0) return this.#pingThroughNat(carrier, packet, octets);
    const receiver = this.hostAt(carrier?.destination ?? packet.destination);
    if (!receiver) return "lost";
    if (through.some((sa) => !receiver.xfrm.states.has(saName(sa)))) return "lost";
    for (const sa of [...through].reverse()) receiver.kernelEvents(receiver.xfrm.pass(sa, octets).events);
    const direction = receiver.addresses.includes(packet.destination) ? "in" : "fwd";
    if (!receiver.xfrm.inbound(packet, through, direction)) return "refused";
    return through.length > 0 ? "protected" : "clear";
  }

  /** As the routers between leave it; of one SA. */
  #pingThroughNat(sa: KernelSa, packet: Packet, octets: number): Arrival {
    const { encap } = sa;
    const source = { address: sa.source, port: encap?.sourcePort ?? 0 };
    const destination = { address: sa.destination, port: encap?.destinationPort ?? 0 };
    const leaves = outward(this.nats, { source, destination });
    // ESP itself has no ports to translate by.
    const translated = leaves.source.address !== sa.source || this.nats.some(({ outer }) => outer === sa.destination);
    const arrives = translated && !encap ? undefined : inward(this.nats, leaves);
    const receiver = arrives && this.hostAt(arrives.destination.address);
    if (!arrives || !receiver) return "lost";
    const name = { protocol: sa.protocol, spi: sa.spi, destination: arrives.destination.address };
    const state = receiver.xfrm.states.get(saName(name))?.sa;
    if (!state) return "lost";
    receiver.kernelEvents(receiver.xfrm.pass(name, octets).events);
    const from = arrives.source;
    const known = from.address === state.source && from.port === state.encap?.sourcePort;
    if (state.encap && !known) receiver.kernelEvents([{ type: "mapping", sa: name, from }]);
    const inner = sa.mode === "tunnel" ? packet : { ...packet, source: from.address, destination: arrives.destination.address };
    const direction = receiver.addresses.includes(inner.destination) ? "in" : "fwd";
    return receiver.xfrm.inbound(inner, [name], direction) ? "protected" : "refused";
  }

  /** Calls `ping` every `ms` as long as the world runs; the outcomes, in order. */
  traffic(from: Host, packet: Packet, ms: number, octets = 100): { readonly at: number; readonly arrival: Arrival }[] {
    const arrivals: { at: number; arrival: Arrival }[] = [];
    const tick = (): void => {
      arrivals.push({ at: this.now, arrival: this.ping(from, packet, octets) });
      this.after(ms, tick);
    };
    this.after(ms, tick);
    return arrivals;
  }

  /** Stops every host; nothing may be left of anything. `foreign`: SAs and policies that others put into the kernels. */
  end(foreign = 0): void {
    for (const host of this.hosts) {
      if (!host.stopped) host.command({ name: "shutdown", keep: false });
      this.runUntil(`${host.name} stops`, () => host.stopped);
    }
    for (const host of this.hosts) {
      if (host.engine.size !== 0) this.fail(`${host.name} stopped with ${host.engine.size} entries in its tables`);
      if (host.engine.nextWake() !== undefined) this.fail(`${host.name} stopped with a timer running`);
    }
    this.#queue.length = 0;
    const left = this.hosts.flatMap((host) => [...host.xfrm.states.keys(), ...host.xfrm.policies.keys()]);
    if (left.length !== foreign) this.fail(`left in the kernels: ${left.join("; ") || "nothing"}`);
    for (const host of this.hosts) host.xfrm.clear();
    // A daemon that died wiped nothing.
    if (this.hosts.every(({ journal }) => journal === undefined) && !this.#crashed && liveSecrets() !== this.#secrets)
      this.fail(`${liveSecrets() - this.#secrets} secrets were not destroyed`);
  }

  fail(text: string): never {
    throw new Error(text);
  }

  /** Everything needed to run it again and to see what happened. */
  report(): string {
    const fates = this.#fates.length > 0 ? this.#fates.map(formatFate).join(", ") : "none";
    return `seed ${this.seed}, fates: ${fates}\n${drawLadder(this.rungs, this.tap)}`;
  }
}

/** Whether a host can read a message: all of Main Mode, and what belongs to an SA that it has. A fragment is no message: it may complete one later. */
function knowsSa(host: Host, bytes: Uint8Array): boolean {
  const [NEXT_PAYLOAD_AT, EXCHANGE_AT, IDENTITY_PROTECTION] = [16, 18, 2];
  if (bytes[NEXT_PAYLOAD_AT] === PAYLOAD.FRAGMENT) return false;
  if (bytes[EXCHANGE_AT] === IDENTITY_PROTECTION) return true;
  const cookie = Buffer.from(bytes.subarray(0, 8)).toString("hex");
  return host.engine.view(0).ikeSas.some(({ initiatorCookie, state }) => initiatorCookie === cookie && state !== "negotiating");
}

/** Runs a story in a fresh world and ends that world; a failure brings the diagram with it. */
export const story =
  (options: WorldOptions, tell: (world: World) => void, { foreign = 0 }: { readonly foreign?: number } = {}): (() => void) =>
  () =>
    inWorld(options, (world) => {
      tell(world);
      world.end(foreign);
    });

/** Runs `tell` in a fresh world. */
export function inWorld(options: WorldOptions, tell: (world: World) => void): void {
  const world = new World(options);
  try {
    tell(world);
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`${what}\n${world.report()}`, { cause: error });
  }
}
