/**
 * The status document with what only the kernel knows: octets through each child SA, found by SPI.
 */
import { canonicalAddress } from "../isakmp/address.ts";
import type { Kernel } from "../kernel/port.ts";
import type { ChildSaView, ProtectionView, StatusDocument } from "../sa-store/view.ts";

/** Counters as `Kernel.counters()` gives them: by `${protocol} ${spi in hex} ${destination}`. */
export type Counters = Awaited<ReturnType<Kernel["counters"]>>;

/**
 * Fills `bytesIn` and `bytesOut` of every child. An SPI is unique only with its destination: two peers may have chosen the same
 * outbound one. Of AH and ESP together ESP is counted, whose octets are those of the payload.
 */
export function withCounters(status: StatusDocument, counters: Counters): StatusDocument {
  if (counters.size === 0) return status;
  const ends = new Map(status.ikeSas.map((ike) => [ike.id, { local: addressOf(ike.local), remote: addressOf(ike.remote) }]));
  const octets = (child: ChildSaView, direction: "in" | "out"): number => {
    const protection = child.protections.find(({ protocol }) => protocol === "esp") ?? child.protections[0];
    if (!protection) return 0;
    const ike = child.ike === null ? undefined : ends.get(child.ike);
    const end = direction === "in" ? "local" : "remote";
    const destination = child.tunnel?.[end] ?? ike?.[end] ?? hostOf(child[end]);
    return lookUp(counters, protection, direction === "in" ? protection.spiIn : protection.spiOut, destination);
  };
  const childSas = status.childSas.map((child) => ({ ...child, bytesIn: octets(child, "in"), bytesOut: octets(child, "out") }));
  return { ...status, childSas };
}

/** Without a known destination an SPI that only one SA has will do. */
function lookUp(counters: Counters, { protocol }: ProtectionView, spi: string, destination: string | undefined): number {
  if (destination !== undefined) return counters.get(`${protocol} ${spi} ${destination}`)?.octets ?? 0;
  const [found, ...others] = [...counters].filter(([key]) => key.startsWith(`${protocol} ${spi} `));
  return found && others.length === 0 ? found[1].octets : 0;
}

/** `192.0.2.1:500` or `[2001:db8::1]:500` without its port. */
const addressOf = (endpoint: string): string | undefined => canonicalAddress(endpoint.replace(/:\d+$/, "").replace(/^\[|\]$/g, ""));

/** The address of a selector that is one host. */
const hostOf = (selector: string): string | undefined => {
  const [address = "", length] = selector.split("/");
  return length === (address.includes(":") ? "128" : "32") ? canonicalAddress(address) : undefined;
};
