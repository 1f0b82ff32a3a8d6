/**
 * What a packet meets, worked out the slow way straight from the rules: no prefixes, no priorities, no index. The property tests hold
 * `compile` and `decide` against it.
 */
import {
  type AddressRange,
  covers,
  formatAddress,
  includesAddress,
  intersection,
  parseAddress,
  parseRange,
  prefixesOf,
} from "../../isakmp/address.ts";
import type { Direction } from "../../policy/compile.ts";
import type { Packet } from "../../policy/decide.ts";
import type { Filter, Policy, Rule, Side } from "../../policy/types.ts";

/** In clear, dropped, or protected (`use`: clear text passes too); by which rule. */
export interface Verdict {
  readonly rule: string | null;
  readonly what: "clear" | "drop" | "required" | "use";
  /** It is said of a packet that comes. */
  readonly inward: boolean;
  /** In clear by a rule that would protect it if it were asked to, which nobody can with an address of a link. */
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
  const ways = passing
    // Of just the same packets another filter decides the other time.
    .filter((hit) => !elsewhere.some(({ selector, rank }) => selector === hit.selector && compare(rank, hit.rank) < 0))
    .flatMap((hit) => wayOf(policy, addresses, hit, packet, direction));
  const [best] = [...looksAfter, ...ways].sort((a, b) => compare(a.rank, b.rank));
  if (!best) return CLEAR;
  const passes = ways.includes(best);
  const what = passes ? "clear" : verdictOf(best.rule, best.inward, isOnLink(best.local));
  return {
    rule: best.rule.name,
    what,
    inward: best.inward,
    asked: best.rule.action === "respond" && !passes && !isOnLink(best.local),
    rank: best.rank,
  };
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
  readonly filter: Filter;
  readonly packet: Packet;
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
  const turns = rule.mode === "tunnel" || (rule.action === "permit" && filter.local.kind !== "me");
  const ways = direction === "in" ? [true] : direction === "fwd" || turns ? [false, true] : [false];
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
    const selector = `${(inward ? sides.reverse() : sides).join(" ")} ${filter.protocol}`;
    return [{ rule, filter, packet, inward, local, selector, rank }];
  });
}

/** What goes into a tunnel is looked after as it leaves, and what comes out of one as it comes; the other time it only passes. So does what a permit lets come back. */
const onlyPasses = ({ rule, inward }: Hit, direction: Direction): boolean =>
  (rule.mode === "tunnel" && direction === "fwd" && !inward) || (direction === "out" && inward);

/** A tunnel that waits for the route to tell its own end lets nothing pass. */
const lacksEnd = ({ mode, tunnel }: Rule): boolean => mode === "tunnel" && tunnel?.local == null;

/** What one filter comes to at one place, for a part of its addresses that is a prefix. Our end is the source of what leaves. */
interface Piece {
  readonly rule: Rule;
  readonly source: AddressRange;
  readonly destination: AddressRange;
  /** Protocol, source port, destination port. */
  readonly numbers: readonly number[];
  readonly rank: readonly number[];
  readonly allows: boolean;
}

/**
 * A hit that only passes, as far as it gets past a block: just in front of the strongest block that is weaker and shares packets with it. Nothing passes
 * where a tunnel that is weaker than that block looks after packets of it, or where this host sends some of which it is not plain that the block, or
 * weaker ones, drop them all.
 */
function wayOf(policy: Policy, addresses: readonly string[], hit: Hit, packet: Packet, direction: Direction): readonly Hit[] {
  if (lacksEnd(hit.rule)) return [];
  const { rank, inward } = hit;
  const [local, remote] = [-(rank[3] ?? 0), -(rank[2] ?? 0)];
  const [source, destination] = [blockAt(packet.source, inward ? remote : local), blockAt(packet.destination, inward ? local : remote)];
  const own = [...addresses.filter((address) => !isOnLink(address)), "0.0.0.0", "::"].map((address) =>
    blockAt(address, address.includes(":") ? 128 : 32),
  );
  own.push(LINK_LOCAL);
  if (own.some((range) => covers(range, source))) return [];
  const all = piecesAt(policy, addresses, direction).filter((piece) => piece.source.family === source.family);
  const meets = (piece: Piece): boolean =>
    intersection(piece.source, source) !== undefined && intersection(piece.destination, destination) !== undefined;
  const blocks = all.filter((piece) => piece.rule.action === "block" && !own.some((range) => covers(range, piece.source)));
  const [block] = blocks
    .filter((piece) => numberOf(piece.rank) > numberOf(rank) && meets(piece))
    .sort((a, b) => numberOf(a.rank) - numberOf(b.rank));
  if (!block) return [];
  const isWeaker = (piece: Piece): boolean => numberOf(piece.rank) >= numberOf(block.rank);
  if (all.some((piece) => piece.rule.mode === "tunnel" && isWeaker(piece) && meets(piece))) return [];
  if (direction === "out" && own.some((range) => intersection(range, source))) {
    if (own.some((range) => includesAddress(range, packet.source))) return [];
    const numbers = numbersOf(hit);
    const isAll = (piece: Piece): boolean =>
      covers(piece.source, source) &&
      covers(piece.destination, destination) &&
      piece.numbers.every((number, i) => number === 0 || number === numbers[i]);
    const drops = blocks.some((piece) => !(numberOf(piece.rank) < numberOf(block.rank)) && isAll(piece));
    if (!drops || all.some((piece) => (piece.allows && isWeaker(piece)) || numberOf(piece.rank) === numberOf(block.rank) - 1)) return [];
  }
  return [{ ...hit, rank: [...block.rank.slice(0, NUMBERED), -1, ...rank] }];
}

/** Places of a rank that the kernel knows of; the others decide which rule has a selector. */
const NUMBERED = 7;

/** The same as one number, in which selectors of one shape are equal. */
const numberOf = (rank: readonly number[]): number => {
  const [a = 0, b = 0, c = 0, d = 0, ...flags] = rank.slice(0, NUMBERED);
  return flags.reduce((sum, flag) => sum * 2 + flag, ((a * 3 + b) * 129 + 128 + c) * 129 + 128 + d);
};

function numbersOf({ filter, inward, packet }: Hit): readonly number[] {
  const protocol = filter.protocol === 1 && packet.source.includes(":") ? 58 : filter.protocol;
  return inward ? [protocol, filter.remotePort, filter.localPort] : [protocol, filter.localPort, filter.remotePort];
}

/** All that stands at a place, but for ways; of one selector the strongest. */
function piecesAt(policy: Policy, addresses: readonly string[], direction: Direction): readonly Piece[] {
  const found = new Map<string, Piece>();
  for (const [order, rule] of policy.rules.entries())
    for (const filter of rule.defaultResponse || (lacksEnd(rule) && rule.action !== "require") ? [] : rule.filters)
      for (const piece of piecesOf(rule, filter, order, addresses, direction)) {
        const key = [piece.source, piece.destination].map(({ family, first, last }) => `${family} ${first} ${last}`).join() + piece.numbers;
        const before = found.get(key);
        if (!before || compare(piece.rank, before.rank) < 0) found.set(key, piece);
      }
  return [...found.values()];
}

function piecesOf(rule: Rule, filter: Filter, order: number, addresses: readonly string[], direction: Direction): readonly Piece[] {
  const turns =
    direction === "in" || direction === "fwd" ? [true, ...(direction === "fwd" && rule.mode === "transport" ? [false] : [])] : [false];
  if (direction === "fwd" && !passes(rule, filter)) return [];
  const remotes = filter.remote.kind === "range" ? [filter.remote.range] : filter.remote.kind === "any" ? EVERYTHING : [];
  const narrowed =
    rule.mode === "transport" && rule.peer ? remotes.flatMap((range) => intersection(range, rule.peer as AddressRange) ?? []) : remotes;
  return turns
    .filter((inward) => filter.direction === "both" || (filter.direction === "in") === inward)
    .flatMap((inward) =>
      localRanges(rule, filter.local, addresses).flatMap((own) =>
        narrowed
          .filter(({ family }) => family === own.family)
          .flatMap((other) =>
            blocksOf(own).flatMap((local) =>
              blocksOf(other).map((remote): Piece => {
                const width = local.family === 4 ? 32 : 128;
                const bits = ({ first, last }: AddressRange): number => width + 1 - (last - first + 1n).toString(2).length;
                const kind = (length: number): number => (length === width ? 0 : length === 0 ? 2 : 1);
                const [ours, theirs] = [bits(local), bits(remote)];
                const given = [filter.protocol, filter.remotePort, filter.localPort].map((number) => (number === 0 ? 1 : 0));
                const strength = ["block", "permit", "require", "request", "respond"].indexOf(rule.action);
                const [source, destination] = inward ? [remote, local] : [local, remote];
                const protocol = filter.protocol === 1 && local.family === 6 ? 58 : filter.protocol;
                return {
                  ...{ rule, source, destination },
                  numbers: inward ? [protocol, filter.remotePort, filter.localPort] : [protocol, filter.localPort, filter.remotePort],
                  rank: [kind(theirs), kind(ours), -theirs, -ours, ...given, rule.mode === "tunnel" ? 1 : 0, strength, order],
                  allows:
                    rule.action !== "block" &&
                    !lacksEnd(rule) &&
                    verdictOf(rule, inward, isOnLink(firstOf(local)) && rule.mode === "transport") !== "drop",
                };
              }),
            ),
          ),
      ),
    );
}

const EVERYTHING: readonly AddressRange[] = ["0.0.0.0/0", "::/0"].flatMap((text) => parseRange(text) ?? []);

const firstOf = ({ family, first }: AddressRange): string => formatAddress(family, first);

const blocksOf = (range: AddressRange): readonly AddressRange[] =>
  prefixesOf(range).flatMap(({ address, length }) => parseRange(`${address}/${length}`) ?? []);

/** Our side of a filter, with link-local addresses where it means them. */
function localRanges(rule: Rule, side: Side, addresses: readonly string[]): readonly AddressRange[] {
  const mine = addresses
    .filter((address) => !/^(127\.|fe80:)/.test(address))
    .map((address) => blockAt(address, address.includes(":") ? 128 : 32));
  if (side.kind === "name") return [];
  if (rule.mode === "tunnel") {
    if (side.kind === "me")
      return rule.tunnel?.local != null ? [blockAt(rule.tunnel.local, rule.tunnel.local.includes(":") ? 128 : 32)] : mine;
    return side.kind === "any" ? EVERYTHING : [side.range];
  }
  if (side.kind === "me") return [...mine, LINK_LOCAL];
  if (rule.action === "permit" || rule.action === "block") return side.kind === "any" ? EVERYTHING : [side.range];
  if (side.kind === "any") return [...mine, LINK_LOCAL];
  const { range } = side;
  const onLink = intersection(range, LINK_LOCAL);
  if (range.first === range.last) return [range];
  return [...mine.filter((host) => intersection(range, host)), ...(onLink ? [onLink] : [])];
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
