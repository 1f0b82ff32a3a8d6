/**
 * From a policy of Windows to a draft of ours: actions, offers, authentication, lifetimes. What has no counterpart is reported,
 * and a rule that would protect less than it did is left as a comment, never quietly changed.
 */

import type { Findings, Place } from "./diagnostics.ts";
import type { DraftAuth, DraftMainMode, DraftPolicy, DraftQuickMode, DraftRule, SecretFile } from "./draft.ts";
import { ourFilter } from "./filters.ts";
import { offersOf } from "./offers.ts";
import type { FilterAction, WindowsAuth, WindowsPolicy, WindowsRule } from "./store.ts";
import { pairTunnels, type TunnelPair } from "./tunnels.ts";

export interface ConvertOptions {
  /** Our addresses, canonical: which end of a tunnel is ours. */
  readonly local: readonly string[];
  readonly allowWeak: boolean;
  readonly upgradeCrypto: boolean;
  /** Files of this host's certificate and of the CAs, where the administrator has named them. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly ca: readonly string[];
  /** Folder of the files with keys, as the configuration shall name it, with its final slash; empty: beside it. */
  readonly secretsFolder: string;
}

export interface Converted {
  readonly draft: DraftPolicy;
  readonly secrets: readonly SecretFile[];
}

/** Converts a policy. */
export function convertPolicy(policy: WindowsPolicy, options: ConvertOptions, findings: Findings): Converted {
  const context: Context = { options, findings, secrets: [], names: new Set(), weak: new Set() };
  const answers = policy.defaultRule.active && !policy.defaultRule.assumed;
  const anyNegotiates = answers || policy.rules.some(({ filterAction }) => filterAction.action === "negotiate");
  const mainMode = anyNegotiates ? convertMainMode(context, policy) : null;
  const tunnels = policy.rules.filter(({ tunnel, active }) => tunnel !== null && active);
  const pairs = new Map(pairTunnels(tunnels, options.local, findings).map((pair) => [pair.outbound, pair]));
  const halves = new Set([...pairs.values()].map(({ inbound }) => inbound));
  const rules = policy.rules.filter((rule) => !halves.has(rule)).map((rule) => convertRule(context, rule, pairs.get(rule) ?? null));
  const standard = convertDefaultRule(context, policy);
  const draft = {
    name: ourName(policy.name, policy, findings),
    comments: [`Policy ${JSON.stringify(policy.name)} of Windows`, ...described(policy.description)],
    mainMode,
    allowWeak: [...context.weak].sort(),
    rules: [...rules, ...standard],
  };
  return { draft, secrets: context.secrets };
}

interface Context {
  readonly options: ConvertOptions;
  readonly findings: Findings;
  readonly secrets: SecretFile[];
  /** Names of rules that are taken. */
  readonly names: Set<string>;
  readonly weak: Set<string>;
}

const described = (description: string): readonly string[] => (description === "" ? [] : [description]);

function convertMainMode(context: Context, policy: WindowsPolicy): DraftMainMode {
  return {
    proposals: offersOf.mainMode(policy.methods, policy, context),
    lifetime: `${policy.lifetimeMinutes}m`,
    quickModes: policy.masterPfs ? 0 : policy.quickModes,
    masterPfs: policy.masterPfs,
  };
}

function convertRule(context: Context, rule: WindowsRule, pair: TunnelPair | null): DraftRule {
  const { findings } = context;
  if (!rule.active) findings.say("W_INACTIVE_RULE", rule, `rule ${JSON.stringify(rule.name)} is switched off`);
  if (rule.connection !== "all")
    findings.say("W_CONNTYPE", rule, `rule ${JSON.stringify(rule.name)} is for ${rule.connection} connections`);
  const action = actionOf(context, rule);
  const negotiates = rule.filterAction.action === "negotiate";
  const auth = negotiates ? authOf(context, rule.auth, rule, rule.name) : [];
  const filters = filtersOf(context, rule);
  const quickMode = negotiates ? quickModeOf(context, rule.filterAction, rule) : null;
  const lost = filters.length === 0 || (negotiates && (auth.length === 0 || quickMode === null)) || (rule.tunnel !== null && pair === null);
  return {
    line: rule.line,
    column: rule.column,
    name: uniqueName(context, ourName(rule.name, rule, findings)),
    comments: commentsOf(rule, pair),
    disabled: !rule.active || lost,
    filters,
    action,
    inboundClear: negotiates && rule.filterAction.inpass,
    auth,
    tunnel: pair && { local: pair.local, remote: pair.remote },
    quickMode,
  };
}

const commentsOf = (rule: WindowsRule, pair: TunnelPair | null): readonly string[] => [
  ...described(rule.description),
  `filter list ${JSON.stringify(rule.filterList.name)}, filter action ${JSON.stringify(rule.filterAction.name)}`,
  ...(pair?.inbound ? [`with rule ${JSON.stringify(pair.inbound.name)} of line ${pair.inbound.line} for the other direction`] : []),
];

function actionOf({ findings }: Context, { name, line, column, filterAction: { action, soft } }: WindowsRule): DraftRule["action"] {
  if (action !== "negotiate") return action;
  if (soft) findings.say("W_SOFT_FALLBACK", { line, column }, `rule ${JSON.stringify(name)} falls back to clear text`);
  return soft ? "request" : "require";
}

function filtersOf({ findings }: Context, rule: WindowsRule): readonly string[] {
  const filters = new Set<string>();
  for (const filter of rule.filterList.filters) {
    // A tunnel's one-way filters are its outbound half; both halves together are mirrored.
    const text = ourFilter(rule.tunnel ? { ...filter, mirrored: true } : filter);
    if (!text.ok) findings.say(text.error.code, filter, text.error.what);
    else filters.add(text.value);
    if (rule.tunnel && filter.sourcePort + filter.destinationPort > 0)
      findings.say("W_TUNNEL_PORTS", filter, `rule ${JSON.stringify(rule.name)} tunnels single ports`);
  }
  if (filters.size === 0)
    findings.say("E_FILTER", rule, `no filter of rule ${JSON.stringify(rule.name)} could be taken over; it is a comment`);
  return [...filters];
}

function quickModeOf(context: Context, action: Pick<FilterAction, "methods" | "pfs">, at: Place): DraftQuickMode | null {
  const offers = offersOf.quickMode(action.methods, at, context);
  return offers && { ...offers, pfs: action.pfs || offers.pfs ? "main-mode" : "none" };
}

/** Windows' default where a rule names no method. */
const DEFAULT_AUTH: readonly WindowsAuth[] = [{ kind: "kerberos" }];

function authOf(context: Context, auth: readonly WindowsAuth[], at: Place, rule: string): readonly DraftAuth[] {
  const { findings } = context;
  const entries = (auth.length > 0 ? auth : DEFAULT_AUTH).flatMap((method) => entryOf(context, method, at, rule));
  if (entries.length === 0) findings.say("E_NO_METHOD", at, `rule ${JSON.stringify(rule)} has no authentication left; it is a comment`);
  return entries;
}

function entryOf(context: Context, method: WindowsAuth, at: Place, rule: string): readonly DraftAuth[] {
  switch (method.kind) {
    case "kerberos":
      context.findings.say("W_KEYTAB", at, `rule ${JSON.stringify(rule)} authenticates with Kerberos`);
      return [{ method: "kerberos" }];
    case "psk":
      context.findings.say("W_PSK_CLEARTEXT", at, `rule ${JSON.stringify(rule)} has a pre-shared key`);
      return [{ method: "psk", secretFile: secretFile(context, method.key, rule) }];
    case "ca":
      return certificateOf(context, method, at, rule);
  }
}

function certificateOf(
  { options, findings }: Context,
  method: WindowsAuth & { kind: "ca" },
  at: Place,
  rule: string,
): readonly DraftAuth[] {
  if (method.mapping) findings.say("W_CERTMAP", at, `rule ${JSON.stringify(rule)} maps certificates to accounts`);
  const { certificate, key, ca } = options;
  if (certificate === undefined) {
    findings.say(
      "W_CERTIFICATE",
      at,
      `rule ${JSON.stringify(rule)} wants certificates of ${JSON.stringify(method.name)}; give --certificate, --key and --ca`,
    );
    return [];
  }
  if (ca.length === 0) {
    findings.say("W_CA", at, `rule ${JSON.stringify(rule)} trusts ${JSON.stringify(method.name)}; give that CA's file with --ca`);
    return [];
  }
  return [{ method: "x509", certificate, key: key ?? null, ca }];
}

/** The file of a key: equal keys share one, named after the first rule that has it. */
function secretFile(context: Context, key: string, rule: string): string {
  const octets = secretOctets(key);
  const known = context.secrets.find(
    (secret) => secret.octets.length === octets.length && secret.octets.every((octet, i) => octet === octets[i]),
  );
  const base =
    rule
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 40) || "rule";
  const taken = new Set(context.secrets.map(({ name }) => name));
  let name = `${base}.psk`;
  for (let n = 2; taken.has(name); n++) name = `${base}-${n}.psk`;
  if (!known) context.secrets.push({ name, octets });
  return `${context.options.secretsFolder}${known?.name ?? name}`;
}

/** What our reader would take for something else (hex, base64, a line end) is written as hex. */
function secretOctets(key: string): Uint8Array {
  const octets = new TextEncoder().encode(key);
  if (!/^0[xs]|[\r\n]$/.test(key)) return octets;
  return new TextEncoder().encode(`0x${[...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("")}`);
}

/** Whoever negotiates and is covered by no rule is answered: a `respond` rule for everything, as the least specific filter. */
function convertDefaultRule(context: Context, policy: WindowsPolicy): readonly DraftRule[] {
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
      auth,
      tunnel: null,
      quickMode,
    },
  ];
}

/** Octets of a name that commands and logs carry: 64 visible characters. */
function ourName(name: string, at: Place, findings: Findings): string {
  const visible = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "").trim();
  const short = [...visible].slice(0, 64).join("");
  // UTF-16 units are what the reader counts.
  const fitting = short.length > 64 ? short.slice(0, 64).replace(/[\ud800-\udbff]$/, "") : short;
  if (fitting !== name) findings.say("W_NAME", at, `${JSON.stringify(name)} became ${JSON.stringify(fitting || "unnamed")}`);
  return fitting || "unnamed";
}

function uniqueName({ names }: Context, name: string): string {
  let unique = name;
  for (let n = 2; names.has(unique); n++) unique = `${name.slice(0, 56)} (${n})`;
  names.add(unique);
  return unique;
}
