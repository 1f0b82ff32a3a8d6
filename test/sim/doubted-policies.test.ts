/** Stories of policies of which nobody knows for a while whose they are: nothing foreign is replaced or removed meanwhile, and nothing of ours stays behind. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const host = (address: string, length = 32) => ({ address, length });
const one = (direction: "in" | "out", more: Partial<KernelPolicy>): KernelPolicy => {
  const [from, to] = direction === "out" ? [host(A), host(B)] : [host(B), host(A)];
  const ends = { source: from.address, sourceLength: from.length, destination: to.address, destinationLength: to.length };
  const selector = { ...ends, protocol: 0, sourcePort: 0, destinationPort: 0 };
  return { direction, selector, action: "allow", priority: 500, templates: [], ...more };
};
const OUT = one("out", {});
const LEFT = (["out", "in"] as const).map((direction) => one(direction, { action: "block", priority: 14095 }));

const BLOCK = policyOf(towards(B, { action: '"block"', auth: "", start: "" }));
const REQUIRE = policyOf(towards(B, { action: '"require"' }));
const ELSEWHERE = policyOf(towards("192.0.2.99"));
const blocked = () => pair(towards(B, { action: '"block"', auth: "", start: "" }));

const at = (a: Host, policy: KernelPolicy) => a.xfrm.policies.get(policyName(policy));
const refused = (world: World, a: Host) => a.engine.view(world.now).refusedPolicies.map(({ direction }) => direction);
const follow = (a: Host, policy: typeof BLOCK): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};
/** Somebody takes all policies away and puts one of his own where one of ours was. */
function takeOver(a: Host): void {
  a.flush();
  a.xfrm.apply([{ do: "add-policy", policy: OUT }]);
  a.isOurs = (policy) => policy !== OUT;
}

for (const [what, policy, left] of [
  ["goes", ELSEWHERE, []],
  ["changes", REQUIRE, ["out"]],
  ["stays", BLOCK, ["out"]],
] as const)
  test(`somebody flushes and puts his own, and before the look the rule ${what}: his policy stays`, () =>
    story(
      blocked(),
      (world) => {
        const a = world.host("A");
        world.run(100);
        takeOver(a);
        world.run(50);
        follow(a, policy);
        world.run(2000);
        assert.deepEqual(at(a, OUT), OUT);
        assert.deepEqual(refused(world, a), left);
      },
      { foreign: 1 },
    )());

for (const [what, policy] of [
  ["goes", ELSEWHERE],
  ["changes", REQUIRE],
] as const)
  test(`the same while the kernel does not tell what it has, and the rule ${what}`, () =>
    story(
      blocked(),
      (world) => {
        const a = world.host("A");
        world.run(100);
        a.tells = false;
        takeOver(a);
        world.run(600_000);
        follow(a, policy);
        world.run(2000);
        assert.deepEqual(at(a, OUT), OUT);
      },
      { foreign: 1 },
    )());

test("somebody flushes, and the daemon stops before the look: what he put there stays, and nothing of ours", () =>
  story(
    blocked(),
    (world) => {
      const a = world.host("A");
      world.run(100);
      takeOver(a);
    },
    { foreign: 1 },
  )());

test("a bell without a cause changes nothing: a rule that goes meanwhile is gone after the look, and so is it after a stop", () =>
  story(blocked(), (world) => {
    const a = world.host("A");
    world.run(100);
    a.kernelEvents([{ type: "policy-gone", policy: null }]);
    follow(a, REQUIRE);
    world.run(1000);
    assert.deepEqual([at(a, OUT)?.templates.length, refused(world, a)], [1, []]);
    a.kernelEvents([{ type: "policy-gone", policy: null }]);
    follow(a, ELSEWHERE);
    world.run(1000);
    assert.equal(at(a, OUT), undefined);
    follow(a, BLOCK);
    world.run(1000);
    a.kernelEvents([{ type: "policy-gone", policy: null }]);
  })());

test("new policies stand at once while the kernel does not tell, where nothing is in their place", () =>
  story(blocked(), (world) => {
    const a = world.host("A");
    world.run(100);
    a.tells = false;
    a.flush();
    world.run(1000);
    follow(a, REQUIRE);
    world.run(100);
    assert.equal(at(a, OUT)?.templates.length, 1);
  })());

for (const wait of [0, 50, 3_600_000])
  test(`a start to which the kernel told nothing knows what a crash left for its own, and it goes with its rule ${wait} ms later`, () =>
    story({ ...blocked(), foreign: { A: LEFT } }, (world) => {
      const a = world.host("A");
      world.run(wait);
      if (wait > 1000) assert.deepEqual(refused(world, a), []);
      follow(a, ELSEWHERE);
      world.run(5000);
      assert.deepEqual(
        LEFT.map((policy) => at(a, policy)),
        [undefined, undefined],
      );
    })());

test("of a policy that is somebody else's nobody takes another look each time it is asked for", () =>
  story(
    { ...blocked(), foreign: { A: [OUT] } },
    (world) => {
      const a = world.host("A");
      a.isOurs = (policy) => policy !== OUT;
      world.run(3_600_000);
      assert.deepEqual([a.looks, refused(world, a), at(a, OUT)], [1, ["out"], OUT]);
    },
    { foreign: 1 },
  )());

for (const [what, policy, when] of [
  ["goes", ELSEWHERE, 50],
  ["goes", ELSEWHERE, 5000],
  ["changes", REQUIRE, 50],
  ["changes", REQUIRE, 5000],
] as const)
  test(`somebody changes a policy of ours, and ${when} ms later the rule ${what}: his policy stays`, () =>
    story(
      blocked(),
      (world) => {
        const a = world.host("A");
        a.isOurs = (one) => one !== OUT;
        world.run(100);
        a.change(OUT);
        world.run(when);
        if (when > 1000) assert.deepEqual(refused(world, a), ["out"]);
        follow(a, policy);
        world.run(2000);
        assert.deepEqual(at(a, OUT), OUT);
      },
      { foreign: 1 },
    )());

test("what we change ourselves makes nobody look", () =>
  story({ ...blocked(), kernelDelays: [0, 5, 1] }, (world) => {
    const a = world.host("A");
    world.run(100);
    for (let i = 0; i < 20; i++) {
      follow(a, i % 2 ? BLOCK : REQUIRE);
      world.run((i * 7) % 13);
    }
    world.run(5000);
    const { looks } = a;
    world.run(600_000);
    assert.equal(a.looks, looks);
    a.input({ type: "policy", policy: a.policy });
    world.run(5000);
    assert.equal(a.looks, looks + 1);
  })());
