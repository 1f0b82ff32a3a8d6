/**
 * Pairs of prefixes, the sides of packets: of many pairs, what those come to that have a packet in common with one, without a look at each of them.
 * Two prefixes meet where the shorter one is the beginning of the other. So two pairs meet where, cut to the shorter lengths, they are equal; and of
 * pairs with few different lengths there are few cuts.
 */
import { bitsOf, type Family, parseAddress } from "../isakmp/address.ts";
import type { PacketSelector } from "./packet-selector.ts";

/** What the packets of a pair have for their ends. Protocol and ports are not looked at. */
export type Sides = Pick<PacketSelector, "source" | "sourceLength" | "destination" | "destinationLength">;

/** Something with a number. */
export interface Weighed {
  readonly sides: Sides;
  readonly worth: number;
}

/** For each of `asked` the greatest worth among the `items` that have a packet in common with it; negative infinity where there is none. */
export function greatestMeeting(items: readonly Weighed[], asked: readonly Sides[]): readonly number[] {
  const greatest: number[] = asked.map(() => Number.NEGATIVE_INFINITY);
  if (items.length === 0) return greatest;
  const pairs = items.map(({ sides, worth }): Valued => ({ pair: pairOf(sides), worth }));
  const questions = asked.map((sides, place) => ({ pair: pairOf(sides), place }));
  // One shape after the other: only its tables are in memory.
  for (const alike of grouped(questions, ({ pair }) => shapeOf(pair)).values()) {
    const tables = tablesFor((alike[0] as (typeof alike)[number]).pair, pairs);
    for (const { pair, place } of alike)
      for (const { lengths, worths } of tables)
        greatest[place] = Math.max(greatest[place] as number, worths.get(cutKey(pair, lengths)) ?? Number.NEGATIVE_INFINITY);
  }
  return greatest;
}

interface Pair {
  readonly family: Family;
  readonly source: bigint;
  readonly destination: bigint;
  readonly lengths: Lengths;
}

/** Of the source and the destination. */
type Lengths = readonly [source: number, destination: number];

interface Valued {
  readonly pair: Pair;
  readonly worth: number;
}

/** Pairs by what is left of them when they are cut to some lengths. */
interface Table {
  readonly lengths: Lengths;
  /** The greatest of each. */
  readonly worths: Map<string, number>;
}

/** The tables in which any pair with the family and the lengths of one finds those that it meets. */
function tablesFor({ family, lengths: [source, destination] }: Pair, pairs: readonly Valued[]): readonly Table[] {
  const tables = new Map<number, Table>();
  for (const { pair, worth } of pairs) {
    if (pair.family !== family) continue;
    const lengths: Lengths = [Math.min(source, pair.lengths[0]), Math.min(destination, pair.lengths[1])];
    const shape = lengthsKey(lengths);
    const table = tables.get(shape) ?? { lengths, worths: new Map<string, number>() };
    tables.set(shape, table);
    const key = cutKey(pair, lengths);
    table.worths.set(key, Math.max(worth, table.worths.get(key) ?? worth));
  }
  return [...tables.values()];
}

function pairOf({ source, sourceLength, destination, destinationLength }: Sides): Pair {
  const [from, to] = [parseAddress(source), parseAddress(destination)];
  if (!from || !to) throw new Error(`${source} ${destination}`);
  return { family: from.family, source: from.value, destination: to.value, lengths: [sourceLength, destinationLength] };
}

const lengthsKey = ([source, destination]: Lengths): number => source * 256 + destination;

const shapeOf = ({ family, lengths }: Pair): string => `${family} ${lengthsKey(lengths)}`;

function cutKey({ family, source, destination }: Pair, [from, to]: Lengths): string {
  const bits = bitsOf(family);
  return `${source >> BigInt(bits - from)} ${destination >> BigInt(bits - to)}`;
}

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}
