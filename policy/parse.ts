/**
 * The texts of a configuration, judged as a whole, and turned into settings of the daemon and the policy. Nothing here touches the disk: what the texts name
 * is read by whoever calls (`config.ts`). Keys are wiped again where the configuration is refused.
 */
import { parse, TomlError } from "smol-toml";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { AuthContext, KnownKeys, SecretReader } from "./auth-entries.ts";
import { type Diagnostic, diagnosticsOf, type Report, startReport } from "./diagnostic.ts";
import { readDocument } from "./document.ts";
import { type Layer, mergeLayers, SECRET, type Source } from "./layers.ts";
import type { Listen } from "./listen.ts";
import { buildPolicy } from "./rules.ts";
import { DEFAULTS, type Document } from "./schema.ts";
import { isOnLink } from "./selector.ts";
import { blankStrings, type Locator, locate } from "./toml-locator.ts";
import type { AuthEntry, Policy } from "./types.ts";
import type { CertificateAccess, FileReader } from "./x509-files.ts";

export interface Configuration {
  readonly daemon: DaemonSettings;
  readonly policy: Policy;
  readonly warnings: readonly Diagnostic[];
  /** What was written, without secrets, with file and line. */
  readonly sources: readonly Source[];
  /** The texts that it came from, without the keys in them: to be judged again with those that are in force. */
  readonly texts: readonly ConfigurationText[];
  /** Names of rules that were added at run time, and have given way to one of a file. */
  readonly displaced: readonly string[];
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
  return parseLayers([{ text, file, exposed }], { readSecret, certificates, readFile });
}

/** One file of a configuration, as text. */
export interface ConfigurationText {
  readonly file: string;
  readonly text: string;
  /** Others may read it. */
  readonly exposed?: boolean;
  /** Of a rule that was added at run time: the line with which it began in the text that was given. */
  readonly runTimeLine?: number;
  /** Where its keys are, if they are not in it any more, or are not to be read again. */
  readonly known?: KnownKeys;
}

/** What the texts name, and how it is read. */
export type Readers = Pick<AuthContext, "readSecret" | "certificates" | "readFile">;

/** The same for several files, the weakest first: mainmode.toml and what lies in conf.d. `warns`: also about what the rules come to, which takes longest. */
export function parseLayers(
  texts: readonly ConfigurationText[],
  around: Readers,
  warns = true,
): Result<Configuration, readonly Diagnostic[]> {
  const layers: Layer[] = [];
  const kept: ConfigurationText[] = [];
  for (const { file, text, exposed = false, runTimeLine, known } of texts) {
    const parsed = parseToml(text, file);
    if (!parsed.ok) return err([parsed.error]);
    const locator = locate(text);
    const isRunTime = runTimeLine !== undefined;
    layers.push({ file, value: parsed.value, locator: isRunTime ? fromLine(locator, runTimeLine) : locator, exposed, isRunTime, known });
    kept.push({ file, text: blankStrings(text, locator, SECRET), exposed, ...(isRunTime ? { runTimeLine } : {}) });
  }
  const report = startReport();
  const { value, find, layerOf, displaced, sources } = mergeLayers(layers, report);
  const document = readDocument(value, report);
  const daemon = daemonSettings(document);
  if (daemon.port === daemon.natPort)
    report.error(["daemon", "nat-port"], `port and nat-port are both ${daemon.port}; they need two sockets`);
  reportServed(document, report);
  for (const { path } of displaced)
    report.warning([...path, "name"], "takes the place of the rule of this name that was added at run time", "value", path);
  const policy = buildPolicy(document, { ...around, layerOf, report }, warns);
  const names = (document.rule ?? []).map((rule) => rule?.name);
  const files = layers.map(({ file }) => file);
  const diagnostics = diagnosticsOf(report, files, find, names);
  if (diagnostics.every(({ severity }) => severity === "warning"))
    return ok({ daemon, policy, warnings: diagnostics, sources: sources(), texts: kept, displaced: displaced.map(({ name }) => name) });
  destroyPolicy(policy);
  return err(diagnostics);
}

/** Where things stood in a text of which this one began at `first`. */
const fromLine = ({ find }: Locator, first: number): Pick<Locator, "find"> => ({
  find: (path, part) => {
    const { line, column } = find(path, part);
    return { line: line + first - 1, column };
  },
});

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
