/**
 * From the readable part of a configuration to the policy: defaults, required keys, and what concerns several keys of a rule.
 * What was already refused is not judged again, so that one mistake gives one message.
 */
import { formatRange, intersection, isHost, parseAddress } from "../isakmp/address.ts";
import { type AuthContext, buildAuth } from "./auth-entries.ts";
import { reportConflicts } from "./conflicts.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import { buildManual, endOfOther } from "./manual-sas.ts";
import {
  type Allowed,
  alsoAllowed,
  DEFAULT_DPD,
  DEFAULT_MAIN_MODE,
  DEFAULT_QUICK_MODE,
  mainModeOf,
  policyPermits,
  quickModeOf,
  rulePermits,
} from "./offers.ts";
import { placedRules } from "./placed-rules.ts";
import { reportProvable } from "./provable.ts";
import { DEFAULTS, type Document, type RawRule } from "./schema.ts";
import { peerRanges } from "./select.ts";
import { formatEnd } from "./selector.ts";
import type { KeyPath } from "./toml-locator.ts";
import { clearTextOf, demandOf, encrypts, exemptionsOf, type Groups, groupsOf, reportExempt } from "./traffic-keys.ts";
import type { Filter, Policy, QuickModePolicy, Rule } from "./types.ts";
import { reportWarnings } from "./warnings.ts";

/** What a rule gets from around it. */
export type Surroundings = AuthContext;

/**
 * The policy. It is usable only if `report` has no error; its secrets are the caller's to destroy in either case. `warns`: also about what the rules come to.
 */
export function buildPolicy(document: Document, around: Surroundings, warns: boolean): Policy {
  const { policy } = document;
  const allowed = policy?.["allow-weak"] ?? [];
  const users = (document.rule ?? []).filter((rule) => rule !== undefined);
  const context = (table: "main-mode" | "quick-mode") => ({
    path: ["policy", table],
    permits: policyPermits(allowed, table, users),
    report: around.report,
  });
  const base: Omit<Base, "groups"> = {
    allowed,
    mainMode: mainModeOf(policy?.["main-mode"], DEFAULT_MAIN_MODE, context("main-mode")),
    quickMode: quickModeOf(policy?.["quick-mode"], DEFAULT_QUICK_MODE, context("quick-mode")),
    dpdSeconds: policy?.dpd === undefined ? DEFAULT_DPD : policy.dpd,
  };
  const raw = document.rule ?? [];
  if (raw.length === 0 && !document.sa?.length && !around.report.failed(["rule"]))
    around.report.warning([], "there is no [[rule]]; nothing will be protected");
  // A rule that is no table at all is a hole: an empty rule keeps the indexes, and is not judged.
  const groups = groupsOf(policy?.groups, around.report);
  const rules = raw.map((rule, i) => buildRule(rule ?? {}, ["rule", i], { ...base, groups }, around));
  const manual = buildManual(document, allowed, around);
  const placed = placedRules(rules, manual, document);
  reportConflicts(placed, around.report);
  const exempt = exemptionsOf(policy?.exempt, rules);
  reportExempt(policy?.exempt, around.report);
  const built: Policy = { name: policy?.name ?? DEFAULTS.policyName, rules, exempt, manual: manual.flatMap((sa) => sa ?? []) };
  const addresses = document.daemon?.addresses?.filter((address) => address !== undefined) ?? null;
  if (warns) reportWarnings({ policy: built, rules: placed, addresses }, policy?.exempt !== undefined, around.report);
  return built;
}

type Base = Pick<Rule, "mainMode" | "quickMode" | "dpdSeconds"> & { readonly allowed: Allowed; readonly groups: Groups };

function buildRule(raw: RawRule, path: KeyPath, base: Base, around: Surroundings): Rule {
  const { report } = around;
  reportMissing(raw, path, report);
  reportMeaningless(raw, path, report);
  const permits = rulePermits(base.allowed, raw["allow-weak"] ?? []);
  const context = (table: string) => ({ path: [...path, table], permits, report });
  const action = raw.action ?? "require";
  const defaultResponse = action === "respond" && raw.filters === undefined && !report.failed([...path, "filters"]);
  const quickMode = quickModeOf(raw["quick-mode"], base.quickMode, context("quick-mode"));
  const rule: Rule = {
    name: raw.name ?? "",
    description: raw.description ?? null,
    action,
    filters: defaultResponse ? [EVERYBODY] : (raw.filters ?? []).filter((filter) => filter !== undefined),
    auth: buildAuth(raw, path, alsoAllowed(base.allowed, raw["allow-weak"] ?? []), around),
    mode: raw.mode ?? DEFAULTS.mode,
    tunnel: raw.tunnel?.remote === undefined ? null : { local: raw.tunnel.local ?? null, remote: raw.tunnel.remote },
    peer: raw.peer ?? null,
    mainMode: mainModeOf(raw["main-mode"], base.mainMode, context("main-mode")),
    quickMode: raw["require-encryption"] ? onlyEncrypting(quickMode, raw, path, report) : quickMode,
    // A rule that only answers must not make the kernel ask.
    start: action === "require" || action === "request" ? (raw.start ?? DEFAULTS.start) : "never",
    dpdSeconds: raw.dpd === undefined ? base.dpdSeconds : raw.dpd,
    clear: clearTextOf(raw, action, path, report),
    demand: demandOf(raw, base.groups, path, report),
    requireEncryption: raw["require-encryption"] ?? false,
    fragmentation: raw.fragmentation ?? DEFAULTS.fragmentation,
    natTraversal: raw["nat-traversal"] ?? DEFAULTS.natTraversal,
    shortSha256: raw["sha256-96"] ?? false,
    defaultResponse,
  };
  reportProvable(raw, rule, path, report);
  reportTunnel(raw, rule, path, report);
  reportFilters(raw, rule, path, report);
  reportPeer(rule, path, report);
  reportStart(raw, rule, path, report);
  return rule;
}

const REQUIRED = [
  ["name", 'add name = "…"'],
  ["filters", 'add filters = ["me <-> 192.0.2.2"]'],
  ["action", 'add action = "require" or action = "respond"'],
  ["auth", 'add auth = [{ method = "psk", secret-file = "…" }]'],
] as const;

function reportMissing(raw: RawRule, path: KeyPath, report: Report): void {
  const { action } = raw;
  for (const [key, advice] of REQUIRED) {
    const at = [...path, key];
    // A respond rule without filters is the default response rule; permit and block ask nobody who he is.
    if ((key === "filters" && action === "respond") || (key === "auth" && isPlain(action))) continue;
    if (raw[key] === undefined && !report.failed(at)) report.error(at, `${key} is missing; ${advice}`, "key", path);
  }
}

const isPlain = (action: RawRule["action"]): boolean => action === "permit" || action === "block";

/** Keys of a negotiation, in a rule that does not negotiate. */
function reportMeaningless(raw: RawRule, path: KeyPath, report: Report): void {
  if (!isPlain(raw.action) || report.failed([...path, "action"])) return;
  for (const key of [
    "auth",
    "mode",
    "tunnel",
    "peer",
    "main-mode",
    "quick-mode",
    "start",
    "dpd",
    "require-encryption",
    "fragmentation",
    "nat-traversal",
    "sha256-96",
    "remote-ids",
    "remote-ca",
  ] as const)
    if (raw[key] !== undefined)
      report.error([...path, key], `a ${raw.action} rule negotiates nothing; remove ${key}, or write another action`, "key");
}

/** The filter of the default response rule. */
const EVERYBODY: Filter = {
  text: "me <-> any",
  local: { kind: "me" },
  remote: { kind: "any" },
  direction: "both",
  protocol: 0,
  localPort: 0,
  remotePort: 0,
};

/** Guaranteed encryption: what does not encrypt is left out of inherited offers, and an error among the rule's own. */
function onlyEncrypting(quickMode: QuickModePolicy, raw: RawRule, path: KeyPath, report: Report): QuickModePolicy {
  for (const [i, suite] of (raw["quick-mode"]?.proposals ?? []).entries())
    if (suite && !encrypts(suite))
      report.error([...path, "quick-mode", "proposals", i], "this offer does not encrypt, and require-encryption says that all must");
  const proposals = quickMode.proposals.filter(encrypts);
  if (proposals.length === 0 && raw["quick-mode"]?.proposals === undefined)
    report.error(
      [...path, "require-encryption"],
      'none of the policy\'s offers encrypts; add quick-mode = { proposals = ["esp:aes256-sha256"] }',
    );
  return { ...quickMode, proposals };
}

function reportTunnel(raw: RawRule, rule: Rule, path: KeyPath, report: Report): void {
  const at = [...path, "tunnel"];
  if (report.failed(at) || report.failed([...path, "mode"])) return;
  if (rule.mode === "transport") {
    if (raw.tunnel) report.error(at, 'tunnel has no meaning in transport mode; add mode = "tunnel", or remove tunnel', "key");
  } else if (!raw.tunnel) {
    report.error([...path, "mode"], 'tunnel mode needs the far end; add tunnel = { remote = "203.0.113.9" }');
  } else if (!rule.tunnel) {
    report.error(at, 'the far end is missing; add remote = "203.0.113.9"');
  } else {
    reportTunnelEnds(rule.tunnel, [...at, "remote"], report);
  }
}

function reportTunnelEnds({ local, remote }: NonNullable<Rule["tunnel"]>, at: KeyPath, report: Report): void {
  if (local === remote) report.error(at, "local and remote are the same address; remote is the peer's");
  else if (local !== null && parseAddress(local)?.family !== parseAddress(remote)?.family) {
    report.error(at, `local is ${local} and remote ${remote}; both ends need one address family`);
  }
}

/** In a tunnel rule `me` is the local end: its family must be the other side's. */
function reportFilters(raw: RawRule, rule: Rule, path: KeyPath, report: Report): void {
  const end = rule.mode === "tunnel" && rule.tunnel?.local ? parseAddress(rule.tunnel.local) : undefined;
  for (const [i, filter] of (raw.filters ?? []).entries()) {
    const family = filter && familyOf(filter.remote);
    if (end && filter?.local.kind === "me" && family && family !== end.family) {
      report.error([...path, "filters", i], endOfOther(rule.tunnel?.local ?? "", family));
    }
  }
}

function reportPeer(rule: Rule, path: KeyPath, report: Report): void {
  const at = [...path, "peer"];
  const { peer } = rule;
  if (!peer) return;
  if (rule.tunnel) {
    if (formatEnd(peer, 0) !== rule.tunnel.remote)
      report.error(at, `tunnel.remote already names the peer, ${rule.tunnel.remote}; remove peer`);
    return;
  }
  if (rule.mode === "tunnel") return;
  for (const filter of rule.filters) {
    if (filter.remote.kind === "range" && !intersection(filter.remote.range, peer)) {
      report.error(
        at,
        `${formatRange(peer)} is not among the addresses of the filter "${filter.text}"; in transport mode the peer is the other end of the traffic`,
      );
    }
  }
}

function reportStart(raw: RawRule, rule: Rule, path: KeyPath, report: Report): void {
  const at = [...path, "start"];
  if (raw.start === undefined || raw.start === "never") return;
  if (rule.action === "respond") {
    if (raw.start === "now") report.error(at, 'a respond rule waits for its peers; write action = "require" to start, or remove start');
    else report.warning(at, "a respond rule waits for its peers; start has no effect");
    return;
  }
  if (raw.start !== "now" || ["filters", "peer", "tunnel", "mode"].some((key) => report.failed([...path, key]))) return;
  const wide = peerRanges(rule).find((range) => !isHost(range));
  if (wide)
    report.error(
      at,
      `start = "now" needs to know the peer, and ${formatRange(wide)} is more than one address; name one in peer, or write start = "on-traffic"`,
    );
}
