/** What a daemon takes over at a start is only what the rules that it finds are still about. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JournalRecord } from "../../sa-store/journal-record.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, packet, pair } from "./setting.ts";
import { story } from "./world.ts";

const C = "192.0.2.9";
const PLAIN: RuleText = { auth: "", start: "" };
const SHUT: RuleText = { ...PLAIN, name: '"shut"', filters: `["me <-> ${B}"]`, action: '"block"' };
const TO_B: RuleText = { filters: `["me <-> ${B}"]` };

/** What the rule "peer", which was about all of B, has become; what the kernel does with packets to B's port 80; whether B hears that its SAs end. */
const ROWS: readonly (readonly [what: string, rules: readonly RuleText[], verdict: "blocked" | "clear" | "protected", told: boolean])[] = [
  ["is about another port of the peer, which is shut otherwise", [{ filters: `["me <-> ${B}:443 tcp"]` }, SHUT], "blocked", true],
  ["is about another peer, and this one is shut", [{ filters: `["me <-> ${C}"]` }, SHUT], "blocked", true],
  ["only answers another peer, and this one is shut", [{ filters: `["me <-> ${C}"]`, action: '"respond"' }, SHUT], "blocked", true],
  ["shuts the peer out", [{ ...PLAIN, ...TO_B, action: '"block"' }], "blocked", true],
  ["is about another peer", [{ filters: `["me <-> ${C}"]` }], "clear", true],
  ["permits", [{ ...PLAIN, ...TO_B, action: '"permit"' }], "clear", true],
  ["is what it was, and more", [{ filters: `["me <-> ${B}", "me <-> ${C}"]` }], "protected", false],
  ["is about more of the peer", [{ filters: '["me <-> 192.0.2.0/29"]' }], "protected", false],
  ["is behind one that shuts another port", [TO_B, { ...SHUT, filters: `["me <-> ${B}:443 tcp"]` }], "protected", false],
];

for (const [what, rules, verdict, told] of ROWS)
  test(`the daemon is started again, and its rule ${what}: packets are ${verdict}`, () => {
    story(pair(towards(B), towards(A)), (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      a.keepJournal();
      bringUp(world);
      const before = childrenOf(world, "A").map(({ id }) => id);
      a.policy = policyOf(configuration(rules));
      a.crash();
      world.run(2000);
      assert.deepEqual(
        childrenOf(world, "A").map(({ id }) => id),
        verdict === "protected" ? before : [],
      );
      assert.equal(a.xfrm.outbound(packet(A, B)).kind, verdict);
      assert.equal(childrenOf(world, "B").length, told ? 0 : 1);
      if (verdict === "protected") assertTraffic(world);
      if (verdict === "blocked") assert.notEqual(world.ping(b, packet(B, A)), "protected");
    })();
  });

/** Rules of a tunnel to B; the first finds its own end by the route. */
const tunnel = (text: string, mode = '"tunnel"', net = "10.2.0.0/16"): RuleText => ({
  filters: `["10.1.0.0/16 <-> ${net}"]`,
  mode,
  tunnel: text,
});
const ROAMING: RuleText = { filters: '["me <-> 10.2.0.0/16"]', mode: '"tunnel"', tunnel: `{ remote = "${B}" }` };
const TUNNELS: readonly (readonly [what: string, before: RuleText, after: RuleText, taken: boolean])[] = [
  ["the same tunnel", tunnel(`{ local = "${A}", remote = "${B}" }`), tunnel(`{ local = "${A}", remote = "${B}" }`), true],
  ["the same tunnel, whose own end the route decides", tunnel(`{ remote = "${B}" }`), tunnel(`{ remote = "${B}" }`), true],
  ["the same tunnel of this host alone, whose own end the route decides", ROAMING, ROAMING, true],
  ["a tunnel to somebody else", tunnel(`{ local = "${A}", remote = "${B}" }`), tunnel(`{ local = "${A}", remote = "${C}" }`), false],
  ["a tunnel to another network", tunnel(`{ remote = "${B}" }`), tunnel(`{ remote = "${B}" }`, '"tunnel"', "10.3.0.0/16"), false],
  ["no tunnel any more", tunnel(`{ remote = "${B}" }`), { filters: '["me <-> 10.2.0.0/16"]' }, false],
];
for (const [what, before, after, taken] of TUNNELS)
  test(`the daemon is started again and finds ${what}: its child SAs are ${taken ? "" : "not "}taken over`, () => {
    const theirs = configuration([
      {
        filters: `["10.2.0.0/16 <-> 10.1.0.0/16", "10.2.0.0/16 <-> ${A}"]`,
        mode: '"tunnel"',
        tunnel: `{ local = "${B}", remote = "${A}" }`,
      },
    ]);
    story(pair(configuration([before]), theirs), (world) => {
      const a = world.host("A");
      a.keepJournal();
      bringUp(world);
      a.policy = policyOf(configuration([after]));
      a.crash();
      assert.equal(childrenOf(world, "A").length, taken ? 1 : 0);
    })();
  });

/** What no journal of ours says: a child SA of nothing, which is a bug for whoever reads it. */
const spoilt = (record: JournalRecord): JournalRecord =>
  record.owner.startsWith("child ") && record.part === "" && typeof record.value === "object"
    ? { ...record, value: { ...record.value, spis: [null] } }
    : record;

test("a bug breaks a start off: what was shut stays shut, and the next reload opens what the rules permit by now", () => {
  const shut: RuleText = { ...PLAIN, name: '"shut"', filters: `["me <-> ${C}"]`, action: '"block"' };
  story(pair(configuration([TO_B, shut]), towards(A)), (world) => {
    const a = world.host("A");
    a.mayHaveBugs = true;
    a.keepJournal();
    bringUp(world);
    const kinds = (): readonly string[] => [B, C].map((peer) => a.xfrm.outbound(packet(A, peer)).kind);
    a.journal = a.journal?.map(spoilt);
    a.policy = policyOf(configuration([{ ...PLAIN, ...TO_B, action: '"permit"' }]));
    a.crash();
    world.run(2000);
    assert.ok(a.engine.counters().get("bug"));
    assert.ok(!kinds().includes("clear"), kinds().join());
    a.input({ type: "policy", policy: a.policy });
    world.run(2000);
    assert.deepEqual(kinds(), ["clear", "clear"]);
    // The bug has cost the SAs; they end by themselves.
    for (const { sa } of [...a.xfrm.states.values()]) a.xfrm.expire(sa, true);
  })();
});
