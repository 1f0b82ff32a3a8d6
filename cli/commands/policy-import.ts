/** `mainmode policy import`: a script of Windows becomes a configuration, its keys files of their own. */
import { closeSync, existsSync, fchmodSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { canonicalAddress } from "../../isakmp/address.ts";
import { checkConfiguration, formatDiagnostic } from "../../policy/config.ts";
import { type Finding, formatFinding } from "../../policy/windows/diagnostics.ts";
import type { SecretFile } from "../../policy/windows/draft.ts";
import { importScript } from "../../policy/windows/import.ts";
import { EXIT, Failure } from "../exit.ts";
import { safe } from "../format.ts";

export interface ImportRequest {
  readonly file: string;
  /** The configuration to write; undefined: stdout. */
  readonly output: string | undefined;
  readonly secrets: string | undefined;
  readonly policy: string | undefined;
  readonly encoding: string | undefined;
  readonly local: readonly string[];
  readonly allowWeak: boolean;
  readonly upgradeCrypto: boolean;
  readonly lenient: boolean;
  readonly keytab: string | undefined;
  readonly principal: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly ca: readonly string[];
}

/**
 * Imports a script. Findings go to stderr, the configuration to `output` or stdout, keys to files with mode 0600 beside it.
 * The exit code is 1 where something was dropped that protected.
 */
export function importPolicy(request: ImportRequest): number {
  if (request.principal?.includes("@") === false)
    throw new Failure(EXIT.usage, `${JSON.stringify(request.principal)} has no realm`, "--principal host/a.example.com@EXAMPLE.COM");
  const bytes = readScriptFile(request.file);
  const beside = folderOf(request.output ?? "");
  // The configuration may be read from anywhere: a folder of its own is named in full.
  const folder = request.secrets === undefined ? beside : inFull(request.secrets);
  const imported = importScript(bytes, {
    ...request,
    local: request.local.map(addressOf),
    fileName: request.file.replace(/^.*\//, ""),
    secretsFolder: folder === beside || folder === inFull(beside) ? "" : folder,
  });
  if (!imported.ok) {
    printFindings(request.file, imported.error);
    return EXIT.failed;
  }
  const { toml, secrets, findings, report } = imported.value;
  for (const path of [...secrets.map((secret) => secretPath(folder, secret)), ...(request.output === undefined ? [] : [request.output])])
    if (existsSync(path))
      throw new Failure(EXIT.failed, `${path} exists; nothing was written`, "move it away, or use another --output or --secrets");
  writeAll(folder, secrets, request.output, toml);
  if (request.output === undefined) process.stdout.write(toml);
  else for (const line of report) process.stdout.write(`${safe(line)}\n`);
  printFindings(request.file, findings);
  const checked = request.output === undefined ? true : checks(request.output);
  return checked && !findings.some(({ weakens }) => weakens) ? EXIT.done : EXIT.failed;
}

function readScriptFile(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Failure(EXIT.failed, `${file} can't be read: ${(error as Error).message}`, "name a script of netsh ipsec static");
  }
}

function addressOf(text: string): string {
  const address = canonicalAddress(text);
  if (address === undefined) throw new Failure(EXIT.usage, `${JSON.stringify(text)} is no address`, "--local 192.0.2.1");
  return address;
}

/** A folder from the root on, with its final slash. */
const inFull = (folder: string): string => `${folder.startsWith("/") ? "" : `${process.cwd()}/`}${folder}`.replace(/\/*$/, "/");

/** With its final slash; empty for the current one. */
const folderOf = (path: string): string => path.replace(/[^/]*$/, "");

function printFindings(file: string, findings: readonly Finding[]): void {
  for (const finding of findings) process.stderr.write(`${safe(formatFinding(file, finding))}\n`);
  const count = (severity: Finding["severity"]) => findings.filter((finding) => finding.severity === severity).length;
  process.stderr.write(`${safe(file)}: ${count("error")} errors, ${count("warning")} warnings, ${count("note")} notes\n`);
}

/** The keys' files and the configuration, all or none. They are new and ours alone: what stands there already is somebody's, and stays. */
function writeAll(folder: string, secrets: readonly SecretFile[], output: string | undefined, toml: string): void {
  const written: string[] = [];
  const write = (path: string, octets: Uint8Array, mode: number): void => {
    writeNew(path, octets, mode);
    written.push(path);
  };
  try {
    for (const secret of secrets) write(secretPath(folder, secret), secret.octets, 0o600);
    if (output !== undefined) write(output, new TextEncoder().encode(toml), 0o640);
  } catch (error) {
    for (const path of written) rmSync(path, { force: true });
    throw error;
  } finally {
    for (const { octets } of secrets) octets.fill(0);
  }
}

const secretPath = (folder: string, { name }: SecretFile): string =>
  `${folder === "" || folder.endsWith("/") ? folder : `${folder}/`}${name}`;

function writeNew(path: string, octets: Uint8Array, mode: number): void {
  try {
    const file = openSync(path, "wx", mode);
    fchmodSync(file, mode);
    writeSync(file, octets);
    closeSync(file);
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new Failure(
      EXIT.failed,
      there ? `${path} exists; it was not touched` : `${path} can't be written: ${(error as Error).message}`,
      there ? "move it away, or use another --output" : undefined,
    );
  }
}

/** What `mainmode check` says of the result. */
function checks(file: string): boolean {
  const found = checkConfiguration(file, process.env["CREDENTIALS_DIRECTORY"]);
  for (const diagnostic of found) process.stderr.write(`${safe(formatDiagnostic(diagnostic))}\n`);
  return !found.some(({ severity }) => severity === "error");
}
