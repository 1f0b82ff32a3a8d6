/** What children want in front of rules' own policies, slot by slot (`policy-slots.ts`). */
import type { KernelPolicy } from "./kernel-contract.ts";
import { keyOf, type PolicyKey, type Slot, slotAt } from "./policy-slot.ts";

export class Overlays {
  readonly #slots: Map<string, Slot>;
  /** In how many slots each child wants a policy of its own. */
  readonly #laid = new Map<number, number>();

  constructor(slots: Map<string, Slot>) {
    this.#slots = slots;
  }

  lay(child: number, policy: KernelPolicy): void {
    slotAt(this.#slots, policy).overlays.push({ child, policy });
    this.#laid.set(child, (this.#laid.get(child) ?? 0) + 1);
  }

  /** A child wants these from now on, and none of those that it wanted `before`; in each slot it keeps its place among others. */
  relay(child: number, wanted: readonly KernelPolicy[], before: readonly PolicyKey[]): void {
    const keys = new Set(wanted.map(keyOf));
    for (const policy of before) if (!keys.has(keyOf(policy))) this.lift(child, policy);
    for (const policy of wanted) {
      const known = this.#slots.get(keyOf(policy))?.overlays.find((overlay) => overlay.child === child);
      if (known) known.policy = policy;
      else this.lay(child, policy);
    }
  }

  /** Whether the child wants a policy anywhere. */
  has(child: number): boolean {
    return this.#laid.has(child);
  }

  /** Whether the child had one in that slot. */
  lift(child: number, policy: PolicyKey): boolean {
    const overlays = this.#slots.get(keyOf(policy))?.overlays ?? [];
    const index = overlays.findIndex((overlay) => overlay.child === child);
    if (index < 0) return false;
    overlays.splice(index, 1);
    const left = (this.#laid.get(child) ?? 1) - 1;
    if (left > 0) this.#laid.set(child, left);
    else this.#laid.delete(child);
    return true;
  }

  /** No child wants anything any more. */
  clear(): void {
    this.#laid.clear();
    for (const { overlays } of this.#slots.values()) overlays.length = 0;
  }
}
