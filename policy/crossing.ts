/**
 * How two filters lie to each other: whether they share packets, also with the sides of one exchanged, which of them is the narrower one, and which decides.
 */
import { type AddressRange, covers, everyAddress, type Family, hostRange, intersection, isHost, sameRange } from "../isakmp/address.ts";
import { familyOf, formatProtocol } from "./filter.ts";
import { prioritiesFor } from "./packet-selector.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import { compareSpecificity } from "./select.ts";
import { coversSelector, formatEnd } from "./selector.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { Filter, Rule, Side, TrafficSelector } from "./types.ts";

/** A filter where it stands in the file. */
export interface PlacedFilter {
  readonly rule: Rule;
  /** In transport mode narrowed to the rule's peer. */
  readonly filter: Filter;
  readonly at: KeyPath;
  /** Among all of them. */
  readonly order: number;
}

/** All filters that decide about packets, in the order of the file. */
export const placedFilters = (rules: readonly PlacedRule[]): readonly PlacedFilter[] =>
  rules
    .flatMap((placed) => {
      const { rule } = placed;
      if (rule.defaultResponse) return [];
      return placedFiltersOf(placed).map(({ filter, at }) => ({ rule, filter: toPeer(filter, rule), at }));
    })
    .map((one, order): PlacedFilter => ({ ...one, order }));

function toPeer(filter: Filter, { mode, peer }: Rule): Filter {
  const { remote } = filter;
  if (mode === "tunnel" || !peer || remote.kind === "name" || remote.kind === "me") return filter;
  const range = remote.kind === "any" ? peer : intersection(remote.range, peer);
  return range ? { ...filter, remote: { kind: "range", range } } : filter;
}

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
export function crosses(a: PlacedFilter, b: PlacedFilter): "crossing" | "equal" | undefined {
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
export function crossesTurned(a: PlacedFilter, b: PlacedFilter): "turned" | undefined {
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

/** Whether two filters that share packets have one port each, one of them that of a source and the other of a destination: only packets between these two are shared. */
export const arePortsApart = (a: Filter, b: Filter): boolean =>
  (a.localPort !== 0 && a.remotePort === 0 && b.localPort === 0 && b.remotePort !== 0) ||
  (a.localPort === 0 && a.remotePort !== 0 && b.localPort !== 0 && b.remotePort === 0);

/** Which of two filters decides about what they share; undefined: it is not plain, or the one for some packets and the other for others. */
export function decider(a: PlacedFilter, b: PlacedFilter): PlacedFilter | undefined {
  const [one, two] = [pairOf(a, b), pairOf(b, a)];
  const part = sharedOf(one, two);
  return part && strongerOf([a, prioritiesFor(one, part).each()], [b, prioritiesFor(two, part).each()]);
}

/** The same of packets that pass through, where the sides of `a` have to be exchanged to be those of `b`. */
export function deciderTurned(a: PlacedFilter, b: PlacedFilter): PlacedFilter | undefined {
  const turnedA = { ...a, filter: turnedFilter(a.filter) };
  const [one, two] = [pairOf(turnedA, b), pairOf(b, turnedA)];
  const part = sharedOf(one, two);
  const [own, partOfA] = [turnedPair(one), part && turnedPair(part)];
  return part && partOfA && strongerOf([a, prioritiesFor(own, partOfA).each()], [b, prioritiesFor(two, part).each()]);
}

/** Whether a filter, as it is or with its sides exchanged, is about all that two others share (`isTurned`: once the sides of `a` are exchanged). */
export function coversShared(outer: PlacedFilter, a: PlacedFilter, b: PlacedFilter, isTurned: boolean): boolean {
  const one = isTurned ? { ...a, filter: turnedFilter(a.filter) } : a;
  const part = sharedOf(pairOf(one, b), pairOf(b, one));
  const ways = isAboutForwarded(outer.rule, outer.filter) ? [outer, { ...outer, filter: turnedFilter(outer.filter) }] : [outer];
  const goes = ({ filter: { direction } }: PlacedFilter): boolean =>
    direction === "both" || [one, b].some(({ filter }) => filter.direction === direction);
  return part !== undefined && ways.some((way) => goes(way) && coversSelector(pairOf(way, b), part));
}

type Judged = readonly [one: PlacedFilter, priorities: readonly number[]];

function strongerOf([a, ofA]: Judged, [b, ofB]: Judged): PlacedFilter | undefined {
  const [leastA, mostA, leastB, mostB] = [Math.min(...ofA), Math.max(...ofA), Math.min(...ofB), Math.max(...ofB)];
  return mostA < leastB ? a : mostB < leastA ? b : undefined;
}

const turnedPair = (pair: TrafficSelector): TrafficSelector => ({
  ...{ local: pair.remote, remote: pair.local, protocol: pair.protocol },
  ...{ localPort: pair.remotePort, remotePort: pair.localPort },
});

/** A filter as a selector that meets another one; an address of this host stands for all of them, and one for those of a name. */
function pairOf(placed: PlacedFilter, other: PlacedFilter): TrafficSelector {
  const { filter } = placed;
  const family =
    [filter.local, filter.remote, other.filter.local, other.filter.remote].map(familyOf).find((found) => found !== undefined) ?? 4;
  const [own, theirs] = [ownSide(placed), ownSide(other)];
  const single = theirs.kind === "range" ? hostRange(family, theirs.range.first) : hostRange(family, 0n);
  const local = own.kind === "range" && isAboutHosts(placed) ? hostRange(family, own.range.first) : (rangeOf(own, family) ?? single);
  return { ...filter, local, remote: rangeOf(filter.remote, family) ?? hostRange(family, 0n) };
}

const rangeOf = (side: Side, family: Family): AddressRange | undefined =>
  side.kind === "range" ? side.range : side.kind === "any" ? everyAddress(family) : undefined;

function sharedOf(a: TrafficSelector, b: TrafficSelector): TrafficSelector | undefined {
  const [local, remote] = [intersection(a.local, b.local) ?? (isHost(a.local) ? a.local : b.local), intersection(a.remote, b.remote)];
  const numbers = { protocol: a.protocol || b.protocol, localPort: a.localPort || b.localPort, remotePort: a.remotePort || b.remotePort };
  return remote && { local, remote, ...numbers };
}

/** What two filters share as the text of a filter. */
export function sharedText({ filter: a }: PlacedFilter, { filter: b }: PlacedFilter): string {
  const end = (one: Side, two: Side, port: number): string => {
    const side = narrower(one, two);
    if (side.kind === "range") return formatEnd(side.range, port);
    return `${side.kind === "name" ? side.name : side.kind}${port === 0 ? "" : `:${port}`}`;
  };
  const direction = a.direction === "both" ? b.direction : a.direction;
  const arrow = direction === "both" ? "<->" : direction === "out" ? "->" : "<-";
  const [local, remote] = [end(a.local, b.local, a.localPort || b.localPort), end(a.remote, b.remote, a.remotePort || b.remotePort)];
  const protocol = a.protocol || b.protocol;
  return `${local} ${arrow} ${remote}${protocol === 0 ? "" : ` ${formatProtocol(protocol)}`}`;
}

function narrower(a: Side, b: Side): Side {
  if (a.kind === "range" && b.kind === "range") {
    const range = intersection(a.range, b.range);
    return range ? { kind: "range", range } : a;
  }
  if (a.kind === "any" || (a.kind === "me" && b.kind === "range")) return b;
  return a;
}
