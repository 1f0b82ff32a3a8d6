/** Who has shown that he speaks IKE gets no clear text by being silent afterwards, whatever becomes of the daemon meanwhile. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { type RuleText, towards } from "./policies.ts";
import { A, B, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;
/** How long it is remembered (docs/policy.md). */
const REMEMBERED = 5 * MINUTE;

const MEMBER = '"fqdn:member.example.test"';
const request: RuleText = { action: '"request"', start: '"on-traffic"' };
/** It would hear clear text, and answer it. */
const HEARS_ALL = { "inbound-clear": "true" };

const silence = (world: World): void => {
  world.intercept = () => DROP;
};
const cases: readonly (readonly [what: string, hosts: WorldOptions, begins: string])[] = [
  ["has failed its own negotiation", pair(towards(B, { ...request, "remote-id": MEMBER }), towards(A, HEARS_ALL)), "B"],
  ["has failed ours", pair(towards(B, { ...request, "remote-id": MEMBER }), towards(A, { action: '"respond"' })), "A"],
  [
    "has another key",
    pair(towards(B, request), towards(A, { ...HEARS_ALL, auth: '[{ method = "psk", secret = "a throwaway key" }]' })),
    "B",
  ],
  ["has answered once", pair(towards(B, request), towards(A, HEARS_ALL, { mainMode: ["aes256-sha512-x25519"] })), "A"],
];

/** The peer fails, and is silent from then on. When A knew that it had failed; undefined: it never did. */
function fail(world: World, begins: string): number | undefined {
  let known: number | undefined;
  const a = world.host("A");
  const note = (): void => {
    if (known === undefined && said(a, "warning").length > 0) known = world.now;
  };
  world.host(begins).initiate();
  for (let i = 0; i < 50; i++) {
    world.run(100);
    note();
  }
  silence(world);
  return known;
}

for (const [what, hosts, begins] of cases) {
  test(
    `request, and a peer that ${what}: a daemon that dies again and again lets nothing through in clear, and does so when its time is over`,
    story(hosts, (world) => {
      const a = world.host("A");
      a.keepJournal();
      world.run(10);
      const from = fail(world, begins);
      assert.ok(from !== undefined);
      const arrivals = world.traffic(a, packet(A, B), SECOND);
      for (const at of [20, 40, 200, 290]) {
        world.run(from + at * SECOND - world.now);
        a.crash();
      }
      world.run(from + REMEMBERED - SECOND - world.now);
      assert.ok(arrivals.length > 280);
      assert.deepEqual(
        arrivals.filter(({ arrival }) => arrival === "clear"),
        [],
      );
      world.run(MINUTE + 10 * SECOND);
      assert.equal(arrivals.at(-1)?.arrival, "clear");
    }),
  );

  test(`request, and a peer that ${what}, while the daemon dies after any single effect: nothing in clear once it is known`, () => {
    const run = (effects: number): { readonly all: number; readonly known: boolean } => {
      let [all, known] = [0, false];
      story({ ...hosts, seed: effects }, (world) => {
        const a = world.host("A");
        a.keepJournal();
        world.run(10);
        const before = a.effects;
        if (effects > 0) a.crashAfter = effects;
        const from = fail(world, begins);
        all = a.effects - before;
        known = from !== undefined;
        if (from === undefined) return;
        // Also the one that began after the death.
        a.crash();
        const arrivals = world.traffic(a, packet(A, B), SECOND);
        world.run(from + REMEMBERED - SECOND - world.now);
        assert.deepEqual(
          arrivals.filter(({ arrival }) => arrival === "clear"),
          [],
          `after ${effects} effects`,
        );
      })();
      return { all, known };
    };
    const { all, known } = run(0);
    assert.ok(known && all > 5, `${all} effects`);
    const found = Array.from({ length: all }, (_, i) => run(i + 1));
    assert.ok(found.some((one) => one.known));
  });
}

/** A's soft SA with B is open, and B hears nothing of A. */
function soften(world: World): void {
  world.run(10);
  silence(world);
  world.ping(world.host("A"), packet(A, B));
  world.run(3500);
  assert.equal(world.ping(world.host("A"), packet(A, B)), "clear");
}

const softOf = (world: World) => world.host("A").engine.view(world.now).softSas;
/** Messages 1 of A that were not repeated. */
const questions = (world: World): number =>
  new Set(world.sent.filter(({ from, label }) => from === A && label === "MM1").map(({ bytes }) => bytes.subarray(0, 8).join())).size;
const offersOther = pair(
  towards(B, { ...request, "fallback-for": '"60m"' }),
  towards(A, HEARS_ALL, { mainMode: ["aes256-sha512-x25519"] }),
);

test(
  "a soft SA, and a peer that begins with offers that are refused: it is asked, answers, and is let through no longer",
  story(offersOther, (world) => {
    soften(world);
    // Until A asks no more by itself.
    world.run(MINUTE);
    const before = questions(world);
    world.intercept = () => undefined;
    world.host("B").initiate();
    world.run(20 * SECOND);
    assert.ok(questions(world) > before);
    assert.equal(softOf(world).length, 0);
    assert.ok(said(world.host("A")).some((text) => text.includes("no longer in clear, the peer speaks IKE, and has not proved itself")));
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(4 * MINUTE);
    assert.ok(arrivals.length > 200 && arrivals.every(({ arrival }) => arrival !== "clear"));
  }),
);

test(
  "a soft SA, and messages in the peer's name whose offers are refused: they close nothing, and draw few questions however many they are",
  story(offersOther, (world) => {
    soften(world);
    world.run(MINUTE);
    const before = questions(world);
    world.intercept = ({ from }) => (from === A ? DROP : undefined);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    for (let i = 0; i < 200; i++) {
      world.host("B").initiate();
      world.run(6 * SECOND);
      world.host("B").command({ name: "terminate", target: { kind: "all" } });
    }
    assert.ok(world.sent.filter(({ from, label }) => from === B && label === "MM1").length >= 200);
    assert.ok(arrivals.length > 1000 && arrivals.every(({ arrival }) => arrival === "clear"));
    assert.equal(softOf(world).length, 1);
    const asked = questions(world) - before;
    assert.ok(asked > 0 && asked <= 20, `${asked} questions`);
  }),
);

test(
  "a soft SA, and a peer that is slow, answers message 1 and then nothing: it is let through no longer",
  story(pair(towards(B, request), towards(A, HEARS_ALL)), (world) => {
    soften(world);
    world.intercept = ({ label }) => (label === "MM4" ? DROP : undefined);
    world.run(MINUTE);
    assert.equal(softOf(world).length, 0);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(4 * MINUTE);
    assert.ok(arrivals.length > 200 && arrivals.every(({ arrival }) => arrival !== "clear"));
  }),
);
