/**
 * Every order of events, not a sample: deliveries and kernel answers of two hosts permuted, with at most one datagram lost. Orders that differ
 * only in events at different hosts are one and the same (they can't influence each other but by messages), and are run once: sleep sets
 * (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996). Time passes only when nothing else can happen.
 */
import { opensslCrypto } from "../../ike/crypto/openssl.ts";
import type { Effect } from "../../ike/effect.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Input } from "../../ike/input.ts";
import type { KernelCommand, KernelSa } from "../../ike/kernel-contract.ts";
import { memoryXfrm } from "../../kernel/memory.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import type { Policy } from "../../policy/types.ts";
import { seededRandom, TOY_GROUPS } from "../sim/crypto.ts";
import { policyOf, towards } from "../sim/policies.ts";

export const SCENARIOS = ["two Quick Modes", "two Main Modes", "a Main Mode renewal against a Quick Mode"] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface Explored {
  readonly orders: number;
  /** Whether all were run, or the limit ended it. */
  readonly complete: boolean;
  /** The longest order, in events. */
  readonly longest: number;
}

export interface Limits {
  /** Datagrams that may be lost in one order: 0 or 1. */
  readonly losses: number;
  /** Orders to run at most. */
  readonly orders: number;
}

/** Runs every order of a scenario; throws with the order where an invariant breaks. */
export function explore(scenario: Scenario, { losses, orders }: Limits): Explored {
  const path: Node[] = [];
  let [run, longest] = [0, 0];
  do {
    const duel = new Duel(scenario, losses);
    try {
      follow(duel, path);
    } catch (error) {
      throw new Error(`${scenario}, order ${run + 1}: ${path.map((node) => node.chosen).join(" | ")}\n${String(error)}`, { cause: error });
    }
    longest = Math.max(longest, path.length);
    run++;
  } while (backtrack(path) && run < orders);
  return { orders: run, complete: path.length === 0, longest };
}

/** One decision: what could happen, what did, what was tried before, and what need not be tried here. */
interface Node {
  readonly enabled: readonly string[];
  chosen: string;
  readonly done: Set<string>;
  readonly sleep: ReadonlySet<string>;
}

/** Repeats the decisions of the path, and then decides for the first that is not asleep. */
function follow(duel: Duel, path: Node[]): void {
  let sleep: ReadonlySet<string> = new Set();
  for (let depth = 0; ; depth++) {
    const enabled = duel.enabled();
    if (enabled.length === 0) return duel.finish();
    const known = path[depth];
    const chosen = known?.chosen ?? enabled.find((event) => !sleep.has(event));
    // Everything that could happen here was run in another order.
    if (chosen === undefined) return;
    const node = known ?? { enabled, chosen, done: new Set<string>(), sleep };
    if (!known) path.push(node);
    duel.perform(chosen);
    sleep = new Set([...node.sleep, ...node.done].filter((event) => isIndependent(event, chosen)));
  }
}

/** Takes the deepest decision that has an alternative; false where there is none. */
function backtrack(path: Node[]): boolean {
  for (let node = path.at(-1); node; node = path.at(-1)) {
    const last = node;
    last.done.add(last.chosen);
    const next = last.enabled.find((event) => !last.done.has(event) && !last.sleep.has(event));
    if (next !== undefined) {
      last.chosen = next;
      return true;
    }
    path.pop();
  }
  return false;
}

/** Events: "A<B3": A gets B's third datagram; "A.": A's kernel answers; "x<B3": that datagram is lost. */
function isIndependent(one: string, other: string): boolean {
  const [a, b] = [one[0], other[0]];
  if (a === "x" && b === "x") return false;
  if (a === "x" || b === "x") return one.slice(1) !== other.slice(1);
  return a !== b;
}

const ADDRESS = { A: "192.0.2.1", B: "192.0.2.2" } as const;
type Name = keyof typeof ADDRESS;
const NAMES: readonly Name[] = ["A", "B"];
const OTHER = { A: "B", B: "A" } as const;

/** The part of a second that a message takes where nothing is permuted. */
const STEP = 5;
/** What begins later is another story. */
const REST = 40_000;

class Side {
  readonly name: Name;
  readonly engine: Engine;
  readonly xfrm = memoryXfrm();
  /** Kernel commands without an answer, in their order. */
  readonly asked: { readonly id: number; readonly commands: readonly KernelCommand[] }[] = [];
  /** Datagrams that were sent, and what became of them. */
  readonly sent: { readonly bytes: Uint8Array; there: boolean }[] = [];

  constructor(name: Name) {
    this.name = name;
    const random = seededRandom(name === "A" ? 11 : 12);
    this.engine = createEngine({ crypto: { ...opensslCrypto, ...TOY_GROUPS }, random, port: 500 });
  }

  newest(): KernelSa | undefined {
    return [...this.xfrm.states.values()].findLast(({ sa }) => sa.source === ADDRESS[this.name])?.sa;
  }
}

class Duel {
  readonly #sides: Readonly<Record<Name, Side>> = { A: new Side("A"), B: new Side("B") };
  #now = 0;
  #losses: number;
  /** From then on both directions must always be passable. */
  #guarded = false;

  constructor(scenario: Scenario, losses: number) {
    this.#losses = 0;
    const top = scenario === "a Main Mode renewal against a Quick Mode" ? { mainLife: "4m", quickLife: "60m" } : {};
    for (const name of NAMES) {
      this.#input(name, { type: "addresses", addresses: [ADDRESS[name]] });
      this.#input(name, { type: "policy", policy: policyFor(OTHER[name], top) });
    }
    this.#settle();
    if (scenario !== "two Main Modes") this.#bringUp();
    if (scenario === "two Quick Modes") for (const name of NAMES) this.#soften(name);
    if (scenario === "two Main Modes") for (const name of NAMES) this.#acquire(name);
    if (scenario === "a Main Mode renewal against a Quick Mode") {
      while (this.#flying().length === 0) this.#wake();
      this.#soften("B");
    }
    this.#losses = losses;
    this.#end = this.#now + REST;
  }

  #bringUp(): void {
    this.#acquire("A");
    this.#settle();
    for (const name of NAMES) this.#traffic(name);
    this.#guarded = true;
  }

  #input(name: Name, input: Input): void {
    for (const effect of this.#sides[name].engine.handle(input, this.#now)) this.#carryOut(this.#sides[name], effect);
  }

  #carryOut(side: Side, effect: Effect): void {
    if (effect.type === "send") side.sent.push({ bytes: Uint8Array.from(effect.bytes), there: false });
    else if (effect.type === "kernel") side.asked.push(effect);
    else if (effect.type === "event" && effect.event.event === "bug") throw new Error(effect.event.text);
  }

  #flying(): readonly string[] {
    return NAMES.flatMap((name) => this.#sides[OTHER[name]].sent.flatMap(({ there }, n) => (there ? [] : [`${name}<${OTHER[name]}${n}`])));
  }

  /** What can happen now; time passes until something can. Nothing: all is at rest. */
  enabled(): readonly string[] {
    for (;;) {
      const flying = this.#flying();
      const answers = NAMES.filter((name) => this.#sides[name].asked.length > 0).map((name) => `${name}.`);
      const losses = this.#losses > 0 ? flying.map((event) => `x${event.slice(1)}`) : [];
      const all = [...flying, ...answers, ...losses];
      if (all.length > 0 || this.#restedAt() > this.#end) return all;
      this.#wake();
    }
  }

  #end = 0;
  #restedAt(): number {
    return Math.min(...NAMES.map((name) => this.#sides[name].engine.nextWake() ?? Number.POSITIVE_INFINITY));
  }

  /** The next timer. */
  #wake(): void {
    const at = this.#restedAt();
    this.#now = Math.max(this.#now, at);
    for (const name of NAMES)
      if ((this.#sides[name].engine.nextWake() ?? Number.POSITIVE_INFINITY) <= this.#now) this.#input(name, { type: "tick" });
  }

  perform(event: string): void {
    const { name, from, n } = parse(event);
    if (event.startsWith("x")) {
      this.#losses--;
      this.#arrived(from, n);
    } else if (event.endsWith(".")) this.#answer(name);
    else {
      const bytes = this.#arrived(from, n);
      const path = { local: { address: ADDRESS[name], port: 500 }, remote: { address: ADDRESS[OTHER[name]], port: 500 } };
      this.#input(name, { type: "datagram", path, bytes });
    }
    if (this.#guarded) this.#check();
  }

  #arrived(from: Name, n: number): Uint8Array {
    const datagram = this.#sides[from].sent[n];
    if (!datagram) throw new Error(`no datagram ${n} of ${from}`);
    datagram.there = true;
    return datagram.bytes;
  }

  #answer(name: Name): void {
    const side = this.#sides[name];
    const next = side.asked.shift();
    if (next) this.#input(name, { type: "kernel-done", id: next.id, outcome: side.xfrm.apply(next.commands) });
  }

  /** In the order of their making, without choice, for as long as messages and answers last. */
  #settle(): void {
    for (let events = this.#ready(); events.length > 0; events = this.#ready()) {
      this.#now += STEP;
      this.perform(events[0] as string);
    }
  }

  #ready(): readonly string[] {
    return [...NAMES.filter((name) => this.#sides[name].asked.length > 0).map((name) => `${name}.`), ...this.#flying()];
  }

  #soften(name: Name): void {
    const side = this.#sides[name];
    const outbound = side.newest();
    if (!outbound) throw new Error(`${name} has nothing to renew`);
    for (const event of side.xfrm.expire(outbound, false)) this.#input(name, { type: "kernel-event", event });
  }

  #acquire(name: Name): void {
    const [policy] = [...this.#sides[name].xfrm.policies.values()].filter(({ direction }) => direction === "out");
    const packet = { source: ADDRESS[name], destination: ADDRESS[OTHER[name]], ipProtocol: 6, sourcePort: 1, destinationPort: 1 };
    const reqid = policy?.templates[0]?.reqid ?? 0;
    this.#input(name, { type: "kernel-event", event: { type: "acquire", protocol: "esp", reqid, ...packet } });
  }

  /** One packet through the newest pair. */
  #traffic(name: Name): void {
    const sa = this.#sides[name].newest();
    if (!sa) throw new Error(`at ${this.#now} ms: ${name} has no outbound SA`);
    const there = this.#sides[OTHER[name]].xfrm;
    if (!there.states.has(saName(sa)))
      throw new Error(`at ${this.#now} ms: ${name} sends on ${saName(sa)}, which ${OTHER[name]} does not have`);
    this.#sides[name].xfrm.pass(sa, 100);
    there.pass(sa, 100);
  }

  #check(): void {
    for (const name of NAMES) this.#traffic(name);
  }

  /** All is at rest: traffic passes both ways, and no more than two pairs and three IKE SAs stand. */
  finish(): void {
    this.#check();
    for (const name of NAMES) {
      const { childSas, ikeSas } = this.#sides[name].engine.view(this.#now);
      const live = childSas.filter(({ state }) => state === "installed" || state === "rekeying");
      if (live.length < 1 || live.length > 2) throw new Error(`${name} has ${live.length} pairs`);
      if (ikeSas.filter(({ state }) => state !== "negotiating").length > 3) throw new Error(`${name} has ${ikeSas.length} IKE SAs`);
      if (childSas.some(({ state }) => state === "negotiating")) throw new Error(`${name} has half a pair`);
    }
    for (const name of NAMES) this.#sides[name].xfrm.clear();
  }
}

const policyFor = (peer: Name, top: Readonly<Record<string, string>>): Policy =>
  policyOf(towards(ADDRESS[peer], { start: '"on-traffic"' }, top));

function parse(event: string): { readonly name: Name; readonly from: Name; readonly n: number } {
  const [first = "", rest = ""] = event.split("<");
  const from: Name = rest.startsWith("A") ? "A" : "B";
  return { name: first.startsWith("A") ? "A" : first.startsWith("B") ? "B" : OTHER[from], from, n: Number(rest.slice(1)) };
}
