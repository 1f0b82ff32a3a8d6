/**
 * Policies of rules that the kernel has refused, mostly because somebody else's policy has their selector: that one is never touched, and ours
 * are asked for again until it is gone.
 */
import { isExemption } from "../policy/compile.ts";
import { formatPackets } from "../policy/decide.ts";
import type { RefusedPolicyView } from "../sa-store/view.ts";
import { type Core, kernel, log, logError } from "./core.ts";
import { kernelError } from "./errors.ts";
import { farSide } from "./far-side.ts";
import type { KernelCommand, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import type { Doubted } from "./policy-slot.ts";

const [TIMER, TIMER_FIRST] = ["refused all", "refused first"];
/** Milliseconds until they are asked for again, doubled each time. */
export const [FIRST_PAUSE, LONGEST_PAUSE] = [5000, 60_000];
/** Policies that are asked for at once: each that is refused again costs a process. */
const MOST_AT_ONCE = 64;

/** Something was refused. */
export function awaitRefused(core: Core): void {
  if (!core.stopping && !core.timers.has(TIMER, "retry")) core.timers.set(TIMER, "retry", core.now + core.refusedPause);
}

/** What the rest of a change waits for may have been refused. */
export function awaitFirst(core: Core): void {
  const pause = core.policies.slots.firstPause;
  if (pause !== null && !core.stopping && !core.timers.has(TIMER_FIRST, "retry")) core.timers.set(TIMER_FIRST, "retry", core.now + pause);
}

/** It is time to ask again; `isFirst`: for what the rest of a change waits for. */
export function onRefusedTimer(core: Core, isFirst: boolean): void {
  if (core.stopping) return;
  if (isFirst) return askEach(core, core.policies.slots.settleFirst());
  // They went with their rules.
  if (core.policies.slots.refusals.size === 0) return dropRefused(core);
  core.refusedPause = Math.min(2 * core.refusedPause, LONGEST_PAUSE);
  askEach(core, core.policies.slots.settleRefused(MOST_AT_ONCE));
  awaitRefused(core);
}

function askEach(core: Core, commands: readonly KernelCommand[]): void {
  for (const command of commands) kernel(core, [command], { kind: "upkeep", commands: [command] });
}

/**
 * Something is there where the kernel was asked for a policy, and a look has still to tell whether that is ours. No child fails by that, and nothing is told
 * where the same of ours stood there.
 */
export function tellUnsure(core: Core, policy: KernelPolicy, refusal: KernelRefusal, doubted: Doubted): readonly number[] {
  if (doubted.isAsWanted) return [];
  const rule = doubted.isRules ? core.policies.ruleOf(policy) : undefined;
  const peer = farSide(policy);
  const said = { ...refusal, exists: false, reason: `${refusal.reason}, and the kernel does not tell whether that is ours` };
  if (doubted.isRules && core.policies.slots.refuse(policy, said))
    logError(core, "policy.failed", whose(rule, policy) ?? peer, kernelError(said, "add-policy"), { peer, ...(rule ? { rule } : {}) });
  awaitRefused(core);
  return [];
}

/** What the kernel refused before stands now. */
export function tellStanding(core: Core, policies: readonly KernelPolicy[]): void {
  for (const policy of policies) {
    const rule = core.policies.ruleOf(policy);
    const text = `${whose(rule, policy) ?? farSide(policy)}: the kernel has ${policyText(policy)} now, which it refused before`;
    log(core, "policy.stands", "notice", text, { peer: farSide(policy), ...(rule ? { rule } : {}) });
  }
  if (policies.length > 0 && core.policies.slots.refusals.size === 0) dropRefused(core);
}

/** Nothing is refused any more, or nothing is asked for. */
export function dropRefused(core: Core): void {
  core.timers.clearAll(TIMER);
  core.refusedPause = FIRST_PAUSE;
}

/** For people: the rule that has such a policy, or that none has; undefined where a child has it alone. */
export const whose = (rule: string | null | undefined, policy: KernelPolicy | null): string | undefined =>
  rule ? `rule ${rule}` : policy && isExemption(policy) ? "an exemption" : undefined;

/** `out 192.0.2.1/32 -> 192.0.2.2/32`. */
export const policyText = ({ direction, selector }: Pick<KernelPolicy, "direction" | "selector">): string =>
  `${direction} ${formatPackets(selector)}`;

/** The same for people and programs. */
export const refusedViews = (core: Core): readonly RefusedPolicyView[] =>
  core.policies.slots.refusals.list().map(({ policy, refusal }) => ({
    rule: core.policies.ruleOf(policy) ?? null,
    direction: policy.direction,
    selector: formatPackets(policy.selector),
    action: policy.action,
    level: policy.templates[0]?.level ?? null,
    priority: policy.priority,
    reason: refusal.reason,
    foreign: refusal.exists,
    hint: refusal.exists ? FOREIGN : OTHER,
  }));

const FOREIGN =
  "a policy of somebody else has this selector: find it with `ip xfrm policy`, remove it, or change the rule; it is tried again by itself";
const OTHER = "see the kernel's words; it is tried again by itself";
