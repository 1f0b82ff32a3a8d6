/**
 * Rules that only respond have no policy until their peer asks. What such a rule's peer asks for in a tunnel would then take along what a narrower rule that
 * only responds is about as well, and send it to a peer that is not that rule's. There the narrower rule's policies have to stand from the beginning.
 */
import { formatAddress, isHost } from "../isakmp/address.ts";
import type { Direction, WantedPolicy } from "./compile.ts";
import { greatestBehind } from "./meeting-pairs.ts";

/**
 * Of all decisions those of rules that only respond and share packets with a tunnel of another such rule to another peer, which is the weaker one there. Of one
 * peer's rules none needs it: the packets get to whom they may go to.
 */
export function holesInTunnels(all: readonly WantedPolicy[]): ReadonlySet<WantedPolicy> {
  const answering = all.filter(({ origin }) => origin.kind === "rule" && origin.rule.action === "respond");
  const peers = new Map<string, number>();
  for (const peer of answering.flatMap((one) => tunnelOf(one) ?? [])) if (!peers.has(peer)) peers.set(peer, peers.size);
  const found = new Set<WantedPolicy>();
  if (peers.size === 0) return found;
  const numberOf = (wanted: WantedPolicy): number => peers.get(peerOf(wanted) ?? "") ?? NOBODY;
  for (const direction of ["out", "in", "fwd"] as const) for (const hole of holesAt(direction, answering, numberOf)) found.add(hole);
  return found;
}

/** Who is no tunnel's peer. */
const NOBODY = -1;

const tunnelOf = ({ origin }: WantedPolicy): string | undefined =>
  origin.kind === "rule" && origin.rule.mode === "tunnel" ? origin.rule.tunnel?.remote : undefined;

/** A host that is spoken with in transport mode may be the far end of a tunnel as well. */
function peerOf(wanted: WantedPolicy): string | undefined {
  const { origin } = wanted;
  if (origin.kind !== "rule" || origin.rule.mode === "tunnel") return tunnelOf(wanted);
  const { family, first } = origin.pair.remote;
  return isHost(origin.pair.remote) ? formatAddress(family, first) : undefined;
}

/** Of the peers of weaker tunnels that share packets with each the first and the last one tell whether all are its own. */
function holesAt(
  direction: Direction,
  answering: readonly WantedPolicy[],
  numberOf: (wanted: WantedPolicy) => number,
): readonly WantedPolicy[] {
  const here = answering.filter((wanted) => wanted.direction === direction);
  const tunnels = here.filter((wanted) => tunnelOf(wanted) !== undefined);
  const asked = here.map(({ selector, priority }) => ({ sides: selector, priority }));
  const greatest = (sign: 1 | -1): readonly number[] =>
    greatestBehind(
      tunnels.map((tunnel) => ({ sides: tunnel.selector, priority: tunnel.priority, worth: sign * numberOf(tunnel) })),
      asked,
    );
  const [last, first] = [greatest(1), greatest(-1)];
  return here.filter(
    (one, i) => last[i] !== Number.NEGATIVE_INFINITY && (last[i] !== numberOf(one) || -(first[i] as number) !== numberOf(one)),
  );
}
