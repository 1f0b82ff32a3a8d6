/**
 * Packets and the selectors that the kernel keys its policies by: prefixes, protocol, ports. And which of two selectors is the stronger:
 * Windows' order, the most specific first. A range counts as the prefixes that make it up.
 */
import { type AddressRange, bitsOf, prefixesOf } from "../isakmp/address.ts";
import type { TrafficSelector } from "./types.ts";

/** A prefix pair with protocol and ports, 0 is any: the form of the kernel contract. Addresses are canonical text. */
export interface PacketSelector {
  readonly source: string;
  readonly sourceLength: number;
  readonly destination: string;
  readonly destinationLength: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The selectors of a pair as packets see it that leave us. */
export function outwardSelectors(selector: TrafficSelector): readonly PacketSelector[] {
  return prefixesOf(selector.local).flatMap((local) =>
    prefixesOf(selector.remote).map((remote) => ({
      source: local.address,
      sourceLength: local.length,
      destination: remote.address,
      destinationLength: remote.length,
      protocol: selector.protocol,
      sourcePort: selector.localPort,
      destinationPort: selector.remotePort,
    })),
  );
}

/** The same for packets that come. */
export const turned = (s: PacketSelector): PacketSelector => ({
  source: s.destination,
  sourceLength: s.destinationLength,
  destination: s.source,
  destinationLength: s.sourceLength,
  protocol: s.protocol,
  sourcePort: s.destinationPort,
  destinationPort: s.sourcePort,
});

/** Policies of rules lie behind this priority, exemptions before it. Smaller is stronger. */
export const FIRST_PRIORITY = 10_000;

/**
 * The kernel priority of a policy, from its outward selector alone: the kind of the remote and then of the local side (host, prefix, any),
 * then their lengths, then whether there is a protocol, a remote and a local port. Of two different selectors that share a packet the
 * priorities differ, so that the kernel's choice never depends on the order of insertion; and a change of one rule moves no other.
 */
export function priorityOf(s: PacketSelector): number {
  const bits = bitsOf(s.source.includes(":") ? 6 : 4);
  const [remote, local] = [s.destinationLength, s.sourceLength];
  const digits: readonly (readonly [value: number, base: number])[] = [
    [kindOf(remote, bits), 3],
    [kindOf(local, bits), 3],
    [bits - remote, 129],
    [bits - local, 129],
    [s.protocol === 0 ? 1 : 0, 2],
    [s.destinationPort === 0 ? 1 : 0, 2],
    [s.sourcePort === 0 ? 1 : 0, 2],
  ];
  return digits.reduce((number, [value, base]) => number * base + value, 0) + FIRST_PRIORITY;
}

const kindOf = (length: number, bits: number): number => (length === bits ? 0 : length === 0 ? 2 : 1);

/** A key that is equal for equal selectors. */
export const selectorKey = (s: PacketSelector): string =>
  `${s.source}/${s.sourceLength}:${s.sourcePort} ${s.destination}/${s.destinationLength}:${s.destinationPort} ${s.protocol}`;

/** How many kernel selectors a pair of ranges makes, without making them. */
export const countOf = (local: AddressRange, remote: AddressRange): number => prefixesOf(local).length * prefixesOf(remote).length;
