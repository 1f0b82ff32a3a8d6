/**
 * How we begin a Main Mode: which methods can be used here and now, what is offered, and what is offered next where a peer does not take it.
 * After a proof of the peer's that we refused nothing else is tried: who lied must not be led to a weaker method.
 */
import { type AuthChoice, choicesOf, methodName } from "../auth/choice.ts";
import type { AuthFailure, AuthOutcome } from "../auth/method.ts";
import type { Result } from "../isakmp/result.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildWish, Negotiation, OfferPlan } from "../sa-store/ike-sa.ts";
import { isFirstContact } from "./contact.ts";
import { type Core, log, peerName, ruleOf, send } from "./core.ts";
import { ikeSuiteName } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { ikeFields } from "./event-fields.ts";
import { awaitAnswer } from "./fronts.ts";
import type { Path } from "./input.ts";
import { startJob } from "./jobs.ts";
import { offer } from "./main-mode.ts";
import type { MainModeState } from "./main-mode-states.ts";
import { BUSY, failureError, markUnusable, markUsable, planFor, planOffers } from "./methods.ts";
import { armRetransmit, discard, endNegotiation, notAsked } from "./phase1-end.ts";
import { failPeer } from "./retry.ts";
import { tell } from "./watch.ts";
import { failWish } from "./wishes.ts";

/** Begins Main Mode with a peer because of a wish, or (null) to renew an IKE SA. */
export function startMainMode(core: Core, rule: Rule, path: Path, wish: ChildWish | null): void {
  const choices = choicesOf(rule);
  const wishes = wish ? [wish] : [];
  if (choices.length === 0) {
    const why = notAsked(rule, path.remote.address, { kind: "no-rule", what: `rule ${rule.name} has no method of authentication` });
    failPeer(core, path.local.address, path.remote.address);
    for (const each of wishes) failWish(core, each, why);
    return;
  }
  // Keys are always there: nobody needs to be asked.
  if (choices.every(({ method }) => method === "psk")) return void makeOffers(core, path, rule, wishes, [choices], false);
  const state: MainModeState = { kind: "weighing", path, cookieI: nonZero(core), rule, left: choices, usable: [] };
  const n = begin(core, path, state, wishes, planFor([], false), null);
  core.store.putIke(n);
  armRetransmit(core, n);
  weigh(core, n);
}

/** A method can be used, or not: the next one is asked about, or the offer is made. */
export function onWeighed(core: Core, n: Negotiation, outcome: Result<AuthOutcome, AuthFailure>): void {
  if (n.state.kind !== "weighing") return;
  const [asked, ...left] = n.state.left;
  if (!asked) return;
  // Too much at once says nothing about a method, and must not lead to a weaker one: it is offered all the same.
  const usable = outcome.ok || outcome.error.reason === BUSY;
  if (outcome.ok) markUsable(core, asked.entry);
  else if (!usable) {
    markUnusable(core, n.state.rule, asked.entry, outcome.error);
    n.lastError = failureError(outcome.error);
  }
  n.state = { ...n.state, left, usable: usable ? [...n.state.usable, asked] : n.state.usable };
  weigh(core, n);
}

/** Another offer to the same peer, where there is one: true if it was made, and the negotiation is over. `without`: a method that failed here. */
export function offerAnew(core: Core, n: Negotiation, why: IkeError, without: AuthChoice | null): boolean {
  const { state, plan } = n;
  const settled = "before" in state ? state.before : state;
  if (settled.kind !== "sa-sent") return false;
  const tried = settled.choices;
  const left = without ? [tried.filter(({ entry }) => entry !== without.entry), ...plan.next] : plan.next;
  const offers = left
    .map((choices) => choices.filter(({ entry }) => entry !== without?.entry))
    .filter(({ length }, i, all) => length > 0 && all.findIndex((other) => sameChoices(other, all[i] ?? [])) === i);
  return makeNext(core, n, why, offers);
}

/**
 * The methods behind the one that the peer agreed to and then refused our proof by: strongSwan agrees to any, and says only after message 5 that
 * it has another one configured. true if an offer was made. Whoever can say so could have chosen that method in message 2 himself.
 */
export function offerNext(core: Core, n: Negotiation, why: IkeError, refused: AuthChoice): boolean {
  const offers = n.plan.next.filter((choices) => choices.every(({ entry }) => entry !== refused.entry));
  return makeNext(core, n, why, offers);
}

function makeNext(core: Core, n: Negotiation, why: IkeError, offers: readonly (readonly AuthChoice[])[]): boolean {
  if (offers.length === 0) return false;
  const { path, askedAt } = n;
  const next = offers[0]?.map(({ entry }) => methodName(entry)).join(", ");
  log(core, "ike.retry", "info", `${peerName(path)}: ${why.what}; offering ${next}`, ikeFields(n));
  const wishes = n.wishes.splice(0);
  const rule = ruleOf(n);
  discard(core, n);
  for (const wish of wishes) tell(core, wish.watchers, `${why.what}; offering ${next}`);
  const again = makeOffers(core, path, rule, wishes, offers, true);
  // It is one question to the peer, however often it is put.
  again.askedAt = askedAt ?? again.askedAt;
  return true;
}

const sameChoices = (a: readonly AuthChoice[], b: readonly AuthChoice[]): boolean =>
  a.length === b.length && a.every(({ entry }, i) => entry === b[i]?.entry);

/** Asks about the first method that somebody has to be asked about; when none is left, makes the offer. */
function weigh(core: Core, n: Negotiation): void {
  if (n.state.kind !== "weighing") return;
  const { rule, path } = n.state;
  let { left, usable } = n.state;
  for (let [first] = left; first?.method === "psk"; [first] = left) [usable, left] = [[...usable, first], left.slice(1)];
  n.state = { ...n.state, left, usable };
  const [next] = left;
  if (next && next.entry.method !== "psk") return startJob(core, n, { kind: "usable", entry: next.entry }, null);
  if (usable.length === 0) {
    const why: IkeError = n.lastError ?? { kind: "no-rule", what: `no method of rule ${rule.name} can be used here` };
    return endNegotiation(core, n, notAsked(rule, path.remote.address, why));
  }
  const wishes = n.wishes.splice(0);
  discard(core, n);
  makeOffers(core, path, rule, wishes, planOffers(core, rule, path.remote.address, usable), false);
}

/** Message 1 with the first of these offers; the others wait. */
function makeOffers(
  core: Core,
  path: Path,
  rule: Rule,
  wishes: readonly ChildWish[],
  offers: readonly (readonly AuthChoice[])[],
  alone: boolean,
): Negotiation {
  const [choices = [], ...next] = offers;
  const { next: state, send: bytes } = offer(core, path, rule, choices, nonZero(core), isFirstContact(core, path));
  const n = begin(core, path, state, wishes, planFor(next, alone), bytes);
  core.store.putIke(n);
  log(core, "ike.started", "info", `${peerName(path)}: Main Mode for rule ${rule.name} begins`, ikeFields(n));
  const text = (): string => {
    const methods = choices.length > 1 ? `; ${choices.map(({ entry }) => methodName(entry)).join(", ")}` : "";
    return `Main Mode with ${peerName(path)}: offer sent (${rule.mainMode.proposals.map(ikeSuiteName).join(", ")}${methods})`;
  };
  for (const wish of wishes) tell(core, wish.watchers, text);
  if (bytes) send(core, path, bytes);
  // Not before: while it is weighed here what can be offered, or the wish waits for its turn, nobody is asked.
  for (const { spec } of wishes) awaitAnswer(core, spec);
  armRetransmit(core, n);
  return n;
}

function begin(
  core: Core,
  path: Path,
  state: MainModeState & { readonly cookieI: Uint8Array },
  wishes: readonly ChildWish[],
  plan: OfferPlan,
  flight: Uint8Array | null,
): Negotiation {
  return {
    phase: "negotiating",
    id: core.store.newId(),
    role: "initiator",
    path,
    cameFrom: path,
    cookieI: state.cookieI,
    startedAt: core.now,
    origin: null,
    state,
    wishes: [...wishes],
    lastError: null,
    refusal: null,
    told: false,
    working: null,
    refused: { message: null, count: 0 },
    plan,
    received: null,
    flight,
    tries: 0,
    fragmented: false,
    askedAt: flight && core.now,
    sentAt: flight && core.now,
    cookieDemands: 0,
  };
}

/** A cookie of zeros means "none" (RFC 2408 §2.5.3). */
function nonZero(core: Core): Uint8Array {
  for (;;) {
    const cookie = core.random(8);
    if (cookie.some((octet) => octet !== 0)) return cookie;
  }
}
