/**
 * What a peer has proved itself with, to which rule that belongs, and which other rules would have taken it: only those may use the IKE SA.
 */
import type { IkeError } from "../ike/errors.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { authorise, type Proved } from "../policy/authorise.ts";
import { fitsIdentity, formatIdentity, identityKey, sameIdentity } from "../policy/identity.ts";
import type { AuthEntry, Identity, KerberosEntry, Rule, Trust } from "../policy/types.ts";
import { type KerberosChoice, ownIdentity, type PskChoice, signatureMethod, type X509Choice } from "./choice.ts";
import { acceptsPrincipal, expectedPrincipal } from "./gss.ts";
import type { GssPeer, VerifiedOutcome } from "./method.ts";
import { sharesKey } from "./psk.ts";

/** Enough to decide which rules may use the IKE SA. `entry` is the one that the peer's proof was taken for. */
export type PeerProof =
  | PskChoice
  | (X509Choice & {
      /** Those of the entries that believed the chain. */
      readonly trusts: readonly Trust[];
      /** All that the certificate proves. */
      readonly identities: readonly Identity[];
      readonly subject: string;
      /** Names of the CAs that vouch for it. */
      readonly issuers: readonly Identity[];
      /** The key that it all stands on (`VerifiedOutcome`). */
      readonly anchor: string;
    })
  | (KerberosChoice & { readonly peer: GssPeer });

/**
 * Who the peer has proved to be, as a name that nobody gets by another proof: two that have it are one peer. A ticket proves its principal, whatever
 * identity was said besides; a certificate what its anchor vouches for, which is a key and not a name: everybody calls his own as he likes. Who proves
 * a name by one method is not who proved it by another, or the weakest method of a gateway would speak for everybody.
 */
export function provenAs(proof: PeerProof, peerId: Identity): string {
  switch (proof.method) {
    case "psk":
      return `psk ${identityKey(peerId)}`;
    case "kerberos":
      return `kerberos ${proof.peer.principal}`;
    case "x509":
      return `x509 ${proof.anchor}\n${identityKey(peerId)}`;
  }
}

/** The same for people. */
export const provenName = (proof: PeerProof, peerId: Identity): string =>
  proof.method === "kerberos" ? proof.peer.principal : formatIdentity(peerId);

/** A rule that a proof belongs to. */
export interface Found<P extends PeerProof = PeerProof> {
  readonly rule: Rule;
  readonly proof: P;
  readonly warning: string | null;
}

/**
 * The rule that an identity proven by the shared key belongs to: it must share that key, and its `remote-id`, where set, must be that identity.
 * Without `remote-id` the peer's address is expected; another identity is accepted with a warning, as behind NAT addresses differ.
 */
export function ruleForKey(
  candidates: readonly Rule[],
  psk: PskChoice,
  peerId: Identity,
  peerAddress: string,
): Result<Found<PskChoice>, IkeError> {
  const sharing: PskChoice[] = [];
  for (const rule of candidates)
    for (const entry of rule.auth) if (sharesKey(entry, psk.entry)) sharing.push({ method: "psk", rule, entry });
  return allowed(sharing, peerId, (willing) => ruleForIdentity(willing, peerId, peerAddress));
}

/** The rule that an authenticated principal belongs to; the identity counts as with a shared key. `choice` is what we accepted the ticket with. */
export function ruleForPrincipal(
  candidates: readonly Rule[],
  choice: KerberosChoice,
  peer: GssPeer,
  peerId: Identity,
  peerAddress: string,
): Result<Found, IkeError> {
  const willing = kerberosChoices(candidates, choice.entry).filter(({ entry }) => acceptsPrincipal(entry, peer));
  if (willing.length === 0) return err(wrongPrincipal(candidates, choice.entry, peer));
  const proofs = willing.map((one) => ({ ...one, peer }));
  return allowed(proofs, peerId, (those) => ruleForIdentity(those, peerId, peerAddress));
}

/** Why no candidate takes a principal, or undefined where one does. */
export const principalFault = (candidates: readonly Rule[], entry: KerberosEntry, peer: GssPeer): IkeError | undefined =>
  kerberosChoices(candidates, entry).some((one) => acceptsPrincipal(one.entry, peer)) ? undefined : wrongPrincipal(candidates, entry, peer);

/** Whether names of the peer's address are needed: some rule that shares the keytab of this entry says no `peer-principal`. */
export const wantsNames = (candidates: readonly Rule[], entry: KerberosEntry): boolean =>
  kerberosChoices(candidates, entry).some((one) => one.entry.peerPrincipal === null);

/** The rule that a certificate belongs to: an entry that names the identity before one that takes any. */
export function ruleForCertificate(claimed: readonly X509Choice[], verified: VerifiedOutcome): Result<Found, IkeError> {
  const taking = verified.entries.flatMap((index) => claimed[index] ?? []);
  if (taking.length === 0) return err({ kind: "id-mismatch", what: `no rule wants ${verified.subject}` });
  const trusts = [...new Set(taking.map(({ entry }) => entry.trust))];
  const { identities, subject, issuers, anchor, warnings } = verified;
  const proofs = taking.map((one) => ({ ...one, trusts, identities, subject, issuers, anchor }));
  return allowed(proofs, null, (those) => {
    const proof = those.find(({ entry }) => entry.remoteId) ?? (those[0] as (typeof those)[number]);
    return ok({ rule: proof.rule, proof, warning: warnings.length > 0 ? warnings.join("; ") : null });
  });
}

/** Of rules that the proof is for those whose demand it meets (remote identity authorisation); the first difference where none is left. */
function allowed<P extends PeerProof>(
  proofs: readonly P[],
  peerId: Identity | null,
  choose: (proofs: readonly P[]) => Result<Found<P>, IkeError>,
): Result<Found<P>, IkeError> {
  const verdicts = proofs.map((proof) => authorise(proof.rule.demand, provedBy(proof, peerId)));
  const left = proofs.filter((_, i) => verdicts[i]?.ok);
  const fault = verdicts.find((verdict) => !verdict.ok);
  if (left.length > 0 || !fault || fault.ok) return choose(left);
  return err({ kind: "id-mismatch", what: `${fault.error} (rule ${proofs[0]?.rule.name})` });
}

/**
 * What a proof shows of the peer. With a certificate the identity that it said is among those that the certificate proves, and who shares a key
 * is whoever it says it is. A ticket proves its principal and nothing else: what the peer's ID payload says besides is no more than its word.
 */
function provedBy(proof: PeerProof, peerId: Identity | null): Proved {
  const said = peerId ? [peerId] : [];
  switch (proof.method) {
    case "x509":
      return { identities: [...said, ...proof.identities], principal: null, issuers: proof.issuers };
    case "kerberos":
      return { identities: principalIdentities(proof.peer), principal: proof.peer.principal, issuers: [] };
    case "psk":
      return { identities: said, principal: null, issuers: [] };
  }
}

/** Identities of phase 1 that a principal is: the host of `host/NAME@REALM`. */
const principalIdentities = ({ principal }: GssPeer): readonly Identity[] => {
  const [, name] = /^host\/([^/@]+)@[^@]+$/.exec(principal) ?? [];
  return name === undefined ? [] : [{ type: "fqdn", name }];
};

/**
 * Whether a peer is the one that a `remote-id` names. With Kerberos its ticket has to show that; only of its address it is taken at its word,
 * which opens nothing that the principal does not.
 */
const isWanted = (remoteId: Identity, proof: PeerProof, peerId: Identity): boolean =>
  proof.method === "kerberos" && remoteId.type !== "ip"
    ? principalIdentities(proof.peer).some((one) => fitsIdentity(remoteId, one))
    : fitsIdentity(remoteId, peerId);

/** Whether a rule would have taken this proof: only then may it use an SA that the proof made. */
export const acceptsProof = (rule: Rule, proof: PeerProof, peerId: Identity): boolean =>
  rule.auth.some((entry) => acceptsAs(entry, proof, peerId)) && authorise(rule.demand, provedBy(proof, peerId)).ok;

/** The same proof as another rule takes it: with an entry of that rule's own. undefined where it does not. */
export function proofUnder(rule: Rule, proof: PeerProof, peerId: Identity): PeerProof | undefined {
  const entry = acceptsProof(rule, proof, peerId) ? rule.auth.find((one) => acceptsAs(one, proof, peerId)) : undefined;
  switch (entry?.method) {
    case "psk":
      return { method: "psk", rule, entry };
    case "x509":
      return proof.method === "x509" ? { ...proof, rule, entry, trusts: [entry.trust, ...proof.trusts] } : undefined;
    case "kerberos":
      return proof.method === "kerberos" ? { ...proof, rule, entry } : undefined;
    case undefined:
      return undefined;
  }
}

/** Whether we proved ourselves there as whom the rule wants us to be: `sent` is the identity that we gave. */
export const speaksAs = (rule: Rule, proof: PeerProof, sent: Identity, peerId: Identity, address: string): boolean =>
  rule.auth.some(
    (entry) =>
      acceptsAs(entry, proof, peerId) &&
      sameIdentity(ownIdentity(entry, address), sent) &&
      (entry.method !== "kerberos" || (proof.method === "kerberos" && entry.principal === proof.entry.principal)),
  );

function acceptsAs(entry: AuthEntry, proof: PeerProof, peerId: Identity): boolean {
  switch (proof.method) {
    case "psk":
      return sharesKey(entry, proof.entry) && wants(entry.remoteId, [peerId]);
    case "kerberos":
      return (
        entry.method === "kerberos" &&
        acceptsPrincipal(entry, proof.peer) &&
        (entry.remoteId === null || isWanted(entry.remoteId, proof, peerId))
      );
    case "x509":
      return (
        entry.method === "x509" &&
        signatureMethod(entry) === signatureMethod(proof.entry) &&
        proof.trusts.some((trust) => sameTrust(trust, entry.trust)) &&
        wants(entry.remoteId, [peerId, ...proof.identities])
      );
  }
}

const wants = (remoteId: Identity | null, proven: readonly Identity[]): boolean =>
  remoteId === null || proven.some((one) => fitsIdentity(remoteId, one));

function ruleForIdentity<P extends Exclude<PeerProof, { method: "x509" }>>(
  sharing: readonly P[],
  peerId: Identity,
  peerAddress: string,
): Result<Found<P>, IkeError> {
  const named = sharing.find((proof) => proof.entry.remoteId && isWanted(proof.entry.remoteId, proof, peerId));
  if (named) return ok({ rule: named.rule, proof: named, warning: null });
  const open = sharing.find(({ entry }) => entry.remoteId === null);
  if (!open) {
    const wanted = sharing
      .map(({ rule, entry }) => `rule ${rule.name} wants ${entry.remoteId ? formatIdentity(entry.remoteId) : "any"}`)
      .join(", ");
    return err({ kind: "id-mismatch", what: `the peer says ${formatIdentity(peerId)}; ${wanted}` });
  }
  const expected: Identity = { type: "ip", address: peerAddress };
  const warning = sameIdentity(expected, peerId)
    ? null
    : `the peer at ${peerAddress} calls itself ${formatIdentity(peerId)}; set remote-id to insist on one identity`;
  return ok({ rule: open.rule, proof: open, warning });
}

/** Entries that accept tickets for the same principal out of the same keytab. */
const kerberosChoices = (rules: readonly Rule[], own: KerberosEntry): readonly KerberosChoice[] =>
  rules.flatMap((rule) =>
    rule.auth.flatMap((entry): readonly KerberosChoice[] => (sharesKeytab(entry, own) ? [{ method: "kerberos", rule, entry }] : [])),
  );

/** Whether an entry is the same principal of the same keytab: a ticket accepted for one is good for the other. */
export const sharesKeytab = (entry: AuthEntry, own: KerberosEntry): entry is KerberosEntry =>
  entry.method === "kerberos" && entry.principal === own.principal && entry.keytab === own.keytab;

function wrongPrincipal(rules: readonly Rule[], own: KerberosEntry, peer: GssPeer): IkeError {
  const wanted = kerberosChoices(rules, own)
    .slice(0, 6)
    .map(({ rule, entry }) => `rule ${rule.name} wants ${expectedPrincipal(entry, peer)}`);
  const what = `the peer authenticates as ${peer.principal}; ${wanted.join(", ")}`;
  return { kind: "auth-failed", what, failure: { reason: "kerberos-wrong-peer", what, hint: null, whose: "peer" } };
}

/** Equal settings judge every chain alike; after a reload they are other objects. */
function sameTrust(a: Trust, b: Trust): boolean {
  if (a === b) return true;
  const sameDers = (x: readonly Uint8Array[], y: readonly Uint8Array[]): boolean =>
    x.length === y.length && x.every((der, i) => Buffer.compare(der, y[i] ?? new Uint8Array(0)) === 0);
  return (
    sameDers(a.anchors, b.anchors) &&
    a.crl === b.crl &&
    a.crlFiles.join("\n") === b.crlFiles.join("\n") &&
    a.weak.shortRsa === b.weak.shortRsa &&
    a.weak.sha1 === b.weak.sha1 &&
    a.weak.oldRoots === b.weak.oldRoots
  );
}
