/**
 * Two hosts in the middle of something, event by event: whoever explores decides what happens next. Time passes only when nothing else can
 * happen. From the moment that both directions are up every step checks that a packet still passes both ways.
 * Events: "A<B3": A gets B's third datagram; "A.": A's kernel answers; "x<B3": that datagram is lost.
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

export class Duel {
  readonly #sides: Readonly<Record<Name, Side>> = { A: new Side("A"), B: new Side("B") };
  #now = 0;
  readonly #scenario: Scenario;
  #losses: number;
  /** What can happen, in the order in which it came to be; without losses. */
  readonly #due: string[] = [];
  /** From then on both directions must always be passable. */
  #guarded = false;

  constructor(scenario: Scenario, losses: number) {
    this.#scenario = scenario;
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
    if (effect.type === "send") {
      this.#due.push(`${OTHER[side.name]}<${side.name}${side.sent.length}`);
      side.sent.push({ bytes: Uint8Array.from(effect.bytes), there: false });
    } else if (effect.type === "kernel") {
      this.#due.push(`${side.name}.`);
      side.asked.push(effect);
    } else if (effect.type === "event" && effect.event.event === "bug") throw new Error(effect.event.text);
  }

  #flying(): readonly string[] {
    return NAMES.flatMap((name) => this.#sides[OTHER[name]].sent.flatMap(({ there }, n) => (there ? [] : [`${name}<${OTHER[name]}${n}`])));
  }

  /** What came to be first of what can happen now; time passes until something can. Nothing: all is at rest. */
  first(): string | undefined {
    return this.enabled().length === 0 ? undefined : this.#due[0];
  }

  /** Puts that behind everything else that can happen. */
  delay(): void {
    const [first, ...others] = this.#due;
    if (first !== undefined) this.#due.splice(0, this.#due.length, ...others, first);
  }

  /** Whether what can happen may be lost instead. */
  mayLose(event: string): boolean {
    return this.#losses > 0 && event.includes("<");
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

  /** What the scenario is about is not over: its negotiations are under way, or the kernel was asked whether there is need of one. */
  isUndecided(): boolean {
    return NAMES.some((name) => {
      const { engine, asked } = this.#sides[name];
      const { negotiations, wishes } = engine.live(this.#now);
      if (this.#scenario === "two Main Modes") return negotiations.some(({ kind }) => kind === "main-mode");
      return negotiations.length > 0 || wishes > 0 || asked.some(({ commands }) => commands.some((command) => command.do === "read-sa"));
    });
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
    this.#due.splice(this.#due.indexOf(event.replace(/^x/, OTHER[from])), 1);
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

  /** What is left happens in its turn. */
  goOn(): void {
    for (let event = this.first(); event !== undefined; event = this.first()) this.perform(event);
    this.finish();
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
