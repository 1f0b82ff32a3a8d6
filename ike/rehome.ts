/**
 * After a new policy: an IKE SA whose proof was taken for an entry that is gone belongs to another rule of its peer that would take the same proof,
 * since that one's children may live under it; where there is none it ends. Invariant: no proof holds on to an entry that the policy has not any
 * more, whose keys are wiped.
 */
import { proofUnder } from "../auth/proof.ts";
import { rulesForPeer } from "../policy/select.ts";
import { closeIke } from "./closing.ts";
import type { Core } from "./core.ts";
import { couldServe } from "./renewal.ts";

/** Finds a rule for each IKE SA that has lost its own. Before anybody destroys the keys of the old policy. */
export function rehome(core: Core): void {
  const entries = new Set(core.policy.rules.flatMap(({ auth }) => auth));
  for (const ike of [...core.store.ikes.values()]) {
    if (ike.phase !== "established" || entries.has(ike.sa.proof.entry)) continue;
    const { path, sa } = ike;
    const rule = rulesForPeer(core.policy, path.local.address, path.remote.address).find((one) => couldServe(ike, one));
    const proof = rule && proofUnder(rule, sa.proof, sa.peerId);
    if (!rule || !proof) closeIke(core, ike, "its rule was removed");
    else {
      ike.sa = { ...sa, rule, proof };
      core.store.touchIke(ike);
    }
  }
}
