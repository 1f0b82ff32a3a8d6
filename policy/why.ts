/**
 * `why`: which filter decides about a packet, what that means, what would be negotiated, and why every other rule does not decide.
 */
import { childSuiteName, ikeSuiteName } from "../ike/crypto/suite.ts";
import { canonicalAddress, formatRange, includesAddress, isHost } from "../isakmp/address.ts";
import { type Direction, decisions, type WantedPolicy } from "./compile.ts";
import { type DecisionIndex, directionOf, indexPolicies, type Packet } from "./decide.ts";
import { formatProtocol } from "./filter.ts";
import { formatIdentity } from "./identity.ts";
import { peerRanges } from "./select.ts";
import { formatSelector } from "./selector.ts";
import type { AuthEntry, Filter, Policy, Rule, Side } from "./types.ts";

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

export interface ExplainedNegotiation {
  readonly peer: string;
  readonly mode: Rule["mode"];
  readonly mainMode: readonly string[];
  readonly quickMode: readonly string[];
  readonly pfs: string;
  readonly auth: readonly string[];
  readonly lifetimeSeconds: number;
}

/** Explains one packet under a policy on a host with these addresses (canonical). */
export function explain(policy: Policy, addresses: readonly string[], packet: Packet): Explanation {
  const index = indexOf(policy, addresses);
  const direction = directionOf(packet, addresses);
  const found = index.decide(packet, direction);
  const { rule, filter } = found?.origin.kind === "rule" ? found.origin : { rule: null, filter: null };
  const verdict = verdictOf(found);
  const answer: Packet = {
    ...{ source: packet.destination, destination: packet.source, protocol: packet.protocol },
    ...{ sourcePort: packet.destinationPort, destinationPort: packet.sourcePort },
  };
  const back = index.decide(answer, directionOf(answer, addresses));
  return {
    ...{ packet, direction, verdict, says: sentence(found, direction, policy) },
    ...{ rule: rule?.name ?? null, description: rule?.description ?? null, filter: filter?.text ?? null },
    policy: found ? explainPolicy(found) : null,
    negotiation:
      rule && found && rule.auth.length > 0 && (rule.action === "respond" || found.protection)
        ? negotiationOf(rule, remoteOf(packet, direction))
        : null,
    answer: { verdict: verdictOf(back), rule: back?.origin.kind === "rule" ? back.origin.rule.name : null },
    others: othersOf(policy, addresses, packet, direction, found),
  };
}

/** The policy as one entry of `policy show --specific`. */
export function explainPolicy({ direction, selector: s, action, protection, priority }: WantedPolicy): ExplainedPolicy {
  const end = (address: string, length: number, port: number) => `${address}/${length}${port === 0 ? "" : ` port ${port}`}`;
  const ends = `${end(s.source, s.sourceLength, s.sourcePort)} -> ${end(s.destination, s.destinationLength, s.destinationPort)}`;
  const selector = s.protocol === 0 ? ends : `${ends} ${formatProtocol(s.protocol)}`;
  return { direction, selector, action, level: protection?.level ?? null, priority };
}

/** An index is made once for a policy and a list of addresses. */
function indexOf(policy: Policy, addresses: readonly string[]): DecisionIndex {
  const known = INDEXES.get(policy);
  if (known?.addresses === addresses) return known.index;
  const index = indexPolicies(decisions(policy, addresses));
  INDEXES.set(policy, { addresses, index });
  return index;
}

const INDEXES = new WeakMap<Policy, { readonly addresses: readonly string[]; readonly index: DecisionIndex }>();

function verdictOf(found: WantedPolicy | undefined): Verdict {
  if (!found) return "clear";
  if (found.action === "block") return "drop";
  if (found.protection) return found.protection.level === "use" ? "protect-if-possible" : "protect";
  return found.origin.kind === "rule" && found.origin.rule.action === "respond" ? "protect-if-asked" : "clear";
}

function sentence(found: WantedPolicy | undefined, direction: Direction, policy: Policy): string {
  const coming = direction === "in";
  if (!found) {
    const default_ = policy.rules.find(({ defaultResponse }) => defaultResponse);
    return `no filter is about it, so it passes in clear${default_ ? `; should the peer ask for protection, rule ${default_.name} (the default response rule) answers` : ""}`;
  }
  if (found.origin.kind === "exemption") return `it passes in clear whatever the rules say: ${found.origin.what} is exempt`;
  const { rule } = found.origin;
  const by = `rule ${rule.name} (${rule.action})`;
  switch (verdictOf(found)) {
    case "drop":
      return `${by} drops it`;
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
        ? `${by}: sent protected; in clear only if the peer sends no IKE packet for ${rule.clear.fallback?.afterSeconds} seconds`
        : `${by}: sent only protected; a negotiation starts where there is no SA yet`;
  }
}

const remoteOf = (packet: Packet, direction: Direction): string => (direction === "in" ? packet.source : packet.destination);

function negotiationOf(rule: Rule, remote: string): ExplainedNegotiation {
  const [peer] = rule.tunnel
    ? [rule.tunnel.remote]
    : rule.peer && isHost(rule.peer)
      ? [formatRange(rule.peer).split("/")[0] ?? remote]
      : [remote];
  const { pfs } = rule.quickMode;
  return {
    peer: rule.mode === "tunnel" && !rule.tunnel ? peerRanges(rule).map(formatRange).join(", ") : peer,
    mode: rule.mode,
    mainMode: rule.mainMode.proposals.map(ikeSuiteName),
    quickMode: rule.quickMode.proposals.map(childSuiteName),
    pfs: pfs === null ? "none" : pfs === "main-mode" ? pfs : pfs.name,
    auth: rule.auth.map(authText),
    lifetimeSeconds: rule.quickMode.lifetimeSeconds,
  };
}

/** A method and what it asks of the peer; never a key. */
function authText(entry: AuthEntry): string {
  const wanted = entry.method === "kerberos" ? entry.peerPrincipal : entry.remoteId && formatIdentity(entry.remoteId);
  return wanted === null ? entry.method : `${entry.method} (peer ${wanted})`;
}

function othersOf(
  policy: Policy,
  addresses: readonly string[],
  packet: Packet,
  direction: Direction,
  found: WantedPolicy | undefined,
): Explanation["others"] {
  const decided = found?.origin.kind === "rule" ? found.origin : undefined;
  return policy.rules.flatMap((rule) =>
    rule.filters
      .filter((filter) => filter !== decided?.filter)
      .map((filter) => ({ rule: rule.name, filter: filter.text, because: becauseOf(rule, filter, addresses, packet, direction, found) })),
  );
}

/** The first thing by which a filter is not about the packet, or who comes before it. */
function becauseOf(
  rule: Rule,
  filter: Filter,
  addresses: readonly string[],
  packet: Packet,
  direction: Direction,
  found: WantedPolicy | undefined,
): string {
  if (rule.defaultResponse) return "it answers peers that ask, and has no say about packets";
  // Packets that pass through may be meant either way round; they are held against the side that fits.
  const inward = direction === "in" || (direction === "fwd" && !inSide(filter.local, packet.source, addresses, rule));
  const [local, remote] = inward ? [packet.destination, packet.source] : [packet.source, packet.destination];
  const [localPort, remotePort] = inward ? [packet.destinationPort, packet.sourcePort] : [packet.sourcePort, packet.destinationPort];
  if (filter.local.kind === "name" || filter.remote.kind === "name") return "its name stands for no address now";
  if (!inSide(filter.remote, remote, addresses, rule)) return `${remote} is not ${sideText(filter.remote)}`;
  if (!inSide(filter.local, local, addresses, rule)) return `${local} is not ${sideText(filter.local)}`;
  if (filter.protocol !== 0 && filter.protocol !== packet.protocol && !(filter.protocol === 1 && packet.protocol === 58))
    return `the protocol is ${formatProtocol(packet.protocol)}, not ${formatProtocol(filter.protocol)}`;
  if (filter.remotePort !== 0 && filter.remotePort !== remotePort)
    return `the remote port is ${portText(remotePort)}, not ${filter.remotePort}`;
  if (filter.localPort !== 0 && filter.localPort !== localPort) return `our port is ${portText(localPort)}, not ${filter.localPort}`;
  if (filter.direction !== "both" && (filter.direction === "in") !== inward)
    return `it is one-way, about packets that ${filter.direction === "in" ? "come" : "leave"}`;
  if (rule.peer && !includesAddress(rule.peer, remote)) return `${remote} is not its peer ${formatRange(rule.peer)}`;
  if (rule.mode === "tunnel" && !rule.tunnel?.local) return "its own tunnel end follows the route, which is not known here";
  if (found?.origin.kind === "exemption") return `${found.origin.what} is exempt from all rules`;
  if (found?.origin.kind === "rule") return `rule ${found.origin.rule.name} is more specific here: ${formatSelector(found.origin.pair)}`;
  return "it is about packets of this host";
}

function inSide(side: Side, address: string, addresses: readonly string[], rule: Rule): boolean {
  if (side.kind === "any") return true;
  if (side.kind === "name") return false;
  if (side.kind === "range") return includesAddress(side.range, address);
  return rule.tunnel?.local ? rule.tunnel.local === address : addresses.includes(address);
}

const sideText = (side: Side): string =>
  side.kind === "range"
    ? formatRange(side.range)
    : side.kind === "me"
      ? "an address of this host"
      : side.kind === "any"
        ? "any"
        : side.name;

const portText = (port: number): string => (port === 0 ? "not known" : String(port));

/** The canonical packet of a question, or what is wrong with it. */
export function readPacket(
  source: string,
  destination: string,
  protocol: number,
  sourcePort: number,
  destinationPort: number,
): Packet | string {
  const [from, to] = [canonicalAddress(source), canonicalAddress(destination)];
  if (from === undefined) return `${JSON.stringify(source)} is no address`;
  if (to === undefined) return `${JSON.stringify(destination)} is no address`;
  if (from.includes(":") !== to.includes(":")) return "source and destination are of different address families";
  return { source: from, destination: to, protocol, sourcePort, destinationPort };
}
