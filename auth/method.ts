/**
 * The contract between the core and the providers of `auth/providers/`: what blocks, or needs a private key, is a job; its outcome comes
 * back as an input. Pure types but for one table. Invariants: no private key and no ticket ever stands in a job or an outcome; a job holds
 * all that it needs; jobs of one GSS context are carried out in the order in which they were asked for, one at a time.
 */
import type { HashName } from "../ike/crypto/suite.ts";
import type { Identity, KerberosEntry, X509Entry } from "../policy/types.ts";

/** Identifies a job among all of one run of the core. */
export type JobId = number;

/** Authentication methods of RFC 2409 appendix A and RFC 4754 that are signatures. */
export const SIGNATURE_METHOD = { "RSA signatures": 3, "ECDSA-256": 9, "ECDSA-384": 10, "ECDSA-521": 11 } as const;
export type SignatureMethod = (typeof SIGNATURE_METHOD)[keyof typeof SIGNATURE_METHOD];

export type AuthJob =
  | SignJob
  | VerifyJob
  | GssStepJob
  /** GSS_Wrap of a hash, with confidentiality. Never asked twice for one message. */
  | { readonly kind: "gss-wrap"; readonly context: string; readonly data: Uint8Array }
  /** GSS_Unwrap of a HASH payload's body; the provider works on a copy. */
  | { readonly kind: "gss-unwrap"; readonly context: string; readonly data: Uint8Array }
  /** Ends a context. Has no outcome, and none is expected; an unknown context is no error. */
  | { readonly kind: "gss-drop"; readonly context: string }
  /** Whether the method can be used here and now as initiator: certificate valid, keytab readable, ticket to be had. May ask the KDC. */
  | { readonly kind: "usable"; readonly entry: X509Entry | KerberosEntry };

export interface SignJob {
  readonly kind: "sign";
  readonly entry: X509Entry;
  readonly method: SignatureMethod;
  /** HASH_I or HASH_R. RSA: PKCS#1 type 1 around these octets and nothing else (RFC 2409 §5.1). ECDSA: signed as they are (RFC 4754 §3). */
  readonly hash: Uint8Array;
}

/** The peer's proof: its signature, the chain behind it, and whether the certificate is for whom the peer says it is. */
export interface VerifyJob {
  readonly kind: "verify";
  /** Of the rules that the peer might belong to; each is judged by itself (its CAs, its CRLs, its `remote-id`). Never empty. */
  readonly entries: readonly X509Entry[];
  readonly method: SignatureMethod;
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
  /** CERT payloads in the order of the message: `encoding` as in RFC 2408 §3.9 (X.509 signature, CRL, PKCS #7). Bounded by the core in number and octets. */
  readonly certificates: readonly CertificateBody[];
  /** The peer's ID payload: type of RFC 2407 §4.6.2.1, and its data. */
  readonly id: { readonly type: number; readonly data: Uint8Array };
  readonly peerAddress: string;
}

export interface CertificateBody {
  readonly encoding: number;
  readonly data: Uint8Array;
}

export interface GssStepJob {
  readonly kind: "gss-step";
  /** Unique in one run of the core; the first step makes the context. */
  readonly context: string;
  readonly role: "initiate" | "accept";
  readonly entry: KerberosEntry;
  /** Initiator: the principal to get a ticket for, as the peer named itself (`host/b.example.test@REALM`, `name$@REALM`); null as acceptor. */
  readonly target: string | null;
  /** null only in the initiator's first step. */
  readonly token: Uint8Array | null;
  /** Canonical; for `addressNames`. */
  readonly peerAddress: string;
  /** Whether the names of that address decide anything: a rule that the ticket could be for does not name its peer. */
  readonly wantsNames: boolean;
}

export type AuthOutcome =
  /** RSA: as long as the modulus. ECDSA: r and s, each as long as the curve's order (RFC 4754 §7). */
  | { readonly kind: "signed"; readonly signature: Uint8Array }
  | VerifiedOutcome
  | GssSteppedOutcome
  | { readonly kind: "gss-wrapped"; readonly data: Uint8Array }
  | { readonly kind: "gss-unwrapped"; readonly data: Uint8Array }
  | { readonly kind: "usable" };

/** The signature is right, at least one entry takes the proof, and the ID payload is what the certificate proves. */
export interface VerifiedOutcome {
  readonly kind: "verified";
  /** Indexes into the job's entries that trust the chain and want this identity (`remote-id`), in order; never empty. */
  readonly entries: readonly number[];
  /** All that the certificate proves; what the ID payload said is among it. */
  readonly identities: readonly Identity[];
  /** Subject of the certificate and name of its issuer as text, for logs. */
  readonly subject: string;
  readonly issuer: string;
  /** Names of the CAs on the way to the anchors of those entries. */
  readonly issuers: readonly Identity[];
  /** The anchor's public key as a name: nobody gets it by calling a CA of his own like another one. */
  readonly anchor: string;
  /** Other findings for the log, each a sentence. */
  readonly warnings: readonly string[];
}

export interface GssSteppedOutcome {
  readonly kind: "gss-stepped";
  /** To be sent to the peer; null (never empty) where there is none. */
  readonly token: Uint8Array | null;
  /** The context stands, with mutual authentication and integrity: the provider fails where these flags are missing. */
  readonly complete: boolean;
  /** Whom the ticket proves, once complete. */
  readonly peer: GssPeer | null;
}

export interface GssPeer {
  /** The authenticated principal with its realm, `host/b.example.test@REALM`. */
  readonly principal: string;
  /** Names of the peer's address as far as this host knows them: what `host/NAME` is compared with where no `peer-principal` is set. */
  readonly addressNames: readonly string[];
}

/** Why a job failed. `what` is a sentence with both sides of a difference; it never holds key material. */
export interface AuthFailure {
  readonly reason: AuthReason;
  readonly what: string;
  /** What to try next; the table's text where null. */
  readonly hint: string | null;
  /** Where the fault is to be mended. With "me" the method counts as unusable here for a while. */
  readonly whose: "me" | "peer";
}

/** Stable codes of failures, with what to try next. */
export const AUTH_REASONS = {
  "signature-invalid": "the peer's private key does not belong to its certificate, or the message was changed on its way",
  "certificate-missing": "let the peer send its certificate (send-certificate), or give it to us beforehand",
  "certificate-malformed": "look at the peer's certificate with `openssl x509 -text`; it can't be read",
  "certificate-untrusted": "add the peer's certificate authority to `ca`, or let the peer send its intermediate certificates",
  "certificate-expired": "renew the certificate, and compare the clocks of both ends",
  "certificate-not-yet-valid": "compare the clocks of both ends",
  "certificate-revoked": "the certificate was revoked; issue another one",
  "certificate-unsuitable": "issue a certificate for this use (key usage, constraints, key size)",
  "crl-missing": 'give a current list of revoked certificates (`crl-files`), or set crl = "if-present"',
  "crl-expired": "fetch a new list of revoked certificates",
  "identity-not-wanted": "correct `remote-id` in the rule, or see who is calling",
  "identity-not-certified": "let the peer's identity be its certificate's subject or one of its alternative names",
  "kerberos-clock-skew": "set the clocks of both ends and of the KDC; Kerberos allows five minutes",
  "kerberos-unknown-principal": "create the principal in the KDC, or mend `principal` and `peer-principal`",
  "kerberos-no-credentials": "check `keytab` and `principal`; `klist -k FILE` lists what a keytab holds",
  "kerberos-wrong-key": "the keytab's key is not the KDC's; write the keytab anew",
  "kerberos-kdc-unreachable": "check that the KDC runs and that port 88 passes; see krb5.conf",
  "kerberos-library-missing": "install the GSS library of MIT Kerberos (Debian: libgssapi-krb5-2)",
  "kerberos-token-invalid": "the peer's Kerberos token is refused; look at both logs, and at the clocks",
  "kerberos-replay": "the peer sent the same Kerberos token twice; something repeats old messages",
  "kerberos-wrong-peer": "set `peer-principal` to what the peer authenticates as, or let the address have that name",
  "kerberos-not-mutual": "the peer does not authenticate itself; it must allow mutual authentication",
  "provider-timeout": "the call took too long; is the KDC there?",
  "provider-busy": "too many negotiations at once; it will be tried again",
  "provider-failed": "look at the log; a part of mainmode ended unexpectedly",
} as const;
export type AuthReason = keyof typeof AUTH_REASONS;

/** Reasons that a provider gives only for a peer whose signature was right: it is whoever has that certificate, and refused all the same. */
export const AFTER_SIGNATURE: ReadonlySet<AuthReason> = new Set([
  "certificate-untrusted",
  "certificate-expired",
  "certificate-not-yet-valid",
  "certificate-revoked",
  "crl-missing",
  "crl-expired",
  "identity-not-wanted",
]);

/** Octets of the HASH that a method signs, and its own prf; null: phase 1's (RFC 2409 §5.1, RFC 4754 §3). */
export const METHOD_HASH: Readonly<Record<SignatureMethod, HashName | null>> = { 3: null, 9: "sha256", 10: "sha384", 11: "sha512" };
