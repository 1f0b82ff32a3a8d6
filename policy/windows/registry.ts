/**
 * A policy store exported from the registry: its objects refer to each other by the names of their keys, and become the same store
 * that a script makes.
 */
import { newPolicy } from "./apply.ts";
import type { Findings } from "./diagnostics.ts";
import { type KeyExchangeBlob, readFilters, readKeyExchange, readNegotiation, readRule } from "./registry-blobs.ts";
import { type RegistryKey, readRegistryFile } from "./registry-file.ts";
import { type FilterAction, listOf, type StoredList, type StoredPolicy, type WindowsStore } from "./store.ts";

/** Plays an export on the store. What can't be read is reported with the line of its key. */
export function playRegistry(text: string, store: WindowsStore, findings: Findings): void {
  const keys = readRegistryFile(text, findings);
  const objects = new Map(keys.map((key) => [leafOf(key.path), key]));
  const active = keys.map((key) => textOf(key, "activepolicy")).find((path) => path !== undefined);
  if (active !== undefined && active !== "" && !objects.has(leafOf(active)))
    findings.say("E_REGISTRY", keys[0] ?? { line: 1, column: 1 }, `the active policy ${JSON.stringify(leafOf(active))} is not in the file`);
  for (const key of objects.values()) if (leafOf(key.path).startsWith("ipsecpolicy")) addPolicy(key, { objects, store, findings }, active);
}

interface Context {
  readonly objects: ReadonlyMap<string, RegistryKey>;
  readonly store: WindowsStore;
  readonly findings: Findings;
}

const leafOf = (path: string): string => path.replace(/^.*\\/, "").toLowerCase();

function textOf(key: RegistryKey, name: string): string | undefined {
  const value = key.values.get(name);
  return value?.kind === "text" ? value.text : undefined;
}

/** The keys that a value names. One that isn't there is said: it may hold what protects. */
function referred({ objects, findings }: Context, key: RegistryKey, name: string): readonly RegistryKey[] {
  const value = key.values.get(name);
  const paths = value?.kind === "texts" ? value.texts : value?.kind === "text" ? [value.text] : [];
  return paths.flatMap((path) => {
    const found = objects.get(leafOf(path));
    if (!found) findings.say("E_REGISTRY", key, `${leafOf(key.path)} names ${JSON.stringify(leafOf(path))}, which is not in the file`);
    return found ?? [];
  });
}

function dataOf(key: RegistryKey, { findings }: Context): Uint8Array | undefined {
  const value = key.values.get("ipsecdata");
  if (value?.kind === "octets") return value.octets;
  findings.say("E_REGISTRY", key, `${leafOf(key.path)} has no ipsecData`);
  return undefined;
}

const nameOf = (key: RegistryKey): string => textOf(key, "ipsecname") ?? leafOf(key.path);
const describedBy = (key: RegistryKey): string => textOf(key, "description") ?? "";

function addPolicy(key: RegistryKey, context: Context, active: string | undefined): void {
  const { store, findings } = context;
  const [exchange] = referred(context, key, "ipsecisakmpreference");
  const data = exchange && dataOf(exchange, context);
  const settings = data && readKeyExchange(data);
  if (exchange && settings && !settings.ok) findings.say("E_REGISTRY", exchange, `key exchange settings: ${settings.error}`);
  if (exchange && settings?.ok && settings.value.unknown > 0) sayUnknown(exchange, settings.value.unknown, findings);
  const fresh: StoredPolicy = {
    ...newPolicy(nameOf(key), key),
    description: describedBy(key),
    assigned: active !== undefined && leafOf(active) === leafOf(key.path),
    ...(settings?.ok ? settingsOf(settings.value) : {}),
  };
  store.policies.add(fresh, findings);
  for (const rule of referred(context, key, "ipsecnfareference")) addRule(rule, context, fresh.name);
}

const sayUnknown = (key: RegistryKey, count: number, findings: Findings): void =>
  findings.say("E_REGISTRY", key, `${leafOf(key.path)}: ${count} offers of unknown algorithms were left out`);

const settingsOf = ({ methods, unknown: _unknown, ...rest }: KeyExchangeBlob) => ({
  ...rest,
  methods: methods.length > 0 ? methods : null,
});

const DEFAULT_RESPONSE = "62f49e13";

function addRule(key: RegistryKey, context: Context, policyName: string): void {
  const { store, findings } = context;
  const data = dataOf(key, context);
  const blob = data && readRule(data);
  if (!blob) return;
  if (!blob.ok) return findings.say("E_REGISTRY", key, `a rule: ${blob.error}`);
  const [negotiation] = referred(context, key, "ipsecnegotiationpolicyreference");
  const [filters] = referred(context, key, "ipsecfilterreference");
  const action = negotiation && actionOf(negotiation, context);
  const policy = store.policies.find(policyName);
  if (!negotiation || !action || !policy) return findings.say("E_REGISTRY", key, "a rule without a filter action");
  const standard = (textOf(negotiation, "ipsecnegotiationpolicytype") ?? "").toLowerCase().includes(DEFAULT_RESPONSE);
  const at = { line: key.line, column: key.column };
  if (blob.value.more)
    findings.say(
      "E_REGISTRY",
      key,
      "behind the rule stand options of its authentication or an IPv6 tunnel end, which are not read; look at it on Windows",
    );
  if (!standard && !filters) {
    if (!key.values.has("ipsecfilterreference"))
      findings.say("E_REGISTRY", key, "a rule without a filter list, and not the default response");
    return;
  }
  if (standard || !filters) {
    const { auth, active } = blob.value;
    store.actions.remove(action.name);
    const defaultRule = { ...at, active, pfs: action.pfs, methods: action.methods, auth, assumed: false };
    store.policies.replace(policy.name, { ...policy, defaultRule }, findings);
    return;
  }
  const list = filterList(filters, context);
  if (!list) return;
  const name = blob.value.name || nameOf(key);
  const free = policy.rules.find(name) ? `${name} (line ${key.line})` : name;
  const { auth, connection, tunnel, active } = blob.value;
  policy.rules.add(
    {
      ...at,
      name: free,
      description: describedBy(key),
      filterList: list.name,
      filterAction: action.name,
      tunnel,
      connection,
      active,
      auth,
    },
    findings,
  );
}

/** What a filter action does is a GUID of its own. */
const ACTIONS: readonly (readonly [string, Pick<FilterAction, "action" | "inpass">])[] = [
  ["3f91a819", { action: "block", inpass: false }],
  ["8a171dd2", { action: "permit", inpass: false }],
  ["8a171dd3", { action: "negotiate", inpass: false }],
  ["3f91a81a", { action: "negotiate", inpass: true }],
];

function actionOf(key: RegistryKey, context: Context): FilterAction | undefined {
  const { store, findings } = context;
  const given = nameOf(key);
  const known = store.actions.find(given);
  if (known?.line === key.line) return known;
  const name = known ? `${given} (line ${key.line})` : given;
  const guid = (textOf(key, "ipsecnegotiationpolicyaction") ?? "").toLowerCase();
  const found = ACTIONS.find(([start]) => guid.includes(start))?.[1];
  const negotiates = found?.action === "negotiate";
  const data = negotiates ? dataOf(key, context) : undefined;
  const blob = data && readNegotiation(data);
  if (blob?.ok && blob.value.unknown > 0) sayUnknown(key, blob.value.unknown, findings);
  if (blob?.ok && blob.value.methods.length === 0 && blob.value.unknown > 0) return undefined;
  if (!found || (negotiates && !blob?.ok)) {
    findings.say(
      "E_REGISTRY",
      key,
      `filter action ${JSON.stringify(name)}: ${blob && !blob.ok ? blob.error : `what it does, ${guid}, is unknown`}`,
    );
    return undefined;
  }
  const methods = blob?.ok ? blob.value.methods : null;
  const action: FilterAction = {
    line: key.line,
    column: key.column,
    name,
    description: describedBy(key),
    ...found,
    soft: blob?.ok === true && blob.value.soft,
    pfs: methods?.some(({ pfs }) => pfs) ?? false,
    methods,
  };
  store.actions.add(action, findings);
  return action;
}

function filterList(key: RegistryKey, context: Context): StoredList | undefined {
  const { store, findings } = context;
  const given = nameOf(key);
  const known = store.lists.find(given);
  if (known?.line === key.line) return known;
  const name = known ? `${given} (line ${key.line})` : given;
  const data = dataOf(key, context);
  const blob = data && readFilters(data);
  if (!blob) return undefined;
  if (!blob.ok) {
    findings.say("E_REGISTRY", key, `filter list ${JSON.stringify(name)}: ${blob.error}`);
    return undefined;
  }
  const at = { line: key.line, column: key.column };
  if (blob.value.more)
    findings.say(
      "E_REGISTRY",
      key,
      `filter list ${JSON.stringify(name)}: filters in the second form (IPv6, ranges) are not read; add them`,
    );
  const list = listOf(
    { ...at, name, description: describedBy(key) },
    blob.value.filters.map((filter) => ({ ...filter, ...at })),
  );
  store.lists.add(list, findings);
  return list;
}
