/**
 * Every order of events, not a sample: deliveries and kernel answers of two hosts permuted, with at most one datagram lost, for as long as what
 * the scenario is about is not over; the deletes and repetitions that follow happen in their turn (`delays.ts` goes on from there). Orders that
 * differ only in events at different hosts are one and the same (they can't influence each other but by messages), and are run once: sleep sets
 * (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996). Time passes only when nothing else can happen.
 */
import { Duel, type Scenario } from "./duel.ts";

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
    if (depth >= path.length && !duel.isUndecided()) return duel.goOn();
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
