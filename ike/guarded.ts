/**
 * Under which rules a flow that was protected may go out in clear at times, and would have to be guarded: those that decide about its packets. What
 * another rule permits, blocks or has protected is that rule's, and nothing keeps it from its way.
 */

import type { AddressRange } from "../isakmp/address.ts";
import { manualRule } from "../policy/manual-rule.ts";
import { coversPackets, outwardSelectors, type PacketSelector, priorityOf, turned } from "../policy/packet-selector.ts";
import { compareStrength, filtersTowards } from "../policy/select.ts";
import { concreteSelectors } from "../policy/selector.ts";
import type { Filter, Policy, Rule, TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { Core } from "./core.ts";
import type { KernelPolicy } from "./kernel-contract.ts";

/** A flow under a rule that may let some of it out in clear. */
export interface Claim {
  readonly spec: ChildSpec;
  /** Of policies about the flow those about packets that the rule decides about. */
  own(policies: readonly KernelPolicy[]): readonly KernelPolicy[];
}

/** Whether a rule lets what it is about out in clear at times. */
export const mayGoClear = ({ clear }: Rule): boolean => clear.discovery || clear.fallback !== null;

/**
 * The claims on a flow: none where none of its packets may go in clear, or only since another rule says so. Which of our addresses there are may be
 * another question at the moment, so that `local` counts as one. What that costs follows from the filters about its peer, not from all rules.
 */
export function claimsOn(core: Core, { selector, local, remote }: Pick<ChildSpec, "selector" | "local" | "remote">): readonly Claim[] {
  const { all, open } = decidingOf(core.policy);
  const flow = outwardSelectors(selector);
  const mayBeGuarded = candidates(open, local, selector).some(({ outward }) => flow.some((one) => coversPackets(outward, one)));
  if (!mayBeGuarded) return [];
  const deciding = candidates(all, local, selector);
  const order = (rule: Rule): number => all.rules.indexOf(rule);
  const strongest = (one: PacketSelector, inward: boolean): Candidate | undefined => {
    const about = deciding.filter(({ outward, direction }) => direction !== (inward ? "out" : "in") && coversPackets(outward, one));
    const least = Math.min(...about.map(({ priority }) => priority));
    const [first, ...others] = about.filter(({ priority }) => priority === least);
    if (!first || others.length === 0) return first;
    return [first, ...others].sort((a, b) => compareStrength(a.rule, b.rule) || order(a.rule) - order(b.rule))[0];
  };
  const claimed = new Map<Rule, TrafficSelector>();
  for (const one of flow)
    for (const inward of [false, true]) {
      const found = strongest(one, inward);
      if (found && mayGoClear(found.rule) && !claimed.has(found.rule)) claimed.set(found.rule, found.pair);
    }
  return [...claimed].map(([rule, pair]) => ({
    // Traffic that meets a guard is asked for as the rule's own policies ask.
    spec: { rule, selector, local, remote, reqid: core.policies.reqidFor(rule, pair, pair, remote) },
    own: (policies) =>
      policies.filter(({ direction, selector: packets }) =>
        direction === "out" ? strongest(packets, false)?.rule === rule : strongest(turned(packets), true)?.rule === rule,
      ),
  }));
}

/** Rules that may let out in clear some of what goes to a range. */
export const openRulesTowards = (core: Core, remote: AddressRange): readonly Rule[] => [
  ...new Set(filtersTowards(decidingOf(core.policy).open, remote).map(({ rule }) => rule)),
];

/** A filter here, for one of the kernel selectors that it comes to. */
interface Candidate {
  readonly rule: Rule;
  readonly direction: Filter["direction"];
  readonly pair: TrafficSelector;
  readonly outward: PacketSelector;
  readonly priority: number;
}

const candidates = (policy: Policy, local: string, selector: TrafficSelector): readonly Candidate[] =>
  filtersTowards(policy, selector.remote).flatMap(({ rule, filter }) =>
    concreteSelectors(filter, rule, [local], selector).flatMap((pair) =>
      outwardSelectors(pair).map((outward) => ({ rule, direction: filter.direction, pair, outward, priority: priorityOf(outward) })),
    ),
  );

interface Deciding {
  /** With all rules that decide about packets, in their order; those of manual SAs come last. */
  readonly all: Policy;
  /** With those that may let them out in clear. */
  readonly open: Policy;
}

const DECIDING = new WeakMap<Policy, Deciding>();

function decidingOf(policy: Policy): Deciding {
  const known = DECIDING.get(policy);
  if (known) return known;
  const rules = [...policy.rules, ...policy.manual.map(manualRule)].filter(decides);
  const made = { all: { ...policy, rules }, open: { ...policy, rules: rules.filter(mayGoClear) } };
  DECIDING.set(policy, made);
  return made;
}

/** The default response decides about no packet, nor does a tunnel that waits for its own end, unless it demands protection. */
const decides = ({ defaultResponse, mode, tunnel, action }: Rule): boolean =>
  !defaultResponse && (mode !== "tunnel" || tunnel?.local != null || action === "require");
