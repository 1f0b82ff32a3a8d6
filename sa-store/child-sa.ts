/**
 * A child SA: one pair of kernel SAs for each protocol, and the selectors they protect.
 */
import type { ProtocolSuite } from "../ike/crypto/suite.ts";
import type { Instant } from "../ike/input.ts";
import type { SaCounters } from "../ike/kernel-contract.ts";
import type { Encapsulation } from "../ike/nat.ts";
import type { Timed } from "../ike/timers.ts";
import type { Identity, Rule, TrafficSelector } from "../policy/types.ts";

/** What somebody wants protected: the key by which a second wish for the same is recognised. */
export interface ChildSpec {
  readonly rule: Rule;
  readonly selector: TrafficSelector;
  /** IKE's own end points; in tunnel mode also the tunnel's. */
  readonly local: string;
  readonly remote: string;
  readonly reqid: number;
}

/** One protocol of a child with both its SPIs. */
export interface Protection {
  readonly suite: ProtocolSuite;
  readonly spiIn: number;
  readonly spiOut: number;
}

/** What the kernel counted when it was asked last, and what follows from it. */
export interface ChildUse {
  /** When it was asked; at first: when the pair was made. */
  askedAt: Instant;
  in: SaCounters;
  out: SaCounters;
  /** Octets a second of the busier direction; at first its predecessor's. */
  rate: number;
  /** Milliseconds from message 1 to the new pair being in use. */
  quickMode: number;
  /** The volume lasts for less than ten Quick Modes. */
  tooFast: boolean;
  /** That was said. */
  warned: boolean;
  /** Packets went out and none came in although the peer lives: a new pair was tried once, and perhaps that is how it should be. */
  oneWay: boolean;
  /** Something went out since something came in. */
  sending: boolean;
  /** When another pair for the same selectors stepped back, so that this one carries what it carried. */
  relievedAt: Instant;
  /** When message 3 was sent or came: which of several pairs is the newest. */
  confirmedAt: Instant;
  /** The last sign of life on it. */
  heardAt: Instant;
  /** When a look found that a packet had gone either way. */
  movedAt: Instant;
}

export interface ChildSa extends Timed {
  readonly id: number;
  /** What equal children share: the key of the wish that made it. */
  readonly key: string;
  /** Its rule follows a reload that changes nothing but filters. */
  spec: ChildSpec;
  /** What the peer called itself when it was made. */
  readonly peerId: Identity;
  /** Who it had proved to be (`provenAs`). */
  readonly who: string;
  /** The ports of its packets, where they travel in UDP; follows a peer behind a NAT. */
  encap: Encapsulation | null;
  /** The peer is mainmode too. */
  readonly kin: boolean;
  /** The peer is a member of a Windows cluster. */
  readonly cluster: boolean;
  readonly role: "initiator" | "responder";
  /** When it is renewed: early as by an initiator, or only if the other end does not, as by a responder. */
  readonly turn: "initiator" | "responder";
  readonly protections: readonly Protection[];
  /** PFS group name, or null. */
  readonly group: string | null;
  readonly lifetimeSeconds: number;
  readonly lifetimeKilobytes: number | null;
  readonly installedAt: number;
  /** Somebody asked for it by name: it is kept up although nothing else would bring it back. */
  readonly wanted: boolean;
  /** How often this selector pair was keyed anew. */
  readonly rekeys: number;
  readonly use: ChildUse;
  /** The IKE SA it was made under, or that took it over; null once that is gone. */
  ike: number | null;
  /** `draining`: a successor carries the traffic, only late packets still arrive here. */
  state: "installed" | "rekeying" | "draining";
  /** How far our outbound SAs are: a rekeying initiator adds them last. */
  outbound: "none" | "asked" | "installed";
}
