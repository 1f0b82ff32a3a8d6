/** Stories of doubt and patience: packets that nobody has an SA for, traffic that has to wait, a peer that is faster than its message 2. */
import assert from "node:assert/strict";
import test from "node:test";
import { payload } from "../../isakmp/payloads.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { DROP } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, packet, pair, said } from "./setting.ts";
import { against, initiated } from "./versus.ts";
import { story } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;
const ON_TRAFFIC = { start: '"on-traffic"' };

test(
  "packets with unknown SPIs make us ask the peer that was silent for the longest time, once in ten seconds, and end nothing",
  story(pair(), (world) => {
    bringUp(world);
    assertTraffic(world);
    world.run(20 * SECOND);
    const before = world.sent.length;
    for (let i = 0; i < 50; i++) {
      world.host("A").kernelEvents([{ type: "unknown-spis", packets: 1000 }]);
      world.run(200);
    }
    const asked = world.sent.slice(before).filter(({ from }) => from === A);
    assert.ok(asked.length >= 1 && asked.length <= 2, `${asked.length} questions`);
    assert.ok(asked.every(({ label }) => label === "INFO"));
    assertTraffic(world);
  }),
);

test(
  "a peer that goes on with what we have no more is asked when the kernel counts its packets, long before its silence would show",
  story(pair(towards(B, { ...ON_TRAFFIC, dpd: '"120s"' }), towards(A, { ...ON_TRAFFIC, dpd: '"none"' })), (world) => {
    bringUp(world);
    for (const [from, to] of [
      ["A", packet(A, B)],
      ["B", packet(B, A)],
    ] as const)
      world.traffic(world.host(from), to, SECOND);
    world.run(20 * SECOND);
    // B has lost the pair, and with it whatever A sends.
    world.reboot(world.host("B"));
    world.host("B").policy = policyOf(towards(A, ON_TRAFFIC));
    world.intercept = (sent) => (sent.from === B && sent.label === "MM1" ? DROP : undefined);
    const before = world.sent.length;
    world.run(15 * SECOND);
    world.host("A").kernelEvents([{ type: "unknown-spis", packets: 15 }]);
    world.run(40 * SECOND);
    assert.ok(
      world.sent.slice(before).some(({ from, label }) => from === A && label === "MM1"),
      "a Main Mode of A's",
    );
    assertTraffic(world);
  }),
);

test(
  "what traffic asks for while a peer is left alone begins when that time is over, once",
  story(pair(towards(B, ON_TRAFFIC), towards(A)), (world) => {
    world.intercept = () => DROP;
    const a = world.host("A");
    world.run(10);
    assert.equal(world.ping(a, packet(A, B)), "acquire");
    world.runUntil("the end of the first try", () => said(a, "warning").length > 0, 40 * SECOND);
    const before = world.sent.length;
    assert.equal(world.ping(a, packet(A, B)), "acquire");
    world.run(SECOND);
    assert.equal(world.sent.length, before, "held off");
    world.intercept = () => undefined;
    world.run(6 * SECOND);
    assertTraffic(world);
  }),
);

test(
  "traffic that was held off once is not tried for ever",
  story(pair(towards(B, ON_TRAFFIC), towards(A)), (world) => {
    world.intercept = () => DROP;
    const a = world.host("A");
    world.run(10);
    world.ping(a, packet(A, B));
    world.runUntil("the end of the first try", () => said(a, "warning").length > 0, 40 * SECOND);
    world.ping(a, packet(A, B));
    world.run(2 * MINUTE);
    const before = world.sent.length;
    world.run(30 * MINUTE);
    assert.equal(world.sent.length, before);
  }),
);

test(
  "towards a peer that would send on a new pair before its message 2 has left we renew late, so that it does",
  against(
    {
      edit: {
        MM2: (payloads) => [
          ...payloads,
          payload("vid", { data: VENDOR_IDS.FRAGMENTATION.bytes }),
          payload("vid", { data: VENDOR_IDS.DPD.bytes }),
        ],
      },
    },
    (world) => {
      initiated(world);
      const begun = (): readonly number[] => childrenOf(world, "A").map(({ rekeys }) => rekeys);
      world.run(255 * SECOND - world.now);
      assert.deepEqual(begun(), [0]);
      world.traffic(world.host("A"), packet(A, B), SECOND);
      world.run(20 * SECOND);
      assert.ok(begun().includes(1), "but not never");
    },
    towards(B, { dpd: '"none"' }),
  ),
);
