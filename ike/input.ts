/**
 * Everything that can happen to the core. With `effect.ts` this is its whole contract with the world.
 */
import type { AuthFailure, AuthOutcome, JobId } from "../auth/method.ts";
import type { Result } from "../isakmp/result.ts";
import type { Policy } from "../policy/types.ts";
import type { KernelEvent, KernelListing, KernelRefusal, SaCounters } from "./kernel-contract.ts";
import type { Restore } from "./restore.ts";

/** Milliseconds on a clock that never goes back; the epoch is the caller's business. */
export type Instant = number;

/** The UDP path of a datagram; addresses are canonical text. */
export interface Path {
  readonly local: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
}

export type Input =
  /** An ISAKMP message; the non-ESP marker of port 4500 is already gone. The core keeps slices of `bytes`. */
  | { readonly type: "datagram"; readonly path: Path; readonly bytes: Uint8Array }
  /** A message of ours did not leave this machine: `why` in words. */
  | { readonly type: "send-failed"; readonly path: Path; readonly why: string }
  /** Due timers: the caller sends it when `nextWake()` has come. */
  | { readonly type: "tick" }
  | { readonly type: "kernel-event"; readonly event: KernelEvent }
  /** The answer to an effect `kernel`. */
  | { readonly type: "kernel-done"; readonly id: number; readonly outcome: Result<readonly SaCounters[], KernelRefusal> }
  /** The answer to an effect `look`: what the kernel had at some moment since then; null where it does not tell, and `why` in words. */
  | { readonly type: "policies-found"; readonly id: number; readonly policies: KernelListing["policies"] | null; readonly why?: string }
  /** The answer to an effect `job`; the only job without one is "gss-drop". */
  | { readonly type: "job-done"; readonly id: JobId; readonly outcome: Result<AuthOutcome, AuthFailure> }
  /** The answer to an effect `route`: our address towards `remote`, or undefined where there is no route. */
  | { readonly type: "route-done"; readonly id: number; readonly local: string | undefined }
  /** Every local unicast address, canonical, and the broadcast addresses of the networks they are in; at start and whenever they change. */
  | { readonly type: "addresses"; readonly addresses: readonly string[]; readonly broadcasts?: readonly string[] }
  /** Routes may have changed. */
  | { readonly type: "routes" }
  /** The policy to follow from now on. */
  /** `restore`: what an earlier run left behind; at the start only, and after the first `addresses`. */
  | { readonly type: "policy"; readonly policy: Policy; readonly restore?: Restore }
  | { readonly type: "command"; readonly id: number; readonly command: Command };

export type Command =
  /** Negotiates every filter of the rule. `peer` is needed where the rule does not name one. After `waitSeconds` the caller is answered with what is known. */
  | { readonly name: "initiate"; readonly rule: string; readonly peer: string | undefined; readonly waitSeconds: number }
  | { readonly name: "terminate"; readonly target: TerminateTarget }
  /** `keep`: leave the kernel and the peers as they are. */
  /** `policies` of a full stop: whether those that stand for `require` rules stay. */
  | { readonly name: "shutdown"; readonly keep: boolean; readonly policies?: "remove" | "keep" };

export type TerminateTarget =
  | { readonly kind: "rule"; readonly rule: string }
  | { readonly kind: "ike" | "child"; readonly id: number }
  | { readonly kind: "all" };
