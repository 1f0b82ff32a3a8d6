/**
 * A process of its own for the system's resolver, which answers one caller at a time for as long as a name server is silent. Forked by `name-lookups.ts`; it
 * ends with its channel. Invariant: signals of a terminal are the daemon's business.
 */
import { lookup } from "node:dns/promises";
import type { NameAnswer } from "./name-lookups.ts";

const NOBODY = 65_534;

giveUpRoot();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
// An exit would wait for every look-up under way.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.on("message", (name: string) => void answer(name));

async function answer(name: string): Promise<void> {
  const found = await lookup(name, { all: true, verbatim: true }).catch(() => []);
  const message: NameAnswer = { name, addresses: found.map(({ address }) => address) };
  process.send?.(message, () => {});
}

/** It reads what strangers' name servers answer, and needs no right for that. */
function giveUpRoot(): void {
  if (process.getuid?.() !== 0) return;
  try {
    process.setgroups?.([]);
    process.setgid?.(NOBODY);
    process.setuid?.(NOBODY);
  } catch {
    // In a user namespace there may be nobody else.
  }
}
