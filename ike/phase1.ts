/**
 * The driver of Main Mode: finds the step for a message, commits its outcome, repeats flights, gives up.
 * Until the peer has proved itself nothing it says ends a negotiation; only our own timer does.
 */

import { choosePsk } from "../auth/psk.ts";
import { decodePayloads, encodeMessage, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG, NOTIFY } from "../isakmp/numbers.ts";
import { nameOf } from "../isakmp/registry.ts";
import type { Result } from "../isakmp/result.ts";
import { formatIdentity, sameIdentity } from "../policy/identity.ts";
import { rulesForPeer } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildWish, IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { removeChild } from "./children.ts";
import { closeIke, dropIke } from "./closing.ts";
import { type Core, count, hex, ikeFields, log, logError, peerName, random32, ruleOf, send } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import { ikeSuiteName } from "./crypto/suite.ts";
import { ERROR_POLICY, type IkeError } from "./errors.ts";
import type { Path } from "./input.ts";
import { offer, onAnswer, onInitiatorProof, onKeyExchange, onOffer, onProof, onPublicValue, type Stepped } from "./main-mode.ts";
import { destroyMainMode, type Established, type MainModeState } from "./main-mode-states.ts";
import { errorNotify } from "./notifies.ts";
import { startChild } from "./phase2.ts";
import { armRenewal, takeOver } from "./renewal.ts";
import { HALF_OPEN, LINGER, RETRANSMIT_WAITS } from "./retransmit.ts";
import { failPeer, peerIsBack } from "./retry.ts";
import { tell } from "./watch.ts";
import { failWish } from "./wishes.ts";

/** Half-open negotiations that we answer, and octets of their messages that we keep; beyond it the oldest make room. */
const MAX_HALF_OPEN = 20_000;
const MAX_HALF_OPEN_OCTETS = 64 * 2 ** 20;

const owner = (id: number): string => `ike ${id}`;

/** Begins Main Mode with a peer because of a wish, or (null) to renew an IKE SA. */
export function startMainMode(core: Core, rule: Rule, path: Path, wish: ChildWish | null): void {
  const psk = choosePsk([rule]);
  if (!psk) return wish ? failWish(core, wish, { kind: "no-rule", what: `rule ${rule.name} has no pre-shared key` }) : undefined;
  const cookieI = nonZero(core);
  const { next, send: bytes } = offer(core, path, rule, psk, cookieI);
  const n: Negotiation = {
    phase: "negotiating",
    id: core.store.newId(),
    role: "initiator",
    path,
    cookieI,
    startedAt: core.now,
    state: next,
    wishes: wish ? [wish] : [],
    lastError: null,
    refusal: null,
    told: false,
    received: null,
    flight: bytes,
    tries: 0,
  };
  core.store.putIke(n);
  log(core, "ike.started", "info", `${peerName(path)}: Main Mode for rule ${rule.name} begins`, ikeFields(n));
  if (wish)
    tell(core, wish.watchers, `Main Mode with ${peerName(path)}: offer sent (${rule.mainMode.proposals.map(ikeSuiteName).join(", ")})`);
  send(core, path, bytes as Uint8Array);
  armRetransmit(core, n);
}

/** A message 1 from somebody: one bounded entry at most, and no exponentiation. */
export function receiveFirst(core: Core, path: Path, header: Header, bytes: Uint8Array): void {
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  if (!payloads.ok)
    return refuseFirst(core, path, header, {
      kind: "malformed",
      offset: payloads.error.offset,
      what: `message 1: ${payloads.error.what} at octet ${payloads.error.offset}`,
    });
  const candidates = rulesForPeer(core.policy, path.local.address, path.remote.address);
  if (candidates.length === 0) return refuseFirst(core, path, header, { kind: "no-rule", what: `no rule for peer ${path.remote.address}` });
  const stepped = onOffer(core, path, candidates, header, payloads.value);
  if (!stepped.ok) return refuseFirst(core, path, header, stepped.error, candidates[0]);
  const { next, send: flight } = stepped.value;
  const n: Negotiation = {
    phase: "negotiating",
    id: core.store.newId(),
    role: "responder",
    path,
    cookieI: next.cookieI,
    startedAt: core.now,
    state: next,
    wishes: [],
    lastError: null,
    refusal: null,
    told: false,
    received: Uint8Array.from(bytes),
    flight,
    tries: 0,
  };
  core.store.putIke(n);
  makeRoom(core);
  core.timers.set(owner(n.id), "giveUp", core.now + HALF_OPEN);
  if (flight) send(core, path, flight);
}

/** A refusal leaves no state; the notify is never longer than what came in. */
function refuseFirst(core: Core, path: Path, header: Header, error: IkeError, rule?: Rule): void {
  count(core, `main-mode ${ERROR_POLICY[error.kind].reason}`);
  logError(core, "ike.failed", `${peerName(path)}${rule ? ` (rule ${rule.name})` : ""}: message 1 refused`, error, {
    ...(rule ? { rule: rule.name } : {}),
    peer: peerName(path),
    initiatorCookie: hex(header.initiatorCookie),
  });
  const { notify } = ERROR_POLICY[error.kind];
  if (notify === null) return;
  const answer = clearNotify(header.initiatorCookie, core.random(8), notify, core);
  if (answer.length <= header.length) send(core, path, answer);
}

/** An error notify in clear: worth as much as an unsigned letter, and treated so by us. */
function clearNotify(cookieI: Uint8Array, cookieR: Uint8Array, type: number, core: Core): Uint8Array {
  return encodeMessage(
    { initiatorCookie: cookieI, responderCookie: cookieR, exchange: EXCHANGE.Informational, flags: 0, messageId: random32(core, 1) },
    [errorNotify(type, null)],
  );
}

/** A Main Mode message for a negotiation that exists. */
export function receiveMainMode(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): void {
  if (n.received && sameOctets(n.received, bytes)) return answerRepeat(core, n);
  // Message 3 looks like message 4: our own would be taken for the peer's, and the peer's come too late.
  if (n.flight && sameOctets(n.flight, bytes)) return count(core, "reflected");
  // Each state waits for a message in clear or for a sealed one: late repeats of earlier messages end here.
  const sealed = n.state.kind === "ke-answered" || n.state.kind === "auth-sent";
  if (sealed !== ((header.flags & FLAG.ENCRYPTION) !== 0)) return count(core, "main-mode out of turn");
  const stepped = step(core, n, header, bytes);
  if (!stepped.ok) return onStepError(core, n, stepped.error);
  n.received = Uint8Array.from(bytes);
  n.flight = stepped.value.send;
  n.tries = 0;
  n.refusal = null;
  n.lastError = null;
  const { next, spent } = stepped.value;
  if (next.kind === "established") establish(core, n, next);
  else advance(core, n, next);
  for (const secret of spent) secret.destroy();
}

/** The Main Mode responder never sets a timer: it answers repeats. The initiator repeats by timer, so it stays silent here. */
function answerRepeat(core: Core, n: Negotiation | IkeSa): void {
  count(core, "repeat");
  if (n.role === "responder" && n.flight) send(core, n.path, n.flight);
}

type Step = Result<Stepped<MainModeState | Established>, IkeError>;

/** Which step a message means depends on the state alone: each has exactly one successor. */
function step(core: Core, n: Negotiation, header: Header, bytes: Uint8Array): Step {
  const { state } = n;
  switch (state.kind) {
    case "ke-answered":
      return onInitiatorProof(core, state, header, bytes);
    case "auth-sent":
      return onProof(core, state, header, bytes);
  }
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  if (!payloads.ok)
    return {
      ok: false,
      error: { kind: "malformed", offset: payloads.error.offset, what: `${payloads.error.what} at octet ${payloads.error.offset}` },
    };
  switch (state.kind) {
    case "sa-sent":
      return onAnswer(core, state, header, payloads.value);
    case "ke-sent":
      return onPublicValue(core, state, payloads.value, isFirstContact(core, n));
    case "sa-answered":
      return onKeyExchange(core, state, payloads.value);
  }
}

function advance(core: Core, n: Negotiation, next: MainModeState): void {
  n.state = next;
  core.store.movedOn(n);
  makeRoom(core);
  if (n.flight) send(core, n.path, n.flight);
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
function onStepError(core: Core, n: Negotiation, error: IkeError): void {
  count(core, `main-mode ${ERROR_POLICY[error.kind].reason}`);
  const first = n.lastError?.kind !== error.kind;
  n.lastError = error;
  if (!first) return;
  logError(core, "ike.failed", `${peerName(n.path)}: Main Mode message not accepted`, error, ikeFields(n));
  for (const wish of n.wishes) tell(core, wish.watchers, error.what);
  const { notify } = ERROR_POLICY[error.kind];
  if (notify === null || n.told || n.state.kind === "sa-sent") return;
  n.told = true;
  send(core, n.path, clearNotify(n.cookieI, n.state.cookieR, notify, core));
}

/** INITIAL-CONTACT only where it is surely true, RFC 2407 §4.6.3.3: it makes the peer drop what it has of us. */
function isFirstContact(core: Core, n: Negotiation): boolean {
  const { local, remote } = n.path;
  return (
    core.store.byPeer(local.address, remote.address).every((entry) => entry.id === n.id) &&
    !core.store.hasChildren(local.address, remote.address)
  );
}

/** Both ends have proved themselves: the negotiation becomes an SA, and the wishes that waited get their Quick Modes. */
function establish(core: Core, n: Negotiation, sa: Established): void {
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
  };
  core.timers.clearAll(owner(n.id));
  core.store.putIke(ike);
  core.timers.set(owner(ike.id), "expire", ike.expiresAt);
  armRenewal(core, ike);
  peerIsBack(core, ike.path.local.address, ike.path.remote.address);
  core.timers.set(owner(ike.id), "linger", core.now + LINGER);
  if (ike.flight) send(core, ike.path, ike.flight);
  const text = `${peerName(ike.path)} is ${formatIdentity(sa.peerId)}: Main Mode established, ${ikeSuiteName(sa.suite)}, pre-shared key, ${sa.lifetimeSeconds} s (rule ${sa.rule.name})`;
  log(core, "ike.established", "notice", text, ikeFields(ike));
  if (sa.warning) log(core, "ike.established", "warning", sa.warning, ikeFields(ike));
  for (const wish of n.wishes) tell(core, wish.watchers, `peer proved ${formatIdentity(sa.peerId)}`);
  if (sa.initialContact) forgetOlder(core, ike);
  takeOver(core, ike, n.startedAt);
  forgetSurplus(core, ike);
  for (const other of core.store.byPeer(ike.path.local.address, ike.path.remote.address))
    if (other.phase === "established" && other.silent) dropIke(core, other, "the peer answered nothing under it");
  for (const wish of n.wishes) {
    wish.renewed = true;
    startChild(core, ike, wish);
  }
}

/**
 * INITIAL-CONTACT came inside an authenticated message: the peer knows of nothing older with this identity from this address. Others behind
 * the same address keep what they have, and so does a child that the newer SA took over: it is told by its age.
 */
export function forgetOlder(core: Core, ike: IkeSa): void {
  const { local, remote } = ike.path;
  for (const child of core.store.childrenBetween(local.address, remote.address))
    if (child.installedAt <= ike.establishedAt && sameIdentity(child.peerId, ike.sa.peerId))
      removeChild(core, child, "the peer made initial contact anew", false);
  for (const other of core.store.byPeer(local.address, remote.address)) {
    if (other.phase !== "established" || other.id === ike.id || other.establishedAt > ike.establishedAt) continue;
    if (sameIdentity(other.sa.peerId, ike.sa.peerId)) dropIke(core, other, "the peer made initial contact anew");
  }
}

/** IKE SAs between two addresses; a peer that begins anew all the time must not fill our memory for their whole lifetime. */
const MOST_IKE_SAS = 64;

function forgetSurplus(core: Core, ike: IkeSa): void {
  const standing = core.store
    .byPeer(ike.path.local.address, ike.path.remote.address)
    .filter((entry): entry is IkeSa => entry.phase === "established");
  for (const other of standing.slice(0, Math.max(0, standing.length - MOST_IKE_SAS))) dropIke(core, other, "the peer has made too many");
}

function armRetransmit(core: Core, n: Negotiation): void {
  const wait = RETRANSMIT_WAITS[n.tries];
  if (wait !== undefined) core.timers.set(owner(n.id), "retransmit", core.now + wait);
}

/** The initiator's timer: send again, or give up with the best reason known. */
export function onRetransmit(core: Core, n: Negotiation): void {
  n.tries++;
  const over = n.tries >= RETRANSMIT_WAITS.length || (n.refusal !== null && n.tries >= n.refusal.tries + 2);
  if (over) return giveUp(core, n);
  // What kept the last message here may be over.
  if (n.lastError?.kind === "not-sent") n.lastError = null;
  if (n.flight) send(core, n.path, n.flight);
  if (n.tries === 1)
    for (const wish of n.refusal ? [] : n.wishes)
      tell(
        core,
        wish.watchers,
        n.state.kind === "auth-sent" ? "no answer to our proof yet: a PSK mismatch is probable" : "no answer yet, sending again",
      );
  armRetransmit(core, n);
}

/** A message of a negotiation of ours never left: nothing else explains as well why no answer came. */
export function onSendFailed(core: Core, path: Path, why: string): void {
  for (const n of core.store.byPeer(path.local.address, path.remote.address)) {
    if (n.phase !== "negotiating" || n.role !== "initiator" || n.lastError) continue;
    n.lastError = { kind: "not-sent", what: `nothing could be sent to ${peerName(path)} from ${path.local.address}: ${why}` };
    for (const wish of n.tries === 0 ? n.wishes : []) tell(core, wish.watchers, n.lastError.what);
  }
}

/** The best reason for a negotiation that came to nothing. */
export function reasonFor(n: Negotiation): IkeError {
  if (n.lastError) return n.lastError;
  const said = n.refusal && `the peer says, unverified: ${n.refusal.name}`;
  // A peer that could not decrypt message 5 complains in many words; about an identity only after it could.
  if (n.state.kind === "auth-sent" && n.refusal?.name !== nameOf(NOTIFY, NOTIFY["INVALID-ID-INFORMATION"]))
    return {
      kind: "silent-after-auth",
      what: `probable PSK mismatch with ${n.path.remote.address} (rule ${n.state.rule.name}): ${said ?? "the peer did not answer our proof (message 5)"}`,
    };
  if (said) return { kind: "peer-refused", what: `${said}; we offered ${offeredBy(n)}` };
  return { kind: "peer-silent", what: `${peerName(n.path)} did not answer message ${n.state.kind === "sa-sent" ? 1 : 3} of Main Mode` };
}

/** What message 1 of a negotiation of ours offered. */
const offeredBy = (n: Negotiation): string => ruleOf(n).mainMode.proposals.map(ikeSuiteName).join(", ");

/** No answer came, or none that could be accepted: the negotiation ends, with the best reason known. */
export function giveUp(core: Core, n: Negotiation): void {
  const error = reasonFor(n);
  if (n.role === "initiator" || n.state.kind === "ke-answered")
    logError(core, "ike.failed", `${peerName(n.path)}: Main Mode given up`, error, ikeFields(n));
  endNegotiation(core, n, error);
}

/** Takes a negotiation away; its wishes fail with the reason. */
export function endNegotiation(core: Core, n: Negotiation, error: IkeError): void {
  core.timers.clearAll(owner(n.id));
  core.store.removeIke(n.id);
  destroyMainMode(n.state);
  if (n.role === "initiator" && error.kind !== "terminated") failPeer(core, n.path.local.address, n.path.remote.address);
  for (const wish of n.wishes) failWish(core, wish, error);
}

/** A notify in clear for a negotiation of ours: shown, believed only as far as to try less long. */
export function onClearNotify(core: Core, n: Negotiation, type: number): void {
  if (n.role !== "initiator" || type >= NOTIFY.CONNECTED) return count(core, "clear notify");
  const name = nameOf(NOTIFY, type);
  if (n.refusal !== null) return;
  n.refusal = { name, tries: n.tries };
  logError(core, "notify.received", peerName(n.path), { kind: "peer-refused", what: `says, unverified: ${name}` }, ikeFields(n));
  for (const wish of n.wishes) tell(core, wish.watchers, `peer says, unverified: ${name}`);
}

/** An established SA got a Main Mode message: only a repeat of the last one is answered. */
export function repeatMainMode(core: Core, ike: IkeSa, bytes: Uint8Array): void {
  if (ike.received && sameOctets(ike.received, bytes)) answerRepeat(core, ike);
  else count(core, "main-mode after its end");
}

/** The end of an SA's life: silent where children still live, since peers destroy children with their parent. */
export function onExpire(core: Core, ike: IkeSa): void {
  if (!core.store.hasChildren(ike.path.local.address, ike.path.remote.address)) closeIke(core, ike, "its lifetime ended");
  else dropIke(core, ike, "its lifetime ended; its children live on");
}

function makeRoom(core: Core): void {
  for (let { count: entries, octets } = core.store.halfOpen; entries > MAX_HALF_OPEN || octets > MAX_HALF_OPEN_OCTETS; ) {
    const oldest = core.store.oldestHalfOpen();
    if (!oldest) return;
    count(core, "half-open table full");
    endNegotiation(core, oldest, { kind: "peer-silent", what: "the table of half-open negotiations is full" });
    ({ count: entries, octets } = core.store.halfOpen);
  }
}

/** A cookie of zeros means "none" (RFC 2408 §2.5.3). */
function nonZero(core: Core): Uint8Array {
  for (;;) {
    const cookie = core.random(8);
    if (cookie.some((b) => b !== 0)) return cookie;
  }
}
