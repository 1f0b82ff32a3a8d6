/**
 * What lets others' packets into a tunnel and out of it past a wider block. The kernel asks twice about a packet that passes through: as it comes
 * (`fwd`) and as it leaves (`out`). A tunnel protects what goes into it as it leaves, and sees that what comes out of it came protected; the other
 * time only what permits and blocks others' traffic would be found.
 * Invariant: each of these policies has the selector and the priority of the tunnel's own that looks after the same packets. None is about a packet
 * that some tunnel looks after where it would stand, or that this host sends itself: the way would be open to it in clear.
 */
import { bitsOf, parseAddress } from "../isakmp/address.ts";
import type { Direction, WantedPolicy } from "./compile.ts";
import { greatestMeeting, type Sides } from "./meeting-pairs.ts";
import { outwardSelectors, selectorKey, turned } from "./packet-selector.ts";
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
  const tunnels = rules.filter(({ mode }) => mode === "tunnel");
  if (tunnels.length === 0) return [];
  return [
    ...waysAt("fwd", "out", decided, endsOf(tunnels, true, addresses)),
    ...waysAt("out", "fwd", decided, [...addresses.flatMap(whatSends), FROM_LINK, ...endsOf(tunnels, false, addresses)]),
  ];
}

/** The ways at one place for what tunnels look after at the `other`, but for what meets some of the `closed`. */
function waysAt(place: Direction, other: Direction, decided: readonly WantedPolicy[], closed: readonly Sides[]): readonly WantedPolicy[] {
  const here = decided.filter(({ direction }) => direction === place);
  const taken = new Set(here.map(({ selector }) => selectorKey(selector)));
  const tunnels = decided.filter((wanted) => wanted.direction === other && isOfTunnel(wanted) && !taken.has(selectorKey(wanted.selector)));
  const asked = tunnels.map(({ selector }) => selector);
  const blocks = here.filter(({ action }) => action === "block").map(({ selector, priority }) => ({ sides: selector, worth: priority }));
  const weakestBlock = greatestMeeting(blocks, asked);
  const closings = greatestMeeting(
    closed.map((sides) => ({ sides, worth: 1 })),
    asked,
  );
  return tunnels
    .filter(({ priority }, i) => (weakestBlock[i] as number) > priority && closings[i] !== 1)
    .map(({ origin, ...wanted }) => ({
      ...{ direction: place, selector: wanted.selector, action: wanted.action, priority: wanted.priority, protection: null },
      origin: origin.kind === "rule" ? { ...origin, way: true } : origin,
    }));
}

const isOfTunnel = ({ action, origin }: WantedPolicy): boolean =>
  action === "allow" && origin.kind === "rule" && origin.rule.mode === "tunnel";

/** What goes into some tunnels, or comes out of them (`inward`). Ports are not looked at: fragments have none. */
const endsOf = (tunnels: readonly Rule[], inward: boolean, addresses: readonly string[]): readonly Sides[] =>
  tunnels
    .flatMap((rule) =>
      rule.filters
        .filter(({ direction }) => direction === "both" || (direction === "in") === inward)
        .flatMap((filter) => concreteSelectors(filter, rule, addresses)),
    )
    .flatMap(outwardSelectors)
    .map((selector) => (inward ? turned(selector) : selector));

/** What a host with an address sends. */
function whatSends(address: string): readonly Sides[] {
  const parsed = parseAddress(address);
  if (!parsed) return [];
  const any = parsed.family === 4 ? "0.0.0.0" : "::";
  return [{ source: address, sourceLength: bitsOf(parsed.family), destination: any, destinationLength: 0 }];
}

/** Nobody tells which link-local addresses this host has. */
const FROM_LINK: Sides = { source: "fe80::", sourceLength: 10, destination: "::", destinationLength: 0 };
