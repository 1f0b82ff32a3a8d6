/**
 * The statistics over HTTP, for a Prometheus on this machine: GET /metrics on a loopback address, and nothing else.
 * Invariant: bounded in clients and time; a page in a browser that points its own name at 127.0.0.1 is refused by its Host header.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { canonicalAddress, formatEndpoint } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Listen } from "../policy/listen.ts";

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

const CLIENTS = 16;
const PATIENCE_MS = 10_000;
const TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Serves what `text` gives for each request. Port 0 takes a free one. */
export function serveMetrics({ address, port }: Listen, text: () => Promise<string>): Promise<Result<MetricsServer, string>> {
  const server = createServer({ requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS, maxHeaderSize: 8192 }, (request, response) => {
    answer(request, response, text).catch(() => response.destroy());
  });
  server.maxConnections = CLIENTS;
  server.keepAliveTimeout = PATIENCE_MS;
  return new Promise((resolve) => {
    server.once("error", (error) => resolve(err(`metrics on ${formatEndpoint(address, port)}: ${error.message}`)));
    server.listen(port, address, () => {
      server.on("error", () => undefined);
      const bound = server.address();
      resolve(
        ok({
          port: typeof bound === "object" && bound ? bound.port : port,
          close: () =>
            new Promise((closed) => {
              server.close(() => closed());
              server.closeAllConnections();
            }),
        }),
      );
    });
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, text: () => Promise<string>): Promise<void> {
  const refuse = (status: number, why: string): void => {
    response.writeHead(status, { "content-type": "text/plain", connection: "close" }).end(`${why}\n`);
  };
  if (!isOwnHost(request.headers.host)) return refuse(403, "ask by a loopback address or localhost");
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, "only GET");
  if ((request.url ?? "").split("?")[0] !== "/metrics") return refuse(404, "the statistics are at /metrics");
  const body = await text();
  response.writeHead(200, { "content-type": TYPE, "cache-control": "no-store" }).end(request.method === "HEAD" ? undefined : body);
}

/** Whether a Host header names this machine's loopback. */
export function isOwnHost(host: string | undefined): boolean {
  const name = (host ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (name.toLowerCase() === "localhost") return true;
  const address = canonicalAddress(name);
  return address !== undefined && (address.startsWith("127.") || address === "::1");
}
