/**
 * Commands that wait for negotiations: lines as steps happen, one last line with the exit code.
 */
import type { Core } from "./core.ts";
import { explain, type IkeError } from "./errors.ts";

/** A command and the wishes it waits for. */
export interface Watch {
  readonly id: number;
  readonly what: string;
  /** Keys of wishes that are neither done nor failed. */
  readonly open: Set<string>;
  failure: IkeError | null;
}

/** A line for everyone who waits for this wish: a text, or how to make one, as mostly nobody waits. */
export function tell(core: Core, watchers: Iterable<number>, text: string | (() => string)): void {
  for (const id of watchers)
    if (core.watches.has(id))
      core.effects.push({ type: "reply", id, line: { text: typeof text === "string" ? text : text() }, last: false });
}

/** One wish came true or failed; the last one answers the command. */
export function settle(core: Core, watchers: Iterable<number>, key: string, failure: IkeError | null): void {
  for (const id of watchers) {
    const watch = core.watches.get(id);
    if (!watch?.open.delete(key)) continue;
    if (failure) {
      watch.failure = failure;
      if (watch.open.size > 0) tell(core, [id], `failed: ${failure.what}`);
    }
    if (watch.open.size === 0) finish(core, watch);
  }
}

/** The last line: done, or the reason with the next thing to try. */
export function finish(core: Core, watch: Watch): void {
  core.watches.delete(watch.id);
  core.timers.clearAll(`watch ${watch.id}`);
  if (!watch.failure) {
    core.effects.push({ type: "reply", id: watch.id, line: { text: `${watch.what}: done`, exit: 0 }, last: true });
    return;
  }
  const { text, reason, hint, exit } = explain(watch.failure);
  core.effects.push({ type: "reply", id: watch.id, line: { text: `${watch.what}: ${text}`, exit, reason, hint }, last: true });
}
