/**
 * The control socket's language: one JSON object a line. The only file of daemon/ that cli/ may import at start.
 * A request is answered by any number of `line`s and exactly one `end`.
 */
import type { StatusDocument } from "../sa-store/view.ts";

export type Request =
  | { readonly command: "initiate"; readonly rule: string; readonly peer?: string; readonly wait: number }
  | {
      readonly command: "terminate";
      readonly target:
        | { readonly kind: "rule"; readonly rule: string }
        | { readonly kind: "ike" | "child"; readonly id: number }
        | { readonly kind: "all" };
    }
  | { readonly command: "status" }
  | { readonly command: "shutdown"; readonly keep: boolean };

export type Reply =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "status"; readonly status: StatusDocument }
  /** `exit` is the exit code of interface.md §1. */
  | { readonly type: "end"; readonly exit: number; readonly text?: string; readonly reason?: string; readonly hint?: string };
