/**
 * When an SA is renewed: soft limits before hard ones, spread so that SAs made together are not renewed together, and early enough for a
 * Quick Mode at the rate that was measured. Pure arithmetic.
 * Invariant: the initiator's soft limits lie before the responder's, so that one end renews and the other only if it does not.
 */
import type { IkeSa, Role } from "../sa-store/ike-sa.ts";
import type { Limits } from "./install.ts";
import type { ChildAgreed } from "./quick-mode.ts";

/** What was measured on the pair that a new one follows. */
export interface Pace {
  /** Octets a second of the busier direction. */
  readonly rate: number;
  /** Milliseconds that a Quick Mode takes until the new pair is in use. */
  readonly quickMode: number;
}

/** Of a pair without a predecessor: a Quick Mode of a second, and no traffic. */
export const UNKNOWN_PACE: Pace = { rate: 0, quickMode: 1000 };

interface Shares {
  /** Latest and earliest share of a child's life at which it is renewed. */
  readonly child: readonly [number, number];
  readonly ike: readonly [number, number];
  /** Quick Modes' time that the rest of the volume must last. */
  readonly quickModes: number;
}

/** Who renews when. */
const SHARES: Readonly<Record<Role, Shares>> = {
  initiator: { child: [0.8, 0.75], ike: [0.9, 0.85], quickModes: 4 },
  responder: { child: [0.9, 0.87], ike: [0.97, 0.95], quickModes: 2 },
};

/** Whose limits count: renewing is left to a peer that loses packets when we do. */
export const turnOf = ({ sa }: IkeSa, role: Role): Role => (sa.peer.hasty ? "responder" : role);

/** From 1, without extended ones (RFC 4303 §2.2). A fast link uses them up within a long life, and then Linux sends nothing more on the SA, but tells nobody. */
const SEQUENCE_NUMBERS = 2 ** 32 - 1;

/** At least this much of a volume is used before the next Quick Mode begins. */
const LEAST_SHARE = 0.1;

/** A volume that lasts for fewer Quick Modes than these is too small for its link. */
const LEAST_QUICK_MODES = 10;

export const OCTETS_PER_KILOBYTE = 1000;

/** From 0 to 1, evenly: our SPIs are random, so an SA brings its own dice. */
export const spreadOf = (spi: number): number => (spi % 1009) / 1008;

const between = ([latest, earliest]: readonly [number, number], spread: number): number => latest - (latest - earliest) * spread;

/** Limits of what was negotiated: it always ends. */
export interface TimedLimits extends Limits {
  readonly softSeconds: number;
  readonly hardSeconds: number;
}

/** Kernel limits of a child. One kilobyte is 1000 octets. */
export function limitsOf(
  role: Role,
  { lifetimeSeconds, lifetimeKilobytes, spi }: Pick<ChildAgreed, "lifetimeSeconds" | "lifetimeKilobytes"> & { readonly spi: number },
  pace: Pace = UNKNOWN_PACE,
): TimedLimits {
  const share = between(SHARES[role].child, spreadOf(spi));
  const hard = lifetimeKilobytes === null ? null : lifetimeKilobytes * OCTETS_PER_KILOBYTE;
  return {
    softSeconds: Math.max(1, Math.floor(lifetimeSeconds * share)),
    hardSeconds: lifetimeSeconds,
    kilobytes: lifetimeKilobytes,
    softPackets: Math.floor(SEQUENCE_NUMBERS * share),
    hardPackets: SEQUENCE_NUMBERS,
    softShare: hard === null ? share : Math.max(LEAST_SHARE, Math.min(share, 1 - reserveOf(role, pace) / hard)),
  };
}

/** Octets that must be left when a renewal begins. */
export const reserveOf = (role: Role, { rate, quickMode }: Pace): number => (rate * quickMode * SHARES[role].quickModes) / 1000;

/** Milliseconds after its beginning at which an IKE SA with children is renewed. `dice`: any random number. */
export const ikeRenewal = (role: Role, lifetimeSeconds: number, dice: number): number =>
  Math.max(1000, Math.floor(lifetimeSeconds * 1000 * between(SHARES[role].ike, spreadOf(dice))));

/** Whether a volume is used up in less than ten Quick Modes' time. */
export const isTooFast = (kilobytes: number | null, { rate, quickMode }: Pace): boolean =>
  kilobytes !== null && kilobytes * OCTETS_PER_KILOBYTE < (rate * quickMode * LEAST_QUICK_MODES) / 1000;
