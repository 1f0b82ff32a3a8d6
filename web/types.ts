/**
 * What the daemon tells the page: documents of the control socket (daemon/control-protocol.ts) as far as they are shown, and the web monitor's own.
 */
export interface IkeSa {
  readonly id: number;
  readonly rule: string;
  readonly role: string;
  readonly state: string;
  readonly local: string;
  readonly remote: string;
  readonly localId: string | null;
  readonly remoteId: string | null;
  readonly auth: string;
  readonly encryption: string | null;
  readonly hash: string | null;
  readonly group: string | null;
  readonly initiatorCookie: string;
  readonly nat: string;
  readonly lifetimeSeconds: number | null;
  readonly secondsLeft: number | null;
  readonly quickModes: number;
}

export interface Protection {
  readonly protocol: string;
  readonly encryption: string | null;
  readonly integrity: string | null;
  readonly spiIn: string;
  readonly spiOut: string;
}

export interface ChildSa {
  readonly id: number;
  readonly ike: number | null;
  readonly rule: string;
  readonly state: string;
  readonly mode: string;
  readonly tunnel: { readonly local: string; readonly remote: string } | null;
  readonly local: string;
  readonly remote: string;
  readonly localPort: number | null;
  readonly remotePort: number | null;
  readonly protocol: string;
  readonly group: string | null;
  readonly protections: readonly Protection[];
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly lifetimeSeconds: number | null;
  readonly secondsLeft: number | null;
  readonly rekeys: number;
}

/** A negotiation in flight. */
export interface Flight {
  readonly kind: string;
  readonly rule: string;
  readonly peer: string;
  readonly role: string;
  readonly initiatorCookie: string;
  readonly step: { readonly message: number; readonly of: number; readonly text: string };
  readonly seconds: number;
  readonly repeats: number;
  readonly trouble: string | null;
}

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] | null;
}

export interface WindowsStatistic {
  readonly page: string;
  readonly name: string;
  readonly value: number | null;
}

export interface Snapshot {
  readonly time: string;
  readonly status: { readonly ikeSas: readonly IkeSa[]; readonly childSas: readonly ChildSa[] };
  readonly live: { readonly negotiations: readonly Flight[] };
  readonly stats?: { readonly since: string; readonly metrics: readonly Metric[]; readonly windows: readonly WindowsStatistic[] };
}

/** A record of the log. */
export interface LogEvent {
  readonly time: string;
  readonly level: string;
  readonly event: string;
  readonly text: string;
  readonly peer?: string;
  readonly rule?: string;
  readonly initiatorCookie?: string;
  readonly winEventId?: number;
  readonly reason?: string;
  readonly failurePoint?: string;
  readonly hint?: string;
}

/** One look at the daemon; octets are sums over the child SAs that stand. */
export interface HistorySample {
  readonly at: number;
  readonly ikeSas: number;
  readonly childSas: number;
  readonly inFlight: number;
  readonly failures: number;
  readonly octetsPerSecond: number;
}

export interface Policy {
  readonly name: string;
  readonly sources: readonly { readonly key: string; readonly value: string; readonly file: string; readonly line: number }[];
  readonly policies: readonly {
    readonly priority: number;
    readonly direction: string;
    readonly selector: string;
    readonly action: string;
    readonly level: string | null;
    readonly rule: string | null;
    readonly exempt: string | null;
  }[];
}

/** A negotiation that is remembered. */
export interface Talk {
  readonly id: number;
  readonly cookie: string;
  readonly peer: string;
  readonly rule: string | null;
  readonly state: string;
  readonly begun: string;
  readonly last: string;
  readonly messages: number;
  readonly reason: string | null;
}

export interface TalkDetail extends Talk {
  readonly text: string | null;
  readonly hint: string | null;
  readonly steps: readonly {
    readonly at: string;
    readonly kind: string;
    readonly title: string;
    readonly lines: readonly string[];
  }[];
}
