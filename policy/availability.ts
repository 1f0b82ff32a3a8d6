/**
 * What a configuration may say already, and whose effect is still being built. Everything is read and judged; what is not available is
 * then refused with its place, so that no rule seems to do what it does not.
 */
import type { Report } from "./diagnostic.ts";
import type { Document, RawRule } from "./schema.ts";

/** Parts of a policy that can be switched on one by one. */
export type Feature =
  | "permit"
  | "block"
  | "request"
  | "inbound-clear"
  | "discovery"
  | "exempt"
  | "sa"
  | "remote-ids"
  | "remote-ca"
  | "one-way"
  | "names";

/** What has its effect. */
export const AVAILABLE: ReadonlySet<Feature> = new Set<Feature>([
  "permit",
  "block",
  "request",
  "inbound-clear",
  "discovery",
  "exempt",
  "remote-ids",
  "remote-ca",
  "one-way",
  "names",
]);

/** Everything, for tests of what is not available yet. */
export const EVERYTHING: ReadonlySet<Feature> = new Set<Feature>([
  "permit",
  "block",
  "request",
  "inbound-clear",
  "discovery",
  "exempt",
  "sa",
  "remote-ids",
  "remote-ca",
  "one-way",
  "names",
]);

/** Refuses what is not available, at its place. */
export function reportUnavailable(document: Document, report: Report, available: ReadonlySet<Feature>): void {
  const has = (feature: Feature): boolean => available.has(feature);
  if (document.policy?.exempt && !has("exempt")) report.error(["policy", "exempt"], LATER);
  if (document.policy?.groups && !has("remote-ids")) report.error(["policy", "groups"], LATER);
  if (document.sa && !has("sa")) report.error(["sa"], "manual SAs are not available yet; remove [[sa]]");
  for (const [i, rule] of (document.rule ?? []).entries()) if (rule) reportRule(rule, i, report, has);
}

const LATER = "this key is not available yet; remove it";

function reportRule(rule: RawRule, i: number, report: Report, has: (feature: Feature) => boolean): void {
  const { action } = rule;
  if (action !== undefined && action !== "require" && action !== "respond" && !has(action)) {
    const known = (["require", "respond", "permit", "block", "request"] as const).filter(
      (a) => a === "require" || a === "respond" || has(a),
    );
    const list = known.map((word) => `"${word}"`);
    report.error(["rule", i, "action"], `"${action}" is not available yet; ${list.slice(0, -1).join(", ")} and ${list.at(-1)} are`);
  }
  for (const key of ["inbound-clear", "discovery", "remote-ids", "remote-ca"] as const)
    if (rule[key] !== undefined && !has(key)) report.error(["rule", i, key], LATER);
  for (const key of ["fallback-after", "fallback-for"] as const)
    if (rule[key] !== undefined && !has("request")) report.error(["rule", i, key], LATER);
  for (const [k, filter] of (rule.filters ?? []).entries()) {
    const at = ["rule", i, "filters", k];
    if (!filter) continue;
    if (filter.direction !== "both" && !has("one-way"))
      report.error(
        at,
        `${JSON.stringify(filter.text)}: one-way filters (${filter.text.includes("->") ? "->" : "<-"}) are not available yet; write <->`,
      );
    else if ((filter.local.kind === "name" || filter.remote.kind === "name") && !has("names"))
      report.error(at, `${JSON.stringify(filter.text)}: names of hosts, dns, dhcp and gateway are not available yet; write addresses`);
  }
}
