/** A guard keeps a flow out of the clear for its rule: what another rule decides about by now is that rule's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const MINUTE = 60_000;
const wide: RuleText = { action: '"require"', start: '"on-traffic"', discovery: "true", filters: '["me <-> 192.0.2.0/24"]' };
const host: RuleText = { ...wide, filters: `["me <-> ${B}"]` };
const range: RuleText = { ...wide, filters: '["me <-> 192.0.2.2-192.0.2.6"]' };
const several: RuleText = { ...wide, filters: `["me <-> 192.0.2.0/24", "me <-> ${B}"]` };
const request: RuleText = { ...wide, action: '"request"', discovery: "" };
// A configuration with one filter twice is refused; one of the two with our address for `me` comes to the same.
const ofA = (filter: string): string => JSON.stringify([filter.replace("me", A)]);
const permit = (filter: string): RuleText => ({ name: '"open"', action: '"permit"', auth: "", start: "", filters: ofA(filter) });
const strict = (filter: string): RuleText => ({ name: '"strict"', action: '"require"', start: '"on-traffic"', filters: ofA(filter) });

/** What A has, what it gets, and what a packet to B meets then. */
const CASES: readonly (readonly [string, readonly RuleText[], readonly RuleText[], string])[] = [
  ["a permit for the very filter", [wide], [wide, permit("me <-> 192.0.2.0/24")], "clear"],
  ["a permit for the very filter, first in the file", [wide], [permit("me <-> 192.0.2.0/24"), wide], "clear"],
  ["a permit for the host alone", [wide], [wide, permit(`me <-> ${B}`)], "clear"],
  ["a permit for the very host", [host], [host, permit(`me <-> ${B}`)], "clear"],
  ["a permit for the host's port", [wide], [wide, permit(`me <-> ${B}:80 tcp`)], "clear"],
  ["a permit for a part of a range", [range], [range, permit(`me <-> ${B}`)], "clear"],
  ["a permit for one of two filters", [several], [several, permit(`me <-> ${B}`)], "clear"],
  ["a permit for what leaves", [wide], [wide, permit("me -> 192.0.2.0/24")], "clear"],
  ["a permit instead of the rule", [wide], [permit("me <-> 192.0.2.0/24")], "clear"],
  ["a permit and a changed rule", [wide], [{ ...wide, "quick-mode": '{ lifetime = "6m" }' }, permit("me <-> 192.0.2.0/24")], "clear"],
  ["a permit and a wider rule that has the name", [host], [{ ...wide, filters: '["me <-> any"]' }, permit("me <-> 192.0.2.0/24")], "clear"],
  ["a permit where a request was", [request], [request, permit("me <-> 192.0.2.0/24")], "clear"],
  ["a permit for a wider network", [host], [host, permit("me <-> 192.0.2.0/24")], "acquire"],
  ["a permit for a larger range of the same hosts", [range], [range, permit("me <-> 192.0.2.0/30")], "acquire"],
  ["a permit for what comes", [wide], [wide, permit("me <- 192.0.2.0/24")], "acquire"],
  ["a permit for another host", [wide], [wide, permit("me <-> 192.0.2.77")], "acquire"],
  ["a permit for another port", [host], [host, permit(`me <-> ${B}:81 tcp`)], "acquire"],
  ["a rule that demands more, for the very filter", [wide], [strict("me <-> 192.0.2.0/24"), wide], "acquire"],
];

for (const [what, before, after, meets] of CASES) {
  const [old, now] = [configuration(before), configuration(after)];
  policyOf(now);
  for (const [which, ends] of [
    ["with a child", false],
    ["with a guard", true],
  ] as const)
    for (const how of ["reload", "restart"] as const)
      test(
        `${what}: after a ${how} ${which} the packet meets ${meets}`,
        story(pair(old, towards(A, { action: '"respond"' })), (world: World) => {
          const a = world.host("A");
          const ping = (): string => world.ping(a, packet(A, B));
          a.keepJournal();
          world.run(10);
          ping();
          world.run(1000);
          assertTraffic(world);
          // Longer than a peer's answer keeps it from the clear.
          for (let minutes = 0; minutes < 6; minutes++) {
            world.run(MINUTE);
            assertTraffic(world);
          }
          world.intercept = () => DROP;
          if (ends) {
            a.command({ name: "terminate", target: { kind: "all" } });
            world.run(1000);
            assert.equal(ping(), "acquire");
          }
          a.policy = policyOf(now);
          if (how === "restart") {
            // What of a child is left at a start is another story.
            for (const { sa } of [...a.xfrm.states.values()]) a.xfrm.expire(sa, true);
            a.crash();
          }
          if (how === "reload") a.input({ type: "policy", policy: a.policy });
          world.run(1000);
          const met = ping();
          assert.ok(met === meets || (met === "protected" && meets === "acquire" && !ends), met);
          assert.equal(a.engine.counters().get("acquire of an unknown reqid"), undefined);
        }),
      );
}

const never: RuleText = { ...wide, start: '"never"' };
const LATER = { "quick-mode": '{ lifetime = "6m" }' };
for (const [what, rule, meets] of [
  ["nobody is asked for it any more", never, ["protected", "clear"]],
  ["nobody is asked, and its SAs are to live longer", { ...never, ...LATER }, ["clear", "clear"]],
  ["its SAs are to live longer", { ...wide, ...LATER }, ["acquire", "acquire"]],
] as const) {
  const now = configuration([rule]);
  policyOf(now);
  for (const [i, which] of ["a child", "a guard"].entries())
    test(
      `a rule by which ${what}: what had ${which} meets ${meets[i]}`,
      story(pair(configuration([wide]), towards(A, { action: '"respond"' })), (world: World) => {
        const a = world.host("A");
        world.run(10);
        world.ping(a, packet(A, B));
        world.run(1000);
        assertTraffic(world);
        world.intercept = () => DROP;
        if (which === "a guard") {
          a.command({ name: "terminate", target: { kind: "all" } });
          world.run(1000);
          assert.equal(world.ping(a, packet(A, B)), "acquire");
        }
        a.input({ type: "policy", policy: policyOf(now) });
        world.run(1000);
        assert.equal(world.ping(a, packet(A, B)), meets[i]);
      }),
    );
}
