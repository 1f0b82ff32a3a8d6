/**
 * `subscribe` on the control socket: events as they happen and, if wanted, a snapshot of everything at intervals, until the client goes.
 * Invariant: a client that does not read costs a bounded queue: what does not fit is counted, and it is told how much it missed.
 */
import type { Answer } from "./control.ts";
import type { Request, SnapshotDocument } from "./control-protocol.ts";
import type { Feed } from "./feed.ts";

export interface SubscriptionParts {
  readonly feed: Feed;
  readonly snapshot: () => Promise<SnapshotDocument>;
}

/** Octets that may wait for a client before records are left out. */
const BACKLOG = 1 << 20;

/** Serves one client until it goes away; it is never sent an `end`. */
export function serveSubscription(request: Extract<Request, { command: "subscribe" }>, answer: Answer, parts: SubscriptionParts): void {
  const { feed, snapshot } = parts;
  let lost = 0;
  const room = (): boolean => answer.backlog() <= BACKLOG;
  for (const event of feed.recent(request.recent)) answer.send({ type: "update", kind: "event", ...event });
  const endListening = feed.listen((event) => {
    if (!room()) {
      lost++;
      return;
    }
    if (lost > 0) answer.send({ type: "update", kind: "lost", count: lost });
    lost = 0;
    answer.send({ type: "update", kind: "event", ...event });
  });
  let timer: NodeJS.Timeout | undefined;
  let gone = false;
  const tell = async (): Promise<void> => {
    // A snapshot is worth nothing to somebody who has not read the last one.
    if (answer.backlog() === 0) {
      const document = await snapshot().catch(() => undefined);
      if (document && !gone) answer.send({ type: "update", kind: "snapshot", ...document });
    }
    if (!gone) timer = setTimeout(() => void tell(), request.snapshots * 1000);
  };
  answer.onGone(() => {
    gone = true;
    clearTimeout(timer);
    endListening();
  });
  if (request.snapshots > 0) void tell();
}
