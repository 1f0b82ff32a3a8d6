/**
 * Main Mode, RFC 2409 §5: the table of its messages, the states of both roles, and the steps between them.
 * A step computes a new state or an error; nothing changes where it fails, so a forged message can't end a negotiation.
 */

import { choosePsk, hasKey, type PskChoice, ruleForIdentity } from "../auth/psk.ts";
import { encodeMessage, type Header } from "../isakmp/message.ts";
import { AUTH_METHOD, EXCHANGE, NOTIFY } from "../isakmp/numbers.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { identityOf, idPayloadValue, phase1IdFault } from "../policy/identity.ts";
import type { Identity, Rule } from "../policy/types.ts";
import { sameDigest } from "./crypto/compare.ts";
import type { Crypto, Random } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import { open, seal } from "./envelope.ts";
import type { IkeError } from "./errors.ts";
import { flight, match, OPEN, SEALED } from "./flight.ts";
import type { Path } from "./input.ts";
import { cipherKey, deriveSkeyids, phase1Iv, skeyidPsk } from "./keys.ts";
import type { AuthSent, Established, KeAnswered, KeSent, Keyed, Phase1Keys, SaAnswered, SaSent } from "./main-mode-states.ts";
import { allowsSuite, chooseIke, configuredProposals, ikeDifference, offerIke, verifyIkeAnswer } from "./negotiate-ike.ts";
import { hasNotify, initialContact, readResponderLifetime, responderLifetime } from "./notifies.ts";
import { phase1Hash } from "./proof.ts";
import { addTraits, ownVendorIds, traitsOf } from "./vendor.ts";

/** RFC 2409 §5, one row per message. */
export const MAIN_MODE = {
  m1: flight("initiator", OPEN, { sa: "one", vid: "many" }),
  m2: flight("responder", OPEN, { sa: "one", vid: "many" }),
  m3: flight("initiator", OPEN, { ke: "one", nonce: "one", vid: "many" }),
  m4: flight("responder", OPEN, { ke: "one", nonce: "one", vid: "many" }),
  m5: flight("initiator", SEALED, { id: "one", hash: "one", notify: "many" }),
  m6: flight("responder", SEALED, { id: "one", hash: "one", notify: "many" }),
} as const;

/** Octets of our nonces; RFC 2409 §5 allows 8 to 256. */
const NONCE_OCTETS = 32;

/** What the steps need besides their state. */
export interface Tools {
  readonly crypto: Crypto;
  readonly random: Random;
}

/** A step's outcome: the next state and the message that goes with it. `spent` is wiped after commit. */
export interface Stepped<S> {
  readonly next: S;
  readonly send: Uint8Array | null;
  readonly spent: readonly Secret[];
}

const mainMode = (cookieI: Uint8Array, cookieR: Uint8Array) => ({
  initiatorCookie: cookieI,
  responderCookie: cookieR,
  exchange: EXCHANGE["Identity Protection"],
  messageId: 0,
});
const NO_COOKIE = new Uint8Array(8);

// Initiator

/** Message 1: our offer. */
export function offer(tools: Tools, path: Path, rule: Rule, psk: PskChoice, cookieI: Uint8Array): Stepped<SaSent> {
  const offered = offerIke(rule.mainMode.proposals, [AUTH_METHOD["Pre-shared key"]], rule.mainMode.lifetimeSeconds);
  const sa = payload("sa", offered);
  const send = encodeMessage({ ...mainMode(cookieI, NO_COOKIE), flags: 0 }, [sa, ...ownVendorIds(tools.crypto)]);
  return { next: { kind: "sa-sent", path, cookieI, saBody: sa.raw, rule, psk, offered }, send, spent: [] };
}

/** Message 2 came: the answer must be in our offer; message 3 brings our public value. */
export function onAnswer(tools: Tools, state: SaSent, header: Header, payloads: readonly Payload[]): Result<Stepped<KeSent>, IkeError> {
  const got = match(MAIN_MODE.m2, payloads);
  if (!got.ok) return got;
  if (isZero(header.responderCookie)) return err({ kind: "payloads", what: "message 2 without a responder cookie" });
  const answer = verifyIkeAnswer(state.offered, got.value.sa.value);
  if (!answer.ok) return answer;
  const pair = tools.crypto.generateKeyPair(answer.value.suite.group, tools.random);
  const nonce = tools.random(NONCE_OCTETS);
  const cookieR = Uint8Array.from(header.responderCookie);
  const send = encodeMessage({ ...mainMode(state.cookieI, cookieR), flags: 0 }, [
    payload("ke", { data: pair.publicValue }),
    payload("nonce", { data: nonce }),
  ]);
  const { path, cookieI, saBody, rule, psk } = state;
  return ok({
    next: {
      kind: "ke-sent",
      path,
      cookieI,
      saBody,
      rule,
      psk,
      cookieR,
      suite: answer.value.suite,
      pair,
      nonce,
      peer: traitsOf(got.value.vid),
    },
    send,
    spent: [],
  });
}

/** Message 4 came: keys exist; message 5 proves us. `greet`: say INITIAL-CONTACT (RFC 2407 §4.6.3.3). */
export function onPublicValue(
  tools: Tools,
  state: KeSent,
  payloads: readonly Payload[],
  greet: boolean,
): Result<Stepped<AuthSent>, IkeError> {
  const got = match(MAIN_MODE.m4, payloads);
  if (!got.ok) return got;
  const nonceR = got.value.nonce.value.data;
  const bad = badNonce(nonceR);
  if (bad) return err(bad);
  const [publicI, publicR] = [state.pair.publicValue, Uint8Array.from(got.value.ke.value.data)];
  const keyed = agree(tools, state, state.pair.privateKey, publicR, state.nonce, nonceR);
  if (!keyed.ok) return keyed;
  const iv = phase1Iv(tools.crypto, state.suite, publicI, publicR);
  const ownId: Identity = state.psk.entry.localId ?? { type: "ip", address: state.path.local.address };
  const id = payload("id", idPayloadValue(ownId));
  const hash = phase1Hash(tools.crypto, state.suite.hash, keyed.value.skeyid, {
    ownPublic: publicI,
    peerPublic: publicR,
    ownCookie: state.cookieI,
    peerCookie: state.cookieR,
    saBody: state.saBody,
    ownIdBody: id.raw,
  });
  const payloads5: Payload[] = [id, payload("hash", { data: hash }), ...(greet ? [initialContact(state.cookieI, state.cookieR)] : [])];
  const sealed = seal(
    tools.crypto,
    { cipher: state.suite.encryption, key: keyed.value.keys.cipher, iv },
    mainMode(state.cookieI, state.cookieR),
    payloads5,
  );
  const { path, cookieI, cookieR, saBody, rule, psk, suite, peer } = state;
  const next: AuthSent = {
    kind: "auth-sent",
    path,
    cookieI,
    cookieR,
    saBody,
    rule,
    psk,
    suite,
    publicI,
    publicR,
    ...keyed.value,
    iv: sealed.iv,
    peer: addTraits(peer, got.value.vid),
    ownId,
  };
  return ok({ next, send: sealed.bytes, spent: [state.pair.privateKey] });
}

/** Message 6 came: the peer proved itself, or not. */
export function onProof(tools: Tools, state: AuthSent, header: Header, bytes: Uint8Array): Result<Stepped<Established>, IkeError> {
  const proved = checkProof(tools, state, header, bytes, "responder");
  if (!proved.ok) return proved;
  const { got, iv, peerId } = proved.value;
  const found = ruleForIdentity([state.rule], state.psk, peerId, state.path.remote.address);
  if (!found.ok) return found;
  const announced = readResponderLifetime(got.notify)?.seconds ?? null;
  const { path, cookieI, cookieR, rule, suite, keys, peer, ownId } = state;
  const lifetimeSeconds = Math.min(rule.mainMode.lifetimeSeconds, announced ?? Number.POSITIVE_INFINITY);
  const next: Established = {
    kind: "established",
    path,
    cookieI,
    cookieR,
    rule,
    proof: state.psk,
    suite,
    keys,
    lastBlock: iv,
    ownId,
    peerId,
    lifetimeSeconds,
    peer,
    initialContact: false,
    warning: found.value.warning,
  };
  return ok({ next, send: null, spent: [state.skeyid] });
}

// Responder

/** Message 1 came: the first offer that one of the candidate rules allows. */
export function onOffer(
  tools: Tools,
  path: Path,
  candidates: readonly Rule[],
  header: Header,
  payloads: readonly Payload[],
): Result<Stepped<SaAnswered>, IkeError> {
  const got = match(MAIN_MODE.m1, payloads);
  if (!got.ok) return got;
  const psk = choosePsk(candidates);
  if (!psk) return err({ kind: "no-rule", what: "no rule for this peer has a pre-shared key" });
  // The address alone decides on the key: algorithms must not lead to that of a wider rule.
  const sharing = candidates.filter((rule) => hasKey(rule, psk));
  const chosen = chooseIke(got.value.sa.value, (theirs) => {
    if (theirs.method !== AUTH_METHOD["Pre-shared key"]) return () => "this authentication method is not configured";
    return sharing.some((rule) => allowsSuite(rule, theirs.suite)) ? undefined : () => ikeDifference(theirs.suite, sharing);
  });
  if (!chosen.ok) return err({ ...chosen.error, what: `${chosen.error.what}; ${configuredProposals(sharing)}` });
  const { offer: theirs, answer } = chosen.value;
  const rules = sharing.filter((rule) => allowsSuite(rule, theirs.suite));
  const [cookieI, cookieR] = [Uint8Array.from(header.initiatorCookie), tools.random(8)];
  const send = encodeMessage({ ...mainMode(cookieI, cookieR), flags: 0 }, [payload("sa", answer), ...ownVendorIds(tools.crypto)]);
  const saBody = Uint8Array.from(got.value.sa.raw);
  return ok({
    next: {
      kind: "sa-answered",
      path,
      cookieI,
      cookieR,
      saBody,
      candidates: rules,
      psk,
      suite: theirs.suite,
      offeredSeconds: theirs.lifetimeSeconds,
      peer: traitsOf(got.value.vid),
    },
    send,
    spent: [],
  });
}

/** Message 3 came: our public value, and the keys. Nothing before this costs an exponentiation. */
export function onKeyExchange(tools: Tools, state: SaAnswered, payloads: readonly Payload[]): Result<Stepped<KeAnswered>, IkeError> {
  const got = match(MAIN_MODE.m3, payloads);
  if (!got.ok) return got;
  const nonceI = got.value.nonce.value.data;
  const bad = badNonce(nonceI);
  if (bad) return err(bad);
  const { group } = state.suite;
  // Before we pay for a key pair.
  if (got.value.ke.raw.length !== group.publicOctets) return err(badValue(`has ${got.value.ke.raw.length} octets`));
  const pair = tools.crypto.generateKeyPair(group, tools.random);
  const [publicI, publicR] = [Uint8Array.from(got.value.ke.value.data), pair.publicValue];
  const nonceR = tools.random(NONCE_OCTETS);
  const keyed = agree(tools, state, pair.privateKey, publicI, nonceI, nonceR);
  pair.privateKey.destroy();
  if (!keyed.ok) return keyed;
  const iv = phase1Iv(tools.crypto, state.suite, publicI, publicR);
  const send = encodeMessage({ ...mainMode(state.cookieI, state.cookieR), flags: 0 }, [
    payload("ke", { data: publicR }),
    payload("nonce", { data: nonceR }),
  ]);
  const { path, cookieI, cookieR, saBody, candidates, psk, suite, offeredSeconds, peer } = state;
  return ok({
    next: {
      kind: "ke-answered",
      path,
      cookieI,
      cookieR,
      saBody,
      candidates,
      psk,
      suite,
      offeredSeconds,
      publicI,
      publicR,
      ...keyed.value,
      iv,
      peer: addTraits(peer, got.value.vid),
    },
    send,
    spent: [],
  });
}

/** Message 5 came: who is it, which rule is that, and message 6 proves us. */
export function onInitiatorProof(
  tools: Tools,
  state: KeAnswered,
  header: Header,
  bytes: Uint8Array,
): Result<Stepped<Established>, IkeError> {
  const proved = checkProof(tools, state, header, bytes, "initiator");
  if (!proved.ok) return proved;
  const { got, iv, peerId } = proved.value;
  const found = ruleForIdentity(state.candidates, state.psk, peerId, state.path.remote.address);
  if (!found.ok) return found;
  const { rule, proof, warning } = found.value;
  const ownId: Identity = proof.entry.localId ?? { type: "ip", address: state.path.local.address };
  const id = payload("id", idPayloadValue(ownId));
  const hash = phase1Hash(tools.crypto, state.suite.hash, state.skeyid, {
    ownPublic: state.publicR,
    peerPublic: state.publicI,
    ownCookie: state.cookieR,
    peerCookie: state.cookieI,
    saBody: state.saBody,
    ownIdBody: id.raw,
  });
  const ours = rule.mainMode.lifetimeSeconds;
  const shorter = state.offeredSeconds === null || ours < state.offeredSeconds;
  const payloads6: Payload[] = [
    id,
    payload("hash", { data: hash }),
    ...(shorter ? [responderLifetime(state.cookieI, state.cookieR, ours)] : []),
  ];
  const sealed = seal(
    tools.crypto,
    { cipher: state.suite.encryption, key: state.keys.cipher, iv },
    mainMode(state.cookieI, state.cookieR),
    payloads6,
  );
  const { path, cookieI, cookieR, suite, keys, peer } = state;
  const lifetimeSeconds = Math.min(ours, state.offeredSeconds ?? ours);
  const contact = hasNotify(got.notify, NOTIFY["INITIAL-CONTACT"]);
  const next: Established = {
    kind: "established",
    path,
    cookieI,
    cookieR,
    rule,
    proof,
    suite,
    keys,
    lastBlock: Uint8Array.from(sealed.iv),
    ownId,
    peerId,
    lifetimeSeconds,
    peer,
    initialContact: contact,
    warning,
  };
  return ok({ next, send: sealed.bytes, spent: [state.skeyid] });
}

/** g^xy, SKEYID and its family, RFC 2409 §5. */
function agree(
  tools: Tools,
  state: KeSent | SaAnswered,
  own: Secret,
  peerPublic: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
): Result<{ skeyid: Secret; keys: Phase1Keys }, IkeError> {
  const { crypto } = tools;
  const gxy = crypto.agree(state.suite.group, own, peerPublic);
  if (!gxy.ok) return err(badValue(gxy.error.what));
  const skeyid = skeyidPsk(crypto, state.suite.hash, state.psk.entry.secret, ni, nr);
  const skeyids = deriveSkeyids(crypto, state.suite.hash, skeyid, gxy.value, state.cookieI, state.cookieR);
  const cipher = cipherKey(crypto, state.suite, skeyids.e);
  gxy.value.destroy();
  return ok({ skeyid, keys: { ...skeyids, cipher } });
}

const badValue = (what: string): IkeError => ({ kind: "bad-key", what: `the peer's public value is refused: ${what}` });

/** Opens message 5 or 6 and compares the peer's hash. What doesn't decrypt was most likely made with another key. */
function checkProof(tools: Tools, state: Keyed, header: Header, bytes: Uint8Array, peer: "initiator" | "responder") {
  const opened = open(tools.crypto, { cipher: state.suite.encryption, key: state.keys.cipher, iv: state.iv }, header, bytes);
  if (!opened.ok)
    return err<IkeError>({
      kind: "psk-mismatch",
      what: `probable PSK mismatch: message ${peer === "initiator" ? 5 : 6} ${opened.error.what} (key of rule ${state.psk.rule.name})`,
    });
  const got = match(peer === "initiator" ? MAIN_MODE.m5 : MAIN_MODE.m6, opened.value.payloads);
  if (!got.ok)
    return err<IkeError>({ kind: "psk-mismatch", what: `probable PSK mismatch: ${got.error.what} (key of rule ${state.psk.rule.name})` });
  const fromInitiator = peer === "initiator";
  const expected = phase1Hash(tools.crypto, state.suite.hash, state.skeyid, {
    ownPublic: fromInitiator ? state.publicI : state.publicR,
    peerPublic: fromInitiator ? state.publicR : state.publicI,
    ownCookie: fromInitiator ? state.cookieI : state.cookieR,
    peerCookie: fromInitiator ? state.cookieR : state.cookieI,
    saBody: state.saBody,
    ownIdBody: got.value.id.raw,
  });
  if (!sameDigest(expected, got.value.hash.value.data))
    return err<IkeError>({ kind: "bad-hash", what: `the peer's HASH_${fromInitiator ? "I" : "R"} is wrong` });
  const fault = phase1IdFault(got.value.id.value);
  if (fault !== undefined) return err<IkeError>({ kind: "id-mismatch", what: fault });
  return ok({ got: got.value, iv: opened.value.iv, peerId: identityOf(got.value.id.value) });
}

/** What is wrong with the length of a peer's nonce, if anything (RFC 2409 §5). */
export function badNonce(nonce: Uint8Array): IkeError | undefined {
  return nonce.length < 8 || nonce.length > 256
    ? { kind: "payloads", what: `a nonce of ${nonce.length} octets (RFC 2409 §5 allows 8 to 256)` }
    : undefined;
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((b) => b === 0);
