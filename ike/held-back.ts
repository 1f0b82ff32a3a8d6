/** Which slots can't have at once what they should (`policy-slots.ts`). */

import { isNatural } from "../policy/packet-selector.ts";
import type { KernelCommand, KernelPolicy } from "./kernel-contract.ts";

/** So much of what is in doubt is asked for in vain after each look that failed: each refusal costs a process. */
const MOST_IN_VAIN = 64;

/**
 * Slots that wait, by key.
 * Invariant: while one waits for a look, nothing goes or becomes weaker, but in a stop: what decides about its packets may be what waits. Only what
 * lets clear text past the rules always goes.
 */
export class HeldBack {
  /** What should stand there changed, and nobody knows whose it is what stands. */
  readonly unsure = new Set<string>();
  /** What would go or become weaker. */
  readonly late = new Set<string>();
  /** In doubt, and not asked for since the last look failed, or never; what was asked for longest ago first. */
  readonly #toProbe = new Set<string>();
  /** How many more may be asked for in vain. */
  #tries = 0;
  /** The last look has failed: what is in doubt stays so for long. */
  isBlind = false;
  /** Everything goes. */
  isEnding = false;

  /** Whether it has to wait that `present` makes room for what is wanted. */
  holds(present: KernelPolicy, wanted: KernelPolicy | null): boolean {
    const isWeaker = !wanted || present.priority < wanted.priority;
    return isWeaker && this.unsure.size > 0 && !this.isEnding && !opensRules(present);
  }

  /** Nothing is known of a slot that waits any more, or all. */
  forget(key: string): void {
    this.unsure.delete(key);
    this.late.delete(key);
    this.#toProbe.delete(key);
  }

  onFailedLook(): void {
    this.isBlind = true;
    this.#tries = MOST_IN_VAIN;
  }

  onLook(): void {
    this.isBlind = false;
    this.#toProbe.clear();
  }

  /** It does no harm to ask for what should be there, whoever's is there: it is added, or nothing changes. */
  probeLater(key: string): void {
    if (this.isBlind) this.#toProbe.add(key);
  }

  /** What to ask for now; `ask`: what that is in a slot, if anything. */
  takeProbes(ask: (key: string) => KernelCommand | null): readonly KernelCommand[] {
    const commands: KernelCommand[] = [];
    for (const key of this.#toProbe) {
      if (this.#tries === 0) break;
      this.#toProbe.delete(key);
      const command = ask(key);
      if (command) this.#tries--;
      if (command) commands.push(command);
    }
    return commands;
  }

  /** One was added. */
  onProbed(): void {
    this.#tries++;
  }
}

/** Whether a policy lets clear text through in front of what a rule says: a soft SA's, a way past a block, an exemption. */
export const opensRules = ({ action, templates, priority }: KernelPolicy): boolean =>
  action === "allow" && templates.length === 0 && !isNatural(priority);
