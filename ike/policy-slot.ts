/** What is known of one slot of the kernel (`policy-slots.ts`). */
import { selectorKey } from "../policy/packet-selector.ts";
import type { KernelListing, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { samePolicy } from "./same-policy.ts";

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
  /** What the kernel has of ours. */
  present: KernelPolicy | null;
  /** An update was not carried out: `present` is not what the kernel has. */
  stale: boolean;
  /** An earlier run left a policy that demands protection: nothing weaker takes its place before it is known what keeps flows from the clear. */
  held: boolean;
  /** Why the kernel does not have what a rule wants here; null: it has it, or was not asked yet. */
  refused: KernelRefusal | null;
  /** What that was. */
  denied: KernelPolicy | null;
  /** Updates that the kernel has not answered. */
  updates: number;
  /** Updates of which the kernel has yet to tell everybody. */
  echoes: number;
  /** During which look, as `#look` counts them, the kernel was last asked about it, or answered. */
  heard: number;
  /** During which look somebody may have taken `present` away, or replaced it: only a later one can tell; null: no doubt. */
  doubted: number | null;
  /** What was not added since something is there, of which no look has told yet whether an earlier run of ours put it there. */
  tried: KernelPolicy | null;
}

/** What a look at the kernel has shown. */
export interface Found {
  /** Policies of ours that somebody has taken away, or put one of his own in place of. */
  readonly gone: readonly KernelPolicy[];
  /** What was refused before, and is there as it should be. */
  readonly back: readonly KernelPolicy[];
  /** Slots that were in doubt, and are no longer: what they should hold may have changed meanwhile. */
  readonly judged: readonly KernelPolicy[];
  /** Some slots changed during the look, and are not judged by it. */
  readonly isPartial: boolean;
}

/** Nothing stands there, and nothing should. */
export const emptySlot = (): Slot => ({
  base: null,
  overlays: [],
  asked: null,
  present: null,
  stale: false,
  held: false,
  refused: null,
  denied: null,
  updates: 0,
  echoes: 0,
  heard: 0,
  doubted: null,
  tried: null,
});

/** The key as text. */
export const keyOf = ({ direction, selector }: PolicyKey): string => `${direction} ${selectorKey(selector)}`;

/** What an earlier run has left, where that is what we `wanted` there. Our number alone says little: a policy keeps it when somebody changes it. */
export function leftBehind(
  now: KernelListing["policies"][number] | undefined,
  wanted: readonly (KernelPolicy | null)[],
): KernelPolicy | null {
  return (now?.ours && wanted.find((policy) => policy && samePolicy(now, policy))) || null;
}
