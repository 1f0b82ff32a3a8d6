/**
 * Negotiations that others began and have not finished: how many there may be, how much they may keep, and who makes room.
 * Invariant: a stranger, of whom we have message 1 alone and whose address may be forged, never displaces somebody whose message 3 was good;
 * and what makes room is chosen at random, so that nobody can time a flood against one particular peer.
 */
import type { Negotiation } from "./ike-sa.ts";

/** Entries, octets of a lean one, and octets in all of strangers that keep more than that, and of those who were heard of again. */
export const HALF_OPEN_LIMITS = {
  entries: 20_000,
  lean: 1024,
  bulky: 8 * 2 ** 20,
  heard: 64 * 2 ** 20,
} as const;

/** A whole number from 0 that is less than `below`. */
export type Pick = (below: number) => number;

export class HalfOpen {
  readonly #lean = new Pool();
  readonly #bulky = new Pool();
  /** Oldest first: those that moved on last come last. */
  readonly #heard = new Map<Negotiation, number>();
  #heardOctets = 0;

  get count(): number {
    return this.strangers + this.#heard.size;
  }

  /** Those of whom message 1 is all that came. */
  get strangers(): number {
    return this.#lean.size + this.#bulky.size;
  }

  get octets(): number {
    return this.#lean.octets + this.#bulky.octets + this.#heardOctets;
  }

  /** Puts an entry where it belongs now. `octets`: what it keeps of what others sent, and of our answer. */
  put(entry: Negotiation, octets: number): void {
    this.remove(entry);
    if (entry.state.kind === "sa-answered") return (octets > HALF_OPEN_LIMITS.lean ? this.#bulky : this.#lean).add(entry, octets);
    this.#heard.set(entry, octets);
    this.#heardOctets += octets;
  }

  remove(entry: Negotiation): void {
    if (this.#lean.remove(entry) || this.#bulky.remove(entry)) return;
    this.#heardOctets -= this.#heard.get(entry) ?? 0;
    this.#heard.delete(entry);
  }

  /** The entry that has to go, or undefined where all limits are kept: a stranger at random, and only where there is none the oldest. */
  excess(pick: Pick): Negotiation | undefined {
    if (this.#bulky.octets > HALF_OPEN_LIMITS.bulky) return this.#bulky.any(pick);
    if (this.#heardOctets > HALF_OPEN_LIMITS.heard) return this.#oldest();
    if (this.count <= HALF_OPEN_LIMITS.entries) return undefined;
    if (this.strangers === 0) return this.#oldest();
    const at = pick(this.strangers);
    return at < this.#lean.size ? this.#lean.at(at) : this.#bulky.at(at - this.#lean.size);
  }

  #oldest(): Negotiation | undefined {
    return this.#heard.keys().next().value;
  }
}

/** Entries from which one can be drawn by its number, in the same time however many there are. */
class Pool {
  readonly #entries: { readonly entry: Negotiation; readonly octets: number }[] = [];
  readonly #places = new Map<Negotiation, number>();
  octets = 0;

  get size(): number {
    return this.#entries.length;
  }

  add(entry: Negotiation, octets: number): void {
    this.#places.set(entry, this.#entries.length);
    this.#entries.push({ entry, octets });
    this.octets += octets;
  }

  /** The last one fills the place. */
  remove(entry: Negotiation): boolean {
    const place = this.#places.get(entry);
    if (place === undefined) return false;
    this.octets -= this.#entries[place]?.octets ?? 0;
    this.#places.delete(entry);
    const last = this.#entries.pop();
    if (!last || last.entry === entry) return true;
    this.#entries[place] = last;
    this.#places.set(last.entry, place);
    return true;
  }

  at(place: number): Negotiation | undefined {
    return this.#entries[place]?.entry;
  }

  any(pick: Pick): Negotiation | undefined {
    return this.at(pick(this.size));
  }
}
