/**
 * Which rule answers: a peer, by address, before anything else is known of it; and a pair of selectors that it proposes.
 * The most specific wins, not the first (host, subnet or range, any), so that the order of rules in the file rarely matters.
 */
import {
  type AddressRange,
  covers,
  everyAddress,
  hostRange,
  includesAddress,
  isHost,
  parseAddress,
  parseRange,
  prefixesOf,
  prefixLength,
  sameRange,
} from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import { formatProtocol } from "./filter.ts";
import { countOf, prioritiesFor } from "./packet-selector.ts";
import { OverlapIndex, PrefixIndex } from "./prefix-index.ts";
import { concreteSelectors, coversSelector, formatEnd, formatSelector } from "./selector.ts";
import type { Filter, Policy, Rule, Side, TrafficSelector } from "./types.ts";

/** The peers a rule speaks IKE with: the tunnel's far end, else the rule's `peer`, else the filters' remote sides. */
export function peerRanges(rule: Rule): readonly AddressRange[] {
  return rule.filters
    .flatMap((filter) => peersOfFilter(rule, filter))
    .filter((range, i, all) => all.findIndex((other) => sameRange(other, range)) === i);
}

/**
 * Rules that negotiate with `remoteAddress` on `localAddress`, most specific first: host, subnet, any; smaller first; then as in the file. A range counts
 * as the prefixes that make it up, as in the kernel, and comes behind what is just one of them. Every message 1 of a stranger asks this, so they are looked up by prefix.
 */
export function rulesForPeer(policy: Policy, localAddress: string, remoteAddress: string): readonly Rule[] {
  const address = parseAddress(remoteAddress);
  if (!address) return [];
  const best = new Map<Rule, PeerEntry>();
  for (const entry of peersOf(policy).at(address.family, address.value)) {
    if (!isOurEnd(entry.rule, entry.filter.local, localAddress)) continue;
    const known = best.get(entry.rule);
    if (!known || comparePeers(entry, known) < 0) best.set(entry.rule, entry);
  }
  return [...best.values()].sort((x, y) => lastResort(x.rule, y.rule) || comparePeers(x, y) || x.order - y.order).map(({ rule }) => rule);
}

/** A filter of a rule that negotiates, with a prefix of peers that it is for. */
interface PeerEntry {
  readonly rule: Rule;
  readonly filter: Filter;
  readonly range: AddressRange;
  /** What the prefix is a part of. */
  readonly whole: AddressRange;
  /** Of the rule in the file. */
  readonly order: number;
}

const comparePeers = (a: PeerEntry, b: PeerEntry): number => compareRanges(a.range, b.range) || compareRanges(a.whole, b.whole);

const PEERS = new WeakMap<Policy, PrefixIndex<PeerEntry>>();

function peersOf(policy: Policy): PrefixIndex<PeerEntry> {
  const known = PEERS.get(policy);
  if (known) return known;
  const peers = new PrefixIndex<PeerEntry>();
  for (const [order, rule] of policy.rules.entries())
    if (negotiates(rule))
      for (const filter of rule.filters)
        for (const whole of peersOfFilter(rule, filter))
          for (const range of piecesOf(whole)) peers.add(range, { rule, filter, range, whole, order });
  PEERS.set(policy, peers);
  return peers;
}

/** The prefixes that make up a range, as ranges. */
function piecesOf(range: AddressRange): readonly AddressRange[] {
  return prefixLength(range) === undefined
    ? prefixesOf(range).flatMap(({ address, length }) => parseRange(`${address}/${length}`) ?? [])
    : [range];
}

const NAMED = new WeakMap<Policy, ReadonlyMap<string, Rule>>();

/** The rule of a policy that has a name; undefined where there is none. The first look-up makes a table. */
export function ruleNamed(policy: Policy, name: string): Rule | undefined {
  const known = NAMED.get(policy);
  if (known) return known.get(name);
  const named = new Map(policy.rules.map((rule) => [rule.name, rule]));
  NAMED.set(policy, named);
  return named.get(name);
}

const PLACES = new WeakMap<Policy, ReadonlyMap<Rule, number>>();

/** The place of a rule in its policy, from 0; of a rule of another one behind all. For look-ups at every negotiation: the first makes a table. */
export function placeInFile(policy: Policy, rule: Rule): number {
  const known = PLACES.get(policy) ?? new Map(policy.rules.map((one, place) => [one, place]));
  PLACES.set(policy, known);
  return known.get(rule) ?? known.size;
}

/** A filter with its rule. */
export interface RuleFilter {
  readonly rule: Rule;
  readonly filter: Filter;
}

interface BySide {
  readonly among: OverlapIndex<RuleFilter>;
  readonly anywhere: readonly RuleFilter[];
}

const TOWARDS = new WeakMap<Policy, BySide>();
const FROM = new WeakMap<Policy, BySide>();

/** Filters of all rules whose remote side may have something in common with a range. In no order. */
export function filtersTowards(policy: Policy, range: AddressRange): readonly RuleFilter[] {
  if (lastTowards?.policy !== policy || lastTowards.range !== range)
    lastTowards = { policy, range, found: bySide(TOWARDS, policy, ({ remote }) => remote, range) };
  return lastTowards.found;
}

/** One input asks for those of one range many times. */
let lastTowards: { readonly policy: Policy; readonly range: AddressRange; readonly found: readonly RuleFilter[] } | undefined;

/** The same of their local side, of those that permit or block what passes through, too: whichever side is named first, they are about such packets. */
export const filtersFrom = (policy: Policy, range: AddressRange): readonly RuleFilter[] =>
  bySide(FROM, policy, ({ local }, rule) => (negotiates(rule) || local.kind === "me" ? undefined : local), range);

function bySide(
  made: WeakMap<Policy, BySide>,
  policy: Policy,
  sideOf: (filter: Filter, rule: Rule) => Side | undefined,
  range: AddressRange,
): readonly RuleFilter[] {
  let known = made.get(policy);
  if (!known) {
    const all = policy.rules.flatMap((rule) =>
      rule.filters.flatMap((filter) => {
        const side = sideOf(filter, rule);
        return side ? [{ side, item: { rule, filter } }] : [];
      }),
    );
    known = {
      among: new OverlapIndex(all.flatMap(({ side, item }) => (side.kind === "range" ? [{ range: side.range, item }] : []))),
      anywhere: all.flatMap(({ side, item }) => (side.kind === "range" ? [] : [item])),
    };
    made.set(policy, known);
  }
  return [...known.among.meeting(range), ...known.anywhere];
}

/** Whether a rule's action protects traffic. */
export const negotiates = (rule: Rule): boolean => rule.action === "respond" || rule.action === "request" || rule.action === "require";

/** The filter that allows a pair of selectors, and the configured pair that it stands for here. */
export interface Covering {
  readonly rule: Rule;
  readonly filter: Filter;
  readonly selector: TrafficSelector;
}

/** Why one filter does not allow a proposal: the first difference between what is configured and what was offered. */
export interface SelectorMismatch {
  readonly rule: string;
  readonly filter: string;
  readonly difference: string;
}

/**
 * The filter of `rules` that decides about what a peer proposes (our side in `local`), of those that cover all of it, or why none does: the kernel asks for
 * the SAs of that rule. `rules` are those that the peer may use: `rulesForPeer`, narrowed to what it has proved; `place`: their order in the file. What is wider than configured is refused, never narrowed (RFC 2409 §5.5).
 */
export function ruleCoveringSelectors(
  rules: readonly Rule[],
  localAddresses: readonly string[],
  proposed: TrafficSelector,
  mode: Rule["mode"],
  place: (rule: Rule) => number = (rule) => rules.indexOf(rule),
): Result<Covering, readonly SelectorMismatch[]> {
  const best = decidingOf(coveringOf(rules, localAddresses, proposed, mode), proposed, place);
  return best ? ok(best) : err(rules.flatMap((rule) => mismatchesOf(rule, localAddresses, proposed, mode)));
}

/** The filters of rules that cover all of something. What that costs hangs on them alone, however many prefixes it is. */
export function coveringOf(
  rules: readonly Rule[],
  localAddresses: readonly string[],
  proposed: TrafficSelector,
  mode: Rule["mode"],
): readonly Covering[] {
  const covering: Covering[] = [];
  for (const rule of rules.filter((one) => one.mode === mode))
    for (const filter of rule.filters) {
      // A filter's selectors are within its remote side: of thousands of filters most are passed over by a comparison.
      if (filter.remote.kind === "range" && !covers(filter.remote.range, proposed.remote)) continue;
      const selector = concreteSelectors(filter, rule, localAddresses, proposed).find((candidate) => coversSelector(candidate, proposed));
      if (selector) covering.push({ rule, filter, selector });
    }
  return covering;
}

/**
 * Which of filters that cover all of something decides about it. A range is in the kernel as prefixes, so they are compared at those packets; where of
 * two each is stronger for some of them, it is the one that is stronger on average. `place`: which of equally strong rules is the first of the file.
 */
function decidingOf(covering: readonly Covering[], packets: TrafficSelector, place: (rule: Rule) => number): Covering | undefined {
  if (covering.length < 2) return covering[0];
  const [best] = covering
    .map((one) => ({ one, rule: one.rule, priority: prioritiesFor(one.selector, packets).average }))
    .sort(
      (a, b) => lastResort(a.rule, b.rule) || a.priority - b.priority || compareStrength(a.rule, b.rule) || place(a.rule) - place(b.rule),
    );
  return best?.one;
}

/** Pairs of prefixes that are compared one by one. */
const MOST_PIECES = 64;

/** A filter's selector with its rule. */
type Ruled = Pick<Covering, "rule" | "selector">;

/**
 * How much of some packets one filter decides about rather than another, where both cover all of them. A range is in the kernel as prefixes, which may be
 * narrower than a smaller range. Of too many pieces to compare it is `all` where it is the stronger one on average, else `some`.
 */
export function shareDecided(one: Ruled, other: Ruled, packets: TrafficSelector): "all" | "some" | "none" {
  const [its, others] = [prioritiesFor(one.selector, packets), prioritiesFor(other.selector, packets)];
  if (countOf(packets.local, packets.remote) > MOST_PIECES) return its.average < others.average ? "all" : "some";
  const isStronger = compareStrength(one.rule, other.rule) < 0;
  const rivals = others.each();
  const won = its.each().filter((priority, i) => priority < (rivals[i] as number) || (priority === rivals[i] && isStronger)).length;
  return won === rivals.length ? "all" : won > 0 ? "some" : "none";
}

/** Packets that leave this host's side, or that come to it. */
export type Way = "out" | "in";

/** The ways that a filter takes from a child of another rule. What passes or is dropped one way leaves the other; whose peer has to prove more has both. */
export const waysTaken = ({ rule, filter: { direction } }: RuleFilter): readonly Way[] =>
  direction === "both" || negotiates(rule) ? BOTH_WAYS : [direction];

const BOTH_WAYS: readonly Way[] = ["out", "in"];

/** The first of some filters where they together take all of some ways; undefined where one is left. */
export function takingAll(
  ways: ReadonlySet<Way>,
  taking: Iterable<{ readonly by: RuleFilter; readonly ways: readonly Way[] }>,
): RuleFilter | undefined {
  const left = new Set(ways);
  let first: RuleFilter | undefined;
  for (const { by, ways: taken } of taking) {
    if (!taken.some((way) => left.delete(way))) continue;
    for (const way of taken) left.delete(way);
    first ??= by;
    if (left.size === 0) return first;
  }
  return undefined;
}

/**
 * A filter that decides about every packet that a peer proposes, although another covers them, too: a rule that this peer may not use, or that lets pass
 * or drops, and of which the kernel has a stronger policy for each of them; or the first of two, of which each does so one way. A child would never carry
 * anything. `own`: rules that the peer may use; `ways`: that a child would be for.
 */
export function decidedByAnother(
  policy: Policy,
  own: readonly Rule[],
  localAddresses: readonly string[],
  covering: Covering,
  proposed: TrafficSelector,
  ways: () => ReadonlySet<Way>,
): RuleFilter | undefined {
  // Of the default response every other filter takes its part. What has more pieces is a whole range of a filter: only one with the same pieces might come first.
  if (covering.rule.defaultResponse || countOf(proposed.local, proposed.remote) > MOST_PIECES) return undefined;
  const decides = (rule: Rule, theirs: TrafficSelector): boolean => shareDecided({ rule, selector: theirs }, covering, proposed) === "all";
  const deciding = filtersTowards(policy, proposed.remote).filter(
    ({ rule, filter }) =>
      !rule.defaultResponse &&
      !own.includes(rule) &&
      (filter.remote.kind !== "range" || covers(filter.remote.range, proposed.remote)) &&
      concreteSelectors(filter, rule, localAddresses, proposed).some((theirs) => coversSelector(theirs, proposed) && decides(rule, theirs)),
  );
  if (deciding.length === 0) return undefined;
  return takingAll(
    ways(),
    deciding.map((by) => ({ by, ways: waysTaken(by) })),
  );
}

const mismatchesOf = (
  rule: Rule,
  localAddresses: readonly string[],
  proposed: TrafficSelector,
  mode: Rule["mode"],
): readonly SelectorMismatch[] =>
  rule.filters.map((filter) => {
    const selectors = concreteSelectors(filter, rule, localAddresses);
    return { rule: rule.name, filter: filter.text, difference: differenceOf(rule, selectors, proposed, mode) };
  });

/** Filters that an explanation names. */
const MOST_TOLD = 8;

/** One line for a log: what was offered, and per rule and filter the first difference. */
export function explainMismatches(proposed: TrafficSelector, mismatches: readonly SelectorMismatch[]): string {
  const offered = `the peer proposes ${formatSelector(proposed)}`;
  if (mismatches.length === 0) return `${offered}; no rule is for this peer`;
  const told = mismatches.slice(0, MOST_TOLD).map(({ rule, filter, difference }) => `rule ${rule} "${filter}": ${difference}`);
  return `${offered}; ${told.join("; ")}${mismatches.length > MOST_TOLD ? `; and ${mismatches.length - MOST_TOLD} more filters` : ""}`;
}

const STRENGTH: readonly Rule["action"][] = ["block", "permit", "require", "request", "respond"];

/** Which of two rules decides about what both have filters for that come to the same: negative where it is `a`, 0 where it is the first of the file. */
export const compareStrength = (a: Rule, b: Rule): number =>
  Number(a.mode === "tunnel") - Number(b.mode === "tunnel") || STRENGTH.indexOf(a.action) - STRENGTH.indexOf(b.action);

/** The default response rule comes after every other. */
const lastResort = (a: Rule, b: Rule): number => Number(a.defaultResponse) - Number(b.defaultResponse);

/** Order of precedence: negative where `a` is the more specific. Remote side first, then local side, protocol, remote port, local port. */
export function compareSpecificity(a: TrafficSelector, b: TrafficSelector): number {
  return (
    rangeClass(a.remote) - rangeClass(b.remote) ||
    rangeClass(a.local) - rangeClass(b.local) ||
    compareRanges(a.remote, b.remote) ||
    compareRanges(a.local, b.local) ||
    anyLast(a.protocol) - anyLast(b.protocol) ||
    anyLast(a.remotePort) - anyLast(b.remotePort) ||
    anyLast(a.localPort) - anyLast(b.localPort)
  );
}

/** Order of precedence of address ranges: host, subnet or range, any; the smaller of two of one kind first. */
export function compareRanges(a: AddressRange, b: AddressRange): number {
  const [sizeA, sizeB] = [a.last - a.first, b.last - b.first];
  return rangeClass(a) - rangeClass(b) || (sizeA < sizeB ? -1 : sizeA > sizeB ? 1 : 0);
}

const anyLast = (number: number): number => (number === 0 ? 1 : 0);

function rangeClass(range: AddressRange): number {
  if (isHost(range)) return 0;
  return prefixLength(range) === 0 ? 2 : 1;
}

/** The same of one filter. */
export function peersOfFilter(rule: Rule, filter: Filter): readonly AddressRange[] {
  if (rule.tunnel) {
    const end = parseAddress(rule.tunnel.remote);
    return end ? [hostRange(end.family, end.value)] : [];
  }
  if (rule.peer) return [rule.peer];
  return filter.remote.kind === "range" ? [filter.remote.range] : filter.remote.kind === "any" ? [everyAddress(4), everyAddress(6)] : [];
}

/** Whether the rule may negotiate on this address of ours: a tunnel's own end, or an address that the filter's local side has. */
function isOurEnd(rule: Rule, side: Side, localAddress: string): boolean {
  if (rule.tunnel) return rule.tunnel.local === null || rule.tunnel.local === localAddress;
  return side.kind !== "range" || includesAddress(side.range, localAddress);
}

/** The difference to the configured selector that comes nearest. */
function differenceOf(rule: Rule, selectors: readonly TrafficSelector[], proposed: TrafficSelector, mode: Rule["mode"]): string {
  if (rule.mode !== mode) return `${mode} mode offered, ${rule.mode} mode configured`;
  const [nearest] = selectors.map((configured) => firstDifference(configured, proposed)).sort((a, b) => b.step - a.step);
  return nearest?.text ?? "no address of this host fits it";
}

/** `step` counts the comparisons passed. */
function firstDifference(configured: TrafficSelector, offered: TrafficSelector): { readonly step: number; readonly text: string } {
  const say = (what: string, ours: string, theirs: string) => `${what} ${theirs} offered, ${ours} configured`;
  const places = (what: "local" | "remote") => say(what, formatEnd(configured[what], 0), formatEnd(offered[what], 0));
  const steps: readonly (readonly [boolean, () => string])[] = [
    [
      configured.remote.family === offered.remote.family,
      () => say("address family", `IPv${configured.remote.family}`, `IPv${offered.remote.family}`),
    ],
    [covers(configured.remote, offered.remote), () => places("remote")],
    [covers(configured.local, offered.local), () => places("local")],
    [
      fits(configured.protocol, offered.protocol),
      () => say("protocol", formatProtocol(configured.protocol), formatProtocol(offered.protocol)),
    ],
    [fits(configured.remotePort, offered.remotePort), () => say("remote port", port(configured.remotePort), port(offered.remotePort))],
    [fits(configured.localPort, offered.localPort), () => say("local port", port(configured.localPort), port(offered.localPort))],
  ];
  const step = steps.findIndex(([same]) => !same);
  return { step: step < 0 ? steps.length : step, text: steps[step]?.[1]() ?? "no difference" };
}

const fits = (wanted: number, offered: number): boolean => wanted === 0 || wanted === offered;
const port = (number: number): string => (number === 0 ? "any" : String(number));
