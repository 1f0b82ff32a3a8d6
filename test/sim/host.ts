/**
 * One simulated machine: an engine, a kernel in memory that answers after a while, and the log of what it said.
 */
import type { AuthJob } from "../../auth/method.ts";
import type { Crypto, Random } from "../../ike/crypto/provider.ts";
import type { Effect, ReplyLine, SaEvent } from "../../ike/effect.ts";
import { createEngine, type Engine } from "../../ike/engine.ts";
import type { Command, Input, Path } from "../../ike/input.ts";
import type { KernelCommand, KernelEvent, KernelListing, KernelPolicy, KernelSa } from "../../ike/kernel-contract.ts";
import { err } from "../../isakmp/result.ts";
import { type MemoryXfrm, memoryXfrm } from "../../kernel/memory.ts";
import { describeCommand, saName } from "../../kernel/xfrm-args.ts";
import type { Policy } from "../../policy/types.ts";
import { type JournalRecord, playJournal } from "../../sa-store/journal-record.ts";
import { type RunJob, simJobs } from "./jobs.ts";

export interface HostOptions {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly policy: Policy;
  /** Algorithms that the kernel was built without. */
  readonly lacks?: readonly string[];
  /** Carries out authentication jobs; one of the default realm where not given. */
  readonly jobs?: (fail: (text: string) => never) => RunJob;
}

/** What a host asks of its world. */
export interface Surroundings {
  readonly crypto: Crypto;
  readonly random: Random;
  now(): number;
  /** Runs `action` after so many milliseconds, in the order of the calls where the time is the same. */
  after(ms: number, action: () => void): void;
  send(host: Host, path: Path, bytes: Uint8Array): void;
  note(host: Host, text: string): void;
  fail(text: string): never;
  /** How long the kernel takes for a group of commands. */
  kernelDelay(): number;
  /** How long a job takes. */
  jobDelay(): number;
  /** After each group of kernel commands, with those that were carried out. */
  onKernel(host: Host, done: readonly KernelCommand[]): void;
}

/** Whether, and why, the kernel refuses a command: `exists` for EEXIST, else its words. */
export type Refuse = (command: KernelCommand) => string | undefined;

const MOST_INPUTS_AT_ONCE = 2000;
const UNKNOWN: KernelListing = { sas: [], policies: [], isUnknown: true };

export class Host {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly xfrm: MemoryXfrm;
  /** Lines of each command, by its id. */
  readonly replies = new Map<number, ReplyLine[]>();
  readonly events: SaEvent[] = [];
  engine: Engine;
  policy: Policy;
  refuse: Refuse = () => undefined;
  /** Carries out jobs; stories may replace it. */
  runJob: RunJob;
  /** Every job that was asked for. */
  readonly jobs: AuthJob[] = [];
  stopped = false;
  /** What a restart would find; kept where a story sets it. */
  journal: JournalRecord[] | undefined;
  /** Which policies of the kernel carry our mark; somebody else's, where a story has one. */
  isOurs: (policy: KernelPolicy) => boolean = () => true;
  /** How often the core has looked at the kernel's policies. */
  looks = 0;
  /** Whether the kernel tells what policies it has. */
  tells = true;
  /** Whether it tells so at a start. */
  listsAtStart = true;
  /** Effects carried out so far. */
  effects = 0;
  /** How long a question for a route takes. */
  routeMs = 0;
  /** The address that routes lead from; undefined: the first of the family. */
  routeFrom: string | undefined;
  /** Whether there is a route to anybody. */
  routed = true;
  /** Questions for a route so far. */
  routeQuestions = 0;
  /** Effects after which this host's daemon dies, counted from now. */
  crashAfter = Number.POSITIVE_INFINITY;
  /** What the kernel was asked for when the daemon died is carried out all the same, before the next start. */
  kernelOutlives = false;
  readonly #asked = new Map<number, readonly KernelCommand[]>();
  /** A bug of the core fails the world, unless the story is about bugs. */
  mayHaveBugs = false;
  readonly #around: Surroundings;
  readonly #finished = new Set<number>();
  #nextCommand = 0;
  #kernelFreeAt = 0;
  #jobsFreeAt = 0;
  #generation = 0;
  #lastAcquire = "";
  #busy = { at: -1, inputs: 0 };

  constructor(options: HostOptions, around: Surroundings) {
    this.name = options.name;
    this.addresses = options.addresses;
    this.policy = options.policy;
    this.xfrm = memoryXfrm({ lacks: options.lacks ?? [] });
    this.#around = around;
    this.runJob = (options.jobs ?? simJobs)(around.fail);
    this.engine = this.#newEngine();
  }

  #newEngine(): Engine {
    return createEngine({ crypto: this.#around.crypto, random: this.#around.random, port: 500, journal: this.journal !== undefined });
  }

  /** Tells the engine where it is and what to do. */
  boot(): void {
    this.input({ type: "addresses", addresses: this.addresses });
    this.input({ type: "policy", policy: this.policy });
  }

  /** Loses everything, as a machine does that is switched off; answers that are still due go nowhere. */
  reboot(): void {
    this.#generation++;
    this.xfrm.clear();
    this.engine = this.#newEngine();
    this.stopped = false;
    this.#around.note(this, "reboots");
    this.boot();
  }

  /** From now on what a restart needs is written down. Before anything was negotiated. */
  keepJournal(): void {
    this.journal = [];
    this.#generation++;
    this.xfrm.clear();
    this.engine = this.#newEngine();
    this.#start([]);
  }

  /** With what a run before it wrote down. */
  #start(records: readonly JournalRecord[]): void {
    this.input({ type: "addresses", addresses: this.addresses });
    const kernel = this.listsAtStart ? this.#listing() : UNKNOWN;
    this.input({ type: "policy", policy: this.policy, restore: { image: playJournal(records), kernel } });
  }

  /** The daemon dies in the middle of whatever it does and is started again; the kernel lives on. */
  crash(): void {
    this.#generation++;
    this.crashAfter = Number.POSITIVE_INFINITY;
    this.engine = this.#newEngine();
    this.stopped = false;
    this.#around.note(this, "the daemon dies and is started again");
    for (const commands of this.kernelOutlives ? this.#asked.values() : []) this.#apply(commands);
    this.#asked.clear();
    const records = (this.journal ?? []).map((record) => ({ ...record, secret: record.secret && Uint8Array.from(record.secret) }));
    this.#start(records);
    // The kernel's clocks know nothing of it.
    for (const { sa } of this.xfrm.states.values()) this.#watchLimits(sa);
  }

  /** Whether its kernel works on something. */
  get isKernelBusy(): boolean {
    return this.#asked.size > 0;
  }

  #listing(): KernelListing {
    const sas = [...this.xfrm.states.values()].map(({ sa: { source, destination, protocol, spi, reqid, limits }, counters }) => {
      return { source, destination, protocol, spi, reqid, counters, endless: limits.hardSeconds === null };
    });
    return { sas, policies: Array.from(this.xfrm.policies.values(), (policy) => ({ ...policy, ours: this.isOurs(policy) })) };
  }

  /** Gives a command; its lines are in `replies`. */
  command(command: Command): number {
    const id = ++this.#nextCommand;
    this.replies.set(id, []);
    this.#around.note(this, `command ${JSON.stringify(command)}`);
    this.input({ type: "command", id, command });
    return id;
  }

  initiate(rule = "peer", waitSeconds = 30, peer?: string): number {
    return this.command({ name: "initiate", rule, peer, waitSeconds });
  }

  /** The last line of a command; fails where there is none yet. */
  outcome(id: number): ReplyLine {
    const line = this.replies.get(id)?.at(-1);
    return line?.exit === undefined ? this.#around.fail(`${this.name}: command ${id} has no last line yet`) : line;
  }

  /** Hands one input to the engine and carries out what it wants. */
  input(input: Input): void {
    const { now, fail } = this.#around;
    if (this.#busy.at !== now()) this.#busy = { at: now(), inputs: 0 };
    if (++this.#busy.inputs > MOST_INPUTS_AT_ONCE) fail(`${this.name}: ${MOST_INPUTS_AT_ONCE} inputs without time passing`);
    for (const effect of this.engine.handle(input, now())) {
      this.#carryOut(effect);
      this.effects++;
      if (--this.crashAfter <= 0) return this.crash();
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "journal":
        for (const record of effect.records) this.journal?.push({ ...record, secret: record.secret && Uint8Array.from(record.secret) });
        for (const { secret } of effect.records) secret?.fill(0);
        return;
      case "keepalive":
        return this.#around.send(this, effect.path, Uint8Array.of(0xff));
      case "send":
        return this.#around.send(this, effect.path, effect.bytes);
      case "kernel":
        return this.#askKernel(effect.id, effect.commands);
      case "job":
        return this.#runJob(effect.id, effect.job);
      case "route":
        this.routeQuestions++;
        return this.#later(this.routeMs, () =>
          this.input({
            type: "route-done",
            id: effect.id,
            local: this.routed
              ? (this.routeFrom ?? this.addresses.find((a) => a.includes(":") === effect.remote.includes(":")))
              : undefined,
          }),
        );
      case "look":
        return this.#look(effect.id);
      case "reply":
        return this.#onReply(effect.id, effect.line, effect.last);
      case "event":
        return this.#onEvent(effect.event);
      case "stopped":
        this.stopped = true;
        return this.#around.note(this, "stopped");
    }
  }

  /** Runs `action` unless the host rebooted meanwhile. */
  #later(ms: number, action: () => void): void {
    const generation = this.#generation;
    this.#around.after(ms, () => {
      if (generation === this.#generation) action();
    });
  }

  #onReply(id: number, line: ReplyLine, last: boolean): void {
    const lines = this.replies.get(id);
    if (!lines || this.#finished.has(id)) this.#around.fail(`${this.name}: a reply to command ${id} after its last: ${line.text}`);
    if (last !== (line.exit !== undefined)) this.#around.fail(`${this.name}: reply with last=${last}, exit=${line.exit}: ${line.text}`);
    lines.push(line);
    if (last) this.#finished.add(id);
    this.#around.note(this, `reply ${id}: ${line.text}${last ? ` [exit ${line.exit}, ${line.reason ?? "ok"}]` : ""}`);
  }

  #onEvent(event: SaEvent): void {
    this.events.push(event);
    this.#lastAcquire = "";
    this.#around.note(this, `${event.level}: ${event.text}`);
    const missing = isFailure(event) ? EXPLAINED.filter((field) => !event[field]) : [];
    if (missing.length > 0) this.#around.fail(`${this.name}: ${event.event} without ${missing.join(", ")}: ${event.text}`);
    if (event.event === "bug" && !this.mayHaveBugs) this.#around.fail(`${this.name}: ${event.text}`);
  }

  /** What is told was so a while ago. */
  #look(id: number): void {
    this.looks++;
    const delay = this.#around.kernelDelay();
    this.#later(delay, () => {
      const { policies } = this.#listing();
      this.#later(delay, () =>
        this.input({ type: "policies-found", id, ...(this.tells ? { policies } : { policies: null, why: "Cannot allocate memory" }) }),
      );
    });
  }

  /** Somebody empties the kernel's table of policies. */
  flush(): void {
    const names = [...this.xfrm.policies.values()];
    this.xfrm.apply(names.map((policy) => ({ do: "remove-policy", policy })));
    this.#around.note(this, "somebody flushes all policies");
    this.kernelEvents([{ type: "policy-gone", policy: null }]);
  }

  /** Somebody deletes policies. */
  remove(...policies: readonly Pick<KernelPolicy, "direction" | "selector">[]): void {
    this.xfrm.apply(policies.map((policy) => ({ do: "remove-policy", policy })));
    this.#around.note(this, `somebody deletes ${policies.length} policies`);
    this.kernelEvents(policies.map(({ direction, selector }) => ({ type: "policy-gone", policy: { direction, selector } })));
  }

  /** Somebody changes policies, whoever put them there, or puts new ones: as another daemon does. */
  change(...policies: readonly KernelPolicy[]): void {
    this.xfrm.apply(policies.map((policy) => ({ do: "update-policy", policy })));
    this.#around.note(this, `somebody changes ${policies.length} policies`);
    this.kernelEvents(policies.map((policy) => ({ type: "policy-changed", policy })));
  }

  /** Groups run one after the other; each is carried out at the moment of its answer. */
  #askKernel(id: number, commands: readonly KernelCommand[]): void {
    const { now, kernelDelay } = this.#around;
    this.#kernelFreeAt = Math.max(this.#kernelFreeAt, now()) + kernelDelay();
    this.#asked.set(id, commands);
    this.#later(this.#kernelFreeAt - now(), () => {
      this.#asked.delete(id);
      const outcome = this.#apply(commands);
      const done = commands.slice(0, outcome.ok ? commands.length : outcome.error.index);
      this.#around.onKernel(this, done);
      // The kernel tells of our own removals and updates, too, some time after its answer.
      for (const command of done) {
        if (command.do === "update-policy") {
          const { policy } = command;
          this.#later(2, () => this.input({ type: "kernel-event", event: { type: "policy-changed", policy } }));
        }
        if (command.do !== "remove-policy") continue;
        const { direction, selector } = command.policy;
        this.#later(2, () => this.input({ type: "kernel-event", event: { type: "policy-gone", policy: { direction, selector } } }));
      }
      this.input({ type: "kernel-done", id, outcome });
    });
  }

  /** One after the other, as the contract says. */
  #runJob(id: number, job: AuthJob): void {
    const { now, jobDelay, note } = this.#around;
    this.jobs.push(job);
    this.#jobsFreeAt = Math.max(this.#jobsFreeAt, now()) + jobDelay();
    this.#later(this.#jobsFreeAt - now(), () => {
      const outcome = this.runJob(job);
      note(this, `job ${job.kind}: ${outcome?.ok === false ? outcome.error.what : "done"}`);
      if (outcome) this.input({ type: "job-done", id, outcome });
    });
  }

  #apply(commands: readonly KernelCommand[]): ReturnType<MemoryXfrm["apply"]> {
    const index = commands.findIndex((command) => this.refuse(command) !== undefined);
    const outcome = this.xfrm.apply(index < 0 ? commands : commands.slice(0, index));
    for (const command of commands) if (command.do === "add-sa") this.#watchLimits(command.sa);
    const refused = commands[index];
    if (!outcome.ok || !refused) {
      if (!outcome.ok) this.#around.note(this, `kernel refuses: ${outcome.error.command}: ${outcome.error.reason}`);
      return outcome;
    }
    const reason = this.refuse(refused) ?? "";
    this.#around.note(this, `kernel refuses: ${describeCommand(refused)}: ${reason}`);
    return err({
      index,
      reason: reason === "exists" ? "File exists" : reason,
      exists: reason === "exists",
      command: describeCommand(refused),
    });
  }

  /** The kernel's own clock for the limits in seconds of an SA that was just added. */
  #watchLimits(added: KernelSa): void {
    const installed = this.xfrm.states.get(saName(added))?.sa;
    if (!installed) return;
    const { softSeconds, hardSeconds } = added.limits;
    for (const [seconds, hard] of [
      [softSeconds, false],
      [hardSeconds, true],
    ] as const) {
      if (seconds === null) continue;
      this.#later(seconds * 1000, () => {
        if (this.xfrm.states.get(saName(added))?.sa !== installed) return;
        this.kernelEvents(this.xfrm.expire(added, hard));
      });
    }
  }

  /** One line for many in a row: packets ask again and again. */
  #noteAcquire(text: string): void {
    if (this.#lastAcquire !== text) this.#around.note(this, text);
    this.#lastAcquire = text;
  }

  /** Delivers events of the kernel. */
  kernelEvents(events: readonly KernelEvent[]): void {
    for (const event of events) {
      if (event.type === "expire") this.#around.note(this, `kernel: ${event.hard ? "hard" : "soft"} expire of ${saName(event.sa)}`);
      else if (event.type === "unknown-spis") this.#around.note(this, `kernel: ${event.packets} packets with unknown SPIs`);
      else if (event.type === "policy-gone") this.#around.note(this, "kernel: a policy is gone");
      else if (event.type === "policy-changed") this.#around.note(this, "kernel: a policy was changed");
      else if (event.type === "mapping")
        this.#around.note(this, `kernel: ${saName(event.sa)} is heard from ${event.from.address}:${event.from.port}`);
      else this.#noteAcquire(`kernel: acquire for ${event.source} -> ${event.destination}`);
      this.input({ type: "kernel-event", event });
    }
  }
}

/** What a record of a failure must say (interface.md §4). */
const EXPLAINED = ["peer", "failurePoint", "reason", "hint"] as const;
const FAILURES: ReadonlySet<SaEvent["event"]> = new Set(["ike.failed", "child.failed", "policy.failed", "packet.dropped"]);

const isFailure = ({ event, level }: SaEvent): boolean => FAILURES.has(event) || (event === "notify.received" && level === "warning");
