/**
 * How we could prove ourselves to a peer: a rule and one of its entries, and the number that the method has on the wire.
 * Two entries of one number can't be told apart in an offer, so the first of each number counts.
 */
import { AUTH_METHOD } from "../isakmp/numbers.ts";
import type { AuthEntry, Identity, KerberosEntry, PskEntry, Rule, X509Entry } from "../policy/types.ts";
import type { SignatureMethod } from "./method.ts";

/** A rule's entry, and the rule that it was taken from. */
export type AuthChoice = PskChoice | X509Choice | KerberosChoice;

export interface PskChoice {
  readonly method: "psk";
  readonly rule: Rule;
  readonly entry: PskEntry;
}

export interface X509Choice {
  readonly method: "x509";
  readonly rule: Rule;
  readonly entry: X509Entry;
}

export interface KerberosChoice {
  readonly method: "kerberos";
  readonly rule: Rule;
  readonly entry: KerberosEntry;
}

/** Pairs a rule with an entry of its own. */
export function choiceOf(rule: Rule, entry: AuthEntry): AuthChoice {
  switch (entry.method) {
    case "psk":
      return { method: "psk", rule, entry };
    case "x509":
      return { method: "x509", rule, entry };
    case "kerberos":
      return { method: "kerberos", rule, entry };
  }
}

const SIGNATURES: Readonly<Record<X509Entry["own"]["algorithm"], SignatureMethod>> = { rsa: 3, ecdsa256: 9, ecdsa384: 10, ecdsa521: 11 };

/** The signature method that an entry's key is for; the peer's key is of the same kind (RFC 2409 §5.1, RFC 4754 §4). */
export const signatureMethod = (entry: X509Entry): SignatureMethod => SIGNATURES[entry.own.algorithm];

/** The value of attribute 3 in a transform, RFC 2409 appendix A. */
export function methodNumber(entry: AuthEntry): number {
  switch (entry.method) {
    case "psk":
      return AUTH_METHOD["Pre-shared key"];
    case "x509":
      return signatureMethod(entry);
    case "kerberos":
      return AUTH_METHOD.Kerberos;
  }
}

/** What a rule offers, in its order: the first entry of each method. */
export const choicesOf = (rule: Rule): readonly AuthChoice[] =>
  rule.auth
    .filter((entry, i) => rule.auth.findIndex((other) => methodNumber(other) === methodNumber(entry)) === i)
    .map((entry) => choiceOf(rule, entry));

/** Who we say we are: `local-id`, else our certificate's first identity, else the address (interface.md §2). */
export function ownIdentity(entry: AuthEntry, address: string): Identity {
  if (entry.localId) return entry.localId;
  const [certified] = entry.method === "x509" ? entry.own.identities : [];
  return certified ?? { type: "ip", address };
}

/** Words for logs. */
export function methodName(entry: AuthEntry): string {
  switch (entry.method) {
    case "psk":
      return "pre-shared key";
    case "x509":
      return entry.own.algorithm === "rsa" ? "RSA signatures" : `${entry.own.algorithm.replace("ecdsa", "ECDSA-")} signatures`;
    case "kerberos":
      return "Kerberos";
  }
}

/** `status`'s word (interface.md §3). */
export function methodWord(entry: AuthEntry): "psk" | "rsa" | "ecdsa" | "kerberos" {
  if (entry.method !== "x509") return entry.method;
  return entry.own.algorithm === "rsa" ? "rsa" : "ecdsa";
}
