/** Policies of a gateway between two networks: what becomes of packets that pass through it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compile } from "../../policy/compile.ts";
import { directionOf, indexPolicies, type Packet } from "../../policy/decide.ts";
import { selectorKey } from "../../policy/packet-selector.ts";
import { explain, type Verdict } from "../../policy/why.ts";
import { GATEWAY, policyText, randomGateway, randomPassing } from "./random-gateways.ts";
import { policyFrom, type RuleText } from "./random-policies.ts";
import { evaluate, evaluateAt } from "./reference-evaluator.ts";

const RUNS = { numRuns: 300, includeErrorInReport: true };
const packets = fc.array(randomPassing, { minLength: 10, maxLength: 20 });
const asWritten = ({ source, sourcePort, destination, destinationPort }: Packet): string =>
  `${source} port ${sourcePort} to ${destination} port ${destinationPort}`;

test("for any gateway's rules and packets, what the kernel gets decides where it asks as a plain evaluation of the rules does", () => {
  fc.assert(
    fc.property(randomGateway(5), packets, (policy, sent) => {
      const index = indexPolicies(compile(policy, GATEWAY.own));
      for (const packet of sent) {
        const way = directionOf(packet, GATEWAY.own);
        for (const direction of way === "fwd" ? (["fwd", "out"] as const) : [way]) {
          const found = index.decide(packet, direction);
          const what = !found ? "clear" : found.action === "block" ? "drop" : (found.protection?.level ?? "clear");
          const said = evaluateAt(policy, GATEWAY.own, packet, direction);
          assert.equal(what, said.what, `${direction}, ${asWritten(packet)}, rule ${said.rule}\n${policyText(policy)}`);
        }
      }
    }),
    RUNS,
  );
});

test("for any gateway's rules no two kernel policies have one selector and direction, since Linux holds one alone", () => {
  const tunnel = 'mode = "tunnel"\ntunnel = { local = "192.0.2.17", remote = "192.0.2.33" }';
  const toItself = policyFrom([
    { action: "require", filters: ["2001:db8::11 <-> ::/0"], more: tunnel },
    { action: "block", filters: ["any <-> any"] },
  ]);
  fc.assert(
    fc.property(randomGateway(5), (policy) => {
      const keys = compile(policy, GATEWAY.own).map(({ direction, selector }) => `${direction} ${selectorKey(selector)}`);
      assert.deepEqual(
        keys.filter((key, i) => keys.indexOf(key) !== i),
        [],
        policyText(policy),
      );
    }),
    { ...RUNS, examples: [[toItself]] },
  );
});

test("why and a plain evaluation of the rules agree about any packet that passes through a gateway", () => {
  const verdicts = { drop: "drop", required: "protect", use: "protect-if-possible", clear: "clear" } as const;
  fc.assert(
    fc.property(randomGateway(5), packets, (policy, sent) => {
      for (const { from: _, to: __, ...packet } of sent) {
        const { rule, what, asked } = evaluate(policy, GATEWAY.own, packet, directionOf(packet, GATEWAY.own));
        const expected: Verdict = what === "clear" && asked ? "protect-if-asked" : verdicts[what];
        const said = explain(policy, GATEWAY.own, packet);
        assert.deepEqual([said.rule, said.verdict], [rule, expected], `${asWritten(packet)}\n${policyText(policy)}`);
      }
    }),
    RUNS,
  );
});

/** Of two filters that come to one selector for packets that pass through, one for each way, the more specific one counts, wherever it stands. */
const BOTH_WAYS: readonly (readonly [string, readonly RuleText[], source: string, destination: string])[] = [
  [
    "sides that overlap",
    [
      { action: "block", filters: ["10.0.0.5-10.0.0.13 <-> 10.0.0.5-10.0.0.13"] },
      { action: "permit", filters: ["10.0.0.0/24 -> 10.0.0.9"] },
    ],
    ...(["10.0.0.5", "10.0.0.9"] as const),
  ],
  [
    "two filters",
    [
      { action: "block", filters: ["10.1.0.1 <-> 10.2.0.0/16", "10.2.0.0/16 <-> 10.1.0.1"] },
      { action: "permit", filters: ["any -> 10.2.0.5"] },
    ],
    ...(["10.1.0.1", "10.2.0.5"] as const),
  ],
  [
    "two filters of two rules",
    [
      { action: "block", filters: ["10.1.0.1 <-> 10.2.0.0/16"] },
      { action: "block", filters: ["10.2.0.0/16 <-> 10.1.0.1"] },
      { action: "permit", filters: ["any -> 10.2.0.5"] },
    ],
    ...(["10.1.0.1", "10.2.0.5"] as const),
  ],
];
for (const [what, rules, source, destination] of BOTH_WAYS)
  test(`a block with ${what} drops what passes through, though a permit lies between what it says of one way and of the other`, () => {
    const policy = policyFrom(rules);
    const packet = { source, destination, protocol: 6, sourcePort: 1, destinationPort: 2 };
    const own = ["192.0.2.1"];
    assert.equal(evaluate(policy, own, packet, "fwd").what, "drop");
    assert.equal(indexPolicies(compile(policy, own)).decide(packet, "fwd")?.action, "block");
    assert.equal(explain(policy, own, packet).verdict, "drop");
  });

test("what only passes into a tunnel that protects where it is asked to, past a block, is in clear by the permit that decides the other time", () => {
  const policy = policyFrom([
    {
      action: "respond",
      filters: ["10.2.0.0/16 <-> 10.1.0.0/16"],
      more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }',
    },
    { action: "permit", filters: ["10.2.0.0/16 <-> 10.1.0.0/16 tcp"] },
    { action: "block", filters: ["any <-> any"] },
  ]);
  const packet = { source: "10.1.0.5", destination: "10.2.0.5", protocol: 6, sourcePort: 1, destinationPort: 2 };
  const said = [packet, { ...packet, protocol: 17 }].map((one) => explain(policy, ["192.0.2.1"], one));
  assert.deepEqual(
    said.map(({ rule, verdict }) => `${rule} ${verdict}`),
    ["r1 clear", "r0 protect-if-asked"],
  );
});

test("what comes out of a tunnel from anywhere opens no block for this host's own link-local addresses, whatever others it has", () => {
  const rules: readonly RuleText[] = [
    {
      action: "require",
      filters: ["2001:db8:1::/64 <- ::/0"],
      more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }',
    },
    { action: "block", filters: ["any <-> any"] },
  ];
  const packet = { source: "fe80::5", destination: "2001:db8:1::5", protocol: 6, sourcePort: 1, destinationPort: 2 };
  assert.equal(indexPolicies(compile(policyFrom(rules), ["192.0.2.1"])).decide(packet, "out")?.action, "block");
});

test("a gateway pings through its tunnel by a permit for icmp, and past it where icmp is exempt, which leaves answers out of the tunnel outside", () => {
  const tunnel: RuleText = {
    action: "require",
    filters: ["10.1.0.0/16 <-> 10.2.0.0/16"],
    more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }',
  };
  const own = ["192.0.2.1", "10.1.0.1"];
  const ping = (source: string, destination: string): Packet => ({ source, destination, protocol: 1, sourcePort: 0, destinationPort: 0 });
  const packets = [ping("10.1.0.1", "10.2.0.5"), ping("10.2.0.5", "10.1.0.1"), ping("192.0.2.1", "198.51.100.5")];
  const met = (rules: readonly RuleText[], top = ""): readonly string[] => {
    const index = indexPolicies(compile(policyFrom(rules, top), own));
    return packets.map((packet) => index.decide(packet, directionOf(packet, own))?.protection?.level ?? "clear");
  };
  assert.deepEqual(met([tunnel, { action: "permit", filters: ["me <-> any icmp"] }]), ["required", "required", "clear"]);
  assert.deepEqual(met([tunnel], '[policy]\nexempt = ["icmp"]'), ["clear", "clear", "clear"]);
});
