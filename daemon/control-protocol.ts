/**
 * The control socket's language: one JSON object a line. The only file of daemon/ that cli/ may import at start.
 * A request is answered by any number of `line`s and exactly one `end`.
 */
import type { LiveView } from "../sa-store/live-view.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import type { EventDocument } from "./log.ts";
import type { ExportDocument, PolicyDocument, WhyDocument } from "./policy-commands.ts";
import type { TraceDocument } from "./trace-entry.ts";

export type { EventDocument, ExportDocument, LiveView, PolicyDocument, TraceDocument, WhyDocument };

/** Most octets of rules that are added at once: as many as a file of the configuration may have. */
export const LONGEST_RULES = 1 << 20;

export type Request =
  | { readonly command: "initiate"; readonly rule: string; readonly peer?: string; readonly wait: number }
  | {
      readonly command: "terminate";
      readonly target:
        | { readonly kind: "rule"; readonly rule: string }
        | { readonly kind: "ike" | "child"; readonly id: number }
        | { readonly kind: "all" };
    }
  | { readonly command: "status" }
  /** Every statistic: as a document, or as lines of Prometheus' text. */
  | { readonly command: "stats"; readonly form: "document" | "prometheus" }
  /** A packet that might be: ports are 0 where they are not known, `protocol` is its number. */
  | {
      readonly command: "why";
      readonly src: string;
      readonly dst: string;
      readonly protocol: number;
      readonly sport: number;
      readonly dport: number;
    }
  /** The kernel policies that should stand. */
  | { readonly command: "policy" }
  /** Events as they happen, first the last `recent` ones (200 at most); a snapshot now and every `snapshots` seconds, 0 for none. */
  | { readonly command: "subscribe"; readonly recent: number; readonly snapshots: number }
  /** Messages and decisions as they happen, of one peer (an address) or of all, until the client goes; keys are for root only. */
  | { readonly command: "trace"; readonly peer?: string; readonly keys: boolean }
  /** The last failed negotiation, with a peer or with anybody. */
  | { readonly command: "last-failure"; readonly peer?: string }
  /** For a bug report. */
  | { readonly command: "report" }
  /** The policy as a script of netsh ipsec static; `mirror`: our address, for the peer's script; `peer`: for this one alone. */
  | { readonly command: "export"; readonly mirror?: string; readonly peer?: string }
  | { readonly command: "reload" }
  /** Rules at run time: TOML with `[[rule]]` tables to add, or the name of one to delete. */
  | { readonly command: "rule"; readonly add: string }
  | { readonly command: "rule"; readonly delete: string }
  | { readonly command: "shutdown"; readonly keep: boolean };

export type Reply =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "status"; readonly status: StatusDocument }
  | { readonly type: "stats"; readonly stats: StatsDocument }
  /** What `why` and `policy` tell: `WhyDocument`, `PolicyDocument`. */
  | { readonly type: "document"; readonly document: WhyDocument | PolicyDocument | ExportDocument }
  /** To `subscribe`; no `end` follows, the client goes when it has seen enough. */
  | ({ readonly type: "update" } & Update)
  /** To `trace`. `lost`: entries that a slow client did not get. */
  | { readonly type: "trace"; readonly entry: TraceDocument }
  | { readonly type: "lost"; readonly count: number }
  | { readonly type: "failure"; readonly failure: FailureDocument }
  | { readonly type: "report"; readonly about: AboutDocument; readonly failures: readonly FailureDocument[] }
  /** `exit` is the exit code of interface.md §1. `unheard`: the daemon was ending and did nothing; whoever listens there next may be asked. */
  | {
      readonly type: "end";
      readonly exit: number;
      readonly text?: string;
      readonly reason?: string;
      readonly hint?: string;
      readonly unheard?: true;
    };

/** `lost`: so many events before this one did not fit, since the client did not read. */
export type Update =
  | ({ readonly kind: "event" } & EventDocument)
  | ({ readonly kind: "snapshot" } & SnapshotDocument)
  | { readonly kind: "lost"; readonly count: number };

/** Everything that a monitor shows, at one moment (ISO 8601, UTC). */
export interface SnapshotDocument {
  readonly time: string;
  readonly status: StatusDocument;
  readonly live: LiveView;
  readonly stats: StatsDocument;
}

/** All that is counted since `since` (ISO 8601, UTC): the start of the daemon, or of the first of those that handed over to it. */
export interface StatsDocument {
  readonly since: string;
  readonly metrics: readonly MetricView[];
  /** The same under the names of Windows' IP Security Monitor. */
  readonly windows: readonly WindowsStatisticView[];
}

export interface MetricView {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** null: not to be had on this machine. */
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] | null;
}

export interface WindowsStatisticView {
  readonly page: "main-mode" | "quick-mode" | "filtering-platform";
  readonly name: string;
  /** The metrics that it is made of; none where it belongs to AuthIP. */
  readonly metrics: readonly string[];
  /** null: not to be had on this machine. */
  readonly value: number | null;
}

/** A failed negotiation: what was said last, oldest first. Times are ISO 8601, UTC. */
export interface FailureDocument {
  readonly peer: string;
  /** The initiator's, 16 hex digits. */
  readonly cookie: string;
  readonly rule: string | null;
  readonly begun: string;
  readonly failed: string;
  readonly text: string;
  readonly reason: string | null;
  readonly failurePoint: "me" | "peer" | null;
  readonly hint: string | null;
  readonly entries: readonly TraceDocument[];
}

/** The daemon itself. `counted`: what the core dropped or refused, by reason. */
export interface AboutDocument {
  readonly version: string;
  readonly node: string;
  readonly openssl: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly crypto: string;
  readonly uptimeSeconds: number;
  readonly memoryOctets: number;
  readonly endpoints: readonly { readonly address: string; readonly port: number; readonly bypass: boolean }[];
  readonly inputs: { readonly handled: number; readonly dropped: number; readonly bugs: number };
  readonly counted: Readonly<Record<string, number>>;
  readonly events: readonly EventDocument[];
}
