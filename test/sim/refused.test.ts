/** Stories of policies that do not stand: somebody else's has their selector, or takes them away. Ours come back; nothing foreign is ever touched. */
import assert from "node:assert/strict";
import test from "node:test";
import { answerPolicy, refusalLines, type WhyDocument } from "../../daemon/policy-commands.ts";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, packet, pair } from "./setting.ts";
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
