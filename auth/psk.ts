/**
 * Pre-shared keys, RFC 2409 §5.4. In Main Mode the key is needed before the peer's identity is known, so it is chosen
 * by address; the identity of message 5 then picks among the rules that share that key (`proof.ts`).
 */

import { sameDigest } from "../ike/crypto/compare.ts";
import type { Secret } from "../ike/crypto/secret.ts";
import type { AuthEntry, PskEntry, Rule } from "../policy/types.ts";
import type { PskChoice } from "./choice.ts";

/** The key for a peer: that of the first rule with one. `rules` come most specific first (host, range, subnet, any). */
export function choosePsk(rules: readonly Rule[]): PskChoice | undefined {
  for (const rule of rules) {
    const entry = rule.auth.find((candidate) => candidate.method === "psk");
    if (entry) return { method: "psk", rule, entry };
  }
  return undefined;
}

/** Whether a rule has the chosen key among its own. */
export const hasKey = (rule: Rule, psk: PskChoice): boolean => rule.auth.some((entry) => sharesKey(entry, psk.entry));

/** Whether an entry is a key, and this one. */
export const sharesKey = (entry: AuthEntry, key: PskEntry): entry is PskEntry =>
  entry.method === "psk" && (entry === key || sameSecret(entry.secret, key.secret));

/** A key that was destroyed, with the rule that had it, is nobody's. */
const sameSecret = (a: Secret, b: Secret): boolean =>
  a === b || (a.length > 0 && b.length > 0 && a.use((x) => b.use((y) => sameDigest(x, y))));
