/**
 * Options of V8 with which the daemon is meant to run; they have to stand on node's command line. The systemd unit and the benchmark (scripts/bench.js) have them.
 */

/**
 * One thread collects garbage: its helpers on other cores cost more than they save for heaps as small as ours. Young garbage gets 16 MiB before
 * it is collected, since nearly all of a negotiation is garbage when it is over; more saves no time, and stays resident. What
 * outlives a collection isn't counted by the place that made it: every SA does, and to count them takes longer than it saves.
 */
export const V8_OPTIONS: readonly string[] = ["--single-threaded-gc", "--max-semi-space-size=16", "--no-allocation-site-pretenuring"];
