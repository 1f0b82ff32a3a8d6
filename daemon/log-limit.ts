/**
 * A budget of records per peer, so that whoever can send us datagrams can't fill the log.
 * Records that only an authenticated peer or the administrator can cause are never left out. The table of peers is bounded:
 * source addresses are forged easily, and all that don't fit share one budget.
 */
import type { LogRecord } from "./log.ts";

/** What happens to a record. `suppressed`: how many were left out since the last one that passed, to be said first. */
export interface Verdict {
  readonly pass: boolean;
  readonly suppressed: { readonly peer: string; readonly count: number } | undefined;
}

/** Records at once about a peer, and milliseconds until one more. */
const BURST = 20;
const REFILL_MS = 1000;
/** The same for all peers together: each forged address brings a fresh budget. */
const BURST_OF_ALL = 500;
const REFILL_OF_ALL_MS = 50;
const PEERS = 1024;

/** Events that a stranger can cause with a datagram. */
const LIMITED: ReadonlySet<LogRecord["event"]> = new Set([
  "ike.started",
  "ike.failed",
  "child.failed",
  "packet.dropped",
  "notify.received",
  "svc.socket",
  "bug",
]);

interface Budget {
  tokens: number;
  at: number;
  suppressed: number;
}

/** Decides about one record after the other; `now` in milliseconds. */
export interface Limiter {
  (record: LogRecord, now: number): Verdict;
  /** What was left out and not said yet, because nothing passed since; it counts as said then. */
  unsaid(): readonly NonNullable<Verdict["suppressed"]>[];
}

/** Full budgets for everybody. */
export function createLimiter(): Limiter {
  const table: Table = { budgets: new Map(), searched: Number.NEGATIVE_INFINITY };
  const all: Budget = { tokens: BURST_OF_ALL, at: Number.NEGATIVE_INFINITY, suppressed: 0 };
  const judge = (record: LogRecord, now: number): Verdict => {
    if (!LIMITED.has(record.event)) return { pass: true, suppressed: undefined };
    refill(all, now, BURST_OF_ALL, REFILL_OF_ALL_MS);
    // Whom the common budget leaves out gets no entry in the table either.
    if (all.tokens === 0) return leftOut(all);
    const [peer, budget] = budgetOf(table, addressOf(record.peer ?? ""), now);
    refill(budget, now, BURST, REFILL_MS);
    if (budget.tokens === 0) return leftOut(budget);
    budget.tokens--;
    all.tokens--;
    const [from, name] = budget.suppressed > 0 ? [budget, peer] : [all, ""];
    const count = from.suppressed;
    from.suppressed = 0;
    return { pass: true, suppressed: count > 0 ? { peer: name, count } : undefined };
  };
  const unsaid = (): readonly NonNullable<Verdict["suppressed"]>[] =>
    [["", all] as const, ...table.budgets].flatMap(([peer, budget]) => {
      const count = budget.suppressed;
      budget.suppressed = 0;
      return count > 0 ? [{ peer, count }] : [];
    });
  return Object.assign(judge, { unsaid });
}

function refill(budget: Budget, now: number, burst: number, everyMs: number): void {
  // A clock that was set back must not starve the budget.
  if (now < budget.at || budget.at === Number.NEGATIVE_INFINITY) budget.at = now;
  const more = Math.floor((now - budget.at) / everyMs);
  budget.tokens = Math.min(burst, budget.tokens + more);
  budget.at += more * everyMs;
}

function leftOut(budget: Budget): Verdict {
  budget.suppressed++;
  return { pass: false, suppressed: undefined };
}

/** `192.0.2.1:500` and `[2001:db8::1]:500` without the port: a peer has one address and 65535 of those. */
const addressOf = (peer: string): string => peer.replace(/^([\d.]+|\[.*\]):\d+$/, "$1");

/** `searched`: when room was last looked for. */
interface Table {
  readonly budgets: Map<string, Budget>;
  searched: number;
}

function budgetOf(table: Table, peer: string, now: number): readonly [string, Budget] {
  const { budgets } = table;
  const known = budgets.get(peer);
  if (known) return [peer, known];
  // Not at every record: a flood would make us search a full table for each datagram.
  if (budgets.size >= PEERS && Math.abs(now - table.searched) >= REFILL_MS) {
    table.searched = now;
    forgetIdle(budgets, now);
  }
  const key = budgets.size >= PEERS ? "" : peer;
  const budget = budgets.get(key) ?? { tokens: BURST, at: now, suppressed: 0 };
  budgets.set(key, budget);
  return [key, budget];
}

/** Peers whose budget would be full again, and about whom nothing is left to say. */
function forgetIdle(budgets: Map<string, Budget>, now: number): void {
  for (const [peer, budget] of budgets)
    if (budget.suppressed === 0 && now - budget.at >= (BURST - budget.tokens) * REFILL_MS) budgets.delete(peer);
}
