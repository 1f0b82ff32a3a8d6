/**
 * `trace` and `last-failure` on the control socket. Any client may read what was said; only root and the daemon's own user may have keys.
 * Invariant: a client that does not read costs a bounded queue and delays nobody: what does not fit is counted, and it is told how much.
 */
import type { Answer } from "./control.ts";
import type { FailureDocument, Request } from "./control-protocol.ts";
import type { Log } from "./log.ts";
import type { FailedTalk, Talks } from "./talks.ts";
import type { Tap } from "./tap.ts";
import { type KeyEntry, type TapEntry, traceDocument } from "./trace-entry.ts";

type Requests = Extract<Request, { command: "trace" | "last-failure" }>;

export interface Tracing {
  answer(request: Requests, answer: Answer): void;
  /** Failures of all peers, the newest first. */
  failures(): readonly FailureDocument[];
  /** Tells every client that the daemon ends. */
  finish(): void;
}

/** Octets that may wait for a client before entries are left out. */
const BACKLOG = 1 << 20;

/** Serves what `tap` hears and what `talks` remembers. `uid` is the daemon's own user. */
export function createTracing(tap: Tap, talks: Talks, log: Log, uid: number = process.geteuid?.() ?? 0): Tracing {
  const ends = new Set<() => void>();
  return {
    answer(request, answer) {
      if (request.command === "last-failure") tellFailures(request, answer, talks);
      else if (request.keys && !mayHaveKeys(answer, uid)) answer.send(REFUSED);
      else follow(request, answer, tap, log, ends);
    },
    failures: () => talks.failures().map(failureDocument),
    finish() {
      for (const end of ends) end();
    },
  };
}

const REFUSED = {
  type: "end",
  exit: 77,
  text: "keys are told only to root and to the daemon's own user",
  hint: "leave --keys out, or run it as root",
} as const;

/** Where the system does not tell who asks, nobody may. */
const mayHaveKeys = ({ client }: Answer, uid: number): boolean => client !== undefined && (client.uid === 0 || client.uid === uid);

function follow({ peer, keys }: Extract<Request, { command: "trace" }>, answer: Answer, tap: Tap, log: Log, ends: Set<() => void>): void {
  let lost = 0;
  const take = (entry: TapEntry | KeyEntry): void => {
    if (answer.backlog() > BACKLOG) {
      lost++;
      return;
    }
    if (lost > 0) answer.send({ type: "lost", count: lost });
    lost = 0;
    answer.send({ type: "trace", entry: traceDocument(entry) });
  };
  const stopListening = tap.listen({ peer: peer ?? null, take, takeKey: keys ? take : null, strangers: true });
  const who = answer.client ? `uid ${answer.client.uid}, process ${answer.client.pid}` : "a client of the control socket";
  const whom = peer === undefined ? "every peer" : peer;
  log({
    event: "svc.command",
    level: keys ? "warning" : "info",
    text: `${who} traces ${whom}${keys ? ", with the keys of IKE and ESP" : ""}`,
  });
  const end = (): void => answer.send({ type: "end", exit: 0, text: "the daemon stopped" });
  ends.add(end);
  answer.onGone(() => {
    stopListening();
    ends.delete(end);
  });
}

function tellFailures({ peer }: Extract<Request, { command: "last-failure" }>, answer: Answer, talks: Talks): void {
  const [last] = talks.failures(peer);
  if (last) {
    answer.send({ type: "failure", failure: failureDocument(last) });
    answer.send({ type: "end", exit: 0 });
    return;
  }
  const hint = "only the daemon's present run is remembered; watch the next try with `mainmode trace`";
  answer.send({ type: "end", exit: 1, text: `no failed negotiation${peer === undefined ? "" : ` with ${peer}`} is remembered`, hint });
}

/** A failure as the control socket tells it. */
export function failureDocument({ id: _, entries, state: __, begunAt, lastAt, ...rest }: FailedTalk): FailureDocument {
  return {
    ...rest,
    begun: new Date(begunAt).toISOString(),
    failed: new Date(lastAt).toISOString(),
    entries: entries.map(traceDocument),
  };
}
