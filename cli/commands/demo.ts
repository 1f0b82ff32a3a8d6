/** `mainmode demo`: two hosts on this machine. The demo itself is in demo/. */
import { existsSync } from "node:fs";

/** Source files run bare end in .ts, built ones in .js. */
const MAIN = new URL(`../../demo/main${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, import.meta.url);

/** Whether this installation has a demo. */
export const hasDemo = (): boolean => existsSync(MAIN);

/** Resolves with the exit code. */
export async function demo(options: Readonly<Record<string, unknown>>): Promise<number> {
  const { runDemo } = await import("../../demo/main.ts");
  return runDemo(options);
}
