/**
 * Flows that were protected in the last run and have no child now: their SAs ended while no daemon ran, or are not taken over. What may go in clear
 * under the present rules gets a guard, as where the last SA of a flow ends in a running daemon; those that the last run stood go on.
 * Invariant: all guards stand before a policy of the last run goes. What a flow costs follows from the filters about its peer, not from all flows or rules.
 */

import { formatSelector } from "../policy/selector.ts";
import type { TrafficSelector } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { Core } from "./core.ts";
import { GUARD, standGuard } from "./fronts.ts";
import { type Claim, claimsOn } from "./guarded.ts";
import { selectorOfRecord } from "./identity-record.ts";
import type { Instant } from "./input.ts";
import { specKey } from "./wishes.ts";

/** What the journal says of a flow; `until`: how long it stays out of the clear at least. */
export interface LostFlow {
  readonly selector: TrafficSelector;
  readonly local: string;
  readonly remote: string;
  readonly until: Instant;
}

type Fields = Readonly<Record<string, unknown>>;

/** The flow of a guard that the last run stood. */
export const flowOfGuard = (record: Fields): readonly LostFlow[] => flowOf(record, Number(record["until"]));

/** The flow of a child that is not taken over; none where it carried nothing outwards, or another was to do that already. */
export function flowOfChild(core: Core, record: Fields): readonly LostFlow[] {
  return record["outbound"] !== true || record["draining"] === true ? [] : flowOf(record, core.now + GUARD);
}

function flowOf(record: Fields, until: Instant): readonly LostFlow[] {
  const selector = selectorOfRecord(record["selector"]);
  if (!selector || !Number.isFinite(until)) return [];
  return [{ selector, local: String(record["local"]), remote: String(record["remote"]), until }];
}

/** Stands guards. After the children that were taken over: whose flow one of them carries needs none. */
export function guardLostFlows(core: Core, flows: readonly LostFlow[]): void {
  if (flows.length === 0) return;
  const carried = new Set(
    Array.from(core.store.children.values(), ({ outbound, spec }) => (outbound === "installed" ? placeOf(spec) : "")),
  );
  const guards = new Map<string, { readonly claim: Claim; readonly until: Instant }>();
  for (const flow of flows) {
    if (flow.until <= core.now || carried.has(placeOf(flow))) continue;
    for (const claim of claimsOn(core, flow)) {
      const { spec } = claim;
      const known = guards.get(specKey(spec));
      if (!(known && known.until >= flow.until)) guards.set(specKey(spec), { claim, until: flow.until });
    }
  }
  for (const { claim, until } of guards.values()) {
    const { spec, own } = claim;
    standGuard(core, spec, until - core.now, own(core.policies.guardFor(spec)));
  }
}

const placeOf = ({ local, remote, selector }: Pick<ChildSpec, "local" | "remote" | "selector">): string =>
  `${local} ${remote} ${formatSelector(selector)}`;
