/**
 * A kerberos entry of a rule's authentication: whose key the keytab must hold, whom the peer must prove to be, and switches for what no source
 * is certain of (draft-ietf-ipsec-isakmp-gss-auth-07 against what Windows and racoon do).
 */
import type { AuthContext, EntrySource } from "./auth-entries.ts";
import { keytabPrincipals } from "./keytab.ts";
import { isPrincipalPattern, splitPrincipal } from "./principals.ts";
import { DEFAULTS } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { KerberosEntry } from "./types.ts";
import { NO_SUCH_FILE } from "./x509-files.ts";

/** The entry, or undefined after saying what is wrong. */
export function buildKerberos(source: EntrySource, context: AuthContext): KerberosEntry | undefined {
  const { raw, at, localId, remoteId } = source;
  const { report } = context;
  if (!report.findings.some(({ message }) => message === IN_CLEAR)) report.warning([...at, "method"], IN_CLEAR);
  if (KERBEROS_KEYS.some((key) => report.failed([...at, key]))) return undefined;
  const peers = raw["peer-principal"];
  if (peers !== undefined && isPrincipalPattern(splitPrincipal(peers).name)) report.warning([...at, "peer-principal"], anyOf(peers));
  const keytab = readKeytab(source, context);
  if (!keytab) return undefined;
  const principal = choosePrincipal(raw.principal, keytab, raw.principal === undefined ? at : [...at, "principal"], context);
  if (principal === undefined) return undefined;
  const quirks = {
    tokenOctet: raw["token-octet"] ?? DEFAULTS.tokenOctet,
    hashTokenOctet: raw["hash-token-octet"] ?? DEFAULTS.hashTokenOctet,
    hashedName: raw["hashed-name"] ?? DEFAULTS.hashedName,
    nameEncoding: raw["name-encoding"] ?? DEFAULTS.nameEncoding,
  };
  return { method: "kerberos", principal, keytab: keytab.path, peerPrincipal: peers ?? null, quirks, localId, remoteId };
}

const IN_CLEAR =
  "with kerberos the names of both hosts go over the network in clear, before anybody has proved anything; psk and x509 encrypt identities";

const anyOf = (pattern: string): string =>
  `whoever proves ${pattern} is taken for any address of this rule, so that each of them can pass itself off as another one, as on Windows; name the peer where that matters`;

const KERBEROS_KEYS = ["keytab", "principal", "peer-principal", "token-octet", "hash-token-octet", "hashed-name", "name-encoding"] as const;

interface Keytab {
  readonly path: string;
  readonly principals: readonly string[];
}

function readKeytab({ raw, at }: EntrySource, { report, readFile }: AuthContext): Keytab | undefined {
  const path: KeyPath = raw.keytab === undefined ? at : [...at, "keytab"];
  const refuse = (message: string): undefined => void report.error(path, message);
  const read = readFile(raw.keytab ?? DEFAULTS.keytab);
  if (!read.ok && read.error.endsWith(NO_SUCH_FILE) && raw.keytab?.startsWith("/") && raw.principal?.includes("@")) {
    // A host that has not joined its domain yet: everything else works meanwhile, and the keytab is looked for with every negotiation.
    report.warning(path, `${read.error}; until there is one, kerberos is left out of what this rule offers`);
    return { path: raw.keytab, principals: [raw.principal] };
  }
  if (!read.ok)
    return refuse(raw.keytab === undefined ? `keytab is missing, and ${read.error}; add keytab = "/etc/mainmode/host.keytab"` : read.error);
  if (!read.value) {
    report.warning(path, "not checked: credentials exist only inside the service");
    return undefined;
  }
  const file = read.value;
  const principals = keytabPrincipals(file.octets);
  file.octets.fill(0);
  if (file.exposed !== undefined) return refuse(`${file.path}: ${file.exposed}`);
  return principals.ok ? { path: file.path, principals: principals.value } : refuse(`${file.path}: ${principals.error}`);
}

/** The principal with its realm: as named, if the keytab has it; else the keytab's only one, or its only `host/`. */
function choosePrincipal(
  named: string | undefined,
  { path, principals }: Keytab,
  at: KeyPath,
  { report }: AuthContext,
): string | undefined {
  const has = `${path} holds ${list(principals)}`;
  if (named === undefined) {
    const hosts = principals.filter((each) => each.startsWith("host/"));
    const [only] = principals.length === 1 ? principals : hosts.length === 1 ? hosts : [];
    if (only === undefined) report.error(at, `principal is missing: ${has}; add principal = "…" with the one that the peers ask for`);
    return only;
  }
  const found = principals.filter((each) => each === named || (!named.includes("@") && each.startsWith(`${named}@`)));
  if (found.length === 1) return found[0];
  report.error(
    at,
    found.length === 0
      ? `there is no key of ${named}: ${has}; mend the name, or add the key to the keytab`
      : `${named} is in several realms: ${has}; add the realm`,
  );
  return undefined;
}

/** A keytab may hold many. */
const list = (principals: readonly string[]): string =>
  [...principals.slice(0, 6), ...(principals.length > 6 ? [`${principals.length - 6} more`] : [])].join(", ");
