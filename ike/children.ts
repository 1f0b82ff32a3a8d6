/**
 * The life of a child SA after its Quick Mode: activation, renewal, draining, removal.
 */
import { PROTOCOL } from "../isakmp/numbers.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa, ChildSpec, Protection } from "../sa-store/child-sa.ts";
import type { ChildWish, IkeSa, Role } from "../sa-store/ike-sa.ts";
import { type Core, childFields, log, spiText } from "./core.ts";
import { protocolSuiteName } from "./crypto/suite.ts";
import type { IkeError } from "./errors.ts";
import { tellPeer } from "./informational.ts";
import { type Limits, saKeys } from "./install.ts";
import type { KernelCommand, SaKey } from "./kernel-contract.ts";
import { deleteChild } from "./notifies.ts";
import { endExchange } from "./phase2.ts";
import type { ChildAgreed } from "./quick-mode.ts";
import { DRAIN } from "./retransmit.ts";
import { upkeep } from "./standing.ts";
import { tell } from "./watch.ts";
import { keepTrying, RETRY_FIRST, specKey, stopTrying, wishFor } from "./wishes.ts";

/** Where the soft limits lie: the original initiator renews first, the responder only if it does not. */
const SOFT_SHARE: Readonly<Record<Role, number>> = { initiator: 0.8, responder: 0.9 };

/** Our own timers are the backstop of the kernel's events, so they come a little later. Milliseconds. */
const BACKSTOP = 2000;

const owner = (child: ChildSa): string => `child ${child.id}`;

/** Kernel limits of a child. One kilobyte is 1000 octets. */
export function limitsOf(role: Role, agreed: Pick<ChildAgreed, "lifetimeSeconds" | "lifetimeKilobytes">): Limits {
  const softShare = SOFT_SHARE[role];
  return {
    softSeconds: Math.max(1, Math.floor(agreed.lifetimeSeconds * softShare)),
    hardSeconds: agreed.lifetimeSeconds,
    kilobytes: agreed.lifetimeKilobytes,
    softShare,
  };
}

/** Files a child whose inbound SAs are in the kernel. */
export function newChild(core: Core, ike: IkeSa, spec: ChildSpec, role: Role, agreed: ChildAgreed, replaces: number | null): ChildSa {
  const key = specKey(spec);
  const older = replaces === null ? core.store.byKey(key).at(-1) : core.store.children.get(replaces);
  const child: ChildSa = {
    id: core.store.newId(),
    key,
    spec,
    role,
    protections: agreed.keys.map(({ suite, spiIn, spiOut }): Protection => ({ suite, spiIn, spiOut })),
    group: agreed.group?.name ?? null,
    lifetimeSeconds: agreed.lifetimeSeconds,
    lifetimeKilobytes: agreed.lifetimeKilobytes,
    installedAt: core.now,
    rekeys: older ? older.rekeys + 1 : 0,
    ike: ike.id,
    state: "installed",
    outbound: "none",
  };
  core.store.putChild(child);
  ike.children.add(child.id);
  return child;
}

/** Both directions are in the kernel: the child carries traffic, and the one that it was made to replace steps back. */
export function activate(core: Core, child: ChildSa, wish: ChildWish | null): void {
  const { lifetimeSeconds, role } = child;
  stopTrying(core, child.spec);
  core.timers.set(owner(child), "rekey", child.installedAt + limitsOf(role, child).softSeconds * 1000 + BACKSTOP);
  core.timers.set(owner(child), "expire", child.installedAt + lifetimeSeconds * 1000 + BACKSTOP);
  const suites = child.protections.map(({ suite }) => protocolSuiteName(suite)).join("+");
  const [first] = child.protections;
  const spis = first ? `spi ${spiText(first.spiIn)} in, ${spiText(first.spiOut)} out` : "";
  const text = `${child.spec.remote}: ${formatSelector(child.spec.selector)} protected by ${suites}, ${child.spec.rule.mode}, ${child.group ? `PFS ${child.group}` : "no PFS"}, ${spis}, ${lifetimeSeconds} s (rule ${child.spec.rule.name})`;
  const others = rivals(core, child);
  log(core, others.length > 0 ? "child.rekeyed" : "child.established", others.length > 0 ? "info" : "notice", text, childFields(child));
  if (wish) tell(core, wish.watchers, `child installed: ${suites}, ${spis}`);
  // Whoever made the new pair deletes the one that it replaces, and no other: the peer may have made a second one at the same moment,
  // and two ends that each delete the other's are left with none.
  for (const [i, old] of others.entries()) if (old.id === wish?.replaces || i < others.length - MOST_RIVALS) supersede(core, child, old);
}

/** Pairs for the same selectors besides a new one: both ends may have renewed at the same moment. */
const MOST_RIVALS = 2;

/** The other pairs for the same selectors that carry traffic, oldest first. */
const rivals = (core: Core, child: ChildSa): readonly ChildSa[] =>
  core.store.byKey(child.key).filter((other) => other.id !== child.id && other.state !== "draining" && other.outbound === "installed");

function supersede(core: Core, child: ChildSa, old: ChildSa): void {
  const ike = carrierFor(core, child);
  if (ike) tellDelete(core, ike, old);
  drain(core, old);
}

/** Stops sending on a pair now; late packets may still come in for a while. Its policies go at once: they would hold up what may be sent in clear. */
export function drain(core: Core, old: ChildSa): void {
  if (old.state === "draining") return;
  old.state = "draining";
  core.timers.clear(owner(old), "rekey");
  upkeep(core, [...removals(outboundOf(old)), ...core.policies.release(old, false)]);
  // What the kernel is only asked for yet is undone when it answers.
  if (old.outbound === "installed") old.outbound = "none";
  core.timers.set(owner(old), "drained", core.now + DRAIN);
}

/** The peer deleted its inbound SA, which is our outbound one. */
export function onPeerDelete(core: Core, child: ChildSa): void {
  const error: IkeError = { kind: "peer-refused", what: `${child.spec.remote} deleted the new pair before it was in use` };
  if (endUnfinished(core, child, error)) return;
  const successor = core.store.byKey(child.key).some((other) => other.id !== child.id && other.state !== "draining");
  if (child.state === "draining" || successor) return drain(core, child);
  removeChild(core, child, "the peer deleted it", false);
  keepTrying(core, child.spec);
}

/** Soft expiry, by the kernel's event or by our timer: a new Quick Mode takes over, unless one already did. */
export function renewChild(core: Core, child: ChildSa): void {
  if (child.state !== "installed" || child.outbound !== "installed") return;
  if (rivals(core, child).some((other) => outlives(other, child))) return;
  // A wish for the same that is under way knows nothing of this child; if it comes to nothing, there must be another.
  if (core.wishes.has(child.key)) return core.timers.set(owner(child), "rekey", core.now + RETRY_FIRST);
  core.timers.clear(owner(child), "rekey");
  child.state = "rekeying";
  wishFor(core, child.spec, [], child.id);
}

/** Pairs that both ends made within one schedule of repetitions count as made at once. Milliseconds. */
const AT_ONCE = 30_000;

/** Which of two pairs is renewed: the younger, and of two made at once the one that both ends find by its SPIs. */
function outlives(one: ChildSa, other: ChildSa): boolean {
  const gap = one.installedAt - other.installedAt;
  return Math.abs(gap) > AT_ONCE ? gap > 0 : greatestSpi(one) > greatestSpi(other);
}

const greatestSpi = ({ protections }: ChildSa): number => Math.max(...protections.flatMap(({ spiIn, spiOut }) => [spiIn, spiOut]));

/** Hard expiry: the kernel dropped one direction, so the other is of no use. */
export function expireChild(core: Core, child: ChildSa): void {
  const { state } = child;
  removeChild(core, child, "its lifetime ended", state !== "draining");
  if (state !== "draining") keepTrying(core, child.spec);
}

/** Takes a child out of the kernel and the store; `tellThePeer` sends deletes where an IKE SA can carry them. */
export function removeChild(core: Core, child: ChildSa, why: string, tellThePeer: boolean): void {
  if (endUnfinished(core, child, { kind: "terminated", what: why })) return;
  const ike = tellThePeer ? carrierFor(core, child) : undefined;
  if (ike) tellDelete(core, ike, child);
  log(
    core,
    "child.closed",
    child.state === "draining" ? "debug" : "notice",
    `${child.spec.remote}: ${formatSelector(child.spec.selector)}: closed, ${why} (rule ${child.spec.rule.name})`,
    childFields(child),
  );
  forgetChild(core, child);
}

/** A child whose Quick Mode is not over goes with it: nothing may wait for it any more, and nothing install the rest. */
function endUnfinished(core: Core, child: ChildSa, error: IkeError): boolean {
  const ike = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (ike?.phase !== "established" || child.outbound === "installed") return false;
  const ex = [...ike.exchanges.values()].find(({ state }) => "child" in state && state.child === child);
  if (ex) endExchange(core, ike, ex, error);
  return ex !== undefined;
}

/** Without a word: kernel SAs, policies, store, timers. */
export function forgetChild(core: Core, child: ChildSa): void {
  core.timers.clearAll(owner(child));
  core.store.removeChild(child);
  const ike = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (ike?.phase === "established") ike.children.delete(child.id);
  const sas = [...saKeys(child.spec, child.protections, "in"), ...outboundOf(child)];
  upkeep(core, [...removals(sas), ...core.policies.release(child, core.store.byKey(child.key).length === 0)]);
}

/** An established IKE SA with the child's peer: its own, or another. */
export function carrierFor(core: Core, child: ChildSa): IkeSa | undefined {
  const own = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (own?.phase === "established") return own;
  return core.store.byPeer(child.spec.local, child.spec.remote).findLast((entry): entry is IkeSa => entry.phase === "established");
}

function tellDelete(core: Core, ike: IkeSa, child: ChildSa): void {
  tellPeer(
    core,
    ike,
    child.protections.map(({ suite, spiIn }) => deleteChild(suite.protocol === "esp" ? PROTOCOL.ESP : PROTOCOL.AH, spiIn)),
  );
}

/** The outbound SAs that the kernel surely has of ours. One that it is asked for may turn out to be somebody else's. */
const outboundOf = (child: ChildSa): readonly SaKey[] =>
  child.outbound === "installed" ? saKeys(child.spec, child.protections, "out") : [];

const removals = (sas: readonly SaKey[]): readonly KernelCommand[] => sas.map((sa) => ({ do: "remove-sa", sa }));
