/** What an earlier run left in the kernel. */
import { type Acquire, BYPASS_PRIORITY, isOurReqid, type KernelListing } from "../ike/kernel-contract.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Kernel } from "../kernel/port.ts";
import type { Log } from "./log.ts";
import { within } from "./within.ts";

/** For the kernel to tell what it has. Milliseconds. */
const PATIENCE = 10_000;

/** Nothing where the kernel does not tell in time, or can't, which is logged. */
export async function listKernel(kernel: Pick<Kernel, "list">, log: Log): Promise<KernelListing> {
  const nothing = { sas: [], policies: [], isUnknown: true } as const;
  try {
    return (await within(PATIENCE, kernel.list())) ?? nothing;
  } catch (error) {
    log({ event: "svc.kernel", level: "warning", text: `what the kernel has is not known: ${String(error)}` });
    return nothing;
  }
}

/** The same of policies alone, while the daemon runs; why, where not all of them are told. */
export async function listPolicies(kernel: Pick<Kernel, "listPolicies">): Promise<Result<KernelListing["policies"], string>> {
  try {
    const policies = await within(PATIENCE, kernel.listPolicies());
    return policies ? ok(policies) : err(`the kernel did not tell within ${PATIENCE / 1000} s`);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

/** For others their traffic asks again, when the kernel lets it. */
const MOST_ASKED = 256;

/** What traffic has asked one of our policies for while nobody listened: each need once. */
export function askedOf({ asked = [] }: KernelListing): readonly Acquire[] {
  const ours = asked.filter(({ reqid }) => isOurReqid(reqid));
  const needs = new Map(ours.map((event) => [`${event.reqid} ${event.source} ${event.destination}`, event]));
  return [...needs.values()].slice(0, MOST_ASKED);
}

/** Whether an earlier run has left a policy or an SA. */
export const holdsOurs = ({ policies, sas }: KernelListing): boolean =>
  policies.some(
    ({ ours, priority, templates }) => (ours && priority !== BYPASS_PRIORITY) || templates.some(({ reqid }) => isOurReqid(reqid)),
  ) || sas.some(({ reqid }) => isOurReqid(reqid));
