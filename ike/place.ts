/**
 * Where a child, a guard or a soft SA may have policies of its own in front of the rules': for packets that its rule decides about, each way by itself. A
 * peer that asks for protection under one rule must not open by it what another one shuts, nor draw what another one leads elsewhere.
 */
import { covers } from "../isakmp/address.ts";
import { behindRules, coversPackets, inFrontOf, naturalBehind, partInFrontOf, turned } from "../policy/packet-selector.ts";
import { compareStrength, filtersTowards, negotiates, ruleCoveringSelectors, ruleNamed, type Way } from "../policy/select.ts";
import { concreteSelectors, coversSelector, sameSelector } from "../policy/selector.ts";
import type { Policy, Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import { kernelSelectors, priorityOf } from "./install.ts";
import type { KernelPolicy, PolicyDirection } from "./kernel-contract.ts";

/** What stands by the rules. */
export interface Stands {
  readonly policy: Policy;
  readonly addresses: readonly string[];
  /** The strongest policy of a rule that covers what another one is about. */
  strongest(about: KernelPolicy): KernelPolicy | undefined;
  ruleOf(policy: KernelPolicy): string | undefined;
}

/** Whether a rule has policies of its own that lead to children. */
export const stands = ({ action }: Rule): boolean => action === "require" || action === "request";

/** What decides about a selector in a rule: the most specific of its pairs that cover it. `addresses`: ours, and those that were when it was agreed on. */
export function coveringPair(addresses: readonly string[], rule: Rule, selector: TrafficSelector): TrafficSelector | undefined {
  const found = ruleCoveringSelectors([rule], addresses, selector, rule.mode);
  return found.ok ? found.value.selector : undefined;
}

/**
 * Whether a selector is about less than the rule would ask for between the same two ends: a part of its ports, or of a tunnel's networks. A peer that
 * proposes so has a rule for that part.
 */
export const isPartOf = ({ mode }: Rule, covering: TrafficSelector, selector: TrafficSelector): boolean =>
  covering.protocol !== selector.protocol ||
  covering.localPort !== selector.localPort ||
  covering.remotePort !== selector.remotePort ||
  (mode === "tunnel" && !sameSelector(covering, selector));

/** Policies of a rule's flow just in front of the rule's own, the narrower before the wider, and behind whatever is more specific than the rule's own. */
export function inFrontOfRule(
  addresses: readonly string[],
  { rule, selector }: Pick<ChildSpec, "rule" | "selector">,
  policies: readonly KernelPolicy[],
): readonly KernelPolicy[] {
  // Of thousands of filters most are passed over by a comparison.
  const towards = rule.filters.filter(({ remote }) => remote.kind !== "range" || covers(remote.range, selector.remote));
  const covering = towards.flatMap((filter) =>
    concreteSelectors(filter, rule, addresses, selector)
      .filter((pair) => coversSelector(pair, selector))
      .flatMap((pair) => kernelSelectors(pair).map((outward) => ({ filter, outward }))),
  );
  return policies.map((policy) => {
    const out = policy.direction === "out";
    const packets = out ? policy.selector : turned(policy.selector);
    if (rule.defaultResponse) return { ...policy, priority: behindRules(priorityOf(packets)) };
    const about = covering.filter(({ outward }) => coversPackets(outward, packets));
    // A narrower filter that is about the other way alone makes nothing stronger.
    const thisWay = about.filter(({ filter: { direction } }) => direction === "both" || (direction === "out") === out);
    const own = (thisWay.length > 0 ? thisWay : about).map(({ outward }) => priorityOf(outward));
    return { ...policy, priority: own.length > 0 ? partInFrontOf(Math.min(...own), packets) : inFrontOf(priorityOf(packets)) };
  });
}

/**
 * Whether `front`, which stands just in front of what a filter of the rule comes to, has no stronger rule's policy with the very same strength behind it:
 * that rule decides about its packets. What is stronger by its selector comes before it anyway. Of two of one strength it is the proof of a peer that tells
 * them apart.
 */
export function mayStand(stands: Stands, { rule, reqid }: Pick<ChildSpec, "rule" | "reqid">, front: KernelPolicy): boolean {
  const first = stands.strongest(front);
  if (!first || first.priority !== naturalBehind(front.priority) || first.templates.some((template) => template.reqid === reqid))
    return true;
  const name = stands.ruleOf(first);
  if (name === undefined || name === rule.name) return true;
  const other = ruleNamed(stands.policy, name);
  // A manual SA has what it is for.
  return other !== undefined && compareStrength(rule, other) <= 0;
}

/**
 * Which ways packets go that a rule's filters are about, of those that cover all of a selector. A tunnel may be written as two rules, one for each way. All
 * where no filter covers it: our address is away at this moment.
 */
export function waysOf(
  { policy, addresses }: Pick<Stands, "policy" | "addresses">,
  { rule, selector }: Pick<ChildSpec, "rule" | "selector">,
): ReadonlySet<PolicyDirection> {
  const shares = (other: Rule): boolean =>
    other === rule ||
    other.name === rule.name ||
    (rule.mode === "tunnel" && negotiates(other) && other.tunnel?.remote === rule.tunnel?.remote);
  const ways = new Set<PolicyDirection>();
  for (const { rule: other, filter } of filtersTowards(policy, selector.remote)) {
    if (!shares(other) || !concreteSelectors(filter, other, addresses, selector).some((pair) => coversSelector(pair, selector))) continue;
    if (filter.direction !== "in") ways.add("out");
    if (filter.direction !== "out") ways.add("in").add("fwd");
  }
  return ways.size > 0 ? ways : ALL;
}

/** The same of a child as a whole: whether packets leave by it, and whether some come. */
export function waysFor(stands: Pick<Stands, "policy" | "addresses">, spec: Pick<ChildSpec, "rule" | "selector">): ReadonlySet<Way> {
  const ways = waysOf(stands, spec);
  return new Set((["out", "in"] as const).filter((way) => ways.has(way)));
}

const ALL: ReadonlySet<PolicyDirection> = new Set(["out", "in", "fwd"]);
