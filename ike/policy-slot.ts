/** What is known of one slot of the kernel (`policy-slots.ts`). */
import { selectorKey } from "../policy/packet-selector.ts";
import type { Instant } from "./input.ts";
import type { KernelCommand, KernelListing, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { samePolicy, strongerOf } from "./same-policy.ts";

/** What the kernel keys a policy by. */
export type PolicyKey = Pick<KernelPolicy, "direction" | "selector">;

/** What stands at one key, and what should. */
export interface Slot {
  /** The policy of a rule, or null where only children need one. */
  base: KernelPolicy | null;
  /** What children want here, newest last. */
  readonly overlays: { readonly child: number; policy: KernelPolicy }[];
  /** What the kernel is asked to add. */
  asked: KernelPolicy | null;
  /** What the kernel has of ours, as far as is known. */
  present: KernelPolicy | null;
  /** What of ours it may have instead, since an update is not answered, or was refused; or, without `present`, since an addition was: the oldest first. */
  maybe: readonly KernelPolicy[];
  /** An earlier run left a policy that demands protection: nothing weaker takes its place before it is known what keeps flows from the clear. */
  held: boolean;
  /** What a rule wants here and the kernel was asked for in vain; null: it has it, or was not asked yet. */
  refused: { readonly policy: KernelPolicy; readonly refusal: KernelRefusal } | null;
  /** Updates that the kernel has not answered. */
  updates: number;
  /** Updates of which the kernel has yet to tell everybody. */
  echoes: number;
  /** By when it has, or never will: what it tells gets lost where too much is told at once. */
  echoedBy: Instant;
  /** During which look, as `#look` counts them, the kernel was last asked about it, or answered. */
  heard: number;
  /** Somebody may have taken `present` away, or replaced it; null: no doubt. */
  doubt: Doubt | null;
  /** What was asked for in doubt, and not added since something is there. */
  probed: KernelPolicy | null;
}

/** Why nobody knows whose it is what the kernel has in a slot. */
export interface Doubt {
  /** During which look it arose: only a later one can tell. */
  readonly look: number;
  /** The kernel has told of this very slot, and not of something that may have been anything. */
  readonly isNamed: boolean;
}

/** What should be in a slot that is in doubt. */
export interface Doubted {
  /** What ours was. */
  readonly isAsWanted: boolean;
  /** A rule's own policy. */
  readonly isRules: boolean;
}

/** What a look at the kernel has shown. */
export interface Found {
  /** Policies of ours that somebody has taken away, or put one of his own in place of. */
  readonly gone: readonly KernelPolicy[];
  /** What was refused before, and is there as it should be. */
  readonly back: readonly KernelPolicy[];
  /** What an earlier run of ours left, as is known now. */
  readonly known: readonly KernelPolicy[];
  /** Slots that were in doubt, and are no longer, or where nobody is in the way any more: what they should hold may have to be asked for. */
  readonly judged: readonly KernelPolicy[];
  /** Some slots changed during the look, and are not judged by it. */
  readonly isPartial: boolean;
}

/** Nothing stands there, and nothing should. */
const emptySlot = (): Slot => ({
  base: null,
  overlays: [],
  asked: null,
  present: null,
  maybe: [],
  held: false,
  refused: null,
  updates: 0,
  echoes: 0,
  echoedBy: 0,
  heard: 0,
  doubt: null,
  probed: null,
});

/** The slot of a policy, which is there from now on. */
export function slotAt(slots: Map<string, Slot>, policy: PolicyKey): Slot {
  const key = keyOf(policy);
  const known = slots.get(key);
  if (known) return known;
  const slot = emptySlot();
  slots.set(key, slot);
  return slot;
}

/** What should stand there. */
export const wantedIn = ({ base, overlays }: Slot): KernelPolicy | null => strongerOf(overlays.at(-1)?.policy, base);

/** Whether something there may be ours or somebody else's, and has to be judged before it is replaced or removed. */
export const isUnsure = (slot: Slot): boolean => slot.doubt !== null || (!slot.present && slot.maybe.length > 0 && !wantedIn(slot));

/** Whether it holds what it should, as far as is known. */
export function isAsWanted(slot: Slot): boolean {
  const wanted = wantedIn(slot);
  const isSame = wanted && slot.present ? samePolicy(slot.present, wanted) : wanted === slot.present;
  return isSame && (slot.maybe.length === 0 || slot.updates > 0);
}

/** The same with another policy of ours that the kernel may have: what it confirmed last, and what it was asked for since. */
export function withMaybe(maybe: readonly KernelPolicy[], policy: KernelPolicy): readonly KernelPolicy[] {
  const [first, ...more] = [...maybe.filter((one) => !samePolicy(one, policy)), policy];
  return first ? [first, ...more.slice(-MOST_SINCE)] : [];
}

const MOST_SINCE = 3;

/** The command that adds what is wanted in a slot, with what of ours may stand there. */
export function additionTo({ present, maybe }: Slot, policy: KernelPolicy): KernelCommand {
  const before = present ?? maybe.at(-1);
  return before ? { do: "add-policy", policy, before } : { do: "add-policy", policy };
}

/** The key as text. */
export const keyOf = ({ direction, selector }: PolicyKey): string => `${direction} ${selectorKey(selector)}`;

/** What an earlier run has left, where that is what we `wanted` there. Our number alone says little: a policy keeps it when somebody changes it. */
export function leftBehind(
  now: KernelListing["policies"][number] | undefined,
  wanted: readonly (KernelPolicy | null)[],
): KernelPolicy | null {
  return (now?.ours && wanted.find((policy) => policy && samePolicy(now, policy))) || null;
}

/** Milliseconds after its answer in which the kernel has told everybody of an update, also on a machine that is short of time. */
const TELLS_WITHIN = 2000;

/** The kernel's answer to an update of a slot. */
export function onUpdated(slot: Slot, isDone: boolean, now: Instant): void {
  slot.updates = Math.max(0, slot.updates - 1);
  slot.echoedBy = now + TELLS_WITHIN;
  if (!isDone) slot.echoes = Math.max(0, slot.echoes - 1);
  else if (slot.updates === 0) slot.maybe = [];
}

/** Whether a removal says what it removes, and not only where. */
export const isWhole = (policy: PolicyKey): policy is KernelPolicy => "priority" in policy;

/** The same to an addition; one in doubt that is refused tells nothing. Where nothing was in the way (`exists`) it may have been carried out all the same. */
export function onAdded(slot: Slot, policy: KernelPolicy, isDone: boolean, exists: boolean): void {
  slot.asked = null;
  if (isDone) {
    slot.present = policy;
    slot.doubt = slot.probed = null;
    slot.maybe = [];
  } else if (slot.doubt) slot.probed = policy;
  else {
    slot.present = null;
    if (!exists) slot.maybe = withMaybe(slot.maybe, policy);
  }
}

/** What the kernel tells of a policy that was changed. */
export type ChangedPolicy = Pick<KernelPolicy, "direction" | "selector" | "action" | "priority">;

/** Whether not we have changed what is ours there. Each of our updates is told once, and soon: a word that got lost is no excuse for what comes later. */
export function isNotOurChange(slot: Slot, { action, priority }: ChangedPolicy, now: Instant): boolean {
  const { present, asked, updates, echoedBy } = slot;
  if (!present || asked) return false;
  if (updates === 0 && now > echoedBy) slot.echoes = 0;
  if (slot.echoes === 0) return true;
  slot.echoes--;
  return slot.echoes === 0 && (present.action !== action || present.priority !== priority);
}
