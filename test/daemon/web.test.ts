import assert from "node:assert/strict";
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from "node:http";
import { type TestContext, test } from "node:test";
import { ask } from "../../cli/client.ts";
import type { Talk } from "../../daemon/talks.ts";
import { createHistory } from "../../daemon/web-history.ts";
import { serveWeb, type WebSource, type WebStream } from "../../daemon/web-server.ts";
import { talkDetail, talkLadder } from "../../daemon/web-talks.ts";
import { MARKUP, startWatched } from "../browser/hosts.ts";
import { until } from "./fakes.ts";
import { PSK } from "./pair.ts";

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const get = (port: number, path = "/", options: RequestOptions = {}): Promise<Got> =>
  new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, ...options }, (response) => {
      let body = "";
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    request.on("error", reject);
    request.end();
  });

async function serve(t: TestContext, source: Partial<WebSource> = {}): Promise<number> {
  const served = await serveWeb(
    { address: "127.0.0.1", port: 0 },
    { get: async (path) => (path === "/" ? { type: "text/html", body: "page" } : undefined), follow: () => () => {}, ...source },
  );
  assert.ok(served.ok);
  t.after(() => served.value.close());
  return served.value.port;
}

test("a page may load and run nothing but what is served here, stand in no frame, and is not kept", async (t) => {
  const port = await serve(t);
  const { status, headers } = await get(port);
  assert.equal(status, 200);
  const policy = String(headers["content-security-policy"]);
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"])
    assert.ok(policy.includes(part), part);
  assert.ok(!policy.includes("unsafe"));
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["cache-control"], "no-store");
  assert.equal(headers["access-control-allow-origin"], undefined);
});

test("a name that somebody else pointed at this machine is refused, whatever it asks for", async (t) => {
  const port = await serve(t);
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "127.0.0.1.evil.example",
    "192.0.2.1",
    "localhost.evil.example",
    "[2001:db8::1]",
  ])
    for (const path of ["/", "/api/events"]) assert.equal((await get(port, path, { headers: { host } })).status, 403, host);
  for (const host of ["127.0.0.1", `localhost:${port}`, "LOCALHOST:9", "[::1]:8500", "127.0.0.2"])
    assert.equal((await get(port, "/", { headers: { host } })).status, 200, host);
});

test("only GET is answered, and pages of other sites get nothing", async (t) => {
  const port = await serve(t);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"]) assert.equal((await get(port, "/", { method })).status, 405, method);
  const from = (site: string, mode: string) => get(port, "/", { headers: { "sec-fetch-site": site, "sec-fetch-mode": mode } });
  assert.equal((await from("cross-site", "no-cors")).status, 403);
  assert.equal((await from("same-site", "cors")).status, 403);
  assert.equal((await from("cross-site", "navigate")).status, 200);
  assert.equal((await from("same-origin", "cors")).status, 200);
});

test("no path leads out of what is served", async (t) => {
  const { url } = await startWatched(t);
  const port = Number(new URL(url).port);
  for (const path of [
    "/../package.json",
    "/..%2fpackage.json",
    "/%2e%2e/package.json",
    "//etc/passwd",
    "/tsconfig.json",
    "/app.ts",
    "/ladder/1e3.svg",
    "/ladder/-1.svg",
    "/api/negotiations/99999999999999999999",
  ])
    assert.equal((await get(port, path)).status, 404, path);
});

test("what a peer or an administrator chose is data in every document, and secrets are in none", async (t) => {
  const { url, initiate } = await startWatched(t);
  const port = Number(new URL(url).port);
  assert.equal(await initiate("intranet"), 0);
  assert.equal(await initiate(MARKUP), 1);
  const list = JSON.parse((await get(port, "/api/negotiations")).body);
  assert.equal(list.length, 1);
  assert.equal(list[0].state, "established");
  const detail = (await get(port, `/api/negotiations/${list[0].id}`)).body;
  assert.match(detail, /decrypted:/);
  const ladder = await get(port, `/ladder/${list[0].id}.svg`);
  assert.equal(ladder.headers["content-type"], "image/svg+xml");
  assert.match(String(ladder.headers["content-security-policy"]), /^default-src 'none'; style-src 'unsafe-inline'/);
  assert.ok(ladder.body.includes("child.failed") && ladder.body.includes("&lt;img src=x"), "the rule's name is in the ladder");
  assert.ok(!ladder.body.includes("<img"));
  const policy = (await get(port, "/api/policy")).body;
  assert.match(policy, /Server isolation/);
  for (const text of [detail, ladder.body, policy]) assert.ok(!text.includes(PSK));
});

test("a page that follows gets the past, then what happens, one document a line; too many pages are sent away", async (t) => {
  let tell: WebStream = () => {};
  let stopped = 0;
  const port = await serve(t, {
    follow: (to) => {
      tell = to;
      to("record", { text: "one\ntwo\r\nevent: forged" });
      return () => stopped++;
    },
  });
  const open: { destroy(): void }[] = [];
  const texts: string[] = [];
  const follow = (): Promise<number> =>
    new Promise((resolve) => {
      const request = httpRequest({ host: "127.0.0.1", port, path: "/api/events" }, (response) => {
        response.on("data", (chunk) => texts.push(String(chunk)));
        resolve(response.statusCode ?? 0);
      });
      request.on("error", () => {});
      request.end();
      open.push(request);
    });
  for (let i = 0; i < 16; i++) assert.equal(await follow(), 200);
  assert.equal(await follow(), 503);
  tell("snapshot", { a: 1 });
  await until(() => texts.join("").includes('event: snapshot\ndata: {"a":1}\n\n'), "the snapshot");
  assert.ok(!/^event: forged/m.test(texts.join("")));
  for (const request of open) request.destroy();
  await until(() => stopped === 16, "every page to be forgotten");
});

test("a port that is taken keeps the daemon from nothing: it says so and goes on", async (t) => {
  const port = await serve(t);
  const served = await serveWeb({ address: "127.0.0.1", port }, { get: async () => undefined, follow: () => () => {} });
  assert.ok(!served.ok && served.error.includes("EADDRINUSE"));
});

const snapshot = (bytes: Readonly<Record<number, number>>) =>
  ({
    time: "",
    status: {
      ikeSas: [],
      childSas: Object.entries(bytes).map(([id, bytesIn]) => ({ id: Number(id), state: "installed", bytesIn, bytesOut: 0 })),
    },
    live: { negotiations: [] },
  }) as unknown as Parameters<ReturnType<typeof createHistory>["look"]>[0];

test("rates count what each SA has carried since the last look, also when SAs come and go; the past is bounded", () => {
  const history = createHistory();
  assert.equal(history.look(snapshot({ 1: 1000 }), 0).octetsPerSecond, 0);
  assert.equal(history.look(snapshot({ 1: 6000, 2: 500 }), 5000).octetsPerSecond, 1100);
  history.failed();
  const sample = history.look(snapshot({ 2: 500 }), 10_000);
  assert.deepEqual([sample.octetsPerSecond, sample.failures, sample.childSas], [0, 1, 1]);
  for (let i = 0; i < 1000; i++) history.look(snapshot({}), 20_000 + i);
  assert.equal(history.samples.length, 180);
});

test("octets that are no ISAKMP at all can be shown", () => {
  const entry = { kind: "message", at: 1, peer: "192.0.2.2", cookie: "00", way: "in", bytes: Uint8Array.of(1, 2, 3), plain: null } as const;
  const [local, remote] = [1, 2].map((n) => ({ address: `192.0.2.${n}`, port: 500 })) as [
    { address: string; port: number },
    { address: string; port: number },
  ];
  const entries = [{ ...entry, local, remote, marked: false, assembled: false }];
  const talk: Talk = { id: 1, cookie: "00", peer: "192.0.2.2", begunAt: 0, lastAt: 1, rule: null, state: "open", entries };
  assert.match(talkLadder(talk), /no ISAKMP message/);
  assert.match(talkDetail(talk).steps[0]?.lines[0] ?? "", /no ISAKMP: header needs 28 octets/);
});

test("a daemon with a monitor stops with a page still open", async (t) => {
  const { a, url } = await startWatched(t);
  const { port } = new URL(url);
  const page = httpRequest({ host: "127.0.0.1", port, path: "/api/events" }, (response) => response.resume());
  page.on("error", () => {});
  page.end();
  await until(() => page.socket !== null, "the connection");
  await ask({ path: a.daemon.controlPath, request: { command: "shutdown", keep: false } });
  assert.equal(await a.daemon.stopped, true);
});
