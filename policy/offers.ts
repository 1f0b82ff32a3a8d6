/**
 * What Main Mode and Quick Mode offer: the policy's values over the defaults, a rule's over the policy's.
 * Weak algorithms are refused unless allowed by name, and warned about then (interface.md §2).
 */
import type { ChildSuite, Group, IkeSuite } from "../ike/crypto/suite.ts";
import type { Result } from "../isakmp/result.ts";
import type { Report } from "./diagnostic.ts";
import {
  formatChildSuite,
  formatIkeSuite,
  parseChildSuite,
  parseGroup,
  parseIkeSuite,
  weakInChildSuite,
  weakInIkeSuite,
} from "./proposal.ts";
import { DEFAULTS, type RawMainMode, type RawQuickMode, type RawRule } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { MainModePolicy, QuickModePolicy } from "./types.ts";
import { parseDuration, parseVolume } from "./units.ts";

/** Which weak algorithms may be offered: all, or those named. */
export type Allowed = true | readonly string[];

/** What a rule may use: what the policy allows and what it allows itself. */
export const alsoAllowed = (policy: Allowed, rule: Allowed): Allowed => (policy === true || rule === true ? true : [...policy, ...rule]);

/** Whether a weak algorithm may be offered in a part of a table: null where it may, else where to allow it. */
export type Permits = (part: "proposals" | "pfs", algorithm: string) => string | null;

/** Where a table stands, what may be weak in it, and who wants to know. */
export interface OfferContext {
  readonly path: KeyPath;
  readonly permits: Permits;
  readonly report: Report;
}

/** A rule's own table may hold what the policy allows and what the rule allows itself. */
export const rulePermits =
  (policy: Allowed, rule: Allowed): Permits =>
  (_part, algorithm) =>
    allows(policy, algorithm) || allows(rule, algorithm) ? null : "to [policy] or to this rule";

/** A rule as far as it matters here: what it allows itself, and the tables that replace the policy's. */
export type Inheritor = Pick<RawRule, "name" | "action" | "allow-weak" | "main-mode" | "quick-mode">;

/** The policy's table may also hold what every rule allows that takes it from there. */
export const policyPermits =
  (policy: Allowed, table: "main-mode" | "quick-mode", rules: readonly Inheritor[]): Permits =>
  (part, algorithm) => {
    if (allows(policy, algorithm)) return null;
    const users = rules.filter((rule) => !PLAIN.includes(rule.action ?? "") && !ownPart(rule[table], part));
    const refusing = users.filter((rule) => !allows(rule["allow-weak"] ?? [], algorithm)).map(({ name }) => JSON.stringify(name ?? ""));
    if (users.length === 0) return "to [policy]";
    return refusing.length === 0 ? null : `to [policy] or to rule ${refusing.slice(0, 3).join(" and ")}${refusing.length > 3 ? " …" : ""}`;
  };

/** Actions that negotiate nothing. */
const PLAIN: readonly string[] = ["permit", "block"];

const ownPart = (raw: RawMainMode | RawQuickMode | undefined, part: "proposals" | "pfs"): boolean =>
  part === "proposals"
    ? (raw?.proposals ?? []).some((suite) => suite !== undefined)
    : raw !== undefined && "pfs" in raw && raw.pfs !== undefined;

const allows = (allowed: Allowed, algorithm: string): boolean => allowed === true || allowed.includes(algorithm);

/** The Main Mode settings of a table over those of `base`. */
export function mainModeOf(raw: RawMainMode | undefined, base: MainModePolicy, context: OfferContext): MainModePolicy {
  const proposals = checked<IkeSuite>(raw?.proposals, formatIkeSuite, weakInIkeSuite, context);
  return {
    proposals: proposals.length > 0 ? proposals : base.proposals,
    lifetimeSeconds: raw?.lifetime ?? base.lifetimeSeconds,
    quickModes: raw?.["quick-modes"] ?? base.quickModes,
    masterPfs: raw?.["master-pfs"] ?? base.masterPfs,
  };
}

/** The Quick Mode settings of a table over those of `base`. */
export function quickModeOf(raw: RawQuickMode | undefined, base: QuickModePolicy, context: OfferContext): QuickModePolicy {
  const proposals = checked<ChildSuite>(raw?.proposals, formatChildSuite, weakInChildSuite, context);
  const pfs = raw?.pfs;
  if (pfs && pfs !== "main-mode" && pfs.weak) reportWeak("pfs", [...context.path, "pfs"], pfs.name, [pfs.name], context);
  return {
    proposals: proposals.length > 0 ? proposals : base.proposals,
    lifetimeSeconds: raw?.lifetime ?? base.lifetimeSeconds,
    volumeOctets: raw?.volume === undefined ? base.volumeOctets : raw.volume,
    pfs: pfs === undefined ? base.pfs : pfs,
  };
}

/** A default that cannot be read is a bug. */
function built<T>(result: Result<T, string>): T {
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

export const DEFAULT_MAIN_MODE: MainModePolicy = {
  proposals: DEFAULTS.mainModeProposals.map((text) => built(parseIkeSuite(text))),
  lifetimeSeconds: built(parseDuration(DEFAULTS.mainModeLifetime)),
  quickModes: DEFAULTS.quickModes,
  masterPfs: DEFAULTS.masterPfs,
};

export const DEFAULT_DPD: number | null = built(parseDuration(DEFAULTS.dpd));

export const DEFAULT_QUICK_MODE: QuickModePolicy = {
  proposals: DEFAULTS.quickModeProposals.map((text) => built(parseChildSuite(text))),
  lifetimeSeconds: built(parseDuration(DEFAULTS.quickModeLifetime)),
  volumeOctets: built(parseVolume(DEFAULTS.quickModeVolume)),
  pfs: built<Group>(parseGroup(DEFAULTS.quickModePfs)),
};

/** The readable offers, after saying what is weak or double in them. */
function checked<T>(
  proposals: readonly (T | undefined)[] | undefined,
  format: (suite: T) => string,
  weakIn: (suite: T) => readonly string[],
  context: OfferContext,
): readonly T[] {
  const kept: T[] = [];
  const seen = new Set<string>();
  for (const [i, suite] of (proposals ?? []).entries()) {
    if (suite === undefined) continue;
    const path = [...context.path, "proposals", i];
    const name = format(suite);
    reportWeak("proposals", path, name, weakIn(suite), context);
    if (seen.has(name)) context.report.warning(path, `"${name}" stands here twice; the second is left out`);
    else kept.push(suite);
    seen.add(name);
  }
  return kept;
}

function reportWeak(part: "proposals" | "pfs", path: KeyPath, name: string, weak: readonly string[], context: OfferContext): void {
  const { permits, report } = context;
  if (weak.length === 0) return;
  const refused = weak.filter((algorithm) => permits(part, algorithm) !== null);
  const [first] = refused;
  if (first === undefined) return report.warning(path, `"${name}" is weak (${weak.join(", ")}) and offered because allow-weak says so`);
  const list = refused.map((algorithm) => `"${algorithm}"`).join(", ");
  report.error(path, `"${name}" is weak (${refused.join(", ")}); choose another, or add allow-weak = [${list}] ${permits(part, first)}`);
}
