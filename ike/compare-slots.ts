/** What a look at the kernel's policies says about each slot (`policy-slots.ts`). */
import type { KernelListing, KernelPolicy } from "./kernel-contract.ts";
import { type Found, keyOf, leftBehind, type Slot, wantedIn } from "./policy-slot.ts";
import type { RefusedSlots } from "./refused-slots.ts";
import { samePolicy } from "./same-policy.ts";

/** How a look is judged. */
interface Judging {
  /** Its number. */
  readonly look: number;
  /** Also what came in doubt since it began, but for what the kernel has told of by name. */
  readonly judgesAll: boolean;
  /** What waits for a look; what it judges does so no longer. */
  readonly unsure: Set<string>;
  readonly refused: RefusedSlots;
}

type There = KernelListing["policies"][number];

/**
 * What is not there, or is not what we put there, is ours no longer. Slots that the kernel was asked about since the look began are passed over: their
 * answers are newer.
 */
export function compareSlots(
  slots: ReadonlyMap<string, Slot>,
  found: readonly There[],
  { look, judgesAll, unsure, refused }: Judging,
): Found {
  const there = byKey(slots, found);
  const none = (): KernelPolicy[] => [];
  const result = { gone: none(), back: none(), judged: none(), known: none(), isPartial: false };
  for (const [key, slot] of slots) {
    const { asked, updates, heard, doubt } = slot;
    const isNew = doubt?.look === look;
    const isPassed = asked || updates > 0 || heard === look || (isNew && (doubt.isNamed || !judgesAll));
    if (isPassed || isNew) result.isPartial = true;
    if (isPassed) continue;
    unsure.delete(key);
    const now = there.get(key);
    const { base } = slot;
    if (slot.present) compareOurs(slot, slot.present, now, result);
    else compareFree(slot, now, result);
    const wanted = wantedIn(slot);
    if (!slot.present || !wanted || !samePolicy(slot.present, wanted) || !refused.stands(key)) continue;
    if (base && samePolicy(slot.present, base)) result.back.push(base);
  }
  return result;
}

type Result = { [K in "gone" | "back" | "judged" | "known"]: KernelPolicy[] };

/** A slot that should hold something of ours. */
function compareOurs(slot: Slot, present: KernelPolicy, now: There | undefined, { gone, judged }: Result): void {
  if (slot.doubt) judged.push(present);
  const own = now && [present, ...slot.maybe].find((policy) => samePolicy(now, policy));
  slot.present = own ?? null;
  slot.doubt = slot.probed = null;
  slot.maybe = [];
  if (!own) gone.push(present);
}

/** One that holds nothing of ours, as far as is known. */
function compareFree(slot: Slot, now: There | undefined, { judged, known }: Result): void {
  const { base, maybe, refused } = slot;
  slot.present = leftBehind(now, [base, ...maybe]);
  if (slot.present) known.push(slot.present);
  slot.maybe = [];
  // Else it is asked for again in its time.
  const [first] = maybe;
  if (first && (slot.present || !base)) judged.push(first);
  else if (base && !now && refused?.refusal.exists) judged.push(base);
}

/** Where several look like one slot's, the one that we put there, if it is among them. */
function byKey(slots: ReadonlyMap<string, Slot>, found: readonly There[]): ReadonlyMap<string, There> {
  const there = new Map<string, There>();
  for (const policy of found) {
    const key = keyOf(policy);
    const slot = there.has(key) ? slots.get(key) : undefined;
    const own = slot ? [slot.present ?? slot.base, ...slot.maybe] : [];
    if (!there.has(key) || own.some((one) => one && samePolicy(policy, one))) there.set(key, policy);
  }
  return there;
}
