/**
 * Walls: kernel policies that shut a service to many, and through which nothing stronger opens a way. For what `check` warns about (reach.ts).
 */
import { type AddressRange, covers, type Family, intersection, parseAddress, parseRange } from "../isakmp/address.ts";
import type { WantedPolicy } from "./compile.ts";
import { greatestMeeting } from "./meeting-pairs.ts";
import { isRangeOfMany, LINK_LOCAL } from "./selector.ts";

/** A kernel policy with its sides as ranges, and as a packet that leaves would have them. */
export interface Reach {
  readonly wanted: WantedPolicy;
  readonly local: AddressRange;
  readonly remote: AddressRange;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
}

/** A policy with what it is about. */
export function reachOf(wanted: WantedPolicy): Reach {
  const s = wanted.selector;
  const [source, destination] = [rangeOf(s.source, s.sourceLength), rangeOf(s.destination, s.destinationLength)];
  return wanted.direction === "out"
    ? { wanted, local: source, remote: destination, protocol: s.protocol, localPort: s.sourcePort, remotePort: s.destinationPort }
    : { wanted, local: destination, remote: source, protocol: s.protocol, localPort: s.destinationPort, remotePort: s.sourcePort };
}

function rangeOf(address: string, length: number): AddressRange {
  const range = parseRange(`${address}/${length}`);
  if (!range) throw new Error(`${address}/${length}`);
  return range;
}

/** What filters come to: those whose addresses are known, and those with names. */
export interface Reaching {
  readonly reach: readonly Reach[];
  readonly named: readonly Reach[];
  readonly mayBeOurs: MayBeOurs;
}

/** Whether an address of this host may lie in a range. Link-local ones are not asked for. */
export type MayBeOurs = (range: AddressRange) => boolean;

/** What is known of it from this host's addresses; null: they are not known, and any may be its. */
export function mayBeOursOf(addresses: readonly string[] | null): MayBeOurs {
  if (!addresses) return () => true;
  const parsed = addresses.flatMap((text) => parseAddress(text) ?? []);
  const of = (family: Family): readonly bigint[] =>
    parsed.flatMap((address) => (address.family === family ? [address.value] : [])).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const known = { 4: of(4), 6: of(6) };
  return ({ family, first, last }) => {
    const values = known[family];
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((values[middle] ?? 0n) < first) low = middle + 1;
      else high = middle;
    }
    const next = values[low];
    return next !== undefined && next <= last;
  };
}

/** TCP or UDP between one of our ports and one of theirs; 0 is some port that nobody names. */
export interface Service {
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
}

const isAbout = ({ protocol, localPort, remotePort }: Reach, service: Service): boolean =>
  (protocol === 0 || protocol === service.protocol) &&
  (localPort === 0 || localPort === service.localPort) &&
  (remotePort === 0 || remotePort === service.remotePort);

/** Clear text passes; with `request` it does once the peer was silent. */
function isOpen({ wanted: { action, protection, origin } }: Reach, patient: boolean): boolean {
  if (action === "block") return false;
  return protection === null || protection.level === "use" || (patient && origin.kind === "rule" && origin.rule.clear.fallback !== null);
}

/** Policies that shut something; in those that are `holed` a way is open. */
export interface Walls {
  readonly whole: readonly Reach[];
  readonly holed: readonly Reach[];
}

/**
 * Policies that shut some of the services to anybody (`wide`: of such a remote side), and whether something stronger opens a way through the filter that they
 * are of. One way in one family is enough: whoever wrote it has thought of the service; but it has to be one for an address of this host. `perhaps`: what
 * filters with names come to, whose addresses nobody knows here: they may be any.
 */
export function wallsOf(
  reach: readonly Reach[],
  services: readonly Service[],
  patient: boolean,
  wide: (remote: AddressRange) => boolean,
  perhaps: readonly Reach[] = [],
  mayBeOurs: MayBeOurs = () => true,
): Walls {
  const isOfService = (one: Reach): boolean =>
    one.wanted.direction !== "fwd" && services.some((service) => isAbout(one, service)) && !isNoWayIn(one);
  const about = reach.filter(isOfService);
  const open = about.filter((one) => isOpen(one, patient) && isUsable(one, mayBeOurs));
  const maybe = perhaps.filter((one) => isOfService(one) && isOpen(one, patient) && isUsable(one, () => true));
  const walls = about.filter((one) => !isOpen(one, patient) && wide(one.remote));
  const place = ({ wanted: { origin, direction } }: Reach): unknown =>
    origin.kind === "rule" ? `${direction} ${origin.rule.name} ${origin.filter.text}` : "";
  const found = new Set([...withHoles(walls, open), ...perhapsHoled(walls, maybe)].map(place));
  return { whole: walls.filter((wall) => !found.has(place(wall))), holed: walls.filter((wall) => found.has(place(wall))) };
}

/** What this host sends to itself, and what goes to many. */
const isNoWayIn = ({ wanted: { origin }, remote }: Reach): boolean =>
  (origin.kind === "exemption" && origin.what === "this-host") || isRangeOfMany(remote);

/** Whether packets with an address of this host meet it. With its link-local ones neighbours speak by theirs. */
const isUsable = ({ local, remote }: Reach, mayBeOurs: MayBeOurs): boolean =>
  (!covers(LINK_LOCAL, local) && mayBeOurs(local)) ||
  (intersection(LINK_LOCAL, local) !== undefined && intersection(LINK_LOCAL, remote) !== undefined);

/** Walls that something open of the same family and direction is stronger than, wherever it is. */
function perhapsHoled(walls: readonly Reach[], open: readonly Reach[]): readonly Reach[] {
  const strongest = new Map<string, number>();
  const key = ({ remote, wanted }: Reach): string => `${wanted.direction} ${remote.family}`;
  for (const one of open) strongest.set(key(one), Math.min(one.wanted.priority, strongest.get(key(one)) ?? Number.POSITIVE_INFINITY));
  return walls.filter((wall) => (strongest.get(key(wall)) ?? Number.POSITIVE_INFINITY) < wall.wanted.priority);
}

/** Walls that share packets with something open that is stronger. */
const withHoles = (walls: readonly Reach[], open: readonly Reach[]): readonly Reach[] =>
  (["out", "in"] as const).flatMap((way) => {
    const of = (list: readonly Reach[]): readonly Reach[] => list.filter(({ wanted }) => wanted.direction === way);
    const holes = of(open).map(({ wanted: { selector, priority } }) => ({ sides: selector, worth: -priority }));
    const mine = of(walls);
    const greatest = greatestMeeting(
      holes,
      mine.map(({ wanted }) => wanted.selector),
    );
    return mine.filter(({ wanted }, i) => -(greatest[i] as number) < wanted.priority);
  });
