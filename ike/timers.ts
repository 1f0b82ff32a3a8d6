/**
 * Named timers of many owners over one heap: set, clear, the earliest, those that are due.
 * An owner is a string such as "ike 7", or an object that keeps its timers itself, so that among ten thousand nothing has to be looked up.
 * Setting a timer again moves it. Each timer knows its place in the heap, so that one which is cleared leaves nothing behind: most are, and
 * what they left would weigh more than the SAs.
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

/** Who has timers, and keeps the first of them. */
export interface Timed {
  timers: Timer | undefined;
}

/** A timer that runs, and the next one of its owner's. */
export interface Timer<Owner = unknown> {
  readonly owner: Owner | string;
  readonly name: TimerName;
  at: Instant;
  serial: number;
  place: number;
  next: Timer<Owner> | undefined;
}

/** `Owner`: the objects that own timers besides strings. */
export class Timers<Owner extends Timed = never> {
  readonly #heap: Timer<Owner>[] = [];
  /** When each timer of the heap is due: most are told apart by that alone, and ten thousand timers lie all over the memory. */
  readonly #due: Instant[] = [];
  /** The first timer of each owner that is a string. */
  readonly #owners = new Map<string, Timer<Owner>>();
  #serial = 0;

  set(owner: Owner | string, name: TimerName, at: Instant): void {
    const first = this.#first(owner);
    const known = find(first, name);
    const serial = ++this.#serial;
    if (known) {
      known.at = at;
      known.serial = serial;
      this.#settle(known, known.place);
      return;
    }
    const timer = { owner, name, at, serial, place: this.#heap.length, next: first };
    this.#setFirst(owner, timer);
    this.#heap.push(timer);
    this.#due.push(at);
    this.#rise(timer, timer.place);
  }

  clear(owner: Owner | string, name: TimerName): void {
    const first = this.#first(owner);
    const timer = find(first, name);
    if (!first || !timer) return;
    if (timer !== first) before(first, timer).next = timer.next;
    else this.#setFirst(owner, timer.next);
    this.#remove(timer);
  }

  clearAll(owner: Owner | string): void {
    const first = this.#first(owner);
    if (!first) return;
    for (let timer: Timer<Owner> | undefined = first; timer; timer = timer.next) this.#remove(timer);
    this.#setFirst(owner, undefined);
  }

  has(owner: Owner | string, name: TimerName): boolean {
    return find(this.#first(owner), name) !== undefined;
  }

  /** When it is due; undefined: it does not run. */
  at(owner: Owner | string, name: TimerName): Instant | undefined {
    return find(this.#first(owner), name)?.at;
  }

  #first(owner: Owner | string): Timer<Owner> | undefined {
    return typeof owner === "string" ? this.#owners.get(owner) : (owner.timers as Timer<Owner> | undefined);
  }

  #setFirst(owner: Owner | string, first: Timer<Owner> | undefined): void {
    if (typeof owner !== "string") owner.timers = first;
    else if (first) this.#owners.set(owner, first);
    else this.#owners.delete(owner);
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
  take(now: Instant): { readonly owner: Owner | string; readonly name: TimerName } | undefined {
    const top = this.#heap[0];
    if (!top || top.at > now) return undefined;
    this.clear(top.owner, top.name);
    return { owner: top.owner, name: top.name };
  }

  /** Takes an timer out of the heap: the last one fills its place. */
  #remove(timer: Timer<Owner>): void {
    const last = this.#heap.pop() as Timer<Owner>;
    this.#due.pop();
    if (last !== timer) this.#settle(last, timer.place);
  }

  /** Puts an timer where its time belongs, up or down from a place that is free for it. */
  #settle(timer: Timer<Owner>, place: number): void {
    const parent = (place - 1) >> FANOUT_BITS;
    if (place > 0 && this.#isBefore(timer, parent)) this.#rise(timer, place);
    else this.#sink(timer, place);
  }

  #rise(timer: Timer<Owner>, from: number): void {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> FANOUT_BITS;
      if (!this.#isBefore(timer, parent)) break;
      this.#put(this.#heap[parent] as Timer<Owner>, place);
      place = parent;
    }
    this.#put(timer, place);
  }

  #sink(timer: Timer<Owner>, from: number): void {
    let place = from;
    for (let child = this.#earliestBelow(place); child !== -1 && !this.#isBefore(timer, child); child = this.#earliestBelow(place)) {
      this.#put(this.#heap[child] as Timer<Owner>, place);
      place = child;
    }
    this.#put(timer, place);
  }

  /** The place of the earliest timer right below a place, or -1. */
  #earliestBelow(place: number): number {
    const first = (place << FANOUT_BITS) + 1;
    const end = Math.min(first + FANOUT, this.#heap.length);
    if (first >= end) return -1;
    let earliest = first;
    for (let other = first + 1; other < end; other++) if (this.#isAhead(other, earliest)) earliest = other;
    return earliest;
  }

  /** Earlier first; equal times in the order in which they were set, so that runs are repeatable. */
  #isBefore(timer: Timer<Owner>, place: number): boolean {
    const due = this.#due[place] as Instant;
    return timer.at < due || (timer.at === due && timer.serial < (this.#heap[place] as Timer<Owner>).serial);
  }

  #isAhead(place: number, other: number): boolean {
    const one = this.#due[place] as Instant;
    const two = this.#due[other] as Instant;
    return one < two || (one === two && (this.#heap[place] as Timer<Owner>).serial < (this.#heap[other] as Timer<Owner>).serial);
  }

  #put(timer: Timer<Owner>, place: number): void {
    timer.place = place;
    this.#heap[place] = timer;
    this.#due[place] = timer.at;
  }
}

/** Each timer of the heap has four below it: half as many steps as with two. */
const FANOUT_BITS = 2;
const FANOUT = 1 << FANOUT_BITS;

/** An owner has a handful of timers. */
function find<Owner>(first: Timer<Owner> | undefined, name: TimerName): Timer<Owner> | undefined {
  let timer = first;
  while (timer && timer.name !== name) timer = timer.next;
  return timer;
}

/** The timer in front of another in their owner's list. */
function before<Owner>(first: Timer<Owner>, timer: Timer<Owner>): Timer<Owner> {
  let at = first;
  while (at.next && at.next !== timer) at = at.next;
  return at;
}
