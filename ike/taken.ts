/** Whose traffic it is that somebody asks a child for: a rule must not draw what another one decides about. */
import { intersection } from "../isakmp/address.ts";
import { coversPackets, selectorKey } from "../policy/packet-selector.ts";
import { type Covering, compareSpecificity, compareStrength, filtersTowards, negotiates } from "../policy/select.ts";
import { concreteSelectors, coversSelector, overlap } from "../policy/selector.ts";
import type { Filter, Rule, TrafficSelector } from "../policy/types.ts";
import type { Core } from "./core.ts";
import { kernelSelectors, priorityOf } from "./install.ts";

/**
 * A narrower rule that this peer may not use and that is about the same traffic: the child would draw that traffic to this peer, since its
 * selectors lie within the rule's, or since it is more exact where the two overlap. Of what a rule permits or blocks nothing can be drawn:
 * its policies come first. Only a proposal for nothing else is refused, and one for what comes to the very same packets as a filter of a stronger rule: there
 * a child would stand in front. The default response rule is about nothing that another filter is about, whoever may use that. `own`: rules that the peer
 * may use. The answer says which rule it is; undefined: none.
 */
export function takenFromOthers(
  core: Core,
  own: readonly Rule[],
  { rule: covering, selector }: Pick<Covering, "rule" | "selector">,
  proposed: TrafficSelector,
): string | undefined {
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
  const concerns = ({ remote }: Filter): boolean => remote.kind !== "range" || intersection(remote.range, proposed.remote) !== undefined;
  const drawn = (rule: Rule, theirs: TrafficSelector): boolean => !own.includes(rule) && negotiates(rule) && outranks(theirs);
  const taken = (rule: Rule, theirs: TrafficSelector): boolean =>
    overlap(theirs, proposed) &&
    ((comesBefore(rule, theirs) && (coversSelector(theirs, proposed) || drawn(rule, theirs))) || (isStronger(rule) && hasPlace(theirs)));
  const found = filtersTowards(core.policy, proposed.remote).find(
    ({ rule, filter }) =>
      (covering.defaultResponse ? rule !== covering : !own.includes(rule)) &&
      concerns(filter) &&
      concreteSelectors(filter, rule, core.addresses, proposed).some((theirs) => taken(rule, theirs)),
  );
  if (!found) return undefined;
  const other = found.rule;
  if (own.includes(other))
    return `rule ${other.name} (${other.mode} mode) is about that traffic, and the default response only about what no other rule is`;
  return negotiates(other)
    ? `rule ${other.name} is about that traffic, and this peer has not proved what it asks for`
    : `rule ${other.name} (${other.action}) decides about that traffic`;
}
