/** What two policies of one slot are to each other, and in which order the kernel hears of many. */
import type { KernelPolicy, KernelTemplate, ListedPolicy } from "./kernel-contract.ts";

/**
 * A child's policy stands just in front of its own rule's, wherever that is: what is stronger is another rule's, which decides there, whether it came by a
 * reload or was there before a start.
 */
export function strongerOf(overlay: KernelPolicy | undefined, base: KernelPolicy | null): KernelPolicy | null {
  if (!overlay || !base) return overlay ?? base;
  return base.priority < overlay.priority ? base : overlay;
}

/** Whether no packet gets past it without protection. */
export const stopsClear = ({ action, templates }: KernelPolicy): boolean =>
  action === "block" || templates.some(({ level }) => level === "required");

/** Whether `wanted` in its place gives way to more: it is behind others, or lets clear text through. */
export const makesWeaker = (present: KernelPolicy, wanted: KernelPolicy): boolean =>
  present.priority < wanted.priority || (stopsClear(present) && !stopsClear(wanted));

/** Whether two policies of one slot say the same. What says more than we read is like no other. */
export const samePolicy = (a: Comparable, b: Comparable): boolean =>
  a === b ||
  (!a.saysMore &&
    !b.saysMore &&
    a.action === b.action &&
    a.priority === b.priority &&
    a.templates.length === b.templates.length &&
    a.templates.every((template, i) => sameTemplate(template, b.templates[i])));

type Comparable = KernelPolicy & Pick<ListedPolicy, "saysMore">;

const sameTemplate = (a: KernelTemplate, b: KernelTemplate | undefined): boolean =>
  b !== undefined &&
  a.protocol === b.protocol &&
  a.mode === b.mode &&
  a.level === b.level &&
  a.reqid === b.reqid &&
  a.source === b.source &&
  a.destination === b.destination;

/** What the kernel hears at once, strongest first: policies of one rule and one strength, which are those of a selector for every direction. */
export function stepsOf(all: readonly { readonly policies: readonly KernelPolicy[] }[]): readonly (readonly KernelPolicy[])[] {
  const steps = all.flatMap(({ policies }) => {
    const strengths = [...new Set(policies.map(({ priority }) => priority))];
    const [strength] = strengths;
    if (strength === undefined) return [];
    if (strengths.length === 1) return { strength, policies };
    return strengths.map((each) => ({ strength: each, policies: policies.filter(({ priority }) => priority === each) }));
  });
  return steps.sort((a, b) => a.strength - b.strength).map(({ policies }) => policies);
}
