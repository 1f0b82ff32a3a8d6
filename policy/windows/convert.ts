/**
 * From a policy of Windows to a draft of ours: actions, offers, authentication, lifetimes. What has no counterpart is reported,
 * and a rule that would protect less than it did is left as a comment, never quietly changed.
 */

import type { Place } from "./diagnostics.ts";
import type { DraftMainMode, DraftPolicy, DraftQuickMode, DraftRule } from "./draft.ts";
import { authOf, type DraftContext, ourName, uniqueName } from "./draft-auth.ts";
import { ourFilter } from "./filters.ts";
import { offersOf } from "./offers.ts";
import type { FilterAction, WindowsPolicy, WindowsRule } from "./store.ts";
import { pairTunnels, type TunnelPair } from "./tunnels.ts";

export interface ConvertOptions {
  /** Our addresses, canonical: which end of a tunnel is ours. */
  readonly local: readonly string[];
  readonly allowWeak: boolean;
  readonly upgradeCrypto: boolean;
  /** The file with this host's Kerberos keys, and its principal with the realm, where the administrator has named them. */
  readonly keytab: string | undefined;
  readonly principal: string | undefined;
  /** Files of this host's certificate and of the CAs, where the administrator has named them. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly ca: readonly string[];
  /** Folder of the files with keys, as the configuration shall name it, with its final slash; empty: beside it. */
  readonly secretsFolder: string;
}

/** Converts a policy. Keys and weak algorithms are left with the context. */
export function convertPolicy(policy: WindowsPolicy, context: DraftContext): DraftPolicy {
  const { options, findings } = context;
  const answers = policy.defaultRule.active && !policy.defaultRule.assumed;
  const anyNegotiates = answers || policy.rules.some(({ filterAction }) => filterAction.action === "negotiate");
  const mainMode = anyNegotiates ? convertMainMode(context, policy) : null;
  const tunnels = policy.rules.filter((rule) => isTunnel(rule) && rule.active);
  const pairs = new Map(pairTunnels(tunnels, options.local, findings).map((pair) => [pair.outbound, pair]));
  const halves = new Set([...pairs.values()].map(({ inbound }) => inbound));
  const rules = policy.rules.filter((rule) => !halves.has(rule)).map((rule) => convertRule(context, rule, pairs.get(rule) ?? null));
  const standard = convertDefaultRule(context, policy);
  return {
    name: ourName(policy.name, policy, findings),
    comments: [`Policy ${JSON.stringify(policy.name)} of Windows`, ...described(policy.description)],
    mainMode,
    allowWeak: [...context.weak].sort(),
    exempt: null,
    rules: [...rules, ...standard],
  };
}

/** What is permitted or blocked needs no tunnel, whatever the rule says. */
const isTunnel = ({ tunnel, filterAction }: WindowsRule): boolean => tunnel !== null && filterAction.action === "negotiate";

const described = (description: string): readonly string[] => (description === "" ? [] : [description]);

function convertMainMode(context: DraftContext, policy: WindowsPolicy): DraftMainMode {
  return {
    proposals: offersOf.mainMode(policy.methods, policy, context),
    lifetime: `${policy.lifetimeMinutes}m`,
    quickModes: policy.masterPfs ? 0 : policy.quickModes,
    masterPfs: policy.masterPfs,
  };
}

function convertRule(context: DraftContext, rule: WindowsRule, pair: TunnelPair | null): DraftRule {
  const { findings } = context;
  if (!rule.active) findings.say("W_INACTIVE_RULE", rule, `rule ${JSON.stringify(rule.name)} is switched off`);
  const partial = rule.connection !== "all";
  const widens = partial && rule.filterAction.action === "permit";
  if (partial)
    findings.say(widens ? "E_ONLY_SOME" : "W_CONNTYPE", rule, `rule ${JSON.stringify(rule.name)} is for ${rule.connection} connections`);
  const action = actionOf(context, rule);
  const negotiates = rule.filterAction.action === "negotiate";
  const auth = negotiates ? authOf(context, rule.auth, rule, rule.name) : [];
  const filters = filtersOf(context, rule);
  const quickMode = negotiates ? quickModeOf(context, rule.filterAction, rule) : null;
  const lost =
    widens || filters.length === 0 || (negotiates && (auth.length === 0 || quickMode === null)) || (isTunnel(rule) && pair === null);
  return {
    line: rule.line,
    column: rule.column,
    name: uniqueName(context, ourName(rule.name, rule, findings)),
    comments: commentsOf(rule, pair),
    disabled: !rule.active || lost,
    filters,
    action,
    // Of a tunnel the inbound rule says what may come in.
    inboundClear: negotiates && (pair?.inbound ?? rule).filterAction.inpass,
    discovery: false,
    mainMode: null,
    auth,
    tunnel: pair && { local: pair.local, remote: pair.remote },
    quickMode,
  };
}

const commentsOf = (rule: WindowsRule, pair: TunnelPair | null): readonly string[] => [
  // First what `why` and people look for: the text is cut where it is too long.
  `filter list ${JSON.stringify(rule.filterList.name)}, filter action ${JSON.stringify(rule.filterAction.name)}`,
  ...described(rule.description),
  ...described(rule.filterList.description),
  ...described(rule.filterAction.description),
  ...rule.filterList.filters.flatMap(({ description }) => described(description)),
  ...(pair?.inbound ? [`with rule ${JSON.stringify(pair.inbound.name)} of line ${pair.inbound.line} for the other direction`] : []),
];

function actionOf({ findings }: DraftContext, rule: WindowsRule): DraftRule["action"] {
  const { action, soft } = rule.filterAction;
  if (action !== "negotiate") return action;
  if (isTunnel(rule)) {
    if (soft) findings.say("W_TUNNEL_STRICT", rule, `rule ${JSON.stringify(rule.name)} lets packets pass outside of its tunnel`);
    return "require";
  }
  if (soft) findings.say("W_SOFT_FALLBACK", rule, `rule ${JSON.stringify(rule.name)} falls back to clear text`);
  return soft ? "request" : "require";
}

function filtersOf({ findings }: DraftContext, rule: WindowsRule): readonly string[] {
  const filters = new Set<string>();
  for (const filter of rule.filterList.filters) {
    // A tunnel's one-way filters are its outbound half; both halves together are mirrored.
    const text = ourFilter(isTunnel(rule) ? { ...filter, mirrored: true } : filter);
    if (!text.ok) findings.say(text.error.code, filter, text.error.what);
    else filters.add(text.value);
    if (isTunnel(rule) && filter.sourcePort + filter.destinationPort > 0)
      findings.say("W_TUNNEL_PORTS", filter, `rule ${JSON.stringify(rule.name)} tunnels single ports`);
  }
  if (filters.size === 0)
    findings.say("E_FILTER", rule, `no filter of rule ${JSON.stringify(rule.name)} could be taken over; it is a comment`);
  return [...filters];
}

function quickModeOf(context: DraftContext, action: Pick<FilterAction, "methods" | "pfs">, at: Place): DraftQuickMode | null {
  const offers = offersOf.quickMode(action.methods, at, context);
  return offers && { ...offers, pfs: action.pfs || offers.pfs ? "main-mode" : "none" };
}

/** Whoever negotiates and is covered by no rule is answered: a `respond` rule for everything, as the least specific filter. */
function convertDefaultRule(context: DraftContext, policy: WindowsPolicy): readonly DraftRule[] {
  const { defaultRule } = policy;
  if (!defaultRule.active) return [];
  // Windows 2003's default where nobody said so; only with a method of its own, or rules that show one, does it answer anybody.
  if (defaultRule.assumed && defaultRule.auth.length === 0 && defaultRule.methods === null) return [];
  if (defaultRule.assumed)
    context.findings.say("W_DEFAULT_RULE", defaultRule, "the default response rule is configured, and not said to be active");
  const auth = authOf(context, defaultRule.auth, defaultRule, "Default response");
  const quickMode = quickModeOf(context, defaultRule, defaultRule);
  return [
    {
      line: defaultRule.line,
      column: defaultRule.column,
      name: uniqueName(context, "Default response"),
      comments: ["the default response rule: answers whoever asks"],
      disabled: auth.length === 0 || quickMode === null,
      filters: ["me <-> any"],
      action: "respond",
      inboundClear: false,
      discovery: false,
      mainMode: null,
      auth,
      tunnel: null,
      quickMode,
    },
  ];
}
