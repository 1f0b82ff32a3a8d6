/**
 * What `check` warns about although every key is in order: rules that will bite, never decide, or shut the administrator out.
 */
import { covers, everyAddress, isHost, sameRange } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import type { RawRule } from "./schema.ts";
import type { Filter, Policy, Rule, Side } from "./types.ts";

/** Reports what is worth a second look. `raw` are the rules at the indexes of the file. */
export function reportWarnings(policy: Policy, raw: readonly (RawRule | undefined)[], explicitExempt: boolean, report: Report): void {
  // What is refused is mended first; then it may mean something else.
  if (report.findings.some(({ severity }) => severity === "error")) return;
  for (const [i, rule] of policy.rules.entries()) {
    reportKerberos(policy, rule, i, explicitExempt, report);
    reportHeader(rule, i, report);
    reportUnreachable(policy, rule, i, raw[i], report);
    reportLockOut(policy, rule, i, raw[i], report);
    reportHalfTunnel(policy, rule, i, raw[i], report);
  }
  reportOverlaps(policy, raw, report);
}

const protects = ({ action }: Rule): boolean => action === "require" || action === "request";

/** An explicit list of exemptions that leaves the KDC out, and a rule whose own keying has to go through itself. */
function reportKerberos(policy: Policy, rule: Rule, i: number, explicitExempt: boolean, report: Report): void {
  if (!explicitExempt || !protects(rule) || !rule.auth.some(({ method }) => method === "kerberos") || policy.exempt.includes("kerberos"))
    return;
  const toKdc = rule.filters.some(
    ({ remote, protocol, remotePort }) => !isOneHost(remote) && mayBe(protocol, IP_PROTOCOL.udp) && mayBe(remotePort, 88),
  );
  const permitted = policy.rules.some(({ action, filters }) => action === "permit" && filters.some(({ remotePort }) => remotePort === 88));
  if (toKdc && !permitted)
    report.warning(
      ["rule", i, "auth"],
      'the filters may cover the way to the Kerberos servers, and nothing exempts it: a ticket would need the SA that needs the ticket; add "kerberos" to exempt, or a permit rule for port 88',
    );
}

const mayBe = (number: number, wanted: number): boolean => number === 0 || number === wanted;
const isOneHost = (side: Side): boolean => side.kind === "range" && isHost(side.range);

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

/** A filter for just the traffic that another rule blocks. */
function reportUnreachable(policy: Policy, rule: Rule, i: number, raw: RawRule | undefined, report: Report): void {
  if (rule.defaultResponse) return;
  for (const [k, filter] of (raw?.filters ?? []).entries()) {
    if (!filter) continue;
    const other = policy.rules.find(
      (each) => each !== rule && each.action === "block" && each.filters.some((theirs) => sameTraffic(theirs, filter)),
    );
    if (other && rule.action !== "block")
      report.warning(["rule", i, "filters", k], `rule ${JSON.stringify(other.name)} blocks just this; the filter never decides`);
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

/** SSH from anywhere meets this rule, and no narrower one lets it through. */
function reportLockOut(policy: Policy, rule: Rule, i: number, raw: RawRule | undefined, report: Report): void {
  if ((rule.action !== "require" && rule.action !== "block") || rule.clear.inbound || rule.mode === "tunnel" || rule.peer) return;
  for (const [k, filter] of (raw?.filters ?? []).entries()) {
    if (!filter || filter.direction === "out" || !isWide(filter.remote) || !takesSsh(filter) || filter.local.kind === "range") continue;
    const open = policy.rules.some(
      (other) =>
        other !== rule && (other.action === "permit" || other.action === "request") && other.filters.some((theirs) => takesSsh(theirs)),
    );
    if (open) continue;
    const how =
      rule.action === "block" ? "blocks SSH to this host from everywhere" : "lets SSH to this host in only from peers that negotiate";
    report.warning(
      ["rule", i, "filters", k],
      `this ${how}; keep another way in, or add a permit rule such as "me:22 <-> 192.0.2.0/24 tcp"`,
    );
    return;
  }
}

const isWide = (side: Side): boolean =>
  side.kind === "any" || (side.kind === "range" && sameRange(side.range, everyAddress(side.range.family)));

const takesSsh = ({ protocol, localPort, remotePort }: Filter): boolean =>
  mayBe(protocol, IP_PROTOCOL.tcp) && mayBe(localPort, 22) && remotePort === 0;

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

interface Placed {
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
      : (raw[i]?.filters ?? []).flatMap((filter, k): readonly Placed[] => (filter ? [{ rule, filter, at: [i, k] }] : [])),
  );
  if (placed.length > MOST_COMPARED)
    return report.warning(
      ["rule"],
      `${placed.length} filters: which of them overlap is looked for up to ${MOST_COMPARED} only; mainmode why tells what decides`,
    );
  for (const [n, later] of placed.entries())
    for (const earlier of placed.slice(0, n)) {
      if (earlier.rule.action === later.rule.action || !crosses(earlier.filter, later.filter)) continue;
      report.warning(
        ["rule", later.at[0], "filters", later.at[1]],
        `it shares packets with "${earlier.filter.text}" of rule ${JSON.stringify(earlier.rule.name)} (${earlier.rule.action}), and neither is within the other; the one with the narrower remote side decides, then the local side, then the one with protocol and ports (mainmode why tells)`,
      );
      break;
    }
}

/** -1: equal; 0: `a` within `b`; 1: `b` within `a`; 2: they share something, each with a part of its own; undefined: nothing. */
type Relation = -1 | 0 | 1 | 2 | undefined;

function crosses(a: Filter, b: Filter): boolean {
  if (a.direction !== "both" && b.direction !== "both" && a.direction !== b.direction) return false;
  const relations = [
    sides(a.local, b.local),
    sides(a.remote, b.remote),
    numbers(a.protocol, b.protocol),
    numbers(a.localPort, b.localPort),
    numbers(a.remotePort, b.remotePort),
  ];
  if (relations.includes(undefined)) return false;
  return relations.includes(2) || (relations.includes(0) && relations.includes(1));
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
