/**
 * One process for calls of the GSS library, and the queue before it. Invariants: every call is answered within its deadline, whatever the library
 * does; at most `GROUP_CALLS` calls that may wait for the KDCs of one realm run at a time, so that others find a free thread; calls of
 * one context run in order, one at a time; a process with a call that does not come back at all is replaced, and its contexts end.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { err } from "../../isakmp/result.ts";
import type { AuthFailure } from "../method.ts";
import type { FromProcess, GssCall, GssResult, ToProcess } from "./gssapi-messages.ts";

export interface LaneLimits {
  /** Milliseconds from the question to the answer, for calls that may ask a KDC and for others. */
  readonly kdcDeadline: number;
  readonly usableDeadline: number;
  readonly deadline: number;
  /** A call that runs that long will never come back. */
  readonly stuckAfter: number;
  /** Calls that wait for a KDC, and others that wait; more of either are refused. */
  readonly queue: number;
}

/** A command may wait 30 s and should hear why; what is behind a dead KDC is told in time to try another method. */
export const LIMITS: LaneLimits = { kdcDeadline: 12_000, usableDeadline: 5_000, deadline: 8_000, stuckAfter: 90_000, queue: 64 };

export interface Lane {
  run(call: GssCall): Promise<GssResult>;
  close(): Promise<void>;
}

const THREADS = 16;
/** Calls at a time that may wait for the KDCs of one realm, of those that have a ticket, and that may wait for any KDC. */
const GROUP_CALLS = 4;
const KDC_CALLS = 8;
const WITH_TICKETS = "with tickets";
const MOST_TICKETS = 4096;

interface Asked {
  readonly id: number;
  readonly call: GssCall;
  /** Of the KDC that it may wait for; null: of none. */
  readonly realm: string | null;
  /** What it shares its turns with: calls that may wait for the same KDC, or those that have a ticket. */
  readonly group: string | null;
  readonly answer: (result: GssResult) => void;
  readonly deadline: NodeJS.Timeout;
  /** Whoever asked has been answered. */
  answered: boolean;
  running: boolean;
  stuck: NodeJS.Timeout | undefined;
}

/** A lane over a process that is started with the first call, and again when the last one has ended. */
export function gssLane(library: string, limits: LaneLimits = LIMITS): Lane {
  return new ProcessLane(library, limits);
}

class ProcessLane implements Lane {
  readonly #library: string;
  readonly #limits: LaneLimits;
  readonly #asked = new Map<number, Asked>();
  #process: ChildProcess | undefined;
  /** Whom our principals have a ticket for, as far as we know; the oldest first. */
  readonly #tickets = new Set<string>();
  #lastWords = "";
  #nextId = 1;

  constructor(library: string, limits: LaneLimits) {
    this.#library = library;
    this.#limits = limits;
  }

  run(call: GssCall): Promise<GssResult> {
    const [realm, ticket] = [realmAsked(call), ticketOf(call)];
    // A peer whose ticket we have does not stand behind those who wait for a silent KDC.
    const group = realm !== null && ticket !== null && this.#tickets.has(ticket) ? WITH_TICKETS : realm === null ? null : `KDC ${realm}`;
    if (call.kind !== "drop" && this.#waiting(asksKdc(group)) >= this.#limits.queue) return Promise.resolve(err(BUSY));
    return new Promise((answer) => {
      const id = this.#nextId++;
      const wait = this.#deadlineOf(call);
      const asked: Asked = {
        id,
        call,
        realm,
        group,
        answer,
        deadline: setTimeout(() => this.#late(asked), wait),
        answered: false,
        running: false,
        stuck: undefined,
      };
      this.#asked.set(id, asked);
      this.#advance();
    });
  }

  async close(): Promise<void> {
    const [child, left] = [this.#process, [...this.#asked.values()]];
    this.#process = undefined;
    this.#asked.clear();
    for (const asked of left) this.#settle(asked, err(ended("it was closed")));
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  /** Those who wait for a KDC, or those who do not: neither keep the others out. */
  #waiting(kdc: boolean): number {
    let count = 0;
    for (const { running, group } of this.#asked.values()) if (!running && asksKdc(group) === kdc) count++;
    return count;
  }

  #deadlineOf(call: GssCall): number {
    if (call.kind === "usable") return this.#limits.usableDeadline;
    return realmAsked(call) === null ? this.#limits.deadline : this.#limits.kdcDeadline;
  }

  /** Starts what may run now, in order. */
  #advance(): void {
    const busy = new Set<string>();
    const groups = new Map<string, number>();
    let [running, kdc] = [0, 0];
    const count = ({ call, group }: Asked): void => {
      if ("context" in call) busy.add(call.context);
      running++;
      if (group === null) return;
      if (group !== WITH_TICKETS) kdc++;
      groups.set(group, (groups.get(group) ?? 0) + 1);
    };
    for (const asked of this.#asked.values()) if (asked.running) count(asked);
    for (const asked of [...this.#asked.values()]) {
      if (asked.running) continue;
      const { call, group } = asked;
      const taken = "context" in call && busy.has(call.context);
      const crowded = group !== null && ((groups.get(group) ?? 0) >= GROUP_CALLS || (group !== WITH_TICKETS && kdc >= KDC_CALLS));
      // What came later for the same context has to wait, too.
      if (taken || crowded || running >= THREADS) {
        if ("context" in call) busy.add(call.context);
        continue;
      }
      count(asked);
      this.#start(asked);
    }
  }

  #start(asked: Asked): void {
    asked.running = true;
    asked.stuck = setTimeout(
      () => this.#replace(`a call did not come back for ${this.#limits.stuckAfter / 1000} s`),
      this.#limits.stuckAfter,
    );
    asked.stuck.unref();
    this.#process ??= this.#spawn();
    tell(this.#process, { id: asked.id, call: asked.call });
  }

  #spawn(): ChildProcess {
    const child = fork(ENTRY, {
      env: environment(),
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = `${this.#lastWords}${text}`.slice(-500);
    });
    child.on("message", (message: FromProcess) => this.#receive(child, message));
    child.on("error", (error) => this.#gone(child, error.message));
    child.on("close", (code, signal) => this.#gone(child, `it ended with ${signal ?? code} ${this.#lastWords}`.trim()));
    tell(child, { library: this.#library });
    return child;
  }

  #receive(child: ChildProcess, message: FromProcess): void {
    if (child !== this.#process) return;
    if ("missing" in message) {
      this.#fail({
        reason: "kerberos-library-missing",
        what: `the GSS library ${this.#library} can't be loaded: ${message.missing}`,
        hint: null,
        whose: "me",
      });
      this.#process = undefined;
      return this.#advance();
    }
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    this.#asked.delete(message.id);
    const { call } = asked;
    this.#noteTicket(call, message.result.ok);
    // A context whose call came too late is of no use: whoever asked has given it up.
    if (asked.answered && "context" in call && call.kind !== "drop") void this.run({ kind: "drop", context: call.context });
    this.#settle(asked, message.result);
    this.#advance();
  }

  #noteTicket(call: GssCall, got: boolean): void {
    const ticket = ticketOf(call);
    if (ticket === null) return;
    this.#tickets.delete(ticket);
    if (got) this.#tickets.add(ticket);
    const [oldest] = this.#tickets;
    if (oldest !== undefined && this.#tickets.size > MOST_TICKETS) this.#tickets.delete(oldest);
  }

  /** Whoever asked has waited long enough; the call itself goes on where it has begun. */
  #late(asked: Asked): void {
    const { call, realm } = asked;
    this.#noteTicket(call, false);
    if (!asked.running) this.#asked.delete(asked.id);
    const seconds = this.#deadlineOf(call) / 1000;
    if (realm === null || !("principal" in call)) {
      this.#settle(
        asked,
        err({ reason: "provider-timeout", what: `the GSS library did not answer for ${seconds} s`, hint: null, whose: "me" }),
      );
    } else {
      const target = call.kind === "step" && call.target !== null ? ` to ${call.target}` : "";
      const what = `no KDC${realm === "" ? "" : ` of ${realm}`} answered for ${seconds} s when ${call.principal} asked for a ticket${target}`;
      this.#settle(asked, err({ reason: "kerberos-kdc-unreachable", what, hint: null, whose: "me" }));
    }
    this.#advance();
  }

  #settle(asked: Asked, result: GssResult): void {
    clearTimeout(asked.deadline);
    if (!this.#asked.has(asked.id)) clearTimeout(asked.stuck);
    if (asked.answered) return;
    asked.answered = true;
    asked.answer(result);
  }

  /** Ends the process; what it had running fails, what waits goes to the next one. */
  #replace(why: string): void {
    const child = this.#process;
    if (!child) return;
    child.kill("SIGKILL");
    this.#gone(child, why);
  }

  #gone(child: ChildProcess, why: string): void {
    if (child !== this.#process) return;
    this.#process = undefined;
    this.#lastWords = "";
    this.#tickets.clear();
    this.#fail(ended(why));
    this.#advance();
  }

  /** Everything that the process was asked. */
  #fail(failure: AuthFailure): void {
    for (const asked of [...this.#asked.values()]) {
      if (!asked.running) continue;
      this.#asked.delete(asked.id);
      this.#settle(asked, err(failure));
    }
  }
}

/** A process that is just ending takes nothing more; its end is noticed by itself. */
const tell = (child: ChildProcess, message: ToProcess): void => void child.send(message, () => {});

/** Source files run bare end in .ts, built ones in .js. */
const ENTRY = fileURLToPath(new URL(`./gssapi-process${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

/** What the library itself reads from the environment, and nothing else of ours. */
const PASSED_ON = [
  "KRB5_CONFIG",
  "KRB5_TRACE",
  "KRB5_KTNAME",
  "KRB5_CLIENT_KTNAME",
  "KRB5RCACHEDIR",
  "KRB5RCACHENAME",
  "KRB5RCACHETYPE",
  "TMPDIR",
  "TZ",
  "PATH",
  "LD_LIBRARY_PATH",
];

function environment(): NodeJS.ProcessEnv {
  const passed = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  return { ...Object.fromEntries(passed), LC_ALL: "C", UV_THREADPOOL_SIZE: String(THREADS) };
}

/** What a step needs a ticket of and for, or null where it needs none. */
const ticketOf = (call: GssCall): string | null =>
  call.kind === "step" && realmAsked(call) !== null ? `${call.principal} ${call.keytab} ${call.target}` : null;

const asksKdc = (group: string | null): boolean => group !== null && group !== WITH_TICKETS;

/** The realm whose KDCs a call may wait for: the target's, else our own; "" is the default realm. A second token needs no ticket. */
function realmAsked(call: GssCall): string | null {
  if (call.kind === "usable") return realmOf(call.principal);
  if (call.kind !== "step" || call.role !== "initiate" || call.token !== null) return null;
  return realmOf(call.target ?? call.principal);
}

/** What follows the last `@` of a principal; "" where nothing does. */
export const realmOf = (principal: string): string => {
  const at = principal.lastIndexOf("@");
  return at < 0 ? "" : principal.slice(at + 1);
};

const BUSY: AuthFailure = { reason: "provider-busy", what: "too many calls wait for the GSS library", hint: null, whose: "me" };
const ended = (why: string): AuthFailure => ({
  reason: "provider-failed",
  what: `the process that speaks to the GSS library ended: ${why}`,
  hint: null,
  whose: "me",
});
