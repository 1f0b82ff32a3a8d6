/** `why`, asked of the daemon while a flow is kept from the clear, says what its kernel does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerPolicy, type WhyDocument } from "../../daemon/policy-commands.ts";
import { coversPackets } from "../../policy/packet-selector.ts";
import type { Policy } from "../../policy/types.ts";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
import { policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const ON_TRAFFIC = { start: '"on-traffic"' };

function why(world: World, host: Host, policy: Policy, src: string, dst: string, [sport, dport] = [40000, 80]): WhyDocument {
  const metBy = host.engine.metBy.bind(host.engine);
  const situation = { policy, inForce: policy, sources: [], addresses: [A], onLink: [], broadcasts: [], ports: [500, 4500], metBy };
  const [reply] = answerPolicy({ command: "why", src, dst, protocol: 6, sport, dport }, situation, host.engine.view(world.now));
  assert.ok(reply?.type === "document" && "installed" in reply.document);
  return reply.document;
}

/** What decides in the kernel about a packet of TCP. */
function decides(host: Host, direction: "in" | "out", source: string, destination: string) {
  const ports = direction === "out" ? { sourcePort: 40000, destinationPort: 80 } : { sourcePort: 80, destinationPort: 40000 };
  const one = { source, sourceLength: 32, destination, destinationLength: 32, protocol: 6, ...ports };
  const [policy] = [...host.xfrm.policies.values()]
    .filter((each) => each.direction === direction && coversPackets(each.selector, one))
    .sort((a, b) => a.priority - b.priority);
  return policy && { level: policy.templates[0]?.level ?? null, priority: policy.priority };
}

const CASES: readonly (readonly [string, RuleText])[] = [
  ["discovery", { discovery: "true", ...ON_TRAFFIC }],
  ["a boundary", { action: '"request"', discovery: "true", ...ON_TRAFFIC }],
  ["request", { action: '"request"', ...ON_TRAFFIC }],
  ["discovery for a network", { discovery: "true", filters: '["me <-> 192.0.2.0/24"]', ...ON_TRAFFIC }],
];
for (const [what, rule] of CASES)
  test(
    `under ${what} why says that a flow is kept from the clear while it is, and nothing of that before and afterwards`,
    story(pair(towards(B, rule), towards(A, ON_TRAFFIC)), (world: World) => {
      const a = world.host("A");
      const policy = policyOf(towards(B, rule));
      world.run(100);
      const before = [why(world, a, policy, A, B), why(world, a, policy, B, A, [80, 40000])];
      world.ping(a, packet(A, B));
      world.run(2000);
      assert.equal(world.ping(a, packet(A, B)), "protected");
      world.intercept = () => DROP;
      const arrivals = world.traffic(a, packet(A, B), 1000);
      world.run(180_000);
      assert.ok(!arrivals.slice(-60).some(({ arrival }) => arrival === "clear"));

      const [out, back] = [why(world, a, policy, A, B), why(world, a, policy, B, A, [80, 40000])];
      assert.equal(out.verdict, "protect");
      assert.match(
        out.says,
        /^rule peer: sent only protected, for \d+ seconds more at least: this traffic with 192\.0\.2\.2.*kept from the clear/,
      );
      const { level = null, priority = 0 } = out.policy ?? {};
      assert.deepEqual({ level, priority }, decides(a, "out", A, B));
      assert.deepEqual({ level: back.policy?.level, priority: back.policy?.priority }, decides(a, "in", B, A));
      assert.equal(back.verdict === "protect", back.policy?.level === "required");
      assert.equal(out.answer.verdict, back.verdict);
      assert.equal(back.answer.verdict, "protect");
      assert.deepEqual([out.guards.length, back.guards.length, a.engine.view(world.now).guards.length], [1, 1, 1]);
      assert.equal(why(world, a, policy, A, "192.0.2.77").guards.length, 0);

      world.intercept = () => undefined;
      world.run(120_000);
      assert.equal(a.engine.view(world.now).guards.length, 0);
      // What has a policy of its own now is the new child.
      const after = [why(world, a, policy, A, B), why(world, a, policy, B, A, [80, 40000])];
      for (const [i, { says }] of after.entries())
        if (!/: (sent|accepted) only protected now: child \d+ has a policy of its own for it/.test(says))
          assert.equal(says, before[i]?.says);
      const front = { level: after[0]?.policy?.level ?? null, priority: after[0]?.policy?.priority ?? 0 };
      assert.deepEqual(front, decides(a, "out", A, B));
    }),
  );
