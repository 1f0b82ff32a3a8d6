/**
 * What `check` warns about by looking at what the rules come to: an administrator shut out of SSH, tickets that need the SA that needs the
 * ticket, and filters that never decide. The host's own addresses are those that the file names; where it names none, others stand for them.
 */
import { type AddressRange, covers, formatAddress, formatRange, intersection, isHost, parseRange } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { kernelPolicies, type WantedPolicy, weigh } from "./compile.ts";
import type { Report } from "./diagnostic.ts";
import { linkLocalSelectors } from "./link-local.ts";
import { reportLockOut } from "./lock-out.ts";
import { manualOf, oneEndText, otherEndOf, ruleText } from "./manual-rule.ts";
import { reportPathMtu } from "./path-mtu.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import { namesIn, resolvePolicy } from "./resolve.ts";
import { Rivals } from "./rivals.ts";
import { concreteSelectors, isOnLink, isRangeOfMany, LINK_LOCAL, tunnelInstead } from "./selector.ts";
import { reportShut } from "./shut.ts";
import type { Filter, Policy, Rule, Side } from "./types.ts";
import { mayBeOursOf, type Reach, type Reaching, reachOf, type Service, wallsOf } from "./walls.ts";
import { isBesideBlock } from "./ways.ts";

/** A policy with its filters where they stand in the file. */
export interface Placed {
  readonly policy: Policy;
  /** Its manual SAs, too. */
  readonly rules: readonly PlacedRule[];
  /** `[daemon] addresses`; null: every local address, which are not known here. */
  readonly addresses: readonly string[] | null;
}

/** Reports what is shut that should not be, and what never decides. */
export function reportReach(placed: Placed, explicitExempt: boolean, report: Report): void {
  const { policy, rules } = placed;
  const { own, surest } = addressesOf(placed);
  const weighed = weigh(policy, own, MOST_JUDGED);
  if (!weighed) return reportMost(rules, own, report);
  const { decide: wanted, exempted, shut } = weighed;
  reportShut(rules, shut, report);
  // What stands in front of blocks goes with other policies, and is no packet of this host's.
  const reach = wanted.filter((one) => !isBesideBlock(one)).map(reachOf);
  const named = ofNames(policy, own);
  const reaching = { reach, named, mayBeOurs: mayBeOursOf(placed.addresses) };
  reportLockOut(rules, surest, reaching, report);
  reportPathMtu(rules, own, { reach, named }, report);
  if (explicitExempt && !policy.exempt.includes("kerberos")) reportKerberos(policy, reaching, report);
  reportUnreachable(placed, { own, surest }, reach, exempted.map(reachOf), report);
}

/** What the filters with names come to, each name for one address of each family. */
function ofNames(policy: Policy, own: readonly string[]): readonly Reach[] {
  const rules = policy.rules.map((rule) => ({
    ...rule,
    filters: rule.filters.filter(({ local, remote }) => local.kind === "name" || remote.kind === "name"),
  }));
  const some: Policy = { ...policy, rules, manual: [] };
  const resolved = resolvePolicy(some, new Map(namesIn(some).map((name) => [name, STAND_INS])));
  return (weigh(resolved, own, MOST_JUDGED)?.decide ?? []).map(reachOf);
}

/** Of more kernel policies than these nothing is judged; and where it takes more looks than these at others of them, not which filters never decide. */
const [MOST_JUDGED, MOST_LOOKS] = [50_000, 1_000_000];

/** Names the rule that has the most of all kernel policies. */
function reportMost(rules: readonly PlacedRule[], own: readonly string[], report: Report): void {
  const counts = rules.map(({ rule }) => kernelPolicies(rule, own));
  const most = counts.reduce((greatest, count) => Math.max(greatest, count), 0);
  report.warning(
    rules[counts.indexOf(most)]?.at ?? ["rule"],
    `all filters come to more than ${MOST_JUDGED} kernel policies, those of this one to ${most}, the most; which of them never decide, and whether SSH is shut, is not looked for then. A range that is no network comes to many: write networks, or ranges that begin and end where networks do`,
  );
}

/** Addresses that no host has (RFC 2544, RFC 5180): they stand for those of this one. */
const STAND_INS = ["198.18.0.1", "2001:2::1"] as const;

interface Addresses {
  /** All that may be this host's. */
  readonly own: readonly string[];
  /** Those of each family that are most surely so: own ends before local sides, which on a gateway may be other hosts. */
  readonly surest: readonly string[];
}

/** Without `[daemon] addresses` the ends that tunnels and manual SAs have here, as for `why`, and the single hosts that local sides name. */
function addressesOf({ policy, addresses }: Placed): Addresses {
  if (addresses) return { own: addresses, surest: addresses };
  const ends = new Set([...policy.rules.flatMap(({ tunnel }) => tunnel?.local ?? []), ...policy.manual.map(({ local }) => local)]);
  const sides = policy.rules.flatMap(({ filters }) => filters.map(({ local }) => local));
  const named = new Set(sides.flatMap((side) => hostOf(side) ?? []));
  const byFamily = STAND_INS.map((one) => {
    const of = (texts: Iterable<string>): readonly string[] =>
      [...texts].filter((text) => text.includes(":") === one.includes(":") && !isOnLink(text));
    const all = of(new Set([...ends, ...named]));
    const own = all.length > 0 ? all : [one];
    const ofEnds = of(ends);
    return { own, surest: ofEnds.length > 0 ? ofEnds : own };
  });
  return { own: byFamily.flatMap(({ own }) => own), surest: byFamily.flatMap(({ surest }) => surest) };
}

const KERBEROS: readonly Service[] = [IP_PROTOCOL.udp, IP_PROTOCOL.tcp].map((protocol) => ({ protocol, localPort: 0, remotePort: 88 }));

/** An explicit list of exemptions that leaves the KDC out, a rule with Kerberos, and rules that may be about the way to its servers. */
function reportKerberos(policy: Policy, { reach, named, mayBeOurs }: Reaching, report: Report): void {
  const i = policy.rules.findIndex(
    ({ auth, action }) => action !== "permit" && action !== "block" && auth.some(({ method }) => method === "kerberos"),
  );
  if (i < 0) return;
  // One of UDP and TCP will do for the way out: the libraries try the other one.
  const [wall] = wallsOf(reach, KERBEROS, false, (remote) => !isHost(remote), named, mayBeOurs).whole;
  if (wall?.wanted.origin.kind !== "rule") return;
  const { rule } = wall.wanted.origin;
  const whose = rule === policy.rules[i] ? "the filters" : `the filters of ${ruleText(rule)}`;
  report.warning(
    ["rule", i, "auth"],
    `${whose} may cover the way to the Kerberos servers, and nothing exempts it: a ticket would need the SA that needs the ticket; add "kerberos" to exempt, or a permit rule for port 88`,
  );
}

/** Filters of which every packet is decided by stronger ones, or is never looked at. `exempted`: what exemptions took of them. */
function reportUnreachable(
  { rules, addresses }: Placed,
  { own, surest }: Addresses,
  reach: readonly Reach[],
  exempted: readonly Reach[],
  report: Report,
): void {
  const byWay: ByWay = new Map((["out", "in", "fwd"] as const).map((way) => [way, new Rivals(reach, way)]));
  const byFilter = new Map<Filter, Reach[]>();
  for (const one of [...reach, ...exempted]) if (one.wanted.origin.kind === "rule") listed(byFilter, one.wanted.origin.filter).push(one);
  for (const placed of rules) {
    const { rule } = placed;
    if (rule.defaultResponse) continue;
    for (const { filter, at } of placedFiltersOf(placed)) {
      if (filter.local.kind === "name" || filter.remote.kind === "name") continue;
      if ([...byWay.values()].some((rivals) => rivals.looked > MOST_LOOKS))
        return report.warning(
          at,
          "so many filters meet that from here on it was not looked for which of them never decide; mainmode why tells what decides",
        );
      const mine = byFilter.get(filter) ?? [];
      const why = whyNever(rule, filter, own, addresses !== null, mine, byWay) ?? besideEnd(rule, surest, mine, byWay);
      if (why !== undefined) report.warning(at, why);
    }
  }
}

type ByWay = ReadonlyMap<WantedPolicy["direction"], Rivals>;

function listed<K, V>(lists: Map<K, V[]>, key: K): V[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}

/** `mine`: what the filter comes to. */
function whyNever(
  rule: Rule,
  filter: Filter,
  own: readonly string[],
  known: boolean,
  mine: readonly Reach[],
  byWay: ByWay,
): string | undefined {
  if ([filter.local, filter.remote].some((side) => side.kind === "range" && LOOPBACK.some((range) => covers(range, side.range))))
    return `what a host sends to itself by loopback is never looked at; ${NEVER}`;
  if (rule.mode === "tunnel" && rule.tunnel?.local == null) return undefined;
  // Link-local addresses are this host's whatever others it has.
  const onLink = linkLocalSelectors(filter, rule);
  if (concreteSelectors(filter, rule, own).length === 0) {
    if (onLink.length === 0) return known ? `no address of [daemon] addresses is in it; ${NEVER}` : undefined;
    const [far] = known && onLink.every(({ remote }) => isBeyondLink(remote)) ? onLink : [];
    if (far)
      return `no address of [daemon] addresses is in it, and nobody in ${formatRange(far.remote)} is spoken with from a link-local one; the filter decides next to nothing`;
  }
  const foreign = known && negotiates(rule) && rule.mode === "transport" ? hostOf(filter.local) : undefined;
  if (foreign !== undefined && !own.includes(foreign) && !isOnLink(foreign)) return othersText(rule, filter, foreign);
  // Where none is left, equal ones of stronger rules have taken all its places.
  const met = mine.filter((one) => !isFromMany(one));
  if (mine.length > 0 && met.length === 0) return protects(rule) ? undefined : `no packet comes from multicast or broadcast; ${NEVER}`;
  const stronger = met.map((one) => byWay.get(one.wanted.direction)?.covering(one));
  const [first] = stronger;
  // Of a respond rule that was said where the other one stands.
  if (mine.length === 0) return rule.action === "respond" ? undefined : `a stronger rule is about just the same traffic; ${NEVER}`;
  if (first && !stronger.includes(undefined)) return `${aboutAll(stronger)} about all of it and more specific; ${NEVER}`;
  // Exemptions are about this host's own packets.
  const ofHost = stronger.filter((_, i) => met[i]?.wanted.direction !== "fwd");
  const isExempt = ofHost.length > 0 && ofHost.every((covering) => covering?.every(({ wanted }) => wanted.origin.kind === "exemption"));
  return isExempt
    ? `${aboutAll(ofHost)} about all packets of this host in it; the filter decides only about what passes through`
    : undefined;
}

/** Whether neither neighbours' link-local addresses nor groups are in a range. */
const isBeyondLink = (remote: AddressRange): boolean => ![LINK_LOCAL, GROUPS].some((range) => intersection(range, remote));

/** Of a manual SA in transport mode, which of this host's other addresses it drops the packets of. Those of the first three are named. */
function besideEnd(rule: Rule, surest: readonly string[], mine: readonly Reach[], byWay: ByWay): string | undefined {
  const dropped = new Set<string>();
  for (const one of manualOf(rule) ? mine : []) {
    const { origin, direction, protection } = one.wanted;
    const own = origin.kind === "rule" && protection ? formatAddress(origin.pair.local.family, origin.pair.local.first) : undefined;
    if (own === undefined || !surest.includes(own) || dropped.has(own) || otherEndOf(rule, own) === undefined) continue;
    if (!byWay.get(direction)?.covering(one)) dropped.add(own);
  }
  const [first, ...others] = dropped;
  if (first === undefined) return undefined;
  const whose = [first, ...others].slice(0, 3).join(", ");
  return `packets of ${whose}${others.length > 2 ? " and others" : ""} are dropped: ${oneEndText(otherEndOf(rule, first) ?? "")}`;
}

/** Nobody has such an address, so that no packet meets the policy. What goes to one leaves, or passes through. */
const isFromMany = ({ wanted: { direction }, remote }: Reach): boolean => direction !== "out" && isRangeOfMany(remote);

/** Of these it is said elsewhere that such addresses can't be protected. */
const protects = ({ action }: Rule): boolean => action === "require" || action === "request";

const negotiates = ({ action }: Rule): boolean => action !== "permit" && action !== "block";

/** Of a filter in transport mode that names another host, `foreign`, as its own side. */
function othersText(rule: Rule, { direction }: Filter, foreign: string): string {
  const { action, clear } = rule;
  // Another local side than its own end is refused.
  if (manualOf(rule))
    return `${foreign}, the SA's own end, is none of [daemon] addresses: in transport mode it protects nothing of this host; give the SA an end that is this host's, or add ${foreign} there`;
  const none = `${foreign} is none of [daemon] addresses, and in transport mode`;
  if (action === "respond")
    return `${none} peers can ask about this host's own addresses only: the filter answers nobody, and within a wider rule what it is about passes in clear; leave it out`;
  const what = direction === "in" ? foreign : "it";
  const sent = `what ${foreign} sends through this host ${clear.discovery ? "leaves in clear" : "is dropped"} where the filter decides, and `;
  const then = `${direction === "in" ? "" : sent}about what comes for ${what} the filter says nothing`;
  return `${none} nothing can be negotiated for other hosts: ${then}. ${tunnelInstead(foreign)}`;
}

/** The one address of a side. */
const hostOf = (side: Side): string | undefined =>
  side.kind === "range" && isHost(side.range) ? formatAddress(side.range.family, side.range.first) : undefined;

const NEVER = "the filter never decides";

function aboutAll(stronger: readonly (readonly Reach[] | undefined)[]): string {
  const names = [...new Set(stronger.flatMap((covering) => (covering ?? []).map(nameOf)))];
  return `${names.slice(0, 3).join(" and ")}${names.length > 3 ? " and others" : ""} ${names.length === 1 ? "is" : "are"}`;
}

const GROUPS: AddressRange = { family: 6, first: 0xffn << 120n, last: (1n << 128n) - 1n };

const LOOPBACK: readonly AddressRange[] = ["127.0.0.0/8", "::1/128"].flatMap((text) => parseRange(text) ?? []);

const nameOf = ({ wanted: { origin } }: Reach): string => (origin.kind === "rule" ? ruleText(origin.rule) : `the exemption ${origin.what}`);
