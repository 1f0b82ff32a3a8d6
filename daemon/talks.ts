/**
 * The last messages of negotiations, by initiator cookie, and those of negotiations that failed, by peer: what `mainmode last-failure`, the
 * report and the web monitor show of things that are over.
 * Invariant: bounded in number, in octets, and for each peer; the ones that were used longest ago make room. Holds no keys.
 */
import { sizeOfEntry, type TapEntry } from "./trace-entry.ts";
import type { TapListener } from "./tap.ts";

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

interface Kept {
  talk: Talk;
  entries: TapEntry[];
  octets: number;
}

/** Nothing heard yet. To be made a listener of the tap. */
export function createTalks(): Talks {
  const open = new Map<string, Kept>();
  const failed = new Map<string, FailedTalk[]>();
  let [octets, failedOctets, lastId] = [0, 0, 0];

  const keptOf = (entry: TapEntry): Kept => {
    const found = open.get(entry.cookie);
    if (found) {
      open.delete(entry.cookie);
      open.set(entry.cookie, found);
      return found;
    }
    const entries: TapEntry[] = [];
    const { at, cookie, peer } = entry;
    const talk: Talk = { id: ++lastId, cookie, peer, begunAt: at, lastAt: at, rule: null, state: "open", entries };
    const kept: Kept = { talk, entries, octets: 0 };
    open.set(cookie, kept);
    return kept;
  };
  const makeRoom = (): void => {
    for (const [cookie, kept] of open) {
      if (open.size <= LIMITS.talks && octets <= LIMITS.octets) break;
      open.delete(cookie);
      octets -= kept.octets;
    }
    for (const [peer, list] of failed) {
      if (failed.size <= LIMITS.failedPeers && failedOctets <= LIMITS.octets) break;
      failed.delete(peer);
      failedOctets -= sum(list);
    }
  };
  const fail = (talk: Talk, entry: Extract<TapEntry, { kind: "event" }>): void => {
    const before = failed.get(talk.peer) ?? [];
    failed.delete(talk.peer);
    const { text, reason = null, failurePoint = null, hint = null } = entry;
    const one: FailedTalk = { ...talk, entries: [...talk.entries], state: "failed", text, reason, failurePoint, hint };
    // The same negotiation, further on.
    const list = [one, ...before.filter(({ cookie }) => cookie !== talk.cookie)].slice(0, LIMITS.failuresOfPeer);
    failedOctets += sum(list) - sum(before);
    failed.set(talk.peer, list);
  };
  const take = (entry: TapEntry): void => {
    if (entry.cookie === "") return;
    const kept = keptOf(entry);
    const size = sizeOfEntry(entry);
    kept.entries.push(entry);
    kept.octets += size;
    octets += size;
    while (kept.entries.length > LIMITS.entries || (kept.octets > LIMITS.talkOctets && kept.entries.length > 1)) {
      const gone = sizeOfEntry(kept.entries.shift() as TapEntry);
      kept.octets -= gone;
      octets -= gone;
    }
    kept.talk = { ...kept.talk, lastAt: entry.at, ...learnt(kept.talk, entry) };
    if (entry.kind === "event" && FAILURES.has(entry.event)) fail(kept.talk, entry);
    makeRoom();
  };
  return {
    peer: null,
    take,
    takeKey: null,
    list: () => [...open.values()].map(({ talk }) => talk).reverse(),
    get: (id) => [...open.values()].find(({ talk }) => talk.id === id)?.talk,
    failures: (peer) => (peer === undefined ? [...failed.values()].flat() : (failed.get(peer) ?? [])).toSorted((a, b) => b.lastAt - a.lastAt),
  };
}

const FAILURES: ReadonlySet<string> = new Set(["ike.failed", "child.failed"]);

const STATES: Readonly<Record<string, TalkState>> = { "ike.established": "established", "ike.failed": "failed", "ike.closed": "closed" };

/** What an entry says about the whole. A failure within an established SA does not undo it. */
function learnt(talk: Talk, entry: TapEntry): Pick<Talk, "rule" | "state"> {
  if (entry.kind !== "event") return talk;
  const state = STATES[entry.event];
  const keeps = state === "failed" && talk.state === "established";
  return { rule: entry.rule ?? talk.rule, state: state === undefined || keeps ? talk.state : state };
}

const sum = (list: readonly FailedTalk[]): number =>
  list.reduce((octets, { entries }) => octets + entries.reduce((size, entry) => size + sizeOfEntry(entry), 0), 0);
