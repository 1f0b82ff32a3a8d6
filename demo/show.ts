/** The ladder on the page, in colours where there are any. */
import { drawLadder, type PaintRung, type Rung } from "./ladder.ts";
import type { Ink, Page } from "./page.ts";

const INKS: Readonly<Record<Parameters<PaintRung>[0], Ink | undefined>> = { head: "bold", ike: "cyan", esp: "green", parts: undefined };

/** Prints a ladder between two named ends. */
export function showLadder(page: Page, ends: readonly [string, string], rungs: readonly Rung[]): void {
  const paint: PaintRung = (kind, text) => {
    const ink = INKS[kind];
    return ink ? page.paint(ink, text) : text;
  };
  for (const line of drawLadder(ends, rungs, paint)) page.line(line);
}
