/**
 * Fragments of packets that are forwarded: Linux finds no ports in them, not even in the first, so that filters with ports pass them by. This host's own
 * packets are compared before they are cut and after they are joined.
 */
import { formatAddress, isHost } from "../isakmp/address.ts";
import { isAboutForwarded, turnedFilter } from "./crossing.ts";
import type { Report } from "./diagnostic.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import { SideIndex } from "./side-index.ts";
import type { Filter, Rule, Side } from "./types.ts";

/** Warns of filters with ports that should stop or protect forwarded packets, where no filter without ports does so for their fragments. */
export function reportFragments(placed: PlacedRule, addresses: readonly string[] | null, portless: PortlessStops, report: Report): void {
  const { rule } = placed;
  if (!stops(rule)) return;
  for (const { filter, at } of placedFiltersOf(placed)) {
    if (filter.localPort === 0 && filter.remotePort === 0) continue;
    if (!isAboutForwarded(rule, filter) || isOwn(filter.local, rule, addresses) || portless.holds(filter)) continue;
    report.warning(
      at,
      `of packets that this host forwards, fragments have no ports for Linux: they pass by this filter, in clear where no other one stops them; ${remedy(rule, filter)}`,
    );
  }
}

/** A block without its ports would shut far more than was meant. */
const remedy = ({ action }: Rule, filter: Filter): string =>
  `${action === "block" ? "" : `write it without ports ("${withoutPorts(filter)}"), or `}let the kernel join fragments first (any rule of its packet filter with "ct state" does it)`;

/** What lets nothing through in clear to others: the rest may pass anyway. */
const stops = ({ action, mode }: Rule): boolean => action === "block" || (action === "require" && mode === "tunnel");

/** An address that is known to be this host's. */
function isOwn(side: Side, { tunnel }: Rule, addresses: readonly string[] | null): boolean {
  if (side.kind !== "range" || !isHost(side.range)) return false;
  const address = formatAddress(side.range.family, side.range.first);
  return address === tunnel?.local || (addresses ?? []).includes(address);
}

/** Filters without ports that stop what they are about: by their local sides, their remote ones, and then protocols with directions. */
export class PortlessStops {
  readonly #byLocal = new SideIndex<SideIndex<Set<string>>>();

  constructor(rules: readonly PlacedRule[]) {
    for (const { rule } of rules) {
      if (!stops(rule)) continue;
      for (const filter of rule.filters) {
        if (filter.localPort !== 0 || filter.remotePort !== 0 || !isAboutForwarded(rule, filter)) continue;
        this.#add(filter);
        if (rule.mode === "transport") this.#add(turnedFilter(filter));
      }
    }
  }

  #add({ local, remote, protocol, direction }: Filter): void {
    const byRemote = this.#byLocal.of(local, () => new SideIndex());
    byRemote.of(remote, () => new Set()).add(`${protocol} ${direction}`);
  }

  /** Whether one of them stops all that a filter is about. */
  holds({ local, remote, protocol, direction }: Filter): boolean {
    const wanted = [0, protocol].flatMap((number) => [`${number} both`, `${number} ${direction}`]);
    return this.#byLocal
      .holding(local)
      .some((byRemote) => byRemote.holding(remote).some((numbers) => wanted.some((each) => numbers.has(each))));
  }
}

/** The filter's text without its ports. */
const withoutPorts = ({ text }: Filter): string => text.replace(/(?<=\]|^[^\s:]+|\s[^\s:]+):\d+(?=\s|$|<|-)/g, "");
