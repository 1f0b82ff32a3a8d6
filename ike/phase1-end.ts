/**
 * How negotiations of Main Mode are repeated, given up and ended, and the best reason for that. Until the peer has proved itself nothing it says
 * ends one; only our own timer does.
 */
import { methodName } from "../auth/choice.ts";
import { NOTIFY } from "../isakmp/numbers.ts";
import type { Body } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";
import type { Rule } from "../policy/types.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, count, ikeFields, logError, peerName, ruleOf } from "./core.ts";
import { ikeSuiteName } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { transmit } from "./fragmenting.ts";
import { onProofFailed, stopAsking } from "./fronts.ts";
import type { Path } from "./input.ts";
import { dropContext } from "./jobs.ts";
import { type AuthSent, destroyMainMode, settledState } from "./main-mode-states.ts";
import { failureError } from "./methods.ts";
import { offerAnew } from "./phase1-start.ts";
import { RETRANSMIT_WAITS } from "./retransmit.ts";
import { failPeer } from "./retry.ts";
import { tell } from "./watch.ts";
import { isRefusal, notifyName } from "./windows-notify.ts";
import { failWish } from "./wishes.ts";

const owner = (id: number): string => `ike ${id}`;

/** Sets the timer of the next repetition. */
export function armRetransmit(core: Core, n: Negotiation): void {
  const wait = RETRANSMIT_WAITS[n.tries];
  if (wait !== undefined) core.timers.set(owner(n.id), "retransmit", core.now + wait);
}

/** How often an initiator sends the last message of a Main Mode, where that is its own (Kerberos with further rounds). */
const LAST_TRIES = 3;

/** The last message of a Main Mode. The responder answers repeats; an initiator's has no answer, so it goes out more than once. */
export function sendLast(core: Core, ike: IkeSa): void {
  if (!ike.flight) return;
  transmit(core, ike, ike.flight, ike.tries > 0);
  if (ike.role === "responder" || ike.tries >= LAST_TRIES) return;
  core.timers.set(owner(ike.id), "retransmit", core.now + (RETRANSMIT_WAITS[ike.tries++] ?? 0));
}

/** The initiator's timer: send again, or give up with the best reason known. */
export function onRetransmit(core: Core, n: Negotiation): void {
  n.tries++;
  const patience = n.state.kind === "sa-sent" ? n.plan.patience : RETRANSMIT_WAITS.length;
  const over = n.tries >= patience || (n.refusal !== null && n.tries >= n.refusal.tries + 2);
  if (over) {
    noteAnswer(core, n);
    return offerAnew(core, n, reasonFor(n), null) ? undefined : endInVain(core, n);
  }
  // What kept the last message here may be over.
  if (n.lastError?.kind === "not-sent") n.lastError = null;
  // The peer has answered; it is our own job that takes its time.
  if (n.flight && !n.working) {
    transmit(core, n, n.flight, true);
    n.sentAt = core.now;
    n.askedAt ??= core.now;
  }
  if (n.tries === 1) for (const wish of n.refusal ? [] : n.wishes) tell(core, wish.watchers, waitingText(n));
  armRetransmit(core, n);
}

function waitingText({ working, state }: Negotiation): string {
  if (working) return "still waiting for our own part of the proof";
  if (state.kind !== "auth-sent") return "no answer yet, sending again";
  return state.auth.method === "psk"
    ? "no answer to our proof yet: a PSK mismatch is probable"
    : "no answer to our proof yet, sending again";
}

/** A message of a negotiation of ours never left: nothing else explains as well why no answer came. */
export function onSendFailed(core: Core, path: Path, why: string): void {
  for (const n of core.store.byPeer(path.local.address, path.remote.address)) {
    if (n.phase !== "negotiating" || n.role !== "initiator") continue;
    if (n.askedAt === n.sentAt) n.askedAt = null;
    if (n.lastError) continue;
    n.lastError = { kind: "not-sent", what: `nothing could be sent to ${peerName(path)} from ${path.local.address}: ${why}` };
    for (const wish of n.tries === 0 ? n.wishes : []) tell(core, wish.watchers, n.lastError.what);
  }
}

/** The best reason for a negotiation that came to nothing. */
export function reasonFor(n: Negotiation): IkeError {
  if (n.lastError) return n.lastError;
  const said = n.refusal && `the peer says, unverified: ${n.refusal.name}`;
  const settled = settledState(n.state);
  if (n.working)
    return failureError({
      reason: "provider-timeout",
      what: `${peerName(n.path)} (rule ${ruleOf(n).name}): our own part of the proof took too long (${n.state.kind})`,
      hint: null,
      whose: "me",
    });
  // A peer that could not decrypt message 5 complains in many words; about an identity only after it could.
  if (settled.kind === "auth-sent" && n.refusal?.name !== nameOf(NOTIFY, NOTIFY["INVALID-ID-INFORMATION"]))
    return silentAfterProof(n, settled, said);
  if (said) return { kind: "peer-refused", what: `${said}; we offered ${offeredBy(n)}` };
  return { kind: "peer-silent", what: `${peerName(n.path)} did not answer message ${settled.kind === "sa-sent" ? 1 : 3} of Main Mode` };
}

/** With a shared key a peer that keeps silent could not read us; with other methods it did not believe us. */
function silentAfterProof(n: Negotiation, { auth }: AuthSent, said: string | null): IkeError {
  const what = `${n.path.remote.address} (rule ${auth.rule.name}): ${said ?? "the peer did not answer our proof (message 5)"}`;
  if (auth.method === "psk") return { kind: "silent-after-auth", what: `probable PSK mismatch with ${what}` };
  return { kind: "silent-after-proof", what: `${methodName(auth.entry)} with ${what}` };
}

/** What message 1 of a negotiation of ours offered. */
function offeredBy(n: Negotiation): string {
  const suites = ruleOf(n).mainMode.proposals.map(ikeSuiteName).join(", ");
  const settled = settledState(n.state);
  const methods = settled.kind === "sa-sent" ? settled.choices.map(({ entry }) => methodName(entry)) : [];
  return methods.length > 1 ? `${suites}; ${methods.join(", ")}` : suites;
}

/** Whether no message has left for the peer, be it that there was none yet. */
const wasNotAsked = (n: Negotiation): boolean => n.role === "initiator" && n.askedAt === null;

/** The reason as people see it where a rule could have let clear text through, had the peer been asked. */
export const notAsked = <E extends IkeError>(rule: Rule, peer: string, reason: E): E =>
  rule.clear.fallback ? { ...reason, what: `${reason.what}; ${peer} was not asked, so nothing goes in clear` } : reason;

/** No answer came, or none that could be accepted: the negotiation ends, with the best reason known. */
export function giveUp(core: Core, n: Negotiation): void {
  noteAnswer(core, n);
  endInVain(core, n);
}

function endInVain(core: Core, n: Negotiation): void {
  const reason = reasonFor(n);
  const error = wasNotAsked(n) && n.wishes.length > 0 ? notAsked(ruleOf(n), n.path.remote.address, reason) : reason;
  if (n.role === "initiator" || settledState(n.state).kind === "ke-answered")
    logError(core, "ike.failed", `${peerName(n.path)}: Main Mode given up`, error, ikeFields(n));
  endNegotiation(core, n, error);
}

/** Whoever has answered message 1 speaks IKE, whatever kept him from the end: clear text is for peers that do not. */
function noteAnswer(core: Core, n: Negotiation): void {
  const { kind } = n.state;
  if (n.role === "initiator" && kind !== "weighing" && kind !== "sa-sent") onProofFailed(core, n.path.local.address, n.path.remote.address);
}

/** Takes a negotiation away; its wishes fail with the reason. */
export function endNegotiation(core: Core, n: Negotiation, error: IkeError): void {
  if (wasNotAsked(n)) for (const { spec } of n.wishes) stopAsking(core, spec);
  discard(core, n);
  if (n.role === "initiator" && error.kind !== "terminated") failPeer(core, n.path.local.address, n.path.remote.address);
  for (const wish of n.wishes) failWish(core, wish, error);
}

/** Forgets a negotiation, whose wishes are somebody else's now. */
export function discard(core: Core, n: Negotiation): void {
  core.timers.clearAll(owner(n.id));
  core.store.removeIke(n.id);
  if (n.working) core.jobs.take(n.working.job);
  dropContext(core, n.state);
  destroyMainMode(n.state);
}

/** A notify in clear for a negotiation of ours: shown, believed only as far as to try less long. */
export function onClearNotify(core: Core, n: Negotiation, notify: Body<"notify">): void {
  if (n.role !== "initiator" || !isRefusal(notify)) return count(core, "clear notify");
  const name = notifyName(notify);
  if (n.refusal !== null) return;
  n.refusal = { name, tries: n.tries };
  logError(core, "notify.received", peerName(n.path), { kind: "peer-refused", what: `says, unverified: ${name}` }, ikeFields(n));
  for (const wish of n.wishes) tell(core, wish.watchers, `peer says, unverified: ${name}`);
}
