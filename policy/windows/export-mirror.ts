/**
 * The mirror image of a policy is for a peer: what our rules say of other hosts is no matter of that peer's, and must not become a rule between it
 * and us.
 */
import { bitsOf, formatRange, includesAddress, intersection, parseAddress, prefixesOf, prefixRange } from "../../isakmp/address.ts";
import type { Filter, Rule, Side } from "../types.ts";

/** What of a policy is about one peer. */
export interface PeerShare {
  readonly rules: readonly Rule[];
  /** Filters that the peer needs the mirror image of. */
  readonly kept: ReadonlySet<Filter>;
  /** Filters for names, of which it is not known whether they are the peer's, and such as others take one direction of. */
  readonly unsure: ReadonlySet<Filter>;
  /** Pairs of kept filters that overlap, neither part of the other: the first decides here, and either may in the mirror image. */
  readonly overlaps: readonly (readonly [Filter, Filter])[];
}

/**
 * The filters of the rules that cover a peer's address. In the mirror image all of them are for the same two hosts, so what a filter with narrower
 * addresses decides here has to be taken from the others.
 */
export function shareOf(rules: readonly Rule[], peer: string): PeerShare {
  const ends = rules.filter(({ tunnel }) => tunnel?.remote === peer).flatMap(({ filters }) => filters);
  const candidates = rules.flatMap((rule) => (rule.mode === "transport" ? rule.filters.map((filter) => ({ rule, filter })) : []));
  const covering = candidates
    .flatMap(({ rule, filter }) => ({ rule, filter, width: widthOf(filter, peer) ?? -1, ways: waysOf(filter) }))
    .filter(({ width }) => width >= 0)
    .sort((a, b) => a.width - b.width || STRENGTH.indexOf(a.rule.action) - STRENGTH.indexOf(b.rule.action));
  const kept = new Set<Filter>(ends);
  const unsure = new Set(candidates.flatMap(({ filter }) => (filter.remote.kind === "name" && !isServer(filter.text) ? [filter] : [])));
  const overlaps: [Filter, Filter][] = [];
  const deciding: typeof covering = [];
  for (const one of covering) {
    const { rule, filter, width, ways } = one;
    // A rule that only answers takes nothing from others, and nothing is taken from it.
    const stronger = rule.action === "respond" ? [] : deciding.filter((other) => other.ways.some((way) => ways.includes(way)));
    const taken = ways.filter((way) =>
      stronger.some(
        (other) => other.ways.includes(way) && (other.width < width ? includes(other.filter, filter) : sameTraffic(other.filter, filter)),
      ),
    );
    if (taken.length === ways.length) continue;
    if (taken.length > 0) {
      unsure.add(filter);
      continue;
    }
    kept.add(filter);
    const torn = stronger.find(
      (other) => other.rule !== rule && meet(other.filter, filter) && !includes(filter, other.filter) && !includes(other.filter, filter),
    );
    if (torn) overlaps.push([torn.filter, filter]);
    if (rule.action !== "respond") deciding.push(one);
  }
  return { rules: rules.filter(({ filters }) => filters.some((one) => kept.has(one) || unsure.has(one))), kept, unsure, overlaps };
}

const STRENGTH: readonly Rule["action"][] = ["block", "permit", "require", "request", "respond"];

/** Bits of addresses that a filter leaves open round the peer's. undefined: it is not about the peer. */
function widthOf({ remote }: Filter, peer: string): number | undefined {
  if (remote.kind === "any") return bitsOf(parseAddress(peer)?.family ?? 6);
  if (remote.kind !== "range" || !includesAddress(remote.range, peer)) return undefined;
  const prefix = prefixesOf(remote.range).find(({ address, length }) => {
    const base = parseAddress(address);
    return base !== undefined && includesAddress(prefixRange(base.family, base.value, length), peer);
  });
  return prefix && bitsOf(remote.range.family) - prefix.length;
}

const waysOf = ({ direction }: Filter): readonly string[] => (direction === "both" ? ["in", "out"] : [direction]);
const PARTS = ["protocol", "localPort", "remotePort"] as const;
/** Whether a filter is, apart from addresses, about all that the other is about; 0 is any. */
const includes = (outer: Filter, inner: Filter): boolean => PARTS.every((part) => outer[part] === 0 || outer[part] === inner[part]);
const meet = (a: Filter, b: Filter): boolean => PARTS.every((part) => a[part] === 0 || b[part] === 0 || a[part] === b[part]);
const sameTraffic = (a: Filter, b: Filter): boolean => includes(a, b) && includes(b, a);

/** Tells whether a filter is about others than the peers that rules negotiate with. */
export function othersOf(rules: readonly Rule[]): (rule: Rule, filter: Filter) => boolean {
  const negotiated = rules.filter(({ auth, mode }) => auth.length > 0 && mode === "transport").flatMap(({ filters }) => filters);
  const traffic = new Set(negotiated.map(trafficOf));
  const peers = [...new Map(negotiated.map(({ remote }) => [JSON.stringify(textOf(remote)), remote])).values()];
  return ({ auth, mode }, filter) => {
    if (auth.length > 0 || mode === "tunnel") return false;
    if (isServer(filter.text)) return true;
    // A wider rule leaves the traffic of peers to theirs; in the mirror image both would be for the same two hosts.
    return traffic.has(trafficOf(filter)) || !peers.every((peer) => covers(filter.remote, peer));
  };
}

/** What a filter is about apart from the peer: in the mirror image there is only one. */
const trafficOf = ({ protocol, localPort, remotePort }: Filter): string => `${protocol} ${localPort} ${remotePort}`;
const textOf = (side: Side): string => (side.kind === "range" ? formatRange(side.range) : side.kind === "name" ? side.name : side.kind);
const isServer = (text: string): boolean => /(^|\s)(dns|dhcp|wins|gateway)(:\d+)?(\s|$)/i.test(text);

function covers(side: Side, peer: Side): boolean {
  if (side.kind === "any" || textOf(side) === textOf(peer)) return true;
  if (side.kind !== "range" || peer.kind !== "range") return false;
  const both = intersection(side.range, peer.range);
  return both !== undefined && formatRange(both) === formatRange(peer.range);
}
