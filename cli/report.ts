/**
 * How a command's outcome is said: steps and success on stdout, a failure as one line on stderr with the next thing to try.
 */
import type { End } from "./client.ts";
import { EXIT, type Failure } from "./exit.ts";
import { safe } from "./format.ts";

/** One line on stdout. */
export const printLine = (text: string): void => {
  process.stdout.write(`${safe(text)}\n`);
};

/** Prints the daemon's last word; the exit code. */
export function conclude({ exit, text, hint, reason }: End): number {
  if (exit === EXIT.done) {
    if (text) printLine(text);
  } else printFailure(text ?? "the daemon refused", hint, reason);
  return exit;
}

/** `mainmode: TEXT (REASON); try: HINT`. */
export function printFailure(text: string, hint?: string, reason?: string): void {
  const why = reason === undefined ? "" : ` (${reason})`;
  const next = hint === undefined ? "" : `; try: ${hint}`;
  process.stderr.write(`mainmode: ${safe(`${text}${why}${next}`)}\n`);
}

/** Prints a failure of a command; its exit code. */
export const reportFailure = ({ message, hint, exit }: Failure): number => {
  printFailure(message, hint);
  return exit;
};
