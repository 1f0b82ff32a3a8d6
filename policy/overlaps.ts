/**
 * Filters of rules with different actions that share packets, neither of which is the narrower one. Forwarded packets are also those of a filter with its
 * sides exchanged. Found by their ports and remote sides, without a look at each pair.
 */
import { covers, everyAddress, isHost, sameRange } from "../isakmp/address.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import { OverlapIndex } from "./prefix-index.ts";
import type { RawRule } from "./schema.ts";
import { compareSpecificity } from "./select.ts";
import type { Action, Filter, Policy, Rule, Side, TrafficSelector } from "./types.ts";

interface PlacedFilter {
  readonly rule: Rule;
  readonly filter: Filter;
  readonly at: readonly [number, number];
  /** Among all of them. */
  readonly order: number;
}

/** Where more pairs of filters meet, the rest of them is not compared. */
const MOST_MEETING = 5_000_000;

/**
 * Two filters of rules with different actions that share packets, neither of which is within the other: which decides is no longer plain
 * from either alone. Filters within another one are what rules are for.
 */
export function reportOverlaps({ rules }: Policy, raw: readonly (RawRule | undefined)[], report: Report): void {
  const placed = rules
    .flatMap((rule, i) =>
      rule.defaultResponse
        ? []
        : (raw[i]?.filters ?? []).flatMap((filter, k) => (filter ? [{ rule, filter, at: [i, k] as [number, number] }] : [])),
    )
    .map((one, order): PlacedFilter => ({ ...one, order }));
  const straight = byAction(placed.map((one) => ({ one, as: one.filter })));
  const passing = byAction(
    placed.filter(({ rule, filter }) => isAboutForwarded(rule, filter)).map((one) => ({ one, as: turnedFilter(one.filter) })),
  );
  let looked = 0;
  for (const later of placed) {
    const others = (indexes: ByAction): readonly List[] =>
      [...indexes].flatMap(([action, index]) => (action === later.rule.action ? [] : index(later.filter)));
    const candidates = [...others(straight), ...(isAboutForwarded(later.rule, later.filter) ? others(passing) : [])];
    for (const { filters } of candidates) looked += filters.length;
    if (looked > MOST_MEETING)
      return report.warning(
        ["rule", later.at[0], "filters", later.at[1]],
        "so many filters meet that from here on it was not looked for which of them overlap; mainmode why tells what decides",
      );
    reportFirst(later, candidates, report);
  }
}

/** Filters; `ordered`: as they stand in the file. */
interface List {
  readonly filters: readonly PlacedFilter[];
  readonly ordered: boolean;
}

function reportFirst(later: PlacedFilter, candidates: readonly List[], report: Report): void {
  let first: PlacedFilter | undefined;
  let how: Overlap | undefined;
  for (const { filters, ordered } of candidates)
    for (const earlier of filters) {
      if (earlier.order >= (first ?? later).order) {
        if (ordered) break;
        continue;
      }
      const found = crosses(earlier, later) ?? crossesTurned(earlier, later);
      if (found) [first, how] = [earlier, found];
    }
  if (!first || !how) return;
  const whose = `"${first.filter.text}" of rule ${JSON.stringify(first.rule.name)} (${first.rule.action})`;
  report.warning(["rule", later.at[0], "filters", later.at[1]], SAYINGS[how](whose));
}

type Overlap = "crossing" | "equal" | "turned";

const SAYINGS: Readonly<Record<Overlap, (whose: string) => string>> = {
  equal: (whose) =>
    `for the addresses of this host that both mean it is about the same traffic as ${whose}; block comes before permit, permit before require, then request, then respond`,
  crossing: (whose) =>
    `it shares packets with ${whose}, and neither is within the other; the one with the narrower remote side decides, then the local side, then the one with protocol and ports (mainmode why tells)`,
  turned: (whose) =>
    `it shares forwarded packets with ${whose}, which has the sides the other way round, and it is not plain which of them decides; write both with the same side first, or make one narrower (mainmode why tells)`,
};

/** Whether a filter may be about packets that only pass through: permits and blocks, and tunnels, of which the local side is not this host alone. */
export const isAboutForwarded = ({ mode, action }: Pick<Rule, "mode" | "action">, { local }: Filter): boolean =>
  local.kind !== "me" && (mode === "tunnel" || action === "permit" || action === "block");

/** The filter for the same packets that names the other side first. */
export const turnedFilter = (filter: Filter): Filter => ({
  ...filter,
  ...{ local: filter.remote, remote: filter.local, localPort: filter.remotePort, remotePort: filter.localPort },
  direction: filter.direction === "both" ? "both" : filter.direction === "in" ? "out" : "in",
});

/** Whether two sides are written as the same. */
export const sameSide = (a: Side, b: Side): boolean =>
  a.kind === "range" && b.kind === "range"
    ? sameRange(a.range, b.range)
    : a.kind === b.kind && (a.kind !== "name" || b.kind !== "name" || a.name === b.name);

/** A filter, and what of it is compared: itself, or with its sides exchanged. */
interface Item {
  readonly one: PlacedFilter;
  readonly as: Filter;
}

/** Those of some filters that may have something in common with one; local sides are not looked at. */
type Meeting = (filter: Filter) => readonly List[];
type ByAction = ReadonlyMap<Action, Meeting>;

const byAction = (items: readonly Item[]): ByAction =>
  new Map([...grouped(items, ({ one }) => one.rule.action)].map(([action, list]) => [action, indexNumbers(list, NUMBERS)]));

const NUMBERS = ["protocol", "localPort", "remotePort"] as const;

/** A tree by protocol and ports, of which 0 meets all. */
function indexNumbers(items: readonly Item[], [number, ...rest]: readonly (typeof NUMBERS)[number][]): Meeting {
  if (number === undefined) return indexRemotes(items);
  const below = new Map([...grouped(items, ({ as }) => as[number])].map(([value, list]) => [value, indexNumbers(list, rest)]));
  return (filter) => {
    const wanted = filter[number] === 0 ? [...below.keys()] : [0, filter[number]];
    return wanted.length === 1 ? (below.get(wanted[0] ?? 0)?.(filter) ?? []) : wanted.flatMap((value) => below.get(value)?.(filter) ?? []);
  };
}

function grouped<K>(items: readonly Item[], keyOf: (item: Item) => K): ReadonlyMap<K, readonly Item[]> {
  const groups = new Map<K, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

function indexRemotes(items: readonly Item[]): Meeting {
  const inOrder = (list: readonly Item[]): List => ({ filters: list.map(({ one }) => one), ordered: true });
  const all = inOrder(items);
  const ranges = items.flatMap(({ one, as: { remote } }) => (remote.kind === "range" ? [{ item: one, range: remote.range }] : []));
  const meeting = new OverlapIndex(ranges);
  const everywhere = inOrder(items.filter(({ as }) => as.remote.kind === "any"));
  const names = items.filter(({ as }) => as.remote.kind === "name");
  return ({ remote }) => {
    if (remote.kind === "any") return [all];
    if (remote.kind === "range") return [{ filters: meeting.meeting(remote.range), ordered: false }, everywhere];
    return [inOrder(names.filter(({ as }) => sameSide(as.remote, remote))), everywhere];
  };
}

/** -1: equal; 0: `a` within `b`; 1: `b` within `a`; 2: they share something, each with a part of its own; undefined: nothing. */
type Relation = -1 | 0 | 1 | 2 | undefined;

/** How two filters that have packets in common lie to each other in their numbers and sides; undefined: they have none. */
function relationsOf(a: PlacedFilter, b: PlacedFilter): readonly Relation[] | undefined {
  const [one, two] = [a.filter, b.filter];
  if (one.direction !== "both" && two.direction !== "both" && one.direction !== two.direction) return undefined;
  const found: Relation[] = [];
  // The cheap ones first: of thousands most end there.
  for (const relation of [
    () => numbers(one.protocol, two.protocol),
    () => numbers(one.localPort, two.localPort),
    () => numbers(one.remotePort, two.remotePort),
    () => localSides(a, b),
    () => sides(one.remote, two.remote),
  ]) {
    const next = relation();
    if (next === undefined) return undefined;
    found.push(next);
  }
  return found;
}

const isCrossing = (relations: readonly Relation[]): boolean => relations.includes(2) || (relations.includes(0) && relations.includes(1));

/** Whether two filters share packets, and neither of them is the narrower one: `equal` where their local sides come to the same addresses. */
function crosses(a: PlacedFilter, b: PlacedFilter): "crossing" | "equal" | undefined {
  const relations = relationsOf(a, b);
  if (!relations) return undefined;
  if (isCrossing(relations)) return "crossing";
  const same = sameSide(ownSide(a), ownSide(b));
  return relations.every((relation) => relation === -1) && !same && a.rule.mode === b.rule.mode ? "equal" : undefined;
}

/**
 * The same of forwarded packets and filters that name different sides first. Of these the narrower one may be the weaker, since the remote side comes first.
 * Two tunnels are no conflict: a packet comes out of one and goes into the other.
 */
function crossesTurned(a: PlacedFilter, b: PlacedFilter): "turned" | undefined {
  if (!isAboutForwarded(a.rule, a.filter) || !isAboutForwarded(b.rule, b.filter)) return undefined;
  if (a.rule.mode === "tunnel" && b.rule.mode === "tunnel") return undefined;
  // Where one is within the other as they are written, that one decides about all that both are about.
  if (relationsOf(a, b)) return undefined;
  const relations = relationsOf({ ...a, filter: turnedFilter(a.filter) }, b);
  if (!relations || relations.every((relation) => relation === -1)) return undefined;
  if (isCrossing(relations)) return "turned";
  const [narrow, wide] = relations.includes(0) ? [a.filter, b.filter] : [b.filter, a.filter];
  const [one, other] = [selectorOf(narrow, wide), selectorOf(wide, narrow)];
  return one && other && compareSpecificity(one, other) >= 0 ? "turned" : undefined;
}

/** A filter of ranges as a selector; `any` in the family of the other one. */
function selectorOf(filter: Filter, other: Filter): TrafficSelector | undefined {
  const family = [filter.local, filter.remote, other.local, other.remote].map(familyOf).find((found) => found !== undefined) ?? 4;
  const [local, remote] = [filter.local, filter.remote].map((side) =>
    side.kind === "range" ? side.range : side.kind === "any" ? everyAddress(family) : undefined,
  );
  return local && remote && { ...filter, local, remote };
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
