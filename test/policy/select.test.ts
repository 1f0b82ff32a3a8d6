import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatRange, parseRange } from "../../isakmp/address.ts";
import { parseFilter } from "../../policy/filter.ts";
import { DEFAULT_MAIN_MODE, DEFAULT_QUICK_MODE } from "../../policy/offers.ts";
import {
  compareRanges,
  compareSpecificity,
  explainMismatches,
  peerRanges,
  ruleCoveringSelectors,
  rulesForPeer,
} from "../../policy/select.ts";
import { concreteSelectors } from "../../policy/selector.ts";
import { NO_POLICY, PLAIN_TRAFFIC } from "../../policy/traffic-keys.ts";
import type { Filter, Rule, TrafficSelector } from "../../policy/types.ts";

const filterOf = (text: string): Filter => {
  const filter = parseFilter(text);
  assert.ok(filter.ok, filter.ok ? "" : filter.error);
  return filter.value;
};

const rule = (name: string, filters: readonly string[], rest: Partial<Rule> = {}): Rule => ({
  name,
  action: "require",
  filters: filters.map(filterOf),
  auth: [],
  mode: "transport",
  tunnel: null,
  peer: null,
  mainMode: DEFAULT_MAIN_MODE,
  quickMode: DEFAULT_QUICK_MODE,
  start: "on-traffic",
  dpdSeconds: null,
  ...PLAIN_TRAFFIC,
  ...rest,
});
const tunnelTo = (remote: string, local: string | null = null): Partial<Rule> => ({ mode: "tunnel", tunnel: { local, remote } });
const selector = (text: string): TrafficSelector => {
  const [found] = concreteSelectors(
    filterOf(text),
    { action: "require", mode: "tunnel", tunnel: { local: null, remote: "203.0.113.9" }, peer: null },
    [],
  );
  assert.ok(found);
  return found;
};
const names = (rules: readonly Rule[], local: string, remote: string) =>
  rulesForPeer({ ...NO_POLICY, rules }, local, remote).map(({ name }) => name);

const ME = "192.0.2.1";

test("a peer is answered by the most specific rule: host, subnet or range by size, any", () => {
  const rules = [
    rule("any", ["me <-> any"]),
    rule("wide", ["me <-> 10.0.0.0/8"]),
    rule("narrow", ["me <-> 10.1.0.0/16"]),
    rule("range", ["me <-> 10.0.0.0-10.200.0.0"]),
    rule("host", ["me <-> 10.1.2.3"]),
    rule("other", ["me <-> 10.9.9.9"]),
  ];
  assert.deepEqual(names(rules, ME, "10.1.2.3"), ["host", "narrow", "range", "wide", "any"]);
  assert.deepEqual(names([...rules].reverse(), ME, "10.1.2.3"), ["host", "narrow", "range", "wide", "any"]);
  assert.deepEqual(names(rules, ME, "2001:db8::1"), ["any"]);
});

test("of equally specific rules the first in the file answers", () => {
  const rules = [rule("b", ["me <-> 10.1.2.3 tcp"]), rule("a", ["me <-> 10.1.2.3 udp"])];
  assert.deepEqual(names(rules, ME, "10.1.2.3"), ["b", "a"]);
});

test("a rule counts with the most specific of its filters", () => {
  const rules = [rule("subnet", ["me <-> 10.1.0.0/16"]), rule("both", ["me <-> any", "me <-> 10.1.2.3"])];
  assert.deepEqual(names(rules, ME, "10.1.2.3"), ["both", "subnet"]);
});

test("a tunnel rule is for its far end only, and for its own local end", () => {
  const rules = [
    rule("site", ["10.1.0.0/16 <-> 10.2.0.0/16"], tunnelTo("203.0.113.9", "198.51.100.1")),
    rule("free", ["10.1.0.0/16 <-> 10.3.0.0/16"], tunnelTo("203.0.113.9")),
  ];
  assert.deepEqual(names(rules, "198.51.100.1", "203.0.113.9"), ["site", "free"]);
  assert.deepEqual(names(rules, ME, "203.0.113.9"), ["free"]);
  assert.deepEqual(names(rules, "198.51.100.1", "10.2.0.1"), []);
});

test("a rule's peer narrows whom it answers, a local address where", () => {
  const peer = parseRange("10.1.0.0/16");
  assert.ok(peer);
  assert.deepEqual(names([rule("a", ["me <-> any"], { peer })], ME, "10.2.0.1"), []);
  assert.deepEqual(names([rule("a", ["me <-> any"], { peer })], ME, "10.1.0.1"), ["a"]);
  assert.deepEqual(names([rule("a", ["192.0.2.7 <-> any"])], ME, "10.1.0.1"), []);
});

test("rules that do not negotiate answer nobody", () => {
  assert.deepEqual(
    names([rule("p", ["me <-> any"], { action: "permit" }), rule("b", ["me <-> any"], { action: "block" })], ME, "10.1.0.1"),
    [],
  );
});

test("the peers of a rule are named once each", () => {
  const ranges = (subject: Rule) => peerRanges(subject).map(formatRange);
  assert.deepEqual(ranges(rule("a", ["me <-> 10.1.0.0/16 tcp", "me <-> 10.1.0.0/16 udp", "me <-> 192.0.2.2"])), [
    "10.1.0.0/16",
    "192.0.2.2/32",
  ]);
  assert.deepEqual(ranges(rule("a", ["me <-> any"])), ["0.0.0.0/0", "::/0"]);
  assert.deepEqual(ranges(rule("a", ["10.0.0.0/8 <-> any"], tunnelTo("203.0.113.9"))), ["203.0.113.9/32"]);
});

const RULES = [
  rule("wide", ["me <-> 10.1.0.0/16"]),
  rule("smb", ["me <-> 10.1.0.5:445 tcp"]),
  rule("site", ["10.7.0.0/16 <-> 10.1.0.0/24"], tunnelTo("10.1.0.5")),
];

test("the most specific filter that covers a proposal wins, not the first", () => {
  const found = ruleCoveringSelectors(RULES, [ME], selector("192.0.2.1 <-> 10.1.0.5:445 tcp"), "transport");
  assert.ok(found.ok);
  assert.equal(found.value.rule.name, "smb");
  const other = ruleCoveringSelectors(RULES, [ME], selector("192.0.2.1 <-> 10.1.0.5:80 tcp"), "transport");
  assert.ok(other.ok);
  assert.equal(other.value.rule.name, "wide");
});

const DIFFERENCES: readonly (readonly [string, Rule["mode"], readonly string[]])[] = [
  [
    "192.0.2.1 <-> 10.2.0.5",
    "transport",
    [
      "remote 10.2.0.5 offered, 10.1.0.0/16 configured",
      "remote 10.2.0.5 offered, 10.1.0.5 configured",
      "transport mode offered, tunnel mode configured",
    ],
  ],
  [
    "192.0.2.9 <-> 10.1.0.5:445 tcp",
    "transport",
    [
      "local 192.0.2.9 offered, 192.0.2.1 configured",
      "local 192.0.2.9 offered, 192.0.2.1 configured",
      "transport mode offered, tunnel mode configured",
    ],
  ],
  [
    "2001:db8::1 <-> 2001:db8::2",
    "transport",
    [
      "address family IPv6 offered, IPv4 configured",
      "address family IPv6 offered, IPv4 configured",
      "transport mode offered, tunnel mode configured",
    ],
  ],
  [
    "10.7.0.0/16 <-> 10.1.0.0/16",
    "tunnel",
    [
      "tunnel mode offered, transport mode configured",
      "tunnel mode offered, transport mode configured",
      "remote 10.1.0.0/16 offered, 10.1.0.0/24 configured",
    ],
  ],
];
for (const [proposal, mode, expected] of DIFFERENCES) {
  test(`a refusal of ${proposal} in ${mode} mode says the first difference for every filter`, () => {
    const found = ruleCoveringSelectors(RULES, [ME], selector(proposal), mode);
    assert.deepEqual(found.ok ? found.value.rule.name : found.error.map(({ difference }) => difference), expected);
  });
}

test("protocol and ports are compared after the addresses", () => {
  const differences = (proposal: string) => {
    const found = ruleCoveringSelectors(
      [rule("smb", ["me:99 <-> 10.1.0.5:445 tcp"])],
      ["198.51.100.7", ME],
      selector(proposal),
      "transport",
    );
    return found.ok ? [] : found.error.map(({ difference }) => difference);
  };
  assert.deepEqual(differences("192.0.2.1 <-> 10.1.0.5"), ["protocol any offered, tcp configured"]);
  assert.deepEqual(differences("192.0.2.1:99 <-> 10.1.0.5:80 tcp"), ["remote port 80 offered, 445 configured"]);
  assert.deepEqual(differences("192.0.2.1 <-> 10.1.0.5:445 tcp"), ["local port any offered, 99 configured"]);
  assert.deepEqual(differences("192.0.2.1:99 <-> 10.1.0.5:445 tcp"), []);
});

test("a refusal becomes one line that names the proposal, each rule and each filter", () => {
  const proposed = selector("192.0.2.1 <-> 10.2.0.5");
  const found = ruleCoveringSelectors(RULES.slice(0, 1), [ME], proposed, "transport");
  assert.ok(!found.ok);
  assert.equal(
    explainMismatches(proposed, found.error),
    'the peer proposes 192.0.2.1 <-> 10.2.0.5; rule wide "me <-> 10.1.0.0/16": remote 10.2.0.5 offered, 10.1.0.0/16 configured',
  );
  assert.equal(explainMismatches(proposed, []), "the peer proposes 192.0.2.1 <-> 10.2.0.5; no rule is for this peer");
  const homeless = ruleCoveringSelectors(RULES.slice(0, 1), [], proposed, "transport");
  assert.deepEqual(homeless.ok ? [] : homeless.error.map(({ difference }) => difference), ["no address of this host fits it"]);
});

test("specificity is an order: whatever way two selectors are compared, one answer is the other's opposite", () => {
  const texts = fc.constantFrom(
    "10.0.0.1 <-> 10.0.0.2",
    "10.0.0.1 <-> 10.0.0.2 tcp",
    "10.0.0.1 <-> 10.0.0.2:80 tcp",
    "10.0.0.1:9 <-> 10.0.0.2 tcp",
    "10.0.0.0/24 <-> 10.0.0.2",
    "10.0.0.1 <-> 10.0.0.0/24",
    "10.0.0.1 <-> 10.0.0.0/16",
    "10.0.0.1 <-> 10.0.0.3-10.0.9.9",
    "any <-> 10.0.0.2",
  );
  const three = fc.tuple(texts, texts, texts);
  fc.assert(
    fc.property(three, (all) => {
      const [a, b, c] = all.map(selector) as [TrafficSelector, TrafficSelector, TrafficSelector];
      assert.equal(Math.sign(compareSpecificity(a, b)), 0 - Math.sign(compareSpecificity(b, a)));
      if (compareSpecificity(a, b) <= 0 && compareSpecificity(b, c) <= 0) assert.ok(compareSpecificity(a, c) <= 0);
    }),
  );
  const sorted = [
    "10.0.0.1 <-> any",
    "10.0.0.1 <-> 10.0.0.0/16",
    "10.0.0.1 <-> 10.0.0.2",
    "10.0.0.1 <-> 10.0.0.2 tcp",
    "10.0.0.1 <-> 10.0.0.2:80 tcp",
  ];
  assert.deepEqual(
    [...sorted].sort((a, b) => compareSpecificity(selector(a), selector(b))),
    [...sorted].reverse(),
  );
});

test("the kinds of both sides come before their sizes, and any is a kind of its own", () => {
  const first = (a: string, b: string) => (compareSpecificity(selector(a), selector(b)) < 0 ? a : b);
  assert.equal(first("10.0.0.0/24 <-> 10.9.0.0/24", "10.0.0.1 <-> 10.9.0.0/16"), "10.0.0.1 <-> 10.9.0.0/16");
  assert.equal(first("10.0.0.1 <-> 0.0.0.0/0", "10.0.0.0/24 <-> 10.0.0.0/8"), "10.0.0.0/24 <-> 10.0.0.0/8");
});

test("ranges of one kind are ordered by size", () => {
  const order = ["10.0.0.1", "10.0.0.1-10.0.0.3", "10.0.0.1-10.0.0.9", "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"];
  const shuffled = [...order].sort();
  const range = (text: string) => parseRange(text) ?? assert.fail(text);
  assert.deepEqual(
    shuffled.sort((a, b) => compareRanges(range(a), range(b))),
    order,
  );
});

test("the default response rule comes last, even where it stands first in the file and another is as wide", () => {
  const rules = [
    rule("default", ["me <-> any"], { action: "respond", defaultResponse: true }),
    rule("all", ["me <-> any"]),
    rule("net", ["me <-> 10.0.0.0/8"]),
  ];
  assert.deepEqual(names(rules, ME, "10.1.2.3"), ["net", "all", "default"]);
  const found = ruleCoveringSelectors(rules, [ME], { ...selector("192.0.2.1 <-> 192.0.2.9") }, "transport");
  assert.equal(found.ok && found.value.rule.name, "all");
});
