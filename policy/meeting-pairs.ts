/**
 * Pairs of prefixes, the sides of packets: of many pairs, what those come to that have a packet in common with one, without a look at each of them.
 * Two prefixes meet where one holds the other. So what meets a pair is found by its source among few: the sources that hold it, and all those within it together;
 * and for each of them by its destination in a tree.
 */
import { bitsOf, type Family, parseAddress, prefixRange } from "../isakmp/address.ts";
import type { PacketSelector } from "./packet-selector.ts";

/** What the packets of a pair have for their ends. Protocol and ports are not looked at. */
export type Sides = Pick<PacketSelector, "source" | "sourceLength" | "destination" | "destinationLength">;

/** Something with a number. */
export interface Weighed {
  readonly sides: Sides;
  readonly worth: number;
}

/** The same where its kernel priority counts, too. */
export interface WeighedPolicy extends Weighed {
  readonly priority: number;
}

/** A question about what is weaker than a priority. */
export interface Behind {
  readonly sides: Sides;
  readonly priority: number;
}

/** For each of `asked` the greatest worth among the `items` that have a packet in common with it; negative infinity where there is none. */
export function greatestMeeting(items: readonly Weighed[], asked: readonly Sides[]): readonly number[] {
  if (items.length === 0) return asked.map(() => Number.NEGATIVE_INFINITY);
  return greatestBehind(
    items.map(({ sides, worth }) => ({ sides, worth, priority: 0 })),
    asked.map((sides) => ({ sides, priority: Number.NEGATIVE_INFINITY })),
  );
}

/** The same of those among the `items` that are weaker (of a greater priority) than what is asked for. */
export function greatestBehind(items: readonly WeighedPolicy[], asked: readonly Behind[]): readonly number[] {
  const greatest: number[] = asked.map(() => Number.NEGATIVE_INFINITY);
  if (items.length === 0) return greatest;
  for (const family of [4, 6] as const) {
    const isOf = ({ sides }: { readonly sides: Sides }): boolean => sides.source.includes(":") === (family === 6);
    const questions = asked.flatMap((one, place) => (isOf(one) ? [{ ...one, place }] : []));
    const weighed = items.filter(isOf);
    if (questions.length > 0 && weighed.length > 0) answer(family, weighed, questions, greatest);
  }
  return greatest;
}

/** Questions come weakest first, and before each of them what is weaker than it. */
function answer(
  family: Family,
  items: readonly WeighedPolicy[],
  questions: readonly (Behind & { readonly place: number })[],
  greatest: number[],
): void {
  const all = [...items, ...questions].map(({ sides }) => sides);
  const sources = new Axis(family, all, "source", "sourceLength");
  const destinations = new Axis(family, all, "destination", "destinationLength");
  const pairs = new Pairs(sources, destinations, items.length);
  const weakestFirst = <T extends { readonly priority: number }>(list: readonly T[]): readonly number[] =>
    [...list.keys()].sort((a, b) => (list[b] as T).priority - (list[a] as T).priority);
  const waiting = weakestFirst(items);
  let next = 0;
  for (const k of weakestFirst(questions)) {
    const { place, priority } = questions[k] as (typeof questions)[number];
    for (let item = waiting[next]; item !== undefined && (items[item] as WeighedPolicy).priority > priority; item = waiting[++next])
      pairs.add(item, (items[item] as WeighedPolicy).worth);
    greatest[place] = pairs.greatest(items.length + k);
  }
}

/**
 * Prefixes by their numbers in the order in which a walk through their tree meets them, the wider ones first: so those within one follow it.
 */
class Axis {
  /** The number of each one's prefix; equal ones have one. */
  readonly of: Int32Array;
  /** By number: the first number behind those within it. */
  readonly end: Int32Array;
  /** By number: the narrowest that holds it, or NONE. */
  readonly parent: Int32Array;

  constructor(family: Family, all: readonly Sides[], address: "source" | "destination", length: "sourceLength" | "destinationLength") {
    const known = Array.from({ length: bitsOf(family) + 1 }, () => new Map<string, number>());
    const distinct: Span[] = [];
    const ids = all.map((sides) => {
      const ofLength = known[sides[length]] as Map<string, number>;
      const before = ofLength.get(sides[address]);
      if (before !== undefined) return before;
      ofLength.set(sides[address], distinct.length);
      return distinct.push(spanOf(family, sides[address], sides[length])) - 1;
    });
    const order = [...distinct.keys()].sort((a, b) => inOrder(distinct[a] as Span, distinct[b] as Span));
    const numbers = new Int32Array(distinct.length);
    this.end = new Int32Array(distinct.length);
    this.parent = new Int32Array(distinct.length);
    const open: number[] = [];
    const close = (number: number): void => {
      this.end[open.pop() as number] = number;
    };
    for (const [number, id] of order.entries()) {
      numbers[id] = number;
      const { first } = distinct[id] as Span;
      while (open.length > 0 && (distinct[order[open.at(-1) as number] as number] as Span).last < first) close(number);
      this.parent[number] = open.at(-1) ?? NONE;
      open.push(number);
    }
    while (open.length > 0) close(order.length);
    this.of = Int32Array.from(ids, (id) => numbers[id] as number);
  }
}

const NONE = -1;

/** The first and the last address: of IPv4 as numbers, which are compared sooner. */
interface Span {
  readonly first: number | bigint;
  readonly last: number | bigint;
}

const inOrder = (a: Span, b: Span): number =>
  a.first < b.first ? -1 : a.first > b.first ? 1 : a.last > b.last ? -1 : a.last < b.last ? 1 : 0;

function spanOf(family: Family, address: string, length: number): Span {
  const parsed = parseAddress(address);
  if (parsed?.family !== family) throw new Error(address);
  const { first, last } = prefixRange(family, parsed.value, length);
  return family === 4 ? { first: Number(first), last: Number(last) } : { first, last };
}

/** Items by their sources. The first of all pairs are those of items, the rest those of questions. */
class Pairs {
  readonly #sources: Axis;
  readonly #destinations: Axis;
  /** By the numbers of sources: the items that have just that one, and all whose source is within it, where a question is about that. */
  readonly #exact: readonly (Group | undefined)[];
  readonly #within: readonly (Group | undefined)[];

  constructor(sources: Axis, destinations: Axis, items: number) {
    this.#sources = sources;
    this.#destinations = destinations;
    const count = sources.end.length;
    const [exact, within] = [new Array<number[] | undefined>(count), new Array<number[] | undefined>(count)];
    for (let i = items; i < sources.of.length; i++) within[sources.of[i] as number] ??= [];
    for (let i = 0; i < items; i++) {
      const [source, destination] = [sources.of[i] as number, destinations.of[i] as number];
      exact[source] ??= [];
      exact[source].push(destination);
      for (let above = source; above !== NONE; above = sources.parent[above] as number) within[above]?.push(destination);
    }
    const grouped = (list: number[] | undefined): Group | undefined =>
      list && list.length > 0 ? new Group(list, destinations) : undefined;
    this.#exact = exact.map(grouped);
    this.#within = within.map(grouped);
  }

  /** Files an item. */
  add(item: number, worth: number): void {
    const [source, destination] = [this.#sources.of[item] as number, this.#destinations.of[item] as number];
    this.#exact[source]?.add(destination, worth);
    for (let above = source; above !== NONE; above = this.#sources.parent[above] as number) this.#within[above]?.add(destination, worth);
  }

  /** The greatest worth among what was filed and meets a pair. */
  greatest(pair: number): number {
    const [source, destination] = [this.#sources.of[pair] as number, this.#destinations.of[pair] as number];
    let found = this.#within[source]?.greatest(destination, Number.NEGATIVE_INFINITY) ?? Number.NEGATIVE_INFINITY;
    for (let above = this.#sources.parent[source] as number; above !== NONE; above = this.#sources.parent[above] as number)
      found = this.#exact[above]?.greatest(destination, found) ?? found;
    return found;
  }
}

/** Items by their destinations. */
class Group {
  readonly #destinations: Axis;
  /** The numbers of destinations, in their order. */
  readonly #numbers: Int32Array;
  /** By place in that: where the narrowest of the others is that holds it, or NONE. */
  readonly #parent: Int32Array;
  /** A tree of which the leaves have the greatest worth at each place, and every other node that of the two below it. */
  readonly #tree: Float64Array;

  constructor(numbers: readonly number[], destinations: Axis) {
    this.#destinations = destinations;
    const sorted = Int32Array.from(numbers).sort();
    this.#numbers = sorted.filter((number, i) => i === 0 || sorted[i - 1] !== number);
    this.#parent = new Int32Array(this.#numbers.length);
    for (const [place, number] of this.#numbers.entries()) this.#parent[place] = this.#holding(place - 1, number);
    this.#tree = new Float64Array(2 * this.#numbers.length).fill(Number.NEGATIVE_INFINITY);
  }

  add(number: number, worth: number): void {
    const tree = this.#tree;
    for (let node = this.#numbers.length + this.#placeOf(number); node > 0 && worth > (tree[node] as number); node >>= 1)
      tree[node] = worth;
  }

  /** The greatest worth at all destinations that meet one, or what was found before if that is greater. */
  greatest(number: number, before: number): number {
    const [tree, size] = [this.#tree, this.#numbers.length];
    // With a single leaf, that is at 1.
    if ((tree[1] as number) <= before) return before;
    let found = before;
    const first = this.#placeOf(number);
    for (let place = this.#holding(first - 1, number); place !== NONE; place = this.#parent[place] as number)
      found = Math.max(found, tree[size + place] as number);
    let [low, high] = [size + first, size + this.#placeOf(this.#destinations.end[number] as number)];
    for (; low < high; low >>= 1, high >>= 1) {
      if (low & 1) found = Math.max(found, tree[low++] as number);
      if (high & 1) found = Math.max(found, tree[--high] as number);
    }
    return found;
  }

  /** The place of the first with this number or a greater one. */
  #placeOf(number: number): number {
    let [low, high] = [0, this.#numbers.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#numbers[middle] as number) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Of one at a place before it and those that hold that one the narrowest that holds a destination. */
  #holding(place: number, number: number): number {
    let at = place;
    while (at !== NONE && (this.#destinations.end[this.#numbers[at] as number] as number) <= number) at = this.#parent[at] as number;
    return at;
  }
}
