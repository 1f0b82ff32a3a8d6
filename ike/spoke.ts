/**
 * Peers that are known to speak IKE: for a while their silence means nothing, and no `request` rule lets clear text through with them for it.
 * A peer comes here by any packet of IKE while its answer is awaited, and by failing to prove itself, whoever began. Kept in the journal: else a
 * daemon that dies would turn a proof that failed into clear text a few seconds after its next start.
 * Invariant: bounded, and the oldest go first.
 */
import { ownerOf } from "../sa-store/changes.ts";
import type { JournalPart } from "../sa-store/journal-record.ts";
import type { Core } from "./core.ts";
import type { Instant } from "./input.ts";

/** How long it is remembered. Milliseconds. */
export const SPOKE = 300_000;

/** Peers that are remembered at most. */
const MOST = 20_000;

/** Of those whose time is over, how many are forgotten for each that comes. */
const AT_ONCE = 8;

/** Until when each is remembered, by both addresses (our own first), oldest first. */
export class Spoke {
  readonly #until = new Map<string, Instant>();

  get size(): number {
    return this.#until.size;
  }

  /** Whether the peer of these addresses spoke lately. */
  has(addresses: string, now: Instant): boolean {
    return (this.#until.get(addresses) ?? Number.NEGATIVE_INFINITY) > now;
  }

  /** Remembers a peer; `until` is no earlier than any before. Who is forgotten for it. */
  note(addresses: string, until: Instant, now: Instant): readonly string[] {
    this.#until.delete(addresses);
    this.#until.set(addresses, until);
    const forgotten: string[] = [];
    for (const [oldest, end] of this.#until) {
      if (forgotten.length >= AT_ONCE || (end > now && this.#until.size <= MOST)) break;
      this.#until.delete(oldest);
      forgotten.push(oldest);
    }
    return forgotten;
  }
}

/** A peer has said something, or has failed to prove itself: from now on its silence means nothing for a while. */
export const rememberSpoke = (core: Core, addresses: string): void => remember(core, addresses, core.now + SPOKE);

function remember(core: Core, addresses: string, until: Instant): void {
  const { came, gone } = core.store.changes;
  came.set(ownerOf.spoke(addresses), until);
  for (const forgotten of core.fronts.spoke.note(addresses, until, core.now)) {
    came.delete(ownerOf.spoke(forgotten));
    gone.add(ownerOf.spoke(forgotten));
  }
}

/** Peers that an earlier run remembered, by what the journal says of them: each with what is left of its time. */
export function restoreSpoke(core: Core, records: readonly (readonly [addresses: string, part: JournalPart])[]): void {
  const left = records.map(([addresses, { value }]) => ({ addresses, until: Math.min(Number(value), core.now + SPOKE) }));
  for (const { addresses, until } of left.sort((a, b) => a.until - b.until))
    if (until > core.now) remember(core, addresses, until);
    else core.store.changes.gone.add(ownerOf.spoke(addresses));
}
