/**
 * Says when strangers begin to be heard only on second thoughts (gate.ts), and when that is over: Windows' event 4646.
 * Invariant: two records for a flood, however long it is and however many take part.
 */
import { type Core, log } from "./core.ts";
import { LOAD } from "./gate.ts";

/** Milliseconds between two looks whether it is over. */
const LOOK = 5000;
const OWNER = "load all";

/** Called for each first message of a stranger, before the gate decides about it. */
export function noticeLoad(core: Core): void {
  const { load, strangers } = core.store.halfOpen;
  if (core.loadSince !== null || load < LOAD) return;
  core.loadSince = core.now;
  core.timers.set(OWNER, "linger", core.now + LOOK);
  const kept = strangers.bulky > 0 ? `, and keep ${Math.ceil(strangers.bulky / 1000)} kB with long offers` : "";
  const text = `${strangers.size} Main Modes that others began have proved nothing${kept}: first messages are answered when they come again, or bring a cookie`;
  const hint = "peers get through all the same; `mainmode stats` counts what is put off, and a packet filter can stop the sources";
  log(core, "svc.dos-mode", "warning", text, { state: "began", hint });
}

/** Forgets it without a word: the daemon stops. */
export function dropLoad(core: Core): void {
  core.loadSince = null;
  core.timers.clearAll(OWNER);
}

/** Called when the timer of `load` is due. Over is what has fallen to half, so that it does not come and go. */
export function onLoadTimer(core: Core): void {
  if (core.loadSince === null) return;
  if (core.store.halfOpen.load > LOAD / 2) return core.timers.set(OWNER, "linger", core.now + LOOK);
  const seconds = Math.round((core.now - core.loadSince) / 1000);
  core.loadSince = null;
  log(core, "svc.dos-mode", "notice", `after ${seconds} s first messages are answered at once again`, { state: "ended" });
}
