/**
 * Acquires for packets whose source is no address of ours. In transport mode a filter may name one host as its own side that is another one, whose packets
 * pass through here: nothing can be negotiated for those, and the log says so once. Or it is an address of ours of which we hear in a moment, since the kernel
 * uses it before it has told us: so each is kept for as long as the kernel would not ask again, and taken up as soon as the address is known.
 * Invariant: bounded, and the oldest go first.
 */
import { ruleNamed } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import { type Core, count, logError } from "./core.ts";
import type { Instant } from "./input.ts";
import type { KernelEvent } from "./kernel-contract.ts";

/** What the kernel has asked for. */
export type Acquire = Pick<KernelEvent & { readonly type: "acquire" }, "reqid" | "source" | "destination">;

interface Waiting {
  readonly acquire: Acquire;
  readonly rule: Rule;
  readonly since: Instant;
  readonly last: Instant;
}

/** For so long the kernel asks once only (its larval SA, `xfrm_acq_expires`). Milliseconds. */
const ASKED_ONCE = 30_000;
/** An address that the kernel uses is heard of long before. Milliseconds. */
const HEARD_OF = 2000;
const MOST = 1000;

const OWNER = "others all";

/** What waits for an address, and of which rules and sources the log has spoken. */
export class Others {
  readonly waiting = new Map<string, Waiting>();
  readonly told = new WeakMap<Rule, Set<string>>();

  get size(): number {
    return this.waiting.size;
  }
}

/** A packet of a source that is no address of ours, as far as we know, waits for protection. */
export function holdForAddress(core: Core, rule: Rule, acquire: Acquire): void {
  count(core, "acquire for a packet of another host");
  const { waiting } = core.others;
  const key = `${acquire.reqid} ${acquire.source} ${acquire.destination}`;
  if (waiting.size === 0) core.timers.set(OWNER, "expire", core.now + HEARD_OF);
  const since = waiting.get(key)?.since ?? core.now;
  waiting.delete(key);
  waiting.set(key, { acquire, rule, since, last: core.now });
  if (waiting.size > MOST) waiting.delete(waiting.keys().next().value ?? "");
}

/** Time to tell about those that are still no address of ours, and to forget what the kernel asks for again. */
export function onOthersTimer(core: Core): void {
  const { waiting } = core.others;
  for (const [key, one] of waiting) {
    if (core.now - one.since >= HEARD_OF) tellOnce(core, one);
    if (core.now - one.last >= ASKED_ONCE) waiting.delete(key);
  }
  if (waiting.size > 0) core.timers.set(OWNER, "expire", core.now + HEARD_OF);
}

function tellOnce(core: Core, { rule, acquire: { source, destination } }: Waiting): void {
  const { told } = core.others;
  const sources = told.get(rule) ?? new Set();
  if (sources.has(source) || ruleNamed(core.policy, rule.name) !== rule) return;
  told.set(rule, sources.add(source));
  const what = `${source} is no address of this host, and in transport mode nothing can be negotiated for what others send through it: such packets ${rule.clear.discovery ? "leave in clear" : "are dropped"}`;
  logError(
    core,
    "child.failed",
    `rule ${rule.name}, peer ${destination}`,
    { kind: "not-ours", what },
    {
      ...{ role: "initiator", local: source, peer: destination, rule: rule.name },
    },
  );
}

/** Our addresses have changed: what has waited for one of them, for `take` to begin. What has gone is told about again. */
export function resumeOthers(core: Core, take: (core: Core, acquire: Acquire) => void): void {
  const { waiting, told } = core.others;
  const ours = new Set(core.addresses);
  for (const rule of core.policy.rules) for (const source of told.get(rule) ?? []) if (ours.has(source)) told.get(rule)?.delete(source);
  for (const [key, { acquire, last }] of waiting) {
    if (!ours.has(acquire.source)) continue;
    waiting.delete(key);
    if (core.now - last < ASKED_ONCE) take(core, acquire);
  }
  if (waiting.size === 0) core.timers.clearAll(OWNER);
}

/** The end. */
export function dropOthers(core: Core): void {
  core.others.waiting.clear();
  core.timers.clearAll(OWNER);
}
