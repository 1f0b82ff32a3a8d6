/**
 * Keys of a policy in force, for the texts that it came from: these are kept without them, and are judged again when rules come and go at run time.
 */
import type { KnownKeys } from "./auth-entries.ts";
import type { AuthEntry, ManualSa, Policy } from "./types.ts";

/** Copies of all keys of a policy, so that no file that its texts name is read again. */
export function keysOf({ rules, manual }: Policy): KnownKeys {
  const ruleNamed = new Map(rules.map((rule) => [rule.name, rule]));
  const manualNamed = new Map(manual.map((sa) => [sa.name, sa]));
  return {
    entry: (rule, index) => copyEntry(ruleNamed.get(rule)?.auth[index]),
    manual: (name) => copyManual(manualNamed.get(name)),
  };
}

/** Copies of those that stood in the texts. What lies in files of its own is read again. */
export function inlineKeysOf(policy: Policy): KnownKeys {
  const { entry } = keysOf(policy);
  return { entry: (rule, index, isInline) => (isInline ? entry(rule, index, isInline) : undefined), manual: () => undefined };
}

function copyEntry(entry: AuthEntry | undefined): AuthEntry | undefined {
  if (entry?.method === "psk") return { ...entry, secret: entry.secret.clone() };
  if (entry?.method === "x509") return { ...entry, own: { ...entry.own, privateKey: entry.own.privateKey.clone() } };
  return entry;
}

const copyManual = (sa: ManualSa | undefined): ManualSa | undefined => sa && { ...sa, keyIn: sa.keyIn.clone(), keyOut: sa.keyOut.clone() };
