/**
 * Whether a child could carry anything: of the packets that its selectors mean none may come to it, since policies of other rules stand in front. The
 * kernel's view of what `taken.ts` asks of the rules.
 */
import { naturalBehind, turned } from "../policy/packet-selector.ts";
import { compareStrength, ruleNamed } from "../policy/select.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { Core } from "./core.ts";
import { kernelSelectors } from "./install.ts";
import type { KernelPolicy } from "./kernel-contract.ts";
import type { Standing } from "./wanted-policies.ts";

/**
 * The name of a rule whose policy is met first by packets of what a child is for, where none of them, whichever way it goes, comes to the child: also
 * where a stronger rule's policy has the place of the child's own (place.ts). After `sync`.
 */
function shutBy(core: Core, spec: Pick<ChildSpec, "rule" | "selector" | "reqid">): string | undefined {
  const standing = core.policies.standingOf(spec);
  const used = new Set(standing?.policies.map(({ direction }) => direction));
  let name: string | undefined;
  for (const outward of kernelSelectors(spec.selector))
    for (const direction of ["out", "in"] as const) {
      if (standing && !used.has(direction)) continue;
      const selector = direction === "out" ? outward : turned(outward);
      const first = core.policies.byPackets().covering(selector, direction);
      const rule = first && isInFront(core, spec, standing, first, { direction, selector });
      if (rule === undefined) return undefined;
      name ??= rule;
    }
  return name;
}

/** The same as a text that says so. */
export function shutOff(core: Core, spec: Pick<ChildSpec, "rule" | "selector" | "reqid">): string | undefined {
  const name = shutBy(core, spec);
  return name && `rule ${name} comes first for all of that traffic`;
}

/** The name of the rule whose policy comes before the child; undefined where the child comes first, or the policy leads to it. */
function isInFront(
  core: Core,
  spec: Pick<ChildSpec, "rule" | "selector" | "reqid">,
  standing: Standing | undefined,
  first: KernelPolicy,
  at: Pick<KernelPolicy, "direction" | "selector">,
): string | undefined {
  if (standing?.policies.includes(first)) return undefined;
  const name = core.policies.ruleOf(first);
  const [own] = core.policies.inFront(spec, [{ ...first, ...at }]);
  if (!own || name === undefined) return undefined;
  if (first.priority < own.priority) return name;
  // Behind the child's place is only that of its rule itself.
  if (first.priority !== naturalBehind(own.priority)) return undefined;
  if (name === spec.rule.name) return standing && !standing.rule.clear.discovery ? name : undefined;
  const other = ruleNamed(core.policy, name);
  // A manual SA has what it is for.
  return !other || compareStrength(other, spec.rule) < 0 ? name : undefined;
}
