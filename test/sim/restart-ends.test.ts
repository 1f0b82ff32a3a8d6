/** What a start does not go on with ends there: the peer is told, the kernel forgets it, and no policy that comes later finds it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { playJournal } from "../../sa-store/journal-record.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, assertTraffic, B, childrenOf, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const C = "192.0.2.3";
const LONG = { quickLife: "8h", mainLife: "8h" };
const PLAIN: RuleText = { auth: "", start: "" };
const NEW_KEY: RuleText = { auth: '[{ method = "psk", secret = "the key after the old one leaked" }]' };
const rule = (more: RuleText = {}): RuleText => ({ filters: `["me <-> ${B}"]`, start: '"on-traffic"', ...more });
const only = (more: RuleText = {}): string => configuration([rule(more)], LONG);
const WIDE: RuleText = { filters: '["me <-> 192.0.2.0/24"]' };
const beside = (more: RuleText): string => configuration([rule(WIDE), rule({ name: '"host"', ...more })], LONG);
const THEIRS = configuration([{ filters: `["me <-> ${A}"]`, start: '"on-traffic"' }], LONG);

const ping = (world: World): string => world.ping(world.host("A"), packet(A, B));

/** A with a journal, its traffic to B protected. */
function scene(ours: string, theirs: string, tell: (world: World, a: Host) => void): () => void {
  return story(pair(ours, theirs), (world) => {
    const a = world.host("A");
    a.keepJournal();
    world.run(100);
    ping(world);
    world.run(2 * SECOND);
    assertTraffic(world);
    tell(world, a);
  });
}

function restart(world: World, a: Host, text: string): void {
  a.policy = policyOf(text);
  a.crash();
  world.run(10 * SECOND);
}

const reload = (a: Host, text: string): void => {
  a.policy = policyOf(text);
  a.input({ type: "policy", policy: a.policy });
};

/** Neither kernel, nor peer, nor journal has an SA of the last run. */
function assertEnded(world: World, a: Host): void {
  assert.deepEqual([...a.xfrm.states.keys()], []);
  assert.deepEqual([childrenOf(world, "A").length, childrenOf(world, "B").length], [0, 0]);
  assert.deepEqual(
    [...playJournal(a.journal ?? []).keys()].filter((owner) => owner.startsWith("child ")),
    [],
  );
}

const MEANWHILE: readonly (readonly [what: string, before: string, meanwhile: string])[] = [
  ["the rule permits", only(), only({ ...PLAIN, action: '"permit"' })],
  ["the rule blocks", only(), only({ ...PLAIN, action: '"block"' })],
  ["the rule is about another port", only(), only({ filters: `["me <-> ${B}:443 tcp"]` })],
  ["the rule is about another host", only(), only({ filters: `["me <-> ${C}"]` })],
  ["the rule is gone", only(), configuration([rule({ name: '"other"', filters: `["me <-> ${C}"]` })], LONG)],
  ["the rule has another name", only(), only({ name: '"other"' })],
  ["the rule has another key", only(), only(NEW_KEY)],
  ["the host is blocked", configuration([rule(WIDE)], LONG), beside({ ...PLAIN, action: '"block"' })],
  ["the host is permitted", configuration([rule(WIDE)], LONG), beside({ ...PLAIN, action: '"permit"' })],
  ["another rule has the host", configuration([rule(WIDE)], LONG), beside(NEW_KEY)],
];
for (const [what, before, meanwhile] of MEANWHILE)
  for (const back of ["reload", "restart"])
    test(`${what} after a restart: its child SAs end, and when the old rules come back by a ${back} traffic is negotiated anew at once`, () =>
      scene(before, THEIRS, (world, a) => {
        restart(world, a, meanwhile);
        assertEnded(world, a);
        if (back === "reload") reload(a, before);
        else restart(world, a, before);
        world.run(SECOND);
        ping(world);
        world.run(SECOND);
        assertTraffic(world);
        assert.equal(childrenOf(world, "A").length, 1);
      })());

for (const [what, ...steps] of [
  ["at the restart", only(NEW_KEY)],
  [
    "by a reload, after a restart without the rule",
    configuration([rule({ name: '"other"', filters: `["me <-> ${C}"]` })], LONG),
    only(NEW_KEY),
  ],
  ["by a reload, after a restart with a block", only({ ...PLAIN, action: '"block"' }), only(NEW_KEY)],
] as const)
  test(`a new key comes ${what}: nothing passes on SAs that the old one made`, () =>
    scene(only(), THEIRS, (world, a) => {
      const [first, second] = steps;
      restart(world, a, first);
      assertEnded(world, a);
      if (second) reload(a, second);
      for (let minutes = 0; minutes < 5; minutes++) {
        world.run(60 * SECOND);
        assert.notEqual(ping(world), "protected");
        assert.notEqual(world.ping(world.host("B"), packet(B, A)), "protected");
      }
    })());

test("a rule is only renamed over a restart: its peer, which alone sends, negotiates anew at once", () =>
  scene(only(), THEIRS, (world, a) => {
    a.policy = policyOf(only({ name: '"renamed"' }));
    a.crash();
    world.run(SECOND);
    const arrivals = world.traffic(world.host("B"), packet(B, A), SECOND);
    world.run(60 * SECOND);
    assert.deepEqual(
      arrivals.slice(2).filter(({ arrival }) => arrival !== "protected"),
      [],
    );
    assert.ok(arrivals.length > 50);
  })());

const suite = (proposals: string, more: RuleText = {}, pfs = "none"): string =>
  configuration([rule({ "quick-mode": `{ proposals = ${proposals}, lifetime = "8h", pfs = "${pfs}" }`, ...more })], LONG);
const offers = '["ah:sha256", "esp:null-sha256", "esp:aes128-sha256"]';
const OFFERS: readonly (readonly [what: string, before: string, after: string, taken: boolean])[] = [
  ["AH, and encryption is required", suite('["ah:sha256"]'), suite('["esp:aes128-sha256"]', { "require-encryption": "true" }), false],
  [
    "ESP without encryption, and it is required",
    suite('["esp:null-sha256"]'),
    suite('["esp:aes128-sha256", "esp:aes256-sha256"]', { "require-encryption": "true" }),
    false,
  ],
  ["ESP with other algorithms", suite('["esp:null-sha256"]'), suite('["esp:aes128-sha256"]'), false],
  ["ESP, which is the second offer now", suite('["esp:aes128-sha256"]'), suite('["ah:sha256", "esp:aes128-sha256"]'), true],
  ["no PFS, and a group is demanded", suite('["esp:aes128-sha256"]'), suite('["esp:aes128-sha256"]', {}, "x25519"), false],
  ["no PFS, and that of Main Mode is demanded", suite('["esp:aes128-sha256"]'), suite('["esp:aes128-sha256"]', {}, "main-mode"), false],
];
for (const [what, before, after, taken] of OFFERS)
  for (const orderly of [false, true])
    test(`after ${orderly ? "an orderly" : "a"} restart a child SA has ${what}: it ${taken ? "goes on" : "ends"}`, () =>
      scene(before, configuration([{ filters: `["me <-> ${A}"]`, "quick-mode": `{ proposals = ${offers} }` }], LONG), (world, a) => {
        const [old] = childrenOf(world, "A");
        if (orderly) {
          a.command({ name: "shutdown", keep: true });
          world.run(500);
        }
        restart(world, a, after);
        const ids = childrenOf(world, "A").map(({ id }) => id);
        if (taken) return assert.deepEqual(ids, [old?.id]);
        assertEnded(world, a);
        if (after.includes("x25519") || after.includes('main-mode"')) return;
        ping(world);
        world.run(2 * SECOND);
        assertTraffic(world);
        assert.deepEqual(
          childrenOf(world, "A").map(({ protections }) => protections.map(({ encryption }) => encryption)),
          [["aes128"]],
        );
      })());
