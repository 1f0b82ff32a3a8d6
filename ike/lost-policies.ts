/**
 * Policies that went from the kernel behind our back: `ip xfrm policy flush`, another daemon's start, an administrator. The kernel tells that something went,
 * our own removals among it; what it has now is then compared with what should stand, as it is at each reload. Ours come back. Where somebody has put
 * one of his own in place of ours, that one stays, and ours is refused (`refused.ts`).
 */
import { type Core, log } from "./core.ts";
import { farSide } from "./far-side.ts";
import { relaySoft } from "./fronts.ts";
import type { KernelEvent, KernelListing, KernelPolicy } from "./kernel-contract.ts";
import { lookEnded, lookLater, lookSoon } from "./look.ts";
import { recordFound } from "./policy-records.ts";
import type { PolicyKey } from "./policy-slot.ts";
import { policyText, tellStanding } from "./refused.ts";
import { upkeep } from "./standing.ts";

/** A policy was changed: one of ours by somebody else is his from then on. */
export function onPolicyChanged(core: Core, { policy }: KernelEvent & { readonly type: "policy-changed" }): void {
  if (!core.policies.slots.isChangedByOthers(policy, core.now)) return;
  core.policies.slots.doubt(policy);
  lookSoon(core, false);
}

/** Milliseconds until a kernel that did not tell is asked again, doubled each time. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [15_000, 3_600_000];

/** A policy went from the kernel; null: nobody knows which, or how many. */
export function onPolicyGone(core: Core, { policy }: KernelEvent & { readonly type: "policy-gone" }): void {
  const state = policy ? core.policies.slots.stateOf(policy) : "present";
  // Somebody else's, in whose place ours belongs.
  if (policy && state === "refused") upkeep(core, core.policies.slots.settle([policy]));
  if (state !== "present") return;
  core.policies.slots.doubt(policy);
  lookSoon(core, false);
}

/** The answer; null: the kernel does not tell. */
export function onPoliciesFound(core: Core, id: number, policies: KernelListing["policies"] | null): void {
  if (core.look.id !== id) return;
  lookEnded(core);
  const { slots } = core.policies;
  if (!policies) {
    slots.failLook();
    settleInOrder(core, slots.unsure());
    if (core.stopping) core.look.lastOnes = 0;
    return lookLater(core, Math.min(FIRST_PAUSE * 2 ** core.look.failures++, LONGEST_PAUSE));
  }
  core.look.failures = 0;
  const { gone, back, judged, known, isPartial } = slots.compare(policies);
  recordFound(core, known, false);
  tellStanding(core, back);
  if (gone.length > 0 && !core.stopping) putBack(core, gone);
  settleInOrder(core, [...judged, ...slots.late()]);
  if (isPartial && (!core.look.isRepeat || slots.hasDoubts)) lookSoon(core, true);
}

/** What was in doubt, or held back, is what it should be now; as in `sync`, what becomes weaker or goes does so last, and the weakest first. */
function settleInOrder(core: Core, policies: readonly PolicyKey[]): void {
  const { slots } = core.policies;
  for (const policy of slots.inOrder(policies)) upkeep(core, slots.firstOf(slots.settle([policy])));
}

/** What is in doubt is asked for, and what was held back goes, as far as it may by now. Once for each input. */
export function settleHeld(core: Core): void {
  if (core.stopping) return;
  const { slots } = core.policies;
  for (const command of slots.probe()) upkeep(core, [command]);
  settleInOrder(core, slots.late());
  // Where nobody has asked for a look yet.
  if (slots.waitsForLook && core.look.id === null) lookSoon(core, false);
}

/** Nobody will look any more before the daemon is gone. What no look has told of stays: it may be somebody else's. */
export function leaveUnsure(core: Core): void {
  const left = core.policies.slots.leaveUnsure();
  const [first] = left;
  if (!first) return;
  const which = left.slice(0, MOST_NAMED).map(policyText).join(", ");
  const many = left.length === 1 ? "a policy stays" : `${left.length} policies stay`;
  const text = `stopping: ${many} in the kernel, since it does not tell whether somebody has changed them: ${which}`;
  const fields = { reason: "kernel-refused", hint: LEFT_HINT, failurePoint: "me", peer: farSide(first) } as const;
  log(core, "policy.failed", "warning", `${text}${left.length > MOST_NAMED ? ", \u2026" : ""}`, fields);
}

/** Rules' own policies first, in the order of each change; what stood in front of them after those, the strongest first. */
function putBack(core: Core, gone: readonly KernelPolicy[]): void {
  const all = gone.map((policy) => ({ policy, rule: core.policies.ruleOf(policy) }));
  const named = [...all.filter(({ rule }) => rule !== undefined), ...all.filter(({ rule }) => rule === undefined)]
    .slice(0, MOST_NAMED)
    .map(({ policy, rule }) => `${policyText(policy)}${rule === undefined ? "" : ` (rule ${rule})`}`);
  const text = `somebody has removed or replaced ${gone.length === 1 ? "a policy" : `${gone.length} policies`} of ours in the kernel: ${named.join(", ")}`;
  log(core, "policy.gone", "warning", `${text}${gone.length > named.length ? ", \u2026" : ""}; what is free is put back`, { hint: HINT });
  // What was in the way of others may have gone with it.
  core.policies.sync(core, () => relaySoft(core), true);
  for (const policy of [...gone].sort((a, b) => a.priority - b.priority)) upkeep(core, core.policies.slots.settle([policy]));
}

const MOST_NAMED = 3;
const LEFT_HINT = "look at `ip xfrm policy`; what is ours of them goes, or is in use again, when mainmode is started";
const HINT = "find who runs `ip xfrm policy`, or another IPsec daemon; `mainmode status` lists what could not be put back";
