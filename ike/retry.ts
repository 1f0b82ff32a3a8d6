/**
 * Trying again: rules that should be up are never given up, waits grow to a ceiling with jitter, each peer has a breaker of its own, and
 * Main Modes that nobody waits for begin at a bounded rate, so that ten thousand peers that come back at once don't stampede.
 */
import { ruleNamed } from "../policy/select.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { ChildWish } from "../sa-store/ike-sa.ts";
import { type Core, count, log, random32 } from "./core.ts";
import { isUp, pursue, ruleOfKey, specKey, wishFor } from "./wishes.ts";

/** First wait before a rule that should be up tries again; doubles up to the ceiling. Milliseconds. */
export const RETRY_FIRST = 5_000;
const RETRY_CEILING = 300_000;

/** Traffic begins nothing with a peer that did not answer for this long at most. Milliseconds. */
const HOLD_CEILING = 60_000;

/** Main Modes that begin without anybody waiting: one in so many milliseconds, after this many at once. */
const START_EVERY = 5;
const START_AT_ONCE = 100;

/** Peers whose failures are remembered; beyond that the oldest are forgotten. */
const MOST_OUTAGES = 20_000;

const peerKey = (local: string, remote: string): string => `${local} ${remote}`;

/** Up to a quarter less, so that what failed together is not tried again together. */
const jittered = (core: Core, wait: number): number => Math.round(wait * (1 - (0.25 * (random32(core, 0) % 1000)) / 1000));

/** A rule with start = "now" is never given up. */
export function keepTrying(core: Core, spec: ChildSpec): void {
  if (core.stopping || spec.rule.start !== "now" || !ruleNamed(core.policy, spec.rule.name)) return;
  const key = specKey(spec);
  if (isUp(core, spec)) return stopTrying(core, spec);
  const tries = core.retries.get(key)?.tries ?? 0;
  const wait = jittered(core, Math.min(RETRY_CEILING, RETRY_FIRST * 2 ** tries));
  core.retries.set(key, { spec, tries: Math.min(tries + 1, 16) });
  core.timers.set(`retry ${key}`, "retry", core.now + wait);
  core.outages.get(peerKey(spec.local, spec.remote))?.waiting.add(key);
  log(core, "child.retry", "info", `rule ${spec.rule.name}, peer ${spec.remote}: next try in ${Math.round(wait / 1000)} s`, {
    rule: spec.rule.name,
    peer: spec.remote,
  });
}

/** A pair is up, whoever asked for it: the next outage begins with the shortest wait again. */
export function stopTrying(core: Core, spec: ChildSpec): void {
  if (core.retries.size === 0 && core.outages.size === 0) return;
  const key = specKey(spec);
  core.outages.delete(key);
  core.retries.delete(key);
  core.timers.clearAll(`retry ${key}`);
}

/** The wait is over. */
export function onRetry(core: Core, key: string): void {
  const retry = core.retries.get(key);
  // Traffic that was held off begins once; if it comes to nothing, other traffic may.
  if (retry && retry.spec.rule.start !== "now") core.retries.delete(key);
  if (retry && !isUp(core, retry.spec)) wishFor(core, retry.spec, [], null);
}

/** Main Mode came to nothing, or the peer was found dead. */
export const failPeer = (core: Core, local: string, remote: string): void => fail(core, peerKey(local, remote));

/** The peer is there and refused just this: other needs of it are not held off. */
export const failNeed = (core: Core, spec: ChildSpec): void => fail(core, specKey(spec));

/** What a rule asked for in vain may be tried at once: it means something else now. */
export function forgetFailures(core: Core, rules: ReadonlySet<string>): void {
  for (const key of core.outages.keys()) if (rules.has(ruleOfKey(key))) core.outages.delete(key);
}

function fail(core: Core, key: string): void {
  const before = core.outages.get(key);
  const failures = (before?.failures ?? 0) + 1;
  const hold = jittered(core, Math.min(HOLD_CEILING, RETRY_FIRST * 2 ** Math.min(failures - 1, 10)));
  core.outages.delete(key);
  core.outages.set(key, { failures, until: core.now + hold, waiting: before?.waiting ?? new Set() });
  if (core.outages.size > MOST_OUTAGES) core.outages.delete(core.outages.keys().next().value ?? "");
}

/**
 * Whether traffic has to wait: nothing begins right after a peer was found silent, or has refused the same. What it asks for meanwhile begins when that
 * time is over, since the kernel would not ask again for half a minute (its larval SA lives that long, and can't be removed: it has no SPI).
 */
export function isHeldOff(core: Core, spec: ChildSpec): boolean {
  const key = specKey(spec);
  const [silent, refused] = [core.outages.get(peerKey(spec.local, spec.remote)), core.outages.get(key)];
  const outage = [silent, refused].find((one) => one !== undefined && one.until > core.now);
  if (!outage) return false;
  count(core, outage === silent ? "held off: the peer did not answer lately" : "held off: the peer refused it lately");
  if (core.retries.has(key) || core.retries.size >= MOST_OUTAGES) return true;
  core.retries.set(key, { spec, tries: 0 });
  core.timers.set(`retry ${key}`, "retry", outage.until);
  outage.waiting.add(key);
  return true;
}

/** The peer is there again, whoever began: what waits for it is tried now. */
export function peerIsBack(core: Core, local: string, remote: string): void {
  const key = peerKey(local, remote);
  const outage = core.outages.get(key);
  if (!outage) return;
  core.outages.delete(key);
  log(core, "peer.back", "notice", `${remote} is there again after ${outage.failures} failed tries`, { peer: remote });
  for (const waiting of outage.waiting)
    if (core.retries.has(waiting)) core.timers.set(`retry ${waiting}`, "retry", core.now + (random32(core, 0) % 1000));
}

/** Whether a Main Mode for a wish may begin now; if not, the wish comes back when it is its turn. Whoever waits for a command does not queue. */
export function mayBegin(core: Core, wish: ChildWish): boolean {
  const start = Math.max(core.nextStart, core.now);
  if (wish.watchers.size === 0 && !core.paced.has(wish.key)) {
    core.nextStart = start + START_EVERY;
    if (start - core.now > START_EVERY * START_AT_ONCE) {
      core.paced.set(wish.key, wish);
      core.timers.set(`pace ${wish.key}`, "retry", start - START_EVERY * START_AT_ONCE);
      return false;
    }
  }
  core.paced.delete(wish.key);
  return true;
}

/** Its turn has come. */
export function onPace(core: Core, key: string): void {
  const wish = core.paced.get(key);
  if (wish && core.wishes.get(key) === wish) pursue(core, wish);
  core.paced.delete(key);
}

/** Wishes that wait for their turn end. */
export function dropPaced(core: Core, meant: (rule: string) => boolean): readonly ChildWish[] {
  const dropped = [...core.paced.values()].filter((wish) => meant(wish.spec.rule.name));
  for (const wish of dropped) dropPacedWish(core, wish);
  return dropped;
}

/** The same of one. */
export function dropPacedWish(core: Core, { key }: ChildWish): void {
  core.paced.delete(key);
  core.timers.clearAll(`pace ${key}`);
}
