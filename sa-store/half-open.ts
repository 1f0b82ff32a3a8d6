/**
 * Negotiations that others began and have not finished: how many there may be, how much they may keep, and who makes room.
 * Invariant: a stranger, of whom we have message 1 alone and whose address may be forged, never displaces somebody whose message 3 was good;
 * and what makes room is chosen at random, so that nobody can time a flood against one particular peer.
 */
import type { Negotiation } from "./ike-sa.ts";
import { Strangers } from "./strangers.ts";

/** Entries, and octets in all of strangers with long offers, and of those whose message 3 was good. */
export const HALF_OPEN_LIMITS = {
  entries: 20_000,
  bulky: 8 * 2 ** 20,
  heard: 64 * 2 ** 20,
} as const;

/** A whole number from 0 that is less than `below`. */
export type Pick = (below: number) => number;

export class HalfOpen {
  readonly strangers = new Strangers();
  /** Whose message 3 was good. Oldest first: those that moved on last come last. */
  readonly #heard = new Map<Negotiation, number>();
  #heardOctets = 0;

  get count(): number {
    return this.strangers.size + this.#heard.size;
  }

  /** Strangers, and for the memory that long offers take as many more as would take their share of the table. */
  get load(): number {
    const { size, bulky } = this.strangers;
    return Math.max(size, Math.ceil((bulky / HALF_OPEN_LIMITS.bulky) * HALF_OPEN_LIMITS.entries));
  }

  get octets(): number {
    return this.strangers.octets + this.#heardOctets;
  }

  /** Adds a negotiation that is more than a stranger's, or says how much it keeps now. `octets`: of what the peer sent, and of our answer. */
  put(entry: Negotiation, octets: number): void {
    this.remove(entry);
    this.#heard.set(entry, octets);
    this.#heardOctets += octets;
  }

  remove(entry: Negotiation): void {
    this.#heardOctets -= this.#heard.get(entry) ?? 0;
    this.#heard.delete(entry);
  }

  /**
   * Makes room by one entry where a limit is exceeded: a stranger at random is gone when this returns. A negotiation is the caller's to end: the
   * oldest, and only where there is no stranger. undefined: all limits are kept.
   */
  makeRoom(pick: Pick): Negotiation | "stranger" | undefined {
    const { strangers } = this;
    const bulky = strangers.bulky > HALF_OPEN_LIMITS.bulky;
    if (!bulky && this.#heardOctets > HALF_OPEN_LIMITS.heard) return this.#oldest();
    if (!bulky && this.count <= HALF_OPEN_LIMITS.entries) return undefined;
    if (strangers.size === 0) return this.#oldest();
    if (bulky) strangers.removeBulky(pick);
    else strangers.removeAt(pick(strangers.size));
    return "stranger";
  }

  #oldest(): Negotiation | undefined {
    return this.#heard.keys().next().value;
  }
}
