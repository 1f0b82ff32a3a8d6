/**
 * Runs programs and waits for them. Whatever is still running when the demo ends is ended with it.
 */
import { type ChildProcess, spawn } from "node:child_process";

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();

/** Runs a program to its end, or for `seconds`. A program that can't be started has status null and its reason in stderr. */
export function run(argv: readonly string[], seconds = 30): Promise<Outcome> {
  const [program = "", ...words] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C", PATH: searchPath() } });
    running.add(child);
    const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const end = (status: number | null, said: string): void => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ status, stdout, stderr: said });
    };
    child.on("error", (error) => end(null, error.message));
    child.on("close", (status) => end(status, stderr));
  });
}

/** Runs a program that must succeed. Throws what it said. */
export async function must(argv: readonly string[], seconds = 30): Promise<string> {
  const { status, stdout, stderr } = await run(argv, seconds);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr.trim().split("\n").at(-1) || `ended with ${status}`}`);
  return stdout;
}

/** Ends what `run` started and is not over. */
export function endPrograms(): void {
  for (const child of running) child.kill("SIGTERM");
}

/** Where system programs are: root's folders may be missing in the path of others. */
export const searchPath = (): string => `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
