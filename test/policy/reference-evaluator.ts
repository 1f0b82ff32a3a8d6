/**
 * What a packet meets, worked out the slow way straight from the rules: no prefixes, no priorities, no index. The property tests hold
 * `compile` and `decide` against it.
 */
import { type AddressRange, includesAddress, intersection, parseAddress, parseRange } from "../../isakmp/address.ts";
import type { Direction } from "../../policy/compile.ts";
import type { Packet } from "../../policy/decide.ts";
import type { Filter, Policy, Rule, Side } from "../../policy/types.ts";

/** In clear, dropped, or protected (`use`: clear text passes too); by which rule. */
export interface Verdict {
  readonly rule: string | null;
  readonly what: "clear" | "drop" | "required" | "use";
}

const CLEAR: Verdict = { rule: null, what: "clear" };

/** The verdict of the most specific filter; exemptions are not looked at. */
export function evaluate(policy: Policy, addresses: readonly string[], packet: Packet, direction: Direction): Verdict {
  const hits = policy.rules.flatMap((rule, order) =>
    rule.defaultResponse ? [] : rule.filters.flatMap((filter) => hitsOf(rule, filter, order, addresses, packet, direction)),
  );
  const [best] = hits.sort((a, b) => compare(a.rank, b.rank));
  return best ? { rule: best.rule.name, what: verdictOf(best.rule, best.inward, isOnLink(best.local)) } : CLEAR;
}

interface Hit {
  readonly rule: Rule;
  readonly inward: boolean;
  /** Our end of the packet. */
  readonly local: string;
  readonly rank: readonly number[];
}

function hitsOf(
  rule: Rule,
  filter: Filter,
  order: number,
  addresses: readonly string[],
  packet: Packet,
  direction: Direction,
): readonly Hit[] {
  const ways = direction === "out" ? [false] : direction === "in" ? [true] : [false, true];
  return ways.flatMap((inward) => {
    if (filter.direction !== "both" && (filter.direction === "in") !== inward) return [];
    if (direction === "fwd" && !passes(rule, filter, inward)) return [];
    const [local, remote] = inward ? [packet.destination, packet.source] : [packet.source, packet.destination];
    const [localPort, remotePort] = inward ? [packet.destinationPort, packet.sourcePort] : [packet.sourcePort, packet.destinationPort];
    // ICMP of IPv6 is another protocol by the same name.
    const protocol = filter.protocol === 1 && packet.source.includes(":") ? 58 : filter.protocol;
    if (protocol !== 0 && protocol !== packet.protocol) return [];
    if (filter.localPort !== 0 && filter.localPort !== localPort) return [];
    if (filter.remotePort !== 0 && filter.remotePort !== remotePort) return [];
    const [ours, theirs] = [localBits(rule, filter.local, local, addresses), bitsAt(filter.remote, remote, rule)];
    if (ours === undefined || theirs === undefined) return [];
    const width = local.includes(":") ? 128 : 32;
    const kind = (bits: number) => (bits === width ? 0 : bits === 0 ? 2 : 1);
    const given = [filter.protocol, filter.remotePort, filter.localPort].map((number) => (number === 0 ? 1 : 0));
    const strength = ["block", "permit", "require", "request", "respond"].indexOf(rule.action);
    const rank = [kind(theirs), kind(ours), -theirs, -ours, ...given, rule.mode === "tunnel" ? 1 : 0, strength, order];
    return [{ rule, inward, local, rank }];
  });
}

/** Forwarded packets: what comes out of a tunnel, and what is permitted or blocked for others. */
const passes = (rule: Rule, filter: Filter, inward: boolean): boolean =>
  rule.mode === "tunnel" ? inward : (rule.action === "permit" || rule.action === "block") && filter.local.kind !== "me";

/** Bits of the largest aligned block round the address that the side covers; undefined where it is not in it. */
function bitsAt(side: Side, address: string, rule: Rule): number | undefined {
  if (side.kind === "me" || side.kind === "name") return undefined;
  const narrowed = rule.mode === "transport" && rule.peer;
  if (narrowed && !includesAddress(narrowed, address)) return undefined;
  if (side.kind === "any") return narrowed ? blockIn(narrowed, address) : 0;
  if (!includesAddress(side.range, address)) return undefined;
  const own = blockIn(side.range, address);
  return narrowed ? Math.max(own, blockIn(narrowed, address)) : own;
}

function blockIn(range: AddressRange, address: string): number {
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(address);
  const width = parsed.family === 4 ? 32 : 128;
  for (let bits = 0; bits <= width; bits++) {
    const size = 1n << BigInt(width - bits);
    const first = (parsed.value / size) * size;
    if (first >= range.first && first + size - 1n <= range.last) return bits;
  }
  throw new Error(`${address} is not in the range`);
}

const LINK_LOCAL = parseRange("fe80::/10") as AddressRange;
const isOnLink = (address: string): boolean => includesAddress(LINK_LOCAL, address);

/** Every link-local address is this host's, taken together: nobody tells which ones it has. */
function bitsOnLink(rule: Rule, side: Side, address: string): number | undefined {
  if (side.kind === "me") return 10;
  if (rule.action === "permit" || rule.action === "block") return bitsAt(side, address, { ...rule, peer: null });
  if (side.kind === "any") return 10;
  const own = side.kind === "range" && includesAddress(side.range, address) ? intersection(side.range, LINK_LOCAL) : undefined;
  return own && blockIn(own, address);
}

function localBits(rule: Rule, side: Side, address: string, addresses: readonly string[]): number | undefined {
  if (rule.mode === "transport" && isOnLink(address)) return bitsOnLink(rule, side, address);
  const width = address.includes(":") ? 128 : 32;
  // Those that the tests have are all fit for peers but these.
  const mine = addresses.includes(address) && !/^(127\.|fe80:)/.test(address);
  if (rule.mode === "tunnel" || rule.action === "permit" || rule.action === "block") {
    if (side.kind !== "me") return bitsAt(side, address, { ...rule, peer: null });
    if (rule.tunnel?.local != null) return rule.tunnel.local === address ? width : undefined;
    return mine ? width : undefined;
  }
  // A host is taken as written; everything wider is this host's own addresses in it.
  if (side.kind === "range" && side.range.first === side.range.last) return bitsAt(side, address, { ...rule, peer: null });
  if (side.kind === "range" && !includesAddress(side.range, address)) return undefined;
  return mine && side.kind !== "name" ? width : undefined;
}

function verdictOf(rule: Rule, inward: boolean, onLink: boolean): Verdict["what"] {
  if (rule.action === "block") return "drop";
  if (rule.action === "permit" || rule.action === "respond") return "clear";
  // From and to there nothing can be protected, and what may be in clear is.
  if (onLink && rule.mode === "transport")
    return rule.action === "request" || (inward ? rule.clear.inbound : rule.clear.discovery) ? "clear" : "drop";
  if (inward) return rule.clear.inbound ? "use" : "required";
  return rule.clear.discovery ? "use" : "required";
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0);
  return 0;
}
