/**
 * Kerberos in Main Mode (draft-ietf-ipsec-isakmp-gss-auth-07 §3): tokens in messages 3 and 4, wrapped hashes in 5 and 6. A side sends tokens as
 * long as its GSS library has some, then its hash; Main Mode ends when each side has sent one and seen a right one. With Kerberos that takes
 * one round; the table allows three. Invariant: every token and every wrapped hash passes through the library once, whatever is repeated.
 */
import { ownIdentity } from "../auth/choice.ts";
import {
  type GssRecord,
  type GssSide,
  hashedParts,
  MOST_TOKENS,
  ownNameForm,
  peerNameForms,
  readToken,
  ticketTarget,
  tokenPayload,
} from "../auth/gss.ts";
import type { GssSteppedOutcome } from "../auth/method.ts";
import { type Found, principalFault, ruleForPrincipal, wantsNames } from "../auth/proof.ts";
import { type Payload, type PayloadOf, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { identityOf, idPayloadValue } from "../policy/identity.ts";
import type { Identity, Rule } from "../policy/types.ts";
import { sameDigest } from "./crypto/compare.ts";
import type { IkeError } from "./errors.ts";
import { match, type Role } from "./flight.ts";
import {
  claimedIdentity,
  greeting,
  hear,
  initiatorsSa,
  openProof,
  responderLife,
  respondersSa,
  sealProof,
  sideHash,
} from "./main-mode-proof.ts";
import type {
  AuthSent,
  Established,
  KeAnswered,
  KerberosAuth,
  KeSent,
  Keyed,
  OpenState,
  Stepping,
  Unwrapping,
  Wrapping,
} from "./main-mode-states.ts";
import { type Asking, MAIN_MODE_KERBEROS, type Message, type Stepped, type Tools } from "./main-mode-table.ts";

type GssKeyed = Keyed & { readonly auth: KerberosAuth };
type Before = KeSent | AuthSent | KeAnswered;
type Turned = Result<Stepped<OpenState | Established> | Asking<Wrapping>, IkeError>;

/** A payload 129 of the peer's: its token, taken into the record. Cheap refusals first: what is no token never reaches the library. */
export function hearToken(
  auth: KerberosAuth,
  body: PayloadOf<"gss">,
): Result<{ readonly auth: KerberosAuth; readonly token: Uint8Array }, IkeError> {
  const read = readToken(auth.entry, body.value.data);
  if (!read) return err({ kind: "payloads", what: `payload 129 holds no GSS token (${body.value.data.length} octets)` });
  const { gss } = auth;
  if (gss.peer.tokens.length >= MOST_TOKENS) return err({ kind: "payloads", what: `more than ${MOST_TOKENS} GSS tokens` });
  const peer: GssSide = { ...gss.peer, tokens: [...gss.peer.tokens, read.hashed] };
  return ok({ auth: { ...auth, gss: { ...gss, peer } }, token: read.token });
}

/** A token of ours: the payload that carries it, and the record that knows it. */
export function speakToken(
  auth: KerberosAuth,
  windows: boolean,
  token: Uint8Array,
): { readonly auth: KerberosAuth; readonly gss: Payload } {
  const { body, hashed } = tokenPayload(auth.entry, windows, token);
  const own: GssSide = { ...auth.gss.own, tokens: [...auth.gss.own.tokens, hashed] };
  return { auth: { ...auth, gss: { ...auth.gss, own } }, gss: payload("gss", { data: body }) };
}

/** What the library said, noted. Error: whom the ticket proves is not whom these rules want. */
export function noteStep(auth: KerberosAuth, rules: readonly Rule[], stepped: GssSteppedOutcome): Result<KerberosAuth, IkeError> {
  const { peer } = stepped;
  const fault = peer && principalFault(rules, auth.entry, peer);
  if (fault) return err(fault);
  if (stepped.complete && !peer) return err({ kind: "bad-hash", what: "Kerberos did not say who the peer is" });
  return ok({ ...auth, gss: { ...auth.gss, complete: stepped.complete, principal: peer ?? auth.gss.principal } });
}

/** Message 4 came, and keys exist: its token goes to the library. */
export function stepProof(
  before: KeSent,
  keyed: Keyed,
  auth: KerberosAuth,
  body: PayloadOf<"gss">,
  greet: boolean,
): Result<Asking, IkeError> {
  const heard = hearToken(auth, body);
  if (!heard.ok) return heard;
  return ok(askStep(before, { ...keyed, auth: heard.value.auth }, heard.value.token, greet));
}

/** A message of round 5/6 or later came: a token, or the wrapped hash. */
export function onGssMessage(
  tools: Tools,
  before: (AuthSent | KeAnswered) & { readonly auth: KerberosAuth },
  message: Message,
): Result<Asking, IkeError> {
  const opened = openProof(tools, before, message);
  if (!opened.ok) return opened;
  const fromInitiator = before.kind === "ke-answered";
  const got = match(fromInitiator ? MAIN_MODE_KERBEROS.m5 : MAIN_MODE_KERBEROS.m6, opened.value.payloads);
  if (!got.ok) return got;
  const { id, hash, gss: body, notify } = got.value;
  const named = hearIdentity(before.auth, id);
  if (!named.ok) return named;
  const keyed: GssKeyed = { ...before, iv: opened.value.iv, heard: hear(before.heard, notify), auth: named.value };
  if ((hash === undefined) === (body === undefined))
    return err({ kind: "payloads", what: "neither a HASH nor a GSS token, or both; one of them is needed" });
  if (hash) return askUnwrap(tools, before, keyed, hash.value.data, fromInitiator ? "initiator" : "responder");
  const heard = hearToken(keyed.auth, body as PayloadOf<"gss">);
  if (!heard.ok) return heard;
  if (keyed.auth.gss.complete) return err({ kind: "payloads", what: "a GSS token after the context was complete" });
  return ok(askStep(before, { ...keyed, auth: heard.value.auth }, heard.value.token, false));
}

/** The library took the peer's token. */
export function onStepped(tools: Tools, { before, keyed, greet }: Stepping, stepped: GssSteppedOutcome): Turned {
  const noted = noteStep(keyed.auth, "candidates" in before ? before.candidates : [keyed.auth.rule], stepped);
  if (!noted.ok) return noted;
  return turn(tools, before, { ...keyed, auth: noted.value }, greet, stepped.token, null);
}

/** The peer's hash is unwrapped: it is one of those expected, or the peer is not who the ticket says. */
export function onUnwrapped(tools: Tools, { before, keyed, expected }: Unwrapping, data: Uint8Array): Turned {
  // Both forms are compared whatever the first one says.
  const right = expected.map((one) => sameDigest(one, data)).some((same) => same);
  if (!right) return err({ kind: "bad-hash", what: `the peer's HASH_${before.kind === "ke-answered" ? "I" : "R"} is wrong` });
  const { auth } = keyed;
  const peerId = peerIdentity(auth.gss);
  const candidates = before.kind === "ke-answered" ? before.candidates : [auth.rule];
  const { principal } = auth.gss;
  if (!principal) return err({ kind: "payloads", what: "a HASH before the context was complete" });
  const found = ruleForPrincipal(candidates, auth, principal, peerId, keyed.path.remote.address);
  if (!found.ok) return found;
  const proved: GssRecord = { ...auth.gss, peer: { ...auth.gss.peer, proved: true } };
  return turn(tools, before, { ...keyed, auth: { ...auth, gss: proved } }, false, null, found.value);
}

/** Our hash is wrapped: it goes out, once; repeats get the same octets. */
export function onWrapped(tools: Tools, { before, keyed, greet, found }: Wrapping, data: Uint8Array): Turned {
  const own: GssSide = { ...keyed.auth.gss.own, proved: true };
  const proven: GssKeyed = { ...keyed, auth: { ...keyed.auth, gss: { ...keyed.auth.gss, own } } };
  return speak(tools, before, proven, payload("hash", { data }), greet, found);
}

/** Our turn: a token, where the library has one; else the hash; else nothing is left to say. */
function turn(tools: Tools, before: Before, keyed: GssKeyed, greet: boolean, token: Uint8Array | null, found: Found | null): Turned {
  const { gss, entry } = keyed.auth;
  if (token) {
    if (gss.own.tokens.length >= MOST_TOKENS) return err({ kind: "payloads", what: `Kerberos needs more than ${MOST_TOKENS} rounds` });
    const spoken = speakToken(keyed.auth, keyed.peer.windows, token);
    return speak(tools, before, { ...keyed, auth: spoken.auth }, spoken.gss, greet, found);
  }
  if (gss.own.proved)
    return found ? ok(finished(before, keyed, found, null)) : err({ kind: "payloads", what: "a token where a HASH was due" });
  if (!gss.complete) return err({ kind: "payloads", what: "Kerberos has nothing more to say and is not done" });
  const id = ownIdPayload(keyed, found);
  const side: Role = before.kind === "ke-answered" ? "responder" : "initiator";
  const inner = sideHash(tools, keyed, side, id.raw, hashedParts(gss.own, ownNameForm(entry, keyed.peer.windows)));
  return ok({ next: { kind: "wrapping", before, keyed, greet, found }, job: { kind: "gss-wrap", context: gss.context, data: inner } });
}

/** Seals one message of ours, with our identity where it was not given yet. */
function speak(tools: Tools, before: Before, keyed: GssKeyed, content: Payload, greet: boolean, found: Found | null): Turned {
  const { gss } = keyed.auth;
  const id = ownIdPayload(keyed, found);
  const first = gss.own.idBody === null;
  const life = before.kind === "ke-answered" && found ? responderLife(before, found.rule).notify : [];
  const sealed = sealProof(tools, keyed, [...(first ? [id] : []), content, ...greeting(keyed, greet), ...life]);
  const own: GssSide = { ...gss.own, idBody: id.raw };
  const spoken: GssKeyed = { ...keyed, iv: sealed.iv, auth: { ...keyed.auth, gss: { ...gss, own } } };
  if (found && own.proved) return ok(finished(before, spoken, found, sealed.bytes));
  const spent = before.kind === "ke-sent" ? [before.pair.privateKey] : [];
  if (before.kind !== "ke-answered") {
    const next: AuthSent = { ...spoken, kind: "auth-sent", ownId: identityOf(id.value) };
    return ok({ next, send: sealed.bytes, spent });
  }
  const { candidates, offeredSeconds } = before;
  return ok({ next: { ...spoken, kind: "ke-answered", candidates, offeredSeconds }, send: sealed.bytes, spent });
}

function finished(before: Before, keyed: GssKeyed, found: Found, send: Uint8Array | null): Stepped<Established> {
  const peerId = peerIdentity(keyed.auth.gss);
  const ownId = identityOf(ownIdPayload(keyed, found).value);
  const spent = [keyed.skeyid, ...(before.kind === "ke-sent" ? [before.pair.privateKey] : [])];
  if (before.kind !== "ke-answered") return { next: initiatorsSa(keyed, found, peerId, ownId), send, spent };
  return { next: respondersSa(keyed, found, peerId, ownId, responderLife(before, found.rule).seconds), send, spent };
}

function askStep(before: Before, keyed: GssKeyed, token: Uint8Array, greet: boolean): Asking<Stepping> {
  const { entry, gss } = keyed.auth;
  const initiating = before.kind !== "ke-answered";
  // The same as for the first token, without which there is no second.
  const target = initiating ? ticketTarget(entry, gss.peer.name) : null;
  return {
    next: { kind: "stepping", before, keyed, greet },
    job: {
      kind: "gss-step",
      context: gss.context,
      role: initiating ? "initiate" : "accept",
      entry,
      target: target?.ok ? target.value : null,
      token,
      peerAddress: keyed.path.remote.address,
      wantsNames: wantsNames(initiating ? [keyed.auth.rule] : before.candidates, entry),
    },
  };
}

function askUnwrap(
  tools: Tools,
  before: AuthSent | KeAnswered,
  keyed: GssKeyed,
  wrapped: Uint8Array,
  peer: Role,
): Result<Asking<Unwrapping>, IkeError> {
  const { gss, entry } = keyed.auth;
  if (!gss.complete) return err({ kind: "payloads", what: "a HASH before the context was complete" });
  if (wrapped.length === 0 || wrapped.length > LONGEST_WRAP)
    return err({ kind: "payloads", what: `a wrapped HASH of ${wrapped.length} octets, 1 to ${LONGEST_WRAP} are possible` });
  const { idBody } = gss.peer;
  if (!idBody) return err({ kind: "payloads", what: "no ID payload" });
  const forms = gss.peer.name ? peerNameForms(entry, keyed.peer.windows) : peerNameForms(entry, keyed.peer.windows).slice(0, 1);
  const expected = forms.map((form) => sideHash(tools, keyed, peer, idBody, hashedParts(gss.peer, form)));
  return ok({
    next: { kind: "unwrapping", before, keyed, expected },
    job: { kind: "gss-unwrap", context: gss.context, data: Uint8Array.from(wrapped) },
  });
}

/** A hash of 64 octets with everything that any encryption type puts around it. */
const LONGEST_WRAP = 1024;

/** The peer's ID payload comes once; in later rounds it is omitted, or must be the same (reference §5). */
function hearIdentity(auth: KerberosAuth, id: PayloadOf<"id"> | undefined): Result<KerberosAuth, IkeError> {
  const known = auth.gss.peer.idBody;
  if (!id) return known ? ok(auth) : err({ kind: "payloads", what: "no ID payload" });
  const claimed = claimedIdentity(id);
  if (!claimed.ok) return claimed;
  if (known && !sameDigest(known, id.raw)) return err({ kind: "id-mismatch", what: "the peer changed its identity" });
  return ok({ ...auth, gss: { ...auth.gss, peer: { ...auth.gss.peer, idBody: Uint8Array.from(id.raw) } } });
}

/** What the peer's ID payload says: type, protocol and port, then the data (RFC 2407 §4.6.2). */
function peerIdentity({ peer: { idBody } }: GssRecord): Identity {
  const body = idBody ?? new Uint8Array(4);
  return identityOf({ type: body[0] ?? 0, data: body.subarray(4) });
}

/** Our ID payload: that of the rule that the peer belongs to, where that is known in time. */
function ownIdPayload(keyed: GssKeyed, found: Found | null): PayloadOf<"id"> {
  const { gss, entry } = keyed.auth;
  if (gss.own.idBody) {
    const body = gss.own.idBody;
    return payload("id", { type: body[0] ?? 0, protocol: 0, port: 0, data: body.subarray(4) });
  }
  return payload("id", idPayloadValue(ownIdentity(found?.proof.entry ?? entry, keyed.path.local.address)));
}
