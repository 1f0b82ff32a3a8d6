/**
 * What a Quick Mode with PFS costs where it renews one of many: two cores in this process, one with the peers' half and one with ours, an
 * in-memory kernel on each side, no sockets. Only the time inside the core and its kernel counts, each side for itself.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Journal, type OpenedJournal, openJournal } from "../daemon/journal.ts";
import { systemRandom } from "../daemon/random.ts";
import { opensslCrypto, warmUp } from "../ike/crypto/openssl.ts";
import { type GroupName, groupNamed } from "../ike/crypto/suite.ts";
import { createEngine, type Engine } from "../ike/engine.ts";
import type { Input } from "../ike/input.ts";
import { memoryXfrm } from "../kernel/memory.ts";
import { quickModeFloor } from "./floor.ts";
import { type BenchRole, benchPolicy, benchSecret, type MeasuredGroup, pairAddresses, sideAddresses } from "./pairs.ts";
import { median } from "./statistics.ts";

export interface RekeyCost {
  readonly group: GroupName;
  readonly standing: number;
  /** Milliseconds of one renewal at the initiator and at the responder, and of the cryptography that it can't do without. */
  readonly initiatorMs: number;
  readonly responderMs: number;
  readonly floorMs: number;
}

const CORE = { crypto: opensslCrypto, random: systemRandom, port: 500 } as const;
const GROUPS = ["modp2048", "x25519"] as const satisfies readonly MeasuredGroup[];
const BATCH = 200;

/** What a start costs that takes all of it over. */
export interface RestoreCost {
  readonly ikes: number;
  readonly children: number;
  /** Milliseconds to read the journal, to compare it with the kernel, and to stand where the last run stood. */
  readonly milliseconds: number;
  /** Octets of the journal, and of memory that the restored tables take, by RSS. */
  readonly journalOctets: number;
  readonly memoryOctets: number;
}

/** Measures every group with `standing` other children there, the journal included; then a start that takes them over. */
export function measureRekeys(standing: number, repeats: number): { readonly rekeys: readonly RekeyCost[]; readonly restore: RestoreCost } {
  warmUp(GROUPS.map(groupNamed));
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "mainmode-bench-"));
  try {
    const duel = new Duel(folder);
    const rekeys = measureGroups(duel, standing, repeats);
    const restore = duel.restore();
    duel.close();
    return { rekeys, restore };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function measureGroups(duel: Duel, standing: number, repeats: number): readonly RekeyCost[] {
  for (let n = 0; n < standing; n++) duel.acquire("standing", n);
  return GROUPS.map((group) => {
    for (let n = 0; n < BATCH; n++) duel.acquire(group, n);
    const pass = quickModeFloor(opensslCrypto, systemRandom, groupNamed(group));
    const samples = Array.from({ length: repeats + 1 }, () => {
      const cost = duel.renew(group, BATCH);
      const started = performance.now();
      for (let i = 0; i < BATCH; i++) pass();
      return { ...cost, floor: (performance.now() - started) / BATCH };
    }).slice(1);
    return {
      group,
      standing,
      initiatorMs: median(samples.map(({ initiator }) => initiator)),
      responderMs: median(samples.map(({ responder }) => responder)),
      floorMs: median(samples.map(({ floor }) => floor)),
    };
  });
}

interface Half {
  readonly engine: Engine;
  readonly xfrm: ReturnType<typeof memoryXfrm>;
  readonly journal: Journal;
  spent: number;
}

class Duel {
  readonly #halves: Readonly<Record<BenchRole, Half>>;
  readonly #queue: (() => void)[] = [];
  readonly #reqids = new Map<string, number>();
  #now = 0;

  readonly #folder: string;
  readonly #secret = benchSecret();

  constructor(folder: string) {
    this.#folder = folder;
    const secret = this.#secret;
    const half = (role: BenchRole): Half => ({
      engine: createEngine({ ...CORE, journal: true }),
      xfrm: memoryXfrm({ keyless: true }),
      journal: this.#open(role).journal,
      spent: 0,
    });
    this.#halves = { initiator: half("initiator"), responder: half("responder") };
    for (const role of ["initiator", "responder"] as const) {
      this.#input(role, { type: "addresses", addresses: sideAddresses(role) });
      this.#input(role, { type: "policy", policy: benchPolicy(role, secret) });
    }
    this.#settle();
    for (const policy of this.#halves.initiator.xfrm.policies.values())
      if (policy.direction === "out") this.#reqids.set(policy.selector.source, policy.templates[0]?.reqid ?? 0);
  }

  #input(role: BenchRole, input: Input): void {
    const half = this.#halves[role];
    const effects = this.#timed(half, () => {
      const wanted = half.engine.handle(input, this.#now);
      for (const effect of wanted) if (effect.type === "journal") half.journal.write(effect.records);
      return wanted;
    });
    for (const effect of effects) {
      if (effect.type === "send") {
        const { local, remote } = effect.path;
        const bytes = Uint8Array.from(effect.bytes);
        const other = role === "initiator" ? "responder" : "initiator";
        this.#queue.push(() => this.#input(other, { type: "datagram", path: { local: remote, remote: local }, bytes }));
      } else if (effect.type === "kernel") {
        const { id, commands } = effect;
        this.#queue.push(() => {
          const outcome = this.#timed(half, () => half.xfrm.apply(commands));
          this.#input(role, { type: "kernel-done", id, outcome });
        });
      }
    }
  }

  #open(role: BenchRole): OpenedJournal {
    const later = (action: () => void): void => void this.#queue.push(() => this.#timed(this.#halves[role], action));
    const onFailure = (text: string): never => {
      throw new Error(text);
    };
    const opened = openJournal({ path: join(this.#folder, role), bootId: "bench", onFailure, later });
    if (!opened.ok) throw new Error(opened.error);
    return opened.value;
  }

  close(): void {
    for (const { journal } of Object.values(this.#halves)) journal.close(true);
  }

  #timed<T>(half: Half, act: () => T): T {
    const started = performance.now();
    const result = act();
    half.spent += performance.now() - started;
    return result;
  }

  /** The responder's daemon is started again on what it left. */
  restore(): RestoreCost {
    const { journal, xfrm } = this.#halves.responder;
    const journalOctets = journal.size;
    journal.close(false);
    const policy = benchPolicy("responder", this.#secret);
    const sas = [...xfrm.states.values()].map(({ sa, counters }) => ({ ...sa, endless: false, counters }));
    const kernel = { sas, policies: Array.from(xfrm.policies.values(), (policy) => ({ ...policy, ours: true })) };
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const engine = createEngine({ ...CORE, journal: true });
    engine.handle({ type: "addresses", addresses: sideAddresses("responder") }, this.#now);
    const left = this.#open("responder");
    engine.handle({ type: "policy", policy, restore: { image: left.image, kernel } }, this.#now);
    const milliseconds = performance.now() - started;
    left.journal.close(true);
    globalThis.gc?.();
    const { ikeSas, childSas } = engine.view(this.#now);
    const memoryOctets = Math.max(0, process.memoryUsage().rss - before);
    return { ikes: ikeSas.length, children: childSas.length, milliseconds, journalOctets, memoryOctets };
  }

  #settle(): void {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next();
  }

  acquire(rule: MeasuredGroup | "standing", n: number): void {
    this.#now += 20;
    const [source, destination] = pairAddresses(rule, n);
    const reqid = this.#reqids.get(source) ?? this.#reqidOf(source);
    const packet = { source, destination, ipProtocol: 1, sourcePort: 0, destinationPort: 0 };
    this.#input("initiator", { type: "kernel-event", event: { type: "acquire", protocol: "esp", reqid, ...packet } });
    this.#settle();
  }

  #reqidOf(source: string): number {
    const policy = [...this.#halves.initiator.xfrm.policies.values()].find((p) => p.direction === "out" && p.selector.source === source);
    return policy?.templates[0]?.reqid ?? 0;
  }

  /** Renews the group's children, with the switch, the delete and the removal that belong to it; milliseconds a renewal. */
  renew(group: MeasuredGroup, count: number): Readonly<Record<BenchRole, number>> {
    const { initiator, responder } = this.#halves;
    const own = pairAddresses(group, 0)[0].split(".").slice(0, 2).join(".");
    const newest = new Map(
      [...initiator.xfrm.states.values()]
        .filter(({ sa }) => sa.source.startsWith(`${own}.`))
        .map(({ sa }) => [`${sa.source} ${sa.destination}`, sa]),
    );
    if (newest.size < count) throw new Error(`${newest.size} children of ${group} to renew, not ${count}`);
    initiator.spent = 0;
    responder.spent = 0;
    for (const sa of newest.values()) {
      initiator.xfrm.setCounters(sa, { octets: 1000, packets: 10 });
      for (const event of initiator.xfrm.expire(sa, false)) this.#input("initiator", { type: "kernel-event", event });
      this.#settle();
      this.#now += 5;
    }
    // Until every old pair has drained.
    for (let left = 0; left < 60; left++) {
      this.#now += 500;
      for (const role of ["initiator", "responder"] as const)
        while ((this.#halves[role].engine.nextWake() ?? Number.POSITIVE_INFINITY) <= this.#now) {
          this.#input(role, { type: "tick" });
          this.#settle();
        }
    }
    return { initiator: initiator.spent / count, responder: responder.spent / count };
  }
}
