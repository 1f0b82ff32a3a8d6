/**
 * Main Mode, RFC 2409 §5, up to message 4: offers, public values, keys. What comes after depends on the method and has files of its own.
 * A step computes a new state or an error; nothing changes where it fails, so a forged message can't end a negotiation.
 */

import { type AuthChoice, methodNumber, signatureMethod } from "../auth/choice.ts";
import { freshRecord, nameAttribute, ownName, readName, ticketTarget } from "../auth/gss.ts";
import type { GssSteppedOutcome } from "../auth/method.ts";
import { wantsNames } from "../auth/proof.ts";
import { encodeMessage, type Header } from "../isakmp/message.ts";
import { copyOf } from "../isakmp/octets.ts";
import { type Payload, type PayloadOf, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Rule } from "../policy/types.ts";
import type { Secret } from "./crypto/secret.ts";
import type { IkeSuite } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { match } from "./flight.ts";
import type { Path } from "./input.ts";
import { cipherKey, deriveSkeyids, phase1Iv, skeyidPsk, skeyidSignature } from "./keys.ts";
import { hearToken, noteStep, speakToken, stepProof } from "./main-mode-kerberos.ts";
import { sendKeyProof } from "./main-mode-proof.ts";
import { certificateRequests, claimsOf, hearRequests, NOTHING_ASKED, signProof } from "./main-mode-signatures.ts";
import type {
  Accepting,
  Auth,
  AuthSent,
  KeAnswered,
  KerberosAuth,
  KeSent,
  Keyed,
  Phase1Keys,
  SaAnswered,
  SaSent,
  Ticketing,
} from "./main-mode-states.ts";
import { type Asking, MAIN_MODE, MAIN_MODE_KERBEROS, mainMode, NONCE_OCTETS, type Stepped, type Tools } from "./main-mode-table.ts";
import { announcedDialects, detectNat, type NatEnds, type NatState, natDetection, natEnds, numbersOf } from "./nat.ts";
import { type IkeOffer, ikeOfferName, offerIke, verifyIkeAnswer } from "./negotiate-ike.ts";
import { addTraits, ownVendorIds, type PeerTraits, traitsOf } from "./vendor.ts";

const NO_COOKIE = new Uint8Array(8);

// Initiator

/** Message 1: our offer, one transform for each method and suite. `choices` is not empty. `contact`: the peer knows nothing older of us. */
export function offer(
  tools: Tools,
  path: Path,
  rule: Rule,
  choices: readonly AuthChoice[],
  cookieI: Uint8Array,
  contact: boolean,
): Stepped<SaSent> {
  const methods = choices.map(({ entry }) => ({
    number: methodNumber(entry),
    attributes: entry.method === "kerberos" ? [nameAttribute(ownName(entry))] : [],
  }));
  const offered = offerIke(rule.mainMode.proposals, methods, rule.mainMode.lifetimeSeconds);
  const sa = payload("sa", offered);
  const vids = ownVendorIds(tools.crypto, {
    gss: choices.some(({ method }) => method === "kerberos"),
    fragments: rule.fragmentation !== "off",
    contact,
    nat: announcedDialects([rule]),
  });
  const send = encodeMessage(mainMode(cookieI, NO_COOKIE), [sa, ...vids]);
  return { next: { kind: "sa-sent", path, cookieI, saBody: sa.raw, rule, choices, offered }, send, spent: [] };
}

/** Message 2 came: the answer must be in our offer. Message 3 brings our public value; with Kerberos a ticket comes first, for `context`. */
export function onAnswer(
  tools: Tools,
  state: SaSent,
  header: Header,
  payloads: readonly Payload[],
  context: string,
): Result<Stepped<KeSent> | Asking<Ticketing>, IkeError> {
  const got = match(MAIN_MODE.m2, payloads);
  if (!got.ok) return got;
  if (header.responderCookie.every((octet) => octet === 0)) return err({ kind: "payloads", what: "message 2 without a responder cookie" });
  const answer = verifyIkeAnswer(state.offered, got.value.sa.value);
  if (!answer.ok) return answer;
  tools.note(() => `the peer took ${ikeOfferName(answer.value)}`);
  const choice = state.choices.find(({ entry }) => methodNumber(entry) === answer.value.method);
  if (!choice) return err({ kind: "not-offered", what: "the peer answered a method that we did not offer" });
  const [cookieR, peer] = [copyOf(header.responderCookie), traitsOf(got.value.vid)];
  const { suite } = answer.value;
  if (choice.method === "kerberos")
    return askTicket(state, { ...choice, gss: namesOf(choice, answer.value, context) }, cookieR, suite, peer);
  const auth: Auth = choice.method === "psk" ? choice : { ...choice, asked: hearRequests(NOTHING_ASKED, got.value.certReq) };
  return ok(exchangeKeys(tools, state, auth, cookieR, suite, peer, null));
}

/** The ticket is here: message 3 carries it. */
export function onTicket(tools: Tools, state: Ticketing, stepped: GssSteppedOutcome): Result<Stepped<KeSent>, IkeError> {
  const { before, cookieR, suite, peer } = state;
  if (!stepped.token || stepped.complete) return err({ kind: "payloads", what: "Kerberos made no token to begin with" });
  const noted = noteStep(state.auth, [before.rule], stepped);
  if (!noted.ok) return noted;
  const spoken = speakToken(noted.value, peer.windows, stepped.token);
  return ok(exchangeKeys(tools, before, spoken.auth, cookieR, suite, peer, spoken.gss));
}

/** Message 4 came: keys exist; message 5 proves us, or has to wait for a signature or for Kerberos. `greet`: say INITIAL-CONTACT. */
export function onPublicValue(
  tools: Tools,
  state: KeSent,
  payloads: readonly Payload[],
  greet: boolean,
): Result<Stepped<AuthSent> | Asking, IkeError> {
  const got = match(MAIN_MODE.m4, payloads);
  if (!got.ok) return got;
  const nonceR = got.value.nonce.value.data;
  const bad = badNonce(nonceR);
  if (bad) return err(bad);
  const token = state.auth.method === "kerberos" ? match(MAIN_MODE_KERBEROS.m4, payloads) : undefined;
  if (token && !token.ok) return token;
  const [publicI, publicR] = [state.pair.publicValue, copyOf(got.value.ke.value.data)];
  const keys = agree(tools, state, state.pair.privateKey, publicR, state.nonce, nonceR);
  if (!keys.ok) return keys;
  const peer = addTraits(state.peer, got.value.vid);
  const nat = natOf(state, peer, state.ends ?? endsOf(tools, state, peer), got.value);
  const shared = agreedBy(tools, state, publicI, publicR, keys.value, peer, nat);
  const { auth } = state;
  if (auth.method === "psk") return ok(sendKeyProof(tools, state, { auth, ...shared }, greet));
  if (auth.method === "x509") {
    const asked = hearRequests(auth.asked, got.value.certReq);
    return ok(signProof(tools, state, { auth: { ...auth, asked }, ...shared }, greet));
  }
  const stepping = stepProof(state, { auth, ...shared }, auth, token?.value.gss as PayloadOf<"gss">, greet);
  if (!stepping.ok) destroyAgreed(keys.value);
  return stepping;
}

// Responder

/** Message 3 came: our public value, and the keys. Nothing before this costs an exponentiation; with Kerberos the ticket must be good first. */
export function onKeyExchange(
  tools: Tools,
  state: SaAnswered,
  payloads: readonly Payload[],
): Result<Stepped<KeAnswered> | Asking<Accepting>, IkeError> {
  const got = match(MAIN_MODE.m3, payloads);
  if (!got.ok) return got;
  const nonceI = copyOf(got.value.nonce.value.data);
  const bad = badNonce(nonceI);
  if (bad) return err(bad);
  const { group } = state.suite;
  // Before we pay for a key pair.
  if (got.value.ke.raw.length !== group.publicOctets) return err(badValue(`has ${got.value.ke.raw.length} octets`));
  const publicI = copyOf(got.value.ke.value.data);
  const peer = addTraits(state.peer, got.value.vid);
  const { auth } = state;
  const ends = endsOf(tools, state, peer);
  const came = { publicI, nonceI, peer, nat: natOf(state, peer, ends, got.value), ends };
  if (auth.method === "psk") return answerKeys(tools, state, auth, came, []);
  if (auth.method === "x509") {
    const heard: Auth = { ...auth, asked: hearRequests(auth.asked, got.value.certReq) };
    const claims = claimsOf(state.candidates, signatureMethod(auth.entry));
    return answerKeys(tools, state, heard, came, certificateRequests(claims.map(({ entry }) => entry)));
  }
  const body = match(MAIN_MODE_KERBEROS.m3, payloads);
  if (!body.ok) return body;
  const heard = hearToken(auth, body.value.gss);
  if (!heard.ok) return heard;
  const next: Accepting = { kind: "accepting", before: state, auth: heard.value.auth, ...came };
  const { entry, gss } = auth;
  const names = { peerAddress: state.path.remote.address, wantsNames: wantsNames(state.candidates, entry) };
  return ok({
    next,
    job: { kind: "gss-step", context: gss.context, role: "accept", entry, target: null, token: heard.value.token, ...names },
  });
}

/** The ticket is good, and its owner welcome: message 4. */
export function onAccepted(
  tools: Tools,
  { before, auth, ...came }: Accepting,
  stepped: GssSteppedOutcome,
): Result<Stepped<KeAnswered>, IkeError> {
  if (!stepped.token) return err({ kind: "payloads", what: "Kerberos made no token to answer with" });
  const noted = noteStep(auth, before.candidates, stepped);
  if (!noted.ok) return noted;
  const spoken = speakToken(noted.value, came.peer.windows, stepped.token);
  return answerKeys(tools, before, spoken.auth, came, [spoken.gss]);
}

const NOTHING_HEARD = { contact: false, seconds: null } as const;

/** The names that both sides gave in attribute 16384; they are hashed if both did. */
function namesOf(choice: Extract<AuthChoice, { method: "kerberos" }>, answer: IkeOffer, context: string): KerberosAuth["gss"] {
  const name = readName(answer.attributes) ?? null;
  return freshRecord(context, name && ownName(choice.entry), name);
}

function askTicket(
  before: SaSent,
  auth: KerberosAuth,
  cookieR: Uint8Array,
  suite: IkeSuite,
  peer: PeerTraits,
): Result<Asking<Ticketing>, IkeError> {
  if (!peer.gss)
    return err({ kind: "not-offered", what: "the peer answered method 65001 without a vendor id of GSS-API: that is XAUTH, not Kerberos" });
  const { entry, gss } = auth;
  const target = ticketTarget(entry, gss.peer.name);
  if (!target.ok) return err({ kind: "payloads", what: target.error });
  return ok({
    next: { kind: "ticketing", before, auth, cookieR, suite, peer },
    job: {
      kind: "gss-step",
      context: gss.context,
      role: "initiate",
      entry,
      target: target.value,
      token: null,
      peerAddress: before.path.remote.address,
      wantsNames: wantsNames([before.rule], entry),
    },
  });
}

function exchangeKeys(
  tools: Tools,
  { path, cookieI, saBody }: SaSent,
  auth: Auth,
  cookieR: Uint8Array,
  suite: IkeSuite,
  peer: PeerTraits,
  token: Payload | null,
): Stepped<KeSent> {
  const pair = tools.crypto.generateKeyPair(suite.group, tools.random);
  const nonce = tools.random(NONCE_OCTETS, "nonce");
  const agreeing = { path, cookieI, cookieR, suite, auth };
  const ends = endsOf(tools, agreeing, peer);
  const send = encodeMessage(mainMode(cookieI, cookieR), [
    payload("ke", { data: pair.publicValue }),
    payload("nonce", { data: nonce }),
    ...(auth.method === "x509" ? certificateRequests([auth.entry]) : []),
    ...(token ? [token] : []),
    ...natPayloads(tools, agreeing, peer, ends),
  ]);
  return { next: { kind: "ke-sent", path, cookieI, saBody, auth, cookieR, suite, pair, nonce, peer, ends }, send, spent: [] };
}

function answerKeys(
  tools: Tools,
  state: SaAnswered,
  auth: Auth,
  { publicI, nonceI, peer, nat, ends }: Pick<Accepting, "publicI" | "nonceI" | "peer" | "nat" | "ends">,
  more: readonly Payload[],
): Result<Stepped<KeAnswered>, IkeError> {
  const { cookieI, cookieR, candidates, suite, offeredSeconds } = state;
  const pair = tools.crypto.generateKeyPair(suite.group, tools.random);
  const publicR = pair.publicValue;
  const nonceR = tools.random(NONCE_OCTETS, "nonce");
  const keys = agree(tools, state, pair.privateKey, publicI, nonceI, nonceR);
  pair.privateKey.destroy();
  if (!keys.ok) return keys;
  const send = encodeMessage(mainMode(cookieI, cookieR), [
    payload("ke", { data: publicR }),
    payload("nonce", { data: nonceR }),
    ...more,
    ...natPayloads(tools, state, peer, ends),
  ]);
  const shared = agreedBy(tools, state, publicI, publicR, keys.value, peer, nat);
  return ok({ next: { kind: "ke-answered", candidates, offeredSeconds, auth, ...shared }, send, spent: [] });
}

/** What both ends know once both public values are there; nothing has been heard under the keys yet. */
const agreedBy = (
  tools: Tools,
  { path, cookieI, saBody, cookieR, suite }: Pick<Keyed, "path" | "cookieI" | "saBody" | "cookieR" | "suite">,
  publicI: Uint8Array,
  publicR: Uint8Array,
  { skeyid, keys }: Agreed,
  peer: PeerTraits,
  nat: NatState | null,
): Omit<Keyed, "auth"> => ({
  path,
  cookieI,
  saBody,
  cookieR,
  suite,
  publicI,
  publicR,
  iv: phase1Iv(tools.crypto, suite, publicI, publicR),
  heard: NOTHING_HEARD,
  skeyid,
  keys,
  peer,
  nat,
});

type Agreeing = Pick<SaAnswered, "path" | "cookieI" | "cookieR" | "suite" | "auth">;

/** The hashes of NAT-D, where both ends announced NAT traversal. */
const endsOf = ({ crypto }: Tools, state: Agreeing, peer: PeerTraits): NatEnds | null =>
  numbersOf(peer.nat, state.auth.rule) === null ? null : natEnds(crypto, state.suite.hash, state, state.path);

/** NAT-D, where both ends announced NAT traversal. */
function natPayloads({ random }: Tools, { auth }: Agreeing, peer: PeerTraits, ends: NatEnds | null): readonly Payload[] {
  const numbers = numbersOf(peer.nat, auth.rule);
  return numbers === null || ends === null ? [] : natDetection(ends, random, numbers, auth.rule.natTraversal === "force");
}

/** What stands between us, by the peer's NAT-D. */
function natOf({ auth }: Agreeing, peer: PeerTraits, ends: NatEnds | null, got: Parameters<typeof detectNat>[2]): NatState | null {
  const numbers = numbersOf(peer.nat, auth.rule);
  return numbers === null || ends === null ? null : detectNat(ends, numbers, got);
}

interface Agreed {
  readonly skeyid: Secret;
  readonly keys: Phase1Keys;
}

/** g^xy, SKEYID and its family, RFC 2409 §5: from the shared key, or with signatures and Kerberos from nonces and g^xy alone. */
function agree(
  tools: Tools,
  state: KeSent | SaAnswered,
  own: Secret,
  peerPublic: Uint8Array,
  ni: Uint8Array,
  nr: Uint8Array,
): Result<Agreed, IkeError> {
  const { crypto } = tools;
  const { auth, suite } = state;
  const gxy = crypto.agree(suite.group, own, peerPublic);
  if (!gxy.ok) return err(badValue(gxy.error.what));
  const skeyid =
    auth.method === "psk"
      ? skeyidPsk(crypto, suite.hash, auth.entry.secret, ni, nr)
      : skeyidSignature(crypto, suite.hash, ni, nr, gxy.value);
  const skeyids = deriveSkeyids(crypto, suite.hash, skeyid, gxy.value, state.cookieI, state.cookieR);
  const cipher = cipherKey(crypto, suite, skeyids.e);
  gxy.value.destroy();
  return ok({ skeyid, keys: { cipher, ...skeyids } });
}

function destroyAgreed({ skeyid, keys }: Agreed): void {
  for (const secret of [skeyid, keys.d, keys.a, keys.e, keys.cipher]) secret.destroy();
}

const badValue = (what: string): IkeError => ({ kind: "bad-key", what: `the peer's public value is refused: ${what}` });

/** What is wrong with the length of a peer's nonce, if anything (RFC 2409 §5). */
export function badNonce(nonce: Uint8Array): IkeError | undefined {
  return nonce.length < 8 || nonce.length > 256
    ? { kind: "payloads", what: `a nonce of ${nonce.length} octets (RFC 2409 §5 allows 8 to 256)` }
    : undefined;
}
