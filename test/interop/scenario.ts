/**
 * What one negotiation with a real peer is, and where it takes place: every scenario has a peer address of its own, so that one
 * daemon on each side holds the configuration of all of them and none meets the SAs of another.
 */

export type PeerKind = "strongswan" | "libreswan" | "mainmode";
export type Role = "initiator" | "responder";

/** What the peer is configured with otherwise than we are; such a negotiation has to fail. */
export type Difference = "psk" | "phase1" | "phase2" | "selectors" | CertificateTrouble;

/** What is the matter with the peer's certificate, or with what we know of it. */
export type CertificateTrouble = "authority" | "expired" | "revoked" | "old-list" | "identity";

/** A proof by certificate: what both sides have. */
export interface Certificates {
  readonly key: "rsa2048" | "rsa3072" | "p256" | "p384";
  /** Who issued the certificates of both hosts. */
  readonly issuer: "root" | "intermediate";
  /** We want a current list of what was revoked. */
  readonly lists: boolean;
  /** The certificates are asked for and sent; else each side has the other's beforehand. */
  readonly asked: boolean;
  /** Our rule has a pre-shared key in the second place, and the peer has nothing else. */
  readonly fallback: boolean;
  /** The peer's DN stands in its configuration, where it is encoded anew: strongSwan writes other string types than the certificate has. */
  readonly spelled: boolean;
}

export interface Scenario {
  /** Unique; also the name of the rule, of the peer's connection and of the capture. */
  readonly name: string;
  readonly peer: PeerKind;
  /** Ours. */
  readonly role: Role;
  /** cipher-hash-group as in our configuration. */
  readonly ike: string;
  /** A Quick Mode proposal as in our configuration. */
  readonly protect: string;
  /** A group, or null: no PFS. */
  readonly pfs: string | null;
  readonly mode: "transport" | "tunnel";
  /** Of the addresses that speak IKE. */
  readonly family: 4 | 6;
  /** Of the subnets behind them, in tunnel mode. */
  readonly inner: 4 | 6;
  /** How many filters the rule has. */
  readonly flows: 1 | 2;
  /** The filters protect pings only, or TCP to one port of theirs; null: everything. */
  readonly only: "icmp" | "tcp" | null;
  /** What makes the initiator begin: its operator or a packet. */
  readonly trigger: "command" | "traffic";
  /** Who deletes the SAs in the end. */
  readonly deletes: "us" | "peer";
  readonly differs: Difference | null;
  /** null: a pre-shared key. */
  readonly certificates: Certificates | null;
  /** Our rule has Kerberos in the first place and a pre-shared key in the second, and the peer has nothing else. */
  readonly kerberos: boolean;
  /** How both sides treat long messages; null: as they do by default, and nothing is said about the wire. */
  readonly fragmentation: "auto" | "force" | null;
  /** Neither host gets datagrams that came in IP fragments. */
  readonly narrow: boolean;
  /** HMAC-SHA2-256 cut to 96 bits, by configuration of both sides. */
  readonly shortSha256: boolean;
}

/** Two ends of a protected flow: what the selector says (an address or a subnet) and an address in it that answers. */
export interface FlowEnd {
  readonly net: string;
  readonly address: string;
}

export interface End {
  /** The address that speaks IKE. */
  readonly host: string;
  readonly flows: readonly FlowEnd[];
}

export interface Placed extends Scenario {
  readonly us: End;
  readonly theirs: End;
}

/** Addresses for the scenario with this index among those of one guest, up to `MOST_SCENARIOS`. */
export function place(scenario: Scenario, index: number): Placed {
  if (index >= MOST_SCENARIOS) throw new Error(`more than ${MOST_SCENARIOS} scenarios in one guest`);
  const us = scenario.family === 4 ? OUR_HOST.v4 : OUR_HOST.v6;
  const theirs = scenario.family === 4 ? `192.0.2.${10 + index}` : `2001:db8::${(0x10 + index).toString(16)}`;
  const flows = Array.from({ length: scenario.flows }, (_, flow) => flow);
  const ends = (side: "us" | "theirs", host: string): readonly FlowEnd[] =>
    flows.map((flow) => (scenario.mode === "transport" ? { net: host, address: host } : subnet(side, scenario.inner, index, flow)));
  return { ...scenario, us: { host: us, flows: ends("us", us) }, theirs: { host: theirs, flows: ends("theirs", theirs) } };
}

/** Our address on the wire. */
export const OUR_HOST = { v4: "192.0.2.1", v6: "2001:db8::1" } as const;
/** All of the subnets behind the one and the other side: RFC 5737 and RFC 3849. */
export const BEHIND = {
  us: { v4: "198.51.100.0/24", v6: "2001:db8:1::/48" },
  theirs: { v4: "203.0.113.0/24", v6: "2001:db8:2::/48" },
} as const;

/** The second filter of a scenario has subnets of its own on both sides. On their side every scenario has its own. */
function subnet(side: "us" | "theirs", family: 4 | 6, index: number, flow: number): FlowEnd {
  const slot = side === "us" ? flow : 2 * index + flow;
  if (family === 6) {
    // Written as the kernel prints it, which is waited for.
    const net = `2001:db8:${side === "us" ? 1 : 2}${slot === 0 ? "" : `:${slot.toString(16)}`}::`;
    return { net: `${net}/64`, address: `${net}1` };
  }
  const [prefix, size] = side === "us" ? ["198.51.100", 64] : ["203.0.113", 4];
  const length = side === "us" ? 26 : 30;
  return { net: `${prefix}.${slot * size}/${length}`, address: `${prefix}.${slot * size + 1}` };
}

const MOST_SCENARIOS = 32;

/**
 * Nobody says that keys differ: the peer is silent after message 5. The command has said what that probably means, but the negotiation goes on
 * until it is terminated, long before it would count as failed.
 */
export const isGuess = ({ role, differs }: Scenario): boolean => role === "initiator" && differs === "psk";
