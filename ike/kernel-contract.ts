/**
 * What the core tells the kernel and hears from it. The core owns this contract; `kernel/` implements it.
 * Names and units are xfrm's: lengths in octets, times in seconds.
 */
import type { Secret } from "./crypto/secret.ts";

/** Our reqids start here ("mm"), so that a later start can tell our SAs from those of others. Up to 0xffff of them. */
export const REQID_BASE = 0x6d6d0000;

export type SaProtocol = "esp" | "ah";
export type SaMode = "transport" | "tunnel";

/** A prefix pair with protocol and ports; 0 is any. Addresses are canonical text. */
export interface KernelSelector {
  readonly source: string;
  readonly sourceLength: number;
  readonly destination: string;
  readonly destinationLength: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** One kernel SA: one direction, one protocol. */
export interface KernelSa {
  readonly source: string;
  readonly destination: string;
  readonly protocol: SaProtocol;
  readonly spi: number;
  readonly reqid: number;
  readonly mode: SaMode;
  /** xfrm name and key; null where the protocol has none. A combined mode (`aead`) excludes the other two. */
  readonly encryption: { readonly name: string; readonly key: Secret } | null;
  readonly integrity: { readonly name: string; readonly key: Secret; readonly truncateBits: number } | null;
  readonly aead: { readonly name: string; readonly key: Secret; readonly icvBits: number } | null;
  /** Packets; 0 on outbound SAs. */
  readonly replayWindow: number;
  readonly limits: {
    readonly softSeconds: number | null;
    readonly hardSeconds: number | null;
    readonly softPackets: number | null;
    readonly hardPackets: number | null;
    readonly softOctets: number | null;
    readonly hardOctets: number | null;
  };
  /** ESP in UDP (RFC 3948), with the ports of the outer packet; null: bare. */
  readonly encap: { readonly sourcePort: number; readonly destinationPort: number } | null;
  /**
   * Narrows the SA; null: whatever its policy's template says. A tunnel for the other family than its ends' needs one ("::/0" will do), and one for both
   * families has to say so.
   */
  readonly selector: KernelSelector | "both-families" | null;
}

/** One template of a policy. In transport mode `source` and `destination` null mean the packet's own addresses. */
export interface KernelTemplate {
  readonly source: string | null;
  readonly destination: string | null;
  readonly protocol: SaProtocol;
  readonly reqid: number;
  readonly mode: SaMode;
  readonly level: "required" | "use";
}

export type PolicyDirection = "in" | "out" | "fwd";

/** The kernel keys policies by selector and direction. `allow` without templates lets through in clear. */
export interface KernelPolicy {
  readonly direction: PolicyDirection;
  readonly selector: KernelSelector;
  readonly action: "allow" | "block";
  /** Smaller wins. */
  readonly priority: number;
  readonly templates: readonly KernelTemplate[];
}

export type SaKey = { readonly source: string; readonly destination: string; readonly protocol: SaProtocol; readonly spi: number };

/** `add-policy` refuses where a policy with this selector and direction exists (never replace somebody else's); `update-policy` replaces. */
export type KernelCommand =
  | { readonly do: "add-sa"; readonly sa: KernelSa }
  /** New UDP ports and limits for an SA that is there; its keys stay, and those given are not read. */
  | { readonly do: "update-sa"; readonly sa: KernelSa }
  | { readonly do: "remove-sa"; readonly sa: SaKey }
  | { readonly do: "read-sa"; readonly sa: SaKey }
  /** `before`: what of ours may stand there already, for the journal. */
  | { readonly do: "add-policy"; readonly policy: KernelPolicy; readonly before?: KernelPolicy }
  /** `before`: what it replaces, for the journal. */
  | { readonly do: "update-policy"; readonly policy: KernelPolicy; readonly before?: KernelPolicy }
  | { readonly do: "remove-policy"; readonly policy: Pick<KernelPolicy, "direction" | "selector"> };

/** `index`: the command that failed; those before it were carried out. `exists`: EEXIST. `reason`: the kernel's own words. */
export interface KernelRefusal {
  readonly index: number;
  readonly reason: string;
  readonly exists: boolean;
  readonly command: string;
}

/**
 * What the kernel has, whoever put it there. Policies of sockets and of interfaces are not among them. `endless`: no time limit ends it.
 */
export interface KernelListing {
  readonly sas: readonly (SaKey & { readonly reqid: number; readonly counters: SaCounters; readonly endless: boolean })[];
  readonly policies: readonly ListedPolicy[];
  /** What traffic has asked for that the kernel still waits for: it does not ask again meanwhile. */
  readonly asked?: readonly Acquire[];
  /** It did not tell: nothing is known of what it has. */
  readonly isUnknown?: true;
}

export interface ListedPolicy extends KernelPolicy {
  /** An `add-policy` of this run or an earlier one put it there. */
  readonly ours: boolean;
  /** It says what none of ours says, so that somebody else has made it what it is, in its place; its templates are not told. */
  readonly saysMore?: true;
}

/** The priority of what lets IKE itself by, in front of all else. It is laid before the core knows of any policy, and is not the core's. */
export const BYPASS_PRIORITY = 1;

/** The name of a kernel SA. */
export const saText = ({ protocol, spi, destination }: Pick<SaKey, "protocol" | "spi" | "destination">): string =>
  `${protocol} ${spi} ${destination}`;

/** Whether a reqid is one of ours, of this run or an earlier one. */
export const isOurReqid = (reqid: number): boolean => reqid >= REQID_BASE && reqid <= REQID_BASE + 0xffff;

export interface SaCounters {
  readonly octets: number;
  readonly packets: number;
}

/** A packet met a policy without an SA. Ports are 0 where the protocol has none; icmp type and code are dropped. */
export interface Acquire {
  readonly type: "acquire";
  readonly protocol: SaProtocol;
  readonly reqid: number;
  readonly source: string;
  readonly destination: string;
  readonly ipProtocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export type KernelEvent =
  | Acquire
  /** A packet in UDP whose integrity was proved came from another address or port than its SA knows. */
  | {
      readonly type: "mapping";
      readonly sa: Pick<SaKey, "destination" | "protocol" | "spi">;
      readonly from: { readonly address: string; readonly port: number };
    }
  | { readonly type: "expire"; readonly hard: boolean; readonly sa: SaKey; readonly reqid: number }
  /** A policy is no longer there, whoever removed it; null: all of them, or so many that the kernel could not tell of each. */
  | { readonly type: "policy-gone"; readonly policy: Pick<KernelPolicy, "direction" | "selector"> | null }
  /** A policy was changed, or put there with leave to change what is there, whoever did it: `update-policy` is told so, too. */
  | { readonly type: "policy-changed"; readonly policy: Pick<KernelPolicy, "direction" | "selector" | "action" | "priority"> }
  /** So many packets have come since the last time for SAs that the kernel does not have. */
  | { readonly type: "unknown-spis"; readonly packets: number };
