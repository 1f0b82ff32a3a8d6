/** Slots whose policy the kernel refused (`policy-slots.ts`): they are asked for again. */
import type { KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import type { Slot } from "./policy-slot.ts";

/** The slots in which a rule wants what the kernel was asked for in vain, by key: the one that was asked for last at the end. */
export class RefusedSlots {
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #keys = new Set<string>();

  constructor(slots: ReadonlyMap<string, Slot>) {
    this.#slots = slots;
  }

  /** How many those are. */
  get size(): number {
    return this.#keys.size;
  }

  /** They may change meanwhile. */
  keys(): Iterable<string> {
    return this.#keys;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** The kernel has refused what a rule wants in a slot; whether it had not, or with other words, when it was asked before. */
  add(key: string, refusal: KernelRefusal): boolean {
    const slot = this.#slots.get(key);
    if (!slot?.base) return true;
    const isNews = slot.refused?.refusal.reason !== refusal.reason;
    slot.refused = { policy: slot.base, refusal };
    this.#keys.delete(key);
    this.#keys.add(key);
    return isNews;
  }

  /** Nothing is refused in a slot; whether it was. */
  stands(key: string): boolean {
    const slot = this.#slots.get(key);
    if (slot) slot.refused = null;
    return this.#keys.delete(key);
  }

  /** There is no such slot any more. */
  forget(key: string): void {
    this.#keys.delete(key);
  }

  /** What rules want and the kernel has refused, and why. */
  list(): readonly { readonly policy: KernelPolicy; readonly refusal: KernelRefusal }[] {
    return [...this.#keys].flatMap((key) => {
      const { base, refused } = this.#slots.get(key) ?? {};
      return base && refused ? { ...refused, policy: base } : [];
    });
  }
}
