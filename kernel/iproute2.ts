/**
 * Linux's xfrm through `ip`: one child for commands, one that listens, and a short one for each look at all counters.
 * Invariant: keys go to the first child's stdin and nowhere else; the children see none of the daemon's environment or descriptors.
 */
import { spawn } from "node:child_process";
import { type Acquire, isOurReqid, type KernelEvent, type KernelListing, type SaCounters } from "../ike/kernel-contract.ts";
import { batchRunner } from "./batch.ts";
import { CHILD_ENVIRONMENT, endingOf, reasonOf, startFailure } from "./ip-text.ts";
import { lineReader } from "./lines.ts";
import { EVENTS, MAPPINGS, type MonitorChild, monitorChild, POLICIES } from "./monitor.ts";
import type { Kernel } from "./port.ts";
import { type UnknownSpis, watchUnknownSpis } from "./unknown-spis.ts";
import { saName } from "./xfrm-args.ts";
import { parsePolicies } from "./xfrm-policy.ts";
import { xfrmStates } from "./xfrm-state.ts";

export interface Iproute2Options {
  /** Told what went wrong without being the answer to a command: children that died, warnings of `ip`. Never holds a key. */
  readonly onDiagnostic?: (text: string) => void;
  /** The program: a name looked up in the usual folders, or a path. Default "ip". */
  readonly ip?: string;
  /** Commands that may wait for the kernel. Default 100 000: every peer of a large installation at once. */
  readonly queueLimit?: number;
  /** Milliseconds without an answer after which the child is replaced. Default 30 000. */
  readonly patience?: number;
}

/**
 * A kernel interface that starts its children when they are first needed. What `ip` or the kernel refuses comes back as the
 * refusal of the command; a missing program or capability too. Keys are copied before `run` returns.
 */
export function iproute2Kernel(options: Iproute2Options = {}): Kernel {
  const { ip = "ip", onDiagnostic = () => {}, queueLimit = 100_000, patience = 30_000 } = options;
  const run: Listing = (...asked) => output({ ip, patience }, ...asked);
  const batch = batchRunner({ ip, onDiagnostic, queueLimit, patience });
  const listeners: ((event: KernelEvent) => void)[] = [];
  let monitor: MonitorChild | undefined;
  let policies: MonitorChild | undefined;
  let unknown: UnknownSpis | undefined;
  let mappings: MonitorChild | undefined;
  const tell = (event: KernelEvent): void => {
    for (const listener of listeners) listener(event);
  };
  /** The second child tells the same of acquires and expiries. */
  const tellMapping = (event: KernelEvent): void => {
    if (event.type === "mapping") tell(event);
  };
  /** What it could not tell, or nobody heard while there was no child, may have been anything. */
  const tellAny = (): void => tell({ type: "policy-gone", policy: null });
  const tellLost = (text: string): void => {
    if (!/No buffer space/.test(text)) onDiagnostic(text);
    tellAny();
  };
  let reading: Promise<ReadonlyMap<string, SaCounters>> | undefined;
  let toldUnread = 0;
  return {
    run: async (commands) => {
      if (monitor && !mappings && commands.some((command) => command.do === "add-sa" && command.sa.encap))
        mappings = monitorChild({ ip, onDiagnostic, words: MAPPINGS, onEvent: tellMapping });
      return batch.run(commands);
    },
    /** Callers that come while a look is under way share it. An empty map and a diagnostic where it fails. */
    counters() {
      reading ??= readCounters(run, onDiagnostic)
        .catch((error: Error) => {
          onDiagnostic(`counters: ${error.message}`);
          return new Map<string, SaCounters>();
        })
        .finally(() => {
          reading = undefined;
        });
      return reading;
    },
    list: () => readAll(run, onDiagnostic),
    async listPolicies() {
      const { policies, unread } = await readWhole(run);
      if (unread > 0 && unread !== toldUnread) onDiagnostic(`policies: ${unread} of ours ${UNREAD}, and are taken for missing`);
      toldUnread = unread;
      return policies;
    },
    listen(onEvent) {
      listeners.push(onEvent);
      monitor ??= monitorChild({ ip, onDiagnostic, words: EVENTS, onEvent: tell });
      policies ??= monitorChild({ ip, onDiagnostic: tellLost, onAgain: tellAny, words: POLICIES, onEvent: tell });
      unknown ??= watchUnknownSpis({ onMore: (packets) => tell({ type: "unknown-spis", packets }) });
    },
    async close() {
      listeners.length = 0;
      unknown?.close();
      await Promise.all([batch.close(), monitor?.close(), policies?.close(), mappings?.close(), reading]);
    },
  };
}

async function readCounters(run: Listing, onDiagnostic: (text: string) => void): Promise<ReadonlyMap<string, SaCounters>> {
  const counters = new Map<string, SaCounters>();
  const states = xfrmStates();
  await run("counters", ["-s", "xfrm", "state", "list", "nokeys"], onDiagnostic, (chunk) => {
    for (const { sa, reqid, counters: read } of states.push(chunk)) if (isOurReqid(reqid)) counters.set(saName(sa), read);
  });
  return counters;
}

/** What can be read, with diagnostics about the rest. A larval state is no SA yet. */
async function readAll(run: Listing, onDiagnostic: (text: string) => void): Promise<KernelListing> {
  const [sas, asked]: [KernelListing["sas"][number][], Acquire[]] = [[], []];
  const states = xfrmStates();
  await run("counters", ["-s", "xfrm", "state", "list", "nokeys"], onDiagnostic, (chunk) => {
    for (const { sa, asked: by, ...rest } of states.push(chunk)) {
      if (sa.spi !== 0) sas.push({ ...sa, ...rest });
      else if (by) asked.push(by);
    }
  });
  return { sas, asked, policies: (await readPolicies(run, onDiagnostic)).policies };
}

/**
 * All policies whose key can be read, or none: what is missing in a part of them may be there. One of ours whose key can't be read (a protocol that has a name
 * of its own on this machine) is not there for us; where it is so with all of ours, it is `ip` that speaks otherwise, and nothing is known.
 */
async function readWhole(run: Listing): ReturnType<typeof readPolicies> {
  const complaints: string[] = [];
  const read = await readPolicies(run, (text) => complaints.push(text));
  if (complaints.length > 0) throw new Error(complaints.join("; "));
  if (read.unread > 0 && !read.policies.some(({ ours }) => ours)) throw new Error(`${read.unread} policies of ours ${UNREAD}`);
  return read;
}

const UNREAD = "have selectors that ip tells in words which are not known here";

/** `unread`: policies of ours whose key `ip` told in words that we do not know. */
async function readPolicies(
  run: Listing,
  onDiagnostic: (text: string) => void,
): Promise<{ readonly policies: KernelListing["policies"]; readonly unread: number }> {
  const [lines, reader] = [[] as string[], lineReader()];
  await run("policies", ["-s", "xfrm", "policy", "list", "nosock"], onDiagnostic, (chunk) => {
    for (const line of reader.push(chunk)) lines.push(line);
  });
  let unread = 0;
  return { policies: parsePolicies(lines, () => unread++), unread };
}

/** Runs one listing: what it is called, its words, who hears of a failure, and who takes the output. Rejects where it can't be started. */
type Listing = (
  what: string,
  words: readonly string[],
  onDiagnostic: (text: string) => void,
  take: (chunk: Uint8Array) => void,
) => Promise<void>;

/** `list` ends a batch child, whatever -force says, so each is a child of its own; one that says nothing for so many milliseconds is ended. */
function output(
  { ip, patience }: { readonly ip: string; readonly patience: number },
  ...[what, words, onDiagnostic, take]: Parameters<Listing>
): Promise<void> {
  return new Promise((resolve, reject) => {
    const [stderr, complaint] = [lineReader(), [] as string[]];
    const child = spawn(ip, words, { stdio: ["ignore", "pipe", "pipe"], env: CHILD_ENVIRONMENT });
    const silence = setTimeout(() => child.kill("SIGKILL"), patience);
    child.on("error", (error) => {
      clearTimeout(silence);
      reject(new Error(startFailure(ip, error)));
    });
    child.stdout?.on("data", (chunk: Uint8Array) => {
      silence.refresh();
      take(chunk);
    });
    child.stderr?.on("data", (chunk: Uint8Array) => {
      for (const line of stderr.push(chunk)) if (complaint.length < 20) complaint.push(line);
    });
    child.on("close", (code, signal) => {
      clearTimeout(silence);
      if (code !== 0) onDiagnostic(`${what}: ${reasonOf(complaint, { code, signal })}; ip ${endingOf({ code, signal })}`);
      resolve();
    });
  });
}
