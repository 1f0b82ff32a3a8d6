/** A daemon that kept no journal is killed and started again: what its peers send is of no use to it, and it negotiates anew at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, assertTraffic, B, childrenOf, labels, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const LONG = { quickLife: "60m" };
const rules = (...texts: readonly RuleText[]): string =>
  configuration(
    texts.map((text) => ({ start: '"on-traffic"', ...text })),
    { ...LONG, quickMode: ["esp:aes128-sha256", "esp:aes256-sha256"] },
  );
const TO_A: RuleText = { filters: `["me <-> ${A}"]` };
const OURS = rules({ filters: `["me <-> ${B}"]` });
const FRESH: RuleText = { auth: '[{ method = "psk", secret = "the key after the old one leaked" }]' };

/** A sends to B all the time; B dies, and follows another text then. What arrived from the third second after that on. */
function sendOver(world: World, text: string): readonly string[] {
  const [a, b] = [world.host("A"), world.host("B")];
  b.keepJournal();
  world.run(100);
  world.ping(a, packet(A, B));
  world.run(2 * SECOND);
  assertTraffic(world);
  b.policy = policyOf(text);
  forget(b);
  world.run(100);
  const arrivals = world.traffic(a, packet(A, B), 100);
  world.run(30 * SECOND);
  return arrivals.slice(20).map(({ arrival }) => arrival);
}

/** The kernel lives on, and nothing else. */
function forget(b: Host): void {
  b.journal = [];
  b.crash();
}

const CHANGES: readonly (readonly [what: string, after: string])[] = [
  ["the same file", rules(TO_A)],
  ["a rule with another name", rules({ ...TO_A, name: '"renamed"' })],
  ["a wider filter", rules({ filters: '["me <-> 192.0.2.0/24"]' })],
  ["one more filter", rules({ filters: `["me <-> ${A}", "me <-> 192.0.2.9"]` })],
  ["other offers", rules({ ...TO_A, "quick-mode": '{ proposals = ["esp:aes256-sha256"], lifetime = "60m" }' })],
  ["a rule that requests", rules({ ...TO_A, action: '"request"' })],
  ["discovery", rules({ ...TO_A, discovery: "true" })],
];
for (const [what, after] of CHANGES)
  test(`${what}: the peer alone sends, and after two seconds all of it is protected`, () =>
    story(pair(OURS, rules(TO_A)), (world) => {
      assert.deepEqual(new Set(sendOver(world, after)), new Set(["protected"]));
      assertTraffic(world);
    })());

test("another key: nothing is let in on what the old one made", () =>
  story(pair(OURS, rules(TO_A)), (world) => {
    assert.ok(!sendOver(world, rules({ ...TO_A, ...FRESH })).includes("protected"));
  })());

test("an outbound SA that no child owns goes, an inbound one stays until it expires", () =>
  story(pair(OURS, rules({ ...TO_A, start: '"never"' })), (world) => {
    const b = world.host("B");
    b.keepJournal();
    world.run(100);
    world.ping(world.host("A"), packet(A, B));
    world.run(2 * SECOND);
    forget(b);
    world.run(100);
    assert.deepEqual(
      Array.from(b.xfrm.states.values(), ({ sa }) => sa.source),
      [A],
    );
  })());

test("a rule that begins nothing asks nobody", () =>
  story(pair(OURS, rules({ ...TO_A, start: '"never"' })), (world) => {
    const asked = (): number => labels(world).filter((label) => label === "MM1").length;
    sendOver(world, rules({ ...TO_A, start: '"never"' }));
    assert.equal(asked(), 1);
  })());

test("a tunnel: the gateway that died negotiates it anew", () => {
  const tunnel = (local: string, remote: string, nets: string): RuleText => ({
    filters: `["${nets}"]`,
    mode: '"tunnel"',
    tunnel: `{ local = "${local}", remote = "${remote}" }`,
  });
  const theirs = rules(tunnel(B, A, "10.2.0.0/16 <-> 10.1.0.0/16"));
  story(pair(rules({ ...tunnel(A, B, "10.1.0.0/16 <-> 10.2.0.0/16"), start: '"now"' }), theirs), (world) => {
    const b = world.host("B");
    b.keepJournal();
    world.run(2 * SECOND);
    assert.equal(childrenOf(world, "B").length, 1);
    forget(b);
    world.run(2 * SECOND);
    assert.equal(childrenOf(world, "B").length, 1);
  })();
});
