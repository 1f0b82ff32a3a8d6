/**
 * Selectors: filters made concrete for the addresses a host has, compared with what a peer proposes,
 * and as the ID payloads of Quick Mode (RFC 2407 §4.6.2, RFC 2409 §5.5).
 */
import {
  type AddressRange,
  addressBytes,
  addressFromBytes,
  bitsOf,
  covers,
  everyAddress,
  type Family,
  formatAddress,
  formatRange,
  hostRange,
  includesAddress,
  intersection,
  isHost,
  parseAddress,
  parseRange,
  prefixLength,
  prefixRange,
} from "../isakmp/address.ts";
import { ID_TYPE, IP_PROTOCOL } from "../isakmp/numbers.ts";
import { formatProtocol } from "./filter.ts";
import type { Filter, Rule, Side, TrafficSelector } from "./types.ts";

/** What `concreteSelectors` has to know about a rule. */
export type SelectorContext = Pick<Rule, "action" | "mode" | "tunnel" | "peer">;

/**
 * The selectors that a filter stands for on a host with `localAddresses` (canonical text).
 * `me` is each of them but loopback, link-local ones of IPv6 (link-local.ts) and others that no peer can reach; in a tunnel rule its local end.
 * In transport mode every local side is that of single local addresses, since the packets' own ends are the IKE peers (RFC 4301 §4.1),
 * and the remote side is narrowed to the rule's `peer`. What is permitted or blocked may be others' traffic that passes through this host,
 * so there a local side is as written. `icmp` stands for icmpv6 between IPv6 addresses. `about`: only those that have something of its local side.
 */
export function concreteSelectors(
  filter: Filter,
  rule: SelectorContext,
  localAddresses: readonly string[],
  about: Pick<TrafficSelector, "local"> | null = null,
): readonly TrafficSelector[] {
  const out: TrafficSelector[] = [];
  for (const local of localRanges(filter.local, rule, localAddresses, about?.local)) {
    if (about && !meets(local, about.local)) continue;
    if (filter.local.kind === "range" && !covers(filter.local.range, local)) continue;
    for (const remote of remoteRanges(filter.remote, rule)) {
      const protocol = protocolIn(local.family, filter.protocol);
      if (local.family !== remote.family || protocol === undefined) continue;
      out.push({ local, remote, protocol, localPort: filter.localPort, remotePort: filter.remotePort });
    }
  }
  return out;
}

/** Whether everything that `proposed` selects is selected by `filterSelector` too. */
export function coversSelector(filterSelector: TrafficSelector, proposed: TrafficSelector): boolean {
  return (
    covers(filterSelector.local, proposed.local) &&
    covers(filterSelector.remote, proposed.remote) &&
    coversNumber(filterSelector.protocol, proposed.protocol) &&
    coversNumber(filterSelector.localPort, proposed.localPort) &&
    coversNumber(filterSelector.remotePort, proposed.remotePort)
  );
}

/** Whether two selectors are the same. */
export const sameSelector = (a: TrafficSelector, b: TrafficSelector): boolean => coversSelector(a, b) && coversSelector(b, a);

/** Whether anything is selected by both. */
export const overlap = (a: TrafficSelector, b: TrafficSelector): boolean =>
  meets(a.local, b.local) &&
  meets(a.remote, b.remote) &&
  meet(a.protocol, b.protocol) &&
  meet(a.localPort, b.localPort) &&
  meet(a.remotePort, b.remotePort);

/** `192.0.2.1 <-> 10.1.0.0/16:445 tcp`: what `parseFilter` reads. */
export function formatSelector(selector: TrafficSelector): string {
  if (selector !== lastFormatted.selector) lastFormatted = { selector, text: textOf(selector) };
  return lastFormatted.text;
}

/** One input asks for the text of one selector many times. */
let lastFormatted: { readonly selector: TrafficSelector | undefined; readonly text: string } = { selector: undefined, text: "" };

function textOf(selector: TrafficSelector): string {
  const ends = `${formatEnd(selector.local, selector.localPort)} <-> ${formatEnd(selector.remote, selector.remotePort)}`;
  return selector.protocol === 0 ? ends : `${ends} ${formatProtocol(selector.protocol)}`;
}

/** One end of a selector: a host plain, anything wider as a prefix or a range; IPv6 with a port in brackets. */
export function formatEnd(range: AddressRange, port: number): string {
  const place = isHost(range) ? formatAddress(range.family, range.first) : formatRange(range);
  if (port === 0) return place;
  return range.family === 6 ? `[${place}]:${port}` : `${place}:${port}`;
}

/** The ID payload's body for one side: an address for a host, a subnet for a prefix, else a range (RFC 2407 §4.6.2). */
export function idPayloadOf(
  range: AddressRange,
  protocol: number,
  port: number,
): { readonly type: number; readonly protocol: number; readonly port: number; readonly data: Uint8Array } {
  const v4 = range.family === 4;
  const [first, last] = [addressBytes(range.family, range.first), addressBytes(range.family, range.last)];
  if (isHost(range)) return { type: v4 ? ID_TYPE.ID_IPV4_ADDR : ID_TYPE.ID_IPV6_ADDR, protocol, port, data: first };
  const length = prefixLength(range);
  if (length === undefined) {
    return { type: v4 ? ID_TYPE.ID_IPV4_ADDR_RANGE : ID_TYPE.ID_IPV6_ADDR_RANGE, protocol, port, data: Uint8Array.of(...first, ...last) };
  }
  const mask = first.map((octet, i) => ~(octet ^ (last[i] ?? 0)) & 0xff);
  return { type: v4 ? ID_TYPE.ID_IPV4_ADDR_SUBNET : ID_TYPE.ID_IPV6_ADDR_SUBNET, protocol, port, data: Uint8Array.of(...first, ...mask) };
}

/**
 * The addresses that an ID payload names; undefined for other types, wrong lengths, masks with holes and ranges that end before they start.
 * Address bits beyond the mask are ignored.
 */
export function rangeOfId({ type, data }: { readonly type: number; readonly data: Uint8Array }): AddressRange | undefined {
  const form = ADDRESS_IDS.get(type);
  if (!form) return undefined;
  const { family, kind } = form;
  const width = bitsOf(family) / 8;
  const first = addressFromBytes(data.subarray(0, width));
  const second = addressFromBytes(data.subarray(width));
  if (first?.family !== family) return undefined;
  if (kind === "host") return data.length === width ? hostRange(family, first.value) : undefined;
  if (second?.family !== family) return undefined;
  if (kind === "range") return first.value <= second.value ? { family, first: first.value, last: second.value } : undefined;
  const length = maskLength(family, second.value);
  return length === undefined ? undefined : prefixRange(family, first.value, length);
}

/**
 * Whether an address may be `me`: no loopback, IPv6 link-local, multicast, broadcast or unspecified one. 240.0.0.0/4 and 0.0.0.0/8, but for their ends, are
 * addresses as any others to Linux (since 2.6.25 and 5.3).
 */
export function isReachable(address: string): boolean {
  return parseAddress(address) !== undefined && !UNREACHABLE.some((range) => includesAddress(range, address));
}

/** Whether an address is that of many (multicast, broadcast), whom nobody can negotiate with. */
export const isOfMany = (address: string): boolean => MANY.some((range) => includesAddress(range, address));

/** Whether a range holds nothing else. */
export const isRangeOfMany = (range: AddressRange): boolean => MANY.some((many) => covers(many, range));

/** Whether an address is a link-local one of IPv6 (RFC 4291 §2.5.6). */
export const isOnLink = (address: string): boolean => includesAddress(LINK_LOCAL, address);

/** Whether nobody can be negotiated with at an address: it is that of many, or says nothing without a zone, which IKE can't carry. */
export const hasNoPeer = (address: string): boolean => isOfMany(address) || isOnLink(address);

/** What to write instead of a filter in transport mode whose own side, `own`, is others. A manual SA has its ends already. */
export const tunnelInstead = (own: string, isManual = false): string =>
  `For a gateway write mode = "tunnel"${isManual ? "" : ' with tunnel = { remote = "ADDRESS" }'}; for this host alone write me instead of ${own}`;

const ranges = (...texts: readonly string[]): readonly AddressRange[] =>
  texts.map((text) => {
    const range = parseRange(text);
    if (!range) throw new Error(text);
    return range;
  });

/** Where link-local addresses of IPv6 are. */
export const LINK_LOCAL: AddressRange = { family: 6, first: 0xfe80n << 112n, last: (0xfec0n << 112n) - 1n };
const MANY = ranges("224.0.0.0/4", "255.255.255.255", "ff00::/8");
const UNREACHABLE = [...MANY, LINK_LOCAL, ...ranges("0.0.0.0", "127.0.0.0/8", "::/127")];

const ADDRESS_IDS: ReadonlyMap<number, { readonly family: Family; readonly kind: "host" | "subnet" | "range" }> = new Map([
  [ID_TYPE.ID_IPV4_ADDR, { family: 4, kind: "host" }],
  [ID_TYPE.ID_IPV6_ADDR, { family: 6, kind: "host" }],
  [ID_TYPE.ID_IPV4_ADDR_SUBNET, { family: 4, kind: "subnet" }],
  [ID_TYPE.ID_IPV6_ADDR_SUBNET, { family: 6, kind: "subnet" }],
  [ID_TYPE.ID_IPV4_ADDR_RANGE, { family: 4, kind: "range" }],
  [ID_TYPE.ID_IPV6_ADDR_RANGE, { family: 6, kind: "range" }],
]);

/** Number of leading ones of a mask without holes, else undefined. */
function maskLength(family: Family, mask: bigint): number | undefined {
  const host = (1n << BigInt(bitsOf(family))) - 1n - mask;
  if ((host & (host + 1n)) !== 0n) return undefined;
  return bitsOf(family) - (host === 0n ? 0 : host.toString(2).length);
}

const meets = (a: AddressRange, b: AddressRange): boolean => a.family === b.family && a.first <= b.last && b.first <= a.last;

const meet = (a: number, b: number): boolean => a === 0 || b === 0 || a === b;

const coversNumber = (wanted: number, offered: number): boolean => wanted === 0 || wanted === offered;

const bothFamilies = (): readonly AddressRange[] => [everyAddress(4), everyAddress(6)];

/** Our own sides that a filter may have; of a range in transport mode those that lie in it count. Where only one host is asked for, others may be left out. */
function localRanges(side: Side, rule: SelectorContext, localAddresses: readonly string[], about?: AddressRange): readonly AddressRange[] {
  if (side.kind === "name") return [];
  if (rule.mode === "tunnel" || rule.action === "permit" || rule.action === "block") {
    if (side.kind === "range") return [side.range];
    if (side.kind === "any") return bothFamilies();
    const end = rule.tunnel?.local;
    return end == null ? reachableHosts(localAddresses, about) : hosts([end]);
  }
  // A host is taken as written: the address may come later. Where it is another host's by mistake, `check` warns, since nothing can be negotiated for what passes through. What a link-local one means: link-local.ts.
  if (side.kind === "range" && isHost(side.range)) return covers(LINK_LOCAL, side.range) ? [] : [side.range];
  return reachableHosts(localAddresses, about);
}

function remoteRanges(side: Side, rule: SelectorContext): readonly AddressRange[] {
  if (side.kind === "me" || side.kind === "name") return [];
  const ranges = side.kind === "range" ? [side.range] : bothFamilies();
  const { peer } = rule;
  if (rule.mode === "tunnel" || !peer) return ranges;
  return ranges.flatMap((range) => intersection(range, peer) ?? []);
}

/** Every Quick Mode asks for the same list, most for one address of it; it is parsed once for each array that the daemon delivers. */
function reachableHosts(addresses: readonly string[], about?: AddressRange): readonly AddressRange[] {
  const known = PARSED.get(addresses) ?? parsed(addresses);
  PARSED.set(addresses, known);
  if (!about || !isHost(about)) return known.all;
  const one = known.byValue?.[about.family].get(about.first);
  return known.byValue ? (one ? [one] : []) : known.all;
}

interface Parsed {
  readonly all: readonly AddressRange[];
  /** Of a list that is long enough for it. */
  readonly byValue: Readonly<Record<Family, ReadonlyMap<bigint, AddressRange>>> | undefined;
}

function parsed(addresses: readonly string[]): Parsed {
  const all = hosts(addresses).filter((host) => !UNREACHABLE.some((range) => covers(range, host)));
  const of = (family: Family) => new Map(all.flatMap((range) => (range.family === family ? [[range.first, range] as const] : [])));
  return { all, byValue: all.length > LOOKED_THROUGH ? { 4: of(4), 6: of(6) } : undefined };
}

const LOOKED_THROUGH = 4;

const PARSED = new WeakMap<readonly string[], Parsed>();

const hosts = (addresses: readonly string[]): readonly AddressRange[] =>
  addresses.flatMap((text) => {
    const address = parseAddress(text);
    return address ? [hostRange(address.family, address.value)] : [];
  });

/** The protocol of a filter as it is called in a family (`icmp` of IPv6 is ICMPv6); undefined where it does not exist there. */
export function protocolIn(family: Family, protocol: number): number | undefined {
  if (protocol === IP_PROTOCOL.icmp && family === 6) return IP_PROTOCOL.icmpv6;
  return protocol === IP_PROTOCOL.icmpv6 && family === 4 ? undefined : protocol;
}
