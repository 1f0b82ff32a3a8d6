/**
 * What `check` warns about although every key is in order: rules that will bite, never decide, or shut the administrator out.
 */
import { covers } from "../isakmp/address.ts";
import { reportDemands } from "./demands.ts";
import type { Report } from "./diagnostic.ts";
import { PortlessStops, reportFragments } from "./fragments.ts";
import { reportOverlaps } from "./overlaps.ts";
import { type Placed, reportReach } from "./reach.ts";
import type { RawRule } from "./schema.ts";
import { isRangeOfMany, LINK_LOCAL } from "./selector.ts";
import { sideKey } from "./side-index.ts";
import { reportSlips } from "./slips.ts";
import type { Filter, Policy, Rule } from "./types.ts";

/** Reports what is worth a second look. */
export function reportWarnings(placed: Placed, explicitExempt: boolean, report: Report): void {
  const { policy, raw } = placed;
  // What is refused is mended first; then it may mean something else.
  if (report.findings.some(({ severity }) => severity === "error")) return;
  const ways = tunnelWays(policy);
  const portless = new PortlessStops(policy);
  for (const [i, rule] of policy.rules.entries()) {
    reportHeader(rule, i, report);
    reportMany(rule, i, raw[i], report);
    reportHalfTunnel(ways, rule, i, raw[i], report);
    reportFragments(placed, portless, rule, i, report);
  }
  reportSlips(placed, report);
  reportReach(placed, explicitExempt, report);
  reportOverlaps(policy, raw, report);
  reportDemands(policy, raw, report);
}

const protects = ({ action }: Rule): boolean => action === "require" || action === "request";

/** AH covers the addresses: behind NAT nothing arrives (RFC 3715 §2.1). Of AH alone in every offer there is no way out. */
function reportHeader(rule: Rule, i: number, report: Report): void {
  if (rule.action === "permit" || rule.action === "block") return;
  const { proposals } = rule.quickMode;
  if (proposals.length > 0 && proposals.every((suite) => suite.some(({ protocol }) => protocol === "ah")))
    report.warning(
      ["rule", i, "quick-mode"],
      "every offer has AH, which no address translation survives; add one with ESP alone if a peer may be behind NAT",
    );
}

/** Nobody can be negotiated with about multicast and broadcast, nor by link-local addresses. */
function reportMany(rule: Rule, i: number, raw: RawRule | undefined, report: Report): void {
  if (rule.mode === "tunnel" || !protects(rule)) return;
  for (const [k, filter] of (raw?.filters ?? []).entries()) {
    if (filter?.remote.kind === "range" && isRangeOfMany(filter.remote.range))
      report.warning(["rule", i, "filters", k], "multicast and broadcast can't be protected: a rule can only permit or block them");
    if ([filter?.local, filter?.remote].some((side) => side?.kind === "range" && covers(LINK_LOCAL, side.range)))
      report.warning(
        ["rule", i, "filters", k],
        "link-local addresses can't be protected (IKE carries no zone): a rule can only permit or block them",
      );
  }
}

/** The first rule that sends or takes some traffic through a tunnel, and its place among the rules. */
type TunnelWays = ReadonlyMap<string, { readonly rule: Rule; readonly place: number }>;

function tunnelWays({ rules }: Policy): TunnelWays {
  const ways = new Map<string, { rule: Rule; place: number }>();
  for (const [place, rule] of rules.entries()) {
    if (rule.mode !== "tunnel" || !protects(rule)) continue;
    for (const filter of rule.filters)
      for (const way of filter.direction === "both" ? (["out", "in"] as const) : [filter.direction]) {
        const key = wayKey(rule, filter, way);
        if (!ways.has(key)) ways.set(key, { rule, place });
      }
  }
  return ways;
}

const wayKey = ({ tunnel }: Rule, { local, remote, protocol, localPort, remotePort }: Filter, way: "out" | "in"): string =>
  JSON.stringify([tunnel?.remote, sideKey(local), sideKey(remote), protocol, localPort, remotePort, way]);

/** A tunnel for one direction: what comes back has to have a rule, too, and they share the SAs, so that both must want the same. */
function reportHalfTunnel(ways: TunnelWays, rule: Rule, i: number, raw: RawRule | undefined, report: Report): void {
  if (rule.mode !== "tunnel" || !protects(rule)) return;
  for (const [k, filter] of (raw?.filters ?? []).entries()) {
    if (!filter || filter.direction === "both") continue;
    const other = ways.get(wayKey(rule, filter, filter.direction === "in" ? "out" : "in"));
    if (!other)
      report.warning(
        ["rule", i, "filters", k],
        `the tunnel is for one direction only, and no rule through it is about the other; packets that come back are dropped. Write "<->", or add the rule`,
      );
    else if (other.place < i && !sameWishes(other.rule, rule))
      report.warning(
        ["rule", i, "filters", k],
        `rule ${JSON.stringify(other.rule.name)} is the other direction of this tunnel, and has other offers or lifetimes; they share their SAs, and whichever begins decides. Make them equal, or one rule with "<->"`,
      );
  }
}

const sameWishes = (a: Rule, b: Rule): boolean => JSON.stringify([a.quickMode, a.mainMode]) === JSON.stringify([b.quickMode, b.mainMode]);
