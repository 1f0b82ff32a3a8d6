/** Stories of configurations: keys, identities, proposals and selectors that fit or don't; rules that start by themselves. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { configuration, PSK, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair, said } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const psk = (secret: string, more = ""): string => `[{ method = "psk", secret = "${secret}"${more && `, ${more}`} }]`;
const filter = (text: string): string => `["${text}"]`;

for (const [initiator, responder] of [
  ["A", "B"],
  ["B", "A"],
] as const)
  test(
    `different keys, ${initiator} begins: both ends say "probable PSK mismatch", with peer and rule, and nothing is left`,
    story(pair(towards(B), towards(A, { auth: psk("another key altogether") })), (world) => {
      const [from, to] = [world.host(initiator), world.host(responder)];
      const id = from.initiate();
      world.run(29_999);
      const { exit, reason } = from.outcome(id);
      assert.deepEqual({ exit, reason }, { exit: 1, reason: "psk-mismatch-probable" });
      for (const host of [from, to]) {
        const line = host.events.find(({ text: t }) => t.includes("probable PSK mismatch"));
        assert.ok(line, `${host.name} says nothing`);
        assert.match(line.text, /rule peer/);
        assert.ok(line.text.includes(host.name === "A" ? B : A), line.text);
      }
      world.run(60_000);
      for (const host of world.hosts) assert.equal(host.engine.view(world.now).ikeSas.length, 0);
    }),
  );

/** Rules of the responder B for A, least specific first; each with a key of its own. */
const LADDER: readonly (readonly [string, string])[] = [
  ["any", "any"],
  ["subnet", "192.0.2.0/24"],
  ["range", "192.0.2.1-192.0.2.6"],
  ["host", A],
];

for (let known = 1; known <= LADDER.length; known++) {
  const rules = LADDER.slice(0, known);
  const [best] = rules.at(-1) ?? [""];
  test(`the key of the ${best} rule is used where there are rules for ${rules.map(([name]) => name).join(", ")}, in whatever order`, () => {
    for (const order of [rules, [...rules].reverse()]) {
      const b = configuration(
        order.map(([name, place]) => ({
          name: `"${name}"`,
          filters: filter(`me <-> ${place}`),
          auth: psk(`the key of ${name}`),
          action: '"respond"',
        })),
      );
      story(pair(towards(B, { auth: psk(`the key of ${best}`) }), b), (world) => {
        bringUp(world);
        assert.equal(ikesOf(world, "B")[0]?.rule, best);
        assertTraffic(world);
      })();
    }
  });
}

test(
  "of two rules with one key the identity decides",
  story(
    pair(
      towards(B, { auth: psk(PSK, 'local-id = "fqdn:two.example.test"') }),
      configuration(
        ["one", "two"].map((name, i) => ({
          name: `"${name}"`,
          filters: filter(`me${i === 0 ? ":80" : ""} <-> ${A}${i === 0 ? " tcp" : ""}`),
          action: '"respond"',
          auth: psk(PSK, `remote-id = "fqdn:${name}.example.test"`),
        })),
      ),
    ),
    (world) => {
      bringUp(world);
      assert.equal(ikesOf(world, "B")[0]?.rule, "two");
      assert.equal(ikesOf(world, "B")[0]?.remoteId, "fqdn:two.example.test");
    },
  ),
);

test(
  "an identity that no rule wants is refused with what the rules want",
  story(
    pair(
      towards(B, { auth: psk(PSK, 'local-id = "fqdn:c.example.test"') }),
      towards(A, { auth: psk(PSK, 'remote-id = "fqdn:a.example.test"') }),
    ),
    (world) => {
      const id = world.host("A").initiate();
      world.run(29_000);
      assert.equal(world.host("A").outcome(id).exit, 1);
      assert.ok(said(world.host("B"), "warning").some((t) => /says fqdn:c\.example\.test; rule peer wants fqdn:a\.example\.test/.test(t)));
    },
  ),
);

test(
  "an initiator insists on the identity of the peer too",
  story(pair(towards(B, { auth: psk(PSK, 'remote-id = "fqdn:b.example.test"') }), towards(A)), (world) => {
    const id = world.host("A").initiate();
    world.run(29_000);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual({ exit, reason }, { exit: 1, reason: "id-mismatch" });
    assert.match(text, /says ip:192\.0\.2\.2; rule peer wants fqdn:b\.example\.test/);
  }),
);

test(
  "no Main Mode proposal in common: the responder explains both sides, the initiator names the notify",
  story(
    pair(
      towards(B, {}, { mainMode: ["aes128-sha1-x25519", "aes256-sha1-x25519"] }),
      towards(A, {}, { mainMode: ["aes256-sha256-ecp256"] }),
    ),
    (world) => {
      const id = world.host("A").initiate();
      world.run(29_000);
      const { exit, reason, text, hint } = world.host("A").outcome(id);
      assert.deepEqual({ exit, reason }, { exit: 1, reason: "peer-refused" });
      assert.match(text, /unverified: NO-PROPOSAL-CHOSEN/);
      assert.ok(hint);
      const [line] = said(world.host("B"), "warning");
      for (const part of ["aes128-sha1-x25519", "aes256-sha1-x25519", "configured: aes256-sha256-ecp256 (rule peer)", A])
        assert.ok(line?.includes(part), `${part} is missing in: ${line}`);
      // One more try after the notify, then the end.
      assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 2);
    },
  ),
);

test(
  "no Quick Mode proposal in common: the verified refusal ends it at once, and the responder explains",
  story(pair(towards(B, {}, { quickMode: ["esp:aes256-sha1"], pfs: "x25519" }), towards(A)), (world) => {
    const id = world.host("A").initiate();
    world.run(500);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual({ exit, reason }, { exit: 1, reason: "peer-refused" });
    assert.match(text, /NO-PROPOSAL-CHOSEN/);
    const [line] = said(world.host("B"), "warning");
    assert.match(line ?? "", /esp:aes256-sha1.*configured: esp:aes128-sha256, transport, no PFS/);
  }),
);

test(
  "PFS that only the responder wants is missed in words",
  story(pair(towards(B), towards(A, {}, { pfs: "x25519" })), (world) => {
    world.host("A").initiate();
    world.run(500);
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("PFS group none offered, x25519 configured")));
  }),
);

test(
  "PFS that only the initiator wants is granted",
  story(pair(towards(B, {}, { pfs: "x25519" }), towards(A)), (world) => {
    bringUp(world);
    for (const name of ["A", "B"]) assert.equal(childrenOf(world, name)[0]?.group, "x25519");
    assertTraffic(world);
  }),
);

test(
  "selectors that do not mirror each other: the first difference is in the responder's log, and the command fails",
  story(pair(towards(B, { filters: filter(`me <-> ${B}:80 tcp`) }), towards(A, { filters: filter(`me:443 <-> ${A} tcp`) })), (world) => {
    const id = world.host("A").initiate();
    world.run(500);
    assert.deepEqual(world.host("A").outcome(id).reason, "peer-refused");
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("local port 80 offered, 443 configured")));
  }),
);

test(
  "a rule that the command does not find names those that there are",
  story(pair(), (world) => {
    const id = world.host("A").initiate("per");
    const { exit, text } = world.host("A").outcome(id);
    assert.equal(exit, 1);
    assert.match(text, /no rule is called per; rules: peer/);
  }),
);

test(
  "a peer that no rule knows gets a refusal and no state",
  story(pair(towards(B), towards("192.0.2.77")), (world) => {
    world.host("A").initiate();
    world.run(100);
    assert.deepEqual(ikesOf(world, "B"), []);
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("no rule for peer 192.0.2.1")));
    world.run(29_000);
  }),
);

// Traffic, start = now

test(
  "however many packets ask, one negotiation begins",
  story(pair(towards(B, { start: '"on-traffic"' })), (world) => {
    const a = world.host("A");
    world.run(100);
    for (let i = 0; i < 50; i++) assert.equal(world.ping(a, { ...packet(A, B), sourcePort: 1000 + i }), "acquire");
    world.run(10);
    for (let i = 0; i < 50; i++) world.ping(a, { ...packet(A, B), sourcePort: 1000 + i });
    world.run(2000);
    assertTraffic(world);
    assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 1);
    assert.equal(world.sent.filter(({ label }) => label === "QM1").length, 1);
  }),
);

test(
  "traffic of a rule with start = never begins nothing, and is not let through",
  story(pair(), (world) => {
    world.run(100);
    assert.equal(world.ping(world.host("A"), packet(A, B)), "acquire");
    world.run(1000);
    assert.deepEqual(world.sent, []);
  }),
);

test(
  "a rule with start = now comes up by itself, and comes back after every outage",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.run(1000);
    assertTraffic(world);
    world.intercept = () => DROP;
    world.run(15 * 60_000);
    for (const host of world.hosts) assert.equal(host.xfrm.states.size, 0);
    world.intercept = () => undefined;
    world.run(6 * 60_000);
    assertTraffic(world);
  }),
);

test(
  "a rule with start = now waits longer after each failure, up to five minutes",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.intercept = () => DROP;
    world.run(60 * 60_000);
    const firsts = new Map<string, number>();
    for (const { at, text } of world.rungs.flatMap((rung) => (rung.kind === "note" ? [rung] : [])))
      if (text.includes("next try in")) firsts.set(text, at);
    assert.deepEqual(
      [...firsts.keys()].map((text) => Number(/next try in (\d+) s/.exec(text)?.[1])),
      [5, 10, 20, 40, 80, 160, 300],
    );
  }),
);

test(
  "a pair that the peer brought up ends the long waits of a rule with start = now",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.intercept = () => DROP;
    world.run(15 * 60_000);
    world.intercept = () => undefined;
    const b = world.host("B");
    bringUp(world, b);
    for (const { id } of childrenOf(world, "B")) b.command({ name: "terminate", target: { kind: "child", id } });
    world.run(6000);
    assertTraffic(world);
  }),
);

for (const reason of ["delete", "reboot", "terminate"] as const)
  test(
    `a rule with start = now comes back after the peer's ${reason}`,
    story(pair(towards(B, { start: '"now"' })), (world) => {
      world.run(1000);
      const b = world.host("B");
      if (reason === "reboot") world.reboot(b);
      if (reason === "terminate") b.command({ name: "terminate", target: { kind: "all" } });
      if (reason === "delete") for (const { id } of childrenOf(world, "B")) b.command({ name: "terminate", target: { kind: "child", id } });
      world.run(6 * 60_000);
      assertTraffic(world);
    }),
  );

test(
  "terminate means it: a rule with start = now stays down until it is asked for again",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.run(1000);
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(60 * 60_000);
    for (const host of world.hosts) assert.equal(host.xfrm.states.size, 0);
    bringUp(world);
  }),
);

test(
  "terminate during the first tries of a rule with start = now ends them",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.intercept = () => DROP;
    world.run(50_000);
    world.host("A").command({ name: "terminate", target: { kind: "rule", rule: "peer" } });
    world.intercept = () => undefined;
    world.run(20 * 60_000);
    assert.equal(ikesOf(world, "A").length, 0);
  }),
);

// What stands in the kernel

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

test("two rules of one peer with one key share the IKE SA; with different keys they don't", () => {
  const rules = (other: string, side: (port: number) => string, keys: readonly string[]) =>
    configuration(keys.map((key, i) => ({ name: `"r${i}"`, filters: filter(side(i + 1).replace("PEER", other)), auth: psk(key) })));
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

test(
  "initiate twice: the second is answered at once with what is up",
  story(pair(), (world) => {
    bringUp(world);
    const before = world.sent.length;
    const id = world.host("A").initiate();
    world.run(1);
    assert.equal(world.host("A").outcome(id).exit, 0);
    assert.ok(
      world
        .host("A")
        .replies.get(id)
        ?.some(({ text }) => text.startsWith("already up")),
    );
    assert.equal(world.sent.length, before);
  }),
);

test(
  "two commands for one rule at the same time share one negotiation, and both hear the end",
  story(pair(), (world) => {
    const a = world.host("A");
    const ids = [a.initiate(), a.initiate()];
    world.run(1000);
    for (const id of ids) assert.equal(a.outcome(id).exit, 0);
    assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 1);
  }),
);

test(
  "a command whose patience ends first hears 75, and the negotiation goes on",
  story(pair(), (world) => {
    world.intercept = (sent) => (sent.label === "MM2" && sent.nth <= 3 ? DROP : undefined);
    const a = world.host("A");
    const id = a.initiate("peer", 2);
    world.run(2000);
    assert.equal(a.outcome(id).exit, 75);
    world.run(10_000);
    assertTraffic(world);
  }),
);

test(
  "no secret is in any log line, reply or status",
  story(pair(towards(B), towards(A, { auth: psk("another key altogether") })), (world) => {
    world.host("A").initiate();
    world.run(60_000);
    const everything = JSON.stringify(world.hosts.map((host) => [host.events, [...host.replies.values()], host.engine.view(world.now)]));
    assert.ok(everything.length > 1000);
    for (const key of [PSK, "another key altogether"]) assert.ok(!everything.includes(key));
  }),
);

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
