/**
 * Resident memory of a pair of IKE SA and child SA, at each side: what ten thousand of them add to a process that had a hundred.
 * The in-memory kernel keeps nothing here, since a real one has memory of its own.
 */
import { type Both, establish, startSides } from "./sides.ts";

/** Octets a pair. `fresh`: right after the negotiations, when last messages are still kept for peers that repeat theirs. */
export interface MemoryCost {
  readonly pairs: number;
  readonly fresh: Both<number>;
  readonly settled: Both<number>;
}

/** Longer than anything lingers. */
const LINGER_SECONDS = 165;
const FIRST = 100;

/** Measures with `pairs` pairs, in two new processes. */
export async function measureMemory(pairs: number, progress: (text: string) => void): Promise<MemoryCost> {
  const sides = await startSides({ crypto: "openssl", kernel: "forgets" });
  const resident = async (): Promise<Both<number>> => {
    const { initiator, responder } = await sides.perform({ do: "memory" });
    return { initiator: initiator.residentOctets, responder: responder.residentOctets };
  };
  try {
    progress("memory");
    await establish(sides, "x25519", 0, 200);
    await sides.perform({ do: "delete", rule: "x25519", count: 200 });
    await establish(sides, "standing", 0, FIRST);
    const before = await resident();
    await establish(sides, "standing", FIRST, pairs - FIRST);
    const fresh = await resident();
    await sides.perform({ do: "advance", seconds: LINGER_SECONDS });
    const settled = await resident();
    const perPair = (now: Both<number>): Both<number> => ({
      initiator: (now.initiator - before.initiator) / (pairs - FIRST),
      responder: (now.responder - before.responder) / (pairs - FIRST),
    });
    return { pairs, fresh: perPair(fresh), settled: perPair(settled) };
  } finally {
    sides.close();
  }
}
