/** Stories of exemptions that the kernel refuses: they are refused policies like others, asked for again, known for our own where a crash left them, and told. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, packet, pair } from "./setting.ts";
import { inWorld, story, type World } from "./world.ts";

/** Every exemption of this list stands in front of a rule that lets nothing else through in clear. */
const exempting = (list: string): string => `[policy]\nexempt = [${list}]\n\n${towards("192.0.2.0/24", { action: '"require"' })}`;
const DNS = exempting('"dns"');
const NOTHING_EXEMPT = policyOf(exempting(""));
const setting = (foreign: readonly KernelPolicy[]) => ({ ...pair(DNS, towards("192.0.2.99")), foreign: { A: foreign } });
const question = { ...packet(A, B), protocol: 17, destinationPort: 53 };

/** What a start comes to in an empty kernel. */
function laid(): readonly KernelPolicy[] {
  let found: readonly KernelPolicy[] = [];
  inWorld({ hosts: [{ name: "A", addresses: [A], policy: policyOf(DNS) }] }, (world) => {
    world.run(100);
    found = [...world.host("A").xfrm.policies.values()];
  });
  return found;
}
const EXEMPT = laid().filter(({ selector, priority }) => selector.protocol === 17 && priority === 1000);

const at = (a: Host, policy: KernelPolicy) => a.xfrm.policies.get(policyName(policy));
const told = (a: Host, event: string) => a.events.filter((one) => one.event === event);
const refused = (world: World, a: Host) => a.engine.view(world.now).refusedPolicies;

for (const action of ["allow", "block"] as const)
  test(`somebody's policy that says ${action} where we exempt is told of as refused, and ours stands once it goes`, () => {
    const his = EXEMPT.map((policy): KernelPolicy => ({ ...policy, action, priority: 5 }));
    story(setting(his), (world) => {
      const a = world.host("A");
      a.isOurs = ({ priority }) => priority !== 5;
      world.run(10 * 60_000);
      assert.deepEqual(
        refused(world, a).map(({ rule, foreign, reason }) => ({ rule, foreign, reason })),
        his.map(() => ({ rule: null, foreign: true, reason: "File exists" })),
      );
      assert.equal(told(a, "policy.failed").length, his.length, "one line for each, however often it is tried");
      assert.match(told(a, "policy.failed")[0]?.text ?? "", /^an exemption: /);
      assert.deepEqual(
        his.map((policy) => at(a, policy)),
        his,
      );
      a.remove(...his);
      world.run(1000);
      assert.deepEqual(
        EXEMPT.map((policy) => at(a, policy)?.priority),
        EXEMPT.map(() => 1000),
      );
      assert.deepEqual(refused(world, a), []);
      assert.match(told(a, "policy.stands")[0]?.text ?? "", /^an exemption: the kernel has /);
      assert.equal(world.ping(a, question), "clear");
    })();
  });

test("an exemption whose refusal nobody tells the end of stands within a minute after it", () => {
  const his = EXEMPT.map((policy): KernelPolicy => ({ ...policy, action: "block", priority: 5 }));
  story(setting(his), (world) => {
    const a = world.host("A");
    a.isOurs = ({ priority }) => priority !== 5;
    world.run(10 * 60_000);
    a.xfrm.apply(his.map((policy) => ({ do: "remove-policy", policy })));
    world.run(61_000);
    assert.deepEqual([refused(world, a), world.ping(a, question)], [[], "clear"]);
  })();
});

for (const wait of [50, 60_000])
  test(`exemptions that a crash left, at a start to which the kernel told nothing, go when the list shrinks ${wait} ms later`, () =>
    story(setting(laid()), (world) => {
      const a = world.host("A");
      world.run(wait);
      if (wait > 1000) assert.deepEqual([refused(world, a), world.ping(a, question)], [[], "clear"]);
      a.policy = NOTHING_EXEMPT;
      a.input({ type: "policy", policy: a.policy });
      world.run(60_000);
      assert.deepEqual(
        EXEMPT.map((policy) => at(a, policy)),
        EXEMPT.map(() => undefined),
      );
      assert.notEqual(world.ping(a, question), "clear");
    })());
