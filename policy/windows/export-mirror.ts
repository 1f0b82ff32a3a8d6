/**
 * The mirror image of a policy is for a peer: what our rules say of other hosts is no matter of that peer's, and must not become a rule between it
 * and us.
 */
import { bitsOf, formatRange, includesAddress, intersection } from "../../isakmp/address.ts";
import type { Filter, Rule, Side } from "../types.ts";

/** What of a policy is about one peer. */
export interface PeerShare {
  readonly rules: readonly Rule[];
  /** Filters that the peer needs the mirror image of. */
  readonly kept: ReadonlySet<Filter>;
  /** Filters for names, of which it is not known whether they are the peer's, and such as others take one direction of. */
  readonly unsure: ReadonlySet<Filter>;
}

/**
 * The filters of the rules that cover a peer's address. In the mirror image all of them are for the same two hosts, so of several for the same
 * traffic only the narrowest stays, which is the one that decides here.
 */
export function shareOf(rules: readonly Rule[], peer: string): PeerShare {
  const ends = rules.filter(({ tunnel }) => tunnel?.remote === peer);
  const candidates = rules
    .flatMap((rule) => (rule.mode === "transport" ? rule.filters.map((filter) => ({ rule, filter })) : []))
    .filter(({ filter }) => !isServer(filter.text));
  const covering = candidates
    .filter(({ filter: { remote } }) => remote.kind === "any" || (remote.kind === "range" && includesAddress(remote.range, peer)))
    .sort(
      (a, b) => widthOf(a.filter.remote) - widthOf(b.filter.remote) || STRENGTH.indexOf(a.rule.action) - STRENGTH.indexOf(b.rule.action),
    );
  const [kept, taken] = [new Set<Filter>(ends.flatMap(({ filters }) => filters)), new Set<string>()];
  const unsure = new Set(candidates.flatMap(({ filter }) => (filter.remote.kind === "name" ? [filter] : [])));
  for (const { rule, filter } of covering) {
    // A rule that only answers takes nothing from others.
    if (rule.action === "respond") {
      kept.add(filter);
      continue;
    }
    const ways = filter.direction === "both" ? ["in", "out"] : [filter.direction];
    const free = ways.map((way) => `${way} ${trafficOf(filter)}`).filter((key) => !taken.has(key));
    if (free.length === ways.length) kept.add(filter);
    else if (free.length > 0) unsure.add(filter);
    for (const key of free) taken.add(key);
  }
  return { rules: rules.filter(({ filters }) => filters.some((one) => kept.has(one) || unsure.has(one))), kept, unsure };
}

const STRENGTH: readonly Rule["action"][] = ["block", "permit", "require", "request", "respond"];

/** Bits of addresses that a side leaves open; any address is the widest. */
const widthOf = (side: Side): number =>
  side.kind === "range" ? (side.range.last - side.range.first).toString(2).length - bitsOf(side.range.family) : 1;

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
