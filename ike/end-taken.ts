/**
 * Rules, or our addresses, have changed: what is there, or under way, and whose traffic another rule decides about now, ends, and its peer is told. What
 * its rule decides about one way, or in part, stays. Invariant: at a restart nothing weaker than the stronger rule's policy stands for it in between.
 */
import { acceptsProof } from "../auth/proof.ts";
import { compareSpecificity, compareStrength, placeInFile, ruleCoveringSelectors, rulesForPeer } from "../policy/select.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildSa, ChildSpec } from "../sa-store/child-sa.ts";
import type { ChildWish, QuickExchange } from "../sa-store/ike-sa.ts";
import { carrierFor, removeChild } from "./children.ts";
import type { Core } from "./core.ts";
import type { IkeError } from "./errors.ts";
import { closeTaken } from "./fronts.ts";
import { endExchange } from "./phase2.ts";
import { dropPacedWish } from "./retry.ts";
import { shutOff } from "./shut.ts";
import { upkeep } from "./standing.ts";
import { takenNow } from "./taken.ts";
import { failWish } from "./wishes.ts";

/** After the policies of the rules. */
export function endTaken(core: Core): void {
  for (const child of core.store.children.values()) {
    const why = noPlaceFor(core, child);
    if (why !== undefined) removeChild(core, child, why, true);
  }
  closeTaken(core, (spec) => taken(core, spec));
  endUnderway(core);
}

/** What children want in front of the rules' policies stands there, and nothing else of theirs. After `sync`, and after what ends has ended. */
export function relayChildren(core: Core): void {
  for (const child of core.store.children.values()) if (child.outbound === "installed") upkeep(core, core.policies.relayChild(child));
}

/** Why a child is of no use, or against what stronger rules say; undefined: it is not. */
export function noPlaceFor(core: Core, child: ChildSa): string | undefined {
  const proved = carrierFor(core, child)?.sa;
  const isOwn = (rule: Rule): boolean => !proved || acceptsProof(rule, proved.proof, proved.peerId);
  return takenNow(core, child.spec, isOwn) ?? outranked(core, child.spec, proved ? isOwn : null) ?? shutOff(core, child.spec);
}

/** The same of what is only wanted: whose rules the peer may use is not known yet. */
export const taken = (core: Core, spec: ChildSpec): string | undefined =>
  takenNow(core, spec, () => true) ?? outranked(core, spec, null) ?? shutOff(core, spec);

/**
 * The same by a rule that the peer may use as well: whoever asked for SAs for this today would get them under that one. A one-way filter outranks no other
 * that goes both ways: the other way is still its. `isOwn`: whether the peer may use a rule; null: not known yet, and of rules that come to the same it is what
 * tells them apart.
 */
function outranked(core: Core, spec: ChildSpec, isOwn: ((rule: Rule) => boolean) | null): string | undefined {
  const { rule, selector, local, remote } = spec;
  let rules = rulesForPeer(core.policy, local, remote).filter((one) => one === rule || !isOwn || isOwn(one));
  if (rules.length < 2 || !rules.includes(rule)) return undefined;
  const served = core.policies.standingOf(spec)?.reqid ?? spec.reqid;
  const place = (one: Rule): number => placeInFile(core.policy, one);
  const own = ruleCoveringSelectors([rule], core.addresses, selector, rule.mode);
  while (own.ok) {
    const first = ruleCoveringSelectors(rules, core.addresses, selector, rule.mode, place);
    if (!first.ok || first.value.rule === rule) return undefined;
    const { rule: other, filter, selector: covering } = first.value;
    if (core.policies.knownReqid(other, covering) === served) return undefined;
    const alike = !isOwn && compareSpecificity(covering, own.value.selector) === 0 && compareStrength(other, rule) === 0;
    if (!alike && (filter.direction === "both" || filter.direction === own.value.filter.direction))
      return `rule ${other.name} (${other.action}) decides about that traffic`;
    rules = rules.filter((one) => one !== other);
  }
  return undefined;
}

/** Negotiations and Quick Modes that would make such children. Those that have made one went with it. */
function endUnderway(core: Core): void {
  const error = (spec: ChildSpec): IkeError | undefined => {
    const what = taken(core, spec);
    return what === undefined ? undefined : { kind: "other-rule", what };
  };
  for (const entry of [...core.store.ikes.values()]) {
    if (entry.phase === "negotiating") {
      const lost = entry.wishes.flatMap((wish) => withError(wish, error(wish.spec)));
      if (lost.length > 0)
        entry.wishes.splice(0, entry.wishes.length, ...entry.wishes.filter((wish) => !lost.some((one) => one.wish === wish)));
      for (const one of lost) failWish(core, one.wish, one.why);
      continue;
    }
    for (const ex of [...entry.exchanges.values()]) {
      const spec = specOf(ex);
      const why = spec && error(spec);
      if (why) endExchange(core, entry, ex, why);
    }
  }
  for (const wish of [...core.paced.values()]) {
    const why = error(wish.spec);
    if (!why) continue;
    dropPacedWish(core, wish);
    failWish(core, wish, why);
  }
}

const withError = (wish: ChildWish, why: IkeError | undefined): readonly { readonly wish: ChildWish; readonly why: IkeError }[] =>
  why ? [{ wish, why }] : [];

/** What a Quick Mode is for that has no child yet. */
const specOf = ({ state }: QuickExchange): ChildSpec | undefined =>
  state.kind === "offered" ? state.wish.spec : state.kind === "installing" ? state.spec : undefined;
