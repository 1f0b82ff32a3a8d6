/**
 * From a policy and this host's addresses to the kernel policies that should stand: the only place where actions become directions,
 * levels and priorities. `ike/standing.ts` carries it out, `why` and `policy show --specific` explain it.
 * Invariant: no two of the results have one selector and direction, and of two that a packet meets the priorities differ.
 */
import { type Family, formatAddress, isHost, parseRange } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import { holesInTunnels } from "./holes.ts";
import { isLinkWide, LINK_UPKEEP, linkLocalSelectors, passesOnLink } from "./link-local.ts";
import { manualRule } from "./manual-rule.ts";
import { neededPolicies } from "./needed.ts";
import { FIRST_PRIORITY, inFrontOf, outwardSelectors, type PacketSelector, priorityOf, selectorKey, turned } from "./packet-selector.ts";
import { compareStrength } from "./select.ts";
import { concreteSelectors, isOnLink } from "./selector.ts";
import type { Exemption, Filter, Policy, Rule, Side, TrafficSelector } from "./types.ts";
import { ownSources, type Shut, waysPast } from "./ways.ts";

export type Direction = "in" | "out" | "fwd";

/** One policy that the kernel should hold. */
export interface WantedPolicy {
  readonly direction: Direction;
  /** As the packets of that direction have it. */
  readonly selector: PacketSelector;
  readonly action: "allow" | "block";
  /** Smaller is stronger. */
  readonly priority: number;
  /** How packets must be protected; null: in clear, or not at all. */
  readonly protection: Protection | null;
  readonly origin: Origin;
}

/** What becomes the templates of a policy. */
export interface Protection {
  /** `use`: packets without protection pass too. */
  readonly level: "required" | "use";
  readonly mode: Rule["mode"];
  readonly tunnel: { readonly local: string; readonly remote: string } | null;
  /** Those of the rule's first offer, outermost first as the offer has them. */
  readonly protocols: readonly ("esp" | "ah")[];
}

/**
 * Why a policy is wanted: a filter of a rule, here for one concrete pair (local side first), or an exemption. `way`: it only lets past blocks what the
 * rule decides where the kernel asks the other time (ways.ts).
 */
export type Origin =
  | { readonly kind: "rule"; readonly rule: Rule; readonly filter: Filter; readonly pair: TrafficSelector; readonly way: boolean }
  | { readonly kind: "exemption"; readonly what: Exempted };

/** `this-host`: what it sends to itself. Linux spares that from IPsec on IPv4 (both ways), and not on IPv6. */
type Exempted = Exemption | "neighbour-discovery" | "multicast-listeners" | "this-host";

/**
 * The policies that should stand, strongest first. `addresses` are the local ones, `broadcasts` those of the networks they are in; canonical. Where two filters come to one kernel
 * selector, the stronger rule has it: transport before tunnel, block, permit, protection, and then the order of the file. Of packets that pass through
 * one may mean it one way and one the other: then the more specific has it.
 * A tunnel rule whose own end is not known yet (`tunnel.local` null) blocks what it requires to be protected; it makes none where it only responds,
 * as names make none that are not resolved.
 */
export const compile = (policy: Policy, addresses: readonly string[], broadcasts: readonly string[] = []): readonly WantedPolicy[] =>
  installed(decisions(policy, addresses, broadcasts));

/** Those of all decisions that the kernel has to hold. Respond rules are holes in what others demand, or in others' tunnels: else they need no policy. */
export function installed(all: readonly WantedPolicy[]): readonly WantedPolicy[] {
  if (all.some(demands)) return neededPolicies(all);
  const holes = holesInTunnels(all);
  return neededPolicies(
    all.filter((wanted) => holes.has(wanted) || (wanted.origin.kind === "rule" && wanted.origin.rule.action !== "respond")),
  );
}

/** What every filter comes to, also where the kernel does the same without it: what `why` looks up. */
export const decisions = (policy: Policy, addresses: readonly string[], broadcasts: readonly string[] = []): readonly WantedPolicy[] =>
  weigh(policy, addresses, Number.POSITIVE_INFINITY, broadcasts)?.decide ?? [];

interface Weighed {
  readonly decide: readonly WantedPolicy[];
  readonly exempted: readonly WantedPolicy[];
  readonly shut: readonly Shut[];
}

/**
 * The same, what filters would come to of which an exemption has the very selector (it comes before all rules), and what finds no way past a block.
 * Undefined as soon as it is plain that `decide` would be more than `most`.
 */
export function weigh(policy: Policy, addresses: readonly string[], most: number, broadcasts: readonly string[] = []): Weighed | undefined {
  const bySlot = new Map<string, WantedPolicy>();
  const all = strongestFirst([...policy.rules, ...policy.manual.map(manualRule)]);
  for (const rule of all) {
    for (const wanted of rule.filters.flatMap((filter) => ofFilter(rule, filter, addresses))) {
      const key = slotOf(wanted);
      const before = bySlot.get(key);
      if (before && before.priority <= wanted.priority) continue;
      bySlot.delete(key);
      bySlot.set(key, wanted);
    }
    // For each that an exemption takes the place of there is that exemption, and a way takes the place of one policy at most.
    if (bySlot.size > most) return undefined;
  }
  const exemptions = exemptionsFor(
    exemptRows(policy.exempt, broadcasts),
    [...bySlot.values()].filter(demands),
    addresses,
    tunnelledFamilies(all, addresses),
  );
  const exempted: WantedPolicy[] = [];
  const standing = exemptions.filter((exemption) => {
    const key = slotOf(exemption);
    const rule = bySlot.get(key);
    // What lies behind narrower rules lies behind one for just the same, too.
    if (!rule || !isExemption(exemption)) return !rule;
    exempted.push(rule);
    return bySlot.delete(key);
  });
  const decided = [...bySlot.values()];
  const { policies, replaced, shut } = waysPast(decided, addresses);
  const taken = new Set(standing.map(slotOf));
  const ways = policies.filter((way) => !taken.has(slotOf(way)));
  const decide = [...standing, ...decided.filter((wanted) => !replaced.has(wanted)), ...ways];
  return decide.length > most ? undefined : { decide: decide.sort((a, b) => a.priority - b.priority), exempted, shut };
}

/** What the kernel holds one policy for. */
const slotOf = ({ direction, selector }: WantedPolicy): string => `${direction} ${selectorKey(selector)}`;

const demands = ({ action, protection }: WantedPolicy): boolean => action === "block" || protection !== null;

const strongestFirst = (rules: readonly Rule[]): readonly Rule[] => rules.filter((rule) => !rule.defaultResponse).sort(compareStrength);

/** Clear text under a rule, out and in: `null` where the rule has no template. */
export function levelsOf(rule: Rule): { readonly out: Protection["level"] | null; readonly in: Protection["level"] | null } {
  if (rule.action !== "require" && rule.action !== "request") return { out: null, in: null };
  return { out: rule.clear.discovery ? "use" : "required", in: rule.clear.inbound ? "use" : "required" };
}

function ofFilter(rule: Rule, filter: Filter, addresses: readonly string[]): readonly WantedPolicy[] {
  // A tunnel without its own end waits for the route that names it; what may not go in clear then goes nowhere.
  const endless = rule.mode === "tunnel" && rule.tunnel?.local == null;
  if (endless && rule.action !== "require") return [];
  const pairs = [
    ...concreteSelectors(filter, rule, addresses).map((pair) => ({ pair, onLink: false })),
    ...linkLocalSelectors(filter, rule).map((pair) => ({ pair, onLink: true })),
  ];
  const ways = directionsOf(rule, filter);
  return pairs.flatMap(({ pair, onLink }) => {
    // One for all of them, since there may be very many.
    const origin: Origin = { kind: "rule", rule, filter, pair, way: false };
    const kinds = ways.map(({ direction, inward }) => {
      const level = onLink ? null : levelsOf(rule)[inward ? "in" : "out"];
      const shut = onLink ? !passesOnLink(rule, inward) : rule.action === "block" || endless;
      const action = shut ? ("block" as const) : ("allow" as const);
      return { direction, inward, action, protection: endless ? null : level && protectionOf(rule, level) };
    });
    return outwardSelectors(pair).flatMap((outward) => {
      const [priority, inbound] = [priorityOf(outward), turned(outward)];
      return kinds.map(
        ({ direction, inward, action, protection }): WantedPolicy => ({
          direction,
          selector: inward ? inbound : outward,
          action,
          priority,
          protection,
          origin,
        }),
      );
    });
  });
}

/** How many kernel policies a rule comes to by itself. */
export const kernelPolicies = (rule: Rule, addresses: readonly string[]): number =>
  strongestFirst([rule]).reduce(
    (sum, { filters }) => sum + filters.reduce((n, filter) => n + ofFilter(rule, filter, addresses).length, 0),
    0,
  );

function protectionOf(rule: Rule, level: Protection["level"]): Protection {
  const tunnel = rule.tunnel && { local: rule.tunnel.local ?? "", remote: rule.tunnel.remote };
  return { level, mode: rule.mode, tunnel, protocols: (rule.quickMode.proposals[0] ?? []).map(({ protocol }) => protocol) };
}

interface Way {
  readonly direction: Direction;
  /** The packets come from the remote side. */
  readonly inward: boolean;
}

const OUT: Way = { direction: "out", inward: false };
const IN: Way = { direction: "in", inward: true };
const THROUGH: Way = { direction: "fwd", inward: true };
const THROUGH_OUTWARD: Way = { direction: "fwd", inward: false };

/**
 * A gateway's packets out of a tunnel are forwarded, or for itself. Others' packets that only pass are permitted and blocked both ways. What passes into
 * a tunnel is protected as it leaves; past blocks there are ways (ways.ts).
 */
function directionsOf(rule: Rule, filter: Filter): readonly Way[] {
  const passing = rule.mode === "transport" && (rule.action === "permit" || rule.action === "block") && mayBeOthers(filter.local);
  const all = [OUT, IN, ...(rule.mode === "tunnel" || passing ? [THROUGH] : []), ...(passing ? [THROUGH_OUTWARD] : [])];
  return all.filter(({ inward }) => filter.direction === "both" || inward === (filter.direction === "in"));
}

const mayBeOthers = (side: Side): boolean => side.kind !== "me";

/** Neighbour discovery (RFC 4861) must stay in clear, or no IPv6 peer is ever found. ICMPv6 types. */
const NEIGHBOUR_DISCOVERY: readonly number[] = [133, 134, 135, 136, 137];

const EXEMPT_PRIORITY = 1000;
const [ANY_4, ANY_6] = ["0.0.0.0/0", "::/0"];

/** Source and destination, protocol, ports. One row is for both directions unless it says one. */
type Row = readonly [string, string, number, number, number, ("out" | "in")?];

const { tcp, udp, icmp, icmpv6 } = IP_PROTOCOL;
const RSVP = 46;

/** Both families of a row with ports; we are the asking side, and answers come from the port. */
const service = (...ports: readonly number[]): readonly Row[] =>
  [ANY_4, ANY_6].flatMap((any) =>
    [udp, tcp].flatMap((protocol) =>
      ports.flatMap((port): readonly Row[] => [
        [any, any, protocol, 0, port, "out"],
        [any, any, protocol, port, 0, "in"],
      ]),
    ),
  );

/** The same where this host is the server, which its peers need before they can prove anything. */
const serving = (...ports: readonly number[]): readonly Row[] =>
  service(...ports).map(([from, to, protocol, source, destination, way]) => [
    from,
    to,
    protocol,
    source,
    destination,
    way === "in" ? "out" : "in",
  ]);

const EXEMPT: Readonly<Record<Exemption, readonly Row[]>> = {
  // RFC 4120 §7.2, RFC 3244: tickets and passwords.
  kerberos: [...service(88, 464), ...serving(88, 464)],
  dns: service(53),
  dhcp: [
    [ANY_4, ANY_4, udp, 68, 67],
    [ANY_4, ANY_4, udp, 67, 68],
    [ANY_6, ANY_6, udp, 546, 547],
    [ANY_6, ANY_6, udp, 547, 546],
  ],
  rsvp: [
    [ANY_4, ANY_4, RSVP, 0, 0],
    [ANY_6, ANY_6, RSVP, 0, 0],
  ],
  broadcast: [[ANY_4, "255.255.255.255/32", 0, 0, 0]],
  multicast: [
    [ANY_4, "224.0.0.0/4", 0, 0, 0],
    [ANY_6, "ff00::/8", 0, 0, 0],
  ],
  icmp: [
    [ANY_4, ANY_4, icmp, 0, 0],
    [ANY_6, ANY_6, icmpv6, 0, 0],
  ],
  // Fragmentation needed (RFC 792), Packet Too Big (RFC 4443 §3.2): routers on the way speak no IKE. The kernel has type and code in place of ports.
  "path-mtu": [
    [ANY_4, ANY_4, icmp, 3, 4, "in"],
    [ANY_6, ANY_6, icmpv6, 2, 0, "in"],
  ],
};

/** A network's broadcast address is one as 255.255.255.255 is. */
const exemptRows = (exempt: readonly Exemption[], broadcasts: readonly string[]) =>
  exempt.flatMap((what) => {
    const ours = what === "broadcast" ? broadcasts.map((address): Row => [ANY_4, `${address}/32`, 0, 0, 0]) : [];
    return [...EXEMPT[what], ...ours].map((row) => ({ what, row }));
  });

/** Exemptions of the families in which some rule blocks or protects: without one they would change nothing. */
function exemptionsFor(
  exempt: readonly { readonly what: Exemption; readonly row: Row }[],
  demanding: readonly WantedPolicy[],
  addresses: readonly string[],
  tunnelled: ReadonlySet<Family>,
): readonly WantedPolicy[] {
  const families = new Set(demanding.map(({ selector }) => familyOfText(selector.source)));
  const discovery: readonly Row[] = NEIGHBOUR_DISCOVERY.map((type) => [ANY_6, ANY_6, icmpv6, type, 0]);
  const rows = [
    ...exempt,
    ...discovery.map((row) => ({ what: "neighbour-discovery" as const, row })),
    ...LINK_UPKEEP.listeners.map((row) => ({ what: "multicast-listeners" as const, row })),
    ...addresses
      .filter((address) => address.includes(":") && !isOnLink(address))
      .map((address) => ({ what: "this-host" as const, row: toSelf(address) })),
  ];
  const wanted = rows
    .filter(({ row: [source] }) => families.has(familyOfText(source)))
    .flatMap(({ what, row }) =>
      (["out", "in"] as const)
        .filter((way) => (row[5] ?? way) === way)
        .flatMap((way) => {
          const family = familyOfText(row[0]);
          if (way === "in" || !tunnelled.has(family) || !isConfigured(what)) return exemption(what, row, way);
          const [, ...rest] = row;
          return ownSources(addresses)
            .filter(({ address }) => familyOfText(address) === family)
            .map(({ address, length }) => exemption(what, [`${address}/${length}`, ...rest], way));
        }),
    );
  return families.has(6) ? [...wanted, ...LOOPBACK, ...dhcpOnLink(demanding)] : wanted;
}

/**
 * Families in which others' packets leave through a tunnel. There an exemption names this host's own addresses: what passes through is asked for as it
 * leaves, too, and would go in clear past the tunnel. Also of rules that only respond, and whose end is not known yet.
 */
const tunnelledFamilies = (rules: readonly Rule[], addresses: readonly string[]): ReadonlySet<Family> =>
  new Set(
    rules
      .filter(({ mode }) => mode === "tunnel")
      .flatMap((rule) =>
        rule.filters
          .filter(({ direction, local }) => direction !== "in" && mayBeOthers(local))
          .flatMap((filter) => concreteSelectors(filter, rule, addresses)),
      )
      .filter(({ local }) => !isHost(local) || !addresses.includes(formatAddress(local.family, local.first)))
      .map(({ local }) => local.family),
  );

/** A kind that `exempt` names. The others are about a link and this host itself, and are never passed on. */
const isConfigured = (what: Exempted): what is Exemption => what in EXEMPT;

/** DHCPv6 passes just in front of what shuts the link as a whole; filters that are narrower than that still come first. */
function dhcpOnLink(demanding: readonly WantedPolicy[]): readonly WantedPolicy[] {
  return (["out", "in"] as const).flatMap((way) => {
    const walls = demanding.filter(
      ({ direction, origin }) => direction === way && origin.kind === "rule" && isLinkWide(origin.rule, origin.filter, origin.pair),
    );
    if (walls.length === 0) return [];
    const priority = inFrontOf(walls.reduce((least, wall) => Math.min(least, wall.priority), Number.POSITIVE_INFINITY));
    return LINK_UPKEEP.dhcp[way].map((row) => ({ ...exemption("dhcp", row, way), priority }));
  });
}

/**
 * Who has our address as destination is ourselves. There is no row for what comes: anybody may write our address as the source of a packet, Linux
 * takes it, and no selector tells the loopback device from others (the route of every packet for this host leads there).
 */
const toSelf = (address: string): Row => [ANY_6, `${address}/128`, 0, 0, 0, "out"];

function exemption(what: Exempted, row: Row, direction: "in" | "out"): WantedPolicy {
  const [from, to, protocol, sourcePort, destinationPort] = row;
  const [source, destination] = [prefixOf(from), prefixOf(to)];
  return {
    direction,
    selector: {
      ...{ source: source.address, sourceLength: source.length, destination: destination.address, destinationLength: destination.length },
      ...{ protocol, sourcePort, destinationPort },
    },
    action: "allow",
    priority: EXEMPT_PRIORITY,
    protection: null,
    origin: { kind: "exemption", what },
  };
}

/** From outside Linux takes nothing that says to come from ::1. */
const LOOPBACK: readonly WantedPolicy[] = [
  exemption("this-host", toSelf("::1"), "out"),
  exemption("this-host", ["::1/128", "::1/128", 0, 0, 0], "in"),
];

const familyOfText = (address: string): Family => (address.includes(":") ? 6 : 4);

function prefixOf(text: string): { readonly address: string; readonly length: number } {
  const [address = "", length] = text.split("/", 2);
  if (!parseRange(text)) throw new Error(text);
  return { address, length: Number(length) };
}

/** Whether a policy is one that a rule wants, and not an exemption. */
export const isExemption = ({ priority }: Pick<WantedPolicy, "priority">): boolean => priority < FIRST_PRIORITY;
