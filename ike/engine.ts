/**
 * The core's face: one input in, effects out. No clock, socket, timer, process, file or promise below this line.
 */
import type { PacketSelector } from "../policy/packet-selector.ts";
import type { Policy } from "../policy/types.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, QuickExchange } from "../sa-store/ike-sa.ts";
import type { LiveView } from "../sa-store/live-view.ts";
import type { Met } from "../sa-store/met.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import { onAcquire } from "./acquire.ts";
import { adoptPolicy, settleChanges } from "./adopt.ts";
import { installOutbound, onInbound, onOutbound, onPolicies, onProofOfTraffic } from "./child-install.ts";
import { expireChild, forgetChild } from "./children.ts";
import { dropIke } from "./closing.ts";
import { answerStops, onCommand, onRouteDone, onStartRetry, onWatchTimeout, settleTunnelEnds, startRules } from "./commands.ts";
import { type Core, count, emit, log, type Pending } from "./core.ts";
import type { Effect } from "./effect.ts";
import { endTaken, relayChildren } from "./end-taken.ts";
import { ikeFields } from "./event-fields.ts";
import { onFarewell } from "./farewell.ts";
import { onReassemblyTimer } from "./fragmenting.ts";
import { onFrontTimer, relaySoft } from "./fronts.ts";
import type { Input, Instant } from "./input.ts";
import { destroySa, wipe } from "./install.ts";
import { journalled } from "./journal.ts";
import type { KernelCommand, KernelEvent, KernelSa, PolicyDirection } from "./kernel-contract.ts";
import { onUnknownExpire } from "./leftovers.ts";
import { liveViewOf } from "./live.ts";
import { onProbeTimer, onUnknownSpis } from "./liveness.ts";
import { onLoadTimer } from "./load.ts";
import { look, lookAnew } from "./look.ts";
import { onPoliciesFound, onPolicyChanged, onPolicyGone, settleHeld } from "./lost-policies.ts";
import { onManual, syncManual } from "./manual.ts";
import { type EngineOptions, newCore, sizeOf } from "./memory.ts";
import { metBy } from "./met.ts";
import { onChildKeepalive, onKeepalive, onMapping } from "./nat-path.ts";
import { onOthersTimer, resumeOthers } from "./others.ts";
import { onExpire } from "./phase1.ts";
import { endNegotiation, giveUp, onRetransmit, onSendFailed, sendLast } from "./phase1-end.ts";
import { onJobDone } from "./phase1-jobs.ts";
import { onQuickRetransmit } from "./phase2.ts";
import { noteRemovals } from "./policy-records.ts";
import { receiveDatagram } from "./receive.ts";
import { onRefusedTimer } from "./refused.ts";
import { ask, onMeasured, renewChild } from "./rekey.ts";
import { onClose, renewIke } from "./renewal.ts";
import { endRestore, restorePolicies, restoreSas } from "./restore.ts";
import { onPace, onRetry } from "./retry.ts";
import { endStrangers, onStrangersTimer } from "./strangers.ts";
import type { TimerName } from "./timers.ts";
import { askAgain, findTunnelEnds, followAddresses } from "./tunnel-ends.ts";
import { noteLook } from "./unknown.ts";
import { viewOf } from "./view.ts";

export interface Engine {
  /** Decides about one input. Never throws for anything that a peer, the kernel or an administrator did. */
  handle(input: Input, now: Instant): readonly Effect[];
  /** When the next timer is due, or undefined where none runs. */
  nextWake(): Instant | undefined;
  view(now: Instant): StatusDocument;
  live(now: Instant): LiveView;
  /** The policy that is followed, with the tunnel ends that routes have told. */
  inForce(): Policy;
  /** What packets of a selector meet in the kernel now. */
  metBy(packets: PacketSelector, direction: PolicyDirection): Met | undefined;
  /** What was dropped, by reason. */
  counters(): ReadonlyMap<string, number>;
  /** Entries in all tables together: 0 when all is over. */
  readonly size: number;
}

/** Due timers that one tick handles before it lets the sockets speak. */
const TIMERS_PER_TICK = 8;

/** An engine that knows no rule and no address yet; it has to be told both. */
export function createEngine(options: EngineOptions): Engine {
  const core = newCore(options);
  return {
    handle(input, now) {
      core.now = Math.max(core.now, now);
      core.effects = [];
      core.touched = null;
      core.arrival = null;
      try {
        dispatch(core, input);
        settleHeld(core);
        answerStops(core);
      } catch (bug) {
        onBug(core, input, bug);
      }
      return journalled(core, options.journal === true);
    },
    nextWake: () => core.timers.next(),
    view: (now) => viewOf(core, now),
    live: (now) => liveViewOf(core, now),
    inForce: () => core.policy,
    metBy: (packets, direction) => metBy(core, packets, direction),
    counters: () => core.counters,
    get size() {
      return sizeOf(core);
    },
  };
}

function dispatch(core: Core, input: Input): void {
  switch (input.type) {
    case "datagram":
      return receiveDatagram(core, input.path, input.bytes);
    case "send-failed":
      return onSendFailed(core, input.path, input.why);
    case "tick":
      return onTick(core);
    case "kernel-event":
      return onKernelEvent(core, input.event);
    case "kernel-done":
      return onKernelDone(core, input);
    case "policies-found":
      noteLook(core, input);
      return onPoliciesFound(core, input.id, input.policies);
    case "job-done":
      return onJobDone(core, input.id, input.outcome);
    case "route-done":
      return onRouteDone(core, input.id, input.local);
    case "addresses":
      core.addresses = input.addresses;
      core.broadcasts = input.broadcasts ?? [];
      followAddresses(core);
      core.policies.sync(core, () => relaySoft(core));
      endTaken(core);
      relayChildren(core);
      startRules(core);
      return resumeOthers(core, onAcquire);
    case "routes":
      return findTunnelEnds(core);
    case "policy":
      return onPolicy(core, input);
    case "command":
      return onCommand(core, input.id, input.command);
    default:
      return input satisfies never;
  }
}

/** What the new policy wants stands before anything of the old one goes; SAs of the last run come after both. */
function onPolicy(core: Core, { policy, restore }: Extract<Input, { type: "policy" }>): void {
  const hadPolicies = core.policies.size > 0;
  const changes = adoptPolicy(core, policy);
  try {
    if (restore) restorePolicies(core, restore);
    syncManual(core, restore?.kernel.sas);
    core.policies.sync(core, () => relaySoft(core), true);
    settleChanges(core, changes);
    if (restore) restoreSas(core, restore);
    else if (hadPolicies) lookAnew(core);
  } finally {
    if (restore) endRestore(core, restore);
  }
  log(core, "policy.loaded", "notice", `policy "${policy.name}" with ${policy.rules.length} rules is active`);
  startRules(core);
}

/** A bug of ours costs one SA, not the daemon. */
function onBug(core: Core, input: Input, bug: unknown): void {
  const stack = bug instanceof Error ? (bug.stack ?? bug.message) : String(bug);
  count(core, "bug");
  const entry = core.touched === null ? undefined : core.store.ikes.get(core.touched);
  log(core, "bug", "error", `a bug while handling ${input.type}: ${stack}`, {
    ...(entry ? ikeFields(entry) : {}),
    failurePoint: "me",
    reason: "bug",
    hint: "please report it with this text",
  });
  if (!entry) return core.touched === null ? undefined : void endStrangers(core, { kind: "ike", id: core.touched });
  try {
    if (entry.phase === "negotiating") endNegotiation(core, entry, { kind: "terminated", what: "a bug in mainmode ended it" });
    else dropIke(core, entry, "a bug in mainmode ended it");
  } catch {
    core.store.removeIke(entry.id);
    core.timers.clearAll(`ike ${entry.id}`);
  }
}

// Timers

function onTick(core: Core): void {
  for (let i = 0; i < TIMERS_PER_TICK; i++) {
    const due = core.timers.take(core.now);
    if (!due) return;
    onTimer(core, due.owner, due.name);
  }
}

/** Owners are children, Quick Modes, and "ike ID", "watch ID", "retry KEY", "pace KEY", "start RULE", "end RULE", "ends all", "bye N", "front ID", "others all", "fragments all", "load all", "strangers all", "refused all", "refused first", "look all". */
function onTimer(core: Core, owner: ChildSa | QuickExchange | string, name: TimerName): void {
  if (typeof owner !== "string") return "messageId" in owner ? onQuickTimer(core, owner, name) : onChildTimer(core, owner, name);
  const space = owner.indexOf(" ");
  const [kind, rest] = [owner.slice(0, space), owner.slice(space + 1)];
  switch (kind) {
    case "ike":
      return onIkeTimer(core, Number(rest), name);
    case "watch":
      return onWatchTimeout(core, Number(rest));
    case "retry":
      return onRetry(core, rest);
    case "pace":
      return onPace(core, rest);
    case "bye":
      return onFarewell(core, Number(rest));
    case "front":
      return onFrontTimer(core, Number(rest));
    case "others":
      return onOthersTimer(core);
    case "fragments":
      return onReassemblyTimer(core);
    case "load":
      return onLoadTimer(core);
    case "strangers":
      return onStrangersTimer(core);
    case "look":
      return look(core);
    case "refused":
      return onRefusedTimer(core, rest === "first");
    case "start":
      return onStartRetry(core, rest);
    case "end":
      return askAgain(core);
    case "ends":
      return settleTunnelEnds(core);
  }
}

function onIkeTimer(core: Core, id: number, name: TimerName): void {
  const entry = core.store.ikes.get(id);
  if (!entry) return;
  core.touched = id;
  if (entry.phase === "negotiating") return name === "retransmit" ? onRetransmit(core, entry) : giveUp(core, entry);
  if (name === "expire") return onExpire(core, entry);
  if (name === "rekey") return renewIke(core, entry);
  if (name === "close") return onClose(core, entry);
  if (name === "dpd") return onProbeTimer(core, entry);
  if (name === "keepalive") return onKeepalive(core, entry);
  if (name === "retransmit") return sendLast(core, entry);
  entry.flight = null;
  entry.received = null;
}

function onQuickTimer(core: Core, ex: QuickExchange, name: TimerName): void {
  const ike = establishedIke(core, ex.ike);
  if (!ike || ike.exchanges.get(ex.messageId) !== ex) return;
  core.touched = ike.id;
  if (name === "linger") ike.exchanges.delete(ex.messageId);
  else if (name === "switch") installOutbound(core, ike, ex);
  else onQuickRetransmit(core, ike, ex);
}

function onChildTimer(core: Core, child: ChildSa, name: TimerName): void {
  if (core.store.children.get(child.id) !== child) return;
  if (name === "rekey") renewChild(core, child);
  else if (name === "measure") ask(core, child, "look");
  else if (name === "drained") forgetChild(core, child);
  else if (name === "keepalive") onChildKeepalive(core, child);
  else expireChild(core, child);
}

const establishedIke = (core: Core, id: number | undefined): IkeSa | undefined => {
  const entry = id === undefined ? undefined : core.store.ikes.get(id);
  return entry?.phase === "established" ? entry : undefined;
};

// Kernel

function onKernelEvent(core: Core, event: KernelEvent): void {
  if (core.stopping) return;
  if (event.type === "acquire") return onAcquire(core, event);
  if (event.type === "unknown-spis") return onUnknownSpis(core);
  if (event.type === "mapping") return onMapping(core, event);
  if (event.type === "policy-gone") return onPolicyGone(core, event);
  if (event.type === "policy-changed") return onPolicyChanged(core, event);
  const { spi, destination, source } = event.sa;
  const inbound = core.store.bySpiIn(spi);
  const child = inbound?.spec.local === destination ? inbound : core.store.bySpiOut(destination, spi);
  if (!child || (child.spec.local !== source && child.spec.local !== destination)) return onUnknownExpire(core, event.sa, event.hard);
  if (event.hard) expireChild(core, child);
  else renewChild(core, child);
}

function onKernelDone(core: Core, { id, outcome }: Input & { readonly type: "kernel-done" }): void {
  const pending = core.pending.get(id);
  core.pending.delete(id);
  if (!pending) return;
  if (pending.kind === "inbound" || pending.kind === "outbound" || pending.kind === "manual") for (const sa of pending.sas) destroySa(sa);
  if (pending.kind === "upkeep") wipe(pending.commands);
  if (pending.kind === "upkeep" || pending.kind === "outbound") noteRemovals(core, pending.commands, outcome);
  resume(core, pending, outcome);
}

function resume(core: Core, pending: Pending, outcome: (Input & { readonly type: "kernel-done" })["outcome"]): void {
  switch (pending.kind) {
    case "inbound":
      return onInbound(core, establishedIke(core, pending.ike), pending.messageId, pending.sas, outcome, removals(pending.sas));
    case "outbound":
      return onOutbound(core, establishedIke(core, pending.ike), pending, outcome, removals(pending.sas));
    case "proof":
      return onProofOfTraffic(core, establishedIke(core, pending.ike), pending.messageId, outcome);
    case "measure":
      return onMeasured(core, core.store.children.get(pending.child), pending.why, outcome.ok ? outcome.value : null);
    case "manual":
      return onManual(core, pending.pair, pending.commands, outcome.ok ? null : outcome.error);
    case "upkeep":
      return onPolicies(core, pending.commands, outcome.ok ? null : outcome.error);
    case "reply":
      return emit(core, { type: "reply", id: pending.id, line: pending.line, last: true });
  }
}

const removals = (sas: readonly KernelSa[]): readonly KernelCommand[] =>
  sas.map(({ source, destination, protocol, spi }) => ({ do: "remove-sa", sa: { source, destination, protocol, spi } }));
