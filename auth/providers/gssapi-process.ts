/**
 * A process of its own for calls of the GSS library, any of which may hang as long as a KDC is silent. Forked by `gssapi-lane.ts`; it ends
 * with its channel. Invariant: signals of a terminal are the daemon's business, so that peers are told before their contexts go.
 */
import { type Contexts, gssContexts } from "./gssapi-contexts.ts";
import { loadGss } from "./gssapi-library.ts";
import type { FromProcess, ToProcess } from "./gssapi-messages.ts";

let contexts: Promise<Contexts | undefined> | undefined;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
process.on("disconnect", () => process.exit(0));
process.on("message", (message: ToProcess) => void receive(message));

async function receive(message: ToProcess): Promise<void> {
  if ("library" in message) {
    contexts ??= load(message.library);
    return;
  }
  const result = await (await contexts)?.run(message.call);
  if (result) say({ id: message.id, result });
}

async function load(path: string): Promise<Contexts | undefined> {
  const gss = await loadGss(path);
  if (gss.ok) return gssContexts(gss.value);
  say({ missing: gss.error });
  process.disconnect?.();
  return undefined;
}

const say = (message: FromProcess): void => void process.send?.(message);
