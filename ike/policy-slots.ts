/**
 * The kernel keys policies by selector and direction: a slot is what stands at one key, and what should: a rule's own policy, and over it
 * those of children.
 * Invariant: what somebody else put into a slot is neither replaced nor removed. Only `add-policy` tells whether a slot is free; while
 * the kernel has not answered one, nothing else is asked about its slot, and where it is refused the slot was never ours. Where somebody may have
 * taken ours away, the slot is in doubt, and nothing in it is replaced or removed before a look has told whose it is.
 */
import { coversPackets, type PacketSelector } from "../policy/packet-selector.ts";
import type { KernelCommand, KernelListing, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { emptySlot, type Found, keyOf, leftBehind, type PolicyKey, type Slot } from "./policy-slot.ts";
import { samePolicy, stopsClear, strongerOf } from "./same-policy.ts";

export class PolicySlots {
  readonly #slots = new Map<string, Slot>();
  /** In how many slots each child wants a policy of its own. */
  readonly #laid = new Map<number, number>();
  /** Slots whose policy the kernel refused, the one that was asked for last at the end. */
  readonly #refused = new Set<string>();
  /** Looks at what the kernel has, counted. */
  #look = 0;
  /** The last look has failed: what is in doubt stays so for long. */
  #isBlind = false;

  /** Slots in which something of ours stands, or should. */
  get size(): number {
    return this.#slots.size;
  }

  setBase(policy: KernelPolicy): void {
    const slot = this.#at(policy);
    if (!slot.base || !samePolicy(slot.base, policy)) slot.base = policy;
  }

  /** Whether what the kernel has in its slot is stronger. */
  weakens(policy: KernelPolicy): boolean {
    const present = this.#slots.get(keyOf(policy))?.present;
    return present != null && present.priority < policy.priority;
  }

  dropBase(policy: KernelPolicy): void {
    const slot = this.#slots.get(keyOf(policy));
    if (slot) slot.base = null;
  }

  lay(child: number, policy: KernelPolicy): void {
    this.#at(policy).overlays.push({ child, policy });
    this.#laid.set(child, (this.#laid.get(child) ?? 0) + 1);
  }

  /** A child wants these from now on, and none of those that it wanted `before`; in each slot it keeps its place among others. */
  relay(child: number, wanted: readonly KernelPolicy[], before: readonly PolicyKey[]): void {
    const keys = new Set(wanted.map(keyOf));
    for (const policy of before) if (!keys.has(keyOf(policy))) this.lift(child, policy);
    for (const policy of wanted) {
      const known = this.#slots.get(keyOf(policy))?.overlays.find((overlay) => overlay.child === child);
      if (known) known.policy = policy;
      else this.lay(child, policy);
    }
  }

  /** Whether the child wants a policy anywhere. */
  hasLaid(child: number): boolean {
    return this.#laid.has(child);
  }

  /** Whether the child had one in that slot. */
  lift(child: number, policy: PolicyKey): boolean {
    const overlays = this.#slots.get(keyOf(policy))?.overlays ?? [];
    const index = overlays.findIndex((overlay) => overlay.child === child);
    if (index < 0) return false;
    overlays.splice(index, 1);
    const left = (this.#laid.get(child) ?? 1) - 1;
    if (left > 0) this.#laid.set(child, left);
    else this.#laid.delete(child);
    return true;
  }

  /** A policy of ours that an earlier run left in the kernel. */
  adopt(policy: KernelPolicy): void {
    const slot = this.#at(policy);
    slot.present = policy;
    slot.held = stopsClear(policy);
  }

  /** From now on every slot may have what is wanted there. */
  release(): void {
    for (const slot of this.#slots.values()) slot.held = false;
  }

  /** What the kernel must hear so that every slot holds what it should. */
  settleAll(): readonly KernelCommand[] {
    this.release();
    return [...this.#slots.keys()].flatMap((key) => this.#settleSlot(key) ?? []);
  }

  /** Nothing is wanted anywhere any more; what the kernel must hear now. */
  clear(): readonly KernelCommand[] {
    this.#laid.clear();
    return [...this.#slots].flatMap(([key, slot]) => {
      slot.base = null;
      slot.overlays.length = 0;
      return this.#settleSlot(key) ?? [];
    });
  }

  /** No child wants anything any more; what the kernel must hear now. */
  clearOverlays(): readonly KernelCommand[] {
    this.#laid.clear();
    return [...this.#slots].flatMap(([key, slot]) => {
      slot.overlays.length = 0;
      return this.#settleSlot(key) ?? [];
    });
  }

  /** The rule's policy in a slot, and the children that want one there. */
  wantedAt(policy: PolicyKey): { readonly base: KernelPolicy | null; readonly children: readonly number[] } {
    const slot = this.#slots.get(keyOf(policy));
    return { base: slot?.base ?? null, children: slot?.overlays.map(({ child }) => child) ?? [] };
  }

  /** The strongest policy of ours in the kernel that is about all of these packets. `front`: whose it is where it is no rule's own. */
  metBy(
    packets: PacketSelector,
    direction: KernelPolicy["direction"],
  ): { readonly policy: KernelPolicy; readonly front: number | null } | undefined {
    let [found, at]: [KernelPolicy | null, Slot | null] = [null, null];
    for (const slot of this.#slots.values()) {
      const { present } = slot;
      if (present?.direction !== direction || (found && found.priority <= present.priority)) continue;
      if (coversPackets(present.selector, packets)) [found, at] = [present, slot];
    }
    if (!found) return undefined;
    const overlay = at?.overlays.at(-1);
    return { policy: found, front: overlay && samePolicy(overlay.policy, found) ? overlay.child : null };
  }

  /** What the kernel must hear so that the slots of these policies hold what they should. Nothing for those that wait for an answer. */
  settle(policies: readonly PolicyKey[]): readonly KernelCommand[] {
    const commands: KernelCommand[] = [];
    for (const policy of policies) {
      const command = this.#settleSlot(keyOf(policy));
      if (command) commands.push(command);
    }
    return commands;
  }

  /** The same without what the kernel has refused as it is wanted now: its time comes (`refused.ts`). */
  settleNew(policies: readonly PolicyKey[]): readonly KernelCommand[] {
    return this.settle(
      policies.filter((policy) => {
        const { base, refused, denied, present } = this.#slots.get(keyOf(policy)) ?? {};
        return present || !base || !refused || !denied || !samePolicy(base, denied);
      }),
    );
  }

  #settleSlot(key: string): KernelCommand | undefined {
    const slot = this.#slots.get(key);
    if (!slot || slot.asked) return undefined;
    const { present } = slot;
    const wanted = strongerOf(slot.overlays.at(-1)?.policy, slot.base);
    if (slot.doubted !== null || (slot.tried && !wanted)) {
      if (!wanted || !this.#isBlind || (present && samePolicy(present, wanted))) return undefined;
      // It does no harm, whoever's is there.
      slot.asked = wanted;
      return { do: "add-policy", policy: wanted };
    }
    if (!wanted) {
      this.#forget(key);
      return present ? { do: "remove-policy", policy: present } : undefined;
    }
    if (!present) {
      slot.asked = wanted;
      return { do: "add-policy", policy: wanted };
    }
    if (!slot.stale && samePolicy(present, wanted)) return undefined;
    if (slot.held && !stopsClear(wanted)) return undefined;
    slot.present = wanted;
    slot.stale = false;
    slot.updates++;
    slot.echoes++;
    return { do: "update-policy", policy: wanted };
  }

  /**
   * The kernel's answer to commands of `settle`: those before the refused one were carried out, the others not. Returns what stands now and was
   * refused before.
   */
  answered(commands: readonly KernelCommand[], refusal: KernelRefusal | null): readonly KernelPolicy[] {
    const done = refusal?.index ?? commands.length;
    const back: KernelPolicy[] = [];
    for (const [i, command] of commands.entries()) {
      if (command.do !== "add-policy" && command.do !== "update-policy") continue;
      const key = keyOf(command.policy);
      const slot = this.#slots.get(key);
      if (!slot) continue;
      if (i < done && this.#refused.delete(key)) {
        slot.refused = null;
        back.push(command.policy);
      }
      slot.heard = this.#look;
      if (command.do === "update-policy") {
        slot.stale ||= i >= done;
        slot.updates = Math.max(0, slot.updates - 1);
        if (i >= done) slot.echoes = Math.max(0, slot.echoes - 1);
      } else {
        slot.asked = null;
        if (i < done) slot.doubted = slot.tried = null;
        if (slot.doubted === null) slot.present = i < done ? command.policy : null;
        if (!slot.present && !slot.tried && !slot.base && slot.overlays.length === 0) this.#forget(key);
      }
    }
    return back;
  }

  #forget(key: string): void {
    this.#slots.delete(key);
    this.#refused.delete(key);
  }

  /** A policy was not added since something is there; whether a look may tell that it is ours: an earlier run's, of which nobody has told the start. */
  mayBeOurs(policy: KernelPolicy): boolean {
    const slot = this.#at(policy);
    if (slot.refused || slot.present) return false;
    slot.tried = policy;
    return true;
  }

  /** The kernel has refused what a rule wants in a slot; whether it had not, or with other words, when it was asked before. */
  refuse(policy: PolicyKey, refusal: KernelRefusal): boolean {
    const key = keyOf(policy);
    const slot = this.#slots.get(key);
    if (!slot?.base) return true;
    const isNews = slot.refused?.reason !== refusal.reason;
    slot.refused = refusal;
    slot.denied = slot.base;
    this.#refused.delete(key);
    this.#refused.add(key);
    return isNews;
  }

  /** What rules want and the kernel has refused, and why. */
  refused(): readonly { readonly policy: KernelPolicy; readonly refusal: KernelRefusal }[] {
    return [...this.#refused].flatMap((key) => {
      const { base, refused } = this.#slots.get(key) ?? {};
      return base && refused ? [{ policy: base, refusal: refused }] : [];
    });
  }

  /** How many those are. */
  get refusals(): number {
    return this.#refused.size;
  }

  /** What to ask the kernel again of what it has refused: `most` of it, what was asked for longest ago first. */
  settleRefused(most: number): readonly KernelCommand[] {
    return [...this.#refused].slice(0, most).flatMap((key) => this.#settleSlot(key) ?? []);
  }

  /** Whether it would matter if the kernel had lost the policy in a slot: `present`: it has one of ours; `refused`: it has somebody else's. */
  stateOf(policy: PolicyKey): "present" | "refused" | "other" {
    const key = keyOf(policy);
    const slot = this.#slots.get(key);
    if (!slot || slot.asked) return "other";
    return slot.present ? "present" : this.#refused.has(key) ? "refused" : "other";
  }

  /** Somebody may have taken what is ours in a slot, or anywhere. */
  doubt(policy: PolicyKey | null): void {
    const slots = policy ? [this.#slots.get(keyOf(policy))] : this.#slots.values();
    for (const slot of slots) {
      if (!slot) continue;
      // More than is told may have been lost.
      slot.echoes = 0;
      if (slot.present && !slot.asked) slot.doubted = this.#look;
    }
  }

  /** A policy was changed in the kernel; whether it was ours, and not we have done it. */
  isChangedByOthers(policy: Pick<KernelPolicy, "direction" | "selector" | "action" | "priority">): boolean {
    const slot = this.#slots.get(keyOf(policy));
    if (!slot?.present || slot.asked) return false;
    if (slot.echoes === 0) return true;
    slot.echoes--;
    return slot.echoes === 0 && (slot.present.action !== policy.action || slot.present.priority !== policy.priority);
  }

  /** What is in doubt, as far as is known. */
  doubts(): readonly KernelPolicy[] {
    return [...this.#slots.values()].flatMap(({ doubted, present, tried }) => (doubted !== null ? (present ?? []) : (tried ?? [])));
  }

  /** Nobody will look any more: what is in doubt stays as it is. */
  leaveDoubts(): void {
    for (const policy of this.doubts()) this.#forget(keyOf(policy));
  }

  /** The kernel is asked what it has. */
  beginLook(): void {
    this.#look++;
  }

  /** It does not tell. What the kernel must hear now of what is in doubt: new policies, which replace nothing. */
  failLook(): readonly KernelCommand[] {
    this.#isBlind = true;
    return [...this.#slots].flatMap(([key, { doubted }]) => (doubted === null ? [] : (this.#settleSlot(key) ?? [])));
  }

  /**
   * What the kernel had at some moment since `beginLook`. What is not there, or is not what we put there, is ours no longer. Slots that the kernel was
   * asked about since then are passed over: their answers are newer.
   */
  compare(found: KernelListing["policies"]): Found {
    const there = this.#byKey(found);
    const [gone, back, judged]: [KernelPolicy[], KernelPolicy[], KernelPolicy[]] = [[], [], []];
    let isPartial = false;
    this.#isBlind = false;
    for (const [key, slot] of this.#slots) {
      if (slot.asked || slot.updates > 0 || slot.heard === this.#look || slot.doubted === this.#look) {
        isPartial = true;
        continue;
      }
      const { present, base, tried } = slot;
      if (slot.doubted !== null && present) judged.push(present);
      slot.doubted = slot.tried = null;
      const now = there.get(key);
      if (present && !(now && (slot.stale || samePolicy(now, present)))) {
        slot.present = null;
        slot.stale = false;
        gone.push(present);
      } else if (!present) {
        slot.present = leftBehind(now, [base, tried]);
        // What rules want there is asked for again in its time.
        if (tried && (slot.present || !base)) judged.push(tried);
        if (slot.present && base && this.#refused.delete(key)) {
          slot.refused = null;
          if (samePolicy(slot.present, base)) back.push(base);
        }
      }
    }
    return { gone, back, judged, isPartial };
  }

  /** Where several look like one slot's, the one that we put there, if it is among them. */
  #byKey(found: KernelListing["policies"]): ReadonlyMap<string, KernelListing["policies"][number]> {
    const there = new Map<string, KernelListing["policies"][number]>();
    for (const policy of found) {
      const key = keyOf(policy);
      const { present, base } = (there.has(key) && this.#slots.get(key)) || {};
      const own = present ?? base;
      if (!there.has(key) || (own && samePolicy(policy, own))) there.set(key, policy);
    }
    return there;
  }

  #at(policy: KernelPolicy): Slot {
    const key = keyOf(policy);
    const known = this.#slots.get(key);
    if (known) return known;
    const slot = emptySlot();
    this.#slots.set(key, slot);
    return slot;
  }
}
