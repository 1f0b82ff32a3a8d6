/** Stories of what happens between and after negotiations: liveness, idle pairs, renewal of IKE SAs, limits, deletes, back-off. */
import assert from "node:assert/strict";
import test from "node:test";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { DROP } from "./network.ts";
import { notify } from "./peer-payloads.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair, said } from "./setting.ts";
import { against, proved } from "./versus.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;

const live = (world: World, name: string) => childrenOf(world, name).filter(({ state }) => state === "installed" || state === "rekeying");
const both = (world: World, ms: number) => [
  world.traffic(world.host("A"), packet(A, B), ms),
  world.traffic(world.host("B"), packet(B, A), ms),
];
const ON_TRAFFIC = { start: '"on-traffic"' };

test(
  "an unused pair is let go instead of renewed, with a delete, and the next packet brings up another",
  story(pair(towards(B, ON_TRAFFIC), towards(A, ON_TRAFFIC)), (world) => {
    const a = world.host("A");
    world.run(10);
    world.ping(a, packet(A, B));
    world.run(SECOND);
    assertTraffic(world);
    world.run(5 * MINUTE);
    assert.equal(live(world, "A")[0]?.rekeys, 1, "renewed once, since it was used");
    world.run(5 * MINUTE);
    assert.deepEqual([live(world, "A"), live(world, "B")], [[], []]);
    assert.ok(said(a).some((text) => text.includes("idle, let go")));
    assert.equal(world.ping(a, packet(A, B)), "acquire");
    world.run(SECOND);
    assertTraffic(world);
  }),
);

test(
  "a rule with start = now keeps its pair although nobody uses it",
  story(pair(towards(B, { start: '"now"' }), towards(A, ON_TRAFFIC)), (world) => {
    world.run(30 * MINUTE);
    assert.equal(live(world, "A").length, 1);
    assert.ok((live(world, "A")[0]?.rekeys ?? 0) >= 6);
  }),
);

test(
  "an IKE SA is renewed before it ends; its children move to the new one, and the old one is deleted ten seconds later",
  story(pair(towards(B, {}, { mainLife: "10m" }), towards(A, {}, { mainLife: "10m" })), (world) => {
    bringUp(world);
    const streams = both(world, SECOND);
    const [first] = ikesOf(world, "A");
    world.run(9 * MINUTE + 30 * SECOND);
    for (const name of ["A", "B"]) {
      const ikes = ikesOf(world, name);
      assert.deepEqual([ikes.length, ikes[0]?.id === first?.id], [1, false], name);
      for (const child of live(world, name)) assert.equal(child.ike, ikes[0]?.id, `${name}: a child without its parent`);
    }
    for (const stream of streams) assert.ok(stream.every(({ arrival }) => arrival === "protected"));
    assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 2);
  }),
);

test(
  "the responder renews an IKE SA that its initiator does not renew",
  story(pair(towards(B, {}, { mainLife: "10m", quickLife: "60m" }), towards(A, {}, { mainLife: "10m", quickLife: "60m" })), (world) => {
    bringUp(world);
    world.intercept = (sent) => (sent.label === "MM1" && sent.from === A ? DROP : undefined);
    world.run(9 * MINUTE + 50 * SECOND);
    assert.ok(ikesOf(world, "B").some(({ role, state }) => role === "initiator" && state === "established"));
  }),
);

test(
  "both ends renew the IKE SA at once: both new ones stand, none is deleted, and no child is lost",
  story(pair(towards(B, {}, { mainLife: "10m" }), towards(A, {}, { mainLife: "10m" })), (world) => {
    bringUp(world);
    const streams = both(world, SECOND);
    world.run(8 * MINUTE);
    // A's messages 1 wait until B begins as well.
    const held: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] = [];
    world.intercept = (sent) => {
      if (sent.label !== "MM1") return undefined;
      held.push(sent);
      return DROP;
    };
    world.runUntil("both renew", () => [A, B].every((address) => held.some(({ from }) => from === address)), 2 * MINUTE);
    world.intercept = () => undefined;
    for (const { from, to, bytes } of [A, B].flatMap((address) => held.filter((sent) => sent.from === address).slice(-1)))
      world.deliver(from, to, bytes);
    world.run(20 * MINUTE);
    for (const stream of streams) assert.ok(stream.every(({ arrival }) => arrival === "protected"));
    for (const name of ["A", "B"]) assert.ok(ikesOf(world, name).length <= 2, `${name}: ${ikesOf(world, name).length} IKE SAs`);
  }),
);

for (const [what, mainMode] of [
  ["master-pfs", "{ master-pfs = true }"],
  ["quick-modes = 2", "{ quick-modes = 2 }"],
] as const)
  test(
    `${what}: a new Main Mode when the Quick Modes are used up, two IKE SAs at most, no packet lost`,
    story(pair(towards(B, { "main-mode": mainMode }), towards(A, { "main-mode": mainMode })), (world) => {
      bringUp(world);
      const streams = both(world, SECOND);
      world.run(16 * MINUTE);
      const mainModes = world.sent.filter(({ label }) => label === "MM1").length;
      assert.equal(mainModes, what === "master-pfs" ? 5 : 3);
      for (const stream of streams) assert.ok(stream.every(({ arrival }) => arrival === "protected"));
      for (const name of ["A", "B"]) {
        assert.ok(ikesOf(world, name).length <= 2);
        for (const { quickModes } of ikesOf(world, name)) assert.ok(quickModes <= 2);
      }
    }),
  );

test(
  "a responder with master-pfs refuses a second Quick Mode, and an initiator without it goes on under a new Main Mode, without a lost packet",
  story(pair(towards(B), towards(A, { "main-mode": "{ master-pfs = true }" })), (world) => {
    bringUp(world);
    const streams = both(world, SECOND);
    world.run(10 * MINUTE);
    assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 3);
    assert.ok(world.host("B").events.some(({ reason }) => reason === "quick-mode-limit"));
    for (const stream of streams) assert.ok(stream.every(({ arrival }) => arrival === "protected"));
  }),
);

test(
  "a peer that dies is asked and given up, and a rule with start = now comes back when it does",
  story(pair(towards(B, { start: '"now"', dpd: '"20s"' }), towards(A)), (world) => {
    world.run(SECOND);
    assertTraffic(world);
    world.traffic(world.host("A"), packet(A, B), SECOND);
    world.intercept = () => DROP;
    world.run(MINUTE + 20 * SECOND);
    assert.equal(live(world, "A").length, 0);
    assert.ok(said(world.host("A"), "warning").some((text) => text.includes("taken for dead")));
    world.intercept = () => undefined;
    world.run(2 * MINUTE);
    assertTraffic(world);
  }),
);

test(
  "a peer that lives is asked nothing as long as packets come in, and nothing while nothing goes out",
  story(pair(towards(B, { dpd: '"10s"' }), towards(A, { dpd: '"10s"' })), (world) => {
    bringUp(world);
    assertTraffic(world);
    const before = world.sent.length;
    world.run(MINUTE);
    world.traffic(world.host("A"), packet(A, B), SECOND);
    world.traffic(world.host("B"), packet(B, A), SECOND);
    world.run(2 * MINUTE);
    assert.deepEqual(world.sent.slice(before), []);
  }),
);

test(
  "a peer that lost its pair, with its delete: nothing comes back, and one new pair is tried",
  story(pair(), (world) => {
    bringUp(world);
    const b = world.host("B");
    world.intercept = () => DROP;
    b.command({ name: "terminate", target: { kind: "child", id: childrenOf(world, "B")[0]?.id ?? 0 } });
    world.run(20 * SECOND);
    world.intercept = () => undefined;
    const stream = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(2 * MINUTE + 10 * SECOND);
    assert.equal(stream.at(-1)?.arrival, "protected");
  }),
);

test(
  "a lost delete is said again: twice within five seconds",
  story(pair(), (world) => {
    bringUp(world);
    let lost = 0;
    world.intercept = (sent) => (sent.label === "INFO" && lost++ < 2 ? DROP : undefined);
    world.host("A").command({ name: "terminate", target: { kind: "child", id: childrenOf(world, "A")[0]?.id ?? 0 } });
    world.run(6 * SECOND);
    assert.deepEqual(childrenOf(world, "B"), []);
  }),
);

test(
  "INVALID-COOKIE and INVALID-SPI in clear make us ask, once in ten seconds, and end nothing",
  story(pair(), (world) => {
    bringUp(world);
    assertTraffic(world);
    const [ike] = ikesOf(world, "A");
    assert.ok(ike);
    const header = Buffer.from(`${ike.initiatorCookie}${ike.responderCookie}0b10050000000001`, "hex");
    const body = Buffer.from([0, 0, 0, 12, 0, 0, 0, 1, 1, 0, 0, 0]);
    const before = world.sent.length;
    for (let i = 0; i < 50; i++) {
      body.writeUInt16BE(i % 2 ? NOTIFY["INVALID-COOKIE"] : NOTIFY["INVALID-SPI"], 10);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(28 + body.length);
      world.deliver(B, A, Buffer.concat([header, length, body]), true);
      world.run(200);
    }
    const asked = world.sent.slice(before).filter(({ from }) => from === A).length;
    assert.ok(asked >= 1 && asked <= 2, `${asked} questions`);
    assertTraffic(world);
  }),
);

test(
  "a peer that announces no dead peer detection gets no R-U-THERE; its silence costs a Quick Mode, then a Main Mode, then the pair's renewal fails",
  against(
    {},
    (world, peer) => {
      proved(world, peer);
      peer.quick();
      world.run(100);
      peer.script = { raw: { QM2: () => null, MM2: () => null } };
      world.attach(B, () => {});
      world.traffic(world.host("A"), packet(A, B), SECOND);
      const before = world.sent.length;
      world.run(100 * SECOND);
      const labels = world.sent.slice(before).map(({ label }) => label);
      assert.ok(labels.includes("QM1"), "a Quick Mode");
      assert.ok(labels.includes("MM1"), "a Main Mode");
      assert.ok(!labels.includes("INFO"), "no R-U-THERE");
    },
    towards(B, { ...ON_TRAFFIC, dpd: '"20s"' }),
  ),
);

test(
  "traffic towards a peer that does not answer begins a Main Mode less and less often, but at least once a minute",
  story(pair(towards(B, ON_TRAFFIC), towards(A)), (world) => {
    world.intercept = () => DROP;
    const a = world.host("A");
    world.traffic(a, packet(A, B), SECOND);
    const starts: number[] = [];
    world.intercept = (sent) => {
      if (sent.label === "MM1" && !starts.some((at) => world.now - at < 27_000)) starts.push(world.now);
      return DROP;
    };
    world.run(20 * MINUTE);
    const gaps = starts.slice(1).map((at, i) => at - (starts[i] ?? 0));
    assert.ok(Math.max(...gaps) <= 90 * SECOND, "a minute and a try at most");
    assert.ok((gaps.at(-1) ?? 0) > (gaps[0] ?? 0), "the waits grow");
  }),
);

test(
  "three hundred rules that come up by themselves: a hundred Main Modes begin at once, the others at two hundred a second",
  story(
    {
      hosts: [
        {
          name: "A",
          addresses: [A],
          policy: policyOf(
            configuration(
              Array.from({ length: 300 }, (_, i) => ({
                name: `"r${i}"`,
                filters: `["me <-> 198.18.${i >> 8}.${i & 255}"]`,
                start: '"now"',
              })),
            ),
          ),
        },
      ],
    },
    (world) => {
      world.run(0);
      const atOnce = world.sent.filter(({ label }) => label === "MM1").length;
      assert.ok(atOnce >= 90 && atOnce <= 110, `${atOnce} at once`);
      world.run(500);
      const later = world.sent.filter(({ label, nth }) => label === "MM1" && nth > 0).length - atOnce;
      assert.ok(later >= 90 && later <= 110, `${later} in half a second`);
      world.run(SECOND);
      assert.equal(new Set(world.sent.map(({ to }) => to)).size, 300);
    },
  ),
);

test(
  "INITIAL-CONTACT leaves what was made under the SA that says so",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    const before = childrenOf(world, "A").map(({ id }) => id);
    peer.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
    world.run(100);
    assert.deepEqual(
      childrenOf(world, "A").map(({ id }) => id),
      before,
      "made under the SA that says so",
    );
  }),
);
