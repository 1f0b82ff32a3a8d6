/**
 * What the web monitor shows: files of the page, documents, and the stream; made only while somebody looks, but for the charts' history.
 */
import { readFileSync } from "node:fs";
import { ok, type Result } from "../isakmp/result.ts";
import type { Listen } from "../policy/listen.ts";
import type { PolicyDocument, SnapshotDocument } from "./control-protocol.ts";
import type { Feed } from "./feed.ts";
import type { Talks } from "./talks.ts";
import { createHistory, type History, LOOK_MS } from "./web-history.ts";
import { serveWeb, type WebContent, type WebServer, type WebSource, type WebStream } from "./web-server.ts";
import { talkDetail, talkLadder, talkList, talkOf, talkSummary } from "./web-talks.ts";

export interface WebParts {
  readonly feed: Feed;
  readonly talks: Talks;
  readonly policy: () => PolicyDocument;
  readonly snapshot: () => Promise<SnapshotDocument>;
  /** Where the page's files lie, if not beside the build. */
  readonly folder?: URL;
}

/** Milliseconds between two snapshots for a page. */
const REFRESH_MS = 2000;

/** Serves the monitor until it is closed. */
export async function startWebMonitor(listen: Listen, parts: WebParts): Promise<Result<WebServer, string>> {
  const history = createHistory();
  const followers = new Set<WebStream>();
  const refresh = ticker(REFRESH_MS, async () => {
    if (followers.size === 0) return;
    const snapshot = await parts.snapshot();
    for (const tell of followers) tell("snapshot", snapshot);
  });
  const look = ticker(LOOK_MS, async () => {
    const sample = history.look(await parts.snapshot(), Date.now());
    for (const tell of followers) tell("sample", sample);
  });
  const stopCounting = parts.feed.listen(({ event }) => {
    if (event === "ike.failed" || event === "child.failed") history.failed();
  });
  const served = await serveWeb(listen, sourceOf(parts, history, followers));
  const stop = (): void => {
    refresh();
    look();
    stopCounting();
  };
  if (!served.ok) {
    stop();
    return served;
  }
  const { port, close } = served.value;
  return ok({
    port,
    close: () => {
      stop();
      return close();
    },
  });
}

/** Runs `act` at once and again and again, never twice at a time; a failure passes. The answer ends it. */
function ticker(milliseconds: number, act: () => Promise<void>): () => void {
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  const run = (): void => {
    const next = (): void => {
      if (over) return;
      timer = setTimeout(run, milliseconds);
      timer.unref();
    };
    act().then(next, next);
  };
  run();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

const sourceOf = (parts: WebParts, history: History, followers: Set<WebStream>): WebSource => ({
  get: async (path) => (FILES.has(path) ? file(path, parts.folder) : document(path, parts)),
  follow(tell) {
    tell("history", history.samples);
    for (const event of parts.feed.recent(200)) tell("record", event);
    parts.snapshot().then(
      (snapshot) => tell("snapshot", snapshot),
      () => {},
    );
    const stop = parts.feed.listen((event) => tell("record", event));
    followers.add(tell);
    return () => {
      stop();
      followers.delete(tell);
    };
  },
});

/** The page's files; no other name reaches the file system. */
const FILES: ReadonlyMap<string, readonly [string, string]> = new Map<string, readonly [string, string]>([
  ["/", ["index.html", "text/html; charset=utf-8"]],
  ["/style.css", ["style.css", "text/css; charset=utf-8"]],
  ["/icon.svg", ["icon.svg", "image/svg+xml"]],
  ...["app", "dom", "stored-views", "types", "views"].map(
    (name) => [`/${name}.js`, [`${name}.js`, "text/javascript; charset=utf-8"]] as const,
  ),
]);

function file(path: string, folder = new URL("../web/", import.meta.url)): WebContent | undefined {
  const [name, type] = FILES.get(path) ?? [];
  if (name === undefined || type === undefined) return undefined;
  try {
    return { type, body: readFileSync(new URL(name, folder)) };
  } catch {
    return undefined;
  }
}

function document(path: string, { talks, policy }: WebParts): WebContent | undefined {
  if (path === "/api/policy") return json(policy());
  if (path === "/api/negotiations") return json(talkList(talks).map(talkSummary));
  const [, kind, number] = /^\/(api\/negotiations|ladder)\/(\d{1,15})(?:\.svg)?$/.exec(path) ?? [];
  const talk = number === undefined ? undefined : talkOf(talks, Number(number));
  if (!talk) return undefined;
  return kind === "ladder" ? { type: "image/svg+xml", body: talkLadder(talk) } : json(talkDetail(talk));
}

const json = (value: unknown): WebContent => ({ type: "application/json; charset=utf-8", body: JSON.stringify(value) });
