/**
 * How a Main Mode goes on when a job is done: forwards, or back to where it was before the message that needed the job.
 */
import type { AuthFailure, AuthOutcome, JobId } from "../auth/method.ts";
import { err, type Result } from "../isakmp/result.ts";
import type { Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, count } from "./core.ts";
import type { IkeError } from "./errors.ts";
import { onProofFailed } from "./fronts.ts";
import { dropContext } from "./jobs.ts";
import { isFinal, sayRefused } from "./last-words.ts";
import { onAccepted, onTicket } from "./main-mode.ts";
import { onStepped, onUnwrapped, onWrapped } from "./main-mode-kerberos.ts";
import { onProven, onSigned, onVerified } from "./main-mode-signatures.ts";
import { abandonWaiting, isWaiting, type WaitingState } from "./main-mode-states.ts";
import type { Step } from "./main-mode-table.ts";
import { BUSY, failureError, MOMENTARY, markUnusable } from "./methods.ts";
import { commit, noteFailedProof, onStepError } from "./phase1.ts";
import { giveUp } from "./phase1-end.ts";
import { offerAnew, onWeighed } from "./phase1-start.ts";
import { becomeStranger } from "./strangers.ts";
import { tell } from "./watch.ts";

/** A job's outcome: the negotiation that waits for it goes on, or back to where it was before the message that needed it. */
export function onJobDone(core: Core, id: JobId, outcome: Result<AuthOutcome, AuthFailure>): void {
  const owned = core.jobs.take(id);
  const n = owned === undefined ? undefined : core.store.ikes.get(owned);
  if (n?.phase !== "negotiating" || n.working?.job !== id) return count(core, "outcome of a job that nobody waits for");
  core.touched = n.id;
  const { message } = n.working;
  n.working = null;
  if (n.state.kind === "weighing") return onWeighed(core, n, outcome);
  const { state } = n;
  if (!isWaiting(state)) return;
  const resumed = outcome.ok ? resume(core, state, outcome.value) : err(failureError(outcome.error));
  if (resumed.ok) return commit(core, n, resumed.value, message);
  onJobRefused(core, n, state, message, resumed.error);
}

/** What was waited for is here; a provider that answers something else has a bug, which costs this negotiation only. */
function resume(core: Core, state: WaitingState, outcome: AuthOutcome): Step {
  switch (outcome.kind) {
    case "gss-stepped":
      if (state.kind === "ticketing") return onTicket(core, state, outcome);
      if (state.kind === "accepting") return onAccepted(core, state, outcome);
      if (state.kind === "stepping") return onStepped(core, state, outcome);
      break;
    case "signed":
      if (state.kind === "signing") return onSigned(core, state, outcome.signature);
      if (state.kind === "proving") return onProven(core, state, outcome.signature);
      break;
    case "verified":
      if (state.kind === "checking") return onVerified(core, state, outcome);
      break;
    case "gss-wrapped":
      if (state.kind === "wrapping") return onWrapped(core, state, outcome.data);
      break;
    case "gss-unwrapped":
      if (state.kind === "unwrapping") return onUnwrapped(core, state, outcome.data);
      break;
    case "usable":
      break;
  }
  throw new Error(`the outcome ${outcome.kind} for a negotiation that is ${state.kind}`);
}

/** As if the message had never come; but its repeats are not worked on again, and what can't work here ends what we began. */
function onJobRefused(core: Core, n: Negotiation, state: WaitingState, message: Uint8Array | null, error: IkeError): void {
  if (state.before.kind === "sa-sent" || state.before.kind === "sa-answered") dropContext(core, state);
  const auth = "keyed" in state ? state.keyed.auth : state.auth;
  n.state = abandonWaiting(state);
  n.refused = { message, count: n.refused.count + 1 };
  if (n.origin && message) return becomeStranger(core, n, n.origin, message, error);
  if (state.kind === "checking" && isFinal(error)) {
    n.lastError = error;
    noteFailedProof(core, n, error);
    sayRefused(core, n, state);
    for (const wish of n.wishes) tell(core, wish.watchers, error.what);
    return giveUp(core, n);
  }
  const ours = error.kind === "auth-failed" && error.failure.whose === "me";
  // What depends on a peer's name or token says nothing about the method: strangers must not switch it off.
  const theirWord = state.kind === "ticketing" || state.kind === "accepting" || state.kind === "stepping";
  const momentary = ours && (error.failure.reason === BUSY || (!theirWord && MOMENTARY.has(error.failure.reason)));
  if (ours && !theirWord && !momentary) markUnusable(core, auth.rule, auth.entry, error.failure);
  if (!ours || n.role === "responder") return onStepError(core, n, error);
  n.lastError = error;
  if (!momentary && offerAnew(core, n, error, auth)) return;
  // It is our failure, but of a proof that the peer has asked for.
  onProofFailed(core, n.path.local.address, n.path.remote.address);
  giveUp(core, n);
}
