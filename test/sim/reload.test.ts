/** Stories of reloads: what holds while one policy takes the place of another, and which SAs live on. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const MINUTE = 60_000;
const request: RuleText = { action: '"request"', start: '"on-traffic"' };
const discovery: RuleText = { action: '"require"', start: '"on-traffic"', discovery: "true" };
const require: RuleText = { action: '"require"', start: '"on-traffic"' };
const respond: RuleText = { action: '"respond"' };

const scene = (options: WorldOptions, tell: (world: World) => void): (() => void) =>
  story(options, (world) => {
    world.run(200);
    tell(world);
  });
const to = (world: World, destination: string, port = 80): string =>
  world.ping(world.host("A"), { ...packet(A, destination), destinationPort: port });
const reload = (world: World, text: string): void => world.host("A").input({ type: "policy", policy: policyOf(text) });
/** Read before the world begins, which counts the keys that are made in it. */
const known = (text: string): string => {
  policyOf(text);
  return text;
};

/** Rules under which what is protected now is protected for another reason than a policy that stays. */
for (const [what, before, after] of [
  ["respond becomes require", towards(B, respond), towards(B, require)],
  ["discovery becomes require", towards(B, discovery), towards(B, require)],
  ["a respond rule is replaced by one of another name that requires", towards(B, respond), towards(B, { ...require, name: '"other"' })],
  [
    "a respond rule is replaced by a wider one that requires",
    towards(B, respond),
    towards("192.0.2.0/24", { ...require, name: '"other"' }),
  ],
  ["discovery gets another name", towards(B, discovery), towards(B, { ...discovery, name: '"other"' })],
] as const) {
  known(after);
  test(
    `${what}: a reload lets nothing out in clear that was protected, however slow the kernel is`,
    scene(pair(before, towards(A, { ...require, "inbound-clear": "true" }), { kernelDelays: [20] }), (world) => {
      bringUp(world, world.host("B"));
      assertTraffic(world);
      const arrivals = world.traffic(world.host("A"), packet(A, B), 1);
      reload(world, after);
      world.run(3000);
      assert.deepEqual(
        arrivals.filter(({ arrival }) => arrival === "clear"),
        [],
      );
      assert.equal(arrivals.at(-1)?.arrival, "protected");
    }),
  );
}

for (const [name, rule] of [
  ["discovery", discovery],
  ["request", request],
] as const) {
  const longer = known(towards(B, { ...rule, "quick-mode": '{ lifetime = "6m" }' }));
  const more = known(configuration([{ filters: `["me <-> ${B}", "me <-> 192.0.2.77"]`, ...rule }]));
  for (const [what, text] of [
    ["its lifetime", longer],
    ["its filters", more],
  ] as const)
    test(
      `${name}: the guard of a flow whose SAs have ended outlives a reload that changes ${what} of its rule`,
      scene(pair(towards(B, rule), towards(A, respond)), (world) => {
        to(world, B);
        world.run(1000);
        assertTraffic(world);
        // Longer ago than the peer's first answer keeps a soft SA away.
        world.run(3.5 * MINUTE);
        world.intercept = () => DROP;
        world.host("A").command({ name: "terminate", target: { kind: "all" } });
        world.run(10_000);
        const arrivals = world.traffic(world.host("A"), packet(A, B), 1000);
        reload(world, text);
        world.run(4 * MINUTE);
        assert.deepEqual(
          arrivals.filter(({ arrival }) => arrival === "clear"),
          [],
        );
        world.run(10 * MINUTE);
        assert.equal(to(world, B), "clear");
      }),
    );
}

const hosts = (...places: readonly string[]): RuleText => ({
  ...require,
  filters: JSON.stringify(places.map((place) => `me <-> ${place}`)),
});
known(configuration([hosts(B, "192.0.2.77")]));
test(
  "a filter more or less in a rule: SAs of what stays live on, those of what goes end",
  scene(pair(configuration([hosts(B)]), towards(A, respond)), (world) => {
    to(world, B);
    world.run(1000);
    const spis = (): readonly unknown[] => childrenOf(world, "A").map(({ protections }) => protections);
    const before = spis();
    assert.equal(before.length, 1);
    const arrivals = world.traffic(world.host("A"), packet(A, B), 10);
    reload(world, configuration([hosts(B, "192.0.2.77")]));
    world.run(1000);
    assert.deepEqual(spis(), before);
    assert.deepEqual([...new Set(arrivals.map(({ arrival }) => arrival))], ["protected"]);
    assert.equal(to(world, "192.0.2.77"), "acquire");
    world.run(6 * MINUTE);
    assertTraffic(world);
    assert.equal(ikesOf(world, "A").length, 1);
    reload(world, configuration([hosts("192.0.2.77")]));
    world.run(1000);
    assert.deepEqual([childrenOf(world, "A"), ikesOf(world, "A"), childrenOf(world, "B")], [[], [], []]);
    assert.equal(to(world, B), "clear");
  }),
);

known(configuration([hosts("192.0.2.77")]));
test(
  "what waits for its SA while its rule gets another filter is negotiated all the same: the kernel would not ask again for half a minute",
  scene(pair(configuration([hosts(B)]), towards(A, respond)), (world) => {
    to(world, B);
    world.run(1);
    reload(world, configuration([hosts(B, "192.0.2.77")]));
    world.run(1000);
    assertTraffic(world);
  }),
);
