/**
 * Named timers of many owners over one binary heap: set, clear, the earliest, those that are due.
 * An owner is a string such as "ike 7"; setting a timer again moves it. Each timer knows its place in the heap, so that one which is
 * cleared leaves nothing behind: most are, and what they left would weigh more than the SAs.
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
  /** Keep the NAT before us from forgetting us. */
  | "keepalive"
  /** Ask the peer again whether it lives. */
  | "dpd"
  /** Delete an IKE SA whose children another one has taken over. */
  | "close"
  | "expire"
  /** Remove what a replaced child left for packets on their way. */
  | "drained"
  /** A rule that should be up tries again. */
  | "retry";

/** A timer that runs, and the next one of its owner's. */
interface Entry {
  readonly owner: string;
  readonly name: TimerName;
  at: Instant;
  serial: number;
  place: number;
  next: Entry | undefined;
}

export class Timers {
  readonly #heap: Entry[] = [];
  /** The first timer of each owner. */
  readonly #owners = new Map<string, Entry>();
  #serial = 0;

  set(owner: string, name: TimerName, at: Instant): void {
    const first = this.#owners.get(owner);
    const known = find(first, name);
    const entry = known ?? { owner, name, at, serial: 0, place: this.#heap.length, next: first };
    entry.at = at;
    entry.serial = ++this.#serial;
    if (!known) {
      this.#owners.set(owner, entry);
      this.#heap.push(entry);
    }
    this.#settle(entry);
  }

  clear(owner: string, name: TimerName): void {
    const first = this.#owners.get(owner);
    const entry = find(first, name);
    if (!first || !entry) return;
    if (entry !== first) before(first, entry).next = entry.next;
    else if (entry.next) this.#owners.set(owner, entry.next);
    else this.#owners.delete(owner);
    this.#remove(entry);
  }

  clearAll(owner: string): void {
    for (let entry = this.#owners.get(owner); entry; entry = entry.next) this.#remove(entry);
    this.#owners.delete(owner);
  }

  has(owner: string, name: TimerName): boolean {
    return find(this.#owners.get(owner), name) !== undefined;
  }

  /** How many timers run: the simulator's leak check. */
  get size(): number {
    return this.#heap.length;
  }

  /** When the earliest timer is due. */
  next(): Instant | undefined {
    return this.#heap[0]?.at;
  }

  /** Takes the earliest timer that is due, or undefined. */
  take(now: Instant): { readonly owner: string; readonly name: TimerName } | undefined {
    const top = this.#heap[0];
    if (!top || top.at > now) return undefined;
    this.clear(top.owner, top.name);
    return { owner: top.owner, name: top.name };
  }

  /** Takes an entry out of the heap: the last one fills its place. */
  #remove(entry: Entry): void {
    const last = this.#heap.pop() as Entry;
    if (last === entry) return;
    this.#put(last, entry.place);
    this.#settle(last);
  }

  /** Moves an entry up or down to where its time belongs. */
  #settle(entry: Entry): void {
    this.#rise(entry);
    this.#sink(entry);
  }

  #rise(entry: Entry): void {
    while (entry.place > 0) {
      const parent = this.#heap[(entry.place - 1) >> 1] as Entry;
      if (isEarlier(parent, entry)) return;
      this.#swap(parent, entry);
    }
  }

  #sink(entry: Entry): void {
    for (;;) {
      const left = this.#heap[2 * entry.place + 1];
      const right = this.#heap[2 * entry.place + 2];
      const child = left && right && isEarlier(right, left) ? right : left;
      if (!child || isEarlier(entry, child)) return;
      this.#swap(entry, child);
    }
  }

  #swap(above: Entry, below: Entry): void {
    const { place } = above;
    this.#put(above, below.place);
    this.#put(below, place);
  }

  #put(entry: Entry, place: number): void {
    entry.place = place;
    this.#heap[place] = entry;
  }
}

/** Earlier first; equal times in the order in which they were set, so that runs are repeatable. */
const isEarlier = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.serial < b.serial);

/** An owner has a handful of timers. */
function find(first: Entry | undefined, name: TimerName): Entry | undefined {
  let entry = first;
  while (entry && entry.name !== name) entry = entry.next;
  return entry;
}

/** The entry in front of another in their owner's list. */
function before(first: Entry, entry: Entry): Entry {
  let at = first;
  while (at.next && at.next !== entry) at = at.next;
  return at;
}
