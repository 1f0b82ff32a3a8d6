/** Which slots can't have at once what they should (`policy-slots.ts`). */

import { isNatural } from "../policy/packet-selector.ts";
import type { KernelCommand, KernelPolicy } from "./kernel-contract.ts";
import { makesWeaker, stopsClear } from "./same-policy.ts";

/** So much of what is in doubt is asked for in vain after each look that failed, and so much of a change at once again: each refusal costs a process. */
const MOST_IN_VAIN = 64;

/** Milliseconds until what a change makes stronger, and the kernel has refused, is asked for again: it was short of memory, or a child of ours was killed. */
const AGAIN_AFTER = [20, 250];
/** So many looks in a row may leave in doubt what came in doubt meanwhile. */
const MOST_PASSED = 2;

/**
 * Slots that wait, by key.
 * Invariant: while one waits for a look, or what a change makes stronger for the kernel's answer, nothing goes or becomes weaker, but in a stop: what
 * decides about its packets may be what waits. Only what lets clear text past the rules always goes.
 */
export class HeldBack {
  /** What should stand there changed, and nobody knows whose it is what stands. */
  readonly unsure = new Set<string>();
  /** What would go or become weaker. */
  readonly late = new Set<string>();
  /** What would come, and wait for what comes in front of it. */
  readonly lateNew = new Set<string>();
  /** What a change makes stronger, which comes before the rest of it: the kernel is asked. */
  readonly #first = new Set<string>();
  /** The same, refused, and how often. A kernel that refuses it each time does so for good, and the rest of the change does not wait for that. */
  readonly again = new Map<string, number>();
  /** The priority of the strongest of those that stops clear text, and of the strongest that waits for them. */
  #stopping = Infinity;
  #waiting = Infinity;
  /** In doubt, and not asked for since the last look failed, or never; what was asked for longest ago first. */
  readonly #toProbe = new Set<string>();
  /** While the look was under way, the kernel has told of a change that may have been any. */
  #isRung = false;
  /** In how many looks in a row it has. */
  #rung = 0;
  /** How many more may be asked for in vain. */
  #tries = 0;
  /** The last look has failed: what is in doubt stays so for long. */
  isBlind = false;
  /** Everything goes. */
  isEnding = false;

  /** Whether it has to wait that `present` makes room for what is wanted. */
  holds(present: KernelPolicy, wanted: KernelPolicy | null): boolean {
    const isWeaker = !wanted || makesWeaker(present, wanted);
    return isWeaker && (this.unsure.size > 0 || this.#isFirstOpen) && !this.isEnding && !opensRules(present);
  }

  /**
   * Whether what a rule wants new has to wait: what lets clear text through, for what is asked for in front of it and stops that; and what comes behind
   * anything that waits so, since it would shut what neither policy shuts.
   */
  holdsNew(wanted: KernelPolicy): boolean {
    if (this.isEnding || !this.#isFirstOpen) return false;
    const waits = wanted.priority > this.#waiting || (wanted.priority > this.#stopping && !stopsClear(wanted));
    if (waits) this.#waiting = Math.min(this.#waiting, wanted.priority);
    return waits;
  }

  /** What a change makes stronger is not all there. */
  get #isFirstOpen(): boolean {
    return this.#first.size > 0 || this.again.size > 0;
  }

  /** What need not wait any longer. */
  ready(): readonly string[] {
    if (this.#isFirstOpen) return [];
    return [...this.lateNew, ...(this.unsure.size > 0 ? [] : this.late)];
  }

  /** Whether one waits is found out anew. */
  release(key: string): void {
    this.unsure.delete(key);
    this.late.delete(key);
    this.lateNew.delete(key);
  }

  /** The kernel is asked for it before the rest of a change. */
  goesFirst(key: string, policy: KernelPolicy): void {
    if (!this.#isFirstOpen) [this.#stopping, this.#waiting] = [Infinity, Infinity];
    if (stopsClear(policy)) this.#stopping = Math.min(this.#stopping, policy.priority);
    this.#first.add(key);
  }

  /** It did not come to it. */
  isSkipped(key: string): void {
    this.#first.delete(key);
  }

  /** It has answered. Where somebody else's is in the way (`exists`) it will not do otherwise soon. */
  onAnswer(key: string, isDone: boolean, exists: boolean): void {
    const tries = this.again.get(key) ?? (this.#first.has(key) ? 0 : AGAIN_AFTER.length);
    const isLast = isDone || exists || tries === AGAIN_AFTER.length;
    this.#first.delete(key);
    if (isLast) this.again.delete(key);
    else if (tries > 0 || this.again.size < MOST_IN_VAIN) this.again.set(key, tries + 1);
  }

  /** Milliseconds until the next of what was refused is asked for again; null: nothing was. */
  get againAfter(): number | null {
    const tries = Math.min(...this.again.values());
    return AGAIN_AFTER[tries - 1] ?? null;
  }

  /** Nothing is known of a slot that waits any more, or all. */
  forget(key: string): void {
    this.release(key);
    this.#first.delete(key);
    this.again.delete(key);
    this.#toProbe.delete(key);
  }

  onFailedLook(): void {
    this.isBlind = true;
    this.#tries = MOST_IN_VAIN;
  }

  beginLook(): void {
    this.#isRung = false;
  }

  onBell(): void {
    this.#isRung = true;
  }

  /**
   * The kernel has told; whether this look judges also what came in doubt by a word that may have meant anything. Else a storm of such words would keep all as
   * it is, clear text too; somebody's own that came within the moment of the look would be replaced.
   */
  onLook(): boolean {
    this.isBlind = false;
    this.#toProbe.clear();
    this.#rung = this.#isRung ? this.#rung + 1 : 0;
    return this.#rung > MOST_PASSED;
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

/** Whether a command adds a policy, or makes none weaker. */
export const strengthens = (command: KernelCommand): command is PolicyCommand =>
  command.do === "add-policy" || (command.do === "update-policy" && !(command.before && makesWeaker(command.before, command.policy)));

type PolicyCommand = Extract<KernelCommand, { readonly do: "add-policy" | "update-policy" }>;

/** Whether a policy lets clear text through in front of what a rule says: a soft SA's, a way past a block, an exemption. */
export const opensRules = ({ action, templates, priority }: KernelPolicy): boolean =>
  action === "allow" && templates.length === 0 && !isNatural(priority);
