/** What strangers can make us keep before they prove anything: bounded in entries and in octets, and out of the way of those who did. */
import assert from "node:assert/strict";
import test from "node:test";
import { encodeMessage } from "../../isakmp/message.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { offerIke } from "../sim/peer-payloads.ts";
import { towards } from "../sim/policies.ts";
import { A, B, ikesOf } from "../sim/setting.ts";
import { against, initiated, octetsOf } from "../sim/versus.ts";
import type { World } from "../sim/world.ts";

const MEBIBYTE = 2 ** 20;

/** Message 1 with the cookie `number`, from `remote`. */
function stranger(world: World, number: number, remote: string, more: readonly Payload[] = []): void {
  const initiatorCookie = new Uint8Array(8).fill(1);
  new DataView(initiatorCookie.buffer).setUint32(0, number);
  const fields = { initiatorCookie, responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
  const path = { local: { address: A, port: 500 }, remote: { address: remote, port: 500 } };
  world.host("A").engine.handle({ type: "datagram", path, bytes: encodeMessage(fields, [offerIke(), ...more]) }, world.now);
}

test(
  "messages 1 of 60,000 octets from two thousand forged addresses: 64 MiB of them are kept, the newest",
  against(
    {},
    (world) => {
      const ballast = payload("vid", { data: octetsOf(60_000) });
      for (let i = 1; i <= 2000; i++) stranger(world, i, "192.0.2.77", [ballast]);
      const kept = ikesOf(world, "A");
      assert.ok(kept.length * 60_000 <= 64 * MEBIBYTE, `${kept.length} are kept`);
      assert.ok(kept.length > 1000);
      assert.ok(kept.some(({ initiatorCookie }) => initiatorCookie.startsWith("000007d0")));
      assert.ok(kept.every(({ initiatorCookie }) => !initiatorCookie.startsWith("00000001")));
    },
    towards("192.0.2.0/24"),
  ),
);

test(
  "a peer whose message 3 is here outlives messages 1 that came after its own",
  against(
    { raw: { MM5: () => null } },
    (world, peer) => {
      peer.start();
      world.run(6);
      for (let i = 1; i < 20_000; i++) stranger(world, i, "192.0.2.77");
      world.run(100);
      for (let i = 20_000; i <= 20_100; i++) stranger(world, i, "192.0.2.77");
      const kept = ikesOf(world, "A");
      assert.equal(kept.length, 20_000);
      assert.ok(kept.some(({ initiatorCookie }) => initiatorCookie === Buffer.from(peer.cookieI).toString("hex")));
    },
    towards("192.0.2.0/24"),
  ),
);

test(
  "messages 1 with a peer's forged address do not keep us from making initial contact with it",
  against({}, (world, peer) => {
    for (let i = 1; i <= 10; i++) stranger(world, i, B);
    initiated(world);
    assert.ok(peer.notifies.includes(NOTIFY["INITIAL-CONTACT"]));
  }),
);

test(
  "a header without an offer gets no answer longer than itself",
  against({}, (world) => {
    const answers: number[] = [];
    world.attach("192.0.2.200", (bytes) => answers.push(bytes.length));
    const fields = { initiatorCookie: octetsOf(8), responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
    world.deliver("192.0.2.200", A, encodeMessage(fields, []));
    world.deliver("192.0.2.200", A, encodeMessage({ ...fields, initiatorCookie: octetsOf(8, 8) }, [offerIke()]));
    world.run(10);
    assert.deepEqual(answers, [40]);
  }),
);

test(
  "a public value of a wrong length costs no exponentiation",
  against({ edit: { MM3: (payloads) => [payload("ke", { data: octetsOf(5) }), ...payloads.slice(1)] } }, (world, peer) => {
    let made = 0;
    const { crypto } = world.tap;
    const { generateKeyPair } = crypto;
    crypto.generateKeyPair = (...all) => {
      made++;
      return generateKeyPair(...all);
    };
    peer.start();
    world.run(1000);
    assert.equal(made, 0);
    assert.ok(peer.notifies.includes(NOTIFY["INVALID-KEY-INFORMATION"]));
  }),
);
