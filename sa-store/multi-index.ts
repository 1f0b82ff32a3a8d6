/**
 * Several values under one key, in the order in which they came. Nearly every key has one value only, and that one costs no more than in a
 * plain Map: sets of one would weigh more than the SAs that they hold. Few stand in an array, many in a set, where one is found without a search.
 */
export class MultiIndex<K, V extends object> {
  readonly #map = new Map<K, V | V[] | Set<V>>();

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
    return known instanceof Set || Array.isArray(known) ? [...known] : [known];
  }

  /** The newest value under a key but `except`. */
  last(key: K, except: V | undefined): V | undefined {
    const known = this.#map.get(key);
    if (known === undefined || !(known instanceof Set || Array.isArray(known))) return known === except ? undefined : known;
    let last: V | undefined;
    for (const value of known) if (value !== except) last = value;
    return last;
  }

  /** Adds a value that may be there already. */
  add(key: K, value: V): void {
    const known = this.#map.get(key);
    if (known === undefined) this.#map.set(key, value);
    else if (known instanceof Set) known.add(value);
    else if (Array.isArray(known)) this.#extend(key, known, value);
    else if (known !== value) this.#map.set(key, [known, value]);
  }

  #extend(key: K, few: V[], value: V): void {
    if (few.includes(value)) return;
    if (few.length < FEW) few.push(value);
    else this.#map.set(key, new Set([...few, value]));
  }

  /** Takes a value away, if it is there. */
  remove(key: K, value: V): void {
    const known = this.#map.get(key);
    if (known === value) this.#map.delete(key);
    if (known instanceof Set) {
      known.delete(value);
      if (known.size === 1) this.#map.set(key, [...known][0] as V);
    } else if (Array.isArray(known)) {
      const left = known.filter((one) => one !== value);
      this.#map.set(key, left.length === 1 ? (left[0] as V) : left);
    }
  }
}

/** So many are looked through. */
const FEW = 8;
