/**
 * What the benchmark's parent process says to the process of a side, and hears from it. One request at a time; each has one answer.
 */
import type { LoopDelay } from "./loop-delay.ts";
import type { BenchRole, MeasuredGroup, RuleName } from "./pairs.ts";

export interface SideOptions {
  readonly role: BenchRole;
  /** The pre-shared key, hexadecimal. */
  readonly secret: string;
  readonly crypto: "openssl" | "noble";
  /** Whether the in-memory kernel keeps SAs; where the memory of the engine alone counts it does not. */
  readonly kernel: "keeps" | "forgets";
}

export type SideRequest =
  /** Where the other side is. */
  | { readonly do: "meet"; readonly port: number }
  /** Negotiates pairs `first` to `first + count - 1`, some at a time. The responder only waits until it has as many more. */
  | { readonly do: "establish"; readonly rule: RuleName; readonly first: number; readonly count: number }
  /** Passes over the floor. */
  | { readonly do: "floor"; readonly group: MeasuredGroup; readonly passes: number }
  /** Deletes everything of the group's rule, or (responder) waits until it is gone. */
  | { readonly do: "delete"; readonly rule: RuleName; readonly count: number }
  /** Lets the clock jump, and waits until every timer that became due was served. */
  | { readonly do: "advance"; readonly seconds: number }
  /** Renews so many of the rule's children within a second, or (responder) waits until they are renewed. */
  | { readonly do: "renew"; readonly rule: RuleName; readonly count: number }
  /** Watches the event loop from now on, or says how long it kept others waiting since. */
  | { readonly do: "watch" | "watched" }
  /** Collects garbage and looks at the memory. */
  | { readonly do: "memory" };

/**
 * CPU time, user and system, of all threads of the side while it worked on the request; octets of resident memory for `memory`;
 * milliseconds that the event loop kept others waiting, for `watched`.
 */
export interface SideAnswer {
  readonly cpuMs: number;
  readonly residentOctets: number;
  readonly loopDelay: LoopDelay;
}

/** The first message of a side: it is there. */
export interface SideReady {
  readonly port: number;
}
