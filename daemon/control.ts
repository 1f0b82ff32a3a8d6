/**
 * The control socket: one JSON object a line each way (control-protocol.ts), one request at a time on a connection.
 * Who may use it is decided by the file (0660) and, where the system tells, by the peer's credentials as well.
 * Invariant: clients are bounded in number, line length and time, and a client that goes away stops nothing.
 */
import { chmodSync, chownSync, lstatSync, statSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { err, ok, type Result } from "../isakmp/result.ts";
import { groupOf as groupNamed } from "../policy/config.ts";
import { type Credentials, mayControl, peerCredentials } from "./control-peer.ts";
import { LONGEST_RULES, type Reply, type Request } from "./control-protocol.ts";
import { parseRequest } from "./control-request.ts";
import type { Native } from "./native.ts";

/** Where answers go. After `end` nothing more is sent; once the client is gone all of it is dropped. */
export interface Answer {
  send(reply: Reply): void;
  /** Undefined where the system does not tell. */
  readonly client: Credentials | undefined;
  /** Octets that the client has not taken yet. */
  backlog(): number;
  /** Called once when the client is gone; at once where it is already. */
  onGone(act: () => void): void;
}

export interface ControlOptions {
  readonly path: string;
  readonly onRequest: (request: Request, answer: Answer) => void;
  readonly native: Native | undefined;
  /** A socket that listens at `path` already: the service manager's, which outlives us. */
  readonly given?: number | undefined;
  readonly onRefused?: (why: string) => void;
  /** How long a client may take for its request, or to read an answer. */
  readonly patienceMs?: number;
}

export interface Control {
  /** Clients connected now. */
  readonly clients: number;
  /** Stops listening, lets answers under way go out (for a moment), tells who has not been heard that nothing was done, and removes the file. */
  close(): Promise<void>;
}

/** To a request that the daemon won't take up any more. */
export const UNHEARD: Extract<Reply, { type: "end" }> = {
  type: "end",
  exit: 69,
  text: "the daemon was about to end, and did nothing of this",
  reason: "stopped",
  hint: "start it, and try again",
  unheard: true,
};

const CLIENTS = 32;
/** Octets of a request: a name of 1024 characters, escaped, fits. */
const LONGEST_LINE = 8192;
/** Octets of a request that begins as one to add rules does: these with an escape for each line end and quote, and what stands round them. */
const LONGEST_ADD = 2 * LONGEST_RULES + LONGEST_LINE;
const ADD = Buffer.from('{"command":"rule","add":');
const PATIENCE_MS = 30_000;
/** How long the daemon's end waits for answers under way. */
const LAST_ANSWERS_MS = 500;
/** Octets of `sun_path` without its final zero. */
const PATH_OCTETS = 107;

/** Listens at `path`. A stale file of a daemon that is gone is replaced; a live one is an error, as is anything that is no socket. */
export async function serveControl(options: ControlOptions): Promise<Result<Control, string>> {
  // A longer one would be cut without a word, and the socket made somewhere else.
  const octets = Buffer.byteLength(options.path);
  if (octets > PATH_OCTETS) return err(`the path of the control socket has ${octets} octets; ${PATH_OCTETS} are possible`);
  const { given } = options;
  const free = given === undefined ? await makeRoom(options.path) : ok(undefined);
  if (!free.ok) return free;
  const open = new Map<Socket, Session>();
  // A client may end its side after the request (`echo … | nc -U`) and still get the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const session: Session = { heard: false, busy: false, ended: false, endless: false };
    open.set(socket, session);
    socket.on("close", () => open.delete(socket));
    if (open.size > CLIENTS) refuse(socket, { type: "end", exit: 1, text: "too many clients of the control socket", hint: "try again" });
    else serveClient(socket, session, options);
  });
  const listening = await (given === undefined ? listen(server, options.path) : listenOn(server, given));
  if (!listening.ok) return listening;
  const own = given === undefined ? lstatSync(options.path).ino : undefined;
  return ok({
    get clients() {
      return open.size;
    },
    close: () => closeServer(server, open, options.path, own),
  });
}

/** Whether a daemon answers at `path`. */
export const answersAt = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(path);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });

async function makeRoom(path: string): Promise<Result<undefined, string>> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return ok(undefined);
  if (!found.isSocket()) return err(`${path} exists and is no socket`);
  if (await answersAt(path)) return err(`another daemon answers at ${path}`);
  unlinkSync(path);
  return ok(undefined);
}

function listen(server: Server, path: string): Promise<Result<undefined, string>> {
  return new Promise((resolve) => {
    server.once("error", (error) => resolve(err(`control socket: ${error.message}`)));
    server.once("listening", () => {
      server.on("error", () => undefined);
      try {
        const group = process.geteuid?.() === 0 ? groupNamed("mainmode") : undefined;
        if (group !== undefined) chownSync(path, 0, group);
        chmodSync(path, 0o660);
        resolve(ok(undefined));
      } catch (error) {
        server.close();
        resolve(err(`control socket: ${error instanceof Error ? error.message : String(error)}`));
      }
    });
    // The file is made while `listen` runs: without the mask it would be open to all until chmod.
    const mask = process.umask(0o117);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
  });
}

/** On a socket that listens already. Its file, mode and group are its maker's. */
function listenOn(server: Server, fd: number): Promise<Result<undefined, string>> {
  return new Promise((resolve) => {
    server.once("error", (error) => resolve(err(`control socket from the service manager: ${error.message}`)));
    server.listen({ fd }, () => {
      server.on("error", () => undefined);
      resolve(ok(undefined));
    });
  });
}

function serveClient(socket: Socket, session: Session, options: ControlOptions): void {
  socket.on("error", () => socket.destroy());
  const client = peerCredentials(socket, options.native);
  if (client && !mayControl(client, process.geteuid?.() ?? 0, groupOf(options.path))) {
    options.onRefused?.(`uid ${client.uid}, process ${client.pid}: not root, not our user and not of the socket's group`);
    refuse(socket, {
      type: "end",
      exit: 77,
      text: "you may not control this daemon",
      hint: "run it as root or as a member of the socket's group",
    });
    return;
  }
  const reject = (text: string): void => {
    options.onRefused?.(text);
    refuse(socket, { type: "end", exit: 2, text });
  };
  const take = (line: string): void => {
    const request = session.busy ? err("a request while another one is under way") : parseRequest(line);
    if (!request.ok) return reject(request.error);
    session.endless = request.value.command === "subscribe";
    options.onRequest(request.value, answerTo(socket, session, client));
  };
  readLines(socket, take, (limit) => reject(`a line of more than ${limit} octets`));
  socket.on("end", () => {
    session.ended = true;
    if (!session.busy) socket.end();
  });
  watchPatience(socket, options.patienceMs ?? PATIENCE_MS, session);
}

interface Session {
  /** It has asked something. */
  heard: boolean;
  /** A request is under way. */
  busy: boolean;
  /** The client will send nothing more, or nothing more will be taken from it. */
  ended: boolean;
  /** Its answer has no end. */
  endless: boolean;
}

function answerTo(socket: Socket, session: Session, client: Credentials | undefined): Answer {
  let done = false;
  session.heard = true;
  session.busy = true;
  return {
    client,
    backlog: () => socket.writableLength,
    onGone: (act) => (socket.destroyed ? act() : void socket.once("close", act)),
    send: (reply) => {
      if (done || !socket.writable) return;
      socket.write(`${JSON.stringify(reply)}\n`);
      if (reply.type !== "end") return;
      done = true;
      session.busy = false;
      if (session.ended) socket.end();
    },
  };
}

/** A client may wait for its answer as long as it likes, but not sit idle, and not leave an answer unread. */
function watchPatience(socket: Socket, patienceMs: number, session: Session): void {
  socket.setTimeout(patienceMs, () => {
    if (!session.busy || socket.writableLength > 0) socket.destroy();
    else socket.setTimeout(patienceMs);
  });
}

function readLines(socket: Socket, onLine: (line: string) => void, onTooLong: (limit: number) => void): void {
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    length += part.length;
    // What comes in single octets must not cost more than its octets.
    if (parts.length > MOST_PARTS) parts = [Buffer.concat(parts)];
  };
  const limitNow = (): number => {
    if (length <= LONGEST_LINE) return LONGEST_LINE;
    if ((parts[0]?.length ?? 0) < ADD.length) parts = [Buffer.concat(parts)];
    return parts[0]?.subarray(0, ADD.length).equals(ADD) ? LONGEST_ADD : LONGEST_LINE;
  };
  socket.on("data", (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0 && socket.writable; end = chunk.indexOf(LINE_FEED, start)) {
      add(chunk.subarray(start, end));
      start = end + 1;
      const limit = limitNow();
      if (length > limit) onTooLong(limit);
      else if (length > 0) onLine(Buffer.concat(parts).toString("utf8"));
      [parts, length] = [[], 0];
    }
    if (!socket.writable) return;
    if (start < chunk.length) add(chunk.subarray(start));
    const limit = limitNow();
    if (length > limit) onTooLong(limit);
    if (!socket.writable || length > limit) [parts, length] = [[], 0];
  });
}

const MOST_PARTS = 1024;

const LINE_FEED = 0x0a;

/** Says why, ends the connection, and reads nothing more. */
function refuse(socket: Socket, reply: Reply): void {
  socket.on("error", () => socket.destroy());
  socket.removeAllListeners("data");
  if (!socket.writable) return;
  socket.end(`${JSON.stringify(reply)}\n`);
  // Unread octets would make the close a reset, which could overtake the answer.
  socket.resume();
  socket.setTimeout(1000, () => socket.destroy());
}

function groupOf(path: string): number | undefined {
  try {
    return statSync(path).gid;
  } catch {
    return undefined;
  }
}

async function closeServer(server: Server, open: ReadonlyMap<Socket, Session>, path: string, own: number | undefined): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const [socket, session] of open)
    if (!session.heard) refuse(socket, UNHEARD);
    else if (session.busy && !session.endless) session.ended = true;
    else socket.end();
  const timer = setTimeout(() => {
    for (const socket of open.keys()) socket.destroy();
  }, LAST_ANSWERS_MS);
  await closed;
  clearTimeout(timer);
  // Node removes the file when it stops listening; what is there now may be a successor's.
  if (own !== undefined && lstatSync(path, { throwIfNoEntry: false })?.ino === own) unlinkSync(path);
}
