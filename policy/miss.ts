/**
 * By what a filter is not about a packet, in words for `why`.
 */
import { formatRange, includesAddress } from "../isakmp/address.ts";
import type { Packet } from "./decide.ts";
import { formatProtocol, sideText } from "./filter.ts";
import { isOnLink, protocolIn } from "./selector.ts";
import type { Filter, Rule, Side } from "./types.ts";

/** The first thing by which a filter is not about a packet that comes (`inward`) or leaves; undefined: it is about it. */
export function missOf(rule: Rule, filter: Filter, own: readonly string[], packet: Packet, inward: boolean): string | undefined {
  const [local, remote] = inward ? [packet.destination, packet.source] : [packet.source, packet.destination];
  const [localPort, remotePort] = inward ? [packet.destinationPort, packet.sourcePort] : [packet.sourcePort, packet.destinationPort];
  if (filter.local.kind === "name" || filter.remote.kind === "name") return "its name stands for no address now";
  if (!inSide(filter.remote, remote, own, rule)) return `${remote} is not ${sideText(filter.remote)}`;
  if (!inSide(filter.local, local, own, rule)) return `${local} is not ${sideText(filter.local)}`;
  const protocol = protocolIn(local.includes(":") ? 6 : 4, filter.protocol);
  if (protocol === undefined) return `${formatProtocol(filter.protocol)} is of IPv6 alone`;
  if (protocol !== 0 && protocol !== packet.protocol)
    return `the protocol is ${formatProtocol(packet.protocol)}, not ${formatProtocol(protocol)}`;
  if (filter.remotePort !== 0 && filter.remotePort !== remotePort)
    return `the remote port is ${portText(remotePort)}, not ${filter.remotePort}`;
  if (filter.localPort !== 0 && filter.localPort !== localPort) return `our port is ${portText(localPort)}, not ${filter.localPort}`;
  if (filter.direction !== "both" && (filter.direction === "in") !== inward)
    return `it is one-way, about packets that ${filter.direction === "in" ? "come" : "leave"}`;
  if (rule.peer && !includesAddress(rule.peer, remote)) return `${remote} is not its peer ${formatRange(rule.peer)}`;
  return undefined;
}

/** Whether an address of a packet is one that a side of a rule means, on a host with these addresses. */
export function inSide(side: Side, address: string, addresses: readonly string[], rule: Rule): boolean {
  if (side.kind === "any") return true;
  if (side.kind === "name") return false;
  if (side.kind === "range") return includesAddress(side.range, address);
  return rule.tunnel?.local ? rule.tunnel.local === address : addresses.includes(address) || isOnLink(address);
}

const portText = (port: number): string => (port === 0 ? "not known" : String(port));
