/**
 * Between the messages of Quick Mode and the kernel: what is installed when, and what is undone when the kernel refuses.
 * Responder: inbound before message 2, outbound when message 3 is proved. Initiator: inbound before message 3, outbound after it,
 * and in a rekey only once the peer surely has message 3, since Linux sends on the newest SA at once.
 */
import { NOTIFY, PROTOCOL } from "../isakmp/numbers.ts";
import type { Result } from "../isakmp/result.ts";
import { formatSelector } from "../policy/selector.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, QuickExchange, Role } from "../sa-store/ike-sa.ts";
import { refuse, respond } from "./child-request.ts";
import { activate, forgetChild, newChild, predecessorOf, removeChild, tellDelete } from "./children.ts";
import { type Core, childFields, ikeFields, kernel, log, logError, type Pending, peerName } from "./core.ts";
import { type IkeError, kernelError } from "./errors.ts";
import { messageIdText, quickFields } from "./event-fields.ts";
import { transmit } from "./fragmenting.ts";
import { loseFront } from "./fronts.ts";
import { tellPeer } from "./informational.ts";
import { kernelSas } from "./install.ts";
import type { KernelCommand, KernelRefusal, SaCounters } from "./kernel-contract.ts";
import { limitsOf, turnOf } from "./limits.ts";
import { mayBeAnothers, takenByAnother } from "./nat-child.ts";
import { encapsulationOf } from "./nat-path.ts";
import { spiBytes } from "./negotiate-child.ts";
import { errorNotify } from "./notifies.ts";
import { armRetransmit, endExchange, linger, startChild } from "./phase2.ts";
import { type ChildOutcome, destroyChildKeys } from "./quick-mode.ts";
import { switchDelay } from "./rekey.ts";
import { releaseSpis } from "./spis.ts";
import { upkeep } from "./standing.ts";
import { tell } from "./watch.ts";
import { failWish, fulfil } from "./wishes.ts";

/** How often an SPI that the kernel has already is replaced by another. */
const SPI_TRIES = 3;

type Outcome = Result<readonly SaCounters[], KernelRefusal>;

/** Asks the kernel for the inbound SAs of an exchange in state `installing`. */
export function installInbound(core: Core, ike: IkeSa, ex: QuickExchange): void {
  if (ex.state.kind !== "installing") return;
  const { agreed, spec, wish } = ex.state;
  const limits = limitsFor(turnOf(ike, ex.role), agreed, predecessorOf(core, spec, wish));
  const sas = kernelSas({ ...spec, reqid: core.policies.inboundReqid(spec) }, agreed.keys, "in", limits, encapsulationOf(ike));
  kernel(
    core,
    sas.map((sa) => ({ do: "add-sa", sa })),
    { kind: "inbound", ike: ike.id, messageId: ex.messageId, sas },
  );
}

const limitsFor = (turn: Role, { lifetimeSeconds, lifetimeKilobytes, keys }: ChildOutcome, older: ChildSa | undefined) =>
  limitsOf(turn, { lifetimeSeconds, lifetimeKilobytes, spi: keys[0]?.spiIn ?? 0 }, older?.use);

/** The kernel's answer to `installInbound`. */
export function onInbound(
  core: Core,
  ike: IkeSa | undefined,
  messageId: number,
  sas: readonly { readonly spi: number }[],
  outcome: Outcome,
  undo: readonly KernelCommand[],
): void {
  const ex = ike?.exchanges.get(messageId);
  if (!ike || ex?.state.kind !== "installing" || !ex.state.agreed.keys.some((key) => sas.some((sa) => sa.spi === key.spiIn))) {
    // The exchange was ended while the kernel worked.
    return upkeep(core, undo.slice(0, outcome.ok ? undo.length : outcome.error.index));
  }
  if (!outcome.ok) return onInboundRefused(core, ike, ex, outcome.error, undo);
  const { agreed, spec, wish, answer } = ex.state;
  // Of two that asked for the same packets while the kernel worked the first has them, of whom there is a child by now.
  const taken = !wish || mayBeAnothers(ike) ? takenByAnother(core, ike, spec) : undefined;
  if (taken !== undefined) return onTakenMeanwhile(core, ike, ex, { kind: "selectors-taken", what: taken }, undo);
  const child = newChild(core, ike, spec, { role: ex.role, agreed, wish, startedAt: ex.startedAt });
  for (const { inbound } of agreed.keys) inbound.destroy();
  ex.flight = answer;
  ex.tries = 0;
  transmit(core, ike, answer, false);
  if (!wish) {
    ex.state = { kind: "answered", agreed, child };
    return armRetransmit(core, ex);
  }
  const { keys, lifetimeSeconds, lifetimeKilobytes } = agreed;
  ex.state = { kind: "confirmed", agreed: { keys, lifetimeSeconds, lifetimeKilobytes }, child, wish };
  tell(core, wish.watchers, "peer accepted, inbound SA in the kernel");
  if (wish.replaces === null && !agreed.commit) return installOutbound(core, ike, ex);
  core.timers.set(ex, "switch", core.now + switchDelay(core, predecessorOf(core, spec, wish, child)));
  if (agreed.commit) armRetransmit(core, ex);
}

/** Takes back what the kernel has granted, and refuses as if that had been known when it was asked. */
function onTakenMeanwhile(core: Core, ike: IkeSa, ex: QuickExchange, error: IkeError, undo: readonly KernelCommand[]): void {
  if (ex.state.kind !== "installing") return;
  upkeep(core, undo);
  const { agreed, request, spec } = ex.state;
  if (!request) tellRefused(core, ike, agreed);
  endExchange(core, ike, ex, error);
  if (request) refuse(core, ike, request, error, spec.rule);
}

/** Nothing comes of what the peer has agreed to. */
function tellRefused(core: Core, ike: IkeSa, { keys: [first] }: Pick<ChildOutcome, "keys">): void {
  if (!first) return;
  const protocol = first.suite.protocol === "esp" ? PROTOCOL.ESP : PROTOCOL.AH;
  tellPeer(core, ike, [errorNotify(NOTIFY["NO-PROPOSAL-CHOSEN"], { protocol, spi: spiBytes(first.spiOut) })]);
}

/** An SPI that somebody else has is exchanged for another; anything else fails the negotiation with the kernel's words. */
function onInboundRefused(core: Core, ike: IkeSa, ex: QuickExchange, refusal: KernelRefusal, undo: readonly KernelCommand[]): void {
  if (ex.state.kind !== "installing") return;
  upkeep(core, undo.slice(0, refusal.index));
  const { agreed, request, spec, tries, wish } = ex.state;
  if (refusal.exists && request && tries < SPI_TRIES) {
    destroyChildKeys(agreed.keys);
    releaseSpis(
      core,
      agreed.keys.map((key) => key.spiIn),
    );
    ike.exchanges.delete(ex.messageId);
    return respond(core, ike, request, tries + 1);
  }
  if (refusal.exists && wish && wish.collisions < SPI_TRIES) {
    core.wishes.set(wish.key, wish);
    wish.collisions++;
    destroyChildKeys(agreed.keys);
    releaseSpis(
      core,
      agreed.keys.map((key) => key.spiIn),
    );
    ike.exchanges.delete(ex.messageId);
    core.timers.clearAll(ex);
    return startChild(core, ike, wish);
  }
  const error = kernelError(refusal, "add-sa");
  // A wish tells of its own failure.
  if (!wish)
    logError(core, "child.failed", `${peerName(ike.path)}: inbound SA`, error, {
      ...quickFields(ike, ex.messageId, "responder"),
      rule: spec.rule.name,
    });
  tellRefused(core, ike, agreed);
  endExchange(core, ike, ex, error);
}

/** Message 3 is here (or a packet that proves it): the responder's outbound SAs follow. */
export function confirmByPeer(core: Core, ike: IkeSa, ex: QuickExchange): void {
  core.timers.clear(ex, "retransmit");
  installOutbound(core, ike, ex);
}

/** Asks the kernel for the outbound SAs and whatever policies the child still needs. */
export function installOutbound(core: Core, ike: IkeSa, ex: QuickExchange): void {
  if (ex.state.kind !== "answered" && ex.state.kind !== "confirmed") return;
  const { agreed, child } = ex.state;
  if (child.outbound !== "none") return;
  child.outbound = "asked";
  const limits = limitsFor(child.turn, agreed, predecessorOf(core, child.spec, null, child));
  const sas = kernelSas(child.spec, agreed.keys, "out", limits, child.encap);
  const commands = [...sas.map((sa): KernelCommand => ({ do: "add-sa", sa })), ...core.policies.take(child)];
  const wish = ex.state.kind === "confirmed" ? ex.state.wish : null;
  kernel(core, commands, { kind: "outbound", child, agreed, wish, ike: ike.id, messageId: ex.messageId, sas, commands });
}

/**
 * The kernel's answer to `installOutbound`: the child is up, or what was added for it is undone. Nothing else: an SA or policy that was
 * there before belongs to somebody else. The exchange, and the IKE SA, may be over meanwhile; the child may be.
 */
export function onOutbound(
  core: Core,
  ike: IkeSa | undefined,
  asked: Pending & { readonly kind: "outbound" },
  outcome: Outcome,
  undo: readonly KernelCommand[],
): void {
  const { child, agreed, wish } = asked;
  const found = ike?.exchanges.get(asked.messageId);
  const ex = found && "child" in found.state && found.state.child === child ? found : undefined;
  const refusal = outcome.ok ? null : outcome.error;
  const wanted = core.store.children.get(child.id) === child && child.state !== "draining";
  destroyChildKeys(agreed.keys);
  if (refusal || !wanted) {
    child.outbound = "none";
    upkeep(core, undo.slice(0, refusal?.index ?? undo.length));
  } else child.outbound = "installed";
  core.store.touch(child);
  if (wanted && refusal) {
    if (ike && ex) endExchange(core, ike, ex, kernelError(refusal, asked.commands[refusal.index]?.do));
    else loseChild(core, child, refusal, asked.commands);
  }
  onPolicies(core, asked.commands, refusal);
  // The pair went while the kernel worked: its keys are gone, and no timer or end of the IKE SA may try again.
  if (!wanted && ike && ex) linger(core, ex);
  if (child.outbound === "installed") {
    if (ike && ex) linger(core, ex);
    activate(core, child, wish, ike ? quickFields(ike, asked.messageId, child.role) : { messageId: messageIdText(asked.messageId) });
    if (wish) fulfil(core, wish);
  } else if (wish && core.wishes.get(wish.key) === wish) {
    const unused: IkeError = { kind: "terminated", what: "the new pair went before it was in use" };
    failWish(core, wish, refusal ? kernelError(refusal, asked.commands[refusal.index]?.do) : unused);
  }
}

/** The kernel's answer about policies: a child that can't have its own protects nothing. */
export function onPolicies(core: Core, commands: readonly KernelCommand[], refusal: KernelRefusal | null): void {
  for (const id of core.policies.onAnswer(core, commands, refusal)) {
    const child = core.store.children.get(id);
    if (child && refusal) loseChild(core, child, refusal, commands);
    else if (!child) loseFront(core, id);
  }
}

/** What a child needs is refused after its negotiation was over. */
function loseChild(core: Core, child: ChildSa, refusal: KernelRefusal, commands: readonly KernelCommand[]): void {
  const error = kernelError(refusal, commands[refusal.index]?.do);
  logError(core, "child.failed", `${child.spec.remote}: ${formatSelector(child.spec.selector)}`, error, childFields(child));
  removeChild(core, child, error.what, true);
}

/** Undoes a child whose exchange failed after its inbound SAs were there, and tells the peer. */
export function abandonInstalled(core: Core, ike: IkeSa, child: ChildSa, agreed: Pick<ChildOutcome, "keys">): void {
  destroyChildKeys(agreed.keys);
  // A peer that has all three messages thinks that the pair is there.
  tellDelete(core, ike, child, true);
  forgetChild(core, child);
}

/** The counters of the new inbound SA: if it has seen packets, message 3 was sent; else message 2 goes out again. */
export function onProofOfTraffic(core: Core, ike: IkeSa | undefined, messageId: number, outcome: Outcome): void {
  const ex = ike?.exchanges.get(messageId);
  if (!ike || ex?.state.kind !== "answered") return;
  if (outcome.ok && outcome.value.some((counters) => counters.packets > 0)) {
    log(core, "child.confirmed", "debug", `${peerName(ike.path)}: message 3 was lost, but packets prove that it was sent`, ikeFields(ike));
    return confirmByPeer(core, ike, ex);
  }
  if (ex.flight) transmit(core, ike, ex.flight, true);
}
