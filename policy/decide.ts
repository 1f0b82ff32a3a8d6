/**
 * Which policy decides about a packet: an index over what `compile` wants, so that a look-up costs as much as there are different shapes of
 * selectors (prefix lengths, with or without protocol and ports), however many rules there are.
 */
import { bitsOf, canonicalAddress, type Family, formatAddress, parseAddress, prefixRange } from "../isakmp/address.ts";
import type { Direction, WantedPolicy } from "./compile.ts";
import { formatProtocol, hasPorts } from "./filter.ts";
import { type PacketSelector, selectorKey } from "./packet-selector.ts";
import { isOfMany, isOnLink, protocolIn } from "./selector.ts";

/** A packet as the kernel's policies see it. Addresses are canonical; ports are 0 where the protocol has none; of ICMP `sourcePort` is the type. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** The destination is the broadcast address of a network of ours. */
  readonly isBroadcast?: true;
  /** Neither end is an address of ours: it passes through. */
  readonly isOthers?: true;
}

export interface DecisionIndex<T extends Decisive = WantedPolicy> {
  /** The strongest policy that covers the packet; undefined: none does, and the packet passes in clear. */
  decide(packet: Packet, direction: Direction): T | undefined;
  /** The strongest policy that covers every packet of a selector. */
  covering(packets: PacketSelector, direction: Direction): T | undefined;
}

/** What an index has to know of a policy. */
type Decisive = Pick<WantedPolicy, "direction" | "selector" | "priority">;

/** What selectors of one kind have in common: the packet's own values in these places make the key. */
interface Shape<T> {
  readonly direction: Direction;
  readonly family: Family;
  readonly sourceLength: number;
  readonly destinationLength: number;
  readonly protocol: boolean;
  readonly sourcePort: boolean;
  readonly destinationPort: boolean;
  readonly policies: Map<string, T>;
  /** Of its strongest policy. */
  best: number;
}

/** An index of policies; the strongest of a key is kept, the first where they are equal. */
export function indexPolicies<T extends Decisive>(policies: readonly T[]): DecisionIndex<T> {
  const shapes = new Map<number, Shape<T>>();
  const order = new Map<T, number>();
  for (const policy of policies) {
    order.set(policy, order.size);
    const shape = shapeOf(policy, shapes);
    const key = selectorKey(policy.selector);
    const known = shape.policies.get(key);
    if (!known || policy.priority < known.priority) shape.policies.set(key, policy);
    shape.best = Math.min(shape.best, policy.priority);
  }
  const byDirection = new Map<Direction, readonly Shape<T>[]>();
  for (const direction of DIRECTIONS) {
    const own = [...shapes.values()].filter((shape) => shape.direction === direction);
    byDirection.set(
      direction,
      own.sort((a, b) => a.best - b.best),
    );
  }
  const find = (packets: PacketSelector, direction: Direction): T | undefined =>
    strongest(packets, byDirection.get(direction) ?? [], order);
  return { decide: (packet, direction) => find(selectorOf(packet), direction), covering: find };
}

/** The selector of one packet. What a question leaves open is covered by what says nothing of it. */
export function selectorOf(packet: Packet): PacketSelector {
  const length = bitsOf(packet.source.includes(":") ? 6 : 4);
  return { ...packet, sourceLength: length, destinationLength: length };
}

function shapeOf<T extends Decisive>({ direction, selector: s, priority }: T, shapes: Map<number, Shape<T>>): Shape<T> {
  const family: Family = s.source.includes(":") ? 6 : 4;
  const [protocol, sourcePort, destinationPort] = [s.protocol !== 0, s.sourcePort !== 0, s.destinationPort !== 0];
  const numbers = Number(protocol) * 4 + Number(sourcePort) * 2 + Number(destinationPort);
  const key = (((DIRECTIONS.indexOf(direction) * 8 + family) * 256 + s.sourceLength) * 256 + s.destinationLength) * 8 + numbers;
  const known = shapes.get(key);
  if (known) return known;
  const { sourceLength, destinationLength } = s;
  const shape: Shape<T> = {
    direction,
    family,
    sourceLength,
    destinationLength,
    protocol,
    sourcePort,
    destinationPort,
    policies: new Map(),
    best: priority,
  };
  shapes.set(key, shape);
  return shape;
}

const DIRECTIONS: readonly Direction[] = ["in", "out", "fwd"];

/**
 * What only passes through may meet two of one priority, one for each way: the first in the list counts, as it is the older one in the kernel.
 */
function strongest<T extends Decisive>(packet: PacketSelector, shapes: readonly Shape<T>[], order: ReadonlyMap<T, number>): T | undefined {
  const family: Family = packet.source.includes(":") ? 6 : 4;
  const [sources, destinations] = [new Map<number, string>(), new Map<number, string>()];
  const at = (policy: T): number => order.get(policy) ?? 0;
  let found: T | undefined;
  for (const shape of shapes) {
    if (found && found.priority < shape.best) break;
    if (shape.family !== family || shape.sourceLength > packet.sourceLength || shape.destinationLength > packet.destinationLength) continue;
    const selector: PacketSelector = {
      source: masked(packet.source, shape.sourceLength, sources),
      sourceLength: shape.sourceLength,
      destination: masked(packet.destination, shape.destinationLength, destinations),
      destinationLength: shape.destinationLength,
      protocol: shape.protocol ? packet.protocol : 0,
      sourcePort: shape.sourcePort ? packet.sourcePort : 0,
      destinationPort: shape.destinationPort ? packet.destinationPort : 0,
    };
    const policy = shape.policies.get(selectorKey(selector));
    if (policy && (!found || policy.priority < found.priority || (policy.priority === found.priority && at(policy) < at(found))))
      found = policy;
  }
  return found;
}

/** The network of an address, as the text of selectors. */
function masked(address: string, length: number, known: Map<number, string>): string {
  const before = known.get(length);
  if (before !== undefined) return before;
  const parsed = parseAddress(address);
  const text = parsed ? formatAddress(parsed.family, prefixRange(parsed.family, parsed.value, length).first) : address;
  known.set(length, text);
  return text;
}

/** A packet from what a person says of it; ports only where the protocol has them. */
export function packetOf(source: string, destination: string, protocol: number, sourcePort: number, destinationPort: number): Packet {
  const ports = hasPorts(protocol);
  return { source, destination, protocol, sourcePort: ports ? sourcePort : 0, destinationPort: ports ? destinationPort : 0 };
}

/** The canonical packet of a question, or what is wrong with it. As in filters, `icmp` is ICMPv6 between IPv6 addresses. */
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
  return {
    source: from,
    destination: to,
    protocol: protocolIn(from.includes(":") ? 6 : 4, protocol) ?? protocol,
    sourcePort,
    destinationPort,
  };
}

/** A selector in words, as packets of its direction have it. */
export function formatPackets(s: PacketSelector): string {
  const end = (address: string, length: number, port: number) => `${address}/${length}${port === 0 ? "" : ` port ${port}`}`;
  const ends = `${end(s.source, s.sourceLength, s.sourcePort)} -> ${end(s.destination, s.destinationLength, s.destinationPort)}`;
  return s.protocol === 0 ? ends : `${ends} ${formatProtocol(s.protocol)}`;
}

/**
 * How this host meets a packet: it sends it, gets it, or passes it on. What goes to many, or to a link's own addresses, is not passed on. Where none of
 * `addresses` is a link-local one, ours are not known: a packet from one to another kind of address leaves, and one between two of them comes.
 */
export function directionOf({ source, destination, isBroadcast }: Packet, addresses: readonly string[]): Direction {
  if (addresses.includes(source) || source === "0.0.0.0" || source === "::") return "out";
  if (addresses.includes(destination)) return "in";
  if (isOnLink(source) && !isOnLink(destination) && !addresses.some(isOnLink)) return "out";
  return isBroadcast || isOfMany(destination) || isOnLink(destination) ? "in" : "fwd";
}

/** Whether a packet never leaves this host. What it sends to its own link-local addresses meets the rules for what leaves all the same. */
export const staysHere = ({ source, destination }: Packet, addresses: readonly string[]): boolean =>
  [source, destination].some((one) => one.startsWith("127.") || one === "::1") ||
  (addresses.includes(source) && addresses.includes(destination) && !isOnLink(destination));
