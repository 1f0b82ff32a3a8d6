/**
 * Kernel policies: those that stand because a rule requires protection, and those that come and go with a child.
 * What others put there is never replaced: `add-policy` refuses, and the refusal names it (`policy-slots.ts`).
 */
import { formatAddress, isHost } from "../isakmp/address.ts";
import { type DecisionIndex, indexPolicies } from "../policy/decide.ts";
import { isNatural, type PacketSelector } from "../policy/packet-selector.ts";
import { NO_POLICY } from "../policy/traffic-keys.ts";
import type { Policy, Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import { type Core, kernel, logError } from "./core.ts";
import { kernelError } from "./errors.ts";
import { farSide, otherHost } from "./far-side.ts";
import { atLevel, kernelPolicies, policiesOf, sameProtocols, withReqid } from "./install.ts";
import type { KernelCommand, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { lookSoon } from "./look.ts";
import { coveringPair, inFrontOfRule, isPartOf, mayStand, type Stands, stands, waysOf } from "./place.ts";
import type { PolicyKey } from "./policy-slot.ts";
import { PolicySlots } from "./policy-slots.ts";
import { awaitFirst, awaitRefused, tellStanding, tellUnsure, whose } from "./refused.ts";
import { childKey, inboundKey, standingKey } from "./reqid-keys.ts";
import { freeUnused } from "./reqid-users.ts";
import { Reqids } from "./reqids.ts";
import { stepsOf } from "./same-policy.ts";
import { keyOf, type Plain, type Standing, wantedPolicies } from "./wanted-policies.ts";

export class PolicyTable {
  readonly #slots = new PolicySlots();
  readonly #reqids = new Reqids();
  readonly #standing = new Map<number, Standing>();
  /** What stands without a reqid, by direction and selector: permits, blocks, exemptions. */
  #plain: ReadonlyMap<string, Plain> = new Map();
  /** The rules by the reqids of what comes in under them. */
  #inbound: ReadonlyMap<number, string> = new Map();
  /** Of rules' policies that should stand; null: nobody has asked since the last `sync`. */
  #index: DecisionIndex<KernelPolicy> | null = null;
  #addresses: readonly string[] = [];
  #policy: Policy = NO_POLICY;
  /** What an earlier run left and nobody wants: nothing; kept, while the start sees what it was for; or overdue, where the start broke off. */
  #left: "nothing" | "kept" | "overdue" = "nothing";

  /** The rule and selector that a reqid in an acquire stands for. */
  byReqid(reqid: number): Standing | undefined {
    return this.#standing.get(reqid);
  }

  /**
   * The rules' policies that should stand, by the packets that they cover. Without ways past blocks and exemptions, which are not what a filter says.
   */
  byPackets(): DecisionIndex<KernelPolicy> {
    if (this.#index) return this.#index;
    const all = [...this.#plain.values(), ...this.#standing.values()].flatMap(({ policies }) => policies);
    this.#index = indexPolicies(all.filter(({ priority }) => isNatural(priority)));
    return this.#index;
  }

  /** The name of the rule that such a policy is of. */
  ruleOf(policy: KernelPolicy): string | undefined {
    const [template] = policy.templates;
    return template
      ? (this.#standing.get(template.reqid)?.rule.name ?? this.#inbound.get(template.reqid))
      : (this.#plain.get(keyOf(policy))?.rule ?? undefined);
  }

  /**
   * The reqid of a child: that of the standing policy it serves, or one of its own, by which policies of its own lead to it and to no other. So has it where
   * its rule has no policy, and where it is for a part only of what the rule's is about: the peer wants that part in this very SA.
   */
  reqidFor(rule: Rule, covering: TrafficSelector, selector: TrafficSelector, remote: string): number {
    const serves = stands(rule) && !isPartOf(rule, covering, selector);
    return serves ? this.#ofRule(standingKey(rule, covering)) : this.#reqids.of(childKey(rule, selector, remote));
  }

  /** That of the standing policy, where it has been given out already; 0: it has not, or would be the child's own. */
  knownReqid(rule: Rule, covering: TrafficSelector): number {
    return (rule.action === "respond" ? undefined : this.#reqids.known(standingKey(rule, covering))) ?? 0;
  }

  /** The same need with a number that is its own, where that which it had was given back. */
  numbered(spec: ChildSpec): ChildSpec {
    if (this.#reqids.keyOf(spec.reqid) !== undefined) return spec;
    return { ...spec, reqid: this.#reqids.of(childKey(spec.rule, spec.selector, spec.remote)) };
  }

  /** The standing policy that a child serves, or a part of it. */
  standingOf(spec: Pick<ChildSpec, "rule" | "selector" | "reqid">): Standing | undefined {
    return this.#standing.get(this.#servedReqid(spec));
  }

  #servedReqid({ rule, selector, reqid }: Pick<ChildSpec, "rule" | "selector" | "reqid">): number {
    if (this.#standing.has(reqid) || !stands(rule) || !this.#reqids.isOwn({ rule, selector, reqid })) return reqid;
    // Ours, also where it is away at this moment.
    const { local } = selector;
    const covering = coveringPair(isHost(local) ? [formatAddress(local.family, local.first)] : this.#addresses, rule, selector);
    return (covering && this.knownReqid(rule, covering)) || reqid;
  }

  /**
   * The reqid of a child's inbound SAs: in transport mode all filters of a rule that has policies share it. Which filter the other end means by a packet is its
   * own affair, as is which of our SAs it has for it: they have selectors, and one rule makes one demand. So nothing depends on when policies of a part come and go.
   */
  inboundReqid(spec: Pick<ChildSpec, "rule" | "selector" | "reqid">): number {
    const { rule } = spec;
    return rule.mode === "transport" && stands(rule) ? this.#ofRule(inboundKey(rule)) : this.#servedReqid(spec);
  }

  /** The same, where it has been given out; nothing changes by the question. */
  knownInboundReqid(spec: Pick<ChildSpec, "rule" | "selector" | "reqid">): number | undefined {
    const { rule } = spec;
    return rule.mode === "transport" && stands(rule) ? this.#reqids.known(inboundKey(rule)) : this.#servedReqid(spec);
  }

  /** The strongest policy of ours in the kernel for such packets, and whose it is where it stands in front of the rules'. */
  metBy(packets: PacketSelector, direction: KernelPolicy["direction"]): ReturnType<PolicySlots["metBy"]> {
    return this.#slots.metBy(packets, direction);
  }

  /** The reqid of a manual SA: that of its first policy would do for one only. */
  manualReqid(rule: string): number {
    return this.#ofRule(rule);
  }

  /** The number of what stands for a rule: in doubt where that does not stand at this moment. */
  #ofRule(key: string): number {
    const reqid = this.#reqids.of(key);
    if (!this.#standing.has(reqid) && !this.#inbound.has(reqid)) this.#reqids.doubt(reqid, false);
    return reqid;
  }

  /** The reqids that were given out or taken back since the last call. */
  takeChangedReqids(): readonly (readonly [string, number | null])[] {
    return this.#reqids.takeChanged();
  }

  /** What an earlier run left in the kernel: reqids keep their meaning, and its policies are ours again. `used`: numbers that the kernel knows. */
  restore(
    reqids: readonly (readonly [string, number])[],
    { present, perhaps }: { readonly present: readonly KernelPolicy[]; readonly perhaps: readonly KernelPolicy[] },
    used: readonly number[],
  ): void {
    this.#reqids.restore(reqids);
    for (const reqid of used) this.#reqids.reserve(reqid);
    this.#left = "kept";
    // What of it goes again goes in this order, the weakest first as in `sync`.
    for (const policy of [...present].sort((a, b) => b.priority - a.priority)) this.#slots.adopt(policy, true);
    for (const policy of perhaps) this.#slots.adopt(policy, false);
  }

  /** What is left of an earlier run and wanted by nobody goes. After `sync`. */
  dropUnwanted(core: Core): void {
    this.#left = "nothing";
    upkeep(core, this.#slots.settleAll());
  }

  /** The start is over. Where it broke off before `dropUnwanted`, what stood then stays, and shut, until the next `sync`, but no longer. */
  endRestore(): void {
    if (this.#left === "nothing") return;
    this.#left = "overdue";
    this.#slots.release();
  }

  /** Takes back the reqid of a child that never came to be, or was the last of its kind. */
  freeReqid({ reqid }: Pick<ChildSpec, "reqid">): void {
    if (!this.#standing.has(reqid) && !this.#reqids.isDoubted(reqid)) this.#reqids.free(reqid);
  }

  /** Policies of ours, in the kernel or asked for. */
  get size(): number {
    return this.#slots.size;
  }

  /** What stands, slot by slot. */
  get slots(): PolicySlots {
    return this.#slots;
  }

  /**
   * What the policy wants standing now, against what stands. Additions first, one group for each selector, the strongest before the others; then what becomes
   * weaker and stays, and removals, the weakest first: in between a packet meets what was decided about it before or what is decided now, never anything else. `beforeWeaker`: between
   * the two, what goes that stands in front of rules and must not meet packets of a rule that goes. `again`: what the kernel has refused is asked
   * for at once, not in its time only.
   */
  sync(core: Core, beforeWeaker?: () => void, again = false): void {
    if (core.stopping) return;
    this.#addresses = core.addresses;
    this.#policy = core.policy;
    const old = [...this.#standing.keys(), ...this.#inbound.keys()];
    const before = [...this.#standing.values(), ...this.#plain.values()];
    const { standing, plain, inbound } = wantedPolicies(core, this.#reqids);
    for (const { policies } of before) for (const policy of policies) this.#slots.dropBase(policy);
    this.#standing.clear();
    for (const [reqid, wanted] of standing) this.#standing.set(reqid, wanted);
    this.#plain = plain;
    this.#inbound = inbound;
    this.#index = null;
    const now = [...plain.values(), ...standing.values()];
    for (const { policies } of now) for (const policy of policies) this.#slots.setBase(policy);
    const weaker = new Set(now.flatMap(({ policies }) => policies.filter((policy) => this.#slots.weakens(policy))));
    const those = (weakened: boolean) => now.map(({ policies }) => ({ policies: policies.filter((one) => weaker.has(one) === weakened) }));
    const settle = (step: readonly KernelPolicy[]) => (again ? this.#slots.settle(step) : this.#slots.settleNew(step));
    for (const step of stepsOf(those(false))) upkeep(core, this.#slots.firstOf(settle(step)));
    beforeWeaker?.();
    for (const step of [...stepsOf(those(true)).toReversed(), ...stepsOf(before).toReversed()]) upkeep(core, settle(step));
    if (this.#left === "overdue") this.dropUnwanted(core);
    for (const reqid of old) if (!standing.has(reqid) && !inbound.has(reqid)) this.#reqids.doubt(reqid, true);
  }

  /** Numbers that nobody uses any longer are free again. Once for each input. */
  freeUnused(core: Core): void {
    if (this.#left !== "nothing" || core.stopping) return;
    const stands = (reqid: number): boolean => this.#standing.has(reqid) || this.#inbound.has(reqid);
    freeUnused(core, this.#reqids, stands, (spec) => this.#servedReqid(spec));
  }

  /** What a child still needs in the kernel: nothing where the rule's own policy leads to it, and is there. */
  take(child: ChildSa): readonly KernelCommand[] {
    const standing = this.#standing.get(child.spec.reqid);
    if (standing && this.#isServed(child)) return this.#slots.settle(standing.policies);
    return this.layFront(child.id, this.protectionFor(child));
  }

  /** Whether the rule's own policies lead to a child. */
  #isServed({ spec, protections }: ChildSa): boolean {
    const standing = this.#standing.get(spec.reqid);
    const protocols = protections.map(({ suite }) => suite.protocol);
    return standing !== undefined && !standing.rule.clear.discovery && sameProtocols(standing.policies[0], protocols);
  }

  /**
   * What must stand in front of the rule's own policies for a child: other protocols than the rule's first offer has, an SA of its own for a part, or
   * (discovery) that nothing more goes in clear; all that there is for a rule that only responds. A one-way rule stays one.
   */
  protectionFor(child: ChildSa): readonly KernelPolicy[] {
    return this.#protection(child.spec, policiesOf(child));
  }

  /**
   * What keeps a flow of a discovery rule from leaving in clear while it has no child. What comes is for the rule's own policies: a peer that only answers
   * may have ended its SAs, and begins in clear again. `last`: the child that it had, whose own policies stay where they lead to the same SAs.
   */
  guardFor(spec: ChildSpec, last?: ChildSa): readonly KernelPolicy[] {
    if (!spec.rule.clear.discovery) return [];
    const protocols = (spec.rule.quickMode.proposals[0] ?? []).map(({ protocol }) => protocol);
    const wanted = last ? policiesOf({ ...last, spec }) : kernelPolicies({ ...spec, mode: "transport", tunnel: null, protocols });
    return this.#protection(spec, wanted).filter(({ direction }) => direction === "out");
  }

  #protection(spec: ChildSpec, wanted: readonly KernelPolicy[]): readonly KernelPolicy[] {
    const { rule } = spec;
    const standing = this.standingOf(spec);
    const reqid = standing?.reqid ?? spec.reqid;
    const ways = standing ? null : waysOf(this.#stands, spec);
    const inbound = this.inboundReqid(spec);
    const own = wanted.map((policy) => (policy.direction === "out" ? policy : withReqid(policy, inbound)));
    const policies = this.inFront(spec, ways ? own.filter(({ direction }) => ways.has(direction)) : own).filter((front) =>
      mayStand(this.#stands, { rule, reqid }, front),
    );
    // The peer asked for protection, and may have permits of its own in what it asked for: its clear text still comes in.
    if (!standing && rule.action === "respond" && rule.mode === "transport")
      return policies.map((policy) => (policy.direction === "in" ? atLevel(policy, "use") : policy));
    if (!standing) return policies;
    return policies.flatMap((policy) => {
      const base = standing.policies.find(({ direction }) => direction === policy.direction);
      if (!base) return [];
      return atLevel(policy, rule.clear.discovery ? "required" : (base.templates[0]?.level ?? "required"));
    });
  }

  /** What lets the traffic of a child that never came through in clear, where its rule's own policies stop it. */
  clearFor(spec: ChildSpec): readonly KernelPolicy[] {
    const { rule, selector } = spec;
    const reqid = this.#servedReqid(spec);
    const directions = new Set(this.#standing.get(reqid)?.policies.map(({ direction }) => direction));
    const policies = kernelPolicies({ selector, mode: "transport", tunnel: null, protocols: [], reqid });
    const fronts = this.inFront(
      { rule, selector },
      policies.filter(({ direction }) => directions.has(direction)),
    );
    return fronts.filter((front) => mayStand(this.#stands, { rule, reqid }, front));
  }

  get #stands(): Stands {
    return {
      policy: this.#policy,
      addresses: this.#addresses,
      strongest: ({ selector, direction }) => this.byPackets().covering(selector, direction),
      ruleOf: (policy) => this.ruleOf(policy),
    };
  }

  /** The children whose own policies stand where those of a new one would. */
  holders(spec: ChildSpec): readonly number[] {
    const { selector, reqid } = spec;
    const policies = kernelPolicies({ selector, mode: spec.rule.mode, tunnel: null, protocols: [], reqid });
    const holders = new Set<number>();
    for (const policy of policies) for (const child of this.#slots.wantedAt(policy).children) holders.add(child);
    return [...holders];
  }

  /** The same policies just in front of the rule's own, and behind whatever is more specific than those. */
  inFront(spec: Pick<ChildSpec, "rule" | "selector">, policies: readonly KernelPolicy[]): readonly KernelPolicy[] {
    return inFrontOfRule(this.#addresses, spec, policies);
  }

  /** Puts policies in front of what stands, for whoever has the number. */
  layFront(id: number, policies: readonly KernelPolicy[]): readonly KernelCommand[] {
    for (const policy of policies) this.#slots.overlays.lay(id, policy);
    return this.#slots.settle(policies);
  }

  /** The rules have changed: what a child wants in front of them stands there, and what it wanted `before` and wants no longer does not. */
  relayFront(id: number, wanted: readonly KernelPolicy[], before: readonly KernelPolicy[]): readonly KernelCommand[] {
    this.#slots.overlays.relay(id, wanted, before);
    return this.#slots.settle([...before, ...wanted]);
  }

  /** The same of a child. */
  relayChild(child: ChildSa): readonly KernelCommand[] {
    const isServed = this.#isServed(child);
    if (isServed && !this.#slots.overlays.has(child.id)) return [];
    return this.relayFront(child.id, isServed ? [] : this.protectionFor(child), policiesOf(child));
  }

  /** Takes them back. */
  liftFront(id: number, policies: readonly KernelPolicy[]): readonly KernelCommand[] {
    return this.#slots.settle(policies.filter((policy) => this.#slots.overlays.lift(id, policy)));
  }

  /** What goes, or comes back, when a child ends. `last`: no other child has the same selectors, so its reqid is free again. */
  release(child: ChildSa, last: boolean): readonly KernelCommand[] {
    if (last && !this.#standing.has(child.spec.reqid)) this.freeReqid(child.spec);
    return this.#slots.overlays.has(child.id) ? this.liftFront(child.id, policiesOf(child)) : [];
  }

  /**
   * The kernel's answer to a group that held policies of ours. What it did not come to is asked again. Returns the children that can't have
   * the policy that it refused.
   */
  onAnswer(core: Core, commands: readonly KernelCommand[], refusal: KernelRefusal | null): readonly number[] {
    const done = refusal?.index ?? commands.length;
    tellStanding(core, this.#slots.answered(commands, refusal, core.now));
    const refused = commands[done];
    const left: KernelCommand[] = [];
    for (const [i, command] of commands.entries()) {
      if (command === refused || command.do === "add-sa" || command.do === "update-sa" || command.do === "read-sa") continue;
      if (command.do === "add-policy" || command.do === "update-policy")
        left.push(...this.#slots.firstOf(this.#slots.settle([command.policy])));
      else if (i >= done) left.push(command);
    }
    upkeep(core, left);
    if (refused?.do === "remove-policy") this.#awaitRemoval(core, refused.policy);
    return refused && refusal ? this.#onRefused(core, refused, refusal) : [];
  }

  /** What the kernel would not take away is looked for, and asked for again where it is still ours; a stop looks by itself. */
  #awaitRemoval(core: Core, policy: PolicyKey): void {
    upkeep(core, this.#slots.settle([policy]));
    if (!core.stopping) lookSoon(core, false, REMOVAL_PAUSE);
  }

  #onRefused(core: Core, refused: KernelCommand, refusal: KernelRefusal): readonly number[] {
    if (refused.do === "add-sa" || refused.do === "update-sa" || refused.do === "read-sa") return [];
    const { base, children } = refused.do === "remove-sa" ? NOBODY : this.#slots.wantedAt(refused.policy);
    const rule = base && this.ruleOf(base);
    const doubted = refused.do === "add-policy" && refusal.exists && this.#slots.isDoubted(refused.policy);
    if (doubted) return tellUnsure(core, refused.policy, refusal, doubted);
    if (refused.do === "add-policy" && refusal.exists && !core.stopping && this.#slots.mayBeOurs(refused.policy)) lookSoon(core, false);
    const peer = refused.do === "remove-sa" ? otherHost(core, refused) : farSide(refused.policy);
    const isNews = refused.do === "remove-sa" || refused.do === "remove-policy" || this.#slots.refuse(refused.policy, refusal);
    if (base) awaitRefused(core);
    if (this.#slots.firstPause !== null) awaitFirst(core);
    // What only children want fails them, and is told of each.
    if (isNews && (refused.do !== "add-policy" || base))
      logError(core, "policy.failed", whose(rule, base) ?? peer, kernelError(refusal, refused.do), { peer, ...(rule ? { rule } : {}) });
    return refused.do === "add-policy" ? children : [];
  }

  /** Everything of ours: for a full stop. What the kernel has not answered yet follows its answer. */
  removeAll(): readonly KernelCommand[] {
    this.#standing.clear();
    this.#plain = new Map();
    this.#index = null;
    return this.#slots.clear();
  }

  /** A full stop that leaves the rules' own policies: what they require to be protected stays shut. */
  leaveStanding(): readonly KernelCommand[] {
    return this.#slots.clearOverlays();
  }
}

/** Milliseconds: a kernel that takes nothing away is not asked all the time. */
const REMOVAL_PAUSE = 5000;

const NOBODY = { base: null, children: [] } as const;

/** Asks the kernel for what needs no more than bookkeeping when it answers. */
export const upkeep = (core: Core, commands: readonly KernelCommand[]): void => kernel(core, commands, { kind: "upkeep", commands });
