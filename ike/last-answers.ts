/**
 * The last few answers to messages 1, as they were thought out. A message 3 nearly always comes within a round trip, and then nothing need be thought
 * again (strangers.ts); whose answer was pushed out meanwhile, as in a flood, has it thought out once more. Nothing depends on what is here.
 */
import type { Policy } from "../policy/types.ts";
import type { SaAnswered } from "./main-mode-states.ts";

/** Answers, and octets of the longest SA payload of one: together less than 200 kB, whoever sends what. */
const MOST = 64;
const LONGEST_SA = 512;

export class LastAnswers {
  /** Oldest first. An answer is good under the policy that gave it, and goes with it. */
  readonly #byPolicy = new WeakMap<Policy, Map<number, SaAnswered>>();

  /** Keeps the answer to a stranger, by its id, in the place of the oldest. */
  keep(policy: Policy, id: number, answer: SaAnswered): void {
    if (answer.saBody.length > LONGEST_SA) return;
    const answers = this.#byPolicy.get(policy) ?? new Map<number, SaAnswered>();
    this.#byPolicy.set(policy, answers.set(id, answer));
    for (const oldest of answers.keys()) {
      if (answers.size <= MOST) return;
      answers.delete(oldest);
    }
  }

  /** The answer to a stranger, which is kept no longer; undefined where it has to be thought out again. */
  take(policy: Policy, id: number): SaAnswered | undefined {
    const answers = this.#byPolicy.get(policy);
    const answer = answers?.get(id);
    if (answer) answers?.delete(id);
    return answer;
  }
}
