/**
 * Settings of V8 and of the C library with which the daemon is meant to run: both are read before its first line is. The systemd unit, the containers
 * and the benchmark (scripts/bench.js) have them.
 */

/**
 * One thread collects garbage: its helpers on other cores cost more than they save for heaps as small as ours. Young garbage gets 16 MiB before
 * it is collected, since nearly all of a negotiation is garbage when it is over; more saves no time, and stays resident. What
 * outlives a collection isn't counted by the place that made it: every SA does, and to count them takes longer than it saves.
 */
export const V8_OPTIONS: readonly string[] = ["--single-threaded-gc", "--max-semi-space-size=16", "--no-allocation-site-pretenuring"];

/**
 * glibc joins all small blocks that were freed whenever a large one is wanted, and Node wants 64 KiB for each datagram that it reads. Blocks that are
 * joined at once leave nothing to go through.
 */
export const ENVIRONMENT: Readonly<Record<string, string>> = { GLIBC_TUNABLES: "glibc.malloc.mxfast=0" };
