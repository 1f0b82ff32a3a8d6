/**
 * The configuration file: read, judged as a whole, and turned into settings of the daemon and the policy.
 * The only file of `policy/` that touches the disk. Keys are wiped again where the configuration is refused.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { AuthContext, SecretReader } from "./auth-entries.ts";
import { type Diagnostic, diagnosticsOf, type Report, startReport } from "./diagnostic.ts";
import { readDocument } from "./document.ts";
import { type Layer, mergeLayers, type Source } from "./layers.ts";
import type { Listen } from "./listen.ts";
import { buildPolicy } from "./rules.ts";
import { DEFAULTS, type Document } from "./schema.ts";
import { isOnLink } from "./selector.ts";
import { locate } from "./toml-locator.ts";
import type { AuthEntry, Policy } from "./types.ts";
import { type CertificateAccess, type FileReader, NO_SUCH_FILE, type X509Loader } from "./x509-files.ts";

export { type Diagnostic, formatDiagnostic } from "./diagnostic.ts";

export interface Configuration {
  readonly daemon: DaemonSettings;
  readonly policy: Policy;
  readonly warnings: readonly Diagnostic[];
  /** What was written, without secrets, with file and line. */
  readonly sources: readonly Source[];
}

export interface DaemonSettings {
  /** Path of the control socket. */
  readonly control: string;
  /** Canonical addresses to listen on; null: every local address. */
  readonly addresses: readonly string[] | null;
  readonly port: number;
  readonly natPort: number;
  readonly crypto: "openssl" | "noble";
  readonly keepAcrossRestart: boolean;
  /** Where the journal lies; null: $RUNTIME_DIRECTORY, then /run/mainmode. */
  readonly runtimeDirectory: string | null;
  readonly onStop: "remove" | "keep";
  /** Where the statistics are served over HTTP. */
  readonly metrics: Listen | null;
  /** Where the web monitor is served; null: nowhere. */
  readonly web: Listen | null;
}

/**
 * Reads a configuration file and the secret files it names. The policy's secrets belong to the caller: `destroyPolicy`.
 * `runTime`: rules that were added at run time, behind all files. `credentialsDirectory` is where `credential:NAME` is looked up ($CREDENTIALS_DIRECTORY); without `loader` certificates can't be read.
 * Errors: everything that is wrong, in the order of the file.
 */
export function loadConfiguration(
  file: string,
  credentialsDirectory: string | undefined,
  loader?: X509Loader,
  runTime: readonly ConfigurationText[] = [],
): Result<Configuration, readonly Diagnostic[]> {
  return load(file, { credentialsDirectory, inService: true }, loader, runTime);
}

/** The same without the daemon's surroundings: credentials are left out, and warnings about what rules come to. For commands that explain a file. */
export function inspectConfiguration(
  file: string,
  credentialsDirectory: string | undefined,
  loader?: X509Loader,
): Result<Configuration, readonly Diagnostic[]> {
  return load(file, { credentialsDirectory, inService: false }, loader, [], false);
}

/**
 * Everything `mainmode check` says about a file: errors, or the warnings where there are none. Keeps no secrets.
 * Without `credentialsDirectory` credentials are left unchecked, with a warning.
 */
export function checkConfiguration(file: string, credentialsDirectory?: string, loader?: X509Loader): readonly Diagnostic[] {
  const loaded = load(file, { credentialsDirectory, inService: false }, loader);
  if (!loaded.ok) return loaded.error;
  destroyPolicy(loaded.value.policy);
  return loaded.value.warnings;
}

/**
 * The pure part: `text` to a configuration. `readSecret` gives the octets of a secret file; `exposed`: others may read the file.
 * A syntax error hides what comes after it; of all other errors none hides another.
 */
export function parseConfiguration(
  text: string,
  file: string,
  readSecret: SecretReader,
  exposed = false,
  certificates?: CertificateAccess,
  readFile: FileReader = () => err("files can't be read here"),
): Result<Configuration, readonly Diagnostic[]> {
  return parseLayers([{ text, file }], { readSecret, exposed, certificates, readFile });
}

/** One file of a configuration, as text. */
export interface ConfigurationText {
  readonly file: string;
  readonly text: string;
}

/** The same for several files, the weakest first: mainmode.toml and what lies in conf.d. `warns`: also about what the rules come to, which takes longest. */
export function parseLayers(
  texts: readonly ConfigurationText[],
  around: Omit<AuthContext, "report">,
  warns = true,
): Result<Configuration, readonly Diagnostic[]> {
  const layers: Layer[] = [];
  for (const { file, text } of texts) {
    const parsed = parseToml(text, file);
    if (!parsed.ok) return err([parsed.error]);
    layers.push({ file, value: parsed.value, locator: locate(text) });
  }
  const report = startReport();
  const { value, find, sources } = mergeLayers(layers, report);
  const document = readDocument(value, report);
  const daemon = daemonSettings(document);
  if (daemon.port === daemon.natPort)
    report.error(["daemon", "nat-port"], `port and nat-port are both ${daemon.port}; they need two sockets`);
  reportServed(document, report);
  const policy = buildPolicy(document, { ...around, report }, warns);
  const names = (document.rule ?? []).map((rule) => rule?.name);
  const files = layers.map(({ file }) => file);
  const diagnostics = diagnosticsOf(report, files, find, names);
  if (diagnostics.every(({ severity }) => severity === "warning")) return ok({ daemon, policy, warnings: diagnostics, sources: sources() });
  destroyPolicy(policy);
  return err(diagnostics);
}

/** No socket is ever bound to a link-local address, which says nothing without its interface. The daemon does with the others, and ends where there are none. */
function reportServed({ daemon }: Document, report: Report): void {
  const addresses = daemon?.addresses ?? [];
  const isUseless = (address: string | undefined): boolean => address !== undefined && isOnLink(address);
  const say = addresses.every(isUseless) ? report.error : report.warning;
  for (const [i, address] of addresses.entries())
    if (isUseless(address))
      say(
        ["daemon", "addresses", i],
        `${address} is a link-local address, on which IKE can't be spoken: it says nothing without its interface; name another address of this host`,
      );
}

/** Wipes the keys of a policy that is not used any more. */
export function destroyPolicy(policy: Policy): void {
  for (const rule of policy.rules) for (const entry of rule.auth) destroyEntry(entry);
  for (const { keyIn, keyOut } of policy.manual) {
    keyIn.destroy();
    keyOut.destroy();
  }
}

function destroyEntry(entry: AuthEntry): void {
  if (entry.method === "psk") entry.secret.destroy();
  else if (entry.method === "x509") entry.own.privateKey.destroy();
}

interface Place {
  readonly credentialsDirectory: string | undefined;
  readonly inService: boolean;
}

function load(
  file: string,
  place: Place,
  loader: X509Loader | undefined,
  runTime: readonly ConfigurationText[] = [],
  warns = true,
): Result<Configuration, readonly Diagnostic[]> {
  const read = readConfiguration(file);
  if (!read.ok) return err([{ file, line: 1, column: 1, message: read.error, severity: "error" }]);
  const texts = [{ file, text: read.value.text }];
  let exposed = read.value.exposed;
  const beside = filesBeside(file);
  if (!beside.ok) return err([beside.error]);
  for (const extra of beside.value) {
    const more = readConfiguration(extra);
    if (!more.ok) return err([{ file: extra, line: 1, column: 1, message: more.error, severity: "error" }]);
    texts.push({ file: extra, text: more.value.text });
    exposed ||= more.value.exposed;
  }
  const readFile = fileReader(file, place);
  const certificates = loader && { readFile, load: loader };
  return parseLayers([...texts, ...runTime], { readSecret: secretReader(file, place), exposed, certificates, readFile }, warns);
}

/** conf.d/*.toml beside a file that is called mainmode.toml, in the order of their names. Files that begin with a dot are no layers. */
function filesBeside(file: string): Result<readonly string[], Diagnostic> {
  const folder = file.slice(0, file.lastIndexOf("/") + 1);
  if (file.slice(folder.length) !== "mainmode.toml") return ok([]);
  try {
    const names = readdirSync(`${folder}conf.d`).filter((name) => name.endsWith(".toml") && !name.startsWith("."));
    return ok(names.sort().map((name) => `${folder}conf.d/${name}`));
  } catch (error) {
    // A folder that can't be read may hold rules: going on without them could let traffic out.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return ok([]);
    return err({ file: `${folder}conf.d`, line: 1, column: 1, message: reasonOf(error), severity: "error" });
  }
}

function daemonSettings({ daemon, policy, metrics, web }: Document): DaemonSettings {
  return {
    control: daemon?.control ?? DEFAULTS.control,
    addresses: daemon?.addresses?.filter((address) => address !== undefined) ?? null,
    port: daemon?.port ?? DEFAULTS.port,
    natPort: daemon?.["nat-port"] ?? DEFAULTS.natPort,
    crypto: daemon?.crypto ?? DEFAULTS.crypto,
    keepAcrossRestart: daemon?.["keep-across-restart"] ?? DEFAULTS.keepAcrossRestart,
    runtimeDirectory: daemon?.["runtime-directory"] ?? null,
    onStop: policy?.["on-stop"] ?? DEFAULTS.onStop,
    metrics: metrics?.listen ?? null,
    web: web?.listen ?? null,
  };
}

/** Tables nest four deep; anything far beyond is not a configuration. */
const MAX_DEPTH = 32;

function parseToml(text: string, file: string): Result<unknown, Diagnostic> {
  try {
    return ok(parse(text, { maxDepth: MAX_DEPTH, unsafeKeyBehaviour: "throw" }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    // The first line only: the others quote the text, and a key may stand there.
    const what = error.message.split("\n", 1)[0]?.replace("Invalid TOML document: ", "") ?? "";
    return err({ file, line, column, message: `no valid TOML: ${what}`, severity: "error" });
  }
}

const MAX_CONFIGURATION = 1 << 20;
const MAX_SECRET = 4096;
/** A CA's list of what it revoked may be long. */
const MAX_CERTIFICATES = 16 << 20;

function readConfiguration(file: string): Result<{ readonly text: string; readonly exposed: boolean }, string> {
  const read = readBounded(file, MAX_CONFIGURATION);
  if (!read.ok) return read;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(read.value.octets);
    return ok({ text, exposed: (read.value.mode & OTHERS_READ) !== 0 });
  } catch {
    return err("the file is no UTF-8 text");
  } finally {
    read.value.octets.fill(0);
  }
}

const [OTHERS_READ, OTHERS_WRITE, GROUP_READ, GROUP_WRITE] = [0o004, 0o002, 0o040, 0o020];

/** Reads secret files; a path that is not absolute starts at the configuration's own directory. */
function secretReader(file: string, place: Place): SecretReader {
  return (reference) => {
    const [, credential] = /^credential:(.*)$/s.exec(reference) ?? [];
    if (credential !== undefined) return readCredential(credential, place, MAX_SECRET);
    const path = beside(file, reference);
    const read = readBounded(path, MAX_SECRET);
    if (!read.ok) return err(`${path}: ${read.error}`);
    const { octets, mode, group } = read.value;
    const refusal = refuseAccess(mode, group);
    if (refusal === undefined) return ok(octets);
    octets.fill(0);
    return err(`${path}: ${refusal}`);
  };
}

const beside = (file: string, reference: string): string =>
  reference.startsWith("/") ? reference : `${file.slice(0, file.lastIndexOf("/") + 1)}${reference}`;

/** Reads certificates, keys and lists. Only the loader knows whether one holds a key, so that who may read it matters. */
function fileReader(file: string, place: Place): FileReader {
  return (reference) => {
    const [, credential] = /^credential:(.*)$/s.exec(reference) ?? [];
    if (credential !== undefined) {
      const octets = readCredential(credential, place, MAX_CERTIFICATES);
      return octets.ok
        ? ok(octets.value && { path: `${place.credentialsDirectory}/${credential}`, octets: octets.value, exposed: undefined })
        : octets;
    }
    const path = resolve(beside(file, reference));
    const read = readBounded(path, MAX_CERTIFICATES);
    if (!read.ok) return err(`${path}: ${read.error}`);
    const { octets, mode, group } = read.value;
    return ok({ path, octets, exposed: refuseAccess(mode, group) });
  };
}

/** systemd has already seen to who may read a credential. */
function readCredential(
  name: string,
  { credentialsDirectory: directory, inService }: Place,
  limit: number,
): Result<Uint8Array | undefined, string> {
  if (!/^[^/\0]{1,255}$/.test(name) || name === "." || name === "..") return err(`${JSON.stringify(name)} is no name of a credential`);
  if (directory === undefined && !inService) return ok(undefined);
  if (directory === undefined) return err(`the credential ${name} exists only inside the service; add LoadCredential=${name} to the unit`);
  const read = readBounded(`${directory}/${name}`, limit);
  return read.ok ? ok(read.value.octets) : err(`credential ${name}: ${read.error}; is there LoadCredential=${name} in the unit?`);
}

/**
 * Who may read or change a key: its owner, and the groups root and mainmode (interface.md §2). Any other group is refused, even one that
 * may do nothing today: a later `chmod g+r` would open the key. A user other than root can't choose those groups, so a file that is
 * closed to its group will do where that is the user's own.
 */
function refuseAccess(mode: number, group: number): string | undefined {
  if ((mode & (OTHERS_READ | OTHERS_WRITE)) !== 0)
    return "others may read or write this file, so the key is not secret; chmod o= it and choose a new key";
  if (group === 0 || group === groupOf("mainmode")) return undefined;
  const open = (mode & (GROUP_READ | GROUP_WRITE)) !== 0;
  // biome-ignore lint/style/noRestrictedGlobals: the one file of policy/ that knows the system
  const { geteuid, getegid } = process;
  const own = geteuid?.() !== 0 && group === getegid?.();
  if (own && !open) return undefined;
  return `its group (${group}) is neither root nor mainmode${open ? ", and may read or write it" : ""}; chgrp it to one of them${own ? ", or chmod g= it" : ""}`;
}

/** Number of a group in /etc/group, or undefined. */
export function groupOf(name: string): number | undefined {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((text) => text.startsWith(`${name}:`));
    const number = line?.split(":")[2];
    return number === undefined ? undefined : Number(number);
  } catch {
    return undefined;
  }
}

interface ReadFile {
  readonly octets: Uint8Array;
  readonly mode: number;
  readonly group: number;
}

/** Octets for files whose size the system does not tell. */
const LEAST_ROOM = 4096;

/** A regular file of at most `limit` octets, with the access rights of the very file that was read. */
function readBounded(path: string, limit: number): Result<ReadFile, string> {
  let descriptor: number | undefined;
  try {
    // A FIFO must not make the daemon wait for a writer.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = fstatSync(descriptor);
    if (!status.isFile()) return err("it is no regular file");
    const octets = new Uint8Array(Math.min(limit, Math.max(status.size, LEAST_ROOM)) + 1);
    let length = 0;
    for (let got = -1; got !== 0 && length < octets.length; length += got)
      got = readSync(descriptor, octets, length, octets.length - length, null);
    if (length === octets.length) {
      octets.fill(0);
      return err(length > limit ? `it is longer than ${limit} octets` : "it grew while it was read");
    }
    return ok({ octets: octets.subarray(0, length), mode: status.mode, group: status.gid });
  } catch (error) {
    return err(reasonOf(error));
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

const NOT_OURS =
  "this user may not read it; the daemon is mainmode (chown root:mainmode, chmod 640), and other commands are for root or mainmode";
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: NO_SUCH_FILE,
  EACCES: NOT_OURS,
  EPERM: NOT_OURS,
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is no directory",
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  return REASONS[code] ?? `it cannot be read (${code})`;
}
