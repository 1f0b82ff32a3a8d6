/**
 * Where a peer behind a NAT is: the move to port 4500 with message 5, and every later change of its address or port.
 * Invariant: an established SA follows a packet only after that packet was authenticated, and only once: a repeated or forged one, or a
 * keepalive, never moves anything (RFC 3947 §7, RFC 3948 §4).
 */
import { rulesForPeer } from "../policy/select.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import type { IkeEntry } from "../sa-store/store.ts";
import { hostOf } from "./child-request.ts";
import { carrierFor, removeChild } from "./children.ts";
import { type Core, count, emit, log, peerName } from "./core.ts";
import { Secret } from "./crypto/secret.ts";
import { ikeFields } from "./event-fields.ts";
import type { Path } from "./input.ts";
import { kernelSas } from "./install.ts";
import type { KernelCommand, KernelEvent } from "./kernel-contract.ts";
import { limitsOf } from "./limits.ts";
import type { Established, OpenState } from "./main-mode-states.ts";
import { type Encapsulation, floated, KEEPALIVE_SECONDS, natInUse, numbersOf, samePath } from "./nat.ts";
import { coveringPair } from "./place.ts";
import { upkeep } from "./standing.ts";
import { wishFor } from "./wishes.ts";

/**
 * RFC 3947 §4: the initiator sends message 5 to and from port 4500, where NAT traversal was agreed on; the responder answers to where
 * that came from, once it could be read.
 */
export function moveNegotiation(core: Core, n: Negotiation, next: OpenState | Established): void {
  if (n.role === "responder") {
    const agreed = "peer" in next && next.peer.nat !== null && n.cameFrom.local.port === core.natPort;
    if (agreed) n.path = n.cameFrom;
  } else if (next.kind === "auth-sent" && next.nat && n.path.local.port === core.port) {
    const { local, remote } = next.nat;
    if (local || remote || next.auth.rule.natTraversal === "force") n.path = floated(n.path, core.natPort);
  }
}

/** An SA as it is used: with its path, and in UDP or not. */
export const settleNat = (core: Core, { path, role }: Negotiation, sa: Established): Established => ({
  ...sa,
  nat: natInUse(sa.nat, numbersOf(sa.peer.nat, sa.rule), path.local.port === core.natPort, role),
});

/** The ports of a child's packets under an IKE SA; null: they travel bare. */
export const encapsulationOf = ({ sa, path }: IkeSa): Encapsulation | null =>
  sa.nat && { local: path.local.port, remote: path.remote.port, keep: sa.nat.local };

/** Where a new Main Mode with a peer behind a NAT has to go: only the ports of its present SA lead to it. */
export const pathThroughNat = (entries: readonly IkeEntry[]): Path | undefined =>
  entries.findLast((entry): entry is IkeSa => entry.phase === "established" && entry.sa.nat?.remote === true)?.path;

// Keepalives

/** Begins the keepalives of an SA that stands behind a NAT of ours. */
export function armKeepalive(core: Core, ike: IkeSa): void {
  if (ike.sa.nat?.local) core.timers.set(`ike ${ike.id}`, "keepalive", core.now + KEEPALIVE_SECONDS * 1000);
}

/** The next one is due. */
export function onKeepalive(core: Core, ike: IkeSa): void {
  emit(core, { type: "keepalive", path: ike.path });
  armKeepalive(core, ike);
}

/** A child that lost its IKE SA, or came back without: it keeps the mapping itself, as long as it lives (RFC 3948 §4). */
export function armChildKeepalive(core: Core, child: ChildSa): void {
  if (child.encap?.keep) core.timers.set(child, "keepalive", core.now + KEEPALIVE_SECONDS * 1000);
}

/** The next one of a child is due, unless a new IKE SA with the peer sends them. */
export function onChildKeepalive(core: Core, child: ChildSa): void {
  const { encap, spec, state } = child;
  if (!encap || state === "draining") return;
  const [local, remote] = [
    { address: spec.local, port: encap.local },
    { address: spec.remote, port: encap.remote },
  ];
  if (!carrierFor(core, child)?.sa.nat?.local) emit(core, { type: "keepalive", path: { local, remote } });
  armChildKeepalive(core, child);
}

// Moves

/** The present datagram proved to be the peer's, and new: from now on we answer to where it came from. */
export function follow(core: Core, ike: IkeSa): void {
  const came = core.arrival;
  if (!came || samePath(came, ike.path)) return;
  if (!ike.sa.nat?.remote) return;
  if (came.local.address !== ike.path.local.address || came.local.port !== ike.path.local.port)
    return count(core, "move to another local end");
  move(core, ike, came.remote);
}

/** The kernel met an authentic packet from elsewhere. */
export function onMapping(core: Core, { sa, from }: KernelEvent & { readonly type: "mapping" }): void {
  const child = core.store.bySpiIn(sa.spi);
  if (!child?.encap || child.spec.local !== sa.destination) return count(core, "mapping of an unknown SA");
  const ike = carrierFor(core, child);
  if (ike?.sa.nat?.remote && !isAt(ike.path, from)) return move(core, ike, from);
  if (from.address === child.spec.remote && from.port !== child.encap.remote) rePort(core, child, from.port);
}

const isAt = ({ remote }: Path, { address, port }: Path["remote"]): boolean => remote.address === address && remote.port === port;

function move(core: Core, ike: IkeSa, remote: Path["remote"]): void {
  const { local, remote: before } = ike.path;
  // Rules are about addresses: what one does not admit would need another, and another proof.
  const admitted = remote.address === before.address || rulesForPeer(core.policy, local.address, remote.address).includes(ike.sa.rule);
  if (!admitted) return count(core, `move to an address that is not for rule ${ike.sa.rule.name}`);
  const old = peerName(ike.path);
  core.store.moveIke(ike, { local, remote });
  log(core, "peer.moved", "info", `${old} is now at ${peerName(ike.path)}: its NAT has a new mapping`, ikeFields(ike));
  for (const id of [...ike.children]) {
    const child = core.store.children.get(id);
    if (!child?.encap || child.state === "draining") continue;
    if (child.spec.remote === remote.address) rePort(core, child, remote.port);
    else rePlace(core, child, remote.address);
  }
}

/** Only the port is another: the kernel's SAs get it, and keep keys and counters. */
function rePort(core: Core, child: ChildSa, port: number): void {
  if (!child.encap) return;
  child.encap = { ...child.encap, remote: port };
  core.store.touch(child);
  const directions = child.outbound === "installed" ? (["in", "out"] as const) : (["in"] as const);
  upkeep(
    core,
    directions.flatMap((direction) => updates(core, child, direction)),
  );
}

/** `ip xfrm state update` wants keys of the right length, and the kernel does not look at them. */
function updates(core: Core, child: ChildSa, direction: "in" | "out"): readonly KernelCommand[] {
  const { turn, lifetimeSeconds, lifetimeKilobytes, protections, spec, encap } = child;
  const keys = protections.map(({ suite, spiIn, spiOut }) => {
    const octets = (suite.cipher?.keyOctets ?? 0) + (suite.integrity?.keyOctets ?? 0);
    return { suite, spiIn, spiOut, inbound: new Secret(new Uint8Array(octets)), outbound: new Secret(new Uint8Array(octets)) };
  });
  const limits = limitsOf(turn, { lifetimeSeconds, lifetimeKilobytes, spi: protections[0]?.spiIn ?? 0 }, child.use);
  const reqid = direction === "in" ? core.policies.inboundReqid(spec) : spec.reqid;
  const sas = kernelSas({ ...spec, reqid }, keys, direction, limits, encap);
  for (const { inbound, outbound } of keys) for (const secret of [inbound, outbound]) secret.destroy();
  return sas.map((sa) => ({ do: "update-sa", sa }));
}

/**
 * Another address: the kernel names SAs by it, so a Quick Mode makes a new pair in the old one's place. In transport mode another filter of the rule may be
 * about that address, or none.
 */
function rePlace(core: Core, child: ChildSa, remote: string): void {
  const { rule, local } = child.spec;
  const selector = rule.mode === "transport" ? { ...child.spec.selector, remote: hostOf(remote) } : child.spec.selector;
  const covering =
    rule.mode === "transport" ? coveringPair([local], rule, selector) : (core.policies.standingOf(child.spec)?.selector ?? selector);
  if (!covering)
    return removeChild(core, child, `rule ${rule.name} has no filter for ${formatSelector(selector)}, where its peer is now`, true);
  const spec = { rule, selector, local, remote, reqid: core.policies.reqidFor(rule, covering, selector, remote) };
  if (child.state === "installed") child.state = "rekeying";
  core.timers.clear(child, "rekey");
  core.timers.clear(child, "measure");
  wishFor(core, spec, [], child.id);
}
