/**
 * Wishes: somebody needs a child SA. One negotiation per need, however many ask; a wish finds an IKE SA, joins one that is
 * being negotiated, or starts one. Rules that should be up try again for ever.
 */

import { acceptsProof } from "../auth/psk.ts";
import { sameIdentity } from "../policy/identity.ts";
import { formatSelector } from "../policy/selector.ts";
import type { Identity, Rule } from "../policy/types.ts";
import type { ChildSpec } from "../sa-store/child-sa.ts";
import type { ChildWish, IkeSa, Negotiation } from "../sa-store/ike-sa.ts";
import { type Core, log, logError, spiText } from "./core.ts";
import type { IkeError } from "./errors.ts";
import type { Path } from "./input.ts";
import { hasIdsForUs } from "./message-ids.ts";
import { allowsSuite } from "./negotiate-ike.ts";
import { startMainMode } from "./phase1.ts";
import { startChild } from "./phase2.ts";
import { settle, tell } from "./watch.ts";

/** First wait before a rule that should be up tries again; doubles up to the ceiling. Milliseconds. */
export const RETRY_FIRST = 5_000;
const RETRY_CEILING = 300_000;

/** Equal keys mean the same need. */
export const specKey = (spec: ChildSpec): string => `${spec.rule.name}|${spec.local}|${spec.remote}|${formatSelector(spec.selector)}`;

/** Sees to it that a child comes to be. `replaces`: the child to take over from, for a rekey. */
export function wishFor(core: Core, spec: ChildSpec, watchers: readonly number[], replaces: number | null): void {
  if (core.stopping) return;
  const key = specKey(spec);
  const running = core.wishes.get(key);
  if (running) {
    for (const id of watchers) running.watchers.add(id);
    return tell(core, watchers, `${formatSelector(spec.selector)} is being negotiated already`);
  }
  const wish: ChildWish = { key, spec, replaces, watchers: new Set(watchers), collisions: 0, renewed: false };
  core.wishes.set(key, wish);
  pursue(core, wish);
}

/** Already there: the command that asked is answered at once. */
export function isUp(core: Core, spec: ChildSpec): string | undefined {
  const live = core.store.byKey(specKey(spec)).findLast((child) => child.state !== "draining" && child.outbound === "installed");
  return live && `already up, spi ${spiText(live.protections[0]?.spiIn ?? 0)} in, ${spiText(live.protections[0]?.spiOut ?? 0)} out`;
}

/** Finds the IKE SA for a wish, or begins one. */
export function pursue(core: Core, wish: ChildWish): void {
  const { rule, local, remote } = wish.spec;
  const entries = core.store.byPeer(local, remote);
  const sa = entries.findLast((entry): entry is IkeSa => entry.phase === "established" && serves(entry, rule, core.now));
  if (sa) return startChild(core, sa, wish);
  const underway = entries.find(
    (entry): entry is Negotiation => entry.phase === "negotiating" && entry.role === "initiator" && negotiatesFor(entry, rule),
  );
  if (underway) {
    underway.wishes.push(wish);
    return tell(core, wish.watchers, `Main Mode with ${remote} is under way`);
  }
  const path: Path = { local: { address: local, port: core.port }, remote: { address: remote, port: core.port } };
  startMainMode(core, rule, path, wish);
}

/** An IKE SA may carry a rule's children only where the rule would have accepted its algorithms and its proof, and given the same of ours. */
const serves = (entry: IkeSa, rule: Rule, now: number): boolean =>
  entry.expiresAt > now &&
  !entry.silent &&
  hasIdsForUs(entry) &&
  allowsSuite(rule, entry.sa.suite) &&
  speaksAs(rule, entry) &&
  acceptsProof(rule, entry.sa.proof, entry.sa.peerId);

/** Whether we proved ourselves there as whom the rule wants us to be. */
const speaksAs = (rule: Rule, { sa, path }: IkeSa): boolean => {
  const own: Identity = rule.auth.find((entry) => entry.method === "psk")?.localId ?? { type: "ip", address: path.local.address };
  return sameIdentity(own, sa.ownId);
};

const negotiatesFor = (entry: Negotiation, rule: Rule): boolean =>
  (entry.state.kind === "sa-sent" || entry.state.kind === "ke-sent" || entry.state.kind === "auth-sent") &&
  entry.state.rule.name === rule.name;

/** The wish came true. */
export function fulfil(core: Core, wish: ChildWish): void {
  if (core.wishes.get(wish.key) === wish) core.wishes.delete(wish.key);
  settle(core, wish.watchers, wish.key, null);
}

/** It did not; a replaced child lives on as long as it can. */
export function failWish(core: Core, wish: ChildWish, error: IkeError): void {
  if (core.wishes.get(wish.key) === wish) core.wishes.delete(wish.key);
  logError(core, "child.failed", `rule ${wish.spec.rule.name}, peer ${wish.spec.remote}, ${formatSelector(wish.spec.selector)}`, error, {
    rule: wish.spec.rule.name,
    peer: wish.spec.remote,
  });
  const old = wish.replaces === null ? undefined : core.store.children.get(wish.replaces);
  if (old?.state === "rekeying") {
    old.state = "installed";
    core.timers.set(`child ${old.id}`, "rekey", core.now + RETRY_FIRST);
  }
  settle(core, wish.watchers, wish.key, error);
  if (error.kind !== "terminated") keepTrying(core, wish.spec);
}

/** A rule with start = "now" is never given up. */
export function keepTrying(core: Core, spec: ChildSpec): void {
  if (core.stopping || spec.rule.start !== "now" || core.policy.rules.every((rule) => rule.name !== spec.rule.name)) return;
  const key = specKey(spec);
  if (isUp(core, spec)) return stopTrying(core, spec);
  const tries = core.retries.get(key)?.tries ?? 0;
  const wait = Math.min(RETRY_CEILING, RETRY_FIRST * 2 ** tries);
  core.retries.set(key, { spec, tries: Math.min(tries + 1, 16) });
  core.timers.set(`retry ${key}`, "retry", core.now + wait);
  log(core, "child.retry", "info", `rule ${spec.rule.name}: next try in ${wait / 1000} s`, { rule: spec.rule.name, peer: spec.remote });
}

/** A pair is up, whoever asked for it: the next outage begins with the shortest wait again. */
export function stopTrying(core: Core, spec: ChildSpec): void {
  core.retries.delete(specKey(spec));
  core.timers.clearAll(`retry ${specKey(spec)}`);
}

/** The wait of `keepTrying` is over. */
export function onRetry(core: Core, key: string): void {
  const retry = core.retries.get(key);
  if (retry && !isUp(core, retry.spec)) wishFor(core, retry.spec, [], null);
}
