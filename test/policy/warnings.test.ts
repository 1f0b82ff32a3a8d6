import assert from "node:assert/strict";
import { test } from "node:test";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";

const AUTH = 'auth = [{ method = "psk", secret = "k" }]';

/** Line and text of every warning of a configuration that has no error. */
function warningsOf(text: string): readonly string[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ line, message }) => `${line}: ${message}`).join("\n"));
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings.map(({ line, message }) => `${line}: ${message}`);
}

const rule = (name: string, action: string, filters: readonly string[], more = ""): string =>
  `[[rule]]\nname = "${name}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${action === "permit" || action === "block" ? "" : AUTH}\n${more}\n`;

const TUNNEL = 'mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }';

const manual = (filter: string): string =>
  `[[sa]]\nname = "m"\nlocal = "198.51.100.1"\nremote = "203.0.113.9"\nmode = "tunnel"\nprotection = "esp:aes128-sha1"\nspi-in = 0x1000\nspi-out = 0x1001
key-in = "0x${"ab".repeat(36)}"\nkey-out = "0x${"cd".repeat(36)}"\nfilters = ["${filter}"]\n`;

const ROWS: readonly (readonly [what: string, text: string, expected: readonly RegExp[]])[] = [
  ["a plain rule", rule("a", "require", ["me <-> 192.0.2.2"]), []],
  [
    "a permit on the link of a host whose address for IKE is of IPv4",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "require", ["me <-> 10.0.0.0/8"])}${rule("b", "permit", ["me <-> [fe80::/10]:179 tcp", "me <-> fe80::5"])}`,
    [],
  ],
  [
    "an own network that the host has no address of",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "require", ["10.1.0.0/16 <-> 10.0.0.0/8"])}`,
    [/no address of \[daemon\] addresses is in it; the filter never decides/],
  ],
  [
    "answers for hosts of which none is this one",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "respond", ["10.1.0.5 <-> 10.2.0.5", "10.2.0.5 <-> 192.0.2.1"])}`,
    [
      /^6: .*10\.1\.0\.5 is none of \[daemon\] addresses, and in transport mode peers can ask about this host's own addresses only: the filter answers nobody/,
      /^6: .*10\.2\.0\.5 is none of \[daemon\] addresses/,
    ],
  ],
  [
    "answers for an address of this host, for networks through a tunnel, and of addresses that nobody knows",
    `[daemon]\naddresses = ["192.0.2.1", "198.51.100.1"]\n${rule("a", "respond", ["192.0.2.1 <-> 10.2.0.5", "me <-> 10.2.0.6"])}${rule("b", "respond", ["10.1.0.5 <-> 10.2.0.7"], TUNNEL)}`,
    [],
  ],
  ["answers for a host that may be this one", rule("a", "respond", ["10.1.0.5 <-> 10.2.0.5"]), []],
  ...["require", "request"].map((action): (typeof ROWS)[number] => [
    `${action} in transport mode for a host that is not this one, of which a tunnel was probably meant`,
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", action, ["10.1.0.5 <-> 10.2.0.5", "me <-> 10.2.0.5", "192.0.2.1 <-> 10.2.0.6", "10.1.0.6 -> 10.2.0.7", "10.1.0.7 <- 10.2.0.8"])}`,
    [
      /^6: .*10\.1\.0\.5 is none of \[daemon\] addresses, and in transport mode nothing can be negotiated for other hosts: what 10\.1\.0\.5 sends through this host is dropped where the filter decides, and about what comes for it the filter says nothing\. For a gateway write mode = "tunnel" with tunnel = \{ remote = "ADDRESS" \}; for this host alone write me instead of 10\.1\.0\.5/,
      /^6: .*10\.1\.0\.6 is none of/,
      /^6: .*10\.1\.0\.7 is none of .* other hosts: about what comes for 10\.1\.0\.7 the filter says nothing\. For/,
    ],
  ]),
  [
    "protection with discovery of a host that is not this one",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "require", ["10.1.0.5 <-> 10.2.0.5"], "discovery = true")}`,
    [/^6: .*what 10\.1\.0\.5 sends through this host leaves in clear where the filter decides, and about what comes for it/],
  ],
  ["protection of a host that may be this one", rule("a", "require", ["10.1.0.5 <-> 10.2.0.5"]), []],
  [
    "protection between link-local addresses",
    rule("a", "require", ["me <-> fe80::5", "fe80::/64 <-> 2001:db8::5", "me <-> fd00::5"]) + rule("b", "block", ["me <-> fe80::6"]),
    [/^4: .*link-local addresses can't be protected/, /^4: .*link-local addresses can't be protected/],
  ],
  [
    "everything required, SSH included",
    rule("a", "require", ["me <-> any"]),
    [/^4: .*lets SSH to this host in only from peers that negotiate/],
  ],
  ["everything blocked, SSH included", rule("a", "block", ["any -> me"]), [/^4: .*blocks SSH to this host from everywhere/]],
  [
    "everything required, with a way in for SSH",
    rule("a", "require", ["me <-> any"]) + rule("ssh", "permit", ["me:22 <-> 192.0.2.0/24 tcp"]),
    [],
  ],
  [
    "everything required, with clear text accepted: answers need a peer that negotiates",
    rule("a", "require", ["me <-> any"], "inbound-clear = true"),
    [/^4: .*in only from peers that negotiate/],
  ],
  ["everything blocked for an address that is written out", rule("a", "block", ["192.0.2.1 <-> any"]), [/^4: .*blocks SSH/]],
  [
    "everything blocked for one of two addresses",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.3"]\n${rule("a", "block", ["192.0.2.1 <-> any"])}`,
    [],
  ],
  [
    "everything of this host through a tunnel whose own end the rule names",
    rule("a", "require", ["me <-> any"], TUNNEL),
    [/^4: .*lets SSH to this host in only from peers that negotiate/],
  ],
  [
    "everything of this host through a tunnel, with a way in for SSH",
    rule("a", "require", ["me <-> any"], TUNNEL) + rule("ssh", "permit", ["me:22 <-> 192.0.2.0/24 tcp"]),
    [],
  ],
  ["everything of networks behind this host through a tunnel", rule("a", "require", ["10.1.0.0/16 <-> any"], TUNNEL), []],
  [
    "everything through one of two tunnels from different own ends",
    rule("a", "require", ["me <-> any"], TUNNEL) + rule("b", "require", ["me <-> 10.2.0.0/16"], TUNNEL.replace("100.1", "100.2")),
    [],
  ],
  [
    "everything of this host through a tunnel, beside a permit of another host that passes through",
    rule("a", "require", ["me <-> any"], TUNNEL) + rule("b", "permit", ["10.1.0.5 <-> 10.2.0.0/16"]),
    [/^4: .*lets SSH to this host in only from peers that negotiate/],
  ],
  ["everything of this host through a manual SA", manual("me <-> any"), [/manual SA "m" lets SSH to this host in only from its own peer/]],
  [
    "everything of an own end that is written out, through a manual SA",
    manual("198.51.100.1 <-> any"),
    [/manual SA "m" lets SSH to this host in only from its own peer/],
  ],
  ["everything through a manual SA, with a way in for SSH", manual("me <-> any") + rule("ssh", "permit", ["me:22 <-> any tcp"]), []],
  ["networks behind this host through a manual SA", manual("10.1.0.0/16 <-> 10.2.0.0/16"), []],
  [
    "everything blocked in two halves",
    rule("a", "block", ["me <-> 0.0.0.0/1", "me <-> 128.0.0.0/1"]),
    [/^4: .*this and 1 more filter block SSH to this host over IPv4 from most addresses; keep/],
  ],
  [
    "one half of all addresses blocked, and the other one let in",
    rule("a", "block", ["me <-> 0.0.0.0/1"]) + rule("b", "permit", ["me <-> 128.0.0.0/1"]),
    [/^4: .*this blocks SSH to this host over IPv4 from 0\.0\.0\.0\/1; keep another way in/],
  ],
  [
    "one half of all addresses required",
    rule("a", "require", ["me <-> 128.0.0.0/1"]),
    [/^4: .*this lets SSH to this host over IPv4 in only from peers that negotiate among 128\.0\.0\.0\/1; keep/],
  ],
  [
    "everything blocked, with a way in for a name, of whatever address",
    rule("a", "block", ["me <-> any"]) + rule("ssh", "permit", ["me:22 <-> admin.example.test tcp"]),
    [],
  ],
  [
    "everything blocked, with a name that is about something else, or blocked",
    rule("a", "block", ["me <-> any"]) +
      rule("b", "permit", ["me:25 <-> mail.example.test tcp"]) +
      rule("c", "block", ["me <-> bad.example.test"]),
    [/^4: .*this blocks SSH to this host from everywhere/],
  ],
  [
    "everything blocked in quarters",
    rule(
      "a",
      "block",
      ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"].map((net) => `me <-> ${net}`),
    ),
    [/^4: .*this and 3 more filters block SSH to this host over IPv4 from most addresses; keep another way in/],
  ],
  [
    "all addresses but the first and the last required, as a range",
    rule("a", "require", ["me <-> 0.0.0.1-255.255.255.254"]),
    [/^4: .*this lets SSH to this host over IPv4 in only from peers that negotiate among 0\.0\.0\.1-255\.255\.255\.254; keep/],
  ],
  [
    "three quarters of all addresses, one of them as they leave",
    rule("a", "block", ["me <-> 0.0.0.0/2"]) + rule("b", "require", ["me <-> 64.0.0.0/2"]) + rule("c", "block", ["me -> 128.0.0.0/2"]),
    [/^4: .*this and 2 more filters block SSH to this host over IPv4 from most addresses/],
  ],
  [
    "a quarter of all addresses and a part of it",
    rule("a", "block", ["me <-> 0.0.0.0/2", "me:22 <-> 0.0.0.0/3 tcp", "me <-> 64.0.0.0/3"]),
    [],
  ],
  [
    "everything blocked in quarters, with a way in for SSH",
    rule(
      "a",
      "block",
      ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"].map((net) => `me <-> ${net}`),
    ) + rule("ssh", "permit", ["me:22 <-> 192.0.2.0/24 tcp"]),
    [],
  ],
  [
    "everything blocked in quarters on one of two addresses, and in one piece on the other",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.3"]\n${rule(
      "a",
      "block",
      ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"].map((net) => `192.0.2.1 <-> ${net}`),
    )}${rule("b", "block", ["192.0.2.3 <-> any"])}`,
    [/^6: .*this and 3 more filters block SSH/],
  ],
  [
    "half of all addresses of IPv6 in halves of it",
    rule("a", "block", ["me <-> 2000::/4", "me <-> 3000::/4", "me <-> ::/3", "me <-> 4000::/2"]),
    [/^4: .*this and 3 more filters block SSH/],
  ],
  [
    "everything required, where multicast is exempt",
    `[policy]\nexempt = ["multicast", "broadcast"]\n${rule("a", "require", ["me <-> any"])}`,
    [/^6: .*lets SSH to this host in only from peers that negotiate/],
  ],
  [
    "what leaves is required to be protected, where multicast is exempt",
    `[policy]\nexempt = ["multicast", "broadcast"]\n${rule("a", "require", ["me -> any"])}`,
    [/^6: .*lets SSH to this host in only from peers that negotiate/],
  ],
  ["what leaves is blocked, answers to SSH included", rule("a", "block", ["me -> any"]), [/^4: .*blocks SSH/]],
  [
    "a permit that is weaker than the block",
    rule("a", "block", ["me:22 <-> any tcp"]) + rule("b", "permit", ["me <-> any"]),
    [/^4: .*blocks SSH/],
  ],
  [
    "a permit for the other direction",
    rule("a", "block", ["me <-> any"]) + rule("b", "permit", ["me -> any:22 tcp"]),
    [/^4: .*blocks SSH/],
  ],
  [
    "a permit for the other family",
    rule("a", "block", ["me <-> 0.0.0.0/0"]) + rule("b", "permit", ["me:22 <-> 2001:db8::/32 tcp"]),
    [/^4: .*blocks SSH/],
  ],
  [
    "a permit for a family that the host has link-local addresses of alone",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "block", ["me <-> any"])}${rule("b", "permit", ["me:22 <-> 2001:db8::/32 tcp"])}`,
    [
      /^6: .*this blocks SSH to this host from everywhere; keep another way in, or add a permit rule such as "me:22 <-> 192\.0\.2\.0\/24 tcp"$/,
      /^12: .*no address of \[daemon\] addresses is in it, and nobody in 2001:db8::\/32 is spoken with from a link-local one; the filter decides next to nothing$/,
    ],
  ],
  [
    "the same of a permit and a block that name no own side",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "block", ["any <-> any"])}${rule("b", "permit", ["any:22 <-> 2001:db8::/32 tcp"])}`,
    [/^6: .*this blocks SSH to this host from everywhere/],
  ],
  [
    "a permit for another host alone, within a block of everything",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.9"]\n${rule("a", "block", ["any <-> any"])}${rule("b", "permit", ["192.0.2.5:22 <-> any tcp"])}`,
    [/^6: .*this blocks SSH to this host from everywhere/],
  ],
  ...["192.0.2.8/29:22 <-> any tcp", "www.example.test:22 <-> 10.0.0.0/8 tcp"].map((filter): (typeof ROWS)[number] => [
    `a permit for ${filter}, which this host is in or may be, within a block of everything`,
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.9"]\n${rule("a", "block", ["any <-> any"])}${rule("b", "permit", [filter])}`,
    [],
  ]),
  ...["me:22 <-> fe80::/10 tcp", "me:22 <-> fe80::5 tcp", "me:22 <-> ::/0 tcp"].map((filter): (typeof ROWS)[number] => [
    `a permit for neighbours by their link-local addresses: ${filter}`,
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "block", ["me <-> any"])}${rule("b", "permit", [filter])}`,
    [],
  ]),
  [
    "a permit for IPv4 on a host that has IPv6 alone",
    `[daemon]\naddresses = ["2001:db8::1"]\n${rule("a", "block", ["me <-> any"])}${rule("b", "permit", ["me:22 <-> 192.0.2.0/24 tcp"])}`,
    [/^6: .*this blocks SSH to this host from everywhere/, /^12: .*no address of \[daemon\] addresses is in it; the filter never decides/],
  ],
  [
    "everything of IPv6 blocked",
    rule("a", "block", ["me <-> ::/0"]),
    [
      /^4: .*this blocks SSH to this host over IPv6 from everywhere; keep another way in, or add a permit rule such as "me:22 <-> 2001:db8::\/32 tcp"$/,
    ],
  ],
  [
    "everything of each family, by a filter for each",
    rule("a", "block", ["me <-> 0.0.0.0/0", "me <-> ::/0"]),
    [/^4: .*this blocks SSH to this host over IPv4 from everywhere/, /^4: .*this blocks SSH to this host over IPv6 from everywhere/],
  ],
  [
    "everything of IPv6 on a host that has nothing else",
    `[daemon]\naddresses = ["2001:db8::1"]\n${rule("a", "require", ["me <-> ::/0"])}`,
    [/^6: .*this lets SSH to this host in only from peers that negotiate/],
  ],
  [
    "bits beyond a prefix",
    rule("a", "block", ["me <-> 10.0.0.5/8", "me <-> [2001:db8::5/32]:80 tcp", "10.1.2.3/16:80 <-> 10.2.0.0/16 udp"]),
    [
      /^4: .*filters: 10\.0\.0\.5\/8 stands for 10\.0\.0\.0\/8, since the address has bits beyond the prefix; write that, or the host without a prefix/,
      /^4: .*filters: 2001:db8::5\/32 stands for 2001:db8::\/32/,
      /^4: .*fragments/,
      /^4: .*filters: 10\.1\.2\.3\/16 stands for 10\.1\.0\.0\/16/,
    ],
  ],
  ["bits beyond a prefix of a manual SA", manual("me <-> 10.9.0.7/24"), [/\[sa\].*10\.9\.0\.7\/24 stands for 10\.9\.0\.0\/24/]],
  [
    "networks, hosts and ranges without such bits",
    rule("a", "block", ["10.1.2.3/32 <-> 10.2.0.0/16", "me <-> 10.3.0.5-10.3.0.9", "me <-> 2001:db8::5/128"]),
    [],
  ],
  [
    "a port that is taken for the end of an address",
    rule("a", "require", ["me <-> 2001:db8::1:445 tcp", "2001:db8::2:53->me udp"]),
    [
      /^4: .*filters: 2001:db8::1:445 is the host 2001:db8::1:445; for port 445 write \[2001:db8::1\]:445/,
      /^4: .*filters: 2001:db8::2:53 is the host 2001:db8::2:53; for port 53 write \[2001:db8::2\]:53/,
    ],
  ],
  [
    "hosts of which the last group is a number",
    rule("a", "require", [
      ...["me <-> 2001:db8::445 tcp", "me <-> 2001:db8::1:445", "me <-> 2001:db8::1:446 tcp", "me <-> [2001:db8::2:445] tcp"],
      ...[
        "me:445 <-> 2001:db8::3:445 tcp",
        "me <-> 2001:db8::4:445 icmpv6",
        "me <-> 2001:db8::5:44f tcp",
        "me <-> 2001:db8:1:2:3:4:5:445 tcp",
      ],
    ]),
    [],
  ],
  [
    "networks behind this host without a tunnel",
    rule("a", "require", ["10.1.0.0/16 <-> 10.2.0.0/16"]),
    [
      /^4: .*filters: in transport mode it is about packets of this host itself, from and to its own addresses in 10\.1\.0\.0\/16; what others there send through this host to 10\.2\.0\.0\/16 is not protected. For a gateway write mode = "tunnel" with tunnel = \{ remote = "ADDRESS" \}; for this host alone write me instead/,
    ],
  ],
  [
    "networks of a host whose addresses are known",
    `[daemon]\naddresses = ["10.7.0.1", "198.51.100.1"]\n${rule("a", "request", ["10.7.0.0/16 <-> 10.2.0.0/16"])}`,
    [],
  ],
  [
    "networks through a tunnel, within one network, let through, and of one host",
    rule("a", "require", ["10.1.0.0/16 <-> 10.2.0.0/16"], TUNNEL) +
      rule("b", "require", ["10.3.0.0/16 <-> 10.0.0.0/8", "10.4.0.1 <-> 10.5.0.0/16", "10.4.0.0/16 <-> 10.6.0.1"]) +
      rule("c", "permit", ["10.8.0.0/16 <-> 10.9.0.0/16"]),
    [],
  ],
  [
    "any to a network without a tunnel",
    rule("a", "require", ["any <-> 10.2.0.0/16", "any <-> 10.3.0.1", "me <-> 10.4.0.0/16"]) + rule("b", "block", ["any <-> 10.5.0.0/16"]),
    [
      /^4: .*filters: in transport mode it is about packets of this host itself; what others send through this host to 10\.2\.0\.0\/16 is not protected\. For a gateway write .*; for this host alone write me instead of any$/,
    ],
  ],
  [
    "addresses of IPv4 as programs for IPv6 write them",
    rule("a", "block", ["me <-> ::ffff:10.0.0.1", "me <-> ::ffff:10.1.0.0/112", "me <-> ::fffe:a00:1"]),
    [
      /^4: .*::ffff:10\.0\.0\.1 is how programs for IPv6 write the IPv4 address 10\.0\.0\.1; packets have that one: write 10\.0\.0\.1 if it is meant$/,
      /^4: .*write 10\.1\.0\.0\/16 if it is meant$/,
    ],
  ],
  ["all of them, which should never be on the wire", rule("a", "block", ["me <- ::ffff:0:0/96", "me <- 2001:db8::/32"]), []],
  [
    "both sets of exemptions",
    `[policy]\nexempt = ["strict", "windows"]\n${rule("a", "permit", ["me <-> 10.0.0.1"])}`,
    [/^2: \[policy\] exempt: strict adds nothing, so that what windows names passes in clear; remove one of the two$/],
  ],
  ["the strict set alone", `[policy]\nexempt = ["strict"]\n${rule("a", "permit", ["me <-> 10.0.0.1"])}`, []],
  [
    "multicast and broadcast that are exempt, mirrored",
    `[policy]\nexempt = ["multicast", "broadcast"]\n${rule("a", "block", ["me <-> 224.0.0.1/32", "me <-> 255.255.255.255", "any <-> ff02::fb", "me <-> 10.0.0.1"])}`,
    [
      /^6: .*the exemption multicast is about all of it and more specific; the filter never decides$/,
      /^6: .*the exemption broadcast is about all of it and more specific; the filter never decides$/,
      /^6: .*the exemption multicast is about all packets of this host in it; the filter decides only about what passes through$/,
    ],
  ],
  [
    "what comes from multicast addresses",
    rule("a", "block", ["me <- 224.0.0.1", "me -> 224.0.0.2"]),
    [/^4: .*no packet comes from multicast or broadcast; the filter never decides$/],
  ],
  ["SSH in one family is a way in", rule("a", "block", ["me <-> any"]) + rule("b", "permit", ["me:22 <-> 192.0.2.0/24 tcp"]), []],
  [
    "what exemptions are about as a whole",
    `[policy]\nexempt = ["icmp", "dns"]\n${rule("a", "block", ["me <-> any icmp"])}${rule("b", "require", ["me -> any:53 udp"])}`,
    [/^6: .*the exemption icmp is about all of it and more specific; the filter never decides/, /^12: .*the exemption dns is about/],
  ],
  [
    "what an exemption is about, packet for packet",
    `[policy]\nexempt = ["icmp"]\n${rule("a", "block", ["192.0.2.1 <-> any icmp", "any <-> any icmp"])}`,
    [
      /^6: .*the exemption icmp is about all packets of this host/,
      /^6: .*the exemption icmp is about all packets of this host in it; the filter decides only about what passes/,
    ],
  ],
  [
    "what an exemption is about, where only this host is meant",
    `[policy]\nexempt = ["multicast"]\n${rule("a", "block", ["any -> ff00::/8"])}`,
    [/^6: .*the exemption multicast is about all packets of this host/],
  ],
  [
    "a filter whose two halves are another rule's",
    rule("a", "block", ["me <-> 10.0.0.0/24"]) + rule("b", "permit", ["me <-> 10.0.0.0/25", "me <-> 10.0.0.128/25"]),
    [/^4: .*rule "b" is about all of it and more specific; the filter never decides/],
  ],
  [
    "a filter of which a host is left",
    rule("a", "block", ["me <-> 10.0.0.0/24"]) + rule("b", "permit", ["me <-> 10.0.0.0-10.0.0.254"]),
    [],
  ],
  [
    "a filter of which only TCP is another rule's",
    rule("a", "block", ["me <-> 10.0.0.0/24"]) + rule("b", "permit", ["me <-> 10.0.0.0/24 tcp"]),
    [],
  ],
  [
    "multicast to be protected",
    rule("a", "require", ["me <-> 224.0.0.0/4"]),
    [/^4: .*can't be protected: a rule can only permit or block/],
  ],
  ["multicast blocked", rule("a", "block", ["me <-> 224.0.0.0/4", "me <-> ff02::fb"]), []],
  [
    "ranges that come to more kernel policies than are judged",
    rule("a", "block", ["1::1-1fff:ffff:ffff:ffff:ffff:ffff:ffff:fffe <-> 2::1-2fff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"]),
    [
      /rule "a": all filters come to more than 50000 kernel policies, those of this one to \d+, the most; which of them never decide, and whether SSH is shut, is not looked for then/,
    ],
  ],
  [
    "a tunnel for a port of two networks, whose fragments have no ports",
    rule("a", "require", ["10.1.0.0/16 <-> 10.2.0.0/16:9999 udp"], TUNNEL),
    [
      /^4: rule "a": filters: of packets that this host forwards, fragments have no ports .*write it without ports \("10\.1\.0\.0\/16 <-> 10\.2\.0\.0\/16 udp"\)/,
    ],
  ],
  [
    "a block of a port of two networks of IPv6: nothing is said of a block of everything",
    rule("a", "block", ["[fd01::/16]:53 -> [fd02::/16]:99 udp"]),
    [/they pass by this filter, in clear where no other one stops them; let the kernel join/],
  ],
  [
    "a port of a tunnel between two networks of IPv6",
    rule("a", "require", ["[fd01::/16]:53 <-> [fd02::/16]:99 udp"], TUNNEL),
    [/write it without ports \("\[?fd01::\/16\]? <-> \[?fd02::\/16\]? udp"\), or let the kernel join/],
  ],
  [
    "a block of a port of everybody",
    rule("a", "block", ["any:80<->10.0.0.0/8 tcp"]),
    [/where no other one stops them; let the kernel join/],
  ],
  [
    "a port of two networks, whose fragments another rule stops",
    rule("a", "require", ["10.1.0.0/16 <-> 10.2.0.0/16:9999 udp"], TUNNEL) + rule("b", "block", ["10.2.0.0/16 <-> 10.0.0.0/8 udp"]),
    [],
  ],
  [
    "a port of two networks, whose fragments another rule stops one way only",
    rule("a", "block", ["10.1.0.0/16 <-> 10.2.0.0/16:9999 udp"]) + rule("b", "block", ["10.2.0.0/16 -> 10.0.0.0/8 udp"]),
    [/fragments have no ports/],
  ],
  [
    "ports of this host's own packets, which are cut late and joined early",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "block", ["me <-> 10.2.0.0/16:9999 udp", "192.0.2.1:99 <-> 10.5.0.0/16 udp"])}${rule("b", "require", ["me <-> 10.3.0.0/16:9 udp"])}${rule("c", "require", ["me <-> 10.4.0.0/16:9 udp"], TUNNEL)}`,
    [],
  ],
  ["a permit for a port of two networks", rule("a", "permit", ["10.1.0.0/16 <-> 10.2.0.0/16:9999 udp"]), []],
  ["loopback", rule("a", "block", ["me <-> 127.0.0.1"]), [/^4: .*never looked at; the filter never decides/]],
  [
    "a network of ours in which no address of ours is",
    `[daemon]\naddresses = ["192.0.2.1"]\n${rule("a", "require", ["10.1.0.0/16 <-> 10.2.0.0/16"])}`,
    [/^6: .*no address of \[daemon\] addresses is in it/],
  ],
  [
    "our own address written out, and me, under two actions",
    rule("a", "permit", ["192.0.2.1 <-> 10.0.0.1"]) + rule("b", "block", ["me <-> 10.0.0.1"]),
    [/^10: .*the same traffic as "192.0.2.1 <-> 10.0.0.1" of rule "a" \(permit\); block comes before permit/],
  ],
  ["me and any are different things to a permit", rule("a", "permit", ["any <-> 10.0.0.1"]) + rule("b", "block", ["me <-> 10.0.0.1"]), []],
  [
    "two local sides that meet, crossed by a port",
    rule("a", "permit", ["192.0.2.1:80 <-> any tcp"]) + rule("b", "block", ["me <-> 10.0.0.0/8 tcp"]),
    [/^10: .*shares packets/],
  ],
  ["everything requested", rule("a", "request", ["me <-> any"]), []],
  [
    "offers with AH alone",
    rule("a", "require", ["me <-> 192.0.2.2"], 'quick-mode = { proposals = ["ah:sha256"] }'),
    [/^6: .*every offer has AH, which no address translation survives/],
  ],
  [
    "AH with ESP to fall to",
    rule("a", "require", ["me <-> 192.0.2.2"], 'quick-mode = { proposals = ["ah:sha256", "esp:aes128-sha256"] }'),
    [],
  ],
  [
    "filters that cross with different actions",
    rule("a", "permit", ["me:80 <-> any tcp"]) + rule("b", "block", ["me <-> 192.0.2.0/24 tcp"]),
    [/^10: .*shares packets with "me:80 <-> any tcp" of rule "a" \(permit\), and neither is within the other/],
  ],
  [
    "ranges that cross with different actions",
    rule("a", "permit", ["me <-> 10.0.0.1-10.0.0.6"]) + rule("b", "block", ["me <-> 10.0.0.4-10.0.0.9"]),
    [/^10: .*shares packets/],
  ],
  [
    "ranges that cross with one action",
    rule("a", "block", ["me <-> 10.0.0.1-10.0.0.6"]) + rule("b", "block", ["me <-> 10.0.0.4-10.0.0.9"]),
    [],
  ],
  [
    "a tunnel for one direction",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL),
    [/^4: .*for one direction only, and no rule through it is about the other/],
  ],
  [
    "a tunnel as two rules, one for each direction",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL) + rule("b", "require", ["10.1.0.0/16 <- 10.2.0.0/16"], TUNNEL),
    [],
  ],
  [
    "two directions of a tunnel that want different things",
    rule("a", "require", ["10.1.0.0/16 -> 10.2.0.0/16"], TUNNEL) +
      rule("b", "require", ["10.1.0.0/16 <- 10.2.0.0/16"], `${TUNNEL}\nquick-mode = { lifetime = "9m" }`),
    [/^11: .*rule "a" is the other direction of this tunnel, and has other offers or lifetimes/],
  ],
  ["a filter within another", rule("a", "permit", ["me <-> 10.0.0.0/8"]) + rule("b", "block", ["me <-> 10.1.0.0/16:80 tcp"]), []],
  ["filters of two families", rule("a", "permit", ["me <-> 10.0.0.0/8"]) + rule("b", "block", ["me:80 <-> 2001:db8::/32 tcp"]), []],
];
for (const [what, text, expected] of ROWS)
  test(`${what}: ${expected.length === 0 ? "no warning" : "a warning"}`, () => {
    // What routers can't say has a file of its own: path-mtu.test.ts.
    const found = warningsOf(text).filter((warning) => !warning.includes("path MTU"));
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern);
  });

test("what is refused is told by itself, without warnings about what it may mean", () => {
  const parsed = parseConfiguration(`${rule("a", "require", ["me <-> any"])}frob = 1\n`, "F", () => ({ ok: false, error: "none" }));
  assert.ok(!parsed.ok);
  assert.equal(parsed.error.length, 1);
});

const sa = (keys: readonly [string, string], more = ""): string =>
  `[[sa]]\nname = "m"\nlocal = "192.0.2.1"\nremote = "192.0.2.2"\nspi-in = 4097\nspi-out = 4098\nkey-in = "0x${keys[0]}"\nkey-out = "0x${keys[1]}"\n${more}\n`;
const TWO = ["11".repeat(36), "22".repeat(36)] as const;
const FILTERS = 'filters = ["me <-> 192.0.2.2"]';
const SHA1 = 'protection = "esp:aes128-sha1"';

for (const [what, text, expected] of [
  ["manual SAs alone", sa(TWO, `${FILTERS}\n${SHA1}`), []],
  [
    "for what a rule is about",
    rule("a", "block", ["me <-> 192.0.2.2"]) + sa(TWO, `${FILTERS}\n${SHA1}`),
    [/rule "a" \(block\) is about the same traffic/],
  ],
  ["for what a respond rule is about", rule("a", "respond", ["me <-> 192.0.2.2"]) + sa(TWO, `${FILTERS}\n${SHA1}`), []],
  [
    "with weak algorithms",
    sa(["11".repeat(24), "22".repeat(24)], `${FILTERS}\nprotection = "esp:des-md5"`),
    [/des is weak and refused/, /md5 is weak and refused/],
  ],
  [
    "with weak algorithms that are allowed",
    `[policy]\nallow-weak = true\n${sa(["11".repeat(24), "22".repeat(24)], `${FILTERS}\nprotection = "esp:des-md5"`)}`,
    [/des is weak, and allowed/, /md5 is weak, and allowed/],
  ],
  ["with one key for both directions", sa([TWO[0], TWO[0]], `${FILTERS}\n${SHA1}`), [/both directions have the same key/]],
  [
    "with one key for both directions and GCM",
    sa(["11".repeat(20), "11".repeat(20)], `${FILTERS}\nprotection = "esp:aes128gcm16"`),
    [/both directions have the same key, which breaks aes128gcm16/],
  ],
] as const)
  test(`manual SAs ${what}: ${expected.length} findings`, () => {
    const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
    const found = parsed.ok ? parsed.value.warnings : parsed.error;
    if (parsed.ok) destroyPolicy(parsed.value.policy);
    assert.equal(found.length, expected.length, found.map(({ message }) => message).join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i]?.message ?? "", pattern);
  });

for (const [key, line] of [
  ["remote-ca", 'remote-ca = ["dn:CN=A"]'],
  ["remote-ids", 'remote-ids = ["principal:host/a@EXAMPLE.TEST"]'],
])
  test(`${key} that no method of the rule can prove is an error`, () => {
    const parsed = parseConfiguration(rule("a", "require", ["me <-> 192.0.2.2"], line), "F", () => ({ ok: false, error: "none" }));
    assert.ok(!parsed.ok);
    assert.deepEqual(
      parsed.error.map(({ line }) => line),
      [6],
    );
  });

/** Whether check says that the way to the KDC is shut. */
function saysKerberos(text: string): boolean {
  const none = (): { readonly ok: false; readonly error: string } => ({ ok: false, error: "there is no such file" });
  const parsed = parseConfiguration(`[policy]\nexempt = []\n${text}`, "F", none, false, undefined, none);
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(({ message }) => message).join("\n"));
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings.some(({ message }) => message.includes("a ticket would need the SA that needs the ticket"));
}
const kerberos = (filters: string, action = "require"): string =>
  `[[rule]]\nname = "k"\naction = "${action}"\nfilters = ["${filters}"]\nauth = [{ method = "kerberos", keytab = "/none.keytab", principal = "host/a.example.test@EXAMPLE.TEST" }]\n`;
for (const [what, text, expected] of [
  ["a rule for a subnet", kerberos("me <-> 192.0.2.0/24"), true],
  ["a rule for TCP of a subnet", kerberos("me <-> 192.0.2.0/24 tcp"), true],
  ["a rule for a port of a subnet", kerberos("me <-> 192.0.2.0/24:445 tcp"), false],
  ["a rule for one host", kerberos("me <-> 192.0.2.2"), false],
  ["a rule for one host, everything else blocked", kerberos("me <-> 192.0.2.2") + rule("b", "block", ["me <-> any"]), true],
  ["a rule for one host, everything that comes blocked", kerberos("me <-> 192.0.2.2") + rule("b", "block", ["any -> me"]), true],
  [
    "a rule that only answers, under one that requires",
    kerberos("me <-> 192.0.2.2", "respond") + rule("b", "require", ["me <-> 10.0.0.0/8"]),
    true,
  ],
  ["a permit for the servers", kerberos("me <-> 192.0.2.0/24") + rule("p", "permit", ["me <-> 192.0.2.10"]), false],
  ["a permit for their port", kerberos("me <-> any") + rule("p", "permit", ["me <-> 192.0.2.10:88 tcp"]), false],
  [
    "a permit for the port of a name",
    kerberos("me <-> any") + rule("p", "permit", ["me <-> kdc.example.test:88 tcp", "me <-> kdc.example.test:88 udp"]),
    false,
  ],
  ["a permit for another port of a name", kerberos("me <-> any") + rule("p", "permit", ["me <-> kdc.example.test:389 tcp"]), true],
  ["a permit for hosts elsewhere", kerberos("me <-> 192.0.2.0/24") + rule("p", "permit", ["me <-> 10.0.0.1"]), true],
] as const)
  test(`Kerberos without exemption, ${what}: ${expected ? "a warning" : "none"}`, () => assert.equal(saysKerberos(text), expected));
