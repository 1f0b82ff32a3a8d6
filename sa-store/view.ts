/**
 * The secret-free picture of the SA tables: the fields of interface.md §3, the soft SAs, and the guards.
 */
export interface StatusDocument {
  readonly ikeSas: readonly IkeSaView[];
  readonly childSas: readonly ChildSaView[];
  readonly softSas: readonly SoftSaView[];
  readonly guards: readonly GuardView[];
  readonly refusedPolicies: readonly RefusedPolicyView[];
  /** null: which policies the kernel has is known. */
  readonly policiesUnknown: PoliciesUnknownView | null;
}

/** The kernel does not tell which policies it has: what a rule protects may go in clear. */
export interface PoliciesUnknownView {
  /** For so long. */
  readonly seconds: number;
  /** What `ip` said. */
  readonly reason: string;
  /** What to try next. */
  readonly hint: string;
}

/** What a rule wants in the kernel, and the kernel does not have: packets meet what there is without it. */
export interface RefusedPolicyView {
  /** null: an exemption, or a way past a block. */
  readonly rule: string | null;
  readonly direction: "in" | "out" | "fwd";
  /** As `policy show` has it. */
  readonly selector: string;
  readonly action: "allow" | "block";
  readonly level: "required" | "use" | null;
  readonly priority: number;
  /** The kernel's words. */
  readonly reason: string;
  /** Somebody else's policy has this selector. */
  readonly foreign: boolean;
  /** What to try next. */
  readonly hint: string;
}

/** Clear text with a peer that speaks no IKE, as a `request` rule lets it through for a while. */
export interface SoftSaView {
  readonly id: number;
  readonly rule: string;
  readonly local: string;
  readonly remote: string;
  readonly localPort: number | null;
  readonly remotePort: number | null;
  readonly protocol: string;
  readonly secondsLeft: number;
}

/** A flow that was protected, and is kept from the clear that its rule lets through at other times. */
export interface GuardView extends SoftSaView {
  /** What stands in front of the rule's own policies for that; nothing where those let nothing out. */
  readonly policies: readonly GuardPolicyView[];
}

export interface GuardPolicyView {
  readonly direction: "in" | "out" | "fwd";
  /** `ADDR/LEN`, as `destination`. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  readonly protocol: string;
  readonly level: "required" | "use" | null;
  readonly priority: number;
}

export interface IkeSaView {
  readonly id: number;
  readonly rule: string;
  readonly role: "initiator" | "responder";
  readonly state: "negotiating" | "established" | "rekeying" | "closing";
  readonly local: string;
  readonly remote: string;
  readonly localId: string | null;
  readonly remoteId: string | null;
  readonly auth: "psk" | "rsa" | "ecdsa" | "kerberos";
  readonly encryption: string | null;
  readonly hash: string | null;
  readonly group: string | null;
  readonly initiatorCookie: string;
  readonly responderCookie: string;
  readonly nat: "none" | "local" | "remote" | "both";
  readonly lifetimeSeconds: number | null;
  readonly secondsLeft: number | null;
  readonly quickModes: number;
}

export interface ChildSaView {
  readonly id: number;
  readonly ike: number | null;
  readonly rule: string;
  readonly state: "negotiating" | "installed" | "rekeying" | "draining";
  readonly mode: "transport" | "tunnel";
  readonly tunnel: { readonly local: string; readonly remote: string } | null;
  readonly local: string;
  readonly remote: string;
  readonly localPort: number | null;
  readonly remotePort: number | null;
  readonly protocol: string;
  readonly group: string | null;
  readonly protections: readonly ProtectionView[];
  /** The daemon fills these from the kernel. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly lifetimeSeconds: number | null;
  readonly secondsLeft: number | null;
  readonly lifetimeKilobytes: number | null;
  readonly rekeys: number;
  /** What an administrator should change, or null. */
  readonly warning: string | null;
}

export interface ProtectionView {
  readonly protocol: "esp" | "ah";
  readonly encryption: string | null;
  readonly integrity: string | null;
  /** `0x` and 8 hex digits. */
  readonly spiIn: string;
  readonly spiOut: string;
}
