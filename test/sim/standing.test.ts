/** Stories of what stands in the kernel: policies, protocols, modes, address families, many filters, a reload. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, PSK, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const filter = (text: string): string => `["${text}"]`;

test(
  "policies of a respond rule come and go with its children; those of require stand",
  story(pair(towards(B), towards(A, { action: '"respond"' })), (world) => {
    const [a, b] = [world.host("A"), world.host("B")];
    world.run(100);
    assert.equal(a.xfrm.policies.size, 2);
    assert.equal(b.xfrm.policies.size, 0);
    assert.equal(world.ping(b, packet(B, A)), "refused");
    bringUp(world);
    assert.equal(b.xfrm.policies.size, 2);
    assertTraffic(world);
    world.run(20 * 60_000);
    assert.equal(b.xfrm.policies.size, 2);
    assertTraffic(world);
    a.command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    assert.equal(b.xfrm.policies.size, 0);
    assert.equal(a.xfrm.policies.size, 2);
    assert.notEqual(world.ping(a, packet(A, B)), "clear");
  }),
);

const SUITES: readonly (readonly [string, readonly string[]])[] = [
  ["esp", ["esp:aes128-sha1"]],
  ["ah", ["ah:sha256"]],
  ["gcm", ["esp:aes256gcm16"]],
  ["null", ["esp:null-sha1"]],
  ["bundle", ["ah:sha1+esp:3des-sha1"]],
];

for (const [name, quickMode] of SUITES)
  for (const tunnel of [false, true])
    test(`${quickMode[0]} in ${tunnel ? "tunnel" : "transport"} mode carries traffic and is renewed`, () => {
      const rule = (own: string, other: string): RuleText =>
        tunnel
          ? {
              mode: '"tunnel"',
              tunnel: `{ local = "${own}", remote = "${other}" }`,
              filters: filter(`${own === A ? "10.1" : "10.2"}.0.0/16 <-> ${own === A ? "10.2" : "10.1"}.0.0/16`),
            }
          : {};
      const host = (label: string, own: string, other: string) => ({
        name: label,
        addresses: [own, own === A ? "10.1.0.1" : "10.2.0.1"],
        policy: policyOf(towards(other, rule(own, other), { quickMode })),
      });
      story({ hosts: [host("A", A, B), host("B", B, A)] }, (world) => {
        bringUp(world);
        const there = tunnel ? packet("10.1.0.1", "10.2.0.1") : packet(A, B);
        const back = tunnel ? packet("10.2.0.1", "10.1.0.1") : packet(B, A);
        assert.equal(childrenOf(world, "A")[0]?.protections.length, name === "bundle" ? 2 : 1);
        const streams = [world.traffic(world.host("A"), there, 1000), world.traffic(world.host("B"), back, 1000)];
        world.run(15 * 60_000);
        for (const stream of streams)
          assert.deepEqual(
            stream.find(({ arrival }) => arrival !== "protected"),
            undefined,
          );
      })();
    });

test("a tunnel written as two one-way rules carries traffic both ways, whoever begins, also towards one with a mirrored filter", () => {
  const rule = (name: string, other: string, text: string): RuleText => ({
    ...{ name: `"${name}"`, mode: '"tunnel"', tunnel: `{ remote = "${other}" }`, start: '"on-traffic"' },
    filters: filter(text),
  });
  const twoRules = policyOf(
    configuration([rule("there", B, "10.1.0.0/16 -> 10.2.0.0/16"), rule("back", B, "10.1.0.0/16 <- 10.2.0.0/16")], {}),
  );
  const mirrored = policyOf(configuration([rule("both", A, "10.2.0.0/16 <-> 10.1.0.0/16")], {}));
  const mirroredTwice = policyOf(
    configuration([rule("back", A, "10.2.0.0/16 <- 10.1.0.0/16"), rule("there", A, "10.2.0.0/16 -> 10.1.0.0/16")], {}),
  );
  for (const first of ["A", "B"])
    for (const peer of [mirrored, mirroredTwice])
      story(
        {
          hosts: [
            { name: "A", addresses: [A, "10.1.0.1"], policy: twoRules },
            { name: "B", addresses: [B, "10.2.0.1"], policy: peer },
          ],
        },
        (world) => {
          world.run(100);
          const [there, back] = [packet("10.1.0.1", "10.2.0.1"), packet("10.2.0.1", "10.1.0.1")];
          assert.equal(world.ping(world.host(first), first === "A" ? there : back), "acquire");
          world.run(2000);
          const streams = [world.traffic(world.host("A"), there, 1000), world.traffic(world.host("B"), back, 1000)];
          world.run(15 * 60_000);
          for (const stream of streams)
            assert.equal(
              stream.find(({ arrival }) => arrival !== "protected"),
              undefined,
            );
          assert.equal(childrenOf(world, "A").filter(({ state }) => state === "installed").length, 1);
        },
      )();
});

test("IPv6: a host pair with ports and a range behind a tunnel, with neighbour discovery in clear", () => {
  const [a, b] = ["2001:db8::1", "2001:db8::2"];
  const options: WorldOptions = {
    hosts: [
      { name: "A", addresses: [a], policy: policyOf(towards(b)) },
      { name: "B", addresses: [b], policy: policyOf(towards(a)) },
    ],
  };
  story(options, (world) => {
    const discovery = { source: a, destination: b, protocol: 58, sourcePort: 135, destinationPort: 0 };
    world.run(100);
    assert.equal(world.ping(world.host("A"), discovery), "clear");
    assert.equal(world.ping(world.host("A"), packet(a, b)), "acquire");
    bringUp(world);
    assertTraffic(world);
    assert.equal(world.ping(world.host("A"), discovery), "clear");
  })();
});

test(
  "a filter that is a range becomes several policies and one child; the whole range passes, its neighbours do not",
  story(
    pair(
      towards(B, { mode: '"tunnel"', tunnel: `{ local = "${A}", remote = "${B}" }`, filters: filter("10.1.0.1 <-> 10.2.0.3-10.2.0.6") }),
      towards(A, { mode: '"tunnel"', tunnel: `{ local = "${B}", remote = "${A}" }`, filters: filter("10.2.0.3-10.2.0.6 <-> 10.1.0.1") }),
    ),
    (world) => {
      bringUp(world);
      const a = world.host("A");
      assert.equal(a.xfrm.policies.size, 3 * 3);
      assert.equal(a.xfrm.states.size, 2);
      for (const last of [3, 4, 5, 6]) assert.equal(world.ping(a, packet("10.1.0.1", `10.2.0.${last}`)), "protected");
      for (const last of [2, 7]) assert.notEqual(world.ping(a, packet("10.1.0.1", `10.2.0.${last}`)), "protected");
    },
  ),
);

/** Twelve ports, each a filter of its own. */
const ports = Array.from({ length: 12 }, (_, i) => 1000 + i);

test(
  "a rule with twelve filters negotiates them all under one IKE SA, and the command waits for the last",
  story(
    pair(
      configuration([{ filters: JSON.stringify(ports.map((port) => `me <-> ${B}:${port} tcp`)) }]),
      configuration([{ filters: JSON.stringify(ports.map((port) => `me:${port} <-> ${A} tcp`)) }]),
    ),
    (world) => {
      bringUp(world);
      assert.equal(childrenOf(world, "A").length, 12);
      assert.equal(ikesOf(world, "A").length, 1);
      for (const port of ports) assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: port }), "protected");
      assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 99 }), "clear");
    },
  ),
);

test(
  "one filter of several fails: the command fails with its reason, the others stay up",
  story(
    pair(
      configuration([{ filters: JSON.stringify([`me <-> ${B}:1 tcp`, `me <-> ${B}:2 tcp`]) }]),
      configuration([{ filters: JSON.stringify([`me:1 <-> ${A} tcp`]) }]),
    ),
    (world) => {
      const id = world.host("A").initiate();
      world.run(1000);
      assert.equal(world.host("A").outcome(id).reason, "peer-refused");
      assert.equal(childrenOf(world, "A").length, 1);
    },
  ),
);

test("two rules of one peer with one key share the IKE SA", () => {
  const rules = (other: string, side: (port: number) => string, keys: readonly string[]) =>
    configuration(
      keys.map((key, i) => ({
        name: `"r${i}"`,
        filters: filter(side(i + 1).replace("PEER", other)),
        auth: `[{ method = "psk", secret = "${key}" }]`,
      })),
    );
  const world = (keys: readonly string[]) =>
    pair(
      rules(B, (p) => `me <-> PEER:${p} tcp`, keys),
      rules(A, (p) => `me:${p} <-> PEER tcp`, keys),
    );
  story(world([PSK, PSK]), (w) => {
    bringUp(w, w.host("A"), "r0");
    bringUp(w, w.host("A"), "r1");
    assert.equal(ikesOf(w, "A").length, 1);
  })();
});

const COMMENTED = policyOf(`${towards(B)}\n# a comment`);

test(
  "a reload with the same text keeps the SAs, and they are renewed",
  story(pair(), (world) => {
    bringUp(world);
    const before = world.sent.length;
    world.host("A").input({ type: "policy", policy: COMMENTED });
    world.run(1000);
    assert.equal(world.sent.length, before);
    const stream = world.traffic(world.host("A"), packet(A, B), 1000);
    world.run(20 * 60_000);
    assert.deepEqual(
      stream.find(({ arrival }) => arrival !== "protected"),
      undefined,
    );
  }),
);

test("five hosts with one rule for their subnet protect every pair on demand, and take it all down again", () => {
  const addresses = [1, 2, 3, 4, 5].map((n) => `192.0.2.${n}`);
  const text = towards("192.0.2.0/24", { start: '"on-traffic"' });
  story({ hosts: addresses.map((address, i) => ({ name: `H${i}`, addresses: [address], policy: policyOf(text) })) }, (world) => {
    world.run(10);
    const everyPair = (look: (from: number, to: number) => void) => {
      for (const from of addresses.keys()) for (const to of addresses.keys()) if (from !== to) look(from, to);
    };
    const ping = (from: number, to: number) => world.ping(world.host(`H${from}`), packet(addresses[from] ?? "", addresses[to] ?? ""));
    everyPair((from, to) => assert.equal(ping(from, to), "acquire"));
    world.run(5000);
    everyPair((from, to) => assert.equal(ping(from, to), "protected"));
    // Both ends of a pair may have begun at once.
    for (const host of world.hosts) assert.ok(host.xfrm.states.size >= 8 && host.xfrm.states.size <= 16);
    world.run(20 * 60_000);
    everyPair((from, to) => assert.notEqual(ping(from, to), "clear"));
  })();
});
