/**
 * The journal of this machine: where it lies, and whether it may lie there. It holds keys, so it is kept in memory only.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import type { DaemonSettings } from "../policy/config.ts";
import { type OpenedJournal, openJournal } from "./journal.ts";
import type { Log } from "./log.ts";

const DEFAULT_FOLDER = "/run/mainmode";
/** File systems in memory, by the magic numbers of statfs(2): tmpfs and ramfs. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** What an earlier run left would be wrong by the time that one is kept again. A daemon that has the file open puts it back. */
function forgetLast(path: string): undefined {
  try {
    rmSync(path, { force: true });
  } catch {
    // Whoever may not remove it could not have written it.
  }
}

/** Opens the journal; undefined, with a warning, where none can be kept, and without one where none is wanted. */
export function keepJournal(settings: DaemonSettings, environment: NodeJS.ProcessEnv, log: Log): OpenedJournal | undefined {
  const folder = settings.runtimeDirectory ?? environment["RUNTIME_DIRECTORY"]?.split(":")[0] ?? DEFAULT_FOLDER;
  if (!settings.keepAcrossRestart) return forgetLast(`${folder}/journal`);
  const without = (why: string): undefined => {
    const hint = "name a folder in memory with [daemon] runtime-directory, or set keep-across-restart = false";
    log({
      event: "svc.journal",
      level: "warning",
      text: `a restart will cost every SA: ${why}`,
      failurePoint: "me",
      reason: "journal",
      hint,
    });
    return undefined;
  };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    if (!IN_MEMORY.includes(statfsSync(folder).type)) return without(`${folder} lies on a disk, where keys must not be written`);
    const path = `${folder}/journal`;
    const opened = openJournal({
      path,
      bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      onFailure: (text) =>
        log({
          event: "svc.journal",
          level: "error",
          text,
          failurePoint: "me",
          reason: "journal",
          hint: "look at the space in memory (df), and restart",
        }),
    });
    if (!opened.ok) return without(opened.error);
    chmodSync(path, 0o600);
    return opened.value;
  } catch (error) {
    return without((error as Error).message);
  }
}
