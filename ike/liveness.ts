/**
 * Is the peer still there? Traffic that comes in, and any authentic message, is evidence enough. Where we send and hear nothing, a peer that
 * announced dead peer detection is asked (RFC 3706); any other gets a new Quick Mode for the silent pair, which becomes a Main Mode
 * when it stays without an answer.
 * Invariant: only our own unanswered questions end anything. What others say (INVALID-SPI, INVALID-COOKIE, packets with unknown SPIs) makes
 * us ask, and not oftener than `HARASSED`.
 */
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa } from "../sa-store/ike-sa.ts";
import { carrierFor, removeChild, rivals } from "./children.ts";
import { closeIke } from "./closing.ts";
import { type Core, count, log, peerName } from "./core.ts";
import { childFields, ikeFields } from "./event-fields.ts";
import { tellPeer } from "./informational.ts";
import { newMessageId } from "./message-ids.ts";
import { follow } from "./nat-path.ts";
import { deadPeerQuestion } from "./notifies.ts";
import { ask, succeed } from "./rekey.ts";
import { RETRANSMIT_WAITS } from "./retransmit.ts";
import { failPeer, keepTrying } from "./retry.ts";

/** Between two questions that others caused. Milliseconds. */
const HARASSED = 10_000;

/** Something authentic came: the peer lives. */
export function heard(core: Core, ike: IkeSa): void {
  ike.silent = false;
  ike.heardAt = core.now;
  if (ike.probe === null) return;
  ike.probe = null;
  core.timers.clear(`ike ${ike.id}`, "dpd");
}

/** After a look at a child's counters: is its silence worth a question? */
export function onLook(core: Core, child: ChildSa, came: boolean): void {
  const { rule } = child.spec;
  const ike = carrierFor(core, child);
  if (came && ike) ike.heardAt = core.now;
  const unrequited = child.use.sending || rule.start === "now";
  if (came || rule.dpdSeconds === null || !unrequited) return;
  const patience = rule.dpdSeconds * 1000;
  // Each end sends on the newest pair that it knows, so that of two for the same selectors each may go one way only.
  const heardAt = Math.max(...core.store.byKey(child.key).map(({ use }) => use.heardAt));
  if (core.now - heardAt <= patience) return core.timers.set(child, "measure", core.now + Math.max(1000, patience / 4));
  if (ike?.sa.peer.dpd && core.now - ike.heardAt > patience) return askPeer(core, ike);
  if (child.use.sending && rivals(core, child).length === 0) onOneWay(core, child);
}

/**
 * The peer lives, or can't be asked, and yet nothing comes back through this pair: it may have lost it, and its delete may have been lost. A
 * new pair shows. Where that changes nothing the traffic goes one way, and is left alone.
 */
function onOneWay(core: Core, child: ChildSa): void {
  if (child.use.oneWay || child.state !== "installed") return;
  child.use.oneWay = true;
  log(
    core,
    "peer.silent",
    "info",
    `${child.spec.remote}: ${formatSelector(child.spec.selector)}: we send and nothing comes back; a new pair is tried (rule ${child.spec.rule.name})`,
    childFields(child),
  );
  succeed(core, child);
}

/** R-U-THERE, unless one is open. */
function askPeer(core: Core, ike: IkeSa): void {
  if (ike.probe !== null) return;
  ike.askedAt = core.now;
  ike.sequence++;
  sendProbe(core, ike, 0);
}

function sendProbe(core: Core, ike: IkeSa, tries: number): void {
  ike.probe = { tries };
  core.timers.set(`ike ${ike.id}`, "dpd", core.now + (RETRANSMIT_WAITS[tries] ?? 0));
  tellPeer(core, ike, [deadPeerQuestion(ike.sa.cookieI, ike.sa.cookieR, ike.sequence)], newMessageId(core, ike, false));
}

/** R-U-THERE-ACK: `heard` has noted that the peer lives; this only counts answers to nothing. */
export function onProbeAnswer(core: Core, ike: IkeSa, data: Uint8Array): void {
  const sequence = data.length === 4 ? new DataView(data.buffer, data.byteOffset, 4).getUint32(0) : undefined;
  if (ike.probe === null || ike.sequence !== sequence) return count(core, "answer to no question");
  follow(core, ike);
  heard(core, ike);
  // It lives: pairs through which nothing came back are the next suspects.
  for (const id of [...ike.children]) {
    const child = core.store.children.get(id);
    if (child?.use.sending && child.use.heardAt < ike.askedAt) ask(core, child, "look");
  }
}

/** No answer yet: again, or that is the end of this peer. */
export function onProbeTimer(core: Core, ike: IkeSa): void {
  if (ike.probe === null) return;
  const { tries } = ike.probe;
  if (tries + 1 < RETRANSMIT_WAITS.length) return sendProbe(core, ike, tries + 1);
  ike.probe = null;
  bury(core, ike);
}

/** The peer is dead: its SAs go, and what should be up is tried again. It is told all the same: perhaps only its answers are lost. */
function bury(core: Core, ike: IkeSa): void {
  const children = [...ike.children].flatMap((id) => core.store.children.get(id) ?? []);
  log(
    core,
    "peer.silent",
    "warning",
    `${peerName(ike.path)} did not answer ${RETRANSMIT_WAITS.length} questions in 27 s: taken for dead, ${children.length} child SAs end`,
    { ...ikeFields(ike), reason: "peer-silent", failurePoint: "peer", hint: "check the peer and the way to it" },
  );
  failPeer(core, ike.path.local.address, ike.path.remote.address);
  for (const child of children) removeChild(core, child, "the peer is dead", true);
  closeIke(core, ike, "the peer is dead");
  for (const { spec } of children) keepTrying(core, spec);
}

/** Somebody, perhaps the peer, perhaps not, says that an SA of ours is unknown there. */
export function onDoubt(core: Core, ike: IkeSa, what: string): void {
  count(core, `doubt: ${what}`);
  if (core.now - ike.askedAt < HARASSED || ike.probe !== null) return;
  if (ike.sa.peer.dpd) return askPeer(core, ike);
  ike.askedAt = core.now;
  // Without that, the kernel's counters say whether anything still comes.
  for (const id of [...ike.children].slice(0, MOST_LOOKS)) {
    const child = core.store.children.get(id);
    if (child?.state === "installed") ask(core, child, "look");
  }
}

/** IKE SAs that packets with unknown SPIs make us doubt, of all that there are. */
const MOST_SUSPECTS = 16;

/**
 * Packets came for SAs that the kernel does not have: perhaps a peer goes on with what we have no more, perhaps a stranger sends anything.
 * The peers that we have heard nothing of for the longest time are asked; each at its own slow pace, as with every doubt.
 */
export function onUnknownSpis(core: Core): void {
  const suspects: IkeSa[] = [];
  for (const entry of core.store.ikes.values()) {
    if (entry.phase !== "established" || entry.children.size === 0 || core.now - entry.heardAt < HARASSED) continue;
    const at = suspects.findIndex(({ heardAt }) => heardAt > entry.heardAt);
    suspects.splice(at < 0 ? suspects.length : at, 0, entry);
    suspects.length = Math.min(suspects.length, MOST_SUSPECTS);
  }
  for (const ike of suspects) onDoubt(core, ike, "packets with unknown SPIs");
}

/** Children of one IKE SA that a doubt makes us look at. */
const MOST_LOOKS = 16;

/** The peer says so under the keys of phase 1, and names the pair: a new one is tried, once. */
export function onInvalidSpi(core: Core, ike: IkeSa, spi: Uint8Array): void {
  count(core, "doubt: INVALID-SPI");
  if (spi.length !== 4) return;
  const child = core.store.bySpiOut(ike.path.remote.address, new DataView(spi.buffer, spi.byteOffset, 4).getUint32(0));
  if (child?.outbound === "installed" && core.now - child.installedAt > HARASSED) onOneWay(core, child);
}
