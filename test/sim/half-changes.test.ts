/** Stories of a change of the policy of which the kernel carries out a part only, or says too much or too little: neither the old policy nor the new one may be passed by. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { KernelCommand, KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, packet, pair, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const PLAIN = { auth: "", start: "" };
const NET = '["me <-> 192.0.2.0/24"]';
const ELSEWHERE = towards("192.0.2.99", { action: '"block"', ...PLAIN });
const NARROW = { name: '"narrow"', filters: `["me <-> ${B}"]`, action: '"block"', ...PLAIN };
const PERMIT_AROUND_BLOCK = configuration([{ name: '"wide"', filters: NET, action: '"permit"', ...PLAIN }, NARROW]);
const BLOCK_ONLY = configuration([NARROW]);
const WIDE_REQUIRE = policyOf(configuration([{ name: '"wide"', filters: NET, action: '"require"' }]));
const PERMIT = towards(B, { action: '"permit"', ...PLAIN });
const REQUIRE = policyOf(towards(B, { action: '"require"' }));
const BLOCK = policyOf(towards(B, { action: '"block"', ...PLAIN }));

const begun = (first: string, tell: (world: World, a: Host) => void, kernelDelays = [1], foreign = 0): void =>
  story(
    pair(first, ELSEWHERE, { kernelDelays }),
    (world) => {
      const a = world.host("A");
      world.run(5000);
      tell(world, a);
      a.refuse = () => undefined;
    },
    { foreign },
  )();
const follow = (a: Host, policy: typeof BLOCK): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};
const bell = (a: Host): void => a.kernelEvents([{ type: "policy-gone", policy: null }]);
/** What pings came to, one each `step` ms. */
function pings(world: World, a: Host, ms: number, step = 1): Set<string> {
  const seen = new Set<string>();
  for (let i = 0; i < ms; i += step) {
    world.run(step);
    seen.add(world.ping(a, packet(A, B)));
  }
  return seen;
}
/** Refuses what is chosen; the host asks twice about a command. */
function eachOnce(isChosen: (command: KernelCommand) => boolean): Host["refuse"] {
  const known = new Map<KernelCommand, boolean>();
  return (command) => {
    const isRefused = known.get(command) ?? isChosen(command);
    known.set(command, isRefused);
    return isRefused ? "Cannot allocate memory" : undefined;
  };
}
const outbound = (a: Host): readonly KernelPolicy[] => [...a.xfrm.policies.values()].filter(({ direction }) => direction === "out");

// Whatever is refused

const NETS = ["any", "192.0.2.0/24", "192.0.2.0/28", B];
type Wanted = "permit" | "block" | "require" | "none";
const wanted: fc.Arbitrary<readonly Wanted[]> = fc.array(fc.constantFrom<Wanted>("permit", "block", "require", "none"), {
  minLength: NETS.length,
  maxLength: NETS.length,
});
/** One rule for each net that wants one. */
const rulesFor = (actions: readonly Wanted[]): string =>
  configuration([
    { name: '"elsewhere"', filters: '["me <-> 198.51.100.99"]', action: '"block"', ...PLAIN },
    ...actions.flatMap((action, i) => {
      const rule = { name: `"r${i}"`, filters: `["me <-> ${NETS[i]}"]`, action: `"${action}"` };
      return action === "none" ? [] : [action === "require" ? rule : { ...rule, ...PLAIN }];
    }),
  ]);
const PERMIT_AND_BLOCK = policyOf(rulesFor(["require", "permit", "none", "block"]));
const PERMIT_AND_REQUIRE = policyOf(rulesFor(["require", "permit", "none", "require"]));
/** What the most specific says of packets to B. */
const isClear = (actions: readonly Wanted[]): boolean => {
  const last = actions.filter((action) => action !== "none").at(-1);
  return last === undefined || last === "permit";
};

test("whatever of a reload the kernel refuses once or twice: what neither the old policy nor the new one lets pass in clear never does", () =>
  fc.assert(
    fc.property(wanted, wanted, fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), (old, now, refusals) => {
      fc.pre(!isClear(old) && !isClear(now));
      const next = policyOf(rulesFor(now));
      begun(rulesFor(old), (world, a) => {
        let i = 0;
        const times = new Map<string, number>();
        a.refuse = eachOnce((one) => {
          if ((one.do !== "add-policy" && one.do !== "update-policy") || refusals[i++] !== true) return false;
          const count = (times.get(policyName(one.policy)) ?? 0) + 1;
          times.set(policyName(one.policy), count);
          return count <= 2;
        });
        follow(a, next);
        assert.equal(pings(world, a, 600, 1).has("clear"), false);
        a.refuse = () => undefined;
        world.run(60_000);
      });
    }),
    { numRuns: 150 },
  ));

test("where the kernel refuses nothing, what both policies let pass in clear always does", () =>
  fc.assert(
    fc.property(wanted, wanted, (old, now) => {
      fc.pre(isClear(old) && isClear(now));
      const next = policyOf(rulesFor(now));
      begun(rulesFor(old), (world, a) => {
        follow(a, next);
        assert.deepEqual([...pings(world, a, 200)], ["clear"]);
      });
    }),
    { numRuns: 60 },
  ));

// By name

for (const [what, first, command] of [
  ["an update of a wide permit to require", PERMIT_AROUND_BLOCK, "update-policy"],
  ["a wide require, which is new,", BLOCK_ONLY, "add-policy"],
] as const)
  test(`${what} is refused once, and the narrow block behind it goes with the same reload: nothing goes in clear, and it stands within a second`, () =>
    begun(first, (world, a) => {
      let times = 1;
      a.refuse = eachOnce((one) => one.do === command && one.policy.direction === "out" && times-- > 0);
      follow(a, WIDE_REQUIRE);
      assert.equal(pings(world, a, 1000).has("clear"), false);
      assert.equal(said(a, "error").length, 1, "the refusal is told");
      assert.deepEqual(
        outbound(a).flatMap(({ templates }) => templates.map(({ level }) => level)),
        ["required"],
        "the block is gone, and what is wide demands protection",
      );
    }));

for (const action of ["block", "require"])
  test(`a permit that is new with a narrower ${action}, which is refused twice: it waits, and lets nothing pass where the narrower one will stand`, () =>
    begun(rulesFor(["require", "none", "none", "none"]), (world, a) => {
      let times = 2;
      a.refuse = eachOnce(
        (one) => one.do === "add-policy" && one.policy.direction === "out" && one.policy.selector.destination === B && times-- > 0,
      );
      follow(a, action === "block" ? PERMIT_AND_BLOCK : PERMIT_AND_REQUIRE);
      assert.equal(pings(world, a, 1000).has("clear"), false);
      const stands = outbound(a).map(({ selector }) => selector.destination);
      assert.ok(stands.includes(B) && stands.includes("192.0.2.0"), "both stand");
      a.refuse = () => undefined;
      world.run(60_000);
    }));

test("what the kernel refuses for good holds the rest of a reload back for less than a second", () =>
  begun(PERMIT_AROUND_BLOCK, (world, a) => {
    a.refuse = ({ do: what, ...one }: KernelCommand) =>
      what === "update-policy" && "policy" in one && one.policy.direction === "out" ? "Operation not permitted" : undefined;
    follow(a, WIDE_REQUIRE);
    world.run(200);
    assert.equal(outbound(a).length, 2, "the block stands for as long as the rest may come at once");
    world.run(800);
    assert.equal(outbound(a).length, 1);
  }));

test("what somebody else's policy is in the way of holds nothing back", () =>
  begun(BLOCK_ONLY, (world, a) => {
    const [block] = outbound(a);
    assert.ok(block);
    a.refuse = (one) => (one.do === "add-policy" && one.policy.direction === "out" ? "exists" : undefined);
    follow(a, WIDE_REQUIRE);
    world.run(100);
    assert.equal(a.xfrm.policies.has(policyName(block)), false);
  }));

test("while a storm of words that may mean any policy lets no look judge, a reload to require takes effect all the same", () =>
  begun(
    PERMIT,
    (world, a) => {
      for (let i = 0; i < 120_000; i += 100) world.after(i, () => bell(a));
      world.run(50);
      follow(a, REQUIRE);
      pings(world, a, 10_000, 50);
      assert.equal(pings(world, a, 60_000, 50).has("clear"), false);
    },
    [60],
  ));

test("in such a storm a policy of which the kernel has told that it was changed is judged by a later look only", () =>
  begun(
    PERMIT,
    (world, a) => {
      for (let i = 0; i < 60_000; i += 100) world.after(i, () => bell(a));
      world.run(50);
      const [ours] = outbound(a);
      assert.ok(ours);
      const his: KernelPolicy = { ...ours, priority: 7 };
      a.change(his);
      follow(a, REQUIRE);
      world.run(30_000);
      assert.equal(a.xfrm.policies.get(policyName(his)), his);
    },
    [60],
    1,
  ));

test("the kernel's word of an update of ours is lost: somebody's change of it, ten minutes later, is his, and no reload replaces it", () =>
  begun(
    PERMIT,
    (world, a) => {
      const input = a.input.bind(a);
      a.input = (one) => {
        if (one.type !== "kernel-event") input(one);
      };
      follow(a, REQUIRE);
      world.run(1000);
      a.input = input;
      world.run(600_000);
      const [ours] = outbound(a);
      assert.ok(ours);
      const his: KernelPolicy = { ...ours, templates: [] };
      a.change(his);
      world.run(5000);
      assert.equal(said(a, "warning").length, 1, "his change is told");
      follow(a, BLOCK);
      world.run(5000);
      assert.equal(a.xfrm.policies.get(policyName(his)), his);
    },
    [1],
    1,
  ));

const WIDE_BLOCK = policyOf(configuration([{ name: '"wide"', filters: NET, action: '"block"', ...PLAIN }]));
for (const [gap, delay] of [
  [0, 1],
  [20, 40],
  [2, 5],
] as const)
  test(`two reloads ${gap} ms apart, and one update of the first is refused after ${delay} ms, where the second wants nothing: what waits for it does not do so for ever`, () =>
    begun(
      PERMIT,
      (world, a) => {
        let times = 1;
        a.refuse = eachOnce((one) => one.do === "update-policy" && times-- > 0);
        for (const policy of [REQUIRE, WIDE_REQUIRE]) {
          follow(a, policy);
          world.run(gap);
        }
        world.run(60_000);
        assert.equal(pings(world, a, 10_000, 1000).has("clear"), false);
        follow(a, WIDE_BLOCK);
        world.run(1000);
        assert.deepEqual([...pings(world, a, 1000, 100)], ["refused"]);
      },
      [delay],
    ));

test("an address comes and goes while the kernel has not answered, which refuses what it was asked for: nothing waits for ever for a look that nobody asks for", () =>
  begun(
    towards(B, { action: '"request"', start: '"on-traffic"' }),
    (world, a) => {
      let times = 1;
      a.refuse = eachOnce((one) => one.do === "add-policy" && one.policy.selector.source === "192.0.2.7" && times-- > 0);
      a.input({ type: "addresses", addresses: [A, "192.0.2.7"] });
      world.run(5);
      a.input({ type: "addresses", addresses: [A] });
      world.run(10_000);
      world.intercept = ({ from }) => (from === B ? DROP : undefined);
      world.ping(a, packet(A, B));
      world.run(4000);
      assert.equal(world.ping(a, packet(A, B)), "clear", "a soft SA is open");
    },
    [20],
  ));
