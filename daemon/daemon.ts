/**
 * A running daemon: core, sockets, kernel, control socket and log joined together, from start to the last removed SA.
 * It owns no process: signals, exit codes and the configuration file are `main.ts`'s, so that tests and `demo` can run several at once.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { createJobRunner, type JobRunner } from "../auth/providers/run-job.ts";
import type { Crypto, Random } from "../ike/crypto/provider.ts";
import { createEngine } from "../ike/engine.ts";
import type { Path } from "../ike/input.ts";
import { outlivesStop } from "../ike/policy-records.ts";
import { formatEndpoint } from "../isakmp/address.ts";
import { err, ok, type Result } from "../isakmp/result.ts";
import type { Kernel } from "../kernel/port.ts";
import { type Configuration, type ConfigurationReader, destroyPolicy } from "../policy/config.ts";
import type { Policy } from "../policy/types.ts";
import type { AddressWatch, LocalAddresses } from "./addresses.ts";
import { addressesEvent, awaitsSocket, oneAtATime, readAddresses, watchAddresses } from "./addresses.ts";
import { Bypass } from "./bypass.ts";
import { Commands, NOBODY, type Reloaded } from "./commands.ts";
import { type Control, serveControl } from "./control.ts";
import type { DescriptorStore } from "./descriptors.ts";
import { Early } from "./early.ts";
import { controlFailure, type StartFailure, socketFailure, socketHint } from "./failures.ts";
import { Insight } from "./insight.ts";
import { lossRecord, type OpenedJournal, whyNotKept } from "./journal.ts";
import { askedOf, holdsOurs, listKernel, listPolicies } from "./kernel-listing.ts";
import type { Log } from "./log.ts";
import { Loop } from "./loop.ts";
import { Monitoring, STATISTICS_OWNER } from "./monitoring.ts";
import type { Native } from "./native.ts";
import type { Situation } from "./policy-commands.ts";
import { PolicySource } from "./policy-source.ts";
import { servedRoute } from "./route.ts";
import { RouteWatch } from "./routes.ts";
import { sieveRecord } from "./sieve.ts";
import { prometheusText } from "./stats-document.ts";
import { type Endpoint, Udp, type UdpProblem } from "./udp.ts";
import { within } from "./within.ts";

export interface DaemonParts {
  readonly configuration: Configuration;
  readonly crypto: Crypto;
  readonly random: Random;
  readonly kernel: Kernel;
  readonly log: Log;
  readonly native: Native | undefined;
  /** Instead of our own providers of signatures and Kerberos; closed with the daemon. */
  readonly jobs?: JobRunner;
  /** Overrides the configuration's path of the control socket. */
  readonly controlPath?: string;
  /** A socket that listens there already (socket activation). */
  readonly controlDescriptor?: number | undefined;
  /** What makes a restart cost nobody a renegotiation. */
  readonly journal?: OpenedJournal;
  /** Where sockets wait for the next run. */
  readonly store?: DescriptorStore;
  /** Reads the configuration again; without it there is no reload. */
  readonly reader?: ConfigurationReader;
  /** Instead of the system's resolver: the addresses of a name. */
  readonly findName?: (name: string) => Promise<readonly string[]>;
  /** Told the name of each policy that is followed after the first. */
  readonly onPolicy?: (name: string) => void;
  /** Sees every message that leaves, without the marker of port 4500. */
  readonly onSent?: (path: Path, bytes: Uint8Array) => void;
}

export interface Daemon {
  readonly controlPath: string;
  readonly endpoints: readonly Endpoint[];
  /** Inputs handled so far: a sign of life. */
  readonly handled: number;
  /** Resolves when it has stopped, by `stop` or by a command: whether all peers were told and the kernel is clean. */
  readonly stopped: Promise<boolean>;
  /** A full stop: tells the peers, removes our SAs and policies. After `deadlineMs` it gives up on what is left. */
  stop(deadlineMs?: number): Promise<boolean>;
  /** Stops and leaves kernel and peers as they are, for the next start to take over; a full stop where nothing can be handed over. */
  handOver(): Promise<boolean>;
  /** Reads the configuration again. SAs that the change does not touch stay. */
  reload(): Promise<Reloaded>;
}

const STOP_DEADLINE_MS = 10_000;
/** For what comes after the core has ended. */
const LAST_WORDS_MS = 1000;

/** Starts everything; resolves once the policies are in the kernel. Failing, it leaves nothing behind. The policy's secrets become its own. */
export async function startDaemon(parts: DaemonParts): Promise<Result<Daemon, StartFailure>> {
  const daemon = new RunningDaemon(parts);
  const failure = await daemon.start();
  if (!failure) return ok(daemon);
  await daemon.abandon();
  return err(failure);
}

class RunningDaemon implements Daemon {
  readonly controlPath: string;
  readonly stopped: Promise<boolean>;
  readonly #parts: DaemonParts;
  readonly #udp: Udp;
  readonly #loop: Loop;
  readonly #early = new Early({ push: (input) => this.#loop.push(input), onDropped: () => this.#loop.countDropped() });
  readonly #commands: Commands;
  readonly #jobs: JobRunner;
  readonly #monitoring: Monitoring;
  readonly #problems: UdpProblem[] = [];
  #control: Control | undefined;
  #watch: AddressWatch | undefined;
  readonly #routes = new RouteWatch({ onChange: () => this.#loop.push({ type: "routes" }) });
  #addresses: LocalAddresses = { local: [], served: [], onLink: [], broadcasts: [] };
  readonly #bypass: Bypass;
  #stopping = false;
  #finishing = false;
  /** Which policy is followed. */
  readonly #policy: PolicySource;
  #handedOver = false;
  readonly #insight: Insight;
  #tellStopped: (clean: boolean) => void = () => {};

  constructor(parts: DaemonParts) {
    const { configuration, crypto, random, native, reader, journal, findName: find } = parts;
    this.#monitoring = new Monitoring(parts);
    const { feed, log, kernel } = this.#monitoring;
    const { port, natPort } = configuration.daemon;
    [this.#parts, this.#bypass] = [{ ...parts, log, kernel }, new Bypass(kernel)];
    this.#policy = new PolicySource({ configuration, reader, log, journal, find, follow: (policy) => this.#adopt(policy) });
    this.controlPath = parts.controlPath ?? configuration.daemon.control;
    this.stopped = new Promise((resolve) => {
      this.#tellStopped = resolve;
    });
    this.#insight = new Insight({ crypto, natPort, feed, log, situation: () => this.#situation(), view: () => this.#loop.view() });
    const { tap, tracing } = this.#insight;
    this.#jobs = parts.jobs ?? createJobRunner();
    this.#udp = new Udp({
      ...{ port, natPort, native },
      ...(parts.store ? { store: parts.store } : {}),
      onDatagram: (path, bytes) => this.#early.push({ type: "datagram", path, bytes }),
      onProblem: (problem) => this.#onProblem(problem),
      onSieve: (share) => log(sieveRecord(share)),
    });
    const engine = createEngine({ crypto: tap.crypto, note: tap.note, random, port, natPort, journal: parts.journal !== undefined });
    this.#loop = new Loop({
      engine: this.#monitoring.engine(engine),
      kernel,
      // Milliseconds since the machine started: the same for every run of the daemon, so that lifetimes survive a restart.
      clock: () => Number(process.hrtime.bigint() / 1000n) / 1000,
      send: ({ path, bytes }) => {
        parts.onSent?.(path, bytes);
        this.#udp.send(path, bytes);
      },
      keepalive: (path) => this.#udp.keepalive(path),
      route: (remote) => servedRoute(remote, this.#addresses.served, native),
      authenticate: (job) => this.#jobs.run(job),
      listPolicies: () => listPolicies(kernel),
      reply: (id, line, last) => this.#commands.reply(id, line, last),
      log,
      stopped: () => void this.#finish(true),
      tap,
      ...(parts.journal ? { journal: (records) => parts.journal?.journal.write(records) } : {}),
    });
    this.#commands = new Commands({
      push: (input) => this.#loop.push(input),
      view: () => this.#loop.view(),
      live: () => this.#loop.live(),
      feed,
      tracing,
      about: () => this.#insight.about(this.endpoints, this.#loop.counters, this.#loop.dropped),
      stats: (status, counters) => this.#monitoring.stats(status, counters),
      situation: () => this.#situation(),
      counters: () => kernel.counters(),
      reload: () => this.reload(),
      rules: this.#policy,
      cannotKeep: () => whyNotKept(parts.journal),
      onStop: () => this.#policy.configuration.daemon.onStop,
      handingOver: () => {
        this.#handedOver = true;
      },
      log,
    });
    this.#commands.hold();
  }

  #situation(): Situation {
    const { policy, configuration } = this.#policy;
    const { port, natPort } = configuration.daemon;
    const { local, onLink, broadcasts } = this.#addresses;
    const metBy: Situation["metBy"] = (packets, way) => this.#loop.metBy(packets, way);
    return {
      policy,
      inForce: this.#loop.inForce(),
      sources: configuration.sources,
      addresses: local,
      onLink,
      broadcasts,
      ports: [port, natPort],
      metBy,
    };
  }

  /** Another policy is followed from now on. */
  #adopt(policy: Policy): Promise<void> {
    this.#parts.onPolicy?.(policy.name);
    this.#loop.push({ type: "policy", policy });
    this.#routes.follow(policy);
    return this.#loop.settled();
  }

  get endpoints(): readonly Endpoint[] {
    return this.#udp.endpoints;
  }

  get handled(): number {
    return this.#loop.counters.handled;
  }

  async start(): Promise<StartFailure | undefined> {
    const { configuration, kernel, log } = this.#parts;
    const failure = (await this.#openControl()) ?? (await this.#openSockets());
    if (failure) return failure;
    await this.#ensureBypass();
    kernel.listen((event) => this.#early.push({ type: "kernel-event", event }));
    this.#bypass.keep();
    for (const { message, file, line, column } of configuration.warnings)
      log({ event: "policy.warning", level: "warning", text: `${file}:${line}:${column}: ${message}` });
    this.#loop.push({ type: "addresses", addresses: this.#addresses.local, broadcasts: this.#addresses.broadcasts });
    const restore = { image: this.#parts.journal?.image ?? new Map(), kernel: await listKernel(kernel, log) };
    if (this.#parts.journal?.complaint !== undefined) log(lossRecord(this.#parts.journal.complaint));
    await this.#policy.begin(!holdsOurs(restore.kernel), (policy) => {
      this.#loop.push({ type: "policy", policy, restore });
      for (const event of askedOf(restore.kernel)) this.#loop.push({ type: "kernel-event", event });
      this.#early.open();
      this.#routes.follow(policy);
    });
    this.#watch = watchAddresses({ onChange: () => void this.#onAddresses() });
    // What changed between the first look and the monitor's start has rung no bell.
    void this.#onAddresses();
    await this.#loop.settled();
    // Who waits for us finds what names stand for in force, as far as that is to be had.
    await this.#policy.begun();
    await this.#startMonitoring();
    await this.#insight.startWeb(configuration.daemon.web, () => this.#commands.snapshot());
    this.#commands.open();
    const text = `mainmode serves IKE on ${this.#addresses.served.join(", ") || "no address yet"}`;
    log({ event: "svc.started", level: "notice", text, winEventId: 5478 });
    return undefined;
  }

  #startMonitoring(): Promise<void> {
    const [{ journal, configuration }, loop] = [this.#parts, this.#loop];
    return this.#monitoring.start(
      { live: () => loop.live(), drops: () => loop.drops(), counters: () => loop.counters, queued: () => loop.queued },
      {
        listen: configuration.daemon.metrics,
        text: async () => prometheusText((await this.#commands.snapshot()).stats),
        ...(journal ? { save: (records) => journal.journal.write(records), earlier: journal.image.get(STATISTICS_OWNER) } : {}),
      },
    );
  }

  stop(deadlineMs = STOP_DEADLINE_MS): Promise<boolean> {
    return this.#stop(false, "stopping: telling the peers and removing our SAs and policies", deadlineMs);
  }

  handOver(): Promise<boolean> {
    if (whyNotKept(this.#parts.journal) !== undefined) return this.stop();
    return this.#stop(true, "stopping: kernel and peers are left to the next start", STOP_DEADLINE_MS);
  }

  reload(): Promise<Reloaded> {
    void this.#onAddresses();
    return this.#policy.reload();
  }

  #stop(keep: boolean, text: string, deadlineMs: number): Promise<boolean> {
    if (this.#stopping) return this.stopped;
    this.#stopping = true;
    this.#parts.log({ event: "svc.stopping", level: "notice", text });
    const { onStop } = this.#policy.configuration.daemon;
    this.#commands.run({ name: "shutdown", keep, policies: onStop }, NOBODY);
    const timer = setTimeout(() => void this.#finish(false), deadlineMs);
    return this.stopped.finally(() => clearTimeout(timer));
  }

  /** Undoes a start that failed half-way. */
  async abandon(): Promise<void> {
    this.#loop.close();
    this.#commands.finish();
    await this.#closeAll();
  }

  async #openControl(): Promise<StartFailure | undefined> {
    const { native, log } = this.#parts;
    try {
      mkdirSync(dirname(this.controlPath), { recursive: true, mode: 0o755 });
    } catch (error) {
      return controlFailure(`control socket: ${error instanceof Error ? error.message : String(error)}`);
    }
    const control = await serveControl({
      path: this.controlPath,
      given: this.#parts.controlDescriptor,
      native,
      onRequest: (request, answer) => this.#commands.take(request, answer),
      onRefused: (why) => log({ event: "svc.command", level: "warning", text: `a client of the control socket was refused: ${why}` }),
    });
    if (!control.ok) return controlFailure(control.error);
    this.#control = control.value;
    return undefined;
  }

  /** A host without any address yet is no failure: addresses are followed. One whose every socket fails is. */
  async #openSockets(): Promise<StartFailure | undefined> {
    this.#addresses = await this.#look();
    await this.#udp.serve(this.#addresses.served);
    return this.#udp.endpoints.length > 0 ? undefined : socketFailure(this.#problems);
  }

  async #ensureBypass(): Promise<void> {
    const { log, configuration } = this.#parts;
    if (this.#bypass.isLaid || this.#udp.endpoints.every(({ bypass }) => bypass)) return;
    const ports = [configuration.daemon.port, configuration.daemon.natPort].filter((port) => port !== 0);
    const refusal = await this.#bypass.install(ports);
    const text = refusal
      ? `IKE itself can't be kept out of IPsec, rules that cover UDP will stop it: ${refusal}`
      : `sockets can't pass by IPsec themselves; kernel policies for UDP ${ports.join(" and ")} do it instead`;
    const failure = { failurePoint: "me", reason: "kernel-refused", hint: "npm install koffi, or add CAP_NET_ADMIN" } as const;
    log({ event: "svc.socket", level: refusal ? "warning" : "notice", text, ...(refusal ? failure : {}) });
  }

  readonly #look = (): Promise<LocalAddresses> => readAddresses(this.#parts.configuration.daemon.addresses, { known: this.#addresses });

  /** The bell rang. */
  readonly #onAddresses = oneAtATime(async () => {
    const now = await this.#look();
    if (!this.#stopping) await this.#follow(now);
  });

  /** The core hears first, for its policies; sockets follow, those that failed before included: a link may have come up. */
  async #follow(now: LocalAddresses): Promise<void> {
    const [was, { local: addresses, broadcasts }] = [this.#addresses, now];
    this.#addresses = now;
    const changed = String(addresses) !== String(was.local);
    if (changed || String(broadcasts) !== String(was.broadcasts)) this.#loop.push({ type: "addresses", addresses, broadcasts });
    if (changed) {
      this.#parts.log(addressesEvent(addresses));
      this.#policy.lookAgain();
    }
    this.#watch?.followUp(now, this.#look);
    await this.#udp.serve(now.served);
    if (!this.#finishing) await this.#ensureBypass();
  }

  #onProblem(problem: UdpProblem): void {
    if (this.#problems.length < 16) this.#problems.push(problem);
    this.#monitoring.note(problem);
    const { text, code: reason, unsent } = problem;
    const peer = unsent && formatEndpoint(unsent.path.remote.address, unsent.path.remote.port);
    if (unsent) this.#loop.push({ type: "send-failed", ...unsent });
    // Its socket opens in a moment, and the message is sent again.
    if (unsent && awaitsSocket(this.#addresses, unsent.path.local.address)) return;
    const hint = socketHint(problem);
    this.#parts.log({ event: "svc.socket", level: "warning", text, ...(peer ? { peer } : {}), failurePoint: "me", reason, hint });
  }

  async #finish(clean: boolean): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#stopping = true;
    const { log } = this.#parts;
    this.#loop.close();
    this.#bypass.end();
    if (this.#bypass.isLaid && !this.#handedOver)
      await within(
        LAST_WORDS_MS,
        this.#bypass.remove().catch(() => {}),
      );
    this.#commands.finish();
    await this.#closeAll();
    const text = clean ? "mainmode stopped" : "mainmode stopped before the kernel had answered: SAs and policies may be left";
    log({ event: "svc.stopped", level: clean ? "notice" : "warning", text, winEventId: 5479 });
    this.#tellStopped(clean);
  }

  async #closeAll(): Promise<void> {
    const { kernel, journal } = this.#parts;
    if (journal && this.#handedOver) this.#monitoring.save((records) => journal.journal.write(records));
    // Last of all: what was written since the core ended is nothing.
    journal?.journal.close(!this.#handedOver, outlivesStop);
    this.#watch?.close();
    this.#routes.close();
    this.#policy.close();
    this.#udp.close(this.#handedOver);
    await within(
      LAST_WORDS_MS,
      Promise.all([this.#monitoring.close(), this.#insight.close(), this.#control?.close(), kernel.close(), this.#jobs.close()]).catch(
        () => {},
      ),
    );
    destroyPolicy(this.#policy.configuration.policy);
  }
}
