/**
 * Renewal of IKE SAs: a new Main Mode before the old one ends, as long as children are in use; the newer SA takes over the children of the
 * older, which is deleted only then, and some time later: strongSwan destroys children with their IKE SA unless it has had time to adopt them.
 * Of two that both ends began at once neither is deleted: the newer is used, the other ends by itself.
 */

import { acceptsProof, speaksAs } from "../auth/proof.ts";
import { uint32 } from "../isakmp/octets.ts";
import { sameIdentity } from "../policy/identity.ts";
import { ruleNamed } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildSa } from "../sa-store/child-sa.ts";
import type { IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { closeIke } from "./closing.ts";
import { type Core, log, peerName, whoIs } from "./core.ts";
import { ikeFields } from "./event-fields.ts";
import { ikeRenewal } from "./limits.ts";
import { hasIdsForUs } from "./message-ids.ts";
import { allowsSuite } from "./negotiate-ike.ts";
import { startMainMode } from "./phase1-start.ts";
import { DRAIN } from "./retransmit.ts";

/** Before a renewal that came to nothing is tried again. Milliseconds. */
const AGAIN = 60_000;

const owner = (ike: IkeSa): string => `ike ${ike.id}`;

/** Sets the timer of an SA that was just established. */
export function armRenewal(core: Core, ike: IkeSa): void {
  const dice = uint32(ike.sa.cookieR) >>> 16;
  core.timers.set(owner(ike), "rekey", ike.establishedAt + ikeRenewal(ike.role, ike.sa.lifetimeSeconds, dice));
}

/** Its time has come: without children it may end, and the first Quick Mode after that begins anew. */
export function renewIke(core: Core, ike: IkeSa): void {
  if (core.stopping || ike.state === "replaced" || ike.children.size === 0 || core.now >= ike.expiresAt) return;
  const rule = ruleFor(core, ike);
  if (!rule) return;
  ike.state = "rekeying";
  const left = ike.expiresAt - core.now;
  core.timers.set(owner(ike), "rekey", core.now + Math.min(AGAIN, Math.max(left / 2, 1000)));
  if (isUnderWay(core, ike)) return;
  log(core, "ike.renewing", "debug", `${peerName(ike.path)}: the IKE SA is renewed, ${Math.round(left / 1000)} s are left`, ikeFields(ike));
  startMainMode(core, rule, ike.path, null);
}

/** The rule it was made for, as the policy has it now; else that of a child. */
function ruleFor(core: Core, ike: IkeSa): Rule | undefined {
  const named = (name: string) => ruleNamed(core.policy, name);
  const children = [...ike.children].flatMap((id) => core.store.children.get(id)?.spec.rule.name ?? []);
  return named(ike.sa.rule.name) ?? children.map(named).find((rule) => rule !== undefined);
}

const isUnderWay = (core: Core, { path }: IkeSa): boolean =>
  core.store
    .byPeer(path.local.address, path.remote.address)
    .some((entry): entry is Negotiation => entry.phase === "negotiating" && entry.role === "initiator");

/** A new SA is there: it takes over from the older ones with the same peer. `startedAt`: of its Main Mode. */
export function takeOver(core: Core, newer: IkeSa, startedAt: number): void {
  const { local, remote } = newer.path;
  for (const old of core.store.byPeer(local.address, remote.address)) {
    if (old.phase !== "established" || old.id === newer.id || !isSamePair(old, newer)) continue;
    for (const id of [...old.children]) {
      const child = core.store.children.get(id);
      if (child && couldServe(newer, child.spec.rule)) handOver(core, child, old, newer);
    }
    if (old.children.size === 0 && couldServe(newer, old.sa.rule)) retire(core, old, newer, startedAt);
  }
  for (const child of core.store.childrenBetween(local.address, remote.address))
    if (child.ike === null && child.who === whoIs(newer) && couldServe(newer, child.spec.rule)) handOver(core, child, undefined, newer);
}

function handOver(core: Core, child: ChildSa, old: IkeSa | undefined, newer: IkeSa): void {
  old?.children.delete(child.id);
  newer.children.add(child.id);
  child.ike = newer.id;
  core.store.touch(child);
}

/** Nothing begins under it any more. Whoever made the newer one deletes it, if it stood before that began. */
function retire(core: Core, old: IkeSa, newer: IkeSa, startedAt: number): void {
  old.state = "replaced";
  core.store.touchIke(old);
  core.timers.clear(owner(old), "rekey");
  if (newer.role === "initiator" && old.establishedAt < startedAt) core.timers.set(owner(old), "close", core.now + DRAIN);
}

/** The time for that has come; a Quick Mode under it may still end. */
export function onClose(core: Core, ike: IkeSa): void {
  const busy = [...ike.exchanges.values()].some(({ state }) => state.kind !== "done");
  if (busy) return core.timers.set(owner(ike), "close", core.now + DRAIN);
  closeIke(core, ike, "a newer one has taken over");
}

/** Both ends are who they were. */
const isSamePair = (a: IkeSa, b: IkeSa): boolean => whoIs(a) === whoIs(b) && sameIdentity(a.sa.ownId, b.sa.ownId);

/** An IKE SA may carry a rule's children only where the rule would have accepted its algorithms and its proof, and given the same of ours. */
export const couldServe = (
  { sa, path }: Pick<IkeSa, "path"> & { readonly sa: Pick<IkeSa["sa"], "suite" | "proof" | "ownId" | "peerId"> },
  rule: Rule,
): boolean =>
  allowsSuite(rule, sa.suite) &&
  speaksAs(rule, sa.proof, sa.ownId, sa.peerId, path.local.address) &&
  acceptsProof(rule, sa.proof, sa.peerId);

/** Nothing begins under an IKE SA that may be gone at the peer before it is done: a tenth of its life at most. Milliseconds. */
const LAST_CALL = 10_000;

/** Whether a new Quick Mode for a rule may begin under it. */
export const serves = (entry: IkeSa, rule: Rule, now: number): boolean =>
  entry.expiresAt - now > Math.min(LAST_CALL, entry.sa.lifetimeSeconds * 100) &&
  entry.state !== "replaced" &&
  !entry.silent &&
  hasIdsForUs(entry) &&
  entry.quickModes < quickModesOf(rule) &&
  couldServe(entry, rule);

/** Quick Modes that a rule allows under one IKE SA. With PFS for the keys of phase 1 too it is one. */
export const quickModesOf = ({ mainMode: { quickModes, masterPfs } }: Rule): number =>
  masterPfs ? 1 : quickModes === 0 ? Number.POSITIVE_INFINITY : quickModes;
