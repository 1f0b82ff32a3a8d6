/**
 * Messages 5 and 6 of Main Mode: what every method shares, and pre-shared keys in full (RFC 2409 §5.4).
 * A step computes a new state or an error; nothing changes where it fails, so a forged message can't end a negotiation.
 */

import { ownIdentity, type PskChoice } from "../auth/choice.ts";
import { type Found, ruleForKey } from "../auth/proof.ts";
import { NOTIFY } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { type Payload, type PayloadOf, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { identityOf, idPayloadValue, phase1IdFault } from "../policy/identity.ts";
import type { Identity, Rule } from "../policy/types.ts";
import { sameDigest } from "./crypto/compare.ts";
import type { HashAlgorithm } from "./crypto/suite.ts";
import { open, seal } from "./envelope.ts";
import type { IkeError } from "./errors.ts";
import { match, type Role } from "./flight.ts";
import type { AuthSent, Established, Heard, KeAnswered, KeSent, Keyed } from "./main-mode-states.ts";
import { MAIN_MODE, type Message, mainMode, type Stepped, type Tools } from "./main-mode-table.ts";
import { hasNotify, initialContact, readResponderLifetime, responderLifetime } from "./notifies.ts";
import { phase1Hash } from "./proof.ts";

/** Message 5 of an initiator with a pre-shared key. */
export function sendKeyProof(tools: Tools, before: KeSent, keyed: Keyed & { readonly auth: PskChoice }, greet: boolean): Stepped<AuthSent> {
  const ownId = ownIdentity(keyed.auth.entry, keyed.path.local.address);
  const id = payload("id", idPayloadValue(ownId));
  const hash = sideHash(tools, keyed, "initiator", id.raw);
  const sealed = sealProof(tools, keyed, [id, payload("hash", { data: hash }), ...greeting(keyed, greet)]);
  return { next: { kind: "auth-sent", ownId, ...keyed, iv: sealed.iv }, send: sealed.bytes, spent: [before.pair.privateKey] };
}

/** Message 6 came: the peer proved that it has the key, or not. */
export function onKeyProof(
  tools: Tools,
  state: AuthSent & { readonly auth: PskChoice },
  message: Message,
): Result<Stepped<Established>, IkeError> {
  const proved = checkKeyProof(tools, state, message, "responder");
  if (!proved.ok) return proved;
  const { keyed, peerId } = proved.value;
  const found = ruleForKey([state.auth.rule], state.auth, peerId, state.path.remote.address);
  if (!found.ok) return found;
  return ok({ next: initiatorsSa(keyed, found.value, peerId, state.ownId), send: null, spent: [state.skeyid] });
}

/** Message 5 came: who is it, which rule is that, and message 6 proves us. */
export function onInitiatorKeyProof(
  tools: Tools,
  state: KeAnswered & { readonly auth: PskChoice },
  message: Message,
): Result<Stepped<Established>, IkeError> {
  const proved = checkKeyProof(tools, state, message, "initiator");
  if (!proved.ok) return proved;
  const { keyed, peerId } = proved.value;
  const found = ruleForKey(state.candidates, state.auth, peerId, state.path.remote.address);
  if (!found.ok) return found;
  const ownId = ownIdentity(found.value.proof.entry, state.path.local.address);
  const id = payload("id", idPayloadValue(ownId));
  const hash = sideHash(tools, keyed, "responder", id.raw);
  const life = responderLife(state, found.value.rule);
  const sealed = sealProof(tools, keyed, [id, payload("hash", { data: hash }), ...life.notify]);
  const ends = { ...keyed, iv: sealed.iv };
  return ok({ next: respondersSa(ends, found.value, peerId, ownId, life.seconds), send: sealed.bytes, spent: [state.skeyid] });
}

/** The chain's IV and the payloads of a sealed message. What doesn't decrypt was most likely made with another key. */
export function openProof(
  tools: Tools,
  state: Keyed,
  { header, bytes }: Message,
): Result<{ readonly payloads: readonly Payload[]; readonly iv: Uint8Array }, IkeError> {
  return open(tools.crypto, { cipher: state.suite.encryption, key: state.keys.cipher, iv: state.iv }, header, bytes);
}

/** Seals a message of the proof phase with the IV of the state. */
export const sealProof = (
  tools: Tools,
  keyed: Keyed,
  payloads: readonly Payload[],
): { readonly bytes: Uint8Array; readonly iv: Uint8Array } =>
  seal(
    tools.crypto,
    { cipher: keyed.suite.encryption, key: keyed.keys.cipher, iv: keyed.iv },
    mainMode(keyed.cookieI, keyed.cookieR),
    payloads,
  );

/** HASH_I or HASH_R over that side's identity; `more` is what Kerberos adds, `hash` the prf where the method has its own. */
export const sideHash = (
  tools: Tools,
  keyed: Keyed,
  side: Role,
  idBody: Uint8Array,
  more: readonly Uint8Array[] = [],
  hash: HashAlgorithm = keyed.suite.hash,
): Uint8Array => {
  const initiator = side === "initiator";
  return phase1Hash(
    tools.crypto,
    hash,
    keyed.skeyid,
    {
      ownPublic: initiator ? keyed.publicI : keyed.publicR,
      peerPublic: initiator ? keyed.publicR : keyed.publicI,
      ownCookie: initiator ? keyed.cookieI : keyed.cookieR,
      peerCookie: initiator ? keyed.cookieR : keyed.cookieI,
      saBody: keyed.saBody,
      ownIdBody: idBody,
    },
    more,
  );
};

/** The identity that an ID payload claims, where phase 1 may say it (RFC 2407 §4.6.2). */
export function claimedIdentity(id: PayloadOf<"id">): Result<Identity, IkeError> {
  const fault = phase1IdFault(id.value);
  return fault === undefined ? ok(identityOf(id.value)) : err({ kind: "id-mismatch", what: fault });
}

/** What notifies under encryption say, on top of what was heard before. */
export const hear = (heard: Heard, notifies: readonly PayloadOf<"notify">[]): Heard => ({
  contact: heard.contact || hasNotify(notifies, NOTIFY["INITIAL-CONTACT"]),
  seconds: readResponderLifetime(notifies)?.seconds ?? heard.seconds,
});

/** INITIAL-CONTACT, where it is surely true (RFC 2407 §4.6.3.3). */
export const greeting = ({ cookieI, cookieR }: Keyed, greet: boolean): readonly Payload[] =>
  greet ? [initialContact(cookieI, cookieR)] : [];

/** min(ours, offered); the notify says so where ours is the shorter one (RFC 2407 §4.6.3.1). */
export function responderLife(
  { offeredSeconds, cookieI, cookieR }: KeAnswered,
  rule: Rule,
): { readonly seconds: number; readonly notify: readonly Payload[] } {
  const ours = rule.mainMode.lifetimeSeconds;
  const shorter = offeredSeconds === null || ours < offeredSeconds;
  return { seconds: Math.min(ours, offeredSeconds ?? ours), notify: shorter ? [responderLifetime(cookieI, cookieR, ours)] : [] };
}

/** Main Mode's result at the initiator. */
export function initiatorsSa(keyed: Keyed, found: Found, peerId: Identity, ownId: Identity): Established {
  const seconds = Math.min(found.rule.mainMode.lifetimeSeconds, keyed.heard.seconds ?? Number.POSITIVE_INFINITY);
  // Only an initiator makes initial contact.
  return establishedSa({ ...keyed, heard: { ...keyed.heard, contact: false } }, found, peerId, ownId, seconds);
}

/** Main Mode's result at the responder. */
export const respondersSa = (keyed: Keyed, found: Found, peerId: Identity, ownId: Identity, seconds: number): Established =>
  establishedSa(keyed, found, peerId, ownId, seconds);

function establishedSa(keyed: Keyed, found: Found, peerId: Identity, ownId: Identity, lifetimeSeconds: number): Established {
  const { path, cookieI, cookieR, suite, keys, iv, peer, nat, heard } = keyed;
  const { rule, proof, warning } = found;
  return {
    kind: "established",
    path,
    cookieI,
    cookieR,
    rule,
    proof,
    suite,
    keys,
    lastBlock: copyOf(iv),
    ownId,
    peerId,
    lifetimeSeconds,
    peer,
    nat,
    initialContact: heard.contact,
    warning,
  };
}

function checkKeyProof(
  tools: Tools,
  state: Keyed & { readonly auth: PskChoice },
  message: Message,
  peer: Role,
): Result<{ readonly keyed: Keyed; readonly peerId: Identity }, IkeError> {
  const initiator = peer === "initiator";
  const mismatch = (what: string): Result<never, IkeError> =>
    err({ kind: "psk-mismatch", what: `probable PSK mismatch: ${what} (key of rule ${state.auth.rule.name})` });
  const opened = openProof(tools, state, message);
  if (!opened.ok) return mismatch(`message ${initiator ? 5 : 6} ${opened.error.what}`);
  const got = match(initiator ? MAIN_MODE.m5 : MAIN_MODE.m6, opened.value.payloads);
  if (!got.ok) return mismatch(got.error.what);
  const { id, hash, notify } = got.value;
  if (!sameDigest(sideHash(tools, state, peer, id.raw), hash.value.data))
    return err({ kind: "bad-hash", what: `the peer's HASH_${initiator ? "I" : "R"} is wrong` });
  const peerId = claimedIdentity(id);
  if (!peerId.ok) return peerId;
  return ok({ keyed: { ...state, iv: opened.value.iv, heard: hear(state.heard, notify) }, peerId: peerId.value });
}
