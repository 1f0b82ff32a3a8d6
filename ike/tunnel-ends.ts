/**
 * Our own end of tunnels whose rules leave it open: the route to the far end tells it, and what was found is kept over a reload and a restart.
 * Invariant: without an end the rule shuts what it is about (policy/compile.ts), so that what has been found is forgotten only for something newer, or
 * when it is no address of ours any more.
 */
import type { Policy, Rule } from "../policy/types.ts";
import { type Core, emit, log, logError } from "./core.ts";
import { isOurReqid, type KernelPolicy } from "./kernel-contract.ts";

/** How the search for one rule's end stands. */
export interface EndSearch {
  readonly remote: string;
  /** Before the next question, if this one has no answer. Milliseconds. */
  readonly wait: number;
  /** The administrator has heard that there is no route. */
  readonly told: boolean;
}

/** Routes come after addresses, often within a second; somebody may have to mend something first. Milliseconds. */
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;

const ownerOf = (name: string): string => `end ${name}`;

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
    core.roaming.set(name, known?.remote === tunnel.remote ? known : { remote: tunnel.remote, wait: FIRST_WAIT, told: false });
  }
  for (const name of before.keys()) if (!core.roaming.has(name)) core.timers.clearAll(ownerOf(name));
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
  findTunnelEnds(core);
}

/** Asks for our end of every tunnel that leaves it open: routes or addresses have changed. */
export function findTunnelEnds(core: Core): void {
  if (core.addresses.length === 0 || core.stopping) return;
  for (const [name, search] of [...core.roaming]) {
    core.roaming.set(name, { ...search, wait: FIRST_WAIT });
    askForEnd(core, name);
  }
}

/** Asks for the route of one rule; also when its timer is due. */
export function askForEnd(core: Core, name: string): void {
  const search = core.roaming.get(name);
  if (!search) return;
  const id = ++core.nextOp;
  core.routes.set(id, { remote: search.remote, resume: { kind: "tunnel-end", rule: name } });
  emit(core, { type: "route", id, remote: search.remote });
}

/** A route's answer. Where it tells another end than before, the rule and its policies have that one. The new rule, or undefined for no change. */
export function onTunnelEnd(core: Core, rule: Rule, remote: string, local: string | undefined): Rule | undefined {
  const search = core.roaming.get(rule.name);
  // A reload may have given the rule another far end meanwhile.
  if (!rule.tunnel || search?.remote !== remote) return undefined;
  if (local === undefined) return void lookAgain(core, rule, search);
  core.timers.clearAll(ownerOf(rule.name));
  core.roaming.set(rule.name, { remote, wait: FIRST_WAIT, told: false });
  if (search.told)
    log(core, "policy.loaded", "notice", `rule ${rule.name}: by the route to ${remote} its own tunnel end is ${local}`, {
      peer: remote,
      rule: rule.name,
    });
  if (local === rule.tunnel.local) return undefined;
  const settled: Rule = { ...rule, tunnel: { ...rule.tunnel, local } };
  core.policy = { ...core.policy, rules: core.policy.rules.map((other) => (other === rule ? settled : other)) };
  core.policies.sync(core);
  return settled;
}

/** No route now. Nobody tells when there is one, so it is asked for again. */
function lookAgain(core: Core, { name, tunnel, action }: Rule, search: EndSearch): void {
  const lacking = tunnel?.local === null;
  core.timers.set(ownerOf(name), "retry", core.now + search.wait);
  core.roaming.set(name, { ...search, wait: Math.min(search.wait * 2, LONGEST_WAIT), told: search.told || lacking });
  if (!lacking || search.told) return;
  const meanwhile = action === "require" ? "what the rule is about is dropped until there is one" : "the rule waits for one";
  const what = `no route to ${search.remote} tells this host's own end of the tunnel; ${meanwhile}`;
  const hint = `add a route to ${search.remote}, or name the address of this host in the rule as tunnel.local`;
  logError(core, "policy.failed", `rule ${name}`, { kind: "no-route", what }, { peer: search.remote, rule: name, hint });
}

/** Nobody looks for an end any more: the daemon stops. */
export function dropTunnelEnds(core: Core): void {
  for (const name of core.roaming.keys()) core.timers.clearAll(ownerOf(name));
  for (const [id, { resume }] of [...core.routes]) if (resume.kind === "tunnel-end") core.routes.delete(id);
}
