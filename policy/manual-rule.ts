/**
 * A manual SA as the rule that it amounts to: protection is required, and nobody is asked for it.
 */
import { hostRange, parseAddress } from "../isakmp/address.ts";
import { sameValue } from "./diff.ts";
import { PLAIN_TRAFFIC } from "./traffic-keys.ts";
import type { ManualSa, Rule } from "./types.ts";

const RULES = new WeakMap<ManualSa, Rule>();
const MANUAL = new WeakMap<Rule, ManualSa>();

/** The rule `sa NAME`; always the same object for one manual SA. Its peer in transport mode is the far end. */
export function manualRule(manual: ManualSa): Rule {
  const known = RULES.get(manual);
  if (known) return known;
  const { name, filters, mode, local, remote, suite } = manual;
  const end = parseAddress(remote);
  const rule: Rule = {
    ...PLAIN_TRAFFIC,
    ...{ name: `sa ${name}`, action: "require", filters, auth: [], mode, start: "never", dpdSeconds: null },
    tunnel: mode === "tunnel" ? { local, remote } : null,
    peer: mode === "transport" && end ? hostRange(end.family, end.value) : null,
    mainMode: { proposals: [], lifetimeSeconds: 0, quickModes: 0, masterPfs: false },
    quickMode: { proposals: [[suite]], lifetimeSeconds: 0, volumeOctets: null, pfs: null },
  };
  RULES.set(manual, rule);
  MANUAL.set(rule, manual);
  return rule;
}

/** The manual SA that a rule stands for; undefined of any other rule. */
export const manualOf = (rule: Rule): ManualSa | undefined => MANUAL.get(rule);

/** How messages call a rule: `rule "hr"`, `manual SA "hr"`. */
export const ruleText = (rule: Rule): string => {
  const manual = manualOf(rule);
  return manual ? `manual SA ${JSON.stringify(manual.name)}` : `rule ${JSON.stringify(rule.name)}`;
};

/** The same with the action of what is no manual SA. */
export const actingText = (rule: Rule): string => `${ruleText(rule)}${manualOf(rule) ? "" : ` (${rule.action})`}`;

/**
 * The own end of the manual SA that a rule stands for, where it is for `own` that the rule requires protection and the SA is not: in transport mode an SA
 * protects packets of its own end alone, and those of this host's other addresses are dropped. Undefined else. Addresses are canonical.
 */
export const otherEndOf = (rule: Rule, own: string): string | undefined => {
  const manual = manualOf(rule);
  return manual?.mode === "transport" && manual.local !== own ? manual.local : undefined;
};

/** Why packets of others of this host's addresses than `end` are dropped, and what to write. */
export const oneEndText = (end: string): string =>
  `in transport mode the SA protects packets of ${end} alone; write that as the filter's local side, and others are no matter of it`;

/** Whether two readings of a manual SA mean the same, keys included. */
export const sameManual = (a: ManualSa, b: ManualSa): boolean => sameValue(a, b);
