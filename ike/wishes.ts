/**
 * Wishes: somebody needs a child SA. One negotiation per need, however many ask; a wish finds an IKE SA, joins one that is
 * being negotiated, or starts one.
 */

import { formatSelector } from "../policy/selector.ts";
import type { Rule } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { ChildWish, IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import type { IkeEntry } from "../sa-store/store.ts";
import { isOfPeer } from "./children.ts";
import { type Core, log, logError, ruleOf, spiText } from "./core.ts";
import type { EventFields } from "./effect.ts";
import { taken } from "./end-taken.ts";
import type { IkeError } from "./errors.ts";
import { awaitAnswer, onWishFailed } from "./fronts.ts";
import type { Path } from "./input.ts";
import { pathThroughNat } from "./nat-path.ts";
import { startMainMode } from "./phase1-start.ts";
import { startChild } from "./phase2.ts";
import { serves } from "./renewal.ts";
import { failNeed, keepTrying, mayBegin, RETRY_FIRST } from "./retry.ts";
import { settle, tell } from "./watch.ts";

/** Equal keys mean the same need. */
export function specKey({ rule, selector, local, remote }: Omit<ChildSpec, "reqid">): string {
  const last = lastKeyed;
  if (last?.selector === selector && last.rule === rule && last.local === local && last.remote === remote) return last.key;
  const key = `${rule.name}|${local}|${remote}|${formatSelector(selector)}`;
  lastKeyed = { rule, selector, local, remote, key };
  return key;
}

/** The name of the rule in a key; names may hold the mark that stands between its parts, and addresses and selectors don't. */
export const ruleOfKey = (key: string): string => key.split("|").slice(0, -3).join("|");

/** One input asks for the key of one need many times. */
let lastKeyed: (Omit<ChildSpec, "reqid"> & { readonly key: string }) | undefined;

/** Sees to it that a child comes to be. `replaces`: the child to take over from, for a rekey. */
export function wishFor(core: Core, spec: ChildSpec, watchers: readonly number[], replaces: number | null): void {
  if (core.stopping) return;
  const key = specKey(spec);
  const running = core.wishes.get(key);
  if (running) {
    for (const id of watchers) running.watchers.add(id);
    if (running.replaces === null && !core.paced.has(key) && isAsked(core, spec)) awaitAnswer(core, spec);
    return tell(core, watchers, `${formatSelector(spec.selector)} is being negotiated already`);
  }
  const other = replaces === null ? taken(core, spec) : undefined;
  if (other !== undefined) return refuseWish(core, spec, watchers, { kind: "other-rule", what: other });
  const wish: ChildWish = { key, spec: core.policies.numbered(spec), replaces, watchers: new Set(watchers), collisions: 0, renewed: false };
  core.wishes.set(key, wish);
  const { rule, remote, selector } = spec;
  const why = replaces !== null ? "renewal" : watchers.length > 0 ? "command" : "need";
  log(core, "child.wanted", "debug", `rule ${rule.name}, peer ${remote}: ${formatSelector(selector)} is wanted (${why})`, {
    ...{ rule: rule.name, peer: remote, cause: why },
  });
  pursue(core, wish);
}

/** What is wanted would be of no use, or against what a stronger rule says: nobody is asked for it. */
function refuseWish(core: Core, spec: ChildSpec, watchers: readonly number[], error: IkeError): void {
  const { rule, local, remote, selector } = spec;
  logError(core, "child.failed", `rule ${rule.name}, peer ${remote}, ${formatSelector(selector)}`, error, {
    ...{ role: "initiator", local, peer: remote, selector: formatSelector(selector), rule: rule.name },
  });
  if (watchers.length === 0) failNeed(core, spec);
  settle(core, watchers, specKey(spec), error);
}

/** An IKE SA with the peer is there: it speaks IKE, whatever becomes of the wish. */
const isServed = (core: Core, { local, remote }: ChildSpec): boolean =>
  core.store.byPeer(local, remote).some(({ phase }) => phase === "established");

/** Message 1 has been sent because of a wish, and the peer has shown by no IKE SA that it speaks IKE. */
const isAsked = (core: Core, spec: ChildSpec): boolean =>
  !isServed(core, spec) &&
  core.store
    .byPeer(spec.local, spec.remote)
    .some((entry) => entry.phase === "negotiating" && entry.flight !== null && negotiatesFor(entry, spec.rule));

/** Already there: the command that asked is answered at once. */
export function isUp(core: Core, spec: ChildSpec): string | undefined {
  const live = core.store.byKey(specKey(spec)).findLast((child) => child.state !== "draining" && child.outbound === "installed");
  return live && `already up, spi ${spiText(live.protections[0]?.spiIn ?? 0)} in, ${spiText(live.protections[0]?.spiOut ?? 0)} out`;
}

/** Finds the IKE SA for a wish, or begins one. */
export function pursue(core: Core, wish: ChildWish): void {
  const { rule, local, remote } = wish.spec;
  const entries = ofItsPeer(core, wish, core.store.byPeer(local, remote));
  const sa = entries.findLast((entry): entry is IkeSa => entry.phase === "established" && serves(entry, rule, core.now));
  if (sa) return startChild(core, sa, wish);
  const underway = entries.find(
    (entry): entry is Negotiation => entry.phase === "negotiating" && entry.role === "initiator" && negotiatesFor(entry, rule),
  );
  if (underway) {
    underway.wishes.push(wish);
    if (underway.state.kind === "sa-sent") awaitAnswer(core, wish.spec);
    return tell(core, wish.watchers, `Main Mode with ${remote} is under way`);
  }
  if (!mayBegin(core, wish)) return;
  const path: Path = pathThroughNat(entries) ?? {
    local: { address: local, port: core.port },
    remote: { address: remote, port: core.port },
  };
  startMainMode(core, rule, path, wish);
}

/** A child is renewed with the peer that has it: behind a NAT others have the same address. */
function ofItsPeer(core: Core, { replaces }: ChildWish, entries: readonly IkeEntry[]): readonly IkeEntry[] {
  const old = replaces === null ? undefined : core.store.children.get(replaces);
  return old ? entries.filter((entry) => entry.phase === "negotiating" || isOfPeer(entry, old)) : entries;
}

const negotiatesFor = (entry: Negotiation, rule: Rule): boolean => entry.role === "initiator" && ruleOf(entry).name === rule.name;

/** The wish came true. */
export function fulfil(core: Core, wish: ChildWish): void {
  if (core.wishes.get(wish.key) === wish) core.wishes.delete(wish.key);
  settle(core, wish.watchers, wish.key, null);
}

/** It did not; a replaced child lives on as long as it can. */
export function failWish(core: Core, wish: ChildWish, error: IkeError, quickMode: EventFields = {}): void {
  if (core.wishes.get(wish.key) === wish) core.wishes.delete(wish.key);
  logError(core, "child.failed", `rule ${wish.spec.rule.name}, peer ${wish.spec.remote}, ${formatSelector(wish.spec.selector)}`, error, {
    ...{ role: "initiator", local: wish.spec.local, peer: wish.spec.remote, selector: formatSelector(wish.spec.selector) },
    ...quickMode,
    rule: wish.spec.rule.name,
  });
  const old = wish.replaces === null ? undefined : core.store.children.get(wish.replaces);
  if (old?.state === "rekeying") {
    old.state = "installed";
    core.timers.set(old, "rekey", core.now + RETRY_FIRST);
  }
  onWishFailed(core, wish.spec, error);
  if (wish.replaces === null && error.kind !== "terminated" && isServed(core, wish.spec)) failNeed(core, wish.spec);
  settle(core, wish.watchers, wish.key, error);
  if (error.kind !== "terminated") keepTrying(core, wish.spec);
}
