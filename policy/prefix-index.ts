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

/**
 * The key of the network of an address. V8 hashes the lower 64 bits of a bigint alone, and hosts of many networks are all called ::1: so the upper bits
 * go into the lower ones. Different networks of one length have different keys.
 */
export function networkKey(family: Family, value: bigint, length: number): bigint {
  const network = value >> BigInt(bitsOf(family) - length);
  return network ^ (network >> 64n);
}
