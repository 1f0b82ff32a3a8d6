/**
 * From connection security rules to a draft of ours. What has no counterpart is reported; a rule that would protect less than it did, or
 * that only AuthIP can keep, is left as a comment.
 */
import { authsOf } from "./consec-auth.ts";
import { type ConsecTraffic, trafficOf } from "./consec-filters.ts";
import { globalMainMode, mainModesOf, type PeerMainMode } from "./consec-main.ts";
import { quickModeOf } from "./consec-quick.ts";
import { type ConsecStore, fieldOf, type StoredConsec } from "./consec-store.ts";
import type { Code, Place } from "./diagnostics.ts";
import type { DraftPolicy, DraftRule } from "./draft.ts";
import { authOf, type DraftContext, ourName, uniqueName } from "./draft-auth.ts";

/** The name that `--policy` has for all of them together. */
export const CONSEC_NAME = "Connection security rules";

/** Whether a script made any rule. */
export const hasConsec = (store: ConsecStore): boolean => store.rules.all().length > 0;

/** Whether `strongcrlcheck` is 2: certificates need a fresh list of revoked ones. */
export const requiresCrl = (store: ConsecStore): boolean => {
  const value = store.globals.get("crl")?.value;
  return value?.kind === "words" ? value.words[0] === "2" : value?.kind === "text" && value.text === "2";
};

/** Converts all rules. `beside`: a policy of `ipsec static` has the file's Main Mode; then every rule has its own. */
export function convertConsec(store: ConsecStore, context: DraftContext, beside: boolean): DraftPolicy {
  sayGlobals(store, context);
  const negotiates = store.rules.all().some((rule) => isEnabled(rule) && securityOf(rule).action !== "permit");
  const standard = negotiates ? globalMainMode(store, context) : null;
  const peers = mainModesOf(store, context);
  const rules = store.rules.all().map((rule) => convertRule(rule, store, peers, context));
  for (const { rule, used } of peers)
    if (!used.any) context.findings.say("W_UNUSED_OBJECT", rule, `main mode rule ${JSON.stringify(rule.name)} is for no rule's peers`);
  return {
    name: CONSEC_NAME,
    comments: ["Connection security rules of Windows"],
    mainMode: beside ? null : standard,
    allowWeak: [...context.weak].sort(),
    exempt: exemptionsOf(store),
    rules: rules.map((rule) => (beside && rule.auth.length > 0 && !rule.mainMode ? { ...rule, mainMode: standard } : rule)),
  };
}

/** Neighbour discovery passes always; nothing said leaves our own default. */
function exemptionsOf({ globals }: ConsecStore): readonly string[] | null {
  const value = globals.get("exempt")?.value;
  return value?.kind === "words" ? value.words.filter((word) => word === "icmp" || word === "dhcp") : null;
}

const isEnabled = ({ values }: StoredConsec): boolean => fieldOf(values, "enable", "boolean")?.yes ?? true;

interface Security {
  readonly action: DraftRule["action"];
  readonly discovery: boolean;
  readonly inboundClear: boolean;
  readonly said: readonly (readonly [Code, string])[];
}

type Wanted = readonly ["none" | "request" | "require", "none" | "request" | "require"];

const ACTIONS: ReadonlyMap<string, Wanted> = new Map<string, Wanted>([
  ["requireinrequestout", ["require", "request"]],
  ["requestinrequestout", ["request", "request"]],
  ["requireinrequireout", ["require", "require"]],
  ["requireinclearout", ["require", "none"]],
  ["noauthentication", ["none", "none"]],
]);

/** What a rule does, and what is to be said of it. */
function securityOf({ name, values }: StoredConsec): Security {
  const word = (field: "action" | "inbound" | "outbound") => fieldOf(values, field, "words")?.words[0];
  const action = word("action");
  const silent = action === undefined && word("inbound") === undefined && word("outbound") === undefined;
  const named = action === undefined ? undefined : ACTIONS.get(action);
  const [inbound, outbound] = silent
    ? (["require", "request"] as const)
    : (named ?? [word("inbound") ?? "none", word("outbound") ?? "none"]);
  const tunnelled = fieldOf(values, "mode", "words")?.words[0] === "tunnel";
  const row = SECURITY[`${inbound} ${outbound}`];
  const rule = `rule ${JSON.stringify(name)}`;
  const said: (readonly [Code, string])[] = silent
    ? [["W_DEFAULT_SECURITY", `${rule} says neither -InboundSecurity nor -OutboundSecurity`]]
    : [];
  if (!row)
    return { ...REFUSED, said: [...said, ["E_SUBSET", `${rule}: in ${inbound} and out ${outbound} is no combination that Windows has`]] };
  if (row.action === "permit") return { ...row, said };
  if (!tunnelled) {
    if (outbound === "none" && inbound === "require")
      return { ...REFUSED, said: [...said, ["E_SUBSET", `${rule}: to require inbound and send in clear is for tunnels`]] };
    if (row.discovery && row.action === "require")
      said.push(["W_CLEAR_ANSWERS", `${rule} sends in clear while nobody negotiates, and takes no clear answer`]);
    return { ...row, said };
  }
  if (inbound === "request" && outbound === "none")
    return { ...REFUSED, said: [...said, ["E_SUBSET", `${rule}: a tunnel that is only asked for`]] };
  if (`${inbound} ${outbound}` !== "require require") said.push(["W_TUNNEL_STRICT", `${rule} lets packets pass outside of its tunnel`]);
  return { action: "require", discovery: false, inboundClear: false, said };
}

const REFUSED = { action: "require", discovery: false, inboundClear: false } as const;
const SECURITY: Readonly<Record<string, Pick<DraftRule, "action" | "discovery" | "inboundClear">>> = {
  "none none": { action: "permit", discovery: false, inboundClear: false },
  "request none": { action: "respond", discovery: false, inboundClear: false },
  "request request": { action: "request", discovery: true, inboundClear: true },
  "require request": { action: "require", discovery: true, inboundClear: false },
  "require require": { action: "require", discovery: false, inboundClear: false },
  "require none": { action: "require", discovery: false, inboundClear: false },
};

function convertRule(rule: StoredConsec, store: ConsecStore, peers: readonly PeerMainMode[], context: DraftContext): DraftRule {
  const { findings, options } = context;
  const { values } = rule;
  const enabled = isEnabled(rule);
  if (!enabled) findings.say("W_INACTIVE_RULE", rule, `rule ${JSON.stringify(rule.name)} is switched off`);
  const security = securityOf(rule);
  for (const [code, text] of security.said) findings.say(code, rule, text);
  const negotiates = security.action !== "permit";
  const kept = sayLimits(rule, negotiates, context) && !security.said.some(([code]) => code.startsWith("E_"));
  const traffic = trafficOf(rule, options.local, findings);
  const tunnel = negotiates ? tunnelOf(rule, traffic, context) : null;
  const peer = negotiates && enabled ? mainModeFor(rule, traffic, peers, context) : null;
  const methods = negotiates ? authsOf(rule, peer === "unclear" ? null : peer, store, context) : null;
  const auth = methods ? authOf(context, methods, rule, rule.name) : [];
  const quickMode = negotiates ? quickModeOf(rule, store, context) : null;
  const description = fieldOf(values, "description", "text")?.text ?? "";
  return {
    line: rule.line,
    column: rule.column,
    name: uniqueName(context, ourName(rule.name, rule, findings)),
    comments: [...(description === "" ? [] : [description]), `connection security rule ${JSON.stringify(rule.name)}`],
    disabled:
      !enabled ||
      !kept ||
      traffic.filters.length === 0 ||
      peer === "unclear" ||
      (negotiates && (auth.length === 0 || !quickMode)) ||
      tunnel === "unclear",
    filters: traffic.filters,
    action: security.action,
    inboundClear: security.inboundClear,
    discovery: security.discovery,
    auth,
    tunnel: tunnel === "unclear" ? null : tunnel,
    quickMode,
    mainMode: peer === "unclear" ? null : (peer?.draft ?? null),
  };
}

/** The main mode rule for a rule's peers; "unclear": it is for some of them. */
function mainModeFor(
  rule: StoredConsec,
  traffic: ConsecTraffic,
  peers: readonly PeerMainMode[],
  context: DraftContext,
): PeerMainMode | "unclear" | null {
  for (const peer of peers) {
    const fit = peer.covers(traffic);
    if (fit === "all") {
      peer.used.any = true;
      return peer;
    }
    if (fit === "none") continue;
    peer.used.any = true;
    context.findings.say(
      "E_SUBSET",
      rule,
      `main mode rule ${JSON.stringify(peer.rule.name)} is for some peers of rule ${JSON.stringify(rule.name)} and not for others; split the rule`,
    );
    return "unclear";
  }
  return null;
}

/** The ends of a tunnel; the far one has to be known. */
function tunnelOf(rule: StoredConsec, { tunnel }: ConsecTraffic, { findings }: DraftContext): DraftRule["tunnel"] | "unclear" {
  if (!tunnel) return null;
  const [local, remote] = [tunnel.local, tunnel.remote];
  if (rule.values.has("endname")) {
    findings.say(
      "E_SUBSET",
      rule,
      `rule ${JSON.stringify(rule.name)}: its tunnel leads to a name; write its address as remotetunnelendpoint`,
    );
    return "unclear";
  }
  if (remote === null) {
    findings.say(
      "E_TUNNEL_UNPAIRED",
      rule,
      `rule ${JSON.stringify(rule.name)}: its tunnel leads to any address; name the peer's, and ours with --local`,
    );
    return "unclear";
  }
  if (local !== null && local.includes(":") !== remote.includes(":")) {
    findings.say("E_SUBSET", rule, `rule ${JSON.stringify(rule.name)}: one end of its tunnel is IPv4 and the other IPv6`);
    return "unclear";
  }
  findings.say("W_TUNNEL_MAIN_MODE", rule, `rule ${JSON.stringify(rule.name)} is a tunnel`);
  return { local, remote };
}

type Limit = (values: StoredConsec["values"], key: string) => readonly [Code, string] | null;
const isYes = (values: StoredConsec["values"], key: string): boolean => {
  const value = values.get(key)?.value;
  return value?.kind === "boolean" && value.yes;
};
const wordsIn = (values: StoredConsec["values"], key: string): readonly string[] => {
  const value = values.get(key)?.value;
  return value?.kind === "words" ? value.words : [];
};

/** What a rule may say beside traffic, proof and offers; null where it says nothing that matters. */
const LIMITS: Readonly<Record<string, Limit>> = {
  profile: (values, key) =>
    wordsIn(values, key).some((word) => word !== "any") ? ["W_PROFILE", `is for ${wordsIn(values, key).join(" and ")} networks`] : null,
  lifespan: (values, key) =>
    wordsIn(values, key)[0] === "dynamic" ? ["W_SETTING", "is dynamic: Windows forgets it when it starts again, and here it stays"] : null,
  interface: (values, key) => {
    const value = values.get(key)?.value;
    const which = value?.kind === "text" ? value.text : wordsIn(values, key)[0];
    return which === undefined || /^any$/i.test(which) ? null : ["W_CONNTYPE", `is for ${which} connections`];
  },
  protected: (values, key) => (isYes(values, key) ? ["W_SETTING", "exempts what is protected already; here it is protected twice"] : null),
  authorise: (values, key) => (isYes(values, key) ? ["E_AUTHORISATION", "lets only listed accounts use it"] : null),
  machine: () => ["E_AUTHORISATION", "is for listed computers"],
  user: () => ["E_AUTHORISATION", "is for listed users"],
  module: (values, key) =>
    wordsIn(values, key).some((word) => word === "ikev1" || word === "default")
      ? null
      : ["E_SUBSET", `is for ${wordsIn(values, key).join(" and ")} alone`],
  proxy: () => ["W_SETTING", "names a proxy to the KDC: set it in krb5.conf"],
  other: (values, key) => {
    const given = values.get(key);
    const silent = given?.value.kind === "boolean" && !given.value.yes;
    return silent ? null : ["W_SETTING", `says ${given?.tag ?? key}, which has no counterpart`];
  },
};

/** Says what a rule limits itself to; false where it can't be kept. A rule that permits is kept without its demands on whom it protects. */
function sayLimits(rule: StoredConsec, negotiates: boolean, { findings }: DraftContext): boolean {
  let kept = true;
  for (const [key, given] of rule.values) {
    const said = LIMITS[key.split(" ")[0] as string]?.(rule.values, key);
    if (!said) continue;
    const [code, text] = said;
    const place: Place = { line: given.line, column: given.column };
    // What lets pass in one place must not let pass everywhere.
    const widens = !negotiates && (code === "W_PROFILE" || code === "W_CONNTYPE");
    findings.say(widens ? "E_ONLY_SOME" : code, place, `rule ${JSON.stringify(rule.name)} ${text}`);
    if (widens || (code.startsWith("E_") && negotiates)) kept = false;
  }
  return kept;
}

function sayGlobals({ globals }: ConsecStore, { findings }: DraftContext): void {
  for (const [key, { tag, value, line, column }] of globals) {
    const place = { line, column };
    const field = key.split(" ")[0];
    const none = value.kind === "text" && /^(none|)$/i.test(value.text);
    if (field === "authorise" && !none) findings.say("E_AUTHORISATION", place, `${tag} lets only listed accounts connect`);
    if (field === "nat" || field === "forcedh" || field === "other") findings.say("W_SETTING", place, `${tag} was left out`);
    if (field === "exempt" && value.kind === "words" && value.words.includes("none"))
      findings.say("W_SETTING", place, `${tag}: neighbour discovery of IPv6 passes here in any case`);
    if (field === "crl" && value.kind === "words" && value.words[0] === "0")
      findings.say("W_SETTING", place, `${tag}: certificates that are known to be revoked are refused`);
  }
}
