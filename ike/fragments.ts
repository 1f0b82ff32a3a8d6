/**
 * IKE fragmentation (MS-IKEE §2.2.3 and §3.3; payload 132): a message too long for the path is cut into pieces, each a message of its own in
 * clear, with the header of the whole and one payload: id, number from 1, last or not, octets. Together the pieces are the whole message with its
 * header, encrypted as it was.
 * Invariant: whatever comes, no more than `BOUNDS` is kept, for a peer and in all, and for no longer than that; each piece costs the same.
 */
import { encodeMessage, type Header } from "../isakmp/message.ts";
import { type Body, payload } from "../isakmp/payloads.ts";
import type { Instant } from "./input.ts";

/** What is kept of unfinished messages: octets, sets of pieces, pieces of a set, and milliseconds since the first one (Windows: 70 s). */
export const BOUNDS = {
  message: 65_536,
  pieces: 128,
  peerSets: 16,
  peerOctets: 262_144,
  sets: 1024,
  octets: 8 * 2 ** 20,
  wait: 70_000,
} as const;

/** Octets of a datagram that holds a piece: what every path lets through whole (RFC 791 §3.1: 576, RFC 8200 §5: 1280), less IP, UDP and the non-ESP marker. */
const LONGEST = { 4: 576 - 20 - 8 - 4, 6: 1280 - 40 - 8 - 4 } as const;
/** Header, generic header, id, number and flags. */
const OVERHEAD = 28 + 4 + 4;
const LAST = 1;

/** Whether a message might be too long for some path between two addresses of a family. */
export const isLong = (message: Uint8Array, family: 4 | 6): boolean => message.length > LONGEST[family];

/** The datagrams that carry `message` to a peer that announced fragmentation; undefined where it would take more than a set may have. */
export function cut(message: Uint8Array, header: Header, family: 4 | 6): readonly Uint8Array[] | undefined {
  const size = LONGEST[family] - OVERHEAD;
  const count = Math.ceil(message.length / size);
  if (count > BOUNDS.pieces || message.length > BOUNDS.message) return undefined;
  const id = idOf(message);
  return Array.from({ length: count }, (_, i) => {
    const data = message.subarray(i * size, (i + 1) * size);
    return encodeMessage({ ...header, flags: 0 }, [payload("fragment", { id, number: i + 1, flags: i + 1 === count ? LAST : 0, data })]);
  });
}

/** The same for every repetition of a message, so that pieces of several complete each other, and another one for the next message. Not zero. */
function idOf(message: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const octet of message) hash = Math.imul(hash ^ octet, 0x01000193);
  return (hash ^ (hash >>> 16)) & 0xffff || 1;
}

/** Where a piece belongs. */
export interface Origin {
  /** Address of the peer: what is kept is counted by it. */
  readonly peer: string;
  /** The message: its SA, exchange and message id. */
  readonly message: string;
  /** The peer has proved itself: its pieces are the last to make room. */
  readonly proved: boolean;
}

export type Taken =
  | { readonly kind: "whole"; readonly bytes: Uint8Array }
  | { readonly kind: "kept" | "repeat" }
  | { readonly kind: "refused"; readonly why: string };

interface Pieces {
  readonly origin: Origin;
  readonly since: Instant;
  readonly parts: Map<number, Uint8Array>;
  octets: number;
  /** The number of the last one; 0 until it came. */
  last: number;
  highest: number;
}

const KEPT: Taken = { kind: "kept" };
const REPEAT: Taken = { kind: "repeat" };
const refused = (why: string): Taken => ({ kind: "refused", why });

/** Unfinished messages of all peers. */
export class Reassembly {
  /** Oldest first. */
  readonly #sets = new Map<string, Pieces>();
  readonly #peers = new Map<string, { sets: number; octets: number }>();
  #octets = 0;

  /** Sets that wait for more. */
  get size(): number {
    return this.#sets.size;
  }

  /** Octets of pieces that are kept. */
  get octets(): number {
    return this.#octets;
  }

  /** When the oldest set is given up, or undefined. */
  get due(): Instant | undefined {
    for (const { since } of this.#sets.values()) return since + BOUNDS.wait;
    return undefined;
  }

  /** Takes a piece. The octets are copied. */
  take(origin: Origin, { id, number, flags, data }: Body<"fragment">, now: Instant): Taken {
    this.expire(now);
    if (number === 0 || data.length === 0) return refused("empty or without a number");
    if (number > BOUNDS.pieces) return refused("number too high");
    const key = `${origin.message} ${id}`;
    const last = (flags & LAST) !== 0;
    let set = this.#sets.get(key);
    const known = set?.parts.get(number);
    if (set && known && same(known, data) && last === (set.last === number)) return REPEAT;
    // Pieces that contradict each other: of another message with the same id, or forged. What was there says nothing then.
    if (set && (known || contradicts(set, number, last))) set = this.#drop(key);
    set ??= this.#begin(key, origin, now);
    if (!set) return refused("too many at once");
    if (!this.#makeRoom(key, set, data.length)) {
      this.#drop(key);
      return refused("too long");
    }
    set.parts.set(number, Uint8Array.from(data));
    set.highest = Math.max(set.highest, number);
    if (last) set.last = number;
    this.#count(set, 0, data.length);
    if (set.last === 0 || set.parts.size < set.last) return KEPT;
    const bytes = joined(set);
    this.#drop(key);
    return { kind: "whole", bytes };
  }

  /** Gives up what has waited too long. */
  expire(now: Instant): void {
    for (const [key, { since }] of this.#sets) {
      if (since + BOUNDS.wait > now) return;
      this.#drop(key);
    }
  }

  clear(): void {
    for (const key of [...this.#sets.keys()]) this.#drop(key);
  }

  #begin(key: string, origin: Origin, now: Instant): Pieces | undefined {
    if ((this.#peers.get(origin.peer)?.sets ?? 0) >= BOUNDS.peerSets) this.#dropOldest((set) => set.origin.peer === origin.peer);
    if (this.#sets.size >= BOUNDS.sets && !this.#giveWay(origin)) return undefined;
    const set: Pieces = { origin, since: now, parts: new Map(), octets: 0, last: 0, highest: 0 };
    this.#sets.set(key, set);
    this.#count(set, 1, 0);
    return set;
  }

  #makeRoom(key: string, { origin, octets }: Pieces, more: number): boolean {
    if (octets + more > BOUNDS.message) return false;
    while ((this.#peers.get(origin.peer)?.octets ?? 0) + more > BOUNDS.peerOctets)
      if (!this.#dropOldest((set, other) => set.origin.peer === origin.peer && other !== key)) return false;
    while (this.#octets + more > BOUNDS.octets) if (!this.#giveWay(origin, key)) return false;
    return true;
  }

  /** The oldest of a stranger makes room; for somebody who has proved himself also the oldest of all. */
  #giveWay({ proved }: Origin, but?: string): boolean {
    return this.#dropOldest((set, key) => !set.origin.proved && key !== but) || (proved && this.#dropOldest((_, key) => key !== but));
  }

  #dropOldest(which: (set: Pieces, key: string) => boolean): boolean {
    for (const [key, set] of this.#sets) {
      if (!which(set, key)) continue;
      this.#drop(key);
      return true;
    }
    return false;
  }

  #drop(key: string): undefined {
    const set = this.#sets.get(key);
    if (!set) return;
    this.#sets.delete(key);
    this.#count(set, -1, -set.octets);
  }

  #count(set: Pieces, sets: number, octets: number): void {
    const peer = this.#peers.get(set.origin.peer) ?? { sets: 0, octets: 0 };
    set.octets += octets;
    peer.sets += sets;
    peer.octets += octets;
    this.#octets += octets;
    if (peer.sets > 0) this.#peers.set(set.origin.peer, peer);
    else this.#peers.delete(set.origin.peer);
  }
}

/** Two last ones, or one behind the last. */
const contradicts = ({ last: known, highest }: Pieces, number: number, last: boolean): boolean =>
  (known > 0 && (last || number > known)) || (last && number < highest);

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function joined({ parts, last, octets }: Pieces): Uint8Array {
  const out = new Uint8Array(octets);
  let at = 0;
  for (let number = 1; number <= last; number++) {
    const part = parts.get(number) as Uint8Array;
    out.set(part, at);
    at += part.length;
  }
  return out;
}
