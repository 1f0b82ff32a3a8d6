/** Stories of peers that were never asked: what others send through this host, and messages that did not leave it. Nothing goes in clear for their silence. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Path } from "../../ike/input.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, ikesOf, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;
/** A host behind A, or an address that A gets later. */
const BEHIND = "192.0.2.11";

const respond: RuleText = { action: '"respond"' };
const traffic = (action: string, more: RuleText = {}): RuleText => ({ action: `"${action}"`, start: '"on-traffic"', ...more });
const softOf = (world: World) => world.host("A").engine.view(world.now).softSas;

/** A has a rule for BEHIND, and does not know that address. */
const others = (action: string): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A, BEHIND], policy: policyOf(configuration([{ filters: `["${BEHIND} <-> ${B}"]`, ...traffic(action) }])) },
    { name: "B", addresses: [B], policy: policyOf(towards(BEHIND, respond)) },
  ],
});
const knowing = (world: World, ...addresses: readonly string[]): void => world.host("A").input({ type: "addresses", addresses });
const COUNTED = "acquire for a packet of another host";

for (const action of ["require", "request"])
  test(
    `${action} in transport mode for another host: nobody is asked, nothing goes in clear, and one line says why and what to write`,
    story(others(action), (world) => {
      knowing(world, A);
      world.run(SECOND);
      const arrivals = world.traffic(world.host("A"), packet(BEHIND, B), SECOND);
      world.run(10 * MINUTE);
      assert.ok(arrivals.length > 500 && arrivals.every(({ arrival }) => arrival === "acquire"));
      assert.deepEqual([world.sent, softOf(world), ikesOf(world, "A")], [[], [], []]);
      const failed = world.host("A").events.filter(({ event }) => event === "child.failed");
      assert.equal(failed.length, 1);
      assert.match(failed[0]?.text ?? "", /rule peer.*192\.0\.2\.11 is no address of this host, and in transport mode/);
      assert.equal(failed[0]?.reason, "not-our-address");
      assert.match(failed[0]?.hint ?? "", /mode = "tunnel"/);
      assert.ok((world.host("A").engine.counters().get(COUNTED) ?? 0) > 500);
    }),
  );

test(
  "a packet from an address of ours that we hear of a moment later asks at once, without a word about others",
  story(others("require"), (world) => {
    knowing(world, A);
    world.run(SECOND);
    assert.equal(world.ping(world.host("A"), packet(BEHIND, B)), "acquire");
    world.run(300);
    assert.deepEqual(world.sent, []);
    knowing(world, A, BEHIND);
    world.run(SECOND);
    assert.equal(world.ping(world.host("A"), packet(BEHIND, B)), "protected");
    world.run(10 * SECOND);
    assert.ok(!said(world.host("A")).some((text) => text.includes("no address of this host")));
  }),
);

test(
  "an address that goes and comes again is told about again, and what was asked for long ago is not taken up",
  story(others("require"), (world) => {
    knowing(world, A);
    world.run(SECOND);
    const told = (): number => said(world.host("A")).filter((text) => text.includes("no address of this host")).length;
    world.ping(world.host("A"), packet(BEHIND, B));
    world.run(MINUTE);
    assert.equal(told(), 1);
    knowing(world, A, BEHIND);
    world.run(SECOND);
    assert.deepEqual(world.sent, []);
    knowing(world, A);
    world.run(SECOND);
    world.ping(world.host("A"), packet(BEHIND, B));
    world.run(MINUTE);
    assert.equal(told(), 2);
  }),
);

/** Of A's messages, those for which `kept` says so never leave, and A hears why. */
function keep(world: World, kept: () => boolean, why = "sendmsg EPERM"): void {
  const path: Path = { local: { address: A, port: 500 }, remote: { address: B, port: 500 } };
  world.intercept = ({ from }) => {
    if (from === B) return DROP;
    if (!kept()) return undefined;
    world.after(1, () => world.host("A").input({ type: "send-failed", path, why }));
    return DROP;
  };
}

const request = traffic("request");

test(
  "request, and no message leaves this host: nothing goes in clear, the log has the reason, and it is tried again with longer pauses",
  story(pair(towards(B, request), towards(A, respond)), (world) => {
    world.run(10);
    keep(world, () => true);
    const a = world.host("A");
    const arrivals = world.traffic(a, packet(A, B), SECOND);
    world.run(10 * MINUTE);
    assert.ok(arrivals.length > 500 && arrivals.every(({ arrival }) => arrival === "acquire"));
    assert.deepEqual([softOf(world), said(a).filter((text) => text.includes("sends no IKE packet"))], [[], []]);
    const failed = a.events.filter(({ event }) => event === "child.failed");
    assert.ok(failed.length > 3 && failed.length < 20);
    assert.ok(failed.every(({ reason, text }) => reason === "not-sent" && /EPERM; .*was not asked, so nothing goes in clear/.test(text)));
    // Messages leave again, and the peer answers.
    world.intercept = () => undefined;
    world.run(2 * MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "protected");
    assertTraffic(world);
  }),
);

test(
  "request, and messages leave only after a while: the peer has its time from then on, and falls silent as any other",
  story(pair(towards(B, request), towards(A, respond)), (world) => {
    world.run(10);
    const from = world.now;
    keep(world, () => world.now < from + 2500);
    world.ping(world.host("A"), packet(A, B));
    // The message of the third second leaves.
    world.run(5900);
    assert.deepEqual(softOf(world), []);
    world.run(300);
    assert.equal(softOf(world).length, 1);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "clear");
  }),
);

test(
  "request, and only the first message left: the peer was asked and is silent",
  story(pair(towards(B, request), towards(A, respond)), (world) => {
    world.run(10);
    const from = world.now;
    keep(world, () => world.now > from + 500);
    world.ping(world.host("A"), packet(A, B));
    world.run(3200);
    assert.equal(softOf(world).length, 1);
    world.run(MINUTE);
    assert.equal(softOf(world).length, 1);
  }),
);

test(
  "request whose fallback takes longer than all tries: the end of tries that never left opens nothing, that of others does",
  story(pair(towards(B, { ...request, "fallback-after": '"1m"' }), towards(A, respond)), (world) => {
    world.run(10);
    let mute = true;
    keep(world, () => mute);
    world.ping(world.host("A"), packet(A, B));
    world.run(50 * SECOND);
    assert.deepEqual(softOf(world), []);
    mute = false;
    world.run(MINUTE);
    world.ping(world.host("A"), packet(A, B));
    world.run(50 * SECOND);
    assert.equal(softOf(world).length, 1);
  }),
);
