/** What stands in a slot of the kernel, against what should: by answers and by looks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { PolicySlots } from "../../ike/policy-slots.ts";
import { policyIndex } from "../../kernel/xfrm-args.ts";
import { parsePolicies } from "../../kernel/xfrm-policy.ts";

const ANY = { source: "0.0.0.0", sourceLength: 0, destination: "0.0.0.0", destinationLength: 0 };
const OURS: KernelPolicy = {
  direction: "out",
  selector: { ...ANY, protocol: 0, sourcePort: 0, destinationPort: 0 },
  action: "block",
  priority: 1000,
  templates: [],
};
const HIS: KernelPolicy = { ...OURS, action: "allow", priority: 0 };

/** Slots in which ours stands. */
function standing(): PolicySlots {
  const slots = new PolicySlots();
  slots.setBase(OURS);
  slots.answered(slots.settle([OURS]), null, 0);
  slots.beginLook();
  return slots;
}

const line = (extra: string, { action, priority }: KernelPolicy, index: number, ptype = "main"): readonly string[] => [
  `src 0.0.0.0/0 dst 0.0.0.0/0 ${extra}uid 0`,
  `\tdir out action ${action} index ${index} priority ${priority} ptype ${ptype} share any flag  (0x00000000)`,
];

for (const [what, extra, ptype] of [
  ["of one interface", "dev wg0 ", "main"],
  ["of type sub", "", "sub"],
] as const)
  test(`somebody else's policy ${what} stands beside ours, not in its place: ours goes with its rule`, () => {
    const slots = standing();
    const found = parsePolicies([...line("", OURS, policyIndex(OURS)), ...line(extra, HIS, 9, ptype)]);
    assert.deepEqual(slots.compare(found).gone, []);
    slots.dropBase(OURS);
    assert.deepEqual(slots.settle([OURS]), [{ do: "remove-policy", policy: OURS }]);
  });

test("of two policies that look like one slot's, that which is ours counts, in whichever order they are told", () => {
  for (const found of [
    [OURS, HIS],
    [HIS, OURS],
  ])
    assert.deepEqual(standing().compare(found.map((policy) => ({ ...policy, ours: policy === OURS }))).gone, []);
  assert.deepEqual(standing().compare([{ ...HIS, ours: false }]).gone, [OURS]);
});
