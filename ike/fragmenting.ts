/**
 * When messages travel in fragments (MS-IKEE §3.3), and what is done with fragments that come in.
 * Invariant: only to peers that announced it; only for an SA whose cookies and addresses fit; what is hashed and decrypted is the whole message.
 */
import { bodyOf, decodeHeader, decodePayloads, type Header } from "../isakmp/message.ts";
import { EXCHANGE, FLAG, PAYLOAD } from "../isakmp/numbers.ts";
import type { Body } from "../isakmp/payloads.ts";
import type { Rule } from "../policy/types.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, count, ruleOf, send } from "./core.ts";
import { sameOctets } from "./crypto/compare.ts";
import { cut, isLong } from "./fragments.ts";
import type { Path } from "./input.ts";
import { settledState } from "./main-mode-states.ts";
import type { PeerTraits } from "./vendor.ts";

/** Sends a message of an exchange with a peer, in fragments where that is due. `again`: it was sent before, and perhaps it was too long. */
export function transmit(core: Core, entry: Negotiation | IkeSa, bytes: Uint8Array, again: boolean): void {
  const family = entry.path.remote.address.includes(":") ? 6 : 4;
  const header = isLong(bytes, family) && isDue(entry, bytes, again) ? decodeHeader(bytes) : undefined;
  const pieces = header?.ok ? cut(bytes, header.value, family) : undefined;
  if (!pieces) return send(core, entry.path, bytes);
  count(core, "message sent in fragments");
  for (const piece of pieces) send(core, entry.path, piece);
}

/** Whole messages first, unless the rule says otherwise or the peer's own don't get through either. */
function isDue(entry: Negotiation | IkeSa, bytes: Uint8Array, again: boolean): boolean {
  const peer = traitsOfEntry(entry);
  const { fragmentation } = ruleOf(entry);
  if (!peer?.fragments || fragmentation === "off") return false;
  // Windows cuts messages with an identity only, and takes nothing else in fragments.
  if (peer.windows && !isProof(bytes)) return false;
  return fragmentation === "force" || again || entry.fragmented;
}

const [EXCHANGE_AT, FLAGS_AT] = [18, 19];
const isProof = (bytes: Uint8Array): boolean =>
  bytes[EXCHANGE_AT] === EXCHANGE["Identity Protection"] && ((bytes[FLAGS_AT] ?? 0) & FLAG.ENCRYPTION) !== 0;

/** What the peer announced, as far as it has said anything yet. */
function traitsOfEntry(entry: Negotiation | IkeSa): PeerTraits | undefined {
  if (entry.phase === "established") return entry.sa.peer;
  if (entry.state.kind === "ticketing") return entry.state.peer;
  const settled = settledState(entry.state);
  return "peer" in settled ? settled.peer : undefined;
}

/** Who sends us fragments. */
export interface Cutter {
  readonly id: number;
  readonly proved: boolean;
  /** undefined: there is none any more. */
  readonly rule: Rule | undefined;
  /** Remembers that it cuts its messages. */
  readonly noted: () => void;
}

/** A fragment came; `receive` gets the message that it completes. Whom we have not answered has no cookies to name, and keeps nothing here. */
export function receiveFragment(
  core: Core,
  path: Path,
  header: Header,
  bytes: Uint8Array,
  cutter: Cutter | undefined,
  receive: (core: Core, path: Path, bytes: Uint8Array) => void,
): void {
  const piece = readPiece(header, bytes);
  if (!piece) return count(core, "fragment malformed");
  if (!cutter) return count(core, "fragment of unknown cookies");
  if (!cutter.rule || cutter.rule.fragmentation === "off") return count(core, "fragment that the rule forbids");
  const origin = {
    peer: path.remote.address,
    message: `${cutter.id} ${header.exchange} ${header.messageId}`,
    proved: cutter.proved,
  };
  const taken = core.fragments.take(origin, piece, core.now);
  count(core, taken.kind === "refused" ? `fragment ${taken.why}` : `fragment ${taken.kind}`);
  armReassembly(core);
  if (taken.kind !== "whole") return;
  const inner = decodeHeader(taken.bytes);
  const fits =
    inner.ok &&
    inner.value.length === taken.bytes.length &&
    inner.value.nextPayload !== PAYLOAD.FRAGMENT &&
    sameOctets(inner.value.initiatorCookie, header.initiatorCookie) &&
    sameOctets(inner.value.responderCookie, header.responderCookie);
  if (!fits) return count(core, "fragments that make no message");
  cutter.noted();
  receive(core, path, taken.bytes);
}

/** The one payload of a message that is a fragment. */
function readPiece(header: Header, bytes: Uint8Array): Body<"fragment"> | undefined {
  const payloads = decodePayloads(header.nextPayload, bodyOf(header, bytes));
  if (!payloads.ok || payloads.value.length !== 1) return undefined;
  const [only] = payloads.value;
  return only?.name === "fragment" ? only.value : undefined;
}

/** The timer after which unfinished messages are given up. */
export const REASSEMBLY = "fragments all";

function armReassembly(core: Core): void {
  const { due } = core.fragments;
  if (due === undefined) core.timers.clearAll(REASSEMBLY);
  else core.timers.set(REASSEMBLY, "giveUp", due);
}

/** Its timer. */
export function onReassemblyTimer(core: Core): void {
  const before = core.fragments.size;
  core.fragments.expire(core.now);
  for (let i = core.fragments.size; i < before; i++) count(core, "fragments given up");
  armReassembly(core);
}

/** The daemon stops. */
export function dropFragments(core: Core): void {
  core.fragments.clear();
  armReassembly(core);
}
