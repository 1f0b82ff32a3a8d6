/**
 * Informational exchanges, RFC 2409 §5.7: notifies and deletes under the keys of phase 1, and what we do about them.
 * Only authenticated ones are acted on; one in clear may shorten a negotiation of ours, nothing more.
 */
import { decodePayloads, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG, NOTIFY, PROTOCOL } from "../isakmp/numbers.ts";
import type { Body, Payload } from "../isakmp/payloads.ts";
import { nameOf } from "../isakmp/registry.ts";
import { formatSelector } from "../policy/selector.ts";
import type { IkeSa, QuickExchange } from "../sa-store/ike-sa.ts";
import { isOfPeer, onPeerDelete } from "./children.ts";
import { dropIke } from "./closing.ts";
import { type Core, count, hex, log, logError, peerName, send } from "./core.ts";
import { childSuiteName } from "./crypto/suite.ts";
import { open } from "./envelope.ts";
import { ERROR_POLICY, type IkeError } from "./errors.ts";
import { ikeFields, messageIdText } from "./event-fields.ts";
import type { PayloadOf } from "./flight.ts";
import { heard, onDoubt, onInvalidSpi, onProbeAnswer } from "./liveness.ts";
import { hasIdsForPeer, isFreshProbe, newMessageId, probeKind } from "./message-ids.ts";
import { follow } from "./nat-path.ts";
import { deadPeerAnswer } from "./notifies.ts";
import { forgetOlder } from "./phase1.ts";
import { beginAnew, chainOf, connected, endExchange, isOwedConnected } from "./phase2.ts";
import { type ChildOffered, checkHashed, sealHashed } from "./quick-mode.ts";
import { acknowledge, answersDelete, hasBareNonce } from "./reliable-delete.ts";
import { isRefusal, namedExchange, notifyName } from "./windows-notify.ts";

/** Sends payloads in an Informational exchange of their own; what was sent. */
export function tellPeer(core: Core, ike: IkeSa, payloads: readonly Payload[], messageId = newMessageId(core, ike)): Uint8Array | null {
  if (payloads.length === 0) return null;
  const { bytes } = sealHashed(core, ike.sa, chainOf(core, ike, messageId), messageId, EXCHANGE.Informational, payloads);
  send(core, ike.path, bytes);
  return bytes;
}

/** An Informational message under an established IKE SA. */
export function receiveInformational(core: Core, ike: IkeSa, header: Header, bytes: Uint8Array): void {
  if (!(header.flags & FLAG.ENCRYPTION)) return onClear(core, ike, header, bytes);
  // Replays are not acted on: each message id counts once.
  if (header.messageId === 0 || ike.usedMessageIds.has(header.messageId))
    return answersDelete(core, ike.path, header, bytes) ? undefined : count(core, "message id used before");
  const opened = open(core.crypto, chainOf(core, ike, header.messageId), header, bytes);
  const bad = opened.ok ? badInformational(core, ike, header.messageId, opened.value) : opened.error;
  if (bad || !opened.ok) {
    if (!bad) return;
    count(core, `informational ${ERROR_POLICY[bad.kind].reason}`);
    return logError(core, "packet.dropped", `${peerName(ike.path)}: Informational message dropped`, bad, {
      ...ikeFields(ike),
      exchange: "informational",
      messageId: messageIdText(header.messageId),
    });
  }
  // The exchange type is not hashed: a Quick Mode's first message passes for an Informational one, and must not use up its message id so.
  if (opened.value.payloads.some(({ name }) => name === "sa")) return count(core, "quick-mode under another exchange type");
  const kind = probeKind(opened.value.payloads);
  if (kind === "answer") return onAnswer(core, ike, opened.value.payloads);
  // Their message ids are not remembered: a repetition must not pass for a sign of life, or a dead peer would never be found dead.
  if (kind === "probe" && !isFresh(ike, header.messageId, opened.value.payloads)) return count(core, "old R-U-THERE");
  if (kind === undefined && !hasIdsForPeer(ike)) return count(core, "message ids used up");
  if (kind === undefined) core.store.useMessageId(ike, header.messageId);
  heard(core, ike);
  follow(core, ike);
  acknowledge(core, ike, header, bytes, opened.value.payloads, opened.value.iv);
  for (const payload of opened.value.payloads) {
    if (!core.store.ikes.has(ike.id)) return;
    if (payload.name === "notify") onNotify(core, ike, payload);
    if (payload.name === "delete") onDelete(core, ike, payload);
  }
}

/** What is wrong with the HASH, if anything; Windows' reliable delete may be hashed in two ways. */
function badInformational(core: Core, ike: IkeSa, messageId: number, { payloads, plain }: Opened): IkeError | undefined {
  const bad = checkHashed(core, ike.sa, messageId, payloads, plain);
  return bad && !hasBareNonce(core, ike, messageId, payloads) ? bad : undefined;
}

interface Opened {
  readonly payloads: readonly Payload[];
  readonly plain: Uint8Array;
}

/** Anybody may have written it: at most it makes us ask whether the peer still knows us. */
function onClear(core: Core, ike: IkeSa, header: Header, bytes: Uint8Array): void {
  const type = clearNotify(header, bytes)?.type;
  if (type === NOTIFY["INVALID-COOKIE"] || type === NOTIFY["INVALID-SPI"]) return onDoubt(core, ike, `${nameOf(NOTIFY, type)} in clear`);
  count(core, "informational in clear");
}

const isFresh = (ike: IkeSa, messageId: number, [, notify]: readonly Payload[]): boolean =>
  notify?.name === "notify" && isFreshProbe(ike, messageId, notify.value.data);

function onAnswer(core: Core, ike: IkeSa, [, notify]: readonly Payload[]): void {
  if (notify?.name === "notify") onProbeAnswer(core, ike, notify.value.data);
}

/** The notify of a clear message, for a negotiation of ours; undefined where it holds none. */
export function clearNotify(header: Header, bytes: Uint8Array): Body<"notify"> | undefined {
  const payloads = decodePayloads(header.nextPayload, bytes.subarray(28, header.length));
  const notify = payloads.ok ? payloads.value.find((p) => p.name === "notify") : undefined;
  return notify?.name === "notify" ? notify.value : undefined;
}

function onNotify(core: Core, ike: IkeSa, { value }: PayloadOf<"notify">): void {
  switch (value.type) {
    case NOTIFY["R-U-THERE"]:
      return onProbe(core, ike, value.data);
    case NOTIFY["INITIAL-CONTACT"]:
      return forgetOlder(core, ike);
    case NOTIFY.CONNECTED:
      return onConnected(core, ike, value.spi);
  }
  const said = `says ${notifyName(value)}${value.spi.length === 4 ? ` about spi 0x${hex(value.spi)}` : ""}`;
  const text = `${peerName(ike.path)} ${said}`;
  if (!isRefusal(value)) return log(core, "notify.received", "debug", text, ikeFields(ike));
  logError(core, "notify.received", peerName(ike.path), { kind: "peer-refused", what: said }, ikeFields(ike));
  refused(core, ike, value, text);
}

/** The peer asks whether we live (RFC 3706 §5.4). */
function onProbe(core: Core, ike: IkeSa, data: Uint8Array): void {
  tellPeer(core, ike, [deadPeerAnswer(ike.sa.cookieI, ike.sa.cookieR, data)], newMessageId(core, ike, false));
}

/** An authenticated error ends the Quick Mode that it is about: by our SPI, else the oldest that waits for an answer. */
function refused(core: Core, ike: IkeSa, value: PayloadOf<"notify">["value"], text: string): void {
  // That is about packets, not about an offer.
  if (value.type === NOTIFY["INVALID-SPI"]) return onInvalidSpi(core, ike, value.spi.length === 4 ? value.spi : value.data);
  const open = [...ike.exchanges.values()];
  const named = namedExchange(value, (messageId) => ike.exchanges.has(messageId));
  const ex =
    (named === undefined ? undefined : ike.exchanges.get(named)) ??
    open.find((candidate) => hasOurSpi(candidate, value.spi)) ??
    open.find(({ state }) => state.kind === "offered");
  if (!ex) return;
  // Its peer may allow fewer Quick Modes under one IKE SA than we do.
  if (ex.state.kind === "offered" && ex.state.wish.replaces !== null && ike.quickModes > 1 && beginAnew(core, ike, ex)) return;
  const offered = ex.state.kind === "offered" ? `; we offered ${describeOffer(ex.state.offered)}` : "";
  endExchange(core, ike, ex, { kind: "peer-refused", what: `${text}${offered}` });
}

/** Proposals, mode, PFS group and selectors of our message 1. */
const describeOffer = ({ suites, terms, selector }: ChildOffered): string =>
  `${suites.map(childSuiteName).join(", ")}, ${terms.mode}, ${terms.group ? `PFS ${terms.group.name}` : "no PFS"}, for ${formatSelector(selector)}`;

/** What we offered, or answered with: an initiator whose kernel refuses the answer says so. */
function hasOurSpi({ state }: QuickExchange, spi: Uint8Array): boolean {
  // Windows' has the message id behind it.
  if (spi.length !== 4 && spi.length !== 8) return false;
  const named = new DataView(spi.buffer, spi.byteOffset, 4).getUint32(0);
  if (state.kind === "offered") return state.offered.spis.esp === named || state.offered.spis.ah === named;
  return state.kind === "answered" && state.child.protections.some(({ spiIn }) => spiIn === named);
}

/** CONNECTED as an Informational of its own: for the child whose SPI it names, or the only one that waits. */
function onConnected(core: Core, ike: IkeSa, spi: Uint8Array): void {
  const waiting = [...ike.exchanges.values()].filter((ex) => isOwedConnected(core, ex));
  const named = spi.length === 4 ? new DataView(spi.buffer, spi.byteOffset, 4).getUint32(0) : undefined;
  const ex =
    waiting.find(({ state }) => state.kind === "confirmed" && state.child.protections.some((p) => p.spiOut === named)) ??
    (waiting.length === 1 ? waiting[0] : undefined);
  if (ex) connected(core, ike, ex);
}

function onDelete(core: Core, ike: IkeSa, { value }: PayloadOf<"delete">): void {
  if (value.protocol === PROTOCOL.ISAKMP) {
    const own = `${hex(ike.sa.cookieI)}${hex(ike.sa.cookieR)}`;
    if (value.spis.some((spi) => hex(spi) === own)) dropIke(core, ike, "the peer deleted it");
    return;
  }
  for (const spi of value.spis) {
    if (spi.length !== 4) continue;
    const child = core.store.bySpiOut(ike.path.remote.address, new DataView(spi.buffer, spi.byteOffset, 4).getUint32(0));
    // A peer may delete only what was made with it: the index is by peer, so another's SPI is not found.
    if (child && child.spec.local === ike.path.local.address && isOfPeer(ike, child)) onPeerDelete(core, child);
  }
}
