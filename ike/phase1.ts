/**
 * The driver of Main Mode: finds the step for a message, commits its outcome, repeats flights, gives up.
 * Until the peer has proved itself nothing it says ends a negotiation; only our own timer does.
 */

import { methodName } from "../auth/choice.ts";
import { type PeerProof, provenName } from "../auth/proof.ts";
import { decodePayloads, encodeMessage, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { err } from "../isakmp/result.ts";
import { formatIdentity } from "../policy/identity.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { removeChild } from "./children.ts";
import { closeIke, dropIke, isHalfway } from "./closing.ts";
import { isFirstContact } from "./contact.ts";
import { type Core, count, ikeFields, log, logError, peerName, random32, send, whoIs } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import { ikeSuiteName } from "./crypto/suite.ts";
import { ERROR_POLICY, explain, type IkeError } from "./errors.ts";
import { establishedFields } from "./event-fields.ts";
import { transmit } from "./fragmenting.ts";
import { onPeerProved, onProofFailed } from "./fronts.ts";
import { dropContext, jobRefusal, startJob } from "./jobs.ts";
import { onAnswer, onPublicValue } from "./main-mode.ts";
import { onGssMessage } from "./main-mode-kerberos.ts";
import { onInitiatorKeyProof, onKeyProof } from "./main-mode-proof.ts";
import { onSignature } from "./main-mode-signatures.ts";
import { type AuthSent, type Established, type KeAnswered, type OpenState, responderCookieOf } from "./main-mode-states.ts";
import type { Message, Step } from "./main-mode-table.ts";
import { learnMethod } from "./methods.ts";
import { armKeepalive, moveNegotiation, settleNat } from "./nat-path.ts";
import { errorNotify } from "./notifies.ts";
import { armRetransmit, discard, sendLast } from "./phase1-end.ts";
import { startChild } from "./phase2.ts";
import { armRenewal, takeOver } from "./renewal.ts";
import { LINGER } from "./retransmit.ts";
import { peerIsBack } from "./retry.ts";
import { windowsText } from "./vendor.ts";
import { tell } from "./watch.ts";

const owner = (id: number): string => `ike ${id}`;

/** An error notify in clear: worth as much as an unsigned letter, and treated so by us. */
export function clearNotify(cookieI: Uint8Array, cookieR: Uint8Array, type: number, core: Core): Uint8Array {
  return encodeMessage(
    { initiatorCookie: cookieI, responderCookie: cookieR, exchange: EXCHANGE.Informational, flags: 0, messageId: random32(core, 1) },
    [errorNotify(type, null)],
  );
}

/** A Main Mode message for a negotiation that is more than a stranger's. */
export function receiveMainMode(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): void {
  // While a job runs its message is worked on already, and any other can only be late or forged.
  if (n.working)
    return count(
      core,
      n.working.message && sameOctets(n.working.message, bytes) ? "repeat while a job runs" : "main-mode while a job runs",
    );
  if (isRepeat(n, bytes)) return answerRepeat(core, n);
  // Message 3 looks like message 4: our own would be taken for the peer's, and the peer's come too late.
  if (n.flight && sameOctets(n.flight, bytes)) return count(core, "reflected");
  if (n.refused.message && sameOctets(n.refused.message, bytes)) return count(core, "refused before");
  // Each state waits for a message in clear or for a sealed one: late repeats of earlier messages end here.
  const sealed = n.state.kind === "ke-answered" || n.state.kind === "auth-sent";
  if (sealed !== ((header.flags & FLAG.ENCRYPTION) !== 0)) return count(core, "main-mode out of turn");
  const full = jobRefusal(core, n);
  if (full !== undefined) return count(core, full);
  const stepped = step(core, n, header, bytes);
  if (stepped.ok) n.cameFrom = core.arrival ?? n.path;
  if (!stepped.ok) return onStepError(core, n, stepped.error);
  commit(core, n, stepped.value, copyOf(bytes));
}

/** Whether a message is the one that moved a negotiation last. */
export const isRepeat = (n: Negotiation, bytes: Uint8Array): boolean => n.received !== null && sameOctets(n.received, bytes);

/** The message is taken: the next state, and what goes with it; or a job comes first, and the message waits for it. */
export function commit(core: Core, n: Negotiation, stepped: Extract<Step, { ok: true }>["value"], message: Uint8Array | null): void {
  if ("job" in stepped) {
    n.state = stepped.next;
    startJob(core, n, stepped.job, message);
    core.store.movedOn(n);
    return makeRoom(core);
  }
  const before = n.state;
  n.origin = null;
  n.working = null;
  n.received = message;
  n.flight = stepped.send;
  n.tries = 0;
  n.refusal = null;
  n.lastError = null;
  const { next, spent } = stepped;
  moveNegotiation(core, n, next);
  if (next.kind === "established") {
    dropContext(core, before);
    establish(core, n, next);
  } else advance(core, n, next);
  for (const secret of spent) secret.destroy();
}

/** The Main Mode responder never sets a timer: it answers repeats. The initiator repeats by timer, so it stays silent here. */
function answerRepeat(core: Core, n: Negotiation | IkeSa): void {
  count(core, "repeat");
  if (n.role === "responder" && n.flight) transmit(core, n, n.flight, true);
}

/** Which step a message means depends on the state alone: each has exactly one successor. */
function step(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): Step {
  const { state } = n;
  if (state.kind === "ke-answered" || state.kind === "auth-sent") return proofStep(core, state, { header, bytes });
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  if (!payloads.ok)
    return err({ kind: "malformed", offset: payloads.error.offset, what: `${payloads.error.what} at octet ${payloads.error.offset}` });
  switch (state.kind) {
    case "sa-sent":
      return onAnswer(core, state, header, payloads.value, String(n.id));
    case "ke-sent":
      return onPublicValue(core, state, payloads.value, isFirstContact(core, n.path, n.id));
    default:
      return err({ kind: "payloads", what: "a message where none is awaited" });
  }
}

function proofStep(core: Core, state: AuthSent | KeAnswered, message: Message): Step {
  const { auth } = state;
  switch (auth.method) {
    case "psk":
      return state.kind === "auth-sent"
        ? onKeyProof(core, { ...state, auth }, message)
        : onInitiatorKeyProof(core, { ...state, auth }, message);
    case "x509":
      return onSignature(core, { ...state, auth }, message);
    case "kerberos":
      return onGssMessage(core, { ...state, auth }, message);
  }
}

function advance(core: Core, n: Negotiation, next: OpenState): void {
  n.state = next;
  core.store.movedOn(n);
  makeRoom(core);
  if (n.flight) transmit(core, n, n.flight, false);
  if (n.role === "initiator") armRetransmit(core, n);
  const said =
    next.kind === "ke-sent"
      ? `${ikeSuiteName(next.suite)} agreed, key exchange sent`
      : next.kind === "auth-sent"
        ? "keys agreed, our proof sent"
        : null;
  if (said) for (const wish of n.wishes) tell(core, wish.watchers, said);
}

/** What is wrong with a message is remembered as the probable reason, and shown; the negotiation waits for a better one. */
export function onStepError(core: Core, n: Negotiation, error: IkeError): void {
  count(core, `main-mode ${explain(error).reason}`);
  const first = n.lastError?.kind !== error.kind;
  n.lastError = error;
  noteFailedProof(core, n, error);
  if (!first) return;
  logError(core, "ike.failed", `${peerName(n.path)}: Main Mode message not accepted`, error, { ...ikeFields(n), goesOn: true });
  for (const wish of n.wishes) tell(core, wish.watchers, error.what);
  const { notify } = ERROR_POLICY[error.kind];
  const cookieR = responderCookieOf(n.state);
  if (notify === null || n.told || !cookieR) return;
  n.told = true;
  send(core, n.path, clearNotify(n.cookieI, cookieR, notify, core));
}

/** Who could not prove himself gets no clear text by being silent afterwards. */
export function noteFailedProof(core: Core, { path }: Negotiation, { kind }: IkeError): void {
  if (kind === "psk-mismatch" || kind === "id-mismatch" || kind === "auth-failed")
    onProofFailed(core, path.local.address, path.remote.address);
}

/** Both ends have proved themselves: the negotiation becomes an SA, and the wishes that waited get their Quick Modes. */
function establish(core: Core, n: Negotiation, proved: Established): void {
  const sa = settleNat(core, n, proved);
  const ike: IkeSa = {
    phase: "established",
    id: n.id,
    role: n.role,
    path: n.path,
    sa,
    establishedAt: core.now,
    expiresAt: core.now + sa.lifetimeSeconds * 1000,
    usedMessageIds: new Set(),
    exchanges: new Map(),
    children: new Set(),
    lastProbe: null,
    quickModes: 0,
    state: "established",
    heardAt: core.now,
    probe: null,
    // The highest bit stays free, so that the number does not come round (RFC 3706 §6.1).
    sequence: random32(core, 1) >>> 1,
    askedAt: 0,
    silent: false,
    received: n.received,
    flight: n.flight,
    tries: 0,
    fragmented: n.fragmented,
  };
  if (n.plan.alone && n.role === "initiator") learnMethod(core, sa.rule, n.path.remote.address, sa.proof.entry);
  core.timers.clearAll(owner(n.id));
  core.store.putIke(ike);
  core.timers.set(owner(ike.id), "expire", ike.expiresAt);
  armKeepalive(core, ike);
  armRenewal(core, ike);
  peerIsBack(core, ike.path.local.address, ike.path.remote.address);
  onPeerProved(core, ike.path.local.address, ike.path.remote.address);
  core.timers.set(owner(ike.id), "linger", core.now + LINGER);
  // The cipher has its key, and nothing else needs SKEYID_e.
  sa.keys.e.destroy();
  sendLast(core, ike);
  const windows = windowsText(sa.peer);
  const text = `${peerName(ike.path)} is ${formatIdentity(sa.peerId)}${windows ? ` (${windows})` : ""}: Main Mode established, ${ikeSuiteName(sa.suite)}, ${proofText(sa.proof)}, ${sa.lifetimeSeconds} s (rule ${sa.rule.name})`;
  log(core, "ike.established", "notice", text, establishedFields(ike));
  // A reload while the proof was being checked: what began under its rule ends with it.
  if (!core.policy.rules.includes(sa.rule)) return closeIke(core, ike, "its rule was removed meanwhile");
  if (sa.warning) log(core, "ike.warning", "warning", sa.warning, ikeFields(ike));
  for (const wish of n.wishes) tell(core, wish.watchers, () => `peer proved ${provenName(sa.proof, sa.peerId)}`);
  if (sa.initialContact) forgetOlder(core, ike, n.startedAt);
  takeOver(core, ike, n.startedAt);
  forgetSurplus(core, ike);
  for (const other of core.store.byPeer(ike.path.local.address, ike.path.remote.address))
    if (other.phase === "established" && other.silent && isSameHost(other, ike)) dropIke(core, other, "the peer answered nothing under it");
  for (const wish of n.wishes) {
    wish.renewed = true;
    startChild(core, ike, wish);
  }
}

/** By what the peer proved itself, and as whom, where that is not its identity. */
function proofText(proof: PeerProof): string {
  const method = methodName(proof.entry);
  if (proof.method === "psk") return method;
  return `${method} as ${proof.method === "x509" ? proof.subject : proof.peer.principal}`;
}

/**
 * INITIAL-CONTACT came inside an authenticated message: the peer knows of nothing older that it made from this address. Others behind
 * the same address keep what they have. `before`: what is younger was made meanwhile, or by the newer SA, and stays.
 */
export function forgetOlder(core: Core, ike: IkeSa, before = ike.establishedAt): void {
  const { local, remote } = ike.path;
  const who = whoIs(ike);
  for (const child of core.store.childrenBetween(local.address, remote.address))
    if (child.installedAt < before && child.who === who) removeChild(core, child, "the peer made initial contact anew", false);
  for (const other of core.store.byPeer(local.address, remote.address)) {
    if (other.phase !== "established" || other.id === ike.id || other.establishedAt >= before) continue;
    if (whoIs(other) === who) dropIke(core, other, "the peer made initial contact anew");
  }
}

/** Behind one NAT there may be many, each with an identity of its own. */
const isSameHost = (a: IkeSa, b: IkeSa): boolean => (!a.sa.nat?.remote && !b.sa.nat?.remote) || whoIs(a) === whoIs(b);

/** IKE SAs between two addresses; a peer that begins anew all the time must not fill our memory for their whole lifetime. */
const MOST_IKE_SAS = 64;

function forgetSurplus(core: Core, ike: IkeSa): void {
  const standing = core.store
    .byPeer(ike.path.local.address, ike.path.remote.address)
    .filter((entry): entry is IkeSa => entry.phase === "established" && isSameHost(entry, ike));
  for (const other of standing.slice(0, Math.max(0, standing.length - MOST_IKE_SAS))) dropIke(core, other, "the peer has made too many");
}

/** An established SA got a Main Mode message: only a repeat of the last one is answered. */
export function repeatMainMode(core: Core, ike: IkeSa, bytes: Uint8Array): void {
  if (ike.received && sameOctets(ike.received, bytes)) answerRepeat(core, ike);
  else count(core, "main-mode after its end");
}

/** The end of an SA's life: silent where children still live, since peers destroy children with their parent. */
export function onExpire(core: Core, ike: IkeSa): void {
  // A Quick Mode that is nearly done may end: the peer has the new pair, or asks for our last message again.
  if (isHalfway(ike) && core.now < ike.expiresAt + OVERTIME) return core.timers.set(owner(ike.id), "expire", core.now + 1000);
  if (!core.store.hasChildren(ike.path.local.address, ike.path.remote.address)) closeIke(core, ike, "its lifetime ended");
  else dropIke(core, ike, "its lifetime ended; its children live on");
}

/** A Quick Mode that began in time has ended by then. Milliseconds. */
const OVERTIME = 35_000;

/** Keeps the table of half-open negotiations within its limits. In silence: a flood must not fill the log. */
export function makeRoom(core: Core): void {
  const pick = (below: number): number => random32(core, 0) % below;
  for (let gone = core.store.halfOpen.makeRoom(pick); gone; gone = core.store.halfOpen.makeRoom(pick)) {
    count(core, "half-open table full");
    if (gone !== "stranger") discard(core, gone);
  }
}
