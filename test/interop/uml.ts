/**
 * Both ends of a guest: how it is started, and how what runs in it ends.
 */
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";

/** Runs `demo/uml-run` with these words; its exit code, and everything that it said. It ends with us. */
export function uml(argv: readonly string[]): Promise<{ readonly status: number | null; readonly said: string }> {
  return new Promise((done, failed) => {
    // The guest takes this PATH over, and is root, whatever we are.
    const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
    const child = spawn("demo/uml-run", argv, { env, stdio: ["ignore", "pipe", "pipe"] });
    const stop = (): boolean => child.kill();
    process.once("exit", stop);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    child.on("error", failed);
    child.on("close", (status) => {
      process.off("exit", stop);
      done({ status, said });
    });
  });
}

/** In the guest: daemons of ours that are started from now on write their secrets down in this folder, where the host looks for them. */
export function keepLedgerIn(directory: string): void {
  const folder = `${directory}/secrets`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  process.env["MAINMODE_LEDGER"] = folder;
}

/** In the guest: does what the command line names a plan and a file for the result for. What still runs then ends with the guest. */
export async function inGuest(main: (planFile: string, resultFile: string) => Promise<void>): Promise<never> {
  const [, , planFile = "", resultFile = ""] = process.argv;
  try {
    await main(planFile, resultFile);
  } catch (error) {
    appendFileSync(`${resultFile}.error`, String(error instanceof Error ? error.stack : error));
    console.error(error);
    process.exit(1);
  }
  process.exit(0);
}
