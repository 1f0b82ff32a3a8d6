/**
 * Whether the methods of a rule can prove what the rule demands: a ticket proves a principal, a certificate names, a shared key whatever its holder says. What
 * none of them can prove nobody meets, and peers would be refused for ever.
 */
import type { Report } from "./diagnostic.ts";
import { fitsIdentity, formatIdentity } from "./identity.ts";
import { fitsPrincipal, isPrincipalPattern, splitPrincipal } from "./principals.ts";
import type { RawRule } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { AuthEntry, Identity, KerberosEntry, Rule } from "./types.ts";

/** Reports demands that no method of the rule can prove: errors where nothing else is demanded, warnings where something is. */
export function reportProvable(raw: RawRule, { auth, demand }: Rule, path: KeyPath, report: Report): void {
  if (auth.length === 0 || report.failed([...path, "auth"])) return;
  if (demand.issuers.length > 0 && !auth.some(({ method }) => method === "x509") && !report.failed([...path, "remote-ca"]))
    report.error(
      [...path, "remote-ca"],
      'no method of this rule has certificates, so no peer can meet it; add method = "x509", or remove remote-ca',
      "key",
    );
  if (!report.failed([...path, "remote-ids"])) reportIds(raw, auth, demand, [...path, "remote-ids"], report);
  for (const [i, entry] of auth.entries()) if (entry.method === "kerberos") reportRemoteId(raw, entry, auth, [...path, "auth", i], report);
}

function reportIds(
  raw: RawRule,
  auth: readonly AuthEntry[],
  { identities, principals }: Rule["demand"],
  at: KeyPath,
  report: Report,
): void {
  const wanted = [
    ...identities.map((identity) => ({ text: formatIdentity(identity), proves: (entry: AuthEntry) => provesIdentity(entry, identity) })),
    ...principals.map((principal) => ({ text: `principal:${principal}`, proves: (entry: AuthEntry) => provesPrincipal(entry, principal) })),
  ];
  const idle = wanted.filter(({ proves }) => !auth.some(proves)).map(({ text }) => text);
  if (idle.length === 0) return;
  if (!auth.some(({ method }) => method === "kerberos") && identities.length === 0)
    report.error(
      at,
      'only Kerberos proves a principal, and no method of this rule is that; add method = "kerberos", or other identities',
      "key",
    );
  else if (idle.length === wanted.length) report.error(at, `no method of this rule can prove ${some(idle)}; ${adviceFor(auth)}`, "key");
  // Groups are there to be used in several rules.
  else if (!raw["remote-ids"]?.some((text) => text?.trimStart().startsWith("group:")))
    report.warning(at, `no method of this rule can prove ${some(idle)}; ${adviceFor(auth)}`, "key");
}

/** An entry's `remote-id`, or the rule's that it has for want of its own. */
function reportRemoteId(raw: RawRule, entry: KerberosEntry, auth: readonly AuthEntry[], at: KeyPath, report: Report): void {
  const { remoteId } = entry;
  // Of its address a peer is taken at its word: its ticket counts all the same.
  if (remoteId === null || remoteId.type === "ip" || provesIdentity(entry, remoteId)) return;
  const own = raw.auth?.[Number(at.at(-1))]?.["remote-id"] !== undefined;
  const place = own ? [...at, "remote-id"] : [...at.slice(0, -2), "remote-id"];
  const text = `no ticket can prove ${formatIdentity(remoteId)}${peersOf(entry)}; ${TICKET}`;
  if (own || auth.length === 1) report.error(place, text, "key");
  else report.warning(place, `${text}. Only the other methods of this rule can meet it`, "key");
}

const TICKET = 'name the principal with peer-principal or remote-ids = ["principal:…"]; "fqdn:NAME" stands for host/NAME@REALM';

const adviceFor = (auth: readonly AuthEntry[]): string => {
  const kerberos = auth.find((entry) => entry.method === "kerberos");
  return kerberos ? `${TICKET}${peersOf(kerberos)}` : "remove it, or add the method that does";
};

const peersOf = ({ peerPrincipal }: KerberosEntry): string =>
  peerPrincipal === null
    ? " (without peer-principal only host/ of the peer's own name is taken)"
    : ` (peer-principal takes ${peerPrincipal})`;

const some = (texts: readonly string[]): string =>
  texts.length <= 3 ? texts.join(", ") : `${texts.slice(0, 3).join(", ")} and ${texts.length - 3} more`;

function provesIdentity(entry: AuthEntry, identity: Identity): boolean {
  switch (entry.method) {
    case "psk":
      return entry.remoteId === null || fitsIdentity(identity, entry.remoteId) || fitsIdentity(entry.remoteId, identity);
    case "x509":
      return identity.type !== "key";
    case "kerberos":
      return identity.type === "fqdn" && provesPrincipal(entry, `host/${identity.name}`);
  }
}

/** As `acceptsPrincipal` would take one that the demand means. */
function provesPrincipal(entry: AuthEntry, principal: string): boolean {
  if (entry.method !== "kerberos") return false;
  const [ours, wanted] = [splitPrincipal(entry.principal).realm, splitPrincipal(principal)];
  const peer = entry.peerPrincipal === null ? { name: "host/*", realm: null } : splitPrincipal(entry.peerPrincipal);
  const realm = peer.realm ?? ours;
  if (wanted.realm !== null && realm !== null && wanted.realm !== realm) return false;
  return (
    fitsPrincipal(peer.name, wanted.name) ||
    (isPrincipalPattern(wanted.name) && fitsPrincipal(wanted.name, peer.name)) ||
    wanted.name === peer.name
  );
}
