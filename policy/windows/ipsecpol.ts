/**
 * One-liners of ipsecpol (2000) and ipseccmd (XP) in their static form: `-w REG -p POLICY -r RULE -f FILTERS -n ACTION …`.
 * They make the same objects as netsh, so they are played on the same store.
 */
import { canonicalAddress } from "../../isakmp/address.ts";
import { err, ok, type Result } from "../../isakmp/result.ts";
import { assignOnly, newPolicy } from "./apply.ts";
import type { Code, Findings } from "./diagnostics.ts";
import { parseMainMethods, parseQuickMethods, type QuickMethod } from "./methods.ts";
import {
  type FilterAction,
  listOf,
  type StoredPolicy,
  type StoredRule,
  type WindowsAuth,
  type WindowsFilter,
  type WindowsStore,
} from "./store.ts";
import { readValue, type WindowsAddress } from "./values.ts";
import type { Word } from "./words.ts";

/** Whether a line is one of these tools'. */
export const isIpsecpol = (word: Word | undefined): boolean => word !== undefined && /^(.*[\\/])?ipsec(pol|cmd)(\.exe)?$/i.test(word.text);

/** Plays one command (without its first word) on the store. Dynamic ones are reported and left out. */
export function applyIpsecpol(words: readonly Word[], store: WindowsStore, findings: Findings, lenient: boolean): void {
  const [first] = words;
  if (!first || /^show$/i.test(first.text)) return;
  const read = readFlags(words, lenient, findings);
  if (!read.ok) return findings.say(read.error.code, read.error.word, read.error.what);
  const flags = read.value;
  const policyName = flags.get("p")?.[0];
  sayLeftOver(flags, findings, lenient ? "W_LENIENT" : "E_JUNK");
  if (!flags.has("w")) return findings.say("W_DYNAMIC_CONTEXT", first, "without -w the rule is dynamic");
  if (!policyName) return findings.say("E_SYNTAX", first, "-p with the policy's name is missing");
  if (!/^reg$/i.test(flags.get("w")?.[0]?.text ?? ""))
    findings.say("W_DOMAIN_STORE", first, "-w names another store than the local registry");
  const name = policyName.text.replace(/:\d+$/, "");
  if (flags.has("o")) return store.policies.remove(name);
  const policy = store.policies.find(name) ?? newPolicy(name, policyName);
  if (!store.policies.find(name)) store.policies.add(policy, findings);
  const changed = changePolicy(policy, flags, findings);
  store.policies.replace(name, changed, findings);
  if (flags.has("x")) assignOnly(store, name, findings);
  if (flags.has("r")) addRule(store, changed, flags, findings);
}

type Flags = ReadonlyMap<string, readonly Word[]>;

/** Flags that have one value. */
const SINGLE: readonly string[] = ["t", "1k", "1e", "w", "p", "r"];

/** What is understood and not taken over, and words that nothing takes. */
function sayLeftOver(flags: Flags, findings: Findings, junk: Code): void {
  for (const flag of SINGLE)
    for (const word of flags.get(flag)?.slice(1) ?? [])
      findings.say(junk, word, `-${flag} has one value; ${JSON.stringify(word.text)} is too much`);
  const [filters, soft, name] = [flags.get("1f")?.[0], flags.get("1e")?.[0], flags.get("p")?.[0]];
  if (filters) findings.say("E_SUBSET", filters, "-1f: filters of Main Mode are not taken over");
  if (soft) findings.say("W_SETTING", soft, "-1e: the time of a soft SA is fallback-for");
  if (name && /:\d+$/.test(name.text)) findings.say("W_POLLING", name, "the time between two looks at the policy is left out");
}

interface Fault {
  readonly code: Code;
  readonly word: Word;
  readonly what: string;
}

/** Flags, and whether values follow each. */
const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ...["f", "n", "t", "a", "1s", "1k", "1f", "1e", "w", "p", "r"].map((flag) => [flag, true] as const),
  ...["1p", "soft", "confirm", "dialup", "lan", "u", "x", "y", "o"].map((flag) => [flag, false] as const),
]);

function readFlags(words: readonly Word[], lenient: boolean, findings: Findings): Result<Flags, Fault> {
  const flags = new Map<string, Word[]>();
  let current: Word[] | undefined;
  for (const word of words) {
    const flag = /^[-/]([a-z0-9]+)$/i.exec(word.text)?.[1]?.toLowerCase();
    const takes = flag === undefined || word.quoted ? undefined : FLAGS.get(flag);
    if (flag !== undefined && takes !== undefined) {
      const values: Word[] = flags.get(flag) ?? [];
      flags.set(flag, values);
      current = takes ? values : undefined;
    } else if (current) current.push(word);
    else if (word.text.startsWith("\\\\")) findings.say("W_REMOTE", word, `for the machine ${JSON.stringify(word.text)}`);
    else if (lenient) findings.say("W_LENIENT", word, `skipped: ${JSON.stringify(word.text)} belongs to no flag`);
    else return err({ code: "E_JUNK", word, what: `${JSON.stringify(word.text)} belongs to no flag` });
  }
  return ok(flags);
}

function changePolicy(policy: StoredPolicy, flags: Flags, findings: Findings): StoredPolicy {
  const offers = flags.get("1s");
  const methods = offers && parseMainMethods(offers.map(({ text }) => text).join(" "));
  if (methods && !methods.ok) findings.say(methods.error.code, offers[0] ?? policy, methods.error.what);
  const rekey = flags.get("1k")?.[0];
  const [, quickModes, seconds] = /^(?:(\d{1,9})q)?\/?(?:(\d{1,9})s)?$/i.exec(rekey?.text ?? "") ?? [];
  if (rekey && quickModes === undefined && seconds === undefined) findings.say("E_BAD_VALUE", rekey, `-1k ${JSON.stringify(rekey.text)}`);
  return {
    ...policy,
    methods: methods?.ok ? methods.value : policy.methods,
    quickModes: quickModes === undefined ? policy.quickModes : Number(quickModes),
    lifetimeMinutes: seconds === undefined ? policy.lifetimeMinutes : Math.max(1, Math.floor(Number(seconds) / 60)),
    masterPfs: policy.masterPfs || flags.has("1p"),
    assigned: flags.has("x") ? true : flags.has("y") ? false : policy.assigned,
  };
}

function addRule(store: WindowsStore, policy: StoredPolicy, flags: Flags, findings: Findings): void {
  const at = flags.get("r")?.[0] ?? policy;
  const place = { line: at.line, column: at.column };
  const name = flags.get("r")?.[0]?.text ?? "";
  const filters = readFilters(flags.get("f") ?? [], findings);
  const action = readAction(flags.get("n") ?? [], flags.has("soft"), findings);
  const tunnel = flags.get("t")?.[0];
  const end = tunnel && readValue("address", tunnel.text);
  if (tunnel && end && !end.ok) findings.say(end.error.code, tunnel, end.error.what);
  if (!action || (tunnel && !end?.ok)) return;
  const [listName, actionName] = [`${policy.name}: ${name} filters`, `${policy.name}: ${name} action`];
  store.lists.add(listOf({ ...place, name: listName, description: "" }, filters), findings);
  store.actions.add({ ...place, name: actionName, description: "", ...action }, findings);
  const rule: StoredRule = {
    ...place,
    name,
    description: "",
    filterList: listName,
    filterAction: actionName,
    tunnel: end?.ok && end.value.kind === "address" ? end.value.address : null,
    connection: flags.has("lan") ? "lan" : flags.has("dialup") ? "dialup" : "all",
    active: true,
    auth: readAuth(flags.get("a") ?? [], findings),
  };
  policy.rules.add(rule, findings);
}

type Action = Pick<FilterAction, "action" | "inpass" | "soft" | "pfs" | "methods">;

function readAction(words: readonly Word[], soft: boolean, findings: Findings): Action | undefined {
  const [first] = words;
  const word = first?.text.toUpperCase();
  const negotiate = { action: "negotiate", inpass: false, soft, pfs: false, methods: null } as const;
  for (const more of word === "PASS" || word === "BLOCK" ? words.slice(1) : [])
    findings.say("E_JUNK", more, `behind ${word} ${JSON.stringify(more.text)} means nothing`);
  if (word === "PASS" || word === "BLOCK") return { ...negotiate, soft: false, action: word === "PASS" ? "permit" : "block" };
  const inpass = words.some(({ text }) => text.toUpperCase() === "INPASS");
  const offers = words.filter(({ text }) => text.toUpperCase() !== "INPASS");
  if (!offers[0]) return { ...negotiate, inpass };
  const methods = parseQuickMethods(offers.map(({ text }) => withLife(text)).join(" "));
  if (!methods.ok) {
    findings.say(methods.error.code, offers[0], methods.error.what);
    return undefined;
  }
  const pfs = methods.value.some((method: QuickMethod) => method.pfs);
  return { ...negotiate, inpass, pfs, methods: methods.value };
}

/** `ESP[3DES,SHA]1000K/300SP`: the lifetime follows without a colon here. */
const withLife = (offer: string): string => offer.replace(/\](?=\d|p$)/i, "]:");

function readAuth(words: readonly Word[], findings: Findings): readonly WindowsAuth[] {
  return words.flatMap((word): readonly WindowsAuth[] => {
    const [, kind = "", value = ""] = /^(\w+)(?::(.*))?$/s.exec(word.text) ?? [];
    if (/^kerberos$/i.test(kind)) return [{ kind: "kerberos" }];
    if (/^preshare$/i.test(kind) && value !== "") return [{ kind: "psk", key: value }];
    if (/^cert$/i.test(kind) && value !== "") return [{ kind: "ca", name: value, mapping: false, excludeName: false }];
    findings.say("E_BAD_VALUE", word, "-a takes KERBEROS, PRESHARE:key and CERT:name");
    return [];
  });
}

/** Specifications may hold blanks: what belongs together has one `=` or `+`. */
function readFilters(words: readonly Word[], findings: Findings): readonly WindowsFilter[] {
  const specs: Word[] = [];
  for (const word of words) {
    const last = specs.at(-1);
    const whole = (spec: Word) => /[^=+][=+][^=+]/.test(spec.text) && /[^=+:]$|::\w*$|:$/.test(spec.text);
    if (last && (!whole(last) || !/[=+]/.test(word.text))) specs[specs.length - 1] = { ...last, text: last.text + word.text };
    else specs.push(word);
  }
  return specs.flatMap((spec) => {
    const filter = readFilter(spec);
    if (filter.ok) return [filter.value];
    findings.say("E_FILTER", spec, filter.error);
    return [];
  });
}

function readFilter(spec: Word): Result<WindowsFilter, string> {
  const bad = (why: string) => err(`${JSON.stringify(spec.text)}: ${why}`);
  if (/^[([]/.test(spec.text)) return bad("a filter that permits or blocks by its brackets belongs into a rule of its own");
  const parts = /^([^=+]*)([=+])([^=+]*)$/.exec(spec.text.replace(/\s+/g, ""));
  if (!parts) return bad("source=destination or source+destination is expected");
  const [, left = "", arrow, right = ""] = parts;
  const [source, destination] = [readSide(left, false), readSide(right, true)];
  if (!source.ok) return bad(source.error);
  if (!destination.ok) return bad(destination.error);
  const protocol = readValue("protocol", destination.value.protocol === "" ? "any" : destination.value.protocol);
  if (!protocol.ok || protocol.value.kind !== "number") return bad(`${JSON.stringify(destination.value.protocol)} is no protocol`);
  const ports = source.value.port + destination.value.port > 0;
  if (ports && protocol.value.number !== 6 && protocol.value.number !== 17) return bad("a port needs TCP or UDP");
  return ok({
    line: spec.line,
    column: spec.column,
    source: source.value.address,
    destination: destination.value.address,
    sourceMask: source.value.mask,
    destinationMask: destination.value.mask,
    protocol: protocol.value.number,
    sourcePort: source.value.port,
    destinationPort: destination.value.port,
    mirrored: arrow === "+",
    description: "",
  });
}

interface Side {
  readonly address: WindowsAddress;
  readonly mask: number | null;
  readonly port: number;
  readonly protocol: string;
}

/** `addr[/mask][:port[:protocol]]`; the protocol stands on the right side only. */
function readSide(text: string, withProtocol: boolean): Result<Side, string> {
  const [place = "", portText = "", protocol = "", ...more] = text.split(":");
  if (more.length > 0 || (!withProtocol && protocol !== "")) return err("too many colons");
  if (portText !== "" && !/^\d{1,5}$/.test(portText)) return err(`${JSON.stringify(portText)} is no port`);
  if (Number(portText) > 65_535) return err(`${portText} is no port`);
  const [name = "", maskText] = place.split("/");
  if (place.split("/").length > 2) return err(`${JSON.stringify(place)} has two masks`);
  const side = readPlace(name);
  if (!side.ok) return side;
  const mask = maskText === undefined ? side.value.mask : undefined;
  const read = maskText === undefined ? undefined : readValue("mask", maskText);
  if (read && (!read.ok || read.value.kind !== "mask")) return err(`${JSON.stringify(maskText)} is no mask`);
  const length = read?.ok && read.value.kind === "mask" ? read.value.length : (mask ?? null);
  return ok({ address: side.value.address, mask: length, port: Number(portText), protocol });
}

function readPlace(name: string): Result<{ readonly address: WindowsAddress; readonly mask: number | null }, string> {
  if (name === "*" || name === "") return ok({ address: { kind: "any" }, mask: null });
  if (name === "0") return ok({ address: { kind: "me" }, mask: null });
  const wild = /^((?:\d{1,3}\.){1,3})\*(?:\.\*)*$/.exec(name);
  if (wild) {
    const octets = (wild[1] as string).split(".").filter((octet) => octet !== "");
    const address = canonicalAddress([...octets, "0", "0", "0"].slice(0, 4).join("."));
    return address
      ? ok({ address: { kind: "address", address, length: null }, mask: octets.length * 8 })
      : err(`${JSON.stringify(name)} is no address`);
  }
  const read = readValue("address", name);
  return read.ok && read.value.kind === "address"
    ? ok({ address: read.value.address, mask: null })
    : err(`${JSON.stringify(name)} is no address`);
}
