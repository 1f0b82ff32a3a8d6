/**
 * Every statistic: its name (as Prometheus has it), what it means, and where it comes from. `windows-statistics.ts` says which of them
 * are what in Windows. Totals end in `_total`; the rest are gauges.
 */
import type { LiveView } from "../sa-store/live-view.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import type { EventName, SaEvent } from "./effect.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** What happened to a kernel SA. `asked`: an addition was asked for; `exists`: refused since its SPI was taken; `expired`: by the kernel itself. */
export interface KernelHappening {
  readonly what: "asked" | "added" | "exists" | "refused" | "removed" | "expired";
  readonly dir: "in" | "out";
}

export interface EventMetric {
  readonly kind: "events";
  readonly on: readonly EventName[];
  /** null: this one does not count. `byTraffic`: a packet that waits for protection caused it. */
  readonly labels: (event: SaEvent, byTraffic: boolean) => Labels | null;
  /** Equal keys count once. */
  readonly once?: (event: SaEvent) => string | undefined;
  /** Samples that are shown from the start. */
  readonly zero?: readonly Labels[];
}

export interface KernelMetric {
  readonly kind: "kernel";
  readonly of: (happening: KernelHappening) => Labels | null;
  readonly zero?: readonly Labels[];
}

/** Everything that can be looked at, at one moment. */
export interface Picture {
  readonly status: StatusDocument;
  readonly live: LiveView;
  /** What the core dropped, by reason. */
  readonly drops: ReadonlyMap<string, number>;
  readonly shell: ShellFigures;
}

/** What only the daemon around the core knows. */
export interface ShellFigures {
  /** Seconds since 1970: this run, and the first of those that handed their totals over to it. */
  readonly startedAt: number;
  readonly countedSince: number;
  readonly version: string;
  readonly queued: number;
  readonly handled: number;
  readonly dropped: number;
  readonly bugs: number;
  readonly socketFailures: readonly { readonly what: "receive" | "send"; readonly family: "4" | "6"; readonly count: number }[];
  readonly octets: readonly OctetTotal[];
  /** /proc/net/xfrm_stat; null where this kernel does not count. */
  readonly xfrm: ReadonlyMap<string, number> | null;
}

/** Octets and packets through kernel SAs of one kind, those that are gone included. `whole`: not the other half of an AH and ESP bundle. */
export interface OctetTotal {
  readonly dir: "in" | "out";
  readonly mode: "transport" | "tunnel";
  readonly confidential: boolean;
  readonly authenticated: boolean;
  readonly whole: boolean;
  readonly octets: number;
  readonly packets: number;
}

export interface PictureMetric {
  readonly kind: "picture";
  /** null: not to be had here ("n/a"). */
  readonly read: (picture: Picture) => readonly Sample[] | null;
}

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly source: EventMetric | KernelMetric | PictureMetric;
}

const ROLES = [{ role: "initiator" }, { role: "responder" }] as const;
const NO_LABELS: readonly Labels[] = [{}];

const events = (
  name: string,
  help: string,
  on: readonly EventName[],
  labels: EventMetric["labels"] = () => ({}),
  zero: readonly Labels[] = NO_LABELS,
  once?: EventMetric["once"],
): Metric => ({ name, type: "counter", help, source: { kind: "events", on, labels, zero, ...(once ? { once } : {}) } });

const kernel = (name: string, help: string, of: KernelMetric["of"], zero: readonly Labels[] = NO_LABELS): Metric => ({
  ...{ name, type: "counter", help },
  source: { kind: "kernel", of, zero },
});

const gauge = (name: string, help: string, read: PictureMetric["read"]): Metric => ({
  name,
  type: "gauge",
  help,
  source: { kind: "picture", read },
});

const total = (name: string, help: string, read: PictureMetric["read"]): Metric => ({ ...gauge(name, help, read), type: "counter" });

const one = (value: number): readonly Sample[] => [{ labels: {}, value }];

/** How many of each kind, with the kinds named that there may be. */
function tally<T>(items: readonly T[], kinds: readonly string[], label: string, kindOf: (item: T) => string): readonly Sample[] {
  const counts = new Map(kinds.map((kind) => [kind, 0]));
  for (const item of items) counts.set(kindOf(item), (counts.get(kindOf(item)) ?? 0) + 1);
  return [...counts].map(([kind, value]) => ({ labels: { [label]: kind }, value }));
}

const familyOf = (event: SaEvent): string => ((event.peer ?? "").split(":").length > 2 ? "6" : "4");
const roleOf = ({ role = "initiator" }: SaEvent): Labels => ({ role });

/** Failures that an administrator asked for are none. */
const isEnd = ({ reason }: SaEvent): boolean => reason === "terminated";

/** Which method a refused proof was by; null where the reason is about something else. */
export function methodOfFailure(reason: string): string | null {
  if (/^(psk|undecryptable|hash-mismatch)/.test(reason)) return "psk";
  if (/^(certificate|crl|signature)-/.test(reason)) return "certificate";
  if (reason.startsWith("kerberos-")) return "kerberos";
  return /^(identity|id-mismatch|authentication-failed|proof-)/.test(reason) ? "identity" : null;
}

/** Which table a reason of the core's for passing over a message belongs to. */
export function dropClass(reason: string): "cookies" | "invalid" | "repeat" | "other" {
  if (reason.includes("cookies")) return "cookies";
  if (/^(repeat|refused before|reflected|message 1 changed|main-mode after)/.test(reason)) return "repeat";
  if (/^(malformed|zero|exchange|main-mode|quick-mode|informational|phase 2|message id|clear notify|too many)/.test(reason))
    return "invalid";
  return "other";
}

const drops =
  (...classes: readonly ReturnType<typeof dropClass>[]) =>
  ({ drops: all }: Picture): readonly Sample[] =>
    [...all].filter(([reason]) => classes.includes(dropClass(reason))).map(([reason, value]) => ({ labels: { reason }, value }));

const sockets =
  (what: "receive" | "send") =>
  ({ shell }: Picture): readonly Sample[] =>
    shell.socketFailures.filter((each) => each.what === what).map(({ family, count }) => ({ labels: { family }, value: count }));

/** In what Windows calls drops of its driver, by the kernel's own counters; their order is that of include/uapi/linux/snmp.h. */
export const KERNEL_DROPS: Readonly<Record<string, readonly string[]>> = {
  bad_spi: ["XfrmInNoStates"],
  auth_or_decrypt: ["XfrmInStateProtoError"],
  replay: ["XfrmInStateSeqError"],
  cleartext: ["XfrmInNoPols", "XfrmInPolBlock", "XfrmInTmplMismatch"],
  encapsulation: ["XfrmInStateMismatch"],
  expired: ["XfrmInStateExpired", "XfrmInStateInvalid"],
  out_no_sa: ["XfrmOutNoStates"],
  out_blocked: ["XfrmOutPolBlock", "XfrmOutPolDead"],
  acquire: ["XfrmAcquireError"],
};

const kernelDrops = ({ shell: { xfrm } }: Picture): readonly Sample[] | null =>
  xfrm &&
  Object.entries(KERNEL_DROPS).map(([reason, names]) => ({
    labels: { reason },
    value: names.reduce((sum, name) => sum + (xfrm.get(name) ?? 0), 0),
  }));

const DIRECTIONS = ["in", "out"] as const;
const octetsOf =
  (wanted: (each: OctetTotal) => boolean, what: "octets" | "packets" = "octets") =>
  ({ shell }: Picture): readonly Sample[] =>
    DIRECTIONS.map((dir) => ({
      labels: { dir },
      value: sum(
        shell.octets.filter((each) => each.dir === dir && wanted(each)),
        what,
      ),
    }));

const sum = (totals: readonly OctetTotal[], what: "octets" | "packets"): number => totals.reduce((all, each) => all + each[what], 0);

const byMode =
  (what: "octets" | "packets") =>
  ({ shell }: Picture): readonly Sample[] =>
    DIRECTIONS.flatMap((dir) =>
      (["transport", "tunnel"] as const).map((mode) => ({
        labels: { dir, mode },
        value: sum(
          shell.octets.filter((each) => each.dir === dir && each.mode === mode && each.whole),
          what,
        ),
      })),
    );

const rules =
  (value: (rule: LiveView["rules"][number]) => number) =>
  ({ live }: Picture): readonly Sample[] =>
    live.rules.map((rule) => ({ labels: { rule: rule.rule }, value: value(rule) }));

const IKE_STATES = ["negotiating", "established", "rekeying", "closing"];

export const METRICS: readonly Metric[] = [
  events(
    "mainmode_acquires_total",
    "Needs for an SA: of traffic, of commands, of rules, and of renewals.",
    ["child.wanted"],
    ({ cause }, byTraffic) => ({
      by: cause === "need" ? (byTraffic ? "traffic" : "rule") : (cause ?? "rule"),
    }),
    [{ by: "traffic" }, { by: "command" }, { by: "rule" }, { by: "renewal" }],
  ),
  events("mainmode_acquire_failures_total", "Needs for an SA that came to nothing.", ["child.failed"], (event) =>
    event.role === "initiator" && !isEnd(event) ? {} : null,
  ),
  gauge("mainmode_acquire_pending", "Needs for an SA that wait for one now.", ({ live }) => one(live.wishes)),
  gauge("mainmode_acquire_table_size", "Needs for an SA that wait or will be tried again.", ({ live }) => one(live.wishes + live.retries)),
  gauge("mainmode_rx_queue_length", "Messages and other inputs that wait to be handled.", ({ shell }) => one(shell.queued)),
  gauge("mainmode_rx_buffers", "Messages whose fragments are not all here yet.", ({ live }) => one(live.reassembling)),
  total("mainmode_socket_receive_failures_total", "Errors while receiving.", sockets("receive")),
  total("mainmode_socket_send_failures_total", "Messages that could not be sent.", sockets("send")),
  events(
    "mainmode_ike_negotiations_started_total",
    "Main Modes begun.",
    ["ike.started"],
    (event) => ({ ...roleOf(event), family: familyOf(event) }),
    ROLES.map((role) => ({ ...role, family: "4" })),
  ),
  events(
    "mainmode_ike_sa_established_total",
    "Main Modes that came to an SA.",
    ["ike.established"],
    (event) => ({ ...roleOf(event), family: familyOf(event), auth: event.auth ?? "unknown" }),
    ROLES.map((role) => ({ ...role, family: "4", auth: "psk" })),
  ),
  events("mainmode_ike_sa_closed_total", "Main Mode SAs that ended.", ["ike.closed"]),
  events(
    "mainmode_negotiation_failures_total",
    "Negotiations that failed, by reason (docs/errors.md).",
    ["ike.failed", "ike.retry", "child.failed"],
    (event) => {
      if (event.goesOn || isEnd(event)) return null;
      if (event.event === "child.failed")
        return event.exchange === "quick-mode" ? { mode: "quick", reason: event.reason ?? "unknown" } : null;
      return { mode: "main", reason: event.reason ?? "next-method" };
    },
    [],
  ),
  events(
    "mainmode_authentication_failures_total",
    "Main Modes in which somebody's proof of identity was refused, on either side.",
    ["ike.failed"],
    ({ reason = "" }) => {
      const method = methodOfFailure(reason);
      return method ? { method } : null;
    },
    ["psk", "certificate", "kerberos", "identity"].map((method) => ({ method })),
    ({ initiatorCookie }) => initiatorCookie,
  ),
  total("mainmode_invalid_cookies_total", "Messages whose cookies belong to no negotiation and no SA.", (picture) =>
    one(drops("cookies")(picture).reduce((all, { value }) => all + value, 0)),
  ),
  total("mainmode_invalid_packets_total", "Messages that are malformed, out of turn or not authentic, by reason.", drops("invalid")),
  total("mainmode_repeats_total", "Messages that came again, and echoes of our own.", drops("repeat")),
  total("mainmode_ignored_total", "What else the core passed over, by reason.", drops("other")),
  gauge("mainmode_ike_states", "Main Mode SAs and negotiations, by state.", ({ status }) =>
    tally(status.ikeSas, IKE_STATES, "state", ({ state }) => state),
  ),
  gauge("mainmode_ike_sa_active", "Main Mode SAs that stand.", ({ status }) =>
    one(status.ikeSas.filter(({ state }) => state !== "negotiating").length),
  ),
  gauge("mainmode_ike_half_open_responder", "Main Modes begun by others that have proved nothing yet.", ({ live }) => one(live.halfOpen)),
  gauge("mainmode_child_states", "Quick Modes under way.", ({ live }) =>
    one(live.negotiations.filter(({ kind }) => kind === "quick-mode").length),
  ),
  events("mainmode_child_negotiations_started_total", "Quick Modes begun.", ["child.started"], roleOf, ROLES),
  events(
    "mainmode_child_sa_established_total",
    "Quick Modes that came to an SA, renewals included.",
    ["child.established", "child.rekeyed"],
    (event) => ({ ...roleOf(event), mode: event.mode ?? "transport" }),
    ROLES.map((role) => ({ ...role, mode: "transport" })),
  ),
  events("mainmode_child_sa_rekeys_total", "Quick Mode SAs that took over from an older one.", ["child.rekeyed"]),
  events("mainmode_child_sa_closed_total", "Quick Mode SAs that ended without a successor.", ["child.closed"], ({ level }) =>
    level === "debug" ? null : {},
  ),
  gauge("mainmode_child_sa_active", "Quick Mode SAs that stand, by mode.", ({ status }) =>
    tally(
      status.childSas.filter(({ state }) => state !== "negotiating" && state !== "draining"),
      ["transport", "tunnel"],
      "mode",
      ({ mode }) => mode,
    ),
  ),
  gauge("mainmode_child_sa_offloaded", "Quick Mode SAs that a network card carries; mainmode asks for none.", () => one(0)),
  events("mainmode_soft_associations_total", "Times that clear text was allowed since the peer did not answer.", ["soft.opened"]),
  events("mainmode_peers_silent_total", "Times that a peer stopped answering.", ["peer.silent"]),
  kernel("mainmode_kernel_getspi_total", "SPIs chosen for inbound SAs and offered to the kernel.", ({ what, dir }) =>
    what === "asked" && dir === "in" ? {} : null,
  ),
  kernel("mainmode_kernel_getspi_failures_total", "SPIs that were taken already.", ({ what, dir }) =>
    what === "exists" && dir === "in" ? {} : null,
  ),
  kernel(
    "mainmode_kernel_sa_add_total",
    "Outbound SAs added to the kernel.",
    ({ what, dir }) => (what === "added" && dir === "out" ? { dir } : null),
    [{ dir: "out" }],
  ),
  kernel(
    "mainmode_kernel_sa_update_total",
    "Inbound SAs added to the kernel.",
    ({ what, dir }) => (what === "added" && dir === "in" ? { dir } : null),
    [{ dir: "in" }],
  ),
  kernel("mainmode_kernel_sa_add_failures_total", "Outbound SAs that the kernel refused.", ({ what, dir }) =>
    dir === "out" && (what === "refused" || what === "exists") ? {} : null,
  ),
  kernel(
    "mainmode_kernel_sa_update_failures_total",
    "Inbound SAs that the kernel refused for another reason than their SPI.",
    ({ what, dir }) => (dir === "in" && what === "refused" ? {} : null),
  ),
  kernel(
    "mainmode_kernel_sa_delete_total",
    "SAs removed from the kernel: by us, or by the kernel at the end of their lifetime.",
    ({ what }) => (what === "removed" ? { by: "us" } : what === "expired" ? { by: "kernel" } : null),
    [{ by: "us" }, { by: "kernel" }],
  ),
  gauge("mainmode_kernel_requests_pending", "Groups of commands that the kernel has not answered yet.", ({ live }) =>
    one(live.kernelRequests),
  ),
  gauge("mainmode_policies_refused", "Policies of rules that the kernel has refused: what they protect is not protected.", ({ status }) =>
    one(status.refusedPolicies.length),
  ),
  gauge(
    "mainmode_policies_unknown",
    "1 while the kernel does not tell which policies it has: nobody knows whether ours stand.",
    ({ status }) => one(Number(status.policiesUnknown !== null)),
  ),
  total("mainmode_child_bytes_total", "Octets through SAs, by mode; those that are gone included.", byMode("octets")),
  total("mainmode_child_packets_total", "Packets through SAs, by mode.", byMode("packets")),
  total(
    "mainmode_child_confidential_bytes_total",
    "Octets through ESP with encryption.",
    octetsOf(({ confidential }) => confidential),
  ),
  total(
    "mainmode_child_authenticated_bytes_total",
    "Octets through SAs with a check value: AH, ESP with integrity, and combined modes.",
    octetsOf(({ authenticated }) => authenticated),
  ),
  total("mainmode_child_offloaded_bytes_total", "Octets through offloaded SAs; mainmode asks for none.", () =>
    DIRECTIONS.map((dir) => ({ labels: { dir }, value: 0 })),
  ),
  total("mainmode_kernel_drops_total", "Packets that the kernel's IPsec dropped, by what Windows calls it.", kernelDrops),
  total(
    "mainmode_xfrm_stat",
    "The kernel's own counters, /proc/net/xfrm_stat, since the machine started.",
    ({ shell: { xfrm } }) => xfrm && [...xfrm].map(([name, value]) => ({ labels: { name }, value })),
  ),
  gauge(
    "mainmode_rule_wanted",
    "1 where a rule should have SAs now: it starts by itself, or somebody asked.",
    rules(({ wanted }) => Number(wanted)),
  ),
  gauge(
    "mainmode_rule_up",
    "1 where everything that a rule should have now stands; wanted 1 and up 0 is a tunnel that is down.",
    rules(({ up }) => Number(up)),
  ),
  gauge(
    "mainmode_rule_child_sas",
    "Quick Mode SAs of a rule.",
    rules(({ children }) => children),
  ),
  total("mainmode_inputs_total", "Inputs that the core handled.", ({ shell }) => one(shell.handled)),
  total("mainmode_inputs_dropped_total", "Inputs dropped since the queue was full.", ({ shell }) => one(shell.dropped)),
  total("mainmode_bugs_total", "Defects of mainmode that were met; each is in the log.", ({ shell }) => one(shell.bugs)),
  gauge("mainmode_start_time_seconds", "When the daemon started, seconds since 1970.", ({ shell }) => one(shell.startedAt)),
  gauge("mainmode_build_info", "1, with the version.", ({ shell }) => [{ labels: { version: shell.version, keymod: "ikev1" }, value: 1 }]),
];
