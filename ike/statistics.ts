/**
 * Counting: a reducer over what the core was told and what it wanted done. `statistics-table.ts` says what counts as what.
 * Invariant: a total never goes back, whatever ends, is renewed or reloaded; labels come from closed sets, so that no peer can make the table grow.
 */
import type { JournalValue } from "../sa-store/journal-record.ts";
import type { Effect, SaEvent } from "./effect.ts";
import type { Engine } from "./engine.ts";
import type { Input } from "./input.ts";
import { isOurReqid, type KernelCommand, saText } from "./kernel-contract.ts";
import { type EventMetric, type KernelHappening, type KernelMetric, type Labels, METRICS, type Sample } from "./statistics-table.ts";

export interface Statistics {
  /** Counts one input and its effects. */
  take(input: Input, effects: readonly Effect[]): void;
  /** The samples of a metric that is counted here. */
  samples(name: string): readonly Sample[];
  /** Totals as a journal keeps them. */
  save(): JournalValue;
  /** Adds the totals of an earlier run; whatever is not understood is passed over. */
  restore(saved: JournalValue | undefined): void;
}

/** Negotiations whose authentication failure was counted; beyond it the oldest are forgotten. */
const MOST_COUNTED = 4096;

/** All totals at zero. */
export function createStatistics(): Statistics {
  const totals = new Map<string, Map<string, Sample & { value: number }>>(COUNTED.map(({ name }) => [name, new Map()]));
  const once = new Set<string>();
  const pending = new Map<number, readonly Asked[]>();
  /** SAs that are in the kernel: removing one that is not there counts for nothing. */
  const installed = new Set<string>();
  let addresses: ReadonlySet<string> = new Set();
  const add = (name: string, labels: Labels, by = 1): void => {
    const key = labelKey(labels);
    const samples = totals.get(name);
    const sample = samples?.get(key);
    if (sample) sample.value += by;
    else samples?.set(key, { labels, value: by });
  };
  const onKernel = (happening: KernelHappening): void => {
    for (const { name, source } of BY_KERNEL) {
      const labels = source.of(happening);
      if (labels) add(name, labels);
    }
  };
  const onEvent = (event: SaEvent, byTraffic: boolean): void => {
    for (const { name, source } of BY_EVENT.get(event.event) ?? []) {
      const labels = source.labels(event, byTraffic);
      const key = labels && source.once?.(event);
      if (!labels || (key && !isFirst(once, `${name} ${key}`))) continue;
      add(name, labels);
    }
  };
  for (const { name, source } of COUNTED) for (const labels of source.zero ?? []) add(name, labels, 0);
  return {
    take(input, effects) {
      if (input.type === "addresses") addresses = new Set(input.addresses);
      if (input.type === "policy") for (const sa of input.restore?.kernel.sas ?? []) if (isOurReqid(sa.reqid)) installed.add(saText(sa));
      if (input.type === "kernel-event" && input.event.type === "expire" && input.event.hard && installed.delete(saText(input.event.sa)))
        onKernel({ what: "expired", dir: addresses.has(input.event.sa.destination) ? "in" : "out" });
      if (input.type === "kernel-done") {
        const asked = pending.get(input.id) ?? [];
        pending.delete(input.id);
        for (const happening of outcomes(asked, input.outcome.ok ? null : input.outcome.error, installed)) onKernel(happening);
      }
      for (const effect of effects) {
        if (effect.type === "event") onEvent(effect.event, input.type === "kernel-event");
        if (effect.type !== "kernel") continue;
        const asked = effect.commands.map((command) => askedOf(command, addresses));
        pending.set(effect.id, asked);
        for (const { adds, dir } of asked) if (adds) onKernel({ what: "asked", dir });
      }
    },
    samples: (name) => [...(totals.get(name)?.values() ?? [])],
    save: () =>
      Object.fromEntries([...totals].map(([name, samples]) => [name, [...samples.values()].map(({ labels, value }) => [labels, value])])),
    restore(saved) {
      for (const [name, labels, value] of readSaved(saved)) if (totals.has(name)) add(name, labels, value);
    },
  };
}

/** An engine whose inputs and effects are counted as they pass. */
export const counted = (engine: Engine, statistics: Statistics): Engine => ({
  handle(input, now) {
    const effects = engine.handle(input, now);
    statistics.take(input, effects);
    return effects;
  },
  nextWake: () => engine.nextWake(),
  view: (now) => engine.view(now),
  inForce: () => engine.inForce(),
  metBy: (packets, direction) => engine.metBy(packets, direction),
  live: (now) => engine.live(now),
  counters: () => engine.counters(),
  get size() {
    return engine.size;
  },
});

const COUNTED = METRICS.flatMap((metric) => (metric.source.kind === "picture" ? [] : [{ name: metric.name, source: metric.source }]));

const BY_KERNEL = COUNTED.flatMap(({ name, source }) => (source.kind === "kernel" ? [{ name, source: source as KernelMetric }] : []));

const BY_EVENT: ReadonlyMap<string, readonly { readonly name: string; readonly source: EventMetric }[]> = (() => {
  const table = new Map<string, { readonly name: string; readonly source: EventMetric }[]>();
  for (const { name, source } of COUNTED)
    if (source.kind === "events") for (const event of source.on) table.set(event, [...(table.get(event) ?? []), { name, source }]);
  return table;
})();

/** What is remembered of a command under way: nothing that holds a key. */
interface Asked {
  readonly adds: boolean;
  readonly removes: boolean;
  readonly dir: "in" | "out";
  readonly name: string;
}

function askedOf(command: KernelCommand, addresses: ReadonlySet<string>): Asked {
  const sa = "sa" in command ? command.sa : undefined;
  const dir = addresses.has(sa?.destination ?? "") ? "in" : "out";
  return { adds: command.do === "add-sa", removes: command.do === "remove-sa", dir, name: sa ? saText(sa) : "" };
}

/** A group is carried out up to the command that was refused. */
function* outcomes(
  asked: readonly Asked[],
  refusal: { readonly index: number; readonly exists: boolean } | null,
  installed: Set<string>,
): Generator<KernelHappening> {
  for (const [i, { adds, removes, dir, name }] of asked.entries()) {
    if (refusal && i > refusal.index) return;
    const refused = refusal?.index === i;
    if (adds && !refused) installed.add(name);
    if (adds) yield { what: refused ? (refusal.exists ? "exists" : "refused") : "added", dir };
    if (removes && !refused && installed.delete(name)) yield { what: "removed", dir };
  }
}

const labelKey = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join();

function isFirst(seen: Set<string>, key: string): boolean {
  if (seen.has(key)) return false;
  seen.add(key);
  if (seen.size > MOST_COUNTED) seen.delete(seen.values().next().value ?? "");
  return true;
}

function* readSaved(saved: JournalValue | undefined): Generator<readonly [string, Labels, number]> {
  if (typeof saved !== "object" || saved === null || Array.isArray(saved)) return;
  for (const [name, samples] of Object.entries(saved))
    for (const sample of Array.isArray(samples) ? samples : []) {
      const [labels, value] = Array.isArray(sample) ? sample : [];
      if (typeof labels === "object" && labels !== null && !Array.isArray(labels) && typeof value === "number" && value >= 0)
        yield [name, labels as Labels, value];
    }
}
