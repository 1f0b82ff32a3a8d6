/**
 * Everything that can go wrong because of somebody else, and what we do about it: one row per kind.
 * `reason` is the stable code of logs, replies and docs; `notify` is what the peer is told, if anything.
 */
import { AUTH_REASONS, type AuthFailure } from "../auth/method.ts";
import { NOTIFY } from "../isakmp/numbers.ts";
import type { Level } from "./effect.ts";
import type { KernelCommand, KernelRefusal } from "./kernel-contract.ts";

export type IkeError =
  | { readonly kind: "malformed"; readonly offset: number; readonly what: string }
  | { readonly kind: "payloads"; readonly what: string }
  | { readonly kind: "undecryptable"; readonly what: string }
  | { readonly kind: "no-rule"; readonly what: string }
  | { readonly kind: "no-proposal"; readonly what: string }
  | { readonly kind: "not-offered"; readonly what: string }
  | { readonly kind: "quick-mode-limit"; readonly what: string }
  | { readonly kind: "bad-key"; readonly what: string }
  | { readonly kind: "bad-hash"; readonly what: string }
  | { readonly kind: "psk-mismatch"; readonly what: string }
  | { readonly kind: "id-mismatch"; readonly what: string }
  /** A provider's finding; reason, hint and fault are its own. */
  | { readonly kind: "auth-failed"; readonly what: string; readonly failure: AuthFailure }
  | { readonly kind: "silent-after-proof"; readonly what: string }
  | { readonly kind: "proof-refused"; readonly what: string }
  | { readonly kind: "selectors"; readonly what: string }
  | { readonly kind: "selectors-taken"; readonly what: string }
  | { readonly kind: "other-rule"; readonly what: string }
  | { readonly kind: "peer-refused"; readonly what: string }
  | { readonly kind: "peer-silent"; readonly what: string }
  | { readonly kind: "silent-after-auth"; readonly what: string }
  | { readonly kind: "kernel"; readonly what: string }
  | { readonly kind: "no-route"; readonly what: string }
  | { readonly kind: "not-sent"; readonly what: string }
  | { readonly kind: "not-ours"; readonly what: string }
  | { readonly kind: "terminated"; readonly what: string }
  | { readonly kind: "nat-ah"; readonly what: string }
  | { readonly kind: "unsupported"; readonly what: string };

interface ErrorRow {
  readonly reason: string;
  readonly notify: number | null;
  readonly level: Level;
  /** Exit code of a waiting command, interface.md §1. */
  readonly exit: 1 | 75;
  readonly failurePoint: "me" | "peer";
  readonly hint: string;
}

const row = (
  reason: string,
  notify: number | null,
  failurePoint: "me" | "peer",
  hint: string,
  level: Level = "warning",
  exit: 1 | 75 = 1,
): ErrorRow => ({
  reason,
  notify,
  level,
  exit,
  failurePoint,
  hint,
});

export const ERROR_POLICY: Readonly<Record<IkeError["kind"], ErrorRow>> = {
  malformed: row("malformed", null, "peer", "record the exchange with tcpdump and read it with `mainmode decode`"),
  payloads: row("unexpected-payloads", null, "peer", "record the exchange with tcpdump and read it with `mainmode decode`"),
  undecryptable: row(
    "undecryptable",
    null,
    "peer",
    "it was changed on its way or made with other keys; with pre-shared keys, compare those of both ends",
  ),
  "no-rule": row("no-rule", NOTIFY["NO-PROPOSAL-CHOSEN"], "me", "add a rule whose filters or `peer` name this address"),
  "no-proposal": row("no-proposal-chosen", NOTIFY["NO-PROPOSAL-CHOSEN"], "me", "give both ends one proposal in common"),
  "not-offered": row("answer-not-offered", null, "peer", "the peer answered with something we did not offer; check its configuration"),
  "quick-mode-limit": row(
    "quick-mode-limit",
    NOTIFY["NO-PROPOSAL-CHOSEN"],
    "me",
    "the peer has to begin a new Main Mode; give both ends the same `quick-modes` and `master-pfs`",
    "info",
  ),
  "bad-key": row(
    "invalid-key",
    NOTIFY["INVALID-KEY-INFORMATION"],
    "peer",
    "the peer's public value is not in the group; it is faulty or hostile",
  ),
  "bad-hash": row(
    "hash-mismatch",
    NOTIFY["INVALID-HASH-INFORMATION"],
    "peer",
    "the message was changed on its way or made with other keys",
  ),
  "psk-mismatch": row("psk-mismatch", NOTIFY["AUTHENTICATION-FAILED"], "me", "compare the pre-shared keys of both ends"),
  "id-mismatch": row(
    "id-mismatch",
    NOTIFY["INVALID-ID-INFORMATION"],
    "me",
    "let the rule want what the peer proves (`remote-id`, `remote-ids`, `remote-ca`), or the peer prove what the rule wants",
  ),
  selectors: row("selectors-mismatch", NOTIFY["INVALID-ID-INFORMATION"], "me", "make the filters of both ends mirror each other"),
  "selectors-taken": row(
    "selectors-taken",
    NOTIFY["INVALID-ID-INFORMATION"],
    "me",
    "let the peer use tunnel mode with an inner address that nobody else behind a NAT has",
  ),
  "other-rule": row(
    "other-rule",
    NOTIFY["INVALID-ID-INFORMATION"],
    "me",
    "initiate the rule that is named, if it negotiates, or change the filters of one of the two; `mainmode why` tells who decides about a packet",
  ),
  "peer-refused": row("peer-refused", null, "peer", "look at the peer's log; it knows why"),
  "peer-silent": row("peer-silent", null, "peer", "check address, routing and that UDP 500 passes every firewall between", "warning", 75),
  "silent-after-auth": row(
    "psk-mismatch-probable",
    null,
    "peer",
    "compare the pre-shared keys of both ends; a peer that can't decrypt keeps silent",
  ),
  "auth-failed": row("authentication-failed", NOTIFY["AUTHENTICATION-FAILED"], "peer", "look at the logs of both ends"),
  "silent-after-proof": row(
    "proof-unanswered",
    null,
    "peer",
    "look at the peer's log: it probably refused our certificate or ticket, or could not read a long message",
  ),
  "proof-refused": row(
    "proof-refused",
    null,
    "peer",
    "look at the peer's log: it knows why it does not believe us (the authority, our identity, the method, its clock)",
  ),
  kernel: row(
    "kernel-refused",
    NOTIFY["NO-PROPOSAL-CHOSEN"],
    "me",
    "see the kernel's words; a missing module or a foreign policy are the usual causes",
    "error",
  ),
  "no-route": row("no-route", null, "me", "add a route to the peer, or name our address in the rule"),
  "not-sent": row("not-sent", null, "me", "look at this host's addresses, routes and firewall; the daemon's log says more"),
  "not-ours": row(
    "not-our-address",
    null,
    "me",
    'for a gateway write mode = "tunnel" with tunnel = { remote = "ADDRESS" }; for this host alone write `me`',
  ),
  terminated: row("terminated", null, "me", "start it again with `mainmode initiate`", "info"),
  "nat-ah": row("nat-ah", null, "me", "add an ESP proposal to the rule; AH covers the very addresses that a NAT changes"),
  unsupported: row("unsupported", null, "peer", "mainmode speaks Main Mode and Quick Mode of IKEv1 only"),
};

/** A refusal of the kernel, with its own words; what stands in the way of an addition is somebody else's, and is named as such. */
export function kernelError(refusal: KernelRefusal, refused: KernelCommand["do"] | undefined): IkeError {
  const why = (refusal.exists && refused && EXISTS[refused]) || "";
  return { kind: "kernel", what: `the kernel refused "${refusal.command}": ${refusal.reason}${why}` };
}

const EXISTS: Partial<Record<KernelCommand["do"], string>> = {
  "add-policy": ": a policy of somebody else has this selector; remove it (`ip xfrm policy`) or change the rule",
  "add-sa": ": somebody else has an SA with this SPI",
};

/** The sentence and the hint for people, as one value for events and replies. */
export const explain = (
  error: IkeError,
): {
  readonly text: string;
  readonly reason: string;
  readonly hint: string;
  readonly exit: 1 | 75;
  readonly level: Level;
  readonly failurePoint: "me" | "peer";
} => {
  const { reason, hint, exit, level, failurePoint } = ERROR_POLICY[error.kind];
  if (error.kind !== "auth-failed") return { text: error.what, reason, hint, exit, level, failurePoint };
  const { failure } = error;
  return {
    text: error.what,
    reason: failure.reason,
    hint: failure.hint ?? AUTH_REASONS[failure.reason],
    exit,
    level,
    failurePoint: failure.whose,
  };
};
