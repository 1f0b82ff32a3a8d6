/**
 * What the daemon gives up once it has started: every capability but those that it goes on needing, for itself and for whatever it starts, and
 * the way to get any back. Capabilities belong to threads (capabilities(7)): this is the thread that runs JavaScript and starts processes. Worker
 * threads of Node that existed before keep what they had; where that matters, the service manager's unit takes it from all of them beforehand.
 */
import { readFileSync } from "node:fs";
import type { Native } from "./native.ts";

const CAP_SETPCAP = 8;
const CAP_NET_BIND_SERVICE = 10;
const CAP_NET_ADMIN = 12;
/** New addresses get sockets on port 500; SAs and policies change all the time. */
const KEPT: readonly number[] = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN];

const [PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT] = [24, 38, 47];
const PR_CAP_AMBIENT_RAISE = 2;

/** Sets of capabilities as /proc shows them. */
export interface CapabilitySets {
  readonly permitted: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
}

/** What is left, or what could not be given up and why: the daemon runs on either way. */
export interface Dropped {
  readonly kept: bigint;
  readonly failures: readonly string[];
}

/** Gives up what is not needed. `status`: the text of /proc/thread-self/status; `uid`: the effective one. */
export function dropPrivileges(
  native: Pick<Native, "prctl" | "setCapabilities">,
  status: string = readFileSync("/proc/thread-self/status", "latin1"),
  uid: number = process.geteuid?.() ?? 0,
): Dropped {
  const sets = capabilitySets(status);
  if (!sets) return { kept: 0n, failures: ["/proc/thread-self/status does not tell the capabilities"] };
  const failures: string[] = [];
  const tried = (what: string, done: ReturnType<Native["prctl"]>): void => {
    if (!done.ok) failures.push(`${what}: ${done.error.code}`);
  };
  const wanted = maskOf(KEPT);
  // Whoever may not shrink the bounding set can't gain anything either: no program of ours bears capabilities.
  if (has(sets.permitted, CAP_SETPCAP))
    for (const capability of bitsOf(sets.bounding & ~wanted))
      tried(`bounding set, ${capability}`, native.prctl(PR_CAPBSET_DROP, capability, 0));
  const kept = sets.permitted & wanted;
  // A unit that gives a user just these may well forbid capset.
  const isDone = uid !== 0 && sets.permitted === kept && sets.ambient === kept;
  if (!isDone) tried("capset", native.setCapabilities(kept));
  // Root's children get them by being root's; others need them handed on.
  if (uid !== 0 && !isDone)
    for (const capability of bitsOf(kept))
      tried(`ambient set, ${capability}`, native.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability));
  tried("no new privileges", native.prctl(PR_SET_NO_NEW_PRIVS, 1, 0));
  return { kept, failures };
}

/** The sets in the text of a status file; undefined where they are missing. */
export function capabilitySets(status: string): CapabilitySets | undefined {
  const [permitted, bounding, ambient] = ["CapPrm", "CapBnd", "CapAmb"].map(
    (name) => new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1],
  );
  return permitted === undefined || bounding === undefined || ambient === undefined
    ? undefined
    : { permitted: BigInt(`0x${permitted}`), bounding: BigInt(`0x${bounding}`), ambient: BigInt(`0x${ambient}`) };
}

const maskOf = (capabilities: readonly number[]): bigint =>
  capabilities.reduce((mask, capability) => mask | (1n << BigInt(capability)), 0n);
const has = (mask: bigint, capability: number): boolean => ((mask >> BigInt(capability)) & 1n) === 1n;
const bitsOf = (mask: bigint): readonly number[] => Array.from({ length: 64 }, (_, i) => i).filter((capability) => has(mask, capability));
