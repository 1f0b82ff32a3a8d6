/**
 * The control socket's language: one JSON object a line. The only file of daemon/ that cli/ may import at start.
 * A request is answered by any number of `line`s and exactly one `end`.
 */
import type { StatusDocument } from "../sa-store/view.ts";
import type { PolicyDocument, WhyDocument } from "./policy-commands.ts";

export type { PolicyDocument, WhyDocument };

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
  /** A packet that might be: ports are 0 where they are not known, `protocol` is its number. */
  | {
      readonly command: "why";
      readonly src: string;
      readonly dst: string;
      readonly protocol: number;
      readonly sport: number;
      readonly dport: number;
    }
  /** The kernel policies that should stand. */
  | { readonly command: "policy" }
  | { readonly command: "reload" }
  | { readonly command: "shutdown"; readonly keep: boolean };

export type Reply =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "status"; readonly status: StatusDocument }
  /** What `why` and `policy` tell: `WhyDocument`, `PolicyDocument`. */
  | { readonly type: "document"; readonly document: WhyDocument | PolicyDocument }
  /** `exit` is the exit code of interface.md §1. */
  | { readonly type: "end"; readonly exit: number; readonly text?: string; readonly reason?: string; readonly hint?: string };
