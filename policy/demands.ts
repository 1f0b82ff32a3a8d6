/**
 * Rules of one action of which one demands encryption, or who the peer is, and another one that demands less decides about some of its packets: filters that
 * share packets, neither of which is within the other. Found by their ports and sides, without a look at each pair.
 */
import { arePortsApart, crosses, decider, type PlacedFilter, placedFilters, sameSide, sharedText } from "./crossing.ts";
import type { Report } from "./diagnostic.ts";
import { formatIdentity } from "./identity.ts";
import type { PlacedRule } from "./placed-rules.ts";
import { OverlapIndex } from "./prefix-index.ts";
import { type ByFilter, byNumbers, grouped, sideKey } from "./side-index.ts";
import { encrypts } from "./traffic-keys.ts";
import type { AuthEntry, Rule, Side } from "./types.ts";

/** Where more pairs of filters meet, the rest of them is not compared; of more kinds of demands than these the filters are not filed by kind. */
const [MOST_MEETING, MOST_KINDS] = [5_000_000, 16];

/** Warns of each filter of a demanding rule for the first one found that takes some of its packets; of packets between two ports once for all. */
export function reportDemands(rules: readonly PlacedRule[], report: Report): void {
  const demands = new Map(rules.map(({ rule }) => [rule, demandsOf(rule)]));
  if (![...demands.values()].some(({ encryption, peers }) => encryption || peers.length > 0)) return;
  const of = ({ rule }: PlacedFilter): Demands => demands.get(rule) as Demands;
  const placed = placedFilters(rules).filter(({ rule: { action } }) => action !== "permit" && action !== "block");
  const kinds = grouped(placed, (one) => `${one.rule.action} ${of(one).key}`);
  const filed = kinds.size <= MOST_KINDS ? kinds : grouped(placed, ({ rule }) => rule.action);
  const indexes = [...filed.values()].map((list) => ({
    first: list[0] as PlacedFilter,
    meeting: byNumbers(list, ({ filter }) => filter, bySides),
  }));
  /** Those that share packets between two ports alone are told of in one line. */
  const between: (readonly [mine: PlacedFilter, other: PlacedFilter])[] = [];
  let looked = 0;
  for (const mine of placed) {
    const candidates = indexes.flatMap(({ first, meeting }) =>
      first.rule.action === mine.rule.action && (filed !== kinds || lacks(of(mine), of(first))) ? meeting(mine.filter) : [],
    );
    looked += candidates.length;
    if (looked > MOST_MEETING)
      return report.warning(
        mine.at,
        "so many filters meet that from here on it was not looked for which of them take packets of rules that demand more; mainmode why tells what decides",
      );
    const taking = candidates.filter((other) => takesFrom(mine, other, lacks(of(mine), of(other))));
    const other = taking.find((one) => !arePortsApart(mine.filter, one.filter));
    if (other) report.warning(mine.at, textOf(mine, other, lacks(of(mine), of(other))));
    else if (taking[0]) between.push([mine, taking[0]]);
  }
  const [first, ...more] = between;
  if (!first) return;
  const [mine, other] = first;
  const others = more.length === 0 ? "" : `; the same holds for ${more.length} more ${more.length === 1 ? "filter" : "filters"}`;
  report.warning(
    mine.at,
    `${textOf(mine, other, lacks(of(mine), of(other)))} (it is packets between the port of the one and the port of the other)${others}`,
  );
}

const takesFrom = (mine: PlacedFilter, other: PlacedFilter, what: Lacking | undefined): boolean =>
  what !== undefined && crosses(mine, other) === "crossing" && decider(mine, other) !== mine;

type Lacking = "encryption" | "peers";

function textOf(mine: PlacedFilter, other: PlacedFilter, what: Lacking | undefined): string {
  const [demand, less, write] = {
    encryption: ["encryption", "takes offers without it", "require-encryption = true in that rule, too"],
    peers: ["who the peer is", "takes other peers", "the same identities in that rule, too"],
  }[what ?? "peers"] as [string, string, string];
  const decides = decider(mine, other) === other ? "decides about" : "decides about some of";
  return `its rule demands ${demand}, but "${other.filter.text}" of rule ${JSON.stringify(other.rule.name)}, which ${less}, ${decides} what both share; add the filter "${sharedText(mine, other)}" to this rule, or write ${write}`;
}

/** What a rule wants of SAs and peers. */
interface Demands {
  readonly encryption: boolean;
  /** Whether some offer does without. */
  readonly mayBeBare: boolean;
  /** A peer has to be one of each of these sets. */
  readonly peers: readonly ReadonlySet<string>[];
  /** Equal for equal demands. */
  readonly key: string;
}

function demandsOf({ requireEncryption, quickMode, demand, auth }: Rule): Demands {
  const names = auth.map(nameOf);
  const sets = [
    [...demand.identities.map(formatIdentity), ...demand.principals],
    demand.issuers.map(({ text }) => `below ${text}`),
    names.includes(null) ? [] : names.flatMap((name) => name ?? []),
  ].flatMap((list) => (list.length > 0 ? [list.toSorted()] : []));
  const mayBeBare = !requireEncryption && quickMode.proposals.some((suite) => !encrypts(suite));
  return {
    ...{ encryption: requireEncryption, mayBeBare, peers: sets.map((list) => new Set(list)) },
    key: JSON.stringify([requireEncryption, mayBeBare, sets]),
  };
}

/** Whom an entry accepts alone; null: whoever proves what he says he is. */
function nameOf(entry: AuthEntry): string | null {
  if (entry.method === "kerberos" && entry.peerPrincipal !== null) return entry.peerPrincipal;
  return entry.remoteId && formatIdentity(entry.remoteId);
}

/** What of some demands others do not make. */
function lacks(mine: Demands, other: Demands): Lacking | undefined {
  if (mine.encryption && other.mayBeBare) return "encryption";
  const meets = (set: ReadonlySet<string>): boolean => other.peers.some((names) => [...names].every((name) => set.has(name)));
  return mine.peers.every(meets) ? undefined : "peers";
}

/** By remote sides, and for each of those by local ones. */
function bySides(items: readonly PlacedFilter[]): ByFilter<PlacedFilter> {
  const remotes = [...grouped(items, ({ filter }) => sideKey(filter.remote)).values()].map((list) => ({
    side: (list[0] as PlacedFilter).filter.remote,
    item: bySide(list.map((item) => ({ side: item.filter.local, item }))),
  }));
  const meeting = bySide(remotes);
  return ({ local, remote }) => meeting(remote).flatMap((locals) => locals(local));
}

/** Things by a side each; `me` may have something of every range. */
function bySide<T>(entries: readonly { readonly side: Side; readonly item: T }[]): (side: Side) => readonly T[] {
  const all = entries.map(({ item }) => item);
  const ranges = new OverlapIndex(entries.flatMap(({ side, item }) => (side.kind === "range" ? [{ range: side.range, item }] : [])));
  const wide = entries.flatMap(({ side, item }) => (side.kind === "any" || side.kind === "me" ? [item] : []));
  const named = entries.filter(({ side }) => side.kind === "name");
  return (side) => {
    if (side.kind === "any" || side.kind === "me") return all;
    if (side.kind === "range") return [...ranges.meeting(side.range), ...wide];
    return [...named.flatMap((one) => (sameSide(one.side, side) ? [one.item] : [])), ...wide];
  };
}
