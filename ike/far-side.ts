/**
 * Whom a policy or an SA is about, for those who read of it.
 */
import type { Core } from "./core.ts";
import type { KernelCommand, KernelPolicy } from "./kernel-contract.ts";

/** Whom a policy is about: the far end of its tunnel, else the far side of its selector. */
export function farSide({ direction, selector: s, ...rest }: Pick<KernelPolicy, "direction" | "selector"> & Partial<KernelPolicy>): string {
  const [template] = rest.templates ?? [];
  const end = direction === "out" ? template?.destination : template?.source;
  const [address, length] = direction === "out" ? [s.destination, s.destinationLength] : [s.source, s.sourceLength];
  return end ?? (length === (address.includes(":") ? 128 : 32) ? address : `${address}/${length}`);
}

/** The end of an SA that is not ours. */
export const otherHost = (core: Core, { sa }: KernelCommand & { readonly do: "remove-sa" }): string =>
  core.addresses.includes(sa.destination) ? sa.source : sa.destination;
