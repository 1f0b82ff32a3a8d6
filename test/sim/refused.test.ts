/** Stories of policies that do not stand: somebody else's has their selector, or takes them away. Ours come back; nothing foreign is ever touched. */
import assert from "node:assert/strict";
import test from "node:test";
import { answerPolicy, refusalLines, type WhyDocument } from "../../daemon/policy-commands.ts";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

/** A policy of somebody else's, which lets everything through. */
const foreign = (direction: "in" | "out", source: string, destination: string): KernelPolicy => ({
  direction,
  selector: { source, sourceLength: 32, destination, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 },
  action: "allow",
  priority: 500,
  templates: [],
});
const OUT = foreign("out", A, B);
const IN = foreign("in", B, A);

const put = (host: Host, ...policies: readonly KernelPolicy[]): unknown =>
  host.xfrm.apply(policies.map((policy) => ({ do: "add-policy", policy })));
const take = (host: Host, ...policies: readonly Pick<KernelPolicy, "direction" | "selector">[]): unknown =>
  host.xfrm.apply(policies.map((policy) => ({ do: "remove-policy", policy })));
const at = (host: Host, policy: KernelPolicy) => host.xfrm.policies.get(policyName(policy));
const told = (host: Host, event: string): readonly string[] => host.events.filter((one) => one.event === event).map(({ text }) => text);
const refused = (host: Host, now: number) => host.engine.view(now).refusedPolicies;

/** What the daemon's control socket tells. */
const ask = (world: World, host: Host, request: Parameters<typeof answerPolicy>[0]) => {
  const { policy, engine, addresses } = host;
  const metBy = engine.metBy.bind(engine);
  const situation = { policy, inForce: policy, sources: [], addresses, onLink: [], broadcasts: [], ports: [500, 4500], metBy };
  const [reply] = answerPolicy(request, situation, engine.view(world.now));
  return reply?.type === "document" ? reply.document : assert.fail();
};
const why = (world: World, src: string, dst: string): WhyDocument => {
  const document = ask(world, world.host("A"), { command: "why", src, dst, protocol: 6, sport: 40000, dport: 80 });
  return "installed" in document ? document : assert.fail();
};

const ACTIONS = ["require", "request", "block"] as const;
const rule = (action: string) => towards(B, action === "block" ? { action: '"block"', auth: "", start: "" } : { action: `"${action}"` });

for (const action of ACTIONS)
  test(`${action}: a foreign policy stands in the way at the start; when it goes, ours stands within a minute, and is told once`, () =>
    story({ ...pair(rule(action)), foreign: { A: [OUT, IN] } }, (world) => {
      const a = world.host("A");
      world.run(100);
      assert.deepEqual(
        refused(a, world.now).map(({ rule, direction, foreign, reason }) => ({ rule, direction, foreign, reason })),
        ["out", "in"].map((direction) => ({ rule: "peer", direction, foreign: true, reason: "File exists" })),
      );
      world.run(10 * 60_000);
      assert.deepEqual([at(a, OUT), at(a, IN)], [OUT, IN]);
      assert.equal(told(a, "policy.failed").length, 2, "one line for each, however often it is tried");
      take(a, OUT, IN);
      world.run(61_000);
      assert.notDeepEqual(at(a, OUT)?.priority ?? OUT.priority, OUT.priority);
      assert.notDeepEqual(at(a, IN)?.priority ?? IN.priority, IN.priority);
      assert.deepEqual(refused(a, world.now), []);
      assert.equal(told(a, "policy.stands").length, 2);
      assert.match(told(a, "policy.stands")[0] ?? "", /^rule peer: the kernel has (out|in) .* now, which it refused before$/);
      if (action !== "request") assert.notEqual(world.ping(a, packet(A, B)), "clear");
    })());

test("what is refused is asked for five seconds later, then ever more seldom, once a minute at last", () =>
  story(
    { ...pair(rule("block")), foreign: { A: [OUT] } },
    (world) => {
      const a = world.host("A");
      const asked: number[] = [];
      a.refuse = (command) => {
        if (command.do === "add-policy" && command.policy.direction === "out") asked.push(world.now);
        return undefined;
      };
      world.run(10 * 60_000);
      const gaps = asked.map((when, i) => Math.round((when - (asked[i - 1] ?? 0)) / 1000)).slice(0, 7);
      assert.deepEqual(gaps, [0, 5, 10, 20, 40, 60, 60]);
      assert.ok(asked.length < 16, `${asked.length}`);
    },
    { foreign: 1 },
  )());

for (const action of ACTIONS)
  test(`${action}: a rule that is added where a foreign policy stands is refused, and stands after the next reload without it`, () =>
    story(pair(towards("192.0.2.99")), (world) => {
      const a = world.host("A");
      world.run(100);
      put(a, OUT);
      a.policy = policyOf(rule(action));
      a.input({ type: "policy", policy: a.policy });
      world.run(1000);
      assert.deepEqual(
        refused(a, world.now).map(({ direction }) => direction),
        ["out"],
      );
      assert.deepEqual(at(a, OUT), OUT);
      assert.equal(at(a, IN)?.direction, "in");
      a.input({ type: "policy", policy: a.policy });
      world.run(100);
      assert.equal(told(a, "policy.failed").length, 1);
      take(a, OUT);
      a.input({ type: "policy", policy: a.policy });
      world.run(100);
      assert.deepEqual(refused(a, world.now), []);
      if (action !== "request") assert.notEqual(world.ping(a, packet(A, B)), "clear");
    })());

test("a rule that goes while its policy is refused leaves nothing behind, nor is it asked for again", () =>
  story(
    { ...pair(rule("block")), foreign: { A: [OUT] } },
    (world) => {
      const a = world.host("A");
      world.run(100);
      a.policy = policyOf(towards("192.0.2.99"));
      a.input({ type: "policy", policy: a.policy });
      world.run(100);
      assert.deepEqual(refused(a, world.now), []);
      take(a, OUT);
      world.run(120_000);
      assert.equal(at(a, OUT), undefined);
      put(a, OUT);
    },
    { foreign: 1 },
  )());

for (const action of ACTIONS)
  test(`${action}: why, policy show and the answer to a reload say that the kernel has refused the policy, and what to try`, () =>
    story(
      { ...pair(rule(action)), foreign: { A: [OUT] } },
      (world) => {
        const a = world.host("A");
        world.run(100);
        const out = why(world, A, B);
        assert.match(out.says, /; but the kernel has refused this policy \(File exists\), so that the other one of its selector decides$/);
        assert.match(out.refused?.hint ?? "", /ip xfrm policy/);
        const back = why(world, B, A);
        assert.deepEqual([back.refused, /refused/.test(back.says)], [null, false]);
        const shown = ask(world, a, { command: "policy" });
        assert.ok("policies" in shown);
        assert.deepEqual(
          shown.policies.filter(({ rule }) => rule !== null).map(({ direction, refused }) => [direction, refused]),
          [
            ["out", "File exists"],
            ["in", null],
          ],
        );
        const lines = refusalLines(a.engine.view(world.now));
        assert.equal(lines.length, 1);
        assert.match(
          lines[0] ?? "",
          /^warning: rule peer: the kernel has refused the policy out 192\.0\.2\.1\/32 -> 192\.0\.2\.2\/32: File exists; a policy of somebody else/,
        );
      },
      { foreign: 1 },
    )());

test("after refusals went with their rule, what is refused next is asked for five seconds later again", () =>
  story(
    { ...pair(rule("block")), foreign: { A: [OUT] } },
    (world) => {
      const a = world.host("A");
      world.run(10 * 60_000);
      a.policy = policyOf(towards("192.0.2.99"));
      a.input({ type: "policy", policy: a.policy });
      world.run(10 * 60_000);
      assert.deepEqual(refused(a, world.now), []);
      const asked: number[] = [];
      a.refuse = (command) => {
        if (command.do === "add-policy" && command.policy.direction === "out") asked.push(world.now);
        return undefined;
      };
      a.policy = policyOf(rule("block"));
      a.input({ type: "policy", policy: a.policy });
      world.run(90_000);
      const gaps = asked.map((when, i) => Math.round((when - (asked[i - 1] ?? when)) / 1000));
      assert.deepEqual(gaps.slice(0, 3), [0, 5, 10]);
    },
    { foreign: 1 },
  )());

test("what the kernel has refused is not asked for because addresses come and go, but at a reload", () =>
  story(
    { ...pair(rule("block")), foreign: { A: [OUT] } },
    (world) => {
      const a = world.host("A");
      world.run(1000);
      let asked = 0;
      a.refuse = (command) => {
        if (command.do === "add-policy" && command.policy.direction === "out" && command.policy.selector.source === A) asked++;
        return undefined;
      };
      a.input({ type: "addresses", addresses: [A, "192.0.2.77"] });
      world.run(500);
      a.input({ type: "addresses", addresses: [A] });
      world.run(500);
      assert.equal(asked, 0);
      a.input({ type: "policy", policy: a.policy });
      world.run(500);
      assert.equal(asked, 1);
      assert.equal(refused(a, world.now).length, 1);
    },
    { foreign: 1 },
  )());

// What somebody takes away

const CHANGES: readonly (readonly [string, (host: Host) => void])[] = [
  ["flushes all policies", (host) => host.flush()],
  ["deletes the one for what leaves", (host) => host.remove(OUT)],
  ["deletes both", (host) => host.remove(OUT, IN)],
];

for (const action of ACTIONS)
  for (const [what, change] of CHANGES)
    test(`${action}: somebody ${what}: it is noticed, told once, and put back within a second`, () =>
      story(pair(rule(action)), (world) => {
        const a = world.host("A");
        world.run(100);
        const before = new Map(a.xfrm.policies);
        change(a);
        assert.ok(a.xfrm.policies.size < before.size);
        world.run(1000);
        assert.deepEqual(sorted(a.xfrm.policies), sorted(before));
        assert.equal(told(a, "policy.gone").length, 1);
        assert.match(told(a, "policy.gone")[0] ?? "", /^somebody has removed or replaced .* of ours in the kernel: .* \(rule peer\)/);
        assert.deepEqual(refused(a, world.now), []);
        assert.equal(a.looks, 1);
        if (action !== "request") assert.notEqual(world.ping(a, packet(A, B)), "clear");
      })());

for (const action of ACTIONS)
  test(`${action}: somebody takes policies away and nothing is heard of it: a reload without changes puts them back`, () =>
    story(pair(rule(action)), (world) => {
      const a = world.host("A");
      world.run(100);
      const before = new Map(a.xfrm.policies);
      take(a, OUT, IN);
      a.input({ type: "policy", policy: a.policy });
      world.run(100);
      assert.deepEqual(sorted(a.xfrm.policies), sorted(before));
      assert.equal(told(a, "policy.gone").length, 1);
    })());

test("somebody deletes a policy that stood in the way of one of ours: ours stands at once", () =>
  story({ ...pair(rule("require")), foreign: { A: [OUT] } }, (world) => {
    const a = world.host("A");
    world.run(30_000);
    a.remove(OUT);
    world.run(10);
    assert.deepEqual(refused(a, world.now), []);
    assert.equal(told(a, "policy.stands").length, 1);
    assert.notEqual(world.ping(a, packet(A, B)), "clear");
  })());

test("somebody puts a policy of his own in the place of ours: it stays, ours is told to be refused, and comes back when it goes", () =>
  story(pair(rule("block")), (world) => {
    const a = world.host("A");
    world.run(100);
    a.xfrm.apply([{ do: "update-policy", policy: OUT }]);
    a.isOurs = (policy) => policy !== OUT;
    a.input({ type: "policy", policy: a.policy });
    world.run(100);
    assert.deepEqual(at(a, OUT), OUT);
    assert.deepEqual(
      refused(a, world.now).map(({ direction }) => direction),
      ["out"],
    );
    a.flush();
    world.run(1500);
    assert.equal(at(a, OUT)?.action, "block");
    assert.deepEqual(refused(a, world.now), []);
  })());

test("somebody flushes policies while a pair carries traffic: the pair stays, and its policies come back with those of the rule", () =>
  story(pair(towards(B), towards(A, { action: '"respond"' })), (world) => {
    bringUp(world);
    for (const host of world.hosts) {
      const before = new Map(host.xfrm.policies);
      assert.ok(before.size > 0);
      host.flush();
      world.run(1000);
      assert.deepEqual(sorted(host.xfrm.policies), sorted(before));
      assertTraffic(world);
    }
    world.run(20 * 60_000);
    assertTraffic(world);
  })());

test("our own removals make nobody look: reloads, renewals, ends", () =>
  story(pair(towards(B), towards(A, { action: '"respond"' })), (world) => {
    const [a, b] = [world.host("A"), world.host("B")];
    bringUp(world);
    world.run(30 * 60_000);
    a.command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    assert.deepEqual([a.looks, b.looks], [0, 0]);
    b.policy = policyOf(towards("192.0.2.99"));
    b.input({ type: "policy", policy: b.policy });
    world.run(1000);
    assert.ok(b.looks <= 1, `${b.looks}`);
    assert.deepEqual(told(b, "policy.gone"), []);
  })());

test("a look during which policies change is repeated, once", () =>
  story(pair(rule("block"), undefined, { kernelDelays: [50] }), (world) => {
    const a = world.host("A");
    world.run(1000);
    a.remove(OUT);
    world.runUntil("the look", () => a.looks === 1);
    a.input({ type: "addresses", addresses: [A, "192.0.2.7"] });
    world.run(60_000);
    assert.equal(a.looks, 2);
    assert.equal(told(a, "policy.gone").length, 1);
    assert.equal(at(a, OUT)?.action, "block");
  })());

test("a kernel that does not tell what it has is asked again ever more seldom, and what should be there is asked for all the same", () =>
  story(pair(rule("block")), (world) => {
    const a = world.host("A");
    world.run(100);
    a.tells = false;
    a.flush();
    world.run(14_000);
    assert.deepEqual([at(a, OUT)?.action, a.looks, told(a, "policy.gone")], ["block", 1, []]);
    world.run(24 * 3_600_000);
    assert.ok(a.looks > 20 && a.looks < 40, `${a.looks}`);
    a.tells = true;
    world.run(3_600_000);
    assert.equal(at(a, OUT)?.action, "block");
  })());

for (const delays of [[0], [45], [700], [3, 80, 1]])
  test(`reloads, flushes and foreign policies at any moment, with kernels that take ${delays.join(", ")} ms: what should stand stands in the end`, () =>
    story({ ...pair(rule("block")), kernelDelays: delays }, (world) => {
      const a = world.host("A");
      const texts = [rule("block"), rule("require"), towards("192.0.2.99")];
      for (let i = 0; i < 60; i++) {
        a.policy = policyOf(texts[(i * 7) % 3] ?? "");
        if (i % 4 !== 3) a.input({ type: "policy", policy: a.policy });
        if (i % 5 === 0) a.flush();
        if (i % 5 === 2) a.remove(i % 2 ? OUT : IN);
        if (i % 11 === 4) put(a, OUT);
        if (i % 11 === 7 && at(a, OUT)?.priority === OUT.priority) a.remove(OUT);
        world.run((i * 37) % 150);
      }
      if (at(a, OUT)?.priority === OUT.priority) a.remove(OUT);
      a.policy = policyOf(rule("block"));
      a.input({ type: "policy", policy: a.policy });
      world.run(120_000);
      assert.deepEqual([at(a, OUT)?.action, at(a, IN)?.action], ["block", "block"]);
      assert.deepEqual(refused(a, world.now), []);
      assert.ok(a.looks < 200, `${a.looks}`);
    })());

const sorted = (policies: ReadonlyMap<string, KernelPolicy>) => [...policies].sort(([x], [y]) => (x < y ? -1 : 1));
