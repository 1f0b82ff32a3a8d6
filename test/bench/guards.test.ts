/** What a flow costs that a reload or a start looks after, in steps of our own code (see steps.ts): what other rules there are does not count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Core } from "../../ike/core.ts";
import type { TrafficSelector } from "../../policy/types.ts";
import type { ChildSpec } from "../../sa-store/child-sa.ts";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { claimsOn } = await import("../../ike/guarded.ts");
const { successorOf } = await import("../../ike/fronts.ts");
const { hostRange, parseAddress } = await import("../../isakmp/address.ts");
const { configuration, policyOf } = await import("../sim/policies.ts");

const host = (address: string) => {
  const parsed = parseAddress(address);
  assert.ok(parsed);
  return hostRange(parsed.family, parsed.value);
};
const [ME, PEER] = ["192.0.2.1", "10.0.0.1"];
const SELECTOR: TrafficSelector = { local: host(ME), remote: host(PEER), protocol: 0, localPort: 0, remotePort: 0 };

/** Steps for a hundred flows of a peer among so many rules, once the first one has made the tables. */
function stepsAmong(rules: number, name: string): number {
  const policy = policyOf(
    configuration(
      Array.from({ length: rules }, (_, i) => ({ name: `"r${i}"`, discovery: "true", filters: `["me <-> 10.0.${i >> 8}.${i & 255}"]` })),
    ),
  );
  const core = { policy, addresses: [ME], policies: { reqidFor: () => 1 } } as unknown as Core;
  const [, rule] = policy.rules;
  assert.ok(rule);
  const spec: ChildSpec = { rule: { ...rule, name }, selector: SELECTOR, local: ME, remote: PEER, reqid: 1 };
  const look = (): void => {
    assert.equal(claimsOn(core, spec)[0]?.spec.rule, rule);
    assert.equal(successorOf(core, spec), rule);
  };
  look();
  ran();
  for (let i = 0; i < 100; i++) look();
  return ran();
}

for (const name of ["r1", "another"])
  test(`a flow of a rule that is called ${name} finds its rule among a thousand as among a hundred`, () => {
    const [few, many] = [stepsAmong(100, name), stepsAmong(1000, name)];
    assert.ok(few > 10_000, `${few}`);
    assert.ok(many < 1.2 * few, `${few}, ${many}`);
  });
