/**
 * The provider of proofs by certificate. Signing and checking cost milliseconds each, and a list of revoked certificates more, so they run in a
 * thread of their own: the event loop goes on with everybody else. Invariants: answers come in the order of the questions, the queue is bounded,
 * and a thread that hangs or dies is replaced, its questions failed.
 */
import { Worker } from "node:worker_threads";
import { err, ok } from "../../isakmp/result.ts";
import type { AuthJob, SignJob, VerifyJob } from "../method.ts";
import { dateText } from "./crl.ts";
import { PrivateKey } from "./private-key.ts";
import type { JobResult, Provider } from "./run-job.ts";
import type { WorkRequest } from "./x509-work.ts";

/** Questions that wait; beyond it peers have to come again. At some milliseconds each this is a second or two of work. */
const MOST_WAITING = 256;
/** A question takes milliseconds. */
const DEADLINE_MS = 15_000;

/** What tests replace: the file of the thread, and how long it may take. */
export interface X509Options {
  readonly thread?: URL;
  readonly deadlineMs?: number;
}

/** The provider; the thread starts with its first question. */
export function x509Provider({ thread = OWN_THREAD, deadlineMs = DEADLINE_MS }: X509Options = {}): Provider {
  return new Certificates(thread, deadlineMs);
}

/** The source runs as it stands, or compiled. */
const OWN_THREAD = new URL(import.meta.url.endsWith(".ts") ? "./x509-worker.ts" : "./x509-worker.js", import.meta.url);

class Certificates implements Provider {
  readonly #thread: URL;
  readonly #deadlineMs: number;
  readonly #waiting = new Map<number, (result: JobResult) => void>();
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #next = 1;
  #closed = false;

  constructor(thread: URL, deadlineMs: number) {
    this.#thread = thread;
    this.#deadlineMs = deadlineMs;
  }

  async run(job: AuthJob): Promise<JobResult> {
    switch (job.kind) {
      case "usable":
        // Somebody is about to negotiate: the thread need not begin only when there is something to sign.
        if (!this.#closed) this.#worker ??= this.#start();
        return job.entry.method === "x509" ? usable(job.entry.own.notAfter) : failed("no job for certificates");
      case "sign":
        return this.#sign(job);
      case "verify":
        return this.#ask({ kind: "verify", claim: claimOf(job) });
      default:
        return failed("no job for certificates");
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#forget("the daemon stops");
    await worker?.terminate();
  }

  async #sign({ entry: { own }, hash }: SignJob): Promise<JobResult> {
    const late = usable(own.notAfter);
    if (!late.ok) return late;
    const { privateKey } = own;
    if (!(privateKey instanceof PrivateKey) || !privateKey.key) return failed("the private key is gone: the configuration was read anew");
    return this.#ask({ kind: "sign", algorithm: own.algorithm, key: privateKey.key, hash });
  }

  #ask(request: WorkRequest): Promise<JobResult> {
    if (this.#closed) return Promise.resolve(failed("the daemon stops"));
    if (this.#waiting.size >= MOST_WAITING)
      return Promise.resolve(err({ reason: "provider-busy", what: `${MOST_WAITING} proofs are waiting`, hint: null, whose: "me" }));
    this.#worker ??= this.#start();
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#watch();
      this.#worker?.postMessage({ id, request });
    });
  }

  #start(): Worker {
    const worker = new Worker(this.#thread, { stdout: false, stderr: false });
    // It must not keep a daemon alive that has nothing else to do.
    worker.unref();
    worker.on("message", ({ id, result }: { readonly id: number; readonly result: JobResult }) => {
      const resolve = this.#waiting.get(id);
      this.#waiting.delete(id);
      clearTimeout(this.#timer);
      this.#timer = undefined;
      if (this.#waiting.size > 0) this.#watch();
      resolve?.(result);
    });
    const ended = (why: string) => () => {
      if (this.#worker === worker) this.#forget(why);
    };
    worker.on("error", ended("the thread for certificates failed"));
    worker.on("exit", ended("the thread for certificates ended"));
    return worker;
  }

  /** From the first question that has no answer; each answer starts it anew. */
  #watch(): void {
    this.#timer ??= setTimeout(() => {
      const worker = this.#worker;
      this.#forget("no answer in time", "provider-timeout");
      void worker?.terminate();
    }, this.#deadlineMs);
  }

  #forget(what: string, reason: "provider-failed" | "provider-timeout" = "provider-failed"): void {
    this.#worker = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const resolve of waiting) resolve(err({ reason, what, hint: null, whose: "me" }));
  }
}

const failed = (what: string): JobResult => err({ reason: "provider-failed", what, hint: null, whose: "me" });

/** Our own certificate may have expired since it was loaded. */
function usable(notAfter: number): JobResult {
  if (Date.now() <= notAfter) return ok({ kind: "usable" });
  return err({
    reason: "certificate-expired",
    what: `our certificate expired ${dateText(notAfter)}`,
    hint: "renew it, and reload",
    whose: "me",
  });
}

/** What the thread needs to know, without private keys. Rules that share their CAs share them in the copy, too. */
function claimOf({ entries, method, hash, signature, certificates, id }: VerifyJob): Extract<WorkRequest, { kind: "verify" }>["claim"] {
  const wanted = entries.map(({ trust, remoteId }) => ({ trust, remoteId }));
  return { entries: wanted, method, hash, signature, certificates, id };
}
