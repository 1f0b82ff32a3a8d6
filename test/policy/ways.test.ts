/** Ways past blocks: what others' packets need that a filter is about only as they come, or only as they leave. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compile, type WantedPolicy } from "../../policy/compile.ts";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";
import { directionOf, indexPolicies, type Packet } from "../../policy/decide.ts";
import { isBesideBlock } from "../../policy/ways.ts";
import { explain, type Verdict } from "../../policy/why.ts";
import { GATEWAY, policyText, randomGateway, randomPassing } from "./random-gateways.ts";
import { policyFrom, type RuleText } from "./random-policies.ts";
import { evaluateAt } from "./reference-evaluator.ts";

const OWN = ["192.0.2.1", "2001:db8::1"];
const more = 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }';
const tunnel = (...filters: readonly string[]): readonly RuleText[] =>
  filters.map((filter) => ({ action: "require", filters: [filter], more }));
const permit = (...filters: readonly string[]): RuleText => ({ action: "permit", filters });
const block = (...filters: readonly string[]): RuleText => ({ action: "block", filters });
const WALL = block("any <-> any");

const textOf = ({ direction, action, selector: s }: WantedPolicy): string => {
  const end = (address: string, length: number, port: number): string => `${address}/${length}${port === 0 ? "" : `:${port}`}`;
  const ends = `${end(s.source, s.sourceLength, s.sourcePort)} ${end(s.destination, s.destinationLength, s.destinationPort)}`;
  return `${action === "block" ? "but not " : ""}${direction} ${ends}`;
};
const beside = (rules: readonly RuleText[]): readonly WantedPolicy[] => compile(policyFrom(rules), OWN).filter(isBesideBlock);
const guards = (destination: string, port = ""): readonly string[] =>
  ["0.0.0.0/32", "192.0.2.1/32"].map((source) => `but not out ${source}${port} ${destination}`);

/** What passes in front of a block: as it comes (`fwd`) into a tunnel, as it leaves (`out`) from one, or as what a permit lets come back. */
const WAYS: readonly (readonly [what: string, rules: readonly RuleText[], ways: readonly string[]])[] = [
  ["a tunnel both ways", tunnel("10.1.0.0/16 <-> 10.2.0.0/16"), ["fwd 10.1.0.0/16 10.2.0.0/16", "out 10.2.0.0/16 10.1.0.0/16"]],
  ["a tunnel one way out", tunnel("10.1.0.0/16 -> 10.2.0.0/16"), ["fwd 10.1.0.0/16 10.2.0.0/16"]],
  ["a tunnel one way in", tunnel("10.1.0.0/16 <- 10.2.0.0/16"), ["out 10.2.0.0/16 10.1.0.0/16"]],
  ["a tunnel of this host alone", tunnel("me <-> 10.2.0.0/16"), ["out 10.2.0.0/16 192.0.2.1/32"]],
  ["a tunnel whose sides overlap", tunnel("10.0.0.0/8 <-> 10.2.0.0/16"), ["fwd 10.0.0.0/8 10.2.0.0/16", "out 10.2.0.0/16 10.0.0.0/8"]],
  ["a tunnel for everything of others", tunnel("0.0.0.0/0 <-> 10.2.0.0/16"), ["fwd 0.0.0.0/0 10.2.0.0/16", "out 10.2.0.0/16 0.0.0.0/0"]],
  [
    "a tunnel for everything of ours, but for what this host itself sends",
    tunnel("10.1.0.0/16 <-> 0.0.0.0/0"),
    [...guards("10.1.0.0/16"), "fwd 10.1.0.0/16 0.0.0.0/0", "out 0.0.0.0/0 10.1.0.0/16"],
  ],
  [
    "a tunnel with this host's own address on the other side",
    tunnel("10.1.0.0/16 <-> 192.0.2.0/28"),
    ["but not out 192.0.2.1/32 10.1.0.0/16", "fwd 10.1.0.0/16 192.0.2.0/28", "out 192.0.2.0/28 10.1.0.0/16"],
  ],
  [
    "a permit of a service, but for what this host itself sends from its port",
    [permit("10.1.0.0/16 <-> 0.0.0.0/0:53 udp")],
    [...guards("10.1.0.0/16", ":53"), "out 0.0.0.0/0:53 10.1.0.0/16"],
  ],
  ["a permit between networks", [permit("10.1.0.0/16 <-> 10.2.0.0/16")], ["out 10.2.0.0/16 10.1.0.0/16"]],
  ["a permit of what comes", [permit("10.1.0.0/16 <- 10.2.0.0/16")], ["out 10.2.0.0/16 10.1.0.0/16"]],
  ["a permit of what leaves", [permit("10.1.0.0/16 -> 10.2.0.0/16")], []],
  ["a permit both ways, written out", [permit("10.1.0.0/16 <-> 10.2.0.0/16", "10.2.0.0/16 <-> 10.1.0.0/16")], []],
  ["a permit of this host's own", [permit("me <-> 10.2.0.0/16", "10.1.0.0/16 <-> 192.0.2.1")], []],
];
for (const [what, rules, ways] of WAYS)
  test(`past a wider block, ${what}: ${ways.join(", ") || "nothing"}`, () => {
    const found = beside([WALL, ...rules]);
    assert.deepEqual(found.map(textOf).sort(), ways);
    const wall = compile(policyFrom([WALL, ...rules]), OWN).find(
      (one) => !isBesideBlock(one) && one.origin.kind === "rule" && one.origin.rule.name === "r0",
    );
    for (const { priority, action } of found)
      assert.ok(priority < (wall?.priority ?? 0) && (action === "block") === (priority === (wall?.priority ?? 0) - 2));
  });

test("what a block is about in one family is no matter in the other, where their priorities are the same", () => {
  const both = block("192.0.0.0/8 <-> 192.0.0.0/8", "fd00::/104 <-> fd00::/104");
  assert.deepEqual(beside([both, permit("192.1.0.0/16 <-> 192.0.0.0/16")]).map(textOf), [
    "but not out 192.0.2.1/32 192.1.0.0/16",
    "out 192.0.0.0/16 192.1.0.0/16",
  ]);
});

const own = { own: "192.0.2.1", lan: "10.1.0.1" };
const at = (
  rules: readonly RuleText[],
  source: string,
  destination: string,
  protocol = 6,
  ports: readonly [number, number] = [1, 2],
): readonly [Verdict, string | null] => {
  const packet: Packet = { source, destination, protocol, sourcePort: ports[0], destinationPort: ports[1] };
  const { verdict, rule } = explain(policyFrom(rules), [own.own, own.lan], packet);
  return [verdict, rule];
};

test("a branch that sends everything through headquarters, beside a block of everything", () => {
  const branch = [WALL, ...tunnel("10.1.0.0/16 <-> any")];
  assert.deepEqual(at(branch, "10.1.0.5", "203.0.113.5"), ["protect", "r1"]);
  assert.deepEqual(at(branch, "203.0.113.5", "10.1.0.5"), ["protect", "r1"]);
  // What claims to be of the branch and goes there has to come out of the tunnel, as without the block.
  assert.deepEqual(at(branch, "10.1.0.5", "10.1.0.6"), ["protect", "r1"]);
  assert.deepEqual(at(branch, "203.0.113.5", "203.0.113.6"), ["drop", "r0"]);
  assert.deepEqual(at(branch, own.own, "10.1.0.5"), ["drop", "r0"]);
  assert.deepEqual(at(branch, own.own, "203.0.113.5"), ["drop", "r0"]);
});

test("headquarters of branches that send everything there: from one to the other, out of one tunnel and into the other", () => {
  const hub = [WALL, ...tunnel("any <-> 10.2.0.0/16", "any <-> 10.3.0.0/24")];
  for (const [source, destination] of [
    ["10.1.0.5", "10.3.0.5"],
    ["10.3.0.5", "10.1.0.5"],
  ] as const)
    assert.deepEqual(at(hub, source, destination), ["protect", "r2"]);
  for (const [source, destination, first, then] of [
    ["10.2.0.5", "10.3.0.5", "r1", "r2"],
    ["10.3.0.5", "10.2.0.5", "r2", "r1"],
  ] as const) {
    const packet: Packet = { source, destination, protocol: 6, sourcePort: 1, destinationPort: 2 };
    const { says } = explain(policyFrom(hub), [own.own], packet);
    assert.match(says, new RegExp(`^rule ${first} .*: accepted only protected; then rule ${then} .*: sent only protected`));
  }
  assert.deepEqual(at(hub, "10.1.0.5", "203.0.113.5"), ["drop", "r0"]);
});

test("a permit for both directions lets questions of others through and their answers, and nothing of this host", () => {
  const rules = [WALL, permit("10.1.0.0/16 <-> any:53 udp")];
  assert.deepEqual(at(rules, "10.1.0.5", "203.0.113.53", 17, [4000, 53]), ["clear", "r1"]);
  assert.deepEqual(at(rules, "203.0.113.53", "10.1.0.5", 17, [53, 4000]), ["clear", "r1"]);
  assert.deepEqual(at(rules, "203.0.113.53", "10.1.0.5", 17, [54, 4000]), ["drop", "r0"]);
  assert.deepEqual(at(rules, own.own, "10.1.0.5", 17, [53, 4000]), ["drop", "r0"]);
  const alone = [{ action: "require", filters: ["me <-> any"] }, WALL, permit("10.1.0.5 <-> any:53 udp")];
  assert.deepEqual(at(alone, own.own, "10.1.0.5", 17, [53, 4000]), ["protect", "r0"]);
  assert.deepEqual(at(alone, "203.0.113.53", "10.1.0.5", 17, [53, 4000]), ["clear", "r2"]);
});

test("why names the block that drops what this host itself sends past a way, and the policy in front of it that does the block's work", () => {
  const rules = [WALL, block("any <-> any udp"), ...tunnel("10.1.0.0/16 <-> any")];
  const packet: Packet = { source: own.own, destination: "10.1.0.5", protocol: 17, sourcePort: 1, destinationPort: 2 };
  const { rule, policy, others } = explain(policyFrom(rules), [own.own], packet);
  assert.deepEqual([rule, policy?.action, policy?.selector], ["r1", "block", "192.0.2.1/32 -> 10.1.0.0/16"]);
  assert.equal(others.find((other) => other.rule === "r0")?.because, "rule r1 is more specific here: 0.0.0.0/0 <-> 0.0.0.0/0 udp");
});

/** What finds no way, and what check says of it. */
const SHUT: readonly (readonly [what: string, rules: readonly RuleText[], expected: RegExp])[] = [
  [
    "a tunnel for everything that is weaker than a block",
    [...tunnel("10.1.0.0/16 <-> 10.2.0.0/16", "0.0.0.0/0 <-> 0.0.0.0/0"), block("10.0.0.0/8 <-> 0.0.0.0/0")],
    /rule "r2" \(block, "10\.0\.0\.0\/8 <-> 0\.0\.0\.0\/0"\) drops what others send into this tunnel, although .*: a tunnel that is wider than the block/,
  ],
  [
    "a tunnel for everything of ours, where a block is about a part and nothing about the rest",
    [...tunnel("10.1.0.0/16 <-> 0.0.0.0/0"), block("0.0.0.0/0 <-> 0.0.0.0/0 udp")],
    /rule "r1" \(block, ".*"\) drops what comes out of this tunnel for others, although .*: packets of this host itself/,
  ],
  [
    "a permit, where this host may send more than others",
    [permit("10.1.0.0/16 <-> 0.0.0.0/0:53 udp", "0.0.0.0/0 <-> 0.0.0.0/0"), block("0.0.0.0/0 <-> 0.0.0.0/0 udp")],
    /rule "r1" .* drops what it lets come back through this host, although .*: packets of this host itself/,
  ],
];
for (const [what, rules, expected] of SHUT)
  test(`check names the block that shuts ${what}`, () => {
    const auth = 'auth = [{ method = "psk", secret = "k" }]';
    const text = rules.map(
      ({ action, filters, more }, i) =>
        `[[rule]]\nname = "r${i}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${action === "require" ? auth : ""}\n${more ?? ""}\n`,
    );
    const parsed = parseConfiguration(text.join(""), "F", () => ({ ok: false, error: "none" }));
    assert.ok(parsed.ok);
    destroyPolicy(parsed.value.policy);
    const said = parsed.value.warnings
      .map(({ message }) => message)
      .filter((message) => message.includes("although this filter is the narrower one"));
    assert.equal(said.length, 1, said.join("\n"));
    assert.match(said[0] ?? "", expected);
  });

test("ways change nothing about this host's own packets, nor about what a tunnel looks after, and open nothing but blocks", () => {
  let [opened, guarded] = [0, 0];
  const what = (found: WantedPolicy | undefined): string =>
    !found ? "clear" : found.action === "block" ? "drop" : (found.protection?.level ?? "clear");
  fc.assert(
    fc.property(randomGateway(5), fc.array(randomPassing, { minLength: 20, maxLength: 40 }), (policy, sent) => {
      const all = compile(policy, GATEWAY.own);
      const [index, bare] = [indexPolicies(all), indexPolicies(all.filter((one) => !isBesideBlock(one)))];
      for (const each of sent.filter((one) => directionOf(one, GATEWAY.own) === "fwd")) {
        const told = `${JSON.stringify(each)}\n${policyText(policy)}`;
        for (const direction of ["fwd", "out"] as const) {
          const [found, without] = [index.decide(each, direction), bare.decide(each, direction)].map(what);
          if (found === without) continue;
          opened++;
          assert.deepEqual([found, without], ["clear", "drop"], told);
        }
        const mine = { ...each, source: each.source.includes(":") ? GATEWAY.own[1] : GATEWAY.own[0] };
        const found = index.decide(mine, "out");
        if (found && isBesideBlock(found)) guarded++;
        // The plain evaluation knows no ways for them.
        assert.equal(what(found), evaluateAt(policy, GATEWAY.own, mine, "out").what, told);
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(opened > 0 && guarded > 0);
});
