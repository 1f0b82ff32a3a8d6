/**
 * The configuration files: which there are, what they hold, and the files that they name. What the texts come to is decided in `parse.ts`.
 * The only file of `policy/` that touches the disk.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { resolve } from "node:path";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { SecretReader } from "./auth-entries.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { type Configuration, type ConfigurationText, destroyPolicy, parseLayers } from "./parse.ts";
import { type FileReader, NO_SUCH_FILE, type X509Loader } from "./x509-files.ts";

export { type Diagnostic, formatDiagnostic } from "./diagnostic.ts";
export {
  type Configuration,
  type ConfigurationText,
  type DaemonSettings,
  destroyPolicy,
  parseConfiguration,
  parseLayers,
} from "./parse.ts";

/** Reads the files of a configuration and judges their texts, as often as it is asked. */
export interface ConfigurationReader {
  /** The files as they are now, the weakest first. */
  readonly files: () => Result<readonly ConfigurationText[], readonly Diagnostic[]>;
  /** What texts come to; the files that they name are read, but for keys that are known. The policy's secrets belong to the caller: `destroyPolicy`. */
  readonly judge: (texts: readonly ConfigurationText[]) => Result<Configuration, readonly Diagnostic[]>;
}

/**
 * A reader of a configuration file and what lies beside it. `credentialsDirectory` is where `credential:NAME` is looked up ($CREDENTIALS_DIRECTORY);
 * without `loader`, which makes one for each judgement, certificates can't be read. Errors: everything that is wrong, in the order of the files.
 */
export function configurationReader(
  file: string,
  credentialsDirectory: string | undefined,
  loader?: () => X509Loader,
): ConfigurationReader {
  const place = { credentialsDirectory, inService: true };
  return { files: () => readTexts(file), judge: (texts) => judge(file, texts, place, loader?.()) };
}

/** Reads a configuration file, as `configurationReader` does, once. */
export function loadConfiguration(
  file: string,
  credentialsDirectory: string | undefined,
  loader?: X509Loader,
): Result<Configuration, readonly Diagnostic[]> {
  return load(file, { credentialsDirectory, inService: true }, loader);
}

/** The same without the daemon's surroundings: credentials are left out, and warnings about what rules come to. For commands that explain a file. */
export function inspectConfiguration(
  file: string,
  credentialsDirectory: string | undefined,
  loader?: X509Loader,
): Result<Configuration, readonly Diagnostic[]> {
  return load(file, { credentialsDirectory, inService: false }, loader, false);
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

interface Place {
  readonly credentialsDirectory: string | undefined;
  readonly inService: boolean;
}

function load(file: string, place: Place, loader: X509Loader | undefined, warns = true): Result<Configuration, readonly Diagnostic[]> {
  const texts = readTexts(file);
  return texts.ok ? judge(file, texts.value, place, loader, warns) : texts;
}

function judge(
  file: string,
  texts: readonly ConfigurationText[],
  place: Place,
  loader: X509Loader | undefined,
  warns = true,
): Result<Configuration, readonly Diagnostic[]> {
  const readFile = fileReader(file, place);
  const certificates = loader && { readFile, load: loader };
  return parseLayers(texts, { readSecret: secretReader(file, place), certificates, readFile }, warns);
}

function readTexts(file: string): Result<readonly ConfigurationText[], readonly Diagnostic[]> {
  const read = readConfiguration(file);
  if (!read.ok) return err([{ file, line: 1, column: 1, message: read.error, severity: "error" }]);
  const texts = [{ file, ...read.value }];
  const beside = filesBeside(file);
  if (!beside.ok) return err([beside.error]);
  for (const extra of beside.value) {
    const more = readConfiguration(extra);
    if (!more.ok) return err([{ file: extra, line: 1, column: 1, message: more.error, severity: "error" }]);
    texts.push({ file: extra, ...more.value });
  }
  return ok(texts);
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
