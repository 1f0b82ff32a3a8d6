/**
 * `why`: which filter decides about a packet, what that means, what would be negotiated, and why every other rule does not decide.
 */
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { type Direction, decisions, installed, type WantedPolicy } from "./compile.ts";
import { type DecisionIndex, directionOf, formatPackets, indexPolicies, type Packet, staysHere } from "./decide.ts";
import { isLinkLocal } from "./link-local.ts";
import { oneEndText, otherEndOf } from "./manual-rule.ts";
import { inSide, missOf } from "./miss.ts";
import { formatSelector, hasNoPeer, isOfMany, isOnLink, tunnelInstead } from "./selector.ts";
import type { Filter, Policy, Rule } from "./types.ts";
import { isBesideBlock } from "./ways.ts";
import { type ExplainedNegotiation, negotiationOf } from "./would-negotiate.ts";

/** What happens to a packet that meets no SA. */
export type Verdict =
  /** It passes as it is. */
  | "clear"
  | "drop"
  /** It waits (is dropped and repeated) until there is an SA. */
  | "protect"
  /** In clear, while a negotiation is tried. */
  | "protect-if-possible"
  /** In clear, or protected if the peer asked for it. */
  | "protect-if-asked";

/** Everything `why` says; it is also the JSON document. */
export interface Explanation {
  readonly packet: Packet;
  readonly direction: Direction;
  readonly verdict: Verdict;
  /** A sentence. */
  readonly says: string;
  readonly rule: string | null;
  /** What its file says of the rule; for an imported one the names of its filter list and filter action. */
  readonly description: string | null;
  readonly filter: string | null;
  /** The kernel policy that decides, or null where none is there. */
  readonly policy: ExplainedPolicy | null;
  readonly negotiation: ExplainedNegotiation | null;
  /** What its answer would meet. */
  readonly answer: { readonly verdict: Verdict; readonly rule: string | null };
  readonly others: readonly { readonly rule: string; readonly filter: string; readonly because: string }[];
}

export interface ExplainedPolicy {
  readonly direction: Direction;
  readonly selector: string;
  readonly action: "allow" | "block";
  readonly level: "required" | "use" | null;
  readonly priority: number;
}

/** Ports of IKE where nothing else is said. */
const IKE_PORTS: readonly number[] = [500, 4500];

/**
 * Explains one packet under a policy on a host with these addresses (canonical), whose daemon has these ports. `onLink`: its link-local addresses,
 * where they are known; `broadcasts`: the broadcast addresses of its networks.
 */
export function explain(
  policy: Policy,
  addresses: readonly string[],
  asked: Packet,
  ikePorts = IKE_PORTS,
  onLink: readonly string[] = [],
  broadcasts: readonly string[] = [],
): Explanation {
  const own = [...addresses, ...onLink];
  const direction = wayOf(marked(asked, broadcasts), own);
  const packet = marked(asked, broadcasts, direction);
  const { index, plain, standing, byFilter } = indexOf(policy, addresses, broadcasts);
  const beyond = beyondPolicy(packet, direction, own, ikePorts, index);
  const [met, next] = beyond === undefined ? metBy(index, packet, direction) : [];
  // A guard does what blocks behind it do: the first of them decides.
  const named = (one: WantedPolicy | undefined, of: Packet) => (one && isGuard(one) ? (plain().decide(of, one.direction) ?? one) : one);
  const found = named(met, packet);
  const { rule, filter } = found?.origin.kind === "rule" ? found.origin : { rule: null, filter: null };
  const verdict = verdictOf(found, packet);
  const answer: Packet = { ...answerTo(packet), ...(direction === "fwd" ? OTHERS : {}) };
  const back = beyond === undefined ? named(metBy(index, answer, wayBack(answer, direction, own))[0], answer) : undefined;
  const says = (): string => {
    if (beyond === undefined) return sentences(found, next, policy, packet);
    const raw =
      isWrapped(packet) && direction === "out" && !staysHere(packet, own) ? named(index.decide(packet, "out"), packet) : undefined;
    return raw && verdictOf(raw, packet) !== "clear" ? `${beyond}; ${ofPrograms(packet)}: ${sentence(raw, policy, packet)}` : beyond;
  };
  const stands = met && (standing.has(met) ? met : indexPolicies([...standing]).decide(packet, met.direction));
  return {
    ...{ packet: asked, direction, verdict, says: says() },
    ...{ rule: rule?.name ?? null, description: rule?.description ?? null, filter: filter?.text ?? null },
    policy: stands ? explainPolicy(stands) : null,
    negotiation:
      rule && found && rule.auth.length > 0 && (verdict === "protect-if-asked" || (found.protection && !hasNobody(found, packet)))
        ? negotiationOf(rule, remoteOf(packet, direction))
        : null,
    answer: { verdict: verdictOf(back, answer), rule: back?.origin.kind === "rule" ? back.origin.rule.name : null },
    others: othersOf(policy, { own, packet, direction, found, byFilter }).map((other) =>
      beyond === undefined ? other : { ...other, because: beyond },
    ),
  };
}

/**
 * What decides about a packet. One that passes through is looked at when it comes and when it leaves: the stricter of the two counts, of equals the more
 * specific, and a second one where both protect.
 */
function metBy(index: DecisionIndex, packet: Packet, direction: Direction): readonly [WantedPolicy?, WantedPolicy?] {
  const first = index.decide(packet, direction);
  const second = direction === "fwd" ? index.decide(packet, "out") : undefined;
  if (!first || !second) return first ? [first] : second ? [second] : [];
  const [a, b] = [first, second].map((one) => STRICTEST.indexOf(verdictOf(one, packet))) as [number, number];
  if (a === b && first.protection && second.protection) return [first, second];
  return a < b || (a === b && first.priority <= second.priority) ? [first] : [second];
}

const STRICTEST: readonly Verdict[] = ["drop", "protect", "protect-if-possible", "protect-if-asked", "clear"];

/** What a host sends to itself Linux spares from IPsec on IPv4; on IPv6 what leaves is exempt, and what comes is held against the rules. */
const wayOf = (packet: Packet, addresses: readonly string[]): Direction =>
  staysHere(packet, addresses) ? (packet.source.includes(":") && packet.source !== "::1" ? "in" : "out") : directionOf(packet, addresses);

/** The same of an answer: where nothing is known of two link-local addresses, it goes the other way. */
const wayBack = (answer: Packet, direction: Direction, addresses: readonly string[]): Direction => {
  const way = wayOf(answer, addresses);
  return way === "in" && direction === "in" && isOnLink(answer.source) && isOnLink(answer.destination) ? "out" : way;
};

/** Whether the kernel asks no policy about a packet, whoever it is of. The rest is as of `explain`. */
export function isBeyond(
  policy: Policy,
  addresses: readonly string[],
  asked: Packet,
  ikePorts: readonly number[],
  onLink: readonly string[],
  broadcasts: readonly string[],
) {
  const [own, packet] = [[...addresses, ...onLink], marked(asked, broadcasts)];
  return beyondPolicy(packet, wayOf(packet, own), own, ikePorts, indexOf(policy, addresses, broadcasts).index) !== undefined;
}

const marked = (packet: Packet, broadcasts: readonly string[], direction?: Direction): Packet => ({
  ...packet,
  ...(broadcasts.includes(packet.destination) ? { isBroadcast: true } : {}),
  ...(direction === "fwd" ? OTHERS : {}),
});

const OTHERS = { isOthers: true } as const;

/** ESP and AH. The kernel asks no policy about what it has wrapped itself, nor about what it hands to its own ESP and AH (`no_policy` of their handlers). */
const isWrapped = ({ protocol }: Packet): boolean => protocol === IP_PROTOCOL.esp || protocol === IP_PROTOCOL.ah;

/** Raw sockets find their way by the policies, as all others do. */
const ofPrograms = ({ protocol }: Packet): string =>
  `about what a program of this host writes as ${WRAPPED[protocol]}, past the kernel's IPsec, they are`;

const WRAPPED: Readonly<Record<number, string>> = { [IP_PROTOCOL.esp]: "ESP", [IP_PROTOCOL.ah]: "AH" };

/** Why no rule is asked about a packet at all, if so. */
function beyondPolicy(
  packet: Packet,
  direction: Direction,
  addresses: readonly string[],
  ikePorts: readonly number[],
  index: DecisionIndex,
): string | undefined {
  const isShut = (): boolean => ["drop", "protect"].includes(verdictOf(index.decide(packet, direction), packet));
  if (staysHere(packet, addresses) && (direction === "out" || !isShut()))
    return "it stays on this host, and nothing of this policy is about that";
  const port = direction === "out" ? packet.sourcePort : packet.destinationPort;
  const ike = packet.protocol === IP_PROTOCOL.udp && direction !== "fwd" && port !== 0 && ikePorts.includes(port);
  if (ike) return "it is IKE itself, which always passes";
  if (!isWrapped(packet) || direction === "fwd") return undefined;
  return direction === "out"
    ? `it is ${WRAPPED[packet.protocol]}: no policy is asked about what this host has wrapped itself`
    : `it is ${WRAPPED[packet.protocol]} for this host: no policy is asked about it; it passes where there is an SA for it, and what was wrapped in it is held against the policies then`;
}

/** What would come back. Types of ICMP are no ports. */
export function answerTo({ source, destination, protocol, sourcePort, destinationPort }: Packet): Packet {
  const isIcmp = protocol === IP_PROTOCOL.icmp || protocol === IP_PROTOCOL.icmpv6;
  const ports = isIcmp ? { sourcePort, destinationPort } : { sourcePort: destinationPort, destinationPort: sourcePort };
  return { source: destination, destination: source, protocol, ...ports };
}

/** The policy as one entry of `policy show --specific`. */
export function explainPolicy({ direction, selector, action, protection, priority }: WantedPolicy): ExplainedPolicy {
  return { direction, selector: formatPackets(selector), action, level: protection?.level ?? null, priority };
}

interface Indexed {
  readonly addresses: readonly string[];
  readonly broadcasts: string;
  readonly index: DecisionIndex;
  /** Without ways and guards. */
  readonly plain: () => DecisionIndex;
  /** Those of the index that the kernel has. */
  readonly standing: ReadonlySet<WantedPolicy>;
  readonly byFilter: ReadonlyMap<Filter, readonly WantedPolicy[]>;
}

/** An index is made once for a policy and a list of addresses. */
function indexOf(policy: Policy, addresses: readonly string[], broadcasts: readonly string[]): Indexed {
  const known = INDEXES.get(policy);
  if (known?.addresses === addresses && known.broadcasts === broadcasts.join()) return known;
  const all = decisions(policy, addresses, broadcasts);
  const byFilter = new Map<Filter, WantedPolicy[]>();
  for (const one of all) {
    if (one.origin.kind !== "rule" || isGuard(one)) continue;
    const known = byFilter.get(one.origin.filter);
    if (known) known.push(one);
    else byFilter.set(one.origin.filter, [one]);
  }
  let without: DecisionIndex | undefined;
  const plain = (): DecisionIndex => {
    without ??= indexPolicies(all.filter((one) => !isBesideBlock(one)));
    return without;
  };
  const made = { addresses, broadcasts: broadcasts.join(), index: indexPolicies(all), plain, standing: new Set(installed(all)), byFilter };
  INDEXES.set(policy, made);
  return made;
}

const isGuard = (wanted: WantedPolicy): boolean => wanted.action === "block" && isBesideBlock(wanted);

const INDEXES = new WeakMap<Policy, Indexed>();

function verdictOf(found: WantedPolicy | undefined, packet: Packet): Verdict {
  if (!found) return "clear";
  if (found.action === "block" || isBesideEnd(found, packet)) return "drop";
  if (hasNobody(found, packet) && found.origin.kind === "rule")
    return found.protection?.level === "use" || (found.origin.rule.clear.fallback && !isOfOthers(packet)) ? "clear" : "drop";
  if (found.protection) return found.protection.level === "use" ? "protect-if-possible" : "protect";
  const { origin } = found;
  const answers = origin.kind === "rule" && origin.rule.action === "respond" && !origin.way && !isLinkLocal(origin.pair);
  return answers ? "protect-if-asked" : "clear";
}

/** Protection is wanted, and there is nobody who could be asked for it, or could ask. Keys of the file need nobody. */
const hasNobody = ({ protection, direction, origin }: WantedPolicy, { source, destination, isBroadcast, isOthers }: Packet): boolean =>
  protection?.mode === "transport" &&
  (origin.kind !== "rule" || origin.rule.auth.length > 0) &&
  (direction === "out" ? isOthers || isBroadcast || hasNoPeer(destination) : direction === "in" && isOnLink(source));

/** The own end of the manual SA that should protect the packet, where the packet is of another address. */
const besideEnd = ({ protection, direction, origin }: WantedPolicy, { source, destination }: Packet): string | undefined =>
  protection && origin.kind === "rule" ? otherEndOf(origin.rule, direction === "in" ? destination : source) : undefined;

const isBesideEnd = (found: WantedPolicy, packet: Packet): boolean => besideEnd(found, packet) !== undefined;

/** Of hosts whose packets pass through, where it is not for the peer's sake that there is nobody to ask. */
const isOfOthers = ({ isOthers, destination }: Packet): boolean => isOthers === true && !hasNoPeer(destination);

const MANY = "multicast and broadcast can't be protected";
const ON_LINK = "with a link-local address IKE can't be spoken, so that nothing can be protected";

const sentences = (found: WantedPolicy | undefined, next: WantedPolicy | undefined, policy: Policy, packet: Packet): string =>
  next ? `${sentence(found, policy, packet)}; then ${sentence(next, policy, packet)}` : sentence(found, policy, packet);

function sentence(found: WantedPolicy | undefined, policy: Policy, packet: Packet): string {
  if (!found) {
    const default_ = policy.rules.find(({ defaultResponse }) => defaultResponse);
    return `no filter is about it, so it passes in clear${default_ ? `; should the peer ask for protection, rule ${default_.name} (the default response rule) answers` : ""}`;
  }
  if (found.origin.kind === "exemption") return `it passes in clear whatever the rules say: ${found.origin.what} is exempt`;
  const { rule } = found.origin;
  const by = `rule ${rule.name} (${rule.action})`;
  return `${hasNobody(found, packet) ? nobodyText(found, by, packet) : verdictText(found, by, found.direction !== "out", packet)}${passingTypes(found, policy, packet)}`;
}

/** The question may leave the type of ICMP open; the kernel knows it. */
function passingTypes({ direction }: WantedPolicy, { exempt }: Policy, { protocol, sourcePort }: Packet): string {
  if (sourcePort !== 0 || (protocol !== IP_PROTOCOL.icmp && protocol !== IP_PROTOCOL.icmpv6)) return "";
  const v6 = protocol === IP_PROTOCOL.icmpv6;
  const discovery = v6 ? "; but neighbour discovery (types 133 to 137) always passes in clear" : "";
  const isHeard = direction === "in" && exempt.includes("path-mtu");
  return isHeard
    ? `${discovery}; and ${v6 ? "type 2" : "type 3 with code 4"} (packets are too long for the way) comes in in clear: path-mtu is exempt`
    : discovery;
}

function nobodyText(found: WantedPolicy, by: string, packet: Packet): string {
  if (isOfOthers(packet)) {
    const because = `${packet.source} is no address of this host, and in transport mode nothing can be negotiated for what others send through it`;
    const what = verdictOf(found, packet) === "drop" ? `${by} drops it: ${because}` : `${by}: it leaves in clear, since ${because}`;
    return `${what}. ${tunnelInstead(packet.source)}`;
  }
  const many = found.direction === "out" && (packet.isBroadcast || isOfMany(packet.destination));
  if (verdictOf(found, packet) === "drop")
    return many ? `${by} drops it: ${MANY}; exempt = ["multicast", "broadcast"] would let it through` : `${by} drops it: ${ON_LINK}`;
  return `${by}: ${many ? MANY : ON_LINK}, and there is nobody to ask, so it ${found.direction === "in" ? "is accepted" : "goes"} in clear`;
}

function verdictText(found: WantedPolicy, by: string, coming: boolean, packet: Packet): string {
  if (found.origin.kind !== "rule") throw new Error("an exemption has its own words");
  const { rule } = found.origin;
  const end = besideEnd(found, packet);
  switch (verdictOf(found, packet)) {
    case "drop":
      if (end !== undefined) return `${by} drops it: ${oneEndText(end)}`;
      if (lacksEnd(rule))
        return `${by} drops it until the route to ${rule.tunnel?.remote} tells this host's own end of the tunnel, which is not known here; from then on it goes only protected`;
      return isLinkLocal(found.origin.pair) && rule.action !== "block" ? `${by} drops it: ${ON_LINK}` : `${by} drops it`;
    case "clear":
      return `${by} lets it through in clear`;
    case "protect-if-asked":
      return `${by}: in clear, or protected if the peer has asked for it`;
    case "protect-if-possible":
      return coming
        ? `${by}: accepted in clear or protected; answered protected`
        : `${by}: sent in clear while a negotiation is tried, protected from then on`;
    case "protect":
      if (coming) return `${by}: accepted only protected`;
      if (rule.auth.length === 0) return `${by}: protected with the keys of the file, without negotiation`;
      return rule.action === "request"
        ? `${by}: sent protected; in clear only if the peer, once it is asked, sends no IKE packet for ${rule.clear.fallback?.afterSeconds} seconds; while no method of authentication can be used here it is not asked, and the traffic waits (see the log)`
        : `${by}: sent only protected; a negotiation starts where there is no SA yet`;
  }
}

/** A tunnel that follows the route, where nobody knows the route. */
const lacksEnd = ({ mode, action, tunnel }: Rule): boolean => mode === "tunnel" && action !== "block" && tunnel?.local == null;

const remoteOf = (packet: Packet, direction: Direction): string => (direction === "in" ? packet.source : packet.destination);

/** A question, and what was found. */
interface Asked {
  /** All addresses of this host. */
  readonly own: readonly string[];
  readonly packet: Packet;
  readonly direction: Direction;
  readonly found: WantedPolicy | undefined;
  readonly byFilter: ReadonlyMap<Filter, readonly WantedPolicy[]>;
}

function othersOf(policy: Policy, asked: Asked): Explanation["others"] {
  const decided = asked.found?.origin.kind === "rule" ? asked.found.origin : undefined;
  return policy.rules.flatMap((rule) =>
    rule.filters
      .filter((filter) => filter !== decided?.filter)
      .map((filter) => ({ rule: rule.name, filter: filter.text, because: becauseOf(rule, filter, asked) })),
  );
}

/** The first thing by which a filter is not about the packet, or who comes before it. */
function becauseOf(rule: Rule, filter: Filter, asked: Asked): string {
  const { own, packet, direction, found } = asked;
  if (rule.defaultResponse) return "it answers peers that ask, and has no say about packets";
  // Packets that pass through may be meant either way round; of those that fit neither, they are held against the side that fits.
  const outwardFirst = direction === "out" || (direction === "fwd" && inSide(filter.local, packet.source, own, rule));
  const ways = direction === "fwd" ? [!outwardFirst, outwardFirst] : [!outwardFirst];
  const misses = ways.map((inward) => missOf(rule, filter, own, packet, inward));
  if (!misses.includes(undefined)) return misses[0] ?? "";
  if (lacksEnd(rule) && rule.action !== "require") return "its own tunnel end follows the route, which is not known here";
  if (direction === "fwd" && rule.mode === "transport" && rule.action !== "permit" && rule.action !== "block")
    return "it is about packets of this host";
  if (!found) return "it is about packets of this host";
  return precedence(filter, asked, found);
}

/** Why a filter that is about the packet does not decide. */
function precedence(filter: Filter, { packet, byFilter }: Asked, found: WantedPolicy): string {
  if (found.origin.kind === "exemption") return `${found.origin.what} is exempt from all rules`;
  const [by, pair] = [`rule ${found.origin.rule.name}`, formatSelector(found.origin.pair)];
  const mine = indexPolicies(byFilter.get(filter) ?? []);
  const same = mine.decide(packet, found.direction);
  if (same && same.priority > found.priority) return `${by} is more specific here: ${pair}`;
  const elsewhere = found.direction === "out" ? "fwd" : "out";
  if (!same && found.direction !== "in" && mine.decide(packet, elsewhere))
    return `${by} is stricter, and decides as the packet ${found.direction === "out" ? "leaves" : "comes"}: ${pair}`;
  return `${by} is as specific, and comes first: ${pair}`;
}
