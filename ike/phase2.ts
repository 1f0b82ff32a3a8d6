/**
 * The driver of Quick Mode: routes its messages to steps, repeats flights, gives up. What needs the kernel is in `child-install.ts`,
 * what a peer may ask for in `child-request.ts`. Until a message's HASH is right nothing changes.
 */

import type { Header } from "../isakmp/message.ts";
import { FLAG } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import type { Payload } from "../isakmp/payloads.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildWish, IkeSa, QuickExchange } from "../sa-store/ike-sa.ts";
import { abandonInstalled, confirmByPeer, installInbound, installOutbound } from "./child-install.ts";
import { respond } from "./child-request.ts";
import { type Core, count, ikeFields, kernel, log, logError, peerName } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import { type Chain, open } from "./envelope.ts";
import { ERROR_POLICY, type IkeError } from "./errors.ts";
import { quickFields } from "./event-fields.ts";
import { transmit } from "./fragmenting.ts";
import { saKeys } from "./install.ts";
import { phase2Iv } from "./keys.ts";
import { heard } from "./liveness.ts";
import { hasIdsForPeer, hasIdsForUs, newMessageId } from "./message-ids.ts";
import { acrossNat, mayBeAnothers, noWayForAh, originalAddresses, takenByAnother } from "./nat-child.ts";
import { follow } from "./nat-path.ts";
import type { ChildTerms } from "./negotiate-child.ts";
import {
  type ChildOffered,
  checkConfirmation,
  checkHashed,
  destroyChildKeys,
  isConnected,
  offerSelector,
  onChildAnswer,
  pfsGroup,
  sealConfirmation,
} from "./quick-mode.ts";
import { COMMIT_TRIES, LINGER, RETRANSMIT_WAITS, SWITCH } from "./retransmit.ts";
import { releaseSpis, takeSpi } from "./spis.ts";
import { tell } from "./watch.ts";
import { failWish, pursue, specKey } from "./wishes.ts";

/** Quick Modes at a time under one IKE SA, finished ones that linger for repeats included. */
const MAX_EXCHANGES = 256;

/** The chain with which an exchange goes on, or the first one of a message id (RFC 2409 appendix B). */
export const chainOf = (
  core: Core,
  ike: { readonly sa: Pick<IkeSa["sa"], "suite" | "keys" | "lastBlock"> },
  messageId: number,
  iv?: Uint8Array,
): Chain => ({
  cipher: ike.sa.suite.encryption,
  key: ike.sa.keys.cipher,
  iv: iv ?? phase2Iv(core.crypto, ike.sa.suite, ike.sa.lastBlock, messageId),
});

/** Begins a Quick Mode for a wish. */
export function startChild(core: Core, ike: IkeSa, wish: ChildWish): void {
  if (!hasIdsForUs(ike)) return failWish(core, wish, { kind: "terminated", what: "the IKE SA has used up its message ids" });
  const { rule, selector } = wish.spec;
  const { lifetimeSeconds, volumeOctets } = rule.quickMode;
  const taken = mayBeAnothers(ike) ? takenByAnother(core, ike, wish.spec) : undefined;
  if (taken !== undefined) return failWish(core, wish, { kind: "selectors-taken", what: taken });
  const proposals = acrossNat(rule.quickMode.proposals, ike.sa.nat);
  if (proposals.length === 0) return failWish(core, wish, noWayForAh(ike, rule));
  const lifetimeKilobytes = volumeOctets === null ? null : Math.max(1, Math.floor(volumeOctets / 1000));
  const terms: ChildTerms = {
    mode: rule.mode,
    udp: ike.sa.nat?.numbers ?? null,
    group: pfsGroup(rule, ike.sa.suite),
    lifetimeSeconds,
    lifetimeKilobytes,
  };
  const messageId = newMessageId(core, ike);
  const spiOf = (protocol: "esp" | "ah"): number | null =>
    proposals.some((suite) => suite.some((part) => part.protocol === protocol)) ? takeSpi(core) : null;
  const spis = { esp: spiOf("esp"), ah: spiOf("ah") };
  const { next, bytes, iv } = offerSelector(core, ike.sa, chainOf(core, ike, messageId), {
    messageId,
    suites: proposals,
    terms,
    selector,
    spis,
    originals: originalAddresses(ike, rule.mode, true),
  });
  const ex: QuickExchange = {
    ike: ike.id,
    messageId,
    startedAt: core.now,
    role: "initiator",
    iv,
    state: { kind: "offered", offered: next, wish },
    received: null,
    flight: bytes,
    tries: 0,
    timers: undefined,
  };
  ike.exchanges.set(messageId, ex);
  ike.quickModes++;
  log(core, "child.started", "debug", `${peerName(ike.path)}: Quick Mode begins`, quickFields(ike, messageId, "initiator"));
  tell(core, wish.watchers, () => `Quick Mode for ${formatSelector(selector)}: offer sent`);
  transmit(core, ike, bytes, false);
  armRetransmit(core, ex);
}

/** A Quick Mode message under an established IKE SA. */
export function receiveQuickMode(core: Core, ike: IkeSa, header: Header, bytes: Uint8Array): void {
  if (!(header.flags & FLAG.ENCRYPTION)) return count(core, "quick-mode in clear");
  const ex = ike.exchanges.get(header.messageId);
  if (ex?.received && sameOctets(ex.received, bytes)) return answerRepeat(core, ike, ex);
  if (ex) return advance(core, ike, ex, header, bytes);
  if (ike.usedMessageIds.has(header.messageId)) return count(core, "message id used before");
  receiveRequest(core, ike, header, bytes);
}

/** Who has no timer answers repeats: the initiator once message 3 is out, the responder with message 2. */
function answerRepeat(core: Core, ike: IkeSa, ex: QuickExchange): void {
  count(core, "repeat");
  if (!ex.flight || ex.state.kind === "installing" || ex.state.kind === "offered") return;
  transmit(core, ike, ex.flight, true);
  // Message 2 came again, so message 3 was lost: the peer can't decrypt yet.
  if (ex.state.kind === "confirmed" && core.timers.has(ex, "switch")) core.timers.set(ex, "switch", core.now + SWITCH);
}

function receiveRequest(core: Core, ike: IkeSa, header: Header, bytes: Uint8Array): void {
  if (core.stopping) return;
  if (core.now >= ike.expiresAt) return count(core, "quick-mode after the IKE SA's end");
  const opened = open(core.crypto, chainOf(core, ike, header.messageId), header, bytes);
  if (!opened.ok) return drop(core, ike, "message 1", opened.error);
  const bad = checkHashed(core, ike.sa, header.messageId, opened.value.payloads, opened.value.plain);
  if (bad) return drop(core, ike, "message 1", bad);
  // The exchange type is not hashed: a delete passes for a Quick Mode's first message, and must not use up its message id so.
  const has = (name: string): boolean => opened.value.payloads.some((payload) => payload.name === name);
  if (has("delete") && !has("sa")) return count(core, "informational under another exchange type");
  if (!hasIdsForPeer(ike) || !hasRoom(core, ike)) return count(core, "too many quick modes");
  core.store.useMessageId(ike, header.messageId);
  ike.quickModes++;
  heard(core, ike);
  follow(core, ike);
  respond(core, ike, { header, bytes, payloads: opened.value.payloads, plain: opened.value.plain, iv: opened.value.iv }, 0);
}

/** Room for one more exchange; those that only linger make way, the oldest first. */
function hasRoom(core: Core, ike: IkeSa): boolean {
  if (ike.exchanges.size < MAX_EXCHANGES) return true;
  for (const ex of ike.exchanges.values()) {
    if (ex.state.kind !== "done") continue;
    core.timers.clearAll(ex);
    return ike.exchanges.delete(ex.messageId);
  }
  return false;
}

/** An unauthenticated or unreadable message: counted, logged, without effect. */
function drop(core: Core, ike: IkeSa, what: string, error: IkeError): void {
  count(core, `quick-mode ${ERROR_POLICY[error.kind].reason}`);
  logError(core, "packet.dropped", `${peerName(ike.path)}: Quick Mode ${what} dropped`, error, {
    ...ikeFields(ike),
    exchange: "quick-mode",
  });
}

function advance(core: Core, ike: IkeSa, ex: QuickExchange, header: Header, bytes: Uint8Array): void {
  const { state } = ex;
  if (state.kind === "installing" || (state.kind === "done" && !isOwedConnected(core, ex))) return count(core, "quick-mode out of turn");
  const opened = open(core.crypto, chainOf(core, ike, ex.messageId, ex.iv), header, bytes);
  if (!opened.ok) return drop(core, ike, "message", opened.error);
  const { payloads, plain, iv } = opened.value;
  const commit = (header.flags & FLAG.COMMIT) !== 0;
  if (state.kind === "offered") return onAnswer(core, ike, ex, bytes, payloads, plain, iv, commit);
  if (state.kind === "confirmed" || state.kind === "done") return onConnected(core, ike, ex, payloads, plain);
  const bad = checkConfirmation(core, ike.sa, ex.messageId, state.agreed, payloads);
  if (bad) return drop(core, ike, "message 3", bad);
  follow(core, ike);
  Object.assign(ex, { received: copyOf(bytes), iv, flight: null });
  confirmByPeer(core, ike, ex);
}

/** Message 2. Its HASH is checked first; an authentic answer that we can't accept ends the exchange. */
function onAnswer(
  core: Core,
  ike: IkeSa,
  ex: QuickExchange,
  bytes: Uint8Array,
  payloads: readonly Payload[],
  plain: Uint8Array,
  iv: Uint8Array,
  commit: boolean,
): void {
  if (ex.state.kind !== "offered") return;
  const { offered, wish } = ex.state;
  const agreed = onChildAnswer(core, ike.sa, offered, payloads, plain, commit);
  if (!agreed.ok) {
    if (checkHashed(core, ike.sa, ex.messageId, payloads, plain, offered.nonce)) return drop(core, ike, "message 2", agreed.error);
    return endExchange(core, ike, ex, agreed.error);
  }
  heard(core, ike);
  follow(core, ike);
  offered.pair?.privateKey.destroy();
  releaseSpis(
    core,
    [offered.spis.esp, offered.spis.ah].filter((spi) => spi !== null && agreed.value.keys.every((key) => key.spiIn !== spi)),
  );
  const sealed = sealConfirmation(core, ike.sa, chainOf(core, ike, ex.messageId, iv), ex.messageId, agreed.value);
  Object.assign(ex, { received: copyOf(bytes), iv: sealed.iv, flight: null, tries: 0 });
  core.timers.clear(ex, "retransmit");
  ex.state = { kind: "installing", agreed: agreed.value, spec: wish.spec, wish, answer: sealed.bytes, request: null, tries: 0 };
  installInbound(core, ike, ex);
}

/** CONNECTED as the fourth message of the exchange (racoon, z/OS): the responder of a commit bit is ready. */
function onConnected(core: Core, ike: IkeSa, ex: QuickExchange, payloads: readonly Payload[], plain: Uint8Array): void {
  const bad = checkHashed(core, ike.sa, ex.messageId, payloads, plain);
  if (bad) return drop(core, ike, "message 4", bad);
  if (isConnected(payloads)) connected(core, ike, ex);
}

/** Whether CONNECTED would tell us something: message 3 is out, and our outbound SAs wait, or it is still repeated (commit bit). */
export const isOwedConnected = (core: Core, ex: QuickExchange): boolean =>
  ex.state.kind === "confirmed" || (ex.state.kind === "done" && ex.role === "initiator" && core.timers.has(ex, "retransmit"));

/** The peer has message 3 for sure: it is repeated no more, and our outbound SAs may take over. */
export function connected(core: Core, ike: IkeSa, ex: QuickExchange): void {
  core.timers.clear(ex, "retransmit");
  if (ex.state.kind !== "confirmed" || !core.timers.has(ex, "switch")) return;
  core.timers.clear(ex, "switch");
  installOutbound(core, ike, ex);
}

/** Sets the timer for the next repeat of an exchange's last message. */
export function armRetransmit(core: Core, ex: QuickExchange): void {
  const wait = RETRANSMIT_WAITS[ex.tries];
  if (wait !== undefined) core.timers.set(ex, "retransmit", core.now + wait);
}

/** An IKE SA that was there already is tried this often before a wish goes on under a new one: 7 s. */
const TRIES_WITH_OLD = 3;

/** The timer of an exchange whose answer is due. */
export function onQuickRetransmit(core: Core, ike: IkeSa, ex: QuickExchange): void {
  ex.tries++;
  if (ex.tries === TRIES_WITH_OLD && beginAnew(core, ike, ex)) return;
  const committed = ex.state.kind === "confirmed" || ex.state.kind === "done";
  if (ex.tries >= (committed ? COMMIT_TRIES : RETRANSMIT_WAITS.length)) {
    if (committed) return;
    return endExchange(core, ike, ex, {
      kind: "peer-silent",
      what: `${peerName(ike.path)} did not answer message ${ex.state.kind === "answered" ? 2 : 1} of Quick Mode`,
    });
  }
  if (ex.state.kind === "answered") {
    // A packet on the new inbound SA proves that message 3 was sent, even if it was lost.
    const commands = saKeys(ex.state.child.spec, ex.state.child.protections, "in").slice(0, 1);
    kernel(
      core,
      commands.map((sa) => ({ do: "read-sa", sa })),
      { kind: "proof", ike: ike.id, messageId: ex.messageId },
    );
    return armRetransmit(core, ex);
  }
  if (ex.flight) transmit(core, ike, ex.flight, true);
  armRetransmit(core, ex);
}

/** A peer that restarted knows nothing of our IKE SA and can't say so: a wish moves to a new one, once. False where it did. */
export function beginAnew(core: Core, ike: IkeSa, ex: QuickExchange): boolean {
  if (ex.state.kind !== "offered" || ex.state.wish.renewed) return false;
  const { offered, wish } = ex.state;
  ike.silent = true;
  wish.renewed = true;
  dropOffer(core, ike, ex, offered);
  tell(core, wish.watchers, `no answer under the IKE SA with ${peerName(ike.path)}, a new one is tried`);
  pursue(core, wish);
  return true;
}

function dropOffer(core: Core, ike: IkeSa, ex: QuickExchange, { pair, spis }: ChildOffered): void {
  core.timers.clearAll(ex);
  ike.exchanges.delete(ex.messageId);
  ex.state = { kind: "done" };
  pair?.privateKey.destroy();
  releaseSpis(core, [spis.esp, spis.ah]);
}

/** An exchange that came to nothing: what it installed goes, its wish fails. */
export function endExchange(core: Core, ike: IkeSa, ex: QuickExchange, error: IkeError): void {
  core.timers.clearAll(ex);
  ike.exchanges.delete(ex.messageId);
  const { state } = ex;
  ex.state = { kind: "done" };
  switch (state.kind) {
    case "offered":
      dropOffer(core, ike, ex, state.offered);
      return failWish(core, state.wish, error, quickFields(ike, ex.messageId, "initiator"));
    case "installing":
      destroyChildKeys(state.agreed.keys);
      releaseSpis(
        core,
        state.agreed.keys.map((key) => key.spiIn),
      );
      if (core.store.byKey(specKey(state.spec)).length === 0) core.policies.freeReqid(state.spec);
      if (state.wish) failWish(core, state.wish, error, quickFields(ike, ex.messageId, "initiator"));
      return;
    case "answered":
    case "confirmed":
      abandonInstalled(core, ike, state.child, state.agreed);
      if (state.kind === "confirmed") failWish(core, state.wish, error, quickFields(ike, ex.messageId, "initiator"));
      else
        logError(core, "child.failed", `${peerName(ike.path)}: Quick Mode`, error, {
          ...quickFields(ike, ex.messageId, "responder"),
          rule: state.child.spec.rule.name,
        });
  }
}

/** Finished: kept only to answer repeats, and to repeat message 3 where the responder still owes CONNECTED for its commit bit. */
export function linger(core: Core, ex: QuickExchange): void {
  const owed = core.timers.has(ex, "retransmit");
  ex.state = { kind: "done" };
  core.timers.clear(ex, "switch");
  core.timers.set(ex, "linger", core.now + LINGER);
  if (!owed || ex.role === "responder") core.timers.clear(ex, "retransmit");
}
