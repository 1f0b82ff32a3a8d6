/**
 * Things by what filters say: which of their sides hold all of another one, in as many look-ups as there are different prefix lengths; and which of them
 * may meet another one by protocol and ports.
 */
import { type AddressRange, covers } from "../isakmp/address.ts";
import { PrefixIndex } from "./prefix-index.ts";
import type { Filter, Side } from "./types.ts";

/** A side as a text: equal for sides that are written as the same, and for no others. */
export const sideKey = (side: Side): string =>
  side.kind === "range"
    ? `${side.range.family} ${side.range.first} ${side.range.last}`
    : side.kind === "name"
      ? `name ${side.name}`
      : side.kind;

export class SideIndex<T> {
  readonly #bySide = new Map<string, T>();
  readonly #ranges = new PrefixIndex<{ readonly range: AddressRange; readonly item: T }>();

  /** What is filed under a side; where nothing is yet, what `make` makes. */
  of(side: Side, make: () => T): T {
    const key = sideKey(side);
    const known = this.#bySide.get(key);
    if (known !== undefined) return known;
    const item = make();
    this.#bySide.set(key, item);
    if (side.kind === "range") this.#ranges.add(side.range, { range: side.range, item });
    return item;
  }

  /** What is filed under sides that hold all of this one: `any` holds each, a range those within it, a name itself. `me` holds nothing. */
  holding(side: Side): readonly T[] {
    const written = [ANY, ...(side.kind === "name" ? [side] : [])].flatMap((one) => this.#bySide.get(sideKey(one)) ?? []);
    if (side.kind !== "range") return written;
    const within = this.#ranges.at(side.range.family, side.range.first).filter(({ range }) => covers(range, side.range));
    return [...written, ...within.map(({ item }) => item)];
  }
}

const ANY: Side = { kind: "any" };

/** What is found for a filter. */
export type ByFilter<R> = (filter: Filter) => readonly R[];

const NUMBERS = ["protocol", "localPort", "remotePort"] as const;

/** A tree by protocol and ports of each item's filter, of which 0 meets all; `below` looks among those of one leaf. */
export function byNumbers<T, R>(
  items: readonly T[],
  filterOf: (item: T) => Filter,
  below: (leaf: readonly T[]) => ByFilter<R>,
  [number, ...rest]: readonly (typeof NUMBERS)[number][] = NUMBERS,
): ByFilter<R> {
  if (number === undefined) return below(items);
  const groups = grouped(items, (item) => filterOf(item)[number]);
  const branches = new Map([...groups].map(([value, list]) => [value, byNumbers(list, filterOf, below, rest)]));
  const [only] = branches.size === 1 ? [...branches.values()] : [];
  let every = only;
  return (filter) => {
    const value = filter[number];
    if (value !== 0) return [0, value].flatMap((one) => branches.get(one)?.(filter) ?? []);
    // Many services have as many branches, and whoever means them all would look into each.
    every ??= byNumbers(items, filterOf, below, rest);
    return every(filter);
  };
}

/** Items by a key, in the order in which the keys come. */
export function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
