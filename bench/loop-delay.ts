/**
 * How long the event loop keeps others waiting while a thousand peers renew their Quick Modes in the same second: datagrams, timers and commands
 * of everybody else stand behind that. Both sides are measured, from the first renewal until message 3 of the last has arrived.
 */
import { type Both, establish, startSides } from "./sides.ts";

export interface LoopDelayCost {
  readonly peers: number;
  /** Milliseconds until all were renewed, from the first. */
  readonly milliseconds: number;
  /** Milliseconds that something due had to wait: 99th percentile, and the longest. */
  readonly delays: Both<LoopDelay>;
}

export interface LoopDelay {
  readonly p99: number;
  readonly peak: number;
}

/** Measures `peers` renewals with modp2048, in two new processes. */
export async function measureLoopDelay(peers: number, progress: (text: string) => void): Promise<LoopDelayCost> {
  const sides = await startSides({ crypto: "openssl", kernel: "keeps" });
  try {
    progress("loop delay");
    await establish(sides, "modp2048", 0, peers);
    // Once for V8, which compiles meanwhile; the replaced pairs have drained by the time of the second.
    await sides.perform({ do: "renew", rule: "modp2048", count: peers });
    for (const seconds of [6, 11]) await sides.perform({ do: "advance", seconds });
    await sides.perform({ do: "watch" });
    const started = performance.now();
    await sides.perform({ do: "renew", rule: "modp2048", count: peers });
    const milliseconds = performance.now() - started;
    const { initiator, responder } = await sides.perform({ do: "watched" });
    return { peers, milliseconds, delays: { initiator: initiator.loopDelay, responder: responder.loopDelay } };
  } finally {
    await sides.close();
  }
}
