/**
 * What is wrong between rules: names and selectors that occur twice, and keys that Main Mode cannot tell apart.
 */

import type { Secret } from "../ike/crypto/secret.ts";
import { type AddressRange, everyAddress, type Family, formatRange, intersection } from "../isakmp/address.ts";
import { isAboutForwarded } from "./crossing.ts";
import type { Report } from "./diagnostic.ts";
import { familyOf } from "./filter.ts";
import { manualRule } from "./manual-rule.ts";
import type { RawRule } from "./schema.ts";
import { negotiates, peersOfFilter, type RuleFilter } from "./select.ts";
import type { Filter, ManualSa, Rule, Side } from "./types.ts";

/** Reports conflicts. `raw` are the same rules with the filters at the indexes of the file. */
export function reportConflicts(
  rules: readonly Rule[],
  raw: readonly (RawRule | undefined)[],
  manual: readonly ManualSa[],
  report: Report,
): void {
  reportNames(rules, report);
  const taken = reportSelectors(rules, raw, report);
  reportTurned(rules, raw, report);
  for (const [i, sa] of manual.entries()) reportManual(sa, i, taken, report);
  reportKeys(rules, report);
}

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
function reportSelectors(rules: readonly Rule[], raw: readonly (RawRule | undefined)[], report: Report): Taken {
  const first = new Map<string, { readonly rule: Rule; readonly filter: Filter }>();
  for (const [i, rule] of rules.entries()) {
    if (["mode", "tunnel", "peer"].some((key) => report.failed(["rule", i, key]))) continue;
    for (const [k, filter] of (raw[i]?.filters ?? []).entries()) {
      if (!filter) continue;
      const keys = selectorKeys(filter, rule);
      const before = keys.map((key) => first.get(key)).find((found) => found !== undefined);
      for (const key of keys) if (!first.has(key)) first.set(key, { rule, filter });
      if (!before) continue;
      // A respond rule has no policy of its own: the other decides about packets, and comes first when the peer asks.
      if ((before.rule.action === "respond") !== (rule.action === "respond")) {
        const [other, at] = rule.action === "respond" ? [before.rule, [i, k]] : [rule, [rules.indexOf(before.rule)]];
        report.warning(
          ["rule", at[0] as number, "filters", ...at.slice(1)],
          `rule ${JSON.stringify(other.name)} (${other.action}) is about the same traffic and decides; a respond rule without filters answers whatever no other rule is about`,
        );
        continue;
      }
      const whose = before.rule === rule ? "this rule" : `rule ${JSON.stringify(before.rule.name)}`;
      report.error(
        ["rule", i, "filters", k],
        `${whose} has a filter for the same traffic, "${before.filter.text}"; remove one, or make it narrower`,
      );
    }
  }
  return first;
}

/**
 * For packets that pass through it makes no difference which side a filter names first: two that want different things of the same ones are equal, with
 * their sides exchanged. This host's own packets tell such filters apart, so that two of one action may both be meant. A tunnel that only responds has no
 * policies until its peer asks, and those of its child tie with the other's just as a demand's do. Filters that are written alike are reported above.
 */
function reportTurned(rules: readonly Rule[], raw: readonly (RawRule | undefined)[], report: Report): void {
  const first = new Map<string, { readonly rule: Rule; readonly filter: Filter }>();
  for (const [i, rule] of rules.entries())
    for (const [k, filter] of (raw[i]?.filters ?? []).entries()) {
      if (!filter || report.failed(["rule", i, "filters", k])) continue;
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
          ["rule", i, "filters", k],
          `rule ${JSON.stringify(before.rule.name)} (${before.rule.action}) has a filter for the same forwarded packets, "${before.filter.text}"; remove one, or make it narrower`,
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

type Taken = ReadonlyMap<string, { readonly rule: Rule; readonly filter: Filter }>;

/** A manual SA gives way to every rule: one for the same traffic would never be used. */
function reportManual(manual: ManualSa, i: number, taken: Taken, report: Report): void {
  const rule = manualRule(manual);
  for (const [k, filter] of manual.filters.entries()) {
    const before = selectorKeys(filter, rule)
      .map((key) => taken.get(key))
      .find((found) => found !== undefined && found.rule.action !== "respond");
    if (before)
      report.error(
        ["sa", i, "filters", k],
        `rule ${JSON.stringify(before.rule.name)} is about the same traffic, "${before.filter.text}", and decides; remove one`,
      );
  }
}

/** A filter as texts that are equal where the kernel's selectors would be, whatever addresses this host has; each begins with its direction. */
export function selectorKeys(filter: Filter, rule: Shape): readonly string[] {
  return FAMILIES.flatMap((family) => {
    const [local, remote] = [localKey(filter.local, rule, family), remoteKey(filter.remote, rule, family)];
    if (!local || !remote) return [];
    const directions = filter.direction === "both" ? ["out", "in"] : [filter.direction];
    return directions.map((direction) => `${direction} ${local} ${remote} ${filter.protocol} ${filter.localPort} ${filter.remotePort}`);
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
