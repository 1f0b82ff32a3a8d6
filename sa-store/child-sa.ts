/**
 * A child SA: one pair of kernel SAs for each protocol, and the selectors they protect.
 */
import type { ProtocolSuite } from "../ike/crypto/suite.ts";
import type { Rule, TrafficSelector } from "../policy/types.ts";

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

export interface ChildSa {
  readonly id: number;
  /** What equal children share: the key of the wish that made it. */
  readonly key: string;
  readonly spec: ChildSpec;
  readonly role: "initiator" | "responder";
  readonly protections: readonly Protection[];
  /** PFS group name, or null. */
  readonly group: string | null;
  readonly lifetimeSeconds: number;
  readonly lifetimeKilobytes: number | null;
  readonly installedAt: number;
  /** How often this selector pair was keyed anew. */
  readonly rekeys: number;
  /** The IKE SA it was made under; null once that is gone. */
  ike: number | null;
  /** `draining`: a successor carries the traffic, only late packets still arrive here. */
  state: "installed" | "rekeying" | "draining";
  /** How far our outbound SAs are: a rekeying initiator adds them last. */
  outbound: "none" | "asked" | "installed";
}
