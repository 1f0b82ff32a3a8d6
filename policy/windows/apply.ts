/**
 * What each command does to the store. Values that a command leaves out keep what they were, or are Windows' defaults.
 */
import type { Findings, Place } from "./diagnostics.ts";
import type { Given, StaticCommand } from "./parse.ts";
import {
  addToList,
  type FilterAction,
  listOf,
  Shelf,
  type StoredPolicy,
  type StoredRule,
  takeFromList,
  type WindowsAuth,
  type WindowsFilter,
  type WindowsStore,
} from "./store.ts";
import type { WindowsAddress } from "./values.ts";

/** Plays one command; what it can't do is reported and changes nothing. */
export function applyCommand(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  HANDLERS[`${command.row.verb} ${command.row.object}`.trim()]?.(store, command, findings);
}

type Handler = (store: WindowsStore, command: StaticCommand, findings: Findings) => void;

const HANDLERS: Readonly<Record<string, Handler>> = {
  "add policy": addPolicy,
  "set policy": setPolicy,
  "delete policy": (store, command, findings) => {
    if (meansAll(command, store.policies)) store.policies.clear();
    else if (store.policies.doomed(nameOf(command), command, findings)) store.policies.remove(nameOf(command));
  },
  "add filterlist": (store, command, findings) =>
    store.lists.add(listOf({ ...place(command), name: nameOf(command), description: text(command, "description") ?? "" }, []), findings),
  "set filterlist": setList,
  "delete filterlist": (store, command, findings) => remove(store, "lists", "filterList", command, findings),
  "add filter": addFilter,
  "delete filter": deleteFilter,
  "add filteraction": (store, command, findings) =>
    store.actions.add(changedAction({ ...place(command), ...NEW_ACTION, name: nameOf(command) }, command), findings),
  "set filteraction": setAction,
  "delete filteraction": (store, command, findings) => remove(store, "actions", "filterAction", command, findings),
  "add rule": addRule,
  "set rule": setRule,
  "delete rule": deleteRule,
  "set defaultrule": setDefaultRule,
  "set store": (_store, command, findings) => {
    if (text(command, "location") === "domain") findings.say("W_DOMAIN_STORE", command, "the script works on the domain's store");
  },
  "delete all": (store) => {
    for (const shelf of [store.policies, store.lists, store.actions]) shelf.clear();
  },
  importpolicy: (_store, command, findings) =>
    findings.say("E_BINARY_IMPORT", command, `the policies of ${JSON.stringify(text(command, "file") ?? "")} are not in this script`),
  restorepolicyexamples: (_store, command, findings) =>
    findings.say("W_OTHER_COMMAND", command, "the stock policies are in examples/: client.toml, server.toml, secure-server.toml"),
};

const place = ({ line, column }: Place): Place => ({ line, column });
const given = (command: StaticCommand, tag: string): Given["value"] | undefined => command.values.get(tag)?.value;
const text = (command: StaticCommand, tag: string): string | undefined => {
  const value = given(command, tag);
  return value?.kind === "text" ? value.text : undefined;
};
const yes = (command: StaticCommand, tag: string): boolean | undefined => {
  const value = given(command, tag);
  return value?.kind === "boolean" ? value.yes : undefined;
};
const num = (command: StaticCommand, tag: string): number | undefined => {
  const value = given(command, tag);
  return value?.kind === "number" ? value.number : undefined;
};
const mask = (command: StaticCommand, tag: string): number | null => {
  const value = given(command, tag);
  return value?.kind === "mask" ? value.length : null;
};
const address = (command: StaticCommand, tag: string): WindowsAddress | undefined => {
  const value = given(command, tag);
  return value?.kind === "address" ? value.address : undefined;
};
const quick = (command: StaticCommand) => {
  const value = given(command, "qmsecmethods");
  return value?.kind === "quick-methods" ? value.methods : undefined;
};
const nameOf = (command: StaticCommand): string => text(command, "name") ?? "";
/** `delete policy all`, where none is called so. */
const meansAll = (command: StaticCommand, shelf: { readonly find: (name: string) => unknown }): boolean =>
  same(nameOf(command), "all") && shelf.find("all") === undefined;

/** Minutes; 0 stands for the default. */
const LIFETIME_MINUTES = 480;

/** A policy as Windows makes it where nothing is said. */
export const newPolicy = (name: string, { line, column }: Place): StoredPolicy => ({
  line,
  column,
  name,
  description: "",
  masterPfs: false,
  quickModes: 0,
  lifetimeMinutes: LIFETIME_MINUTES,
  defaultRule: { line, column, active: true, pfs: false, methods: null, auth: [], assumed: true },
  assigned: false,
  methods: null,
  rules: new Shelf<StoredRule>("rule"),
});

function addPolicy(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const policy = changedPolicy(newPolicy(nameOf(command), command), command, findings);
  store.policies.add(policy, findings);
  if (policy.assigned && store.policies.find(policy.name) === policy) assignOnly(store, policy.name, findings);
}

function setPolicy(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const old = byNameOrGuid(command, findings) && store.policies.need(nameOf(command), command, findings);
  if (!old) return;
  if (text(command, "gponame") !== undefined) findings.say("W_DOMAIN_STORE", command, "it is (un)assigned to a group policy object");
  const next = { ...changedPolicy(old, command, findings), name: text(command, "newname") ?? old.name };
  if (store.policies.replace(old.name, next, findings, command) && next.assigned) assignOnly(store, next.name, findings);
}

/** One policy is assigned at a time. */
export function assignOnly(store: WindowsStore, name: string, findings: Findings): void {
  for (const other of store.policies.all())
    if (other.assigned && other.name.toLowerCase() !== name.toLowerCase())
      store.policies.replace(other.name, { ...other, assigned: false }, findings);
}

function changedPolicy(old: StoredPolicy, command: StaticCommand, findings: Findings): StoredPolicy {
  const methods = given(command, "mmsecmethods");
  const master = yes(command, "mmpfs") ?? old.masterPfs;
  const active = yes(command, "activatedefaultrule");
  const minutes = num(command, "mmlifetime");
  if (num(command, "pollinginterval") !== undefined) findings.say("W_POLLING", command, "pollinginterval is left out");
  return {
    ...old,
    description: text(command, "description") ?? old.description,
    masterPfs: master,
    quickModes: num(command, "qmpermm") ?? old.quickModes,
    lifetimeMinutes: minutes === undefined ? old.lifetimeMinutes : minutes || LIFETIME_MINUTES,
    defaultRule: active === undefined ? old.defaultRule : { ...old.defaultRule, ...place(command), active, assumed: false },
    assigned: yes(command, "assign") ?? old.assigned,
    methods: methods?.kind === "main-methods" ? methods.methods : old.methods,
  };
}

function setList(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const old = byNameOrGuid(command, findings) && store.lists.need(nameOf(command), command, findings);
  if (!old) return;
  const name = text(command, "newname") ?? old.name;
  if (store.lists.replace(old.name, { ...old, name, description: text(command, "description") ?? old.description }, findings, command))
    rename(store, "filterList", old.name, name, findings);
}

const NEW_ACTION = { description: "", action: "negotiate", inpass: false, soft: false, pfs: false, methods: null } as const;

function setAction(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const old = byNameOrGuid(command, findings) && store.actions.need(nameOf(command), command, findings);
  if (!old) return;
  const name = text(command, "newname") ?? old.name;
  if (store.actions.replace(old.name, { ...changedAction(old, command), name }, findings, command))
    rename(store, "filterAction", old.name, name, findings);
}

function changedAction(old: FilterAction, command: StaticCommand): FilterAction {
  return {
    ...old,
    description: text(command, "description") ?? old.description,
    action: (text(command, "action") as FilterAction["action"] | undefined) ?? old.action,
    inpass: yes(command, "inpass") ?? old.inpass,
    soft: yes(command, "soft") ?? old.soft,
    pfs: yes(command, "qmpfs") ?? old.pfs,
    methods: quick(command) ?? old.methods,
  };
}

/** GUIDs are given by Windows: a script that uses one can't be followed. */
function byNameOrGuid(command: StaticCommand, findings: Findings): boolean {
  if (command.values.has("name")) {
    if (command.values.has("guid")) findings.say("W_SETTING", command, "the object was found by its name, and its GUID left out");
    return true;
  }
  findings.say(
    "E_NO_SUCH_OBJECT",
    command,
    `${command.row.verb} ${command.row.object} needs a name; what a GUID stands for only Windows knows`,
  );
  return false;
}

/** Rules follow the new name of what they use. */
function rename(store: WindowsStore, what: "filterList" | "filterAction", from: string, to: string, findings: Findings): void {
  if (from === to) return;
  const old = from.trim().toLowerCase();
  for (const { rules } of store.policies.all())
    for (const rule of rules.all())
      if (rule[what].trim().toLowerCase() === old) rules.replace(rule.name, { ...rule, [what]: to }, findings);
}

const same = (a: string, b: string): boolean => a.trim().toLowerCase() === b.trim().toLowerCase();

function remove(
  store: WindowsStore,
  shelf: "lists" | "actions",
  what: "filterList" | "filterAction",
  command: StaticCommand,
  findings: Findings,
): void {
  const all = meansAll(command, store[shelf]);
  const item = all ? undefined : store[shelf].doomed(nameOf(command), command, findings);
  if (!all && !item) return;
  const users = new Map(
    store.policies.all().flatMap(({ rules }) => rules.all().map((rule) => [rule[what].trim().toLowerCase(), rule] as const)),
  );
  for (const { name } of item ? [item] : store[shelf].all()) {
    const user = users.get(name.trim().toLowerCase());
    if (user) findings.say("E_IN_USE", command, `${JSON.stringify(name)} is used by rule ${JSON.stringify(user.name)}; it stays`);
    else store[shelf].remove(name);
  }
}

function addFilter(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const list = text(command, "filterlist") ?? "";
  const filter = readFilter(command, findings);
  if (!filter) return;
  const old = store.lists.find(list);
  if (old) addToList(old, filter);
  else store.lists.add(listOf({ ...place(command), name: list, description: "" }, [filter]), findings);
}

function readFilter(command: StaticCommand, findings: Findings): WindowsFilter | undefined {
  const [source, destination] = [address(command, "srcaddr"), address(command, "dstaddr")];
  if (!source || !destination) return undefined;
  const filter: WindowsFilter = {
    ...place(command),
    source,
    destination,
    sourceMask: mask(command, "srcmask"),
    destinationMask: mask(command, "dstmask"),
    protocol: num(command, "protocol") ?? 0,
    sourcePort: num(command, "srcport") ?? 0,
    destinationPort: num(command, "dstport") ?? 0,
    mirrored: yes(command, "mirrored") ?? true,
    description: text(command, "description") ?? "",
  };
  const fault = faultOf(filter);
  if (fault) findings.say(fault[0], command, fault[1]);
  return fault ? undefined : filter;
}

type FilterFault = readonly ["E_SERVER_TYPE_NEEDS_ME" | "E_RANGE_MASK" | "E_PORT_WITHOUT_TCPUDP", string];

function faultOf({
  source,
  destination,
  sourceMask,
  destinationMask,
  protocol,
  sourcePort,
  destinationPort,
}: WindowsFilter): FilterFault | undefined {
  const sides = [source, destination];
  if (sides.some((side) => side.kind === "server") && !sides.some((side) => side.kind === "me"))
    return ["E_SERVER_TYPE_NEEDS_ME", "one side is a kind of server and the other is not me"];
  if ((source.kind === "range" && sourceMask !== null) || (destination.kind === "range" && destinationMask !== null))
    return ["E_RANGE_MASK", "a range with a mask"];
  if ((sourcePort !== 0 || destinationPort !== 0) && protocol !== 6 && protocol !== 17)
    return ["E_PORT_WITHOUT_TCPUDP", "a port without protocol TCP or UDP"];
  return undefined;
}

function deleteFilter(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const name = text(command, "filterlist") ?? "";
  const list = store.lists.doomed(name, command, findings);
  const wanted = list && readFilter(command, findings);
  if (!list || !wanted) return;
  if (!takeFromList(list, wanted)) findings.say("W_NOTHING_DELETED", command, `${JSON.stringify(name)} has no such filter`);
}

function addRule(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const policy = store.policies.need(text(command, "policy") ?? "", command, findings);
  const list = store.lists.need(text(command, "filterlist") ?? "", command, findings);
  const action = store.actions.need(text(command, "filteraction") ?? "", command, findings);
  if (!policy || !list || !action) return;
  const fresh: StoredRule = {
    ...place(command),
    name: nameOf(command),
    description: "",
    filterList: list.name,
    filterAction: action.name,
    tunnel: null,
    connection: "all",
    active: true,
    auth: [],
  };
  policy.rules.add(changedRule(fresh, command), findings);
}

function setRule(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const [policy, old] = findRule(store, command, findings);
  if (!policy || !old) return;
  const [list, action] = [text(command, "filterlist") ?? old.filterList, text(command, "filteraction") ?? old.filterAction];
  const filterList = list === old.filterList ? list : store.lists.need(list, command, findings)?.name;
  const filterAction = action === old.filterAction ? action : store.actions.need(action, command, findings)?.name;
  // A command of which a part can't be done changes nothing.
  if (filterList === undefined || filterAction === undefined) return;
  const next = { ...changedRule(old, command), name: text(command, "newname") ?? old.name, filterList, filterAction };
  policy.rules.replace(old.name, next, findings, command);
}

function changedRule(old: StoredRule, command: StaticCommand): StoredRule {
  return {
    ...old,
    description: text(command, "description") ?? old.description,
    tunnel: address(command, "tunnel") ?? old.tunnel,
    connection: (text(command, "conntype") as StoredRule["connection"] | undefined) ?? old.connection,
    active: yes(command, "activate") ?? old.active,
    // A list of methods replaces the one before it.
    auth: changedAuth(old.auth, command),
  };
}

/** `kerberos=no` alone takes Kerberos from the list, and nothing else. */
function changedAuth(old: readonly WindowsAuth[], command: StaticCommand): readonly WindowsAuth[] {
  const next = readAuth(command);
  return next.length > 0 ? next : command.auth.length > 0 ? old.filter(({ kind }) => kind !== "kerberos") : old;
}

/** The rule by its name, or by its number in the policy (from 1). */
function findRule(
  store: WindowsStore,
  command: StaticCommand,
  findings: Findings,
): readonly [StoredPolicy | undefined, StoredRule | undefined] {
  const policy = store.policies.need(text(command, "policy") ?? "", command, findings);
  if (!policy) return [undefined, undefined];
  const id = num(command, "id");
  if (id === undefined) return [policy, policy.rules.need(nameOf(command), command, findings)];
  const rule = policy.rules.all()[id - 1];
  if (!rule) findings.say("E_NO_SUCH_OBJECT", command, `policy ${JSON.stringify(policy.name)} has no rule number ${id}`);
  return [policy, rule];
}

function deleteRule(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const policy = store.policies.doomed(text(command, "policy") ?? "", command, findings);
  if (!policy) return;
  const id = num(command, "id");
  if (id === undefined && same(nameOf(command), "all") && !policy.rules.find("all")) return policy.rules.clear();
  const rule = id === undefined ? policy.rules.doomed(nameOf(command), command, findings) : policy.rules.all()[id - 1];
  if (rule) policy.rules.remove(rule.name);
  else if (id !== undefined) findings.say("W_NOTHING_DELETED", command, `policy ${JSON.stringify(policy.name)} has no rule number ${id}`);
}

function setDefaultRule(store: WindowsStore, command: StaticCommand, findings: Findings): void {
  const policy = store.policies.need(text(command, "policy") ?? "", command, findings);
  if (!policy) return;
  const old = policy.defaultRule;
  const defaultRule = {
    ...place(command),
    active: yes(command, "activate") ?? old.active,
    pfs: yes(command, "qmpfs") ?? old.pfs,
    methods: quick(command) ?? old.methods,
    auth: changedAuth(old.auth, command),
    assumed: command.values.has("activate") ? false : old.assumed,
  };
  store.policies.replace(policy.name, { ...policy, defaultRule }, findings);
}

function readAuth(command: StaticCommand): readonly WindowsAuth[] {
  return command.auth.flatMap(({ tag, value }): readonly WindowsAuth[] => {
    if (tag === "kerberos") return value.kind === "boolean" && value.yes ? [{ kind: "kerberos" }] : [];
    if (value.kind !== "text") return [];
    return tag === "psk" ? [{ kind: "psk", key: value.text }] : [readCa(value.text)];
  });
}

/** `CN=Root, O=… certmap:yes excludecaname:no`. */
function readCa(written: string): WindowsAuth {
  const option = (word: string) => new RegExp(`\\s*\\b${word}:(yes|no|y|n)\\b`, "i");
  const set = (word: string): boolean => /^y/i.test(option(word).exec(written)?.[1] ?? "no");
  const name = written.replace(option("certmap"), "").replace(option("excludecaname"), "").trim();
  return { kind: "ca", name, mapping: set("certmap"), excludeName: set("excludecaname") };
}
