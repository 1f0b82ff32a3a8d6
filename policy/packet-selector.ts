/**
 * Packets and the selectors that the kernel keys its policies by: prefixes, protocol, ports. And which of two selectors is the stronger:
 * Windows' order, the most specific first. A range counts as the prefixes that make it up.
 */
import {
  type AddressRange,
  bitsOf,
  covers,
  type Family,
  parseRange,
  prefixesOf,
  prefixLength,
  prefixRange,
  splitRange,
} from "../isakmp/address.ts";
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
  if (selector !== lastOutward.selector) lastOutward = { selector, pairs: pairsOf(selector) };
  return lastOutward.pairs;
}

/** One input asks for those of one selector many times. */
let lastOutward: { readonly selector: TrafficSelector | undefined; readonly pairs: readonly PacketSelector[] } = {
  selector: undefined,
  pairs: [],
};

function pairsOf(selector: TrafficSelector): readonly PacketSelector[] {
  const out: PacketSelector[] = [];
  const remotes = prefixesOf(selector.remote);
  for (const local of prefixesOf(selector.local))
    for (const remote of remotes)
      out.push({
        source: local.address,
        sourceLength: local.length,
        destination: remote.address,
        destinationLength: remote.length,
        protocol: selector.protocol,
        sourcePort: selector.localPort,
        destinationPort: selector.remotePort,
      });
  return out;
}

/** The priority of what the default response rule agreed on: behind the policies of every filter, in their order. `natural`: what `priorityOf` gives. */
export const behindRules = (natural: number): number => 2 ** 30 + natural;

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
export const priorityOf = (s: PacketSelector): number =>
  priorityAt(s.source.includes(":") ? 6 : 4, s.sourceLength, s.destinationLength, s.protocol, s.sourcePort, s.destinationPort);

/** The same of prefix lengths and numbers; the addresses have no say. */
function priorityAt(family: Family, local: number, remote: number, protocol: number, localPort: number, remotePort: number): number {
  const bits = bitsOf(family);
  const any = (number: number): number => (number === 0 ? 1 : 0);
  const lengths = ((kindOf(remote, bits) * BASE.kind + kindOf(local, bits)) * BASE.length + bits - remote) * BASE.length + bits - local;
  const number = ((lengths * BASE.any + any(protocol)) * BASE.any + any(remotePort)) * BASE.any + any(localPort);
  // The numbers between are left free, for what stands just in front.
  return number * STEP + FIRST_PRIORITY + STEP - 1;
}

/**
 * The priorities that packets of `part` meet where a pair that covers it stands in the kernel: one for each two prefixes of its sides. A range stands there
 * in pieces, so that it may be stronger for some packets than a smaller prefix, and weaker for others. Sides go by themselves: `average` is cheap for any part.
 */
export function prioritiesFor(
  pair: TrafficSelector,
  part: TrafficSelector,
): { readonly each: () => readonly number[]; readonly average: number } {
  const [locals, remotes] = [pieceLengths(pair.local, part.local), pieceLengths(pair.remote, part.remote)];
  const at = (local: number, remote: number): number =>
    priorityAt(pair.local.family, local, remote, pair.protocol, pair.localPort, pair.remotePort);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [local = 0] = locals;
  const [remote = 0] = remotes;
  // A priority is a sum of what each side adds to it.
  const average = mean(locals.map((length) => at(length, remote))) + mean(remotes.map((length) => at(local, length))) - at(local, remote);
  return { each: () => locals.flatMap((own) => remotes.map((other) => at(own, other))), average };
}

/** For each prefix of a part of a range the length of that prefix of the whole range that holds it. */
function pieceLengths(range: AddressRange, part: AddressRange): readonly number[] {
  const whole = prefixLength(range);
  return splitRange(part).map(({ first, length }) => {
    if (whole !== undefined) return whole;
    let [low, high] = [0, length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (covers(range, prefixRange(range.family, first, middle))) high = middle;
      else low = middle + 1;
    }
    return high;
  });
}

/** How many values each digit of a priority has. */
const BASE = { kind: 3, length: 129, any: 2 } as const;

/** From one priority of `priorityOf` to the next: room for whatever depth (`depthOf`) lies in front of it. */
const STEP = 512;

/**
 * Just in front of what `priorityOf` gave: of all that a rule's policy is about, a part that is treated otherwise for a while. Whatever is more
 * specific than the rule still comes first, so that no negotiation and no soft SA opens what a narrower rule blocks.
 */
export const inFrontOf = (priority: number): number => priority - 1;

/** Just in front of that. */
export const inFrontOfFront = (priority: number): number => priority - 2;

/** The same for a part of it: of two parts one of which lies within the other the inner one comes first (RFC 2401 §5: traffic goes by what was agreed for it). */
export const partInFrontOf = (priority: number, part: PacketSelector): number => inFrontOf(priority) - depthOf(part);

/** How far in a selector lies: greater than that of any other that covers it, 259 at most. Which side has the ports makes no difference, so that both ends agree. */
const depthOf = ({ sourceLength, destinationLength, protocol, sourcePort, destinationPort }: PacketSelector): number =>
  sourceLength + destinationLength + Math.sign(protocol) + Math.sign(sourcePort) + Math.sign(destinationPort);

/** The priority of `priorityOf` that one lies just in front of, or itself. */
export const naturalBehind = (priority: number): number => priority + STEP - 1 - ((priority - FIRST_PRIORITY) % STEP);

/** Whether a priority is one that `priorityOf` gives: what a filter comes to, and not what stands in front of something. */
export const isNatural = (priority: number): boolean => priority >= FIRST_PRIORITY && naturalBehind(priority) === priority;

const kindOf = (length: number, bits: number): number => (length === bits ? 0 : length === 0 ? 2 : 1);

/** A key that is equal for equal selectors. */
export const selectorKey = (s: PacketSelector): string =>
  `${s.source}/${s.sourceLength}:${s.sourcePort} ${s.destination}/${s.destinationLength}:${s.destinationPort} ${s.protocol}`;

/** How many kernel selectors a pair of ranges makes, without making them. */
export const countOf = (local: AddressRange, remote: AddressRange): number => splitRange(local).length * splitRange(remote).length;

/** Whether every packet of `inner` is one of `outer`. */
export function coversPackets(outer: PacketSelector, inner: PacketSelector): boolean {
  const within = (own: number, wanted: number): boolean => own === 0 || own === wanted;
  return (
    inPrefix(inner.source, inner.sourceLength, outer.source, outer.sourceLength) &&
    inPrefix(inner.destination, inner.destinationLength, outer.destination, outer.destinationLength) &&
    within(outer.protocol, inner.protocol) &&
    within(outer.sourcePort, inner.sourcePort) &&
    within(outer.destinationPort, inner.destinationPort)
  );
}

function inPrefix(address: string, length: number, net: string, netLength: number): boolean {
  const [own, other] = [parseRange(`${address}/${length}`), parseRange(`${net}/${netLength}`)];
  return own !== undefined && other !== undefined && covers(other, own);
}
