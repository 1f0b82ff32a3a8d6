import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compile, decisions, isExemption, type WantedPolicy } from "../../policy/compile.ts";
import { directionOf, indexPolicies, type Packet } from "../../policy/decide.ts";
import { priorityOf, turned } from "../../policy/packet-selector.ts";
import type { Policy } from "../../policy/types.ts";
import { ADDRESSES, policyFrom as policyOf, type RuleText, randomPacket, randomPolicy } from "./random-policies.ts";
import { evaluateAt } from "./reference-evaluator.ts";

/** `out allow required` and the like, per direction. */
const shape = ({ direction, action, protection }: WantedPolicy): string => `${direction} ${action} ${protection?.level ?? "clear"}`;
const shapes = (policies: readonly WantedPolicy[]): readonly string[] => policies.map(shape).sort();
const ME = ["192.0.2.1", "2001:db8::1"];
const SITE = 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }';

const ACTIONS: readonly (readonly [string, RuleText, readonly string[]])[] = [
  ["permit", { action: "permit", filters: ["me <-> 192.0.2.9"] }, ["in allow clear", "out allow clear"]],
  ["block", { action: "block", filters: ["me <-> 192.0.2.9"] }, ["in block clear", "out block clear"]],
  [
    "block of others' traffic",
    { action: "block", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"] },
    ["fwd block clear", "fwd block clear", "in block clear", "out block clear"],
  ],
  ["respond alone", { action: "respond", filters: ["me <-> 192.0.2.9"] }, []],
  ["request", { action: "request", filters: ["me <-> 192.0.2.9"] }, ["in allow use", "out allow required"]],
  [
    "request with discovery",
    { action: "request", filters: ["me <-> 192.0.2.9"], more: "discovery = true" },
    ["in allow use", "out allow use"],
  ],
  ["require", { action: "require", filters: ["me <-> 192.0.2.9"] }, ["in allow required", "out allow required"]],
  [
    "require with inbound-clear",
    { action: "require", filters: ["me <-> 192.0.2.9"], more: "inbound-clear = true" },
    ["in allow use", "out allow required"],
  ],
  [
    "require with discovery",
    { action: "require", filters: ["me <-> 192.0.2.9"], more: "discovery = true" },
    ["in allow required", "out allow use"],
  ],
  ["require one way out", { action: "require", filters: ["me -> 192.0.2.9"] }, ["out allow required"]],
  ["require one way in", { action: "require", filters: ["192.0.2.9 -> me"] }, ["in allow required"]],
  ["block one way in, written backwards", { action: "block", filters: ["me <- 0.0.0.0/0"] }, ["in block clear"]],
  [
    "a tunnel",
    {
      action: "require",
      filters: ["10.1.0.0/16 <-> 10.2.0.0/16"],
      more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }',
    },
    ["fwd allow required", "in allow required", "out allow required"],
  ],
  [
    "a tunnel whose own end is not known yet",
    { action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.9" }' },
    ["fwd block clear", "in block clear", "out block clear"],
  ],
  [
    "a tunnel that only answers and whose own end is not known yet, beside one that requires,",
    { action: "respond", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.9" }' },
    [],
  ],
  ["a name that is not resolved", { action: "require", filters: ["me <-> host.example.test"] }, []],
];
for (const [what, rule, expected] of ACTIONS)
  test(`${what} wants ${expected.join(", ") || "nothing"}`, () => {
    const found = compile(policyOf([rule]), ["192.0.2.1"]);
    assert.deepEqual(shapes(found), [...expected].sort());
  });

/** A rule, and what becomes of packets between link-local addresses: those that leave, and those that come. */
const ON_LINK: readonly (readonly [RuleText, string, string])[] = [
  [{ action: "block", filters: ["me <-> any"] }, "block", "block"],
  [{ action: "block", filters: ["me <- any"] }, "allow", "block"],
  [{ action: "block", filters: ["any <-> any"] }, "block", "block"],
  [{ action: "block", filters: ["me <-> 2001:db8::/32"] }, "allow", "allow"],
  [{ action: "block", filters: ["me <-> fe80::2"] }, "block", "block"],
  [{ action: "require", filters: ["me <-> fe80::/64"] }, "block", "block"],
  [{ action: "require", filters: ["me <-> fe80::3"] }, "allow", "allow"],
  [{ action: "require", filters: ["me <-> any"] }, "block", "block"],
  [{ action: "require", filters: ["any <-> any"] }, "block", "block"],
  [{ action: "require", filters: ["me <-> ::/0"] }, "block", "block"],
  [{ action: "require", filters: ["me <-> fe80::/10"] }, "block", "block"],
  [{ action: "require", filters: ["me -> any"] }, "block", "allow"],
  [{ action: "require", filters: ["me <-> 0.0.0.0/0"] }, "allow", "allow"],
  [{ action: "require", filters: ["me:445 <-> any tcp"] }, "allow", "allow"],
  [{ action: "require", filters: ["me <-> any udp"] }, "block", "block"],
  [{ action: "require", filters: ["me <-> any"], more: "inbound-clear = true" }, "block", "allow"],
  [{ action: "require", filters: ["me <-> any"], more: "discovery = true" }, "allow", "block"],
  [{ action: "request", filters: ["me <-> any"] }, "allow", "allow"],
  [{ action: "respond", filters: ["me <-> any"] }, "allow", "allow"],
  [{ action: "permit", filters: ["me <-> any"] }, "allow", "allow"],
];
for (const [rule, out, coming] of ON_LINK)
  test(`${rule.action} for ${rule.filters.join()}${rule.more ? ` with ${rule.more}` : ""}: between link-local addresses what leaves is ${out}, what comes ${coming}, and nobody is asked`, () => {
    const index = indexPolicies(compile(policyOf([rule]), ME));
    const [a, b] = ["fe80::1", "fe80::2"];
    const packet = { source: a, destination: b, protocol: 17, sourcePort: 7, destinationPort: 7 };
    for (const [direction, met, expected] of [
      ["out", packet, out],
      ["in", { ...packet, source: b, destination: a }, coming],
    ] as const) {
      const found = index.decide(met, direction);
      assert.deepEqual([found?.action ?? "allow", found?.protection ?? null], [expected, null], direction);
    }
  });

/** Rules together, a packet, and what becomes of it on its way out and in. Ours is fe80::1. */
const FROM_LINK: readonly (readonly [
  readonly RuleText[],
  destination: string,
  protocol: number,
  port: number,
  out: string,
  coming: string,
])[] = [
  [[{ action: "require", filters: ["me <-> 2001:db8::/32"] }], "2001:db8::5", 6, 22, "block", "block"],
  [[{ action: "block", filters: ["me <-> 2001:db8::66"] }], "2001:db8::66", 6, 22, "block", "block"],
  [[{ action: "block", filters: ["me <-> 2001:db8::66"] }], "2001:db8::67", 6, 22, "allow", "allow"],
  [
    [
      { action: "permit", filters: ["me <-> any"] },
      { action: "block", filters: ["me <-> fe80::5"] },
    ],
    "fe80::5",
    6,
    22,
    "block",
    "block",
  ],
  [
    [
      { action: "require", filters: ["me <-> any"] },
      { action: "permit", filters: ["me <-> [fe80::5]:179 tcp"] },
    ],
    "fe80::5",
    6,
    179,
    "allow",
    "allow",
  ],
  [
    [
      { action: "require", filters: ["me <-> any"] },
      { action: "permit", filters: ["me <-> [fe80::5]:179 tcp"] },
    ],
    "fe80::6",
    6,
    179,
    "block",
    "block",
  ],
  [
    [
      { action: "require", filters: ["me <-> any"] },
      { action: "permit", filters: ["me <-> [ff02::fb]:5353 udp"] },
    ],
    "ff02::fb",
    17,
    5353,
    "allow",
    "allow",
  ],
];
for (const [rules, destination, protocol, port, out, coming] of FROM_LINK)
  test(`${rules.map(({ action, filters }) => `${action} ${filters}`).join(", ")}: from a link-local address to ${destination} ${out}, back ${coming}`, () => {
    const index = indexPolicies(compile(policyOf(rules), ME));
    const packet = { source: "fe80::1", destination, protocol, sourcePort: 7, destinationPort: port };
    const answer = { source: destination, destination: "fe80::1", protocol, sourcePort: port, destinationPort: 7 };
    const found = [index.decide(packet, "out"), index.decide(answer, "in")];
    assert.deepEqual(
      found.map((one) => [one?.action ?? "allow", one?.protection ?? null]),
      [
        [out, null],
        [coming, null],
      ],
    );
  });

test("whatever is shut on the link, neighbours, listeners to multicast and DHCPv6 are heard, and a narrower permit opens it", () => {
  const shut = { action: "require", filters: ["me <-> any"] };
  const index = indexPolicies(compile(policyOf([shut]), ME));
  const passes = (source: string, destination: string, protocol: number, [from, to]: readonly [number, number]): void => {
    const packet = { source, destination, protocol, sourcePort: from, destinationPort: to };
    for (const direction of ["out", "in"] as const) assert.equal(index.decide(packet, direction)?.action ?? "allow", "allow");
  };
  for (const type of [133, 134, 135, 136]) passes("fe80::1", "fe80::2", 58, [type, 0]);
  for (const type of [130, 131, 132, 143]) passes("fe80::1", "ff02::16", 58, [type, 0]);
  passes("fe80::1", "ff02::1:2", 17, [546, 547]);
  passes("fe80::2", "fe80::1", 17, [547, 546]);
  const opened = indexPolicies(compile(policyOf([shut, { action: "permit", filters: ["me <-> [fe80::/10]:179 tcp"] }]), ME));
  const packet = { source: "fe80::1", destination: "fe80::2", protocol: 6, sourcePort: 9, destinationPort: 179 };
  assert.equal(opened.decide(packet, "out")?.action, "allow");
  assert.equal(opened.decide({ ...packet, destinationPort: 180 }, "out")?.action, "block");
});

test("a respond rule is a hole in a wider rule that protects", () => {
  const policy = policyOf([
    { action: "require", filters: ["me <-> 10.0.0.0/8"] },
    { action: "respond", filters: ["me <-> 10.1.1.1"] },
  ]);
  const [first] = compile(policy, ["192.0.2.1"]);
  assert.equal(first?.origin.kind === "rule" && first.origin.rule.name, "r1");
  assert.equal(first?.protection, null);
});

test("a range becomes the fewest prefixes, and me every address of the family", () => {
  const found = compile(policyOf([{ action: "block", filters: ["me <-> 10.0.0.1-10.0.0.6"] }]), [
    "192.0.2.1",
    "192.0.2.5",
    "2001:db8::1",
    "127.0.0.1",
  ]);
  const out = found
    .filter(({ direction }) => direction === "out")
    .map(({ selector: s }) => `${s.source} ${s.destination}/${s.destinationLength}`);
  const pieces = ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"];
  assert.deepEqual([...out].sort(), ["192.0.2.1", "192.0.2.5"].flatMap((own) => pieces.map((piece) => `${own} ${piece}`)).sort());
});

test("where two filters come to one kernel selector, block is before permit, permit before protection, and transport before tunnel", () => {
  const order = ["respond", "request", "require", "permit", "block"];
  for (const [i, weaker] of order.entries())
    for (const stronger of order.slice(i + 1)) {
      // Ranges that share a piece: equal filters would be refused.
      const rules = [
        { action: weaker, filters: ["me <-> 10.0.0.0-10.0.0.4"] },
        { action: stronger, filters: ["me <-> 10.0.0.0-10.0.0.5"] },
      ];
      const decided = indexPolicies(compile(policyOf(rules), ["192.0.2.1"])).decide(packet("192.0.2.1", "10.0.0.1"), "out");
      assert.equal(decided?.origin.kind === "rule" && decided.origin.rule.action, stronger, `${weaker} and ${stronger}`);
    }
});

test("exemptions stand before all rules, in the families where something is blocked or protected, and only there", () => {
  const top = '[policy]\nexempt = ["windows", "icmp"]';
  const of = (rules: readonly RuleText[]) => compile(policyOf(rules, top), ME).filter(isExemption);
  assert.deepEqual(of([{ action: "permit", filters: ["me <-> any"] }]), []);
  const four = of([{ action: "block", filters: ["me <-> 192.0.2.9"] }]);
  assert.ok(four.length > 0 && four.every(({ selector }) => !selector.source.includes(":")));
  const names = new Set(four.map(({ origin }) => origin.kind === "exemption" && origin.what));
  assert.deepEqual([...names].sort(), ["broadcast", "icmp", "kerberos", "multicast", "rsvp"]);
  const both = compile(policyOf([{ action: "require", filters: ["me <-> any"] }], top), ME);
  assert.ok(both.some(({ origin }) => origin.kind === "exemption" && origin.what === "neighbour-discovery"));
  const [weakest, strongest] = [Math.max(...both.filter(isExemption).map(({ priority }) => priority)), both.find((p) => !isExemption(p))];
  assert.ok(strongest && weakest < strongest.priority);
});

test("a rule with the very filter of an exemption does not take its place, and decides only about what passes through", () => {
  const rules: readonly RuleText[] = [{ action: "block", filters: ["any <-> any icmp", "any <-> any", "any:88 <-> any tcp"] }];
  const policy = policyOf(rules, '[policy]\nexempt = ["icmp", "kerberos"]');
  for (const all of [decisions(policy, ME), compile(policy, ME)]) {
    const index = indexPolicies(all);
    for (const [direction, one, verdict] of [
      ["out", packet("192.0.2.1", "10.0.0.1", 1, 8, 0), "allow"],
      ["in", packet("10.0.0.1", "192.0.2.1", 1, 8, 0), "allow"],
      ["fwd", packet("10.0.0.1", "10.0.0.2", 1, 8, 0), "block"],
      ["out", packet("192.0.2.1", "10.0.0.1", 6, 88, 5), "allow"],
      ["out", packet("2001:db8::1", "2001:db8::2", 58, 128, 0), "allow"],
      ["fwd", packet("2001:db8::5", "2001:db8::2", 58, 128, 0), "block"],
      ["out", packet("192.0.2.1", "10.0.0.1", 6, 1, 2), "block"],
    ] as const)
      assert.equal(index.decide(one, direction)?.action, verdict, `${direction} ${one.source} ${one.protocol}`);
    const keys = all.map(({ direction, selector }) => `${direction} ${JSON.stringify(selector)}`);
    assert.equal(new Set(keys).size, keys.length);
  }
});

/** Where others' packets leave through a tunnel, exemptions are this host's own by their source: what passes through goes the tunnel's way. */
const PASSING: readonly (readonly [what: string, rules: readonly RuleText[], out: string])[] = [
  ["a tunnel of networks", [{ action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: SITE }], "required"],
  ["a tunnel of networks, one way in", [{ action: "require", filters: ["10.1.0.0/16 <- 10.2.0.0/16"], more: SITE }], "clear"],
  ["a tunnel for everything", [{ action: "require", filters: ["0.0.0.0/0 <-> any"], more: SITE }], "required"],
  [
    "a tunnel that waits for its own end",
    [{ action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.9" }' }],
    "block",
  ],
  [
    "a tunnel in which a narrower filter permits it",
    [
      { action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: SITE },
      { action: "permit", filters: ["10.1.0.0/16 <-> 10.2.0.0/16 icmp"] },
    ],
    "clear",
  ],
  [
    "a tunnel for one protocol, all of it blocked to one host",
    [
      { action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16 icmp"], more: SITE },
      { action: "block", filters: ["any -> 10.2.0.5"] },
    ],
    "block",
  ],
];
for (const [what, rules, out] of PASSING)
  test(`what is exempt and only passes through meets ${what}: ${out}; this host's own passes in clear`, () => {
    const own = [...ME, "10.1.0.1", "fe80::1"];
    const index = indexPolicies(compile(policyOf(rules, '[policy]\nexempt = ["icmp", "dhcp"]'), own));
    const at = (direction: "in" | "out", ...ends: readonly [string, string, number, number, number]): string => {
      const found = index.decide(packet(...ends), direction);
      return found?.action === "block" ? "block" : (found?.protection?.level ?? "clear");
    };
    assert.equal(at("out", "10.1.0.5", "10.2.0.5", 1, 8, 0), out);
    for (const source of ["10.1.0.1", "192.0.2.1"]) assert.equal(at("out", source, "10.2.0.5", 1, 8, 0), "clear");
    assert.equal(at("in", "10.2.0.5", "10.1.0.1", 1, 0, 0), "clear");
    assert.equal(at("out", "0.0.0.0", "255.255.255.255", 17, 68, 67), "clear");
  });

test("an exemption names this host's addresses only in the family in which a tunnel is for others, too", () => {
  const sources = (filter: string, more = SITE): readonly string[] =>
    compile(
      policyOf(
        [
          { action: "require", filters: [filter], more },
          { action: "block", filters: ["any -> me"] },
        ],
        '[policy]\nexempt = ["rsvp"]',
      ),
      ME,
    )
      .filter(({ origin, direction }) => origin.kind === "exemption" && origin.what === "rsvp" && direction === "out")
      .map(({ selector: s }) => `${s.source}/${s.sourceLength}`);
  const all = ["0.0.0.0/0", "::/0"];
  assert.deepEqual(sources("10.1.0.0/16 <-> 10.2.0.0/16"), ["192.0.2.1/32", "0.0.0.0/32", "::/0"]);
  assert.deepEqual(sources("fd01::/16 <-> fd02::/16"), ["0.0.0.0/0", "2001:db8::1/128", "::/128", "fe80::/10"]);
  for (const own of ["me <-> 10.2.0.0/16", "192.0.2.1 <-> 10.2.0.0/16"]) assert.deepEqual(sources(own), all);
  assert.deepEqual(sources("me <-> 10.2.0.0/16", ""), all);
});

test("the exemption for broadcast is about 255.255.255.255 and the broadcast addresses of this host's networks", () => {
  const exempt = (words: string, broadcasts: readonly string[]): readonly string[] =>
    compile(policyOf([{ action: "require", filters: ["me <-> any"] }], words), ME, broadcasts)
      .filter(({ origin }) => origin.kind === "exemption" && origin.what === "broadcast")
      .map(({ direction, selector: s }) => `${direction} ${s.source}/${s.sourceLength} ${s.destination}/${s.destinationLength}`);
  const all = ["out 0.0.0.0/0 255.255.255.255/32", "in 0.0.0.0/0 255.255.255.255/32"];
  const ours = ["out 0.0.0.0/0 192.0.2.255/32", "in 0.0.0.0/0 192.0.2.255/32"];
  assert.deepEqual(exempt('[policy]\nexempt = ["broadcast"]', []), all);
  assert.deepEqual(exempt('[policy]\nexempt = ["windows"]', ["192.0.2.255"]), [...all, ...ours]);
  assert.deepEqual(exempt('[policy]\nexempt = ["multicast"]', ["192.0.2.255"]), []);
});

test("for any policy with a tunnel for everybody, exemptions change nothing about what passes through", () => {
  const words = '[policy]\nexempt = ["icmp", "rsvp", "broadcast", "multicast", "dns", "kerberos", "dhcp"]';
  const tunnel: RuleText = { action: "require", filters: ["10.0.0.0/29 <-> 10.9.0.0/28", "fd00::/120 <-> fd00::/8"], more: SITE };
  const site = policyOf([tunnel], words);
  let seen = 0;
  fc.assert(
    fc.property(randomPolicy(5), fc.array(randomPacket, { minLength: 20, maxLength: 40 }), (random, sent) => {
      const rules = [...site.rules.map((rule) => ({ ...rule, name: "site" })), ...random.rules];
      const [exempt, strict] = [site.exempt, []].map((kinds) => indexPolicies(compile({ ...random, rules, exempt: kinds }, ADDRESSES)));
      // No host passes on what has a link's own address for a source.
      for (const each of sent.filter((one) => directionOf(one, ADDRESSES) === "fwd" && !one.source.startsWith("fe80:"))) {
        seen++;
        for (const direction of ["fwd", "out"] as const)
          assert.deepEqual(exempt?.decide(each, direction), strict?.decide(each, direction), JSON.stringify(each));
      }
    }),
    { numRuns: 200 },
  );
  assert.ok(seen > 0);
});

test("what this host sends to itself is exempt on IPv6, where Linux does not spare it: by its destination, never by a source that anybody may write", () => {
  const own = compile(policyOf([{ action: "block", filters: ["any <-> any"] }]), ME).filter(
    ({ origin }) => origin.kind === "exemption" && origin.what === "this-host",
  );
  assert.deepEqual(
    own.map(({ direction, selector: s }) => `${direction} ${s.source}/${s.sourceLength} ${s.destination}/${s.destinationLength}`),
    // Linux itself takes no packet from outside that says to come from ::1.
    ["out ::/0 2001:db8::1/128", "out ::/0 ::1/128", "in ::1/128 ::1/128"],
  );
  const four = compile(policyOf([{ action: "block", filters: ["me <-> 192.0.2.9"] }]), ME);
  assert.ok(four.every(({ origin }) => origin.kind === "rule"));
});

/** The same policy, where everything else is blocked. */
const walled = (policy: Policy): Policy => ({
  ...policy,
  rules: [...policyOf([{ action: "block", filters: ["any <-> any"] }]).rules.map((rule) => ({ ...rule, name: "wall" })), ...policy.rules],
});

const packet = (source: string, destination: string, protocol = 6, sourcePort = 1, destinationPort = 2): Packet => ({
  source,
  destination,
  protocol,
  sourcePort,
  destinationPort,
});

test("for any rules and packets, the compiled policies decide as a plain evaluation of the rules does", () => {
  fc.assert(
    fc.property(randomPolicy(6), fc.boolean(), fc.array(randomPacket, { minLength: 20, maxLength: 40 }), (random, wall, sent) => {
      const policy = wall ? walled(random) : random;
      const [installed, all] = [compile, decisions].map((of) =>
        indexPolicies(of(policy, ADDRESSES).filter((wanted) => !isExemption(wanted))),
      );
      for (const each of sent) {
        const way = directionOf(each, ADDRESSES);
        for (const direction of way === "fwd" ? (["fwd", "out"] as const) : [way]) {
          const [found, decided] = [installed?.decide(each, direction), all?.decide(each, direction)];
          const expected = evaluateAt(policy, ADDRESSES, each, direction);
          const what = !found ? "clear" : found.action === "block" ? "drop" : (found.protection?.level ?? "clear");
          assert.equal(what, expected.what, JSON.stringify([direction, each, found?.selector, found?.priority]));
          // Where nothing blocks, what goes into a tunnel or comes out of it needs no way of its own.
          if (way === "fwd" && what === "clear") continue;
          assert.equal(decided?.origin.kind === "rule" ? decided.origin.rule.name : null, expected.rule, JSON.stringify([direction, each]));
        }
      }
    }),
    { numRuns: 300, includeErrorInReport: true },
  );
});

test("no two compiled policies have one key, and of any two that share a packet one has the stronger priority", () => {
  fc.assert(
    fc.property(randomPolicy(5), randomPacket, (policy, each) => {
      const compiled = compile(policy, ADDRESSES);
      const keys = compiled.map(({ direction, selector }) => JSON.stringify([direction, selector]));
      assert.equal(new Set(keys).size, keys.length);
      const direction = directionOf(each, ADDRESSES);
      // What is only passed on is met from both sides by one filter, with one verdict.
      if (direction === "fwd") return;
      const own = compiled.filter((wanted) => !isExemption(wanted) && wanted.direction === direction);
      const hits = own.filter((wanted) => indexPolicies([wanted]).decide(each, direction));
      assert.equal(new Set(hits.map(({ priority }) => priority)).size, hits.length);
    }),
  );
});

test("a priority depends on the selector alone, and a selector and its turned twin are one filter's", () => {
  const s = {
    source: "10.0.0.0",
    sourceLength: 8,
    destination: "192.0.2.0",
    destinationLength: 24,
    protocol: 6,
    sourcePort: 0,
    destinationPort: 80,
  };
  assert.deepEqual(turned(turned(s)), s);
  assert.ok(priorityOf(s) < priorityOf({ ...s, destinationPort: 0 }));
  assert.ok(priorityOf({ ...s, destinationLength: 32 }) < priorityOf({ ...s, sourceLength: 32 }));
  assert.ok(priorityOf({ ...s, destinationLength: 0, sourceLength: 0, protocol: 0, destinationPort: 0 }) < 2 ** 31);
});
