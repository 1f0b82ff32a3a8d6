/** The numbers by which the kernel's policies find SAs: which stands for what (`reqid-keys.ts`), and which is free. */
import type { ChildSpec } from "../sa-store/child-sa.ts";
import { REQID_BASE } from "./kernel-contract.ts";
import { childKey } from "./reqid-keys.ts";

/** Numbers from the base on; the base itself is nobody's own. */
const REQIDS = 0xffff;

/** Users that are asked for each input while numbers are in doubt: all of them at once, and as rarely as that comes to. */
const USERS_PER_INPUT = 8;

export class Reqids {
  readonly #byKey = new Map<string, number>();
  /** Numbers that are taken, and by which key; those of an earlier run that nobody knows have none. */
  readonly #inUse = new Map<number, string | null>();
  /** What the journal has not heard yet; null: free again. */
  readonly #changed = new Map<string, number | null>();
  #last = REQID_BASE;
  /** Numbers that nothing of the rules stands for: free as soon as nobody uses them. */
  readonly #doubted = new Set<number>();
  #inputs = 0;

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

  /** Whether a child has a number by itself. */
  isOwn({ rule, selector, reqid }: Pick<ChildSpec, "rule" | "selector" | "reqid">): boolean {
    return this.keyOf(reqid)?.startsWith(childKey(rule, selector, "")) === true;
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
      this.doubt(reqid, true);
    }
  }

  /** Numbers that only the kernel knows are not given out: their SAs live on until they expire. */
  reserve(reqid: number): void {
    if (!this.#inUse.has(reqid)) this.#inUse.set(reqid, null);
    this.doubt(reqid, true);
  }

  /** Of a number that may have no user but those who have it now. `soon`: they are looked up when the input is over. */
  doubt(reqid: number, soon: boolean): void {
    if (this.#inUse.has(reqid)) this.#doubted.add(reqid);
    if (soon) this.#inputs = Number.POSITIVE_INFINITY;
  }

  isDoubted(reqid: number): boolean {
    return this.#doubted.has(reqid);
  }

  /** Once for each input: whether to look up who uses the doubted numbers now. `users`: how many there are to ask. */
  isLookDue(users: number): boolean {
    if (this.#doubted.size === 0) return false;
    this.#inputs++;
    return this.#inputs * USERS_PER_INPUT >= users;
  }

  /** Frees the doubted numbers that nobody uses. `kept`: those which whoever has them gives back. */
  freeDoubted(used: ReadonlySet<number>, isKept: (reqid: number) => boolean): void {
    this.#inputs = 0;
    for (const reqid of [...this.#doubted])
      if (isKept(reqid)) this.#doubted.delete(reqid);
      else if (!used.has(reqid)) this.free(reqid);
  }

  free(reqid: number): void {
    const key = this.#inUse.get(reqid);
    this.#inUse.delete(reqid);
    this.#doubted.delete(reqid);
    if (key == null) return;
    this.#byKey.delete(key);
    this.#changed.set(key, null);
  }
}
