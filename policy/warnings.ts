/**
 * What `check` warns about although every key is in order: rules that will bite, never decide, or shut the administrator out.
 */
import { covers } from "../isakmp/address.ts";
import { reportDemands } from "./demands.ts";
import type { Report } from "./diagnostic.ts";
import { PortlessStops, reportFragments } from "./fragments.ts";
import { manualOf } from "./manual-rule.ts";
import { reportOverlaps } from "./overlaps.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import { type Placed, reportReach } from "./reach.ts";
import { isRangeOfMany, LINK_LOCAL } from "./selector.ts";
import { sideKey } from "./side-index.ts";
import { reportSlips } from "./slips.ts";
import type { Filter, Rule } from "./types.ts";

/** Reports what is worth a second look. */
export function reportWarnings(placed: Placed, explicitExempt: boolean, report: Report): void {
  const { rules, addresses } = placed;
  // What is refused is mended first; then it may mean something else.
  if (report.findings.some(({ severity }) => severity === "error")) return;
  const ways = tunnelWays(rules);
  const portless = new PortlessStops(rules);
  const negotiated = rules.filter(({ rule }) => !manualOf(rule));
  for (const one of negotiated) reportHeader(one, report);
  for (const [place, one] of rules.entries()) {
    reportMany(one, report);
    reportHalfTunnel(ways, one, place, report);
    reportFragments(one, addresses, portless, report);
  }
  reportSlips(placed, report);
  reportReach(placed, explicitExempt, report);
  reportOverlaps(rules, report);
  reportDemands(negotiated, report);
}

const protects = ({ action }: Rule): boolean => action === "require" || action === "request";

/** AH covers the addresses: behind NAT nothing arrives (RFC 3715 §2.1). Of AH alone in every offer there is no way out. */
function reportHeader({ rule, at }: PlacedRule, report: Report): void {
  if (rule.action === "permit" || rule.action === "block") return;
  const { proposals } = rule.quickMode;
  if (proposals.length > 0 && proposals.every((suite) => suite.some(({ protocol }) => protocol === "ah")))
    report.warning(
      [...at, "quick-mode"],
      "every offer has AH, which no address translation survives; add one with ESP alone if a peer may be behind NAT",
    );
}

/** Nobody can be negotiated with about multicast and broadcast, nor by link-local addresses. */
function reportMany(placed: PlacedRule, report: Report): void {
  const { rule } = placed;
  if (rule.mode === "tunnel" || !protects(rule)) return;
  for (const { filter, at } of placedFiltersOf(placed)) {
    const isOutOfManual = manualOf(rule) !== undefined && filter.direction === "out";
    if (filter.remote.kind === "range" && isRangeOfMany(filter.remote.range) && !isOutOfManual)
      report.warning(at, manualOf(rule) ? MANY_OF_MANUAL : MANY);
    if ([filter.local, filter.remote].some((side) => side.kind === "range" && covers(LINK_LOCAL, side.range)))
      report.warning(
        at,
        `link-local addresses can't be protected${manualOf(rule) ? "" : " (IKE carries no zone)"}: a rule can only permit or block them`,
      );
  }
}

const MANY = "multicast and broadcast can't be protected: a rule can only permit or block them";
/** What arrives for many is for their address, and the pair's other SA for ours. */
const MANY_OF_MANUAL =
  "of multicast and broadcast only what this host sends is protected: nothing comes from such an address, so that the filter takes nothing that others send there";

/** The first rule that sends or takes some traffic through a tunnel, and its place among the rules. */
type TunnelWays = ReadonlyMap<string, { readonly rule: Rule; readonly place: number }>;

function tunnelWays(rules: readonly PlacedRule[]): TunnelWays {
  const ways = new Map<string, { rule: Rule; place: number }>();
  for (const [place, { rule }] of rules.entries()) {
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
function reportHalfTunnel(ways: TunnelWays, placed: PlacedRule, place: number, report: Report): void {
  const { rule } = placed;
  if (rule.mode !== "tunnel" || !protects(rule)) return;
  for (const { filter, at } of placedFiltersOf(placed)) {
    if (filter.direction === "both") continue;
    const other = ways.get(wayKey(rule, filter, filter.direction === "in" ? "out" : "in"));
    if (!other)
      report.warning(
        at,
        `the tunnel is for one direction only, and no rule through it is about the other; packets that come back are dropped. Write "<->", or add the rule`,
      );
    else if (other.place < place && !manualOf(rule) && !manualOf(other.rule) && !sameWishes(other.rule, rule))
      report.warning(
        at,
        `rule ${JSON.stringify(other.rule.name)} is the other direction of this tunnel, and has other offers or lifetimes; they share their SAs, and whichever begins decides. Make them equal, or one rule with "<->"`,
      );
  }
}

const sameWishes = (a: Rule, b: Rule): boolean => JSON.stringify([a.quickMode, a.mainMode]) === JSON.stringify([b.quickMode, b.mainMode]);
