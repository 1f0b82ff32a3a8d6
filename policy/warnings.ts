/**
 * What `check` warns about although every key is in order: rules that will bite, never decide, or shut the administrator out.
 */
import { covers, isHost, sameRange } from "../isakmp/address.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import { type Placed, reportReach } from "./reach.ts";
import type { RawRule } from "./schema.ts";
import { isRangeOfMany, LINK_LOCAL } from "./selector.ts";
import type { Filter, Policy, Rule, Side } from "./types.ts";

/** Reports what is worth a second look. */
export function reportWarnings(placed: Placed, explicitExempt: boolean, report: Report): void {
  const { policy, raw } = placed;
  // What is refused is mended first; then it may mean something else.
  if (report.findings.some(({ severity }) => severity === "error")) return;
  for (const [i, rule] of policy.rules.entries()) {
    reportHeader(rule, i, report);
    reportMany(rule, i, raw[i], report);
    reportHalfTunnel(policy, rule, i, raw[i], report);
  }
  reportReach(placed, explicitExempt, report);
  reportOverlaps(policy, raw, report);
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

const sameTraffic = (a: Filter, b: Filter): boolean =>
  sameSide(a.local, b.local) &&
  sameSide(a.remote, b.remote) &&
  a.protocol === b.protocol &&
  a.localPort === b.localPort &&
  a.remotePort === b.remotePort &&
  (a.direction === "both" || a.direction === b.direction);

const sameSide = (a: Side, b: Side): boolean =>
  a.kind === "range" && b.kind === "range"
    ? sameRange(a.range, b.range)
    : a.kind === b.kind && (a.kind !== "name" || b.kind !== "name" || a.name === b.name);

/** A tunnel for one direction: what comes back has to have a rule, too, and they share the SAs, so that both must want the same. */
function reportHalfTunnel(policy: Policy, rule: Rule, i: number, raw: RawRule | undefined, report: Report): void {
  if (rule.mode !== "tunnel" || !protects(rule)) return;
  for (const [k, filter] of (raw?.filters ?? []).entries()) {
    if (!filter || filter.direction === "both") continue;
    const back = { ...filter, direction: filter.direction === "in" ? "out" : "in" } as const;
    const other = policy.rules.find(
      (each) =>
        each.mode === "tunnel" &&
        protects(each) &&
        each.tunnel?.remote === rule.tunnel?.remote &&
        each.filters.some((theirs) => sameTraffic(theirs, back)),
    );
    if (!other)
      report.warning(
        ["rule", i, "filters", k],
        `the tunnel is for one direction only, and no rule through it is about the other; packets that come back are dropped. Write "<->", or add the rule`,
      );
    else if (other !== rule && policy.rules.indexOf(other) < i && !sameWishes(other, rule))
      report.warning(
        ["rule", i, "filters", k],
        `rule ${JSON.stringify(other.name)} is the other direction of this tunnel, and has other offers or lifetimes; they share their SAs, and whichever begins decides. Make them equal, or one rule with "<->"`,
      );
  }
}

const sameWishes = (a: Rule, b: Rule): boolean => JSON.stringify([a.quickMode, a.mainMode]) === JSON.stringify([b.quickMode, b.mainMode]);

interface PlacedFilter {
  readonly rule: Rule;
  readonly filter: Filter;
  readonly at: readonly [number, number];
}

/** Of more filters than this, overlaps are not looked for: each is compared with each. */
const MOST_COMPARED = 2000;

/**
 * Two filters of rules with different actions that share packets, neither of which is within the other: which decides is no longer plain
 * from either alone. Filters within another one are what rules are for.
 */
function reportOverlaps({ rules }: Policy, raw: readonly (RawRule | undefined)[], report: Report): void {
  const placed = rules.flatMap((rule, i) =>
    rule.defaultResponse
      ? []
      : (raw[i]?.filters ?? []).flatMap((filter, k): readonly PlacedFilter[] => (filter ? [{ rule, filter, at: [i, k] }] : [])),
  );
  if (placed.length > MOST_COMPARED)
    return report.warning(
      ["rule"],
      `${placed.length} filters: which of them overlap is looked for up to ${MOST_COMPARED} only; mainmode why tells what decides`,
    );
  for (const [n, later] of placed.entries())
    for (const earlier of placed.slice(0, n)) {
      const found = earlier.rule.action === later.rule.action ? undefined : crosses(earlier, later);
      if (!found) continue;
      if (found === "equal")
        report.warning(
          ["rule", later.at[0], "filters", later.at[1]],
          `for the addresses of this host that both mean it is about the same traffic as "${earlier.filter.text}" of rule ${JSON.stringify(earlier.rule.name)} (${earlier.rule.action}); block comes before permit, permit before require, then request, then respond`,
        );
      else
        report.warning(
          ["rule", later.at[0], "filters", later.at[1]],
          `it shares packets with "${earlier.filter.text}" of rule ${JSON.stringify(earlier.rule.name)} (${earlier.rule.action}), and neither is within the other; the one with the narrower remote side decides, then the local side, then the one with protocol and ports (mainmode why tells)`,
        );
      break;
    }
}

/** -1: equal; 0: `a` within `b`; 1: `b` within `a`; 2: they share something, each with a part of its own; undefined: nothing. */
type Relation = -1 | 0 | 1 | 2 | undefined;

/** Whether two filters share packets, and neither of them is the narrower one: `equal` where their local sides come to the same addresses. */
function crosses(a: PlacedFilter, b: PlacedFilter): "crossing" | "equal" | undefined {
  const [one, two] = [a.filter, b.filter];
  if (one.direction !== "both" && two.direction !== "both" && one.direction !== two.direction) return undefined;
  const relations = [
    localSides(a, b),
    sides(one.remote, two.remote),
    numbers(one.protocol, two.protocol),
    numbers(one.localPort, two.localPort),
    numbers(one.remotePort, two.remotePort),
  ];
  if (relations.includes(undefined)) return undefined;
  if (relations.includes(2) || (relations.includes(0) && relations.includes(1))) return "crossing";
  const same = sameSide(ownSide(a), ownSide(b));
  return relations.every((relation) => relation === -1) && !same && a.rule.mode === b.rule.mode ? "equal" : undefined;
}

/** In transport mode a rule that protects is about this host's own addresses, whatever its local side says. */
const isAboutHosts = ({ rule }: PlacedFilter): boolean => rule.mode === "transport" && rule.action !== "permit" && rule.action !== "block";

const ownSide = (placed: PlacedFilter): Side =>
  placed.filter.local.kind === "any" && isAboutHosts(placed) ? { kind: "me" } : placed.filter.local;

/** `me` and a local address or network that is written out have addresses in common: the same single ones, or those of the network. */
function localSides(a: PlacedFilter, b: PlacedFilter): Relation {
  const [one, two] = [ownSide(a), ownSide(b)];
  const single = ({ filter }: PlacedFilter, other: PlacedFilter): boolean =>
    filter.local.kind === "range" && (isHost(filter.local.range) || isAboutHosts(other));
  if (one.kind === "me" && two.kind === "range") return single(b, b) ? -1 : 0;
  if (two.kind === "me" && one.kind === "range") return single(a, a) ? -1 : 1;
  return sides(one, two);
}

const numbers = (a: number, b: number): Relation => (a === b ? -1 : a === 0 ? 1 : b === 0 ? 0 : undefined);

function sides(a: Side, b: Side): Relation {
  if (sameSide(a, b)) return -1;
  const [families, others] = [familyOf(a), familyOf(b)];
  if (families && others && families !== others) return undefined;
  if (a.kind === "any") return 1;
  if (b.kind === "any") return 0;
  if (a.kind !== "range" || b.kind !== "range") return undefined;
  if (covers(a.range, b.range)) return 1;
  if (covers(b.range, a.range)) return 0;
  return a.range.first <= b.range.last && b.range.first <= a.range.last ? 2 : undefined;
}
