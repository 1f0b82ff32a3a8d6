/**
 * The core's face: one input in, effects out. No clock, socket, timer, process, file or promise below this line.
 */
import type { StatusDocument } from "../sa-store/view.ts";
import type { Crypto, Random } from "./crypto/provider.ts";
import type { Effect } from "./effect.ts";
import type { Input, Instant } from "./input.ts";

export interface Engine {
  /** Decides about one input. Never throws for anything that a peer, the kernel or an administrator did. */
  handle(input: Input, now: Instant): readonly Effect[];
  /** When the next timer is due, or undefined where none runs. */
  nextWake(): Instant | undefined;
  view(now: Instant): StatusDocument;
}

export interface EngineOptions {
  readonly crypto: Crypto;
  readonly random: Random;
  /** The UDP port of IKE at both ends; 500 but in tests. */
  readonly port: number;
}
