/**
 * Everything the core wants done. Effects of one input are carried out in order.
 */
import type { AuthJob, JobId } from "../auth/method.ts";
import type { JournalRecord } from "../sa-store/journal-record.ts";
import type { Path } from "./input.ts";
import type { KernelCommand } from "./kernel-contract.ts";

export type Effect =
  /** To be written down before anything that follows it; only where the engine was told to keep a journal. */
  | { readonly type: "journal"; readonly records: readonly JournalRecord[] }
  | { readonly type: "send"; readonly path: Path; readonly bytes: Uint8Array }
  /** One octet 0xff without any marker (RFC 3948 §2.3). */
  | { readonly type: "keepalive"; readonly path: Path }
  /** Answered by `kernel-done` with the same id. */
  | { readonly type: "kernel"; readonly id: number; readonly commands: readonly KernelCommand[] }
  /** Which policies does the kernel have, whoever put them there? Answered by `policies-found`. */
  | { readonly type: "look"; readonly id: number }
  /** Which local address do packets to `remote` leave from? Answered by `route-done`. */
  | { readonly type: "route"; readonly id: number; readonly remote: string }
  /** Answered by `job-done` with the same id; "gss-drop" is not answered. */
  | { readonly type: "job"; readonly id: JobId; readonly job: AuthJob }
  /** A line for the command's caller; after the one with `last` no more come. */
  | { readonly type: "reply"; readonly id: number; readonly line: ReplyLine; readonly last: boolean }
  | { readonly type: "event"; readonly event: SaEvent }
  /** After a `shutdown` command: everything is told and removed, the daemon may end. */
  | { readonly type: "stopped" };

/** One step of a command. The last one carries `exit`, the exit code of interface.md §1. */
export interface ReplyLine {
  readonly text: string;
  readonly exit?: number;
  readonly reason?: string;
  readonly hint?: string;
}

export type Level = "error" | "warning" | "notice" | "info" | "debug";

/** One log record (interface.md §4). `text` is complete in itself; the rest is for machines. */
export interface SaEvent {
  readonly event: EventName;
  readonly level: Level;
  readonly text: string;
  readonly rule?: string;
  readonly peer?: string;
  readonly initiatorCookie?: string;
  readonly responderCookie?: string;
  readonly spiIn?: string;
  readonly spiOut?: string;
  /** The Windows event (Vista and later) that says the same; `winEventIdXp`: that of Windows 2000 to 2003. */
  readonly winEventId?: number;
  readonly winEventIdXp?: number;
  readonly exchange?: "main-mode" | "quick-mode" | "informational";
  /** 8 hex digits, as in the header. */
  readonly messageId?: string;
  readonly role?: "initiator" | "responder";
  /** Ids as in `status`. */
  readonly ike?: number;
  readonly child?: number;
  readonly local?: string;
  readonly localId?: string;
  readonly remoteId?: string;
  readonly auth?: string;
  readonly encryption?: string;
  readonly hash?: string;
  readonly group?: string;
  /** Of a child, as a Quick Mode proposal: `esp:aes128-sha1`. */
  readonly protection?: string;
  readonly mode?: "transport" | "tunnel";
  /** What a child protects, local side first. */
  readonly selector?: string;
  readonly lifetimeSeconds?: number;
  readonly lifetimeKilobytes?: number;
  /** Why something is wanted. */
  readonly cause?: "command" | "need" | "renewal";
  /** Where a Main Mode stood. */
  readonly state?: string;
  /** The negotiation is not over: a better message may come. */
  readonly goesOn?: true;
  readonly failurePoint?: "me" | "peer";
  /** A stable code, see `errors.ts`. */
  readonly reason?: string;
  readonly hint?: string;
}

/** What a record tells besides its sentence. */
export type EventFields = Omit<SaEvent, "event" | "level" | "text">;

export type EventName =
  | "ike.started"
  | "ike.established"
  | "ike.warning"
  /** A Main Mode came to nothing and another begins in its place. */
  | "ike.retry"
  | "ike.renewing"
  | "ike.failed"
  | "ike.closed"
  | "auth.unusable"
  /** Somebody needs a child. */
  | "child.wanted"
  | "child.started"
  | "child.established"
  /** Its message 3 was lost; packets stand for it. */
  | "child.confirmed"
  | "child.failed"
  | "child.retry"
  | "child.rekeyed"
  | "child.closed"
  /** Its volume is too small for its link. */
  | "child.volume"
  | "peer.silent"
  | "peer.back"
  /** The NAT before a peer gives it another address or port. */
  | "peer.moved"
  /** Clear text with a peer that speaks no IKE, for a while: Windows' soft SA. */
  | "soft.opened"
  | "soft.closed"
  | "svc.restored"
  /** Strangers have to come twice: it begins or ends, `state` says which. */
  | "svc.dos-mode"
  | "policy.loaded"
  | "policy.failed"
  /** The kernel has a policy now that it refused before. */
  | "policy.stands"
  /** Somebody has taken policies of ours from the kernel. */
  | "policy.gone"
  /** Nobody knows what policies the kernel has. */
  | "policy.unknown"
  | "policy.known"
  | "packet.dropped"
  | "notify.received"
  | "bug";
