/**
 * The policy as the core sees it: rules with filters, an action, authentication and proposals; no text, no files.
 * `config.ts` makes it out of TOML; the engine, the kernel adapter and `check` read it.
 */

import type { Secret } from "../ike/crypto/secret.ts";
import type { ChildSuite, Group, IkeSuite, ProtocolSuite } from "../ike/crypto/suite.ts";
import type { AddressRange } from "../isakmp/address.ts";

export interface Policy {
  readonly name: string;
  /** In the order of the file. */
  readonly rules: readonly Rule[];
  /** Traffic that no rule touches, besides IKE itself. */
  readonly exempt: readonly Exemption[];
  /** SAs with keys from the file, which nobody negotiates. */
  readonly manual: readonly ManualSa[];
}

/** A kind of traffic that passes whatever the rules say: Windows' default exemptions. Neighbour discovery and IKE always do. */
export type Exemption = "kerberos" | "dns" | "dhcp" | "rsvp" | "broadcast" | "multicast" | "icmp" | "path-mtu";

/**
 * `permit` and `block` let through and drop. `respond` protects only when the peer asks. `request` asks, and falls back to clear text with
 * a peer that speaks no IKE. `require` never lets clear text out or in.
 */
export type Action = "permit" | "block" | "respond" | "request" | "require";

export interface Rule {
  readonly name: string;
  /** For people; it changes nothing. */
  readonly description: string | null;
  readonly action: Action;
  readonly filters: readonly Filter[];
  /** In order of preference; never empty for an action that negotiates. */
  readonly auth: readonly AuthEntry[];
  readonly mode: "transport" | "tunnel";
  /** Tunnel end points; null in transport mode. `local` null: whatever local address the route to `remote` uses. */
  readonly tunnel: { readonly local: string | null; readonly remote: string } | null;
  /** Peers this rule speaks IKE with, where the filters don't say; null: the filter's remote side, or the tunnel's end. */
  readonly peer: AddressRange | null;
  readonly mainMode: MainModePolicy;
  readonly quickMode: QuickModePolicy;
  readonly start: "on-traffic" | "now" | "never";
  /** Seconds without a sign of life, while we send, until the peer is asked (RFC 3706); null: never. */
  readonly dpdSeconds: number | null;
  /** What may pass in clear besides what the action says. */
  readonly clear: ClearText;
  /** What the peer must be, besides what `auth` asks for. */
  readonly demand: PeerDemand;
  /** Offers without encryption (AH, ESP with NULL) are neither made nor accepted: Windows' guaranteed encryption. */
  readonly requireEncryption: boolean;
  /**
   * Messages that may be too long for the path, to peers that announced IKE fragmentation: "auto" sends them in fragments when the whole one was not
   * answered, "force" at once; "off" neither announces it nor takes fragments.
   */
  readonly fragmentation: "auto" | "force" | "off";
  /**
   * NAT traversal: "auto" where both ends announce it and a NAT is found; "force" encapsulates in UDP also without one; "off" neither announces it
   * nor takes part in it.
   */
  readonly natTraversal: "auto" | "force" | "off";
  /** HMAC-SHA2-256 of ESP and AH is cut to 96 bits instead of 128 (RFC 4868), as Linux before 2.6.33 and what was built for it do. */
  readonly shortSha256: boolean;
  /** The default response rule: answers what no other filter is about. Its filter is `me <-> any`. */
  readonly defaultResponse: boolean;
}

/** Where a rule that protects lets clear text pass. */
export interface ClearText {
  /** Unprotected packets are accepted, and answered protected: Windows' inbound pass-through, the boundary of an isolated domain. */
  readonly inbound: boolean;
  /** Packets leave in clear while the negotiation runs: negotiation discovery. */
  readonly discovery: boolean;
  /** Of `request`: without any IKE packet for `afterSeconds`, clear text for `forSeconds` (the "soft SA"). null for the other actions. */
  readonly fallback: { readonly afterSeconds: number; readonly forSeconds: number } | null;
}

/** Remote identity authorisation: judged against what the peer has proved, after its proof. Empty lists demand nothing. */
export interface PeerDemand {
  /** One of these must be among the proved identities; groups are already their members. In a dn the value `*` stands for any. */
  readonly identities: readonly Identity[];
  /** Kerberos principals, in the same list as `identities`: one of either is enough. */
  readonly principals: readonly string[];
  /** The peer's certificate must have been issued below one of these names (a CA on its path). */
  readonly issuers: readonly Extract<Identity, { readonly type: "dn" }>[];
}

/** Both SAs of a pair with keys and SPIs from the file: for tests and fixed appliances. */
export interface ManualSa {
  readonly name: string;
  /** Canonical addresses of the two ends. */
  readonly local: string;
  readonly remote: string;
  readonly mode: "transport" | "tunnel";
  readonly filters: readonly Filter[];
  /** One protocol: AH and ESP for the same packets take a rule, since of two manual SAs for them only the first is used. */
  readonly suite: ProtocolSuite;
  readonly spiIn: number;
  readonly spiOut: number;
  /** The key of the cipher and then that of the integrity algorithm, as `splitKeymat` reads them. */
  readonly keyIn: Secret;
  readonly keyOut: Secret;
}

export interface MainModePolicy {
  /** In order of preference, never empty. */
  readonly proposals: readonly IkeSuite[];
  readonly lifetimeSeconds: number;
  /** Quick Modes per Main Mode; 0 is no limit. */
  readonly quickModes: number;
  readonly masterPfs: boolean;
}

export interface QuickModePolicy {
  readonly proposals: readonly ChildSuite[];
  readonly lifetimeSeconds: number;
  /** Octets; null is no limit. On the wire in kilobytes of 1000 octets. */
  readonly volumeOctets: number | null;
  /** "main-mode": the group that Main Mode agreed on; null: no PFS. */
  readonly pfs: Group | "main-mode" | null;
}

/** One selector pattern, local side first, with the packets that it is about: those we send (`out`), those we get (`in`), or both (mirrored). */
export interface Filter {
  /** As written, for messages. */
  readonly text: string;
  readonly local: Side;
  readonly remote: Side;
  readonly direction: "both" | "out" | "in";
  /** IP protocol number, 0 for any. */
  readonly protocol: number;
  /** 0 for any. */
  readonly localPort: number;
  readonly remotePort: number;
}

/**
 * `me` is every local unicast address (in a tunnel rule: its local end); `any` every address of both families. A `name` (of a host, or one
 * of the sets dns, dhcp and gateway) stands for addresses that the daemon finds: `resolvePolicy` puts ranges in its place, and until then
 * it stands for none.
 */
export type Side =
  | { readonly kind: "me" }
  | { readonly kind: "any" }
  | { readonly kind: "range"; readonly range: AddressRange }
  | { readonly kind: "name"; readonly name: string };

/** One way of proving identity. The identities default as interface.md §2 says. */
export type AuthEntry = PskEntry | X509Entry | KerberosEntry;

interface Identities {
  /** null: our address; with x509 the first identity of our certificate. */
  readonly localId: Identity | null;
  /**
   * null: the peer's address (a differing one is accepted with a warning: NAT); with x509 whatever its certificate proves.
   * A `dn` may be a pattern.
   */
  readonly remoteId: Identity | null;
}

export interface PskEntry extends Identities {
  readonly method: "psk";
  readonly secret: Secret;
}

/** A proof by certificate (RFC 2409 §5.1). The private key is the provider's: the core only passes the entry on. */
export interface X509Entry extends Identities {
  readonly method: "x509";
  readonly own: OwnCertificate;
  readonly trust: Trust;
  readonly sendCertificate: "always" | "asked" | "never";
}

export interface OwnCertificate {
  /** DER: our certificate, then the intermediates that lead to its CA, without the CA itself. */
  readonly chain: readonly Uint8Array[];
  /** What the certificate proves; the first is its subject, or where that is empty an alternative name. */
  readonly identities: readonly Identity[];
  /** DER of the names that issued the chain: a request for one of them asks for this certificate. */
  readonly issuers: readonly Uint8Array[];
  /** Which method it signs with: RSA signatures (3), ECDSA-256, -384 or -521 (9, 10, 11). */
  readonly algorithm: "rsa" | "ecdsa256" | "ecdsa384" | "ecdsa521";
  /** Milliseconds since 1970. */
  readonly notAfter: number;
  readonly privateKey: PrivateKeyHandle;
}

/** A key that only the provider which made the handle can use. */
export interface PrivateKeyHandle {
  /** A handle of its own for the same key. */
  clone(): PrivateKeyHandle;
  destroy(): void;
}

/** Whom a rule believes. Entries with equal settings share one object. */
export interface Trust {
  /** DER of the certificates in `ca`. */
  readonly anchors: readonly Uint8Array[];
  /** DER of their subjects: what our certificate requests name. */
  readonly names: readonly Uint8Array[];
  /** DER of intermediates that came with our own certificate: they may help to a path and are not trusted. */
  readonly intermediates: readonly Uint8Array[];
  readonly crl: "require" | "if-present";
  /** Absolute paths; read anew when they change. */
  readonly crlFiles: readonly string[];
  readonly weak: { readonly shortRsa: boolean; readonly sha1: boolean; readonly oldRoots: boolean };
}

/** Kerberos by GSS-API (method 65001). The names travel in clear. */
export interface KerberosEntry extends Identities {
  readonly method: "kerberos";
  /** Our own principal as the peer is told it: `host/a.example.test@EXAMPLE.TEST` or `name$@REALM`. */
  readonly principal: string;
  /** Path; null: the library's default. */
  readonly keytab: string | null;
  /** Whom the peer must prove to be; a realm may be missing. null: `host/` of one of its address's names. */
  readonly peerPrincipal: string | null;
  readonly quirks: KerberosQuirks;
}

/** Where Windows, the draft and racoon differ and no source is certain. */
export interface KerberosQuirks {
  /** The octet before the token in payload 129 that Windows wants: "auto" sends it (0) to peers that say they are Windows. Receiving it is always detected. */
  readonly tokenOctet: "auto" | "always" | "never";
  /** Whether that octet is covered by the hashes. */
  readonly hashTokenOctet: boolean;
  /** How names are hashed: as on the wire (UTF-16LE), or as single octets. "auto": wire to Windows, single octets to others; receiving accepts both. */
  readonly hashedName: "auto" | "wire" | "single-octet";
  /** How our name is encoded in attribute 16384. */
  readonly nameEncoding: "utf-16le" | "latin-1";
}

/** An identity of phase 1, RFC 2407 §4.6.2. `dn` holds the DER of the name, `key` opaque octets. */
export type Identity =
  | { readonly type: "ip"; readonly address: string }
  | { readonly type: "fqdn" | "user"; readonly name: string }
  | { readonly type: "dn"; readonly der: Uint8Array; readonly text: string }
  | { readonly type: "key"; readonly octets: Uint8Array }
  /** Anything else a peer may send (subnets, ranges, general names): shown, never matched. */
  | { readonly type: "other"; readonly idType: number; readonly octets: Uint8Array };

/** A concrete selector pair of one child SA, local side first: what Quick Mode's two ID payloads say (RFC 2409 §5.5). */
export interface TrafficSelector {
  readonly local: AddressRange;
  readonly remote: AddressRange;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
}
