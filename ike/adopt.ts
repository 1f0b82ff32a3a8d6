/**
 * One policy takes the place of another. Invariant: what the new one wants stands in the kernel before anything of the old one goes, so that
 * a packet which was protected, or stopped, meets one of the two at any moment. SAs of what is in both live on.
 */
import { diffPolicies, refit } from "../policy/diff.ts";
import { sameManual } from "../policy/manual-rule.ts";
import { rulesForPeer } from "../policy/select.ts";
import { sameSelector } from "../policy/selector.ts";
import type { ManualSa, Policy, Rule } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import { end } from "./commands.ts";
import type { Core } from "./core.ts";
import { endTaken, relayChildren } from "./end-taken.ts";
import { carryFronts, carryGuards, successorOf } from "./fronts.ts";
import { coveringPair } from "./place.ts";
import { rehome } from "./rehome.ts";
import { forgetFailures } from "./retry.ts";
import { endsFound, followRoutes, withEnd } from "./tunnel-ends.ts";
import { wishFor } from "./wishes.ts";

/** What `settleChanges` has to see to. */
export interface Changes {
  /** Names of rules that are gone, or no longer what they were. */
  readonly names: ReadonlySet<string>;
  /** By the rule as it was: as it is now, where nothing but its filters and its start differ. */
  readonly refitted: ReadonlyMap<Rule, Rule>;
  /** There are filters that were not there, of rules or of manual SAs. */
  readonly more: boolean;
  /** A manual SA is gone, or is another one: what it was for is others' again. */
  readonly less: boolean;
}

/** A new policy; rules that leave their own tunnel end open get it from the route to the far end, and have that which is known until then. Nothing of the old one has ended yet. */
export function adoptPolicy(core: Core, read: Policy): Changes {
  const [before, ends] = [core.policy, endsFound(core)];
  const manual = { added: unlike(read.manual, before.manual), gone: unlike(before.manual, read.manual) };
  const { kept, refitted, dropped } = diffPolicies(core.asRead, read);
  // A rule that is what it was stays the same object: its SAs, its keys, and the tunnel end that was found for it.
  const known = new Map(kept.map(([old, again]) => [again, old]));
  const fitted = new Map(refitted.map(([old, again]) => [again, old]));
  const current = new Map(before.rules.map((rule) => [rule.name, rule]));
  const now = (rule: Rule, old: (rule: Rule) => Rule | undefined): Rule => {
    const there = known.has(rule) || fitted.has(rule) ? old(rule) : undefined;
    return there ? (fitted.has(rule) ? refit(there, rule) : there) : rule;
  };
  core.asRead = { ...read, rules: read.rules.map((rule) => now(rule, () => known.get(rule) ?? fitted.get(rule))) };
  core.policy = {
    ...read,
    rules: read.rules.map((rule) =>
      withEnd(
        now(rule, ({ name }) => current.get(name)),
        ends,
      ),
    ),
  };
  followRoutes(core, core.asRead);
  const changed = new Set(refitted.map(([{ name }]) => name));
  const successors = core.policy.rules.flatMap((rule): readonly (readonly [Rule, Rule])[] => {
    const old = changed.has(rule.name) ? current.get(rule.name) : undefined;
    return old ? [[old, rule]] : [];
  });
  const more = changed.size > 0 || kept.length < read.rules.length || manual.added;
  return { names: new Set([...changed, ...dropped.map(({ name }) => name)]), refitted: new Map(successors), more, less: manual.gone };
}

/** Whether some manual SA is none of others. */
function unlike(some: readonly ManualSa[], others: readonly ManualSa[]): boolean {
  const known = new Map(others.map((one) => [one.name, one]));
  return some.some((one) => {
    const other = known.get(one.name);
    return !other || !sameManual(one, other);
  });
}

/** The new policies stand, or are asked for: what was made under rules that have changed follows them, or ends. */
export function settleChanges(core: Core, { names, refitted, more, less }: Changes): void {
  if (names.size > 0) settleRules(core, names, refitted);
  if (more) endTaken(core);
  if (names.size === 0 && !more && !less) return;
  relayChildren(core);
  carryGuards(core);
}

function settleRules(core: Core, names: ReadonlySet<string>, refitted: ReadonlyMap<Rule, Rule>): void {
  const wanted = [...core.wishes.values()].flatMap(({ spec }) => (names.has(spec.rule.name) ? [spec] : []));
  followRules(core, refitted);
  const now = new Set(core.policy.rules);
  end(core, { kind: "rules", names }, now);
  forgetFailures(core, names);
  rehome(core);
  carryFronts(core, new Set(refitted.values()), (spec) => specNow(core, spec));
  // The kernel asks once in half a minute: what it asked for before is still wanted.
  for (const spec of wanted) {
    const again = specNow(core, spec);
    if (again && again.rule.start !== "never") wishFor(core, again, [], null);
  }
}

/** SAs whose own part of the rule is what it was belong to the rule as it is now. */
function followRules(core: Core, refitted: ReadonlyMap<Rule, Rule>): void {
  if (refitted.size === 0) return;
  for (const child of core.store.children.values()) {
    const { rule, selector } = child.spec;
    const now = refitted.get(rule);
    if (!now) continue;
    const [before, after] = [coveringPair(core.addresses, rule, selector), coveringPair(core.addresses, now, selector)];
    if (before && after && sameSelector(before, after)) child.spec = { ...child.spec, rule: now };
  }
  for (const entry of core.store.ikes.values()) {
    const now = entry.phase === "established" ? refitted.get(entry.sa.rule) : undefined;
    if (entry.phase !== "established" || !now) continue;
    const { local, remote } = entry.path;
    if (rulesForPeer(core.policy, local.address, remote.address).includes(now)) entry.sa = { ...entry.sa, rule: now };
  }
}

/** The same need under the rule that has the name now; undefined where that is not about it any more. */
function specNow(core: Core, spec: ChildSpec): ChildSpec | undefined {
  const rule = successorOf(core, spec);
  const covering = rule && rule.mode === spec.rule.mode ? coveringPair(core.addresses, rule, spec.selector) : undefined;
  if (!rule || !covering) return undefined;
  return { ...spec, rule, reqid: core.policies.reqidFor(rule, covering, spec.selector, spec.remote) };
}
