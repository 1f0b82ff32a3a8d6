/**
 * Carries out the core's authentication jobs: each goes to the provider of its method, which is loaded with its first job only, so that a daemon
 * with pre-shared keys alone loads neither certificates' nor Kerberos' code. Invariants: `run` never rejects, and jobs of one method reach its
 * provider in the order in which they were asked for.
 */
import { err, type Result } from "../../isakmp/result.ts";
import type { AuthFailure, AuthJob, AuthOutcome } from "../method.ts";

export type JobResult = Result<AuthOutcome, AuthFailure>;

/** What does the work of a method. May throw or reject: that is a bug of its own and fails the job. */
export interface Provider {
  /** The outcome of "gss-drop" is nobody's business. */
  run(job: AuthJob): Promise<JobResult>;
  close(): Promise<void>;
}

/** How to load each; called at most once per runner, and again only after a failure to load. */
export interface ProviderSources {
  readonly x509: () => Promise<Provider>;
  readonly kerberos: () => Promise<Provider>;
}

export const PROVIDERS: ProviderSources = {
  x509: async () => (await import("./x509.ts")).x509Provider(),
  kerberos: async () => (await import("./gssapi.ts")).kerberosProvider(),
};

export interface JobRunner {
  /** Resolves with the outcome; never rejects. */
  run(job: AuthJob): Promise<JobResult>;
  /** Ends what the providers have running. Jobs under way fail or are forgotten. */
  close(): Promise<void>;
}

/** A runner over the providers of this machine, or others in tests. Nothing is loaded before it is needed. */
export function createJobRunner(sources: ProviderSources = PROVIDERS): JobRunner {
  const loaded: Partial<Record<keyof ProviderSources, Promise<Provider>>> = {};
  const load = (method: keyof ProviderSources): Promise<Provider> => {
    const loading = loaded[method] ?? sources[method]();
    loaded[method] = loading;
    // What could not be loaded may be there the next time: somebody installs the library.
    loading.catch(() => {
      delete loaded[method];
    });
    return loading;
  };
  return {
    run: async (job) => {
      const method = methodOf(job);
      // A context that nobody made needs no library to end it.
      if (job.kind === "gss-drop" && !loaded.kerberos) return failed("no context");
      try {
        return await (await load(method)).run(job);
      } catch (error) {
        return failed(`${job.kind} failed: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
    close: async () => {
      const providers = Object.values(loaded).map(async (loading) => (await loading).close());
      await Promise.allSettled(providers);
    },
  };
}

const failed = (what: string): JobResult => err({ reason: "provider-failed", what, hint: null, whose: "me" });

function methodOf(job: AuthJob): keyof ProviderSources {
  switch (job.kind) {
    case "sign":
    case "verify":
      return "x509";
    case "usable":
      return job.entry.method;
    default:
      return "kerberos";
  }
}
