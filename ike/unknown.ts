/** Whether anybody knows what policies the kernel has. Where a look fails, nobody does: somebody may have taken what protects, and it is told until one succeeds. */
import type { PoliciesUnknownView } from "../sa-store/view.ts";
import { type Core, log } from "./core.ts";
import type { Input, Instant } from "./input.ts";

/** Looks fail. */
export interface Unknown {
  readonly since: Instant;
  /** In words. */
  readonly why: string;
}

/** The answer to a look, before anything is done about it. */
export function noteLook(
  core: Core,
  { id, policies, why = "the kernel does not tell" }: Input & { readonly type: "policies-found" },
): void {
  if (core.look.id !== id) return;
  const before = core.unknown;
  core.unknown = policies ? null : { since: before?.since ?? core.now, why };
  if (policies && before)
    log(core, "policy.known", "notice", `the kernel tells again which policies it has, after ${secondsOf(core.now - before.since)} s`);
  if (!policies && before?.why !== why)
    log(core, "policy.unknown", "warning", `whether the policies stand is not known: ${why}`, { hint: HINT });
}

/** The same for people and programs; null: it is known, or there is none. */
export const unknownView = ({ unknown, policies }: Core, now: Instant): PoliciesUnknownView | null =>
  unknown && policies.size > 0 ? { seconds: secondsOf(now - unknown.since), reason: unknown.why, hint: HINT } : null;

const secondsOf = (ms: number): number => Math.max(0, Math.round(ms / 1000));

const HINT = "see what `ip -s xfrm policy list` says; it is asked again by itself, and at each reload";
