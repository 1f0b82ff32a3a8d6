/**
 * An x509 entry of a rule's authentication: its files read, judged by the loader, and every fault put to the key that it is about.
 */
import type { AuthContext, EntrySource } from "./auth-entries.ts";
import { formatIdentity, sameIdentity } from "./identity.ts";
import { DEFAULTS } from "./schema.ts";
import type { KeyPath } from "./toml-locator.ts";
import type { OwnCertificate, X509Entry } from "./types.ts";
import type { CertificateAccess, FileOctets, X509Files } from "./x509-files.ts";

/** The entry, or undefined after saying what is wrong. */
export function buildX509(source: EntrySource, context: AuthContext): X509Entry | undefined {
  const { raw, at, localId, remoteId } = source;
  const { report, certificates } = context;
  for (const [key, advice] of REQUIRED) {
    if (raw[key] === undefined && !report.failed(at)) report.error(at, `${key} is missing; ${advice}`);
  }
  if (X509_KEYS.some((key) => report.failed([...at, key])) || !raw.certificate || !raw.ca) return undefined;
  if (!certificates) {
    report.error(at, "certificates cannot be read here");
    return undefined;
  }
  const files = readFiles(source, certificates, context);
  if (!files) return undefined;
  const { own, trust, faults } = certificates.load(files);
  files.password?.fill(0);
  for (const { key, index, message, severity } of faults)
    report[severity](index === undefined ? [...at, key] : [...at, key, index], message);
  if (faults.some(({ severity }) => severity === "error") || !own || !trust) {
    own?.privateKey.destroy();
    return undefined;
  }
  warnAboutIdentity(source, own, context);
  return { method: "x509", own, trust, sendCertificate: raw["send-certificate"] ?? DEFAULTS.sendCertificate, localId, remoteId };
}

const REQUIRED = [
  ["certificate", 'add certificate = "/etc/mainmode/host.pem"'],
  ["ca", 'add ca = ["/etc/mainmode/ca.pem"]'],
] as const;
const X509_KEYS = ["certificate", "key", "ca", "crl", "crl-files", "send-certificate", "password-file"] as const;

/** Peers want the identity in the certificate (RFC 4945 §3.1); some can be told otherwise. */
function warnAboutIdentity({ raw, at, localId }: EntrySource, own: OwnCertificate, { report }: AuthContext): void {
  if (!localId || own.identities.some((one) => sameIdentity(one, localId))) return;
  const has = own.identities.map(formatIdentity).join(", ");
  report.warning(
    raw["local-id"] ? [...at, "local-id"] : at,
    `local-id is ${formatIdentity(localId)}, and the certificate proves ${has}; most peers will refuse that`,
  );
}

function readFiles(
  { raw, at, allowed }: EntrySource,
  { readFile }: CertificateAccess,
  { report, readSecret }: AuthContext,
): X509Files | undefined {
  let unchecked = false;
  const read = (reference: string, path: KeyPath): FileOctets | undefined => {
    const file = readFile(reference);
    if (!file.ok) report.error(path, file.error);
    else if (!file.value) {
      report.warning(path, "not checked: credentials exist only inside the service");
      unchecked = true;
    }
    return file.ok ? file.value : undefined;
  };
  const readAll = (key: "ca" | "crl-files"): readonly FileOctets[] =>
    (raw[key] ?? []).flatMap((reference, i) => (reference === undefined ? [] : (read(reference, [...at, key, i]) ?? [])));
  const certificate = read(raw.certificate ?? "", [...at, "certificate"]);
  const key = raw.key === undefined ? undefined : read(raw.key, [...at, "key"]);
  const [ca, crlFiles] = [readAll("ca"), readAll("crl-files")];
  const passwordFile = raw["password-file"];
  const password = passwordFile === undefined ? undefined : readSecret(passwordFile);
  if (password && !password.ok) report.error([...at, "password-file"], password.error);
  if (password?.ok && !password.value) {
    report.warning([...at, "password-file"], "not checked: credentials exist only inside the service");
    unchecked = true;
  }
  if (unchecked || !certificate || report.failed(at)) return undefined;
  const has = (name: string): boolean => allowed === true || allowed.includes(name);
  return {
    certificate,
    key,
    password: password?.ok && password.value ? withoutLineEnd(password.value) : undefined,
    ca,
    crlFiles,
    crl: raw.crl ?? DEFAULTS.crl,
    weak: { shortRsa: has("rsa1024"), sha1: has("sha1-certificates"), oldRoots: has("v1-ca") },
  };
}

const [LINE_FEED, CARRIAGE_RETURN] = [10, 13];

/** One trailing line end is removed, as from keys. */
function withoutLineEnd(octets: Uint8Array): Uint8Array {
  let end = octets.length;
  if (octets[end - 1] === LINE_FEED) end -= octets[end - 2] === CARRIAGE_RETURN ? 2 : 1;
  return octets.subarray(0, end);
}
