/**
 * The child that hears the kernel: `ip xfrm monitor acquire expire`, started again whenever it ends; a second one for policies, since thousands of them
 * at once must not drown acquires; and a third one for mappings.
 * Invariant: only these kinds of message are asked for; others would carry keys. `ip` can't ask for mappings alone: their child hears
 * everything, with `nokeys`, and is started only once there are SAs in UDP. Events of the time without a child are lost, so nobody
 * may rely on hearing them (timers stand behind each).
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { KernelEvent } from "../ike/kernel-contract.ts";
import { CHILD_ENVIRONMENT, endingOf, maskKeys, startFailure } from "./ip-text.ts";
import { lineReader } from "./lines.ts";
import { xfrmMonitor } from "./xfrm-monitor.ts";

export interface MonitorOptions {
  readonly ip: string;
  readonly onEvent: (event: KernelEvent) => void;
  readonly onDiagnostic: (text: string) => void;
  /** A child that took the place of another one listens by now: what was before, nobody has heard. */
  readonly onAgain?: () => void;
  /** What to listen to. */
  readonly words: readonly string[];
}

/** Acquires and expiries. */
export const EVENTS: readonly string[] = ["acquire", "expire"];
/** Policies that come and go. */
export const POLICIES: readonly string[] = ["policy"];
/** Everything, since mappings have no word of their own. */
export const MAPPINGS: readonly string[] = ["nokeys"];

export interface MonitorChild {
  /** Ends the child and starts no other. */
  close(): Promise<void>;
}

/** Milliseconds before a child is started again: doubled each time it told nothing. */
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [100, 10_000];

/** Milliseconds after which a child that has not ended is listening: it does not say when it begins to. */
const LISTENS = 1000;

/** Starts listening at once. */
export function monitorChild(options: MonitorOptions): MonitorChild {
  let pause = SHORTEST_PAUSE;
  let restart: NodeJS.Timeout | undefined;
  let listens: NodeJS.Timeout | undefined;
  let closed: (() => void) | undefined;
  let child: ChildProcess | undefined;
  const ended = (why: string): void => {
    child = undefined;
    clearTimeout(listens);
    if (closed) {
      closed();
      return;
    }
    options.onDiagnostic(`kernel events: ${why}; listening again in ${pause} ms`);
    restart = setTimeout(listenAgain, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  };
  const heard = (): void => {
    pause = SHORTEST_PAUSE;
  };
  const listen = (): void => {
    try {
      child = startMonitor(options, heard, ended);
    } catch (error) {
      ended(startFailure(options.ip, error as Error));
    }
  };
  const listenAgain = (): void => {
    if (options.onAgain) listens = setTimeout(options.onAgain, LISTENS);
    listen();
  };
  listen();
  return {
    close: () =>
      new Promise((resolve) => {
        closed = resolve;
        clearTimeout(restart);
        clearTimeout(listens);
        if (child) child.kill("SIGTERM");
        else resolve();
      }),
  };
}

/** Starts one child. `onEnd` is called once, `onWord` for whatever it says. */
function startMonitor(
  { ip, onEvent, onDiagnostic, words }: MonitorOptions,
  onWord: () => void,
  onEnd: (why: string) => void,
): ChildProcess {
  const [monitor, stderr] = [xfrmMonitor(), lineReader()];
  const child = spawn(ip, ["xfrm", "monitor", ...words], { stdio: ["ignore", "pipe", "pipe"], env: CHILD_ENVIRONMENT });
  child.on("error", (error) => {
    if (child.pid === undefined) onEnd(startFailure(ip, error));
  });
  child.stdout?.on("data", (chunk: Uint8Array) => {
    onWord();
    for (const event of monitor.push(chunk)) onEvent(event);
  });
  child.stderr?.on("data", (chunk: Uint8Array) => {
    for (const line of stderr.push(chunk)) onDiagnostic(`kernel events: ${maskKeys(line)}`);
  });
  child.on("close", (code, signal) => {
    if (child.pid !== undefined) onEnd(`ip ${endingOf({ code, signal })}`);
  });
  return child;
}
