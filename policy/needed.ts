/**
 * Which policies for link-local addresses the kernel has to hold. Every filter about `me` has them, but most say only again what is said of the link as
 * a whole: by a rule for `me` and `any`, or by none (it passes). Those are left out, so that many filters cost hardly more than without a link.
 * Invariant: without them every packet is let through, dropped or protected as with them; only the policy that does it may be another.
 */
import { bitsOf, covers, formatAddress, intersection, parseRange, prefixRange } from "../isakmp/address.ts";
import type { WantedPolicy } from "./compile.ts";
import { FIRST_PRIORITY, type PacketSelector, turned } from "./packet-selector.ts";
import { LINK_LOCAL } from "./selector.ts";

/** The same list, strongest first, without what says again what is said anyway. */
export function neededPolicies(all: readonly WantedPolicy[]): readonly WantedPolicy[] {
  const met = all.flatMap(onLink);
  const spare = new Set((["out", "in"] as const).flatMap((way) => repeatsOf(met.filter(({ wanted }) => wanted.direction === way))));
  return spare.size === 0 ? all : all.filter((wanted) => !spare.has(wanted));
}

/** A policy that may meet packets of link-local addresses, behind all exemptions. */
interface OnLink {
  readonly wanted: WantedPolicy;
  readonly outward: PacketSelector;
  readonly what: "allow" | "block" | "protect";
}

const NONE: readonly OnLink[] = [];

function onLink(wanted: WantedPolicy): readonly OnLink[] {
  if (wanted.priority < FIRST_PRIORITY || !wanted.selector.source.includes(":")) return NONE;
  const outward = wanted.direction === "out" ? wanted.selector : turned(wanted.selector);
  const own = parseRange(`${outward.source}/${outward.sourceLength}`);
  if (!own || !intersection(own, LINK_LOCAL)) return [];
  return [{ wanted, outward, what: wanted.protection ? "protect" : wanted.action }];
}

/** Those of one direction that say what is said of the whole link, and that nothing in between contradicts. */
function repeatsOf(policies: readonly OnLink[]): readonly WantedPolicy[] {
  const base = policies.find(({ outward }) => isWhole(outward));
  const usual = base?.what ?? "allow";
  const others = policies.filter(({ what, wanted }) => what !== usual && (!base || wanted.priority < base.wanted.priority));
  // What lies in front of a wall, and not where its own selector would, is weaker than all that is narrower than that wall. There are three at most.
  const holes = others.filter(({ wanted }) => wanted.origin.kind === "exemption");
  const contrary = others.filter((one) => !holes.includes(one));
  /** The weakest of the contrary ones at each remote prefix. */
  const weakest = new Map<string, number>();
  for (const { outward: s, wanted } of contrary) {
    const prefix = `${s.destination}/${s.destinationLength}`;
    weakest.set(prefix, Math.max(wanted.priority, weakest.get(prefix) ?? 0));
  }
  const lengths = [...new Set(contrary.map(({ outward }) => outward.destinationLength))];
  // Of two subnets the one whose local side is any is the weaker one, even where it is the narrower.
  const crossed = contrary.some(({ outward }) => outward.sourceLength === 0 && outward.destinationLength > 0);
  const isContested = ({ outward: s, wanted }: OnLink): boolean =>
    (crossed && s.destinationLength < bitsOf(6)) ||
    holes.some((hole) => hole.wanted.priority > wanted.priority && meets(hole.outward, s)) ||
    lengths.some((length) => length <= s.destinationLength && (weakest.get(networkOf(s, length)) ?? 0) > wanted.priority);
  return policies
    .filter((one) => one !== base && one.what === usual && isOfLink(one.outward) && !isContested(one))
    .map(({ wanted }) => wanted);
}

/** Every packet of every link-local address. */
const isWhole = ({ source, sourceLength, destinationLength, protocol, sourcePort, destinationPort }: PacketSelector): boolean => {
  const own = parseRange(`${source}/${sourceLength}`);
  return (
    own !== undefined &&
    covers(own, LINK_LOCAL) &&
    [destinationLength, protocol, sourcePort, destinationPort].every((number) => number === 0)
  );
};

/** Whether both are about some other address and protocol. */
function meets(a: PacketSelector, b: PacketSelector): boolean {
  const [one, other] = [a, b].map(({ destination, destinationLength }) => parseRange(`${destination}/${destinationLength}`));
  const sameProtocol = a.protocol === 0 || b.protocol === 0 || a.protocol === b.protocol;
  return sameProtocol && one !== undefined && other !== undefined && intersection(one, other) !== undefined;
}

const isOfLink = ({ source, sourceLength }: PacketSelector): boolean => source === "fe80::" && sourceLength === 10;

/** The remote side's network of a length that is not longer than its own. */
function networkOf({ destination, destinationLength }: PacketSelector, length: number): string {
  if (length === destinationLength) return `${destination}/${length}`;
  const range = parseRange(destination);
  return range ? `${formatAddress(6, prefixRange(6, range.first, length).first)}/${length}` : "";
}
