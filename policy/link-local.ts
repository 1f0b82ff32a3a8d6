/**
 * What a rule about this host means for its link-local addresses of IPv6 (RFC 4291 §2.5.6). They are this host's too, but IKE can't be spoken there:
 * an address says nothing without its zone, which no ID payload and no kernel policy has. So what may not be in clear is shut, and nobody is asked,
 * whomever such an address speaks with: a neighbour's link-local address, another one of that neighbour's, or a group.
 */
import { type AddressRange, covers, intersection } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { concreteSelectors, LINK_LOCAL } from "./selector.ts";
import type { Filter, Rule, Side, TrafficSelector } from "./types.ts";

/** What a filter of a transport rule selects there; nothing where its own side is written out and says what it says by itself. */
export function linkLocalSelectors(filter: Filter, rule: Rule): readonly TrafficSelector[] {
  const range = rule.mode === "tunnel" ? undefined : ownRange(filter.local, rule);
  if (!range) return [];
  return concreteSelectors({ ...filter, local: { kind: "range", range } }, { ...rule, action: "block" }, []);
}

/** Whether the packets of such a selector pass, which are never protected: those that leave, or those that come. */
export function passesOnLink({ action, clear }: Rule, inward: boolean): boolean {
  if (action === "block") return false;
  if (action === "permit" || action === "respond" || clear.fallback !== null) return true;
  return inward ? clear.inbound : clear.discovery;
}

/** Whether a selector's own side is a link-local one. */
export const isLinkLocal = ({ local }: TrafficSelector): boolean => covers(LINK_LOCAL, local);

/** Whether a filter shuts the link as a whole without having named it, so that what keeps the host's addresses alive is let through in front of it. */
export const isLinkWide = (rule: Rule, filter: Filter, pair: TrafficSelector): boolean =>
  isLinkLocal(pair) &&
  (filter.local.kind === "me" || isProtective(rule)) &&
  covers(pair.remote, LINK_LOCAL) &&
  pair.localPort === 0 &&
  pair.remotePort === 0;

const TEXT = "fe80::/10";

/** Packets that keep a link and its addresses alive: source, destination, protocol, ports. */
export const LINK_UPKEEP = {
  /** Multicast listener discovery (RFC 2710, RFC 3810): switches that listen to it would pass no neighbour solicitation. ICMPv6 types. Both directions. */
  listeners: [130, 131, 132, 143].map((type) => ["::/0", "ff00::/8", IP_PROTOCOL.icmpv6, type, 0] as const),
  /** DHCPv6 (RFC 8415 §7), between its two ports only, by direction. Groups are no addresses of ours: nothing shuts what comes to them. */
  dhcp: {
    out: [
      [TEXT, "ff02::1:2/128", IP_PROTOCOL.udp, 546, 547],
      [TEXT, TEXT, IP_PROTOCOL.udp, 546, 547],
      [TEXT, TEXT, IP_PROTOCOL.udp, 547, 546],
    ],
    in: [
      [TEXT, TEXT, IP_PROTOCOL.udp, 546, 547],
      [TEXT, TEXT, IP_PROTOCOL.udp, 547, 546],
    ],
  } as const,
};

/** The link-local addresses among those that a side stands for: of `me` all, and of what counts as this host's own addresses those in it. */
function ownRange(side: Side, rule: Rule): AddressRange | undefined {
  if (side.kind === "me") return LINK_LOCAL;
  if (side.kind === "name" || !isProtective(rule)) return undefined;
  return side.kind === "any" ? LINK_LOCAL : intersection(side.range, LINK_LOCAL);
}

/** Where only this host's own traffic counts, whatever the local side says. */
const isProtective = ({ action }: Rule): boolean => action !== "permit" && action !== "block";
