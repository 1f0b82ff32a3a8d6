/** How many random policies are tried in a kernel, with which seed, and what is said of the first one that fails: for `npm run policy`. */
import assert from "node:assert/strict";
import type { Parameters, RunDetails } from "fast-check";

export const RUNS = Number(process.env["MAINMODE_POLICIES"] ?? 25);

/**
 * What fast-check is told; `only` is a word of the file's name that no other has, `examples` are tried first. A failure tells how to see it again.
 */
export function randomRuns<T>(only: string, examples: T[] = []): Parameters<T> {
  const seed = process.env["MAINMODE_SEED"];
  const reporter = (run: RunDetails<T>): void => {
    if (!run.failed) return;
    const said = run.errorInstance instanceof Error ? run.errorInstance.message : String(run.errorInstance);
    const again = `npm run policy -- --only ${only} --random ${RUNS} --seed=${run.seed}`;
    assert.fail(`${said}\nagain:  ${again}\n        (policy ${run.numRuns} of the run, made smaller ${run.numShrinks} times)`);
  };
  return { numRuns: RUNS, reporter, examples, ...(seed ? { seed: Number(seed) } : {}) };
}
