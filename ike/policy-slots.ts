/**
 * The kernel keys policies by selector and direction: a slot is what stands at one key, and what should: a rule's own policy, and over it
 * those of children.
 * Invariant: what somebody else put into a slot is neither replaced nor removed. Only `add-policy` tells whether a slot is free; while
 * the kernel has not answered one, nothing else is asked about its slot, and where it is refused the slot was never ours. Where somebody may have
 * taken ours away, the slot is in doubt, and nothing in it is replaced or removed before a look has told whose it is.
 */
import type { PacketSelector } from "../policy/packet-selector.ts";
import { compareSlots } from "./compare-slots.ts";
import { HeldBack, opensRules, strengthens } from "./held-back.ts";
import type { Instant } from "./input.ts";
import type { KernelCommand, KernelListing, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { Overlays } from "./overlays.ts";
import {
  additionTo,
  type ChangedPolicy,
  type Doubted,
  type Found,
  isAsWanted,
  isNotOurChange,
  isUnsure,
  isWhole,
  keyOf,
  onAdded,
  onUpdated,
  type PolicyKey,
  type Slot,
  slotAt,
  wantedIn,
  withMaybe,
} from "./policy-slot.ts";
import { RefusedSlots } from "./refused-slots.ts";
import { makesWeaker, samePolicy, stopsClear } from "./same-policy.ts";
import { inOrder, type Strongest, strongestAbout } from "./slot-strength.ts";

export class PolicySlots {
  readonly #slots = new Map<string, Slot>();
  /** What children want. */
  readonly overlays = new Overlays(this.#slots);
  readonly #refused = new RefusedSlots(this.#slots);
  readonly #held = new HeldBack();
  /** What else of ours there may have been in a slot of which the kernel is asked to remove all. */
  readonly #unsureGone = new Map<string, readonly KernelPolicy[]>();
  /** Looks at what the kernel has, counted. */
  #look = 0;

  /** Slots in which something of ours stands, or should. */
  get size(): number {
    return this.#slots.size;
  }

  setBase(policy: KernelPolicy): void {
    const slot = slotAt(this.#slots, policy);
    if (!slot.base || !samePolicy(slot.base, policy)) slot.base = policy;
  }

  /** Whether what the kernel has in its slot is stronger. */
  weakens(policy: KernelPolicy): boolean {
    const present = this.#slots.get(keyOf(policy))?.present;
    return present != null && makesWeaker(present, policy);
  }

  dropBase(policy: KernelPolicy): void {
    const slot = this.#slots.get(keyOf(policy));
    if (slot) slot.base = null;
  }

  /** A policy of ours that an earlier run left in the kernel; not `isThere`: that it may have left, since the kernel has not told. */
  adopt(policy: KernelPolicy, isThere: boolean): void {
    const slot = slotAt(this.#slots, policy);
    if (isThere) Object.assign(slot, { present: policy, held: stopsClear(policy) });
    else slot.maybe = withMaybe(slot.maybe, policy);
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

  /** Nothing is wanted anywhere any more; what the kernel must hear now. For a stop. */
  clear(): readonly KernelCommand[] {
    for (const slot of this.#slots.values()) slot.base = null;
    return this.clearOverlays();
  }

  /** The same of what children want. */
  clearOverlays(): readonly KernelCommand[] {
    this.overlays.clear();
    this.#held.isEnding = true;
    return [...this.#slots.keys()].flatMap((key) => this.#settleSlot(key) ?? []);
  }

  /** The rule's policy in a slot, and the children that want one there. */
  wantedAt(policy: PolicyKey): { readonly base: KernelPolicy | null; readonly children: readonly number[] } {
    const slot = this.#slots.get(keyOf(policy));
    return { base: slot?.base ?? null, children: slot?.overlays.map(({ child }) => child) ?? [] };
  }

  /** The strongest policy of ours in the kernel that is about all of these packets. `front`: whose it is where it is no rule's own. */
  metBy(packets: PacketSelector, direction: KernelPolicy["direction"]): Strongest | undefined {
    return strongestAbout(this.#slots.values(), packets, direction);
  }

  /** What the kernel must hear so that the slots of these policies hold what they should. Nothing for those that wait for an answer. */
  settle(policies: readonly PolicyKey[]): readonly KernelCommand[] {
    return policies.flatMap((policy) => this.#settleSlot(keyOf(policy)) ?? []);
  }

  /** The same without what the kernel has refused as it is wanted now: its time comes (`refused.ts`). */
  settleNew(policies: readonly PolicyKey[]): readonly KernelCommand[] {
    return this.settle(
      policies.filter((policy) => {
        const { base, refused, present } = this.#slots.get(keyOf(policy)) ?? {};
        return present || !base || !refused || !samePolicy(base, refused.policy);
      }),
    );
  }

  /** The rest of a change waits for what is added, or becomes stronger, of these: nothing may go of which the kernel has not what comes instead. */
  firstOf(commands: readonly KernelCommand[]): readonly KernelCommand[] {
    for (const command of commands) if (strengthens(command)) this.#held.goesFirst(keyOf(command.policy), command.policy);
    return commands;
  }

  /** Milliseconds after which what of that was refused is asked for again; null: nothing was. */
  get firstPause(): number | null {
    return this.#held.againAfter;
  }

  /** That is asked for again. */
  settleFirst(): readonly KernelCommand[] {
    return [...this.#held.again.keys()].flatMap((key) => {
      const command = this.#settleSlot(key);
      if (!command) this.#held.again.delete(key);
      return command ?? [];
    });
  }

  /** The same policies in the order in which a change goes: what is stronger, the strongest first; then what becomes weaker, and what goes, the weakest first. */
  inOrder(policies: readonly PolicyKey[]): readonly PolicyKey[] {
    return inOrder(policies, (policy) => this.#slots.get(keyOf(policy)));
  }

  #settleSlot(key: string): KernelCommand | undefined {
    const slot = this.#slots.get(key);
    this.#held.release(key);
    if (!slot) return undefined;
    if (isUnsure(slot) && !this.#mustClose(slot)) return this.#wait(key, slot);
    if (slot.asked) return undefined;
    const { present } = slot;
    const wanted = wantedIn(slot);
    if (present && this.#held.holds(present, wanted)) return void this.#held.late.add(key);
    if (!wanted) {
      this.#forget(key);
      if (present && slot.maybe.length > 0) this.#unsureGone.set(key, slot.maybe);
      return present ? { do: "remove-policy", policy: present } : undefined;
    }
    if (!present) {
      if (wanted === slot.base && this.#held.holdsNew(wanted)) return void this.#held.lateNew.add(key);
      slot.asked = wanted;
      return additionTo(slot, wanted);
    }
    if (isAsWanted(slot) || (slot.held && !stopsClear(wanted))) return undefined;
    if (!samePolicy(present, wanted)) slot.maybe = withMaybe(slot.maybe, present);
    slot.doubt = null;
    slot.present = wanted;
    slot.updates++;
    slot.echoes++;
    return { do: "update-policy", policy: wanted, before: present };
  }

  /** Nothing is asked before a look; where there is none for long, what is wanted new. */
  #wait(key: string, slot: Slot): undefined {
    if (isAsWanted(slot)) return;
    this.#held.unsure.add(key);
    const wanted = wantedIn(slot);
    if (wanted && !(slot.probed && samePolicy(slot.probed, wanted))) this.#held.probeLater(key);
  }

  /**
   * Whether what lets clear text through, and should no longer, goes although nobody tells whether it is ours: nothing says that somebody has touched this very
   * slot, and the clear text would last as long as the kernel does not tell.
   */
  #mustClose(slot: Slot): boolean {
    const { doubt, present } = slot;
    return this.#held.isBlind && doubt?.isNamed === false && present !== null && opensRules(present) && !isAsWanted(slot);
  }

  /** What to ask for although it is in doubt: additions, which replace nothing. */
  probe(): readonly KernelCommand[] {
    return this.#held.takeProbes((key) => {
      const slot = this.#slots.get(key);
      if (!slot?.doubt || slot.asked || slot.updates > 0) return null;
      slot.asked = wantedIn(slot);
      return slot.asked && additionTo(slot, slot.asked);
    });
  }

  /** What was held back, and need be no longer. */
  late(): readonly PolicyKey[] {
    return this.#named(this.#held.ready());
  }

  get waitsForLook(): boolean {
    return this.#held.unsure.size > 0;
  }

  /** What should be otherwise, and waits for a look. */
  unsure(): readonly KernelPolicy[] {
    return this.#named(this.#held.unsure);
  }

  #named(keys: Iterable<string>): readonly KernelPolicy[] {
    return [...keys].flatMap((key) => {
      const slot = this.#slots.get(key);
      return slot?.present ?? slot?.maybe[0] ?? (slot && wantedIn(slot)) ?? [];
    });
  }

  /**
   * The kernel's answer to commands of `settle`: those before the refused one were carried out, the others not, as far as is known. Returns what stands now and
   * was refused before.
   */
  answered(commands: readonly KernelCommand[], refusal: KernelRefusal | null, now: Instant): readonly KernelPolicy[] {
    const done = refusal?.index ?? commands.length;
    const back: KernelPolicy[] = [];
    for (const [i, command] of commands.entries()) {
      if (command.do === "remove-policy" && i <= done) this.#onRemoved(command.policy, i < done);
      if (command.do !== "add-policy" && command.do !== "update-policy") continue;
      const key = keyOf(command.policy);
      const slot = this.#slots.get(key);
      if (!slot) continue;
      const isDone = i < done;
      if (isDone && this.#refused.stands(key)) back.push(command.policy);
      slot.heard = this.#look;
      if (isDone && slot.doubt && slot.asked) this.#held.onProbed();
      if (i > done) this.#held.isSkipped(key);
      else this.#held.onAnswer(key, isDone, refusal?.exists === true);
      if (command.do === "update-policy") onUpdated(slot, isDone, now);
      else onAdded(slot, command.policy, isDone, refusal?.exists === true);
      if (!slot.present && !slot.asked && slot.maybe.length === 0 && !wantedIn(slot)) this.#forget(key);
    }
    return back;
  }

  /** The kernel's answer to a removal: one that it refused may have been carried out, or not. */
  #onRemoved(policy: PolicyKey, isDone: boolean): void {
    const key = keyOf(policy);
    const perhaps = this.#unsureGone.get(key) ?? [];
    this.#unsureGone.delete(key);
    if (isDone || !isWhole(policy)) return;
    for (const one of [...perhaps, policy]) this.adopt(one, false);
    slotAt(this.#slots, policy).heard = this.#look;
  }

  #forget(key: string): void {
    this.#slots.delete(key);
    this.#refused.forget(key);
    this.#held.forget(key);
  }

  /** A policy was not added since something is there; whether a look may tell that it is ours: an earlier run's, of which nobody has told the start. */
  mayBeOurs(policy: KernelPolicy): boolean {
    const slot = slotAt(this.#slots, policy);
    if (slot.refused?.refusal.exists || slot.present) return false;
    // What was refused otherwise may have been carried out all the same.
    slot.maybe = withMaybe(slot.refused ? withMaybe(slot.maybe, slot.refused.policy) : slot.maybe, policy);
    return true;
  }

  /** Of a slot of which nobody knows whose it is what the kernel has there. */
  isDoubted(policy: PolicyKey): Doubted | undefined {
    const slot = this.#slots.get(keyOf(policy));
    if (!slot?.doubt) return undefined;
    return { isAsWanted: isAsWanted(slot), isRules: wantedIn(slot) === slot.base };
  }

  /** What rules want and the kernel has refused. */
  get refusals(): Pick<RefusedSlots, "size" | "list"> {
    return this.#refused;
  }

  /** The kernel has refused what a rule wants in a slot; whether it had not, or with other words, when it was asked before. */
  refuse(policy: PolicyKey, refusal: KernelRefusal): boolean {
    return this.#refused.add(keyOf(policy), refusal);
  }

  /** What to ask the kernel again of what it has refused: `most` of it, what was asked for longest ago first. What needs no asking counts for nothing. */
  settleRefused(most: number): readonly KernelCommand[] {
    const commands: KernelCommand[] = [];
    for (const key of this.#refused.keys()) {
      const command = this.#settleSlot(key);
      if (command && commands.push(command) === most) break;
    }
    return commands;
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
    if (!policy) this.#held.onBell();
    for (const slot of slots) {
      if (!slot) continue;
      // More than is told may have been lost.
      slot.echoes = 0;
      if (!slot.present || slot.asked) continue;
      slot.doubt = { look: this.#look, isNamed: policy !== null || slot.doubt?.isNamed === true };
      this.#probeAnew(slot);
    }
  }

  /** A policy was changed in the kernel; whether it was ours, and not we have done it. */
  isChangedByOthers(policy: ChangedPolicy, now: Instant): boolean {
    const slot = this.#slots.get(keyOf(policy));
    return slot !== undefined && isNotOurChange(slot, policy, now);
  }

  /** Of what is wanted in doubt it is not known any more that something is there. */
  #probeAnew(slot: Slot): void {
    slot.probed = null;
    const wanted = wantedIn(slot);
    if (slot.doubt && wanted) this.#held.probeLater(keyOf(wanted));
  }

  /** Whether anything is in doubt. */
  get hasDoubts(): boolean {
    for (const slot of this.#slots.values()) if (slot.doubt || (!slot.present && slot.maybe.length > 0)) return true;
    return false;
  }

  /** Nobody will look any more: what waits for a look stays as it is. What that is. */
  leaveUnsure(): readonly KernelPolicy[] {
    const left = this.unsure();
    for (const policy of left) this.#forget(keyOf(policy));
    return left;
  }

  /** The kernel is asked what it has. */
  beginLook(): void {
    this.#look++;
    this.#held.beginLook();
  }

  /** It does not tell. */
  failLook(): void {
    this.#held.onFailedLook();
    for (const slot of this.#slots.values()) this.#probeAnew(slot);
  }

  /** What the kernel had at some moment since `beginLook` (`compare-slots.ts`). */
  compare(found: KernelListing["policies"]): Found {
    const judgesAll = this.#held.onLook();
    return compareSlots(this.#slots, found, { look: this.#look, judgesAll, unsure: this.#held.unsure, refused: this.#refused });
  }
}
