/**
 * `mainmode demo`: two hosts on this machine, each with its own daemon, negotiate and pass traffic (interface.md §5).
 */

/** What the command line asks of the demo. */
export type DemoOptions = Readonly<Record<string, unknown>>;

/** Runs the demo; resolves with the exit code: 0 only when everything that was shown really worked. */
export async function runDemo(_options: DemoOptions): Promise<number> {
  process.stderr.write("mainmode: the demo is not built yet\n");
  return 1;
}
