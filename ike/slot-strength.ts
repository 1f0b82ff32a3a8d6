/** Which of many slots is the strongest (`policy-slots.ts`). */
import { coversPackets, type PacketSelector } from "../policy/packet-selector.ts";
import type { KernelPolicy } from "./kernel-contract.ts";
import { type PolicyKey, type Slot, wantedIn } from "./policy-slot.ts";
import { makesWeaker, samePolicy } from "./same-policy.ts";

/** A policy, and whose it is where it is no rule's own. */
export interface Strongest {
  readonly policy: KernelPolicy;
  readonly front: number | null;
}

/** The strongest policy of ours in the kernel that is about all of these packets. */
export function strongestAbout(
  slots: Iterable<Slot>,
  packets: PacketSelector,
  direction: KernelPolicy["direction"],
): Strongest | undefined {
  let [found, at]: [KernelPolicy | null, Slot | null] = [null, null];
  for (const slot of slots) {
    const { present } = slot;
    if (present?.direction !== direction || (found && found.priority <= present.priority)) continue;
    if (coversPackets(present.selector, packets)) [found, at] = [present, slot];
  }
  if (!found) return undefined;
  const overlay = at?.overlays.at(-1);
  return { policy: found, front: overlay && samePolicy(overlay.policy, found) ? overlay.child : null };
}

/** Policies in the order of a change: what becomes stronger, the strongest first; then what becomes weaker, and what goes, each the weakest first. */
export function inOrder(policies: readonly PolicyKey[], slotOf: (policy: PolicyKey) => Slot | undefined): readonly PolicyKey[] {
  const ranked = policies.map((policy) => {
    const slot = slotOf(policy);
    const [present, wanted] = [slot?.present, slot && wantedIn(slot)];
    if (!wanted) return { policy, rank: 2, strength: -(present?.priority ?? 0) };
    const isWeaker = present != null && makesWeaker(present, wanted);
    return { policy, rank: isWeaker ? 1 : 0, strength: isWeaker ? -wanted.priority : wanted.priority };
  });
  return ranked.sort((a, b) => a.rank - b.rank || a.strength - b.strength).map(({ policy }) => policy);
}
