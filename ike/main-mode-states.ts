/**
 * The states of Main Mode: each holds exactly what is known then. What holds secrets is wiped here.
 * A waiting state keeps the state before it: a job that fails leaves that one, as if the message had never come.
 */
import type { AuthChoice, KerberosChoice, PskChoice, X509Choice } from "../auth/choice.ts";
import type { GssRecord } from "../auth/gss.ts";
import type { Found, PeerProof } from "../auth/proof.ts";
import type { Identity, Rule } from "../policy/types.ts";
import type { KeyPair } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { IkeSuite } from "./crypto/suite.ts";
import type { Path } from "./input.ts";
import type { Skeyids } from "./keys.ts";
import type { NatEnds, NatState } from "./nat.ts";
import type { SaBody } from "./negotiate-ike.ts";
import type { PeerTraits } from "./vendor.ts";

/** The method that was agreed on, and what it has seen so far. */
export type Auth = PskChoice | SignatureAuth | KerberosAuth;

export interface SignatureAuth extends X509Choice {
  /** Whose certificates the peer asked for. */
  readonly asked: Asked;
}

export interface KerberosAuth extends KerberosChoice {
  readonly gss: GssRecord;
}

/** CERTREQ payloads (RFC 2408 §3.10), in whatever message they came: names of CAs in DER; `any`: one without a name. */
export interface Asked {
  readonly any: boolean;
  readonly names: readonly Uint8Array[];
}

interface Common {
  readonly path: Path;
  readonly cookieI: Uint8Array;
  /** SAi_b, hashed by both proofs. */
  readonly saBody: Uint8Array;
}

/** Initiator, before message 1: which of the methods can be used here and now? */
export interface Weighing {
  readonly kind: "weighing";
  readonly path: Path;
  readonly cookieI: Uint8Array;
  readonly rule: Rule;
  /** Not yet asked about, in the rule's order; the first one is being asked. */
  readonly left: readonly AuthChoice[];
  readonly usable: readonly AuthChoice[];
}

/** Initiator, after message 1. */
export interface SaSent extends Common {
  readonly kind: "sa-sent";
  readonly rule: Rule;
  readonly choices: readonly AuthChoice[];
  readonly offered: SaBody;
}

/** Initiator, after message 3. */
export interface KeSent extends Common {
  readonly kind: "ke-sent";
  readonly auth: Auth;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly pair: KeyPair;
  readonly nonce: Uint8Array;
  readonly peer: PeerTraits;
  /** Where NAT traversal was announced. */
  readonly ends: NatEnds | null;
}

/** Responder, after message 2. `candidates` accept the chosen suite and method; the identity of message 5 decides between them. */
export interface SaAnswered extends Common {
  readonly kind: "sa-answered";
  readonly candidates: readonly Rule[];
  readonly auth: Auth;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly offeredSeconds: number | null;
  readonly peer: PeerTraits;
}

/** What both sides know once Diffie-Hellman is done. */
export interface Keyed extends Common {
  readonly auth: Auth;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly publicI: Uint8Array;
  readonly publicR: Uint8Array;
  readonly skeyid: Secret;
  readonly keys: Phase1Keys;
  readonly iv: Uint8Array;
  readonly peer: PeerTraits;
  readonly nat: NatState | null;
  /** What authenticated messages of the peer said so far. */
  readonly heard: Heard;
}

/** Notifies of the peer's under encryption. */
export interface Heard {
  readonly contact: boolean;
  /** RESPONDER-LIFETIME. */
  readonly seconds: number | null;
}

/** Initiator, after message 5. */
export interface AuthSent extends Keyed {
  readonly kind: "auth-sent";
  readonly ownId: Identity;
}

/** Responder, after message 4. */
export interface KeAnswered extends Keyed {
  readonly kind: "ke-answered";
  readonly candidates: readonly Rule[];
  readonly offeredSeconds: number | null;
}

/** Initiator, after message 2: Kerberos must give a ticket for the name that it brought. */
export interface Ticketing {
  readonly kind: "ticketing";
  readonly before: SaSent;
  readonly auth: KerberosAuth;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly peer: PeerTraits;
}

/** Responder, after message 3: is its ticket good? Only then follows the Diffie-Hellman. */
export interface Accepting {
  readonly kind: "accepting";
  readonly before: SaAnswered;
  readonly auth: KerberosAuth;
  readonly publicI: Uint8Array;
  readonly nonceI: Uint8Array;
  readonly peer: PeerTraits;
  readonly nat: NatState | null;
  readonly ends: NatEnds | null;
}

/** Initiator, after message 4: our signature is being made. */
export interface Signing {
  readonly kind: "signing";
  readonly before: KeSent;
  readonly keyed: Keyed & { readonly auth: SignatureAuth };
  readonly greet: boolean;
}

/** The peer's signature and certificate are being checked; of `claimed` those that the provider names will do. */
export interface Checking {
  readonly kind: "checking";
  readonly before: (AuthSent | KeAnswered) & { readonly auth: SignatureAuth };
  readonly keyed: Keyed & { readonly auth: SignatureAuth };
  readonly claimed: readonly X509Choice[];
  readonly peerId: Identity;
}

/** Responder: the peer is proved, and our signature is being made. */
export interface Proving {
  readonly kind: "proving";
  readonly before: KeAnswered;
  readonly keyed: Keyed & { readonly auth: SignatureAuth };
  readonly found: Found;
  readonly peerId: Identity;
}

/** The peer's token goes into our GSS context. `greet`: the message that follows is the initiator's fifth. */
export interface Stepping {
  readonly kind: "stepping";
  readonly before: KeSent | AuthSent | KeAnswered;
  readonly keyed: Keyed & { readonly auth: KerberosAuth };
  readonly greet: boolean;
}

/** The peer's wrapped hash is being unwrapped; it must be one of `expected`. */
export interface Unwrapping {
  readonly kind: "unwrapping";
  readonly before: AuthSent | KeAnswered;
  readonly keyed: Keyed & { readonly auth: KerberosAuth };
  readonly expected: readonly Uint8Array[];
}

/** Our own hash is being wrapped. `found`: whom the peer proved to be, if it did already. */
export interface Wrapping {
  readonly kind: "wrapping";
  readonly before: KeSent | AuthSent | KeAnswered;
  readonly keyed: Keyed & { readonly auth: KerberosAuth };
  readonly greet: boolean;
  readonly found: Found | null;
}

/** A job is under way; messages are absorbed, timers run. */
export type WaitingState = Ticketing | Accepting | Signing | Checking | Proving | Stepping | Unwrapping | Wrapping;
/** A message of the peer's is awaited. */
export type OpenState = SaSent | KeSent | AuthSent | SaAnswered | KeAnswered;
export type MainModeState = Weighing | OpenState | WaitingState;

export interface Phase1Keys extends Skeyids {
  readonly cipher: Secret;
}

/** Main Mode's result: both ends have proved who they are. */
export interface Established {
  readonly kind: "established";
  readonly path: Path;
  readonly cookieI: Uint8Array;
  readonly cookieR: Uint8Array;
  readonly rule: Rule;
  readonly proof: PeerProof;
  readonly suite: IkeSuite;
  readonly keys: Phase1Keys;
  /** The last cipher block of phase 1: where every phase 2 IV starts (RFC 2409 appendix B). */
  readonly lastBlock: Uint8Array;
  readonly ownId: Identity;
  readonly peerId: Identity;
  readonly lifetimeSeconds: number;
  readonly peer: PeerTraits;
  /** What stands between us; null also where NAT traversal was not agreed on. */
  readonly nat: NatState | null;
  readonly initialContact: boolean;
  readonly warning: string | null;
}

/** Whether a job is under way. */
export const isWaiting = (state: MainModeState): state is WaitingState => "before" in state;

/** The state that counts towards the outside: of a waiting one, the one before it. */
export const settledState = (state: MainModeState): Weighing | OpenState => (isWaiting(state) ? state.before : state);

/** The rule that a negotiation is for; of a responder's, the one that its method was taken from. */
export function ruleOfState(state: MainModeState): Rule {
  const settled = settledState(state);
  return "auth" in settled ? settled.auth.rule : settled.rule;
}

/** The responder's cookie, or undefined before message 2. */
export function responderCookieOf(state: MainModeState): Uint8Array | undefined {
  if (state.kind === "ticketing") return state.cookieR;
  const settled = settledState(state);
  return "cookieR" in settled ? settled.cookieR : undefined;
}

/** The GSS context that a negotiation has made, or undefined. */
export function gssContextOf(state: MainModeState): string | undefined {
  const holder = "keyed" in state ? state.keyed : state;
  return "auth" in holder && holder.auth.method === "kerberos" ? holder.auth.gss.context : undefined;
}

/** Wipes what a state holds; for negotiations that end without an SA. */
export function destroyMainMode(state: MainModeState): void {
  if (isWaiting(state)) {
    destroyMainMode(state.before);
    if ("keyed" in state) destroyKeyed(state.keyed);
    return;
  }
  if (state.kind === "ke-sent") state.pair.privateKey.destroy();
  if (state.kind === "auth-sent" || state.kind === "ke-answered") destroyKeyed(state);
}

/** Goes back to the state before a job, wiping what only the waiting state had. */
export function abandonWaiting(state: WaitingState): OpenState {
  if ("keyed" in state && state.before.kind === "ke-sent") destroyKeyed(state.keyed);
  return state.before;
}

function destroyKeyed({ skeyid, keys }: Keyed): void {
  skeyid.destroy();
  destroyKeys(keys);
}

/** Wipes the keys of phase 1. */
export function destroyKeys(keys: Phase1Keys): void {
  for (const secret of [keys.d, keys.a, keys.e, keys.cipher]) secret.destroy();
}
