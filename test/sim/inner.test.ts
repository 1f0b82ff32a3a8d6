/**
 * Children of one rule one of which lies within the other, since the peer has two rules where we have one: packets go by the narrower one, in whatever order
 * they came (RFC 2401 §5: by what was agreed for them). The peer's policies refuse them in the other.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Packet } from "../../kernel/memory-traffic.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B, childrenOf, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const TRAFFIC = { start: '"on-traffic"' };
const tcp = (source: string, destination: string, sourcePort: number, destinationPort: number) => ({
  ...{ source, destination, protocol: 6, sourcePort, destinationPort },
});
const udp = (source: string, destination: string) => ({ source, destination, protocol: 17, sourcePort: 5, destinationPort: 6 });

/** What B talks, in the order in which it begins. */
const TALKS = { all: udp(B, A), smb: tcp(B, A, 50000, 445) } as const;
const ORDERS: readonly (readonly (keyof typeof TALKS)[])[] = [
  ["all", "smb"],
  ["smb", "all"],
];

function begin(world: World, order: readonly (keyof typeof TALKS)[]): void {
  world.run(100);
  for (const talk of order) {
    world.ping(world.host("B"), TALKS[talk]);
    world.run(2000);
  }
}

/** What becomes of the service's packets and of others, there and back, every ten seconds: each answer once. */
function flows(world: World, times = 60): readonly string[] {
  const [a, b] = [world.host("A"), world.host("B")];
  const got = new Set<string>();
  for (let i = 0; i < times; i++) {
    const smb = `${world.ping(b, TALKS.smb)}/${world.ping(a, tcp(A, B, 445, 50000))}`;
    got.add(`${smb} ${world.ping(b, TALKS.all)}/${world.ping(a, udp(A, B))}`);
    world.run(10_000);
  }
  return [...got];
}
const GOOD = ["protected/protected protected/protected"];

const RULES: readonly (readonly [string, RuleText])[] = [
  ["a respond rule for one host", { action: '"respond"', filters: '["me <-> 192.0.2.2"]' }],
  ["a respond rule for anybody", { action: '"respond"', filters: '["me <-> any"]' }],
  ["the default response", { action: '"respond"' }],
  ["a request rule", { action: '"request"', filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC }],
  ["a require rule", { action: '"require"', filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC }],
  ["a rule with discovery", { action: '"require"', discovery: "true", filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC }],
];

const SERVER = configuration([
  { name: '"all"', filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC },
  { name: '"smb"', filters: '["me <-> 192.0.2.0/24:445 tcp"]', ...TRAFFIC },
]);
for (const [what, rule] of RULES)
  for (const order of ORDERS)
    test(
      `${what} answers a server that has a rule for a service beside one for all: ${order.join(" before ")}`,
      story(pair(configuration([{ name: '"client"', ...rule }]), SERVER), (world) => {
        begin(world, order);
        assert.deepEqual(flows(world), GOOD);
      }),
    );

/** What protects a packet that leaves a host: the protocols of its SAs. */
const by = (host: Host, sent: Packet): string => {
  const found = host.xfrm.outbound(sent);
  return found.kind === "protected" ? found.through.map(({ protocol }) => protocol).join("+") : found.kind;
};

const TWO_KINDS = configuration([
  { name: '"all"', filters: '["me <-> 192.0.2.0/24"]', "quick-mode": '{ proposals = ["ah:sha256"] }', ...TRAFFIC },
  {
    ...{ name: '"smb"', filters: '["me <-> 192.0.2.0/24:445 tcp"]', ...TRAFFIC },
    ...{ "quick-mode": '{ proposals = ["esp:aes128-sha256"] }', "require-encryption": "true" },
  },
]);
for (const action of ["respond", "request", "require"])
  for (const offers of ['["ah:sha256", "esp:aes128-sha256"]', '["esp:aes128-sha256", "ah:sha256"]'])
    for (const order of ORDERS)
      test(
        `what a server wants encrypted of all that it authenticates leaves a ${action} client so: ${offers}, ${order.join(" before ")}`,
        story(
          pair(
            configuration([
              {
                ...{ name: '"client"', action: `"${action}"`, filters: '["me <-> 192.0.2.0/24"]' },
                ...{ "quick-mode": `{ proposals = ${offers} }`, ...(action === "respond" ? {} : TRAFFIC) },
              },
            ]),
            TWO_KINDS,
          ),
          (world) => {
            begin(world, order);
            const a = world.host("A");
            for (let i = 0; i < 60; i++) {
              assert.deepEqual([by(a, tcp(A, B, 445, 50000)), by(a, udp(A, B))], ["esp", "ah"]);
              assert.deepEqual(flows(world, 1), GOOD);
            }
          },
        ),
      );

/** A host with one rule whose filters lie within each other, or meet, and a peer with a rule for all only, or with the same rule. */
const WITHIN: readonly (readonly [what: string, own: string, theirs: string, flow: Packet])[] = [
  [
    "a service of its own named again",
    '["me <-> 192.0.2.0/24", "me:80 <-> 192.0.2.0/24 tcp"]',
    '["me <-> 192.0.2.0/24"]',
    tcp(B, A, 40000, 80),
  ],
  [
    "a service of others named again",
    '["me <-> 192.0.2.0/24", "me <-> 192.0.2.0/24:80 tcp"]',
    '["me <-> 192.0.2.0/24"]',
    tcp(A, B, 40000, 80),
  ],
  ...[123, 40_000].map((from): (typeof WITHIN)[number] => {
    const both = '["me <-> 192.0.2.0/24:123 udp", "me:123 <-> 192.0.2.0/24 udp"]';
    return [`both sides of a service, from port ${from}`, both, both, { ...udp(A, B), sourcePort: from, destinationPort: 123 }];
  }),
];
for (const [what, own, theirs, flow] of WITHIN)
  test(
    `any SA of a rule will do for what comes in under it: ${what}`,
    story(
      pair(
        configuration([{ name: '"own"', filters: own, ...TRAFFIC }]),
        configuration([{ name: '"theirs"', filters: theirs, ...TRAFFIC }]),
      ),
      (world) => {
        const [a, b] = [world.host("A"), world.host("B")];
        const [from, to] = flow.source === A ? [a, b] : [b, a];
        const back = {
          ...flow,
          source: flow.destination,
          destination: flow.source,
          sourcePort: flow.destinationPort,
          destinationPort: flow.sourcePort,
        };
        const others = what.startsWith("a service");
        const got = new Set<string>();
        world.run(100);
        for (let i = 0; i < 60; i++) {
          if (others) world.ping(a, udp(A, B));
          const there = `${world.ping(from, flow)}/${world.ping(to, back)}`;
          if (i > 1) got.add(there);
          world.run(10_000);
        }
        assert.deepEqual([...got], ["protected/protected"]);
      },
    ),
  );

const REQUIRE = (more: RuleText = {}): string =>
  configuration([{ name: '"client"', action: '"require"', filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC, ...more }], { quickLife: "60m" });

for (const action of ["respond", "request", "require"])
  for (const order of ORDERS)
    for (const how of ["restart", "reload", "restart with another rule beside it"])
      test(
        `a ${action} rule's SA for a part is what carries it after a ${how}: ${order.join(" before ")}`,
        story(
          pair(REQUIRE(action === "respond" ? { action: '"respond"', start: '"never"' } : { action: `"${action}"` }), SERVER),
          (world) => {
            const [a, b] = [world.host("A"), world.host("B")];
            a.keepJournal();
            begin(world, order);
            const other = { name: '"other"', filters: '["me <-> 198.51.100.0/24"]', ...TRAFFIC };
            const rule = {
              name: '"client"',
              filters: '["me <-> 192.0.2.0/24"]',
              ...TRAFFIC,
              ...(action === "respond" ? { start: '"never"' } : {}),
            };
            const more = policyOf(configuration([{ ...rule, action: `"${action}"` }, other], { quickLife: "60m" }));
            if (how !== "restart") a.policy = more;
            if (how === "reload") a.input({ type: "policy", policy: more });
            else a.crash();
            world.run(2000);
            assert.deepEqual(flows(world, 5), GOOD);
            assert.equal(childrenOf(world, "A").length, 2);
            assert.equal(childrenOf(world, "B").length, 2);
            assert.ok(b);
          },
        ),
      );

for (const action of ["respond", "request", "require"])
  for (const order of ORDERS)
    test(
      `where the SA for a part ends, a ${action} rule's SA for all takes its packets, and nothing stays in front: ${order.join(" before ")}`,
      story(
        pair(REQUIRE(action === "respond" ? { action: '"respond"', start: '"never"' } : { action: `"${action}"` }), SERVER),
        (world) => {
          const [a, b] = [world.host("A"), world.host("B")];
          begin(world, order);
          const before = a.xfrm.policies.size;
          b.command({ name: "terminate", target: { kind: "rule", rule: "smb" } });
          world.run(1000);
          assert.equal(childrenOf(world, "A").length, 1);
          assert.equal(a.xfrm.policies.size, before - 2);
          assert.equal(by(a, tcp(A, B, 445, 50000)), "esp");
          // The server wants it again as soon as it has something to say.
          world.ping(b, TALKS.smb);
          world.run(2000);
          assert.deepEqual(flows(world, 40), GOOD);
          assert.equal(a.xfrm.policies.size, before);
        },
      ),
    );

test(
  "a child for just what its rule is about, alone, lays no policy, nor does its renewal",
  story(pair(REQUIRE(), REQUIRE()), (world) => {
    const a = world.host("A");
    world.run(100);
    const before = a.xfrm.policies.size;
    world.ping(a, udp(A, B));
    world.run(2000);
    assert.deepEqual([a.xfrm.policies.size, childrenOf(world, "A").length], [before, 1]);
  }),
);

const [A6, B6] = ["2001:db8::1", "2001:db8::2"];
const talk = (from: string, to: string, sourcePort: number, destinationPort: number) => tcp(from, to, sourcePort, destinationPort);
const SIX = (rules: readonly RuleText[]): string => configuration(rules.map((rule) => ({ ...TRAFFIC, ...rule })));
const WIDE_TUNNEL = (side: "A" | "B", action: string): RuleText => ({
  ...{
    name: '"wide"',
    action: `"${action}"`,
    mode: '"tunnel"',
    filters: side === "A" ? '["10.1.0.0/16 <-> 10.2.0.0/16"]' : '["10.2.0.0/16 <-> 10.1.0.0/16"]',
  },
  ...{ tunnel: side === "A" ? `{ local = "${A}", remote = "${B}" }` : `{ local = "${B}", remote = "${A}" }` },
});

for (const action of ["respond", "request", "require"])
  for (const order of [0, 1])
    test(
      `the same over IPv6: a ${action} rule, ${order === 0 ? "all" : "the service"} first`,
      story(
        {
          hosts: [
            {
              name: "A",
              addresses: [A6],
              policy: policyOf(
                SIX([
                  {
                    name: '"client"',
                    action: `"${action}"`,
                    filters: '["me <-> 2001:db8::/64"]',
                    ...(action === "respond" ? { start: '"never"' } : {}),
                  },
                ]),
              ),
            },
            {
              name: "B",
              addresses: [B6],
              policy: policyOf(
                SIX([
                  { name: '"all"', filters: '["me <-> 2001:db8::/64"]' },
                  { name: '"smb"', filters: '["me <-> [2001:db8::/64]:445 tcp"]' },
                ]),
              ),
            },
          ],
        },
        (world) => {
          const [a, b] = [world.host("A"), world.host("B")];
          const talks = [talk(B6, A6, 7, 8), talk(B6, A6, 50000, 445)];
          world.run(100);
          for (const one of order === 0 ? talks : [...talks].reverse()) {
            world.ping(b, one);
            world.run(2000);
          }
          for (let i = 0; i < 40; i++) {
            for (const one of talks) {
              const back = talk(A6, B6, one.destinationPort, one.sourcePort);
              assert.deepEqual([world.ping(b, one), world.ping(a, back)], ["protected", "protected"]);
            }
            world.run(10_000);
          }
        },
      ),
    );

for (const action of ["respond", "require"])
  for (const order of [0, 1])
    test(
      `the same in a tunnel: a ${action} rule, the ${order === 0 ? "wider" : "narrower"} networks first`,
      story(
        pair(
          SIX([{ ...WIDE_TUNNEL("A", action), ...(action === "respond" ? { start: '"never"' } : {}) }]),
          SIX([
            WIDE_TUNNEL("B", "require"),
            { ...WIDE_TUNNEL("B", "require"), name: '"narrow"', filters: '["10.2.5.0/24 <-> 10.1.5.0/24"]' },
          ]),
        ),
        (world) => {
          const [a, b] = [world.host("A"), world.host("B")];
          const talks = [
            ["10.2.1.1", "10.1.1.1"],
            ["10.2.5.1", "10.1.5.1"],
          ] as const;
          world.run(100);
          for (const [from, to] of order === 0 ? talks : [...talks].reverse()) {
            world.ping(b, talk(from, to, 7, 8));
            world.run(2000);
          }
          for (let i = 0; i < 40; i++) {
            for (const [from, to] of talks)
              assert.deepEqual([world.ping(b, talk(from, to, 7, 8)), world.ping(a, talk(to, from, 8, 7))], ["protected", "protected"]);
            world.run(10_000);
          }
        },
      ),
    );
