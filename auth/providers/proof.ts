/**
 * The two questions of a proof by certificate (RFC 2409 §5.1, RFC 4754): sign our HASH, and does the peer's signature over its HASH come from
 * somebody that a rule believes? Pure but for the clock and the lists that are handed in; `x509.ts` runs it away from the event loop.
 * The order is that of cost: identity against certificate, then one signature, then the path.
 */
import { constants, createHash, type KeyObject, privateEncrypt, publicDecrypt } from "node:crypto";
import { sameDigest } from "../../ike/crypto/compare.ts";
import { ECDSA_CURVES, type EcdsaName, ecdsaSign, ecdsaVerify } from "../../ike/crypto/ecdsa.ts";
import { toHex } from "../../isakmp/hex.ts";
import { AUTH_METHOD } from "../../isakmp/numbers.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { fitsIdentity, formatIdentity, identityOf, sameIdentity } from "../../policy/identity.ts";
import type { Identity, Trust } from "../../policy/types.ts";
import type { AuthFailure, AuthReason } from "../method.ts";
import { type Certificate, certificateTitle, isSelfIssued } from "./certificate.ts";
import type { RevocationList } from "./crl.ts";
import { identitiesOf, proversOf } from "./identities.ts";
import { type Budget, freshBudget, type PathFault, signsNothing, type Terrain, validatePath } from "./path.ts";
import type { KeyAlgorithm } from "./private-key.ts";
import { readReceived, type SentCertificate } from "./received.ts";
import { CURVES, usableKey } from "./signed.ts";

/** Signs the octets of HASH_I or HASH_R. `entropy`: 32 fresh random octets. The length is that of the modulus, or twice that of the curve's order. */
export function signHash(algorithm: KeyAlgorithm, key: KeyObject, hash: Uint8Array, entropy: Uint8Array): Uint8Array {
  // PKCS#1 type 1 round the bare hash: IKEv1 names no hash algorithm in it (RFC 2409 §5.1).
  if (algorithm === "rsa") return Uint8Array.from(privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, hash));
  const { octets } = ECDSA_CURVES[algorithm];
  const scalar = Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url");
  const padded = new Uint8Array(octets);
  padded.set(scalar, octets - scalar.length);
  const signature = ecdsaSign(algorithm, padded, hash, entropy);
  for (const spent of [scalar, padded]) spent.fill(0);
  return signature;
}

/** An entry as far as checking a peer needs it. */
export interface Wanted {
  readonly trust: Trust;
  readonly remoteId: Identity | null;
}

/** A peer's claim. `entries` are those that the negotiation could be of, in the order of preference. */
export interface Claim {
  readonly entries: readonly Wanted[];
  readonly method: number;
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
  readonly certificates: readonly SentCertificate[];
  readonly id: { readonly type: number; readonly data: Uint8Array };
}

/** `entries`: indexes of those that take the proof. The certificate proves all of `identities`, and `id`, which the peer said, is among them. */
export interface Proven {
  readonly entries: readonly number[];
  readonly id: Identity;
  readonly identities: readonly Identity[];
  readonly subject: string;
  readonly issuer: string;
  /** Names of the CAs on the way to the anchors of those entries. */
  readonly issuers: readonly Identity[];
  /** Whose word it all stands on: SHA-256 of the public key of the last entry's anchor, in hex. */
  readonly anchor: string;
  readonly warnings: readonly string[];
}

/** What the check has from outside: the time of day in milliseconds since 1970, and the lists of the files that a `Trust` names, or why those can't be had. */
export interface ProofWorld {
  readonly milliseconds: number;
  readonly lists: (files: readonly string[]) => Result<readonly RevocationList[], string>;
  readonly parsed: (ders: readonly Uint8Array[]) => readonly Certificate[];
}

/** Whether the peer is who it says, and for which of the entries. */
export function checkClaim(claim: Claim, world: ProofWorld): Result<Proven, AuthFailure> {
  const received = readReceived(claim.certificates);
  if (!received.ok)
    return fault("certificate-malformed", received.error, "nobody needs so many certificates; is this peer what it seems to be?");
  const id = identityOf(claim.id);
  const pinned = pinnedBy(claim, world);
  if (received.value.certificates.length + pinned.length === 0) {
    const [why] = received.value.ignored;
    return fault(
      "certificate-missing",
      `the peer sent no certificate${why === undefined ? "" : ` but ${why}`}`,
      "let the peer send its certificate, or put that very certificate into ca here",
    );
  }
  const named = proversOf([...received.value.certificates, ...pinned], id);
  if (named.length === 0) return fault("identity-not-certified", unproven(id, received.value.certificates));
  const signers = findSigners(claim, named);
  if (!signers.ok) return signers;
  const { certificates, lists } = received.value;
  const sent: Sent = { id, certificates, lists, budget: freshBudget() };
  const [first, ...renewed] = signers.value;
  const verdict = judge(claim, world, first, sent);
  for (const signer of verdict.ok ? [] : renewed) {
    const other = judge(claim, world, signer, sent);
    if (other.ok) return other;
  }
  return verdict;
}

/** Certificates of `ca` that are no CA's: peers' own, which need not be sent. */
const pinnedBy = ({ entries }: Claim, { parsed }: ProofWorld): readonly Certificate[] =>
  [...new Set(entries.map(({ trust }) => trust))].flatMap(({ anchors, weak }) =>
    parsed(anchors).filter((one) => signsNothing(one, weak) !== undefined),
  );

/** Keys of one identity that are tried on the signature, and certificates of the key that made it: one is renewed without a new key. */
const MAX_SIGNERS = 4;

const fault = (reason: AuthReason, what: string, hint: string | null = null): Result<never, AuthFailure> =>
  err({ reason, what, hint, whose: "peer" });

function unproven(id: Identity, candidates: readonly Certificate[]): string {
  const [first] = candidates;
  if (!first) return `the peer calls itself ${formatIdentity(id)}, which none of the certificates in ca proves, and it sent none`;
  const has = identitiesOf(first).slice(0, 6).map(formatIdentity).join(", ");
  const close = candidates.some((one) => identitiesOf(one).some((own) => sameIdentity(own, id)));
  return `the peer calls itself ${formatIdentity(id)}, and its certificate proves ${has === "" ? "no identity" : has}${close ? "; they differ in capitals or blanks only" : ""}`;
}

type Signers = readonly [Certificate, ...Certificate[]];

/** The certificates whose key made the signature, as many as are looked at. */
function findSigners({ method, hash, signature, entries }: Claim, named: readonly Certificate[]): Result<Signers, AuthFailure> {
  let first: Result<never, AuthFailure> | undefined;
  const weak = { shortRsa: entries.some(({ trust }) => trust.weak.shortRsa), sha1: false, oldRoots: false };
  for (const [certificate, ...renewed] of byKey(named).slice(0, MAX_SIGNERS)) {
    const key = usableKey(certificate.publicKey, weak);
    const wrong = key.ok ? signatureFault(method, key.value, hash, signature) : undefined;
    if (key.ok && wrong === undefined) return ok([certificate, ...renewed.slice(0, MAX_SIGNERS - 1)]);
    if (!key.ok) first ??= fault("certificate-unsuitable", `${certificateTitle(certificate)}: ${key.error}`);
    else first ??= fault("signature-invalid", `${wrong} (key of ${certificateTitle(certificate)})`);
  }
  return first ?? fault("signature-invalid", "no certificate of that identity");
}

/** Certificates of one key together, in the order of the first of each. */
function byKey(certificates: readonly Certificate[]): readonly Signers[] {
  const found = new Map<string, [Certificate, ...Certificate[]]>();
  for (const one of certificates) {
    const key = toHex(one.publicKey);
    const same = found.get(key);
    if (same) same.push(one);
    else found.set(key, [one]);
  }
  return [...found.values()];
}

/** Why a signature of Main Mode is not one of `hash` under `key`, or undefined. */
function signatureFault(method: number, key: KeyObject, hash: Uint8Array, signature: Uint8Array): string | undefined {
  if (method === AUTH_METHOD["RSA signatures"]) {
    if (key.asymmetricKeyType !== "rsa") return `the method is RSA signatures, and the certificate's key is ${key.asymmetricKeyType}`;
    const octets = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
    if (signature.length !== octets) return `the signature has ${signature.length} octets, the key makes ${octets}`;
    return sameDigest(openSignature(key, signature), hash) ? undefined : "the signature is wrong";
  }
  const name = ECDSA_METHODS[method];
  if (!name || CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""] !== name)
    return "the certificate's key is of another kind than the method";
  const { octets } = ECDSA_CURVES[name];
  if (signature.length !== 2 * octets) return `the signature has ${signature.length} octets, the method has ${2 * octets}`;
  const { x = "", y = "" } = key.export({ format: "jwk" });
  const point = Buffer.concat([Uint8Array.of(4), ...[x, y].map((part) => Buffer.from(part, "base64url"))]);
  return ecdsaVerify(name, point, hash, signature) ? undefined : "the signature is wrong";
}

const ECDSA_METHODS: Readonly<Record<number, EcdsaName>> = {
  [AUTH_METHOD["ECDSA-256"]]: "ecdsa256",
  [AUTH_METHOD["ECDSA-384"]]: "ecdsa384",
  [AUTH_METHOD["ECDSA-521"]]: "ecdsa521",
};

/** What is inside the padding; no octets where there is none. */
function openSignature(key: KeyObject, signature: Uint8Array): Uint8Array {
  try {
    return publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature);
  } catch {
    return new Uint8Array();
  }
}

/** What a peer sent, and the cost of all that is asked because of it. */
interface Sent {
  readonly id: Identity;
  readonly certificates: readonly Certificate[];
  readonly lists: readonly RevocationList[];
  readonly budget: Budget;
}

/** Whose CAs lead to the signer, and which of them wanted this identity. Entries that believe the same CAs are asked once. */
function judge({ entries }: Claim, world: ProofWorld, signer: Certificate, sent: Sent): Result<Proven, AuthFailure> {
  const { id, budget } = sent;
  const identities = identitiesOf(signer);
  const verdicts = new Map<Trust, ReturnType<typeof validatePath>>();
  const accepted: number[] = [];
  const above = new Map<string, Identity>();
  let anchor = signer;
  let warnings: readonly string[] = [];
  let untrusted: PathFault | undefined;
  const unwanted: string[] = [];
  for (const [index, { trust, remoteId }] of entries.entries()) {
    const verdict = verdicts.get(trust) ?? pathTo(trust, world, signer, sent);
    verdicts.set(trust, verdict);
    if (!verdict.ok) untrusted ??= verdict.error;
    else if (remoteId && ![id, ...identities].some((one) => fitsIdentity(remoteId, one))) unwanted.push(formatIdentity(remoteId));
    else {
      if (accepted.length === 0) warnings = verdict.value.warnings;
      for (const { subject } of verdict.value.certificates.slice(1))
        above.set(subject.key, { type: "dn", der: Uint8Array.from(subject.der), text: subject.text });
      anchor = verdict.value.certificates.at(-1) ?? signer;
      accepted.push(index);
    }
  }
  if (accepted.length > 0)
    return ok({
      ...{ entries: accepted, id, identities, warnings },
      ...{ subject: certificateTitle(signer), issuer: signer.issuer.text, issuers: [...above.values()], anchor: fingerprint(anchor) },
    });
  if (unwanted.length > 0)
    return fault(
      "identity-not-wanted",
      `the peer proved to be ${formatIdentity(id)}; wanted is ${[...new Set(unwanted)].slice(0, 4).join(" or ")}`,
    );
  if (budget.signatures <= 0)
    return fault(
      "certificate-untrusted",
      `${certificateTitle(signer)}: more CAs than can be tried are called like an issuer on its way (of the rules of this peer and what it sent)`,
    );
  if (untrusted) return fault(untrusted.kind, untrusted.what);
  return fault("certificate-untrusted", "no rule for this peer has a ca");
}

/** Names can be given to anybody, keys cannot. */
const fingerprint = ({ publicKey }: Certificate): string => createHash("sha256").update(publicKey).digest("hex");

/** CAs of `ca` that another one of them issued are on the way and not its end, so that their own revocation is asked, too. */
function pathTo(trust: Trust, world: ProofWorld, signer: Certificate, sent: Sent): ReturnType<typeof validatePath> {
  const listed = world.parsed(trust.anchors);
  const issuers = new Set(listed.filter((one) => signsNothing(one, trust.weak) === undefined).map(({ subject }) => subject.key));
  const issuedByListed = (one: Certificate): boolean => !isSelfIssued(one) && issuers.has(one.issuer.key);
  const own = world.parsed(trust.intermediates);
  const filed = world.lists(trust.crlFiles);
  const terrain: Terrain = {
    anchors: listed.filter((one) => !issuedByListed(one)),
    others: [...listed.filter(issuedByListed), ...own, ...sent.certificates],
    lists: [...(filed.ok ? filed.value : []), ...sent.lists],
    crl: trust.crl,
    weak: trust.weak,
    milliseconds: world.milliseconds,
  };
  const verdict = validatePath(signer, terrain, sent.budget);
  // A list that the configuration names counts, whether or not one is required.
  return !filed.ok && (verdict.ok || verdict.error.kind === "crl-missing") ? err({ kind: "crl-missing", what: filed.error }) : verdict;
}
