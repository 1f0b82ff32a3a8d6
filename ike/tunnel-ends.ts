/**
 * Our own end of tunnels whose rules leave it open: the route to the far end tells it, and what was found is kept over a reload and a restart.
 * Invariant: without an end the rule shuts what it is about (policy/compile.ts), so that what has been found is forgotten only for something newer, or
 * when it is no address of ours any more.
 */
import type { Policy, Rule } from "../policy/types.ts";
import { type Core, emit, log, logError } from "./core.ts";
import type { Instant } from "./input.ts";
import { isOurReqid, type KernelPolicy } from "./kernel-contract.ts";

/** How the search for one rule's end stands. */
export interface EndSearch {
  readonly remote: string;
  /** Before the next question, if this one has no answer. Milliseconds. */
  readonly wait: number;
  /** When that question is due; null: none is. */
  readonly again: Instant | null;
  /** The administrator has heard that there is no route. */
  readonly told: boolean;
}

/**
 * Policies as a whole are looked at for every end that is new, however many: answers are collected until all questions are answered, or the longest
 * wait is over.
 */
export interface EndsAsked {
  /** Questions of kind `tunnel-end` that have no answer yet. */
  readonly open: Set<number>;
  /** Ends that rules shall have, by the rule's name. */
  readonly told: Map<string, string>;
}

/** Routes come after addresses, often within a second; somebody may have to mend something first. Milliseconds. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;
/** Rules whose next questions are no further apart ask together. Milliseconds. */
const TOGETHER = 250;
/** How long a question without an answer holds back the ends of other rules. Milliseconds. */
const LONGEST_COLLECTING = 1_000;

const ownerOf = (name: string): string => `end ${name}`;
const COLLECTING = "ends all";

/** The ends that routes have told so far, by the far end; for `withEnds`, before the policy changes. */
export const endsFound = (core: Core): ReadonlyMap<string, string> =>
  new Map(
    core.policy.rules.flatMap(({ name, tunnel }) =>
      tunnel?.local && core.roaming.has(name) ? [[tunnel.remote, tunnel.local] as const] : [],
    ),
  );

/** A rule whose end is open, with the one that is known for its far end. */
export function withEnd(rule: Rule, ends: ReadonlyMap<string, string>): Rule {
  const local = rule.tunnel?.local === null ? ends.get(rule.tunnel.remote) : undefined;
  return rule.tunnel && local !== undefined ? { ...rule, tunnel: { ...rule.tunnel, local } } : rule;
}

/** The rules of a new policy, as it is written, that leave their end open are looked after from now on, and no others. */
export function followRoutes(core: Core, read: Policy): void {
  const before = new Map(core.roaming);
  core.roaming.clear();
  for (const { name, tunnel } of read.rules) {
    if (tunnel?.local !== null) continue;
    const known = before.get(name);
    core.roaming.set(name, known?.remote === tunnel.remote ? known : { remote: tunnel.remote, wait: FIRST_WAIT, again: null, told: false });
  }
  for (const [name, { remote }] of before) {
    const now = core.roaming.get(name);
    if (!now) core.timers.clearAll(ownerOf(name));
    if (now?.remote !== remote) core.endsAsked.told.delete(name);
  }
  findTunnelEnds(core);
}

/**
 * At a start: ends that the policies of the run before have, as far as they are addresses of ours, until the route tells. Before `sync`. Another rule's
 * end would open what this one is about: none is taken that a rule names for the same far end, nor where there are two.
 */
export function restoreEnds(core: Core, present: readonly KernelPolicy[]): void {
  const named = new Set(core.policy.rules.map(({ tunnel }) => `${tunnel?.local} ${tunnel?.remote}`));
  const found = new Map<string, string | null>();
  for (const { direction, templates } of present)
    for (const { mode, reqid, source, destination } of templates) {
      if (direction !== "out" || mode !== "tunnel" || !isOurReqid(reqid) || source === null || destination === null) continue;
      if (!core.addresses.includes(source) || named.has(`${source} ${destination}`)) continue;
      const known = found.get(destination);
      found.set(destination, known === undefined || known === source ? source : null);
    }
  const ends = new Map([...found].filter((entry): entry is [string, string] => entry[1] !== null));
  core.policy = { ...core.policy, rules: core.policy.rules.map((rule) => withEnd(rule, ends)) };
}

/** Our addresses changed. An end that is none of them any more is not known: its rule shuts until the route tells another. Before `sync`. */
export function followAddresses(core: Core): void {
  const isLost = ({ name, tunnel }: Rule): boolean =>
    tunnel?.local != null && core.roaming.has(name) && !core.addresses.includes(tunnel.local);
  if (core.policy.rules.some(isLost))
    core.policy = {
      ...core.policy,
      rules: core.policy.rules.map((rule) => (rule.tunnel && isLost(rule) ? { ...rule, tunnel: { ...rule.tunnel, local: null } } : rule)),
    };
  const { told } = core.endsAsked;
  for (const [name, local] of told) if (!core.addresses.includes(local)) told.delete(name);
  findTunnelEnds(core);
}

/** Asks for our end of every tunnel that leaves it open: routes or addresses have changed. */
export function findTunnelEnds(core: Core): void {
  if (core.addresses.length === 0 || core.stopping) return;
  for (const [name, search] of core.roaming) {
    core.timers.clearAll(ownerOf(name));
    core.roaming.set(name, { ...search, wait: FIRST_WAIT });
    askForEnd(core, name);
  }
}

/** A rule's timer is due: asks for its route, and for those of all others whose timers are due or nearly so, since their answers are settled at once. */
export function askAgain(core: Core): void {
  for (const [name, { again }] of core.roaming) {
    if (again === null || again > core.now + TOGETHER) continue;
    core.timers.clearAll(ownerOf(name));
    askForEnd(core, name);
  }
}

function askForEnd(core: Core, name: string): void {
  const search = core.roaming.get(name);
  if (!search) return;
  core.roaming.set(name, { ...search, again: null });
  const id = ++core.nextOp;
  core.endsAsked.open.add(id);
  core.routes.set(id, { remote: search.remote, resume: { kind: "tunnel-end", rule: name } });
  emit(core, { type: "route", id, remote: search.remote });
}

/** A route's answer. Where it tells another end than before, `settleEnds` gives the rule that one. */
export function onTunnelEnd(core: Core, rule: Rule, remote: string, local: string | undefined): void {
  const search = core.roaming.get(rule.name);
  // A reload may have given the rule another far end meanwhile.
  if (!rule.tunnel || search?.remote !== remote) return;
  if (local === undefined) return lookAgain(core, rule, search);
  core.timers.clearAll(ownerOf(rule.name));
  core.roaming.set(rule.name, { remote, wait: FIRST_WAIT, again: null, told: false });
  if (search.told)
    log(core, "policy.loaded", "notice", `rule ${rule.name}: by the route to ${remote} its own tunnel end is ${local}`, {
      peer: remote,
      rule: rule.name,
    });
  if (local === rule.tunnel.local) return void core.endsAsked.told.delete(rule.name);
  core.endsAsked.told.set(rule.name, local);
  if (!core.timers.has(COLLECTING, "retry")) core.timers.set(COLLECTING, "retry", core.now + LONGEST_COLLECTING);
}

/** Rules and policies have the ends that routes have told by now. The rules that are new by that. */
export function settleEnds(core: Core): readonly Rule[] {
  const { told } = core.endsAsked;
  core.timers.clearAll(COLLECTING);
  if (told.size === 0) return [];
  const settled: Rule[] = [];
  const rules = core.policy.rules.map((rule) => {
    const local = told.get(rule.name);
    if (!rule.tunnel || local === undefined || local === rule.tunnel.local) return rule;
    const now: Rule = { ...rule, tunnel: { ...rule.tunnel, local } };
    settled.push(now);
    return now;
  });
  told.clear();
  if (settled.length === 0) return [];
  core.policy = { ...core.policy, rules };
  core.policies.sync(core);
  return settled;
}

/** No route now. Nobody tells when there is one, so it is asked for again. */
function lookAgain(core: Core, { name, tunnel, action }: Rule, search: EndSearch): void {
  const lacking = tunnel?.local === null && !core.endsAsked.told.has(name);
  const again = core.now + search.wait;
  core.timers.set(ownerOf(name), "retry", again);
  core.roaming.set(name, { ...search, wait: Math.min(search.wait * 2, LONGEST_WAIT), again, told: search.told || lacking });
  if (!lacking || search.told) return;
  const meanwhile = action === "require" ? "what the rule is about is dropped until there is one" : "the rule waits for one";
  const what = `no route to ${search.remote} tells this host's own end of the tunnel; ${meanwhile}`;
  const hint = `add a route to ${search.remote}, or name the address of this host in the rule as tunnel.local`;
  logError(core, "policy.failed", `rule ${name}`, { kind: "no-route", what }, { peer: search.remote, rule: name, hint });
}

/** Nobody looks for an end any more: the daemon stops. */
export function dropTunnelEnds(core: Core): void {
  for (const name of core.roaming.keys()) core.timers.clearAll(ownerOf(name));
  core.timers.clearAll(COLLECTING);
  for (const id of core.endsAsked.open) core.routes.delete(id);
  core.endsAsked.open.clear();
  core.endsAsked.told.clear();
}
