/**
 * Kerberos by GSS-API (draft-ietf-ipsec-isakmp-gss-auth-07): the core's jobs, carried out in processes of their own by MIT's libgssapi_krb5.
 * Invariant: a realm whose KDC is dead holds up nobody else. So each realm of our own principals has a process for tickets, which may wait for
 * its KDC, and one for the tokens of others, which never does; their number is that of the configuration, whatever peers call themselves.
 */
import { err, ok } from "../../isakmp/result.ts";
import type { KerberosEntry } from "../../policy/types.ts";
import type { AuthFailure, GssStepJob } from "../method.ts";
import { gssLane, type Lane, type LaneLimits, LIMITS, realmOf } from "./gssapi-lane.ts";
import type { GssCall, GssResult } from "./gssapi-messages.ts";
import type { JobResult, Provider } from "./run-job.ts";

export interface KerberosOptions {
  /** The GSS library, as the dynamic linker finds it. */
  readonly library?: string;
  readonly limits?: LaneLimits;
}

/** The provider of Kerberos. Nothing is started before the first job. */
export function kerberosProvider({ library = "libgssapi_krb5.so.2", limits = LIMITS }: KerberosOptions = {}): Provider {
  const lanes = new Map<string, Lane>();
  /** Where each context lives, from its first step to its drop. */
  const homes = new Map<string, Lane>();
  const laneOf = (role: "initiate" | "accept", { principal }: KerberosEntry): Lane => {
    const name = `${role} ${realmOf(principal)}`;
    const lane = lanes.get(name) ?? gssLane(library, limits);
    lanes.set(name, lane);
    return lane;
  };
  const homeOf = (job: GssStepJob): Lane => {
    const lane = homes.get(job.context) ?? laneOf(job.role, job.entry);
    homes.set(job.context, lane);
    return lane;
  };
  const step = async (job: GssStepJob): Promise<JobResult> => {
    const first = !homes.has(job.context);
    if (first && job.role === "initiate" && job.token !== null) return err(SPENT);
    const result = await homeOf(job).run(stepCall(job, first));
    // Its process has forgotten it, too.
    if (!result.ok) homes.delete(job.context);
    return outcome(result, "usable");
  };
  const inContext = async (context: string, call: GssCall, as: "gss-wrapped" | "gss-unwrapped" | "usable"): Promise<JobResult> => {
    const lane = homes.get(context);
    return lane ? outcome(await lane.run(call), as) : failed("there is no such Kerberos context");
  };
  const drop = (context: string): Promise<JobResult> => {
    const dropped = inContext(context, { kind: "drop", context }, "usable");
    homes.delete(context);
    return dropped;
  };
  /** However many peers a host begins with at once, whether it has a ticket of its own is one question. */
  const weighed = new Map<string, Promise<JobResult>>();
  const ask = async (entry: KerberosEntry, name: string): Promise<JobResult> => {
    const { principal, keytab } = entry;
    const result = await laneOf("initiate", entry).run({ kind: "usable", principal, keytab });
    weighed.delete(name);
    return outcome(result, "usable");
  };
  const usable = (entry: KerberosEntry): Promise<JobResult> => {
    const name = `${entry.principal} ${entry.keytab}`;
    const asked = weighed.get(name) ?? ask(entry, name);
    weighed.set(name, asked);
    return asked;
  };
  return {
    run: async (job) => {
      if (job.kind === "gss-step") return step(job);
      if (job.kind === "gss-wrap") return inContext(job.context, { kind: "wrap", context: job.context, data: job.data }, "gss-wrapped");
      if (job.kind === "gss-unwrap")
        return inContext(job.context, { kind: "unwrap", context: job.context, data: job.data }, "gss-unwrapped");
      if (job.kind === "gss-drop") return drop(job.context);
      if (job.kind === "usable" && job.entry.method === "kerberos") return usable(job.entry);
      return failed(`${job.kind} is no job for Kerberos`);
    },
    close: async () => {
      homes.clear();
      await Promise.all([...lanes.values()].map((lane) => lane.close()));
    },
  };
}

/** The library gives a context up with the first answer that it refuses. */
const SPENT: AuthFailure = {
  reason: "kerberos-token-invalid",
  what: "the Kerberos context ended with an earlier answer of the peer's, which was refused",
  hint: null,
  whose: "peer",
};

const stepCall = ({ context, role, entry, target, token, peerAddress, wantsNames }: GssStepJob, first: boolean): GssCall => {
  const { principal, keytab } = entry;
  return { kind: "step", context, first, role, principal, keytab, target, token, peerAddress, wantsNames };
};

const failed = (what: string): JobResult => err({ reason: "provider-failed", what, hint: null, whose: "me" });

/** `as` says what was asked for where the answer is no step's. */
function outcome(result: GssResult, as: "gss-wrapped" | "gss-unwrapped" | "usable"): JobResult {
  if (!result.ok) return result;
  const { value } = result;
  if (value.kind === "stepped") return ok({ kind: "gss-stepped", token: value.token, complete: value.complete, peer: value.peer });
  return ok(value.kind === "data" && as !== "usable" ? { kind: as, data: value.data } : { kind: "usable" });
}
