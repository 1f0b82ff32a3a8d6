/**
 * Everything that watches the daemon at work, in one place: the feed of records, the counting of inputs and effects, octets of SAs, the
 * kernel's drops, and the endpoint for Prometheus. `daemon.ts` passes its parts through here and asks for pictures.
 */
import type { Engine } from "../ike/engine.ts";
import { counted, createStatistics, type Statistics } from "../ike/statistics.ts";
import type { OctetTotal, ShellFigures } from "../ike/statistics-table.ts";
import type { Kernel } from "../kernel/port.ts";
import type { Listen } from "../policy/listen.ts";
import type { JournalPart, JournalRecord, JournalValue } from "../sa-store/journal-record.ts";
import type { LiveView } from "../sa-store/live-view.ts";
import type { StatusDocument } from "../sa-store/view.ts";
import type { StatsDocument } from "./control-protocol.ts";
import { createFeed, type Feed } from "./feed.ts";
import type { Log } from "./log.ts";
import type { LoopCounters } from "./loop.ts";
import { type MetricsServer, serveMetrics } from "./metrics-server.ts";
import { octetLedger } from "./octets.ts";
import { statsDocument } from "./stats-document.ts";
import type { UdpProblem } from "./udp.ts";
import { version } from "./version.ts";
import { dropWatch, readXfrmStat } from "./xfrm-stat.ts";

/** What the loop and the core know. */
export interface Watched {
  readonly live: () => LiveView;
  readonly drops: () => ReadonlyMap<string, number>;
  readonly counters: () => LoopCounters;
  readonly queued: () => number;
}

/** How often the kernel's drops are looked at, and totals are written down. */
const LOOK_MS = 30_000;
export const STATISTICS_OWNER = "statistics";

export class Monitoring {
  readonly feed: Feed = createFeed();
  readonly log: Log;
  readonly kernel: Kernel;
  readonly #statistics: Statistics = createStatistics();
  readonly #ledger: ReturnType<typeof octetLedger>;
  readonly #sockets = new Map<string, ShellFigures["socketFailures"][number]>();
  readonly #startedAt = Date.now() / 1000;
  #countedSince = this.#startedAt;
  readonly #version = version();
  #watched: Watched | undefined;
  #timer: NodeJS.Timeout | undefined;
  #server: MetricsServer | undefined;
  #saved = "";
  #write: ((records: readonly JournalRecord[]) => void) | undefined;
  /** Of earlier runs that handed over, like the sockets' failures in `#sockets`. */
  #earlier: Earlier = { drops: {}, loop: { handled: 0, dropped: 0, bugs: 0 } };

  constructor(parts: { readonly log: Log; readonly kernel: Kernel }) {
    this.log = this.feed.through(parts.log);
    this.#ledger = octetLedger(parts.kernel);
    this.kernel = this.#ledger.kernel;
    for (const what of ["receive", "send"] as const) for (const family of ["4", "6"] as const) this.#count(what, family, 0);
  }

  /** The engine to use instead of the bare one. */
  engine(bare: Engine): Engine {
    return counted(bare, this.#statistics);
  }

  /** Begins to look; `save` writes a record of totals down for the next run, whose own `earlier` this is. */
  async start(
    watched: Watched,
    options: {
      readonly listen: Listen | null;
      readonly text: () => Promise<string>;
      readonly save?: (records: readonly JournalRecord[]) => void;
      readonly earlier?: ReadonlyMap<string, JournalPart> | undefined;
    },
  ): Promise<void> {
    this.#watched = watched;
    this.#restore(options.earlier?.get("totals")?.value);
    this.#write = options.save;
    const look = dropWatch(this.log);
    look();
    this.#timer = setInterval(() => {
      look();
      if (this.#write) this.save(this.#write);
    }, LOOK_MS);
    this.#timer.unref();
    // SAs of the last run are known from the first look at them on.
    if (options.earlier) void options.text().catch(() => {});
    if (!options.listen) return;
    const serving = await serveMetrics(options.listen, options.text);
    if (serving.ok) this.#server = serving.value;
    else
      this.log({
        ...{ event: "svc.failed", level: "warning", text: serving.error, failurePoint: "me", reason: "no-metrics" },
        hint: "name another port in [metrics] listen",
      });
  }

  /** Totals for the next run, where they changed. */
  save(write: (records: readonly JournalRecord[]) => void): void {
    const [octets, seen] = [this.#ledger.gone(), this.#ledger.totals()].map((totals) => totals.map((each) => ({ ...each })));
    const value: JournalValue = {
      since: this.#countedSince,
      events: this.#statistics.save(),
      octets: octets ?? [],
      seen: seen ?? [],
      drops: Object.fromEntries(this.#drops()),
      loop: { ...this.#loop() },
      sockets: [...this.#sockets.values()].map((each) => ({ ...each })),
    };
    const text = JSON.stringify(value);
    if (text === this.#saved) return;
    this.#saved = text;
    write([{ owner: STATISTICS_OWNER, part: "totals", value, secret: null }]);
  }

  #restore(saved: JournalValue | undefined): void {
    if (typeof saved !== "object" || saved === null || Array.isArray(saved)) return;
    const { since, events, octets, seen, drops, loop, sockets } = saved as Readonly<Record<string, JournalValue>>;
    if (typeof since === "number" && since < this.#startedAt) this.#countedSince = since;
    this.#statistics.restore(events);
    if (Array.isArray(octets))
      this.#ledger.restore(
        octets as unknown as readonly OctetTotal[],
        (Array.isArray(seen) ? seen : []) as unknown as readonly OctetTotal[],
      );
    this.#earlier = { drops: numbersOf(drops), loop: { ...this.#earlier.loop, ...numbersOf(loop) } };
    for (const each of Array.isArray(sockets) ? sockets : []) {
      const { what, family, count } = each as unknown as ShellFigures["socketFailures"][number];
      this.#count(what, family, count);
    }
  }

  /** What the core dropped, by reason, over all runs. */
  #drops(): ReadonlyMap<string, number> {
    const sums = new Map(Object.entries(this.#earlier.drops));
    for (const [reason, count] of (this.#watched ?? IDLE).drops()) sums.set(reason, (sums.get(reason) ?? 0) + count);
    return sums;
  }

  #loop(): LoopCounters {
    const [{ loop: before }, now] = [this.#earlier, (this.#watched ?? IDLE).counters()];
    return { handled: before.handled + now.handled, dropped: before.dropped + now.dropped, bugs: before.bugs + now.bugs };
  }

  /** A problem of the sockets. */
  note({ what, address }: Pick<UdpProblem, "what" | "address">): void {
    if (what !== "open") this.#count(what, address.includes(":") ? "6" : "4", 1);
  }

  #count(what: "receive" | "send", family: "4" | "6", by: number): void {
    const key = `${what} ${family}`;
    this.#sockets.set(key, { what, family, count: (this.#sockets.get(key)?.count ?? 0) + by });
  }

  /** Every statistic. `status` has the counters of `counters` in it. What is told is written down first: not even a crash makes a total go back. */
  stats(status: StatusDocument, counters: Awaited<ReturnType<Kernel["counters"]>>): StatsDocument {
    this.#ledger.learn(status, counters);
    if (this.#write) this.save(this.#write);
    const { live, queued } = this.#watched ?? IDLE;
    const { handled, dropped, bugs } = this.#loop();
    const shell: ShellFigures = {
      ...{ startedAt: this.#startedAt, countedSince: this.#countedSince, version: this.#version, queued: queued(), handled, dropped, bugs },
      socketFailures: [...this.#sockets.values()],
      octets: this.#ledger.totals(),
      xfrm: readXfrmStat(),
    };
    return statsDocument(this.#statistics, { status, live: live(), drops: this.#drops(), shell });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#server?.close();
  }
}

interface Earlier {
  readonly drops: Readonly<Record<string, number>>;
  readonly loop: LoopCounters;
}

/** The members of a record that are counts. */
const numbersOf = (value: JournalValue | undefined): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(typeof value === "object" && value !== null ? value : {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number" && entry[1] >= 0,
    ),
  );

/** Before the loop stands. */
const IDLE: Watched = {
  live: () => ({ negotiations: [], rules: [], wishes: 0, retries: 0, halfOpen: 0, reassembling: 0, kernelRequests: 0 }),
  drops: () => new Map(),
  counters: () => ({ handled: 0, dropped: 0, bugs: 0 }),
  queued: () => 0,
};
