/** What `check` says of manual SAs beside rules, and beside each other: their filters count like those of a `require` rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";

const AUTH = 'auth = [{ method = "psk", secret = "k" }]';
const rule = (name: string, action: string, filter: string, more = ""): string =>
  `[[rule]]\nname = "${name}"\naction = "${action}"\nfilters = ["${filter}"]\n${action === "permit" || action === "block" ? "" : AUTH}\n${more}\n`;
const TUNNEL = 'mode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "192.0.2.9" }';

/** A manual SA between 192.0.2.1 and 192.0.2.2; SPIs of its own for each number. */
const sa = (name: string, mode: string, filter: string, number = 1, remote = "192.0.2.2", local = "192.0.2.1"): string =>
  `[[sa]]\nname = "${name}"\nlocal = "${local}"\nremote = "${remote}"\nmode = "${mode}"\nprotection = "esp:aes128-sha1"\nspi-in = 0x${number}01\nspi-out = 0x${number}02
key-in = "0x${"ab".repeat(36)}"\nkey-out = "0x${"cd".repeat(36)}"\nfilters = ["${filter}"]\n`;

type Row = readonly [what: string, text: string, expected: readonly RegExp[]];

/** Findings as `error: …` and `warning: …`. */
function findingsOf(text: string): readonly string[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  if (parsed.ok) destroyPolicy(parsed.value.policy);
  return (parsed.ok ? parsed.value.warnings : parsed.error).map(({ severity, line, message }) => `${severity} ${line}: ${message}`);
}

const remoteOf = (filter: string): string => (filter.endsWith("192.0.2.9") ? "192.0.2.9" : "192.0.2.2");
const NETS = "10.1.0.0/16 <-> 10.2.0.0/16";
const [SAME, NEVER] = [
  /^error .*is about the same traffic, .* and decides: this would never be used; remove one$/,
  /the filter never decides$/,
];

/** A respond rule in transport mode takes the traffic of a tunnel. */
const decidesInClear = (name: string, filter: string, whose: string, line: number): RegExp =>
  new RegExp(
    `^warning ${line}: .*filters: rule "${name}" \\(respond\\) is about the same traffic${whose}, "${filter}", and decides, .* passes in clear until the peer asks`,
  );

const ROWS: readonly Row[] = [
  // The ends and the filter.
  ["in transport mode for its own peer", sa("s", "transport", "me <-> 192.0.2.2"), []],
  ["in transport mode for a network that its peer is in", sa("s", "transport", "me <-> 192.0.2.0/28"), []],
  ["in transport mode for whatever is its peer's", sa("s", "transport", "me <-> any:80 tcp"), []],
  ["in transport mode for a name, which may be its peer's", sa("s", "transport", "me <-> server.example.test"), []],
  ...["me <-> 192.0.2.3", "me <-> 10.2.0.0/16", "me <-> 192.0.2.64/26", "me <-> 2001:db8::/32"].map(
    (filter): Row => [
      `in transport mode for others than its peer (${filter})`,
      sa("s", "transport", filter),
      [
        /^error 11: \[sa\] filters: the SA's remote end, 192\.0\.2\.2, is not among the addresses of the other side; .*name 192\.0\.2\.2 there/,
      ],
    ],
  ),
  ["in transport mode for a name of its own, which may be its own end", sa("s", "transport", "server.example.test <-> 192.0.2.2"), []],
  ["in transport mode for a network that its own end is in", sa("s", "transport", "192.0.2.0/29 <-> 192.0.2.2"), []],
  ...["192.0.2.7 <-> 192.0.2.2", "10.1.0.0/16 <-> 192.0.2.2", "2001:db8::1 <-> any"].map(
    (filter): Row => [
      `in transport mode for others than its own end (${filter})`,
      sa("s", "transport", filter),
      [
        /^error 11: \[sa\] filters: the SA's own end, 192\.0\.2\.1, is not among the addresses of the local side; .*name 192\.0\.2\.1 there/,
      ],
    ],
  ),
  ["of no mode that there is, for others than its peer", sa("s", "tunel", NETS), [/^error 5: \[sa\] mode: .*/]],
  // This host's other addresses, for which there is no SA.
  ...["me", "any", "192.0.2.0/29"].map(
    (local): Row => [
      `in transport mode for more of this host's addresses than its own end (${local})`,
      `[daemon]\naddresses = ["192.0.2.1", "192.0.2.4", "192.0.2.3", "2001:db8::1"]\n${sa("s", "transport", `${local} <-> 192.0.2.2`)}`,
      [
        /^warning 13: \[sa\] filters: packets of 192\.0\.2\.4, 192\.0\.2\.3 are dropped: in transport mode the SA protects packets of 192\.0\.2\.1 alone; write that as/,
      ],
    ],
  ),
  [
    "in transport mode for me, where a rule is about the other address",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.4"]\n${sa("s", "transport", "me <-> 192.0.2.2")}${rule("p", "permit", "192.0.2.4 <-> 192.0.2.2")}`,
    [
      /^warning 13: \[sa\] filters: for the addresses of this host that both mean it is about the same traffic as "192\.0\.2\.4 <-> 192\.0\.2\.2" of/,
    ],
  ],
  [
    "in transport mode for me, and another of another own end to another peer",
    sa("s", "transport", "me <-> 192.0.2.2") + sa("t", "transport", "192.0.2.7 <-> 192.0.2.9", 2, "192.0.2.9", "192.0.2.7"),
    [/^warning 11: \[sa\] filters: packets of 192\.0\.2\.7 are dropped/],
  ],
  [
    "in tunnel mode for me, with more addresses",
    `[daemon]\naddresses = ["192.0.2.1", "192.0.2.4"]\n${sa("s", "tunnel", "me <-> 10.2.0.0/16")}`,
    [],
  ],
  ["in tunnel mode for others than its peer", sa("s", "tunnel", "me <-> 10.2.0.0/16"), []],
  [
    "in tunnel mode for another family than that of its own end",
    sa("s", "tunnel", "me <-> 2001:db8::/32"),
    [/^error 11: \[sa\] filters: me is 192\.0\.2\.1 here, the tunnel's local end, and the other side is IPv6; name the addresses/],
  ],
  ["in tunnel mode for the other family than that of its ends", sa("s", "tunnel", "2001:db8:1::/48 <-> 2001:db8:2::/48"), []],
  ["in tunnel mode for both families", sa("s", "tunnel", `${NETS}", "2001:db8:1::/48 <-> 2001:db8:2::/48`), []],
  // Beside a rule for the same.
  [
    "and a permit that names the other side first",
    sa("s", "tunnel", NETS) + rule("p", "permit", "10.2.0.0/16 <-> 10.1.0.0/16"),
    [/^error 11: \[sa\] filters: rule "p" \(permit\) has a filter for the same forwarded packets, "10\.2\.0\.0\/16 <-> 10\.1\.0\.0\/16"/],
  ],
  [
    "and a block that names the other side first, of one way",
    sa("s", "tunnel", NETS) + rule("b", "block", "10.2.0.0/16 -> 10.1.0.0/16"),
    [/^error 11: \[sa\] filters: rule "b" \(block\) has a filter for the same forwarded packets/],
  ],
  [
    "and a permit with the sides exchanged that crosses it",
    sa("s", "tunnel", "10.1.0.0/24 <-> 10.2.0.0/16") + rule("p", "permit", "10.2.0.0/24 <-> 10.1.0.0/16"),
    [
      /^warning 11: \[sa\] filters: it shares forwarded packets with "10\.2\.0\.0\/24 <-> 10\.1\.0\.0\/16" of rule "p" \(permit\), which has the sides/,
    ],
  ],
  ["and a tunnel rule for the way back", sa("s", "tunnel", NETS) + rule("t", "require", "10.2.0.0/16 <-> 10.1.0.0/16", TUNNEL), []],
  ["and a permit for the same networks", sa("s", "tunnel", NETS) + rule("p", "permit", NETS), [SAME]],
  ["of this host in a tunnel, and a permit", sa("s", "tunnel", "me <-> 192.0.2.2") + rule("p", "permit", "me <-> 192.0.2.2"), [SAME]],
  ["of this host in a tunnel, and a requirement", sa("s", "tunnel", "me <-> 192.0.2.2") + rule("r", "require", "me <-> 192.0.2.2"), [SAME]],
  [
    "of this host in a tunnel, and a tunnel rule",
    sa("s", "tunnel", "me <-> 10.2.0.0/16") + rule("r", "require", "me <-> 10.2.0.0/16", TUNNEL),
    [SAME],
  ],
  [
    "of its own end, and a permit for me",
    sa("s", "tunnel", "192.0.2.1 <-> 10.2.0.0/16") + rule("p", "permit", "me <-> 10.2.0.0/16"),
    [SAME],
  ],
  ["of me, and a permit for its own end", sa("s", "transport", "me <-> any") + rule("p", "permit", "192.0.2.1 <-> 192.0.2.2"), [SAME]],
  [
    "of an own network, and a block for me",
    sa("s", "transport", "192.0.2.0/24 <-> 192.0.2.2") + rule("b", "block", "me <-> 192.0.2.2"),
    [SAME],
  ],
  [
    "of IPv4 alone by its ends, and a permit of IPv6",
    sa("s", "tunnel", "me <-> any:80 tcp") + rule("p", "permit", "me <-> [::/0]:80 tcp"),
    [],
  ],
  [
    "of this host in a tunnel, and a request, which is in transport mode",
    sa("s", "tunnel", "me <-> 192.0.2.2") + rule("r", "request", "me <-> 192.0.2.2"),
    [SAME],
  ],
  [
    "in transport mode, and a request of the same",
    sa("s", "transport", "me <-> 192.0.2.2") + rule("r", "request", "me <-> 192.0.2.2"),
    [/^error 11: \[sa\] filters: rule "r" \(request\) is about the same traffic, "me <-> 192\.0\.2\.2", and gives way; remove one/],
  ],
  [
    "in transport mode of its own end, and a request for me: this host may have other addresses",
    sa("s", "transport", "192.0.2.1 <-> 192.0.2.2") + rule("r", "request", "me <-> 192.0.2.2"),
    [
      /^warning 11: .*it is about the same traffic as "me <-> 192\.0\.2\.2" of rule "r" \(request\)/,
      /^warning 15: rule "r": .*never decides$/,
    ],
  ],
  // Transport mode comes before tunnel mode; in one mode the SA decides.
  ...(
    [
      [NETS, NETS, " of this host's own addresses"],
      ["192.0.2.1 <-> 10.2.0.0/16", "192.0.2.1 <-> 10.2.0.0/16", ""],
      ["me <-> 10.2.0.0/16", "me <-> 10.2.0.0/16", ""],
      ["192.0.2.1 <-> 10.2.0.0/16", "me <-> 10.2.0.0/16", ""],
      ["me <-> 10.2.0.0/16", "192.0.2.1 -> 10.2.0.0/16", ""],
    ] as const
  ).map(
    ([own, filter, whose]): Row => [
      `in a tunnel ("${own}"), and a respond rule in transport mode ("${filter}")`,
      sa("s", "tunnel", own) + rule("r", "respond", filter),
      [decidesInClear("r", filter, whose, 11)],
    ],
  ),
  [
    "in a tunnel, and a respond rule in transport mode for another address of this host",
    sa("s", "tunnel", "me <-> 10.2.0.1") + rule("r", "respond", "192.0.2.7 <-> 10.2.0.1"),
    [],
  ],
  ["in transport mode, and a respond rule", sa("s", "transport", "me <-> 192.0.2.2") + rule("r", "respond", "me <-> 192.0.2.2"), []],
  ["and a respond rule", sa("s", "tunnel", NETS) + rule("r", "respond", NETS, TUNNEL), []],
  [
    "and a permit for another address of this host",
    sa("s", "tunnel", "me <-> 10.2.0.1") + rule("p", "permit", "192.0.2.7 <-> 10.2.0.1"),
    [],
  ],
  // Beside another.
  [
    "with the filter of another",
    sa("s", "tunnel", NETS) + sa("t", "tunnel", NETS, 2),
    [/^error 22: \[sa\] filters: manual SA "s" is about the same traffic/],
  ],
  [
    "with the filter of another as `me` and as the address",
    sa("s", "tunnel", "me <-> 10.2.0.1") + sa("t", "tunnel", "192.0.2.1 <-> 10.2.0.1", 2),
    [/^error 22: \[sa\] filters: manual SA "s" is about the same traffic/],
  ],
  [
    "with the SPIs of another, and other filters",
    sa("s", "tunnel", NETS) + sa("t", "tunnel", "10.9.0.0/16 <-> 10.2.0.0/16"),
    [
      /^error 18: \[sa\] spi-in: manual SA "s" has the SPI 0x101 towards 192\.0\.2\.1 already; choose another one/,
      /^error 19: \[sa\] spi-out: manual SA "s" has the SPI 0x102 towards 192\.0\.2\.2 already/,
    ],
  ],
  [
    "with the SPIs of another to another end: what comes in is for the same address",
    sa("s", "tunnel", NETS) + sa("t", "tunnel", "10.9.0.0/16 <-> 10.3.0.0/16", 1, "192.0.2.3"),
    [/^error 18: \[sa\] spi-in: manual SA "s" has the SPI 0x101/],
  ],
  ...(
    [
      ["transport", "192.0.2.1 <-> 192.0.2.2", "192.0.2.7 <-> 192.0.2.2"],
      ["transport", "192.0.2.0/30 <-> 192.0.2.9", "192.0.2.4/30 <-> 192.0.2.9"],
      ["transport", "192.0.2.1 <-> 192.0.2.2", "me <-> 192.0.2.2"],
      ["tunnel", "192.0.2.1 <-> 10.2.0.0/16", "192.0.2.7 <-> 10.2.0.0/16"],
      ["tunnel", "me <-> 10.2.0.0/16", "me <-> 10.2.0.0/16"],
      ["tunnel", "me <-> 10.2.0.0/16", "192.0.2.7 <-> 10.2.0.0/16"],
    ] as const
  ).map(
    ([mode, one, other]): Row => [
      `in ${mode} mode ("${one}") beside one of another own address ("${other}")`,
      sa("s", mode, one, 1, remoteOf(one)) + sa("t", mode, other, 2, remoteOf(other), "192.0.2.7"),
      [],
    ],
  ),
  ...["me", "192.0.2.7"].map(
    (local): Row => [
      `in transport mode of another own address (${local}) behind one for me`,
      sa("s", "transport", "me <-> 192.0.2.2") + sa("t", "transport", `${local} <-> 192.0.2.2`, 2, "192.0.2.2", "192.0.2.7"),
      [
        /^error 22: \[sa\] filters: manual SA "s" is about the same traffic, .*never be used; name there 192\.0\.2\.1, its own end, as the local side, and here 192\.0\.2\.7$/,
      ],
    ],
  ),
  ["with SPIs of their own", sa("s", "tunnel", NETS) + sa("t", "tunnel", "10.9.0.0/16 <-> 10.2.0.0/16", 2), []],
  // What is said of rules.
  [
    "that crosses a permit",
    sa("s", "tunnel", "me <-> 10.2.0.0/16") + rule("p", "permit", "me:80 <-> any tcp"),
    [/^warning 11: \[sa\] filters: it shares packets with "me:80 <-> any tcp" of rule "p" \(permit\), and neither is within the other/],
  ],
  [
    "whose peer alone a permit crosses",
    sa("s", "transport", "me <-> any") + rule("p", "permit", "me:80 <-> 192.0.2.0/24 tcp"),
    [/^warning 11: \[sa\] filters: it shares packets with "me:80 <-> 192\.0\.2\.0\/24 tcp" of rule "p"/],
  ],
  [
    "whose packets two permits take",
    `${sa("s", "tunnel", NETS)}${rule("p", "permit", "10.1.0.0/16 <-> 10.2.0.0/17")}${rule("q", "permit", "10.1.0.0/16 <-> 10.2.128.0/17")}`,
    [/^warning 11: \[sa\] filters: rule "p" and rule "q" are about all of it and more specific; the filter never decides$/],
  ],
  [
    "whose packets two permits take by their local sides",
    `${sa("s", "tunnel", NETS)}${rule("p", "permit", "10.1.0.0/17 <-> 10.2.0.0/16")}${rule("q", "permit", "10.1.128.0/17 <-> 10.2.0.0/16")}`,
    [/^warning 11: \[sa\] filters: rule "p" and rule "q" are about all of it and more specific; the filter never decides$/],
  ],
  [
    "that takes a rule's packets",
    sa("s", "tunnel", "me <-> 10.2.0.0/17") + sa("t", "tunnel", "me <-> 10.2.128.0/17", 2) + rule("b", "block", "me <-> 10.2.0.0/16"),
    [/^warning 26: rule "b": filters: manual SA "s" and manual SA "t" are about all of it and more specific; the filter never decides$/],
  ],
  [
    "in transport mode for another host than this one",
    `[daemon]\naddresses = ["192.0.2.7"]\n${sa("s", "transport", "192.0.2.1 <-> 192.0.2.2")}`,
    [
      /^warning 13: .*192\.0\.2\.1, the SA's own end, is none of \[daemon\] addresses: .* protects nothing of this host; give the SA an end/,
    ],
  ],
  ["for loopback", sa("s", "tunnel", "127.0.0.1 <-> 10.2.0.0/16"), [NEVER]],
  [
    "with a port between networks, whose fragments have none",
    sa("s", "tunnel", "10.1.0.0/16 <-> 10.2.0.0/16:80 tcp"),
    [
      /^warning 11: \[sa\] filters: of packets that this host forwards, fragments have no ports for Linux.*write it without ports \("10\.1\.0\.0\/16 <-> 10\.2\.0\.0\/16 tcp"\)/,
    ],
  ],
  [
    "with a port of a tunnel rule whose fragments it takes",
    sa("s", "tunnel", NETS) + rule("t", "require", "10.1.0.0/16 <-> 10.2.0.0/16:80 tcp", TUNNEL),
    [],
  ],
  [
    "of one way in tunnel mode",
    sa("s", "tunnel", "10.1.0.0/16 -> 10.2.0.0/16"),
    [/^warning 11: .*the tunnel is for one direction only, and no rule through it/],
  ],
  [
    "of one way in tunnel mode, with one for the other",
    sa("s", "tunnel", "10.1.0.0/16 -> 10.2.0.0/16") + sa("t", "tunnel", "10.1.0.0/16 <- 10.2.0.0/16", 2),
    [],
  ],
  [
    "for multicast in transport mode",
    sa("s", "transport", "me <-> 224.0.0.5", 1, "224.0.0.5"),
    [/^warning 11: \[sa\] filters: of multicast and broadcast only what this host sends is protected/],
  ],
  ["for multicast that this host sends", sa("s", "transport", "me -> 224.0.0.5 89", 1, "224.0.0.5"), []],
  [
    "for multicast that nobody sends from there",
    sa("s", "transport", "me <- 224.0.0.5 89", 1, "224.0.0.5"),
    [/^warning 11: \[sa\] filters: of multicast and broadcast only what this host sends is protected/],
  ],
  [
    "of networks without a tunnel",
    sa("s", "transport", "192.0.2.0/31 <-> 192.0.2.2/31"),
    [/^warning 11: .*is not protected\. For a gateway write mode = "tunnel"; for this host alone write me instead of 192\.0\.2\.0\/31$/],
  ],
  [
    "behind a wider block",
    sa("s", "tunnel", "10.1.4.0/22 <-> any") + rule("b", "block", "10.1.0.0/16 <-> any"),
    [/^warning 11: \[sa\] filters: rule "b" \(block, "10\.1\.0\.0\/16 <-> any"\) drops what comes out of this tunnel for others/],
  ],
];
for (const [what, text, expected] of ROWS)
  test(`a manual SA ${what}: ${expected.length === 0 ? "nothing" : `${expected.length} findings`}`, () => {
    // What routers can't say has a file of its own: path-mtu.test.ts.
    const found = findingsOf(text).filter((finding) => !finding.includes("path MTU"));
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern);
  });

for (const [actions, severities] of [
  [
    ["respond", "block", "permit"],
    ["error", "warning"],
  ],
  [["respond", "respond"], ["error"]],
  [
    ["block", "respond", "respond"],
    ["error", "warning"],
  ],
] as const)
  test(`rules for one traffic (${actions.join(", ")}): ${severities.join(", ")}`, () => {
    const found = findingsOf(actions.map((action, i) => rule(`r${i}`, action, "me <-> 192.0.2.2")).join(""));
    assert.deepEqual(found.map((finding) => finding.split(" ")[0]).sort(), [...severities]);
  });

const [ALIKE, TO_ITSELF] = ["192.0.2.1 <-> 10.2.0.0/16", "me <-> 10.2.0.0/16"];
for (const [what, text, expected] of [
  ["respond, and a tunnel", rule("r", "respond", ALIKE) + rule("t", "require", ALIKE, TUNNEL), [decidesInClear("r", ALIKE, "", 10)]],
  ["a tunnel, and respond", rule("t", "require", ALIKE, TUNNEL) + rule("r", "respond", ALIKE), [decidesInClear("r", ALIKE, "", 4)]],
  [
    "respond, and a tunnel, both for me",
    rule("r", "respond", TO_ITSELF) + rule("t", "require", TO_ITSELF, TUNNEL),
    [decidesInClear("r", TO_ITSELF, "", 10)],
  ],
  [
    "respond in a tunnel, and that tunnel",
    rule("r", "respond", ALIKE, TUNNEL) + rule("t", "require", ALIKE, TUNNEL),
    [/^warning 4: .*rule "t" \(require\) is about the same traffic and decides/],
  ],
  [
    "a block, respond for just its traffic, and a tunnel",
    rule("b", "block", TO_ITSELF) + rule("r", "respond", TO_ITSELF) + rule("t", "require", TO_ITSELF, TUNNEL),
    [/rule "b" \(block\) is about the same traffic and decides/],
  ],
] as const)
  test(`rules for one traffic, in both modes (${what}): check names the one that decides`, () => {
    const found = findingsOf(text).filter((finding) => finding.includes("is about the same traffic"));
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern);
  });
