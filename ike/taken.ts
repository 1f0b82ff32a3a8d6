/** Whose traffic it is that somebody asks a child for: a rule must not draw what another one decides about. */
import { formatAddress, intersection, isHost } from "../isakmp/address.ts";
import { coversPackets, selectorKey } from "../policy/packet-selector.ts";
import {
  type Covering,
  compareSpecificity,
  compareStrength,
  filtersFrom,
  filtersTowards,
  negotiates,
  type RuleFilter,
  ruleCoveringSelectors,
  shareDecided,
  takingAll,
  type Way,
  waysTaken,
} from "../policy/select.ts";
import { concreteSelectors, coversSelector, overlap } from "../policy/selector.ts";
import type { Filter, Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { Core } from "./core.ts";
import { kernelSelectors, priorityOf } from "./install.ts";
import { waysFor } from "./place.ts";

/**
 * A narrower rule that this peer may not use and that is about the same traffic: the child would draw that traffic to this peer, since its
 * selectors lie within the rule's, or since it is more exact where the two overlap. Of what a rule permits or blocks nothing can be drawn:
 * its policies come first. Only a proposal for nothing else is refused, and one for what comes to the very same packets as a filter of a stronger rule: there
 * a child would stand in front. What passes or is dropped one way only leaves a child the other one, which is granted; the first way stays with its policy
 * (place.ts). The default response rule is about nothing that another filter is about, whoever may use that. `isOwn`: of a rule that negotiates, whether the
 * peer may use it. The answer says which rule it is; undefined: none.
 */
export function takenFromOthers(
  core: Core,
  isOwn: (rule: Rule) => boolean,
  { rule: covering, selector }: Pick<Covering, "rule" | "selector">,
  proposed: TrafficSelector,
  addresses: readonly string[] = core.addresses,
): string | undefined {
  const mayUse = (rule: Rule): boolean => negotiates(rule) && isOwn(rule);
  const concerns = ({ remote }: Filter): boolean => remote.kind !== "range" || intersection(remote.range, proposed.remote) !== undefined;
  const near = filtersTowards(core.policy, proposed.remote).filter(
    ({ rule, filter }) => !(covering.defaultResponse ? rule === covering : mayUse(rule)) && concerns(filter),
  );
  const turned = turnedFilters(core, covering, proposed, addresses);
  // Nearly always.
  if (near.length === 0 && turned.length === 0) return undefined;
  const ways = waysFor({ policy: core.policy, addresses }, { rule: covering, selector: proposed });
  const found = takingAll(ways, takers({ near, turned }, { rule: covering, selector }, proposed, addresses, mayUse));
  if (!found) return undefined;
  const other = found.rule;
  if (mayUse(other))
    return `rule ${other.name} (${other.mode} mode) is about that traffic, and the default response only about what no other rule is`;
  return negotiates(other)
    ? `rule ${other.name} is about that traffic, and this peer has not proved what it asks for`
    : `rule ${other.name} (${other.action}) decides about that traffic`;
}

/** Those of some filters of other rules that take a way, or both, of what is proposed under `covering`. */
function* takers(
  { near, turned }: { readonly near: readonly RuleFilter[]; readonly turned: readonly RuleFilter[] },
  { rule: covering, selector }: Pick<Covering, "rule" | "selector">,
  proposed: TrafficSelector,
  addresses: readonly string[],
  mayUse: (rule: Rule) => boolean,
): Iterable<{ readonly by: RuleFilter; readonly ways: readonly Way[] }> {
  const outranks = (theirs: TrafficSelector): boolean => {
    const strongest = Math.min(...kernelSelectors(proposed).map(priorityOf));
    return kernelSelectors(theirs).some((pair) => strongest <= priorityOf(pair));
  };
  const isStronger = (rule: Rule): boolean => compareStrength(rule, covering) < 0;
  // Where both come to the same packets, those are the stronger rule's; a child would stand in front of it.
  const hasPlace = (theirs: TrafficSelector): boolean => {
    const places = new Set(kernelSelectors(selector).map(selectorKey));
    const shared = kernelSelectors(theirs).filter((pair) => places.has(selectorKey(pair)));
    return shared.some((pair) => kernelSelectors(proposed).some((one) => coversPackets(pair, one) || coversPackets(one, pair)));
  };
  const comesBefore = (rule: Rule, theirs: TrafficSelector): boolean => {
    const order = covering.defaultResponse ? -1 : compareSpecificity(theirs, selector);
    return order < 0 || (order === 0 && isStronger(rule));
  };
  const drawn = (rule: Rule, theirs: TrafficSelector): boolean => !mayUse(rule) && negotiates(rule) && outranks(theirs);
  const loses = (rule: Rule, theirs: TrafficSelector): boolean => {
    if (!coversSelector(theirs, proposed)) return drawn(rule, theirs);
    const share = covering.defaultResponse ? "all" : shareDecided({ rule, selector: theirs }, { rule: covering, selector }, proposed);
    return share === "all" || (share === "some" && drawn(rule, theirs));
  };
  const taken = (rule: Rule, theirs: TrafficSelector): boolean =>
    overlap(theirs, proposed) && ((comesBefore(rule, theirs) && loses(rule, theirs)) || (isStronger(rule) && hasPlace(theirs)));
  const takenTurned = ({ direction }: Filter, rule: Rule, theirs: TrafficSelector): boolean =>
    (direction === "both" && comesBefore(rule, theirs) && coversSelector(exchanged(theirs), proposed)) ||
    (direction !== "in" && isStronger(rule) && compareSpecificity(theirs, selector) <= 0 && hasPlace(exchanged(theirs)));
  for (const by of near) {
    const { rule, filter } = by;
    if (concreteSelectors(filter, rule, addresses, proposed).some((theirs) => taken(rule, theirs))) yield { by, ways: waysTaken(by) };
  }
  // Of packets that pass through it makes no difference which side a permit or a block names first.
  for (const by of turned) {
    const { rule, filter } = by;
    const theirs = concreteSelectors(filter, rule, addresses, { local: proposed.remote });
    if (theirs.some((one) => takenTurned(filter, rule, one)))
      yield { by, ways: waysTaken(by).map((way) => (way === "out" ? "in" : "out")) };
  }
}

/** Permits and blocks of what a tunnel is for that name its remote side as their local one. None where the tunnel is for this host itself. */
function turnedFilters(
  core: Core,
  { mode }: Rule,
  { local, remote }: TrafficSelector,
  addresses: readonly string[],
): readonly RuleFilter[] {
  const passes = mode === "tunnel" && !(isHost(local) && addresses.includes(formatAddress(local.family, local.first)));
  if (!passes) return [];
  return filtersFrom(core.policy, remote).filter(
    ({ filter }) => filter.remote.kind !== "range" || intersection(filter.remote.range, local),
  );
}

const exchanged = ({ local, remote, protocol, localPort, remotePort }: TrafficSelector): TrafficSelector => ({
  ...{ local: remote, remote: local, protocol, localPort: remotePort, remotePort: localPort },
});

/** The same of what a rule has a child for, or shall have one, under the present policy. */
export function takenNow(core: Core, { rule, selector, local }: ChildSpec, isOwn: (rule: Rule) => boolean): string | undefined {
  const addresses = addressesFor(core, selector, local);
  // A tunnel that leaves its end open has had one.
  const here = rule.tunnel?.local === null ? { ...rule, tunnel: { ...rule.tunnel, local } } : rule;
  const covering = ruleCoveringSelectors([here], addresses, selector, rule.mode);
  return covering.ok ? takenFromOthers(core, isOwn, { rule, selector: covering.value.selector }, selector, addresses) : undefined;
}

/** Our addresses that matter: hosts with thousands of them have as many children. That of the child is ours, if it is away at this moment. */
const addressesFor = (core: Core, selector: TrafficSelector, local: string): readonly string[] =>
  isHost(selector.local) && formatAddress(selector.local.family, selector.local.first) === local ? [local] : core.addresses;
