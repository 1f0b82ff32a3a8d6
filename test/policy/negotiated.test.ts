/** What a peer asks a child for is negotiated under the rule that decides about those packets, or refused: ranges stand in the kernel as prefixes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hostRange, parseAddress } from "../../isakmp/address.ts";
import type { Packet } from "../../policy/decide.ts";
import { decidedByAnother, placeInFile, ruleCoveringSelectors, type Way } from "../../policy/select.ts";
import type { Policy, TrafficSelector } from "../../policy/types.ts";
import { explain } from "../../policy/why.ts";
import { policiesOf } from "./random-policies.ts";

const OWN = ["10.9.0.1", "10.9.0.2"];

const place = fc.oneof(
  fc.constantFrom("any", "10.0.0.0/29", "10.0.0.0/30", "10.0.0.2/31", "10.0.0.1", "10.0.0.2"),
  fc
    .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 7 }))
    .map(([a, b]) => `10.0.0.${Math.min(a, b)}-10.0.0.${Math.max(a, b)}`),
);
const own = fc.constantFrom("me", "me", "10.9.0.1", "10.9.0.0/30", "10.9.0.1-10.9.0.2", "10.9.0.0-10.9.0.2");
const numbers = fc.constantFrom(["", "", ""], ["", "", ""], ["", "", " tcp"], [":1", "", " tcp"], ["", ":2", " tcp"], [":1", ":2", " tcp"]);
const filter = fc.tuple(own, place, numbers).map(([local, remote, [a, b, protocol]]) => `${local}${a} <-> ${remote}${b}${protocol}`);
const rule = fc.record({
  action: fc.constantFrom("permit", "block", "respond", "request", "require", "require", "require"),
  filters: fc.uniqueArray(filter, { minLength: 1, maxLength: 2 }),
});
const policies = policiesOf(fc.array(rule, { minLength: 2, maxLength: 4 }));
const packets = fc
  .record({ source: fc.constantFrom(...OWN), last: fc.integer({ min: 0, max: 8 }), protocol: fc.constantFrom(6, 17) })
  .map(({ source, last, protocol }): Packet => ({ source, destination: `10.0.0.${last}`, protocol, sourcePort: 1, destinationPort: 2 }));

const hostOf = (text: string) => {
  const address = parseAddress(text);
  assert.ok(address);
  return hostRange(address.family, address.value);
};
const selectorOf = ({ source, destination, protocol, sourcePort, destinationPort }: Packet): TrafficSelector => ({
  ...{ local: hostOf(source), remote: hostOf(destination), protocol, localPort: sourcePort, remotePort: destinationPort },
});

const BOTH: ReadonlySet<Way> = new Set(["out", "in"]);

/** The rule of a child for a packet, whichever of all rules the peer may use; null: none, as another one decides or none covers it. */
function negotiatedFor(policy: Policy, packet: Packet): string | null {
  const proposed = selectorOf(packet);
  const rules = policy.rules.filter(({ action }) => action !== "permit" && action !== "block");
  // The peer's rules come in another order than the file's.
  const found = ruleCoveringSelectors([...rules].reverse(), OWN, proposed, "transport", (rule) => placeInFile(policy, rule));
  return found.ok && !decidedByAnother(policy, rules, OWN, found.value, proposed, () => BOTH) ? found.value.rule.name : null;
}

test("a child for a packet is made under the rule that decides about it, and under none where that lets it pass or drops it", () => {
  let protectedOnes = 0;
  let refused = 0;
  fc.assert(
    fc.property(policies, fc.array(packets, { minLength: 5, maxLength: 15 }), (policy, sent) => {
      for (const packet of sent) {
        const { rule: name } = explain(policy, OWN, packet);
        const rule = policy.rules.find((one) => one.name === name);
        const isPlain = rule?.action === "permit" || rule?.action === "block";
        assert.equal(negotiatedFor(policy, packet), isPlain ? null : name, JSON.stringify(packet));
        protectedOnes += Number(rule !== undefined && !isPlain);
        refused += Number(isPlain);
      }
    }),
    { numRuns: Number(process.env["NEGOTIATED"] ?? 500), includeErrorInReport: true },
  );
  assert.ok(protectedOnes > 100 && refused > 100, `${protectedOnes} ${refused}`);
});
