/** Stories of two hosts that want the same: with a network that delivers, loses, repeats and delays. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, labels, losing, packet, pair } from "./setting.ts";
import { story } from "./world.ts";

test(
  "a command brings up both SAs in six and three messages, and traffic passes both ways",
  story(pair(), (world) => {
    bringUp(world);
    assert.deepEqual(labels(world), ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6", "QM1", "QM2", "QM3"]);
    assertTraffic(world);
    for (const name of ["A", "B"]) {
      assert.deepEqual(
        ikesOf(world, name).map(({ role, state }) => [role, state]),
        [[name === "A" ? "initiator" : "responder", "established"]],
      );
      assert.deepEqual(
        childrenOf(world, name).map(({ state }) => state),
        ["installed"],
      );
    }
  }),
);

for (const groups of ["x25519", "ecp256", "modp2048"])
  test(
    `real Diffie-Hellman over ${groups} in both phases gives both ends the same keys`,
    story(
      {
        ...pair(
          towards(B, {}, { mainMode: [`aes256-sha1-${groups}`], pfs: groups }),
          towards(A, {}, { mainMode: [`aes256-sha1-${groups}`], pfs: "main-mode" }),
        ),
        realGroups: true,
      },
      (world) => {
        bringUp(world);
        assertTraffic(world);
        assert.equal(childrenOf(world, "A")[0]?.group, groups);
      },
    ),
  );

const MESSAGES = ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6", "QM1", "QM2", "QM3"] as const;

for (const label of MESSAGES)
  for (const times of [1, 3])
    test(
      `${label} lost ${times === 1 ? "once" : `${times} times`}: the negotiation comes to the same end`,
      story(pair(), (world) => {
        world.intercept = losing(label, times);
        const id = world.host("A").initiate();
        world.run(30_000);
        assert.equal(world.host("A").outcome(id).exit, 0);
        assertTraffic(world);
        for (const name of ["A", "B"]) assert.equal(childrenOf(world, name).length, 1);
      }),
    );

/** What the command hears when a message never arrives. */
const LOST_FOR_EVER = {
  MM1: { exit: 75, reason: "peer-silent", says: /did not answer message 1 of Main Mode/ },
  MM2: { exit: 75, reason: "peer-silent", says: /did not answer message 1 of Main Mode/ },
  MM3: { exit: 75, reason: "peer-silent", says: /did not answer message 3 of Main Mode/ },
  MM4: { exit: 75, reason: "peer-silent", says: /did not answer message 3 of Main Mode/ },
  MM5: { exit: 1, reason: "psk-mismatch-probable", says: /probable PSK mismatch with 192\.0\.2\.2 \(rule peer\)/ },
  MM6: { exit: 1, reason: "psk-mismatch-probable", says: /probable PSK mismatch with 192\.0\.2\.2 \(rule peer\)/ },
  QM1: { exit: 75, reason: "peer-silent", says: /did not answer message 1 of Quick Mode/ },
  QM2: { exit: 75, reason: "peer-silent", says: /did not answer message 1 of Quick Mode/ },
} as const;

for (const [label, expected] of Object.entries(LOST_FOR_EVER))
  test(
    `${label} lost for ever: the command ends within its 30 seconds with ${expected.exit}, ${expected.reason}`,
    story(pair(), (world) => {
      world.intercept = losing(label);
      const id = world.host("A").initiate();
      world.run(29_999);
      const { exit, reason, text, hint } = world.host("A").outcome(id);
      assert.deepEqual({ exit, reason }, { exit: expected.exit, reason: expected.reason });
      assert.match(text, expected.says);
      assert.ok(hint);
      world.run(120_000);
      for (const host of world.hosts) assert.equal(host.xfrm.states.size, 0, `${host.name} keeps SAs`);
    }),
  );

test(
  "QM3 lost for ever: packets of the initiator prove that it was sent, and the responder goes on",
  story(pair(), (world) => {
    world.intercept = losing("QM3");
    bringUp(world);
    assert.equal(world.ping(world.host("B"), packet(B, A)), "acquire");
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    world.run(2000);
    assertTraffic(world);
  }),
);

test(
  "QM3 lost for ever and no traffic: the responder gives up and takes the initiator's half with it",
  story(pair(), (world) => {
    world.intercept = losing("QM3");
    bringUp(world);
    world.run(30_000);
    for (const host of world.hosts) assert.equal(host.xfrm.states.size, 0, `${host.name} keeps SAs`);
  }),
);

for (const label of MESSAGES)
  for (const ms of [0, 700, 20_000])
    test(
      `${label} that comes a second time after ${ms} ms changes nothing`,
      story(pair(), (world) => {
        world.intercept = (sent) => (sent.label === label && sent.nth === 1 ? { kind: "duplicate", ms } : undefined);
        bringUp(world);
        world.run(30_000);
        assertTraffic(world);
        // An initiator repeats by its timer alone, but for the last message of Quick Mode.
        const times = (name: string) => labels(world).filter((other) => other === name).length;
        assert.deepEqual(["MM1", "MM3", "MM5", "QM1"].map(times), [1, 1, 1, 1]);
        assert.equal(times("QM3"), label === "QM2" && ms > 0 ? 2 : 1);
        for (const name of ["A", "B"]) {
          assert.equal(childrenOf(world, name).length, 1);
          assert.equal(ikesOf(world, name).length, 1);
        }
      }),
    );

test(
  "both ends begin Main Mode at once: both commands succeed and traffic passes",
  story(pair(), (world) => {
    const [a, b] = [world.host("A"), world.host("B")];
    const [first, second] = [a.initiate(), b.initiate()];
    world.run(5000);
    assert.equal(a.outcome(first).exit, 0);
    assert.equal(b.outcome(second).exit, 0);
    assertTraffic(world);
  }),
);

test(
  "lost messages are repeated after 1, 2, 4, 8 and 12 seconds, byte for byte",
  story(pair(), (world) => {
    world.intercept = (sent) => (sent.from === A ? DROP : undefined);
    const times: number[] = [];
    const before = world.intercept;
    world.intercept = (sent) => {
      times.push(world.now);
      return before(sent);
    };
    world.host("A").initiate();
    world.run(60_000);
    assert.deepEqual(times, [0, 1000, 3000, 7000, 15_000]);
    assert.equal(new Set(world.sent.map(({ bytes }) => Buffer.from(bytes).toString("hex"))).size, 1);
  }),
);
