/** What RFCs demand and peers rely on beyond the plain path: identities, repeats of what was refused, explanations that stay short. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, decodePayloads } from "../../isakmp/message.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { Peer, type Script } from "../sim/peer.ts";
import { hmac } from "../sim/peer-keys.ts";
import { ESP_ATTRIBUTES, IKE_ATTRIBUTES, offerEsp, offerIke } from "../sim/peer-payloads.ts";
import { configuration, PSK } from "../sim/policies.ts";
import { A, B, bringUp, childrenOf, ikesOf, pair, said } from "../sim/setting.ts";
import { against, alone, proved } from "../sim/versus.ts";
import { story, type World } from "../sim/world.ts";

/** The body of a payload that was sent in clear. */
function bodyOf(world: World, label: string, name: Payload["name"]): Uint8Array {
  const bytes = world.sent.find((sent) => sent.label === label)?.bytes ?? new Uint8Array(0);
  const header = decodeHeader(bytes);
  const payloads = header.ok ? decodePayloads(header.value.nextPayload, bytes.subarray(28)) : header;
  const found = payloads.ok && payloads.value.find((p) => p.name === name);
  assert.ok(found);
  return found.raw;
}

/** Message 5 with another protocol and port beside the address, and an honest proof of it. */
const identity = (world: World, known: () => Peer, protocol: number, port: number): Script => ({
  edit: {
    MM5: ([plain]) => {
      const { keys, cookieI, cookieR } = known();
      assert.ok(plain?.name === "id" && keys);
      const id = payload("id", { ...plain.value, protocol, port });
      const publics = [bodyOf(world, "MM3", "ke"), bodyOf(world, "MM4", "ke")];
      return [id, payload("hash", { data: hmac(keys.skeyid, ...publics, cookieI, cookieR, bodyOf(world, "MM1", "sa"), id.raw) })];
    },
  },
});

for (const [protocol, port, good] of [
  [0, 0, true],
  [17, 500, true],
  [17, 0, true],
  [6, 0, false],
  [0, 80, false],
  [17, 53, false],
] as const)
  test(
    `protocol ${protocol} and port ${port} in the identity of phase 1 are ${good ? "taken" : "an error"} (RFC 2407 §4.6.2)`,
    against({}, (world) => {
      const peer: Peer = new Peer(
        world,
        B,
        A,
        identity(world, () => peer, protocol, port),
      );
      peer.start();
      world.run(1000);
      assert.equal(ikesOf(world, "A").filter(({ state }) => state === "established").length, good ? 1 : 0);
      if (!good) assert.ok(said(world.host("A"), "warning").some((text) => text.includes(`protocol ${protocol} and port ${port}`)));
    }),
  );

test(
  "a refusal that was lost is given again when message 1 of Quick Mode is repeated",
  against({ edit: { QM1: ([, ...rest]) => [offerEsp(0x3000, ESP_ATTRIBUTES.slice(0, 4)), ...rest] } }, (world, peer) => {
    proved(world, peer);
    peer.quick();
    world.run(100);
    const first = peer.notifies.filter((type) => type === NOTIFY["NO-PROPOSAL-CHOSEN"]).length;
    assert.equal(first, 1);
    const request = world.sent.findLast(({ label }) => label === "QM1");
    const answer = world.sent.findLast(({ label }) => label === "INFO");
    assert.ok(request && answer);
    world.deliver(B, A, request.bytes);
    world.run(100);
    const again = world.sent.filter(({ label, bytes }) => label === "INFO" && Buffer.compare(bytes, answer.bytes) === 0);
    assert.equal(again.length, 2, "the same datagram");
    world.run(200_000);
    world.deliver(B, A, request.bytes);
    world.run(100);
    assert.equal(world.sent.filter(({ label }) => label === "INFO").length, 2, "not for ever");
  }),
);

test("a refused offer is explained in a few lines, however much is offered and configured", () => {
  const rules = Array.from({ length: 200 }, (_, i) => ({ name: `"r${i}"`, filters: `["me:${i + 1} <-> ${B} tcp"]` }));
  const alien = IKE_ATTRIBUTES.filter(({ type }) => type !== 14);
  story(alone(configuration(rules)), (world) => {
    const a = world.host("A");
    const longest = () => Math.max(...said(a).map((text) => text.length));
    const peer = new Peer(world, B, A, { edit: { MM1: () => [offerIke(alien)] } });
    peer.start();
    world.run(100);
    assert.ok(peer.notifies.includes(NOTIFY["NO-PROPOSAL-CHOSEN"]));
    peer.script = {};
    proved(world, peer);
    peer.quick();
    world.run(100);
    assert.ok(peer.notifies.includes(NOTIFY["INVALID-ID-INFORMATION"]));
    assert.ok(longest() < 2000, `${longest()} characters`);
  })();
});

test("a rule with an identity of ours of its own is not served by an IKE SA in which we were somebody else", () => {
  const rule = (name: string, filter: string, id: string) => ({
    name: `"${name}"`,
    filters: `["${filter}"]`,
    auth: `[{ method = "psk", secret = "${PSK}", ${id} }]`,
  });
  const ours = configuration([
    rule("one", `me <-> ${B}:1 tcp`, 'local-id = "fqdn:one.example.test"'),
    rule("two", `me <-> ${B}:2 tcp`, 'local-id = "fqdn:two.example.test"'),
  ]);
  const theirs = configuration([
    rule("one", `me:1 <-> ${A} tcp`, 'remote-id = "fqdn:one.example.test"'),
    rule("two", `me:2 <-> ${A} tcp`, 'remote-id = "fqdn:two.example.test"'),
  ]);
  story(pair(ours, theirs), (world) => {
    bringUp(world, world.host("A"), "one");
    bringUp(world, world.host("A"), "two");
    assert.equal(childrenOf(world, "B").length, 2);
    assert.deepEqual(
      ikesOf(world, "B").map(({ remoteId }) => remoteId),
      ["fqdn:one.example.test", "fqdn:two.example.test"],
    );
  })();
});

test(
  "an IKE SA that went quiet serves again as soon as the peer is heard under it",
  against({ raw: { QM2: () => null, MM2: () => null } }, (world, peer) => {
    proved(world, peer);
    const { cookieI, cookieR, keys, lastBlock } = peer;
    const a = world.host("A");
    a.initiate();
    world.run(40_000);
    // The peer that A called in vain forgot its own SA for it; a real one would not.
    Object.assign(peer, { script: {}, cookieI, cookieR, keys, lastBlock });
    peer.quick();
    world.run(100);
    const begun = world.sent.filter(({ label }) => label === "MM1").length;
    a.command({ name: "terminate", target: { kind: "child", id: childrenOf(world, "A")[0]?.id ?? 0 } });
    world.run(100);
    bringUp(world, a);
    assert.equal(world.sent.filter(({ label }) => label === "MM1").length, begun);
  }),
);
