/** Rules that want different things of the same packets are told of, also where a filter names the other side first and the packets only pass through. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decisions, type WantedPolicy } from "../../policy/compile.ts";
import { destroyPolicy, parseConfiguration } from "../../policy/config.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";
import { coversPackets, type PacketSelector } from "../../policy/packet-selector.ts";

const TUNNEL = 'auth = [{ method = "psk", secret = "k" }]\nmode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }\n';

const rule = (name: string, action: string, ...filters: readonly string[]): string =>
  `[[rule]]\nname = "${name}"\naction = "${action}"\nfilters = ${JSON.stringify(filters)}\n${action === "require" || action === "respond" ? TUNNEL : ""}`;

function findingsOf(text: string): readonly Diagnostic[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  if (!parsed.ok) return parsed.error;
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings;
}

const ROWS: readonly (readonly [what: string, text: string, severity: Diagnostic["severity"], expected: RegExp])[] = [
  [
    "the same networks, the other one first",
    rule("p", "permit", "10.1.0.0/16 <-> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/16 <-> 10.1.0.0/16"),
    "error",
    /rule "b": filters: rule "p" \(permit\) has a filter for the same forwarded packets, "10\.1\.0\.0\/16 <-> 10\.2\.0\.0\/16"/,
  ],
  [
    "one direction, written both ways",
    rule("p", "permit", "10.1.0.0/16 -> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/16 <- 10.1.0.0/16"),
    "error",
    /rule "b": filters: rule "p" \(permit\) has a filter for the same forwarded packets/,
  ],
  [
    "a service, from both of its ends",
    rule("p", "permit", "any <-> 10.2.0.0/16:80 tcp") + rule("b", "block", "10.2.0.0/16:80 -> any tcp"),
    "error",
    /same forwarded packets/,
  ],
  [
    "a tunnel, and a permit for its networks the other way round",
    rule("t", "require", "10.1.0.0/16 <-> 10.2.0.0/16") + rule("p", "permit", "10.2.0.0/16 <-> 10.1.0.0/16"),
    "error",
    /rule "p": filters: rule "t" \(require\) has a filter for the same forwarded packets/,
  ],
  [
    "a tunnel that only responds, and a block of its networks the other way round",
    rule("t", "respond", "10.1.0.0/16 <-> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/16 <-> 10.1.0.0/16"),
    "error",
    /rule "b": filters: rule "t" \(respond\) has a filter for the same forwarded packets, "10\.1\.0\.0\/16 <-> 10\.2\.0\.0\/16"/,
  ],
  [
    "a permit for one way, and a tunnel that only responds to the other end",
    rule("p", "permit", "10.1.0.0/16 -> 10.2.0.0/16") + rule("t", "respond", "10.2.0.0/16 <-> 10.1.0.0/16"),
    "error",
    /rule "t": filters: rule "p" \(permit\) has a filter for the same forwarded packets/,
  ],
  [
    "a tunnel that only responds, and a block that crosses it once the sides are exchanged",
    rule("t", "respond", "10.1.0.0/24 <-> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/24 <-> 10.1.0.0/16"),
    "warning",
    /rule "b": filters: it shares forwarded packets with "10\.1\.0\.0\/24 <-> 10\.2\.0\.0\/16" of rule "t" \(respond\)/,
  ],
  [
    "a tunnel that only responds, and a block that is written as it is: the block decides",
    rule("t", "respond", "10.1.0.0/16 <-> 10.2.0.0/16") + rule("b", "block", "10.1.0.0/16 <-> 10.2.0.0/16"),
    "warning",
    /rule "b" \(block\) is about the same traffic and decides/,
  ],
  [
    "a tunnel, and a rule in transport mode that only responds and is written as it is: in front of a tunnel the latter decides",
    rule("t", "require", "192.0.2.1 <-> 10.2.0.0/16") + rule("r", "respond", "192.0.2.1 <-> 10.2.0.0/16").replace(/mode = .*$/ms, ""),
    "warning",
    /rule "t": filters: rule "r" \(respond\) is about the same traffic, "192\.0\.2\.1 <-> 10\.2\.0\.0\/16", and decides, as transport mode/,
  ],
  [
    "a tunnel that only responds within one network, and a block of it",
    rule("t", "respond", "10.1.0.0/16 <-> 10.1.0.0/16") + rule("b", "block", "10.1.0.0/16 <-> 10.1.0.0/16"),
    "warning",
    /rule "b" \(block\) is about the same traffic and decides/,
  ],
  [
    "networks that cross once the sides are exchanged",
    rule("p", "permit", "10.1.0.0/24 <-> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/24 <-> 10.1.0.0/16"),
    "warning",
    /rule "b": filters: it shares forwarded packets with "10\.1\.0\.0\/24 <-> 10\.2\.0\.0\/16" of rule "p" \(permit\), which has the sides the other way round/,
  ],
  [
    "a narrower filter that is the weaker one, as its remote side is the wider",
    rule("p", "permit", "10.1.0.0/24 <-> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/16 <-> 10.1.0.0/23"),
    "warning",
    /it shares forwarded packets with/,
  ],
];
for (const [what, text, severity, expected] of ROWS)
  test(`forwarded packets with two actions, ${what}: ${severity === "error" ? "an error" : "a warning"}`, () => {
    const found = findingsOf(text);
    assert.deepEqual(
      found.map((one) => one.severity),
      [severity],
      found.map(({ message }) => message).join("\n"),
    );
    assert.match(found[0]?.message ?? "", expected);
  });

for (const [what, text] of [
  ["of one action", rule("p", "permit", "10.1.0.0/16 <-> 10.2.0.0/16") + rule("q", "permit", "10.2.0.0/16 <-> 10.1.0.0/16")],
  [
    "two tunnels of a hub, one for each of the networks",
    `${rule("t", "require", "10.1.0.0/16 <-> 10.2.0.0/16")}${rule("u", "require", "10.2.0.0/16 <-> 10.1.0.0/16").replace("203.0.113.9", "203.0.113.10")}`,
  ],
  ["one about this host", rule("p", "permit", "me <-> 10.2.0.0/16 tcp") + rule("b", "block", "10.2.0.0/16 <-> 10.1.0.0/16 tcp")],
  ["opposite directions", rule("p", "permit", "10.1.0.0/16 -> 10.2.0.0/16") + rule("b", "block", "10.2.0.0/16 -> 10.1.0.0/16")],
  ["a narrower one that decides", rule("p", "permit", "10.1.0.0/16 <-> 10.2.0.0/24") + rule("b", "block", "10.2.0.0/16 <-> 10.1.0.0/16")],
  [
    "one that is within the other without that",
    rule("p", "permit", "10.20.0.0/16 <-> 10.0.0.0/8") + rule("b", "block", "10.20.0.0/16 <-> 10.0.0.0/9"),
  ],
  ["a filter that is its own other side", rule("b", "block", "10.1.0.0/16 <-> 10.1.0.0/16")],
] as const)
  test(`filters with their sides exchanged, ${what}: nothing is said`, () => {
    assert.deepEqual(
      findingsOf(text).map(({ message }) => message),
      [],
    );
  });

/** Of two filters with a port each. */
const BETWEEN_PORTS: readonly (readonly [what: string, text: string, expected: readonly RegExp[]])[] = [
  [
    "a server beside a block of another service: once, as the block decides",
    rule("web", "permit", "me:80 <-> any tcp") + rule("nosmb", "block", "me <-> any:445 tcp"),
    [
      /^rule "nosmb": filters: it shares packets with "me:80 <-> any tcp" of rule "web" \(permit\), but only those between the port of the one and the port of the other: the stricter rule decides about them, and hardly anybody sends such$/,
    ],
  ],
  [
    "a block of a server beside a permit of another service: the permit decides",
    rule("nosmb", "block", "me:445 <-> any tcp") + rule("web", "permit", "me <-> any:80 tcp"),
    [
      /^rule "web": filters: it shares packets with "me:445 <-> any tcp" of rule "nosmb" \(block\), but only those between .*: rule "web" decides about them, and whoever sends from port 80 to port 445 may get past rule "nosmb"; a filter with both ports in that rule closes this$/,
    ],
  ],
  [
    "the same with such a filter in a block: nothing gets past it",
    rule("nosmb", "block", "me:445 <-> any tcp", "me:445 <-> any:80 tcp") + rule("web", "permit", "me <-> any:80 tcp"),
    [],
  ],
  [
    "the same with one for a part of that",
    rule("nosmb", "block", "me:445 <-> any tcp", "me:445 <-> 10.0.0.0/8:80 tcp") + rule("web", "permit", "me <-> any:80 tcp"),
    [/rule "web" decides about them/],
  ],
  [
    "two networks that are the other way round, with such a filter",
    rule("p", "permit", "10.1.0.0/16 <-> any:80 tcp") +
      rule("b", "block", "10.2.0.0/16 <-> any:25 tcp", "10.2.0.0/16:80 <-> 10.1.0.0/16:25 tcp"),
    [],
  ],
  [
    "permits and blocks of services that pass through, from two networks: they are counted",
    Array.from(
      { length: 20 },
      (_, i) =>
        rule(`p${i}`, "permit", `10.1.0.0/16 <-> any:${100 + i} tcp`) + rule(`b${i}`, "block", `10.2.0.0/16 <-> any:${200 + i} tcp`),
    ).join(""),
    [
      /^rule "b0": filters: it shares packets with "10\.1\.0\.0\/16 <-> any:100 tcp" of rule "p0" \(permit\), but only those between .*: it is not plain which of them decides, and whoever sends from port 100 to port 200 may get past rule "b0"; .*; the same holds for 38 more filters \(of "p1", "b1", "p2" and others\)$/,
    ],
  ],
  [
    "one that overlaps in other packets, too",
    rule("web", "permit", "me:80 <-> any tcp") +
      rule("net", "block", "me <-> 10.0.0.0/8 tcp") +
      rule("nosmb", "block", "me <-> any:445 tcp"),
    [
      /^rule "net": filters: it shares packets with "me:80 <-> any tcp" of rule "web" \(permit\), and neither/,
      /^rule "nosmb": .*between the port/,
    ],
  ],
];
for (const [what, text, expected] of BETWEEN_PORTS)
  test(`filters that share packets between two ports only, ${what}`, () => {
    const found = findingsOf(text).flatMap(({ message }) => (/fragments have no ports/.test(message) ? [] : [message]));
    assert.equal(found.length, expected.length, found.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(found[i] ?? "", pattern);
  });

/** What two rules, each by itself, come to for forwarded packets. */
function throughOf(text: string): readonly WantedPolicy[] {
  const parsed = parseConfiguration(text, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok);
  destroyPolicy(parsed.value.policy);
  return decisions(parsed.value.policy, ["192.0.2.1"]).filter(({ direction, origin }) => direction === "fwd" && origin.kind === "rule");
}

const meet = (a: PacketSelector, b: PacketSelector): boolean => {
  const narrower = (one: string, oneLength: number, other: string, otherLength: number) =>
    oneLength >= otherLength ? ([one, oneLength] as const) : ([other, otherLength] as const);
  const [source, sourceLength] = narrower(a.source, a.sourceLength, b.source, b.sourceLength);
  const [destination, destinationLength] = narrower(a.destination, a.destinationLength, b.destination, b.destinationLength);
  const common: PacketSelector = {
    ...{ source, sourceLength, destination, destinationLength },
    ...{
      protocol: a.protocol || b.protocol,
      sourcePort: a.sourcePort || b.sourcePort,
      destinationPort: a.destinationPort || b.destinationPort,
    },
  };
  return coversPackets(a, common) && coversPackets(b, common);
};

const place = fc.oneof(
  fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.1.1.0/24", "10.2.1.0/24", "10.1.1.1", "10.2.1.1"),
  fc.constant("any"),
);
const filter = fc
  .tuple(place, fc.constantFrom("", ":80"), fc.constantFrom("<->", "->", "<-"), place, fc.constantFrom("", ":80"))
  .map(([left, own, arrow, right, theirs]) => `${left}${own} ${arrow} ${right}${theirs} tcp`);

for (const action of ["permit", "require", "respond"])
  test(`of blocks and ${action === "permit" ? "permits" : `tunnels that ${action}`} of forwarded packets that no priority tells apart, check always says something`, () => {
    let ties = 0;
    fc.assert(
      fc.property(filter, filter, (one, other) => {
        const [allow, block] = [rule("p", action, one), rule("b", "block", other)];
        const [allowed, blocked] = [throughOf(allow), throughOf(block)];
        const tied = allowed.some((a) => blocked.some((b) => a.priority === b.priority && meet(a.selector, b.selector)));
        if (!tied) return;
        ties += 1;
        const about = findingsOf(allow + block).filter(({ message }) => /same traffic|shares|same forwarded/.test(message));
        assert.ok(about.length > 0, `${one}\n${other}`);
      }),
      { numRuns: action === "permit" ? 1500 : 700 },
    );
    assert.ok(ties > 0);
  });

/** 2,600 rules for TCP with a network each, which come to 10,400 kernel policies. */
const many = Array.from({ length: 2600 }, (_, i) =>
  rule(`r${i}`, i % 2 ? "permit" : "block", `me <-> 10.${i >> 8}.${i & 255}.0/24 tcp`),
).join("");

test("of thousands of filters, too, those that never decide and those that overlap are found", () => {
  const hosts = '[daemon]\naddresses = ["192.0.2.1", "192.0.2.2"]\n';
  const last = rule("never", "permit", "me <-> 10.7.4.0/23 tcp") + rule("crossing", "permit", "me:22 <-> 10.0.0.0/8 tcp");
  assert.deepEqual(
    findingsOf(hosts + many + last).map(({ message }) => message.replace(/(?<=any|all of it|shares packets with "[^"]*").*/, "")),
    [
      'rule "never": filters: rule "r1796" and rule "r1797" are about all of it',
      'rule "crossing": filters: it shares packets with "me <-> 10.0.0.0/24 tcp"',
    ],
  );
});

test("where too many filters meet to look at each pair, that is said once, with the first filter that was left out", () => {
  const hosts = Array.from({ length: 2048 }, (_, i) => rule(`h${i}`, "permit", `10.9.0.0/16 <-> 10.0.${i >> 8}.${i & 255}`));
  const services = Array.from({ length: 600 }, (_, i) => rule(`s${i}`, "permit", `10.9.0.0/16:${i + 1} <-> 10.0.0.0/21 tcp`));
  const wide = [...hosts, ...services].join("");
  const found = findingsOf(wide).map(({ message }) => message);
  assert.equal(
    found.filter((message) => /not looked for which of them never decide/.test(message)).length,
    1,
    found.slice(0, 4).join("\n"),
  );
});

test("where the filters come to too many kernel policies, that is said of the rule that has the most, and nothing more is looked for among them", () => {
  const ranges = (i: number) => Array.from({ length: 50 }, (_, k) => `"10.9.0.0/16 <-> 20.${i}.${k}.1-20.${i}.${k + 100}.253"`);
  const wide = (i: number) => `[[rule]]\nname = "w${i}"\naction = "block"\nfilters = [${ranges(i).join(", ")}]\n`;
  const last = rule("never", "permit", "10.9.0.0/16 <-> 127.0.0.1");
  const found = (rules: number) =>
    findingsOf(
      Array.from({ length: rules }, (_, i) => wide(i)).join("") +
        rule("most", "block", "10.9.0.1-10.9.255.254 <-> 30.0.0.1-30.255.255.254") +
        last,
    );
  const few = found(2).map(({ message }) => message);
  assert.ok(
    few.some((message) => /loopback is never looked at/.test(message)) && !few.some((message) => /more than/.test(message)),
    few.join("\n"),
  );
  const [first, ...others] = found(30);
  assert.match(
    first?.message ?? "",
    /^rule "most": all filters come to more than 50000 kernel policies, those of this one to 5\d\d\d, the most; /,
  );
  assert.deepEqual(
    others.map(({ message }) => message),
    [],
  );
});
