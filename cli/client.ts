/**
 * Asks the daemon over its control socket: one request, its lines as they come, and how it ended.
 */
import { connect, type Socket } from "node:net";
import type { Reply, Request } from "../daemon/control-protocol.ts";
import { EXIT, Failure } from "./exit.ts";

export type End = Extract<Reply, { type: "end" }>;
export type Status = Extract<Reply, { type: "status" }>["status"];

export type Stats = Extract<Reply, { type: "stats" }>["stats"];
export type Update = Extract<Reply, { type: "update" }>;
export type Document = Extract<Reply, { type: "document" }>["document"];

export interface AskOptions {
  readonly path: string;
  readonly request: Request;
  readonly onLine?: (text: string) => void;
  readonly onStatus?: (status: Status) => void;
  readonly onStats?: (stats: Stats) => void;
  readonly onDocument?: (document: Document) => void;
  /** What `subscribe` tells. */
  readonly onUpdate?: (update: Update) => void;
  /** What `trace`, `last-failure` and `report` tell. */
  readonly onOther?: (reply: Extract<Reply, { type: "trace" | "lost" | "failure" | "report" }>) => void;
  /** Without its end for that long the command ends with `impatience`; null: never. */
  readonly patienceSeconds?: number | null;
  readonly impatience?: Failure;
  /** Ends the asking, as if the daemon had ended it. */
  readonly signal?: AbortSignal;
  /** Ends it from here; it then resolves with exit code 0. */
  readonly enough?: AbortSignal;
}

export const DEFAULT_CONTROL = "/run/mainmode/control.sock";

/** Where the daemon listens: the option, else the environment, else the default. */
export const controlPath = (option: string | undefined): string => option ?? (process.env["MAINMODE_CONTROL"] || DEFAULT_CONTROL);

/** A daemon that is about to end does nothing any more; where a service manager holds the socket, the next one answers. */
const ATTEMPTS = 3;

/** Nothing came of the request, and it may be made again. */
class Cut extends Failure {}

/** Requests that change nothing: who gets no answer may ask again. */
const QUESTIONS: ReadonlySet<Request["command"]> = new Set(["status", "stats", "why", "policy", "export", "report", "last-failure"]);

/**
 * Resolves with the daemon's last word. Fails with 69 where it can't be reached or goes away, with 77 where it may not be asked.
 * A request of which a daemon that was ending did nothing is made again, but for a shutdown: that would start the next one in order to stop it.
 */
export async function ask(options: AskOptions): Promise<End> {
  const attempts = options.request.command === "shutdown" ? 1 : ATTEMPTS;
  let first: Failure | undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      const end = await askOnce(options);
      if (!end.unheard || attempt === attempts) return end;
    } catch (error) {
      // What happened first tells more than that nobody was there afterwards.
      if (!(error instanceof Cut) || attempt === attempts) throw first ?? error;
      first = error;
    }
  }
}

function askOnce(options: AskOptions): Promise<End> {
  const {
    path,
    request,
    patienceSeconds = 30,
    impatience = new Failure(EXIT.unreachable, `the daemon at ${path} does not answer`),
  } = options;
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answered = false;
    const finish = (act: () => void): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => {});
      socket.destroy();
      act();
    };
    const timer = patienceSeconds === null ? undefined : setTimeout(() => finish(() => reject(impatience)), patienceSeconds * 1000);
    const leave = (): void => finish(() => resolve({ type: "end", exit: EXIT.done }));
    for (const signal of [options.enough, options.signal])
      if (signal?.aborted) leave();
      else signal?.addEventListener("abort", leave, { once: true });
    const gone = (unread: boolean): void => {
      const Kind = !answered && (unread || QUESTIONS.has(request.command)) ? Cut : Failure;
      finish(() => reject(new Kind(EXIT.unreachable, `the daemon at ${path} went away before it answered`, LOOK)));
    };
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    // A local socket says so where the other end has gone without reading what was sent: then nothing was done.
    socket.on("error", (error: NodeJS.ErrnoException) =>
      UNREAD.has(error.code) ? gone(true) : finish(() => reject(connectFailure(path, error))),
    );
    socket.on("close", () => gone(false));
    onReplies(socket, (reply) => {
      answered = true;
      if (reply === undefined) finish(() => reject(new Failure(EXIT.unreachable, `what answers at ${path} is no mainmode daemon`)));
      else if (reply.type === "line") options.onLine?.(reply.text);
      else if (reply.type === "status") options.onStatus?.(reply.status);
      else if (reply.type === "document") options.onDocument?.(reply.document);
      else if (reply.type === "stats") options.onStats?.(reply.stats);
      else if (reply.type === "update") options.onUpdate?.(reply);
      else if (reply.type === "end") finish(() => resolve(reply));
      else options.onOther?.(reply);
    });
  });
}

const UNREAD: ReadonlySet<string | undefined> = new Set(["EPIPE", "ECONNRESET"]);
const LOOK = "look at its log: journalctl -u mainmode";

function connectFailure(path: string, error: NodeJS.ErrnoException): Failure {
  if (error.code === "EACCES" || error.code === "EPERM")
    return new Failure(
      EXIT.notPermitted,
      `you may not use the control socket ${path}`,
      "run this as root or as a member of the socket's group",
    );
  const what = { ENOENT: "there is no such socket", ECONNREFUSED: "nobody listens there" }[error.code ?? ""] ?? error.message;
  return new Failure(
    EXIT.unreachable,
    `no daemon at ${path}: ${what}`,
    "start it (systemctl start mainmode), or name its socket with --control",
  );
}

/** Cuts what comes into lines; undefined stands for a line that is no reply. */
function onReplies(socket: Socket, take: (reply: Reply | undefined) => void): void {
  const parts: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      take(parseReply(Buffer.concat(parts.splice(0)).toString("utf8")));
      start = end + 1;
    }
    parts.push(chunk.subarray(start));
  });
}

function parseReply(line: string): Reply | undefined {
  try {
    const reply = JSON.parse(line) as Partial<Reply> | null;
    return TYPES.has(reply?.type) ? (reply as Reply) : undefined;
  } catch {
    return undefined;
  }
}

const TYPES: ReadonlySet<string | undefined> = new Set<Reply["type"]>([
  ...(["line", "status", "stats", "document", "update", "trace", "lost", "failure", "report", "end"] as const),
]);
