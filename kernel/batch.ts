/**
 * One long-lived `ip -s -force -batch -` that carries out groups of commands strictly one after the other.
 *
 * `ip` ends at the first xfrm command that the kernel refuses (-force only forgives commands it does not know), and the lines after it are
 * lost. Therefore each command is followed by a line that is no command: "Command failed -:LINE" on stderr says that the command before
 * it succeeded, without a question to the kernel. An end of the child is the refusal of the first command not yet confirmed;
 * everything after it was not carried out, and goes to the next child.
 *
 * Invariant: a line is rendered when its group is queued and wiped when it is settled, so that the caller may destroy its keys at once.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { KernelCommand, KernelRefusal, SaCounters } from "../ike/kernel-contract.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { CHILD_ENVIRONMENT, type Ending, endingOf, maskKeys, reasonOf, saysExists, saysGone, startFailure } from "./ip-text.ts";
import { type LineReader, lineReader } from "./lines.ts";
import { commandLine, describeCommand, saName } from "./xfrm-args.ts";
import { type StateRecord, type XfrmStates, xfrmStates } from "./xfrm-state.ts";

export interface BatchOptions {
  /** The `ip` program: a name or a path. */
  readonly ip: string;
  readonly onDiagnostic: (text: string) => void;
  /** Commands that may wait; a group that would exceed it is refused. */
  readonly queueLimit: number;
  /** Silence of the child, in milliseconds, after which it is taken for stuck and ended. */
  readonly patience: number;
}

export interface Batch {
  /** As `Kernel.run`. The keys are copied before it returns. */
  run(commands: readonly KernelCommand[]): Promise<Outcome>;
  /** Carries out what is queued, then ends the child. Later groups are refused. */
  close(): Promise<void>;
}

/** Commands sent ahead of their confirmation: enough to keep the child busy, few enough to send again cheaply. */
const WINDOW = 256;
/** No object of `ip` begins like this. */
const BARRIER = new TextEncoder().encode("barrier\n");

interface Group {
  readonly commands: readonly KernelCommand[];
  /** One for each command, barrier included. Wiped one by one. */
  readonly lines: readonly Uint8Array[];
  readonly counters: SaCounters[];
  readonly settle: (result: Outcome) => void;
  /** Commands given to the present child, and commands carried out. */
  sent: number;
  done: number;
  next: Group | undefined;
}

type Outcome = Result<readonly SaCounters[], KernelRefusal>;

interface Child {
  readonly process: ChildProcessWithoutNullStreams;
  readonly states: XfrmStates;
  readonly stderr: LineReader;
  /** Fires when the child was silent for too long. */
  readonly timer: NodeJS.Timeout;
  /** Commands sent and barriers seen; the barrier of its nth command stands in line 2n. */
  sent: number;
  confirmed: number;
  /** Of the confirmed ones, those whose group does not know it yet: a `read-sa` waits for its answer on the other pipe. */
  unsettled: number;
  readonly answers: StateRecord[];
  /** What it said since the last barrier; bounded. */
  complaint: string[];
  /** Why we ended it; what it says from then on does not count. */
  broken: string | undefined;
}

/** A runner; its child starts with the first group. */
export function batchRunner(options: BatchOptions): Batch {
  return new Runner(options);
}

class Runner implements Batch {
  readonly #options: BatchOptions;
  #child: Child | undefined;
  /** Groups that wait or run, as a list: the one that runs, the one to send from, the newest. */
  #head: Group | undefined;
  #sending: Group | undefined;
  #tail: Group | undefined;
  #queued = 0;
  #closing = false;
  readonly #closed: (() => void)[] = [];

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  run(commands: readonly KernelCommand[]): Promise<Outcome> {
    const [first] = commands;
    if (!first) return Promise.resolve(ok([]));
    const reason = this.#closing ? "the connection to the kernel is closed" : this.#full(commands.length);
    if (reason) return Promise.resolve(err({ index: 0, reason, exists: false, command: describeCommand(first) }));
    const lines = commands.map(withBarrier);
    return new Promise((settle) => {
      const group: Group = { commands, lines, counters: [], settle, sent: 0, done: 0, next: undefined };
      if (this.#tail) this.#tail.next = group;
      this.#head ??= group;
      this.#sending ??= group;
      this.#tail = group;
      this.#queued += commands.length;
      this.#pump();
    });
  }

  close(): Promise<void> {
    this.#closing = true;
    return new Promise((resolve) => {
      this.#closed.push(resolve);
      this.#endIfIdle();
    });
  }

  #full(more: number): string | undefined {
    if (this.#queued + more <= this.#options.queueLimit) return undefined;
    return `${this.#queued} commands wait for the kernel already`;
  }

  /** Sends what the window allows, starting a child where there is none. */
  #pump(): void {
    if (!this.#sending) return;
    this.#child ??= this.#start();
    const child = this.#child;
    if (!child) return;
    const { stdin } = child.process;
    stdin.cork();
    for (let group: Group | undefined = this.#sending; group && child.sent - child.confirmed < WINDOW; group = this.#sending) {
      stdin.write(group.lines[group.sent++] as Uint8Array);
      child.sent++;
      if (group.sent === group.lines.length) this.#sending = group.next;
    }
    stdin.uncork();
    child.timer.refresh();
  }

  #start(): Child | undefined {
    const { ip, patience } = this.#options;
    try {
      const process = spawn(ip, ["-s", "-force", "-batch", "-"], { stdio: "pipe", env: CHILD_ENVIRONMENT });
      process.on("error", (error) => this.#failed(child, startFailure(ip, error)));
      const timer = setTimeout(() => this.#stuck(child), patience);
      const child: Child = {
        ...{ process, states: xfrmStates(), stderr: lineReader(), timer },
        ...{ sent: 0, confirmed: 0, unsettled: 0, answers: [], complaint: [], broken: undefined },
      };
      process.stdin.on("error", () => {}); // how the child ended tells more
      process.stdout.on("data", (chunk: Uint8Array) => this.#answered(child, chunk));
      process.stderr.on("data", (chunk: Uint8Array) => this.#complained(child, chunk));
      process.on("close", (code, signal) => this.#ended(child, { code, signal }));
      return child;
    } catch (error) {
      this.#refuseAll(startFailure(ip, error as Error));
      return undefined;
    }
  }

  #answered(child: Child, chunk: Uint8Array): void {
    child.answers.push(...child.states.push(chunk));
    this.#settle(child);
  }

  #complained(child: Child, chunk: Uint8Array): void {
    for (const line of child.stderr.push(chunk)) this.#heard(child, line);
    this.#pump();
  }

  /** One line of stderr: a barrier, or a complaint about the command after the last one. */
  #heard(child: Child, line: string): void {
    if (child.broken) return;
    const barrier = /^Command failed -:(\d+)$/.exec(line);
    if (!barrier) {
      if (!line.startsWith('Object "barrier" is unknown') && child.complaint.length < 20) child.complaint.push(line);
      return;
    }
    if (Number(barrier[1]) !== 2 * (child.confirmed + 1)) {
      this.#breakOff(child, `ip is out of step: "${line}"`);
      return;
    }
    if (child.complaint.length > 0) this.#options.onDiagnostic(`ip: ${maskKeys(child.complaint.join("; "))}`);
    child.complaint = [];
    child.confirmed++;
    child.unsettled++;
    this.#settle(child);
  }

  /** Tells the groups what was confirmed. */
  #settle(child: Child): void {
    for (let group = this.#head; group && child.unsettled > 0 && !child.broken; group = this.#head) {
      const command = group.commands[group.done];
      if (command?.do === "read-sa") {
        const answer = child.answers.shift();
        if (!answer) return;
        if (saName(answer.sa) !== saName(command.sa)) {
          this.#breakOff(child, `ip is out of step: it answered about ${saName(answer.sa)}`);
          return;
        }
        group.counters.push(answer.counters);
      }
      child.unsettled--;
      this.#carriedOut(group);
    }
    this.#endIfIdle();
  }

  #carriedOut(group: Group): void {
    group.lines[group.done++]?.fill(0);
    this.#queued--;
    if (group.done === group.commands.length) this.#finish(group, ok(group.counters));
  }

  #finish(group: Group, outcome: Outcome): void {
    for (const line of group.lines) line.fill(0);
    this.#queued -= group.commands.length - group.done;
    this.#head = group.next;
    if (!this.#head) this.#tail = undefined;
    if (this.#sending === group) this.#sending = group.next;
    group.settle(outcome);
  }

  /** What this child still does can't be known: the running command is refused, the others go to the next child. */
  #breakOff(child: Child, why: string): void {
    child.broken ??= why;
    child.process.kill("SIGKILL");
  }

  /** An idle child may be silent for ever. */
  #stuck(child: Child): void {
    if (this.#head || this.#closing) this.#breakOff(child, `ip gave no answer for ${this.#options.patience} ms`);
  }

  /** Everything that the child said has been read. */
  #ended(child: Child, ending: Ending): void {
    clearTimeout(child.timer);
    if (this.#child !== child) return;
    this.#child = undefined;
    const group = child.sent - child.confirmed + child.unsettled > 0 ? this.#head : undefined;
    if (group) this.#blame(group, child, ending);
    else if (!this.#closing) this.#options.onDiagnostic(`idle ip ${endingOf(ending)}; the next command starts another`);
    for (let g = this.#head; g && g.sent > 0; g = g.next) g.sent = g.done;
    this.#sending = this.#head;
    this.#pump();
    this.#endIfIdle();
  }

  /** The first command without a barrier is the one that ended the child. What was to be removed and is not there is removed. */
  #blame(group: Group, child: Child, ending: Ending): void {
    const command = group.commands[group.done] as KernelCommand;
    const removes = command.do === "remove-sa" || command.do === "remove-policy";
    if (removes && !child.broken && saysGone(child.complaint)) {
      this.#carriedOut(group);
      return;
    }
    const reason = child.broken ?? reasonOf(child.complaint, ending);
    const exists = !child.broken && saysExists(child.complaint);
    this.#finish(group, err({ index: group.done, reason, exists, command: describeCommand(command) }));
  }

  /** The child could not be started; there is no point in trying once more for each group. */
  #failed(child: Child, reason: string): void {
    clearTimeout(child.timer);
    if (this.#child !== child) return;
    if (child.process.pid !== undefined) {
      this.#options.onDiagnostic(reason);
      return;
    }
    this.#child = undefined;
    this.#refuseAll(reason);
  }

  #refuseAll(reason: string): void {
    for (let group = this.#head; group; group = this.#head) {
      const command = describeCommand(group.commands[group.done] as KernelCommand);
      this.#finish(group, err({ index: group.done, reason, exists: false, command }));
    }
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (!this.#closing || this.#head) return;
    if (this.#child) this.#child.process.stdin.end();
    else for (const resolve of this.#closed.splice(0)) resolve();
  }
}

/** A command's line and the barrier after it, in one piece. */
function withBarrier(command: KernelCommand): Uint8Array {
  const line = commandLine(command);
  const both = new Uint8Array(line.length + BARRIER.length);
  both.set(line);
  both.set(BARRIER, line.length);
  line.fill(0);
  return both;
}
