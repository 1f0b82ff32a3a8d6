/** Stories of time: lifetimes, renewal from either end, expiry, reboots, clocks that jump. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, losing, packet, pair, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Traffic both ways every `ms`; the returned function fails unless every packet arrived protected. */
function watchTraffic(world: World, ms: number): () => void {
  const streams = [world.traffic(world.host("A"), packet(A, B), ms), world.traffic(world.host("B"), packet(B, A), ms)];
  return () => {
    for (const stream of streams) {
      const first = stream.find(({ arrival }) => arrival !== "protected");
      if (first) world.fail(`${first.arrival} at ${first.at / 1000} s`);
      assert.ok(stream.length > 0);
    }
  };
}

test(
  "over six hours children are renewed and two Main Modes follow the first, and no packet is lost",
  story(pair(), (world) => {
    bringUp(world);
    const check = watchTraffic(world, 1000);
    world.run(6 * HOUR);
    check();
    assert.ok((childrenOf(world, "A").at(-1)?.rekeys ?? 0) > 70);
    for (const name of ["A", "B"]) {
      assert.ok(childrenOf(world, name).length <= 2);
      assert.ok(ikesOf(world, name).length <= 2);
    }
  }),
);

test(
  "the initiator renews between 75 and 80 % of the lifetime; the old pair goes ten seconds after the new one took over",
  story(pair(), (world) => {
    bringUp(world);
    const old = childrenOf(world, "A")[0];
    world.run(224 * SECOND);
    assert.equal(childrenOf(world, "A").length, 1);
    world.runUntil("a renewal", () => childrenOf(world, "A").some(({ state }) => state === "draining"), 20 * SECOND);
    assert.deepEqual(
      childrenOf(world, "A").map(({ id, state, rekeys }) => [id === old?.id, state, rekeys]),
      [
        [true, "draining", 0],
        [false, "installed", 1],
      ],
    );
    assertTraffic(world);
    world.run(12 * SECOND);
    for (const name of ["A", "B"]) {
      assert.equal(childrenOf(world, name).length, 1);
      assert.equal(world.host(name).xfrm.states.size, 2);
    }
    assertTraffic(world);
  }),
);

test(
  "a responder renews between 87 and 90 % when its initiator does not",
  story(pair(), (world) => {
    bringUp(world);
    world.intercept = (sent) => (sent.from === A && sent.label === "QM1" ? DROP : undefined);
    const check = watchTraffic(world, 1000);
    world.run(261 * SECOND - 2000);
    assert.equal(childrenOf(world, "B").length, 1);
    world.run(4 * MINUTE);
    check();
    assert.equal(childrenOf(world, "A").at(-1)?.rekeys, 2);
  }),
);

test(
  "both ends renew at the same moment: both new pairs live, none is lost, and in the next round one is left",
  story(pair(), (world) => {
    bringUp(world);
    const check = watchTraffic(world, 500);
    world.run(100 * SECOND);
    for (const host of world.hosts) for (const { sa } of [...host.xfrm.states.values()]) host.kernelEvents(host.xfrm.expire(sa, false));
    world.run(20 * SECOND);
    check();
    for (const name of ["A", "B"]) assert.equal(childrenOf(world, name).filter(({ state }) => state !== "draining").length, 2);
    world.run(10 * MINUTE);
    check();
    for (const name of ["A", "B"]) assert.equal(childrenOf(world, name).filter(({ state }) => state !== "draining").length, 1);
  }),
);

for (const ms of [0, 3, 8, 13, 20, 100, 1100])
  test(
    `the other end renews ${ms} ms after the first: no packet is lost`,
    story(pair(), (world) => {
      bringUp(world);
      const check = watchTraffic(world, 7);
      const soften = (name: string) => {
        const { xfrm, ...host } = { xfrm: world.host(name).xfrm, it: world.host(name) };
        for (const { sa } of [...xfrm.states.values()]) host.it.kernelEvents(xfrm.expire(sa, false));
      };
      soften("A");
      world.after(ms, () => soften("B"));
      world.run(30 * SECOND);
      check();
    }),
  );

test(
  "a child whose renewal never gets through ends at its hard limit, and traffic brings up another",
  story(pair(towards(B, { start: '"on-traffic"' })), (world) => {
    bringUp(world);
    world.run(3 * MINUTE);
    world.intercept = () => DROP;
    world.run(4 * MINUTE);
    for (const host of world.hosts) assert.equal(host.xfrm.states.size, 0);
    world.intercept = () => undefined;
    assert.equal(world.ping(world.host("A"), packet(A, B)), "acquire");
    world.run(40 * SECOND);
    assertTraffic(world);
  }),
);

test(
  "a volume limit renews the pair before it is used up",
  story(pair(towards(B, {}, { volume: "1MB" }), towards(A, {}, { volume: "1MB" })), (world) => {
    bringUp(world);
    const stream = world.traffic(world.host("A"), packet(A, B), 100, 10_000);
    world.run(60 * SECOND);
    assert.ok(stream.every(({ arrival }) => arrival === "protected"));
    assert.ok((childrenOf(world, "A").at(-1)?.rekeys ?? 0) >= 5);
  }),
);

test(
  "a volume that is too small for its link is said once, by status too, and the next Quick Modes begin at once",
  story(pair(towards(B, {}, { volume: "1MB" }), towards(A, {}, { volume: "1MB" })), (world) => {
    bringUp(world);
    const stream = world.traffic(world.host("A"), packet(A, B), 50, 10_000);
    const warns = (): boolean => childrenOf(world, "A").some(({ warning }) => warning?.includes("too small"));
    world.runUntil("status says so", warns, 10 * SECOND);
    world.run(MINUTE);
    const warnings = world.host("A").events.filter(({ event }) => event === "child.volume");
    assert.deepEqual(
      warnings.map(({ level, reason }) => [level, reason]),
      [["warning", "volume-too-small"]],
    );
    assert.ok(Math.max(...childrenOf(world, "A").map(({ rekeys }) => rekeys)) >= 3, "renewals");
    assert.ok(
      stream.every(({ arrival }) => arrival === "protected"),
      "lost",
    );
  }),
);

for (const [kilobytesEachSecond, senders] of [
  [100, "A"],
  [100, "AB"],
  [300, "B"],
  [500, "A"],
  [500, "AB"],
] as const)
  test(
    `${kilobytesEachSecond} kB/s from ${[...senders].join(" and ")}, and a volume of 1 MB: one pair follows the other, and nothing is lost`,
    story(pair(towards(B, {}, { volume: "1MB" }), towards(A, {}, { volume: "1MB" })), (world) => {
      bringUp(world);
      const streams = [...senders].map((name) =>
        world.traffic(world.host(name), name === "A" ? packet(A, B) : packet(B, A), 10_000 / kilobytesEachSecond, 10_000),
      );
      world.run(MINUTE);
      assert.deepEqual(
        streams.flat().filter(({ arrival }) => arrival !== "protected"),
        [],
      );
      assert.ok(Math.max(...childrenOf(world, "A").map(({ rekeys }) => rekeys)) >= 5, "renewals");
    }),
  );

test(
  "a peer that ignores kilobytes keeps sending, and its packets keep arriving",
  story(pair(towards(B, {}, { volume: "1MB" }), towards(A, {}, { volume: "none" })), (world) => {
    bringUp(world);
    world.intercept = () => DROP;
    const a = world.host("A");
    const inbound = [...a.xfrm.states.values()].find(({ sa }) => sa.destination === A);
    for (let i = 0; inbound && i < 300; i++) {
      const { passed, events } = a.xfrm.pass(inbound.sa, 10_000);
      a.kernelEvents(events);
      assert.ok(passed);
    }
  }),
);

/** The kernels have counted so many packets on every SA. */
function counted(world: World, packets: number): void {
  for (const { xfrm } of [world.host("A"), world.host("B")])
    for (const { sa } of xfrm.states.values()) xfrm.setCounters(sa, { octets: packets * 64, packets });
}

const ENDLESS = { volume: "none", quickLife: "50m" };
const ON_TRAFFIC = { start: '"on-traffic"' };

test(
  "an SA without a volume is renewed before its sequence numbers end, and nothing is lost",
  story(pair(towards(B, {}, ENDLESS), towards(A, {}, ENDLESS)), (world) => {
    bringUp(world);
    counted(world, Math.floor(0.81 * 2 ** 32));
    const check = watchTraffic(world, 100);
    world.run(20 * SECOND);
    check();
    for (const name of ["A", "B"])
      assert.deepEqual(
        childrenOf(world, name).map(({ rekeys }) => rekeys),
        [1],
      );
  }),
);

test(
  "an SA whose sequence numbers have ended asks for another; a peer that uses up its own is no matter of ours",
  story(pair(towards(B, ON_TRAFFIC, ENDLESS), towards(A, ON_TRAFFIC, ENDLESS)), (world) => {
    bringUp(world);
    counted(world, 2 ** 32 - 1);
    const a = world.host("A");
    assert.equal(world.ping(a, packet(A, B)), "expired");
    const other = world.host("B").xfrm;
    const toB = [...other.states.values()].find(({ sa }) => sa.destination === B);
    assert.ok(toB && other.pass(toB.sa, 100).passed);
    assert.equal(world.ping(a, packet(A, B)), "acquire");
    world.run(SECOND);
    assert.equal(world.ping(a, packet(A, B)), "protected");
  }),
);

test(
  "a peer that rebooted says INITIAL-CONTACT, and the old SAs make room for the new ones",
  story(pair(), (world) => {
    bringUp(world);
    const b = world.host("B");
    world.reboot(b);
    bringUp(world, b);
    assertTraffic(world);
    for (const name of ["A", "B"]) {
      assert.equal(ikesOf(world, name).length, 1);
      assert.equal(childrenOf(world, name).length, 1);
      assert.equal(world.host(name).xfrm.states.size, 2);
    }
  }),
);

test(
  "a peer that rebooted and only answers: the next renewal finds its IKE SA dead and begins with Main Mode",
  story(pair(), (world) => {
    bringUp(world);
    world.reboot(world.host("B"));
    world.run(5 * MINUTE);
    assertTraffic(world);
  }),
);

test(
  "a command after the peer's reboot succeeds within its 30 seconds",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    world.reboot(world.host("B"));
    const child = childrenOf(world, "A")[0];
    a.command({ name: "terminate", target: { kind: "child", id: child?.id ?? 0 } });
    const id = a.initiate();
    world.run(30 * SECOND);
    assert.equal(a.outcome(id).exit, 0);
    assertTraffic(world);
  }),
);

test(
  "an IKE SA that the peer deletes while a renewal is on its way: the renewal goes on under a new one at once",
  story(pair(), (world) => {
    bringUp(world);
    const check = watchTraffic(world, 100);
    world.intercept = losing("QM1");
    world.runUntil("a renewal", () => world.sent.filter(({ label }) => label === "QM1").length === 2, 5 * MINUTE);
    world.intercept = () => undefined;
    world.host("B").command({ name: "terminate", target: { kind: "ike", id: ikesOf(world, "B")[0]?.id ?? 0 } });
    const before = world.sent.length;
    world.run(SECOND);
    assert.ok(world.sent.slice(before).some(({ label, from }) => label === "MM1" && from === A));
    assert.ok(check);
  }),
);

test(
  "a clock that jumps a day ahead ends everything at once, and traffic brings it up again",
  story(pair(towards(B, { start: '"on-traffic"' })), (world) => {
    bringUp(world);
    const before = ["A", "B"].flatMap((name) => ikesOf(world, name).map(({ initiatorCookie }) => initiatorCookie));
    world.now += 24 * HOUR;
    world.run(SECOND);
    for (const name of ["A", "B"]) for (const { initiatorCookie } of ikesOf(world, name)) assert.ok(!before.includes(initiatorCookie));
    assert.notEqual(world.ping(world.host("A"), packet(A, B)), "clear");
    world.run(30 * SECOND);
    assertTraffic(world);
  }),
);

test(
  "an instant that goes back is taken for the latest one seen",
  story(pair(), (world) => {
    bringUp(world);
    const { engine } = world.host("A");
    const wake = engine.nextWake();
    assert.deepEqual(engine.handle({ type: "tick" }, 0), []);
    assert.equal(engine.nextWake(), wake);
  }),
);

test(
  "an IKE SA with children that nobody renews ends silently, and the children live on",
  story(pair(towards(B, {}, { mainLife: "5m", quickLife: "60m" }), towards(A, {}, { mainLife: "5m", quickLife: "60m" })), (world) => {
    bringUp(world);
    world.intercept = losing("MM1");
    world.run(7 * MINUTE);
    assert.deepEqual(
      world.sent.filter(({ label }) => label === "INFO"),
      [],
    );
    for (const name of ["A", "B"]) {
      assert.equal(ikesOf(world, name).filter(({ state }) => state !== "negotiating").length, 0);
      assert.equal(childrenOf(world, name)[0]?.ike, null);
    }
    world.intercept = () => undefined;
    assertTraffic(world);
    world.run(HOUR);
    assertTraffic(world);
  }),
);

test(
  "the shorter lifetime of a responder counts, and the initiator hears of it",
  story(pair(towards(B), towards(A, {}, { mainLife: "10m", quickLife: "2m", volume: "5MB" })), (world) => {
    bringUp(world);
    for (const name of ["A", "B"]) {
      assert.equal(ikesOf(world, name)[0]?.lifetimeSeconds, 600);
      assert.equal(childrenOf(world, name)[0]?.lifetimeSeconds, 120);
      assert.equal(childrenOf(world, name)[0]?.lifetimeKilobytes, 5000);
    }
  }),
);

test(
  "the shorter lifetime of an initiator counts at the responder too",
  story(pair(towards(B, {}, { mainLife: "10m", quickLife: "2m", volume: "5MB" })), (world) => {
    bringUp(world);
    for (const name of ["A", "B"]) {
      assert.equal(ikesOf(world, name)[0]?.lifetimeSeconds, 600);
      assert.equal(childrenOf(world, name)[0]?.lifetimeSeconds, 120);
      assert.equal(childrenOf(world, name)[0]?.lifetimeKilobytes, 5000);
    }
  }),
);

test(
  "a deleted IKE SA leaves its children; the next renewal makes a new one",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    const [ike] = ikesOf(world, "A");
    const [child] = childrenOf(world, "A");
    assert.ok(ike && child);
    world.run(SECOND);
    assert.deepEqual(said(a, "error"), []);
    world.run(5 * MINUTE);
    assertTraffic(world);
  }),
);

test(
  "the lost third message of a renewal delays the switch until the peer has it",
  story(pair(), (world) => {
    bringUp(world);
    const check = watchTraffic(world, 50);
    world.intercept = losing("QM3", 2);
    world.run(5 * MINUTE);
    check();
    assert.equal(childrenOf(world, "A").at(-1)?.rekeys, 1);
  }),
);
