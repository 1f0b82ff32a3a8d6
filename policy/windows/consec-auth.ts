/**
 * How a connection security rule proves identity: the tags of netsh, or the sets of the cmdlets, as the methods that IKEv1 has.
 */
import type { PeerMainMode } from "./consec-main.ts";
import { type ConsecAuth, type ConsecStore, fieldOf, type StoredConsec, type Values } from "./consec-store.ts";
import type { DraftContext } from "./draft-auth.ts";
import type { WindowsAuth } from "./store.ts";

/** The methods that are left; null where the rule can't be kept, which is then said. Empty: Windows' default, Kerberos. */
export function authsOf(
  rule: StoredConsec,
  peer: PeerMainMode | null,
  store: ConsecStore,
  context: DraftContext,
): readonly WindowsAuth[] | null {
  const { findings } = context;
  if (refusesSecond(rule, store, context) || refusesHealth([rule, ...(peer ? [peer.rule] : [])], context)) return null;
  const own = methodsOf(rule, store, context);
  const main = peer && methodsOf(peer.rule, store, context);
  if (own === null || (peer && hasAuth(peer.rule.values) && main === null)) return null;
  const chosen = peer && main && hasAuth(peer.rule.values) ? main : own;
  if (chosen !== own && hasAuth(rule.values) && JSON.stringify(chosen) !== JSON.stringify(own))
    findings.say(
      "W_MAIN_MODE_AUTH",
      rule,
      `rule ${JSON.stringify(rule.name)} and main mode rule ${JSON.stringify(peer?.rule.name ?? "")} differ in authentication`,
    );
  const kept = chosen.flatMap((method) => keep(method, rule, context));
  if (kept.includes("refused")) return null;
  if (kept.length === 0 && chosen.length > 0)
    findings.say("E_AUTHIP", rule, `rule ${JSON.stringify(rule.name)} has methods of AuthIP alone; it is a comment`);
  return kept.length === 0 && chosen.length > 0 ? null : (kept as readonly WindowsAuth[]);
}

const hasAuth = (values: Values): boolean => values.has("auth1") || values.has("auth-set");

/** A second authentication: users, and health. `Default` of a script that makes no default is none. */
function refusesSecond(rule: StoredConsec, store: ConsecStore, { findings }: DraftContext): boolean {
  const name = JSON.stringify(rule.name);
  const second = fieldOf(rule.values, "auth2", "words");
  if (second) findings.say("E_AUTHIP", second, `rule ${name} wants a second authentication: ${second.words.join(", ")}`);
  const set = fieldOf(rule.values, "auth2-set", "text");
  const isDefault = set === undefined || set.text.toLowerCase() === "default";
  const found = isDefault ? store.defaults.get("phase2") : store.sets.get(set.text.toLowerCase());
  const demands = found?.type === "phase2" && found.auth.length > 0;
  const missing = !isDefault && !found && !/^(none|)$/i.test(set.text);
  if (demands || missing)
    findings.say(
      "E_AUTHIP",
      set ?? rule,
      `rule ${name} wants a second authentication${missing ? " by a set that the script doesn't make" : ""}`,
    );
  return second !== undefined || demands || missing;
}

/** Certificates that speak of a computer's health. */
function refusesHealth(rules: readonly StoredConsec[], { findings }: DraftContext): boolean {
  let refused = false;
  for (const { name, values } of rules)
    for (const field of ["health", "health256", "health384"] as const) {
      const given = fieldOf(values, field, "boolean");
      if (!given?.yes) continue;
      findings.say("E_AUTHIP", given, `rule ${JSON.stringify(name)} wants certificates of health`);
      refused = true;
    }
  return refused;
}

/** The methods as the script names them; null after saying that one is missing. */
function methodsOf(rule: StoredConsec, store: ConsecStore, context: DraftContext): readonly ConsecAuth[] | null {
  const { findings } = context;
  const reference = fieldOf(rule.values, "auth-set", "text");
  if (reference && !/^(default|computerkerberos)$/i.test(reference.text)) {
    const set = store.sets.get(reference.text.toLowerCase());
    if (set?.type === "phase1") return set.auth;
    findings.say("E_NO_SUCH_OBJECT", reference, `rule ${JSON.stringify(rule.name)} names a phase 1 set that the script doesn't make`);
    return null;
  }
  const words = fieldOf(rule.values, "auth1", "words");
  if (!words) {
    const standard = reference?.text.toLowerCase() === "computerkerberos" ? undefined : store.defaults.get("phase1");
    return standard?.type === "phase1" ? standard.auth : [];
  }
  const methods: ConsecAuth[] = [];
  for (const word of words.words) {
    const found = netshMethod(word, rule.values);
    if (typeof found === "string") {
      findings.say("E_SYNTAX", words, `rule ${JSON.stringify(rule.name)}: auth1=${word} needs ${found}`);
      return null;
    }
    methods.push(...found);
  }
  return methods;
}

const CAS = {
  computercert: ["ca", "rsa", "auth1ca"],
  computercertecdsap256: ["ca256", "ecdsa256", "auth1ecdsap256ca"],
  computercertecdsap384: ["ca384", "ecdsa384", "auth1ecdsap384ca"],
} as const;

/** The methods of a word of auth1, or the tag that it lacks. */
function netshMethod(word: string, values: Values): readonly ConsecAuth[] | string {
  if (word === "computerkerb") return [{ kind: "kerberos" }];
  if (word === "computerpsk") {
    const key = fieldOf(values, "psk", "text")?.text;
    return key === undefined ? "auth1psk" : [{ kind: "psk", key }];
  }
  const row = CAS[word as keyof typeof CAS];
  if (!row) return [{ kind: "foreign", what: word }];
  const [field, signature, tag] = row;
  const cas = fieldOf(values, field, "cas")?.cas;
  return cas ? cas.map((ca) => ({ kind: "ca", signature, ...ca })) : tag;
}

function keep(method: ConsecAuth, rule: StoredConsec, { findings }: DraftContext): readonly (WindowsAuth | "refused")[] {
  const name = JSON.stringify(rule.name);
  if (method.kind === "foreign") {
    findings.say("W_AUTHIP", rule, `rule ${name}: ${method.what} was left out`);
    return [];
  }
  if (method.kind !== "ca") return [method];
  if (method.demands.length > 0) {
    findings.say(
      "E_AUTHORISATION",
      rule,
      `rule ${name} takes only some certificates of ${JSON.stringify(method.name)}: ${method.demands.join(", ")}`,
    );
    return ["refused"];
  }
  if (method.signature !== "rsa")
    findings.say("W_SETTING", rule, `rule ${name}: the certificate that is named decides whether it signs with ${method.signature}`);
  return [{ kind: "ca", name: method.name, mapping: method.mapping, excludeName: method.excludeName }];
}
