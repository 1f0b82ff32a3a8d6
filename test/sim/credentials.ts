/** Entries of every method for the two hosts of most stories: throwaway keys, one CA, one realm. */
import { PrivateKey } from "../../auth/providers/private-key.ts";
import { identityOf } from "../../policy/identity.ts";
import type { AuthEntry, Identity, KerberosEntry, KerberosQuirks, Policy, Trust, X509Entry } from "../../policy/types.ts";
import { EXT, type Issued, issue, type KeyKind, newKey } from "../auth/pki.ts";
import { A, B } from "./setting.ts";

/** A policy whose rules prove identity by these entries. */
export const withAuth = (policy: Policy, ...auth: readonly AuthEntry[]): Policy => ({
  ...policy,
  rules: policy.rules.map((rule) => ({ ...rule, auth })),
});

const keys = new Map<KeyKind, ReturnType<typeof newKey>>();
/** One key of a kind and owner: RSA ones take their time. */
function keyOf(kind: KeyKind, owner: string) {
  const name = `${kind} ${owner}` as KeyKind;
  const key = keys.get(name) ?? newKey(kind);
  keys.set(name, key);
  return key;
}

const authority = (cn: string): Issued =>
  issue({ subject: `C=DE, CN=${cn}`, key: keyOf("p256", cn), extensions: [EXT.ca(), EXT.usage(5, 6)] });
export const CA = authority("simulated CA");
export const OTHER_CA = authority("another CA");

const ALGORITHM = { rsa2048: "rsa", p256: "ecdsa256", p384: "ecdsa384", p521: "ecdsa521" } as const;

const trustIn = (ca: Issued): Trust => ({
  anchors: [ca.der],
  names: [ca.subject],
  intermediates: [],
  crl: "if-present",
  crlFiles: [],
  weak: { shortRsa: false, sha1: false, oldRoots: false },
});
const TRUST = trustIn(CA);
const dn = (der: Uint8Array): Identity => identityOf({ type: 9, data: der });

/** A host's certificate under `ca`, and the key that goes with it. */
export function x509(host: "A" | "B", kind: keyof typeof ALGORITHM, more: Partial<X509Entry> = {}, ca: Issued = CA): X509Entry {
  const key = keyOf(kind, host);
  const address = host === "A" ? A : B;
  const extensions = [EXT.names({ dns: `${host.toLowerCase()}.example.test` }, { ip: address.split(".").map(Number) })];
  const certificate = issue({ subject: `C=DE, O=Simulated, CN=${host}`, key, issuer: ca, extensions });
  return {
    method: "x509",
    own: {
      chain: [certificate.der],
      identities: [dn(certificate.subject), { type: "fqdn", name: `${host.toLowerCase()}.example.test` }],
      issuers: [ca.subject],
      algorithm: ALGORITHM[kind],
      notAfter: Number.MAX_SAFE_INTEGER,
      privateKey: new PrivateKey(key.privateKey),
    },
    trust: TRUST,
    sendCertificate: "asked",
    localId: null,
    remoteId: null,
    ...more,
  };
}

export const principalOf = (host: "A" | "B"): string => `host/${host.toLowerCase()}.example.test@EXAMPLE.TEST`;

/** A host's Kerberos entry, and what in it is different. */
export const kerberos = (host: "A" | "B", more: Partial<KerberosEntry> = {}, quirks: Partial<KerberosQuirks> = {}): KerberosEntry => ({
  method: "kerberos",
  principal: principalOf(host),
  keytab: null,
  peerPrincipal: principalOf(host === "A" ? "B" : "A"),
  quirks: { tokenOctet: "auto", hashTokenOctet: false, hashedName: "auto", nameEncoding: "utf-16le", ...quirks },
  localId: null,
  remoteId: null,
  ...more,
});
