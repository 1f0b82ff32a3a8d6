/** Where the picture of the terminal monitor is kept: the screen as tmux captured it, and what is drawn of it. Recorded by test/interop/picture.ts. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Screen } from "./terminal-svg.ts";

const ROOT =
  ["../..", "../../.."]
    .map((up) => join(dirname(fileURLToPath(import.meta.url)), up))
    .find((path) => existsSync(join(path, "package.json"))) ?? ".";

export const PICTURE = { svg: join(ROOT, "docs/images/monitor.svg"), screen: join(ROOT, "docs/images/monitor.ansi") } as const;
export const SIZE = { columns: 120, rows: 30 } as const;

/** The screen that is kept. */
export const readScreen = (): Screen => ({
  title: "mainmode monitor",
  columns: SIZE.columns,
  lines: readFileSync(PICTURE.screen, "utf8").replace(/\n$/, "").split("\n"),
});
