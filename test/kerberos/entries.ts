/** What the provider's tests ask for, in few words. */
import assert from "node:assert/strict";
import type { AuthJob, AuthOutcome, AuthReason, GssSteppedOutcome } from "../../auth/method.ts";
import type { JobResult, Provider } from "../../auth/providers/run-job.ts";
import type { KerberosEntry } from "../../policy/types.ts";

export const QUIRKS = { tokenOctet: "auto", hashTokenOctet: false, hashedName: "auto", nameEncoding: "utf-16le" } as const;

export const entryOf = (principal: string, keytab: string | null, peerPrincipal: string | null = "anybody"): KerberosEntry => ({
  method: "kerberos",
  principal,
  keytab,
  peerPrincipal,
  quirks: QUIRKS,
  localId: null,
  remoteId: null,
});

/** The outcome of a job that has to succeed. */
export async function must<K extends AuthOutcome["kind"]>(
  result: Promise<JobResult>,
  kind: K,
): Promise<AuthOutcome & { readonly kind: K }> {
  const settled = await result;
  assert.ok(settled.ok, settled.ok ? "" : `${settled.error.reason}: ${settled.error.what}`);
  assert.equal(settled.value.kind, kind);
  return settled.value as AuthOutcome & { readonly kind: K };
}

/** The sentence of a job that has to fail for this reason. */
export async function refused(result: Promise<JobResult>, reason: AuthReason): Promise<string> {
  const settled = await result;
  assert.ok(!settled.ok, "it succeeded");
  assert.equal(settled.error.reason, reason, settled.error.what);
  return settled.error.what;
}

/** One end of a context. */
export interface End {
  step(token: Uint8Array | null): Promise<JobResult>;
  wrap(data: Uint8Array): Promise<JobResult>;
  unwrap(data: Uint8Array): Promise<JobResult>;
  drop(): Promise<JobResult>;
}

let contexts = 0;

/** A context of its own for an initiator (with a target) or an acceptor. */
export function endOf(provider: Provider, entry: KerberosEntry, target: string | null): End {
  const context = `test ${++contexts}`;
  const run = (job: AuthJob): Promise<JobResult> => provider.run(job);
  const role = target === null ? "accept" : "initiate";
  const wantsNames = entry.peerPrincipal === null;
  return {
    step: (token) => run({ kind: "gss-step", context, role, entry, target, token, peerAddress: "127.0.0.1", wantsNames }),
    wrap: (data) => run({ kind: "gss-wrap", context, data }),
    unwrap: (data) => run({ kind: "gss-unwrap", context, data }),
    drop: () => run({ kind: "gss-drop", context }),
  };
}

/** The token of a step that has to give one. */
export async function tokenOf(result: Promise<JobResult>): Promise<Uint8Array> {
  const { token } = await must(result, "gss-stepped");
  assert.ok(token, "the step gave no token");
  return token;
}

/** Both ends through all their steps; what the last step of each said. */
export async function joined(a: End, b: End): Promise<readonly [GssSteppedOutcome, GssSteppedOutcome]> {
  const first = await tokenOf(a.step(null));
  const accepted = await must(b.step(first), "gss-stepped");
  const last = await must(a.step(accepted.token), "gss-stepped");
  return [last, accepted];
}
