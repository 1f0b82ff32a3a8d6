/**
 * Exit codes (interface.md §1), and the way a command fails: it throws a Failure, and `main.ts` prints its one line.
 */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 69, noAnswer: 75, notPermitted: 77, configuration: 78 } as const;

/** A known reason to end with a code; `hint` is the next thing to try. */
export class Failure extends Error {
  readonly exit: number;
  readonly hint: string | undefined;

  constructor(exit: number, text: string, hint?: string) {
    super(text);
    this.exit = exit;
    this.hint = hint;
  }
}
