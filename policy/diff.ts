/**
 * What a reload changes: rules that are what they were keep their SAs, so they are recognised whatever their place in the file. So are manual SAs.
 */
import { sameDigest } from "../ike/crypto/compare.ts";
import { Secret } from "../ike/crypto/secret.ts";
import type { ManualSa, Policy, Rule } from "./types.ts";

export interface PolicyDiff {
  /** Pairs of the rule as it was and as it is read now; equal in everything that counts. */
  readonly kept: readonly (readonly [Rule, Rule])[];
  /** The same where nothing differs but the filters, or when it is asked for: SAs of what is in both live on. */
  readonly refitted: readonly (readonly [Rule, Rule])[];
  readonly added: readonly Rule[];
  /** Gone, or no longer what they were. */
  readonly dropped: readonly Rule[];
  readonly manual: ManualDiff;
}

/** Names of manual SAs that are not what they were, keys included. */
export interface ManualDiff {
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly dropped: readonly string[];
}

/** Compares two policies rule by rule. A rule is known by its name. */
export function diffPolicies(before: Policy, after: Policy): PolicyDiff {
  const byName = new Map(before.rules.map((rule) => [rule.name, rule]));
  const kept: (readonly [Rule, Rule])[] = [];
  const refitted: (readonly [Rule, Rule])[] = [];
  const added: Rule[] = [];
  for (const rule of after.rules) {
    const old = byName.get(rule.name);
    if (!old || !sameRule(old, { ...rule, filters: old.filters, start: old.start })) {
      added.push(rule);
      continue;
    }
    (sameRule(old, rule) ? kept : refitted).push([old, rule]);
    byName.delete(rule.name);
  }
  const dropped = before.rules.filter((rule) => byName.get(rule.name) === rule);
  return { kept, refitted, added, dropped, manual: diffManual(before.manual, after.manual) };
}

function diffManual(before: readonly ManualSa[], after: readonly ManualSa[]): ManualDiff {
  const [old, now] = [new Map(before.map((sa) => [sa.name, sa])), new Map(after.map((sa) => [sa.name, sa]))];
  const names = (list: readonly ManualSa[]): readonly string[] => list.map(({ name }) => name);
  return {
    changed: names(after.filter((sa) => old.has(sa.name) && !sameValue(old.get(sa.name), sa))),
    added: names(after.filter(({ name }) => !old.has(name))),
    dropped: names(before.filter(({ name }) => !now.has(name))),
  };
}

/** A rule as it was, keys included, with the filters, the start and the words of another reading. */
export const refit = (old: Rule, { filters, start, description }: Rule): Rule => ({ ...old, filters, start, description });

/** Whether two readings of a rule mean the same, keys included; what is only said of it does not count. */
export const sameRule = (a: Rule, b: Rule): boolean => sameValue({ ...a, description: null }, { ...b, description: null });

/** Whether two parts of a policy say the same, whatever objects they are; secrets are compared in constant time. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  // Keys are compared in constant time, and never become anything else.
  if (a instanceof Secret || b instanceof Secret)
    return a instanceof Secret && b instanceof Secret && a.use((x) => b.use((y) => sameDigest(x, y)));
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((octet, i) => octet === b[i]);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  const names = Object.keys(left);
  return names.length === Object.keys(right).length && names.every((name) => isHandle(name) || sameValue(left[name], right[name]));
}

/** A private key belongs to its certificate: where the certificates are the same, so are the keys. */
const isHandle = (name: string): boolean => name === "privateKey";

/** One line for people: what a reload did. */
export function describeDiff({ kept, refitted, added, dropped, manual }: PolicyDiff): string {
  const names = (rules: readonly Rule[], sas: readonly string[]): string =>
    [...rules.map(({ name }) => name), ...sas.map((name) => `manual SA ${name}`)].join(", ") || "none";
  const before = new Set(dropped.map(({ name }) => name));
  const after = new Set(added.map(({ name }) => name));
  const again = added.filter(({ name }) => before.has(name));
  const fresh = added.filter(({ name }) => !before.has(name));
  const gone = dropped.filter(({ name }) => !after.has(name));
  const changed = [...refitted.map(([, rule]) => rule), ...again];
  return `${kept.length} rules kept with their SAs; changed: ${names(changed, manual.changed)}; added: ${names(fresh, manual.added)}; dropped: ${names(gone, manual.dropped)}`;
}
