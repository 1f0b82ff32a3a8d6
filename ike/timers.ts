/**
 * Named timers of many owners over one heap: set, clear, the earliest, those that are due.
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
  /** When each entry of the heap is due: most are told apart by that alone, and ten thousand entries lie all over the memory. */
  readonly #due: Instant[] = [];
  /** The first timer of each owner. */
  readonly #owners = new Map<string, Entry>();
  #serial = 0;

  set(owner: string, name: TimerName, at: Instant): void {
    const first = this.#owners.get(owner);
    const known = find(first, name);
    const serial = ++this.#serial;
    if (known) {
      known.at = at;
      known.serial = serial;
      this.#settle(known, known.place);
      return;
    }
    const entry = { owner, name, at, serial, place: this.#heap.length, next: first };
    this.#owners.set(owner, entry);
    this.#heap.push(entry);
    this.#due.push(at);
    this.#rise(entry, entry.place);
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
    return this.#due[0];
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
    this.#due.pop();
    if (last !== entry) this.#settle(last, entry.place);
  }

  /** Puts an entry where its time belongs, up or down from a place that is free for it. */
  #settle(entry: Entry, place: number): void {
    const parent = (place - 1) >> FANOUT_BITS;
    if (place > 0 && this.#isBefore(entry, parent)) this.#rise(entry, place);
    else this.#sink(entry, place);
  }

  #rise(entry: Entry, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> FANOUT_BITS;
      if (!this.#isBefore(entry, parent)) break;
      this.#put(this.#heap[parent] as Entry, place);
      place = parent;
    }
    this.#put(entry, place);
  }

  #sink(entry: Entry, from: number): void {
    let place = from;
    for (let child = this.#earliestBelow(place); child !== -1 && !this.#isBefore(entry, child); child = this.#earliestBelow(place)) {
      this.#put(this.#heap[child] as Entry, place);
      place = child;
    }
    this.#put(entry, place);
  }

  /** The place of the earliest entry right below a place, or -1. */
  #earliestBelow(place: number): number {
    const first = (place << FANOUT_BITS) + 1;
    const end = Math.min(first + FANOUT, this.#heap.length);
    if (first >= end) return -1;
    let earliest = first;
    for (let other = first + 1; other < end; other++) if (this.#isAhead(other, earliest)) earliest = other;
    return earliest;
  }

  /** Earlier first; equal times in the order in which they were set, so that runs are repeatable. */
  #isBefore(entry: Entry, place: number): boolean {
    const due = this.#due[place] as Instant;
    return entry.at < due || (entry.at === due && entry.serial < (this.#heap[place] as Entry).serial);
  }

  #isAhead(place: number, other: number): boolean {
    const [one, two] = [this.#due[place] as Instant, this.#due[other] as Instant];
    return one < two || (one === two && (this.#heap[place] as Entry).serial < (this.#heap[other] as Entry).serial);
  }

  #put(entry: Entry, place: number): void {
    entry.place = place;
    this.#heap[place] = entry;
    this.#due[place] = entry.at;
  }
}

/** Each entry of the heap has four below it: half as many steps as with two. */
const FANOUT_BITS = 2;
const FANOUT = 1 << FANOUT_BITS;

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
