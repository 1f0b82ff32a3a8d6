/**
 * The table of negotiations with real peers. Not the full product: every value of every column stands at least once for each
 * peer that knows it, in both roles. A row is what differs from `USUAL`.
 */
import type { Certificates, PeerKind, Role, Scenario } from "./scenario.ts";

/** Every scenario, in the order of the table. */
export function scenarios(): readonly Scenario[] {
  const all = ROWS.flatMap(expand);
  const twice = all.find((one, index) => all.findIndex((other) => other.name === one.name) !== index);
  if (twice) throw new Error(`two scenarios are called ${twice.name}`);
  return all;
}

interface Row extends Partial<Omit<Scenario, "name" | "peer" | "role">> {
  readonly name: string;
  readonly peers: readonly PeerKind[];
  /** Both where not given. */
  readonly roles?: readonly Role[];
}

const STRONGSWAN: readonly PeerKind[] = ["strongswan"];
const LIBRESWAN: readonly PeerKind[] = ["libreswan"];
const OURSELVES: readonly PeerKind[] = ["mainmode"];
const OTHERS: readonly PeerKind[] = [...STRONGSWAN, ...LIBRESWAN];
const ALL: readonly PeerKind[] = [...OTHERS, ...OURSELVES];

const USUAL = {
  ike: "aes128-sha1-modp2048",
  protect: "esp:aes128-sha1",
  pfs: "modp2048",
  mode: "transport",
  family: 4,
  inner: 4,
  flows: 1,
  only: null,
  trigger: "command",
  differs: null,
  certificates: null,
  kerberos: false,
  fragmentation: null,
  narrow: false,
  shortSha256: false,
} as const satisfies Partial<Scenario>;

const x509 = (key: Certificates["key"], more: Partial<Certificates> = {}): Pick<Scenario, "certificates"> => ({
  certificates: { key, issuer: "root", lists: false, asked: true, fallback: false, spelled: false, ...more },
});

const V6 = { family: 6, inner: 6 } as const;

const ROWS: readonly Row[] = [
  // What two ends agree on. libreswan's IKEv1 has no group below 1536 bits, and elliptic groups in phase 1 only.
  { name: "usual", peers: ALL },
  { name: "3des-md5", peers: STRONGSWAN, ike: "3des-md5-modp1024", protect: "esp:3des-md5", pfs: null },
  { name: "3des-modp1024", peers: STRONGSWAN, ike: "3des-sha1-modp1024", protect: "esp:3des-sha1", pfs: "modp1024", mode: "tunnel" },
  { name: "3des-modp1536", peers: OTHERS, ike: "3des-sha1-modp1536", protect: "esp:3des-sha1", pfs: null, mode: "tunnel" },
  { name: "md5", peers: LIBRESWAN, ike: "3des-md5-modp1536", protect: "esp:3des-md5", pfs: "modp1536", ...V6 },
  { name: "ecp256", peers: STRONGSWAN, ike: "aes256-sha256-ecp256", protect: "esp:aes256-sha256", pfs: "ecp256", mode: "tunnel" },
  { name: "ecp256", peers: LIBRESWAN, ike: "aes256-sha256-ecp256", protect: "esp:aes256-sha256", mode: "tunnel" },
  { name: "ecp384", peers: STRONGSWAN, ike: "aes256-sha384-ecp384", protect: "esp:aes128gcm16", pfs: "ecp384", mode: "tunnel", ...V6 },
  { name: "ecp384", peers: LIBRESWAN, ike: "aes256-sha384-ecp384", protect: "esp:aes128gcm16", pfs: null, mode: "tunnel", ...V6 },
  { name: "ecp521", peers: STRONGSWAN, ike: "aes256-sha512-ecp521", protect: "esp:aes256gcm16", pfs: "ecp521" },
  { name: "ecp521", peers: LIBRESWAN, ike: "aes256-sha512-ecp521", protect: "esp:aes256gcm16" },
  { name: "modp3072", peers: OTHERS, ike: "aes192-sha512-modp3072", protect: "esp:aes192-sha512", pfs: "modp3072", ...V6 },
  { name: "modp4096", peers: OTHERS, ike: "aes256-sha256-modp4096", protect: "esp:aes256-sha384", pfs: null, mode: "tunnel", inner: 6 },
  { name: "x25519", peers: STRONGSWAN, ike: "aes128-sha256-x25519", protect: "esp:aes256gcm16", pfs: "x25519", ...V6 },
  { name: "null", peers: OTHERS, protect: "esp:null-sha1", pfs: null },
  { name: "ah-sha1", peers: OTHERS, protect: "ah:sha1", pfs: null },
  { name: "ah-sha256", peers: OTHERS, protect: "ah:sha256", mode: "tunnel", ...V6 },
  // On IPv4 the ICV of these is filled up to 4 octets, and not to 8 as on IPv6.
  { name: "ah-sha256-ipv4", peers: OTHERS, protect: "ah:sha256", pfs: null },
  { name: "ah-sha512", peers: OTHERS, protect: "ah:sha512", mode: "tunnel", pfs: null },
  { name: "ah-esp", peers: OURSELVES, protect: "ah:sha1+esp:3des-sha1" },
  { name: "ah-esp-tunnel", peers: OURSELVES, protect: "ah:sha256+esp:aes128-sha256", mode: "tunnel", ...V6 },
  { name: "ah-esp-across", peers: OURSELVES, protect: "ah:sha256+esp:aes128-sha256", mode: "tunnel", inner: 6, pfs: null },

  // What is protected, who begins, who ends. strongSwan's traps stop neighbour discovery, so that it can't begin on IPv6
  // traffic between hosts. libreswan at once renews what it began and the other side deleted, so that nothing ends then.
  { name: "pings-only", peers: OTHERS, only: "icmp", pfs: null },
  { name: "one-port", peers: OTHERS, only: "tcp", pfs: null },
  // What docs/interop.md shows.
  { name: "office", peers: OTHERS, roles: ["initiator"], ike: "aes256-sha256-modp2048", protect: "esp:aes256-sha256", mode: "tunnel" },
  { name: "two-filters", peers: ALL, mode: "tunnel", flows: 2 },
  { name: "on-traffic", peers: ALL, trigger: "traffic" },
  { name: "on-traffic-tunnel", peers: STRONGSWAN, trigger: "traffic", mode: "tunnel", ...V6 },
  { name: "on-traffic-ipv6", peers: STRONGSWAN, roles: ["initiator"], trigger: "traffic", ...V6 },
  { name: "on-traffic-ipv6", peers: [...LIBRESWAN, ...OURSELVES], trigger: "traffic", ...V6 },
  { name: "peer-deletes", peers: OTHERS, roles: ["initiator"], deletes: "peer", pfs: null },
  { name: "we-delete", peers: STRONGSWAN, roles: ["responder"], deletes: "us", pfs: null },

  // What two ends do not agree on.
  { name: "wrong-psk", peers: ALL, differs: "psk" },
  { name: "no-phase1", peers: ALL, differs: "phase1" },
  { name: "no-phase2", peers: ALL, differs: "phase2" },
  { name: "other-selectors", peers: ALL, differs: "selectors", mode: "tunnel" },

  // Who they are, by certificate. libreswan's IKEv1 signs with RSA only.
  { name: "rsa2048", peers: ALL, pfs: null, ...x509("rsa2048") },
  { name: "rsa3072-chain-list", peers: OTHERS, pfs: null, ...x509("rsa3072", { issuer: "intermediate", lists: true }) },
  { name: "ecdsa256", peers: STRONGSWAN, pfs: null, mode: "tunnel", ...x509("p256", { lists: true, spelled: true }) },
  { name: "ecdsa384-chain", peers: STRONGSWAN, pfs: null, ...V6, ...x509("p384", { issuer: "intermediate" }) },
  { name: "not-asked", peers: OTHERS, pfs: null, ...x509("rsa2048", { asked: false }) },
  { name: "x509-or-psk", peers: STRONGSWAN, pfs: null, ...x509("rsa2048", { fallback: true }) },
  { name: "kerberos-or-psk", peers: STRONGSWAN, pfs: null, kerberos: true },
  { name: "other-authority", peers: OTHERS, differs: "authority", ...x509("rsa2048") },
  { name: "expired", peers: STRONGSWAN, differs: "expired", ...x509("p256") },
  { name: "revoked", peers: OTHERS, differs: "revoked", ...x509("rsa2048", { lists: true }) },
  { name: "old-list", peers: STRONGSWAN, differs: "old-list", ...x509("p256", { lists: true }) },
  { name: "old-list-rsa", peers: LIBRESWAN, differs: "old-list", ...x509("rsa2048", { lists: true }) },
  { name: "other-identity", peers: OTHERS, differs: "identity", ...x509("rsa2048") },

  // What is too long for the path: in fragments at once, or when the whole message got no answer.
  { name: "fragments", peers: OTHERS, pfs: null, fragmentation: "force", ...x509("rsa3072", { issuer: "intermediate" }) },
  { name: "narrow", peers: OTHERS, pfs: null, fragmentation: "auto", narrow: true, ...x509("rsa3072", { issuer: "intermediate" }) },
  { name: "sha256-96", peers: OTHERS, protect: "esp:aes256-sha256", pfs: null, shortSha256: true },
];

function expand({ peers, roles = ["initiator", "responder"], ...row }: Row): readonly Scenario[] {
  return peers.flatMap((peer) =>
    roles.map((role) => ({
      ...USUAL,
      deletes: role === "initiator" ? "us" : "peer",
      ...row,
      peer,
      role,
      name: `${peer}-${role}-${row.name}`,
    })),
  );
}
