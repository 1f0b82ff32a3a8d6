/**
 * All strangers, as rows of octets: those whose row fits into one of fixed width, and apart from them the few whose offer is longer.
 * Invariant: of one in a row of fixed width nothing is kept but that row and its place under a short key: 1000 octets at most.
 */
import type { Instant } from "../ike/input.ts";
import { LooseRows, type Rows, Slab } from "./rows.ts";
import { keyOfRow, readStranger, type Stranger, startOfRow, strangerKey, writeStranger } from "./stranger.ts";

/** Octets of a row. With key (at most 104, of an IPv6 address) and place in V8's table (at most 56) it stays below 1000. */
export const ROW = 832;

export class Strangers {
  readonly #lean = new Shelf(new Slab(ROW));
  readonly #bulky = new Shelf(new LooseRows());

  get size(): number {
    return this.#lean.size + this.#bulky.size;
  }

  /** Octets of those with long offers, and of all. */
  get bulky(): number {
    return this.#bulky.octets;
  }

  get octets(): number {
    return this.#lean.octets + this.#bulky.octets;
  }

  has(cookieI: Uint8Array, remote: string): boolean {
    const key = strangerKey(cookieI, remote);
    return this.#lean.has(key) || this.#bulky.has(key);
  }

  find(cookieI: Uint8Array, remote: string): Stranger | undefined {
    if (this.size === 0) return undefined;
    const key = strangerKey(cookieI, remote);
    const row = this.#lean.get(key) ?? this.#bulky.get(key);
    return row && readStranger(row);
  }

  /** Adds a stranger, or puts it in the place of what was known of it. */
  put(stranger: Stranger): void {
    const row = writeStranger(stranger);
    (row.length > ROW ? this.#bulky : this.#lean).put(strangerKey(stranger.cookieI, stranger.path.remote.address), row);
  }

  remove(cookieI: Uint8Array, remote: string): void {
    const key = strangerKey(cookieI, remote);
    if (!this.#lean.remove(key)) this.#bulky.remove(key);
  }

  /** Takes away the one of a number below `size`, whoever that is. */
  removeAt(number: number): void {
    if (number < this.#lean.size) this.#lean.removeAt(number);
    else this.#bulky.removeAt(number - this.#lean.size);
  }

  /**
   * Takes away one of those with long offers, of two the one that is much longer: who forges the longest pushes out his own kind first, and honest
   * offers (eight transforms of Kerberos with a long name take two rows) are not much longer than any others. `pick`: a whole number below what it is given.
   */
  removeBulky(pick: (below: number) => number): void {
    const [one, other] = [pick(this.#bulky.size), pick(this.#bulky.size)];
    this.#bulky.removeAt(this.#bulky.lengthAt(other) > 2 * this.#bulky.lengthAt(one) ? other : one);
  }

  /** When the first of those here came; of one that came back from a job, later. */
  get since(): number | undefined {
    const [lean, bulky] = [this.#lean.since, this.#bulky.since];
    return lean === undefined || bulky === undefined ? (lean ?? bulky) : Math.min(lean, bulky);
  }

  /** Takes away those who came before `limit`, `most` of each kind at once. */
  removeOlder(limit: Instant, most: number): void {
    for (const shelf of [this.#lean, this.#bulky]) shelf.removeOlder(limit, most);
  }

  /** All of them, in no order. Nothing may be put or removed meanwhile. */
  *[Symbol.iterator](): Iterator<Stranger> {
    for (const row of this.#lean.rows()) yield readStranger(row);
    for (const row of this.#bulky.rows()) yield readStranger(row);
  }
}

/** Rows that are found by a key, and stay in the order in which they came. */
class Shelf {
  readonly #rows: Rows;
  /** Oldest first: a place that changes stays where it is in the order. */
  readonly #places = new Map<string, number>();

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  get size(): number {
    return this.#rows.size;
  }

  get octets(): number {
    return this.#rows.octets;
  }

  has(key: string): boolean {
    return this.#places.has(key);
  }

  get(key: string): Buffer | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#rows.at(place);
  }

  put(key: string, row: Uint8Array): void {
    const place = this.#places.get(key);
    if (place !== undefined) return this.#rows.set(place, row);
    this.#places.set(key, this.#rows.size);
    this.#rows.push(row);
  }

  /** Whether it was there. */
  remove(key: string): boolean {
    const place = this.#places.get(key);
    if (place === undefined) return false;
    this.#places.delete(key);
    const moved = this.#rows.take(place);
    if (moved) this.#places.set(keyOfRow(moved), place);
    return true;
  }

  removeAt(place: number): void {
    this.remove(keyOfRow(this.#rows.peek(place)));
  }

  get since(): number | undefined {
    const [place] = this.#places.values();
    return place === undefined ? undefined : startOfRow(this.#rows.peek(place));
  }

  /** One walk for all of them: each would pass all places that are empty by now. */
  removeOlder(limit: Instant, most: number): void {
    let removed = 0;
    for (const [key, place] of this.#places) {
      if (removed++ === most || startOfRow(this.#rows.peek(place)) >= limit) return;
      this.remove(key);
    }
  }

  lengthAt(place: number): number {
    return this.#rows.lengthAt(place);
  }

  *rows(): Generator<Buffer> {
    for (let place = 0; place < this.#rows.size; place++) yield this.#rows.at(place);
  }
}
