/**
 * One host with a hundred peers at default lifetimes for a week of virtual time, with loss on the way and peers that restart: what a gateway
 * goes through. Every packet of traffic must pass but for a while after a restart; pairs, SAs and tables must not pile up.
 */
import type { Policy } from "../../policy/types.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { type Fate, type LeanHost, LeanWorld } from "./lean-world.ts";

export interface WeeksOptions {
  readonly peers: number;
  readonly hours: number;
  readonly loss: number;
  /** Restarts of each peer a day. */
  readonly restarts: number;
  readonly seed: number;
}

export interface WeeksReport {
  readonly packets: Readonly<Record<Fate, number>>;
  /** Packets that waited or were lost within `RECOVERY` of a restart, and those of an idle pair that had been let go. */
  readonly excused: number;
  readonly rekeys: number;
  readonly mainModes: number;
  readonly restarts: number;
  readonly letGo: number;
  /** Pairs for one child at a time, at most, and how often more than one was there at a look. */
  readonly mostPairs: number;
  readonly doubled: number;
  readonly looks: number;
  readonly mostIkeSas: number;
  /** Entries in the hub's tables after the first hour, at most, and at the end. */
  readonly sizes: readonly [number, number, number];
  readonly datagrams: number;
  /** What should not have happened. */
  readonly wrong: readonly string[];
}

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const TICK = 10 * SECOND;
const LOOK = 600 * SECOND;

/** Until a peer that restarted is in touch again: dead peer detection takes two minutes, a Main Mode with losses half of one. */
const RECOVERY = 240 * SECOND;

/** Two pairs that both ends made at once are one again when either was due for renewal. */
const LONGEST_OVERLAP = 300 * SECOND;

const HUB = "10.0.0.1";
const DEFAULT = { mainLife: "480m", quickLife: "5m", volume: "100MB" };
const addressOf = (i: number): string => `10.1.${i >> 8}.${i & 255}`;

/** A third comes up by itself, a third when there is traffic, and of the last third the traffic pauses for half of every hour. */
type Kind = "now" | "on-traffic" | "pausing";
const KINDS: readonly Kind[] = ["now", "on-traffic", "pausing"];

interface Spoke {
  readonly host: LeanHost;
  readonly kind: Kind;
  doubledSince: number | null;
}

/** Runs it; `tell` hears of each hour. */
export function runWeeks(options: WeeksOptions, tell: (text: string) => void = () => {}): WeeksReport {
  const run = new Run(options);
  for (let hour = 1; hour <= options.hours; hour++) {
    run.hour();
    tell(`hour ${hour} of ${options.hours}: ${run.summary()}`);
  }
  return run.end();
}

class Run {
  readonly #world: LeanWorld;
  readonly #hub: LeanHost;
  readonly #spokes: readonly Spoke[];
  readonly #options: WeeksOptions;
  readonly #packets: Record<Fate, number> = { protected: 0, waits: 0, void: 0, clear: 0 };
  readonly #wrong: string[] = [];
  readonly #counts = { excused: 0, restarts: 0, mostPairs: 0, doubled: 0, looks: 0, mostIkeSas: 0, letGo: 0 };
  #over = false;
  #sizes: [number, number, number] = [0, 0, 0];

  constructor(options: WeeksOptions) {
    this.#options = options;
    this.#world = new LeanWorld(options);
    this.#hub = this.#world.add(HUB, policyOf(towards("10.1.0.0/16", { start: '"on-traffic"' }, DEFAULT)));
    const policy = (kind: Kind): Policy => policyOf(towards(HUB, { start: kind === "now" ? '"now"' : '"on-traffic"' }, DEFAULT));
    this.#spokes = Array.from({ length: options.peers }, (_, i) => {
      const kind = KINDS[i % KINDS.length] ?? "now";
      return { kind, host: this.#world.add(addressOf(i), policy(kind)), doubledSince: null };
    });
    for (const host of this.#world.hosts)
      host.onEvent = ({ text }) => {
        if (text.includes("let go")) this.#counts.letGo++;
      };
    this.#hub.boot();
    for (const [i, spoke] of this.#spokes.entries()) this.#begin(spoke, i);
    this.#every(LOOK, () => this.#look());
  }

  #every(ms: number, action: () => void): void {
    const again = (): void => {
      action();
      this.#world.after(ms, again);
    };
    this.#world.after(ms, again);
  }

  #begin(spoke: Spoke, i: number): void {
    const { dice } = this.#world;
    this.#world.after(i * 97, () => {
      spoke.host.boot();
      this.#every(TICK, () => this.#traffic(spoke));
    });
    const mean = (24 * HOUR) / Math.max(this.#options.restarts, 1e-6);
    const restart = (): void => {
      if (this.#over) return;
      spoke.host.restart();
      this.#counts.restarts++;
      this.#world.after(mean * (0.5 + dice()), restart);
    };
    if (this.#options.restarts > 0) this.#world.after(mean * dice() + 2 * RECOVERY, restart);
  }

  #traffic(spoke: Spoke): void {
    if (this.#over) return;
    const phase = this.#world.now % HOUR;
    if (spoke.kind === "pausing" && phase > HOUR / 2) return;
    // The first packets after a pause ask for a new pair.
    const resumes = spoke.kind === "pausing" && phase < 60 * SECOND;
    const young = this.#world.now - spoke.host.restartedAt < RECOVERY;
    for (const [from, to] of [
      [spoke.host, this.#hub],
      [this.#hub, spoke.host],
    ] as const) {
      const fate = this.#world.packet(from, to, 20_000);
      this.#packets[fate]++;
      if (fate === "protected") continue;
      if (fate !== "clear" && (young || resumes)) this.#counts.excused++;
      else this.#fail(`${from.address} to ${to.address}: ${fate}`);
    }
  }

  #fail(text: string): void {
    if (this.#wrong.length < 20) this.#wrong.push(`at ${(this.#world.now / SECOND).toFixed(0)} s: ${text}`);
  }

  /** Pairs and IKE SAs of each peer at the hub. */
  #look(): void {
    const { childSas, ikeSas } = this.#hub.engine.view(this.#world.now);
    const count = (addresses: readonly string[]) => {
      const counts = new Map<string, number>();
      for (const address of addresses) counts.set(address, (counts.get(address) ?? 0) + 1);
      return counts;
    };
    const pairs = count(
      childSas.flatMap(({ state, remote }) => (state === "draining" || state === "negotiating" ? [] : [remote.split("/")[0] ?? ""])),
    );
    const ikes = count(ikeSas.flatMap(({ state, remote }) => (state === "negotiating" ? [] : [remote.split(":")[0] ?? ""])));
    for (const spoke of this.#spokes) {
      const { address } = spoke.host;
      const mine = pairs.get(address) ?? 0;
      this.#counts.looks++;
      this.#counts.mostPairs = Math.max(this.#counts.mostPairs, mine);
      this.#counts.mostIkeSas = Math.max(this.#counts.mostIkeSas, ikes.get(address) ?? 0);
      if (mine > 1) this.#counts.doubled++;
      spoke.doubledSince = mine > 1 ? (spoke.doubledSince ?? this.#world.now) : null;
      if (spoke.doubledSince !== null && this.#world.now - spoke.doubledSince > LONGEST_OVERLAP + LOOK)
        this.#fail(`${address} has had ${mine} pairs since ${spoke.doubledSince / SECOND} s`);
      if ((ikes.get(address) ?? 0) > 3) this.#fail(`${address} has ${ikes.get(address)} IKE SAs`);
    }
    this.#sizes[1] = Math.max(this.#sizes[1], this.#hub.engine.size);
  }

  hour(): void {
    this.#world.run(HOUR);
    if (this.#sizes[0] === 0) this.#sizes[0] = this.#hub.engine.size;
    this.#sizes[2] = this.#hub.engine.size;
  }

  summary(): string {
    const bad = this.#packets.void + this.#packets.waits;
    return `${this.#packets.protected} packets passed, ${bad} waited or were lost (${this.#counts.excused} excused), ${this.#counts.restarts} restarts, hub ${this.#hub.engine.size} entries`;
  }

  end(): WeeksReport {
    const [first, most, last] = this.#sizes;
    // A table that only grows shows after some hours; overlaps come and go.
    if (most > first * 2 + 100) this.#fail(`the hub's tables grew from ${first} to ${most} entries`);
    const rekeys = this.#hub.events.get("child.rekeyed") ?? 0;
    const mainModes = this.#hub.events.get("ike.established") ?? 0;
    this.#over = true;
    for (const host of this.#world.hosts) host.input({ type: "command", id: 1, command: { name: "shutdown", keep: false } });
    this.#world.run(60 * SECOND);
    for (const host of this.#world.hosts) {
      if (host.engine.size > 0) this.#fail(`${host.address} stopped with ${host.engine.size} entries in its tables`);
      if (host.xfrm.states.size + host.xfrm.policies.size > 0)
        this.#fail(`${host.address} left ${host.xfrm.states.size} SAs in its kernel`);
    }
    const { excused, restarts, mostPairs, doubled, looks, mostIkeSas, letGo } = this.#counts;
    const found = { excused, restarts, mostPairs, doubled, looks, mostIkeSas, letGo, rekeys, mainModes };
    return { ...found, packets: this.#packets, sizes: [first, most, last], datagrams: this.#world.sent, wrong: this.#wrong };
  }
}
