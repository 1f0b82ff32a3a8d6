/**
 * Proof that the SAs are there: packets through a real kernel, and its counters; or what an in-memory kernel was told, and that both ends
 * were told the same keys.
 */

import { formatSpi } from "../kernel/xfrm-args.ts";
import { xfrmStates } from "../kernel/xfrm-state.ts";
import type { HostMessage } from "./host-protocol.ts";
import type { Hosts } from "./hosts.ts";
import { must, run } from "./programs.ts";
import { columns, type Screen } from "./screen.ts";
import { SIDES, type Side, type Stage } from "./stage.ts";

export interface Pings {
  readonly received: number;
  /** What ping said, without its empty lines. */
  readonly lines: readonly string[];
}

/** Pings right from left. */
export async function pingThrough(stage: Stage, count: number): Promise<Pings> {
  const { left, right } = stage.hosts;
  const { stdout, stderr } = await run([...left.enter, "ping", "-n", "-c", String(count), "-i", "0.2", "-W", "3", right.address]);
  return {
    received: Number(/(\d+) received/.exec(stdout)?.[1] ?? 0),
    lines: `${stdout}${stderr}`.split("\n").filter((line) => /bytes from|packets transmitted|rror/.test(line)),
  };
}

/** An SA in the kernel of a host. */
export interface CountedState {
  readonly side: Side;
  readonly source: string;
  readonly destination: string;
  readonly spi: number;
  readonly packets: number;
  readonly octets: number;
}

/** The SAs of both kernels. `nokeys`: what is read here is shown. */
export async function kernelStates(stage: Stage): Promise<readonly CountedState[]> {
  const each = SIDES.map(async (side): Promise<readonly CountedState[]> => {
    const text = await must([...stage.hosts[side].enter, "ip", "-s", "xfrm", "state", "list", "nokeys"]);
    return xfrmStates()
      .push(new TextEncoder().encode(text))
      .map(({ sa, counters }) => ({ side, source: sa.source, destination: sa.destination, spi: sa.spi, ...counters }));
  });
  return (await Promise.all(each)).flat();
}

/** One line for each SA. */
export const stateLines = (states: readonly CountedState[]): readonly string[] =>
  columns(
    states.map(({ side, source, destination, spi, packets, octets }) => [
      ...[side, `${source} -> ${destination}`, `esp ${formatSpi(spi)}`],
      ...[`${packets} packets`, `${octets} octets`],
    ]),
  );

type KernelLine = Extract<HostMessage, { type: "kernel" }>;

/** Shows what left's in-memory kernel was told, and compares both. What is wrong, if anything. */
export function kernelOfMemory(hosts: Hosts, screen: Screen): string | undefined {
  const [left, right] = SIDES.map((side) => hosts.kernelLines(side)) as [readonly KernelLine[], readonly KernelLine[]];
  screen.say("left's daemon would have told `ip`, and right's the same the other way round:", "");
  for (const { line } of left.filter((told) => !isBypass(told))) screen.say(`ip ${line}`);
  screen.say("", "Both ends hold the same keys (compared by a salted digest, never shown):", "");
  const keys = new Map(right.flatMap(({ spi, keys: digest }) => (spi === undefined ? [] : [[spi, digest] as const])));
  const pairs = left.flatMap(({ spi, keys: digest }) => (spi === undefined ? [] : [{ spi, same: keys.get(spi) === digest }]));
  for (const { spi, same } of pairs) screen.say(`esp ${formatSpi(spi)}  ${same ? "the same" : "DIFFERENT"}`);
  return pairs.length === 2 && pairs.every(({ same }) => same) ? undefined : "the two ends do not hold the same keys";
}

/** The policies that let IKE itself pass, where its sockets can't: noise here. */
const isBypass = ({ line }: KernelLine): boolean => / (sport|dport) \d+ /.test(line);
