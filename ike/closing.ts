/**
 * Ends of IKE SAs. Children outlive their parent unless somebody deletes them too: strongSwan destroys children with their IKE SA,
 * so an SA that still has some is never deleted towards the peer but by an administrator's word.
 */
import type { IkeSa } from "../sa-store/ike-sa.ts";
import { installOutbound } from "./child-install.ts";
import { type Core, log, peerName } from "./core.ts";
import { ikeFields } from "./event-fields.ts";
import { sayAgain } from "./farewell.ts";
import { tellPeer } from "./informational.ts";
import { destroyKeys } from "./main-mode-states.ts";
import { armChildKeepalive } from "./nat-path.ts";
import { deleteIke } from "./notifies.ts";
import { beginAnew, endExchange } from "./phase2.ts";

/** Tells the peer, then forgets. */
export function closeIke(core: Core, ike: IkeSa, why: string): void {
  endExchanges(core, ike, why);
  const bytes = tellPeer(core, ike, [deleteIke(ike.sa.cookieI, ike.sa.cookieR)]);
  if (bytes) sayAgain(core, ike.path, bytes);
  dropIke(core, ike, why);
}

/** Forgets an IKE SA without a word to the peer; its children live on without a parent. */
export function dropIke(core: Core, ike: IkeSa, why: string): void {
  endExchanges(core, ike, why);
  core.timers.clearAll(`ike ${ike.id}`);
  core.store.removeIke(ike.id);
  for (const id of ike.children) {
    const child = core.store.children.get(id);
    if (!child) continue;
    child.ike = null;
    armChildKeepalive(core, child);
    core.store.touch(child);
  }
  log(core, "ike.closed", "info", `${peerName(ike.path)}: IKE SA closed, ${why}`, ikeFields(ike));
  destroyKeys(ike.sa.keys);
}

/** Whether a Quick Mode is past its offers, so that the peer may be using what it makes. */
export const isHalfway = (ike: IkeSa): boolean =>
  [...ike.exchanges.values()].some(({ state }) => state.kind !== "done" && state.kind !== "offered");

function endExchanges(core: Core, ike: IkeSa, why: string): void {
  for (const ex of [...ike.exchanges.values()]) {
    // Message 3 is out, and the peer uses the pair.
    if (ex.state.kind === "confirmed") installOutbound(core, ike, ex);
    // Where the kernel is at its last commands, the negotiation is over, and the child does without its parent.
    if (ex.state.kind === "done" || ("child" in ex.state && ex.state.child.outbound === "asked")) {
      core.timers.clearAll(ex);
      ike.exchanges.delete(ex.messageId);
    } else if (!beginAnew(core, ike, ex)) endExchange(core, ike, ex, { kind: "peer-refused", what: `the IKE SA was closed: ${why}` });
  }
}
