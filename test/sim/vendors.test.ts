/** Habits of other vendors that must not cost an SA: lifetimes, selectors written otherwise, notifies, payloads and attributes of their own. */
import assert from "node:assert/strict";
import test from "node:test";
import { basic, variable } from "../../isakmp/attributes.ts";
import { ID_TYPE, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import type { PeerMessage, Script } from "./peer.ts";
import { u32 } from "./peer-keys.ts";
import { ESP_ATTRIBUTES, IKE_ATTRIBUTES, notify, offerEsp, offerIke } from "./peer-payloads.ts";
import { towards } from "./policies.ts";
import { B, childrenOf, ikesOf, said } from "./setting.ts";
import { against, assertSameKeys, initiated, octetsOf, proved, replacing } from "./versus.ts";

const lives = (seconds: number, kilobytes: number) => [basic(1, 1), variable(2, u32(seconds)), basic(1, 2), variable(2, u32(kilobytes))];
const withLives = (seconds: number, kilobytes: number) => [...ESP_ATTRIBUTES.filter(({ type }) => type > 2), ...lives(seconds, kilobytes)];
const life = (world: Parameters<typeof childrenOf>[0]) =>
  childrenOf(world, "A").map((child) => [child.lifetimeSeconds, child.lifetimeKilobytes]);

/** The offer of message 1 comes back with other lifetimes. */
const answering = (seconds: number, kilobytes: number): Script =>
  replacing("QM2", "sa", (old) => {
    assert.ok(old.name === "sa");
    const proposals = old.value.proposals.map((proposal) => ({
      ...proposal,
      transforms: proposal.transforms.map((transform) => ({
        ...transform,
        attributes: [...transform.attributes.filter(({ type }) => type > 2), ...lives(seconds, kilobytes)],
      })),
    }));
    return [payload("sa", { ...old.value, proposals })];
  });

for (const [name, seconds, kilobytes, expected] of [
  ["a day and 4,608,000 kB, as Cisco writes by default", 86_400, 4_608_000, [300, 100_000]],
  ["a minute and 1000 kB", 60, 1000, [60, 1000]],
] as const) {
  test(
    `a responder's lifetimes differ: ${name}; the shorter ones count`,
    against(answering(seconds, kilobytes), (world, peer) => {
      assert.equal(initiated(world).exit, 0);
      assertSameKeys(world, peer);
      assert.deepEqual(life(world), [expected]);
    }),
  );
  test(
    `an initiator's lifetimes differ: ${name}; the shorter ones count, and it is told where they are ours`,
    against(
      replacing("QM1", "sa", () => [offerEsp(0x7777, withLives(seconds, kilobytes))]),
      (world, peer) => {
        proved(world, peer);
        peer.quick();
        world.run(1000);
        assert.equal(peer.children.length, 1);
        assert.deepEqual(life(world), [expected]);
      },
    ),
  );
}

test("phase 1 lifetimes differ, in both directions of time: the shorter one counts", () => {
  for (const seconds of [86_400, 600])
    against(
      replacing("MM1", "sa", () => [
        offerIke([...IKE_ATTRIBUTES.filter(({ type }) => type < 11 || type > 12), basic(11, 1), variable(12, u32(seconds))]),
      ]),
      (world, peer) => {
        proved(world, peer);
        assert.equal(ikesOf(world, "A")[0]?.lifetimeSeconds, Math.min(seconds, 3600));
      },
    )();
});

test(
  "RESPONDER-LIFETIME in message 2 is obeyed, as Cisco sends it",
  against(
    {
      edit: {
        QM2: (payloads) => [
          ...payloads,
          notify(NOTIFY["RESPONDER-LIFETIME"], PROTOCOL.ESP, u32(0x2000), Uint8Array.from([0x80, 1, 0, 1, 0, 2, 0, 4, ...u32(90)])),
        ],
      },
    },
    (world, peer) => {
      assert.equal(initiated(world).exit, 0);
      assertSameKeys(world, peer);
      assert.equal(life(world)[0]?.[0], 90);
    },
  ),
);

/** A host written as a subnet of one. */
const asSubnet = (payloads: readonly Payload[]): readonly Payload[] =>
  payloads.map((p) =>
    p.name === "id"
      ? payload("id", {
          ...p.value,
          type: ID_TYPE.ID_IPV4_ADDR_SUBNET,
          data: Uint8Array.from([...p.value.data.subarray(0, 4), 255, 255, 255, 255]),
        })
      : p,
  );

test(
  "hosts come back as subnets of one address each: the same selectors",
  against({ edit: { QM2: asSubnet } }, (world, peer) => {
    assert.equal(initiated(world).exit, 0);
    assertSameKeys(world, peer);
  }),
);

test(
  "hosts are asked for as subnets of one address each: the same selectors",
  against({ edit: { QM1: asSubnet } }, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(1000);
    assertSameKeys(world, peer);
  }),
);

test(
  "a rule with two filters asks for an SA each, with one pair of selectors, since Cisco takes no more",
  against(
    {},
    (world, peer) => {
      assert.equal(initiated(world).exit, 0);
      assert.equal(peer.children.length, 2);
      assert.equal(childrenOf(world, "A").length, 2);
    },
    towards(B, { filters: `["me <-> ${B} icmp", "me <-> ${B} udp"]` }),
  ),
);

/** Private payloads, those of other protocols' numbers, and vendor ids that nobody knows. */
const STRANGE: readonly Payload[] = [
  ...[14, 49, 128, 129, 130, 131, 133, 134, 200, 255].map(
    (type): Payload => ({ name: "unknown", type, raw: octetsOf(type % 9, type), start: -1, end: -1 }),
  ),
  { name: "unknown", type: 131, raw: octetsOf(2), start: -1, end: -1 },
  payload("vid", { data: octetsOf(0) }),
  payload("vid", { data: octetsOf(300) }),
  ...Array.from({ length: 20 }, (_, i) => payload("vid", { data: octetsOf(16, i) })),
];
const strangely = (...messages: readonly PeerMessage[]): Script => ({
  edit: Object.fromEntries(messages.map((message) => [message, (payloads: readonly Payload[]) => [...payloads, ...STRANGE]])),
});

test(
  "payloads of private numbers and unknown vendor ids in every message of a responder cost nothing",
  against(strangely("MM2", "MM4", "MM6", "QM2"), (world, peer) => {
    assert.equal(initiated(world).exit, 0);
    assertSameKeys(world, peer);
    assert.deepEqual(said(world.host("A"), "warning", "error"), []);
  }),
);

test(
  "payloads of private numbers and unknown vendor ids in every message of an initiator cost nothing",
  against(strangely("MM1", "MM3", "MM5", "QM1"), (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(1000);
    assertSameKeys(world, peer);
    assert.deepEqual(said(world.host("A"), "warning", "error"), []);
  }),
);

test(
  "private attributes in both phases are no reason to refuse, and come back as they were",
  against(
    {
      edit: {
        MM1: (payloads) => [offerIke([...IKE_ATTRIBUTES, basic(16_500, 7), variable(32_000, octetsOf(40))]), ...payloads.slice(1)],
        QM1: (payloads) => [offerEsp(0x7000, [...ESP_ATTRIBUTES, basic(32_100, 1), variable(32_500, octetsOf(9))]), ...payloads.slice(1)],
      },
    },
    (world, peer) => {
      proved(world, peer);
      peer.quick();
      world.run(1000);
      assert.equal(peer.children.length, 1);
      assert.equal(childrenOf(world, "A").length, 1);
    },
  ),
);

test(
  "notifies of private numbers, in clear and sealed, end nothing and alarm nobody",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(1000);
    for (const type of [8192, 16_383 + 2, 24_579, 32_768, 40_500, 40_501, 65_535]) {
      peer.inform([notify(type, PROTOCOL.ESP, u32(0x2000), octetsOf(type % 50))]);
      peer.inform([notify(NOTIFY.EXCHANGE_INFO, PROTOCOL.ESP, new Uint8Array(0), u32(3))]);
      peer.informClear([notify(type)]);
    }
    world.run(1000);
    assertSameKeys(world, peer);
    assert.equal(ikesOf(world, "A").length, 1);
    assert.deepEqual(said(world.host("A"), "error"), []);
  }),
);
