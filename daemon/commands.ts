/**
 * Between the control socket and the core: requests become commands with an id, replies find their way back.
 * A client that is gone stops nothing: negotiation goes on and its answers are dropped.
 */
import type { ReplyLine } from "../ike/effect.ts";
import type { Command, Input } from "../ike/input.ts";
import type { Kernel } from "../kernel/port.ts";
import { splitRules } from "../policy/run-time.ts";
import type { LiveView } from "../sa-store/live-view.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import { type Answer, UNHEARD } from "./control.ts";
import type { AboutDocument, Request, SnapshotDocument, StatsDocument } from "./control-protocol.ts";
import type { Feed } from "./feed.ts";
import type { Log } from "./log.ts";
import { answerPolicy, refusalLines, type Situation } from "./policy-commands.ts";
import type { PolicySource } from "./policy-source.ts";
import { prometheusText } from "./stats-document.ts";
import { type Counters, withCounters } from "./status.ts";
import { serveSubscription } from "./subscriptions.ts";
import type { Tracing } from "./tracing.ts";

export interface CommandParts {
  readonly push: (input: Input) => void;
  readonly view: () => StatusDocument;
  readonly counters: Kernel["counters"];
  /** Reads the configuration again. */
  readonly reload: () => Promise<Reloaded>;
  /** Rules that come and go at run time. */
  readonly rules: Pick<PolicySource, "addRules" | "deleteRule">;
  /** Why nothing can be handed over to a next start; undefined where it can. */
  readonly cannotKeep: () => string | undefined;
  /** The stop that follows hands over to a next start. */
  readonly handingOver: () => void;
  /** Whether a full stop leaves the policies of `require` rules. */
  readonly onStop: () => "remove" | "keep";
  readonly log: Log;
  readonly situation: () => Situation;
  readonly feed: Feed;
  readonly live: () => LiveView;
  readonly tracing: Tracing;
  readonly about: () => AboutDocument;
  /** Every statistic; `status` has the kernel's counters in it. */
  readonly stats: (status: StatusDocument, counters: Counters) => StatsDocument;
  /** How long the kernel may take to tell its counters. */
  readonly patienceMs?: number;
}

/** What came of reading the configuration again. */
export interface Reloaded {
  readonly exit: number;
  /** Errors and warnings of the file, then what changed. */
  readonly lines: readonly string[];
  readonly text: string;
  /** The next thing to try, where that is not what it mostly is. */
  readonly hint?: string;
}

/** For commands that nobody waits for. */
export const NOBODY: Answer = { client: undefined, send: () => {}, backlog: () => 0, onGone: () => {} };

const PATIENCE_MS = 5000;

/** What a daemon that is ending does not begin any more. */
const CHANGES: ReadonlySet<Request["command"]> = new Set(["initiate", "terminate", "reload", "rule"]);

export class Commands {
  readonly #parts: CommandParts;
  readonly #waiting = new Map<number, { readonly answer: Answer; readonly command: Command }>();
  /** Requests that wait until the daemon has taken over what the last run left, or until its end, when whoever comes after it may be asked. */
  readonly #held = new Set<{ readonly request: Request; readonly answer: Answer }>();
  #lastId = 0;
  #phase: "starting" | "open" | "stopping" | "finished" = "open";

  constructor(parts: CommandParts) {
    this.#parts = parts;
  }

  /** Takes a request from the control socket. */
  take(request: Request, answer: Answer): void {
    if (this.#phase === "finished") {
      answer.send(UNHEARD);
      return;
    }
    if (this.#phase === "starting" || (this.#phase === "stopping" && CHANGES.has(request.command))) {
      const held = { request, answer };
      this.#held.add(held);
      answer.onGone(() => this.#held.delete(held));
      return;
    }
    if (request.command === "status") {
      void this.#status(answer);
      return;
    }
    if (request.command === "why" || request.command === "policy" || request.command === "export") {
      for (const reply of answerPolicy(request, this.#parts.situation(), this.#parts.view())) answer.send(reply);
      return;
    }
    if (request.command === "stats") {
      void this.#stats(request.form, answer);
      return;
    }
    if (request.command === "subscribe") {
      serveSubscription(request, answer, { feed: this.#parts.feed, snapshot: () => this.snapshot() });
      return;
    }
    if (request.command === "trace" || request.command === "last-failure") {
      this.#parts.tracing.answer(request, answer);
      return;
    }
    if (request.command === "report") {
      answer.send({ type: "report", about: this.#parts.about(), failures: this.#parts.tracing.failures() });
      answer.send({ type: "end", exit: 0 });
      return;
    }
    this.#logCommand(request, answer);
    if (request.command === "reload") {
      void this.#reload(answer, () => this.#parts.reload());
      return;
    }
    if (request.command === "rule") {
      const { rules } = this.#parts;
      void this.#reload(answer, async () => ("add" in request ? rules.addRules(request.add) : rules.deleteRule(request.delete)));
      return;
    }
    const why = request.command === "shutdown" && request.keep ? this.#parts.cannotKeep() : undefined;
    if (why !== undefined) {
      const hint = "shutdown without --keep is a full stop";
      answer.send({ type: "end", exit: 1, text: `nothing can be handed over: ${why}`, reason: "no-journal", hint });
      return;
    }
    this.run(commandOf(request, this.#parts.onStop()), answer);
  }

  /** Requests wait from now on: nobody is to hear that there is nothing while the SAs of the last run are being taken over. */
  hold(): void {
    this.#phase = "starting";
  }

  /** The daemon serves: what waited is taken, and all that comes. */
  open(): void {
    if (this.#phase !== "starting") return;
    this.#phase = "open";
    const held = [...this.#held];
    this.#held.clear();
    for (const { request, answer } of held) this.take(request, answer);
  }

  /** Everything that a monitor shows. */
  async snapshot(): Promise<SnapshotDocument> {
    const counters = await this.#counters();
    const { view, live, stats } = this.#parts;
    const status = withCounters(view(), counters);
    return { time: new Date().toISOString(), status, live: live(), stats: stats(status, counters) };
  }

  async #stats(form: "document" | "prometheus", answer: Answer): Promise<void> {
    try {
      const { stats } = await this.snapshot();
      if (form === "document") answer.send({ type: "stats", stats });
      else for (const text of prometheusText(stats).trimEnd().split("\n")) answer.send({ type: "line", text });
      answer.send({ type: "end", exit: 0 });
    } catch (error) {
      this.#bug("stats", error, answer);
    }
  }

  async #reload(answer: Answer, reload: () => Promise<Reloaded>): Promise<void> {
    try {
      this.#sayReloaded(answer, await reload());
    } catch (error) {
      this.#bug("reload", error, answer);
    }
  }

  #sayReloaded(answer: Answer, { exit, lines, text, hint }: Reloaded): void {
    for (const line of [...lines, ...(exit === 0 ? refusalLines(this.#parts.view()) : [])]) answer.send({ type: "line", text: line });
    const failed =
      exit === 78
        ? { reason: "configuration", hint: "`mainmode check FILE` says the same without a daemon" }
        : { reason: "refused", hint: "`mainmode policy show` tells which rules there are, and from where" };
    answer.send({ type: "end", exit, text, ...(exit === 0 ? {} : { ...failed, ...(hint === undefined ? {} : { hint }) }) });
  }

  /** Hands a command to the core. */
  run(command: Command, answer: Answer): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, { answer, command });
    if (command.name === "shutdown") this.#phase = "stopping";
    if (command.name === "shutdown" && command.keep) this.#parts.handingOver();
    this.#parts.push({ type: "command", id, command });
  }

  /** An effect `reply` of the core. */
  reply(id: number, line: ReplyLine, last: boolean): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    const { text, exit = 0, reason, hint } = line;
    if (!last) {
      waiting.answer.send({ type: "line", text });
      return;
    }
    this.#waiting.delete(id);
    waiting.answer.send({ type: "end", exit, text, ...(reason === undefined ? {} : { reason }), ...(hint === undefined ? {} : { hint }) });
  }

  /** The daemon ends: whoever asked for that is done, everybody else is told; of what was held nothing was done. */
  finish(): void {
    this.#phase = "finished";
    for (const { answer } of this.#held) answer.send(UNHEARD);
    this.#held.clear();
    for (const { answer, command } of this.#waiting.values())
      answer.send(
        command.name === "shutdown"
          ? { type: "end", exit: 0, text: "stopped" }
          : { type: "end", exit: 1, text: "the daemon was stopped", reason: "stopped", hint: "start it, and try again" },
      );
    this.#waiting.clear();
    this.#parts.tracing.finish();
  }

  async #status(answer: Answer): Promise<void> {
    const counters = await this.#counters();
    try {
      answer.send({ type: "status", status: withCounters(this.#parts.view(), counters) });
      answer.send({ type: "end", exit: 0 });
    } catch (error) {
      this.#bug("status", error, answer);
    }
  }

  #bug(what: string, error: unknown, answer: Answer): void {
    this.#parts.log({ event: "bug", level: "error", text: `bug while answering ${what}: ${String(error)}`, reason: "bug" });
    const hint = "its log has the details; please report them";
    answer.send({ type: "end", exit: 1, text: "the daemon met a bug", reason: "bug", hint });
  }

  /** A kernel that can't tell leaves zeros: the SA tables are worth showing without them. */
  async #counters(): ReturnType<Kernel["counters"]> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("no answer in time")), this.#parts.patienceMs ?? PATIENCE_MS);
    });
    try {
      return await Promise.race([this.#parts.counters(), patience]);
    } catch (error) {
      this.#parts.log({
        event: "svc.failed",
        level: "warning",
        text: `the kernel does not tell its SA counters: ${String(error)}`,
        ...{ failurePoint: "me", reason: "no-counters", hint: "try `ip -s xfrm state`; what it says is what is missing here" },
      });
      return new Map();
    } finally {
      clearTimeout(timer);
    }
  }

  #logCommand(request: Request, { client }: Answer): void {
    const who = client ? `uid ${client.uid}, process ${client.pid}` : "the control socket";
    const added = request.command === "rule" && "add" in request ? namesIn(request.add) : undefined;
    const { command, ...members } = added ? { command: "rule", ...added } : request;
    const [rule, another] = added?.add ?? namedBy(request);
    const about = rule === undefined || another !== undefined ? {} : { rule };
    this.#parts.log({ event: "svc.command", level: "info", text: `${command} ${JSON.stringify(members)} asked for by ${who}`, ...about });
  }
}

const MOST_NAMES = 20;

/** What the log tells of rules that somebody adds: their names, and nothing that stands in them. */
function namesIn(text: string): { readonly add: readonly string[]; readonly more?: number } {
  const split = splitRules(text);
  const names = split.ok ? [...split.value.keys()] : [];
  const add = names.slice(0, MOST_NAMES).map((name) => name.slice(0, LONGEST_NAME));
  return names.length > MOST_NAMES ? { add, more: names.length - MOST_NAMES } : { add };
}

const LONGEST_NAME = 64;

const namedBy = (request: Request): readonly string[] =>
  request.command === "initiate" ? [request.rule] : request.command === "rule" && "delete" in request ? [request.delete] : [];

/** The core's command for a request; the others are answered by the daemon. */
function commandOf(
  request: Exclude<
    Request,
    { command: "status" | "reload" | "rule" | "why" | "policy" | "export" | "subscribe" | "stats" | "trace" | "last-failure" | "report" }
  >,
  policies: "remove" | "keep",
): Command {
  switch (request.command) {
    case "initiate":
      return { name: "initiate", rule: request.rule, peer: request.peer, waitSeconds: request.wait };
    case "terminate":
      return { name: "terminate", target: request.target };
    case "shutdown":
      return { name: "shutdown", keep: request.keep, policies };
  }
}
