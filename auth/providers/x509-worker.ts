/** The thread for certificates: one request, one answer, in order. */
import { parentPort } from "node:worker_threads";
import { err } from "../../isakmp/result.ts";
import type { JobResult } from "./run-job.ts";
import { createWork, type WorkRequest } from "./x509-work.ts";

const work = createWork();

parentPort?.on("message", ({ id, request }: { readonly id: number; readonly request: WorkRequest }) => {
  parentPort?.postMessage({ id, result: guarded(request) });
});

function guarded(request: WorkRequest): JobResult {
  try {
    return work(request);
  } catch (error) {
    // No message of an error may carry a key; those of node:crypto don't, and others never see one.
    return err({ reason: "provider-failed", what: `${request.kind}: ${String(error)}`, hint: null, whose: "me" });
  }
}
