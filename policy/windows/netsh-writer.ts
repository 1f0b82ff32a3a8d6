/**
 * A policy of Windows as a script of `netsh ipsec static` that makes it: the inverse of reading one. Keys are not written: the script
 * takes them from variables that the administrator sets.
 */

import type { MainMethod, QuickMethod } from "./methods.ts";
import type { DefaultRule, FilterAction, FilterList, WindowsAuth, WindowsFilter, WindowsPolicy, WindowsRule } from "./store.ts";
import type { WindowsAddress } from "./values.ts";

/** A batch file, lines ended as Windows ends them. `comments` stand at its top. */
export function writeNetsh(policy: WindowsPolicy, comments: readonly string[]): string {
  const lists = unique(policy.rules.map(({ filterList }) => filterList));
  const actions = unique(policy.rules.map(({ filterAction }) => filterAction));
  const keys = unique(
    [policy.defaultRule, ...policy.rules].flatMap(({ auth }) => auth).flatMap((auth) => (auth.kind === "psk" ? [{ name: auth.key }] : [])),
  );
  const lines = [
    "@echo off",
    ...[...comments, ...keys.map(({ name }) => `Before this script runs: set ${name.replaceAll("%", "")}=the pre-shared key`)].map(remark),
    command("add policy", policyTags(policy)),
    ...lists.flatMap((list) => [
      command("add filterlist", [["name", list.name], ...optional("description", list.description)]),
      ...list.filters.map((filter) => command("add filter", filterTags(list, filter))),
    ]),
    ...actions.map((action) => command("add filteraction", actionTags(action))),
    ...policy.rules.map((rule) => command("add rule", ruleTags(policy, rule))),
    ...defaultRule(policy, policy.defaultRule),
    ...(policy.assigned
      ? [
          command("set policy", [
            ["name", policy.name],
            ["assign", "yes"],
          ]),
        ]
      : []),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

type Tags = readonly (readonly [string, string])[];

const unique = <T extends { readonly name: string }>(items: readonly T[]): readonly T[] => [
  ...new Map(items.map((item) => [item.name, item])).values(),
];
const remark = (text: string): string => `rem ${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")}`;
const command = (words: string, tags: Tags): string =>
  ["netsh ipsec static", words, ...tags.map(([tag, value]) => `${tag}=${quoted(value)}`)].join(" ");

/** A double quote inside is written as netsh wants it; a percent sign twice, as batch files want it, where it is no variable of ours. */
function quoted(value: string): string {
  if (VARIABLE.test(value)) return `"${value}"`;
  const escaped = value.replaceAll('"', "\\'").replaceAll("%", "%%");
  return /^[\w.:/+-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
const VARIABLE = /^%PSK_[A-Z0-9_]+%$/;

const optional = (tag: string, value: string): Tags => (value === "" ? [] : [[tag, value]]);
const yesNo = (value: boolean): string => (value ? "yes" : "no");

const policyTags = (policy: WindowsPolicy): Tags => [
  ["name", policy.name],
  ...optional("description", policy.description),
  ["mmpfs", yesNo(policy.masterPfs)],
  ["qmpermm", String(policy.quickModes)],
  ["mmlifetime", String(policy.lifetimeMinutes)],
  ["activatedefaultrule", yesNo(policy.defaultRule.active)],
  ...(policy.methods === null ? [] : ([["mmsecmethods", policy.methods.map(mainText).join(" ")]] as const)),
];

function filterTags(list: FilterList, filter: WindowsFilter): Tags {
  const mask = (tag: string, side: WindowsAddress, length: number | null): Tags => {
    const bits = length ?? (side.kind === "address" ? side.length : null);
    return bits === null ? [] : [[tag, String(bits)]];
  };
  const port = (tag: string, value: number): Tags => (value === 0 ? [] : [[tag, String(value)]]);
  return [
    ["filterlist", list.name],
    ["srcaddr", addressText(filter.source)],
    ["dstaddr", addressText(filter.destination)],
    ...optional("description", filter.description),
    ["protocol", PROTOCOLS.get(filter.protocol) ?? String(filter.protocol)],
    ["mirrored", yesNo(filter.mirrored)],
    ...mask("srcmask", filter.source, filter.sourceMask),
    ...mask("dstmask", filter.destination, filter.destinationMask),
    ...port("srcport", filter.sourcePort),
    ...port("dstport", filter.destinationPort),
  ];
}

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [0, "ANY"],
  [1, "ICMP"],
  [6, "TCP"],
  [17, "UDP"],
  [255, "RAW"],
]);

function addressText(side: WindowsAddress): string {
  switch (side.kind) {
    case "me":
    case "any":
      return side.kind;
    case "server":
      return side.server;
    case "address":
      return side.address;
    case "range":
      return `${side.first}-${side.last}`;
    case "name":
      return side.name;
  }
}

const actionTags = (action: FilterAction): Tags => [
  ["name", action.name],
  ...optional("description", action.description),
  ...(action.action === "negotiate"
    ? ([
        ["qmpfs", yesNo(action.pfs)],
        ["inpass", yesNo(action.inpass)],
        ["soft", yesNo(action.soft)],
      ] as const)
    : []),
  ["action", action.action],
  ...(action.methods === null ? [] : ([["qmsecmethods", action.methods.map(quickText).join(" ")]] as const)),
];

const ruleTags = (policy: WindowsPolicy, rule: WindowsRule): Tags => [
  ["name", rule.name],
  ["policy", policy.name],
  ["filterlist", rule.filterList.name],
  ["filteraction", rule.filterAction.name],
  ...(rule.tunnel === null ? [] : ([["tunnel", addressText(rule.tunnel)]] as const)),
  ["conntype", rule.connection],
  ["activate", yesNo(rule.active)],
  ...optional("description", rule.description),
  ...rule.auth.map(authTag),
];

function authTag(auth: WindowsAuth): readonly [string, string] {
  switch (auth.kind) {
    case "kerberos":
      return ["kerberos", "yes"];
    case "psk":
      return ["psk", auth.key];
    case "ca":
      return ["rootca", `${auth.name} certmap:${yesNo(auth.mapping)} excludecaname:${yesNo(auth.excludeName)}`];
  }
}

function defaultRule(policy: WindowsPolicy, rule: DefaultRule): readonly string[] {
  if (!rule.active || rule.assumed) return [];
  const tags: Tags = [
    ["policy", policy.name],
    ["qmpfs", yesNo(rule.pfs)],
    ["activate", "yes"],
    ...(rule.methods === null ? [] : ([["qmsecmethods", rule.methods.map(quickText).join(" ")]] as const)),
    ...rule.auth.map(authTag),
  ];
  return [command("set defaultrule", tags)];
}

const CIPHERS: ReadonlyMap<string, string> = new Map([
  ["des", "DES"],
  ["3des", "3DES"],
  ["null", "NONE"],
]);
const GROUPS: ReadonlyMap<string, string> = new Map([
  ["modp768", "1"],
  ["modp1024", "2"],
  ["modp2048", "3"],
]);

/** Whether Windows' static policies know a cipher, hash or group of ours. */
export const windowsKnows = (name: string): boolean => CIPHERS.has(name) || GROUPS.has(name) || name === "md5" || name === "sha1";

const mainText = ({ cipher, hash, group }: MainMethod): string => `${CIPHERS.get(cipher)}-${hash.toUpperCase()}-${GROUPS.get(group)}`;

function quickText({ ah, esp, kilobytes, seconds }: QuickMethod): string {
  const parts = [
    ah === null ? null : `AH[${ah.toUpperCase()}]`,
    esp === null ? null : `ESP[${CIPHERS.get(esp.cipher)},${(esp.integrity ?? "none").toUpperCase()}]`,
  ];
  const life = [kilobytes === null ? null : `${kilobytes}k`, seconds === null ? null : `${seconds}s`].filter((part) => part !== null);
  return `${parts.filter((part) => part !== null).join("+")}${life.length > 0 ? `:${life.join("/")}` : ""}`;
}
