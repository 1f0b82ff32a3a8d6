/**
 * Policies that stand in front of a rule's own, for one peer and for a while.
 * `soft`: a `request` rule lets clear text through with a peer that sends no IKE packet at all (Windows' "soft SA"). What opens it is silence
 * alone, of a peer whom a message of ours has left for, so no packet can: neither a forged refusal nor a proof that failed leads to clear text. A peer that proves itself closes it, and so
 * does one that was slow to answer and then fails to.
 * `guard`: what was protected once under negotiation discovery or a `request` rule stays so for a while after its last SA ended: whoever
 * keeps the peers from talking does not get clear text in exchange. Guards outlive the daemon, by its journal, as does who spoke IKE (spoke.ts).
 */
import { ruleCoveringSelectors, ruleNamed } from "../policy/select.ts";
import { formatSelector } from "../policy/selector.ts";
import type { Rule } from "../policy/types.ts";
import { ownerOf } from "../sa-store/changes.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import type { JournalValue } from "../sa-store/journal-record.ts";
import { MultiIndex } from "../sa-store/multi-index.ts";
import { type Core, count, log } from "./core.ts";
import type { IkeError } from "./errors.ts";
import { type Claim, claimsOn, openRulesTowards } from "./guarded.ts";
import { selectorRecord } from "./identity-record.ts";
import type { Instant, Path } from "./input.ts";

import type { KernelPolicy } from "./kernel-contract.ts";
import { policyValue } from "./policy-records.ts";
import { isHeldOff } from "./retry.ts";
import { rememberSpoke, Spoke } from "./spoke.ts";
import { upkeep } from "./standing.ts";
import { specKey, wishFor } from "./wishes.ts";

/** `asking`: the peer has been asked for protection, and it is not known yet whether it will answer. */
export interface Front {
  readonly id: number;
  readonly kind: "asking" | "soft" | "guard";
  readonly spec: ChildSpec;
  until: Instant;
  policies: readonly KernelPolicy[];
}

/** How long a flow that was protected is kept out of the clear once its last SA has ended. Milliseconds. */
export const GUARD = 300_000;

const peerKey = ({ local, remote }: Pick<ChildSpec, "local" | "remote">): string => `${local} ${remote}`;
const keyOf = (kind: Front["kind"], spec: ChildSpec): string => `${kind} ${specKey(spec)}`;

/** All fronts, by id, by what they are for, and by peer. */
export class Fronts {
  readonly #byId = new Map<number, Front>();
  readonly #byKey = new Map<string, Front>();
  readonly #byPeer = new MultiIndex<string, Front>();
  /** Peers that were asked and have said nothing since, by both addresses. */
  readonly #silent = new Set<string>();
  /** Peers that have shown lately that they speak IKE. */
  readonly spoke = new Spoke();

  get size(): number {
    return this.#byId.size;
  }

  /** Soft SAs that are open, oldest first. */
  get soft(): readonly Front[] {
    return [...this.#byId.values()].filter(({ kind }) => kind === "soft");
  }

  all(): readonly Front[] {
    return [...this.#byId.values()];
  }

  byId(id: number): Front | undefined {
    return this.#byId.get(id);
  }

  find(kind: Front["kind"], spec: ChildSpec): Front | undefined {
    return this.#byKey.get(keyOf(kind, spec));
  }

  between(local: string, remote: string): readonly Front[] {
    return this.#byPeer.all(peerKey({ local, remote }));
  }

  put(front: Front): void {
    this.#byId.set(front.id, front);
    this.#byKey.set(keyOf(front.kind, front.spec), front);
    this.#byPeer.add(peerKey(front.spec), front);
    if (front.kind === "asking") this.#silent.add(peerKey(front.spec));
  }

  remove(front: Front): void {
    this.#byId.delete(front.id);
    const key = keyOf(front.kind, front.spec);
    // Another one may have taken its place.
    if (this.#byKey.get(key) === front) this.#byKey.delete(key);
    this.#byPeer.remove(peerKey(front.spec), front);
    if (!this.between(front.spec.local, front.spec.remote).some(({ kind }) => kind === "asking")) this.#silent.delete(peerKey(front.spec));
  }

  /** They have said something. Whether they were asked and had been silent. */
  isSilentNoLonger(addresses: string): boolean {
    return this.#silent.delete(addresses);
  }

  get awaitsSomebody(): boolean {
    return this.#silent.size > 0;
  }

  isSilent(spec: ChildSpec): boolean {
    return this.#silent.has(peerKey(spec));
  }
}

/** An IKE packet has come from there, whatever it says: for a while its silence means nothing. Every datagram passes here. */
export function onHeard(core: Core, local: string, remote: string): void {
  if (!core.fronts.awaitsSomebody) return;
  const addresses = peerKey({ local, remote });
  if (core.fronts.isSilentNoLonger(addresses)) rememberSpoke(core, addresses);
}

/** Message 1 has left for a child, or had before it was wanted: where its rule may fall back to clear text, the peer's time to answer runs. */
export function awaitAnswer(core: Core, spec: ChildSpec): void {
  const { fallback } = spec.rule.clear;
  if (!fallback || core.fronts.spoke.has(peerKey(spec), core.now)) return;
  if (core.fronts.find("asking", spec) || core.fronts.find("soft", spec)) return;
  stand(core, "asking", spec, fallback.afterSeconds * 1000, []);
}

function stand(core: Core, kind: Front["kind"], spec: ChildSpec, milliseconds: number, policies: readonly KernelPolicy[]): Front {
  const front: Front = { id: core.store.newId(), kind, spec, until: core.now + milliseconds, policies };
  core.fronts.put(front);
  core.timers.set(`front ${front.id}`, "expire", front.until);
  return front;
}

/** A front's time is over. */
export function onFrontTimer(core: Core, id: number): void {
  const front = core.fronts.byId(id);
  if (!front) return;
  if (front.kind === "asking") onAskedLongEnough(core, front);
  else if (front.kind === "soft") closeSoft(core, front, "its time is over, the peer is asked again when traffic wants it");
  else lift(core, front);
}

/** Whose question has not left is not silent: it has its time from when it does, and until then the traffic waits. Nor is who is asked nothing. */
function onAskedLongEnough(core: Core, asking: Front): void {
  const { local, remote, rule } = asking.spec;
  const key = specKey(asking.spec);
  const n = core.store
    .byPeer(local, remote)
    .find(
      (one): one is Negotiation => one.phase === "negotiating" && one.role === "initiator" && one.wishes.some((wish) => wish.key === key),
    );
  if (!n?.flight) return lift(core, asking);
  const due = (n.askedAt ?? core.now) + (rule.clear.fallback?.afterSeconds ?? 0) * 1000;
  if (!core.fronts.isSilent(asking.spec) || due <= core.now) return settleAsking(core, asking);
  asking.until = due;
  core.timers.set(`front ${asking.id}`, "expire", due);
}

/** The end of a negotiation in which nothing could be sent: nobody was asked. */
export function stopAsking(core: Core, spec: ChildSpec): void {
  const asking = core.fronts.find("asking", spec);
  if (asking) lift(core, asking);
}

/** Ends of a negotiation that say nothing about the peer. */
const SILENT: ReadonlySet<IkeError["kind"]> = new Set(["peer-silent", "terminated", "kernel", "no-route", "not-sent", "no-rule"]);
const tellsOfPeer = (error: IkeError): boolean =>
  !SILENT.has(error.kind) && !(error.kind === "auth-failed" && error.failure.whose === "me");

/** A negotiation came to nothing: nobody waits for an answer to it any more. */
export function onWishFailed(core: Core, spec: ChildSpec, error: IkeError): void {
  if (tellsOfPeer(error) && core.fronts.find("soft", spec)) onProofFailed(core, spec.local, spec.remote);
  const asking = core.fronts.find("asking", spec);
  if (asking && error.kind === "terminated") lift(core, asking);
  else if (asking) settleAsking(core, asking);
}

/** Silence opens a soft SA, anything else does not. */
function settleAsking(core: Core, asking: Front): void {
  const silent = core.fronts.isSilent(asking.spec);
  lift(core, asking);
  if (silent && !core.stopping && !isGuarded(core, asking.spec)) openSoft(core, asking.spec);
}

/** A peer that was protected, in whatever flow, gets no clear text for its silence. */
const isGuarded = (core: Core, { local, remote }: ChildSpec): boolean =>
  core.fronts.between(local, remote).some(({ kind }) => kind === "guard");

/** Traffic to a multicast group, to everybody or to ourselves wants protection: there is no peer to negotiate with, so that it is silent by nature. */
export function askNobody(core: Core, spec: ChildSpec): void {
  if (!spec.rule.clear.fallback)
    return count(core, "an acquire for multicast, broadcast, a link-local address or ourselves, whom nobody can negotiate with");
  if (!core.fronts.find("soft", spec)) openSoft(core, spec);
}

function openSoft(core: Core, spec: ChildSpec): void {
  const { fallback } = spec.rule.clear;
  if (!fallback) return;
  const front = stand(core, "soft", spec, fallback.forSeconds * 1000, core.policies.clearFor(spec));
  upkeep(core, core.policies.layFront(front.id, front.policies));
  const text = `${spec.remote} sends no IKE packet: ${formatSelector(spec.selector)} goes in clear for ${fallback.forSeconds} s (rule ${spec.rule.name})`;
  log(core, "soft.opened", "notice", text, { rule: spec.rule.name, peer: spec.remote });
}

function closeSoft(core: Core, front: Front, why: string, what = "in clear"): void {
  const { spec } = front;
  lift(core, front);
  // Its silence has had its answer; the next packet asks again at once.
  core.outages.delete(peerKey(spec));
  log(
    core,
    "soft.closed",
    "notice",
    `${spec.remote}: ${formatSelector(spec.selector)} no longer ${what}, ${why} (rule ${spec.rule.name})`,
    {
      rule: spec.rule.name,
      peer: spec.remote,
    },
  );
}

function lift(core: Core, front: Front): void {
  core.timers.clearAll(`front ${front.id}`);
  core.fronts.remove(front);
  if (front.kind === "guard" && !core.store.changes.came.delete(ownerOf.guard(front.id)))
    core.store.changes.gone.add(ownerOf.guard(front.id));
  upkeep(core, core.policies.liftFront(front.id, front.policies));
}

/** The peer has proved itself: it speaks IKE, and what it was let through for is over. */
export function onPeerProved(core: Core, local: string, remote: string): void {
  if (core.fronts.size === 0) return;
  for (const front of core.fronts.between(local, remote)) {
    if (front.kind === "asking") lift(core, front);
    else if (front.kind === "soft") closeSoft(core, front, "the peer speaks IKE now");
  }
}

/** A peer has failed to prove itself, whoever began: it gets no clear text by being silent afterwards, and none by having been silent before. */
export function onProofFailed(core: Core, local: string, remote: string): void {
  const addresses = peerKey({ local, remote });
  core.fronts.isSilentNoLonger(addresses);
  rememberSpoke(core, addresses);
  for (const front of core.fronts.between(local, remote))
    if (front.kind === "soft") closeSoft(core, front, "the peer speaks IKE, and has not proved itself");
}

/**
 * A peer has begun a negotiation, and what it offers was refused. Anybody can write its address on such a message, so it closes no soft SA; but the
 * peer seems to speak IKE after all, and is asked: if it answers, the soft SA does not outlive that.
 */
export function askAgain(core: Core, { local, remote }: Path): void {
  if (core.fronts.size === 0) return;
  for (const { kind, spec } of core.fronts.between(local.address, remote.address))
    if (kind === "soft" && !isHeldOff(core, spec)) wishFor(core, spec, [], null);
}

/** A child carries traffic: it watches over its flow itself. */
export function relieveGuard(core: Core, child: ChildSa): void {
  const guard = core.fronts.size > 0 ? core.fronts.find("guard", child.spec) : undefined;
  if (guard) lift(core, guard);
}

/** Before the policies of the last child of a flow go: under discovery the rule's own would let it on in clear. */
export function guardFlow(core: Core, child: ChildSa): void {
  if (core.stopping) return;
  for (const { spec, own } of claimsOn(core, child.spec)) {
    if (core.fronts.find("guard", spec) || asksNoMore(child.spec.rule, spec.rule)) continue;
    const policies = core.policies.guardFor(spec, spec.reqid === child.spec.reqid ? child : undefined);
    // Under `request` without discovery the rule's own policies let nothing out.
    standGuard(core, spec, GUARD, own(policies));
  }
}

/**
 * The rule that a flow is of in the present policy. A reload may have made another object of it, or given it another name: then it is the most
 * specific rule under which the flow might go in clear.
 */
export function successorOf(core: Core, { rule, selector }: ChildSpec): Rule | undefined {
  const named = ruleNamed(core.policy, rule.name);
  if (named) return named;
  const covering = ruleCoveringSelectors(openRulesTowards(core, selector.remote), core.addresses, selector, rule.mode);
  return covering.ok ? covering.value.rule : undefined;
}

/** Keeps a flow from the clear; `policies`: what stands in front of its rule's own for that. */
export function standGuard(core: Core, spec: ChildSpec, milliseconds: number, policies: readonly KernelPolicy[]): void {
  const front = stand(core, "guard", spec, milliseconds, policies);
  core.store.changes.came.set(ownerOf.guard(front.id), guardRecord(front));
  upkeep(core, core.policies.layFront(front.id, front.policies));
}

const guardRecord = ({ spec, until, policies }: Front): JournalValue => ({
  rule: spec.rule.name,
  selector: selectorRecord(spec.selector),
  local: spec.local,
  remote: spec.remote,
  reqid: spec.reqid,
  until,
  policies: policies.map((policy) => policyValue(policy)),
});

/** An administrator ends the soft SAs of the rules that are `meant`. How many there were. */
export function endSoft(core: Core, meant: (rule: string) => boolean): number {
  const ended = core.fronts.soft.filter(({ spec }) => meant(spec.rule.name));
  for (const front of ended) closeSoft(core, front, "it was terminated by command");
  return ended.length;
}

/** Soft SAs go, or everything. */
export function dropFronts(core: Core, which: "soft" | "all"): void {
  for (const front of core.fronts.all()) if (which === "all" || front.kind === "soft") lift(core, front);
}

/**
 * Rules have changed. A soft SA stands on only where nothing but filters and start differ (`refitted`). `specNow`: the same need under the present rule.
 * After the rules' own policies.
 */
export function carryFronts(core: Core, refitted: ReadonlySet<Rule>, specNow: (spec: ChildSpec) => ChildSpec | undefined): void {
  const rules = new Set(core.policy.rules);
  for (const front of core.fronts.all()) {
    if (front.kind === "guard" || rules.has(front.spec.rule)) continue;
    const spec = front.kind === "asking" ? undefined : specNow(front.spec);
    if (spec && refitted.has(spec.rule)) {
      const soft = stand(core, "soft", spec, front.until - core.now, core.policies.clearFor(spec));
      upkeep(core, core.policies.layFront(soft.id, soft.policies));
    }
    lift(core, front);
  }
}

/** Rules have changed: soft SAs let through what their rules still decide about, each way by itself. */
export function relaySoft(core: Core): void {
  for (const front of core.fronts.soft) {
    const policies = core.policies.clearFor(front.spec);
    upkeep(core, core.policies.relayFront(front.id, policies, front.policies));
    front.policies = policies;
  }
}

/** Soft SAs end, and those about to open, whose traffic another rule decides about. `taken`: which one, and why. Guards: `carryGuards`. */
export function closeTaken(core: Core, taken: (spec: ChildSpec) => string | undefined): void {
  for (const front of core.fronts.all()) {
    const why = front.kind === "guard" ? undefined : taken(front.spec);
    if (why === undefined) continue;
    if (front.kind === "soft") closeSoft(core, front, why, "in clear by its rule");
    else lift(core, front);
  }
}

/** Rules have changed. Each guard stands on for the rules that decide about its flow now, where they would let it out in clear. After the rules' own policies. */
export function carryGuards(core: Core): void {
  for (const front of core.fronts.all()) if (front.kind === "guard") carryGuard(core, front);
}

/** Whether an administrator has taken it back that a flow is asked for: nobody would end the guard by protecting it. */
const asksNoMore = (before: Rule, now: Rule): boolean => before.start !== "never" && now.start === "never";

/** What is the same stays where it is. */
function carryGuard(core: Core, guard: Front): void {
  const claims = claimsOn(core, guard.spec).filter(({ spec }) => !asksNoMore(guard.spec.rule, spec.rule));
  const isOfSame = ({ spec }: Claim): boolean => spec.rule === guard.spec.rule && spec.reqid === guard.spec.reqid;
  const policiesOf = (claim: Claim): readonly KernelPolicy[] =>
    claim.own(isOfSame(claim) ? guard.policies : core.policies.guardFor(claim.spec));
  const [claim, ...more] = claims;
  if (claim && more.length === 0 && isOfSame(claim) && policiesOf(claim).length === guard.policies.length) return;
  for (const one of claims) standGuard(core, one.spec, guard.until - core.now, policiesOf(one));
  lift(core, guard);
}

/** The kernel refused what a front wants there. */
export function loseFront(core: Core, id: number): void {
  const front = core.fronts.byId(id);
  if (front) lift(core, front);
}
