/** `why`, asked of the daemon where children are for a part of their rule, says what its kernel does: which policy decides, and by which SAs a packet goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerPolicy, type WhyDocument } from "../../daemon/policy-commands.ts";
import { type Packet, selectorOf } from "../../policy/decide.ts";
import { coversPackets } from "../../policy/packet-selector.ts";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
import { configuration, type RuleText } from "./policies.ts";
import { A, B, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const TRAFFIC = { start: '"on-traffic"' };
const tcp = (source: string, destination: string, sourcePort: number, destinationPort: number): Packet => ({
  ...{ source, destination, protocol: 6, sourcePort, destinationPort },
});

function why(world: World, host: Host, { source, destination, protocol, sourcePort, destinationPort }: Packet): WhyDocument {
  const metBy = host.engine.metBy.bind(host.engine);
  const policy = host.engine.inForce();
  const situation = {
    policy,
    inForce: policy,
    sources: [],
    addresses: host.addresses,
    onLink: [],
    broadcasts: [],
    ports: [500, 4500],
    metBy,
  };
  const asked = { command: "why", src: source, dst: destination, protocol, sport: sourcePort, dport: destinationPort } as const;
  const [reply] = answerPolicy(asked, situation, host.engine.view(world.now));
  assert.ok(reply?.type === "document" && "installed" in reply.document);
  return reply.document;
}

/** What decides in the kernel about a packet. */
function decides(host: Host, packet: Packet) {
  const direction = host.addresses.includes(packet.source) ? "out" : "in";
  const [policy] = [...host.xfrm.policies.values()]
    .filter((each) => each.direction === direction && coversPackets(each.selector, selectorOf(packet)))
    .sort((a, b) => a.priority - b.priority);
  return policy ? { direction, level: policy.templates[0]?.level ?? null, priority: policy.priority } : null;
}

const spiText = (spi: number): string => `0x${spi.toString(16).padStart(8, "0")}`;

/** Holds what `why` says of a packet against the kernel. */
function agree(world: World, host: Host, packet: Packet): WhyDocument {
  const said = why(world, host, packet);
  const kernel = decides(host, packet);
  const { direction, level, priority } = said.policy ?? {};
  assert.deepEqual(said.policy && { direction, level, priority }, kernel);
  const told = said.installed.flatMap(({ protections }) =>
    protections.map((each) => (kernel?.direction === "in" ? each.spiIn : each.spiOut)),
  );
  if (kernel?.direction === "out") {
    const way = host.xfrm.outbound(packet);
    assert.deepEqual(told, way.kind === "protected" ? way.through.map(({ spi }) => spiText(spi)) : []);
  }
  const clear = kernel === null ? "protect-if-asked" : "clear";
  assert.equal(said.verdict, kernel?.level === "required" ? "protect" : kernel?.level === "use" ? "protect-if-possible" : clear);
  return said;
}

const RULES: readonly (readonly [string, RuleText])[] = [
  ["respond", { action: '"respond"' }],
  ["request", { action: '"request"', ...TRAFFIC }],
  ["require", { action: '"require"', ...TRAFFIC }],
  ["discovery", { action: '"require"', discovery: "true", ...TRAFFIC }],
];
const client = (rule: RuleText) =>
  configuration([
    { name: '"client"', filters: '["me <-> 192.0.2.0/24"]', "quick-mode": '{ proposals = ["ah:sha256", "esp:aes128-sha256"] }', ...rule },
  ]);
const server = configuration([
  { name: '"all"', filters: '["me <-> 192.0.2.0/24"]', "quick-mode": '{ proposals = ["ah:sha256"] }', ...TRAFFIC },
  { name: '"smb"', filters: '["me <-> 192.0.2.0/24:445 tcp"]', "quick-mode": '{ proposals = ["esp:aes128-sha256"] }', ...TRAFFIC },
]);

for (const [what, rule] of RULES)
  test(
    `under ${what} why names the policy and the SAs of the child that is for the packet, within a part of the rule and outside of it`,
    story(pair(client(rule), server), (world: World) => {
      const [a, b] = [world.host("A"), world.host("B")];
      world.run(100);
      const smb = [tcp(A, B, 445, 50000), tcp(B, A, 50000, 445)];
      const other = [tcp(A, B, 80, 50000), tcp(B, A, 50000, 80)];
      for (const packet of [...smb, ...other]) agree(world, a, packet);
      for (const packet of [tcp(B, A, 50000, 80), tcp(B, A, 50000, 445)])
        for (let i = 0; i < 2; i++) {
          world.ping(b, packet);
          world.run(2000);
        }
      const told = (packets: readonly Packet[]) =>
        packets.map((packet) =>
          agree(world, a, packet).installed.map(({ remotePort, localPort, protocol }) => [protocol, localPort, remotePort]),
        );
      assert.deepEqual(told(smb), [[["tcp", 445, null]], [["tcp", 445, null]]]);
      assert.deepEqual(told(other), [[["any", null, null]], [["any", null, null]]]);
      assert.match(why(world, a, tcp(A, B, 445, 50000)).says, /sent only protected now: child \d+ has a policy of its own for it/);
      assert.equal(why(world, a, tcp(B, A, 50000, 445)).answer.verdict, "protect");
      // A question without ports may mean either.
      assert.equal(why(world, a, { ...tcp(A, B, 0, 0), protocol: 0 }).installed.length, 2);
      assert.deepEqual(why(world, a, { ...tcp(A, B, 500, 500), protocol: 17 }).installed, []);
      world.run(1000);
      for (const packet of [...smb, ...other]) agree(world, b, packet);
    }),
  );

test(
  "while a request rule lets a silent peer through, why names what stands in front of the rule",
  story(
    pair(configuration([{ name: '"ask"', action: '"request"', filters: '["me <-> 192.0.2.0/24"]', ...TRAFFIC }]), ""),
    (world: World) => {
      const a = world.host("A");
      world.intercept = () => DROP;
      world.run(100);
      const packet = tcp(A, B, 40000, 80);
      world.ping(a, packet);
      world.run(20_000);
      const said = agree(world, a, packet);
      assert.deepEqual([said.verdict, said.soft.length], ["clear", 1]);
      assert.match(said.says, /^rule ask: sent in clear now: 192\.0\.2\.2\/32 sends no IKE packet, and soft SA \d+ lets it past/);
    },
  ),
);
