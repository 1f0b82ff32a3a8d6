import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Effect, SaEvent } from "../../ike/effect.ts";
import type { Input } from "../../ike/input.ts";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import { createStatistics, type Statistics } from "../../ike/statistics.ts";
import { dropClass, METRICS } from "../../ike/statistics-table.ts";
import { WINDOWS_STATISTICS } from "../../ike/windows-statistics.ts";
import { ok } from "../../isakmp/result.ts";

const TICK: Input = { type: "tick" };
const event = (name: SaEvent["event"], more: Partial<SaEvent> = {}): Effect => ({
  type: "event",
  event: { event: name, level: "info", text: "", peer: "192.0.2.2:500", ...more },
});
const sumOf = (statistics: Statistics, name: string, where: Readonly<Record<string, string>> = {}): number =>
  statistics
    .samples(`mainmode_${name}_total`)
    .filter(({ labels }) => Object.entries(where).every(([key, value]) => labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);

const addSa = (destination: string): KernelCommand =>
  ({ do: "add-sa", sa: { source: "x", destination, protocol: "esp", spi: 1 } }) as unknown as KernelCommand;
const OURS = "192.0.2.1";
const THEIRS = "192.0.2.2";

/** A group of commands, and what became of it. */
function group(statistics: Statistics, commands: readonly KernelCommand[], refused?: { index: number; exists: boolean }): void {
  statistics.take(TICK, [{ type: "kernel", id: 7, commands }]);
  const outcome = refused ? { ok: false as const, error: { reason: "no", command: "", ...refused } } : ok([]);
  statistics.take({ type: "kernel-done", id: 7, outcome }, []);
}

test("names are unique and well formed: totals end in _total, but for the kernel's own, and gauges do not", () => {
  assert.equal(new Set(METRICS.map(({ name }) => name)).size, METRICS.length);
  for (const { name, type, help } of METRICS) {
    assert.match(name, /^mainmode_[a-z_]+$/);
    assert.match(help, /^[A-Z0-9/].*\.$/);
    if (name !== "mainmode_xfrm_stat") assert.equal(name.endsWith("_total"), type === "counter", name);
  }
});

/** Both pages of IP Security Monitor, in their order. */
const MAIN_MODE =
  "Active Acquire|Active Receive|Acquire Failures|Receive Failures|Send Failures|Acquire Heap Size|Receive Heap Size|Negotiation Failures|" +
  "Authentication Failures|Invalid Cookies Received|Total Acquire|Total Get SPI|Key Additions|Key Updates|Get SPI Failures|" +
  "Key Addition Failures|Key Update Failures|ISADB List Size|Connection List Size|IKE Main Mode|IKE Quick Mode|Soft Associations|Invalid Packets Received";
const QUICK_MODE =
  "Active Security Associations|Offloaded Security Associations|Pending Key Operations|Key Additions|Key Deletions|Rekeys|Active Tunnels|" +
  "Bad SPI Packets|Packets Not Decrypted|Packets Not Authenticated|Packets With Replay Detection|Confidential Bytes Sent|" +
  "Confidential Bytes Received|Authenticated Bytes Sent|Authenticated Bytes Received|Transport Bytes Sent|Transport Bytes Received|" +
  "Bytes Sent In Tunnels|Bytes Received In Tunnels|Offloaded Bytes Sent|Offloaded Bytes Received";

test("each statistic of IP Security Monitor is made of metrics that exist", () => {
  const page = (name: string) => WINDOWS_STATISTICS.filter((each) => each.page === name);
  assert.deepEqual(
    page("main-mode").map(({ name }) => name),
    MAIN_MODE.split("|"),
  );
  assert.deepEqual(
    page("quick-mode").map(({ name }) => name),
    QUICK_MODE.split("|"),
  );
  for (const { name, of } of [...page("main-mode"), ...page("quick-mode")]) assert.ok(of.length > 0, name);
  for (const { of } of WINDOWS_STATISTICS)
    for (const [metric] of of)
      assert.ok(
        METRICS.some(({ name }) => name === metric),
        metric,
      );
});

test("additions of SAs count by direction, up to the one that the kernel refused", () => {
  const statistics = createStatistics();
  statistics.take({ type: "addresses", addresses: [OURS] }, []);
  group(statistics, [addSa(OURS), addSa(OURS)]);
  group(statistics, [addSa(THEIRS), addSa(THEIRS), addSa(THEIRS)], { index: 1, exists: false });
  group(statistics, [addSa(OURS)], { index: 0, exists: true });
  group(statistics, [addSa(OURS)], { index: 0, exists: false });
  assert.deepEqual(
    [
      "kernel_sa_update",
      "kernel_sa_add",
      "kernel_sa_add_failures",
      "kernel_sa_update_failures",
      "kernel_getspi",
      "kernel_getspi_failures",
    ].map((name) => sumOf(statistics, name)),
    [2, 1, 1, 1, 4, 1],
  );
});

test("removals count where something was removed, and what the kernel ended by itself", () => {
  const statistics = createStatistics();
  const sa = (spi: number) => ({ source: OURS, destination: THEIRS, protocol: "esp", spi }) as const;
  const add = (spi: number) => ({ do: "add-sa", sa: sa(spi) }) as unknown as KernelCommand;
  group(statistics, [add(1), add(2), add(3)]);
  group(statistics, [{ do: "remove-sa", sa: sa(1) }]);
  group(statistics, [{ do: "remove-sa", sa: sa(1) }]);
  group(statistics, [{ do: "remove-sa", sa: sa(2) }], { index: 0, exists: false });
  for (const hard of [false, true, true])
    statistics.take({ type: "kernel-event", event: { type: "expire", hard, sa: sa(3), reqid: 1 } }, []);
  assert.deepEqual([sumOf(statistics, "kernel_sa_delete", { by: "us" }), sumOf(statistics, "kernel_sa_delete", { by: "kernel" })], [1, 1]);
});

test("a Main Mode that is refused several times has failed in its authentication once, and as a negotiation when it ends", () => {
  const statistics = createStatistics();
  const failed = (more: Partial<SaEvent>) =>
    statistics.take(TICK, [event("ike.failed", { initiatorCookie: "01", reason: "psk-mismatch", ...more })]);
  failed({ goesOn: true });
  failed({ goesOn: true, reason: "undecryptable" });
  assert.deepEqual([sumOf(statistics, "authentication_failures"), sumOf(statistics, "negotiation_failures")], [1, 0]);
  failed({});
  assert.deepEqual(statistics.samples("mainmode_negotiation_failures_total"), [
    { labels: { mode: "main", reason: "psk-mismatch" }, value: 1 },
  ]);
  assert.equal(sumOf(statistics, "authentication_failures", { method: "psk" }), 1);
  failed({ initiatorCookie: "02" });
  assert.equal(sumOf(statistics, "authentication_failures"), 2);
});

test("what somebody ended on purpose is no failure", () => {
  const statistics = createStatistics();
  statistics.take(TICK, [
    event("ike.failed", { reason: "terminated" }),
    event("child.failed", { reason: "terminated", role: "initiator", exchange: "quick-mode" }),
  ]);
  assert.deepEqual([sumOf(statistics, "negotiation_failures"), sumOf(statistics, "acquire_failures")], [0, 0]);
});

test("needs are counted by who has them", () => {
  const statistics = createStatistics();
  const acquire: Input = {
    type: "kernel-event",
    event: {
      type: "acquire",
      protocol: "esp",
      reqid: 1,
      source: OURS,
      destination: THEIRS,
      ipProtocol: 6,
      sourcePort: 0,
      destinationPort: 0,
    },
  };
  statistics.take(acquire, [event("child.wanted", { cause: "need" })]);
  statistics.take(TICK, [event("child.wanted", { cause: "need" }), event("child.wanted", { cause: "renewal" })]);
  const counts = ["traffic", "rule", "renewal", "command"].map((by) => sumOf(statistics, "acquires", { by }));
  assert.deepEqual(counts, [1, 1, 1, 0]);
});

test("totals survive being written down and read again, and go on from there; nonsense is passed over", () => {
  const statistics = createStatistics();
  statistics.take(TICK, [
    event("ike.established", { role: "responder", auth: "rsa" }),
    event("child.rekeyed", { role: "initiator", mode: "tunnel" }),
  ]);
  const next = createStatistics();
  next.restore(JSON.parse(JSON.stringify(statistics.save())));
  next.take(TICK, [event("ike.established", { role: "responder", auth: "rsa" })]);
  assert.equal(sumOf(next, "ike_sa_established", { auth: "rsa" }), 2);
  assert.equal(sumOf(next, "child_sa_rekeys"), 1);
  for (const bad of [undefined, null, 1, [], { x: 1 }, { mainmode_acquires_total: [[1, 2], ["x"], [{}, -5], null] }]) next.restore(bad);
  assert.equal(sumOf(next, "acquires"), 0);
});

test("no total ever goes back, whatever happens", () => {
  const names = METRICS.flatMap(({ name, source }) => (source.kind === "picture" ? [] : [name]));
  const anyEvent = fc.record({
    event: fc.constantFrom<SaEvent["event"]>(
      "ike.started",
      "ike.established",
      "ike.failed",
      "ike.closed",
      "child.wanted",
      "child.failed",
      "child.rekeyed",
      "child.closed",
    ),
    role: fc.constantFrom<"initiator" | "responder">("initiator", "responder"),
    reason: fc.constantFrom("psk-mismatch", "terminated", "peer-silent", "need"),
    initiatorCookie: fc.constantFrom("01", "02"),
  });
  fc.assert(
    fc.property(fc.array(anyEvent), (happenings) => {
      const statistics = createStatistics();
      let before = new Map<string, number>();
      for (const { event: name, ...more } of happenings) {
        statistics.take(TICK, [event(name, more)]);
        const now = new Map(
          names.flatMap((metric) => statistics.samples(metric).map(({ labels, value }) => [metric + JSON.stringify(labels), value])),
        );
        for (const [key, value] of before) assert.ok((now.get(key) ?? -1) >= value, key);
        before = now;
      }
    }),
  );
});

test("every reason for which the core passes over a message has its table", () => {
  const cases = {
    cookies: ["unknown cookies"],
    repeat: ["repeat", "reflected"],
    invalid: ["malformed: N octets", "quick-mode in clear"],
    other: ["held off"],
  };
  for (const [table, reasons] of Object.entries(cases)) for (const reason of reasons) assert.equal(dropClass(reason), table, reason);
});
