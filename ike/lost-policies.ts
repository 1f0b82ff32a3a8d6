/**
 * Policies that went from the kernel behind our back: `ip xfrm policy flush`, another daemon's start, an administrator. The kernel tells that something went,
 * our own removals among it; what it has now is then compared with what should stand, as it is at each reload. Ours come back. Where somebody has put
 * one of his own in place of ours, that one stays, and ours is refused (`refused.ts`).
 */
import { type Core, emit, log } from "./core.ts";
import { relaySoft } from "./fronts.ts";
import type { Instant } from "./input.ts";
import type { KernelEvent, KernelListing, KernelPolicy } from "./kernel-contract.ts";
import { policyText, tellStanding } from "./refused.ts";
import { upkeep } from "./standing.ts";

/** The look at the kernel's policies that is under way, or the last one. */
export interface Look {
  /** Of the effect; null: none is under way. */
  id: number | null;
  /** It repeats one that could not judge all. */
  isRepeat: boolean;
  startedAt: Instant;
  /** So often in a row the kernel has not told. */
  failures: number;
  /** No other begins before, but at a reload. */
  notBefore: Instant;
}

/** Milliseconds until a kernel that did not tell is asked again, doubled each time. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [15_000, 3_600_000];

const TIMER = "look all";
/** Milliseconds from the first policy that went to the look: more go with it. */
const GATHER = 100;
/** Between two looks at least, and so many times what the last one took: twenty thousand policies take `ip` a while. */
const [BETWEEN, TIMES] = [1000, 10];

/** A policy went from the kernel; null: nobody knows which, or how many. */
export function onPolicyGone(core: Core, { policy }: KernelEvent & { readonly type: "policy-gone" }): void {
  const state = policy ? core.policies.slots.stateOf(policy) : "present";
  // Somebody else's, in whose place ours belongs.
  if (policy && state === "refused") upkeep(core, core.policies.slots.settle([policy]));
  if (state === "present") lookSoon(core, false);
}

function lookSoon(core: Core, isRepeat: boolean, after = GATHER): void {
  const isSet = core.timers.has(TIMER, "retry");
  core.look.isRepeat = isRepeat && (!isSet || core.look.isRepeat);
  if (!isSet) core.timers.set(TIMER, "retry", Math.max(core.now + after, core.look.notBefore));
}

/** Asks the kernel what it has, after a reload. */
export function lookAnew(core: Core): void {
  core.look.isRepeat = false;
  look(core);
}

/** The same when it is time to. */
export function look(core: Core): void {
  if (core.stopping || core.policies.size === 0) return;
  if (core.look.id !== null) return lookSoon(core, false);
  core.timers.clearAll(TIMER);
  core.look.id = ++core.nextOp;
  core.look.startedAt = core.now;
  core.policies.slots.beginLook();
  emit(core, { type: "look", id: core.look.id });
}

/** The answer; null: the kernel does not tell. */
export function onPoliciesFound(core: Core, id: number, policies: KernelListing["policies"] | null): void {
  if (core.look.id !== id) return;
  core.look.id = null;
  core.look.notBefore = core.now + BETWEEN + TIMES * (core.now - core.look.startedAt);
  if (core.stopping) return;
  if (!policies) return lookSoon(core, false, Math.min(FIRST_PAUSE * 2 ** core.look.failures++, LONGEST_PAUSE));
  core.look.failures = 0;
  const { gone, back, isPartial } = core.policies.slots.compare(policies);
  tellStanding(core, back);
  if (gone.length > 0) putBack(core, gone);
  if (isPartial && !core.look.isRepeat) lookSoon(core, true);
}

/** Rules' own policies first, in the order of each change; what stood in front of them after those, the strongest first. */
function putBack(core: Core, gone: readonly KernelPolicy[]): void {
  const all = gone.map((policy) => ({ policy, rule: core.policies.ruleOf(policy) }));
  const named = [...all.filter(({ rule }) => rule !== undefined), ...all.filter(({ rule }) => rule === undefined)]
    .slice(0, MOST_NAMED)
    .map(({ policy, rule }) => `${policyText(policy)}${rule === undefined ? "" : ` (rule ${rule})`}`);
  const text = `somebody has removed or replaced ${gone.length === 1 ? "a policy" : `${gone.length} policies`} of ours in the kernel: ${named.join(", ")}`;
  log(core, "policy.gone", "warning", `${text}${gone.length > named.length ? ", \u2026" : ""}; what is free is put back`, { hint: HINT });
  core.policies.sync(core, () => relaySoft(core));
  for (const policy of [...gone].sort((a, b) => a.priority - b.priority)) upkeep(core, core.policies.slots.settle([policy]));
}

const MOST_NAMED = 3;
const HINT = "find who runs `ip xfrm policy`, or another IPsec daemon; `mainmode status` lists what could not be put back";

/** For a stop. */
export function dropLook(core: Core): void {
  core.timers.clearAll(TIMER);
  core.look.id = null;
}
