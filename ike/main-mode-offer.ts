/**
 * Message 1 at the responder: the first of the initiator's transforms that a rule for this peer allows, method and algorithms together.
 * Nothing here costs more than reading: the sender's address may be forged.
 */

import { type AuthChoice, choiceOf, methodNumber } from "../auth/choice.ts";
import { freshRecord, isNameAttribute, nameAttribute, nameFault, ownName, readName } from "../auth/gss.ts";
import { sharesKeytab } from "../auth/proof.ts";
import { choosePsk, hasKey } from "../auth/psk.ts";
import { decodePayloads, encodeMessage, encodePayloads, HEADER_SIZE } from "../isakmp/message.ts";
import { AUTH_METHOD, PAYLOAD } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { AuthEntry, Rule } from "../policy/types.ts";
import type { IkeError } from "./errors.ts";
import { match } from "./flight.ts";
import type { Path } from "./input.ts";
import { hearRequests, NOTHING_ASKED } from "./main-mode-signatures.ts";
import type { Auth, SaAnswered } from "./main-mode-states.ts";
import { MAIN_MODE, mainMode, type Stepped, type Tools } from "./main-mode-table.ts";
import { announcedDialects } from "./nat.ts";
import {
  allowsSuite,
  type ChosenIke,
  chooseIke,
  configuredProposals,
  type IkeOffer,
  ikeDifference,
  readIkeTransform,
  type SaBody,
} from "./negotiate-ike.ts";
import type { Note } from "./note.ts";
import { isTelling, ownVendorIds, type PeerTraits, traitsOf } from "./vendor.ts";

/** What an answer to a stranger needs to know beside its message. */
export interface Welcome {
  /** Rules for this peer's address, most specific first. */
  readonly candidates: readonly Rule[];
  /** Name of a GSS context, should one be needed. */
  readonly context: string;
  /** The peer knows nothing older of us. */
  readonly contact: boolean;
  /** Methods that did not work here lately are taken only where nothing else fits. */
  readonly unusable: (entry: AuthEntry) => boolean;
  /** Our cookie, where there is one: it was demanded of the peer, or the message has been answered before. Else a new one is made. */
  readonly cookieR: Uint8Array | null;
  /** The number of the method, where the message has been answered before: then nothing else is looked at. */
  readonly agreed: number | null;
}

/** Message 1 came: the first offer that one of the candidate rules allows. Depends on nothing but what it is given, and our cookie if that is. */
export function onOffer(
  tools: Tools,
  path: Path,
  welcome: Welcome,
  initiatorCookie: Uint8Array,
  payloads: readonly Payload[],
): Result<Stepped<SaAnswered> & { readonly send: Uint8Array }, IkeError> {
  const got = match(MAIN_MODE.m1, payloads);
  if (!got.ok) return got;
  const peer = traitsOf(got.value.vid);
  tools.note(() => `rules for ${path.remote.address}: ${welcome.candidates.map(({ name }) => name).join(", ")}`);
  const chosen = choose(welcome, got.value.sa.value, peer, tools.note);
  if (!chosen.ok) return chosen;
  const { offer: theirs, answer, choice, rules } = chosen.value;
  const [cookieI, cookieR] = [copyOf(initiatorCookie), welcome.cookieR ?? tools.random(8)];
  const { auth, body } = begin(choice, theirs, answer, welcome.context, hearRequests(NOTHING_ASKED, got.value.certReq));
  const vids = ownVendorIds(tools.crypto, {
    gss: auth.method === "kerberos",
    // What the peer did not announce it does not look for, and no answer should be longer than what it answers.
    fragments: peer.fragments && rules.some(({ fragmentation }) => fragmentation !== "off"),
    contact: peer.windows && welcome.contact,
    nat: peer.nat !== null && announcedDialects(rules).length > 0 ? [peer.nat] : [],
  });
  const send = encodeMessage(mainMode(cookieI, cookieR), [payload("sa", body), ...vids]);
  const next: SaAnswered = {
    kind: "sa-answered",
    path,
    cookieI,
    cookieR,
    saBody: copyOf(got.value.sa.raw),
    candidates: rules,
    auth,
    suite: theirs.suite,
    offeredSeconds: theirs.lifetimeSeconds,
    peer,
  };
  return ok({ next, send, spent: [] });
}

/**
 * The payloads of a message 1 that `onOffer` gives the same answer to: without vendor ids that say nothing to us, and without certificate requests
 * where no certificate is asked for. Its SA comes first (RFC 2409 §5), and every body is as it was received.
 */
export function essenceOf(payloads: readonly Payload[], { method }: Auth): Uint8Array {
  const matters = (p: Payload): boolean => (p.name === "vid" && isTelling(p)) || (p.name === "certReq" && method === "x509");
  return encodePayloads([...payloads.filter(({ name }) => name === "sa"), ...payloads.filter(matters)]);
}

/** What a message 2 of ours chose. */
export function chosenIn(message: Uint8Array): IkeOffer | undefined {
  const payloads = decodePayloads(PAYLOAD.SA, message.subarray(HEADER_SIZE));
  const [sa] = payloads.ok ? payloads.value : [];
  const transform = sa?.name === "sa" ? sa.value.proposals[0]?.transforms[0] : undefined;
  const chosen = transform && readIkeTransform(transform);
  return chosen?.ok ? chosen.value : undefined;
}

/** A method that rules have, and those rules. */
interface Able {
  readonly choice: AuthChoice;
  readonly rules: readonly Rule[];
}

type Chosen = ChosenIke & Able;

/** What works is preferred; what did not work lately is better than to send away a peer that has nothing else. */
function choose(welcome: Welcome, sa: SaBody, peer: PeerTraits, note: Note): Result<Chosen, IkeError> {
  const { candidates, unusable, agreed } = welcome;
  const broken = candidates.some(({ auth }) => auth.some(unusable));
  const first = chooseAmong(candidates, broken ? (entry) => !unusable(entry) : () => true, agreed, sa, peer, note);
  return first.ok || !broken ? first : chooseAmong(candidates, () => true, agreed, sa, peer, note);
}

function chooseAmong(
  candidates: readonly Rule[],
  may: (entry: AuthEntry) => boolean,
  agreed: number | null,
  sa: SaBody,
  peer: PeerTraits,
  note: Note,
): Result<Chosen, IkeError> {
  const known = new Map<number, Able | string>();
  const able = (method: number): Able | string => {
    const found = known.get(method) ?? ableRules(candidates, may, method, peer);
    known.set(method, found);
    return found;
  };
  const accepts = ({ suite, method, attributes }: IkeOffer) => {
    if (agreed !== null && method !== agreed) return () => "another method was agreed on";
    const unread = method === AUTH_METHOD.Kerberos ? nameFault(attributes) : undefined;
    const found = unread ?? able(method);
    if (typeof found === "string") return () => found;
    return found.rules.some((rule) => allowsSuite(rule, suite)) ? undefined : () => ikeDifference(suite, found.rules);
  };
  const chosen = chooseIke(sa, accepts, note);
  if (!chosen.ok) return err({ ...chosen.error, what: `${chosen.error.what}; ${configuredProposals(answering(candidates, able))}` });
  const { suite, method } = chosen.value.offer;
  const found = able(method);
  if (typeof found === "string") return err({ kind: "no-proposal", what: found });
  const rules = found.rules.filter((rule) => allowsSuite(rule, suite));
  return ok({ choice: choiceIn(found.choice, rules), rules, ...chosen.value });
}

/** Rules that take part in a negotiation of any method that they have: all but those whose key is not this address's. */
const answering = (candidates: readonly Rule[], able: (method: number) => Able | string): readonly Rule[] =>
  candidates.filter((rule) =>
    rule.auth.some((entry) => {
      const found = able(methodNumber(entry));
      return typeof found !== "string" && found.rules.includes(rule);
    }),
  );

/** The rules that have a method, or why none does. */
function ableRules(candidates: readonly Rule[], may: (entry: AuthEntry) => boolean, method: number, peer: PeerTraits): Able | string {
  if (method === AUTH_METHOD["Pre-shared key"]) {
    const psk = choosePsk(candidates);
    // The address alone decides on the key: algorithms must not lead to that of a wider rule.
    return psk ? { choice: psk, rules: candidates.filter((rule) => hasKey(rule, psk)) } : "no rule for this peer has a pre-shared key";
  }
  if (method === AUTH_METHOD.Kerberos && !peer.gss) return "method 65001 without a vendor id of GSS-API is XAUTH, which is not supported";
  const wanted = (entry: AuthEntry): boolean => entry.method !== "psk" && methodNumber(entry) === method && may(entry);
  const [choice] = candidates.flatMap((rule) => rule.auth.filter(wanted).map((entry) => choiceOf(rule, entry)));
  if (!choice) return KNOWN.has(method) ? "no rule for this peer has this method" : "this authentication method is not configured";
  const { entry: own } = choice;
  // A ticket is accepted before anybody is named: as with a key, the address decides on the principal.
  const shares = (entry: AuthEntry): boolean => wanted(entry) && (own.method !== "kerberos" || sharesKeytab(entry, own));
  return { choice, rules: candidates.filter(({ auth }) => auth.some(shares)) };
}

const KNOWN: ReadonlySet<number> = new Set([3, 9, 10, 11, AUTH_METHOD.Kerberos]);

/** The same method, of a rule that also allows the algorithms. The key, or the principal, stays that of the address. */
function choiceIn(choice: AuthChoice, rules: readonly Rule[]): AuthChoice {
  const [rule] = rules;
  if (!rule || choice.method === "psk" || rules.includes(choice.rule)) return choice;
  const { entry: own } = choice;
  const entry = rule.auth.find((one) => methodNumber(one) === methodNumber(own) && (own.method !== "kerberos" || sharesKeytab(one, own)));
  return entry ? choiceOf(rule, entry) : choice;
}

/** The negotiation's view of its method, and message 2's SA: the transform as offered, but with our own Kerberos name (draft §3.2). */
function begin(
  choice: AuthChoice,
  theirs: IkeOffer,
  answer: SaBody,
  context: string,
  asked: Extract<Auth, { method: "x509" }>["asked"],
): { readonly auth: Auth; readonly body: SaBody } {
  if (choice.method === "psk") return { auth: choice, body: answer };
  if (choice.method === "x509") return { auth: { ...choice, asked }, body: answer };
  const name = readName(theirs.attributes) ?? null;
  const own = name && ownName(choice.entry);
  const auth: Auth = { ...choice, gss: freshRecord(context, own, name) };
  return { auth, body: own ? renamed(answer, nameAttribute(own)) : answer };
}

/** The chosen transform with another name in it; everything else byte for byte. */
function renamed(answer: SaBody, name: ReturnType<typeof nameAttribute>): SaBody {
  const proposals = answer.proposals.map((proposal) => ({
    ...proposal,
    transforms: proposal.transforms.map((transform) => {
      const at = transform.attributes.findIndex(isNameAttribute);
      const others = (list: typeof transform.attributes) => list.filter((attribute) => !isNameAttribute(attribute));
      return { ...transform, attributes: [...others(transform.attributes.slice(0, at)), name, ...others(transform.attributes.slice(at))] };
    }),
  }));
  return { ...answer, proposals };
}
