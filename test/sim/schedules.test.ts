/**
 * Properties over random schedules: whatever the network, the kernels and the clocks do, the invariants hold, what can come up again does,
 * and nothing is left at the end. MAINMODE_SIM_RUNS sets the number of runs of each property.
 */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { DELIVER, DROP, type Fate, flipped } from "./network.ts";
import { towards } from "./policies.ts";
import { A, assertTraffic, B, packet, pair } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const ASKED = process.env["MAINMODE_SIM_RUNS"];
const RUNS = Number(ASKED ?? 1000);
const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Keeps the whole folder within its time on slow machines; an interrupted property has still run many schedules. */
const LIMIT = ASKED === undefined ? 12 * SECOND : 3600 * SECOND;

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { withCrossShrink: true },
  { weight: 5, arbitrary: fc.constant(DELIVER) },
  { weight: 3, arbitrary: fc.constant(DROP) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.constantFrom(1, 6, 30, 700, 3000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), bit: fc.nat(4000) }) },
);
/** What a network may do that loses nothing. */
const gentle: fc.Arbitrary<Fate> = fc.oneof(
  { withCrossShrink: true },
  { weight: 3, arbitrary: fc.constant(DELIVER) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.integer({ min: 1, max: 90 }) }),
  },
);
const delays = fc.array(fc.constantFrom(0, 1, 3, 20, 120), { minLength: 1, maxLength: 5, size: "max" });
const seed = fc.integer({ min: 1, max: 1_000_000 });

const holds = <T>(arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> }, share: number, check: (values: T) => void): void =>
  fc.assert(fc.property(fc.record(arbitraries) as fc.Arbitrary<T>, check), {
    numRuns: Math.max(1, Math.round(RUNS * share)),
    interruptAfterTimeLimit: LIMIT,
    // The same schedules in every run, so that a build says the same twice; whoever asks for a number of runs looks for new ones.
    ...(ASKED === undefined ? { seed: 1 } : {}),
    markInterruptAsFailure: false,
  });

const both = (world: World, ms: number) => [
  world.traffic(world.host("A"), packet(A, B), ms),
  world.traffic(world.host("B"), packet(B, A), ms),
];

/** The network heals, and some minutes later everything works and can be taken down without a trace. */
function recovers(world: World): void {
  both(world, 10 * SECOND);
  world.run(13 * MINUTE);
  // A packet may meet the moment between an end and a beginning; a second one later may not.
  for (const [from, to] of [
    ["A", B],
    ["B", A],
  ] as const) {
    const host = world.host(from);
    const direction = packet(host.addresses[0] ?? "", to);
    if (world.ping(host, direction) !== "protected") world.run(40 * SECOND);
  }
  assertTraffic(world);
  world.end();
}

test("one negotiation under any schedule of loss, repetition, delay and damage", () => {
  holds({ seed, delays, fates: fc.array(fate, { maxLength: 40, size: "max" }) }, 2, ({ seed, delays, fates }) =>
    inWorld(pair(towards(B, { start: '"now"' }), towards(A), { seed, fates, kernelDelays: delays }), (world) => {
      world.run(2 * MINUTE);
      recovers(world);
    }),
  );
});

test("both ends begin, at any distance, under any schedule", () => {
  const start = { start: '"now"' };
  holds(
    { seed, delays, fates: fc.array(fate, { maxLength: 40, size: "max" }), gap: fc.integer({ min: 0, max: 300 }) },
    1,
    ({ seed, delays, fates, gap }) =>
      inWorld(pair(towards(B, start), towards(A, start), { seed, fates, kernelDelays: delays }), (world) => {
        world.host("A").initiate();
        world.run(gap);
        world.host("B").initiate();
        world.run(2 * MINUTE);
        recovers(world);
      }),
  );
});

const anHour = ({
  seed,
  delays,
  fates,
}: {
  readonly seed: number;
  readonly delays: readonly number[];
  readonly fates: readonly Fate[];
}) => {
  const short = { mainLife: "10m", quickLife: "2m" };
  const rules = [towards(B, { start: '"now"' }, short), towards(A, { start: '"on-traffic"' }, short)] as const;
  inWorld(pair(...rules, { seed, fates, kernelDelays: delays, cycleUntil: 60 * MINUTE }), (world) => {
    both(world, 20 * SECOND);
    world.run(60 * MINUTE);
    recovers(world);
  });
};

test("an hour of renewals on a bad network, then it heals", () => {
  holds({ seed, delays, fates: fc.array(fate, { minLength: 1, maxLength: 60, size: "max" }) }, 0.3, anHour);
});

test("a delete that came before the peer's SA was there counts when it comes again", () => {
  const [deliver, drop] = [{ kind: "deliver" }, { kind: "drop" }] as const;
  const corrupt = (bit: number) => ({ kind: "corrupt", bit }) as const;
  const fates: readonly Fate[] = [
    ...[deliver, deliver, deliver, drop, corrupt(603), corrupt(3553), deliver, deliver, deliver, deliver, deliver, drop, deliver, drop],
    ...[corrupt(1621), deliver, drop, deliver, deliver, drop, deliver],
  ];
  anHour({ seed: 890614, delays: [1, 3, 1, 3, 120], fates });
});

/** A soft expire of everything, or a command, on one host at some moment. */
const nudge = fc.record({
  at: fc.integer({ min: 0, max: 20 * SECOND }),
  name: fc.constantFrom("A", "B"),
  what: fc.constantFrom("soften" as const, "initiate" as const),
});

function soften(world: World, name: string): void {
  const host = world.host(name);
  for (const { sa } of [...host.xfrm.states.values()]) host.kernelEvents(host.xfrm.expire(sa, false));
}

test("where nothing is lost on the way, no packet of traffic is lost either, whoever renews when", () => {
  holds(
    { seed, delays, fates: fc.array(gentle, { maxLength: 60, size: "max" }), nudges: fc.array(nudge, { maxLength: 6, size: "max" }) },
    1,
    ({ seed, delays, fates, nudges }) =>
      inWorld(pair(towards(B), towards(A), { seed, fates, kernelDelays: delays }), (world) => {
        world.host("A").initiate();
        world.run(5 * SECOND);
        const streams = both(world, 41);
        for (const { at, name, what } of nudges)
          world.after(at, () => (what === "soften" ? soften(world, name) : void world.host(name).initiate()));
        world.run(50 * SECOND);
        for (const stream of streams) {
          const bad = stream.find(({ arrival }) => arrival !== "protected");
          if (bad) world.fail(`a packet was ${bad.arrival} at ${bad.at / 1000} s`);
        }
        world.end();
      }),
  );
});

/** Somebody records everything and injects it again: as it was, turned round, or with a bit changed. */
const injection = fc.record({
  at: fc.integer({ min: 0, max: 400 * SECOND }),
  which: fc.nat(60),
  bit: fc.option(fc.nat(4000), { nil: null }),
  reflect: fc.boolean(),
});

test("an attacker who replays, reflects and damages what it recorded disturbs nobody", () => {
  holds({ seed, injections: fc.array(injection, { maxLength: 60, size: "max" }) }, 1, ({ seed, injections }) =>
    inWorld(pair(towards(B), towards(A), { seed }), (world) => {
      world.host("A").initiate();
      world.run(SECOND);
      const streams = both(world, SECOND);
      for (const { at, which, bit, reflect } of injections)
        world.after(at, () => {
          const sent = world.sent[which % world.sent.length];
          if (!sent) return;
          const bytes = bit === null ? sent.bytes : flipped(sent.bytes, bit % (sent.bytes.length * 8));
          world.deliver(reflect ? sent.to : sent.from, reflect ? sent.from : sent.to, bytes, true);
        });
      world.run(500 * SECOND);
      for (const stream of streams)
        assert.deepEqual(
          stream.find(({ arrival }) => arrival !== "protected"),
          undefined,
        );
      world.end();
    }),
  );
});

/** Administrators, kernels and power cuts at work, in any order. */
const deed = fc.record({
  after: fc.integer({ min: 0, max: 30 * SECOND }),
  name: fc.constantFrom("A", "B"),
  what: fc.constantFrom("initiate", "terminate all", "terminate child", "soften", "expire", "reboot", "refuse", "policy"),
});

function perform(world: World, name: string, what: string): void {
  const host = world.host(name);
  const [child] = host.engine.view(world.now).childSas;
  const states = [...host.xfrm.states.values()];
  if (what === "initiate") host.initiate();
  if (what === "terminate all") host.command({ name: "terminate", target: { kind: "all" } });
  if (what === "terminate child" && child) host.command({ name: "terminate", target: { kind: "child", id: child.id } });
  if (what === "soften") soften(world, name);
  if (what === "expire") for (const { sa } of states) host.kernelEvents(host.xfrm.expire(sa, true));
  if (what === "reboot") world.reboot(host);
  if (what === "policy") host.input({ type: "policy", policy: host.policy });
  if (what !== "refuse") return;
  let left = 2;
  host.refuse = (command) => (command.do === "add-sa" && left-- > 0 ? "Cannot allocate memory" : undefined);
}

test("whatever people, kernels and power cuts do on a bad network, it comes up again and leaves nothing", () => {
  holds(
    { seed, delays, fates: fc.array(fate, { maxLength: 60, size: "max" }), deeds: fc.array(deed, { maxLength: 10, size: "max" }) },
    1,
    ({ seed, delays, fates, deeds }) =>
      inWorld(pair(towards(B, { start: '"on-traffic"' }), towards(A), { seed, fates, kernelDelays: delays }), (world) => {
        for (const { after, name, what } of deeds) {
          world.run(after);
          perform(world, name, what);
        }
        world.run(MINUTE);
        for (const host of world.hosts) host.refuse = () => undefined;
        recovers(world);
      }),
  );
});
