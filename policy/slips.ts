/**
 * Filters that are read as something else than their author probably meant: a port that is taken for the end of an IPv6 address, an address with bits
 * beyond its prefix, and networks of others in a rule that protects this host's packets alone.
 */
import {
  type AddressRange,
  covers,
  formatAddress,
  formatRange,
  intersection,
  isHost,
  parseAddress,
  parseRange,
} from "../isakmp/address.ts";
import type { Report } from "./diagnostic.ts";
import { hasPorts, splitPort } from "./filter.ts";
import { manualOf } from "./manual-rule.ts";
import { placedFiltersOf } from "./placed-rules.ts";
import type { Placed } from "./reach.ts";
import { tunnelInstead } from "./selector.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { Filter, Rule } from "./types.ts";

/** Warns of them in rules and manual SAs. */
export function reportSlips({ rules, addresses }: Placed, report: Report): void {
  for (const placed of rules)
    for (const { filter, at } of placedFiltersOf(placed)) {
      reportText(filter, at, report);
      if (addresses === null) reportOthers(placed.rule, filter, at, report);
    }
}

function reportText(filter: Filter, at: KeyPath, report: Report): void {
  const asksForPort = hasPorts(filter.protocol) && filter.localPort === 0 && filter.remotePort === 0;
  for (const end of endsOf(filter.text)) {
    const { place } = splitPort(end);
    const network = hostBitsOf(place);
    if (network !== undefined)
      report.warning(
        at,
        `${place} stands for ${network}, since the address has bits beyond the prefix; write that, or the host without a prefix`,
      );
    const mapped = mappedOf(place);
    if (mapped !== undefined)
      report.warning(
        at,
        `${place} is how programs for IPv6 write the IPv4 address ${mapped}; packets have that one: write ${mapped} if it is meant`,
      );
    const meant = asksForPort ? portlessOf(end) : undefined;
    if (meant) report.warning(at, `${end} is the host ${end}; for port ${meant.port} write [${meant.address}]:${meant.port}`);
  }
}

/** The sides as they are written, with their ports. */
function endsOf(text: string): readonly string[] {
  const [left, right] = text.split(/<->|->|<-/);
  return [left, right].flatMap((side) => side?.trim().split(/\s/)[0] ?? []);
}

/** The network that an address with a prefix stands for, where it is not written as that. */
function hostBitsOf(place: string): string | undefined {
  const [address] = place.includes("/") ? place.split("/") : [];
  const [range, written] = [parseRange(place), address === undefined ? undefined : parseAddress(address)];
  return range && written && written.value !== range.first ? formatRange(range) : undefined;
}

/** The IPv4 addresses that are written as ones of IPv6 (RFC 4291 §2.5.5.2), where all are such. All of them together nobody writes for IPv4: they are what should never be on the wire. */
function mappedOf(place: string): string | undefined {
  const range = parseRange(place);
  if (!range || !covers(MAPPED, range) || covers(range, MAPPED)) return undefined;
  const [first, last] = [range.first - MAPPED.first, range.last - MAPPED.first];
  const [a, b] = [formatAddress(4, first), formatAddress(4, last)];
  return a === b ? a : formatRange({ family: 4, first, last });
}

const MAPPED: AddressRange = { family: 6, first: 0xffffn << 32n, last: (0xffffn << 32n) + 0xffff_ffffn };

/** An IPv6 address that is one as well without its last group, which looks like the port of a service. */
function portlessOf(end: string): { readonly address: string; readonly port: number } | undefined {
  const [, address, group] = /^([0-9a-f:.]*:[0-9a-f.]+):(\d{2,4})$/i.exec(end) ?? [];
  if (address === undefined || !SERVICES.has(Number(group)) || !parseAddress(end) || !parseAddress(address)) return undefined;
  return { address, port: Number(group) };
}

/** Ports that filters are written for, of four digits at most: a group of an address has no more. */
const SERVICES: ReadonlySet<number> = new Set([
  ...[20, 21, 22, 23, 25, 53, 67, 68, 69, 80, 88, 110, 111, 123, 135, 137, 138, 139, 143, 161, 162, 179, 389, 443, 445, 464, 465, 514],
  ...[546, 547, 587, 593, 631, 636, 853, 873, 989, 990, 993, 995, 1433, 1521, 1645, 1646, 1812, 1813, 2049, 3128, 3260, 3268, 3269, 3306],
  ...[3389, 5060, 5061, 5353, 5432, 5666, 5672, 5900, 5985, 5986, 6379, 6443, 6514, 8000, 8080, 8443, 8888, 9090, 9100, 9200, 9418],
]);

/** In transport mode the local side means this host's addresses in it. Where the other side is another network, one for a gateway was probably meant. */
function reportOthers(rule: Rule, { local, remote }: Filter, at: KeyPath, report: Report): void {
  const { mode, action } = rule;
  if (mode !== "transport" || (action !== "require" && action !== "request")) return;
  if ((local.kind !== "range" && local.kind !== "any") || remote.kind !== "range" || isHost(remote.range)) return;
  if (local.kind === "range" && (isHost(local.range) || intersection(local.range, remote.range))) return;
  const [own, far] = [local.kind === "any" ? "any" : formatRange(local.range), formatRange(remote.range)];
  const [itself, others] = own === "any" ? ["", "others"] : [`, from and to its own addresses in ${own}`, "others there"];
  report.warning(
    at,
    `in transport mode it is about packets of this host itself${itself}; what ${others} send through this host to ${far} is not protected. ${tunnelInstead(own, manualOf(rule) !== undefined)}`,
  );
}
