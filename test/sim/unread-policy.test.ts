/** Stories of a policy of ours that somebody makes something of which we can't read: it is his, and every other is judged as ever. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy, ListedPolicy } from "../../ike/kernel-contract.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf } from "./policies.ts";
import { A, B, packet, pair } from "./setting.ts";
import { story } from "./world.ts";

const C = "192.0.2.77";
const OTHER = { name: '"other"', filters: `["me <-> ${C}"]` };
const LESS = policyOf(configuration([OTHER]));
const BOTH = configuration([{ filters: `["me <-> ${B}"]` }, OTHER]);

const out = (a: Host, destination: string): KernelPolicy => {
  const found = [...a.xfrm.policies.values()].find(
    ({ direction, selector }) => direction === "out" && selector.destination === destination,
  );
  return found ?? assert.fail(`nothing towards ${destination}`);
};
const isUnread = (policy: KernelPolicy): boolean => "saysMore" in policy;
/** Action, priority and number as ours; only what can't be read is another's. */
const unread = (policy: KernelPolicy): KernelPolicy & Pick<ListedPolicy, "saysMore"> => ({ ...policy, saysMore: true });

for (const ours of [false, true])
  test(`of what somebody makes of one policy nothing is known${ours ? ", though it keeps our number" : ""}: another that he deletes comes back, his stays`, () =>
    story(
      pair(BOTH),
      (world) => {
        const a = world.host("A");
        a.isOurs = (policy) => ours || !isUnread(policy);
        world.run(100);
        const [his, lost] = [unread(out(a, B)), out(a, C)];
        a.change(his);
        world.run(2000);
        a.remove(lost);
        world.run(3000);
        assert.deepEqual(out(a, C), lost);
        assert.notEqual(world.ping(a, packet(A, C)), "clear");
        const refused = () => a.engine.view(world.now).refusedPolicies.map(({ rule, direction, foreign }) => [rule, direction, foreign]);
        assert.deepEqual(refused(), [["peer", "out", true]]);
        a.input({ type: "policy", policy: a.policy });
        world.run(70_000);
        assert.deepEqual(refused(), [["peer", "out", true]]);
        a.policy = LESS;
        a.input({ type: "policy", policy: a.policy });
        world.run(2000);
        assert.deepEqual([out(a, B), out(a, C)], [his, lost], "his stays when the rule goes");
      },
      { foreign: 1 },
    )());
