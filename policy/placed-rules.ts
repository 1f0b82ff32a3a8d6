/**
 * Rules and manual SAs with their filters where they stand in the file: what `check` goes through, so that nothing is looked at in the ones alone.
 */
import { manualRule } from "./manual-rule.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { Filter, ManualSa, Rule } from "./types.ts";

export interface PlacedRule {
  readonly rule: Rule;
  /** Its table: `rule` or `sa`, and the index of the file. */
  readonly at: KeyPath;
  /** At the indexes of the file; undefined: it could not be read. */
  readonly filters: readonly (Filter | undefined)[];
}

/** What of a table says which filters it has. */
type Raw = { readonly filters?: readonly (Filter | undefined)[] | undefined } | undefined;

/** Rules, and then manual SAs as the rules that they amount to. Both and their tables (`raw`) are at the indexes of the file; SAs that could not be read are left out. */
export function placedRules(
  rules: readonly Rule[],
  manual: readonly (ManualSa | undefined)[],
  raw: { readonly rule?: readonly Raw[] | undefined; readonly sa?: readonly Raw[] | undefined },
): readonly PlacedRule[] {
  return [
    ...rules.map((rule, i): PlacedRule => ({ rule, at: ["rule", i], filters: raw.rule?.[i]?.filters ?? [] })),
    ...manual.flatMap((sa, i): readonly PlacedRule[] => {
      // A manual SA that is known already has filters of its own, equal to those of the file.
      let next = 0;
      const own = sa?.filters ?? [];
      return sa ? [{ rule: manualRule(sa), at: ["sa", i], filters: (raw.sa?.[i]?.filters ?? []).map((one) => one && own[next++]) }] : [];
    }),
  ];
}

/** The path of one of its filters. */
export const filterPath = ({ at }: PlacedRule, k: number): KeyPath => [...at, "filters", k];

/** That of a filter of one of the rules. */
export const pathOfFilter = (rules: readonly PlacedRule[], rule: Rule, filter: Filter): KeyPath =>
  rules.flatMap((placed) => (placed.rule === rule ? [filterPath(placed, placed.filters.indexOf(filter))] : []))[0] ?? [];

/** The filters that could be read, with their paths. */
export const placedFiltersOf = (placed: PlacedRule): readonly { readonly filter: Filter; readonly at: KeyPath }[] =>
  placed.filters.flatMap((filter, k) => (filter ? [{ filter, at: filterPath(placed, k) }] : []));
