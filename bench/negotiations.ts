/**
 * CPU time of negotiations against their floor, with few and with many SAs standing by.
 * A batch of negotiations is measured between two halves of as many passes over the floor, in the same processes; batches with few and with
 * many SAs take turns, each in processes of their own. What else runs on the machine then slows all of them alike, and medians of ratios
 * of neighbours are compared, not times.
 */
import { type BenchRole, GROUPS, type MeasuredGroup, pairsOf } from "./pairs.ts";
import { type Both, establish, type Sides, startSides } from "./sides.ts";
import { median, spread } from "./statistics.ts";

export interface NegotiationPlan {
  /** Negotiations in a batch. */
  readonly batch: number;
  readonly repeats: number;
  /** Batches of each group before anything counts: V8 has compiled everything by then. */
  readonly warmUp: number;
  /** SAs that stand by, in rising order. */
  readonly standing: readonly number[];
}

/** One side's costs for one group, in milliseconds a negotiation: medians over the repeats. */
export interface SideCost {
  readonly cpuMs: number;
  readonly floorMs: number;
  /** Cost by floor. */
  readonly ratio: number;
  /** Everything but the cryptography that can't be avoided. */
  readonly otherMs: number;
  /** Largest by smallest cost of the repeats: the noise. */
  readonly spread: number;
}

export interface NegotiationCost extends Both<SideCost> {
  readonly group: MeasuredGroup;
  readonly standing: number;
}

/** Measures every group at every number of standing SAs; `progress` is told what begins. */
export async function measureNegotiations(plan: NegotiationPlan, progress: (text: string) => void): Promise<readonly NegotiationCost[]> {
  const places: Place[] = [];
  try {
    for (const standing of plan.standing)
      places.push({ standing, sides: await startSides({ crypto: "openssl", kernel: "keeps" }), samples: new Map() });
    await prepare(places, plan, progress);
    for (let i = 0; i < plan.repeats; i++) {
      progress(`repeat ${i + 1} of ${plan.repeats}`);
      await measureOnce(places, plan.batch);
    }
    return places.flatMap(costsOf);
  } finally {
    await Promise.all(places.map(({ sides }) => sides.close()));
  }
}

/** Two processes with a number of SAs standing, and what was measured there. */
interface Place {
  readonly standing: number;
  readonly sides: Sides;
  readonly samples: Map<MeasuredGroup, Both<Sample>[]>;
}

/** SAs stand, and V8 has had the same work everywhere: where fewer stand, as many more were made and deleted. */
async function prepare(places: readonly Place[], plan: NegotiationPlan, progress: (text: string) => void): Promise<void> {
  const most = Math.max(...plan.standing);
  for (const { sides, standing } of places) {
    progress(`warming up, ${standing} SAs`);
    for (let i = 0; i < plan.warmUp; i++) for (const group of GROUPS) await measure(sides, group, plan.batch);
    for (let made = standing; made < most; made += plan.batch) {
      await establish(sides, "x25519", 0, plan.batch);
      await sides.perform({ do: "delete", rule: "x25519", count: plan.batch });
    }
    await establish(sides, "standing", 0, standing);
  }
}

/** Groups and places take turns, so that a slow minute of the machine is everybody's. */
async function measureOnce(places: readonly Place[], batch: number): Promise<void> {
  for (const group of GROUPS)
    for (const { sides, samples } of places) {
      const known = samples.get(group) ?? [];
      known.push(await measure(sides, group, batch));
      samples.set(group, known);
    }
}

const costsOf = ({ standing, samples }: Place): readonly NegotiationCost[] =>
  [...samples].map(([group, list]) => ({
    group,
    standing,
    initiator: summary(list.map(({ initiator }) => initiator)),
    responder: summary(list.map(({ responder }) => responder)),
  }));

interface Sample {
  readonly cpuMs: number;
  readonly floorMs: number;
}

/** One batch between two halves of its floor; the deletes that make room for the next batch don't count. */
async function measure(sides: Sides, group: MeasuredGroup, count: number): Promise<Both<Sample>> {
  if (count > pairsOf(group)) throw new Error(`a batch of ${count}, but ${pairsOf(group)} pairs`);
  const half = { do: "floor", group, passes: Math.ceil(count / 2) } as const;
  const before = await sides.perform(half);
  const cost = await establish(sides, group, 0, count);
  const after = await sides.perform(half);
  await sides.perform({ do: "delete", rule: group, count });
  const sample = (role: BenchRole): Sample => ({
    cpuMs: cost[role] / count,
    floorMs: (before[role].cpuMs + after[role].cpuMs) / (2 * half.passes),
  });
  return { initiator: sample("initiator"), responder: sample("responder") };
}

const summary = (samples: readonly Sample[]): SideCost => ({
  cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
  floorMs: median(samples.map(({ floorMs }) => floorMs)),
  ratio: median(samples.map(({ cpuMs, floorMs }) => cpuMs / floorMs)),
  otherMs: median(samples.map(({ cpuMs, floorMs }) => cpuMs - floorMs)),
  spread: spread(samples.map(({ cpuMs }) => cpuMs)),
});
