/** What must go on working for hours, with peers that ask a lot, and what a peer that has proved itself can make us keep. */
import assert from "node:assert/strict";
import test from "node:test";
import { basic } from "../../isakmp/attributes.ts";
import { NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { Peer } from "../sim/peer.ts";
import { u32 } from "../sim/peer-keys.ts";
import { IKE_ATTRIBUTES, notify, offerIke } from "../sim/peer-payloads.ts";
import { configuration, towards } from "../sim/policies.ts";
import { A, B, bringUp, childrenOf, ikesOf, pair } from "../sim/setting.ts";
import { against, alone, octetsOf, proved } from "../sim/versus.ts";
import { inWorld, story, type World } from "../sim/world.ts";

const ofPort = (address: readonly number[], port: number): Payload =>
  payload("id", { type: 1, protocol: 6, port, data: Uint8Array.from(address) });

/** A peer each of whose Quick Modes asks for another port of ours. */
function portAfterPort(world: World): Peer {
  let port = 0;
  const fitting = (payloads: readonly Payload[]) => payloads.filter((p) => p.name === "nonce" || p.name === "sa");
  return new Peer(world, B, A, {
    edit: { QM1: (payloads) => [...fitting(payloads), ofPort([192, 0, 2, 2], 0), ofPort([192, 0, 2, 1], ++port)] },
  });
}

test("R-U-THERE every five seconds for a day: the last is answered as the first", () => {
  const day = IKE_ATTRIBUTES.map((attribute) => (attribute.type === 12 ? basic(12, 65_535) : attribute));
  inWorld(alone(towards(B, {}, { mainLife: "18h" })), (world) => {
    const peer = new Peer(world, B, A, { edit: { MM1: () => [offerIke(day)] } });
    world.run(10);
    proved(world, peer);
    const cookies = Buffer.concat([peer.cookieI, peer.cookieR]);
    const times = 12_000;
    for (let i = 0; i < times; i++) {
      peer.inform([notify(NOTIFY["R-U-THERE"], PROTOCOL.ISAKMP, cookies, u32(i))]);
      world.run(5000);
    }
    assert.equal(peer.notifies.filter((type) => type === NOTIFY["R-U-THERE-ACK"]).length, times);
    world.end();
  });
});

test(
  "R-U-THERE with an older number than the last is a replay (RFC 3706 §6); the last number again is asked anew",
  against({}, (world, peer) => {
    proved(world, peer);
    const cookies = Buffer.concat([peer.cookieI, peer.cookieR]);
    const answers = (): number => peer.notifies.filter((type) => type === NOTIFY["R-U-THERE-ACK"]).length;
    const ask = (sequence: number, messageId: number): number => {
      const before = answers();
      peer.inform([notify(NOTIFY["R-U-THERE"], PROTOCOL.ISAKMP, cookies, u32(sequence))], messageId);
      world.run(100);
      return answers() - before;
    };
    assert.equal(ask(7, 101), 1);
    assert.equal(ask(8, 102), 1);
    assert.equal(ask(8, 103), 1, "the answer was lost, and the peer asks again");
    assert.equal(ask(7, 104), 0);
    assert.equal(ask(8, 103), 0, "the same datagram");
    assert.equal(ask(0xffff_ffff, 105), 0, "far behind");
    assert.equal(ask(9, 106), 1);
  }),
);

test(
  "an IKE SA whose message ids are used up: the next child begins under a new one",
  story({ ...alone(configuration([{ filters: `["me <-> ${B}"]` }])) }, (world) => {
    const peer = new Peer(world, B, A);
    world.run(10);
    const a = world.host("A");
    bringUp(world, a);
    for (let i = 0; i < 16_400; i++) {
      peer.inform([notify(24_579)]);
      if (i % 1000 === 0) world.run(100);
    }
    world.run(100);
    a.command({ name: "terminate", target: { kind: "child", id: childrenOf(world, "A")[0]?.id ?? 0 } });
    world.run(1000);
    bringUp(world, a);
    assert.equal(ikesOf(world, "A").length, 2);
  }),
);

test(
  "three hundred children within three minutes: each gets its answer",
  against({}, (world) => {
    const peer = portAfterPort(world);
    proved(world, peer);
    for (let i = 0; i < 300; i++) {
      peer.quick();
      world.run(50);
    }
    assert.equal(childrenOf(world, "A").length, 300);
  }),
);

test(
  "a peer that makes one IKE SA after another: the newest 64 are kept, and the children stay",
  against({}, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    for (let i = 1; i <= 80; i++) proved(world, new Peer(world, B, A, { cookie: octetsOf(8, i) }));
    const kept = ikesOf(world, "A");
    assert.equal(kept.length, 64);
    assert.ok(kept.some(({ initiatorCookie }) => initiatorCookie === "50".repeat(8)));
    assert.equal(childrenOf(world, "A").length, 1);
  }),
);

test(
  "INITIAL-CONTACT takes the children too whose IKE SA ended before",
  against(
    {},
    (world, peer) => {
      proved(world, peer);
      peer.quick();
      // It answers no renewal.
      peer.script = { raw: { MM2: () => null } };
      world.run(90_000);
      peer.script = {};
      assert.deepEqual([ikesOf(world, "A").length, childrenOf(world, "A").length], [0, 1]);
      const fresh = new Peer(world, B, A, { cookie: octetsOf(8) });
      proved(world, fresh);
      fresh.inform([notify(NOTIFY["INITIAL-CONTACT"])]);
      world.run(100);
      assert.deepEqual(childrenOf(world, "A"), []);
    },
    towards(B, {}, { mainLife: "1m", quickLife: "60m" }),
  ),
);

test(
  "a soft limit that comes while traffic already asks for a new pair in vain: the pair is renewed all the same",
  against(
    {},
    (world, peer) => {
      const a = world.host("A");
      proved(world, peer);
      peer.quick();
      world.run(100);
      peer.script = { raw: { QM2: () => null, MM2: () => null } };
      world.run(200_000);
      const [state] = a.xfrm.states.values();
      assert.ok(state);
      a.xfrm.setCounters(state.sa, { octets: 100, packets: 1 });
      const { reqid, source, destination, spi } = state.sa;
      const packet = { source: A, destination: B, ipProtocol: 0, sourcePort: 0, destinationPort: 0 };
      a.kernelEvents([{ type: "acquire", protocol: "esp", reqid, ...packet }]);
      a.kernelEvents([{ type: "expire", hard: false, sa: { source, destination, protocol: "esp", spi }, reqid }]);
      world.run(34_500);
      peer.script = {};
      world.run(20_000);
      assert.equal(childrenOf(world, "A").at(-1)?.rekeys, 1);
    },
    towards(B, { start: '"on-traffic"' }),
  ),
);

test(
  "INVALID-SPI about something else ends no Quick Mode",
  against({ raw: { QM2: () => null } }, (world, peer) => {
    const id = world.host("A").initiate();
    world.run(100);
    peer.inform([notify(NOTIFY["INVALID-SPI"], PROTOCOL.ESP, u32(0x77777777))]);
    world.run(100);
    assert.equal(world.host("A").replies.get(id)?.at(-1)?.exit, undefined);
  }),
);

test(
  "commit bit: message 3 goes out again until CONNECTED comes, five times at most",
  story(alone(), (world) => {
    world.run(10);
    const peer = new Peer(world, B, A, { flags: { QM2: 2 } });
    world.host("A").initiate();
    world.run(60_000);
    assert.equal(world.sent.filter(({ label }) => label === "QM3").length, 5);
    peer.script = { flags: { QM2: 2 } };
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    world.host("A").initiate();
    world.run(2500);
    const before = world.sent.length;
    peer.connect();
    world.run(60_000);
    assert.deepEqual(
      world.sent.slice(before).flatMap(({ label }) => (label === "INFO" ? [] : [label])),
      ["QM4"],
    );
  }),
);

test(
  "a peer in another spelling is the same peer, what is no address is refused at once, and a tunnel has one end only",
  story(
    {
      hosts: pair(
        configuration([
          { filters: '["me <-> 192.0.2.0/24"]' },
          { name: '"tunnel"', mode: '"tunnel"', tunnel: `{ local = "${A}", remote = "${B}" }`, filters: '["10.1.0.0/16 <-> 10.2.0.0/16"]' },
        ]),
      ).hosts,
    },
    (world) => {
      const a = world.host("A");
      assert.equal(a.outcome(a.initiate("peer", 30, "b.example.test")).exit, 2);
      const elsewhere = a.outcome(a.initiate("tunnel", 30, "192.0.2.9"));
      assert.deepEqual([elsewhere.exit, elsewhere.text], [1, `rule tunnel is not for 192.0.2.9; its peers are ${B}`]);
      world.run(10);
    },
  ),
);
