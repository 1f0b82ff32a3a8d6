import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Packet } from "../../policy/decide.ts";
import { directionOf } from "../../policy/decide.ts";
import { explain, readPacket, type Verdict } from "../../policy/why.ts";
import { ADDRESSES, policyFrom, type RuleText, randomPacket, randomPolicy } from "./random-policies.ts";
import { evaluate } from "./reference-evaluator.ts";

const ME = ["192.0.2.1"];
const packet = (destination: string, dport = 80, protocol = 6, source = "192.0.2.1"): Packet => {
  const read = readPacket(source, destination, protocol, 0, dport);
  assert.ok(typeof read !== "string", String(read));
  return read;
};

test("why and a plain evaluation of the rules agree about any packet under any policy", () => {
  const verdict = (what: string, action: string | undefined): Verdict => {
    if (what === "drop") return "drop";
    if (what === "clear") return action === "respond" ? "protect-if-asked" : "clear";
    return what === "use" ? "protect-if-possible" : "protect";
  };
  fc.assert(
    fc.property(randomPolicy(6), fc.array(randomPacket, { minLength: 10, maxLength: 20 }), (policy, sent) => {
      // Neighbour discovery is exempt whatever the rules say; ports stand for the type, and 1 to 3 are others.
      for (const each of sent) {
        const expected = evaluate(policy, ADDRESSES, each, directionOf(each, ADDRESSES));
        const action = policy.rules.find(({ name }) => name === expected.rule)?.action;
        const said = explain(policy, ADDRESSES, each);
        assert.deepEqual([said.rule, said.verdict], [expected.rule, verdict(expected.what, action)]);
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

test("why names the rule, its kernel policy, and what would be negotiated", () => {
  const said = explain(policyFrom(RULES), ME, packet("10.2.0.1"));
  assert.deepEqual([said.verdict, said.rule, said.filter, said.direction], ["protect", "r0", "me <-> 10.0.0.0/8", "out"]);
  assert.equal(said.policy?.selector, "192.0.2.1/32 -> 10.0.0.0/8");
  assert.equal(said.policy?.level, "required");
  assert.deepEqual([said.negotiation?.peer, said.negotiation?.mode, said.negotiation?.auth], ["10.2.0.1", "transport", ["psk"]]);
  assert.ok(said.negotiation?.mainMode.includes("aes256-sha256-modp2048"));
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

test("between link-local addresses a rule that protects drops, and says why; a narrower permit does not", () => {
  const policy = policyFrom([
    { action: "require", filters: ["me <-> any"] },
    { action: "permit", filters: ["me <-> [fe80::/10]:179 tcp"] },
  ]);
  const said = explain(policy, ME, packet("fe80::1", 22, 6, "fe80::2"));
  assert.deepEqual([said.verdict, said.rule, said.negotiation], ["drop", "r0", null]);
  assert.match(said.says, /r0 \(require\) drops it: between link-local addresses IKE can't be spoken/);
  assert.equal(said.others[0]?.because, "the remote port is not known, not 179");
  const open = explain(policy, ME, { source: "fe80::2", destination: "fe80::1", protocol: 6, sourcePort: 179, destinationPort: 9 });
  assert.deepEqual([open.verdict, open.rule], ["clear", "r1"]);
  const respond = explain(policyFrom([{ action: "respond", filters: ["me <-> any"] }]), ME, packet("fe80::1", 22, 6, "fe80::2"));
  assert.deepEqual([respond.verdict, respond.negotiation], ["clear", null]);
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

test("packets that make no sense are refused with words", () => {
  assert.equal(readPacket("192.0.2.300", "192.0.2.1", 0, 0, 0), '"192.0.2.300" is no address');
  assert.equal(readPacket("192.0.2.3", "::1", 0, 0, 0), "source and destination are of different address families");
});
