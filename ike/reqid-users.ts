/**
 * Who has a reqid besides the rules' own policies: what lives, what is under way, and what an earlier run has left.
 */
import { manualRule } from "../policy/manual-rule.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { QuickState } from "../sa-store/ike-sa.ts";
import type { Core } from "./core.ts";
import { inboundKey } from "./reqid-keys.ts";
import type { Reqids } from "./reqids.ts";

/** Once for each input: numbers that nobody uses any longer are free again. `served`: that of the standing policy that a need is part of. */
export function freeUnused(core: Core, reqids: Reqids, stands: (reqid: number) => boolean, served: (spec: ChildSpec) => number): void {
  if (!reqids.isLookDue(usersIn(core))) return;
  const used = new Set(core.leftovers.reqids());
  const add = (reqid: number | undefined): void => void (reqid !== undefined && used.add(reqid));
  for (const key of manualKeys(core)) add(reqids.known(key));
  for (const spec of needsOf(core)) for (const reqid of [spec.reqid, served(spec), reqids.known(inboundKey(spec.rule))]) add(reqid);
  // Those of its own a child gives back itself.
  const own = new Set<number>();
  for (const { spec } of core.store.children.values()) if (reqids.isDoubted(spec.reqid) && reqids.isOwn(spec)) own.add(spec.reqid);
  reqids.freeDoubted(used, (reqid) => stands(reqid) || own.has(reqid));
}

/** How many there are to ask, about. */
const usersIn = ({ store, wishes, fronts, leftovers, manual }: Core): number =>
  store.children.size + store.ikes.size + wishes.size + fronts.size + leftovers.size + manual.size;

/** The needs that have one. */
function* needsOf(core: Core): Iterable<ChildSpec> {
  for (const { spec } of core.store.children.values()) yield spec;
  for (const { spec } of core.wishes.values()) yield spec;
  for (const { spec } of core.fronts.all()) yield spec;
  for (const entry of core.store.ikes.values())
    for (const { state } of entry.phase === "established" ? entry.exchanges.values() : []) {
      const spec = specOf(state);
      if (spec) yield spec;
    }
}

/** The keys of manual SAs that are in the kernel: their rules' names. */
const manualKeys = ({ manual }: Core): readonly string[] => Array.from(manual.values(), (pair) => manualRule(pair.manual).name);

const specOf = (state: QuickState): ChildSpec | undefined =>
  state.kind === "offered"
    ? state.wish.spec
    : state.kind === "installing"
      ? state.spec
      : state.kind === "done"
        ? undefined
        : state.child.spec;
