/**
 * The kernel as the daemon asks it: a few typed commands that map one to one to `ip xfrm` lines, and the kernel's events.
 * Two implementations: `iproute2.ts` (real) and `memory.ts` (tests, `demo` without a kernel).
 */

import type { KernelCommand, KernelEvent, KernelListing, KernelRefusal, SaCounters } from "../ike/kernel-contract.ts";
import type { Result } from "../isakmp/result.ts";

export interface Kernel {
  /**
   * Runs the commands in order and stops at the first refusal. Groups run one after the other, in the order of the calls.
   * Removing what is not there counts as done. `read-sa` adds its counters to the value, in order.
   */
  run(commands: readonly KernelCommand[]): Promise<Result<readonly SaCounters[], KernelRefusal>>;
  /** Counters of every SA in our reqid range, keyed by `${protocol} ${spi in hex} ${destination}` (`saName` of xfrm-args.ts). */
  counters(): Promise<ReadonlyMap<string, SaCounters>>;
  /** Every SA and policy that is there, whoever put it there. */
  list(): Promise<KernelListing>;
  /** Every policy that is there, whoever put it there. Rejects where not all of them could be read. */
  listPolicies(): Promise<KernelListing["policies"]>;
  /** Starts delivering the kernel's events. */
  listen(onEvent: (event: KernelEvent) => void): void;
  /** Ends the child processes; the kernel's state stays as it is. */
  close(): Promise<void>;
}
