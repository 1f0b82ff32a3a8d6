/** What would be negotiated for a packet, in words: for `why`. */

import { childSuiteName, ikeSuiteName } from "../ike/crypto/suite.ts";
import { formatRange, isHost } from "../isakmp/address.ts";
import { formatIdentity } from "./identity.ts";
import { peerRanges } from "./select.ts";
import type { AuthEntry, Rule } from "./types.ts";

export interface ExplainedNegotiation {
  readonly peer: string;
  readonly mode: Rule["mode"];
  readonly mainMode: readonly string[];
  readonly quickMode: readonly string[];
  readonly pfs: string;
  readonly auth: readonly string[];
  /** What the rule demands besides a proof, in words. */
  readonly demands: readonly string[];
  readonly lifetimeSeconds: number;
}

/** Towards the peer at `remote`, or whom the rule names. */
export function negotiationOf(rule: Rule, remote: string): ExplainedNegotiation {
  const [peer] = rule.tunnel
    ? [rule.tunnel.remote]
    : rule.peer && isHost(rule.peer)
      ? [formatRange(rule.peer).split("/")[0] ?? remote]
      : [remote];
  const { pfs } = rule.quickMode;
  return {
    peer: rule.mode === "tunnel" && !rule.tunnel ? peerRanges(rule).map(formatRange).join(", ") : peer,
    mode: rule.mode,
    mainMode: rule.mainMode.proposals.map(ikeSuiteName),
    quickMode: rule.quickMode.proposals.map(childSuiteName),
    pfs: pfs === null ? "none" : pfs === "main-mode" ? pfs : pfs.name,
    auth: rule.auth.map(authText),
    demands: demandTexts(rule),
    lifetimeSeconds: rule.quickMode.lifetimeSeconds,
  };
}

/** A method and what it asks of the peer; never a key. */
function authText(entry: AuthEntry): string {
  const names = [entry.method === "kerberos" ? entry.peerPrincipal : null, entry.remoteId && formatIdentity(entry.remoteId)];
  const wanted = names.filter((name) => name !== null);
  return wanted.length === 0 ? entry.method : `${entry.method} (peer ${wanted.join(" and ")})`;
}

function demandTexts({ demand: { identities, principals, issuers }, requireEncryption }: Rule): readonly string[] {
  const peers = [...identities.map(formatIdentity), ...principals.map((principal) => `principal:${principal}`)];
  return [
    ...(peers.length > 0 ? [`the peer must have proved ${few(peers)} (remote-ids)`] : []),
    ...(issuers.length > 0 ? [`its certificate must be issued below ${few(issuers.map(formatIdentity))} (remote-ca)`] : []),
    ...(requireEncryption ? ["nothing without encryption (require-encryption)"] : []),
  ];
}

/** Groups have thousands of members. */
const few = (texts: readonly string[]): string =>
  texts.length <= MOST_NAMED ? texts.join(" or ") : `one of ${texts.slice(0, MOST_NAMED).join(", ")} and ${texts.length - MOST_NAMED} more`;
const MOST_NAMED = 6;
