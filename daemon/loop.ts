/**
 * The event loop: one queue of inputs, one timer, effects carried out in order; answers of the kernel and of routing come back as inputs.
 * Invariant: `engine.handle` is never entered twice, nothing here waits, and a bug in the core costs one input and a line in the log.
 */
import type { AuthJob, JobId } from "../auth/method.ts";
import type { JobRunner } from "../auth/providers/run-job.ts";
import type { Effect, ReplyLine, SaEvent } from "../ike/effect.ts";
import type { Engine } from "../ike/engine.ts";
import type { Input, Instant, Path } from "../ike/input.ts";
import type { KernelListing } from "../ike/kernel-contract.ts";
import { err, type Result } from "../isakmp/result.ts";
import type { Kernel } from "../kernel/port.ts";
import type { Policy } from "../policy/types.ts";
import type { JournalRecord } from "../sa-store/journal-record.ts";
import type { LiveView } from "../sa-store/live-view.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import { isFirstMessage } from "./first-message.ts";

/** What the loop joins to the engine. None of these may throw or block; what does throw is logged and passed over. */
export interface LoopParts {
  readonly engine: Engine;
  readonly kernel: Pick<Kernel, "run">;
  /** Milliseconds that never go back. */
  readonly clock: () => Instant;
  readonly send: (effect: Extract<Effect, { type: "send" }>) => void;
  /** Sends the octet that keeps a NAT's mapping alive. */
  readonly keepalive?: (path: Path) => void;
  readonly route: (remote: string) => Promise<string | undefined>;
  readonly authenticate: JobRunner["run"];
  /** What policies the kernel has, or why it does not tell. */
  readonly listPolicies?: () => Promise<Result<KernelListing["policies"], string>>;
  /** Has written everything down when it returns. */
  readonly journal?: (records: readonly JournalRecord[]) => void;
  readonly reply: (id: number, line: ReplyLine, last: boolean) => void;
  readonly log: (event: SaEvent) => void;
  readonly stopped: () => void;
  /** Sees every input and what it came to. */
  readonly tap?: { begin(input: Input): void; end(effects: readonly Effect[]): void };
}

/** For status, tests and the watchdog. `dropped`: inputs refused because the queue was full. */
export interface LoopCounters {
  readonly handled: number;
  readonly dropped: number;
  readonly bugs: number;
}

/** Inputs handled before sockets get their turn. */
const BATCH = 32;
/** Nor does a turn last longer than this and one input more that comes to something: each may cost an exponentiation. */
const LONGEST_TURN_MS = 10;
/** Datagrams and acquires beyond this are dropped: their senders repeat them, and a flood must not grow the queue without end. */
const QUEUE_LIMIT = 4096;
/** Of these, first messages of strangers: a flood of them leaves the rest to those who are known already. */
const STRANGERS_LIMIT = 1024;
/** A due timer that the core does not serve must not spin. */
const SHORTEST_WAIT_MS = 1;
const WAIT_AFTER_BUG_MS = 1000;
/** A timer that is so late finds answers that lie in the sockets unread: silence is judged once they were read. */
const LATE_MS = 50;
/** For so long at most: a flood has no end. */
const CATCH_UP_MS = 250;
/** `setTimeout` takes 31 bits. */
const LONGEST_WAIT_MS = 2 ** 31 - 1;

export class Loop {
  readonly #parts: LoopParts;
  #queue: Input[] = [];
  #next = 0;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer was set for. */
  #timerAt: Instant = 0;
  /** A late tick waits until the sockets were read, once for each stall: whoever has much to do is always late. */
  #isCatchingUp = false;
  #hasCaughtUp = false;
  /** Inputs so far, those that were dropped included. */
  #came = 0;
  #closed = false;
  #tickFailed = false;
  #counters = { handled: 0, dropped: 0, bugs: 0 };
  /** Questions to the kernel and to routing that have no answer yet. */
  #unanswered = 0;
  #settled: (() => void)[] = [];

  constructor(parts: LoopParts) {
    this.#parts = parts;
  }

  get counters(): LoopCounters {
    return { ...this.#counters };
  }

  /** Inputs that wait. */
  get queued(): number {
    return this.#queue.length - this.#next;
  }

  /** What the core dropped, by reason. */
  drops(): ReadonlyMap<string, number> {
    return this.#parts.engine.counters();
  }

  /** Queues an input; it is handled after those before it, in a later turn of Node's loop. */
  push(input: Input): void {
    if (this.#closed) return;
    this.#came++;
    const waiting = this.#queue.length - this.#next;
    if (waiting >= STRANGERS_LIMIT && (waiting >= QUEUE_LIMIT ? isRepeated(input) : isFirstMessage(input))) {
      this.#counters.dropped++;
      return;
    }
    this.#queue.push(input);
    this.#wake();
  }

  /** Counts an input that was dropped before it came here. */
  countDropped(): void {
    this.#came++;
    this.#counters.dropped++;
  }

  /** The policy that the engine follows. */
  inForce(): Policy {
    return this.#parts.engine.inForce();
  }

  /** What packets meet in the kernel now. */
  metBy(...question: Parameters<Engine["metBy"]>): ReturnType<Engine["metBy"]> {
    return this.#parts.engine.metBy(...question);
  }

  /** The SA tables now. */
  view(): StatusDocument {
    return this.#parts.engine.view(this.#parts.clock());
  }

  /** What the core dropped, by reason. */
  get dropped(): ReadonlyMap<string, number> {
    return this.#parts.engine.counters();
  }

  /** Negotiations in flight. */
  live(): LiveView {
    return this.#parts.engine.live(this.#parts.clock());
  }

  /** Resolves once the queue is empty and every question to the kernel and to routing is answered; at once where that is so. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#settled.push(resolve);
      this.#wake();
    });
  }

  /** Handles nothing more. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#next = 0;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#tellSettled();
  }

  #wake(): void {
    this.#immediate ??= setImmediate(() => this.#run());
  }

  #run(): void {
    this.#immediate = undefined;
    let now = this.#parts.clock();
    const until = now + LONGEST_TURN_MS;
    for (let i = 0; i < BATCH && !this.#closed && now < until; i++) {
      const input = this.#queue[this.#next];
      if (!input) break;
      this.#next++;
      // What comes to nothing, as a flood does, took no time that is worth a look at the clock.
      if (this.#handle(input, now)) now = this.#parts.clock();
    }
    if (this.#closed) return;
    if (this.#next === this.#queue.length) [this.#queue, this.#next] = [[], 0];
    else {
      if (this.#next >= QUEUE_LIMIT) [this.#queue, this.#next] = [this.#queue.slice(this.#next), 0];
      this.#wake();
    }
    if (this.#queue.length === 0 && this.#unanswered === 0) this.#tellSettled();
    this.#setTimer();
  }

  #tellSettled(): void {
    const waiting = this.#settled;
    this.#settled = [];
    for (const resolve of waiting) resolve();
  }

  /** Whether it came to anything. */
  #handle(input: Input, now: Instant): boolean {
    this.#counters.handled++;
    if (input.type === "tick") this.#tickFailed = false;
    let effects: readonly Effect[];
    try {
      this.#parts.tap?.begin(input);
      effects = this.#parts.engine.handle(input, now);
      this.#parts.tap?.end(effects);
    } catch (error) {
      this.#bug(`handling ${describeInput(input)}`, error);
      if (input.type === "tick") this.#tickFailed = true;
      // The caller of a command would wait for ever.
      if (input.type === "command") this.#guard("reply", () => this.#parts.reply(input.id, BUG_REPLY, true));
      return true;
    }
    for (const effect of effects) {
      try {
        this.#carryOut(effect);
      } catch (error) {
        this.#bug(`effect ${effect.type}`, error);
      }
    }
    return effects.length > 0;
  }

  #carryOut(effect: Effect): void {
    const { send, reply, log, stopped } = this.#parts;
    if (effect.type === "journal") this.#parts.journal?.(effect.records);
    else if (effect.type === "send") send(effect);
    else if (effect.type === "keepalive") this.#parts.keepalive?.(effect.path);
    else if (effect.type === "kernel") this.#runKernel(effect);
    else if (effect.type === "route") this.#findRoute(effect.id, effect.remote);
    else if (effect.type === "look") this.#look(effect.id);
    else if (effect.type === "job") this.#runJob(effect.id, effect.job);
    else if (effect.type === "reply") reply(effect.id, effect.line, effect.last);
    else if (effect.type === "event") log(effect.event);
    else stopped();
  }

  /** The core waits for every answer: a kernel port that breaks has refused. */
  #runKernel({ id, commands }: Extract<Effect, { type: "kernel" }>): void {
    this.#unanswered++;
    const answer = (outcome: Extract<Input, { type: "kernel-done" }>["outcome"]): void => {
      this.#unanswered--;
      this.push({ type: "kernel-done", id, outcome });
    };
    const failed = (error: unknown): void => {
      this.#bug("running kernel commands", error);
      answer(err({ index: 0, reason: "the kernel port failed", exists: false, command: commands[0]?.do ?? "nothing" }));
    };
    // `async` turns a throw of `run` itself into a rejection.
    const run = async () => this.#parts.kernel.run(commands);
    run().then(answer, failed);
  }

  #look(id: number): void {
    this.#unanswered++;
    const answer = (told: Result<KernelListing["policies"], string>): void => {
      this.#unanswered--;
      this.push(
        told.ok ? { type: "policies-found", id, policies: told.value } : { type: "policies-found", id, policies: null, why: told.error },
      );
    };
    const list = async () => (await this.#parts.listPolicies?.()) ?? err("there is nobody to ask");
    list().then(answer, (error: unknown) => {
      this.#bug("looking at the kernel's policies", error);
      answer(err("the kernel port failed"));
    });
  }

  /** Waits for nobody: a job may take as long as a Kerberos server does. */
  #runJob(id: JobId, job: AuthJob): void {
    const run = async () => this.#parts.authenticate(job);
    const done = (outcome: Extract<Input, { type: "job-done" }>["outcome"]): void => {
      if (job.kind !== "gss-drop") this.push({ type: "job-done", id, outcome });
    };
    run().then(done, (error: unknown) => {
      this.#bug(`running the job ${job.kind}`, error);
      done(err({ reason: "provider-failed", what: `the job ${job.kind} failed`, hint: null, whose: "me" }));
    });
  }

  #findRoute(id: number, remote: string): void {
    this.#unanswered++;
    const find = async () => this.#parts.route(remote);
    const done = (local: string | undefined): void => {
      this.#unanswered--;
      this.push({ type: "route-done", id, local });
    };
    find().then(done, (error: unknown) => {
      this.#bug(`looking for the route to ${remote}`, error);
      done(undefined);
    });
  }

  /** A timer that comes too early costs an empty tick, one that is set anew for every datagram costs more: only an earlier wake moves it. */
  #setTimer(): void {
    const { clock } = this.#parts;
    const wake = this.#nextWake();
    if (wake === undefined || wake > clock()) this.#hasCaughtUp = false;
    if (wake === undefined || this.#isCatchingUp || (this.#timer !== undefined && this.#timerAt <= wake)) return;
    const shortest = this.#tickFailed ? WAIT_AFTER_BUG_MS : SHORTEST_WAIT_MS;
    const wait = Math.min(Math.max(Math.ceil(wake - clock()), shortest), LONGEST_WAIT_MS);
    clearTimeout(this.#timer);
    this.#timerAt = wake;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const now = clock();
      if (now - wake > LATE_MS && !this.#hasCaughtUp) this.#tickOnceRead(now + CATCH_UP_MS);
      else this.push({ type: "tick" });
    }, wait);
  }

  /**
   * A tick after all that has come in: after a stall the timers are served before the sockets, and a peer that had answered would count as one that is silent.
   * Between two immediates each socket is read, some dozens of datagrams at a time.
   */
  #tickOnceRead(until: Instant): void {
    const before = this.#came;
    this.#isCatchingUp = true;
    setImmediate(() => {
      if (this.#closed) return;
      if (this.#came !== before && this.#parts.clock() < until) return this.#tickOnceRead(until);
      [this.#isCatchingUp, this.#hasCaughtUp] = [false, true];
      this.push({ type: "tick" });
    });
  }

  #nextWake(): Instant | undefined {
    try {
      return this.#parts.engine.nextWake();
    } catch (error) {
      this.#bug("nextWake", error);
      return undefined;
    }
  }

  #guard(what: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#bug(what, error);
    }
  }

  #bug(what: string, error: unknown): void {
    this.#counters.bugs++;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    try {
      this.#parts.log({
        event: "bug",
        level: "error",
        text: `bug while ${what}: ${stack}`,
        reason: "bug",
        hint: "please report this line",
      });
    } catch {
      // A log that can't be written must not end the daemon either.
    }
  }
}

const BUG_REPLY: ReplyLine = {
  text: "the daemon met a bug and gave this command up",
  exit: 1,
  reason: "bug",
  hint: "its log has the details; please report them",
};

/** Whether whoever caused the input will do so again. */
const isRepeated = (input: Input): boolean =>
  input.type === "datagram" || input.type === "send-failed" || (input.type === "kernel-event" && input.event.type === "acquire");

/** For the log: who and what, no content (a message may hold an identity, a command never holds a secret). */
function describeInput(input: Input): string {
  switch (input.type) {
    case "datagram":
      return `a datagram of ${input.bytes.length} octets from ${input.path.remote.address}`;
    case "send-failed":
      return `a message to ${input.path.remote.address} that was not sent`;
    case "kernel-event":
      return `the kernel's ${input.event.type}`;
    case "command":
      return `the command ${input.command.name}`;
    case "kernel-done":
    case "job-done":
    case "route-done":
      return `${input.type} ${input.id}`;
    default:
      return input.type;
  }
}
