/**
 * Where a datagram belongs: an exchange of an SA that its cookies name, a new Main Mode, or nowhere.
 * Invariant: who is not the peer of an SA by its addresses does not reach it, and what belongs nowhere is counted and leaves nothing behind.
 */

import { decodeHeader, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG, NOTIFY, PAYLOAD } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { nameOf } from "../isakmp/registry.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { onCookieDemand } from "./cookie-demand.ts";
import { type Core, count, logError, peerName, ruleOf, send } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import type { IkeError } from "./errors.ts";
import { type Cutter, receiveFragment } from "./fragmenting.ts";
import { onHeard } from "./fronts.ts";
import { clearNotify, receiveInformational } from "./informational.ts";
import type { Path } from "./input.ts";
import { hearRefused } from "./last-words.ts";
import { noticeLoad } from "./load.ts";
import { responderCookieOf } from "./main-mode-states.ts";
import { isRepeat, receiveMainMode, repeatMainMode } from "./phase1.ts";
import { onClearNotify } from "./phase1-end.ts";
import { receiveQuickMode } from "./phase2.ts";
import { answersDelete } from "./reliable-delete.ts";
import { hearStranger, receiveFirst, strangerInPieces, strangerOf } from "./strangers.ts";

/** A datagram: cookies and message id decide where the message belongs; nothing else of it is read before. */
export function receiveDatagram(core: Core, path: Path, bytes: Uint8Array): void {
  core.arrival = path;
  const header = decodeHeader(bytes);
  if (!header.ok) return count(core, `malformed: ${header.error.what.replace(/\d+/g, "N")}`);
  if (isZero(header.value.initiatorCookie)) return count(core, "zero initiator cookie");
  onHeard(core, path.local.address, path.remote.address);
  // Windows' AuthIP begins beside its Main Mode, perhaps with the same cookie. Any answer would be taken for AuthIP (MS-AIPS).
  if (header.value.exchange >= AUTHIP.first && header.value.exchange <= AUTHIP.last) return count(core, "authip ignored");
  if (header.value.nextPayload === PAYLOAD.FRAGMENT)
    return receiveFragment(core, path, header.value, bytes, cutterOf(core, path, header.value), receiveDatagram);
  switch (header.value.exchange) {
    case EXCHANGE["Identity Protection"]:
      return onMainMode(core, path, header.value, bytes);
    case EXCHANGE["Quick Mode"]:
    case EXCHANGE.Informational:
      return onPhase2(core, path, header.value, bytes);
  }
  count(core, `exchange ${nameOf(EXCHANGE, header.value.exchange)}`);
  if (header.value.exchange === EXCHANGE.Aggressive) logError(core, "packet.dropped", peerName(path), AGGRESSIVE, { peer: peerName(path) });
}

/** Exchange types of AuthIP: main, quick and extended mode, and notify. */
const AUTHIP = { first: 243, last: 246 } as const;

/** The SA, negotiation or stranger that both cookies name, if the message comes from its peer. */
function cutterOf(core: Core, path: Path, header: Header): Cutter | undefined {
  const entry = core.store.byCookies(header.initiatorCookie, header.responderCookie);
  if (!entry) return strangerInPieces(core, path, header);
  if (!mayComeFrom(entry, path)) return undefined;
  const noted = (): void => {
    entry.fragmented = true;
  };
  return { id: entry.id, proved: entry.phase === "established", rule: ruleOf(entry), noted };
}

const AGGRESSIVE: IkeError = { kind: "unsupported", what: "Aggressive Mode is refused; configure Main Mode there" };

const isZero = (octets: Uint8Array): boolean => octets.every((octet) => octet === 0);

function onMainMode(core: Core, path: Path, header: Header, bytes: Uint8Array): void {
  if (header.messageId !== 0) return count(core, "main-mode with a message id");
  const first = isZero(header.responderCookie);
  const entry =
    (first ? undefined : core.store.byCookies(header.initiatorCookie, header.responderCookie)) ??
    core.store.byInitiatorCookie(header.initiatorCookie, path.remote.address);
  if (!entry) {
    const stranger = strangerOf(core, header.initiatorCookie, path.remote.address);
    return stranger ? hearStranger(core, stranger, path, header, bytes) : onStranger(core, path, header, bytes, first);
  }
  if (!mayComeFrom(entry, path)) return count(core, "other peer's cookies");
  // Our own message 1 came back, or somebody uses our cookie: an initiator has no use for a message without a responder cookie.
  if (first && entry.role === "initiator") return count(core, "reflected");
  // Message 1 again, but changed: the first one counts.
  const repeat = entry.phase === "negotiating" ? isRepeat(entry, bytes) : entry.received && sameOctets(entry.received, bytes);
  if (first && !repeat) return count(core, "message 1 changed");
  core.touched = entry.id;
  if (entry.phase === "established") return repeatMainMode(core, entry, bytes);
  const known = responderCookieOf(entry.state);
  if (!first && known && Buffer.compare(known, header.responderCookie) !== 0) return count(core, "unknown cookies");
  receiveMainMode(core, entry, header, bytes);
}

/** Whether a message 1 is taken at all is decided by its header, before anything else is read of it or kept. */
function onStranger(core: Core, path: Path, header: Header, bytes: Uint8Array, first: boolean): void {
  if (core.stopping) return;
  if (header.flags & FLAG.ENCRYPTION) return count(core, "message 1 encrypted");
  const { address } = path.remote;
  if (!first) {
    if (!core.challenge.isOurs(path, header, core.now)) return count(core, "unknown cookies");
    if (!core.gate.proven(address, core.now)) return count(core, "message 1 put off: too many from one source");
    return receiveFirst(core, path, header, bytes, copyOf(header.responderCookie));
  }
  noticeLoad(core);
  const admission = core.gate.first(address, header.initiatorCookie, core.store.halfOpen.load, core.now);
  if (admission === "welcome") return receiveFirst(core, path, header, bytes);
  if (admission === "limited") return count(core, "message 1 put off: too many from one source");
  const demand = core.challenge.demandFor(path, header, bytes, core.now);
  count(core, demand ? "message 1 answered with a cookie" : "message 1 put off until it is repeated");
  if (demand) send(core, path, demand);
}

function onPhase2(core: Core, path: Path, header: Header, bytes: Uint8Array): void {
  const entry =
    core.store.byCookies(header.initiatorCookie, header.responderCookie) ??
    core.store.byInitiatorCookie(header.initiatorCookie, path.remote.address);
  if (!entry || !mayComeFrom(entry, path)) return answersDelete(core, path, header, bytes) ? undefined : count(core, "unknown cookies");
  core.touched = entry.id;
  const quick = header.exchange === EXCHANGE["Quick Mode"];
  if (entry.phase === "established") {
    if (Buffer.compare(entry.sa.cookieR, header.responderCookie) !== 0) return count(core, "unknown cookies");
    return quick ? receiveQuickMode(core, entry, header, bytes) : receiveInformational(core, entry, header, bytes);
  }
  if (quick) return count(core, "phase 2 before phase 1");
  if (header.flags & 1) return hearRefused(core, entry, header, bytes);
  const notify = clearNotify(header, bytes);
  if (notify?.type === NOTIFY["DOS-COOKIE"]) return onCookieDemand(core, entry, header, bytes);
  if (notify) onClearNotify(core, entry, notify);
}

/** An SA belongs to two addresses; a peer behind a NAT may get another one, and proves by the message itself that it is the same. */
const mayComeFrom = (entry: Negotiation | IkeSa, { local, remote }: Path): boolean =>
  local.address === entry.path.local.address &&
  (remote.address === entry.path.remote.address || (entry.phase === "established" && entry.sa.nat?.remote === true));
