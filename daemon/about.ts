/**
 * What `mainmode report` wants to know of the daemon beside its tables: versions, where it listens, what it dropped, its last records.
 */
import { release } from "node:os";
import type { AboutDocument } from "./control-protocol.ts";
import type { EventDocument } from "./log.ts";
import type { LoopCounters } from "./loop.ts";
import type { Endpoint } from "./udp.ts";
import { version } from "./version.ts";

export interface AboutParts {
  readonly crypto: string;
  readonly endpoints: readonly Endpoint[];
  readonly loop: LoopCounters;
  /** What the core dropped, by reason. */
  readonly dropped: ReadonlyMap<string, number>;
  readonly events: readonly EventDocument[];
}

/** The document for `report`. */
export function aboutDaemon({ crypto, endpoints, loop, dropped, events }: AboutParts): AboutDocument {
  return {
    version: version(),
    node: process.version,
    openssl: process.versions.openssl,
    kernel: release(),
    architecture: process.arch,
    crypto,
    uptimeSeconds: Math.round(process.uptime()),
    memoryOctets: process.memoryUsage.rss(),
    endpoints: endpoints.map(({ address, port, bypass }) => ({ address, port, bypass })),
    inputs: { handled: loop.handled, dropped: loop.dropped, bugs: loop.bugs },
    counted: Object.fromEntries([...dropped].sort(([a], [b]) => a.localeCompare(b))),
    events,
  };
}
