/** When the core looks at the policies that the kernel has: soon after it hears that one may have gone, at a reload, and before a stop that is in doubt. */
import { type Core, emit } from "./core.ts";
import type { Instant } from "./input.ts";

/** The look at the kernel's policies that is under way, or the last one. */
export interface Look {
  /** Of the effect; null: none is under way. */
  id: number | null;
  /** It repeats one that could not judge all. */
  isRepeat: boolean;
  startedAt: Instant;
  /** So often in a row the kernel has not told. */
  failures: number;
  /** No other begins before, but at a reload. */
  notBefore: Instant;
  /** How many a stop may still wait for. */
  lastOnes: number;
}

const TIMER = "look all";
/** Milliseconds from the first policy that went to the look: more go with it. */
const GATHER = 100;
/** Between two looks at least, and so many times what the last one took: twenty thousand policies take `ip` a while. */
const [BETWEEN, TIMES] = [1000, 10];

/** Asks the kernel what it has, with whatever else is told within `after` milliseconds. `isRepeat`: the last look could not judge all. */
export function lookSoon(core: Core, isRepeat: boolean, after = GATHER): void {
  if (core.stopping) return;
  const due = core.timers.at(TIMER, "retry");
  core.look.isRepeat = isRepeat && (due === undefined || core.look.isRepeat);
  const at = Math.max(core.now + after, core.look.notBefore);
  if (due === undefined || at < due) core.timers.set(TIMER, "retry", at);
}

/** Asks the kernel what it has, after a reload. */
export function lookAnew(core: Core): void {
  core.look.isRepeat = false;
  look(core);
}

/** The same when it is time to. */
export function look(core: Core): void {
  if (core.stopping || core.policies.size === 0) return;
  if (core.look.id !== null) return lookSoon(core, false);
  begin(core);
}

function begin(core: Core): void {
  core.timers.clearAll(TIMER);
  core.look.id = ++core.nextOp;
  core.look.startedAt = core.now;
  core.policies.slots.beginLook();
  emit(core, { type: "look", id: core.look.id });
}

/** The kernel has not told: another one begins after `pause` milliseconds, and no sooner. */
export function lookLater(core: Core, pause: number): void {
  core.look.notBefore = Math.max(core.look.notBefore, core.now + pause);
  lookSoon(core, false, pause);
}

/** The kernel has answered. */
export function lookEnded(core: Core): void {
  core.look.id = null;
  core.look.notBefore = core.now + BETWEEN + TIMES * (core.now - core.look.startedAt);
}

/** For a stop. */
export function endLooks(core: Core): void {
  core.timers.clearAll(TIMER);
  core.look.id = null;
  core.look.lastOnes = MOST_LAST;
}

/** One could judge all, since nothing is under way by then. */
const MOST_LAST = 3;

/** The kernel has answered all that a stop has asked: whether the stop waits for another look, since something that should go, or be otherwise, is in doubt. */
export function lookLast(core: Core): boolean {
  if (core.look.lastOnes === 0 || core.policies.slots.unsure().length === 0) return false;
  core.look.lastOnes--;
  begin(core);
  return true;
}
