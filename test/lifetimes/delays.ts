/**
 * Every order that comes of a bounded number of delays: events happen in the order in which they came to be, but so many times the one whose turn
 * it is has to stand behind all others (Emmi, Qadeer, Rakamaric, "Delay-Bounded Scheduling", 2011). All orders of two negotiations and of what follows them are too many;
 * these are the ones in which few things go unexpectedly, and they can be gone through to the last.
 */
import { Duel, type Scenario } from "./duel.ts";
import type { Explored } from "./interleavings.ts";

export interface DelayLimits {
  /** Datagrams that may be lost in one order: 0 or 1. */
  readonly losses: number;
  /** Delays in one order. */
  readonly delays: number;
  /** Orders to run at most. */
  readonly orders: number;
}

type Decision = "run" | "lose" | "delay";

/** A decision that was made, and those that are still to be tried. */
interface Node {
  decision: Decision;
  readonly others: Decision[];
}

/** Runs every such order of a scenario; throws with the decisions where an invariant breaks. */
export function exploreDelays(scenario: Scenario, { losses, delays, orders }: DelayLimits): Explored {
  const path: Node[] = [];
  let [run, longest] = [0, 0];
  do {
    const duel = new Duel(scenario, losses);
    const events: string[] = [];
    try {
      follow(duel, path, delays, events);
    } catch (error) {
      throw new Error(`${scenario}, order ${run + 1}: ${events.join(" | ")}\n${String(error)}`, { cause: error });
    }
    longest = Math.max(longest, events.length);
    run++;
  } while (backtrack(path) && run < orders);
  return { orders: run, complete: path.length === 0, longest };
}

/** Repeats the decisions of the path, and then lets everything happen in its turn. */
function follow(duel: Duel, path: Node[], delays: number, events: string[]): void {
  let left = delays;
  for (let depth = 0; ; depth++) {
    const event = duel.first();
    if (event === undefined) return duel.finish();
    const node = path[depth] ?? newNode(duel, event, left);
    if (depth === path.length) path.push(node);
    if (node.decision === "delay") {
      left--;
      duel.delay();
    } else {
      const done = node.decision === "lose" ? `x${event.slice(1)}` : event;
      events.push(done);
      duel.perform(done);
    }
  }
}

function newNode(duel: Duel, event: string, left: number): Node {
  const others: Decision[] = [];
  if (duel.mayLose(event)) others.push("lose");
  // Alone it can't stand behind others.
  if (left > 0 && duel.enabled().some((other) => other !== event && !other.startsWith("x"))) others.push("delay");
  return { decision: "run", others };
}

/** Takes the deepest decision that has an alternative; false where there is none. */
function backtrack(path: Node[]): boolean {
  for (let node = path.at(-1); node; node = path.at(-1)) {
    const next = node.others.pop();
    if (next !== undefined) {
      node.decision = next;
      return true;
    }
    path.pop();
  }
  return false;
}
