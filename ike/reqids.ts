/** The numbers by which the kernel's policies find SAs: which stands for what (`reqid-keys.ts`), and which is free. */
import { REQID_BASE } from "./kernel-contract.ts";

/** Numbers from the base on; the base itself is nobody's own. */
const REQIDS = 0xffff;

export class Reqids {
  readonly #byKey = new Map<string, number>();
  /** Numbers that are taken, and by which key; those of an earlier run that nobody knows have none. */
  readonly #inUse = new Map<number, string | null>();
  /** What the journal has not heard yet; null: free again. */
  readonly #changed = new Map<string, number | null>();
  #last = REQID_BASE;

  /** The number of a key; it is given one where it has none. */
  of(key: string): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    // One number is everybody's who comes when all others are taken.
    if (this.#inUse.size >= REQIDS - 1) return REQID_BASE;
    // Old numbers come round again only after all others.
    do this.#last = this.#last + 1 >= REQID_BASE + REQIDS ? REQID_BASE + 1 : this.#last + 1;
    while (this.#inUse.has(this.#last));
    this.#inUse.set(this.#last, key);
    this.#byKey.set(key, this.#last);
    this.#changed.set(key, this.#last);
    return this.#last;
  }

  known(key: string): number | undefined {
    return this.#byKey.get(key);
  }

  keyOf(reqid: number): string | undefined {
    return this.#inUse.get(reqid) ?? undefined;
  }

  /** The numbers that were given out or taken back since the last call. */
  takeChanged(): readonly (readonly [string, number | null])[] {
    if (this.#changed.size === 0) return [];
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** What numbers stood for in an earlier run. */
  restore(reqids: readonly (readonly [string, number])[]): void {
    for (const [key, reqid] of reqids) {
      this.#byKey.set(key, reqid);
      this.#inUse.set(reqid, key);
      this.#last = Math.max(this.#last, reqid);
    }
  }

  /** Numbers that only the kernel knows are not given out: their SAs live on until they expire. */
  reserve(reqid: number): void {
    if (!this.#inUse.has(reqid)) this.#inUse.set(reqid, null);
  }

  free(reqid: number): void {
    const key = this.#inUse.get(reqid);
    this.#inUse.delete(reqid);
    if (key == null) return;
    this.#byKey.delete(key);
    this.#changed.set(key, null);
  }
}
