/** Stories of SAs with keys from the file. */
import assert from "node:assert/strict";
import test from "node:test";
import { policyOf } from "./policies.ts";
import { A, assertTraffic, B, ikesOf, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const [ONE, OTHER] = ["11".repeat(36), "22".repeat(36)];

/** Both ends of one pair: what one sends with, the other receives with. */
const manual = (side: "A" | "B", more: Readonly<Record<string, string>> = {}): string => {
  const [local, remote] = side === "A" ? [A, B] : [B, A];
  const [keyIn, keyOut] = side === "A" ? [ONE, OTHER] : [OTHER, ONE];
  const [spiIn, spiOut] = side === "A" ? ["0x1001", "0x1002"] : ["0x1002", "0x1001"];
  const keys = {
    ...{ name: '"printer"', filters: `["me <-> ${remote}:80 tcp", "me:80 <-> ${remote} tcp"]`, local: `"${local}"`, remote: `"${remote}"` },
    ...{ protection: '"esp:aes128-sha1"', "spi-in": spiIn, "spi-out": spiOut },
    ...{ "key-in": `"0x${keyIn}"`, "key-out": `"0x${keyOut}"` },
    ...more,
  };
  return `[[sa]]\n${Object.entries(keys)
    .map(([key, value]) => `${key} = ${value}`)
    .join("\n")}\n`;
};

const scene = (options: WorldOptions, tell: (world: World) => void): (() => void) =>
  story(options, (world) => {
    world.run(10);
    tell(world);
  });

test(
  "a manual pair protects its filters at once and for ever, and nothing is negotiated",
  scene(pair(manual("A"), manual("B")), (world) => {
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    assert.equal(world.ping(world.host("B"), { ...packet(B, A), sourcePort: 80, destinationPort: 40000 }), "protected");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 22 }), "clear");
    world.run(24 * 3_600_000);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    assert.deepEqual([world.sent.length, ikesOf(world, "A").length], [0, 0]);
    for (const { sa } of world.host("A").xfrm.states.values()) assert.deepEqual([sa.replayWindow, sa.limits.hardSeconds], [0, null]);
  }),
);

// Read before the world begins, which counts the keys that are made in it.
const [AGAIN, CHANGED] = [policyOf(`${manual("A")}# the same again\n`), policyOf(manual("A", { "spi-in": "0x2001" }))];
test(
  "a reload keeps a manual pair that is what it was, exchanges one that changed, and takes away one that is gone",
  scene(pair(manual("A"), manual("B")), (world) => {
    const a = world.host("A");
    const before = [...a.xfrm.states.values()];
    a.input({ type: "policy", policy: AGAIN });
    world.run(10);
    assert.deepEqual([...a.xfrm.states.values()], before);
    a.input({ type: "policy", policy: CHANGED });
    world.run(10);
    assert.deepEqual(
      [...a.xfrm.states.values()].map(({ sa }) => sa.spi).sort((x, y) => x - y),
      [0x1002, 0x2001],
    );
    a.input({ type: "policy", policy: policyOf("") });
    world.run(10);
    assert.deepEqual([a.xfrm.states.size, a.xfrm.policies.size], [0, 0]);
  }),
);

test(
  "a manual pair that an earlier run has left is made anew, and does not stay after the stop",
  scene(pair(manual("A"), manual("B")), (world) => {
    world.host("A").journal = [];
    world.host("A").crash();
    world.run(10);
    assert.equal(world.host("A").xfrm.states.size, 2);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
  }),
);

test(
  "an SPI that somebody else has: said with the name of the pair, and nothing of it is left",
  story(pair(manual("A"), manual("B")), (world) => {
    const a = world.host("A");
    a.refuse = (command) => (command.do === "add-sa" && command.sa.spi === 0x1002 ? "exists" : undefined);
    world.run(10);
    assert.equal(a.xfrm.states.size, 0);
    assert.ok(said(a, "error").some((text) => text.includes("manual SA printer")));
    // Its policies stand: what should be protected does not go in clear.
    assert.equal(world.ping(a, packet(A, B)), "acquire");
  }),
);

test(
  "a tunnel with keys from the file",
  scene(
    pair(
      manual("A", { mode: '"tunnel"', filters: '["10.1.0.0/16 <-> 10.2.0.0/16"]' }),
      manual("B", { mode: '"tunnel"', filters: '["10.2.0.0/16 <-> 10.1.0.0/16"]' }),
    ),
    (world) => {
      assert.equal(world.ping(world.host("A"), packet("10.1.0.1", "10.2.0.1")), "protected");
      assert.equal(world.host("A").xfrm.policies.size, 3);
    },
  ),
);

test(
  "beside a manual pair rules negotiate as ever",
  scene(pair(manual("A", { filters: `["me <-> 192.0.2.77"]`, remote: '"192.0.2.77"' }) + policyText(B), policyText(A)), (world) => {
    world.host("A").initiate();
    world.run(1000);
    assertTraffic(world);
  }),
);

function policyText(peer: string): string {
  return `[[rule]]\nname = "peer"\nfilters = ["me <-> ${peer}"]\naction = "require"\nauth = [{ method = "psk", secret = "a key for these stories" }]\n`;
}
