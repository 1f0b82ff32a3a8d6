/** Whatever peers have asked for in tunnels of rules that only respond: no packet goes to another one's than that of the rule that decides about it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compile, decisions, type WantedPolicy } from "../../policy/compile.ts";
import { indexPolicies, type Packet } from "../../policy/decide.ts";
import { inFrontOf, selectorKey } from "../../policy/packet-selector.ts";
import { policiesOf } from "./random-policies.ts";

const ADDRESSES = ["10.9.0.1", "10.1.0.1"];
const network = (second: number) =>
  fc
    .constantFrom("0.0/16", "0.0/24", "0.0/30", "0.1-10.S.0.5", "0.2", "0.4-10.S.1.9")
    .map((rest) => `10.S.${rest}`.replaceAll("S", String(second)));
const anywhere = fc.oneof({ weight: 5, arbitrary: network(2) }, { weight: 1, arbitrary: fc.constantFrom("any", "10.0.0.0/8") });
const filter = fc
  .tuple(network(1), anywhere, fc.constantFrom("", "", " tcp", " udp"), fc.constantFrom("<->", "<->", "<->", "->"))
  .map(([local, remote, protocol, arrow]) => `${local} ${arrow} ${remote}${protocol}`);
const rule = fc.record({
  action: fc.constant("respond"),
  filters: fc.uniqueArray(filter, { minLength: 1, maxLength: 2 }),
  more: fc.constantFrom("", ...[1, 1, 2, 2, 3].map((n) => `mode = "tunnel"\ntunnel = { local = "10.9.0.1", remote = "10.9.9.${n}" }`)),
});
const address = (second: number) => fc.constantFrom("0.1", "0.2", "0.3", "0.6", "0.9", "1.2").map((rest) => `10.${second}.${rest}`);
const packets = fc
  .tuple(fc.boolean(), address(1), address(2), fc.constantFrom(6, 17))
  .map(([out, one, other, protocol]): readonly [Packet, WantedPolicy["direction"]] => [
    { source: out ? one : other, destination: out ? other : one, protocol, sourcePort: 1, destinationPort: 2 },
    out ? "out" : "fwd",
  ]);

const ruleOf = ({ origin }: WantedPolicy) => (origin.kind === "rule" ? origin.rule : undefined);
const peerOf = (wanted: WantedPolicy | undefined): string | undefined => wanted && ruleOf(wanted)?.tunnel?.remote;
const keyOf = ({ direction, selector }: WantedPolicy): string => `${direction} ${selectorKey(selector)}`;

test("of tunnels that only respond none takes what a rule with another peer decides about, whichever of them have children", () => {
  let shared = 0;
  fc.assert(
    fc.property(
      policiesOf(fc.array(rule, { minLength: 2, maxLength: 4 })),
      fc.nat(15),
      fc.array(packets, { minLength: 10, maxLength: 20 }),
      (policy, asked, sent) => {
        const all = decisions(policy, ADDRESSES);
        // What children of some of the rules lay, as ike/standing.ts does.
        const children = all
          .filter((wanted) => policy.rules.some((one, i) => one === ruleOf(wanted) && one.mode === "tunnel" && (asked & (1 << i)) !== 0))
          .map((wanted): WantedPolicy => ({ ...wanted, priority: inFrontOf(wanted.priority) }));
        const laid = new Set(children.map(keyOf));
        const kernel = indexPolicies([...children, ...compile(policy, ADDRESSES).filter((wanted) => !laid.has(keyOf(wanted)))]);
        const plain = indexPolicies(all);
        for (const [packet, direction] of sent) {
          const [found, decides] = [kernel.decide(packet, direction), plain.decide(packet, direction)];
          if (!found || !children.includes(found)) continue;
          assert.equal(peerOf(found), peerOf(decides), `${direction} ${JSON.stringify(packet)}`);
          shared += 1;
        }
      },
    ),
    { numRuns: Number(process.env["HOLES"] ?? 500), includeErrorInReport: true },
  );
  assert.ok(shared > 500, String(shared));
});
