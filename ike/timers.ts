/**
 * Named timers of many owners over one binary heap: set, clear, the earliest, those that are due.
 * An owner is a string such as "ike 7"; setting a timer again moves it.
 */
import type { Instant } from "./input.ts";

export type TimerName =
  /** Send the last flight again. */
  | "retransmit"
  /** End a negotiation that the peer does not finish. */
  | "giveUp"
  /** Forget a finished exchange: the peer repeats its last message no longer. */
  | "linger"
  /** The old outbound SA gives way: the peer surely has the new one. */
  | "switch"
  | "rekey"
  /** Ask the kernel how much an SA was used. */
  | "measure"
  /** Ask the peer again whether it lives. */
  | "dpd"
  /** Delete an IKE SA whose children another one has taken over. */
  | "close"
  | "expire"
  /** Remove what a replaced child left for packets on their way. */
  | "drained"
  /** A rule that should be up tries again. */
  | "retry";

interface Entry {
  readonly at: Instant;
  readonly owner: string;
  readonly name: TimerName;
  readonly serial: number;
}

export class Timers {
  readonly #heap: Entry[] = [];
  readonly #owners = new Map<string, Map<TimerName, number>>();
  #serial = 0;
  #live = 0;

  set(owner: string, name: TimerName, at: Instant): void {
    const names = this.#owners.get(owner) ?? new Map<TimerName, number>();
    this.#owners.set(owner, names);
    if (!names.has(name)) this.#live++;
    const serial = ++this.#serial;
    names.set(name, serial);
    this.#push({ at, owner, name, serial });
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#live) this.#compact();
  }

  clear(owner: string, name: TimerName): void {
    const names = this.#owners.get(owner);
    if (!names?.delete(name)) return;
    this.#live--;
    if (names.size === 0) this.#owners.delete(owner);
  }

  clearAll(owner: string): void {
    const names = this.#owners.get(owner);
    if (!names) return;
    this.#live -= names.size;
    this.#owners.delete(owner);
  }

  has(owner: string, name: TimerName): boolean {
    return this.#owners.get(owner)?.has(name) ?? false;
  }

  /** How many timers run: the simulator's leak check. */
  get size(): number {
    return this.#live;
  }

  /** When the earliest timer is due. */
  next(): Instant | undefined {
    this.#dropStale();
    return this.#heap[0]?.at;
  }

  /** Takes the earliest timer that is due, or undefined. */
  take(now: Instant): { readonly owner: string; readonly name: TimerName } | undefined {
    this.#dropStale();
    const top = this.#heap[0];
    if (!top || top.at > now) return undefined;
    this.#pop();
    this.clear(top.owner, top.name);
    return { owner: top.owner, name: top.name };
  }

  #isLive(entry: Entry): boolean {
    return this.#owners.get(entry.owner)?.get(entry.name) === entry.serial;
  }

  #dropStale(): void {
    for (let top = this.#heap[0]; top && !this.#isLive(top); top = this.#heap[0]) this.#pop();
  }

  #compact(): void {
    const live = this.#heap.filter((entry) => this.#isLive(entry)).sort(before);
    this.#heap.length = 0;
    this.#heap.push(...live);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent] as Entry, entry) <= 0) break;
      heap[i] = heap[parent] as Entry;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry) < 0) child++;
      if (before(last, heap[child] as Entry) <= 0) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = last;
  }
}

/** Earlier first; equal times in the order in which they were set, so that runs are repeatable. */
const before = (a: Entry, b: Entry): number => a.at - b.at || a.serial - b.serial;
