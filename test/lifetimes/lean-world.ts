/**
 * A simulator for weeks: many hosts, virtual time, a heap of events, one packet of traffic for each direction every ten seconds. It knows less
 * than `test/sim/world.ts` (no ladder, no fates, no leak check of secrets) and costs a hundredth.
 */
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Effect, SaEvent } from "../../ike/effect.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import { type KernelCommand, type KernelEvent, type KernelSa, REQID_BASE } from "../../ike/kernel-contract.ts";
import { type MemoryXfrm, memoryXfrm } from "../../kernel/memory.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import type { Policy } from "../../policy/types.ts";
import { seededRandom, TOY_GROUPS } from "../sim/crypto.ts";

const LATENCY = 5;
const KERNEL_TIME = 1;

/** A number from 0 to 1 that depends on the seed alone. */
export type Dice = () => number;

export function diceOf(seed: number): Dice {
  const random = seededRandom(seed);
  return () => random(4).reduce((value, octet) => value * 256 + octet, 0) / 2 ** 32;
}

interface Due {
  readonly at: number;
  readonly serial: number;
  readonly action: () => void;
}

/** Events in the order of their time; equal times in the order of their making. */
class Agenda {
  readonly #heap: Due[] = [];
  #serial = 0;

  push(at: number, action: () => void): void {
    const heap = this.#heap;
    const due = { at, serial: ++this.#serial, action };
    let i = heap.push(due) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent] as Due, due)) break;
      heap[i] = heap[parent] as Due;
      i = parent;
    }
    heap[i] = due;
  }

  get next(): number | undefined {
    return this.#heap[0]?.at;
  }

  pop(): Due | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return top;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child++;
      if (before(last, heap[child] as Due)) break;
      heap[i] = heap[child] as Due;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.serial < b.serial);

export interface LeanOptions {
  readonly seed: number;
  /** Share of datagrams that are lost. */
  readonly loss: number;
}

/** What became of one packet. `waits`: it asked for an SA; `void`: the receiver has no such SA, or the sender's is used up. */
export type Fate = "protected" | "waits" | "void" | "clear";

export class LeanWorld {
  now = 0;
  readonly dice: Dice;
  readonly #hosts = new Map<string, LeanHost>();
  readonly #agenda = new Agenda();
  readonly #loss: number;
  readonly #seed: number;
  sent = 0;

  constructor({ seed, loss }: LeanOptions) {
    this.#seed = seed;
    this.#loss = loss;
    this.dice = diceOf(seed);
  }

  add(address: string, policy: Policy): LeanHost {
    const host = new LeanHost(this, address, policy, this.#seed * 1009 + this.#hosts.size);
    this.#hosts.set(address, host);
    return host;
  }

  get hosts(): readonly LeanHost[] {
    return [...this.#hosts.values()];
  }

  after(ms: number, action: () => void): void {
    this.#agenda.push(this.now + ms, action);
  }

  send(from: string, to: string, bytes: Uint8Array): void {
    this.sent++;
    if (this.dice() < this.#loss) return;
    const content = Uint8Array.from(bytes);
    this.after(LATENCY, () => {
      const path = { local: { address: to, port: 500 }, remote: { address: from, port: 500 } };
      this.#hosts.get(to)?.input({ type: "datagram", path, bytes: content });
    });
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (let at = this.#agenda.next; at !== undefined && at <= end; at = this.#agenda.next) {
      this.now = Math.max(this.now, at);
      this.#agenda.pop()?.action();
    }
    this.now = end;
  }

  /** One packet now, with what it makes both kernels say. */
  packet(from: LeanHost, to: LeanHost, octets: number): Fate {
    const sa = from.newestTo(to.address);
    if (!sa) return from.lacks(to.address) ? "waits" : "clear";
    if (!from.pass(sa, octets)) return "void";
    return to.pass(sa, octets) ? "protected" : "void";
  }
}

/** One machine: an engine and a kernel in memory with an index of what it sends on. */
export class LeanHost {
  readonly address: string;
  readonly policy: Policy;
  readonly world: LeanWorld;
  readonly xfrm: MemoryXfrm = memoryXfrm();
  readonly events = new Map<SaEvent["event"], number>();
  engine: Engine;
  restartedAt = 0;
  onEvent: (event: SaEvent) => void = () => {};
  readonly #random;
  /** Outbound SAs by destination, oldest first: Linux sends on the newest. */
  #outbound = new Map<string, KernelSa[]>();
  #generation = 0;
  #wakeAt = Number.POSITIVE_INFINITY;
  #kernelFreeAt = 0;

  constructor(world: LeanWorld, address: string, policy: Policy, seed: number) {
    this.world = world;
    this.address = address;
    this.policy = policy;
    this.#random = seededRandom(seed);
    this.engine = this.#newEngine();
  }

  #newEngine(): Engine {
    return createEngine({ crypto: { ...opensslCrypto, ...TOY_GROUPS }, random: this.#random, port: 500 });
  }

  boot(): void {
    this.input({ type: "addresses", addresses: [this.address] });
    this.input({ type: "policy", policy: this.policy });
  }

  /** Power off and on: everything is forgotten. */
  restart(): void {
    this.#generation++;
    this.xfrm.clear();
    this.#outbound = new Map();
    this.engine = this.#newEngine();
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.restartedAt = this.world.now;
    this.boot();
  }

  input(input: Input): void {
    for (const effect of this.engine.handle(input, this.world.now)) this.#carryOut(effect);
    const wake = this.engine.nextWake();
    if (wake === undefined || wake >= this.#wakeAt) return;
    this.#wakeAt = wake;
    this.#later(Math.max(0, wake - this.world.now), () => {
      // A later timer that was moved up has a wake of its own.
      if (this.#wakeAt > this.world.now) return;
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.input({ type: "tick" });
    });
  }

  #later(ms: number, action: () => void): void {
    const generation = this.#generation;
    this.world.after(ms, () => {
      if (generation === this.#generation) action();
    });
  }

  #carryOut(effect: Effect): void {
    if (effect.type === "send") this.world.send(this.address, effect.path.remote.address, effect.bytes);
    else if (effect.type === "kernel") this.#ask(effect.id, effect.commands);
    else if (effect.type === "route") this.#later(0, () => this.input({ type: "route-done", id: effect.id, local: this.address }));
    else if (effect.type === "event") {
      const { event } = effect;
      this.events.set(event.event, (this.events.get(event.event) ?? 0) + 1);
      if (event.event === "bug") throw new Error(`${this.address}: ${event.text}`);
      this.onEvent(event);
    }
  }

  #ask(id: number, commands: readonly KernelCommand[]): void {
    this.#kernelFreeAt = Math.max(this.#kernelFreeAt, this.world.now) + KERNEL_TIME;
    this.#later(this.#kernelFreeAt - this.world.now, () => {
      const outcome = this.xfrm.apply(commands);
      for (const command of commands.slice(0, outcome.ok ? commands.length : outcome.error.index)) this.#note(command);
      this.input({ type: "kernel-done", id, outcome });
    });
  }

  #note(command: KernelCommand): void {
    if (command.do === "add-sa") {
      const { sa } = command;
      if (sa.source === this.address) this.#outbound.set(sa.destination, [...(this.#outbound.get(sa.destination) ?? []), sa]);
      this.#watch(sa);
    } else if (command.do === "remove-sa") this.#unlist(command.sa.destination, command.sa.spi);
  }

  #unlist(destination: string, spi: number): void {
    const left = this.#outbound.get(destination)?.filter((sa) => sa.spi !== spi);
    if (left) this.#outbound.set(destination, left);
  }

  /** The kernel's own clock. */
  #watch(sa: KernelSa): void {
    const name = saName(sa);
    const installed = this.xfrm.states.get(name)?.sa;
    for (const [seconds, hard] of [[sa.limits.softSeconds, false] as const, [sa.limits.hardSeconds, true] as const]) {
      if (seconds === null) continue;
      this.#later(seconds * 1000, () => {
        if (this.xfrm.states.get(name)?.sa === installed) this.#tell(this.xfrm.expire(sa, hard));
      });
    }
  }

  #tell(events: readonly KernelEvent[]): void {
    for (const event of events) {
      if (event.type === "expire" && event.hard) this.#unlist(event.sa.destination, event.sa.spi);
      this.input({ type: "kernel-event", event });
    }
  }

  newestTo(destination: string): KernelSa | undefined {
    return this.#outbound.get(destination)?.at(-1);
  }

  /** Counts a packet on an SA; false where there is none, or its volume is used up. */
  pass(sa: KernelSa, octets: number): boolean {
    const { passed, events } = this.xfrm.pass(sa, octets);
    this.#tell(events);
    return passed;
  }

  /** A packet without an SA: the policy asks. False where no policy stands, so that it would go in clear. */
  lacks(destination: string): boolean {
    const [policy] = [...this.xfrm.policies.values()].filter(({ direction }) => direction === "out");
    const reqid = policy?.templates[0]?.reqid;
    if (reqid === undefined || reqid < REQID_BASE) return false;
    const packet = { source: this.address, destination, ipProtocol: 6, sourcePort: 1, destinationPort: 1 };
    this.input({ type: "kernel-event", event: { type: "acquire", protocol: "esp", reqid, ...packet } });
    return true;
  }
}
