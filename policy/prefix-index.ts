/**
 * Things by ranges of addresses: which ranges hold an address, in as many look-ups as there are different prefix lengths, however many ranges.
 */
import { type AddressRange, bitsOf, type Family, parseAddress, prefixesOf } from "../isakmp/address.ts";

export class PrefixIndex<T> {
  readonly #byPrefix: Readonly<Record<Family, Map<number, Map<bigint, T[]>>>> = { 4: new Map(), 6: new Map() };

  /** Files something under each prefix of a range. */
  add(range: AddressRange, item: T): void {
    for (const { address, length } of prefixesOf(range)) {
      const parsed = parseAddress(address);
      if (!parsed) throw new Error(address);
      const ofLength = this.#byPrefix[parsed.family];
      const networks = ofLength.get(length) ?? new Map<bigint, T[]>();
      ofLength.set(length, networks);
      const network = networkKey(parsed.family, parsed.value, length);
      const there = networks.get(network);
      if (there) there.push(item);
      else networks.set(network, [item]);
    }
  }

  /** What is filed under a range that holds the address, each once (prefixes of one range have nothing in common). */
  at(family: Family, value: bigint): readonly T[] {
    const found: T[] = [];
    for (const [length, networks] of this.#byPrefix[family])
      for (const item of networks.get(networkKey(family, value, length)) ?? []) found.push(item);
    return found;
  }
}

/** The same for ranges that have something in common with another one: what that costs follows from how many there are. */
export class OverlapIndex<T> {
  readonly #holding = new PrefixIndex<T>();
  readonly #byFirst: Readonly<Record<Family, readonly { readonly first: bigint; readonly item: T }[]>>;

  constructor(all: readonly { readonly range: AddressRange; readonly item: T }[]) {
    const from = (family: Family) =>
      all
        .filter(({ range }) => range.family === family)
        .map(({ range: { first }, item }) => ({ first, item }))
        .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    for (const { range, item } of all) this.#holding.add(range, item);
    this.#byFirst = { 4: from(4), 6: from(6) };
  }

  /** What is filed under a range that has an address of this one, each once: it holds its first address, or begins behind that. */
  meeting({ family, first, last }: AddressRange): readonly T[] {
    const begins = this.#byFirst[family];
    let [low, high] = [0, begins.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((begins[middle]?.first ?? 0n) <= first) low = middle + 1;
      else high = middle;
    }
    const found = [...this.#holding.at(family, first)];
    for (let next = begins[low]; next && next.first <= last; next = begins[++low]) found.push(next.item);
    return found;
  }
}

/**
 * The key of the network of an address. V8 hashes the lower 64 bits of a bigint alone, and hosts of many networks are all called ::1: so the upper bits
 * go into the lower ones. Different networks of one length have different keys.
 */
export function networkKey(family: Family, value: bigint, length: number): bigint {
  const network = value >> BigInt(bitsOf(family) - length);
  return network ^ (network >> 64n);
}
