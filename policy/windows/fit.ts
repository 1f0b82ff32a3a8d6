/**
 * Makes a draft one that `mainmode check` accepts: values within bounds, lists that aren't too long, and no two filters for the same traffic,
 * which Windows allows and the kernel's policies don't. Whatever is changed is said.
 */

import { canonicalAddress, parseAddress } from "../../isakmp/address.ts";
import { forwardedKeys, selectorKeys } from "../conflicts.ts";
import { familyOf, parseFilter } from "../filter.ts";
import type { Filter } from "../types.ts";
import { parseDuration, parseVolume } from "../units.ts";
import type { Place } from "./diagnostics.ts";
import type { DraftMainMode, DraftPolicy, DraftQuickMode, DraftRule } from "./draft.ts";
import { type DraftContext, uniqueName } from "./draft-auth.ts";

/** Entries of a list of the configuration. */
const MOST = 64;
const MOST_QUICK_MODES = 10_000;

/** The draft as it can be written. */
export function fitDraft(draft: DraftPolicy, context: DraftContext): DraftPolicy {
  const at = { line: 1, column: 1 };
  const sized = draft.rules.map((rule) => (rule.disabled ? rule : fitTunnel(fitValues(rule, context), context)));
  return {
    ...draft,
    mainMode: draft.mainMode && fitMainMode(draft.mainMode, at, context),
    rules: separate(sized, context).flatMap((rule) => split(rule, context)),
  };
}

function fitValues(rule: DraftRule, context: DraftContext): DraftRule {
  return {
    ...rule,
    mainMode: rule.mainMode && fitMainMode(rule.mainMode, rule, context),
    quickMode: rule.quickMode && fitQuickMode(rule.quickMode, rule, context),
    auth: fitList(rule.auth, "methods of authentication", rule, context),
  };
}

/** Both ends are addresses of one family, and differ; a rule with others is a comment. */
function fitTunnel(rule: DraftRule, { findings }: DraftContext): DraftRule {
  if (!rule.tunnel) return rule;
  const [local, remote] = [rule.tunnel.local, rule.tunnel.remote].map((end) => (end === null ? null : parseAddress(end)));
  const fault =
    local === undefined || !remote
      ? "an end that is no address"
      : local && local.family !== remote.family
        ? "ends of two families"
        : rule.tunnel.local !== null && canonicalAddress(rule.tunnel.local) === canonicalAddress(rule.tunnel.remote)
          ? "one address at both ends"
          : undefined;
  if (fault !== undefined)
    findings.say("E_TUNNEL_END", rule, `the tunnel of rule ${JSON.stringify(rule.name)} has ${fault}; it is a comment`);
  return fault === undefined ? rule : { ...rule, disabled: true };
}

function fitMainMode(mode: DraftMainMode, at: Place, context: DraftContext): DraftMainMode {
  const quickModes = Math.min(mode.quickModes, MOST_QUICK_MODES);
  if (quickModes !== mode.quickModes) context.findings.say("W_LIFETIME", at, `${mode.quickModes} Quick Modes became ${quickModes}`);
  return {
    ...mode,
    quickModes,
    lifetime: fitDuration(mode.lifetime, "480m", at, context),
    proposals: fitList(mode.proposals, "Main Mode offers", at, context),
  };
}

function fitQuickMode(mode: DraftQuickMode, at: Place, context: DraftContext): DraftQuickMode {
  const fits = mode.volume === "none" || parseVolume(mode.volume).ok;
  if (!fits) context.findings.say("W_LIFETIME", at, `a volume of ${mode.volume} became ${LARGEST}`);
  return {
    ...mode,
    lifetime: fitDuration(mode.lifetime, "3600s", at, context),
    volume: fits ? mode.volume : LARGEST,
    proposals: fitList(mode.proposals, "Quick Mode offers", at, context),
  };
}

const LARGEST = "4294967295kB";

function fitDuration(text: string, otherwise: string, at: Place, { findings }: DraftContext): string {
  if (parseDuration(text).ok) return text;
  findings.say("W_LIFETIME", at, `a lifetime of ${text} became ${otherwise}`);
  return otherwise;
}

function fitList<T>(items: readonly T[], what: string, at: Place, { findings }: DraftContext): readonly T[] {
  if (items.length > MOST) findings.say("E_LIMIT", at, `of ${items.length} ${what} the first ${MOST} were taken`);
  return items.slice(0, MOST);
}

/** A filter of a rule, and the directions that no stronger rule has taken from it. */
interface Held {
  readonly rule: number;
  /** The filter as it is written; of one family where a stronger rule has the other. */
  text: string;
  readonly filter: Filter;
  readonly directions: Set<string>;
}

/** Leaves each selector to one rule: block before permit before require before request, and the first of equals. */
function separate(rules: readonly DraftRule[], context: DraftContext): readonly DraftRule[] {
  const owners = new Map<string, Held>();
  const held = rules.map((): Held[] => []);
  const order = rules.map((_rule, i) => i).sort((a, b) => strength(rules[a]) - strength(rules[b]) || a - b);
  for (const i of order) {
    const rule = rules[i] as DraftRule;
    if (rule.disabled) continue;
    for (const text of rule.filters) {
      const filter = parseFilter(text);
      if (!filter.ok) {
        context.findings.say("E_FILTER", rule, `rule ${JSON.stringify(rule.name)}: ${filter.error}`);
        continue;
      }
      const end = rule.tunnel?.local && filter.value.local.kind === "me" ? parseAddress(rule.tunnel.local) : undefined;
      if (end && (familyOf(filter.value.remote) ?? end.family) !== end.family) {
        context.findings.say("E_FILTER", rule, `rule ${JSON.stringify(rule.name)}: "${text}" is of another family than its tunnel`);
        continue;
      }
      const mine: Held = { rule: i, text, filter: filter.value, directions: new Set() };
      take(mine, rules, owners, context);
      if (mine.directions.size > 0) (held[i] as Held[]).push(mine);
    }
  }
  return rules.map((rule, i) => {
    if (rule.disabled) return rule;
    const filters = (held[i] as Held[]).map(textOf);
    return filters.length === 0 ? { ...rule, disabled: true } : { ...rule, filters };
  });
}

const STRENGTH: readonly DraftRule["action"][] = ["block", "permit", "require", "request", "respond"];
const strength = (rule: DraftRule | undefined): number => STRENGTH.indexOf(rule?.action ?? "respond");

/** Takes the selectors of a filter that are free. Rules that only answer have none of their own. */
function take(mine: Held, rules: readonly DraftRule[], owners: Map<string, Held>, context: DraftContext): void {
  const { findings } = context;
  const rule = rules[mine.rule] as DraftRule;
  const around = { action: rule.action, mode: rule.tunnel ? ("tunnel" as const) : ("transport" as const), tunnel: rule.tunnel, peer: null };
  if (isTurned(mine, around, rules, owners, context)) return;
  const prefix = rule.action === "respond" ? "respond " : "";
  let before: Held | undefined;
  const lost = new Set<string>();
  const keys = selectorKeys(mine.filter, around).map((key) => `${prefix}${key}`);
  for (const key of keys) {
    const owner = owners.get(key);
    if (owner) lost.add(directionOf(key, prefix));
    before ??= owner;
  }
  const free = keys.filter((key) => !owners.has(key));
  const half = lost.size > 0 && prefix === "" && !rule.tunnel ? otherFamily(mine, keys, free) : undefined;
  if (half !== undefined) mine.text = half;
  const taken = half === undefined ? free.filter((key) => !lost.has(directionOf(key, prefix))) : free;
  for (const key of taken) {
    owners.set(key, mine);
    mine.directions.add(directionOf(key, prefix));
  }
  if (!before) return;
  const other = rules[before.rule] as DraftRule;
  const equal = taken.length === free.length && (before.rule === mine.rule || meaning(other) === meaning(rule));
  findings.say(
    equal ? "W_SAME_FILTER" : "E_SAME_FILTER",
    rule,
    `rule ${JSON.stringify(rule.name)} has "${mine.text}" ${before.rule === mine.rule ? "twice" : `as rule ${JSON.stringify(other.name)} (${other.action}), which decides`}`,
  );
}

/** Whether a rule that wants something else has the same forwarded packets, by a filter with its sides exchanged: it decides, as the stronger one. */
function isTurned(
  mine: Held,
  around: Parameters<typeof forwardedKeys>[1],
  rules: readonly DraftRule[],
  owners: Map<string, Held>,
  { findings }: DraftContext,
): boolean {
  const rule = rules[mine.rule] as DraftRule;
  const kind = (one: DraftRule): string => (one.tunnel ? "tunnel" : one.action);
  const keys = forwardedKeys(mine.filter, around).map(({ packets }) => `forwarded ${packets}`);
  const owner = keys.map((key) => owners.get(key)).find((found) => found && kind(rules[found.rule] as DraftRule) !== kind(rule));
  for (const key of keys) if (!owner && !owners.has(key)) owners.set(key, mine);
  if (!owner || selectorKeys(mine.filter, around).some((key) => owners.has(key))) return false;
  const other = rules[owner.rule] as DraftRule;
  findings.say(
    "E_SAME_FILTER",
    rule,
    `rule ${JSON.stringify(rule.name)} has "${mine.text}" for the forwarded packets of "${owner.text}" in rule ${JSON.stringify(other.name)} (${other.action}), which decides`,
  );
  return true;
}

/** `any` is of both families: where other rules have all of one of them, the filter for the other. */
function otherFamily({ text, filter }: Held, keys: readonly string[], free: readonly string[]): string | undefined {
  const six = free.every((key) => key.includes(" me6 "));
  const four = free.every((key) => key.includes(" me4 "));
  if (filter.remote.kind !== "any" || free.length * 2 !== keys.length || six === four) return undefined;
  const everyone = six ? "::/0" : "0.0.0.0/0";
  const [, left = "", right = ""] = /^(.*?\s)(?:<->|->|<-)(\s.*)$/.exec(text) ?? [];
  const arrow = text.slice(left.length, text.length - right.length);
  const put = (side: string): string =>
    side.replace(/\bany(:\d+)?(?=\s|$)/, (_any, port = "") => (port === "" ? everyone : `[${everyone}]${port}`));
  const remoteRight = right !== put(right);
  const narrow = remoteRight ? `${left.replace(/^any\b/, "me")}${arrow}${put(right)}` : `${put(left)}${arrow}${right}`;
  return parseFilter(narrow).ok ? narrow : undefined;
}

const directionOf = (key: string, prefix: string): string => key.slice(prefix.length).split(" ", 1)[0] as string;
const meaning = ({ action, inboundClear, discovery, auth, tunnel, quickMode, mainMode }: DraftRule): string =>
  JSON.stringify([action, inboundClear, discovery, auth, tunnel, quickMode, mainMode]);

/** The filter's text, one-way where only one direction is left. */
function textOf({ text, filter, directions }: Held): string {
  if (filter.direction !== "both" || directions.size > 1) return text;
  const turned = / <-> (me|\[?me\]?:\d+)(\s|$)/.test(text);
  const out = directions.has("out");
  return text.replace("<->", out === turned ? "<-" : "->");
}

/** Several rules where one has too many filters. */
function split(rule: DraftRule, context: DraftContext): readonly DraftRule[] {
  if (rule.filters.length <= MOST) return [rule];
  const parts = Array.from({ length: Math.ceil(rule.filters.length / MOST) }, (_, i) => rule.filters.slice(i * MOST, (i + 1) * MOST));
  context.findings.say(
    "W_SPLIT",
    rule,
    `rule ${JSON.stringify(rule.name)} with ${rule.filters.length} filters became ${parts.length} rules`,
  );
  return parts.map((filters, i) => ({ ...rule, filters, name: i === 0 ? rule.name : uniqueName(context, rule.name) }));
}
