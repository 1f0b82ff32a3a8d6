/** The journal's records of policies: what a crash or somebody else kept from the kernel is not ours, and is forgotten. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { naturalBehind } from "../../policy/packet-selector.ts";
import { playJournal } from "../../sa-store/journal-record.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const ONE: RuleText = { name: '"one"', filters: `["me <-> ${B}"]`, start: '"on-traffic"' };
const other = (address: string, more: RuleText = {}): RuleText => ({
  name: '"x"',
  filters: `["me <-> ${address}"]`,
  start: '"on-traffic"',
  ...more,
});
const SHUT = { auth: "", start: "", action: '"block"' };

function alone(story: (world: World, a: Host) => void): void {
  inWorld({ hosts: [{ name: "A", addresses: [A], policy: policyOf(configuration([ONE])) }] }, (world) => {
    const a = world.host("A");
    a.keepJournal();
    world.run(100);
    story(world, a);
  });
}

const recorded = (a: Host): readonly string[] =>
  [...playJournal((a.journal ?? []).map((record) => ({ ...record, secret: null }))).keys()]
    .filter((key) => key.startsWith("policy "))
    .sort();
/** The records that the kernel's policies of ours would have. */
const standing = (a: Host): number => [...a.xfrm.policies.values()].filter((policy) => a.isOurs(policy)).length;

test("records of policies that a crash kept from the kernel are forgotten by the next start", () =>
  alone((world, a) => {
    const before = recorded(a);
    assert.equal(before.length, standing(a));
    for (let i = 1; i < 5; i++) {
      a.input({ type: "policy", policy: policyOf(configuration([ONE, other(`203.0.113.${i}`)])) });
      a.crash();
      world.run(5000);
    }
    assert.deepEqual(recorded(a), before);
    // What the start itself asks for is written down as ever.
    a.input({ type: "policy", policy: policyOf(configuration([ONE, other("203.0.113.9")])) });
    a.policy = policyOf(configuration([ONE, other("203.0.113.9")]));
    a.crash();
    world.run(5000);
    assert.equal(recorded(a).length, before.length + 2);
    assert.equal(standing(a), before.length + 2);
  }));

/** Somebody else's policy for what a rule "x" would be about, once the daemon has none there. */
function putForeign(a: Host, mine: Host["xfrm"]["policies"] extends ReadonlyMap<string, infer P> ? P : never): void {
  const foreign = { ...mine, priority: 5000, action: "allow", templates: [] } as const;
  const added = a.xfrm.apply([{ do: "add-policy", policy: foreign }]);
  assert.ok(added.ok);
  a.isOurs = ({ priority }) => priority !== 5000;
}

/** The policies that a rule comes to in the kernel. */
function policiesOf(rule: RuleText): ReturnType<Host["xfrm"]["policies"]["values"]> {
  let found: Host["xfrm"]["policies"] | undefined;
  inWorld({ hosts: [{ name: "A", addresses: [A], policy: policyOf(configuration([rule])) }] }, (world) => {
    world.run(100);
    found = new Map(world.host("A").xfrm.policies);
  });
  assert.ok(found);
  return found.values();
}

for (const [what, rule] of [
  ["protects", other("203.0.113.1")],
  ["blocks", other("203.0.113.1", SHUT)],
] as const)
  test(`somebody else's policy is not ours because a record of a rule that ${what} names its selector: a start leaves it alone`, () =>
    alone((world, a) => {
      const [mine] = [...policiesOf(rule)].filter(({ direction }) => direction === "out");
      assert.ok(mine && naturalBehind(mine.priority) === mine.priority);
      a.input({ type: "policy", policy: policyOf(configuration([ONE, rule])) });
      putForeign(a, mine);
      for (let i = 0; i < 2; i++) {
        a.crash();
        world.run(5000);
        assert.equal([...a.xfrm.policies.values()].filter(({ priority }) => priority === 5000).length, 1);
      }
      assert.equal(recorded(a).length, standing(a));
    }));

test("the record of a policy that the kernel refuses, since somebody else has one there, is taken back at once", () =>
  alone((world, a) => {
    const rule = other("203.0.113.1", SHUT);
    const [mine] = [...policiesOf(rule)].filter(({ direction }) => direction === "out");
    assert.ok(mine);
    putForeign(a, mine);
    a.input({ type: "policy", policy: policyOf(configuration([ONE, rule])) });
    world.run(5000);
    assert.equal(recorded(a).length, standing(a));
    assert.equal(standing(a), 3);
  }));

test("a policy that has lost our mark is ours by its record, where it is what the record says", () =>
  alone((world, a) => {
    a.input({ type: "policy", policy: policyOf(configuration([ONE, other("203.0.113.1", SHUT)])) });
    world.run(5000);
    a.isOurs = ({ action }) => action !== "block";
    a.crash();
    world.run(5000);
    assert.equal([...a.xfrm.policies.values()].filter(({ action }) => action === "block").length, 0);
  }));
