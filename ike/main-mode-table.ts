/**
 * Main Mode, RFC 2409 §5, as a table: one row per message and method of authentication, and what a step on it comes to.
 * Kerberos' rows are those of draft-ietf-ipsec-isakmp-gss-auth-07 §3; its messages 5 and 6 may repeat until both sides have proved themselves.
 */
import type { AuthJob } from "../auth/method.ts";
import type { Header, HeaderFields } from "../isakmp/message.ts";
import { EXCHANGE } from "../isakmp/numbers.ts";
import type { Result } from "../isakmp/result.ts";
import type { Crypto, Random } from "./crypto/provider.ts";
import type { Secret } from "./crypto/secret.ts";
import type { IkeError } from "./errors.ts";
import { flight, OPEN, SEALED } from "./flight.ts";
import type { Established, OpenState, WaitingState } from "./main-mode-states.ts";
import type { Note } from "./note.ts";

/** RFC 3947 §3.2; the drafts have a number of their own. */
const NAT_D = { natD: "many", natDDraft: "many" } as const;

/** One row per message, with pre-shared keys (RFC 2409 §5.4). What a row does not list is ignored, wherever it comes. */
export const MAIN_MODE = {
  m1: flight("initiator", OPEN, { sa: "one", vid: "many", certReq: "many" }),
  m2: flight("responder", OPEN, { sa: "one", vid: "many", certReq: "many" }),
  m3: flight("initiator", OPEN, { ke: "one", nonce: "one", vid: "many", certReq: "many", ...NAT_D }),
  m4: flight("responder", OPEN, { ke: "one", nonce: "one", vid: "many", certReq: "many", ...NAT_D }),
  m5: flight("initiator", SEALED, { id: "one", hash: "one", notify: "many" }),
  m6: flight("responder", SEALED, { id: "one", hash: "one", notify: "many" }),
} as const;

/** With signatures (RFC 2409 §5.1): what is different. */
export const MAIN_MODE_SIGNATURES = {
  m5: flight("initiator", SEALED, { id: "one", sig: "one", cert: "many", certReq: "many", notify: "many" }),
  m6: flight("responder", SEALED, { id: "one", sig: "one", cert: "many", certReq: "many", notify: "many" }),
} as const;

/** With Kerberos (draft §3): what messages 3 and 4 have in addition, and 5 and 6 instead. */
export const MAIN_MODE_KERBEROS = {
  m3: flight("initiator", OPEN, { gss: "one" }),
  m4: flight("responder", OPEN, { gss: "one" }),
  m5: flight("initiator", SEALED, { id: "maybe", hash: "maybe", gss: "maybe", notify: "many" }),
  m6: flight("responder", SEALED, { id: "maybe", hash: "maybe", gss: "maybe", notify: "many" }),
} as const;

/** Octets of our nonces; RFC 2409 §5 allows 8 to 256. */
export const NONCE_OCTETS = 32;

/** What the steps need besides their state. */
export interface Tools {
  readonly crypto: Crypto;
  readonly random: Random;
  readonly note: Note;
}

/** A step's outcome: the next state and the message that goes with it. `spent` is wiped after commit. */
export interface Stepped<S> {
  readonly next: S;
  readonly send: Uint8Array | null;
  readonly spent: readonly Secret[];
}

/** A step that needs a job done first; its outcome leads on from the waiting state. */
export interface Asking<S extends WaitingState = WaitingState> {
  readonly next: S;
  readonly job: AuthJob;
}

/** What any step of Main Mode comes to. */
export type Step = Result<Stepped<OpenState | Established> | Asking, IkeError>;

/** A message as it was received. */
export interface Message {
  readonly header: Header;
  readonly bytes: Uint8Array;
}

/** Header fields of every message of a Main Mode; sealed ones bear the encryption flag besides. */
export const mainMode = (cookieI: Uint8Array, cookieR: Uint8Array): HeaderFields => ({
  initiatorCookie: cookieI,
  responderCookie: cookieR,
  exchange: EXCHANGE["Identity Protection"],
  flags: 0,
  messageId: 0,
});
