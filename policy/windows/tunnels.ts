/**
 * Windows writes a tunnel as two one-way rules; here it is one. The pair is found by its filters, and which of the two leads out by
 * whose addresses are ours.
 */
import type { Findings } from "./diagnostics.ts";
import { ourSides } from "./filters.ts";
import type { WindowsFilter, WindowsRule } from "./store.ts";
import type { WindowsAddress } from "./values.ts";

/** A tunnel whose two halves were found: the rule that leads out, and our and the peer's end. */
export interface TunnelPair {
  readonly outbound: WindowsRule;
  readonly inbound: WindowsRule | null;
  readonly local: string | null;
  readonly remote: string;
}

/** Pairs the tunnel rules. `ours` are our addresses, as far as they are known. What has no other half is reported. */
export function pairTunnels(rules: readonly WindowsRule[], ours: readonly string[], findings: Findings): readonly TunnelPair[] {
  const waiting = new Map<string, WindowsRule[]>();
  const pairs: TunnelPair[] = [];
  for (const rule of rules) {
    const partner = waiting.get(signature(rule, true))?.shift();
    if (!partner) {
      const key = signature(rule, false);
      const same = waiting.get(key);
      if (same) same.push(rule);
      else waiting.set(key, [rule]);
      continue;
    }
    for (const one of [partner, rule]) sayMirrored(one, "each rule was taken for its own direction", findings);
    const pair = orient(partner, rule, ours);
    if (pair) pairs.push(pair);
    else
      findings.say(
        "E_TUNNEL_UNPAIRED",
        rule,
        `rules ${JSON.stringify(partner.name)} and ${JSON.stringify(rule.name)} are a pair, but which of ${endOf(partner)} and ${endOf(rule)} is ours is not known`,
      );
    if (pair) compare(partner, rule, findings);
  }
  for (const alone of [...waiting.values()].flat()) {
    const whole = mirroredAlone(alone, ours);
    sayMirrored(
      alone,
      whole ? "without a rule for the other direction it was taken for both" : "which of them is meant is not known",
      findings,
    );
    if (whole) pairs.push(whole);
    else findings.say("E_TUNNEL_UNPAIRED", alone, `tunnel rule ${JSON.stringify(alone.name)} has no rule for the other direction`);
  }
  return pairs;
}

function sayMirrored({ name, filterList, line, column }: WindowsRule, taken: string, findings: Findings): void {
  if (filterList.filters.some(({ mirrored }) => mirrored))
    findings.say("W_TUNNEL_MIRRORED", { line, column }, `rule ${JSON.stringify(name)} has mirrored filters; ${taken}`);
}

/** The filters of a rule as a key, with the sides changed for the other direction. */
function signature(rule: WindowsRule, swapped: boolean): string {
  return rule.filterList.filters
    .map((filter) => {
      const [source, destination] = ourSides(filter).map((side) => (side.ok ? side.value : "?"));
      const ends = [`${source}:${filter.sourcePort}`, `${destination}:${filter.destinationPort}`];
      return [...(swapped ? ends.reverse() : ends), filter.protocol].join(" ");
    })
    .sort()
    .join("\n");
}

const endOf = ({ tunnel }: WindowsRule): string =>
  tunnel === null ? "" : tunnel.kind === "address" ? tunnel.address : tunnel.kind === "name" ? tunnel.name : tunnel.kind;

function orient(a: WindowsRule, b: WindowsRule, ours: readonly string[]): TunnelPair | undefined {
  const pair = (outbound: WindowsRule, inbound: WindowsRule): TunnelPair => ({
    outbound,
    inbound,
    local: endOf(inbound) === "me" ? null : endOf(inbound),
    remote: endOf(outbound),
  });
  const [aOurs, bOurs] = [isOurs(a.tunnel, ours), isOurs(b.tunnel, ours)];
  if (aOurs !== bOurs) return aOurs ? pair(b, a) : pair(a, b);
  const [aOut, bOut] = [startsHere(a.filterList.filters), startsHere(b.filterList.filters)];
  if (aOut !== bOut) return aOut ? pair(a, b) : pair(b, a);
  return undefined;
}

const isOurs = (end: WindowsAddress | null, ours: readonly string[]): boolean =>
  end?.kind === "me" || (end?.kind === "address" && ours.includes(end.address));
const startsHere = (filters: readonly WindowsFilter[]): boolean => filters.some(({ source }) => source.kind === "me");

/** A single rule whose filters are mirrored means both directions, if its end is the peer's. */
function mirroredAlone(rule: WindowsRule, ours: readonly string[]): TunnelPair | undefined {
  const { filters } = rule.filterList;
  const usable =
    filters.length > 0 && filters.every(({ mirrored, source }) => mirrored && source.kind === "me") && !isOurs(rule.tunnel, ours);
  return usable ? { outbound: rule, inbound: null, local: null, remote: endOf(rule) } : undefined;
}

function compare(a: WindowsRule, b: WindowsRule, findings: Findings): void {
  // Clear text inwards is what the inbound rule says, and outwards there is none.
  const settings = ({ filterAction: { pfs, methods }, auth }: WindowsRule) => JSON.stringify([pfs, methods, auth]);
  if (settings(a) !== settings(b))
    findings.say(
      "W_TUNNEL_DIFFERENT",
      b,
      `rules ${JSON.stringify(a.name)} and ${JSON.stringify(b.name)} differ in offers or authentication`,
    );
}
