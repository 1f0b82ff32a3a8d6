import assert from "node:assert/strict";
import { test } from "node:test";
import { Monitoring, STATISTICS_OWNER } from "../../daemon/monitoring.ts";
import { memoryKernel } from "../../kernel/memory.ts";
import type { JournalRecord } from "../../sa-store/journal-record.ts";
import { playJournal } from "../../sa-store/journal-record.ts";
import { espSa } from "../kernel/fixtures.ts";
import { fakeEngine, fakeKernel, NOTHING_LIVE } from "./fakes.ts";

const WATCHED = {
  live: () => NOTHING_LIVE,
  drops: () => new Map(),
  counters: () => ({ handled: 0, dropped: 0, bugs: 0 }),
  queued: () => 0,
};
const STATUS = { ikeSas: [], childSas: [], softSas: [], guards: [], refusedPolicies: [], policiesUnknown: null };
const total = (monitoring: Monitoring, name: string): number =>
  (monitoring.stats(STATUS, new Map()).metrics.find((metric) => metric.name === name)?.samples ?? []).reduce(
    (sum, { value }) => sum + value,
    0,
  );

test("a run that hands over leaves its totals in the journal, and the next goes on from there", async () => {
  const kernel = memoryKernel();
  const first = new Monitoring({ log: () => {}, kernel });
  const engine = first.engine(
    fakeEngine(() => [{ type: "event", event: { event: "ike.established", level: "notice", text: "", role: "initiator" } }]),
  );
  engine.handle({ type: "tick" }, 0);
  const sa = espSa();
  await first.kernel.run([{ do: "add-sa", sa }]);
  kernel.setCounters(sa, { octets: 90, packets: 1 });
  await first.kernel.run([{ do: "remove-sa", sa }]);
  await new Promise((resolve) => setImmediate(resolve));
  const records: JournalRecord[] = [];
  first.save((more) => void records.push(...more));
  first.save((more) => void records.push(...more));
  assert.equal(records.length, 1);
  const second = new Monitoring({ log: () => {}, kernel: fakeKernel() });
  const image = playJournal(JSON.parse(JSON.stringify(records)));
  await second.start(WATCHED, { listen: null, text: async () => "", earlier: image.get(STATISTICS_OWNER) });
  second
    .engine(fakeEngine(() => [{ type: "event", event: { event: "ike.established", level: "notice", text: "", role: "initiator" } }]))
    .handle({ type: "tick" }, 0);
  assert.deepEqual([total(second, "mainmode_ike_sa_established_total"), total(second, "mainmode_child_bytes_total")], [2, 90]);
  assert.equal(second.stats(STATUS, new Map()).since, first.stats(STATUS, new Map()).since);
  await second.close();
});

test("every total goes on over a restart, and what was told once is in the journal, whatever ends the run", async () => {
  const records: JournalRecord[] = [];
  const save = (more: readonly JournalRecord[]) => void records.push(...more);
  const busy = {
    ...WATCHED,
    drops: () =>
      new Map([
        ["malformed header", 3],
        ["unknown cookies", 2],
        ["repeat of message 1", 5],
        ["anything else", 7],
      ]),
    counters: () => ({ handled: 100, dropped: 4, bugs: 1 }),
  };
  const run = async (watched: typeof WATCHED): Promise<ReadonlyMap<string, number>> => {
    const monitoring = new Monitoring({ log: () => {}, kernel: fakeKernel() });
    const earlier = playJournal(JSON.parse(JSON.stringify(records))).get(STATISTICS_OWNER);
    await monitoring.start(watched, { listen: null, text: async () => "", save, ...(earlier ? { earlier } : {}) });
    if (watched === busy) for (const address of ["192.0.2.1", "2001:db8::1"]) monitoring.note({ what: "send", address });
    const { metrics } = monitoring.stats(STATUS, new Map());
    await monitoring.close();
    // Those of the kernel count since the machine started.
    const counters = metrics.filter(({ type, name }) => type === "counter" && !/xfrm_stat|kernel_drops/.test(name));
    return new Map(
      counters.flatMap(({ name, samples }) => (samples ?? []).map(({ labels, value }) => [`${name} ${JSON.stringify(labels)}`, value])),
    );
  };
  const first = await run(busy);
  assert.ok(["handled", "cookies", "packets", "repeats", "ignored"].every(() => first.size > 30));
  const idle = await run(WATCHED);
  assert.deepEqual(
    [...first].filter(([name, value]) => (idle.get(name) ?? 0) !== value),
    [],
  );
  const twice = await run(busy);
  assert.equal(twice.get("mainmode_inputs_total {}"), 200);
  assert.equal(twice.get("mainmode_invalid_cookies_total {}"), 4);
  assert.equal(twice.get('mainmode_socket_send_failures_total {"family":"6"}'), 2);
});

test("totals that were handed over count since the first of those runs began", async () => {
  const later = new Monitoring({ log: () => {}, kernel: fakeKernel() });
  const totals = { owner: STATISTICS_OWNER, part: "totals", value: { since: 1000, events: {}, octets: [] }, secret: null };
  await later.start(WATCHED, { listen: null, text: async () => "", earlier: playJournal([totals]).get(STATISTICS_OWNER) });
  assert.equal(later.stats(STATUS, new Map()).since, "1970-01-01T00:16:40.000Z");
  const started =
    later.stats(STATUS, new Map()).metrics.find(({ name }) => name === "mainmode_start_time_seconds")?.samples?.[0]?.value ?? 0;
  assert.ok(started > 1_700_000_000);
  await later.close();
});
