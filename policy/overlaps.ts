/**
 * Filters of rules with different actions that share packets, neither of which is the narrower one. Forwarded packets are also those of a filter with its
 * sides exchanged. Found by their ports and remote sides, without a look at each pair.
 */
import {
  arePortsApart,
  coversShared,
  crosses,
  crossesTurned,
  decider,
  deciderTurned,
  isAboutForwarded,
  type PlacedFilter,
  placedFilters,
  sameSide,
  turnedFilter,
} from "./crossing.ts";
import type { Report } from "./diagnostic.ts";
import { actingText, manualOf, ruleText } from "./manual-rule.ts";
import type { PlacedRule } from "./placed-rules.ts";
import { OverlapIndex } from "./prefix-index.ts";
import { type ByFilter, byNumbers, grouped } from "./side-index.ts";
import type { Action, Filter } from "./types.ts";

/** Where more pairs of filters meet, the rest of them is not compared. */
const MOST_MEETING = 5_000_000;

/**
 * Two filters of rules with different actions that share packets, neither of which is within the other: which decides is no longer plain
 * from either alone. Filters within another one are what rules are for.
 */
export function reportOverlaps(rules: readonly PlacedRule[], report: Report): void {
  const placed = placedFilters(rules);
  const straight = byAction(placed.map((one) => ({ one, as: one.filter })));
  const passing = byAction(
    placed.filter(({ rule, filter }) => isAboutForwarded(rule, filter)).map((one) => ({ one, as: turnedFilter(one.filter) })),
  );
  const between = new BetweenPorts(placed);
  let looked = 0;
  for (const later of placed) {
    const others = (indexes: ByAction): readonly List[] =>
      [...indexes].flatMap(([action, index]) => (action === later.rule.action ? [] : index(later.filter)));
    const candidates = [...others(straight), ...(isAboutForwarded(later.rule, later.filter) ? others(passing) : [])];
    for (const { filters } of candidates) looked += filters.length;
    if (looked > MOST_MEETING) {
      report.warning(
        later.at,
        "so many filters meet that from here on it was not looked for which of them overlap; mainmode why tells what decides",
      );
      break;
    }
    reportFirst(later, candidates, between, report);
  }
  between.report(report);
}

/** Filters; `ordered`: as they stand in the file. */
interface List {
  readonly filters: readonly PlacedFilter[];
  readonly ordered: boolean;
}

function reportFirst(later: PlacedFilter, candidates: readonly List[], between: BetweenPorts, report: Report): void {
  let first: PlacedFilter | undefined;
  let how: Overlap | undefined;
  for (const { filters, ordered } of candidates)
    for (const earlier of filters) {
      if (earlier.order >= (first ?? later).order) {
        if (ordered) break;
        continue;
      }
      const found = crosses(earlier, later) ?? crossesTurned(earlier, later);
      if (found && !between.takes(earlier, later, found)) [first, how] = [earlier, found];
    }
  if (first && how) report.warning(later.at, SAYINGS[how](textOf(first)));
}

const textOf = ({ filter, rule }: PlacedFilter): string => `"${filter.text}" of ${actingText(rule)}`;

/** Who decides about what two filters share. */
interface PortMeeting {
  readonly later: PlacedFilter;
  readonly earlier: PlacedFilter;
  readonly decides: PlacedFilter | undefined;
}

/**
 * Filters that share with another one just packets from its service to the other's, of which there are none as a rule: a server on one port, and a block of
 * another port elsewhere. A list of services has one such pair for each two of them, so that they are counted: those of which the stricter rule decides, where
 * nothing gets through, and the others, where a source port that anybody may choose leads past the stricter rule.
 */
class BetweenPorts {
  readonly #strict = new Map<PlacedFilter, PortMeeting>();
  readonly #lax = new Map<PlacedFilter, PortMeeting>();

  /** Filters with two ports, by those. */
  readonly #ofBoth = new Map<string, PlacedFilter[]>();

  constructor(placed: readonly PlacedFilter[]) {
    for (const one of placed) {
      const { localPort, remotePort } = one.filter;
      if (localPort === 0 || remotePort === 0) continue;
      const key = keyOfPorts(localPort, remotePort);
      const list = this.#ofBoth.get(key);
      if (!list) this.#ofBoth.set(key, [one]);
      else if (list.length < MOST_OF_BOTH) list.push(one);
    }
  }

  /** Whether two filters that overlap are such; then they are counted, once for the later one. */
  takes(earlier: PlacedFilter, later: PlacedFilter, how: Overlap): boolean {
    const isTurned = how === "turned";
    if (how === "equal" || !arePortsApart(isTurned ? turnedFilter(earlier.filter) : earlier.filter, later.filter)) return false;
    if (this.#lax.has(later)) return true;
    const decides = (isTurned ? deciderTurned : decider)(earlier, later);
    const strictness = Math.min(strictnessOf(earlier), strictnessOf(later));
    const isStrict = decides ? strictnessOf(decides) === strictness : false;
    if (!isStrict && this.#isClosed(earlier, later, isTurned, strictness)) return true;
    if (!isStrict) this.#strict.delete(later);
    if (!isStrict || !this.#strict.has(later)) (isStrict ? this.#strict : this.#lax).set(later, { later, earlier, decides });
    return true;
  }

  /** Whether a filter with both ports, which is the more specific one, is as strict as the stricter of two. */
  #isClosed(earlier: PlacedFilter, later: PlacedFilter, isTurned: boolean, strictness: number): boolean {
    const [one, other] = [earlier, later].map(({ filter }) => filter.localPort || filter.remotePort) as [number, number];
    return (this.#ofBoth.get(keyOfPorts(one, other)) ?? []).some(
      (both) => strictnessOf(both) <= strictness && coversShared(both, earlier, later, isTurned),
    );
  }

  /** One warning for each of the two kinds, at its first filter. */
  report(report: Report): void {
    const say = ([first, ...more]: readonly PortMeeting[], saying: (meeting: PortMeeting) => string): void => {
      if (!first) return;
      const { later, earlier } = first;
      const rules = [...new Set(more.map((one) => ruleText(one.later.rule).replace(/^rule /, "")))];
      const names = `${rules.slice(0, 3).join(", ")}${rules.length > 3 ? " and others" : ""}`;
      const others =
        more.length === 0 ? "" : `; the same holds for ${more.length} more ${more.length === 1 ? "filter" : "filters"} (of ${names})`;
      report.warning(
        later.at,
        `it shares packets with ${textOf(earlier)}, but only those between the port of the one and the port of the other: ${saying(first)}${others}`,
      );
    };
    say([...this.#strict.values()], () => "the stricter rule decides about them, and hardly anybody sends such");
    say([...this.#lax.values()], ({ later, earlier, decides }) => {
      const strict = STRICTEST.indexOf(later.rule.action) < STRICTEST.indexOf(earlier.rule.action) ? later : earlier;
      const [from, to] = [strict === later ? earlier : later, strict].map(({ filter }) => filter.localPort || filter.remotePort);
      const who = decides ? `${ruleText(decides.rule)} decides about them` : "it is not plain which of them decides";
      return `${who}, and whoever sends from port ${from} to port ${to} may get past ${ruleText(strict.rule)}; a filter with both ports ${manualOf(strict.rule) ? "there" : "in that rule"} closes this`;
    });
  }
}

const keyOfPorts = (one: number, other: number): string => (one < other ? `${one} ${other}` : `${other} ${one}`);

/** Of one pair of ports no more are kept. */
const MOST_OF_BOTH = 64;

const strictnessOf = ({ rule }: PlacedFilter): number => STRICTEST.indexOf(rule.action);

/** Actions, those that let the least through first. */
const STRICTEST: readonly Action[] = ["block", "require", "request", "respond", "permit"];

type Overlap = "crossing" | "equal" | "turned";

const SAYINGS: Readonly<Record<Overlap, (whose: string) => string>> = {
  equal: (whose) =>
    `for the addresses of this host that both mean it is about the same traffic as ${whose}; block comes before permit, permit before require, then request, then respond`,
  crossing: (whose) =>
    `it shares packets with ${whose}, and neither is within the other; the one with the narrower remote side decides, then the local side, then the one with protocol and ports (mainmode why tells)`,
  turned: (whose) =>
    `it shares forwarded packets with ${whose}, which has the sides the other way round, and it is not plain which of them decides; write both with the same side first, or make one narrower (mainmode why tells)`,
};

/** A filter, and what of it is compared: itself, or with its sides exchanged. */
interface Item {
  readonly one: PlacedFilter;
  readonly as: Filter;
}

/** Those of some filters that may have something in common with one; local sides are not looked at. */
type Meeting = ByFilter<List>;
type ByAction = ReadonlyMap<Action, Meeting>;

const byAction = (items: readonly Item[]): ByAction =>
  new Map(
    [...grouped(items, ({ one }) => one.rule.action)].map(([action, list]) => [action, byNumbers(list, ({ as }) => as, indexRemotes)]),
  );

function indexRemotes(items: readonly Item[]): Meeting {
  const inOrder = (list: readonly Item[]): List => ({ filters: list.map(({ one }) => one), ordered: true });
  const all = inOrder(items);
  const ranges = items.flatMap(({ one, as: { remote } }) => (remote.kind === "range" ? [{ item: one, range: remote.range }] : []));
  const meeting = new OverlapIndex(ranges);
  const everywhere = inOrder(items.filter(({ as }) => as.remote.kind === "any"));
  const names = items.filter(({ as }) => as.remote.kind === "name");
  return ({ remote }) => {
    if (remote.kind === "any") return [all];
    if (remote.kind === "range") return [{ filters: meeting.meeting(remote.range), ordered: false }, everywhere];
    return [inOrder(names.filter(({ as }) => sameSide(as.remote, remote))), everywhere];
  };
}
