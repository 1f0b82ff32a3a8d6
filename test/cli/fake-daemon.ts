/** The command line as users run it, and a control socket that answers as a test wants. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { Reply } from "../../daemon/control-protocol.ts";

export interface Ran {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Sources run bare end in .ts, built ones in .js. */
const MAIN = fileURLToPath(new URL(`../../cli/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));

/** Takes every capability from what follows it; users other than root have none to begin with. */
export const WITHOUT_CAPABILITIES = process.getuid?.() === 0 ? ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] : [];

/** Runs `mainmode` to its end. `whileRunning` gets the process, to send it signals; `before` are words in front of it. */
export function mainmode(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  whileRunning: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
  before: readonly string[] = [],
): Promise<Ran> {
  return new Promise((resolve) => {
    const [program, ...rest] = [...before, process.execPath, MAIN, ...words] as [string, ...string[]];
    const child = spawn(program, rest, {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    child.on("close", (exit) => resolve({ exit, stdout, stderr }));
    whileRunning((signal) => child.kill(signal));
  });
}

/** A folder that is removed after the test. */
export function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface FakeDaemon {
  readonly path: string;
  /** Lines that clients sent. */
  readonly requests: string[];
}

/** Answers every request with `answer`, or request number N from 1 with what it makes of N (nothing, where it hangs up), then closes if it is told to. */
export async function fakeDaemon(
  t: TestContext,
  answer: readonly (Reply | string)[] | ((number: number) => readonly Reply[] | "hang up"),
  close = false,
): Promise<FakeDaemon> {
  const path = join(scratch(t), "control.sock");
  const requests: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk;
      if (!text.includes("\n")) return;
      requests.push(text.trim());
      text = "";
      const replies = typeof answer === "function" ? answer(requests.length) : answer;
      if (replies === "hang up") return void socket.end();
      for (const reply of replies) socket.write(typeof reply === "string" ? reply : `${JSON.stringify(reply)}\n`);
      if (close) socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { path, requests };
}
