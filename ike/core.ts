/**
 * The core's working memory, and the few verbs by which its parts speak to the world. Every part takes it as its first argument.
 */
import { provenAs } from "../auth/proof.ts";
import { formatEndpoint } from "../isakmp/address.ts";
import { hex32, toHex } from "../isakmp/hex.ts";
import { uint32 } from "../isakmp/octets.ts";
import type { Policy, Rule } from "../policy/types.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import type { ChildWish, IkeSa, Negotiation, QuickExchange } from "../sa-store/ike-sa.ts";
import type { Store } from "../sa-store/store.ts";
import type { Challenge } from "./cookie-challenge.ts";
import type { Effect, EventFields, EventName, Level, ReplyLine } from "./effect.ts";
import { explain, type IkeError } from "./errors.ts";
import type { Reassembly } from "./fragments.ts";
import type { Fronts } from "./fronts.ts";
import type { Gate } from "./gate.ts";
import type { Instant, Path } from "./input.ts";
import type { Jobs } from "./jobs.ts";
import type { KernelCommand, KernelSa } from "./kernel-contract.ts";
import type { LastAnswers } from "./last-answers.ts";
import type { Leftovers } from "./leftovers.ts";
import type { Look } from "./look.ts";
import { ruleOfState } from "./main-mode-states.ts";
import type { Tools } from "./main-mode-table.ts";
import type { ManualPair } from "./manual.ts";
import type { Learnt, Unusable } from "./methods.ts";
import type { Others } from "./others.ts";
import type { AskedPolicies } from "./policy-records.ts";
import type { ChildOutcome } from "./quick-mode.ts";
import type { DeleteAnswer } from "./reliable-delete.ts";
import type { PolicyTable } from "./standing.ts";
import type { Timers } from "./timers.ts";
import type { EndSearch, EndsAsked } from "./tunnel-ends.ts";
import type { Unknown } from "./unknown.ts";
import type { Watch } from "./watch.ts";

export interface Core extends Tools {
  readonly port: number;
  /** That of NAT traversal. */
  readonly natPort: number;
  readonly store: Store;
  readonly timers: Timers<ChildSa | QuickExchange>;
  readonly policies: PolicyTable;
  /** What the kernel may have until it has answered, for the journal. */
  readonly asked: AskedPolicies;
  /** Milliseconds until policies that the kernel has refused are asked for again. */
  refusedPause: number;
  /** The look at what policies the kernel has. */
  readonly look: Look;
  /** Since when nobody knows what policies the kernel has; null: the last look has told. */
  unknown: Unknown | null;
  /** Kernel commands under way, by the id of their effect. */
  readonly pending: Map<number, Pending>;
  /** Questions for a route under way. */
  readonly routes: Map<number, { readonly remote: string; readonly resume: RouteResume }>;
  /** Authentication jobs under way. */
  readonly jobs: Jobs;
  /** Entries that did not work here lately, and why. */
  readonly unusable: Unusable;
  /** Which method a peer took when it would not take an offer of several. */
  readonly learnt: Learnt;
  /** Wishes under way, by key: one negotiation per need. */
  readonly wishes: Map<string, ChildWish>;
  readonly watches: Map<number, Watch>;
  /** Failed tries in a row of rules that should be up, by wish key. */
  readonly retries: Map<string, { readonly spec: ChildSpec; readonly tries: number }>;
  /** Peers that did not answer lately, by both addresses; and by wish key what a peer that answers has refused. */
  readonly outages: Map<string, Outage>;
  /** Wishes whose Main Mode waits for its turn, by wish key. */
  readonly paced: Map<string, ChildWish>;
  /** When the next Main Mode that nobody waits for may begin. */
  nextStart: Instant;
  /** Pairs with keys from the file, by name. */
  readonly manual: Map<string, ManualPair>;
  /** Policies in front of those of rules, for one peer and a while. */
  readonly fronts: Fronts;
  /** Acquires that wait for an address of ours. */
  readonly others: Others;
  /** Deletes that are said again. */
  readonly farewells: Map<number, { readonly path: Path; readonly bytes: Uint8Array; readonly times: number }>;
  /** What was dropped, by reason. */
  readonly counters: Map<string, number>;
  readonly leftovers: Leftovers;
  /** Budgets of strangers. */
  readonly gate: Gate;
  /** The cookies that we demand of Windows under load. */
  readonly challenge: Challenge;
  /** What the last messages 1 led to. */
  readonly lastAnswers: LastAnswers;
  /** Messages of which not all fragments have come. */
  readonly fragments: Reassembly;
  /** Answers to reliable deletes, for their repeats. */
  readonly deleteAnswers: Map<string, DeleteAnswer>;
  /** Since when strangers have to come twice; null: they have not. */
  loadSince: Instant | null;
  policy: Policy;
  /** The policy as it was read, before tunnels that leave their end open got it. */
  asRead: Policy;
  /** Rules whose own tunnel end follows the route to the far end. */
  readonly roaming: Map<string, EndSearch>;
  /** What routes were asked for those rules, and what they have told. */
  readonly endsAsked: EndsAsked;
  addresses: readonly string[];
  /** Broadcast addresses of the networks that we are in. */
  broadcasts: readonly string[];
  now: Instant;
  effects: Effect[];
  nextOp: number;
  /** Set once a shutdown was asked for: nothing new begins. */
  stopping: boolean;
  /** Commands that wait until the kernel has answered everything. */
  readonly stops: number[];
  /** Where the present datagram came from. */
  arrival: Path | null;
  /** The IKE SA that the present input is about: what a bug costs. */
  touched: number | null;
}

/** A peer with which Main Mode came to nothing. */
export interface Outage {
  readonly failures: number;
  /** Until then traffic begins no other. */
  readonly until: Instant;
  /** Wishes that will be tried again, by key: at once when the peer is heard of. */
  readonly waiting: Set<string>;
}

/** What goes on when the kernel answers. */
export type Pending =
  /** The inbound SAs of a Quick Mode. */
  | { readonly kind: "inbound"; readonly ike: number; readonly messageId: number; readonly sas: readonly KernelSa[] }
  /** The outbound SAs and policies of a child. */
  | {
      readonly kind: "outbound";
      readonly child: ChildSa;
      readonly agreed: ChildOutcome;
      /** Of the initiator. */
      readonly wish: ChildWish | null;
      readonly ike: number;
      readonly messageId: number;
      readonly sas: readonly KernelSa[];
      readonly commands: readonly KernelCommand[];
    }
  /** Has the new inbound SA seen a packet? Then message 3 was sent. */
  | { readonly kind: "proof"; readonly ike: number; readonly messageId: number }
  /** How much a child was used: because it is to be renewed, or as a look in between. */
  | { readonly kind: "measure"; readonly child: number; readonly why: "renew" | "look" }
  /** Policies of ours, and removals: what the kernel refuses is logged, what it did not come to is asked again. */
  | { readonly kind: "upkeep"; readonly commands: readonly KernelCommand[] }
  /** SAs with keys from the file. */
  | { readonly kind: "manual"; readonly pair: ManualPair; readonly sas: readonly KernelSa[]; readonly commands: readonly KernelCommand[] }
  /** The last line of a command that waited for the kernel. */
  | { readonly kind: "reply"; readonly id: number; readonly line: ReplyLine };

/** What to do with a route's answer. */
export type RouteResume =
  | { readonly kind: "initiate"; readonly watch: number | null; readonly rule: string }
  /** Our end of a tunnel whose rule does not name it. */
  | { readonly kind: "tunnel-end"; readonly rule: string };

export { childFields, ikeFields } from "./event-fields.ts";

/** Wants something done. */
export const emit = (core: Core, effect: Effect): void => {
  core.effects.push(effect);
};

/** Wants a message sent, an ISAKMP header first. */
export const send = (core: Core, path: Path, bytes: Uint8Array): void => emit(core, { type: "send", path, bytes });

/** Asks the kernel; an empty list is no question. */
export function kernel(core: Core, commands: readonly KernelCommand[], pending: Pending): void {
  if (commands.length === 0) return;
  const id = ++core.nextOp;
  core.pending.set(id, pending);
  emit(core, { type: "kernel", id, commands });
}

/** Counts something dropped; the daemon shows the table. */
export function count(core: Core, reason: string): void {
  core.note(() => `counted: ${reason}`);
  core.counters.set(reason, (core.counters.get(reason) ?? 0) + 1);
}

/** One record of the log. */
export function log(core: Core, event: EventName, level: Level, text: string, fields: EventFields = {}): void {
  emit(core, { type: "event", event: { event, level, text, ...fields } });
}

/** A failure as an event: what happened, whose fault it is, and what to try next. */
export function logError(core: Core, event: EventName, prefix: string, error: IkeError, fields: EventFields = {}): void {
  const { text, level, reason, hint, failurePoint } = explain(error);
  log(core, event, level, `${prefix}: ${text}`, { reason, hint, failurePoint, ...fields });
}

/** The rule that a negotiation is for, or that an SA was made for. */
export const ruleOf = (entry: Negotiation | IkeSa): Rule => (entry.phase === "established" ? entry.sa.rule : ruleOfState(entry.state));

/** The peer of a path, with its port. */
export const peerName = (path: Path): string => formatEndpoint(path.remote.address, path.remote.port);
/** Who the peer of an IKE SA has proved to be. */
export const whoIs = ({ sa }: IkeSa): string => provenAs(sa.proof, sa.peerId);
export const hex = toHex;
/** An SPI as `ip` prints it: 0x and eight hex digits. */
export const spiText = (spi: number): string => `0x${hex32(spi)}`;

/** A random number of 32 bits, at least `least`. */
export function random32(core: Tools, least: number): number {
  for (;;) {
    const n = uint32(core.random(4), 0);
    if (n >= least) return n;
  }
}
