/**
 * The last messages of negotiations, by initiator cookie, and those of negotiations that failed, by peer: what `mainmode last-failure`, the
 * report and the web monitor show of things that are over.
 * Invariant: bounded in number, in octets, and for each peer; the ones that were used longest ago make room. Holds no keys.
 */

import type { TapListener } from "./tap.ts";
import { type EventEntry, sizeOfEntry, type TapEntry } from "./trace-entry.ts";

export type TalkState = "open" | "established" | "failed" | "closed";

/** What went on under one initiator cookie: its last entries, oldest first. */
export interface Talk {
  readonly id: number;
  readonly cookie: string;
  readonly peer: string;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
  readonly lastAt: number;
  readonly rule: string | null;
  readonly state: TalkState;
  readonly entries: readonly TapEntry[];
}

/** A failure and what led to it. */
export interface FailedTalk extends Talk {
  /** The log's words. */
  readonly text: string;
  readonly reason: string | null;
  readonly failurePoint: "me" | "peer" | null;
  readonly hint: string | null;
}

export interface Talks extends TapListener {
  /** The newest first. */
  list(): readonly Talk[];
  get(id: number): Talk | undefined;
  /** Failures, of one peer or of all, the newest first. */
  failures(peer?: string): readonly FailedTalk[];
}

const LIMITS = { talks: 512, entries: 96, talkOctets: 1 << 17, octets: 4 << 20, failedPeers: 256, failuresOfPeer: 4 } as const;

/** Nothing heard yet. To be made a listener of the tap. */
export const createTalks = (): Talks => new RecentTalks();

interface Kept {
  talk: Talk;
  readonly entries: TapEntry[];
  octets: number;
}

interface KeptFailure {
  readonly talk: FailedTalk;
  readonly octets: number;
}

class RecentTalks implements Talks {
  readonly peer = null;
  readonly takeKey = null;
  readonly strangers = false;
  /** By cookie; the one that was heard of longest ago comes first. */
  readonly #open = new Map<string, Kept>();
  /** By peer, likewise; of each peer the newest comes first. */
  readonly #failed = new Map<string, readonly KeptFailure[]>();
  #octets = 0;
  #failedOctets = 0;
  #lastId = 0;

  readonly take = (entry: TapEntry): void => {
    if (entry.cookie === "") return;
    const kept = this.#keptOf(entry);
    const size = sizeOfEntry(entry);
    kept.entries.push(entry);
    kept.octets += size;
    this.#octets += size;
    while (kept.entries.length > LIMITS.entries || (kept.octets > LIMITS.talkOctets && kept.entries.length > 1)) {
      const gone = sizeOfEntry(kept.entries.shift() as TapEntry);
      kept.octets -= gone;
      this.#octets -= gone;
    }
    kept.talk = { ...kept.talk, lastAt: entry.at, ...learnt(kept.talk, entry) };
    if (entry.kind === "event" && FAILURES.has(entry.event)) this.#fail(kept, entry);
    this.#makeRoom();
  };

  list(): readonly Talk[] {
    return [...this.#open.values()].map(({ talk }) => talk).reverse();
  }

  get(id: number): Talk | undefined {
    for (const { talk } of this.#open.values()) if (talk.id === id) return talk;
    return undefined;
  }

  failures(peer?: string): readonly FailedTalk[] {
    const lists = peer === undefined ? [...this.#failed.values()].flat() : (this.#failed.get(peer) ?? []);
    return lists.map(({ talk }) => talk).sort((a, b) => b.lastAt - a.lastAt);
  }

  #keptOf({ at, cookie, peer }: TapEntry): Kept {
    const found = this.#open.get(cookie);
    if (found) this.#open.delete(cookie);
    const entries: TapEntry[] = [];
    const kept = found ?? {
      talk: { id: ++this.#lastId, cookie, peer, begunAt: at, lastAt: at, rule: null, state: "open", entries },
      entries,
      octets: 0,
    };
    this.#open.set(cookie, kept);
    return kept;
  }

  /** A later failure under the same cookie is the same negotiation, further on. */
  #fail({ talk, octets }: Kept, { text, reason, failurePoint, hint }: EventEntry): void {
    const before = this.#failed.get(talk.peer) ?? [];
    this.#failed.delete(talk.peer);
    const one: FailedTalk = {
      ...talk,
      entries: [...talk.entries],
      state: "failed",
      text,
      reason: reason ?? null,
      failurePoint: failurePoint ?? null,
      hint: hint ?? null,
    };
    const others = before.filter((each) => each.talk.cookie !== talk.cookie).slice(0, LIMITS.failuresOfPeer - 1);
    this.#failedOctets += octets + octetsOf(others) - octetsOf(before);
    this.#failed.set(talk.peer, [{ talk: one, octets }, ...others]);
  }

  #makeRoom(): void {
    for (const [cookie, { octets }] of this.#open) {
      if (this.#open.size <= LIMITS.talks && this.#octets <= LIMITS.octets) break;
      this.#open.delete(cookie);
      this.#octets -= octets;
    }
    const full = (): boolean => this.#failed.size > LIMITS.failedPeers || this.#failedOctets > LIMITS.octets;
    if (!full()) return;
    // Strangers first: nobody who makes addresses up may wash away what somebody will ask for.
    const order = [...this.#failed].sort(([, a], [, b]) => Number(hasRule(a)) - Number(hasRule(b)));
    for (const [peer, list] of order) {
      if (!full()) break;
      this.#failed.delete(peer);
      this.#failedOctets -= octetsOf(list);
    }
  }
}

const hasRule = (list: readonly KeptFailure[]): boolean => list.some(({ talk }) => talk.rule !== null);

const octetsOf = (list: readonly KeptFailure[]): number => list.reduce((sum, { octets }) => sum + octets, 0);

const FAILURES: ReadonlySet<string> = new Set(["ike.failed", "child.failed"]);

const STATES: Readonly<Record<string, TalkState>> = { "ike.established": "established", "ike.failed": "failed", "ike.closed": "closed" };

/** What an entry says about the whole. A failure within an established SA does not undo it. */
function learnt(talk: Talk, entry: TapEntry): Pick<Talk, "rule" | "state"> {
  if (entry.kind !== "event") return talk;
  const state = STATES[entry.event];
  const keeps = state === "failed" && talk.state === "established";
  return { rule: entry.rule ?? talk.rule, state: state === undefined || keeps ? talk.state : state };
}
