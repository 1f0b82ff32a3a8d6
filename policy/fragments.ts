/**
 * Fragments of packets that are forwarded: Linux finds no ports in them, not even in the first, so that filters with ports pass them by. This host's own
 * packets are compared before they are cut and after they are joined.
 */
import { covers, formatAddress, isHost } from "../isakmp/address.ts";
import type { Report } from "./diagnostic.ts";
import { isAboutForwarded, turnedFilter } from "./overlaps.ts";
import type { Placed } from "./reach.ts";
import type { Filter, Policy, Rule, Side } from "./types.ts";

/** Warns of filters with ports that should stop or protect forwarded packets, where no filter without ports does so for their fragments. */
export function reportFragments({ policy, raw, addresses }: Placed, rule: Rule, i: number, report: Report): void {
  if (!stops(rule)) return;
  for (const [k, filter] of (raw[i]?.filters ?? []).entries()) {
    if (!filter || (filter.localPort === 0 && filter.remotePort === 0)) continue;
    if (!isAboutForwarded(rule, filter) || isOwn(filter.local, rule, addresses) || isCaught(policy, filter)) continue;
    report.warning(
      ["rule", i, "filters", k],
      `of packets that this host forwards, fragments have no ports for Linux: they pass by this filter, in clear where no other one stops them; ${remedy(rule, filter)}`,
    );
  }
}

/** A block without its ports would shut far more than was meant. */
const remedy = ({ action }: Rule, filter: Filter): string =>
  `${action === "block" ? "" : `write it without ports ("${portless(filter)}"), or `}let the kernel join fragments first (any rule of its packet filter with "ct state" does it)`;

/** What lets nothing through in clear to others: the rest may pass anyway. */
const stops = ({ action, mode }: Rule): boolean => action === "block" || (action === "require" && mode === "tunnel");

/** An address that is known to be this host's. */
function isOwn(side: Side, { tunnel }: Rule, addresses: readonly string[] | null): boolean {
  if (side.kind !== "range" || !isHost(side.range)) return false;
  const address = formatAddress(side.range.family, side.range.first);
  return address === tunnel?.local || (addresses ?? []).includes(address);
}

/** Whether some filter without ports stops all of the fragments. */
const isCaught = ({ rules }: Policy, filter: Filter): boolean =>
  rules.some(
    (rule) =>
      stops(rule) &&
      rule.filters.some(
        (other) =>
          isAboutForwarded(rule, other) &&
          (isWithin(filter, other) || (rule.mode === "transport" && isWithin(filter, turnedFilter(other)))),
      ),
  );

const isWithin = (narrow: Filter, wide: Filter): boolean =>
  wide.localPort === 0 &&
  wide.remotePort === 0 &&
  (wide.protocol === 0 || wide.protocol === narrow.protocol) &&
  (wide.direction === "both" || wide.direction === narrow.direction) &&
  isSideWithin(narrow.local, wide.local) &&
  isSideWithin(narrow.remote, wide.remote);

const isSideWithin = (narrow: Side, wide: Side): boolean =>
  wide.kind === "any" ||
  (wide.kind === "range" && narrow.kind === "range" && covers(wide.range, narrow.range)) ||
  (wide.kind === "name" && narrow.kind === "name" && wide.name === narrow.name);

/** The filter's text without its ports. */
const portless = ({ text }: Filter): string => text.replace(/(?<=\]|^[^\s:]+|\s[^\s:]+):\d+(?=\s|$|<|-)/g, "");
