/**
 * Deletes that are said again: nobody acknowledges one, and a peer that misses the delete of its last pair sends into the void until the
 * pair's life ends. The same datagram is sent each time, which a peer that got the first takes for a replay.
 */
import { type Core, send } from "./core.ts";
import type { Path } from "./input.ts";

/** Waits between the copies. Milliseconds. */
const AGAIN: readonly number[] = [1000, 4000];

const owner = (id: number): string => `bye ${id}`;

/** Remembers a delete that was just sent. */
export function sayAgain(core: Core, path: Path, bytes: Uint8Array): void {
  // Who stops has no time for it.
  if (core.stopping) return;
  const id = core.store.newId();
  core.farewells.set(id, { path, bytes, times: 0 });
  core.timers.set(owner(id), "retransmit", core.now + (AGAIN[0] ?? 0));
}

/** Its timer. */
export function onFarewell(core: Core, id: number): void {
  const farewell = core.farewells.get(id);
  if (!farewell) return;
  send(core, farewell.path, farewell.bytes);
  const wait = AGAIN[farewell.times + 1];
  if (wait === undefined) return void core.farewells.delete(id);
  core.farewells.set(id, { ...farewell, times: farewell.times + 1 });
  core.timers.set(owner(id), "retransmit", core.now + wait);
}

/** The daemon stops. */
export function dropFarewells(core: Core): void {
  for (const id of core.farewells.keys()) core.timers.clearAll(owner(id));
  core.farewells.clear();
}
