/**
 * Options of V8 with which the daemon is meant to run; they have to stand on node's command line. The systemd unit and the benchmark (scripts/bench.js) have them.
 */

/**
 * One thread collects garbage: its helpers on other cores cost more than they save for heaps as small as ours. Young garbage gets 16 MiB before
 * it is collected, since nearly all of a negotiation is garbage when it is over; more saves no time, and stays resident.
 */
export const V8_OPTIONS: readonly string[] = ["--single-threaded-gc", "--max-semi-space-size=16"];
