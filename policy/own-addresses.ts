/**
 * Which addresses `why` takes for this host's where only a file is asked: no kernel tells them.
 */
import type { Packet } from "./decide.ts";
import type { Policy } from "./types.ts";

export interface OwnAddresses {
  /** Canonical. */
  readonly addresses: readonly string[];
  /** Who says so, for people. */
  readonly because: string;
}

/**
 * What a person names (`given`), else `[daemon] addresses` (`configured`), else the ends that tunnels and manual SAs of the file have here. Only where
 * nothing of the file names an address of this host, the packet is taken for one that it sends: of a gateway's it would be wrong.
 */
export function ownAddresses(given: readonly string[], configured: readonly string[] | null, policy: Policy, packet: Packet): OwnAddresses {
  if (given.length > 0) return { addresses: given, because: "named with --local" };
  if (configured) return { addresses: configured, because: "[daemon] addresses" };
  const tunnels = policy.rules.flatMap(({ tunnel }) => tunnel?.local ?? []);
  const ends = [...new Set([...tunnels, ...policy.manual.map(({ local }) => local)])];
  if (ends.length > 0) return { addresses: ends, because: `own ends that the file names; --local names others` };
  return { addresses: [packet.source], because: "the packet's source, since the file names none; --local does" };
}
