/** Which rules guard a flow, held against the policies that the kernel gets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Core } from "../../ike/core.ts";
import { claimsOn, mayGoClear } from "../../ike/guarded.ts";
import { kernelPolicies } from "../../ike/install.ts";
import { hostRange, parseAddress } from "../../isakmp/address.ts";
import { decisions } from "../../policy/compile.ts";
import { coversPackets } from "../../policy/packet-selector.ts";
import type { Policy, TrafficSelector } from "../../policy/types.ts";
import { ADDRESSES, policyFrom, randomPolicy } from "../policy/random-policies.ts";

const host = (address: string) => {
  const parsed = parseAddress(address);
  assert.ok(parsed);
  return hostRange(parsed.family, parsed.value);
};

interface Flow {
  readonly local: string;
  readonly remote: string;
  readonly selector: TrafficSelector;
}

const flow: fc.Arbitrary<Flow> = fc
  .record({
    ends: fc.constantFrom(
      ...["10.9.0.1 10.0.0.1", "10.9.0.1 10.0.0.3", "10.9.0.2 10.0.0.2", "10.9.0.2 10.0.0.6"],
      ...["fd09::1 fd00::1", "fd09::1 fd00::3", "240.9.0.1 10.0.0.1"],
    ),
    what: fc.constantFrom([0, 0, 0], [0, 0, 0], [6, 0, 0], [6, 0, 1], [6, 1, 2], [17, 2, 0], [1, 0, 0]),
  })
  .map(({ ends, what: [protocol = 0, localPort = 0, remotePort = 0] }) => {
    const [local = "", remote = ""] = ends.split(" ");
    return { local, remote, selector: { local: host(local), remote: host(remote), protocol, localPort, remotePort } };
  });

const coreOf = (policy: Policy): Core => ({ policy, policies: { reqidFor: () => 1 } }) as unknown as Core;
const policiesOf = ({ selector }: Flow) => kernelPolicies({ selector, mode: "transport", tunnel: null, protocols: [], reqid: 1 });

/** For each direction of a flow the rule that guards it, as the policies of the kernel decide and as the claims say. */
function guards(policy: Policy, one: Flow) {
  const wanted = decisions(policy, ADDRESSES);
  const claims = claimsOn(coreOf(policy), one);
  return policiesOf(one).map((packets) => {
    const [strongest] = wanted.filter(
      ({ direction, selector, origin }) =>
        direction === packets.direction && origin.kind === "rule" && !origin.way && coversPackets(selector, packets.selector),
    );
    const rule = strongest?.origin.kind === "rule" && mayGoClear(strongest.origin.rule) ? strongest.origin.rule.name : undefined;
    const own = claims.filter((claim) => claim.own([packets]).length > 0).map(({ spec }) => spec.rule.name);
    return { decides: rule === undefined ? [] : [rule], own };
  });
}

test("the rules that claim a flow are those whose policies the kernel lets decide about it", () => {
  let claimed = 0;
  fc.assert(
    fc.property(randomPolicy(5), fc.array(flow, { minLength: 5, maxLength: 10 }), (policy, flows) => {
      for (const one of flows)
        for (const { decides, own } of guards(policy, one)) {
          assert.deepEqual(own, decides);
          claimed += own.length;
        }
    }),
    { numRuns: 500 },
  );
  assert.ok(claimed > 100, String(claimed));
});

test("what each rule gets of a flow that two decide about", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me -> 10.0.0.1"], more: "discovery = true" },
    { action: "request", filters: ["me <-> 10.0.0.0/30"] },
  ]);
  const [local, remote] = ["10.9.0.1", "10.0.0.1"];
  const one = { local, remote, selector: { local: host(local), remote: host(remote), protocol: 0, localPort: 0, remotePort: 0 } };
  assert.deepEqual(
    guards(policy, one).map(({ own }) => own),
    [["r0"], ["r1"]],
  );
});
