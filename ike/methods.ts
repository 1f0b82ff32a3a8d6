/**
 * Which methods to offer, and what was learnt about them: those that did not work here lately, and those that a peer took when it would not take
 * an offer of several. What a peer's refusal teaches is forgotten after a while: a refusal in clear proves nothing.
 */
import { type AuthChoice, methodName, methodNumber } from "../auth/choice.ts";
import type { AuthFailure, AuthReason } from "../auth/method.ts";
import type { AuthEntry, Rule } from "../policy/types.ts";
import type { OfferPlan } from "../sa-store/ike-sa.ts";
import { type Core, log } from "./core.ts";
import { explain, type IkeError } from "./errors.ts";
import type { Instant } from "./input.ts";
import { RETRANSMIT_WAITS } from "./retransmit.ts";

/** How long a method counts as unusable after a failure of ours. */
const UNUSABLE_FOR = 60_000;
/** How long we remember which method a peer takes alone. */
const LEARNT_FOR = 3_600_000;
const MOST_LEARNT = 4096;
/** Message 1 is sent this often where another offer may follow, and where it is the last of several: all of it within a command's 30 s. */
const PATIENCE = { more: 3, last: 4 } as const;

export type Unusable = Map<AuthEntry, { readonly until: Instant; readonly reason: AuthReason }>;
export type Learnt = Map<string, { readonly method: number; readonly until: Instant }>;

/** A failure as an error that people see. */
export const failureError = (failure: AuthFailure): IkeError => ({ kind: "auth-failed", what: failure.what, failure });

/** A method of a rule does not work here; said once, until it works again. */
export function markUnusable(core: Core, rule: Rule, entry: AuthEntry, failure: AuthFailure): void {
  const known = core.unusable.has(entry);
  core.unusable.set(entry, { until: core.now + UNUSABLE_FOR, reason: failure.reason });
  if (known) return;
  const { reason, hint, failurePoint } = explain(failureError(failure));
  const text = `rule ${rule.name}: ${methodName(entry)} can't be used here and is left out: ${failure.what}`;
  log(core, "auth.unusable", "warning", text, { rule: rule.name, reason, hint, failurePoint });
}

/** It works. */
export const markUsable = (core: Core, entry: AuthEntry): void => {
  core.unusable.delete(entry);
};

/** What keeps us from beginning with a method, and not from answering: who accepts a ticket asks no KDC. */
const BEGINS_ONLY: ReadonlySet<AuthReason> = new Set(["kerberos-kdc-unreachable", "kerberos-unknown-principal"]);

/** So many ask at once that one has to be sent away: whoever can bring that about must not choose our method by it. */
export const BUSY: AuthReason = "provider-busy";

/**
 * Overload and slowness of a moment: they say nothing about a method, and must not lead to a weaker one. But where nobody answers when a ticket is
 * asked for, that is how a KDC out of reach often looks: there slowness counts as having none.
 */
export const MOMENTARY: ReadonlySet<AuthReason> = new Set([BUSY, "provider-timeout"]);

/** Whether a responder should pass a method over, since it did not work here lately. */
export function isUnanswerable(core: Core, entry: AuthEntry): boolean {
  const known = core.unusable.get(entry);
  return known !== undefined && known.until > core.now && !BEGINS_ONLY.has(known.reason) && !MOMENTARY.has(known.reason);
}

/**
 * The offers to make, one after the other: all methods in one, then each further one alone, since peers that read only the first transform
 * have refused the first one with the offer of all. What was learnt comes first. `choices` is not empty.
 */
export function planOffers(core: Core, rule: Rule, peer: string, choices: readonly AuthChoice[]): readonly (readonly AuthChoice[])[] {
  const [, ...others] = choices;
  const offers = [choices, ...others.map((choice) => [choice])];
  const learnt = core.learnt.get(learntKey(rule, peer));
  const known = learnt && learnt.until > core.now && others.find(({ entry }) => methodNumber(entry) === learnt.method);
  return known ? [[known], ...offers.filter((offer) => offer[0] !== known)] : offers;
}

/** How long to be patient with an offer that has others behind it, or before it. */
export const planFor = (next: OfferPlan["next"], alone: boolean): OfferPlan => ({
  next,
  alone,
  patience: next.length > 0 ? PATIENCE.more : alone ? PATIENCE.last : RETRANSMIT_WAITS.length,
});

/** A peer took a method alone that it did not take among several. */
export function learnMethod(core: Core, rule: Rule, peer: string, entry: AuthEntry): void {
  if (core.learnt.size >= MOST_LEARNT) for (const oldest of core.learnt.keys()) if (core.learnt.delete(oldest)) break;
  core.learnt.set(learntKey(rule, peer), { method: methodNumber(entry), until: core.now + LEARNT_FOR });
}

const learntKey = (rule: Rule, peer: string): string => `${peer} ${rule.name}`;
