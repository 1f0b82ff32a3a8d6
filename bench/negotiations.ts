/**
 * CPU time of negotiations against their floor, with few and with many SAs standing by.
 * Each repeat measures a batch of negotiations and, right after it and in the same processes, as many passes over the floor: what else runs on
 * the machine then slows both. The ratios of the repeats are compared, not their times.
 */
import { GROUPS, type MeasuredGroup, pairsOf } from "./pairs.ts";
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
  const sides = await startSides({ crypto: "openssl", kernel: "keeps" });
  try {
    progress("warming up");
    for (let i = 0; i < plan.warmUp; i++) for (const group of GROUPS) await measure(sides, group, plan.batch);
    const costs: NegotiationCost[] = [];
    let standing = 0;
    for (const goal of plan.standing) {
      progress(`${goal} SAs stand by`);
      await establish(sides, "standing", standing, goal - standing);
      standing = goal;
      costs.push(...(await measureGroups(sides, plan, standing, progress)));
    }
    return costs;
  } finally {
    sides.close();
  }
}

/** Groups take turns within each repeat, so that a slow minute of the machine is everybody's. */
async function measureGroups(sides: Sides, plan: NegotiationPlan, standing: number, progress: (text: string) => void) {
  const samples = new Map<MeasuredGroup, Both<Sample>[]>(GROUPS.map((group) => [group, []]));
  for (let i = 0; i < plan.repeats; i++) {
    progress(`${standing} SAs stand by, repeat ${i + 1} of ${plan.repeats}`);
    for (const group of GROUPS) samples.get(group)?.push(await measure(sides, group, plan.batch));
  }
  return [...samples].map(
    ([group, list]): NegotiationCost => ({
      group,
      standing,
      initiator: summary(list.map(({ initiator }) => initiator)),
      responder: summary(list.map(({ responder }) => responder)),
    }),
  );
}

interface Sample {
  readonly cpuMs: number;
  readonly floorMs: number;
}

/** One batch, its floor, and the deletes that make room for the next, which don't count. */
async function measure(sides: Sides, group: MeasuredGroup, count: number): Promise<Both<Sample>> {
  if (count > pairsOf(group)) throw new Error(`a batch of ${count}, but ${pairsOf(group)} pairs`);
  const cost = await establish(sides, group, 0, count);
  const floor = await sides.perform({ do: "floor", group, passes: count });
  await sides.perform({ do: "delete", rule: group, count });
  const sample = (cpuMs: number, floorMs: number): Sample => ({ cpuMs: cpuMs / count, floorMs: floorMs / count });
  return {
    initiator: sample(cost.initiator, floor.initiator.cpuMs),
    responder: sample(cost.responder, floor.responder.cpuMs),
  };
}

const summary = (samples: readonly Sample[]): SideCost => ({
  cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
  floorMs: median(samples.map(({ floorMs }) => floorMs)),
  ratio: median(samples.map(({ cpuMs, floorMs }) => cpuMs / floorMs)),
  otherMs: median(samples.map(({ cpuMs, floorMs }) => cpuMs - floorMs)),
  spread: spread(samples.map(({ cpuMs }) => cpuMs)),
});
