/**
 * Pre-shared keys, RFC 2409 §5.4. In Main Mode the key is needed before the peer's identity is known, so it is chosen
 * by address; the identity of message 5 then picks among the rules that share that key.
 */

import { sameDigest } from "../ike/crypto/compare.ts";
import type { Secret } from "../ike/crypto/secret.ts";
import type { IkeError } from "../ike/errors.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { formatIdentity, sameIdentity } from "../policy/identity.ts";
import type { AuthEntry, Identity, PskEntry, Rule } from "../policy/types.ts";

/** A rule's key, and the rule that it was taken from. */
export interface PskChoice {
  readonly rule: Rule;
  readonly entry: PskEntry;
}

/** What a peer has proved itself with: enough to decide which other rules may use the same IKE SA. */
export type PeerProof = PskChoice;

/** The key for a peer: that of the first rule with one. `rules` come most specific first (host, range, subnet, any). */
export function choosePsk(rules: readonly Rule[]): PskChoice | undefined {
  for (const rule of rules) {
    const entry = rule.auth.find((candidate) => candidate.method === "psk");
    if (entry) return { rule, entry };
  }
  return undefined;
}

/** Whether a rule has the chosen key among its own. */
export const hasKey = (rule: Rule, psk: PskChoice): boolean => rule.auth.some((entry) => sharesKey(entry, psk.entry));

/**
 * The rule that a proven identity belongs to: it must share the key that proved it, and its `remote-id`, where set, must be that identity.
 * Without `remote-id` the peer's address is expected; another identity is accepted with a warning, as behind NAT addresses differ.
 */
export function ruleForIdentity(
  candidates: readonly Rule[],
  psk: PskChoice,
  peerId: Identity,
  peerAddress: string,
): Result<{ readonly rule: Rule; readonly proof: PeerProof; readonly warning: string | null }, IkeError> {
  const sharing = candidates.flatMap((rule) =>
    rule.auth.filter((entry): entry is PskEntry => sharesKey(entry, psk.entry)).map((entry) => ({ rule, entry })),
  );
  const named = sharing.find(({ entry }) => entry.remoteId && sameIdentity(entry.remoteId, peerId));
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

/** Whether a rule would have taken this proof: only then may it use an SA that the proof made. */
export const acceptsProof = (rule: Rule, proof: PeerProof, peerId: Identity): boolean =>
  rule.auth.some((entry) => sharesKey(entry, proof.entry) && (entry.remoteId === null || sameIdentity(entry.remoteId, peerId)));

const sharesKey = (a: AuthEntry, b: PskEntry): a is PskEntry => a.method === "psk" && (a === b || sameSecret(a.secret, b.secret));
const sameSecret = (a: Secret, b: Secret): boolean => a === b || a.use((x) => b.use((y) => sameDigest(x, y)));
