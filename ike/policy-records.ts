/**
 * The journal's records of kernel policies: by them a start knows what is ours, whatever somebody has made of it meanwhile. The kernel keeps our number with a
 * policy that was changed, and says little by it.
 */
import type { Result } from "../isakmp/result.ts";
import { selectorKey } from "../policy/packet-selector.ts";
import type { JournalImage, JournalRecord, JournalValue } from "../sa-store/journal-record.ts";
import type { Core } from "./core.ts";
import type { KernelCommand, KernelPolicy, KernelRefusal } from "./kernel-contract.ts";
import { isWhole } from "./policy-slot.ts";
import { type Fields, fieldsOf } from "./restore-record.ts";
import { samePolicy } from "./same-policy.ts";

/** The owner of such a record, before what the kernel keys the policy by. */
export const POLICY = "policy";
/** The journal has a record of every policy of ours that the kernel may have: a start without a journal took over what it found, and wrote that down. */
const ALL_KNOWN = "policies";

/** What the kernel may have at the keys about which it was asked and has not answered. */
export class AskedPolicies {
  readonly #asked = new Map<string, { unanswered: number; before: readonly KernelPolicy[] }>();

  /** It is asked. Returns what it may have until it has done so. */
  ask(owner: string, before: KernelPolicy | null): readonly KernelPolicy[] {
    const known = this.#asked.get(owner);
    // What waits for nothing is what the command says, or nothing.
    if (!known && !before) return [];
    const asked = known ?? { unanswered: 0, before: [] };
    asked.unanswered++;
    if (before && !asked.before.some((one) => samePolicy(one, before))) asked.before = [...asked.before, before].slice(-MOST_BEFORE);
    this.#asked.set(owner, asked);
    return asked.before;
  }

  /**
   * It has answered; `done`: as it was asked to; `removed`: nothing of ours is there. Returns whether it may have something of ours there all the same: what it
   * was asked for since, or where it was asked to add, what it did not remove.
   */
  answer(owner: string, done: boolean, removed: boolean): { readonly isAskedAgain: boolean; readonly mayStand: boolean } {
    const asked = this.#asked.get(owner);
    if (!asked) return { isAskedAgain: false, mayStand: false };
    asked.unanswered = Math.max(0, asked.unanswered - 1);
    if (removed) asked.before = [];
    const mayStand = asked.before.length > 0;
    if (done && asked.unanswered === 0) this.#asked.delete(owner);
    return { isAskedAgain: asked.unanswered > 0, mayStand };
  }
}

/** A kernel that answers nothing for so many changes of one policy has other troubles. */
const MOST_BEFORE = 8;

/** The journal's name of a policy: what the kernel keys it by. */
export const policyOwner = ({ direction, selector }: Pick<KernelPolicy, "direction" | "selector">): string =>
  `${POLICY} ${direction} ${selectorKey(selector)}`;

const saysOf = ({ action, priority, templates }: KernelPolicy): { readonly [key: string]: JournalValue } => ({
  action,
  priority,
  templates: templates.map((template) => ({ ...template })),
});

/** A policy as the journal has it, and what the kernel may have in its place until it has answered. */
export const policyValue = (policy: KernelPolicy, before: readonly KernelPolicy[] = []): JournalValue => ({
  ...{ direction: policy.direction, selector: { ...policy.selector } },
  ...saysOf(policy),
  ...(before.length > 0 ? { before: before.map(saysOf) } : {}),
});

/** Policies that the kernel is asked for. Their removal is written when it was done: what is left behind by then has to be known. */
export function policyRecords({ asked }: Core, commands: readonly KernelCommand[]): readonly JournalRecord[] {
  const records: JournalRecord[] = [];
  for (const command of commands) {
    if (command.do === "remove-policy") {
      const { policy } = command;
      asked.ask(policyOwner(policy), isWhole(policy) ? policy : null);
    } else if (command.do === "add-policy" || command.do === "update-policy") {
      const owner = policyOwner(command.policy);
      const before = asked.ask(owner, command.before ?? null);
      records.push({ owner, part: "", value: policyValue(command.policy, before), secret: null });
    }
  }
  return records;
}

/**
 * The kernel's answer: policies that it has removed are not ours, nor are those that it did not add because something is there, unless that may be ours.
 * What failed otherwise may have been carried out all the same. What is asked for again is written down again.
 */
export function noteRemovals(core: Core, commands: readonly KernelCommand[], outcome: Result<unknown, KernelRefusal>): void {
  const done = outcome.ok ? commands.length : outcome.error.index;
  for (const [i, command] of commands.entries()) {
    if (command.do !== "remove-policy" && command.do !== "add-policy" && command.do !== "update-policy") continue;
    const owner = policyOwner(command.policy);
    const isRemoved = i < done && command.do === "remove-policy";
    const { isAskedAgain, mayStand } = core.asked.answer(owner, i < done, isRemoved);
    const isGone = isRemoved || (i >= done && command.do === "add-policy" && !command.before && !mayStand && isInTheWay(outcome));
    if (!isAskedAgain && isGone) core.store.changes.gone.add(owner);
  }
}

const isInTheWay = (outcome: Result<unknown, KernelRefusal>): boolean => !outcome.ok && outcome.error.exists;

/** What is there of ours is written down, as is that no more is. */
export function recordFound(core: Core, policies: readonly KernelPolicy[], isAll: boolean): void {
  for (const policy of policies) core.store.changes.came.set(policyOwner(policy), policyValue(policy));
  if (isAll) core.store.changes.came.set(ALL_KNOWN, true);
}

/** Whether a journal tells of every policy whether it is ours. */
export const knowsAll = (image: JournalImage): boolean => image.has(ALL_KNOWN);

/** Whether the journal has a policy as it is, or as it was before a change that the kernel was asked for last. */
export const isRecorded = (image: JournalImage, policy: KernelPolicy): boolean =>
  policiesOf(image.get(policyOwner(policy))?.get("")?.value).some((one) => samePolicy(policy, one));

/** What a record says that the kernel may have: what it had before, the oldest first, and what it was asked for last. */
export function policiesOf(record: JournalValue | undefined): readonly KernelPolicy[] {
  const { before, ...last } = fieldsOf(record);
  const all: readonly Fields[] = [...(Array.isArray(before) ? before.map(fieldsOf) : []), last];
  return all.flatMap((one) => (Array.isArray(one["templates"]) ? [{ ...last, ...one } as unknown as KernelPolicy] : []));
}

/** What of the journal is left by a full stop: the next start has to tell what the stop left in the kernel from what somebody has made of ours. No keys. */
export const outlivesStop = (owner: string): boolean => owner === ALL_KNOWN || owner.startsWith(`${POLICY} `);

/** Whether a journal has more than what a full stop leaves. */
export const isTakenOver = (image: JournalImage): boolean => [...image.keys()].some((owner) => !outlivesStop(owner));
