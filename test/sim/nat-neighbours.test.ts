/** Two hosts behind one NAT that ask for selectors which overlap without being equal: the first keeps the answers to its packets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { childrenOf, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const [CLIENT, NEIGHBOUR, SERVER, OUTER] = ["10.0.0.5", "10.0.0.6", "192.0.2.2", "198.51.100.1"];

const tcp = (source: string, destination: string, sourcePort: number, destinationPort: number) => ({
  ...{ source, destination, protocol: 6, sourcePort, destinationPort },
});

/** A and C behind the NAT, each with a rule of its own, and the server B. */
const three = (a: RuleText, c: RuleText, b: RuleText | readonly RuleText[]): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [CLIENT], policy: policyOf(configuration([a])) },
    { name: "C", addresses: [NEIGHBOUR], policy: policyOf(configuration([c])) },
    { name: "B", addresses: [SERVER], policy: policyOf(configuration([b].flat())) },
  ],
  nats: [{ outer: OUTER, inside: [CLIENT, NEIGHBOUR] }],
});

/** Who can read what the server sends. */
function reader(world: World, packet: ReturnType<typeof tcp>): string {
  const sent = world.host("B").xfrm.outbound(packet);
  if (sent.kind !== "protected") return sent.kind;
  const spi = sent.through[0]?.spi;
  const holds = (name: string): boolean =>
    [...world.host(name).xfrm.states.values()].some(({ sa }) => sa.spi === spi && sa.destination === world.host(name).addresses[0]);
  return ["A", "C"].filter(holds).join(" ") || "nobody";
}

function initiate(world: World, name: string): number {
  const id = world.host(name).initiate();
  world.run(3000);
  return world.host(name).outcome(id).exit ?? -1;
}

const refusals = (world: World): readonly string[] =>
  said(world.host("B"), "warning").filter((text) => / belongs to ip:10\.0\.0\.\d /.test(text));

const FROM_NAT = { filters: '["me <-> 198.51.100.0/24"]' };

for (const action of ["respond", "request", "require"])
  for (const [what, wide, narrow] of [
    ["a service of all", "me <-> 192.0.2.2", "me <-> 192.0.2.2:445 tcp"],
    ["a service of a protocol", "me <-> 192.0.2.2 tcp", "me <-> 192.0.2.2:445 tcp"],
    ["one port of a service", "me <-> 192.0.2.2:445 tcp", "me:41000 <-> 192.0.2.2:445 tcp"],
    ["parts that cross", "me:42000 <-> 192.0.2.2 tcp", "me <-> 192.0.2.2:445 tcp"],
  ] as const)
    for (const first of ["wider", "narrower"] as const)
      test(
        `${action}, transport mode, ${what}, the ${first} one first: the second is refused, and the first keeps its answers`,
        story(three({ filters: `["${narrow}"]` }, { filters: `["${wide}"]` }, { ...FROM_NAT, action: `"${action}"` }), (world) => {
          const order = first === "wider" ? ["C", "A"] : ["A", "C"];
          const [one = "", other = ""] = order;
          const port = one === "C" ? 42_000 : 41_000;
          assert.equal(initiate(world, one), 0);
          assert.equal(reader(world, tcp(SERVER, OUTER, 445, port)), one);
          assert.equal(initiate(world, other), 1);
          assert.equal(reader(world, tcp(SERVER, OUTER, 445, port)), one);
          assert.equal(childrenOf(world, "B").length, 1);
          const [text = ""] = refusals(world);
          assert.match(text, /is asked for, and of that .* belongs to ip:10\.0\.0\.\d at 198\.51\.100\.1 already/);
          // It is renewed as ever.
          world.run(280_000);
          assert.equal(reader(world, tcp(SERVER, OUTER, 445, port)), one);
        }),
      );

for (const action of ["respond", "request", "require"])
  for (const [what, wide] of [
    ["the same", "me <-> 192.0.2.2:445 tcp"],
    ["a part of what the other does", "me <-> 192.0.2.2"],
  ] as const)
    test(
      `${action}: two that ask for ${what} while the kernel has answered about neither: one has it, the other is refused, and nothing of that is left`,
      story(
        {
          ...three({ filters: '["me <-> 192.0.2.2:445 tcp"]' }, { filters: `["${wide}"]` }, { ...FROM_NAT, action: `"${action}"` }),
          kernelDelays: [300],
        },
        (world) => {
          world.run(2000);
          const ids = ["A", "C"].map((name) => world.host(name).initiate());
          world.run(8000);
          const exits = ["A", "C"].map((name, i) => world.host(name).outcome(ids[i] ?? 0).exit);
          assert.deepEqual([...exits].sort(), [0, 1]);
          const [first, port] = exits[0] === 0 ? ["A", 41_000] : ["C", 42_000];
          assert.equal(childrenOf(world, "B").length, 1);
          assert.equal(world.host("B").xfrm.states.size, 2);
          assert.equal(refusals(world).length, 1);
          for (let round = 0; round < 2; round++) {
            assert.equal(reader(world, tcp(SERVER, OUTER, 445, port)), first);
            world.run(280_000);
          }
        },
      ),
    );

const TUNNEL = { mode: '"tunnel"', tunnel: `{ remote = "${SERVER}" }` };
const TUNNELS = { mode: '"tunnel"', action: '"respond"', tunnel: `{ remote = "${OUTER}" }`, filters: '["10.9.0.0/16 <-> 10.0.0.0/24"]' };

for (const [what, asked] of [
  ["a service of it", "10.0.0.6 <-> 10.9.0.0/16:445 tcp"],
  ["a part of the network behind us", "10.0.0.6 <-> 10.9.0.0/24"],
  ["the whole network that it is in", "10.0.0.0/24 <-> 10.9.0.0/16"],
])
  test(
    `tunnel mode: who asks for another's inner address is refused: ${what}`,
    story(three({ ...TUNNEL, filters: `["${asked}"]` }, { ...TUNNEL, filters: '["me <-> 10.9.0.0/16"]' }, TUNNELS), (world) => {
      const back = tcp("10.9.0.1", NEIGHBOUR, 445, 42_000);
      assert.equal(initiate(world, "C"), 0);
      assert.equal(initiate(world, "A"), 1);
      assert.equal(reader(world, back), "C");
      assert.match(
        refusals(world)[0] ?? "",
        /of that 10\.9\.0\.0\/16 <-> 10\.0\.0\.6 belongs to ip:10\.0\.0\.6 at 198\.51\.100\.1 already/,
      );
    }),
  );

for (const action of ["respond", "request", "require"])
  test(
    `${action}: two whose ports differ work side by side, and each has its answers`,
    story(
      three(
        { filters: '["me <-> 192.0.2.2:445 tcp"]' },
        { filters: '["me <-> 192.0.2.2:80 tcp"]' },
        { ...FROM_NAT, action: `"${action}"` },
      ),
      (world) => {
        for (const name of ["A", "C"]) assert.equal(initiate(world, name), 0, name);
        for (let round = 0; round < 2; round++) {
          assert.equal(reader(world, tcp(SERVER, OUTER, 445, 41_000)), "A");
          assert.equal(reader(world, tcp(SERVER, OUTER, 80, 42_000)), "C");
          world.run(280_000);
        }
      },
    ),
  );

for (const action of ["respond", "request", "require"])
  test(
    `${action}: a peer's own narrower child stands in front of its wider one`,
    story(
      {
        hosts: [
          {
            ...{ name: "A", addresses: [CLIENT] },
            policy: policyOf(
              configuration([{ filters: '["me <-> 192.0.2.2"]' }, { name: '"smb"', filters: '["me <-> 192.0.2.2:445 tcp"]' }]),
            ),
          },
          { name: "B", addresses: [SERVER], policy: policyOf(configuration([{ ...FROM_NAT, action: `"${action}"` }])) },
        ],
        nats: [{ outer: OUTER, inside: [CLIENT] }],
      },
      (world) => {
        for (const rule of ["peer", "smb"]) {
          const id = world.host("A").initiate(rule);
          world.run(3000);
          assert.equal(world.host("A").outcome(id).exit, 0, rule);
        }
        assert.equal(childrenOf(world, "B").length, 2);
        const [a, b] = [world.host("A"), world.host("B")];
        for (const port of [445, 80]) {
          assert.equal(world.ping(a, tcp(CLIENT, SERVER, 41_000, port)), "protected");
          assert.equal(world.ping(b, tcp(SERVER, OUTER, port, 41_000)), "protected");
        }
      },
    ),
  );

test(
  "a service with a rule of its own that only responds: who asks for it gets nothing that another peer has under the wider rule",
  story(
    three({ filters: '["me <-> 192.0.2.2:445 tcp"]' }, { filters: '["me <-> 192.0.2.2"]' }, [
      { ...FROM_NAT, action: '"respond"' },
      { filters: '["me:445 <-> 198.51.100.0/24 tcp"]', name: '"smb"', action: '"respond"' },
    ]),
    (world) => {
      assert.equal(initiate(world, "C"), 0);
      assert.equal(initiate(world, "A"), 1);
      assert.equal(refusals(world).length, 1);
      assert.equal(reader(world, tcp(SERVER, OUTER, 445, 42_000)), "C");
    },
  ),
);

for (const order of [
  ["A", "C"],
  ["C", "A"],
])
  test(
    `a gateway and a host of its network with a narrower rule of its own, both behind one NAT, ${order[0]} first: the rules say whose the packets are`,
    story(
      three({ ...TUNNEL, filters: '["me <-> 10.9.0.0/16"]' }, { ...TUNNEL, filters: '["10.0.0.0/24 <-> 10.9.0.0/16"]' }, [
        { ...TUNNELS, action: '"require"', "remote-id": '"ip:10.0.0.6"' },
        { ...TUNNELS, action: '"require"', name: '"host"', filters: '["10.9.0.0/16 <-> 10.0.0.5"]', "remote-id": '"ip:10.0.0.5"' },
      ]),
      (world) => {
        for (const name of order) assert.equal(initiate(world, name), 0, name);
        for (let round = 0; round < 2; round++) {
          assert.equal(reader(world, tcp("10.9.0.1", CLIENT, 445, 41_000)), "A");
          assert.equal(reader(world, tcp("10.9.0.1", "10.0.0.7", 445, 42_000)), "C");
          world.run(280_000);
        }
      },
    ),
  );
