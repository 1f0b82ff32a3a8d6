/**
 * Whether this process may do what the daemon needs: capabilities(7), as /proc shows them.
 * Asked before anything is touched, so that the answer is a sentence and not a refusal in the middle of a negotiation.
 */
import { readFileSync } from "node:fs";

const CAP_NET_BIND_SERVICE = 10n;
const CAP_NET_ADMIN = 12n;

export interface Need {
  /** Whether the kernel's xfrm is to be changed. */
  readonly kernel: boolean;
  /** UDP ports to bind; 0 is any. */
  readonly ports: readonly number[];
}

/**
 * The names of the capabilities that are missing. `status`: the text of /proc/self/status; `firstFreePort`: that of
 * /proc/sys/net/ipv4/ip_unprivileged_port_start. What can't be read counts as granted: the system itself will say no then.
 */
export function missingCapabilities(need: Need, status: string, firstFreePort: string): readonly string[] {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return [];
  const granted = BigInt(`0x${effective}`);
  const has = (capability: bigint): boolean => ((granted >> capability) & 1n) === 1n;
  const free = /^\d+\s*$/.test(firstFreePort) ? Number(firstFreePort) : 1024;
  const bindsLow = need.ports.some((port) => port !== 0 && port < free);
  return [
    ...(need.kernel && !has(CAP_NET_ADMIN) ? ["CAP_NET_ADMIN"] : []),
    ...(bindsLow && !has(CAP_NET_BIND_SERVICE) ? ["CAP_NET_BIND_SERVICE"] : []),
  ];
}

/** The same for this process. */
export const missingHere = (need: Need): readonly string[] =>
  missingCapabilities(need, read("/proc/self/status"), read("/proc/sys/net/ipv4/ip_unprivileged_port_start"));

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
