/**
 * What `check` says where SSH to this host is shut: by one wide filter, or by many that together shut the greater part of all addresses. One way in that somebody
 * wrote is enough for silence.
 */
import {
  type AddressRange,
  bitsOf,
  covers,
  everyAddress,
  type Family,
  formatRange,
  intersection,
  parseAddress,
} from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import type { Report } from "./diagnostic.ts";
import { manualOf, ruleText } from "./manual-rule.ts";
import { type PlacedRule, pathOfFilter } from "./placed-rules.ts";
import { PrefixIndex } from "./prefix-index.ts";
import type { Filter, Rule } from "./types.ts";
import { type Reach, type Reaching, type Service, wallsOf } from "./walls.ts";

const SSH: Service = { protocol: IP_PROTOCOL.tcp, localPort: 22, remotePort: 0 };

/** Of more ranges than these, for all addresses of this host, it is not added up what they shut. */
const MOST_ADDED = 5_000_000;

/** On every address of a family SSH from anywhere, or from the greater part of all addresses, meets walls without a hole, one way or the other. */
export function reportLockOut(rules: readonly PlacedRule[], own: readonly string[], reaching: Reaching, report: Report): void {
  const { reach, named, mayBeOurs } = reaching;
  const { whole, holed } = wallsOf(reach, [SSH], true, () => true, named, mayBeOurs);
  const sums = new Sums(whole, holed);
  const found: Shut[] = [];
  let families = 0;
  for (const family of [4, 6] as const) {
    const addresses = own.flatMap((text) => parseAddress(text) ?? []).filter((address) => address.family === family);
    const [first] = addresses;
    const isShut = addresses.every(({ value }) => sums.shutting(family, value).length > 0);
    if (sums.added > MOST_ADDED)
      return report.warning(["rule"], "so many filters are about SSH that it was not looked for whether they shut it");
    if (!first) continue;
    families += 1;
    if (isShut) found.push({ family, walls: sums.shutting(family, first.value) });
  }
  const [one, other] = found;
  // What shuts one family by the filter that shuts the other one, too, is said once.
  if (one && other && originOf(one) === originOf(other)) return reportWalls(one, false, rules, report);
  for (const shut of found) reportWalls(shut, families > 1, rules, report);
}

/** What shuts a family. */
interface Shut {
  readonly family: Family;
  /** Those of one address, the one that is named first. */
  readonly walls: readonly Reach[];
}

/** The filter that shuts it, or the first of several. */
function originOf({ walls: [wall] }: Shut): unknown {
  const origin = wall?.wanted.origin;
  return origin?.kind === "rule" ? origin.filter : origin;
}

/** `names`: whether it has to be said over which family, where the filter is about one alone. */
function reportWalls({ family, walls: [wall, ...more] }: Shut, names: boolean, rules: readonly PlacedRule[], report: Report): void {
  if (wall?.wanted.origin.kind !== "rule") return;
  const { rule, filter } = wall.wanted.origin;
  const others = new Set(more.map(({ wanted: { origin } }) => (origin.kind === "rule" ? origin.filter : undefined)));
  others.delete(filter);
  const at = pathOfFilter(rules, rule, filter);
  const together = others.size === 0 ? "" : ` and ${others.size} more ${others.size === 1 ? "filter" : "filters"}`;
  const where = others.size > 0 ? "most addresses" : whereOf(rule, filter, family);
  const whoever = where === EVERYWHERE ? "" : ` among ${where}`;
  const [lets, blocks] = together === "" ? ["lets", "blocks"] : ["let", "block"];
  const ssh = `SSH to this host${names && filter.remote.kind === "range" ? ` over IPv${family}` : ""}`;
  if (manualOf(rule))
    return report.warning(at, `${ruleText(rule)}${together} ${lets} ${ssh} in only from its own peer${whoever}; ${wayIn(family)}`);
  const how = rule.action === "block" ? `${blocks} ${ssh} from ${where}` : `${lets} ${ssh} in only from peers that negotiate${whoever}`;
  report.warning(at, `this${together} ${how}; ${wayIn(family)}`);
}

const EVERYWHERE = "everywhere";

/** Which addresses a filter shuts. */
function whereOf({ mode, peer }: Rule, { remote }: Filter, family: Family): string {
  const [all, written] = [everyAddress(family), remote.kind === "range" ? remote.range : everyAddress(family)];
  const range = (mode === "transport" && peer && intersection(written, peer)) || written;
  return covers(range, all) ? EVERYWHERE : formatRange(range);
}

const wayIn = (family: Family): string =>
  `keep another way in, or add a permit rule such as "me:22 <-> ${family === 4 ? "192.0.2.0/24" : "2001:db8::/32"} tcp"`;

const isWide = ({ family, first, last }: AddressRange): boolean => last - first + 1n >= halfOf(family);

const halfOf = (family: Family): bigint => 1n << BigInt(bitsOf(family) - 1);

/** Walls with one local side, and the addresses that all of them shut, in order. */
interface Group {
  readonly local: AddressRange;
  readonly walls: Reach[];
  /** The strongest wide one. */
  wide: Reach | undefined;
  shut: readonly AddressRange[];
}

/** What is shut on each address of ours. Walls are added up once for each set of local sides that some address lies in. */
class Sums {
  readonly #byLocal = new PrefixIndex<Group>();
  readonly #holed = new PrefixIndex<Reach>();
  readonly #known = new Map<string, readonly Reach[]>();
  /** Ranges that were added up. */
  added = 0;

  constructor(whole: readonly Reach[], holed: readonly Reach[]) {
    const groups = new Map<string, Group>();
    for (const wall of whole) {
      const key = formatRange(wall.local);
      const group = groups.get(key);
      if (group) group.walls.push(wall);
      else groups.set(key, { local: wall.local, walls: [wall], wide: undefined, shut: [] });
    }
    for (const group of groups.values()) {
      group.wide = strongestOf(group.walls.filter(({ remote }) => isWide(remote)));
      group.shut = union(group.walls.map(({ remote }) => remote));
      this.#byLocal.add(group.local, group);
    }
    for (const wall of holed) this.#holed.add(wall.local, wall);
  }

  /** What shuts an address: a wide wall, or the walls that together come to half of all addresses or more, the largest first; nothing where it is not shut. */
  shutting(family: Family, value: bigint): readonly Reach[] {
    const groups = this.#byLocal.at(family, value);
    const isHoled = this.#holed.at(family, value).length > 0;
    const key = `${isHoled} ${groups.map(({ local }) => formatRange(local)).join()}`;
    const found = this.#known.get(key) ?? this.#shuttingOf(family, groups, isHoled);
    this.#known.set(key, found);
    return found;
  }

  #shuttingOf(family: Family, groups: readonly Group[], isHoled: boolean): readonly Reach[] {
    const wide = strongestOf(groups.flatMap((group) => group.wide ?? []));
    // One that shuts a half is told of with what else is shut.
    if (wide && (isHoled || this.added > MOST_ADDED || covers(wide.remote, everyAddress(family)))) return [wide];
    if (isHoled || this.added > MOST_ADDED) return [];
    const all = groups.flatMap(({ shut }) => shut);
    this.added += all.length;
    const size = union(all).reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
    return size < halfOf(family) ? [] : largestFirst(groups.flatMap(({ walls }) => walls));
  }
}

const strongestOf = ([first, ...walls]: readonly Reach[]): Reach | undefined =>
  first && walls.reduce((best, wall) => (wall.wanted.priority < best.wanted.priority ? wall : best), first);

const largestFirst = (walls: readonly Reach[]): readonly Reach[] =>
  [...walls].sort((a, b) => {
    const [one, other] = [a.remote.last - a.remote.first, b.remote.last - b.remote.first];
    return one > other ? -1 : one < other ? 1 : 0;
  });

/** The same addresses as ranges that do not touch, in order. All are of one family. */
function union(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const out: AddressRange[] = [];
  for (const range of sorted) {
    const before = out.at(-1);
    if (!before || range.first > before.last + 1n) out.push(range);
    else if (range.last > before.last) out[out.length - 1] = { ...before, last: range.last };
  }
  return out;
}
