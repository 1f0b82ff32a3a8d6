/**
 * Quick Mode, RFC 2409 §5.5: the table of its messages, the states of both roles, and the steps between them.
 * Every message begins with a HASH under SKEYID_a that is checked before anything else is believed or computed.
 */

import { isHost } from "../isakmp/address.ts";
import { chainLength, withEncoded } from "../isakmp/message.ts";
import { EXCHANGE, NOTIFY } from "../isakmp/numbers.ts";
import { copyOf } from "../isakmp/octets.ts";
import { type Payload, payload } from "../isakmp/payloads.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { idPayloadOf, rangeOfId, sameSelector } from "../policy/selector.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";
import { sameDigest } from "./crypto/compare.ts";
import type { KeyPair } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import { type ChildSuite, type Group, type IkeSuite, type ProtocolSuite, protocolSuiteName } from "./crypto/suite.ts";
import { type Chain, seal } from "./envelope.ts";
import type { IkeError } from "./errors.ts";
import { flight, match, type PayloadOf, SEALED } from "./flight.ts";
import { keymat } from "./keys.ts";
import { badNonce } from "./main-mode.ts";
import type { Phase1Keys } from "./main-mode-states.ts";
import type { Tools } from "./main-mode-table.ts";
import { readOriginals } from "./nat-child.ts";
import { type ChildTerms, type ChosenChild, offerChild, spiBytes, verifyChildAnswer } from "./negotiate-child.ts";
import type { SaBody } from "./negotiate-ike.ts";
import { hasNotify, readResponderLifetime } from "./notifies.ts";
import { afterHash, hash1, hash2, hash3 } from "./proof.ts";

/** RFC 2409 §5.5; the fourth message (CONNECTED) exists where the responder set the commit bit. */
const NAT_OA = { natOa: "many", natOaDraft: "many" } as const;
export const QUICK_MODE = {
  m1: flight("initiator", SEALED, { hash: "one", sa: "one", nonce: "one", ke: "maybe", id: "many", notify: "many", ...NAT_OA }),
  m2: flight("responder", SEALED, { hash: "one", sa: "one", nonce: "one", ke: "maybe", id: "many", notify: "many", ...NAT_OA }),
  m3: flight("initiator", SEALED, { hash: "one", notify: "many" }),
  m4: flight("responder", SEALED, { hash: "one", notify: "many" }),
} as const;

const NONCE_OCTETS = 32;

/** The IKE SA as Quick Mode needs it. */
export interface Phase1 {
  readonly cookieI: Uint8Array;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly keys: Phase1Keys;
}

/** Our inbound SPIs, one for each protocol that may be chosen; null: it may not. */
export type Spis = { readonly esp: number | null; readonly ah: number | null };

/** Initiator, after message 1. */
export interface ChildOffered {
  readonly kind: "child-offered";
  readonly messageId: number;
  readonly suites: readonly ChildSuite[];
  readonly terms: ChildTerms;
  readonly selector: TrafficSelector;
  readonly spis: Spis;
  readonly nonce: Uint8Array;
  readonly pair: KeyPair | null;
}

/** What both ends derived: everything the kernel needs. The secrets are wiped once it has them. */
export interface ChildKeys {
  readonly suite: ProtocolSuite;
  readonly spiIn: number;
  readonly spiOut: number;
  /** KEYMAT of RFC 2409 §5.5: cipher key (with salt), then integrity key. */
  readonly inbound: Secret;
  readonly outbound: Secret;
}

/** What a negotiation came to, as its SAs need it. */
export interface ChildOutcome {
  readonly keys: readonly ChildKeys[];
  readonly lifetimeSeconds: number;
  readonly lifetimeKilobytes: number | null;
}

/** The outcome of a negotiation whose SAs can now be installed, and what message 3 is made of. */
export interface ChildAgreed extends ChildOutcome {
  readonly group: Group | null;
  readonly ni: Uint8Array;
  readonly nr: Uint8Array;
  /** The responder set the commit bit: message 3 is repeated until CONNECTED comes. */
  readonly commit: boolean;
}

/** The addressing of a phase 2 message. */
export const addressing = (sa: Phase1, messageId: number, exchange: number = EXCHANGE["Quick Mode"]) => ({
  initiatorCookie: sa.cookieI,
  responderCookie: sa.cookieR,
  exchange,
  messageId,
});

/** The two ID payloads of a selector pair: IDci is the initiator's side (RFC 2409 §5.5). */
export function selectorIds(selector: TrafficSelector, weInitiate: boolean): readonly [PayloadOf<"id">, PayloadOf<"id">] {
  const local = payload("id", idPayloadOf(selector.local, selector.protocol, selector.localPort));
  const remote = payload("id", idPayloadOf(selector.remote, selector.protocol, selector.remotePort));
  return weInitiate ? [local, remote] : [remote, local];
}

/** Reads the two ID payloads, or the hosts themselves where there are none. */
export function readSelector(
  ids: readonly PayloadOf<"id">[],
  weInitiate: boolean,
  hosts: Pick<TrafficSelector, "local" | "remote">,
): Result<TrafficSelector, IkeError> {
  if (ids.length === 0) return ok({ ...hosts, protocol: 0, localPort: 0, remotePort: 0 });
  const [ci, cr] = ids;
  if (!ci || !cr || ids.length !== 2)
    return err({ kind: "payloads", what: `${ids.length} ID payloads in Quick Mode, where none or two belong` });
  const [local, remote] = weInitiate ? [ci.value, cr.value] : [cr.value, ci.value];
  const [localRange, remoteRange] = [rangeOfId(local), rangeOfId(remote)];
  if (!localRange || !remoteRange)
    return err({ kind: "selectors", what: `ID types ${ci.value.type} and ${cr.value.type} are no address selectors` });
  if (localRange.family !== remoteRange.family) return err({ kind: "selectors", what: "selectors of two address families" });
  if (local.protocol !== remote.protocol)
    return err({ kind: "selectors", what: `selectors of two protocols, ${local.protocol} and ${remote.protocol}` });
  // RFC 2407 §4.6.2: a port means nothing where the protocol is 0, and the kernel takes none.
  const port = local.port || remote.port;
  if (local.protocol === 0 && port !== 0) return err({ kind: "selectors", what: `selectors with port ${port} without a protocol` });
  return ok({ local: localRange, remote: remoteRange, protocol: local.protocol, localPort: local.port, remotePort: remote.port });
}

/** Seals payloads behind a HASH(1) or HASH(2) that covers them all. */
export function sealHashed(
  tools: Tools,
  sa: Phase1,
  chain: Chain,
  messageId: number,
  exchange: number,
  rest: readonly Payload[],
  ni?: Uint8Array,
): { readonly bytes: Uint8Array; readonly iv: Uint8Array } {
  const { hash } = sa.suite;
  const digest = withEncoded(rest, chainLength(rest), (body) =>
    ni ? hash2(tools.crypto, hash, sa.keys.a, messageId, ni, body) : hash1(tools.crypto, hash, sa.keys.a, messageId, body),
  );
  return seal(tools.crypto, chain, addressing(sa, messageId, exchange), [payload("hash", { data: digest }), ...rest]);
}

/** Whether a received message begins with the right HASH(1), or HASH(2) where `ni` is given. Everything behind HASH counts. */
export function checkHashed(
  tools: Tools,
  sa: Phase1,
  messageId: number,
  payloads: readonly Payload[],
  plain: Uint8Array,
  ni?: Uint8Array,
): IkeError | undefined {
  const [first] = payloads;
  const rest = afterHash(payloads, plain);
  if (first?.name !== "hash" || !rest) return { kind: "payloads", what: "HASH is not the first payload" };
  const { hash } = sa.suite;
  const expected = ni ? hash2(tools.crypto, hash, sa.keys.a, messageId, ni, rest) : hash1(tools.crypto, hash, sa.keys.a, messageId, rest);
  return sameDigest(expected, first.value.data) ? undefined : { kind: "bad-hash", what: `HASH(${ni ? 2 : 1}) is wrong` };
}

// Initiator

/** Message 1: our offer for one selector pair. */
export function offerSelector(
  tools: Tools,
  sa: Phase1,
  chain: Chain,
  wish: {
    readonly messageId: number;
    readonly suites: readonly ChildSuite[];
    readonly terms: ChildTerms;
    readonly selector: TrafficSelector;
    readonly spis: Spis;
    /** NAT-OA payloads (RFC 3947 §5.2). */
    readonly originals: readonly Payload[];
  },
): { readonly next: ChildOffered; readonly bytes: Uint8Array; readonly iv: Uint8Array } {
  const { messageId, suites, terms, selector, spis, originals } = wish;
  const pair = terms.group ? tools.crypto.generateKeyPair(terms.group, tools.random) : null;
  const nonce = tools.random(NONCE_OCTETS, "nonce");
  const rest: Payload[] = [
    payload(
      "sa",
      offerChild(suites, terms, (protocol) => spiFor(spis, protocol)),
    ),
    payload("nonce", { data: nonce }),
    ...(pair ? [payload("ke", { data: pair.publicValue })] : []),
    ...selectorIds(selector, true),
    ...originals,
  ];
  const sealed = sealHashed(tools, sa, chain, messageId, EXCHANGE["Quick Mode"], rest);
  return { next: { kind: "child-offered", messageId, suites, terms, selector, spis, nonce, pair }, ...sealed };
}

function spiFor(spis: Spis, protocol: "esp" | "ah"): number {
  const spi = spis[protocol];
  if (spi === null) throw new Error(`no SPI for ${protocol}, which was not offered`);
  return spi;
}

/** Message 2 came: it must choose from our offer, for our selectors. */
export function onChildAnswer(
  tools: Tools,
  sa: Phase1,
  state: ChildOffered,
  payloads: readonly Payload[],
  plain: Uint8Array,
  commit: boolean,
): Result<ChildAgreed, IkeError> {
  const bad = checkHashed(tools, sa, state.messageId, payloads, plain, state.nonce);
  if (bad) return err(bad);
  const got = match(QUICK_MODE.m2, payloads);
  if (!got.ok) return got;
  const answer = verifyChildAnswer(state.suites, state.terms, got.value.sa.value);
  if (!answer.ok) return answer;
  tools.note(() => `the peer took ${answer.value.suite.map(protocolSuiteName).join("+")}`);
  const different = differentIds(state.selector, got.value.id, state.terms);
  if (different) return err(different);
  const nr = copyOf(got.value.nonce.value.data);
  const fault = badNonce(nr);
  if (fault) return err(fault);
  const gxy = sharedSecret(tools, state.terms.group, state.pair, got.value.ke);
  if (!gxy.ok) return gxy;
  const keys = deriveChild(tools, sa, answer.value, (protocol) => spiFor(state.spis, protocol), gxy.value, state.nonce, nr);
  gxy.value?.destroy();
  const told = readResponderLifetime(got.value.notify, 2);
  const { terms } = state;
  return ok({
    keys,
    group: terms.group,
    lifetimeSeconds: Math.min(
      terms.lifetimeSeconds,
      told?.seconds ?? terms.lifetimeSeconds,
      answer.value.life.seconds ?? terms.lifetimeSeconds,
    ),
    lifetimeKilobytes: least(terms.lifetimeKilobytes, told?.kilobytes ?? null, answer.value.life.kilobytes),
    ni: state.nonce,
    nr,
    commit,
  });
}

/** Message 3: HASH(3), the proof that we got message 2. */
export function sealConfirmation(tools: Tools, sa: Phase1, chain: Chain, messageId: number, { ni, nr }: Pick<ChildAgreed, "ni" | "nr">) {
  const data = hash3(tools.crypto, sa.suite.hash, sa.keys.a, messageId, ni, nr);
  return seal(tools.crypto, chain, addressing(sa, messageId), [payload("hash", { data })]);
}

// Responder

/** What message 1 asks for. */
export interface ChildRequest {
  readonly sa: SaBody;
  readonly ni: Uint8Array;
  readonly ke: PayloadOf<"ke"> | undefined;
  readonly selector: TrafficSelector;
  readonly ids: readonly PayloadOf<"id">[];
  /** The addresses in its NAT-OA payloads, the initiator's first. */
  readonly originals: readonly string[];
}

/** Reads a message 1 whose HASH(1) was found right. Choosing is the caller's: it needs the policy. */
export function readRequest(
  payloads: readonly Payload[],
  hosts: Pick<TrafficSelector, "local" | "remote">,
): Result<ChildRequest, IkeError> {
  const got = match(QUICK_MODE.m1, payloads);
  if (!got.ok) return got;
  const selector = readSelector(got.value.id, false, hosts);
  if (!selector.ok) return selector;
  const ni = copyOf(got.value.nonce.value.data);
  const fault = badNonce(ni);
  if (fault) return err(fault);
  return ok({
    sa: got.value.sa.value,
    ni,
    ke: got.value.ke,
    selector: selector.value,
    ids: got.value.id,
    originals: readOriginals([...got.value.natOa, ...got.value.natOaDraft]),
  });
}

/** Message 2 and the keys for what was chosen. `told`: notifies to go with it (RESPONDER-LIFETIME). */
export function answerRequest(
  tools: Tools,
  sa: Phase1,
  chain: Chain,
  messageId: number,
  request: ChildRequest,
  chosen: ChosenChild,
  answer: SaBody,
  spiOf: (protocol: "esp" | "ah") => number,
  told: readonly Payload[],
): Result<
  { readonly agreed: Pick<ChildAgreed, "keys" | "ni" | "nr" | "group">; readonly bytes: Uint8Array; readonly iv: Uint8Array },
  IkeError
> {
  const pair = chosen.group ? tools.crypto.generateKeyPair(chosen.group, tools.random) : null;
  const gxy = sharedSecret(tools, chosen.group, pair, request.ke);
  pair?.privateKey.destroy();
  if (!gxy.ok) return gxy;
  const nr = tools.random(NONCE_OCTETS, "nonce");
  const keys = deriveChild(tools, sa, chosen, spiOf, gxy.value, request.ni, nr);
  gxy.value?.destroy();
  const rest: Payload[] = [
    payload("sa", answer),
    payload("nonce", { data: nr }),
    ...(pair ? [payload("ke", { data: pair.publicValue })] : []),
    ...request.ids,
    ...told,
  ];
  const sealed = sealHashed(tools, sa, chain, messageId, EXCHANGE["Quick Mode"], rest, request.ni);
  return ok({ agreed: { keys, ni: request.ni, nr, group: chosen.group }, ...sealed });
}

/** Message 3 came: HASH(3) shows that the initiator has our answer. */
export function checkConfirmation(
  tools: Tools,
  sa: Phase1,
  messageId: number,
  agreed: Pick<ChildAgreed, "ni" | "nr">,
  payloads: readonly Payload[],
): IkeError | undefined {
  const got = match(QUICK_MODE.m3, payloads);
  if (!got.ok) return got.error;
  if (payloads[0]?.name !== "hash") return { kind: "payloads", what: "HASH is not the first payload" };
  const expected = hash3(tools.crypto, sa.suite.hash, sa.keys.a, messageId, agreed.ni, agreed.nr);
  return sameDigest(expected, got.value.hash.value.data) ? undefined : { kind: "bad-hash", what: "HASH(3) is wrong" };
}

/** Whether a received message is CONNECTED, which ends the wait of the commit bit (RFC 2408 §3.1, §3.14.1). */
export const isConnected = (payloads: readonly Payload[]): boolean =>
  hasNotify(
    payloads.filter((p) => p.name === "notify"),
    NOTIFY.CONNECTED,
  );

// Shared

function sharedSecret(
  tools: Tools,
  group: Group | null,
  pair: KeyPair | null,
  ke: PayloadOf<"ke"> | undefined,
): Result<Secret | null, IkeError> {
  if (!group || !pair) return ke ? err({ kind: "payloads", what: "a KE payload without a PFS group" }) : ok(null);
  if (!ke) return err({ kind: "payloads", what: `PFS group ${group.name} without a KE payload` });
  const gxy = tools.crypto.agree(group, pair.privateKey, ke.value.data);
  return gxy.ok ? gxy : err({ kind: "bad-key", what: `the peer's public value is refused: ${gxy.error.what}` });
}

/** KEYMAT for each protocol and direction: the SPI is that of the receiver's (RFC 2409 §5.5). */
function deriveChild(
  tools: Tools,
  sa: Phase1,
  chosen: ChosenChild,
  spiOf: (protocol: "esp" | "ah") => number,
  gxy: Secret | null,
  ni: Uint8Array,
  nr: Uint8Array,
): readonly ChildKeys[] {
  return chosen.offers.map(({ suite, spi: spiOut }) => {
    const octets = (suite.cipher?.keyOctets ?? 0) + (suite.integrity?.keyOctets ?? 0);
    const protocol = suite.protocol === "esp" ? 3 : 2;
    const spiIn = spiOf(suite.protocol);
    const derive = (spi: number) => keymat(tools.crypto, sa.suite.hash, sa.keys.d, gxy, protocol, spiBytes(spi), ni, nr, octets);
    return { suite, spiIn, spiOut, inbound: derive(spiIn), outbound: derive(spiOut) };
  });
}

/** The responder returns our IDs as they were; other selectors would protect other traffic than asked for. */
function differentIds(ours: TrafficSelector, ids: readonly PayloadOf<"id">[], { udp, mode }: ChildTerms): IkeError | undefined {
  if (ids.length === 0) return { kind: "payloads", what: "message 2 without the ID payloads that we sent" };
  const theirs = readSelector(ids, true, ours);
  if (!theirs.ok) return theirs.error;
  // In transport mode each end names both hosts as it sees them, and a NAT between them changes that.
  const { local, remote } = theirs.value;
  const asSeen = udp !== null && mode === "transport" && isHost(local) && isHost(remote);
  if (sameSelector(ours, asSeen ? { ...theirs.value, local: ours.local, remote: ours.remote } : theirs.value)) return undefined;
  return { kind: "selectors", what: "the peer answered for other selectors than we asked for" };
}

const least = (...limits: readonly (number | null)[]): number | null =>
  limits.reduce((a, b) => (a === null || b === null ? (a ?? b) : Math.min(a, b)), null);

/** Wipes keys that the kernel has, or will never get. */
export function destroyChildKeys(keys: readonly ChildKeys[]): void {
  for (const { inbound, outbound } of keys) {
    inbound.destroy();
    outbound.destroy();
  }
}

/** The PFS group that a rule asks for, given Main Mode's. */
export const pfsGroup = (rule: Rule, suite: IkeSuite): Group | null =>
  rule.quickMode.pfs === "main-mode" ? suite.group : rule.quickMode.pfs;
