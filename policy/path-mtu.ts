/**
 * What `check` says where routers can't tell this host that packets are too long for the way (RFC 1191, RFC 8201): they speak no IKE, and what they say in
 * clear is dropped. Short packets pass then, and long transfers stall without a word.
 */
import { type AddressRange, bitsOf, formatAddress, formatRange, isHost } from "../isakmp/address.ts";
import { IP_PROTOCOL } from "../isakmp/numbers.ts";
import type { Report } from "./diagnostic.ts";
import { type PlacedRule, pathOfFilter } from "./placed-rules.ts";
import { type Reach, type Service, wallsOf } from "./walls.ts";

/** Fragmentation Needed and Packet Too Big: the type stands where the sender's port does, the code at ours. */
const TOO_LONG: readonly Service[] = [
  { protocol: IP_PROTOCOL.icmp, localPort: 4, remotePort: 3 },
  { protocol: IP_PROTOCOL.icmpv6, localPort: 0, remotePort: 2 },
];

/** Bits of the host's part of an address on one link, as most have it. Within it there is no router to cross. */
const LINK = { 4: 8, 6: 64 } as const;

const holdsRouters = ({ family, first, last }: AddressRange): boolean => last - first >= 1n << BigInt(LINK[family]);

/**
 * Warns once, of the filter that takes nothing unprotected from the most addresses. What a block shuts somebody meant to shut; and routers behind a tunnel speak
 * through it. `own`: this host's addresses; `named`: what filters with names may come to.
 */
export function reportPathMtu(
  rules: readonly PlacedRule[],
  own: readonly string[],
  { reach, named }: { readonly reach: readonly Reach[]; readonly named: readonly Reach[] },
  report: Report,
): void {
  const inbound = [...reach, ...named].filter(({ wanted }) => wanted.direction === "in");
  const { whole } = wallsOf(inbound, TOO_LONG, true, holdsRouters);
  const here = new Set(own);
  const walls = whole.filter(
    ({ wanted, local }) => wanted.protection?.mode === "transport" && isHost(local) && here.has(formatAddress(local.family, local.first)),
  );
  const [widest] = walls.toSorted((a, b) => shareOf(b.remote) - shareOf(a.remote));
  if (widest?.wanted.origin.kind !== "rule") return;
  const { rule, filter } = widest.wanted.origin;
  report.warning(
    pathOfFilter(rules, rule, filter),
    `routers in ${formatRange(widest.remote)} can't tell this host in clear that packets are too long for the way (path MTU), and they speak no IKE: where a link on the way is smaller, long transfers stall; add "path-mtu" to exempt`,
  );
}

/** How much of all addresses of its family a range is. */
const shareOf = ({ family, first, last }: AddressRange): number => Number(last - first + 1n) / 2 ** bitsOf(family);
