/** Hosts behind one NAT that are no friends: what one of them has is not given to another, whoever of the two ends begins. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { bringUp, childrenOf, packet } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const [CLIENT, NEIGHBOUR, SERVER, OUTER] = ["10.0.0.5", "10.0.0.6", "192.0.2.2", "198.51.100.1"];
const LIVES = { "main-mode": '{ lifetime = "300s" }', "quick-mode": '{ lifetime = "1200s" }' };

/** The router leads its ports of IKE to the neighbour. */
const world = (own: RuleText, far: RuleText): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [CLIENT], policy: policyOf(towards(SERVER, { ...LIVES, ...own })) },
    { name: "C", addresses: [NEIGHBOUR], policy: policyOf(towards(SERVER, { ...LIVES, ...own, action: '"respond"' })) },
    {
      name: "B",
      addresses: [SERVER],
      policy: policyOf(configuration([{ filters: '["me <-> 198.51.100.0/24"]', ...LIVES, ...far }])),
    },
  ],
  nats: [{ outer: OUTER, inside: [CLIENT, NEIGHBOUR], forwards: { 500: NEIGHBOUR, 4500: NEIGHBOUR } }],
});

test(
  "a pair that we renew ourselves is not offered to a neighbour that answers in its owner's place",
  story(world({}, {}), (sim) => {
    bringUp(sim);
    const spis = () => childrenOf(sim, "A").flatMap(({ protections }) => protections.map(({ spiIn }) => spiIn));
    const [mine] = spis();
    assert.ok(mine !== undefined);
    // No message of A's gets through any more, but its packets do: its IKE SA ends, and then B renews.
    sim.intercept = ({ from, to }) => (from === CLIENT || to === CLIENT ? { kind: "drop" } : undefined);
    sim.traffic(sim.host("A"), packet(CLIENT, SERVER), 10_000);
    sim.traffic(sim.host("B"), packet(SERVER, OUTER), 10_000);
    sim.run(1150_000);
    assert.ok(
      sim.sent.some(({ from, label }) => from === SERVER && label === "MM1"),
      "B has begun to renew",
    );
    const towards = [...sim.host("B").xfrm.states.values()].filter(({ sa }) => sa.destination === OUTER).map(({ sa }) => sa.spi);
    assert.deepEqual(
      towards.map((spi) => spi.toString(16)),
      [mine].map((spi) => Number(spi).toString(16)),
      "B still sends to A alone",
    );
    assert.deepEqual(childrenOf(sim, "C"), []);
  }),
);
