/**
 * The life of a child SA after its Quick Mode: activation, renewal, draining, removal.
 */
import { PROTOCOL } from "../isakmp/numbers.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa, ChildSpec, ChildUse, Protection } from "../sa-store/child-sa.ts";
import type { ChildWish, IkeSa, Role } from "../sa-store/ike-sa.ts";
import { type Core, log, spiText, whoIs } from "./core.ts";
import { protocolSuiteName } from "./crypto/suite.ts";
import type { EventFields } from "./effect.ts";
import type { IkeError } from "./errors.ts";
import { childFields } from "./event-fields.ts";
import { sayAgain } from "./farewell.ts";
import { guardFlow, relieveGuard } from "./fronts.ts";
import { tellPeer } from "./informational.ts";
import { saKeys } from "./install.ts";
import type { KernelCommand, SaKey } from "./kernel-contract.ts";
import { turnOf } from "./limits.ts";
import { encapsulationOf } from "./nat-path.ts";
import { deleteChild } from "./notifies.ts";
import { connected, endExchange } from "./phase2.ts";
import type { ChildAgreed } from "./quick-mode.ts";
import { armChild, NONE } from "./rekey.ts";
import { DRAIN } from "./retransmit.ts";
import { keepTrying, stopTrying } from "./retry.ts";
import { upkeep } from "./standing.ts";
import { tell } from "./watch.ts";
import { specKey } from "./wishes.ts";

/** From message 3 until the new pair carries the traffic, where it is in a hurry. Milliseconds. */
export const LEAST_QUICK_MODE = 800;

/** What a new child gets from the exchange that makes it. */
export interface Origin {
  readonly role: Role;
  readonly agreed: ChildAgreed;
  /** The initiator's. */
  readonly wish: ChildWish | null;
  readonly startedAt: number;
}

/** The child that a new one for the same selectors follows. */
export const predecessorOf = (core: Core, spec: ChildSpec, wish: ChildWish | null, itself?: ChildSa): ChildSa | undefined =>
  (wish?.replaces == null ? undefined : core.store.children.get(wish.replaces)) ??
  core.store.newestOf(itself?.key ?? specKey(spec), itself);

/** Files a child whose inbound SAs are in the kernel. */
export function newChild(core: Core, ike: IkeSa, spec: ChildSpec, { role, agreed, wish, startedAt }: Origin): ChildSa {
  const older = predecessorOf(core, spec, wish);
  const child: ChildSa = {
    id: core.store.newId(),
    key: wish?.key ?? specKey(spec),
    spec,
    peerId: ike.sa.peerId,
    who: whoIs(ike),
    encap: encapsulationOf(ike),
    kin: ike.sa.peer.mainmode,
    cluster: ike.sa.peer.cluster,
    role,
    turn: turnOf(ike, role),
    protections: agreed.keys.map(({ suite, spiIn, spiOut }): Protection => ({ suite, spiIn, spiOut })),
    group: agreed.group?.name ?? null,
    lifetimeSeconds: agreed.lifetimeSeconds,
    lifetimeKilobytes: agreed.lifetimeKilobytes,
    installedAt: core.now,
    wanted: (older?.wanted ?? false) || (wish?.watchers.size ?? 0) > 0,
    rekeys: older ? older.rekeys + 1 : 0,
    use: newUse(core.now, startedAt, older?.use),
    ike: ike.id,
    state: "installed",
    outbound: "none",
    timers: undefined,
  };
  core.store.putChild(child);
  ike.children.add(child.id);
  return child;
}

/** Nothing went through it yet; what was measured before it is the best guess. */
const newUse = (now: number, startedAt: number, before: ChildUse | undefined): ChildUse => ({
  askedAt: now,
  in: NONE,
  out: NONE,
  rate: before?.rate ?? 0,
  // Until it is in use: when the exchange began.
  quickMode: now - startedAt,
  tooFast: before?.tooFast ?? false,
  warned: before?.warned ?? false,
  oneWay: before?.oneWay ?? false,
  sending: false,
  confirmedAt: now,
  relievedAt: now,
  heardAt: now,
  movedAt: now,
});

/**
 * Both directions are in the kernel: the child carries traffic, and the one that it was made to replace steps back. `quick` names the Quick
 * Mode in which it was made.
 */
export function activate(core: Core, child: ChildSa, wish: ChildWish | null, quick: EventFields): void {
  const { lifetimeSeconds, use } = child;
  stopTrying(core, child.spec);
  relieveGuard(core, child);
  use.quickMode += LEAST_QUICK_MODE;
  if (child.role === "responder") use.confirmedAt = core.now;
  armChild(core, child);
  const suites = child.protections.map(({ suite }) => protocolSuiteName(suite)).join("+");
  const [first] = child.protections;
  const spis = first ? `spi ${spiText(first.spiIn)} in, ${spiText(first.spiOut)} out` : "";
  const text = `${child.spec.remote}: ${formatSelector(child.spec.selector)} protected by ${suites}, ${child.spec.rule.mode}, ${child.group ? `PFS ${child.group}` : "no PFS"}, ${spis}, ${lifetimeSeconds} s (rule ${child.spec.rule.name})`;
  const others = [...rivals(core, child), ...elsewhere(core, child, wish)];
  const [name, level] = others.length > 0 ? (["child.rekeyed", "info"] as const) : (["child.established", "notice"] as const);
  log(core, name, level, text, Object.assign({}, quick, childFields(child)));
  if (wish) tell(core, wish.watchers, `child installed: ${suites}, ${spis}`);
  // Whoever made the new pair deletes the one that it replaces, and no other: the peer may have made a second one at the same moment,
  // and two ends that each delete the other's are left with none.
  for (const [i, old] of others.entries())
    if (old.id === wish?.replaces || i < others.length - MOST_RIVALS) supersede(core, child, old, old.id !== wish?.replaces);
}

/** The pair that this one replaces because the peer's address changed: it has another key. */
function elsewhere(core: Core, child: ChildSa, wish: ChildWish | null): readonly ChildSa[] {
  const old = wish?.replaces == null ? undefined : core.store.children.get(wish.replaces);
  return old && old.key !== child.key && old.outbound === "installed" ? [old] : [];
}

/** Windows deletes what was not used for five minutes, of members of a cluster for one (MS-IKEE §3.6). Milliseconds. */
const WINDOWS_IDLE = 60_000;

/** Pairs for the same selectors besides a new one: both ends may have renewed at the same moment. */
const MOST_RIVALS = 2;

/** The other pairs for the same selectors that carry traffic, oldest first. */
export const rivals = (core: Core, child: ChildSa): readonly ChildSa[] =>
  core.store.byKey(child.key).filter((other) => other.id !== child.id && other.state !== "draining" && other.outbound === "installed");

/** `child` carries the traffic of `old` from now on. `again`: the peer may be sending on `old` for as long as it knows nothing of that. */
export function supersede(core: Core, child: ChildSa, old: ChildSa, again: boolean): void {
  const ike = carrierFor(core, child);
  if (ike) tellDelete(core, ike, old, again);
  drain(core, old);
}

/** Stops sending on a pair now; late packets may still come in for a while. Its policies go at once: they would hold up what may be sent in clear. */
export function drain(core: Core, old: ChildSa): void {
  if (old.state === "draining") return;
  old.state = "draining";
  core.store.touch(old);
  core.timers.clear(old, "rekey");
  core.timers.clear(old, "measure");
  upkeep(core, [...removals(outboundOf(old)), ...core.policies.release(old, false)]);
  for (const other of rivals(core, old)) other.use.relievedAt = core.now;
  // What the kernel is only asked for yet is undone when it answers.
  if (old.outbound === "installed") old.outbound = "none";
  core.timers.set(old, "drained", core.now + DRAIN);
}

/** The peer deleted its inbound SA, which is our outbound one. */
export function onPeerDelete(core: Core, child: ChildSa): void {
  const error: IkeError = { kind: "peer-refused", what: `${child.spec.remote} deleted the new pair before it was in use` };
  if (endUnfinished(core, child, error)) return;
  takeUpSuccessor(core, child);
  const successor = core.store.byKey(child.key).some((other) => other.id !== child.id && other.state !== "draining");
  if (child.state === "draining" || successor) return drain(core, child);
  const idle = carrierFor(core, child)?.sa.peer.windows === true && core.now - child.installedAt >= WINDOWS_IDLE;
  removeChild(core, child, idle ? "Windows let it go as idle; traffic brings it back" : "the peer deleted it", false);
  keepTrying(core, child.spec);
}

/** A peer that deletes the old pair has the new one: our renewal waits no longer for a sign of that. */
function takeUpSuccessor(core: Core, child: ChildSa): void {
  const { local, remote } = child.spec;
  for (const entry of core.store.byPeer(local, remote))
    for (const ex of entry.phase === "established" ? entry.exchanges.values() : [])
      if (entry.phase === "established" && ex.state.kind === "confirmed" && ex.state.wish.replaces === child.id) connected(core, entry, ex);
}

/** Hard expiry: the kernel dropped one direction, so the other is of no use. */
export function expireChild(core: Core, child: ChildSa): void {
  const replaced = child.state === "draining" || (child.outbound === "installed" && rivals(core, child).length > 0);
  // A peer that renewed it may leave it to die: nothing ends but what has a successor.
  if (replaced && child.state !== "draining") return drain(core, child);
  removeChild(core, child, "its lifetime ended", !replaced);
  if (!replaced) keepTrying(core, child.spec);
}

/** Takes a child out of the kernel and the store; `tellThePeer` sends deletes where an IKE SA can carry them. */
export function removeChild(core: Core, child: ChildSa, why: string, tellThePeer: boolean): void {
  if (endUnfinished(core, child, { kind: "terminated", what: why })) return;
  const ike = tellThePeer ? carrierFor(core, child) : undefined;
  if (ike) tellDelete(core, ike, child, true);
  logClosed(core, child, why);
  forgetChild(core, child);
}

/** Says that a child is over. */
export function logClosed(core: Core, child: ChildSa, why: string): void {
  log(
    core,
    "child.closed",
    child.state === "draining" ? "debug" : "notice",
    `${child.spec.remote}: ${formatSelector(child.spec.selector)}: closed, ${why} (rule ${child.spec.rule.name})`,
    childFields(child),
  );
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
  core.timers.clearAll(child);
  core.store.removeChild(child);
  const ike = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (ike?.phase === "established") ike.children.delete(child.id);
  const sas = [...saKeys(child.spec, child.protections, "in"), ...outboundOf(child)];
  const last = core.store.byKey(child.key).length === 0;
  if (last && child.outbound === "installed") guardFlow(core, child);
  upkeep(core, [...removals(sas), ...core.policies.release(child, last)]);
}

/** Whether a child was made with the peer of an IKE SA: behind a NAT there may be others at the same address. */
export const isOfPeer = (ike: IkeSa, child: ChildSa): boolean => child.encap === null || child.who === whoIs(ike);

/** An established IKE SA with the child's peer: its own, or another. */
export function carrierFor(core: Core, child: ChildSa): IkeSa | undefined {
  const own = child.ike === null ? undefined : core.store.ikes.get(child.ike);
  if (own?.phase === "established") return own;
  return core.store
    .byPeer(child.spec.local, child.spec.remote)
    .findLast((entry): entry is IkeSa => entry.phase === "established" && isOfPeer(entry, child));
}

/** `again`: nothing takes over, so that a lost delete would leave the peer sending into the void until the pair's life ends. */
export function tellDelete(core: Core, ike: IkeSa, child: ChildSa, again: boolean): void {
  const bytes = tellPeer(
    core,
    ike,
    child.protections.map(({ suite, spiIn }) => deleteChild(suite.protocol === "esp" ? PROTOCOL.ESP : PROTOCOL.AH, spiIn)),
  );
  if (again && bytes) sayAgain(core, ike.path, bytes);
}

/** The outbound SAs that the kernel surely has of ours. One that it is asked for may turn out to be somebody else's. */
const outboundOf = (child: ChildSa): readonly SaKey[] =>
  child.outbound === "installed" ? saKeys(child.spec, child.protections, "out") : [];

const removals = (sas: readonly SaKey[]): readonly KernelCommand[] => sas.map((sa) => ({ do: "remove-sa", sa }));
