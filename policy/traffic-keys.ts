/**
 * The keys of a rule that say what may pass in clear and whom the peer must prove to be, and the exemptions of the policy.
 */

import type { ChildSuite } from "../ike/crypto/suite.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Report } from "./diagnostic.ts";
import { parseIdentity } from "./identity.ts";
import { patternFault } from "./principals.ts";
import { DEFAULTS, type Document, EXEMPTIONS, type RawRule } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { Action, ClearText, Exemption, Identity, PeerDemand, Policy, Rule } from "./types.ts";
import { parseDuration } from "./units.ts";

/** A policy that says nothing. */
export const NO_POLICY: Policy = { name: "", rules: [], exempt: [], manual: [] };

/** What a rule has in these fields where the file says nothing. */
export const PLAIN_TRAFFIC: Pick<
  Rule,
  "description" | "clear" | "demand" | "requireEncryption" | "fragmentation" | "natTraversal" | "shortSha256" | "defaultResponse"
> = {
  description: null,
  clear: { inbound: false, discovery: false, fallback: null },
  demand: { identities: [], principals: [], issuers: [] },
  requireEncryption: false,
  fragmentation: "auto",
  natTraversal: "auto",
  shortSha256: false,
  defaultResponse: false,
};

/** What may pass in clear under a rule; reports keys that its action or mode makes meaningless. */
export function clearTextOf(raw: RawRule, action: Action, path: KeyPath, report: Report): ClearText {
  const protects = action === "require" || action === "request";
  for (const key of ["inbound-clear", "discovery"] as const)
    if (raw[key] && !protects && ![key, "action"].some((at) => report.failed([...path, at])))
      report.error([...path, key], `${key} has no meaning with action = "${action}"; it belongs to require and request`, "key");
  for (const key of ["fallback-after", "fallback-for"] as const)
    if (raw[key] !== undefined && action !== "request" && ![key, "action"].some((at) => report.failed([...path, at])))
      report.error([...path, key], `only a request rule falls back to clear text; write action = "request", or remove ${key}`, "key");
  if (raw.mode === "tunnel" && (action === "request" || raw.discovery)) reportTunnelled(raw, action, path, report);
  const fallback = {
    afterSeconds: raw["fallback-after"] ?? secondsOf(DEFAULTS.fallbackAfter),
    forSeconds: raw["fallback-for"] ?? secondsOf(DEFAULTS.fallbackFor),
  };
  return {
    inbound: protects && (raw["inbound-clear"] ?? action === "request"),
    discovery: protects && (raw.discovery ?? false),
    fallback: action === "request" ? fallback : null,
  };
}

/** Linux refuses an outbound policy of level "use" in tunnel mode: the packet would have nowhere to go in clear. */
function reportTunnelled(raw: RawRule, action: Action, path: KeyPath, report: Report): void {
  const what = action === "request" ? 'action = "request"' : "discovery";
  const at = action === "request" ? "action" : "discovery";
  if (!report.failed([...path, at]))
    report.error([...path, at], `${what} is for transport mode only; write action = "require"${raw.discovery ? ", remove discovery" : ""}`);
}

/** Members of groups by the groups' names, as written. */
export type Groups = ReadonlyMap<string, readonly string[]>;

/** The groups of `[policy.groups]`; what a group's members can't be is reported here, once. */
export function groupsOf(raw: NonNullable<Document["policy"]>["groups"], report: Report): Groups {
  const groups = new Map(Object.entries(raw ?? {}).map(([name, members]) => [name, members.filter((member) => member !== undefined)]));
  for (const [name, members] of Object.entries(raw ?? {}))
    for (const [i, member] of members.entries()) {
      const read = member === undefined ? ok(undefined) : readDemand(member, null);
      if (!read.ok) report.error(["policy", "groups", name, i], read.error);
    }
  return groups;
}

/** Whom a rule wants its peer to be. */
export function demandOf(raw: RawRule, groups: Groups, path: KeyPath, report: Report): PeerDemand {
  const demands: Demand[] = [];
  for (const [i, text] of (raw["remote-ids"] ?? []).entries()) {
    const read = text === undefined ? ok([]) : readDemand(text, groups);
    if (read.ok) demands.push(...read.value);
    else report.error([...path, "remote-ids", i], read.error);
  }
  const issuers = (raw["remote-ca"] ?? []).flatMap((identity, i) => {
    if (identity?.type === "dn") return [identity];
    if (identity) report.error([...path, "remote-ca", i], 'an issuer is named by "dn:…"');
    return [];
  });
  return {
    identities: demands.flatMap((demand) => (demand.kind === "identity" ? [demand.identity] : [])),
    principals: demands.flatMap((demand) => (demand.kind === "principal" ? [demand.principal] : [])),
    issuers,
  };
}

type Demand = { readonly kind: "identity"; readonly identity: Identity } | { readonly kind: "principal"; readonly principal: string };

/** `groups` null: it is a member of one. */
function readDemand(text: string, groups: Groups | null): Result<readonly Demand[], string> {
  const [, kind, value = ""] = /^\s*(group|principal):\s*(.*?)\s*$/s.exec(text) ?? [];
  if (kind === "principal") {
    const fault = patternFault(value);
    if (fault !== undefined) return err(fault);
    return /^[^\s@]+(@[^\s@]+)?$/.test(value)
      ? ok([{ kind: "principal", principal: value }])
      : err(`${JSON.stringify(value)} is no principal, such as "principal:host/a.example.test@EXAMPLE.TEST"`);
  }
  if (kind === undefined) {
    const identity = parseIdentity(text);
    return identity.ok ? ok([{ kind: "identity", identity: identity.value }]) : identity;
  }
  if (!groups) return err("a group can't be a member here; list its members");
  const members = groups.get(value);
  if (!members) {
    const instead = groups.size === 0 ? "list its members under [policy.groups]" : `known are ${[...groups.keys()].join(", ")}`;
    return err(`there is no group ${JSON.stringify(value)}; ${instead}`);
  }
  // What is wrong with a member was said where the group stands.
  return ok(
    members.flatMap((member) => {
      const read = readDemand(member, null);
      return read.ok ? read.value : [];
    }),
  );
}

/**
 * The kinds of traffic that are exempt. Where nothing is said, the strict set (IKE and neighbour discovery only, as Windows Server 2003
 * has it), and with Kerberos in a rule the way to its servers: keying itself would wait for it for ever.
 */
export function exemptionsOf(raw: NonNullable<Document["policy"]>["exempt"], rules: readonly Pick<Rule, "auth">[]): readonly Exemption[] {
  if (raw === undefined) return rules.some(({ auth }) => auth.some(({ method }) => method === "kerberos")) ? ["kerberos", "dns"] : [];
  const words = raw.filter((word) => word !== undefined);
  return EXEMPTIONS.filter((kind) => words.includes(kind) || (words.includes("windows") && WINDOWS_EXEMPTIONS.includes(kind)));
}

/** What Windows 2000 and XP exempt unless NoDefaultExempt says otherwise. */
const WINDOWS_EXEMPTIONS: readonly Exemption[] = ["kerberos", "rsvp", "broadcast", "multicast"];

/** Whether an offer encrypts: one with AH alone, or with ESP and NULL, does not. */
export const encrypts = (suite: ChildSuite): boolean => suite.some(({ cipher }) => cipher !== null && cipher.name !== "null");

/** The strict set holds no kind: beside the other set it is a contradiction, of which the more open one holds. */
export function reportExempt(raw: NonNullable<Document["policy"]>["exempt"], report: Report): void {
  const [strict, windows] = [raw?.indexOf("strict") ?? -1, raw?.indexOf("windows") ?? -1];
  if (strict >= 0 && windows >= 0)
    report.warning(["policy", "exempt", strict], "strict adds nothing, so that what windows names passes in clear; remove one of the two");
}

const secondsOf = (text: string): number => {
  const read = parseDuration(text);
  if (!read.ok) throw new Error(read.error);
  return read.value;
};
