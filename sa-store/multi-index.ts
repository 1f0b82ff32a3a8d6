/**
 * Several values under one key, in the order in which they came. Nearly every key has one value only, and that one costs no more than in a
 * plain Map: sets of one would weigh more than the SAs that they hold.
 */
export class MultiIndex<K, V extends object> {
  readonly #map = new Map<K, V | Set<V>>();

  /** Keys that have a value. */
  get size(): number {
    return this.#map.size;
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  /** The values under a key, oldest first. */
  all(key: K): readonly V[] {
    const known = this.#map.get(key);
    if (known === undefined) return [];
    return known instanceof Set ? [...known] : [known];
  }

  /** Adds a value that may be there already. */
  add(key: K, value: V): void {
    const known = this.#map.get(key);
    if (known === undefined) this.#map.set(key, value);
    else if (known instanceof Set) known.add(value);
    else if (known !== value) this.#map.set(key, new Set([known, value]));
  }

  /** Takes a value away, if it is there. */
  remove(key: K, value: V): void {
    const known = this.#map.get(key);
    if (known === value) this.#map.delete(key);
    if (!(known instanceof Set)) return;
    known.delete(value);
    const [last] = known;
    if (known.size === 1 && last) this.#map.set(key, last);
  }
}
