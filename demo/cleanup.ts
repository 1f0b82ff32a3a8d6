/**
 * What has to be undone when the demo ends, however it ends: at its end, by an error, by Ctrl-C, or because nobody reads its output any more.
 * Everything undone is undone synchronously, so that it works while the process exits. Only SIGKILL leaves something behind.
 */
import { constants } from "node:os";

export interface Cleanup {
  /** Remembers how to undo a step that is about to be taken; `undo` must do no harm where the step failed, and throws where it fails itself. */
  later(undo: () => void): void;
  /** Undoes everything, the last step first, and says what could not be undone. Idempotent. */
  now(): readonly string[];
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A cleanup that also runs when the process ends or is told to. */
export function startCleanup(): Cleanup {
  const steps: (() => void)[] = [];
  const problems: string[] = [];
  const run = (): void => {
    for (let undo = steps.pop(); undo; undo = steps.pop()) {
      try {
        undo();
      } catch (error) {
        // The others have to be undone all the same.
        problems.push(error instanceof Error ? error.message : String(error));
      }
    }
  };
  const handlers = SIGNALS.map((name) => {
    const handler = (): never => process.exit(128 + constants.signals[name]);
    process.on(name, handler);
    return { name, handler };
  });
  process.on("exit", run);
  return {
    later: (undo) => void steps.push(undo),
    now() {
      run();
      process.removeListener("exit", run);
      for (const { name, handler } of handlers) process.removeListener(name, handler);
      return problems;
    },
  };
}
