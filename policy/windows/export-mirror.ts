/**
 * The mirror image of a policy is for a peer: what our rules say of other hosts is no matter of that peer's, and must not become a rule between it
 * and us.
 */
import { formatRange, intersection } from "../../isakmp/address.ts";
import type { Filter, Rule, Side } from "../types.ts";

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
