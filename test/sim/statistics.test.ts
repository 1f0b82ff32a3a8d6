/** Statistics of whole stories: what two hosts count while they negotiate, renew, fail and end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { counted, createStatistics, type Statistics } from "../../ike/statistics.ts";
import { METRICS } from "../../ike/statistics-table.ts";
import { DROP } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

/** Read before a world counts its secrets. */
const RELOADED = policyOf(towards(B, {}, { quickLife: "90s" }));
const NAMES = METRICS.flatMap(({ name, source }) => (source.kind === "picture" ? [] : [name]));

function watch(world: World, name: string): Statistics {
  const [host, statistics] = [world.host(name), createStatistics()];
  statistics.take({ type: "addresses", addresses: host.addresses }, []);
  host.engine = counted(host.engine, statistics);
  return statistics;
}

const total = (statistics: Statistics, name: string, where: Readonly<Record<string, string>> = {}): number =>
  statistics
    .samples(`mainmode_${name}_total`)
    .filter(({ labels }) => Object.entries(where).every(([key, value]) => labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);

const all = (statistics: Statistics): readonly (readonly [string, number])[] =>
  NAMES.flatMap((name) => statistics.samples(name).map(({ labels, value }) => [name + JSON.stringify(labels), value] as const));

test(
  "one negotiation counts once on each side, in its role, with its SAs in the kernel",
  story(pair(), (world) => {
    const [a, b] = [watch(world, "A"), watch(world, "B")];
    bringUp(world);
    for (const [statistics, role] of [
      [a, "initiator"],
      [b, "responder"],
    ] as const) {
      for (const name of ["ike_negotiations_started", "ike_sa_established", "child_negotiations_started", "child_sa_established"])
        assert.equal(total(statistics, name, { role }), total(statistics, name), `${role} ${name}`);
      assert.deepEqual(
        ["ike_negotiations_started", "ike_sa_established", "child_negotiations_started", "child_sa_established"].map((name) =>
          total(statistics, name),
        ),
        [1, 1, 1, 1],
      );
      assert.deepEqual(
        [total(statistics, "kernel_sa_add"), total(statistics, "kernel_sa_update"), total(statistics, "kernel_getspi")],
        [1, 1, 1],
      );
      assert.deepEqual([total(statistics, "negotiation_failures"), total(statistics, "authentication_failures")], [0, 0]);
    }
    assert.deepEqual([total(a, "acquires", { by: "command" }), total(b, "acquires")], [1, 0]);
  }),
);

test(
  "no total goes back over renewals, a reload, a delete and what comes after; renewals and removals are counted",
  story(pair(towards(B, {}, { quickLife: "60s" }), towards(A, {}, { quickLife: "60s" })), (world) => {
    const a = watch(world, "A");
    let before = all(a);
    const check = (): void => {
      const now = new Map(all(a));
      for (const [key, value] of before) assert.ok((now.get(key) ?? -1) >= value, key);
      before = [...now];
    };
    bringUp(world);
    for (let i = 0; i < 40; i++) {
      assertTraffic(world);
      world.run(5000);
      check();
    }
    assert.ok(total(a, "child_sa_rekeys") >= 2);
    world.host("A").input({ type: "policy", policy: RELOADED });
    world.run(20_000);
    check();
    assert.equal(total(a, "kernel_sa_delete"), total(a, "kernel_sa_add") + total(a, "kernel_sa_update"));
    assert.ok(total(a, "ike_sa_closed") >= 1);
  }),
);

test(
  "after one mismatch of keys one authentication and one negotiation have failed, on each side",
  story(
    pair(towards(B, { auth: `[{ method = "psk", secret = "one" }]` }), towards(A, { auth: `[{ method = "psk", secret = "two" }]` })),
    (world) => {
      const [a, b] = [watch(world, "A"), watch(world, "B")];
      world.host("A").initiate();
      world.run(300_000);
      for (const statistics of [a, b])
        assert.deepEqual(
          [total(statistics, "authentication_failures", { method: "psk" }), total(statistics, "negotiation_failures", { mode: "main" })],
          [1, 1],
        );
      assert.deepEqual([total(a, "acquire_failures"), total(b, "acquire_failures")], [1, 0]);
    },
  ),
);

test(
  "a rule that should be up is shown as down until it is, and as up then",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    const rule = () => world.host("A").engine.live(world.now).rules[0];
    assert.deepEqual(rule(), { rule: "peer", wanted: true, up: false, children: 0 });
    world.run(2000);
    assert.deepEqual(rule(), { rule: "peer", wanted: true, up: true, children: 1 });
    assert.deepEqual(world.host("B").engine.live(world.now).rules[0], { rule: "peer", wanted: false, up: true, children: 1 });
    world.intercept = () => DROP;
    const [child] = childrenOf(world, "A");
    world.run(((child?.secondsLeft ?? 0) + 30) * 1000);
    assert.deepEqual(rule(), { rule: "peer", wanted: true, up: false, children: 0 });
  }),
);
