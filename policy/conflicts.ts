/**
 * What is wrong between rules, manual SAs among them: names, selectors and SPIs that occur twice, and keys that Main Mode cannot tell apart.
 */

import type { Secret } from "../ike/crypto/secret.ts";
import { type AddressRange, covers, everyAddress, type Family, formatRange, intersection, isHost, parseRange } from "../isakmp/address.ts";
import { isAboutForwarded } from "./crossing.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import { actingText, manualOf, otherEndOf, ruleText } from "./manual-rule.ts";
import { type PlacedRule, placedFiltersOf } from "./placed-rules.ts";
import { compareStrength, negotiates, peersOfFilter, type RuleFilter } from "./select.ts";
import type { Filter, ManualSa, Rule, Side } from "./types.ts";

/** Reports conflicts between rules, and between them and manual SAs. */
export function reportConflicts(placed: readonly PlacedRule[], report: Report): void {
  const negotiated = placed.filter(({ rule }) => !manualOf(rule));
  const rules = negotiated.map(({ rule }) => rule);
  reportNames(rules, report);
  const taken = reportSelectors(negotiated, report);
  reportHoles(placed, report);
  reportTurned(placed, report);
  const [selectors, spis]: [ByKey, Map<string, ManualSa>] = [new Map(), new Map()];
  for (const one of placed) {
    const sa = manualOf(one.rule);
    if (!sa || report.failed([...one.at, "mode"])) continue;
    reportManual(one, sa, taken, selectors, report);
    reportSpis(one, sa, spis, report);
  }
  reportKeys(rules, report);
}

/** The first filter for each of the kernel's selectors. */
type ByKey = Map<string, RuleFilter>;

function reportNames(rules: readonly Rule[], report: Report): void {
  const first = new Map<string, number>();
  for (const [i, { name }] of rules.entries()) {
    const before = first.get(name);
    if (before === undefined) first.set(name, i);
    else if (name !== "")
      report.error(["rule", i, "name"], `rule number ${before + 1} has this name already; names tell rules apart in commands and logs`);
  }
}

/** The kernel keys its policies by selector and direction: two with one selector cannot both be there. */
function reportSelectors(rules: readonly PlacedRule[], report: Report): ByKey {
  const [deciding, answering]: [ByKey, ByKey] = [new Map(), new Map()];
  const places = new Map(rules.map(({ rule, at }) => [rule, at]));
  for (const placed of rules) {
    const { rule } = placed;
    if (["mode", "tunnel", "peer"].some((key) => report.failed([...placed.at, key]))) continue;
    const [own, others] = rule.action === "respond" ? [answering, deciding] : [deciding, answering];
    for (const { filter, at } of placedFiltersOf(placed)) {
      const keys = selectorKeys(filter, rule);
      const [before, other] = [firstOf(own, keys), firstOf(others, keys)];
      for (const key of keys) if (!own.has(key)) own.set(key, { rule, filter });
      if (before) {
        const whose = before.rule === rule ? "this rule" : ruleText(before.rule);
        report.error(at, `${whose} has a filter for the same traffic, "${before.filter.text}"; remove one, or make it narrower`);
      } else if (other) {
        // It decides before a tunnel (below); else the other does, and comes first when the peer asks.
        if (isHole(rule) ? other.rule.mode === "tunnel" : isHole(other.rule) && rule.mode === "tunnel") continue;
        const [decides, where] = rule.action === "respond" ? [other.rule, at] : [rule, [...(places.get(other.rule) ?? []), "filters"]];
        report.warning(
          where,
          `${actingText(decides)} is about the same traffic and decides; a respond rule without filters answers whatever no other rule is about`,
        );
      }
    }
  }
  return deciding;
}

/** Whether a rule lets packets pass in clear until its peer asks, and comes before tunnels for just the same. */
const isHole = ({ action, mode }: Rule): boolean => action === "respond" && mode === "transport";

/** Transport mode comes before tunnel mode: a rule that only responds there takes the traffic of a tunnel with the same filter. */
function reportHoles(placed: readonly PlacedRule[], report: Report): void {
  const holes: ByKey = new Map();
  const read = placed.filter(({ at }) => !["mode", "tunnel", "peer"].some((key) => report.failed([...at, key])));
  const inTransport = read.filter(({ rule }) => rule.mode === "transport");
  const keysOf = (one: PlacedRule) =>
    placedFiltersOf(one).flatMap(({ filter }) => selectorKeys(filter, one.rule).map((key) => ({ key, filter })));
  // What comes before both decides, and check says so of the respond rule.
  const stronger = new Set(inTransport.flatMap((one) => (isHole(one.rule) ? [] : keysOf(one).map(({ key }) => key))));
  for (const one of inTransport)
    for (const { key, filter } of isHole(one.rule) ? keysOf(one) : [])
      if (!holes.has(key) && !stronger.has(key)) holes.set(key, { rule: one.rule, filter });
  for (const one of read)
    for (const { filter, at } of one.rule.mode === "tunnel" && one.rule.action !== "respond" ? placedFiltersOf(one) : []) {
      const hole = firstOf(holes, endKeys(filter, one.rule.tunnel?.local ?? "", one.rule).meant);
      if (!hole) continue;
      const { local } = hole.filter;
      const whose = local.kind === "range" && !isHost(local.range) ? " of this host's own addresses" : "";
      report.warning(
        at,
        `${actingText(hole.rule)} is about the same traffic${whose}, "${hole.filter.text}", and decides, as transport mode comes before tunnel mode: it passes in clear until the peer asks; remove that filter if the tunnel is meant`,
      );
    }
}

const firstOf = (known: ByKey, keys: readonly string[]): RuleFilter | undefined =>
  keys.map((key) => known.get(key)).find((found) => found !== undefined);

/**
 * For packets that pass through it makes no difference which side a filter names first: two that want different things of the same ones are equal, with
 * their sides exchanged. This host's own packets tell such filters apart, so that two of one action may both be meant. A tunnel that only responds has no
 * policies until its peer asks, and those of its child tie with the other's just as a demand's do. Filters that are written alike are reported above.
 */
function reportTurned(rules: readonly PlacedRule[], report: Report): void {
  const first: ByKey = new Map();
  for (const placed of rules)
    for (const { filter, at } of placedFiltersOf(placed)) {
      if (report.failed(at)) continue;
      const { rule } = placed;
      const own = rule.mode === "tunnel" ? "tunnel" : rule.action;
      const others = (["block", "permit", "tunnel"] as const).filter((kind) => kind !== own);
      const keys = forwardedKeys(filter, rule);
      const before = keys
        .flatMap(({ packets, way }) => others.map((kind) => first.get(`${kind} ${way === "out" ? "in" : "out"} ${packets}`)))
        .find((found) => found !== undefined);
      for (const { packets, way } of keys) {
        const key = `${own} ${way} ${packets}`;
        if (!first.has(key)) first.set(key, { rule, filter });
      }
      if (before && !isWrittenAlike(before, { rule, filter }))
        report.error(
          at,
          `${actingText(before.rule)} has a filter for the same forwarded packets, "${before.filter.text}"; remove one, or make it narrower`,
        );
    }
}

/** Whether two filters have a selector in common without their sides being exchanged; one with the same network on both sides is its own other side. */
function isWrittenAlike(a: RuleFilter, b: RuleFilter): boolean {
  const keys = new Set(selectorKeys(a.filter, a.rule));
  return selectorKeys(b.filter, b.rule).some((key) => keys.has(key));
}

/** Packets that pass through, as text from their source to their destination, and the way they go by the filter that is about them. */
export interface Forwarded {
  readonly packets: string;
  readonly way: "out" | "in";
}

/** What a filter is about of packets that pass through: `packets` are equal where the same ones are meant; none of own traffic. */
export function forwardedKeys(filter: Filter, rule: Shape): readonly Forwarded[] {
  if (!isAboutForwarded(rule, filter)) return [];
  return FAMILIES.flatMap((family) => {
    const [local, remote] = [localKey(filter.local, rule, family), remoteKey(filter.remote, rule, family)];
    if (!local || !remote) return [];
    const out = `${local} ${filter.localPort} ${remote} ${filter.remotePort} ${filter.protocol}`;
    const back = `${remote} ${filter.remotePort} ${local} ${filter.localPort} ${filter.protocol}`;
    const both: readonly Forwarded[] = [
      { packets: out, way: "out" },
      { packets: back, way: "in" },
    ];
    return both.filter(({ way }) => filter.direction === "both" || way === filter.direction);
  });
}

/**
 * A manual SA gives way to the rules that are as strong as it is, and to the manual SAs before it: one for the same traffic would never be used. What is
 * written as the same as a rule's is refused even where the SA is the stronger one, as it is of the same mode beside `request`.
 */
function reportManual(placed: PlacedRule, manual: ManualSa, taken: ByKey, selectors: ByKey, report: Report): void {
  const { rule } = placed;
  for (const { filter, at } of placedFiltersOf(placed)) {
    const [written, { own, meant }] = [selectorKeys(filter, rule), endKeys(filter, manual.local, rule)];
    const isStronger = (other: RuleFilter): boolean => compareStrength(other.rule, rule) <= 0;
    const before = [firstOf(taken, meant), firstOf(selectors, meant)].find((found) => found && isStronger(found));
    for (const key of own) if (!selectors.has(key)) selectors.set(key, { rule, filter });
    const alike = before ?? firstOf(taken, written);
    if (!alike) continue;
    const whose = alike.rule === rule ? "this manual SA" : actingText(alike.rule);
    const ofOtherEnd = rule.mode === "transport" && otherEndOf(alike.rule, manual.local);
    const mend = ofOtherEnd ? `name there ${ofOtherEnd}, its own end, as the local side, and here ${manual.local}` : "remove one";
    const then = before ? ` and decides: this would never be used; ${mend}` : " and gives way; remove one, or make it narrower";
    report.error(at, `${whose} is about the same traffic, "${alike.filter.text}",${then}`);
  }
}

/** Linux tells SAs apart by where they lead, their protocol and their SPI, and refuses the second of two. */
function reportSpis({ at }: PlacedRule, manual: ManualSa, spis: Map<string, ManualSa>, report: Report): void {
  const { local, remote, suite, spiIn, spiOut } = manual;
  for (const [key, end, spi] of [
    ["spi-in", local, spiIn],
    ["spi-out", remote, spiOut],
  ] as const) {
    const slot = `${end} ${suite.protocol} ${spi}`;
    const before = spis.get(slot);
    if (!before) spis.set(slot, manual);
    else
      report.error(
        [...at, key],
        `manual SA ${JSON.stringify(before.name)} has the SPI 0x${spi.toString(16)} towards ${end} already; choose another one, at the other end, too`,
      );
  }
}

/** A filter as texts that are equal where the kernel's selectors would be, whatever addresses this host has; each begins with its direction. */
export const selectorKeys = (filter: Filter, rule: Shape): readonly string[] =>
  keysFrom(filter, rule, (family) => localKey(filter.local, rule, family) ?? []);

/**
 * The same of a manual SA or a tunnel, which is for one address of this host (`own`), its `local` end; `me` of others stands for that one among others
 * (`meant`). It is no `me` for others itself unless that is written: they may have other addresses of this host.
 */
function endKeys(filter: Filter, local: string, rule: Rule): { readonly own: readonly string[]; readonly meant: readonly string[] } {
  const end = parseRange(local);
  const keys = (isForOthers: boolean): readonly string[] =>
    keysFrom(filter, rule, (family) => {
      const written = localKey(filter.local, rule, family);
      if (written === undefined || end?.family !== family) return written ?? [];
      const [address, me] = [formatRange(end), `me${family}`];
      const isOfEnd = rule.mode === "transport" && filter.local.kind === "range" && covers(filter.local.range, end);
      if (written !== address && written !== me && !isOfEnd) return written;
      return [...new Set([written, address, ...(isForOthers ? [me] : [])])];
    });
  return { own: keys(false), meant: keys(true) };
}

function keysFrom(filter: Filter, rule: Shape, localsIn: (family: Family) => string | readonly string[]): readonly string[] {
  const directions = filter.direction === "both" ? ["out", "in"] : [filter.direction];
  const numbers = `${filter.protocol} ${filter.localPort} ${filter.remotePort}`;
  return FAMILIES.flatMap((family) => {
    const remote = remoteKey(filter.remote, rule, family);
    if (!remote) return [];
    return [localsIn(family)].flat().flatMap((local) => directions.map((direction) => `${direction} ${local} ${remote} ${numbers}`));
  });
}

type Shape = Pick<Rule, "action" | "mode" | "tunnel" | "peer">;

const FAMILIES: readonly Family[] = [4, 6];

/** In transport mode `any` is `me`: only traffic of this host is protected. What is permitted or blocked may be others'. */
function localKey(side: Side, rule: Shape, family: Family): string | undefined {
  if (side.kind === "name") return side.name;
  const own = familyOf(side) ?? family;
  if (own !== family) return undefined;
  if (side.kind === "range") return formatRange(side.range);
  if (side.kind === "any" && (rule.mode === "tunnel" || rule.action === "permit" || rule.action === "block"))
    return formatRange(everyAddress(family));
  const end = rule.tunnel?.local;
  if (rule.mode === "tunnel" && end != null) return end.includes(":") === (family === 6) ? `${end}/${family === 4 ? 32 : 128}` : undefined;
  return `me${family}`;
}

function remoteKey(side: Side, rule: Shape, family: Family): string | undefined {
  if (side.kind === "me") return undefined;
  // What names stand for changes; where two come to one address, the order of strength decides.
  if (side.kind === "name") return side.name;
  const range = side.kind === "range" ? side.range : everyAddress(family);
  const narrowed = rule.peer && rule.mode === "transport" ? intersection(range, rule.peer) : range;
  return narrowed?.family === family ? formatRange(narrowed) : undefined;
}

/** Main Mode needs the key before it knows who calls, so a peer's address can have one key only at each of ours (RFC 2409 §5.4). */
function reportKeys(rules: readonly Rule[], report: Report): void {
  const first = new Map<string, { readonly rule: Rule; readonly secret: Secret }>();
  for (const [i, rule] of rules.entries()) {
    if (negotiates(rule)) reportTwins(rule, i, report);
    const [entry, ...others] = rule.auth.filter((candidate) => candidate.method === "psk");
    if (!entry || !negotiates(rule)) continue;
    for (const other of others) {
      if (!sameSecret(entry.secret, other.secret)) report.warning(["rule", i, "auth"], ONE_KEY);
    }
    const own = rule.filters.flatMap((filter) => peersOfFilter(rule, filter).map((range) => ({ range, end: ownEnd(rule, filter) })));
    for (const { range, end } of own) {
      const peer = formatRange(range);
      // A rule for any of our addresses meets every other; those for two of them meet only where they are the same.
      const before = end === "" ? first.get(`${peer} somewhere`) : (first.get(`${peer} ${end}`) ?? first.get(`${peer} `));
      for (const key of [`${peer} ${end}`, `${peer} somewhere`]) if (!first.has(key)) first.set(key, { rule, secret: entry.secret });
      if (!before || sameSecret(before.secret, entry.secret)) continue;
      reportOtherKey(report, i, before.rule, range);
      break;
    }
  }
}

/** Where a filter's negotiations end here; "": at any of our addresses. */
const ownEnd = ({ tunnel }: Rule, { local }: Filter): string =>
  tunnel ? (tunnel.local ?? "") : local.kind === "range" ? formatRange(local.range).replace(/\/(32|128)$/, "") : "";

/** An offer has one transform for each method and algorithm, so that two entries of one method can't be told apart in it. */
function reportTwins({ auth }: Rule, index: number, report: Report): void {
  for (const [at, entry] of auth.entries()) {
    const before = auth.slice(0, at);
    if (entry.method === "x509" && before.some((one) => one.method === "x509" && one.own.algorithm === entry.own.algorithm))
      report.warning(["rule", index, "auth", at, "method"], SAME_KIND);
    const [first] = before.filter((one) => one.method === "kerberos");
    if (entry.method !== "kerberos" || !first) continue;
    const own = first.principal === entry.principal && first.keytab === entry.keytab;
    report.warning(["rule", index, "auth", at, "method"], own ? SAME_KIND : OTHER_ACCOUNT);
  }
}

const SAME_KIND =
  "an entry before it is of the same method, and that one is offered; a peer that begins may prove itself by either of them";
const OTHER_ACCOUNT =
  "an entry before it is for kerberos, too: tickets are accepted before anybody is named, so its keytab and principal alone are used";

const ONE_KEY =
  "the entries have different pre-shared keys; Main Mode picks the key by address before it knows who calls, so only the first is used";

function reportOtherKey(report: Report, index: number, before: Rule, peers: AddressRange): void {
  const who = `rule ${JSON.stringify(before.name)} has another pre-shared key for ${formatRange(peers)}`;
  report.warning(
    ["rule", index, "auth"],
    `${who}; Main Mode picks the key by address before it knows who calls, so calls from there are checked with that one`,
  );
}

const sameSecret = (a: Secret, b: Secret): boolean =>
  a.use((x) => b.use((y) => x.length === y.length && x.every((octet, i) => octet === y[i])));
