/**
 * When a flight is sent again, as data. Milliseconds.
 */

/** Waits before each repetition; after the last wait the negotiation is given up. 27 s in all, so that a command that waits 30 s hears why. */
export const RETRANSMIT_WAITS: readonly number[] = [1000, 2000, 4000, 8000, 12000];

/** How long a peer may go on repeating its last message (strongSwan's default schedule lasts 165 s). */
export const LINGER = 165_000;

/** A responder's half-open Main Mode lives as long as an initiator's schedule and some network delay. */
export const HALF_OPEN = 60_000;

/** After message 3 of a rekey: by then a repeat of message 2 would have come (strongSwan's first comes after 4 s). */
export const SWITCH = 5000;

/** How long a replaced inbound SA still takes late packets after its delete was sent. */
export const DRAIN = 10_000;

/** A responder that set the commit bit gets message 3 this often. */
export const COMMIT_TRIES = 5;
