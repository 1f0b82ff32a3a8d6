/**
 * Things by sides of filters: which of their sides hold all of another one, in as many look-ups as there are different prefix lengths.
 */
import { type AddressRange, covers } from "../isakmp/address.ts";
import { PrefixIndex } from "./prefix-index.ts";
import type { Side } from "./types.ts";

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
