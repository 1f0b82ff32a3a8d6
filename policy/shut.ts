/**
 * What `check` says of packets that pass through and that a wider block drops, although a narrower filter is about them: ways.ts found no way past it.
 */
import type { Report } from "./diagnostic.ts";
import { ruleText } from "./manual-rule.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import type { Filter } from "./types.ts";
import { haveCommonEnds, type Shut } from "./ways.ts";

/** Warns of each filter once, by the first block that shuts it. */
export function reportShut(rules: readonly PlacedRule[], shut: readonly Shut[], report: Report): void {
  const first = new Map<Filter, Shut>();
  for (const one of shut) if (one.twin.origin.kind === "rule" && !first.has(one.twin.origin.filter)) first.set(one.twin.origin.filter, one);
  for (const { filter, at } of rules.flatMap(placedFiltersOf)) {
    const found = first.get(filter);
    if (found) report.warning(at, textOf(found));
  }
}

function textOf({ twin, blocks, because }: Shut): string {
  const { origin, direction } = blocks.find((block) => haveCommonEnds(block, twin)) ?? twin;
  if (origin.kind !== "rule") throw new Error("only rules block");
  const by = `${ruleText(origin.rule)} (block, "${origin.filter.text}")`;
  const isTunnel = twin.origin.kind === "rule" && twin.origin.rule.mode === "tunnel";
  const what = !isTunnel
    ? "what it lets come back through this host"
    : direction === "fwd"
      ? "what others send into this tunnel"
      : "what comes out of this tunnel for others";
  return `${by} drops ${what}, although this filter is the narrower one: ${REASONS[because]}`;
}

const REASONS: Readonly<Record<Shut["because"], string>> = {
  tunnel:
    "a tunnel that is wider than the block is about some of the same packets, and past the block they would not be held against it; make that tunnel's filter or this one narrower, so that they share none",
  host: "packets of this host itself may be the same ones, and the block alone does not say of all of them that they are dropped; write the other side without addresses of this host, or block everything (any <-> any) where nothing wider than the other blocks is let through",
};
