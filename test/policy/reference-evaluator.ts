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
  /** It is said of a packet that comes. */
  readonly inward: boolean;
  /** In clear by a rule that would protect it if it were asked to. */
  readonly asked: boolean;
  /** Smaller is more specific; then come mode, action and the order of the file. */
  readonly rank: readonly number[];
}

const CLEAR: Verdict = { rule: null, what: "clear", inward: false, asked: false, rank: [] };
/** It comes before every rule. */
const EXEMPT: Verdict = { ...CLEAR, rank: [-1] };
/** How many places of a rank say how specific it is. */
const SPECIFIC = 7;
const STRICTEST: readonly Verdict["what"][] = ["drop", "required", "use", "clear"];

/** What becomes of a packet. What passes through this host comes and leaves: of both verdicts the stricter one. */
export function evaluate(policy: Policy, addresses: readonly string[], packet: Packet, direction: Direction): Verdict {
  const first = evaluateAt(policy, addresses, packet, direction);
  if (direction !== "fwd") return first;
  const second = evaluateAt(policy, addresses, packet, "out");
  if (first === CLEAR || second === CLEAR) return first === CLEAR ? second : first;
  const stricter = STRICTEST.indexOf(first.what) - STRICTEST.indexOf(second.what) || Number(second.asked) - Number(first.asked);
  if (stricter !== 0) return stricter < 0 ? first : second;
  // Where it comes protected and leaves protected, it comes first; as where both filters are as specific, whatever comes first in the file.
  const specific = ({ rank }: Verdict): readonly number[] => rank.slice(0, SPECIFIC);
  return first.what === "required" || first.what === "use" || compare(specific(first), specific(second)) <= 0 ? first : second;
}

/** The verdict of the most specific filter where the kernel asks: what passes through is asked for as it comes (`fwd`), and as it leaves (`out`). */
export function evaluateAt(policy: Policy, addresses: readonly string[], packet: Packet, direction: Direction): Verdict {
  if (isExempt(policy, addresses, packet, direction)) return EXEMPT;
  const hitsAt = (place: Direction): readonly Hit[] =>
    policy.rules.flatMap((rule, order) =>
      rule.defaultResponse || (lacksEnd(rule) && rule.action !== "require")
        ? []
        : rule.filters.flatMap((filter) => hitsOf(rule, filter, order, addresses, packet, place)),
    );
  const hits = hitsAt(direction);
  const looksAfter = hits.filter((hit) => !onlyPasses(hit, direction));
  const passing = hits.filter((hit) => onlyPasses(hit, direction));
  const other = direction === "out" ? "fwd" : "out";
  const elsewhere = passing.length === 0 ? [] : hitsAt(other).filter((hit) => !onlyPasses(hit, other));
  const ways = passing.filter(
    (hit) =>
      !lacksEnd(hit.rule) &&
      // Of just the same packets another filter decides: here, or where the tunnel would.
      !looksAfter.some(({ selector }) => selector === hit.selector) &&
      !elsewhere.some(({ selector, rank }) => selector === hit.selector && compare(rank, hit.rank) < 0) &&
      !isKept(policy, addresses, hit, packet, direction),
  );
  const [best] = [...looksAfter, ...ways].sort((a, b) => compare(a.rank, b.rank));
  if (!best) return CLEAR;
  const passes = ways.includes(best);
  const what = passes ? "clear" : verdictOf(best.rule, best.inward, isOnLink(best.local));
  return { rule: best.rule.name, what, inward: best.inward, asked: best.rule.action === "respond" && !passes, rank: best.rank };
}

/** What `exempt` names passes where this host receives or sends it; of these kinds are looked at those that are told by ports. */
function isExempt({ exempt, rules }: Policy, addresses: readonly string[], packet: Packet, direction: Direction): boolean {
  const [asks, answers] = [packet.destinationPort, packet.sourcePort].map((port) =>
    exempt.some((kind) => (kind === "dns" && port === 53) || (kind === "kerberos" && (port === 88 || port === 464))),
  );
  const serves = exempt.includes("kerberos") && [88, 464].some((port) => port === packet.sourcePort || port === packet.destinationPort);
  if (direction === "fwd" || (packet.protocol !== 6 && packet.protocol !== 17)) return false;
  if (!serves && !(direction === "out" ? asks : answers)) return false;
  const isOf = (side: Side): boolean =>
    side.kind === "any" || side.kind === "me" || (side.kind === "range" && (side.range.family === 6) === packet.source.includes(":"));
  const some = (of: (rule: Rule, filter: Filter) => boolean): boolean =>
    rules.some((rule) => rule.filters.some((filter) => isOf(filter.local) && isOf(filter.remote) && of(rule, filter)));
  // Where nothing is shut or protected, nothing has to be exempt.
  if (!some(({ action }) => action === "block" || action === "require" || action === "request")) return false;
  // Others' packets are as they leave, too, unless they might go into a tunnel.
  return direction === "in" || addresses.includes(packet.source) || !some((rule, filter) => isForOthers(rule, filter, addresses));
}

/** Whether a tunnel takes packets of others. */
const isForOthers = ({ mode }: Rule, { local, direction }: Filter, addresses: readonly string[]): boolean =>
  mode === "tunnel" &&
  direction !== "in" &&
  local.kind !== "me" &&
  !(local.kind === "range" && local.range.first === local.range.last && addresses.some((own) => includesAddress(local.range, own)));

interface Hit {
  readonly rule: Rule;
  readonly inward: boolean;
  /** Our end of the packet. */
  readonly local: string;
  /** Equal where the same packets are meant. */
  readonly selector: string;
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
  const ways = direction === "in" ? [true] : direction === "fwd" || rule.mode === "tunnel" ? [false, true] : [false];
  return ways.flatMap((inward) => {
    if (filter.direction !== "both" && (filter.direction === "in") !== inward) return [];
    if (direction === "fwd" && !passes(rule, filter)) return [];
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
    const sides = [`${ours} ${filter.localPort}`, `${theirs} ${filter.remotePort}`];
    return [{ rule, inward, local, selector: `${(inward ? sides.reverse() : sides).join(" ")} ${filter.protocol}`, rank }];
  });
}

/** What goes into a tunnel is looked after as it leaves, and what comes out of one as it comes; the other time it only passes. */
const onlyPasses = ({ rule, inward }: Hit, direction: Direction): boolean =>
  rule.mode === "tunnel" && ((direction === "fwd" && !inward) || (direction === "out" && inward));

/** A tunnel that waits for the route to tell its own end lets nothing pass. */
const lacksEnd = ({ mode, tunnel }: Rule): boolean => mode === "tunnel" && tunnel?.local == null;

/** Whether there might be packets that only pass by a filter, and that are this host's, or some tunnel's to look after: then no block is opened. */
function isKept(policy: Policy, addresses: readonly string[], { rank, inward }: Hit, packet: Packet, direction: Direction): boolean {
  const [local, remote] = [-(rank[3] ?? 0), -(rank[2] ?? 0)];
  const [source, destination] = [blockAt(packet.source, inward ? remote : local), blockAt(packet.destination, inward ? local : remote)];
  const isOurs = addresses.some((address) => includesAddress(source, address)) || intersection(source, LINK_LOCAL) !== undefined;
  if (direction === "out" && isOurs) return true;
  const [from, to] = direction === "fwd" ? [destination, source] : [source, destination];
  return policy.rules.some(
    (rule) =>
      rule.mode === "tunnel" &&
      rule.filters.some(
        (filter) =>
          filter.direction !== (direction === "fwd" ? "out" : "in") &&
          meetsSide(filter.local, from, rule.tunnel?.local ? [rule.tunnel.local] : addresses) &&
          meetsSide(filter.remote, to, []),
      ),
  );
}

function blockAt(address: string, bits: number): AddressRange {
  const range = parseRange(`${address}/${bits}`);
  if (range) return range;
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(address);
  const size = 1n << BigInt((parsed.family === 4 ? 32 : 128) - bits);
  const first = (parsed.value / size) * size;
  return { family: parsed.family, first, last: first + size - 1n };
}

function meetsSide(side: Side, range: AddressRange, own: readonly string[]): boolean {
  if (side.kind === "any") return true;
  if (side.kind === "me") return own.some((address) => includesAddress(range, address));
  return side.kind === "range" && intersection(side.range, range) !== undefined;
}

/** Forwarded packets: what goes into a tunnel and comes out of it, and what is permitted or blocked for others. */
const passes = (rule: Rule, filter: Filter): boolean =>
  rule.mode === "tunnel" || ((rule.action === "permit" || rule.action === "block") && filter.local.kind !== "me");

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
  if (rule.action === "block" || lacksEnd(rule)) return "drop";
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
