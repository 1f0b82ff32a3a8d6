/**
 * The states of Main Mode: each holds exactly what is known then. What holds secrets is wiped here.
 */
import type { PeerProof, PskChoice } from "../auth/psk.ts";
import type { Identity, Rule } from "../policy/types.ts";
import type { KeyPair } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { IkeSuite } from "./crypto/suite.ts";
import type { Path } from "./input.ts";
import type { Skeyids } from "./keys.ts";
import type { SaBody } from "./negotiate-ike.ts";
import type { PeerTraits } from "./vendor.ts";

interface Common {
  readonly path: Path;
  readonly cookieI: Uint8Array;
  /** SAi_b, hashed by both proofs. */
  readonly saBody: Uint8Array;
}

/** Initiator, after message 1. */
export interface SaSent extends Common {
  readonly kind: "sa-sent";
  readonly rule: Rule;
  readonly psk: PskChoice;
  readonly offered: SaBody;
}

/** Initiator, after message 3. */
export interface KeSent extends Common {
  readonly kind: "ke-sent";
  readonly rule: Rule;
  readonly psk: PskChoice;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly pair: KeyPair;
  readonly nonce: Uint8Array;
  readonly peer: PeerTraits;
}

/** Responder, after message 2. `candidates` accept the chosen suite; the identity of message 5 decides between them. */
export interface SaAnswered extends Common {
  readonly kind: "sa-answered";
  readonly candidates: readonly Rule[];
  readonly psk: PskChoice;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly offeredSeconds: number | null;
  readonly peer: PeerTraits;
}

/** What both sides know once Diffie-Hellman is done. */
export interface Keyed extends Common {
  readonly psk: PskChoice;
  readonly cookieR: Uint8Array;
  readonly suite: IkeSuite;
  readonly publicI: Uint8Array;
  readonly publicR: Uint8Array;
  readonly skeyid: Secret;
  readonly keys: Phase1Keys;
  readonly iv: Uint8Array;
  readonly peer: PeerTraits;
}

/** Initiator, after message 5. */
export interface AuthSent extends Keyed {
  readonly kind: "auth-sent";
  readonly rule: Rule;
  readonly ownId: Identity;
}

/** Responder, after message 4. */
export interface KeAnswered extends Keyed {
  readonly kind: "ke-answered";
  readonly candidates: readonly Rule[];
  readonly offeredSeconds: number | null;
}

export type MainModeState = SaSent | KeSent | AuthSent | SaAnswered | KeAnswered;

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
  readonly initialContact: boolean;
  readonly warning: string | null;
}

/** Wipes what a state holds; for negotiations that end without an SA. */
export function destroyMainMode(state: MainModeState): void {
  if (state.kind === "ke-sent") state.pair.privateKey.destroy();
  if (state.kind !== "auth-sent" && state.kind !== "ke-answered") return;
  state.skeyid.destroy();
  destroyKeys(state.keys);
}

/** Wipes the keys of phase 1. */
export function destroyKeys(keys: Phase1Keys): void {
  for (const secret of [keys.d, keys.a, keys.e, keys.cipher]) secret.destroy();
}
