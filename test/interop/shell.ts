/**
 * Runs the tools of the lab, each with a time limit, and writes down what was run and what it said.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, openSync } from "node:fs";

export interface Ran {
  /** The exit code; null: ended by a signal, such as ours when its time was over. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly seconds?: number;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Not 0 is an answer, and not an error of the lab. */
  readonly mayFail?: boolean;
}

/** Runs tools and keeps a transcript in a file. */
export type Shell = (argv: readonly string[], options?: RunOptions) => Promise<Ran>;

/** A shell that writes into the file that `transcript` names at the time. It throws where a tool fails unexpectedly. */
export function shell(transcript: () => string): Shell {
  return async (argv, options = {}) => {
    const started = performance.now();
    const ran = await execute(argv, options);
    const took = Math.round(performance.now() - started);
    const said = withoutKeys(argv, `${ran.stdout}${ran.stderr}`.trimEnd());
    appendFileSync(transcript(), `$ ${argv.join(" ")}   # ${ran.status ?? "killed"}, ${took} ms\n${said}${said ? "\n" : ""}`);
    if (ran.status !== 0 && !options.mayFail) throw new Error(`${argv.join(" ")}: ${ran.status ?? "timeout"}: ${said}`);
    return ran;
  };
}

/** The kernel shows the keys of its SAs to root: tests may want them, transcripts have none. */
const withoutKeys = (argv: readonly string[], said: string): string =>
  argv.includes("xfrm") ? said.replace(/^(\s+(?:auth|auth-trunc|enc|aead) \S+) 0x[0-9a-f]+/gm, "$1 <key>") : said;

function execute(argv: readonly string[], options: RunOptions): Promise<Ran> {
  const [file = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...process.env, ...options.env },
      timeout: (options.seconds ?? 20) * 1000,
      killSignal: "SIGKILL",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
    child.stdin.on("error", () => {}); // it ended before it read everything
    child.stdin.end(options.input ?? "");
  });
}

/** Starts a tool that stays; both its outputs go to the file. */
export function start(argv: readonly string[], log: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const [file = "", ...args] = argv;
  const out = openSync(log, "a");
  return spawn(file, args, { env: { ...process.env, ...env }, stdio: ["ignore", out, out] });
}

/** Ends what `start` started and waits until it is gone, by force after `seconds`. Returns the exit code. */
export async function stop(child: ChildProcess, seconds = 10): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
  const status = await gone;
  clearTimeout(force);
  return status;
}

/** Asks again and again until the answer is yes or `seconds` are over; says which. */
export async function eventually(seconds: number, ask: () => Promise<boolean> | boolean): Promise<boolean> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    if (await ask()) return true;
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
