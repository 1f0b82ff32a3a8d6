/**
 * What the daemon and a process that calls the GSS library say to each other, over Node's channel of a forked process. Plain values only.
 */
import type { Result } from "../../isakmp/result.ts";
import type { AuthFailure } from "../method.ts";

/** Whose ticket or key: a principal, and the keytab that has its key (null: the library's default). */
export interface Credential {
  readonly principal: string;
  readonly keytab: string | null;
}

export type GssCall =
  /** Gets a ticket, or finds one that is still good. */
  | ({ readonly kind: "usable" } & Credential)
  | GssStepCall
  | { readonly kind: "wrap" | "unwrap"; readonly context: string; readonly data: Uint8Array }
  | { readonly kind: "drop"; readonly context: string };

export interface GssStepCall extends Credential {
  readonly kind: "step";
  readonly context: string;
  /** It makes the context. A later one has to find it: the process that held it may be another one by now. */
  readonly first: boolean;
  readonly role: "initiate" | "accept";
  readonly target: string | null;
  readonly token: Uint8Array | null;
  readonly peerAddress: string;
  /** Whether the names of that address are wanted; asking for them may take the name service's time. */
  readonly wantsNames: boolean;
}

export type GssValue =
  | { readonly kind: "done" }
  | { readonly kind: "data"; readonly data: Uint8Array }
  | {
      readonly kind: "stepped";
      readonly token: Uint8Array | null;
      readonly complete: boolean;
      readonly peer: { readonly principal: string; readonly addressNames: readonly string[] } | null;
    };

export type GssResult = Result<GssValue, AuthFailure>;

/** To the process: `library` comes first and once. */
export type ToProcess = { readonly library: string } | { readonly id: number; readonly call: GssCall };
/** From it. `missing`: the library can't be used, and the process ends. */
export type FromProcess = { readonly missing: string } | { readonly id: number; readonly result: GssResult };
