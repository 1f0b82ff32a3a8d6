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
      const network = parsed.value >> BigInt(bitsOf(parsed.family) - length);
      const there = networks.get(network);
      if (there) there.push(item);
      else networks.set(network, [item]);
    }
  }

  /** What is filed under a range that holds the address, each once (prefixes of one range have nothing in common). */
  at(family: Family, value: bigint): readonly T[] {
    const found: T[] = [];
    for (const [length, networks] of this.#byPrefix[family])
      for (const item of networks.get(value >> BigInt(bitsOf(family) - length)) ?? []) found.push(item);
    return found;
  }
}
