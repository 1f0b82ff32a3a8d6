/**
 * A look at the daemon every few seconds, for the charts of the web monitor: the last quarter of an hour.
 */
import type { SnapshotDocument } from "./control-protocol.ts";

/** Counts at one moment; `failures` since the look before, octets over the time since then. */
export interface HistorySample {
  readonly at: number;
  readonly ikeSas: number;
  readonly childSas: number;
  readonly inFlight: number;
  readonly failures: number;
  readonly octetsPerSecond: number;
}

/** Milliseconds between two looks, and how many are kept. */
export const LOOK_MS = 5000;
const KEPT = 180;

export interface History {
  /** Takes a look at `at`, milliseconds since 1970. */
  look(snapshot: SnapshotDocument, at: number): HistorySample;
  /** A negotiation failed. */
  failed(): void;
  readonly samples: readonly HistorySample[];
}

/** Nothing seen yet. */
export function createHistory(): History {
  const samples: HistorySample[] = [];
  let failures = 0;
  let octets = new Map<number, number>();
  return {
    samples,
    failed() {
      failures++;
    },
    look({ status, live }, at) {
      const now = new Map(status.childSas.map(({ id, bytesIn, bytesOut }) => [id, bytesIn + bytesOut]));
      const last = samples.at(-1);
      // By SA: one that is gone must not make the sum go back.
      let passed = 0;
      for (const [id, count] of now) passed += Math.max(0, count - (octets.get(id) ?? 0));
      const seconds = last ? Math.max(0.001, (at - last.at) / 1000) : 0;
      const sample = {
        at,
        ikeSas: status.ikeSas.filter(({ state }) => state !== "negotiating").length,
        childSas: status.childSas.filter(({ state }) => state !== "negotiating").length,
        inFlight: live.negotiations.length,
        failures,
        octetsPerSecond: seconds === 0 ? 0 : Math.round(passed / seconds),
      };
      [octets, failures] = [now, 0];
      samples.push(sample);
      if (samples.length > KEPT) samples.shift();
      return sample;
    },
  };
}
