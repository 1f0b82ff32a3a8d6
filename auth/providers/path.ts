/**
 * Certification paths: from a peer's certificate to one of a rule's CAs (RFC 5280 §6, profiled for IKE by RFC 4945 §5).
 * Whoever can reach us can send certificates, so the search is bounded by steps and signature checks, and cheap questions come first.
 */
import type { KeyObject } from "node:crypto";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { attributeTexts } from "../../policy/name-match.ts";
import type { AuthReason } from "../method.ts";
import { type Certificate, certificateTitle, isSelfIssued, KEY_USAGE, sameCertificate } from "./certificate.ts";
import { dateText, type RevocationList, revocationStatus } from "./crl.ts";
import { constraintFault, type GeneralNames } from "./general-names.ts";
import { signatureFault, usableKey, type Weakness, WRONG_SIGNATURE } from "./signed.ts";

/** What a path has to lead to, and what is at hand to build it. */
export interface Terrain {
  /** Trusted by configuration. One that is no CA is trusted as somebody's own certificate and signs nothing. */
  readonly anchors: readonly Certificate[];
  /** Certificates of any origin: those that the peer sent, and intermediates of the configuration. */
  readonly others: readonly Certificate[];
  readonly lists: readonly RevocationList[];
  readonly crl: "require" | "if-present";
  readonly weak: Weakness;
  /** The time of day, milliseconds since 1970. */
  readonly milliseconds: number;
}

/** A path that holds. `warnings`: what was not asked for and would have been good to know. */
export interface ValidPath {
  /** From the peer's certificate to the anchor. */
  readonly certificates: readonly Certificate[];
  readonly key: KeyObject;
  readonly warnings: readonly string[];
}

export interface PathFault {
  readonly kind: Extract<
    AuthReason,
    | "certificate-untrusted"
    | "certificate-expired"
    | "certificate-not-yet-valid"
    | "certificate-revoked"
    | "certificate-unsuitable"
    | "crl-missing"
    | "crl-expired"
  >;
  readonly what: string;
}

/** Certificates from the peer's to the anchor. */
const MAX_DEPTH = 8;
/** Steps of the search, and signature checks in it: many times what honest hierarchies need. */
const MAX_STEPS = 64;
const MAX_SIGNATURES = 12;

/** What all searches for one proof share: the checks that they may still make together, and what earlier ones found. */
export interface Budget {
  signatures: number;
  /** Signatures checked so far, by what may be weak, issuer and subject. */
  readonly verified: Map<string, Map<Certificate, Map<Certificate, string | undefined>>>;
}

/** For searches in up to as many sets of CAs as anybody has: each is bounded, and all of them together. */
export const freshBudget = (): Budget => ({ signatures: MAX_SIGNATURES * 16, verified: new Map() });

/** The shortest way found from `leaf` to an anchor, or why there is none. */
export function validatePath(leaf: Certificate, terrain: Terrain, budget: Budget = freshBudget()): Result<ValidPath, PathFault> {
  const search: Search = { terrain, budget, steps: 0, signatures: 0, faults: [] };
  const own = leafFault(leaf, terrain);
  if (own) return err(own);
  const pinned = terrain.anchors.some((anchor) => sameCertificate(anchor, leaf));
  const found = pinned ? finish(search, [leaf]) : extend(search, [leaf]);
  if (found) return ok(found);
  if (search.steps >= MAX_STEPS || search.signatures >= MAX_SIGNATURES || budget.signatures <= 0)
    return err({
      kind: "certificate-untrusted",
      what: `no way from ${certificateTitle(leaf)} to a CA of the rule was found in ${search.steps} steps; the certificates sent are tangled`,
    });
  return err(search.faults[0] ?? noIssuer(leaf));
}

interface Search {
  readonly terrain: Terrain;
  steps: number;
  signatures: number;
  readonly budget: Budget;
  /** What was wrong, in the order it was found. */
  readonly faults: PathFault[];
}

const noIssuer = (certificate: Certificate): PathFault => ({
  kind: "certificate-untrusted",
  what: isSelfIssued(certificate)
    ? `${certificateTitle(certificate)} is signed by itself and not among the rule's ca`
    : `${certificateTitle(certificate)} was issued by ${certificate.issuer.text}, which is neither among the rule's ca nor was it sent`,
});

const tooLong = (path: readonly Certificate[]): PathFault => ({
  kind: "certificate-untrusted",
  what: `no CA of the rule is within ${MAX_DEPTH} certificates of ${certificateTitle(path[0] as Certificate)}; further ways are not gone`,
});

/** Depth first, anchors before others. */
function extend(search: Search, path: readonly Certificate[]): ValidPath | undefined {
  const { anchors, others } = search.terrain;
  const last = path[path.length - 1] as Certificate;
  let any = false;
  for (const [i, pool] of [anchors, others].entries()) {
    for (const issuer of pool) {
      if (search.steps >= MAX_STEPS) return undefined;
      if (!couldIssue(issuer, last) || path.some((one) => sameCertificate(one, issuer))) continue;
      search.steps++;
      any = true;
      const fault = issuerFault(search, issuer, path, i === 0);
      if (fault) {
        search.faults.push(fault);
        continue;
      }
      const longer = [...path, issuer];
      if (i > 0 && longer.length === MAX_DEPTH) search.faults.push(tooLong(longer));
      const found = i === 0 ? finish(search, longer) : longer.length < MAX_DEPTH ? extend(search, longer) : undefined;
      if (found) return found;
    }
  }
  if (!any) search.faults.push(noIssuer(last));
  return undefined;
}

/** By names and, where both say, by key identifiers: these are what tells CAs of one name apart. */
export function couldIssue(issuer: Certificate, subject: Certificate): boolean {
  if (issuer.subject.key !== subject.issuer.key) return false;
  const [wanted, has] = [subject.extensions.authorityKeyId, issuer.extensions.subjectKeyId];
  return wanted === undefined || has === undefined || wanted === has;
}

const refused = (certificate: Certificate, what: string): PathFault => ({
  kind: "certificate-unsuitable",
  what: `${certificateTitle(certificate)}: ${what}`,
});

/** Why `issuer` may not have issued the last certificate of `path`. Signatures come last: they cost most. */
function issuerFault(search: Search, issuer: Certificate, path: readonly Certificate[], anchor: boolean): PathFault | undefined {
  const { terrain } = search;
  const common = commonFault(issuer, terrain);
  if (common) return common;
  const unable = signsNothing(issuer, { oldRoots: anchor && terrain.weak.oldRoots });
  if (unable !== undefined) return refused(issuer, unable);
  const below = path.slice(1).filter((one) => !isSelfIssued(one)).length;
  const limit = issuer.extensions.basicConstraints?.pathLength;
  if (limit !== undefined && below > limit) return refused(issuer, `it allows ${limit} CAs below it, there are ${below} (path length)`);
  if (!anchor && !suitsIke(issuer)) return refused(issuer, `${USAGES} are not among its extended key usages`);
  return checkSignature(search, issuer, path[path.length - 1] as Certificate);
}

/**
 * Why a certificate signs no other, or undefined for a CA's. One of version 1 does not say which it is, and whoever trusts somebody's own must
 * not get a CA by it: so it is one only where the configuration says so, and only where it is its own issuer.
 */
export function signsNothing(one: Certificate, { oldRoots }: Pick<Weakness, "oldRoots">): string | undefined {
  const { basicConstraints, keyUsage } = one.extensions;
  if (!basicConstraints?.ca && !(oldRoots && isOldRoot(one))) return "it is no CA's certificate";
  if (keyUsage !== undefined && (keyUsage & KEY_USAGE.keyCertSign) === 0) return "its key may not sign certificates (key usage)";
  return undefined;
}

/** Whether a certificate could be a root that is older than extensions. */
export const isOldRoot = (one: Certificate): boolean => one.version < 3 && isSelfIssued(one);

function checkSignature(search: Search, issuer: Certificate, subject: Certificate): PathFault | undefined {
  const { budget } = search;
  const known = checkedOf(search, issuer);
  if (!known.has(subject)) {
    if (search.signatures >= MAX_SIGNATURES || budget.signatures <= 0)
      return refused(subject, "too many certificates with one name were sent");
    search.signatures++;
    budget.signatures--;
    const key = usableKey(issuer.publicKey, search.terrain.weak);
    known.set(
      subject,
      key.ok ? signatureFault(subject.signed, key.value, search.terrain.weak) : `its issuer ${certificateTitle(issuer)}: ${key.error}`,
    );
  }
  const fault = known.get(subject);
  if (fault === WRONG_SIGNATURE)
    return {
      kind: "certificate-untrusted",
      what: `${certificateTitle(subject)}: its signature is wrong: it is not of the ${certificateTitle(issuer)} that we know`,
    };
  return fault === undefined ? undefined : refused(subject, fault);
}

/** What is known of the signatures of an issuer. */
function checkedOf({ budget: { verified }, terrain: { weak } }: Search, issuer: Certificate): Map<Certificate, string | undefined> {
  const kind = `${weak.shortRsa} ${weak.sha1}`;
  const issuers = verified.get(kind) ?? new Map<Certificate, Map<Certificate, string | undefined>>();
  verified.set(kind, issuers);
  const known = issuers.get(issuer) ?? new Map<Certificate, string | undefined>();
  issuers.set(issuer, known);
  return known;
}

/** What holds for every certificate of a path. */
function commonFault(certificate: Certificate, { milliseconds }: Terrain): PathFault | undefined {
  const { notBefore, notAfter, extensions } = certificate;
  const title = certificateTitle(certificate);
  if (milliseconds < notBefore)
    return {
      kind: "certificate-not-yet-valid",
      what: `${title} is not valid before ${dateText(notBefore)}; it is ${dateText(milliseconds)} here`,
    };
  if (milliseconds > notAfter)
    return { kind: "certificate-expired", what: `${title} expired ${dateText(notAfter)}; it is ${dateText(milliseconds)} here` };
  const [unknown] = extensions.unknownCritical;
  return unknown === undefined ? undefined : refused(certificate, `it has a critical extension that is not known (${unknown})`);
}

/** What RFC 4945 §5.1.3 wants of the certificate that a peer proves itself with. */
function leafFault(leaf: Certificate, terrain: Terrain): PathFault | undefined {
  const common = commonFault(leaf, terrain);
  if (common) return common;
  const { keyUsage } = leaf.extensions;
  if (keyUsage !== undefined && (keyUsage & (KEY_USAGE.digitalSignature | KEY_USAGE.nonRepudiation)) === 0)
    return refused(leaf, "its key may not sign (key usage has neither digitalSignature nor nonRepudiation)");
  return suitsIke(leaf) ? undefined : refused(leaf, `${USAGES} are not among its extended key usages`);
}

/** Purposes that cover IKE: its own (RFC 4945 §5.1.3.12), older ones, and those of Windows machine certificates. */
export const IKE_PURPOSES: ReadonlySet<string> = new Set([
  "2.5.29.37.0",
  "1.3.6.1.5.5.7.3.17",
  "1.3.6.1.5.5.8.2.2",
  "1.3.6.1.5.5.7.3.5",
  "1.3.6.1.5.5.7.3.6",
  "1.3.6.1.5.5.7.3.7",
  "1.3.6.1.5.5.7.3.1",
  "1.3.6.1.5.5.7.3.2",
]);
const USAGES = "IPsec, server or client authentication";

/** Whether a certificate may be used for IKE: it says nothing of purposes, or has one of ours. */
export const suitsIke = ({ extensions: { extendedKeyUsage: usages } }: Certificate): boolean =>
  usages === undefined || usages.some((id) => IKE_PURPOSES.has(id));

const EMAIL_ADDRESS = "2a864886f70d010901";

/**
 * The names that constraints apply to: alternative names, the subject, and mail addresses in it. RFC 5280 §4.2.1.10 asks for those only where the
 * alternative names have none; but a subject that is taken as an identity is taken with all that is in it.
 */
function allNames({ subject, extensions: { names } }: Certificate): GeneralNames {
  const email = [...names.email, ...attributeTexts(subject.der, EMAIL_ADDRESS)];
  return { ...names, email, dn: subject.text === "" ? names.dn : [subject.der, ...names.dn] };
}

/** What CAs of the path say about names below them. Asked of whole paths only: strangers' CAs may constrain a lot. */
function namesFault(path: readonly Certificate[]): PathFault | undefined {
  for (const [at, issuer] of path.entries()) {
    const constraints = issuer.extensions.nameConstraints;
    for (const [i, one] of constraints ? path.slice(0, at).entries() : []) {
      // A CA that renews its own key has its own name (RFC 5280 §6.1.3 b).
      const fault = constraints && !(i > 0 && isSelfIssued(one)) ? constraintFault(constraints, allNames(one)) : undefined;
      if (fault !== undefined) return refused(one, `${fault} of ${certificateTitle(issuer)}`);
    }
  }
  return undefined;
}

/** Names and revocation of a path whose signatures hold. */
function finish(search: Search, path: readonly Certificate[]): ValidPath | undefined {
  const { terrain } = search;
  const leaf = path[0] as Certificate;
  const key = usableKey(leaf.publicKey, terrain.weak);
  const fault = key.ok ? namesFault(path) : refused(leaf, key.error);
  if (!key.ok || fault) {
    if (fault) search.faults.push(fault);
    return undefined;
  }
  const warnings = revocationWarnings(search, path);
  return warnings && { certificates: path, key: key.value, warnings };
}

/** What the lists leave open, from the anchor down; undefined where a certificate is revoked, or not known to be good and has to be. */
function revocationWarnings({ terrain, faults }: Search, path: readonly Certificate[]): readonly string[] | undefined {
  const warnings: string[] = [];
  for (let i = path.length - 2; i >= 0; i--) {
    const [certificate, issuer] = [path[i] as Certificate, path[i + 1] as Certificate];
    const issuerKey = usableKey(issuer.publicKey, terrain.weak);
    if (!issuerKey.ok) {
      faults.push(refused(issuer, issuerKey.error));
      return undefined;
    }
    const { milliseconds, weak } = terrain;
    const status = revocationStatus(terrain.lists, { certificate, issuer, issuerKey: issuerKey.value, milliseconds, weak });
    if (status.kind === "good") continue;
    if (status.kind === "unknown" && terrain.crl === "if-present") {
      if (terrain.lists.length > 0) warnings.push(status.why);
      continue;
    }
    const kind = status.kind === "revoked" ? "certificate-revoked" : status.expired ? "crl-expired" : "crl-missing";
    faults.push({ kind, what: status.kind === "revoked" ? status.why : `${status.why}, and crl = "require" wants a current one` });
    return undefined;
  }
  return warnings;
}
