/** Stories through a router that translates addresses: detection, the move to port 4500, keepalives, new mappings, neighbours behind one NAT. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { saName } from "../../kernel/xfrm-args.ts";
import type { Fate } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { bringUp, childrenOf, ikesOf, packet, pair, said } from "./setting.ts";
import type { Arrival } from "./world.ts";
import { inWorld, story, type World, type WorldOptions } from "./world.ts";

const [CLIENT, NEIGHBOUR, SERVER, HIDDEN] = ["10.0.0.5", "10.0.0.6", "192.0.2.2", "10.1.0.2"];
const [OUTER, OTHER, FAR_OUTER] = ["198.51.100.1", "198.51.100.9", "203.0.113.1"];

const client = (address: string, text: string, name = "A") => ({ name, addresses: [address], policy: policyOf(text) });
const server = (text: string) => ({ name: "B", addresses: [SERVER], policy: policyOf(text) });

const FROM_NAT = (more: RuleText = {}): string => towards("198.51.100.0/24", { action: '"respond"', ...more });

/** One client behind a NAT, in transport mode. */
const one = (own: RuleText = {}, far: RuleText = {}, more: Partial<WorldOptions> = {}): WorldOptions => ({
  hosts: [client(CLIENT, towards(SERVER, own)), server(FROM_NAT(far))],
  nats: [{ outer: OUTER, inside: [CLIENT] }],
  ...more,
});

const TUNNEL = { mode: '"tunnel"', tunnel: `{ remote = "${SERVER}" }`, filters: '["me <-> 10.9.0.0/16"]' };
const TUNNELS = { mode: '"tunnel"', action: '"respond"', tunnel: `{ remote = "${OUTER}" }`, filters: '["10.9.0.0/16 <-> 10.0.0.0/24"]' };

/** Two clients behind one NAT. */
const two = (own: RuleText, far: RuleText, more: Partial<WorldOptions> = {}): WorldOptions => ({
  hosts: [
    client(CLIENT, towards(SERVER, own)),
    client(NEIGHBOUR, towards(SERVER, own), "C"),
    server(configuration([{ filters: '["me <-> 198.51.100.0/24"]', action: '"respond"', ...far }])),
  ],
  nats: [{ outer: OUTER, inside: [CLIENT, NEIGHBOUR] }],
  ...more,
});

const from = (world: World, name: string, destination = SERVER): Arrival => {
  const host = world.host(name);
  return world.ping(host, packet(host.addresses[0] ?? "", destination));
};
const back = (world: World, destination = OUTER): Arrival => world.ping(world.host("B"), packet(SERVER, destination));
const natsOf = (world: World): readonly string[] => ["A", "B"].map((name) => ikesOf(world, name)[0]?.nat ?? "nothing");
/** What the server has proved of its peer; anybody may begin a Main Mode. */
const standing = (world: World): string =>
  JSON.stringify(
    ikesOf(world, "B")
      .filter(({ state }) => state !== "negotiating")
      .map(({ secondsLeft: _, ...rest }) => rest),
  );
const encapsOf = (world: World, name: string) => [...world.host(name).xfrm.states.values()].map(({ sa }) => sa.encap);

test(
  "without a NAT both stay on port 500, and packets travel bare",
  story(pair(), (world) => {
    bringUp(world);
    assert.deepEqual(natsOf(world), ["none", "none"]);
    assert.deepEqual(encapsOf(world, "A"), [null, null]);
    assert.equal(ikesOf(world, "A")[0]?.remote, "192.0.2.2:500");
  }),
);

test(
  "an initiator behind a NAT is found there, moves to 4500 with message 5, and packets travel in UDP",
  story(one(), (world) => {
    bringUp(world);
    assert.deepEqual(natsOf(world), ["local", "remote"]);
    assert.equal(ikesOf(world, "A")[0]?.remote, `${SERVER}:4500`);
    assert.equal(ikesOf(world, "A")[0]?.local, `${CLIENT}:4500`);
    assert.match(ikesOf(world, "B")[0]?.remote ?? "", /^198\.51\.100\.1:2\d{4}$/);
    for (const name of ["A", "B"])
      assert.ok(
        encapsOf(world, name).every((encap) => encap !== null),
        name,
      );
    assert.equal(from(world, "A"), "protected");
    assert.equal(back(world), "protected");
  }),
);

test(
  "a responder behind a port forward",
  story(
    {
      hosts: [client(SERVER, towards(FAR_OUTER)), client(HIDDEN, towards(SERVER, { action: '"respond"' }), "B")],
      nats: [{ outer: FAR_OUTER, inside: [HIDDEN], forwards: { 500: HIDDEN, 4500: HIDDEN } }],
    },
    (world) => {
      bringUp(world);
      assert.deepEqual(natsOf(world), ["remote", "local"]);
      assert.equal(from(world, "A", FAR_OUTER), "protected");
      assert.equal(world.ping(world.host("B"), packet(HIDDEN, SERVER)), "protected");
    },
  ),
);

test(
  "both behind a NAT",
  story(
    {
      hosts: [client(CLIENT, towards(FAR_OUTER)), client(HIDDEN, FROM_NAT(), "B")],
      nats: [
        { outer: OUTER, inside: [CLIENT] },
        { outer: FAR_OUTER, inside: [HIDDEN], forwards: { 500: HIDDEN, 4500: HIDDEN } },
      ],
    },
    (world) => {
      bringUp(world);
      assert.deepEqual(natsOf(world), ["both", "both"]);
      assert.equal(from(world, "A", FAR_OUTER), "protected");
      assert.equal(world.ping(world.host("B"), packet(HIDDEN, OUTER)), "protected");
    },
  ),
);

test(
  "tunnel mode through a NAT keeps the inner addresses",
  story(two(TUNNEL, TUNNELS), (world) => {
    bringUp(world);
    assert.equal(from(world, "A", "10.9.0.1"), "protected");
    assert.equal(world.ping(world.host("B"), packet("10.9.0.1", CLIENT)), "protected");
  }),
);

test(
  "a rule that forces it encapsulates without a NAT",
  story(pair(towards("192.0.2.2", { "nat-traversal": '"force"' })), (world) => {
    bringUp(world);
    assert.deepEqual(natsOf(world), ["none", "remote"]);
    assert.equal(ikesOf(world, "A")[0]?.remote, "192.0.2.2:4500");
    for (const name of ["A", "B"])
      assert.ok(
        encapsOf(world, name).every((encap) => encap !== null),
        name,
      );
  }),
);

for (const [whose, options] of [
  ["ours", one({ "nat-traversal": '"off"' })],
  ["the peer's", one({}, { "nat-traversal": '"off"' })],
] as const)
  test(
    `where ${whose} rule has it off nothing is detected, and nothing moves`,
    story(options, (world) => {
      world.host("A").initiate();
      world.run(2000);
      assert.deepEqual(natsOf(world), ["none", "none"]);
      assert.equal(ikesOf(world, "A")[0]?.remote, `${SERVER}:500`);
      assert.notEqual(from(world, "A"), "protected");
    }),
  );

test(
  "keepalives every 20 s keep the mapping of an idle pair; without them the server could reach nobody",
  story(
    one(
      {},
      {},
      {
        nats: [{ outer: OUTER, inside: [CLIENT], forgetAfterMs: 25_000 }],
      },
    ),
    (world) => {
      bringUp(world);
      world.run(120_000);
      assert.equal(back(world), "protected");
      world.nats[0]?.rebind();
      assert.equal(back(world), "lost");
    },
  ),
);

test(
  "the kernel's news of another port is followed, and the kernel gets the new port",
  story(one(), (world) => {
    bringUp(world);
    const before = ikesOf(world, "B")[0]?.remote;
    world.nats[0]?.rebind();
    assert.equal(from(world, "A"), "protected");
    world.run(100);
    assert.notEqual(ikesOf(world, "B")[0]?.remote, before);
    assert.equal(back(world), "protected");
    assert.match(said(world.host("B"), "info").join("\n"), /is now at 198\.51\.100\.1:2\d{4}/);
  }),
);

test(
  "an authenticated message from another port is followed without a packet of traffic",
  story(one(), (world) => {
    bringUp(world);
    world.nats[0]?.rebind();
    const id = ikesOf(world, "A")[0]?.id ?? 0;
    const child = childrenOf(world, "A")[0]?.id ?? 0;
    world.host("A").command({ name: "terminate", target: { kind: "child", id: child } });
    world.run(100);
    bringUp(world);
    assert.equal(ikesOf(world, "A")[0]?.id, id);
    assert.equal(back(world), "protected");
  }),
);

test(
  "another address of the NAT is followed by a new pair, where the rule is for it too",
  story(one(), (world) => {
    bringUp(world);
    world.nats[0]?.rebind(OTHER);
    from(world, "A");
    world.run(8000);
    assert.match(ikesOf(world, "B")[0]?.remote ?? "", /^198\.51\.100\.9:/);
    assert.equal(back(world, OTHER), "protected");
    assert.equal(from(world, "A"), "protected");
    world.run(15_000);
    assert.equal(childrenOf(world, "B").length, 1);
  }),
);

test(
  "an address that the rule is not for is not followed",
  story(one(), (world) => {
    bringUp(world);
    const before = ikesOf(world, "B")[0]?.remote;
    world.nats[0]?.rebind(FAR_OUTER);
    from(world, "A");
    world.run(1000);
    assert.equal(ikesOf(world, "B")[0]?.remote, before);
  }),
);

test(
  "no packet that is not authentic moves a peer: every message of its life again, from elsewhere",
  story(one(), (world) => {
    bringUp(world);
    const child = childrenOf(world, "A")[0]?.id ?? 0;
    world.host("A").command({ name: "terminate", target: { kind: "child", id: child } });
    world.run(1000);
    bringUp(world);
    const before = standing(world);
    for (const { bytes, from: sender } of [...world.sent]) {
      if (sender !== CLIENT) continue;
      for (const [address, port] of [
        [OTHER, 4500],
        [OUTER, 31337],
      ] as const) {
        world.deliver(address, SERVER, bytes, true, { from: port, to: 4500 });
        for (const bit of [150, 300, 555]) {
          const forged = Uint8Array.from(bytes);
          forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ 1;
          world.deliver(address, SERVER, forged, true, { from: port, to: 4500 });
        }
      }
    }
    assert.equal(standing(world), before);
    assert.equal(back(world), "protected");
  }),
);

test(
  "an old question whether we live, sent again from elsewhere, moves nothing",
  story(one(), (world) => {
    bringUp(world);
    const question = (): Uint8Array | undefined =>
      world.sent.findLast(({ from: sender, label }) => sender === CLIENT && /INF|Info/i.test(label))?.bytes;
    // The server falls silent: the client asks.
    world.intercept = ({ from: sender }) => (sender === SERVER ? { kind: "drop" } : undefined);
    world.traffic(world.host("A"), packet(CLIENT, SERVER), 5000);
    world.runUntil("a question", () => question() !== undefined, 200_000);
    world.run(10);
    const before = ikesOf(world, "B")[0]?.remote;
    world.deliver(OTHER, SERVER, question() ?? new Uint8Array(0), true, { from: 4500, to: 4500 });
    assert.equal(ikesOf(world, "B")[0]?.remote, before);
    world.intercept = () => undefined;
  }),
);

test(
  "a client does not follow its server: nobody stands before that",
  story(one(), (world) => {
    bringUp(world);
    const sealed = world.sent.findLast(({ from: sender }) => sender === SERVER)?.bytes ?? new Uint8Array(0);
    const before = ikesOf(world, "A")[0]?.remote;
    world.deliver(OTHER, CLIENT, sealed, true, { from: 4500, to: 4500 });
    assert.equal(ikesOf(world, "A")[0]?.remote, before);
  }),
);

test(
  "two clients behind one NAT with inner addresses of their own both work in tunnel mode",
  story(two(TUNNEL, TUNNELS), (world) => {
    for (const name of ["A", "C"]) bringUp(world, world.host(name));
    for (let round = 0; round < 2; round++) {
      for (const name of ["A", "C"]) assert.equal(from(world, name, "10.9.0.1"), "protected", name);
      for (const address of [CLIENT, NEIGHBOUR])
        assert.equal(world.ping(world.host("B"), packet("10.9.0.1", address)), "protected", address);
      // Both are renewed, each with its own.
      world.run(280_000);
    }
  }),
);

test(
  "one whose selectors equal another's is refused, and the first one keeps what it has",
  story(two({}, {}), (world) => {
    bringUp(world, world.host("A"));
    const policies = JSON.stringify([...world.host("B").xfrm.policies.values()]);
    const id = world.host("C").initiate();
    world.run(3000);
    assert.equal(world.host("C").outcome(id).exit, 1);
    assert.ok(world.host("B").events.some(({ reason }) => reason === "selectors-taken"));
    assert.match(
      said(world.host("B"), "warning").join("\n"),
      /belongs to .*10\.0\.0\.5 at 198\.51\.100\.1 already: give each host behind a NAT/,
    );
    assert.equal(JSON.stringify([...world.host("B").xfrm.policies.values()]), policies);
    assert.equal(from(world, "A"), "protected");
    assert.equal(back(world), "protected");
  }),
);

test(
  "the same client is let in again after it restarted with another mapping",
  story(one(), (world) => {
    bringUp(world);
    world.reboot(world.host("A"));
    world.nats[0]?.rebind();
    bringUp(world);
    assert.equal(from(world, "A"), "protected");
    assert.equal(back(world), "protected");
  }),
);

test(
  "AH is not offered through a NAT, and the command says why",
  story(one({ "quick-mode": '{ proposals = ["ah:sha256"] }' }), (world) => {
    const id = world.host("A").initiate();
    world.run(3000);
    assert.equal(world.host("A").outcome(id).reason, "nat-ah");
    assert.match(world.host("A").outcome(id).text, /AH only, which can't pass the NAT/);
  }),
);

test(
  "of a rule with both only ESP is offered",
  story(
    one(
      { "quick-mode": '{ proposals = ["ah:sha256", "esp:aes128-sha256"] }' },
      { "quick-mode": '{ proposals = ["ah:sha256", "esp:aes128-sha256"] }' },
    ),
    (world) => {
      bringUp(world);
      assert.ok([...world.host("B").xfrm.states.values()].every(({ sa }) => sa.protocol === "esp"));
      assert.equal(from(world, "A"), "protected");
    },
  ),
);

test("a restart takes over the NAT's state: ports, keepalives, and who follows whom", () =>
  inWorld(one({}, {}, { nats: [{ outer: OUTER, inside: [CLIENT], forgetAfterMs: 25_000 }] }), (world) => {
    for (const host of world.hosts) host.keepJournal();
    bringUp(world);
    for (const host of world.hosts) host.crash();
    world.run(60_000);
    assert.deepEqual(natsOf(world), ["local", "remote"]);
    assert.equal(back(world), "protected");
    world.nats[0]?.rebind();
    assert.equal(from(world, "A"), "protected");
    world.run(100);
    assert.equal(back(world), "protected");
  }));

/** A client whose IKE SA ends before its child, since no message gets through any more. */
const orphaned = (world: World): void => {
  bringUp(world);
  world.intercept = () => ({ kind: "drop" });
  world.run(400_000);
  for (const name of ["A", "B"]) assert.deepEqual(ikesOf(world, name).filter(({ state }) => state !== "negotiating").length, 0, name);
};
const SHORT = { "main-mode": '{ lifetime = "300s" }', "quick-mode": '{ lifetime = "3600s" }' };
const FORGETFUL = { nats: [{ outer: OUTER, inside: [CLIENT], forgetAfterMs: 25_000 }] };

test(
  "a child whose IKE SA is gone keeps the mapping itself",
  story(one(SHORT, SHORT, FORGETFUL), (world) => {
    orphaned(world);
    world.run(120_000);
    assert.equal(back(world), "protected");
  }),
);

test("a child whose IKE SA is gone keeps the mapping after a restart, too", () =>
  inWorld(one(SHORT, SHORT, FORGETFUL), (world) => {
    for (const host of world.hosts) host.keepJournal();
    orphaned(world);
    world.host("A").crash();
    world.run(120_000);
    assert.equal(back(world), "protected");
  }));

test(
  "IPv6 through a router that translates ports needs NAT traversal too, and both ends offer it",
  story(
    {
      hosts: [
        client("2001:db8:1::5", towards("2001:db8::2")),
        { name: "B", addresses: ["2001:db8::2"], policy: policyOf(towards("2001:db8:f::1", { action: '"respond"' })) },
      ],
      nats: [{ outer: "2001:db8:f::1", inside: ["2001:db8:1::5"] }],
    },
    (world) => {
      bringUp(world);
      assert.deepEqual(natsOf(world), ["local", "remote"]);
      assert.equal(world.ping(world.host("A"), packet("2001:db8:1::5", "2001:db8::2")), "protected");
    },
  ),
);

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Fate>({ kind: "deliver" }) },
  fc.constant<Fate>({ kind: "drop" }),
  fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.integer({ min: 1, max: 3000 }) }),
);

/** A message is sent five times. */
const survivable = (fates: readonly Fate[]): boolean => fates.filter(({ kind }) => kind === "drop").length < 5;

test("with loss, repetition and disorder, and a new mapping at any moment after message 4, an SA comes to be and traffic flows both ways", () => {
  fc.assert(
    fc.property(fc.array(fate, { maxLength: 14 }).filter(survivable), fc.integer({ min: 1, max: 99 }), (fates, seed) =>
      inWorld(one({}, {}, { fates, seed }), (world) => {
        world.host("A").initiate("peer", 120);
        world.runUntil(
          "both ends have a pair",
          () => ["A", "B"].every((name) => childrenOf(world, name).some(({ state }) => state === "installed")),
          120_000,
        );
        world.run(20_000);
        world.nats[0]?.rebind();
        assert.equal(from(world, "A"), "protected");
        world.run(200);
        assert.equal(back(world), "protected");
        for (const { sa } of world.host("B").xfrm.states.values()) assert.ok(sa.encap, saName(sa));
      }),
    ),
    { numRuns: 150 },
  );
});
