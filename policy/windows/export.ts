/**
 * `mainmode policy export`: our policy as one of Windows, as it is or as its mirror image for the peer. What Windows' static policies
 * can't express is reported and left out.
 */
import { err, ok, type Result } from "../../isakmp/result.ts";
import { decodeName } from "../distinguished-name.ts";
import { formatChildSuite, formatIkeSuite } from "../proposal.ts";
import type { AuthEntry, Filter, Policy, Rule } from "../types.ts";
import { type Finding, type Findings, type Place, startFindings } from "./diagnostics.ts";
import { othersOf, type PeerShare, shareOf } from "./export-mirror.ts";
import { type ExportNames, exportNames } from "./export-names.ts";
import { windowsFilter } from "./filter-text.ts";
import type { MainMethod, QuickMethod } from "./methods.ts";
import { windowsKnows, writeNetsh } from "./netsh-writer.ts";
import type { FilterAction, WindowsAuth, WindowsFilter, WindowsPolicy, WindowsRule } from "./store.ts";
import type { WindowsAddress } from "./values.ts";

export interface ExportOptions {
  /** For the peer: sides and tunnel ends change places. `local` is our address as the peer sees it, `peer` its own; undefined: as it is. */
  readonly mirror: { readonly local: string; readonly peer?: string | undefined } | undefined;
}

export interface Exported {
  /** A batch file. */
  readonly script: string;
  readonly policy: WindowsPolicy;
  /** Their lines are the rules' numbers, from 1. */
  readonly findings: readonly Finding[];
}

/** Exports a policy. Keys become variables that whoever runs the script has to set. */
export function exportPolicy(policy: Policy, options: ExportOptions): Exported {
  const findings = startFindings();
  const windows = windowsPolicy(policy, options, findings);
  const { mirror } = options;
  const whom = mirror?.peer === undefined ? "the peers" : `${mirror.peer}, the peer`;
  const comments = [`Policy ${policy.name}${mirror ? `, for ${whom} of ${mirror.local}` : ""}`];
  return { script: writeNetsh(windows, comments), policy: windows, findings: findings.all };
}

/** What the rules of one export share. */
interface Context {
  readonly options: ExportOptions;
  readonly findings: Findings;
  readonly names: ReadonlyMap<Rule, ExportNames>;
  readonly isOthers: (rule: Rule, filter: Filter) => boolean;
  /** Where one peer is meant: what is for it. */
  readonly share: PeerShare | undefined;
}

const namesOf = ({ names }: Context, rule: Rule): ExportNames => names.get(rule) as ExportNames;

function windowsPolicy(policy: Policy, options: ExportOptions, findings: Findings): WindowsPolicy {
  const share = options.mirror?.peer === undefined ? undefined : shareOf(policy.rules, options.mirror.peer);
  const context: Context = { options, findings, names: exportNames(policy.rules), isOthers: othersOf(policy.rules), share };
  sayExempt(policy, findings);
  const negotiating = (share?.rules ?? policy.rules).filter(({ auth }) => auth.length > 0);
  const [first] = negotiating;
  const at = { line: 1, column: 1 };
  const standard = policy.rules.findIndex(isDefaultResponse);
  const answering = policy.rules[standard];
  if (negotiating.some((rule) => first && mainText(rule) !== mainText(first)))
    findings.say("W_MIXED_OFFERS", at, "rules differ in their Main Mode; Windows has one for all, that of the first");
  const rules = policy.rules.flatMap((rule, index) =>
    share && !share.rules.includes(rule) ? [] : windowsRules(rule, { line: index + 1, column: 1 }, context),
  );
  if (options.mirror && !share) saySeveral(rules, findings);
  for (const [stronger, weaker] of share?.overlaps ?? [])
    findings.say(
      "W_OVERLAP",
      { line: policy.rules.findIndex(({ filters }) => filters.includes(weaker)) + 1, column: 1 },
      `"${stronger.text}" and "${weaker.text}" overlap`,
    );
  const lifetime = first?.mainMode.lifetimeSeconds ?? 28_800;
  if (lifetime % 60 !== 0)
    findings.say("W_LIFETIME", at, `Windows counts minutes: a Main Mode of ${lifetime} s became one of ${minutes(lifetime)} min`);
  return {
    ...at,
    name: policy.name,
    description: "",
    masterPfs: first?.mainMode.masterPfs ?? false,
    quickModes: first?.mainMode.quickModes ?? 0,
    lifetimeMinutes: minutes(lifetime),
    defaultRule: answering
      ? {
          line: standard + 1,
          column: 1,
          active: true,
          assumed: false,
          pfs: answering.quickMode.pfs !== null,
          methods: quickMethods(answering, at, findings),
          auth: windowsAuths(answering, at, context),
        }
      : { ...at, active: false, assumed: false, pfs: false, methods: null, auth: [] },
    assigned: true,
    methods: first ? mainMethods(first, at, findings) : null,
    rules,
  };
}

const minutes = (seconds: number): number => Math.max(1, Math.floor(seconds / 60));

/** In a mirror image for all peers rules for different ones may say the same two hosts; only one of them would decide. */
function saySeveral(rules: readonly WindowsRule[], findings: Findings): void {
  const owners = new Map<string, WindowsRule>();
  for (const rule of rules.filter(({ tunnel }) => tunnel === null)) {
    const others = new Set<string>();
    for (const filter of rule.filterList.filters)
      for (const one of filter.mirrored ? [filter, swapped(filter)] : [filter]) {
        const key = JSON.stringify([one.source, one.destination, one.protocol, one.sourcePort, one.destinationPort]);
        const owner = owners.get(key);
        if (owner && owner !== rule) others.add(owner.name);
        else owners.set(key, rule);
      }
    if (others.size > 0)
      findings.say(
        "W_SEVERAL_PEERS",
        rule,
        `rule ${JSON.stringify(rule.name)} is for the same traffic as ${[...others].map((name) => JSON.stringify(name)).join(", ")}`,
      );
  }
}

/** What Windows' static policies have no place for. */
function sayExempt({ exempt }: Policy, findings: Findings): void {
  if (exempt.length > 0)
    findings.say("W_EXEMPT", { line: 1, column: 1 }, `exempt (${exempt.join(", ")}) is no part of a static policy and was left out`);
}

/** The rule that stands for Windows' default response: answers for whatever else there is. */
const isDefaultResponse = (rule: Rule): boolean =>
  rule.action === "respond" && rule.mode === "transport" && rule.filters.every(({ text }) => /^\s*me\s*<->\s*any\s*$/i.test(text));

const mainText = ({ mainMode }: Rule): string =>
  [mainMode.proposals.map(formatIkeSuite), mainMode.lifetimeSeconds, mainMode.quickModes, mainMode.masterPfs].join();

function mainMethods(rule: Rule, at: Place, findings: Findings): readonly MainMethod[] | null {
  const methods = rule.mainMode.proposals.flatMap((suite): readonly MainMethod[] => {
    const [cipher, hash, group] = [suite.encryption.name, suite.hash.name, suite.group.name];
    if ([cipher, hash, group].every(windowsKnows)) return [{ cipher, hash, group }];
    findings.say("W_NOT_ON_WINDOWS", at, `${formatIkeSuite(suite)} is unknown to netsh ipsec static and was left out`);
    return [];
  });
  if (methods.length === 0)
    findings.say("E_NO_METHOD", at, `rule ${JSON.stringify(rule.name)} has no Main Mode offer that Windows' static policies know`);
  return methods.length > 0 ? methods : null;
}

function quickMethods(rule: Rule, at: Place, findings: Findings): readonly QuickMethod[] | null {
  const { lifetimeSeconds, volumeOctets } = rule.quickMode;
  const methods = rule.quickMode.proposals.flatMap((suite): readonly QuickMethod[] => {
    const [ah, esp] = (["ah", "esp"] as const).map((protocol) => suite.find((part) => part.protocol === protocol));
    const names = suite.flatMap(({ cipher, integrity }) => [cipher?.name, integrity?.name]).filter((name) => name !== undefined);
    if (!names.every(windowsKnows) || (esp && !esp.integrity)) {
      findings.say("W_NOT_ON_WINDOWS", at, `${formatChildSuite(suite)} is unknown to netsh ipsec static and was left out`);
      return [];
    }
    return [
      {
        ah: ah?.integrity?.name ?? null,
        esp: esp?.cipher && esp.integrity ? { cipher: esp.cipher.name, integrity: esp.integrity.name } : null,
        kilobytes: volumeOctets === null ? 0 : Math.max(1, Math.floor(volumeOctets / 1000)),
        seconds: lifetimeSeconds,
        pfs: false,
      },
    ];
  });
  if (methods.length === 0)
    findings.say("E_NO_METHOD", at, `rule ${JSON.stringify(rule.name)} has no Quick Mode offer that Windows' static policies know`);
  return methods.length > 0 ? methods : null;
}

/** Authentication in its order. netsh takes one key for each rule. */
function windowsAuths(rule: Rule, at: Place, context: Context): readonly WindowsAuth[] {
  const keys = rule.auth.filter(({ method }) => method === "psk");
  if (keys.length > 1)
    context.findings.say(
      "E_SUBSET",
      at,
      `rule ${JSON.stringify(rule.name)} has ${keys.length} pre-shared keys; netsh takes one: the first`,
    );
  const { variable } = namesOf(context, rule);
  return rule.auth.filter((entry) => entry.method !== "psk" || entry === keys[0]).map((entry) => windowsAuth(entry, variable));
}

function windowsAuth(entry: AuthEntry, variable: string): WindowsAuth {
  if (entry.method === "kerberos") return { kind: "kerberos" };
  if (entry.method === "psk") return { kind: "psk", key: variable };
  const [name] = entry.trust.names;
  return { kind: "ca", name: (name && decodeName(name)) ?? "", mapping: false, excludeName: false };
}

function windowsRules(rule: Rule, at: Place, context: Context): readonly WindowsRule[] {
  const { options, findings, isOthers, share } = context;
  if (isDefaultResponse(rule)) return [];
  const { name } = namesOf(context, rule);
  const filterAction = windowsAction(rule, name, at, findings);
  const filters = rule.filters.flatMap((one): readonly WindowsFilter[] => {
    if (share && !share.kept.has(one) && !share.unsure.has(one)) return [];
    if (options.mirror && (share ? share.unsure.has(one) : isOthers(rule, one))) {
      findings.say("W_OTHERS", at, `rule ${JSON.stringify(rule.name)}: "${one.text}" was left out of the mirror image`);
      return [];
    }
    const filter = windowsFilter(one.text, at);
    const sided = filter.ok && options.mirror ? mirrored(filter.value, options.mirror.local, rule.mode) : filter;
    if (!sided.ok) findings.say("E_FILTER", at, `rule ${JSON.stringify(rule.name)}: ${sided.error}`);
    return sided.ok ? [sided.value] : [];
  });
  if (!filterAction || filters.length === 0) return [];
  const base = {
    ...at,
    description: "",
    connection: "all",
    active: true,
    auth: windowsAuths(rule, at, context),
  } as const;
  if (!rule.tunnel) return [{ ...base, name, filterList: list(name, filters, at), filterAction, tunnel: null }];
  return tunnelRules(rule, base, filters, filterAction, at, context);
}

const list = (name: string, filters: readonly WindowsFilter[], at: Place) => ({ ...at, name, description: "", filters });

type Base = Pick<WindowsRule, "line" | "column" | "description" | "connection" | "active" | "auth">;

/** A tunnel is two one-way rules, each named by the end it leads to. */
function tunnelRules(
  rule: Rule,
  base: Base,
  filters: readonly WindowsFilter[],
  filterAction: FilterAction,
  at: Place,
  context: Context,
): readonly WindowsRule[] {
  const { mirror } = context.options;
  const names = namesOf(context, rule);
  const local = rule.tunnel?.local ?? mirror?.local;
  const remote = rule.tunnel?.remote;
  if (local === undefined || remote === undefined) {
    context.findings.say("E_TUNNEL_UNPAIRED", at, `rule ${JSON.stringify(rule.name)} does not say its tunnel's local end`);
    return [];
  }
  const [near, far] = mirror ? [remote, local] : [local, remote];
  const out = filters.map((filter) => ({ ...filter, mirrored: false }));
  const back = out.map((filter) => swapped(filter));
  const end = (address: string): WindowsAddress => ({ kind: "address", address, length: null });
  return [
    { ...base, name: names.name, filterList: list(names.out, out, at), filterAction, tunnel: end(far) },
    { ...base, name: names.in, filterList: list(names.in, back, at), filterAction, tunnel: end(near) },
  ];
}

const swapped = (filter: WindowsFilter): WindowsFilter => ({
  ...filter,
  source: filter.destination,
  destination: filter.source,
  sourceMask: filter.destinationMask,
  destinationMask: filter.sourceMask,
  sourcePort: filter.destinationPort,
  destinationPort: filter.sourcePort,
});

/**
 * A filter as the peer has to write it. Its sides keep their places, so that one-way filters keep their direction;
 * our `me` becomes our address, and in transport mode whatever stood for the peer becomes its `me`.
 */
function mirrored(filter: WindowsFilter, local: string, mode: Rule["mode"]): Result<WindowsFilter, string> {
  const ours: WindowsAddress = { kind: "address", address: local, length: null };
  const sides = [filter.source, filter.destination];
  const mine = sides.findIndex(({ kind }) => kind === "me");
  if (mode === "tunnel") {
    const [source, destination] = sides.map((side) => (side.kind === "me" ? ours : side)) as [WindowsAddress, WindowsAddress];
    return ok(swapped({ ...filter, source, destination }));
  }
  if (mine < 0) return err("neither side is me; its mirror image is not known");
  const [source, destination] = mine === 0 ? [ours, ME] : [ME, ours];
  const plain = { ...filter, source, destination, sourceMask: null, destinationMask: null };
  return ok(filter.mirrored ? swapped(plain) : plain);
}

const ME: WindowsAddress = { kind: "me" };

/** null where Windows has nothing like it. */
function windowsAction(rule: Rule, name: string, at: Place, findings: Findings): FilterAction | null {
  const plain = { ...at, name, description: "", inpass: false, soft: false, pfs: false, methods: null } as const;
  if (rule.action === "permit" || rule.action === "block") return { ...plain, action: rule.action };
  if (rule.action === "respond") {
    findings.say(
      "E_SUBSET",
      at,
      `rule ${JSON.stringify(rule.name)} only answers; on Windows that is the default response rule, for me <-> any alone`,
    );
    return null;
  }
  const methods = quickMethods(rule, at, findings);
  if (!methods) return null;
  if (rule.clear.discovery)
    findings.say(
      "W_NOT_ON_WINDOWS",
      at,
      `rule ${JSON.stringify(rule.name)}: static policies know no negotiation discovery; nothing leaves in clear`,
    );
  const { pfs } = rule.quickMode;
  if (pfs !== null && pfs !== "main-mode" && rule.mainMode.proposals.some(({ group }) => group.name !== pfs.name))
    findings.say(
      "W_PFS_GROUP",
      at,
      `rule ${JSON.stringify(rule.name)}: Quick Mode's group ${pfs.name} can't be said; Windows takes that of Main Mode`,
    );
  const { identities, principals, issuers } = rule.demand;
  if (identities.length + principals.length + issuers.length > 0)
    findings.say("E_SUBSET", at, `rule ${JSON.stringify(rule.name)}: whom the peer must prove to be is not exported`);
  return {
    ...plain,
    action: "negotiate",
    inpass: rule.clear.inbound,
    soft: rule.action === "request",
    pfs: rule.quickMode.pfs !== null,
    methods,
  };
}
