/**
 * What a rule about this host means between link-local addresses of IPv6 (RFC 4291 §2.5.6). They are this host's too, but IKE can't be spoken there:
 * an address says nothing without its zone, which no ID payload and no kernel policy has. So what may not be in clear is shut, and nobody is asked.
 */
import { covers, includesAddress, parseRange } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { concreteSelectors } from "./selector.ts";
import type { Filter, Rule, Side, TrafficSelector } from "./types.ts";

const TEXT = "fe80::/10";
const LINK_LOCAL = rangeOf(TEXT);

/** What a filter of a transport rule selects there; nothing where its sides are written out and say otherwise. */
export function linkLocalSelectors(filter: Filter, rule: Rule): readonly TrafficSelector[] {
  if (rule.mode === "tunnel" || !isThisHost(filter.local, rule)) return [];
  const local: Side = { kind: "range", range: LINK_LOCAL };
  return concreteSelectors({ ...filter, local }, { ...rule, action: "block" }, []).filter(({ remote }) => covers(remote, LINK_LOCAL));
}

/** Whether the packets of such a selector pass, which are never protected: those that leave, or those that come. */
export function passesOnLink({ action, clear }: Rule, inward: boolean): boolean {
  if (action === "block") return false;
  if (action === "permit" || action === "respond" || clear.fallback !== null) return true;
  return inward ? clear.inbound : clear.discovery;
}

/** Whether a selector is one of those that `linkLocalSelectors` makes. */
export const isLinkLocal = ({ local }: TrafficSelector): boolean => local.family === 6 && local.first === LINK_LOCAL.first;

/** Whether an address is a link-local one of IPv6. */
export const isOnLink = (address: string): boolean => includesAddress(LINK_LOCAL, address);

/** Packets that keep a link and its addresses alive: source, destination, protocol, ports; both directions. */
export const LINK_UPKEEP = {
  /** Multicast listener discovery (RFC 2710, RFC 3810): switches that listen to it would pass no neighbour solicitation. ICMPv6 types. */
  listeners: [130, 131, 132, 143].map((type) => ["::/0", "ff00::/8", IP_PROTOCOL.icmpv6, type, 0] as const),
  /** DHCPv6 (RFC 8415 §7), between its two ports only. */
  dhcp: [
    [TEXT, "ff02::1:2/128", IP_PROTOCOL.udp, 546, 547],
    [TEXT, TEXT, IP_PROTOCOL.udp, 546, 547],
    [TEXT, TEXT, IP_PROTOCOL.udp, 547, 546],
  ] as const,
};

/** `me`; or, where only this host's own traffic counts anyway, whatever holds all of them. */
const isThisHost = (side: Side, { action }: Rule): boolean =>
  side.kind === "me" ||
  (action !== "permit" && action !== "block" && (side.kind === "any" || (side.kind === "range" && covers(side.range, LINK_LOCAL))));

function rangeOf(text: string) {
  const range = parseRange(text);
  if (!range) throw new Error(text);
  return range;
}
