/**
 * The daemon as a process: configuration, rights, signals, exit codes (interface.md §1).
 * The composition root: the only file that chooses the real kernel, the crypto provider and the random numbers.
 */

import { x509Loader } from "../auth/providers/load.ts";
import { nobleCrypto } from "../ike/crypto/noble.ts";
import { opensslCrypto, warmUp } from "../ike/crypto/openssl.ts";
import type { Crypto } from "../ike/crypto/provider.ts";
import type { Level } from "../ike/effect.ts";
import { iproute2Kernel } from "../kernel/iproute2.ts";
import type { Kernel } from "../kernel/port.ts";
import { type Configuration, configurationReader, formatDiagnostic, loadConfiguration } from "../policy/config.ts";
import { missingHere } from "./capabilities.ts";
import { type Daemon, type DaemonParts, startDaemon } from "./daemon.ts";
import { controlDescriptor, descriptorStore } from "./descriptors.ts";
import { createLog, type Log, type LogFormat } from "./log.ts";
import { loadNative, type Native } from "./native.ts";
import { dropPrivileges } from "./privileges.ts";
import { systemRandom } from "./random.ts";
import { keepJournal } from "./runtime.ts";
import { journalSender, serviceManager } from "./systemd.ts";

export interface RunOptions {
  readonly configFile: string;
  readonly logFormat: LogFormat;
  readonly logLevel?: Level;
  /** Overrides the configuration's path of the control socket. */
  readonly controlPath?: string;
}

/** What `demo` puts in place of the daemon's own parts in order to show them at work; no command line or file can ask for it. */
export interface Replacements {
  /** Then nothing of this machine is changed, and no right to change it is needed. */
  readonly kernel?: Kernel;
  readonly crypto?: (chosen: Crypto) => Crypto;
  readonly onSent?: DaemonParts["onSent"];
}

const EXIT = { done: 0, failed: 1, notPermitted: 77, configuration: 78 } as const;

/** Runs until it is told to stop; resolves with the exit code. What it has to say before the log stands goes to stderr. */
export async function runDaemon(options: RunOptions, replacements: Replacements = {}): Promise<number> {
  const loaded = loadConfiguration(options.configFile, process.env["CREDENTIALS_DIRECTORY"], x509Loader());
  if (!loaded.ok) {
    for (const diagnostic of loaded.error) say(formatDiagnostic(diagnostic));
    return EXIT.configuration;
  }
  const { port, natPort } = loaded.value.daemon;
  const missing = missingHere({ kernel: replacements.kernel === undefined, ports: [port, natPort] });
  if (missing.length > 0) {
    say(
      `mainmode: not permitted: ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing; run it as root or by its systemd unit`,
    );
    return EXIT.notPermitted;
  }
  const native = await loadNative();
  const log = openLog(options, native.ok ? native.value : undefined);
  if (native.ok) native.value.hideMemory();
  else log({ event: "svc.socket", level: "warning", text: `${native.error}; ${WITHOUT_NATIVE}`, hint: "npm install koffi" });
  return serve(loaded.value, options, replacements, log, native.ok ? native.value : undefined);
}

/** What a user would otherwise look for on the wire: SAs come to be through a NAT, and the kernel is given none of the packets that come in. */
const WITHOUT_NATIVE =
  "ESP in UDP does not reach the kernel, so that nothing that a peer sends through a NAT arrives; privileges are kept, and buffers are small";

async function serve(
  configuration: Configuration,
  options: RunOptions,
  replacements: Replacements,
  log: Log,
  native: Native | undefined,
): Promise<number> {
  // Groups that policy allows: the first use of some costs tens of milliseconds, which no negotiation should pay.
  warmUp(configuration.policy.rules.flatMap(({ mainMode }) => mainMode.proposals.map(({ group }) => group)));
  let daemon: Daemon | undefined;
  const manager = serviceManager(process.env, native, () => daemon !== undefined);
  const signals = catchSignals(log);
  const crypto = configuration.daemon.crypto === "noble" ? nobleCrypto : opensslCrypto;
  const { onSent } = replacements;
  // A kernel that ends with the process leaves nothing to take over.
  const journal = replacements.kernel ? undefined : keepJournal(configuration.daemon, process.env, log);
  const reader = configurationReader(options.configFile, process.env["CREDENTIALS_DIRECTORY"], () => x509Loader());
  const started = await startDaemon({
    configuration,
    reader,
    ...(journal ? { journal, store: descriptorStore(process.env, native) } : {}),
    crypto: replacements.crypto?.(crypto) ?? crypto,
    random: systemRandom,
    kernel: replacements.kernel ?? iproute2Kernel({ onDiagnostic: (text) => log({ event: "svc.kernel", level: "warning", text }) }),
    log,
    native,
    controlDescriptor: controlDescriptor(process.env),
    onPolicy: (name) => daemon && manager.status(statusText(name, daemon.endpoints.length)),
    ...(options.controlPath === undefined ? {} : { controlPath: options.controlPath }),
    ...(onSent === undefined ? {} : { onSent }),
  });
  if (started.ok) {
    daemon = started.value;
    if (native && !replacements.kernel) giveUpPrivileges(native, log);
    manager.ready(statusText(configuration.policy.name, daemon.endpoints.length));
    signals.onReload(() => {
      manager.reloading();
      // The line of status is told by whoever follows the policy: a file with errors changes none.
      void started.value.reload().then(() => manager.ready());
    });
    void signals.first.then(() => {
      manager.stopping();
      return started.value.handOver();
    });
  } else {
    const { text, reason, hint } = started.error;
    log({ event: "svc.failed", level: "error", text, winEventId: 5484, failurePoint: "me", reason, hint });
  }
  const exit = started.ok ? await exitOf(started.value, signals.second) : started.error.exit;
  signals.release();
  manager.close();
  return exit;
}

/** For `systemctl status`. */
const statusText = (policy: string, sockets: number): string => `policy "${policy}", ${sockets} sockets`;

/** Sockets are open, files are read: from here on two capabilities do. */
function giveUpPrivileges(native: Native, log: Log): void {
  const { failures } = dropPrivileges(native);
  if (failures.length === 0) return;
  const text = `privileges that are not needed could not all be given up: ${failures.slice(0, 3).join("; ")}`;
  const hint = "let the service manager take them: CapabilityBoundingSet= and NoNewPrivileges= in the unit";
  log({ event: "svc.kernel", level: "warning", text, failurePoint: "me", reason: "privileges", hint });
}

/** A second signal gives up on what is left. */
async function exitOf(daemon: Daemon, second: Promise<void>): Promise<number> {
  const clean = await Promise.race([daemon.stopped, second.then(() => false)]);
  return clean ? EXIT.done : EXIT.failed;
}

interface Signals {
  readonly first: Promise<void>;
  readonly second: Promise<void>;
  /** What SIGHUP does. */
  onReload(act: () => void): void;
  release(): void;
}

/** From here on SIGTERM and SIGINT are requests. Bugs outside the core's own fence are logged and survived. */
function catchSignals(log: Log): Signals {
  const tell: (() => void)[] = [];
  const [first, second] = [0, 1].map((i) => new Promise<void>((resolve) => (tell[i] = resolve))) as [Promise<void>, Promise<void>];
  const onStop = (): void => tell.shift()?.();
  const onBug = (error: unknown): void => {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log({ event: "bug", level: "error", text: `bug outside the core: ${stack}`, reason: "bug", hint: "please report this line" });
  };
  let reload = (): void => {};
  const handlers = { SIGTERM: onStop, SIGINT: onStop, SIGHUP: () => reload(), uncaughtException: onBug, unhandledRejection: onBug };
  for (const [name, handler] of Object.entries(handlers)) process.on(name, handler);
  const release = (): void => {
    for (const [name, handler] of Object.entries(handlers)) process.removeListener(name, handler);
  };
  const onReload = (act: () => void): void => {
    reload = act;
  };
  return { first, second, onReload, release };
}

function openLog(options: RunOptions, native: Native | undefined): Log {
  // A reader of stderr that went away must not end the daemon.
  process.stderr.on("error", () => {});
  const journal = options.logFormat === "text" ? journalSender(process.env, native) : undefined;
  return createLog({
    format: options.logFormat,
    prefixed: process.env["JOURNAL_STREAM"] !== undefined,
    write: say,
    time: () => Date.now(),
    ...(options.logLevel ? { level: options.logLevel } : {}),
    ...(journal ? { journal } : {}),
  });
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};
