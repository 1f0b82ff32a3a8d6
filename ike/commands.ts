/**
 * What administrators ask for: initiate, terminate, shutdown; and the rules that start by themselves.
 */
import { canonicalAddress, formatRange, includesAddress, isHost } from "../isakmp/address.ts";
import { peerRanges, ruleCoveringSelectors, ruleNamed } from "../policy/select.ts";
import { concreteSelectors, formatEnd } from "../policy/selector.ts";
import type { Filter, Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { IkeEntry } from "../sa-store/store.ts";
import { hostOf } from "./child-request.ts";
import { removeChild } from "./children.ts";
import { closeIke } from "./closing.ts";
import { type Core, emit, ruleOf } from "./core.ts";
import type { ReplyLine } from "./effect.ts";
import type { IkeError } from "./errors.ts";
import { dropFarewells } from "./farewell.ts";
import { dropFragments } from "./fragmenting.ts";
import { dropFronts, endSoft } from "./fronts.ts";
import type { Command, TerminateTarget } from "./input.ts";
import { removeLeftovers } from "./leftovers.ts";
import { dropLoad } from "./load.ts";
import { endLooks, lookLast } from "./look.ts";
import { leaveUnsure } from "./lost-policies.ts";
import { removeManual } from "./manual.ts";
import { dropOthers } from "./others.ts";
import { endNegotiation, reasonFor } from "./phase1-end.ts";
import { endExchange } from "./phase2.ts";
import { dropRefused } from "./refused.ts";
import { dropPaced } from "./retry.ts";
import { upkeep } from "./standing.ts";
import { endStrangers } from "./strangers.ts";
import { dropTunnelEnds, onTunnelEnd, settleEnds } from "./tunnel-ends.ts";
import { finish, settle, tell, type Watch } from "./watch.ts";
import { failWish, isUp, specKey, wishFor } from "./wishes.ts";

/** Before a rule that should be up looks for a route again. Milliseconds. */
const ROUTE_RETRY = 10_000;

/** Begins a command of an administrator; its answers are effects `reply` with `id`. */
export function onCommand(core: Core, id: number, command: Command): void {
  switch (command.name) {
    case "initiate":
      return initiate(core, id, command.rule, command.peer, command.waitSeconds);
    case "terminate":
      return terminate(core, id, command.target);
    case "shutdown":
      return shutdown(core, id, command.keep, command.policies ?? "remove");
  }
}

const last = (core: Core, id: number, line: ReplyLine): void => emit(core, { type: "reply", id, line, last: true });

// Initiate

function initiate(core: Core, id: number, name: string, peer: string | undefined, waitSeconds: number): void {
  const rule = ruleNamed(core.policy, name);
  if (!rule) {
    const known = core.policy.rules.map((candidate) => candidate.name).join(", ") || "none";
    return last(core, id, {
      text: `no rule is called ${name}; rules: ${known}`,
      exit: 1,
      reason: "no-rule",
      hint: "`mainmode status` and the configuration name the rules",
    });
  }
  const given = peer === undefined ? undefined : canonicalAddress(peer);
  const peers = peersFor(rule, given);
  const wrong = given === undefined ? peer !== undefined && `${peer} is no address` : notItsPeer(rule, given);
  if (wrong || peers.length === 0)
    return last(core, id, {
      text: wrong || `rule ${name} names no single peer; say which one with --peer ADDRESS`,
      exit: given === undefined && peer !== undefined ? 2 : 1,
      reason: "no-rule",
      hint: `--peer takes the address of a peer of the rule: ${peersText(rule)}`,
    });
  const watch: Watch = { id, what: `rule ${name}`, open: new Set(), failure: null };
  core.watches.set(id, watch);
  core.timers.set(`watch ${id}`, "giveUp", core.now + waitSeconds * 1000);
  begin(core, rule, peers, watch);
}

const notItsPeer = (rule: Rule, given: string): string | false =>
  !peerRanges(rule).some((range) => includesAddress(range, given)) &&
  `rule ${rule.name} is not for ${given}; its peers are ${peersText(rule)}`;

/** Peers that a message names. */
const MOST_TOLD = 4;

const peersText = (rule: Rule): string => {
  const ranges = peerRanges(rule).map((range) => formatEnd(range, 0));
  return `${ranges.slice(0, MOST_TOLD).join(", ")}${ranges.length > MOST_TOLD ? " …" : ""}`;
};

/** The single hosts that a rule can speak IKE with; a given peer stands for all of them. */
function peersFor(rule: Rule, given: string | undefined): readonly string[] {
  if (given !== undefined) return [given];
  if (rule.tunnel) return [rule.tunnel.remote];
  if (rule.peer) return isHost(rule.peer) ? [hostText(rule.peer)] : [];
  return [
    ...new Set(rule.filters.flatMap(({ remote }) => (remote.kind === "range" && isHost(remote.range) ? [hostText(remote.range)] : []))),
  ];
}

const hostText = (range: Parameters<typeof formatRange>[0]): string => formatRange(range).split("/")[0] as string;

/** Asks for the route to each peer first: it decides which of our addresses speaks. */
function begin(core: Core, rule: Rule, peers: readonly string[], watch: Watch | null): void {
  for (const remote of peers) watch?.open.add(`route ${remote}`);
  for (const remote of peers) {
    if (rule.tunnel?.local) {
      onRoute(core, rule, remote, rule.tunnel.local, watch, watch === null);
      continue;
    }
    const id = ++core.nextOp;
    core.routes.set(id, { remote, resume: { kind: "initiate", watch: watch?.id ?? null, rule: rule.name } });
    emit(core, { type: "route", id, remote });
  }
}

/** A route's answer. */
export function onRouteDone(core: Core, id: number, local: string | undefined): void {
  const question = core.routes.get(id);
  core.routes.delete(id);
  if (!question || core.stopping) return;
  const name = question.resume.rule;
  if (question.resume.kind === "tunnel-end") {
    core.endsAsked.open.delete(id);
    const rule = ruleNamed(core.policy, name);
    if (rule) onTunnelEnd(core, rule, question.remote, local);
    return core.endsAsked.open.size === 0 ? settleTunnelEnds(core) : undefined;
  }
  // The negotiation speaks from the end that the rule's policies have.
  if (core.endsAsked.told.has(name)) settleTunnelEnds(core);
  const rule = ruleNamed(core.policy, name);
  if (!rule) return;
  const watch = question.resume.watch === null ? null : (core.watches.get(question.resume.watch) ?? null);
  // A command that waited no longer has begun all the same, but looks for a route this once only.
  onRoute(core, rule, question.remote, local, watch, question.resume.watch === null);
}

/** Tunnels have the ends that routes have told; those that shall be up begin. Also where a route has no answer for too long. */
export function settleTunnelEnds(core: Core): void {
  for (const rule of settleEnds(core)) if (rule.start === "now") begin(core, rule, peersFor(rule, undefined), null);
}

function onRoute(core: Core, rule: Rule, remote: string, local: string | undefined, watch: Watch | null, again: boolean): void {
  const specs = local === undefined || !core.addresses.includes(local) ? [] : specsFor(core, rule, local, remote);
  for (const spec of specs) {
    const up = isUp(core, spec);
    if (up && watch) tell(core, [watch.id], up);
    if (up) continue;
    watch?.open.add(specKey(spec));
    wishFor(core, spec, watch ? [watch.id] : [], null);
  }
  const error: IkeError = {
    kind: "no-route",
    what:
      local === undefined
        ? `no route to ${remote}`
        : `no filter of the rule is between an address of ours (${local} by the route) and ${remote}`,
  };
  if (watch) settle(core, [watch.id], `route ${remote}`, specs.length === 0 ? error : null);
  else if (specs.length === 0 && again) core.timers.set(`start ${rule.name}`, "retry", core.now + ROUTE_RETRY);
}

/**
 * Every child that a rule means with a peer, from our address `local`. A filter that names other addresses of ours on its own side
 * speaks from those: the rule is more exact than the route.
 */
function specsFor(core: Core, rule: Rule, local: string, remote: string): readonly ChildSpec[] {
  const spec = (covering: TrafficSelector, selector: TrafficSelector, own: string): ChildSpec => ({
    rule,
    selector,
    local: own,
    remote,
    reqid: core.policies.reqidFor(rule, covering, selector, remote),
  });
  return rule.filters.flatMap((filter: Filter) => {
    const selectors = concreteSelectors(filter, rule, core.addresses);
    if (rule.mode === "tunnel") return selectors.map((covering) => spec(covering, covering, local));
    const towards = selectors.filter((covering) => includesAddress(covering.remote, remote));
    const routed = towards.filter((covering) => includesAddress(covering.local, local));
    return (routed.length > 0 ? routed : towards).flatMap((covering) => {
      const own = routed.length > 0 ? local : hostText(covering.local);
      const selector = core.addresses.includes(own) ? betweenHosts(covering, own, remote) : undefined;
      if (!selector) return [];
      // Another filter of the rule may be the narrower one for just these packets: the kernel asks for its SAs.
      const decides = ruleCoveringSelectors([rule], [own], selector, rule.mode);
      return [spec(decides.ok ? decides.value.selector : covering, selector, own)];
    });
  });
}

/** In transport mode a child is between two hosts: the filter narrowed to them, or nothing. */
export function betweenHosts(covering: TrafficSelector, local: string, remote: string): TrafficSelector | undefined {
  if (!includesAddress(covering.local, local) || !includesAddress(covering.remote, remote)) return undefined;
  return { ...covering, local: hostOf(local), remote: hostOf(remote) };
}

/** Rules with start = "now": at start, and whenever our addresses change. */
export function startRules(core: Core): void {
  if (core.addresses.length === 0) return;
  for (const rule of core.policy.rules)
    if (rule.start === "now" && rule.tunnel?.local !== null) begin(core, rule, peersFor(rule, undefined), null);
}

/** A rule with start = "now" had no route: it is looked for again. */
export function onStartRetry(core: Core, name: string): void {
  const rule = ruleNamed(core.policy, name);
  if (rule) begin(core, rule, peersFor(rule, undefined), null);
}

/** The command's patience is over: the best reason known, or 75. */
export function onWatchTimeout(core: Core, id: number): void {
  const watch = core.watches.get(id);
  if (!watch) return;
  for (const entry of core.store.ikes.values()) {
    if (entry.phase !== "negotiating" || !entry.wishes.some((wish) => wish.watchers.has(id))) continue;
    watch.failure = reasonFor(entry);
  }
  watch.failure ??= { kind: "peer-silent", what: "the negotiation is not done yet; it goes on" };
  finish(core, watch);
}

// Terminate

function terminate(core: Core, id: number, target: TerminateTarget): void {
  const before = [...core.store.ikes.keys(), ...core.store.children.keys()];
  const strangers = endStrangers(core, target);
  end(core, target);
  const gone = before.filter((known) => !core.store.ikes.has(known) && !core.store.children.has(known));
  const soft = endSoft(core, (rule) => target.kind === "all" || (target.kind === "rule" && target.rule === rule));
  const ended = gone.length + strangers + soft;
  if (ended === 0 && target.kind !== "all") {
    const what = target.kind === "rule" ? `rule ${target.rule}` : `${target.kind} ${target.id}`;
    return last(core, id, {
      text: `${what}: nothing to terminate`,
      exit: 1,
      reason: "nothing-there",
      hint: "`mainmode status` shows what is there",
    });
  }
  afterKernel(core, { kind: "reply", id, line: { text: `${ended} ${ended === 1 ? "SA" : "SAs"} closed`, exit: 0 } });
}

/** Goes on when everything that the kernel was asked before is done. */
function afterKernel(core: Core, pending: { readonly kind: "reply"; readonly id: number; readonly line: ReplyLine }): void {
  const id = ++core.nextOp;
  core.pending.set(id, pending);
  emit(core, { type: "kernel", id, commands: [] });
}

/** Ends what a target means. `spared`: rules whose SAs live on all the same. A reload names many rules at once: the tables are gone through once. */
export function end(
  core: Core,
  target: TerminateTarget | { readonly kind: "rules"; readonly names: ReadonlySet<string> },
  spared: ReadonlySet<Rule> = NONE,
): void {
  const ofRule = (name: string): boolean =>
    target.kind === "all" || (target.kind === "rule" && target.rule === name) || (target.kind === "rules" && target.names.has(name));
  for (const [key, { spec }] of [...core.retries]) {
    if (!ofRule(spec.rule.name)) continue;
    core.retries.delete(key);
    core.timers.clearAll(`retry ${key}`);
  }
  for (const wish of dropPaced(core, ofRule)) failWish(core, wish, { kind: "terminated", what: "terminated by command" });
  stopLooking(core, ofRule);
  for (const entry of [...core.store.ikes.values()])
    endWishes(core, entry, (name) => ofRule(name) || (target.kind === "ike" && target.id === entry.id));
  for (const child of [...core.store.children.values()]) {
    const meant =
      (ofRule(child.spec.rule.name) && !spared.has(child.spec.rule)) ||
      (target.kind === "child" && target.id === child.id) ||
      (target.kind === "ike" && target.id === child.ike);
    if (meant) removeChild(core, child, "terminated", true);
  }
  for (const entry of [...core.store.ikes.values()]) {
    if (entry.phase !== "established") continue;
    if (target.kind === "all" || (target.kind === "ike" && target.id === entry.id)) closeIke(core, entry, "terminated");
    else if (ofRule(entry.sa.rule.name) && entry.children.size === 0 && !spared.has(entry.sa.rule)) closeIke(core, entry, "terminated");
  }
}

const NONE: ReadonlySet<Rule> = new Set();

/** Rules that look for a route do so no longer. */
function stopLooking(core: Core, meant: (rule: string) => boolean): void {
  for (const { name } of core.policy.rules) if (meant(name)) core.timers.clearAll(`start ${name}`);
  for (const [id, { remote, resume }] of [...core.routes]) {
    if (resume.kind !== "initiate" || !meant(resume.rule)) continue;
    core.routes.delete(id);
    if (resume.watch !== null) settle(core, [resume.watch], `route ${remote}`, { kind: "terminated", what: "terminated by command" });
  }
}

/** Negotiations and Quick Modes of the meant rules end with the reason "terminated". */
function endWishes(core: Core, entry: IkeEntry, meant: (rule: string) => boolean): void {
  const error: IkeError = { kind: "terminated", what: "terminated by command" };
  if (entry.phase === "negotiating") {
    if (meant(ruleOf(entry).name)) endNegotiation(core, entry, error);
    return;
  }
  for (const ex of [...entry.exchanges.values()]) {
    const { state } = ex;
    if (state.kind === "done") continue;
    const rule = state.kind === "offered" ? state.wish.spec.rule : state.kind === "installing" ? state.spec.rule : state.child.spec.rule;
    if (meant(rule.name)) endExchange(core, entry, ex, error);
  }
}

// Shutdown

/** A full stop takes down what we put up, and nothing else; `keep` leaves kernel and peers as they are. */
function shutdown(core: Core, id: number, keep: boolean, policies: "remove" | "keep"): void {
  core.stopping = true;
  dropTunnelEnds(core);
  dropRefused(core);
  dropOthers(core);
  // Nobody would end a soft SA while we are away.
  dropFronts(core, keep ? "soft" : "all");
  if (!keep) {
    endStrangers(core, { kind: "all" });
    end(core, { kind: "all" });
    dropFarewells(core);
    dropFragments(core);
    dropLoad(core);
    upkeep(core, removeLeftovers(core));
    removeManual(core);
    upkeep(core, policies === "keep" ? core.policies.leaveStanding() : core.policies.removeAll());
  }
  endLooks(core);
  for (const watch of [...core.watches.values()]) {
    watch.failure ??= { kind: "terminated", what: "the daemon stops" };
    finish(core, watch);
  }
  core.stops.push(id);
}

/** The stop is complete once the kernel has answered everything: only then is nothing left to undo. */
export function answerStops(core: Core): void {
  if (core.stops.length === 0 || core.pending.size > 0 || core.look.id !== null || lookLast(core)) return;
  leaveUnsure(core);
  for (const id of core.stops.splice(0)) last(core, id, { text: "stopped", exit: 0 });
  emit(core, { type: "stopped" });
}
