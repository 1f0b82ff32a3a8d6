/**
 * Children of one rule one of which lies within the other, since the peer has two rules where we have one: packets go by the narrower one, in whatever order
 * they came (RFC 2401 §5: by what was agreed for them). The peer's policies refuse them in the other.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Packet } from "../../kernel/memory-traffic.ts";
import type { Host } from "./host.ts";
import { configuration, type RuleText } from "./policies.ts";
import { A, B, pair } from "./setting.ts";
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
