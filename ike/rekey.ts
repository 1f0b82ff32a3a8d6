/**
 * Renewal of children, make before break: when it is due the kernel is asked how much the pair was used. A pair in use gets a successor by
 * a new Quick Mode; one that nobody used since the last is let go, and traffic brings it back.
 */
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import { carrierFor, drain, rivals, supersede, tellDelete } from "./children.ts";
import { type Core, kernel, log } from "./core.ts";
import { childFields } from "./event-fields.ts";
import { saKeys } from "./install.ts";
import type { KernelCommand, SaCounters } from "./kernel-contract.ts";
import { isTooFast, limitsOf, OCTETS_PER_KILOBYTE, reserveOf } from "./limits.ts";
import { onLook } from "./liveness.ts";
import { DRAIN, SWITCH } from "./retransmit.ts";
import { RETRY_FIRST } from "./retry.ts";
import { wishFor } from "./wishes.ts";

/** Our own timers are the backstop of the kernel's events, so they come a little later. Milliseconds. */
const BACKSTOP = 2000;

/** A pair younger than this is not idle yet. Milliseconds. */
const TOO_YOUNG = 10_000;

/** By then message 3 has arrived, if it does. Milliseconds. */
const LEAST_SWITCH = 100;

/** Where the volume is too small: until the first packets on the new pair show that the flow goes on. Milliseconds. */
const AT_ONCE_MORE = 250;

/** For that long a pair may carry less than its predecessor did, since the other end has not turned to it. Milliseconds. */
const BEGINNING = 2000;

/** Share of its life during which a pair is not idle after another stepped back for it. */
const RELIEVED_SHARE = 0.5;

/** A pair with a member of a Windows cluster goes after this long without a packet, so that another member may take over (MS-IKEE §3.6). Milliseconds. */
const CLUSTER_IDLE = 60_000;

/** Waits between two looks at the kernel's counters. Milliseconds. */
const FIRST_LOOK = 2000;
const LEAST_LOOK = 1000;

/** Sets the timers of a pair that is in use from now on. */
export function armChild(core: Core, child: ChildSa): void {
  if (child.state === "draining") return core.timers.set(child, "drained", core.now + DRAIN);
  const { lifetimeSeconds, lifetimeKilobytes } = child;
  const { softSeconds, hardSeconds } = limitsOf(child.turn, { lifetimeSeconds, lifetimeKilobytes, spi: firstSpi(child) }, child.use);
  core.timers.set(child, "rekey", child.installedAt + softSeconds * 1000 + BACKSTOP);
  core.timers.set(child, "expire", child.installedAt + hardSeconds * 1000 + BACKSTOP);
  judgeVolume(core, child);
  if (child.use.tooFast && child.turn === "initiator") return core.timers.set(child, "rekey", core.now + AT_ONCE_MORE);
  const look = child.lifetimeKilobytes === null ? lookForLife(child) : FIRST_LOOK;
  if (look !== null) core.timers.set(child, "measure", core.now + look);
}

const firstSpi = (child: ChildSa): number => child.protections[0]?.spiIn ?? 0;

/** One warning per selector pair: the children that follow inherit it. */
function judgeVolume(core: Core, child: ChildSa): void {
  const before = child.use.tooFast;
  child.use.tooFast = isTooFast(child.lifetimeKilobytes, child.use);
  if (!child.use.tooFast || before || child.use.warned) return;
  child.use.warned = true;
  log(
    core,
    "child.volume",
    "warning",
    `${child.spec.remote}: ${formatSelector(child.spec.selector)}: ${child.lifetimeKilobytes} kB are too small for this link, which carries ${Math.round(child.use.rate / 1000)} kB/s; the next Quick Mode begins at once (rule ${child.spec.rule.name})`,
    { ...childFields(child), reason: "volume-too-small", hint: "raise `volume` in [policy.quick-mode], or set it to none" },
  );
}

/** Soft expiry, by the kernel's event or by our timer: a new Quick Mode takes over, unless one already did. */
export function renewChild(core: Core, child: ChildSa): void {
  if (child.state !== "installed" || child.outbound !== "installed") return;
  core.timers.clear(child, "rekey");
  ask(core, child, "renew");
}

/** One of the two that both ends made at once goes on, the same one at either end; but the peer must be told. */
function givesWay(core: Core, child: ChildSa): boolean {
  const better = rivals(core, child).find((other) => outlives(other, child));
  if (!better || !carrierFor(core, child)) return false;
  stepBack(core, child, better);
  return true;
}

/** By then the peer surely sends on a new pair of its making, and has deleted what that replaces. Milliseconds. */
const SETTLED = SWITCH + 3000;

function stepBack(core: Core, child: ChildSa, better: ChildSa): void {
  const wait = Math.max(better.installedAt, child.installedAt) + SETTLED - core.now;
  if (wait > 0) core.timers.set(child, "rekey", core.now + wait);
  else supersede(core, better, child, true);
}

/** Pairs that both ends made within one schedule of repetitions count as made at once, but never two that followed each other. Milliseconds. */
const AT_ONCE = 30_000;
const atOnce = (one: ChildSa, other: ChildSa): number =>
  Math.min(AT_ONCE, one.lifetimeSeconds * 250, Math.max(LEAST_AT_ONCE, Math.min(lasts(one), lasts(other)) / 4));

/** Even of pairs whose volume lasts for seconds. Milliseconds. */
const LEAST_AT_ONCE = 500;

/** How long the whole volume lasts at the rate that was measured. Milliseconds. */
const lasts = ({ lifetimeKilobytes, use: { rate } }: ChildSa): number =>
  lifetimeKilobytes === null || rate === 0 ? Number.POSITIVE_INFINITY : (lifetimeKilobytes * OCTETS_PER_KILOBYTE * 1000) / rate;

/** By then messages that crossed have arrived. Milliseconds. */
const CROSSED = 500;

/**
 * Which of two pairs goes on. Between two of our kind: the younger, and of two made at once the one that both ends find by its SPIs. Others take
 * the newest for the successor of all before it (strongSwan even takes its policies away with that one): the one whose message 3 came last, and
 * where two crossed, ours, since the peer had its own when it sent message 3.
 */
function outlives(one: ChildSa, other: ChildSa): boolean {
  if (one.kin) {
    const gap = one.installedAt - other.installedAt;
    return Math.abs(gap) > atOnce(one, other) ? gap > 0 : greatestSpi(one) > greatestSpi(other);
  }
  const gap = one.use.confirmedAt - other.use.confirmedAt;
  return Math.abs(gap) > CROSSED || one.role === other.role ? gap > 0 : one.role === "initiator";
}

const greatestSpi = ({ protections }: ChildSa): number => Math.max(...protections.flatMap(({ spiIn, spiOut }) => [spiIn, spiOut]));

/**
 * How long the old pair carries the traffic after message 3 of a renewal, unless a sign comes that the peer has the new one: `SWITCH`, or less
 * where its life or volume would not last. Milliseconds.
 */
export function switchDelay(core: Core, child: ChildSa | undefined): number {
  if (!child) return SWITCH;
  const { out, askedAt, rate } = child.use;
  const time = child.installedAt + child.lifetimeSeconds * 1000 - core.now;
  const octets = child.lifetimeKilobytes === null ? Number.POSITIVE_INFINITY : child.lifetimeKilobytes * OCTETS_PER_KILOBYTE - out.octets;
  const volume = rate === 0 ? Number.POSITIVE_INFINITY : (octets / rate) * 1000 - (core.now - askedAt);
  // One who does not send, and so has all its volume left, still has to be ready for the next renewal.
  return Math.max(LEAST_SWITCH, Math.min(SWITCH, time / 2, volume / 2, lasts(child) / 4));
}

/** Asks the kernel for the counters of both directions. */
export function ask(core: Core, child: ChildSa, why: "renew" | "look"): void {
  const { spec, protections } = child;
  const sas = (["in", "out"] as const).flatMap((direction) => saKeys(spec, protections, direction).slice(0, 1));
  const commands = sas.map((sa): KernelCommand => ({ do: "read-sa", sa }));
  kernel(core, commands, { kind: "measure", child: child.id, why });
}

/** The kernel's answer to `ask`; null where it could not say: an SA that is gone counts as used. */
export function onMeasured(core: Core, child: ChildSa | undefined, why: "renew" | "look", counters: readonly SaCounters[] | null): void {
  if (child?.state !== "installed" || child.outbound !== "installed") return;
  const news = counters && take(core, child, counters);
  if (why === "look") judgeVolume(core, child);
  if (why === "renew" || isNearLimit(child)) return givesWay(core, child) ? undefined : renew(core, child, counters !== null);
  const next = nextLook(child);
  if (next !== null) core.timers.set(child, "measure", core.now + next);
  if (child.cluster && !isKeptUp(child) && core.now - child.use.movedAt >= CLUSTER_IDLE) return letGo(core, child);
  if (news) onLook(core, child, news.came);
}

/** What moved since the last look. */
interface News {
  readonly came: boolean;
  readonly went: boolean;
}

function take(core: Core, child: ChildSa, [inbound = NONE, outbound = NONE]: readonly SaCounters[]): News {
  const { use } = child;
  const seconds = Math.max(core.now - use.askedAt, 1) / 1000;
  const octets = Math.max(inbound.octets - use.in.octets, outbound.octets - use.out.octets, 0);
  const news = { came: inbound.packets > use.in.packets, went: outbound.packets > use.out.packets };
  // A look right after another says little about the rate; and a pair that has just begun may not carry yet what its predecessor did.
  const began = core.now - child.installedAt < BEGINNING ? use.rate : 0;
  if (seconds >= 0.2) use.rate = Math.max(began, octets / seconds);
  Object.assign(use, { askedAt: core.now, in: inbound, out: outbound });
  use.sending = !news.came && (use.sending || news.went);
  if (news.came || news.went) use.movedAt = core.now;
  if (news.came) Object.assign(use, { heardAt: core.now, oneWay: false });
  return news;
}

export const NONE: SaCounters = { octets: 0, packets: 0 };

function renew(core: Core, child: ChildSa, known: boolean): void {
  const { use } = child;
  // What took over lately had no time to be used.
  const relieved = core.now - use.relievedAt < child.lifetimeSeconds * RELIEVED_SHARE * 1000;
  // Nor is it idle while the other end may just be choosing it out of two.
  const unused = known && use.in.packets === 0 && use.out.packets === 0 && !relieved && rivals(core, child).length === 0;
  if (use.tooFast && known && use.in.packets + use.out.packets === 0 && core.now - child.installedAt < TOO_YOUNG) {
    // The flow that wanted a quick succession is over.
    use.rate = 0;
    return armChild(core, child);
  }
  // The other end waits for that, or for the end of the pair's life.
  if (unused && !isKeptUp(child)) return child.role === "initiator" ? letGo(core, child) : undefined;
  succeed(core, child);
}

/** Begins the Quick Mode for its successor. */
export function succeed(core: Core, child: ChildSa): void {
  // A wish for the same that is under way knows nothing of this child; if it comes to nothing, there must be another.
  if (core.wishes.has(child.key)) return core.timers.set(child, "rekey", core.now + RETRY_FIRST);
  core.timers.clear(child, "rekey");
  core.timers.clear(child, "measure");
  child.state = "rekeying";
  wishFor(core, child.spec, [], child.id);
}

/** Whether an unused pair is renewed: rules that should be up, and what traffic can't bring back although somebody asked for it. */
const isKeptUp = ({ spec: { rule }, wanted }: ChildSa): boolean =>
  rule.start === "now" || (rule.start === "never" && (rule.action === "require" || rule.action === "request") && wanted);

/**
 * An idle pair ends instead of being renewed for ever. Its owner says so to the peer and stops sending, so that the next packet asks for
 * another; what is on its way still arrives.
 */
function letGo(core: Core, child: ChildSa): void {
  const ike = carrierFor(core, child);
  if (!ike) return;
  log(
    core,
    "child.closed",
    "info",
    `${child.spec.remote}: ${formatSelector(child.spec.selector)}: idle, let go; traffic brings it back (rule ${child.spec.rule.name})`,
    childFields(child),
  );
  tellDelete(core, ike, child, true);
  drain(core, child);
}

/** The rate has grown since the kernel was told when to warn. */
const isNearLimit = (child: ChildSa): boolean =>
  child.lifetimeKilobytes !== null &&
  child.lifetimeKilobytes * OCTETS_PER_KILOBYTE - Math.max(child.use.in.octets, child.use.out.octets) <= reserveOf(child.turn, child.use);

/** Sparingly: half of the time that the volume lasts at this rate, and never longer than dead peer detection needs; null: never. */
function nextLook(child: ChildSa): number | null {
  const life = lookForLife(child);
  if (child.lifetimeKilobytes === null) return life;
  const left = child.lifetimeKilobytes * OCTETS_PER_KILOBYTE - Math.max(child.use.in.octets, child.use.out.octets);
  const lasts = child.use.rate > 0 ? (left / child.use.rate) * 500 : Number.POSITIVE_INFINITY;
  const third = (child.lifetimeSeconds * 1000) / 3;
  return Math.max(LEAST_LOOK, Math.min(lasts, third, life ?? Number.POSITIVE_INFINITY));
}

function lookForLife({ spec, cluster }: ChildSa): number | null {
  const dpd = spec.rule.dpdSeconds === null ? null : spec.rule.dpdSeconds * 1000;
  return cluster ? Math.min(CLUSTER_IDLE / 2, dpd ?? CLUSTER_IDLE) : dpd;
}
