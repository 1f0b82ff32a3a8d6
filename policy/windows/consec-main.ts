/**
 * Main Mode of connection security rules: that of `set global` or of the default set, and main mode rules, which are for some peers.
 */
import { type AddressRange, covers, intersection } from "../../isakmp/address.ts";
import { type ConsecTraffic, rangeOf } from "./consec-filters.ts";
import { type ConsecStore, fieldOf, type StoredConsec, type Values } from "./consec-store.ts";
import { CONSEC_MAIN } from "./consec-suites.ts";
import type { Place } from "./diagnostics.ts";
import type { DraftMainMode } from "./draft.ts";
import type { DraftContext } from "./draft-auth.ts";
import type { MainMethod } from "./methods.ts";
import { offersOf } from "./offers.ts";
import type { WindowsAddress } from "./values.ts";

/** A main mode rule that is switched on. */
export interface PeerMainMode {
  readonly rule: StoredConsec;
  readonly draft: DraftMainMode;
  /** Whether it is for all peers of a rule, for none, or for some. */
  readonly covers: (traffic: ConsecTraffic) => "all" | "some" | "none";
  readonly used: { any: boolean };
}

interface Settings extends Place {
  /** null: Windows' own. */
  readonly methods: readonly MainMethod[] | null;
  readonly lost: readonly string[];
  readonly minutes: number | null;
  readonly sessions: number | null;
}

/** Minutes of a Main Mode where nothing is said. */
const LIFETIME = 480;

/** What holds for every rule without a main mode rule. */
export function globalMainMode(store: ConsecStore, context: DraftContext): DraftMainMode {
  const standard = store.defaults.get("main");
  const own = settingsOf(store.globals, store.rules.all()[0] ?? { line: 1, column: 1 });
  if (standard?.type === "main" && own.methods === null)
    return draftOf(
      {
        ...own,
        line: standard.line,
        column: standard.column,
        methods: standard.methods,
        minutes: standard.minutes,
        sessions: standard.sessions,
      },
      context,
    );
  return draftOf(own, context);
}

function settingsOf(values: Values, at: Place): Settings {
  const [main, life] = [fieldOf(values, "main", "main"), fieldOf(values, "life", "life")];
  const { line, column } = main ?? life ?? at;
  return {
    line,
    column,
    methods: main?.methods ?? null,
    lost: main?.lost ?? [],
    minutes: life?.minutes ?? null,
    sessions: life?.sessions ?? null,
  };
}

function draftOf({ methods, lost, minutes, sessions, line, column }: Settings, context: DraftContext): DraftMainMode {
  const at = { line, column };
  for (const what of lost) context.findings.say("W_UNKNOWN_ALGORITHM", at, `the Main Mode offer ${what}`);
  return {
    proposals: offersOf.mainMode(methods ?? CONSEC_MAIN, at, context),
    lifetime: `${minutes || LIFETIME}m`,
    quickModes: sessions ?? 0,
    masterPfs: false,
  };
}

/** The main mode rules, those for some peers before those for any. */
export function mainModesOf(store: ConsecStore, context: DraftContext): readonly PeerMainMode[] {
  const { findings } = context;
  const made = store.mainRules.all().flatMap((rule): readonly PeerMainMode[] => {
    if (fieldOf(rule.values, "enable", "boolean")?.yes === false) {
      findings.say("W_INACTIVE_RULE", rule, `main mode rule ${JSON.stringify(rule.name)} is switched off`);
      return [];
    }
    const profile = fieldOf(rule.values, "profile", "words");
    if (profile?.words.some((word) => word !== "any"))
      findings.say("W_PROFILE", profile, `main mode rule ${JSON.stringify(rule.name)} is for ${profile.words.join(" and ")} networks`);
    for (const [key, { tag, line, column }] of rule.values)
      if (key.startsWith("other ") || key === "proxy")
        findings.say("W_SETTING", { line, column }, `main mode rule ${JSON.stringify(rule.name)} says ${tag}, which has no counterpart`);
    const lifespan = fieldOf(rule.values, "lifespan", "words");
    if (lifespan?.words[0] === "dynamic")
      findings.say(
        "W_SETTING",
        lifespan,
        `main mode rule ${JSON.stringify(rule.name)} is dynamic: Windows forgets it when it starts again`,
      );
    const settings = settingsWithSet(rule, store, context);
    if (!settings) return [];
    const [one, two] = [sidesOf(rule, "endpoint1", context), sidesOf(rule, "endpoint2", context)];
    return [{ rule, draft: draftOf(settings, context), covers: (traffic) => coverage(one, two, traffic), used: { any: false } }];
  });
  const wide = ({ rule }: PeerMainMode): number => (rule.values.has("endpoint1") || rule.values.has("endpoint2") ? 0 : 1);
  return made.sort((a, b) => wide(a) - wide(b));
}

/** The settings of a rule's set, or its own, over the global ones. */
function settingsWithSet(rule: StoredConsec, store: ConsecStore, { findings }: DraftContext): Settings | null {
  const global = settingsOf(store.globals, rule);
  const own = settingsOf(rule.values, rule);
  const reference = fieldOf(rule.values, "main-set", "text");
  const named = reference && !/^default$/i.test(reference.text) ? store.sets.get(reference.text.toLowerCase()) : store.defaults.get("main");
  if (named?.type === "main") return { ...own, methods: named.methods, minutes: named.minutes, sessions: named.sessions };
  if (reference && !/^default$/i.test(reference.text)) {
    findings.say("E_NO_SUCH_OBJECT", reference, `main mode rule ${JSON.stringify(rule.name)} names a set that the script doesn't make`);
    return null;
  }
  return {
    ...own,
    methods: own.methods ?? global.methods,
    minutes: own.minutes ?? global.minutes,
    sessions: own.sessions ?? global.sessions,
  };
}

/** Empty: any. What has no name here makes the rule one for some peers, which is said. */
function sidesOf(rule: StoredConsec, field: "endpoint1" | "endpoint2", { findings }: DraftContext): readonly WindowsAddress[] {
  const given = fieldOf(rule.values, field, "sides");
  for (const what of given?.lost ?? []) findings.say("E_FILTER", given ?? rule, `main mode rule ${JSON.stringify(rule.name)}: ${what}`);
  return given && given.lost.length > 0 && given.sides.length === 0 ? [{ kind: "name", name: "nowhere.invalid" }] : (given?.sides ?? []);
}

function coverage(one: readonly WindowsAddress[], two: readonly WindowsAddress[], traffic: ConsecTraffic): "all" | "some" | "none" {
  const end = (address: string | null): readonly WindowsAddress[] => (address === null ? [] : [{ kind: "address", address, length: null }]);
  const [local, remote] = traffic.tunnel ? [end(traffic.tunnel.local), end(traffic.tunnel.remote)] : [traffic.local, traffic.remote];
  const fits = [sideCoverage(one, local), sideCoverage(two, remote)];
  return fits.includes("none") ? "none" : fits.includes("some") ? "some" : "all";
}

/** Whether all of `inner` lies in `outer`; empty is any. */
function sideCoverage(outer: readonly WindowsAddress[], inner: readonly WindowsAddress[]): "all" | "some" | "none" {
  if (outer.length === 0) return "all";
  if (inner.length === 0) return "some";
  const each = inner.map((side) => {
    const range = rangeOf(side);
    if (!range) return outer.some((other) => JSON.stringify(other) === JSON.stringify(side)) ? "all" : "none";
    const ranges = outer.map(rangeOf).filter((other): other is AddressRange => other !== undefined);
    if (ranges.some((other) => covers(other, range))) return "all";
    return ranges.some((other) => intersection(other, range)) ? "some" : "none";
  });
  if (each.every((fit) => fit === "all")) return "all";
  return each.every((fit) => fit === "none") ? "none" : "some";
}
