/**
 * An ISAKMP SA, before and after its Main Mode: what is negotiating, and what is established.
 * Types of the protocol's states come from ike/ as types only; nothing here decides.
 */
import type { AuthChoice } from "../auth/choice.ts";
import type { AuthenticRequest } from "../ike/child-request.ts";
import type { IkeError } from "../ike/errors.ts";
import type { Instant, Path } from "../ike/input.ts";
import type { Established, MainModeState } from "../ike/main-mode-states.ts";
import type { ChildAgreed, ChildOffered, ChildOutcome } from "../ike/quick-mode.ts";
import type { Timed } from "../ike/timers.ts";
import type { ChildSa, ChildSpec } from "./child-sa.ts";
import type { Stranger } from "./stranger.ts";

export type Role = "initiator" | "responder";

/** Somebody wants a child: traffic, a command, or a rule that starts by itself. */
export interface ChildWish {
  readonly key: string;
  readonly spec: ChildSpec;
  /** The child that this one takes over from, or null. */
  readonly replaces: number | null;
  /** Commands to tell; more may join while it is under way. */
  readonly watchers: Set<number>;
  /** How often the kernel had our SPI already. */
  collisions: number;
  /** Its Quick Mode runs under an IKE SA made for it, or it had its one change from a silent SA to a new one. */
  renewed: boolean;
}

/** The last message that moved an exchange, and what we said to it: repeats are answered, never worked on again. */
export interface Repeat {
  received: Uint8Array | null;
  flight: Uint8Array | null;
  /** How often our flight was sent again by our own timer. */
  tries: number;
}

/** How messages between the two travel. */
export interface Fragmented {
  /** The peer sends its long messages in fragments: ours would not get through whole either. */
  fragmented: boolean;
}

export interface Negotiation extends Repeat, Fragmented {
  readonly phase: "negotiating";
  readonly id: number;
  readonly role: Role;
  /** Moves with message 5 (RFC 3947 §4). */
  path: Path;
  /** Where the message came from that is worked on. */
  cameFrom: Path;
  readonly cookieI: Uint8Array;
  readonly startedAt: Instant;
  /** What it becomes again, should a job refuse its message 3; null once that was taken, and where we began. */
  origin: Stranger | null;
  state: MainModeState;
  readonly wishes: ChildWish[];
  /** The last thing that went wrong without ending it: the reason, should it come to nothing. */
  lastError: IkeError | null;
  /** An unverified refusal of the peer's: one more try, then the end. */
  refusal: { readonly name: string; readonly tries: number } | null;
  /** The peer was told that its proof failed: once is enough. */
  told: boolean;
  /** The job under way, and the message of the peer's that it is about: its repeats are absorbed. */
  working: { readonly job: number; readonly message: Uint8Array | null } | null;
  /** A message that a job found wanting: its repeats are not worked on again. `count`: such messages so far. */
  refused: { readonly message: Uint8Array | null; readonly count: number };
  /** What else could be offered, should this offer come to nothing. */
  readonly plan: OfferPlan;
  /** When the first message of ours left of which we have not heard that it did not; null: none has. */
  askedAt: Instant | null;
  /** When the last one was sent. */
  sentAt: Instant | null;
  /** Answers to the peer's demands for its cookie (`cookie-demand.ts`). */
  cookieDemands: number;
}

/** Peers that read only the first transform of an offer are offered one method after the other. */
export interface OfferPlan {
  /** Offers for later, each a list of methods. */
  readonly next: readonly (readonly AuthChoice[])[];
  /** How often message 1 is sent before the next offer is made, or the end has come. */
  readonly patience: number;
  /** An offer of several came to nothing before this one. */
  readonly alone: boolean;
}

export interface IkeSa extends Repeat, Fragmented {
  readonly phase: "established";
  readonly id: number;
  readonly role: Role;
  /** Follows a peer behind a NAT (`nat-path.ts`); set by the store alone. */
  path: Path;
  /** What was agreed. Its rule and proof follow the policy (`adopt.ts`, `rehome.ts`). */
  sa: Established;
  readonly establishedAt: Instant;
  readonly expiresAt: Instant;
  /** Message ids that were used: each starts one exchange, once. */
  readonly usedMessageIds: Set<number>;
  readonly exchanges: Map<number, QuickExchange>;
  readonly children: Set<number>;
  /** The newest R-U-THERE of the peer's (RFC 3706). */
  lastProbe: { readonly sequence: number; readonly messageId: number } | null;
  quickModes: number;
  /** `rekeying`: a new Main Mode is tried. `replaced`: a newer SA has taken over its children, nothing new begins here. */
  state: "established" | "rekeying" | "replaced";
  /** The last authentic message of the peer's, or packet on a child. */
  heardAt: Instant;
  /** Our question whether the peer lives (RFC 3706): how often it was sent; null while none is open. */
  probe: { readonly tries: number } | null;
  /** The number of our last question, which its answer must bear; each new one has the next. */
  sequence: number;
  /** When the peer was last asked. */
  askedAt: Instant;
  /** The peer answered nothing under it lately: perhaps it restarted, and nothing new begins here. */
  silent: boolean;
}

/** A Quick Mode under way, or lingering for the peer's repeats. */
export interface QuickExchange extends Repeat, Timed {
  /** The IKE SA that carries it. */
  readonly ike: number;
  readonly messageId: number;
  readonly startedAt: Instant;
  readonly role: Role;
  iv: Uint8Array;
  state: QuickState;
}

export type QuickState =
  | { readonly kind: "offered"; readonly offered: ChildOffered; readonly wish: ChildWish }
  /** The kernel is asked for the inbound SAs. `answer` is the sealed message to send once it has them. */
  | {
      readonly kind: "installing";
      readonly agreed: ChildAgreed;
      readonly spec: ChildSpec;
      readonly wish: ChildWish | null;
      readonly answer: Uint8Array;
      readonly request: AuthenticRequest | null;
      readonly tries: number;
    }
  /** Responder: message 2 is out, message 3 is not here. */
  | { readonly kind: "answered"; readonly agreed: ChildAgreed; readonly child: ChildSa }
  /** Initiator: message 3 is out, our outbound SAs wait for a sign that the peer has it. */
  | { readonly kind: "confirmed"; readonly agreed: ChildOutcome; readonly child: ChildSa; readonly wish: ChildWish }
  | { readonly kind: "done" };
