/**
 * The demo in a User-Mode Linux kernel: `uml-run` boots it as a child process, and the same command runs in there as root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Cleanup } from "./cleanup.ts";
import type { DemoAuth } from "./credentials.ts";
import { UML_RUN } from "./facts.ts";
import type { Page } from "./page.ts";

/** The guest is switched off after that long, whatever it does. */
const SECONDS = 240;
/** Of `uml-run`: the guest did not start. */
const NOT_STARTED = 125;

/** Runs it and relays what it prints; the exit code, or undefined where the guest did not start. */
export async function runInGuest(page: Page, cleanup: Cleanup, auth: DemoAuth): Promise<number | undefined> {
  const main = fileURLToPath(new URL(`../cli/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url));
  const inside = [process.execPath, main, "demo", "--inside", "--auth", auth, ...(page.colours ? ["--colours"] : [])];
  const began = performance.now();
  const child = spawn(UML_RUN, ["-t", String(SECONDS), "-m", "512M", ...inside], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  cleanup.later(() => end(child));
  let seen = false;
  child.stdout.on("data", (chunk: Buffer) => {
    if (!seen) page.text(`It booted in ${((performance.now() - began) / 1000).toFixed(1)} s and sees this machine read-only.`, "dim");
    seen = true;
    process.stdout.write(chunk);
  });
  const noise: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => noise.push(text));
  const status = await new Promise<number>((resolve) => {
    child.once("error", () => resolve(NOT_STARTED));
    child.once("close", (code) => resolve(code ?? 1));
  });
  if (status === 0) return 0;
  for (const line of noise.join("").trim().split("\n").slice(-5)) page.text(line, "dim");
  return status === NOT_STARTED ? undefined : status;
}

/** `uml-run` passes it on to the guest's kernel. A signal of the terminal does not reach it: it has a process group of its own. */
function end(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
}
