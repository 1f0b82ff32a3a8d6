/**
 * Every log record, live, for whoever listens inside the daemon: subscriptions of the control socket, the web monitor, statistics.
 * Invariant: a listener that throws is passed over; what is kept for latecomers is bounded. Records hold no secrets (log.ts).
 */
import { withWindowsIds } from "./event-table.ts";
import { type EventDocument, eventDocument, type Log, type LogRecord } from "./log.ts";

/** Takes a record as it was published. */
export type FeedListener = (event: EventDocument) => void;

export interface Feed {
  /** Tells every listener. */
  publish(record: LogRecord): void;
  /** From now on; the answer ends it. */
  listen(listener: FeedListener): () => void;
  /** The last records, oldest first, at most `count` and at most 200. Those of level debug are not kept. */
  recent(count: number): readonly EventDocument[];
  /** A log that publishes what it writes. */
  through(log: Log): Log;
}

const KEPT = 200;

/** A feed that has nothing to tell yet; `time` in milliseconds since 1970. */
export function createFeed(time: () => number = Date.now): Feed {
  const listeners = new Set<FeedListener>();
  const kept: EventDocument[] = [];
  const publish = (record: LogRecord): void => {
    if (record.level === "debug" && listeners.size === 0) return;
    const event = eventDocument(withWindowsIds(record), time());
    if (record.level !== "debug") kept.push(event);
    if (kept.length > 2 * KEPT) kept.splice(0, kept.length - KEPT);
    for (const listener of listeners) {
      try {
        listener(event);
      } catch {
        // One bad listener must not cost the others, or the log, their record.
      }
    }
  };
  return {
    publish,
    listen(listener) {
      const own: FeedListener = (event) => listener(event);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    recent: (count) => kept.slice(Math.max(0, kept.length - Math.min(count, KEPT))),
    through: (log) => (record) => {
      log(record);
      publish(record);
    },
  };
}
