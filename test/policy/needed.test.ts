import assert from "node:assert/strict";
import { test } from "node:test";
import { compile, decisions } from "../../policy/compile.ts";
import { indexPolicies, type Packet } from "../../policy/decide.ts";
import { policyFrom, type RuleText } from "./random-policies.ts";

const ME = ["192.0.2.1", "2001:db8::1"];
const ALL: RuleText = { action: "require", filters: ["me <-> any"] };
/** What the kernel gets for our link-local addresses, as `DIRECTION OTHER ACTION`; not what keeps the link alive. */
const onLink = (rules: readonly RuleText[]): readonly string[] =>
  compile(policyFrom(rules), ME)
    .filter(({ origin }) => origin.kind === "rule")
    .flatMap(({ direction, selector: s, action }) => {
      const [own, other] =
        direction === "in" ? [s.destination, `${s.source}/${s.sourceLength}`] : [s.source, `${s.destination}/${s.destinationLength}`];
      return own === "fe80::" ? [`${direction} ${other} ${action}`] : [];
    })
    .sort();
const both = (text: string): readonly string[] => [`in ${text}`, `out ${text}`];

const WIDE = both("::/0 block");
const ROWS: readonly (readonly [string, readonly RuleText[], readonly string[]])[] = [
  ["filters of IPv4", [{ action: "require", filters: ["me <-> 10.0.0.0/8", "me <-> 192.0.2.0/24 tcp"] }], []],
  ["a permit where nothing is shut", [{ action: "permit", filters: ["me <-> 2001:db8:5::/48"] }], []],
  ["a rule that falls back to clear text", [{ action: "request", filters: ["me <-> 2001:db8:5::/48", "me <-> fe80::5"] }], []],
  ["a network that has to be protected", [{ action: "require", filters: ["me <-> 2001:db8:5::/48"] }], both("2001:db8:5::/48 block")],
  ["the same within everything", [ALL, { action: "require", filters: ["me <-> 2001:db8:5::/48", "me <-> fe80::5 tcp"] }], WIDE],
  ["services within everything", [ALL, { action: "block", filters: ["me:80 <-> any tcp", "me <-> any udp"] }], WIDE],
  ["a permit within everything", [ALL, { action: "permit", filters: ["me <-> fe80::5"] }], [...WIDE, ...both("fe80::5/128 allow")]],
  [
    "a permit, and what has to be protected in it",
    [
      ALL,
      { action: "permit", filters: ["me <-> 2001:db8::/32"] },
      { action: "require", filters: ["me <-> 2001:db8:5::/48", "me <-> fd00::/8"] },
    ],
    [...WIDE, ...both("2001:db8:5::/48 block"), ...both("2001:db8::/32 allow")],
  ],
  [
    "a permit of one service everywhere: each narrower rule shuts that, too",
    [ALL, { action: "permit", filters: ["me:22 <-> any tcp"] }, { action: "require", filters: ["me <-> 2001:db8:5::/48"] }],
    [...WIDE, ...both("::/0 allow"), ...both("2001:db8:5::/48 block")],
  ],
  [
    "a permit for a smaller network whose own side is wider, which is weaker",
    [ALL, { action: "permit", filters: ["any <-> 2001:db8:5:1::/64"] }, { action: "require", filters: ["me <-> 2001:db8:5::/48"] }],
    [...WIDE, ...both("2001:db8:5::/48 block")],
  ],
  [
    "everything twice",
    [
      { action: "block", filters: ["any <-> any"] },
      { action: "block", filters: ["me <-> any", "me <-> fd00::/8"] },
    ],
    WIDE,
  ],
  ["what shuts DHCPv6, too", [ALL, { action: "block", filters: ["me <-> fe80::5"] }], [...WIDE, ...both("fe80::5/128 block")]],
];
for (const [what, rules, expected] of ROWS)
  test(`of ${what}, the kernel holds ${expected.join(", ") || "nothing"} for link-local addresses`, () => {
    assert.deepEqual(onLink(rules), [...expected].sort());
  });

test("a thousand filters for networks of IPv6 in a rule for everything cost no kernel policy for the link", () => {
  const filters = (k: number) => Array.from({ length: 50 }, (_, i) => `me <-> 2001:db8:${(50 * k + i).toString(16)}::/48`);
  const policy = policyFrom([ALL, ...Array.from({ length: 20 }, (_, k) => ({ action: "require", filters: filters(k) }))]);
  const [alone, many] = [compile(policyFrom([ALL]), ME), compile(policy, ME)];
  assert.equal(many.length - alone.length, 2 * 1000);
  assert.equal(decisions(policy, ME).length - many.length, 2 * 1000);
});

/** DHCPv6 as it leaves: to the group, and to a server. */
const asked = (destination: string): Packet => ({ source: "fe80::1", destination, protocol: 17, sourcePort: 546, destinationPort: 547 });
const DHCP: readonly (readonly [string, readonly RuleText[], readonly [group: string, server: string]])[] = [
  ["everything has to be protected", [ALL], ["allow", "allow"]],
  ["all of UDP is blocked for me", [{ action: "block", filters: ["me <-> any udp"] }], ["allow", "allow"]],
  ["one server is blocked in that", [ALL, { action: "block", filters: ["me <-> [fe80::5]:547 udp"] }], ["allow", "block"]],
  ["link-local neighbours are blocked", [ALL, { action: "block", filters: ["me <-> fe80::/64"] }], ["allow", "block"]],
  ["the group is blocked", [ALL, { action: "block", filters: ["me <-> ff02::1:2"] }], ["block", "allow"]],
  ["the service is blocked everywhere", [ALL, { action: "block", filters: ["me <-> any:547 udp"] }], ["block", "block"]],
  ["the filter says any and not me", [{ action: "block", filters: ["any <-> any"] }], ["block", "block"]],
  ["the filter says the link itself", [{ action: "block", filters: ["fe80::/10 <-> any"] }], ["block", "block"]],
];
for (const [what, rules, expected] of DHCP)
  test(`DHCPv6 where ${what}: ${expected.join(" to the group, ")} to a server`, () => {
    const index = indexPolicies(compile(policyFrom(rules), ME));
    const found = ["ff02::1:2", "fe80::5"].map((destination) => index.decide(asked(destination), "out")?.action ?? "allow");
    assert.deepEqual(found, expected);
  });
