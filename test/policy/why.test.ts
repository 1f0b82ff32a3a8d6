import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { directionOf, type Packet, readPacket } from "../../policy/decide.ts";
import { explain, type Verdict } from "../../policy/why.ts";
import { ADDRESSES, policyFrom, type RuleText, randomPacket, randomPolicy } from "./random-policies.ts";
import { evaluate } from "./reference-evaluator.ts";

const ME = ["192.0.2.1"];
const packet = (destination: string, dport = 80, protocol = 6, source = "192.0.2.1"): Packet => {
  const read = readPacket(source, destination, protocol, 0, dport);
  assert.ok(typeof read !== "string", String(read));
  return read;
};

test("why and a plain evaluation of the rules agree about any packet under any policy", () => {
  const onLink = (address: string): boolean => address.startsWith("fe80:");
  const verdict = (
    { what, inward }: ReturnType<typeof evaluate>,
    action: string | undefined,
    mode: string | undefined,
    { source, destination }: Packet,
  ): Verdict => {
    const out = !inward;
    if (what === "drop") return "drop";
    if (what === "clear") return action === "respond" && !onLink(out ? source : destination) ? "protect-if-asked" : "clear";
    // There is nobody to ask for it: neither at a group's address nor at one of a link.
    const [remote] = out ? [destination] : [source];
    if (mode === "transport" && (onLink(remote) || remote.startsWith("ff02:")))
      return what === "use" || action === "request" ? "clear" : "drop";
    return what === "use" ? "protect-if-possible" : "protect";
  };
  fc.assert(
    fc.property(randomPolicy(6), fc.array(randomPacket, { minLength: 10, maxLength: 20 }), (policy, sent) => {
      // Neighbour discovery is exempt whatever the rules say; ports stand for the type, and 1 to 3 are others.
      for (const each of sent) {
        const expected = evaluate(policy, ADDRESSES, each, directionOf(each, ADDRESSES));
        const { action, mode } = policy.rules.find(({ name }) => name === expected.rule) ?? {};
        const said = explain(policy, ADDRESSES, each);
        assert.deepEqual([said.rule, said.verdict], [expected.rule, verdict(expected, action, mode, each)]);
        // Every filter but the one that decides is accounted for.
        const filters = policy.rules.reduce((sum, { filters }) => sum + filters.length, 0);
        assert.equal(said.others.length, filters - (said.filter === null ? 0 : 1));
      }
    }),
    { numRuns: 150, includeErrorInReport: true },
  );
});

const RULES: readonly RuleText[] = [
  { action: "require", filters: ["me <-> 10.0.0.0/8"] },
  { action: "permit", filters: ["me <-> 10.1.0.0/16:80 tcp"] },
  { action: "block", filters: ["me <-> 10.1.1.1:22 tcp", "any -> me:445 tcp"] },
];

test("of two that are as strong, one for each way of what passes through, the first of the file is named", () => {
  const policy = policyFrom([
    { action: "permit", filters: ["any <-> 10.0.0.3-10.0.0.9"] },
    { action: "permit", filters: ["any <-> 10.0.0.2"] },
  ]);
  const said = explain(policy, ADDRESSES, packet("10.0.0.3", 1, 6, "10.0.0.2"));
  assert.deepEqual([said.direction, said.rule, said.verdict], ["fwd", "r0", "clear"]);
});

const SITE = 'mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }';
const BRANCH: RuleText = { action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: SITE };
const WAYS: readonly (readonly [string, readonly RuleText[], source: string, destination: string, Verdict, rule: string, says: RegExp])[] =
  [
    ["into a tunnel", [BRANCH], "10.1.0.5", "10.2.0.5", "protect", "r0", /^rule r0 \(require\): sent only protected/],
    ["out of a tunnel", [BRANCH], "10.2.0.5", "10.1.0.5", "protect", "r0", /^rule r0 \(require\): accepted only protected$/],
    [
      "into a tunnel past a wider block",
      [{ action: "block", filters: ["any <-> any"] }, BRANCH],
      ...(["10.1.0.5", "10.2.0.5", "protect", "r1", /^rule r1 \(require\): sent only protected/] as const),
    ],
    [
      "into a tunnel beside a wider permit",
      [{ action: "permit", filters: ["any <-> any"] }, BRANCH],
      ...(["10.1.0.5", "10.2.0.5", "protect", "r1", /^rule r1 \(require\): sent only protected/] as const),
    ],
    [
      "that a narrower filter blocks",
      [
        { action: "block", filters: ["10.1.0.5 <-> any"] },
        { ...BRANCH, filters: ["10.0.0.0/15 <-> any"] },
      ],
      ...(["10.1.0.5", "10.2.0.5", "drop", "r0", /^rule r0 \(block\) drops it$/] as const),
    ],
    [
      "out of one tunnel into another",
      [
        { ...BRANCH, filters: ["10.0.0.0/8 <-> 10.2.0.0/16"] },
        { action: "require", filters: ["10.0.0.0/8 <-> 10.3.0.0/16"], more: SITE.replace("113.9", "113.10") },
      ],
      ...(["10.2.0.5", "10.3.0.5", "protect", "r0", /^rule r0 .*: accepted only protected; then rule r1 .*: sent only protected/] as const),
    ],
  ];
for (const [what, rules, source, destination, verdict, rule, says] of WAYS)
  test(`why about a packet of others ${what}: ${rule} decides`, () => {
    const said = explain(policyFrom(rules), ["198.51.100.1"], packet(destination, 80, 6, source));
    assert.deepEqual([said.direction, said.verdict, said.rule], ["fwd", verdict, rule]);
    assert.match(said.says, says);
    assert.equal(said.policy?.direction, says.source.includes("accepted") || verdict === "drop" ? "fwd" : "out");
  });

test("who is stricter or only as specific is not said to be more specific", () => {
  const because = (rules: readonly RuleText[], source: string, destination: string) =>
    explain(policyFrom(rules), ["198.51.100.1"], packet(destination, 80, 6, source)).others.map((other) => other.because);
  const wall: RuleText = { action: "block", filters: ["any <-> any"] };
  // What of it comes out of the wider tunnel must come protected, so that the block that is stronger than that one is not opened.
  const everything: RuleText = { ...BRANCH, filters: ["0.0.0.0/0 <-> 0.0.0.0/0"] };
  assert.equal(
    because([{ action: "block", filters: ["10.0.0.0/8 <-> 0.0.0.0/0"] }, BRANCH, everything], "10.1.0.5", "10.2.0.5")[0],
    "rule r0 is stricter, and decides as the packet comes: 10.0.0.0/8 <-> 0.0.0.0/0",
  );
  assert.deepEqual(because([wall, BRANCH], "10.1.0.5", "10.2.0.5"), ["rule r1 is more specific here: 10.1.0.0/16 <-> 10.2.0.0/16"]);
  const equals = ["any <-> 10.0.0.3-10.0.0.9", "any <-> 10.0.0.2"].map((filter): RuleText => ({ action: "permit", filters: [filter] }));
  assert.match(because(equals, "10.0.0.2", "10.0.0.3")[0] ?? "", /^rule r0 is as specific, and comes first: /);
});

test("why tells what a rule demands of its peer", () => {
  const policy = policyFrom([{ action: "require", filters: ["me <-> 10.0.0.0/8"] }]);
  const [rule] = policy.rules;
  assert.ok(rule);
  const names = Array.from({ length: 8 }, (_, i) => `host/${i}@EXAMPLE.TEST`);
  const demand = { identities: [{ type: "fqdn", name: "b.example.test" } as const], principals: names, issuers: [] };
  const strict = { ...policy, rules: [{ ...rule, demand, requireEncryption: true }] };
  assert.deepEqual(explain(strict, ME, packet("10.2.0.1")).negotiation?.demands, [
    "the peer must have proved one of fqdn:b.example.test, principal:host/0@EXAMPLE.TEST, principal:host/1@EXAMPLE.TEST, principal:host/2@EXAMPLE.TEST, principal:host/3@EXAMPLE.TEST, principal:host/4@EXAMPLE.TEST and 3 more (remote-ids)",
    "nothing without encryption (require-encryption)",
  ]);
});

test("why names the rule, its kernel policy, and what would be negotiated", () => {
  const said = explain(policyFrom(RULES), ME, packet("10.2.0.1"));
  assert.deepEqual([said.verdict, said.rule, said.filter, said.direction], ["protect", "r0", "me <-> 10.0.0.0/8", "out"]);
  assert.equal(said.policy?.selector, "192.0.2.1/32 -> 10.0.0.0/8");
  assert.equal(said.policy?.level, "required");
  assert.deepEqual([said.negotiation?.peer, said.negotiation?.mode, said.negotiation?.auth], ["10.2.0.1", "transport", ["psk"]]);
  assert.ok(said.negotiation?.mainMode.includes("aes256-sha256-modp2048"));
  assert.deepEqual(said.negotiation?.demands, []);
  assert.deepEqual(said.answer, { verdict: "protect", rule: "r0" });
  assert.ok(!JSON.stringify(said).includes("secret"));
});

test("why says of every other filter the first thing that differs, or who is more specific", () => {
  const because = (to: Packet) =>
    Object.fromEntries(explain(policyFrom(RULES), ME, to).others.map(({ filter, because }) => [filter, because]));
  assert.deepEqual(because(packet("10.2.0.1", 22)), {
    "me <-> 10.1.0.0/16:80 tcp": "10.2.0.1 is not 10.1.0.0/16",
    "me <-> 10.1.1.1:22 tcp": "10.2.0.1 is not 10.1.1.1/32",
    "any -> me:445 tcp": "our port is not known, not 445",
  });
  assert.deepEqual(because(packet("10.1.1.1", 22)), {
    "me <-> 10.0.0.0/8": "rule r2 is more specific here: 192.0.2.1 <-> 10.1.1.1:22 tcp",
    "me <-> 10.1.0.0/16:80 tcp": "the remote port is 22, not 80",
    "any -> me:445 tcp": "our port is not known, not 445",
  });
  assert.equal(because(packet("10.1.1.1", 80, 17))["me <-> 10.1.0.0/16:80 tcp"], "the protocol is udp, not tcp");
});

test("a packet that no filter is about passes in clear, and the default response rule is named", () => {
  const policy = policyFrom(
    [{ action: "permit", filters: ["me <-> 10.0.0.1"] }],
    '[[rule]]\nname = "default"\naction = "respond"\nauth = [{ method = "psk", secret = "k" }]\n',
  );
  const said = explain(policy, ME, packet("192.0.2.9"));
  assert.deepEqual([said.verdict, said.rule, said.policy, said.negotiation], ["clear", null, null, null]);
  assert.match(said.says, /rule default \(the default response rule\) answers/);
});

test("an exempt packet passes, and every rule says so", () => {
  const policy = policyFrom([{ action: "require", filters: ["me <-> any"] }], '[policy]\nexempt = ["dns"]');
  const said = explain(policy, ME, packet("192.0.2.53", 53, 17));
  assert.deepEqual([said.verdict, said.rule], ["clear", null]);
  assert.match(said.says, /dns is exempt/);
  assert.equal(said.others[0]?.because, "dns is exempt from all rules");
});

test("an exempt packet that passes through goes into the tunnel, and every filter says so; the gateway's own is exempt", () => {
  const policy = policyFrom([BRANCH], '[policy]\nexempt = ["dns"]');
  const said = (source: string) => explain(policy, ["198.51.100.1", "10.1.0.1"], packet("10.2.0.53", 53, 17, source));
  assert.deepEqual([said("10.1.0.5").verdict, said("10.1.0.5").rule, said("10.1.0.5").policy?.level], ["protect", "r0", "required"]);
  assert.deepEqual([said("10.1.0.1").verdict, said("10.1.0.1").rule], ["clear", null]);
  assert.match(said("10.1.0.1").says, /dns is exempt/);
});

test("between link-local addresses a rule that protects drops, and says why; a narrower permit does not", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> any"] },
    { action: "permit", filters: ["me <-> [fe80::/10]:179 tcp"] },
  ]);
  const said = explain(policy, ME, packet("fe80::1", 22, 6, "fe80::2"));
  assert.deepEqual([said.verdict, said.rule, said.negotiation], ["drop", "r0", null]);
  assert.match(said.says, /r0 \(require\) drops it: with a link-local address IKE can't be spoken/);
  assert.equal(said.others[0]?.because, "the remote port is not known, not 179");
  const open = explain(policy, ME, { source: "fe80::2", destination: "fe80::1", protocol: 6, sourcePort: 179, destinationPort: 9 });
  assert.deepEqual([open.verdict, open.rule], ["clear", "r1"]);
  const respond = explain(policyFrom([{ action: "respond", filters: ["me <-> any"] }]), ME, packet("fe80::1", 22, 6, "fe80::2"));
  assert.deepEqual([respond.verdict, respond.negotiation], ["clear", null]);
});

test("from a link-local address to another kind, and to a group, a packet is one that leaves; where the host's own are known, those decide", () => {
  const policy = policyFrom([{ action: "require", filters: ["me <-> any"], more: "inbound-clear = true" }]);
  const ways = (source: string, destination: string, onLink: readonly string[] = []) => {
    const { direction, verdict, answer } = explain(policy, [...ME, "2001:db8::1"], packet(destination, 22, 6, source), undefined, onLink);
    return [direction, verdict, answer.verdict];
  };
  for (const destination of ["2001:db8::9", "ff02::1"]) assert.deepEqual(ways("fe80::1", destination).slice(0, 2), ["out", "drop"]);
  assert.deepEqual(ways("2001:db8::9", "fe80::1"), ["in", "clear", "drop"]);
  assert.deepEqual(ways("fe80::5", "2001:db8::1"), ["in", "clear", "drop"]);
  assert.deepEqual(ways("fe80::1", "fe80::2"), ["in", "clear", "drop"]);
  const own = ["fe80::1"];
  assert.deepEqual(ways("fe80::1", "fe80::2", own), ["out", "drop", "clear"]);
  assert.deepEqual(ways("fe80::2", "fe80::1", own), ["in", "clear", "drop"]);
  assert.deepEqual(ways("fe80::1", "2001:db8::9", own), ["out", "drop", "clear"]);
  assert.deepEqual(ways("fe80::2", "ff02::fb", own).slice(0, 2), ["in", "clear"]);
});

test("why names nobody to negotiate with at a link-local address, and the kernel policy that is there", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> any"] },
    { action: "require", filters: ["me <-> 2001:db8:5::/48"] },
    { action: "request", filters: ["me <-> fe80::5"] },
  ]);
  const own = ["2001:db8::1"];
  const neighbour = explain(policy, own, packet("fe80::7", 22, 6, "2001:db8::1"));
  assert.deepEqual([neighbour.verdict, neighbour.negotiation], ["drop", null]);
  assert.match(neighbour.says, /r0 \(require\) drops it: with a link-local address IKE can't be spoken/);
  const asked = explain(policy, own, packet("fe80::5", 22, 6, "2001:db8::1"));
  assert.deepEqual([asked.verdict, asked.negotiation, asked.rule], ["clear", null, "r2"]);
  assert.match(asked.says, /there is nobody to ask, so it goes in clear/);
  // The kernel needs no policy of its own for what the wider rule shuts as well.
  const wide = explain(policy, own, packet("2001:db8:5::1", 22, 6, "fe80::1"));
  assert.deepEqual([wide.rule, wide.policy?.selector], ["r1", "fe80::/10 -> ::/0"]);
  assert.equal(
    explain(policyFrom([{ action: "permit", filters: ["me <-> fe80::5"] }]), own, packet("fe80::5", 22, 6, "fe80::1")).policy,
    null,
  );
});

const SPECIAL = policyFrom([
  { action: "require", filters: ["me <-> any"] },
  { action: "block", filters: ["any <-> any udp"] },
]);
const HOST = ["192.0.2.1", "192.0.2.3", "2001:db8::1"];
const ROWS: readonly (readonly [
  what: string,
  source: string,
  destination: string,
  protocol: number,
  ports: readonly [number, number],
  verdict: Verdict,
  says: RegExp,
])[] = [
  ["IKE that leaves", "192.0.2.1", "192.0.2.9", 17, [500, 500], "clear", /IKE itself/],
  ["IKE that comes, through a NAT", "192.0.2.9", "192.0.2.1", 17, [1234, 4500], "clear", /IKE itself/],
  ["IKE of others", "192.0.2.8", "192.0.2.9", 17, [500, 500], "drop", /rule r1/],
  ["UDP to somebody's port 500", "192.0.2.1", "192.0.2.9", 17, [1234, 500], "protect", /rule r0/],
  ["its talk with itself", "192.0.2.1", "192.0.2.1", 6, [1, 2], "clear", /stays on this host/],
  ["its talk with itself between two addresses", "192.0.2.1", "192.0.2.3", 6, [1, 2], "clear", /stays on this host/],
  ["loopback", "127.0.0.1", "127.0.0.1", 6, [1, 2], "clear", /stays on this host/],
  [
    "its talk with itself on IPv6, which comes in under a strict rule",
    "2001:db8::1",
    "2001:db8::1",
    6,
    [1, 2],
    "protect",
    /accepted only protected/,
  ],
  ["loopback on IPv6", "::1", "::1", 6, [1, 2], "clear", /stays on this host/],
  ["a multicast that leaves", "192.0.2.1", "224.0.0.251", 6, [1, 2], "drop", /can't be protected/],
  ["a broadcast that comes", "192.0.2.9", "255.255.255.255", 17, [1, 2], "drop", /rule r1/],
  ["ESP that comes", "192.0.2.9", "192.0.2.1", 50, [0, 0], "clear", /^it is ESP for this host: no policy is asked about it/],
  ["AH that comes on IPv6", "2001:db8::9", "2001:db8::1", 51, [0, 0], "clear", /^it is AH for this host/],
  [
    "ESP that leaves under a rule that requires",
    "192.0.2.1",
    "192.0.2.9",
    50,
    [0, 0],
    "clear",
    /^it is ESP: no policy is asked about what this host has wrapped itself; about what a program of this host writes as ESP, past the kernel's IPsec, they are: rule r0 \(require\): sent only protected/,
  ],
  ["ESP of others", "192.0.2.8", "192.0.2.9", 50, [0, 0], "clear", /^no filter is about it/],
  ["DHCP that comes", "192.0.2.9", "255.255.255.255", 6, [1, 2], "clear", /no filter/],
  [
    "ICMPv6 of whatever type",
    "2001:db8::1",
    "2001:db8::2",
    58,
    [0, 0],
    "protect",
    /but neighbour discovery \(types 133 to 137\) always passes/,
  ],
  ["a neighbour's answer", "2001:db8::1", "2001:db8::2", 58, [136, 0], "clear", /neighbour-discovery is exempt/],
];
for (const [what, source, destination, protocol, [sport, dport], verdict, says] of ROWS)
  test(`why about ${what}: ${verdict}`, () => {
    const read = readPacket(source, destination, protocol, sport, dport);
    assert.ok(typeof read !== "string");
    const said = explain(SPECIAL, HOST, read);
    assert.equal(said.verdict, verdict, said.says);
    assert.match(said.says, says);
    assert.ok(said.others.every(({ because }) => because !== ""));
  });

test("a block of everything stops neither the ESP of this host's own SAs nor that which comes for them, but others' and that of programs", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> 192.0.2.9"] },
    { action: "block", filters: ["any <-> any"] },
  ]);
  const said = (source: string, destination: string) => explain(policy, ME, packet(destination, 0, 50, source));
  for (const [source, destination] of [
    ["192.0.2.1", "198.51.100.9"],
    ["198.51.100.9", "192.0.2.1"],
  ] as const) {
    const { verdict, rule, policy: met, negotiation, answer, others } = said(source, destination);
    assert.deepEqual([verdict, rule, met, negotiation, answer], ["clear", null, null, null, { verdict: "clear", rule: null }]);
    assert.ok(others.every(({ because }) => because.startsWith("it is ESP")));
  }
  assert.match(said("192.0.2.1", "198.51.100.9").says, /writes as ESP, past the kernel's IPsec, they are: rule r1 \(block\) drops it$/);
  const forwarded = said("198.51.100.8", "198.51.100.9");
  assert.deepEqual([forwarded.direction, forwarded.verdict, forwarded.rule], ["fwd", "drop", "r1"]);
  assert.doesNotMatch(
    explain(policyFrom([{ action: "permit", filters: ["me <-> any"] }]), ME, packet("198.51.100.9", 0, 50)).says,
    /program/,
  );
});

for (const [action, more, verdict, says] of [
  [
    "require",
    "",
    "drop",
    /^rule r0 \(require\) drops it: 10\.1\.1\.5 is no address of this host, and in transport mode .* write mode = "tunnel"/,
  ],
  ["request", "", "drop", /^rule r0 \(request\) drops it: 10\.1\.1\.5 is no address of this host/],
  [
    "require",
    "discovery = true",
    "clear",
    /^rule r0 \(require\): it leaves in clear, since 10\.1\.1\.5 is no address of this host, and .* write mode/,
  ],
] as const)
  test(`why about ${action} ${more} in transport mode for another host: nothing can be negotiated, and what to write instead`, () => {
    const policy = policyFrom([{ action, filters: ["10.1.1.5 <-> 192.0.2.9"], more }]);
    const there = explain(policy, ME, packet("192.0.2.9", 80, 6, "10.1.1.5"));
    assert.deepEqual([there.direction, there.verdict, there.rule, there.negotiation], ["fwd", verdict, "r0", null]);
    assert.match(there.says, says);
    const back = explain(policy, ME, packet("10.1.1.5", 80, 6, "192.0.2.9"));
    assert.deepEqual([back.verdict, back.rule, back.answer], ["clear", null, { verdict, rule: "r0" }]);
    // Where it is this host's address all is as ever.
    assert.equal(explain(policy, ["10.1.1.5"], packet("192.0.2.9", 80, 6, "10.1.1.5")).negotiation?.peer, "192.0.2.9");
  });

test("why knows the ports that the daemon has, types of ICMP that come back, and a request for many", () => {
  const other = readPacket("192.0.2.1", "192.0.2.9", 17, 5500, 500);
  assert.ok(typeof other !== "string");
  assert.equal(explain(SPECIAL, HOST, other, [5500]).verdict, "clear");
  const asking = readPacket("2001:db8::1", "2001:db8::2", 58, 135, 0);
  assert.ok(typeof asking !== "string");
  assert.equal(explain(SPECIAL, HOST, asking).answer.verdict, "clear");
  const request = policyFrom([{ action: "request", filters: ["me <-> any"] }]);
  assert.deepEqual(
    [explain(request, ME, packet("224.0.0.251", 5353, 17)).verdict, explain(request, ME, packet("192.0.2.9")).verdict],
    ["clear", "protect"],
  );
  const self = readPacket("2001:db8::1", "2001:db8::1", 6, 1, 2);
  assert.ok(typeof self !== "string");
  assert.equal(explain(request, HOST, self).verdict, "clear");
  assert.equal(explain(request, ME, packet("192.0.2.1", 80, 6, "192.0.2.9")).direction, "in");
  assert.equal(explain(request, ME, packet("224.0.0.251", 80, 6, "192.0.2.9")).direction, "in");
});

test("why knows the broadcast addresses of this host's networks", () => {
  const to = "192.0.2.255";
  const said = (rule: RuleText, more: string, source = "192.0.2.1", broadcasts: readonly string[] = [to]) =>
    explain(policyFrom([rule], more), ME, packet(to, 138, 17, source), undefined, [], broadcasts);
  const [require, request] = (["require", "request"] as const).map((action): RuleText => ({ action, filters: ["me <-> 192.0.2.0/24"] }));
  assert.ok(require && request);
  const dropped = said(require, "");
  assert.deepEqual([dropped.direction, dropped.verdict, dropped.negotiation], ["out", "drop", null]);
  assert.match(dropped.says, /multicast and broadcast can't be protected; exempt/);
  assert.equal(said(request, "").verdict, "clear");
  assert.match(said(require, '[policy]\nexempt = ["broadcast"]').says, /broadcast is exempt/);
  assert.equal(said(require, "", "192.0.2.9").direction, "in");
  assert.deepEqual([said(require, "", "192.0.2.1", []).verdict, said(require, "", "192.0.2.9", []).direction], ["protect", "fwd"]);
});

test("packets that make no sense are refused with words", () => {
  assert.equal(readPacket("192.0.2.300", "192.0.2.1", 0, 0, 0), '"192.0.2.300" is no address');
  assert.equal(readPacket("192.0.2.3", "::1", 0, 0, 0), "source and destination are of different address families");
});

test("a tunnel whose own end nobody knows drops what it requires to be protected, and why says what it waits for", () => {
  const policy = policyFrom([
    { action: "require", filters: ["10.1.0.0/16 <-> 10.2.0.0/16"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.9" }' },
    { action: "respond", filters: ["10.1.0.0/16 <-> 10.0.0.0/8"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.8" }' },
  ]);
  const { verdict, says, rule, others } = explain(policy, ME, packet("10.1.0.5", 80, 6, "10.2.0.5"));
  assert.deepEqual([verdict, rule], ["drop", "r0"]);
  assert.match(says, /drops it until the route to 192\.0\.2\.9 tells this host's own end of the tunnel/);
  assert.match(others[0]?.because ?? "", /follows the route/);
});

/** Rules inside the networks of a tunnel on a gateway that blocks all else, as docs/policy.md tells them: what passes from one host to another, and back. */
const INSIDE: readonly (readonly [rule: RuleText, there: string, back: string])[] = [
  [{ action: "permit", filters: ["10.1.0.0/16 <- 10.2.0.5"] }, "protect", "clear"],
  [{ action: "permit", filters: ["10.1.0.5 -> 10.2.0.0/16"] }, "clear", "protect"],
  [{ action: "respond", filters: ["10.1.0.5 <-> 10.2.0.5"] }, "protect-if-asked", "protect"],
];
for (const [rule, there, back] of INSIDE)
  test(`${rule.action} for ${rule.filters} inside a tunnel: what goes there is ${there}, what comes back ${back}`, () => {
    const policy = policyFrom([
      rule,
      { action: "block", filters: ["any <-> any"] },
      {
        action: "require",
        filters: ["10.1.0.0/16 <-> 10.2.0.0/16"],
        more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }',
      },
    ]);
    const verdict = (source: string, destination: string): Verdict => explain(policy, ME, packet(destination, 0, 17, source)).verdict;
    assert.deepEqual([verdict("10.1.0.5", "10.2.0.5"), verdict("10.2.0.5", "10.1.0.5")], [there, back]);
  });

test("icmp between IPv6 addresses is ICMPv6, as in filters; of other protocols it is said that they are others", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> any"] },
    { action: "permit", filters: ["me <-> any icmp", "me <-> any:22 tcp", "me <-> any icmpv6"] },
  ]);
  const said = (asked: Packet | string) => {
    assert.ok(typeof asked !== "string");
    const { rule, filter, others } = explain(policy, [asked.source], asked);
    return [rule, filter, ...others.map(({ because }) => because)];
  };
  const [v6, v4] = [["2001:db8::1", "2001:db8::2"] as const, ["192.0.2.1", "192.0.2.2"] as const];
  const ping = said(readPacket(...v6, 1, 0, 0));
  assert.deepEqual(ping, said(readPacket(...v6, 58, 0, 0)));
  assert.deepEqual(ping.slice(0, 2), ["r1", "me <-> any icmp"]);
  assert.match(ping[3] ?? "", /^the protocol is icmpv6, not tcp$/);
  assert.deepEqual(said(readPacket(...v4, 1, 0, 0)).slice(0, 2), ["r1", "me <-> any icmp"]);
  const raw = (protocol: number, [source, destination]: readonly [string, string]): Packet => ({
    ...{ source, destination, protocol, sourcePort: 0, destinationPort: 0 },
  });
  const [tcp, other] = ["the protocol is icmp, not tcp", "the protocol is icmp, not icmpv6"];
  assert.deepEqual(said(raw(1, v6)), ["r0", "me <-> any", other, tcp, other]);
  const mixed = ["the protocol is icmpv6, not icmp", "the protocol is icmpv6, not tcp", "icmpv6 is of IPv6 alone"];
  assert.deepEqual(said(raw(58, v4)), ["r0", "me <-> any", ...mixed]);
});
