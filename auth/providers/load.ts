/**
 * An x509 entry's files, judged when the configuration is read: so that what cannot work is an error at its place in the file, in the daemon and
 * in `check` alike, and not a refusal of a peer's at night.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "../../isakmp/result.ts";
import type { OwnCertificate, Trust } from "../../policy/types.ts";
import type { FileOctets, X509Fault, X509Files, X509Loaded, X509Loader } from "../../policy/x509-files.ts";
import { type Certificate, certificateTitle, isSelfIssued, KEY_USAGE, readCertificate, sameCertificate } from "./certificate.ts";
import { dateText, type RevocationList, readCrl } from "./crl.ts";
import { identitiesOf } from "./identities.ts";
import { readMaterial } from "./keys.ts";
import { couldIssue, isOldRoot, signsNothing, suitsIke } from "./path.ts";
import { type KeyAlgorithm, PrivateKey } from "./private-key.ts";
import { CURVES, usableKey } from "./signed.ts";

/** A loader that judges by the time of day that `clock` gives, in milliseconds since 1970. Equal settings of several entries share one `Trust`. */
export function x509Loader(clock: () => number = Date.now): X509Loader {
  const shared = new Map<string, Trust>();
  return (files) => {
    const say = startFaults();
    const own = readOwn(files, say, clock());
    const trust = readTrust(files, own?.intermediates ?? [], say, clock());
    return { own: own?.certificate, trust: trust && sharedTrust(shared, trust), faults: say.faults } satisfies X509Loaded;
  };
}

/** Rules are many, CAs few: what is equal is one object, so that a proof is checked once for all of them. */
function sharedTrust(shared: Map<string, Trust>, trust: Trust): Trust {
  const text = (ders: readonly Uint8Array[]): readonly string[] => ders.map((der) => Buffer.from(der).toString("base64"));
  const key = JSON.stringify([text(trust.anchors), text(trust.intermediates), trust.crl, trust.crlFiles, trust.weak]);
  const before = shared.get(key) ?? trust;
  shared.set(key, before);
  return before;
}

interface Faults {
  readonly faults: X509Fault[];
  readonly error: (key: X509Fault["key"], message: string, index?: number) => undefined;
  readonly warning: (key: X509Fault["key"], message: string, index?: number) => undefined;
}

function startFaults(): Faults {
  const faults: X509Fault[] = [];
  const add =
    (severity: X509Fault["severity"]) =>
    (key: X509Fault["key"], message: string, index?: number): undefined => {
      faults.push({ key, index, message, severity });
    };
  return { faults, error: add("error"), warning: add("warning") };
}

interface Own {
  readonly certificate: OwnCertificate;
  readonly intermediates: readonly Certificate[];
}

function readOwn(files: X509Files, say: Faults, now: number): Own | undefined {
  const { certificate: file, key: keyFile, password } = files;
  const material = readMaterial(file.octets, password);
  if (!material.ok) {
    const key = material.error.includes("password-file does not") ? "password-file" : "certificate";
    return say.error(key, `${file.path}: ${material.error}`);
  }
  const certificates = readCertificates(material.value.certificates, file, "certificate", undefined, say);
  if (!certificates) return undefined;
  if (certificates.length === 0) return say.error("certificate", `${file.path} holds no certificate`);
  const keys = readKeys(material.value.keys, file, keyFile, password, say);
  if (!keys) return undefined;
  for (const key of keys) {
    const leaf = certificates.find((one) => belongsTo(key, one));
    if (leaf) return checkOwn(leaf, key, certificates, files, say, now);
  }
  const where = keyFile ? `the key in ${keyFile.path}` : "the key in it";
  const titles = certificates.map(certificateTitle).join("; ");
  return say.error(keyFile ? "key" : "certificate", `${where} belongs to no certificate of ${file.path} (${titles})`);
}

/** The private keys: of the key's file, or else of the certificate's own. Whoever may read them could be us. */
function readKeys(
  inside: readonly KeyObject[],
  file: FileOctets,
  keyFile: FileOctets | undefined,
  password: Uint8Array | undefined,
  say: Faults,
): readonly KeyObject[] | undefined {
  if (inside.length > 0 && file.exposed !== undefined) return say.error("certificate", `${file.path}: ${file.exposed}`);
  if (!keyFile) {
    if (inside.length > 0) return inside;
    return say.error("certificate", `${file.path} holds no private key; add key = "…"`);
  }
  const material = readMaterial(keyFile.octets, password);
  const keyless = material.ok && material.value.keys.length === 0;
  if (keyFile.exposed !== undefined && !keyless) return say.error("key", `${keyFile.path}: ${keyFile.exposed}`);
  if (!material.ok)
    return say.error(material.error.includes("password-file does not") ? "password-file" : "key", `${keyFile.path}: ${material.error}`);
  return material.value.keys.length > 0 ? material.value.keys : say.error("key", `${keyFile.path} holds no private key`);
}

function belongsTo(key: KeyObject, certificate: Certificate): boolean {
  try {
    const own = createPublicKey(key);
    const theirs = createPublicKey({ key: Buffer.from(certificate.publicKey), type: "spki", format: "der" });
    // Keys of different kinds are not compared: OpenSSL would leave an error behind that Node takes for one of the next key that it reads.
    return kindOf(own) === kindOf(theirs) && own.equals(theirs);
  } catch {
    return false;
  }
}

const kindOf = ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string =>
  `${asymmetricKeyType} ${asymmetricKeyDetails?.namedCurve}`;

function checkOwn(
  leaf: Certificate,
  key: KeyObject,
  all: readonly Certificate[],
  files: X509Files,
  say: Faults,
  now: number,
): Own | undefined {
  const at = files.certificate.path;
  const algorithm = algorithmOf(key);
  if (!algorithm)
    return say.error("certificate", `${at}: IKE signs with RSA, or ECDSA on P-256, P-384 or P-521, not with ${key.asymmetricKeyType} keys`);
  const usable = usableKey(leaf.publicKey, files.weak);
  const fault = (usable.ok ? undefined : usable.error) ?? validityFault(leaf, now) ?? purposeFault(leaf);
  if (fault !== undefined) return say.error("certificate", `${at}: ${certificateTitle(leaf)}: ${fault}`);
  const soon = leaf.notAfter - now < SOON_MS;
  if (soon) say.warning("certificate", `${at}: ${certificateTitle(leaf)} expires ${dateText(leaf.notAfter)}`);
  const identities = identitiesOf(leaf);
  if (identities.length === 0) return say.error("certificate", `${at}: the certificate has neither a subject nor alternative names`);
  const chain = chainOf(leaf, all);
  const certificate: OwnCertificate = {
    chain: chain.map(({ der }) => der),
    identities,
    issuers: chain.map(({ issuer }) => issuer.der),
    algorithm,
    notAfter: leaf.notAfter,
    privateKey: new PrivateKey(key),
  };
  return { certificate, intermediates: all.filter((one) => one !== leaf) };
}

const SOON_MS = 14 * 24 * 3600_000;

function algorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  if (key.asymmetricKeyType === "rsa") return "rsa";
  return key.asymmetricKeyType === "ec" ? CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""] : undefined;
}

function validityFault({ notBefore, notAfter }: Certificate, now: number): string | undefined {
  if (now > notAfter) return `it expired ${dateText(notAfter)}; have it renewed`;
  return now < notBefore ? `it is not valid before ${dateText(notBefore)}; is this machine's clock right?` : undefined;
}

function purposeFault(leaf: Certificate): string | undefined {
  const { keyUsage, unknownCritical } = leaf.extensions;
  if (keyUsage !== undefined && (keyUsage & (KEY_USAGE.digitalSignature | KEY_USAGE.nonRepudiation)) === 0)
    return "its key may not sign (key usage has neither digitalSignature nor nonRepudiation), so no peer will take it";
  if (!suitsIke(leaf)) return "IPsec, server or client authentication are not among its extended key usages, so no peer will take it";
  return unknownCritical.length > 0 ? `it has a critical extension that is not known (${unknownCritical[0]})` : undefined;
}

/**
 * From our certificate upwards, as far as the file goes, without what signed itself: a peer has that, or has no reason to believe it. A CA that
 * was renewed may be there twice: which of the two the peer can use is for the peer to find out.
 */
function chainOf(leaf: Certificate, all: readonly Certificate[]): readonly Certificate[] {
  const chain = [leaf];
  const known = (one: Certificate): boolean => chain.some((other) => sameCertificate(one, other));
  for (const last of chain)
    for (const one of all) if (chain.length < LONGEST_CHAIN && couldIssue(one, last) && !isSelfIssued(one) && !known(one)) chain.push(one);
  return chain;
}

const LONGEST_CHAIN = 8;

function readTrust(files: X509Files, intermediates: readonly Certificate[], say: Faults, now: number): Trust | undefined {
  const [found, known, unable]: [Certificate[], Set<string>, Inability[]] = [[], new Set(), []];
  for (const [index, file] of files.ca.entries()) {
    const material = readMaterial(file.octets, undefined);
    const certificates = material.ok ? readCertificates(material.value.certificates, file, "ca", index, say) : undefined;
    if (!material.ok) say.error("ca", `${file.path}: ${material.error}`, index);
    else if (certificates?.length === 0) say.error("ca", `${file.path} holds no certificate`, index);
    for (const one of certificates ?? []) {
      const der = Buffer.from(one.der).toString("latin1");
      if (known.has(der)) continue;
      known.add(der);
      found.push(one);
      judgeAnchor(one, file, files.weak, index, say);
      unable.push(...inability(one, file, files.weak, index));
    }
  }
  reportLate(found, say, now);
  reportUnable(unable, say);
  for (const [index, file] of files.crlFiles.entries()) {
    const lists = readLists(file);
    if (!lists.ok) say.error("crl-files", lists.error, index);
    else warnAboutLists(lists.value, file, files.crl, index, say, now);
  }
  if (say.faults.some(({ severity, key }) => severity === "error" && (key === "ca" || key === "crl-files"))) return undefined;
  return {
    anchors: found.map(({ der }) => der),
    names: found.map(({ subject }) => subject.der),
    intermediates: intermediates.map(({ der }) => der),
    crl: files.crl,
    crlFiles: files.crlFiles.map(({ path }) => path),
    weak: files.weak,
  };
}

function judgeAnchor(one: Certificate, file: FileOctets, weak: Trust["weak"], index: number, say: Faults): void {
  const key = usableKey(one.publicKey, weak);
  if (!key.ok) say.error("ca", `${file.path}: ${certificateTitle(one)}: ${key.error}`, index);
}

interface Inability {
  readonly index: number;
  readonly message: string;
}

/** What to know of a certificate in `ca` that is no CA's, or that only the configuration says to be one. */
function inability(one: Certificate, file: FileOctets, weak: Trust["weak"], index: number): readonly Inability[] {
  const say = (message: string): readonly Inability[] => [{ index, message: `${file.path}: ${certificateTitle(one)}: ${message}` }];
  const why = signsNothing(one, weak);
  const old = isOldRoot(one);
  if (why === undefined && old) return say("it is of version 1, and taken as a CA because allow-weak says so");
  if (why === undefined) return isSelfIssued(one) && namesHost(one) ? say(HOSTS_CA) : [];
  const pinned = "so it is taken as one peer's own certificate, and nothing that it signed counts";
  return old
    ? say(`it is of version 1, which does not say whether it is a CA, ${pinned}; if it is one, add allow-weak = ["v1-ca"]`)
    : say(`${why}, ${pinned}`);
}

/** `openssl req -x509` makes such ones unless it is told otherwise. */
const HOSTS_CA =
  "it names a host and says that it is a CA: if it is that host's own, whoever has its key can vouch for anybody here; have it made anew with basicConstraints = CA:FALSE";

const namesHost = ({ extensions: { names } }: Certificate): boolean => names.dns.length + names.ip.length > 0;

const MOST_TOLD = 4;

function reportUnable(unable: readonly Inability[], say: Faults): void {
  for (const { index, message } of unable.slice(0, MOST_TOLD)) say.warning("ca", message, index);
  const [next] = unable.slice(MOST_TOLD);
  if (next) say.warning("ca", `${unable.length - MOST_TOLD} more certificates in ca are like these`, next.index);
}

/** Bundles have old CAs in them; where there is no other, nobody can be believed. */
function reportLate(found: readonly Certificate[], say: Faults, now: number): void {
  const late = found.filter((one) => validityFault(one, now) !== undefined);
  const tell = late.length === found.length ? say.error : say.warning;
  for (const one of late.slice(0, 4)) tell("ca", `${certificateTitle(one)}: ${validityFault(one, now)}`);
}

function readCertificates(
  ders: readonly Uint8Array[],
  file: FileOctets,
  key: "certificate" | "ca",
  index: number | undefined,
  say: Faults,
): readonly Certificate[] | undefined {
  const found: Certificate[] = [];
  for (const der of ders) {
    const read = readCertificate(der);
    if (!read.ok) return say.error(key, `${file.path}: certificate number ${found.length + 1} cannot be read: ${read.error}`, index);
    found.push(read.value);
  }
  return found;
}

/** The lists in a file, PEM or DER; at least one. */
export function readLists({ path, octets }: Pick<FileOctets, "path" | "octets">): Result<readonly RevocationList[], string> {
  const material = readMaterial(octets, undefined);
  if (!material.ok) return err(`${path}: ${material.error}`);
  const lists: RevocationList[] = [];
  for (const der of material.value.lists) {
    const list = readCrl(der);
    if (!list.ok) return err(`${path}: a revocation list cannot be read: ${list.error}`);
    lists.push(list.value);
  }
  return lists.length > 0 ? ok(lists) : err(`${path} holds no revocation list`);
}

function warnAboutLists(
  lists: readonly RevocationList[],
  { path }: FileOctets,
  crl: Trust["crl"],
  index: number,
  say: Faults,
  now: number,
): void {
  for (const { issuer, nextUpdate, scope } of lists) {
    if (scope.kind === "unusable") say.warning("crl-files", `${path}: the list of ${issuer.text} is of no use: ${scope.why}`, index);
    else if (scope.kind === "part")
      say.warning("crl-files", `${path}: the list of ${issuer.text} shows nobody to be good, it only revokes: ${scope.why}`, index);
    else if (nextUpdate === undefined || nextUpdate <= now) {
      const end = nextUpdate === undefined ? "does not say until when it holds" : `ended ${dateText(nextUpdate)}`;
      const effect = crl === "require" ? "peers of this CA are refused until there is a new one" : "it is asked all the same";
      say.warning("crl-files", `${path}: the list of ${issuer.text} ${end}; ${effect}`, index);
    }
  }
}
