/**
 * Things by ranges of addresses: which of them have an address in common with a range, without a look at each of them.
 * A range that meets another one holds its first address, or begins within it.
 */
import type { AddressRange, Family } from "../isakmp/address.ts";
import { PrefixIndex } from "./prefix-index.ts";

export class MeetingRanges<T> {
  readonly #rangeOf: (item: T) => AddressRange;
  readonly #holding = new PrefixIndex<T>();
  /** By their first address. */
  readonly #sorted: Readonly<Record<Family, readonly T[]>>;

  constructor(items: readonly T[], rangeOf: (item: T) => AddressRange) {
    this.#rangeOf = rangeOf;
    for (const item of items) this.#holding.add(rangeOf(item), item);
    const of = (family: Family): readonly T[] =>
      items.filter((item) => rangeOf(item).family === family).sort((a, b) => (rangeOf(a).first < rangeOf(b).first ? -1 : 1));
    this.#sorted = { 4: of(4), 6: of(6) };
  }

  /** Those that have something in common with a range, each once. */
  with({ family, first, last }: AddressRange): readonly T[] {
    const sorted = this.#sorted[family];
    return [...this.#holding.at(family, first), ...sorted.slice(this.#after(sorted, first), this.#after(sorted, last))];
  }

  /** The place of the first that begins after an address. */
  #after(sorted: readonly T[], address: bigint): number {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#rangeOf(sorted[middle] as T).first > address) to = middle;
      else from = middle + 1;
    }
    return from;
  }
}
