/**
 * Stories of policies of ours that somebody changes, with our number on them, before a restart: his stay, and ours are never taken for his. A change keeps
 * the number, so that only the journal tells.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { outlivesStop } from "../../ike/policy-records.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf } from "./policies.ts";
import { A, B } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const rule = (peer: string, action: string) => configuration([{ name: '"x"', filters: `["me <-> ${peer}"]`, auth: "", start: "", action }]);
const BLOCK = policyOf(rule(B, '"block"'));
const PERMIT = policyOf(rule(B, '"permit"'));
const ELSEWHERE = policyOf(rule("192.0.2.99", '"block"'));
const selector = { source: A, sourceLength: 32, destination: B, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 };
/** Somebody else's, under the number of ours. */
const HIS: KernelPolicy = { direction: "out", selector, action: "allow", priority: 5, templates: [] };

const at = (a: Host, policy: KernelPolicy): KernelPolicy | undefined => a.xfrm.policies.get(policyName(policy));
const refused = (world: World, a: Host) => a.engine.view(world.now).refusedPolicies.map(({ direction }) => direction);
const mine = (a: Host) =>
  [...a.xfrm.policies.values()].filter(({ selector: { source, destination } }) => [source, destination].includes(B));
const actions = (a: Host) => mine(a).map(({ action }) => action);
const follow = (a: Host, policy: typeof BLOCK): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};

const blocked = (story: (world: World, a: Host) => void, kernelDelays: readonly number[] = [1]): void =>
  inWorld({ hosts: [{ name: "A", addresses: [A], policy: BLOCK }], kernelDelays }, (world) => {
    const a = world.host("A");
    a.keepJournal();
    world.run(10_000);
    story(world, a);
  });

const restart = (world: World, a: Host, policy = a.policy): void => {
  a.policy = policy;
  a.crash();
  world.run(5000);
};

/** What a full stop leaves of the journal. */
function stop(world: World, a: Host, policies: "remove" | "keep"): void {
  a.command({ name: "shutdown", keep: false, policies });
  world.run(5000);
  assert.ok(a.stopped);
  a.journal = (a.journal ?? []).filter(({ owner }) => outlivesStop(owner));
}

const ENDS: readonly (readonly [string, (world: World, a: Host) => void])[] = [
  ["is killed, or hands over", () => {}],
  ["stops in full", (world, a) => stop(world, a, "remove")],
  ["stops in full and leaves its policies", (world, a) => stop(world, a, "keep")],
];

for (const [how, end] of ENDS)
  for (const [what, next, left] of [
    ["still wants its own there", BLOCK, ["out"]],
    ["has no rule for it any more", ELSEWHERE, []],
  ] as const)
    test(`somebody changes a policy of ours, and the daemon ${how}: the next start ${what}, and his policy stays`, () =>
      blocked((world, a) => {
        a.change(HIS);
        world.run(2000);
        assert.deepEqual(refused(world, a), ["out"]);
        end(world, a);
        assert.deepEqual(at(a, HIS), HIS);
        for (let i = 0; i < 3; i++) {
          restart(world, a, next);
          assert.deepEqual([at(a, HIS), refused(world, a)], [HIS, left]);
        }
      }));

for (const when of ["just before", "after"] as const)
  test(`somebody changes a policy of ours ${when} the daemon died: his policy stays`, () =>
    blocked((world, a) => {
      if (when === "after") a.xfrm.apply([{ do: "update-policy", policy: HIS }]);
      else a.change(HIS);
      restart(world, a);
      assert.deepEqual([at(a, HIS), refused(world, a)], [HIS, ["out"]]);
    }));

test("what a full stop left of ours is ours at the next start, and goes with its rule", () =>
  blocked((world, a) => {
    stop(world, a, "keep");
    assert.deepEqual(actions(a), ["block", "block"]);
    restart(world, a, PERMIT);
    assert.deepEqual([actions(a), refused(world, a)], [["allow", "allow"], []]);
    restart(world, a, ELSEWHERE);
    assert.deepEqual(mine(a), []);
  }));

for (const [what, next, want] of [
  ["changes it back", BLOCK, ["block", "block"]],
  ["wants it so", PERMIT, ["allow", "allow"]],
  ["does not want it", ELSEWHERE, []],
] as const)
  for (const kernelOutlives of [false, true])
    for (const changes of [1, 2, 3])
      test(`a crash while ${changes} of our own changes ${kernelOutlives ? "are carried out" : "wait"}: what is there is ours, where the next start ${what}`, () =>
        blocked(
          (world, a) => {
            for (let i = 0; i < changes; i++) {
              follow(a, i % 2 ? BLOCK : PERMIT);
              world.run(120);
            }
            a.kernelOutlives = kernelOutlives;
            restart(world, a, next);
            assert.deepEqual([actions(a), refused(world, a)], [want, []]);
            restart(world, a, ELSEWHERE);
            assert.deepEqual(mine(a), []);
          },
          [150],
        ));

test("a crash while a policy of ours waits to be removed and another one to be put in its place: what is there is ours", () =>
  blocked(
    (world, a) => {
      follow(a, ELSEWHERE);
      world.run(10);
      follow(a, PERMIT);
      world.run(10);
      restart(world, a, ELSEWHERE);
      assert.deepEqual(mine(a), []);
    },
    [500],
  ));

test("a policy that is put there again before the kernel has told that the one before it went is recorded", () =>
  blocked(
    (world, a) => {
      follow(a, ELSEWHERE);
      world.run(10);
      follow(a, PERMIT);
      world.run(60_000);
      assert.deepEqual(actions(a), ["allow", "allow"]);
      restart(world, a, ELSEWHERE);
      world.run(60_000);
      assert.deepEqual(mine(a), []);
    },
    [500],
  ));

test("what a run without a journal left is ours to the starts after it, also where nothing of it changed", () =>
  inWorld({ hosts: [{ name: "A", addresses: [A], policy: BLOCK }] }, (world) => {
    const a = world.host("A");
    world.run(1000);
    a.journal = [];
    for (let i = 0; i < 3; i++) restart(world, a);
    assert.deepEqual([actions(a), refused(world, a)], [["block", "block"], []]);
    restart(world, a, ELSEWHERE);
    assert.deepEqual(mine(a), []);
  }));

for (const next of [BLOCK, ELSEWHERE])
  test(`a start to which the kernel told nothing loses no policy of ours, where ${next === BLOCK ? "the rule is there" : "the rule is gone"}`, () =>
    blocked((world, a) => {
      a.listsAtStart = false;
      restart(world, a, next);
      a.listsAtStart = true;
      world.run(60_000);
      if (next === BLOCK) assert.deepEqual([actions(a), refused(world, a)], [["block", "block"], []]);
      restart(world, a, ELSEWHERE);
      assert.deepEqual(mine(a), []);
    }));
