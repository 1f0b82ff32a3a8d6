/**
 * Everything that looks into the running core, in one place: tap, remembered negotiations, traces, the report and the web monitor.
 */
import type { Crypto } from "../ike/crypto/provider.ts";
import { formatEndpoint } from "../isakmp/address.ts";
import type { Listen } from "../policy/listen.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import { aboutDaemon } from "./about.ts";
import type { AboutDocument, SnapshotDocument } from "./control-protocol.ts";
import type { Feed } from "./feed.ts";
import type { Log } from "./log.ts";
import type { LoopCounters } from "./loop.ts";
import { policyDocument, type Situation } from "./policy-commands.ts";
import { createTalks, type Talks } from "./talks.ts";
import { createTap, type Tap } from "./tap.ts";
import { createTracing, type Tracing } from "./tracing.ts";
import type { Endpoint } from "./udp.ts";
import { startWebMonitor } from "./web-monitor.ts";
import type { WebServer } from "./web-server.ts";

export interface InsightParts {
  readonly crypto: Crypto;
  readonly natPort: number;
  readonly feed: Feed;
  readonly log: Log;
  readonly situation: () => Situation;
  readonly view: () => StatusDocument;
}

/** Records that a report holds. */
const RECORDS = 200;

export class Insight {
  readonly tap: Tap;
  readonly tracing: Tracing;
  readonly #talks: Talks = createTalks();
  readonly #parts: InsightParts;
  #web: WebServer | undefined;

  constructor(parts: InsightParts) {
    this.#parts = parts;
    this.tap = createTap(parts.crypto, parts.natPort);
    this.tap.listen(this.#talks);
    this.tracing = createTracing(this.tap, this.#talks, parts.log);
  }

  /** The daemon itself, for a report. */
  about(endpoints: readonly Endpoint[], loop: LoopCounters, dropped: ReadonlyMap<string, number>): AboutDocument {
    const { crypto, feed } = this.#parts;
    return aboutDaemon({ crypto: crypto.name, endpoints, loop, dropped, events: feed.recent(RECORDS) });
  }

  /** Serves the web monitor where one is wanted. One that can't be served keeps nothing else from running. */
  async startWeb(listen: Listen | null, snapshot: () => Promise<SnapshotDocument>): Promise<void> {
    if (!listen) return;
    const { feed, log, situation, view } = this.#parts;
    const policy = () => policyDocument(situation(), view());
    const started = await startWebMonitor(listen, { feed, talks: this.#talks, snapshot, policy });
    if (started.ok) this.#web = started.value;
    const text = started.ok ? `the web monitor is at http://${formatEndpoint(listen.address, started.value.port)}/` : started.error;
    const failure = { failurePoint: "me", reason: "no-web", hint: "name another port in [web] listen" } as const;
    log({ event: "svc.socket", level: started.ok ? "notice" : "warning", text, ...(started.ok ? {} : failure) });
  }

  async close(): Promise<void> {
    await this.#web?.close();
  }
}
