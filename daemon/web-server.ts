/**
 * The web monitor over HTTP: read-only pages and documents on a loopback address, and a stream of events (server-sent events).
 * Invariant: GET only; requests that name another host, or that another site's page makes, are refused (DNS rebinding); clients are bounded in
 * number, header size, time and unread octets; what is served can run no script but our own.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { formatEndpoint } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Listen } from "../policy/listen.ts";
import { isOwnHost } from "./metrics-server.ts";

/** What is served at a path; undefined: nothing is there. */
export interface WebContent {
  readonly type: string;
  readonly body: string | Uint8Array;
}

/** Takes what is to be streamed: a name and its document. The answer of `follow` ends it. */
export type WebStream = (event: string, document: unknown) => void;

export interface WebSource {
  readonly get: (path: string) => Promise<WebContent | undefined>;
  readonly follow: (tell: WebStream) => () => void;
}

export interface WebServer {
  readonly port: number;
  close(): Promise<void>;
}

const [CLIENTS, STREAMS] = [64, 16];
const PATIENCE_MS = 10_000;
/** Octets that may wait for a client before events are left out. */
const BACKLOG = 1 << 20;
/** So that a client that is gone is noticed. */
const HEARTBEAT_MS = 15_000;

/** No script, style, picture or connection but from here; no frames, no forms. A picture may style itself. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

const HEADERS = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
} as const;

/** Listens; port 0 takes a free one. The error says why it can't. */
export function serveWeb({ address, port }: Listen, source: WebSource): Promise<Result<WebServer, string>> {
  const streams = new Set<ServerResponse>();
  const limits = { requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS, maxHeaderSize: 8192 };
  const server = createServer(limits, (request, response) => {
    answer(request, response, source, streams).catch(() => response.destroy());
  });
  server.maxConnections = CLIENTS;
  return new Promise((resolve) => {
    server.once("error", (error) => resolve(err(`web monitor on ${formatEndpoint(address, port)}: ${error.message}`)));
    server.listen(port, address, () => {
      server.on("error", () => undefined);
      const bound = server.address();
      resolve(ok({ port: typeof bound === "object" && bound ? bound.port : port, close: () => close(server) }));
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((closed) => {
    server.close(() => closed());
    server.closeAllConnections();
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, source: WebSource, streams: Set<ServerResponse>): Promise<void> {
  const refuse = (status: number, why: string): void => {
    response.writeHead(status, { ...HEADERS, "content-type": "text/plain; charset=utf-8", connection: "close" }).end(`${why}\n`);
  };
  if (!isOwnHost(request.headers.host)) return refuse(403, "ask by a loopback address or localhost");
  if (isForeign(request)) return refuse(403, "this is not for pages of other sites");
  if (request.method !== "GET") return refuse(405, "only GET");
  const [path = "/"] = (request.url ?? "/").split("?");
  if (path === "/api/events") {
    if (streams.size >= STREAMS) return refuse(503, "too many pages follow already");
    return stream(request, response, source, streams);
  }
  const content = await source.get(path);
  if (!content) return refuse(404, "there is no such thing here");
  const policy = content.type.startsWith("image/svg") ? PICTURE_POLICY : PAGE_POLICY;
  response.writeHead(200, { ...HEADERS, "content-type": content.type, "content-security-policy": policy }).end(content.body);
}

/** A page of another site asks, as its browser says. Following a link to the monitor is no such thing. */
const isForeign = ({ headers }: IncomingMessage): boolean =>
  headers["sec-fetch-site"] !== undefined &&
  !["same-origin", "none"].includes(String(headers["sec-fetch-site"])) &&
  headers["sec-fetch-mode"] !== "navigate";

function stream(request: IncomingMessage, response: ServerResponse, source: WebSource, streams: Set<ServerResponse>): void {
  response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream; charset=utf-8", "content-security-policy": PAGE_POLICY });
  response.write("retry: 2000\n\n");
  streams.add(response);
  let lost = 0;
  const tell: WebStream = (event, document) => {
    if (response.writableLength > BACKLOG) {
      lost++;
      return;
    }
    if (lost > 0) response.write(`event: lost\ndata: ${lost}\n\n`);
    lost = 0;
    // JSON has no line end of its own: one line of data is one document.
    response.write(`event: ${event}\ndata: ${JSON.stringify(document)}\n\n`);
  };
  const stop = source.follow(tell);
  const beat = setInterval(() => response.write(":\n\n"), HEARTBEAT_MS);
  request.on("close", () => {
    clearInterval(beat);
    stop();
    streams.delete(response);
  });
}
