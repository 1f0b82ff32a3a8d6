/**
 * Resident memory of a pair of IKE SA and child SA, at each side: the slope between two numbers of pairs, so that what a process has
 * anyway does not count, and with it the young generation, which V8 lets grow to its full size in the first thousands of negotiations.
 * Garbage is collected before each look. The in-memory kernel keeps no SAs here, since a real one has memory of its own.
 */
import type { BenchRole } from "./pairs.ts";
import type { SideAnswer } from "./side-protocol.ts";
import { type Both, establish, startSides } from "./sides.ts";

/** Octets a pair, between `few` and `many` pairs. */
export interface MemoryCost {
  readonly few: number;
  readonly many: number;
  /** Right after the negotiations, when last messages are still kept for peers that repeat theirs. */
  readonly fresh: Both<number>;
  /** When nothing lingers any more. */
  readonly settled: Both<number>;
}

/** Longer than anything lingers. */
const LINGER_SECONDS = 165;

/** Measures with up to `many` pairs, in two new processes; `few` is a quarter of them. */
export async function measureMemory(many: number, progress: (text: string) => void): Promise<MemoryCost> {
  const few = Math.floor(many / 4);
  const sides = await startSides({ crypto: "openssl", kernel: "forgets" });
  const look = async (): Promise<Look> => {
    const fresh = await sides.perform({ do: "memory" });
    await sides.perform({ do: "advance", seconds: LINGER_SECONDS });
    return { fresh, settled: await sides.perform({ do: "memory" }) };
  };
  try {
    progress("memory");
    await establish(sides, "standing", 0, few);
    const first = await look();
    await establish(sides, "standing", few, many - few);
    const last = await look();
    const slope = (when: keyof Look): Both<number> => {
      const of = (role: BenchRole): number => (last[when][role].residentOctets - first.settled[role].residentOctets) / (many - few);
      return { initiator: of("initiator"), responder: of("responder") };
    };
    return { few, many, fresh: slope("fresh"), settled: slope("settled") };
  } finally {
    await sides.close();
  }
}

/** What the sides weigh, before and after everything that lingers is over. */
type Look = Readonly<Record<"fresh" | "settled", Both<SideAnswer>>>;
