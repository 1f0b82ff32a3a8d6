/**
 * What lets others' packets into a tunnel and out of it past a wider block. The kernel asks twice about a packet that passes through: as it comes
 * (`fwd`) and as it leaves (`out`). A tunnel protects what goes into it as it leaves, and sees that what comes out of it came protected; the other
 * time only what permits and blocks others' traffic would be found.
 * Invariant: each of these policies has the selector and the priority of the tunnel's own that looks after the same packets. None is about a packet
 * that some tunnel looks after where it would stand, or that this host sends itself: the way would be open to it in clear.
 */
import { type AddressRange, intersection, parseRange } from "../isakmp/address.ts";
import type { Direction, WantedPolicy } from "./compile.ts";
import { MeetingRanges } from "./meeting-ranges.ts";
import { selectorKey } from "./packet-selector.ts";
import { concreteSelectors } from "./selector.ts";
import type { Rule } from "./types.ts";

/**
 * The policies without protection that go with the tunnels among `decided`: in `fwd` for what a tunnel protects in `out`, and the other way round,
 * where a weaker block would meet it. `rules` are all, also those whose tunnel has no end yet; `addresses` the local ones.
 */
export function waysOfTunnels(
  decided: readonly WantedPolicy[],
  rules: readonly Rule[],
  addresses: readonly string[],
): readonly WantedPolicy[] {
  const hosts = addresses.flatMap((address): readonly Ends[] => {
    const range = parseRange(address);
    return range ? [{ source: range, destination: null }] : [];
  });
  return [
    ...waysAt("fwd", "out", decided, endsOf(rules, true, addresses)),
    ...waysAt("out", "fwd", decided, [...hosts, ...endsOf(rules, false, addresses)]),
  ];
}

/** What packets have for their ends; a destination of null is any. */
interface Ends {
  readonly source: AddressRange;
  readonly destination: AddressRange | null;
}

/** The ways at one place for what tunnels look after at the `other`, but for what meets some of the `closed`. */
function waysAt(place: Direction, other: Direction, decided: readonly WantedPolicy[], closed: readonly Ends[]): readonly WantedPolicy[] {
  const here = decided.filter(({ direction }) => direction === place);
  const blocks = new MeetingRanges(
    here.filter(({ action }) => action === "block"),
    sourceOf,
  );
  const kept = new MeetingRanges(closed, ({ source }) => source);
  const taken = new Set(here.map(({ selector }) => selectorKey(selector)));
  return decided
    .filter((wanted) => {
      if (wanted.direction !== other || !isOfTunnel(wanted) || taken.has(selectorKey(wanted.selector))) return false;
      const [from, to] = [sourceOf(wanted), destinationOf(wanted)];
      const isAbout = (range: AddressRange | null): boolean => !range || intersection(range, to) !== undefined;
      return (
        blocks.with(from).some((block) => block.priority > wanted.priority && isAbout(destinationOf(block))) &&
        !kept.with(from).some(({ destination }) => isAbout(destination))
      );
    })
    .map((wanted) => ({ ...wanted, direction: place, protection: null }));
}

const isOfTunnel = ({ action, origin }: WantedPolicy): boolean =>
  action === "allow" && origin.kind === "rule" && origin.rule.mode === "tunnel";

/** What goes into any tunnel, or comes out of one (`inward`). Ports are not looked at: fragments have none. */
const endsOf = (rules: readonly Rule[], inward: boolean, addresses: readonly string[]): readonly Ends[] =>
  rules
    .filter(({ mode }) => mode === "tunnel")
    .flatMap((rule) =>
      rule.filters
        .filter(({ direction }) => direction === "both" || (direction === "in") === inward)
        .flatMap((filter) => concreteSelectors(filter, rule, addresses)),
    )
    .map(({ local, remote }) => (inward ? { source: remote, destination: local } : { source: local, destination: remote }));

const sourceOf = ({ selector: s }: WantedPolicy): AddressRange => rangeOf(s.source, s.sourceLength);
const destinationOf = ({ selector: s }: WantedPolicy): AddressRange => rangeOf(s.destination, s.destinationLength);

function rangeOf(address: string, length: number): AddressRange {
  const range = parseRange(`${address}/${length}`);
  if (!range) throw new Error(`${address}/${length}`);
  return range;
}
