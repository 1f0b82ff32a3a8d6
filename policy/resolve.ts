/**
 * Names in filters: which there are, and the policy with addresses in their place. The daemon asks and asks again; here is only what its
 * answers make of the policy.
 */
import { hostRange, parseAddress } from "../isakmp/address.ts";
import type { Filter, Policy, Side } from "./types.ts";

/** Canonical addresses by the name in lower case (of a host, or dns, dhcp, gateway). All of a name's addresses count, as in Windows' static policies. */
export type Resolved = ReadonlyMap<string, readonly string[]>;

/** The names that the policy's filters hold, each once. */
export function namesIn(policy: Policy): readonly string[] {
  const sides = [...policy.rules, ...policy.manual].flatMap(({ filters }) => filters.flatMap(({ local, remote }) => [local, remote]));
  return [...new Set(sides.flatMap((side) => (side.kind === "name" ? [side.name] : [])))].sort();
}

/**
 * The policy with a filter for each address of a name. A name without addresses leaves its filter as it is, which stands for nothing. Rules
 * without names are the very same objects, and secrets are shared: destroy one of the two only.
 */
export function resolvePolicy(policy: Policy, resolved: Resolved): Policy {
  const named = ({ filters }: { readonly filters: readonly Filter[] }) =>
    filters.some(({ local, remote }) => local.kind === "name" || remote.kind === "name");
  const replace = <T extends { readonly filters: readonly Filter[] }>(item: T): T =>
    named(item) ? { ...item, filters: item.filters.flatMap((filter) => expand(filter, resolved)) } : item;
  return { ...policy, rules: policy.rules.map(replace), manual: policy.manual.map(replace) };
}

function expand(filter: Filter, resolved: Resolved): readonly Filter[] {
  const [locals, remotes] = [sidesOf(filter.local, resolved), sidesOf(filter.remote, resolved)];
  return locals.flatMap((local) => remotes.flatMap((remote) => (fits(local, remote) ? [{ ...filter, local, remote }] : [])));
}

const fits = (a: Side, b: Side): boolean => a.kind !== "range" || b.kind !== "range" || a.range.family === b.range.family;

function sidesOf(side: Side, resolved: Resolved): readonly Side[] {
  if (side.kind !== "name") return [side];
  const ranges = (resolved.get(side.name) ?? []).flatMap((text): readonly Side[] => {
    const address = parseAddress(text);
    return address ? [{ kind: "range", range: hostRange(address.family, address.value) }] : [];
  });
  return ranges.length > 0 ? ranges : [side];
}
