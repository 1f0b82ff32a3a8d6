/** Stories of clear text: peers that speak no IKE, negotiation discovery, boundaries, rules for one direction, permits and blocks. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;

const request: RuleText = { action: '"request"', start: '"on-traffic"' };
const discovery: RuleText = { action: '"require"', start: '"on-traffic"', discovery: "true" };
const respond: RuleText = { action: '"respond"' };

const softOf = (world: World, name: string) => world.host(name).engine.view(world.now).softSas;
const ping = (world: World): string => world.ping(world.host("A"), packet(A, B));
const answer = (world: World): string => world.ping(world.host("B"), packet(B, A));

/** A story that begins once the policies are in the kernels. */
const scene = (options: WorldOptions, tell: (world: World) => void): (() => void) =>
  story(options, (world) => {
    world.run(10);
    tell(world);
  });

/** Nothing of B's arrives anywhere, and nothing reaches it. */
const silence = (world: World): void => {
  world.intercept = () => DROP;
};

test(
  "request, and a peer that speaks no IKE: three seconds of silence, then clear text both ways for five minutes, then it is asked again",
  scene(pair(towards(B, request), towards(A, respond)), (world) => {
    silence(world);
    assert.equal(ping(world), "acquire");
    world.run(2900);
    assert.equal(ping(world), "acquire");
    assert.equal(softOf(world, "A").length, 0);
    world.run(200);
    assert.equal(ping(world), "clear");
    assert.equal(answer(world), "clear");
    assert.deepEqual(
      softOf(world, "A").map(({ rule, local, remote, secondsLeft }) => [rule, local, remote, secondsLeft]),
      [["peer", `${A}/32`, `${B}/32`, 300]],
    );
    world.run(299 * SECOND);
    assert.equal(ping(world), "clear");
    world.run(2 * SECOND);
    assert.equal(softOf(world, "A").length, 0);
    assert.equal(ping(world), "acquire");
    world.run(3100);
    assert.equal(ping(world), "clear");
    assert.equal(said(world.host("A"), "notice").filter((text) => text.includes("sends no IKE packet")).length, 2);
  }),
);

test(
  "request with its own times, for a subnet: other hosts of it are asked for themselves",
  scene(pair(towards("192.0.2.0/24", { ...request, "fallback-after": '"1s"', "fallback-for": '"10s"' }), towards(A, respond)), (world) => {
    silence(world);
    ping(world);
    world.run(1100);
    assert.equal(ping(world), "clear");
    assert.equal(world.ping(world.host("A"), packet(A, "192.0.2.77")), "acquire");
    world.run(10_000);
    assert.equal(ping(world), "acquire");
  }),
);

test(
  "request, and a peer that answers: protected, and never in clear",
  scene(pair(towards(B, request), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    assertTraffic(world);
    world.run(MINUTE);
    assert.equal(softOf(world, "A").length, 0);
    assertTraffic(world);
  }),
);

for (const target of [{ kind: "rule", rule: "peer" }, { kind: "all" }] as const)
  test(
    `terminate ${target.kind} ends clear text with a silent peer, too: the next packet asks again`,
    scene(pair(towards(B, request), towards(A, respond)), (world) => {
      silence(world);
      ping(world);
      world.run(2 * MINUTE);
      assert.equal(ping(world), "clear");
      const host = world.host("A");
      const id = host.command({ name: "terminate", target });
      world.run(100);
      assert.deepEqual(host.replies.get(id), [{ text: "1 SA closed", exit: 0 }]);
      assert.equal(softOf(world, "A").length, 0);
      assert.equal(ping(world), "acquire");
      assert.match(said(host, "notice").at(-1) ?? "", /no longer in clear, it was terminated by command/);
      world.run(3100);
      host.command({ name: "terminate", target: { kind: "rule", rule: "other" } });
      world.run(100);
      assert.equal(ping(world), "clear");
    }),
  );

const otherKey = { ...respond, auth: `[{ method = "psk", secret = "another key altogether" }]` };
const otherProposals = towards(A, respond, { mainMode: ["aes256-sha1-modp2048"] });
for (const [why, theirs] of [
  ["has another key", towards(A, otherKey)],
  ["has no proposal in common", otherProposals],
] as const)
  test(
    `request, and a peer that ${why}: it speaks IKE, so nothing ever goes in clear`,
    scene(pair(towards(B, request), theirs), (world) => {
      const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
      world.run(10 * MINUTE);
      assert.ok(arrivals.length > 500);
      assert.ok(arrivals.every(({ arrival }) => arrival === "acquire"));
      assert.equal(softOf(world, "A").length, 0);
    }),
  );

test(
  "request, and a peer that has protected traffic and then falls silent: five minutes more without clear text",
  scene(pair(towards(B, request), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    silence(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(6 * MINUTE);
    assert.ok(arrivals.every(({ arrival }) => arrival !== "clear"));
    world.run(3 * MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "clear");
  }),
);

test(
  "a soft SA ends when the peer proves itself, whoever begins",
  scene(pair(towards(B, request), towards(A, request)), (world) => {
    silence(world);
    ping(world);
    world.run(3100);
    assert.equal(ping(world), "clear");
    world.intercept = () => undefined;
    bringUp(world, world.host("B"));
    assert.equal(softOf(world, "A").length, 0);
    assertTraffic(world);
    assert.ok(said(world.host("A")).some((text) => text.includes("the peer speaks IKE now")));
  }),
);

test(
  "a soft SA goes with its rule, and with a daemon that hands over",
  scene(pair(towards(B, request), towards(A, respond)), (world) => {
    silence(world);
    const a = world.host("A");
    ping(world);
    world.run(3100);
    a.input({ type: "policy", policy: policyOf(towards(B, { ...request, "fallback-for": '"6m"' })) });
    world.run(10);
    assert.equal(softOf(world, "A").length, 0);
    assert.equal(ping(world), "acquire");
    world.run(3100);
    assert.equal(ping(world), "clear");
    a.command({ name: "shutdown", keep: true });
    world.run(100);
    assert.equal(ping(world), "acquire");
    world.reboot(a);
  }),
);

test(
  "discovery: in clear until the peer has answered, protected from then on, and not in clear again when its SAs end",
  scene(pair(towards(B, discovery), towards(A, respond)), (world) => {
    assert.equal(ping(world), "clear");
    world.run(1000);
    assertTraffic(world);
    silence(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(6 * MINUTE);
    assert.ok(arrivals.every(({ arrival }) => arrival !== "clear"));
    assert.ok(arrivals.some(({ arrival }) => arrival === "acquire"));
    world.run(3 * MINUTE);
    assert.equal(ping(world), "clear");
  }),
);

test(
  "discovery takes up again under its guard, without a packet in clear",
  scene(pair(towards(B, discovery), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(100);
    assert.equal(ping(world), "acquire");
    world.run(1000);
    assertTraffic(world);
    world.run(10 * MINUTE);
  }),
);

for (const [name, text] of [
  ["discovery", discovery],
  ["request", request],
] as const)
  test(
    `${name}: a daemon that dies under its guard finds it again, and nothing goes in clear until its time is over`,
    scene(pair(towards(B, text), towards(A, respond)), (world) => {
      const a = world.host("A");
      a.keepJournal();
      world.run(10);
      ping(world);
      world.run(1000);
      assertTraffic(world);
      silence(world);
      a.command({ name: "terminate", target: { kind: "all" } });
      world.run(MINUTE);
      a.crash();
      const arrivals = world.traffic(a, packet(A, B), SECOND);
      world.run(3.9 * MINUTE);
      assert.deepEqual(
        arrivals.filter(({ arrival }) => arrival === "clear"),
        [],
      );
      world.run(5 * MINUTE);
      assert.equal(ping(world), "clear");
      a.crash();
      world.run(1000);
      assert.notEqual(ping(world), "protected");
    }),
  );

test(
  "discovery between hosts that both have it: clear text comes in until there are SAs, and not afterwards",
  scene(pair(towards(B, { ...discovery, "inbound-clear": "true" }), towards(A, { ...discovery, "inbound-clear": "true" })), (world) => {
    assert.equal(ping(world), "clear");
    world.run(1000);
    assertTraffic(world);
    assert.equal(world.host("B").xfrm.inbound(packet(A, B), []), false);
  }),
);

for (const [what, rule] of [
  ["require with inbound-clear and discovery", { ...discovery, "inbound-clear": "true" }],
  ["request with discovery", { ...request, discovery: "true" }],
] as const)
  test(
    `a boundary (${what}) whose peer only answers, and has ended its SAs: clear text comes in again, and nothing leaves in clear`,
    scene(pair(towards(B, rule), towards(A, respond)), (world) => {
      assert.equal(ping(world), "clear");
      world.run(1000);
      assertTraffic(world);
      assert.equal(world.host("A").xfrm.inbound(packet(B, A), []), false);
      world.host("B").command({ name: "terminate", target: { kind: "all" } });
      world.run(1000);
      assert.equal(answer(world), "clear");
      assert.equal(ping(world), "acquire");
      world.run(1000);
      assert.equal(ping(world), "protected");
    }),
  );

test(
  "require with discovery alone takes nothing in clear from a peer that has ended its SAs",
  scene(pair(towards(B, discovery), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    world.host("B").command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    assert.equal(answer(world), "refused");
  }),
);

test(
  "a boundary accepts clear text and answers protected; with SAs it still does",
  scene(pair("", towards(A, { action: '"require"', start: '"on-traffic"', "inbound-clear": "true" })), (world) => {
    assert.equal(ping(world), "clear");
    assert.equal(answer(world), "acquire");
    world.run(MINUTE);
  }),
);

test(
  "a rule for one direction demands protection of what leaves, and takes what comes as it comes",
  scene(pair(towards(B, { filters: `["me -> ${B}"]`, start: '"on-traffic"' }), towards(A, respond)), (world) => {
    assert.equal(answer(world), "clear");
    assert.equal(ping(world), "acquire");
    world.run(1000);
    assert.equal(ping(world), "protected");
    assert.equal(childrenOf(world, "A").length, 1);
  }),
);

const several = configuration([
  { name: '"all"', filters: `["me <-> ${B}"]`, start: '"on-traffic"' },
  { name: '"web"', action: '"permit"', filters: `["me <-> ${B}:80 tcp"]`, auth: "", start: "" },
  { name: '"smb"', action: '"block"', filters: `["me <-> ${B}:445 tcp"]`, auth: "", start: "" },
]);
test(
  "permit and block are holes and walls in a rule that requires, by the packet's own port",
  scene(pair(several, towards(A, respond)), (world) => {
    assert.equal(ping(world), "clear");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 445 }), "refused");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 22 }), "acquire");
    world.run(1000);
    assert.equal(ping(world), "clear");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 22 }), "protected");
    assert.equal(world.ping(world.host("A"), { ...packet(A, B), destinationPort: 445 }), "refused");
  }),
);

test(
  "what a run without a journal left of clear text does not outlive the next start",
  scene(pair(towards(B, request), towards(A, respond)), (world) => {
    silence(world);
    const a = world.host("A");
    ping(world);
    world.run(3100);
    assert.equal(ping(world), "clear");
    a.crash();
    world.run(100);
    assert.equal(ping(world), "acquire");
  }),
);

/** Until the policies of a rule about everything stand. */
const STANDING = 100;
const walled = (rule: RuleText): string =>
  configuration([
    { name: '"all"', filters: '["me <-> any"]', ...rule },
    { name: '"web"', action: '"permit"', filters: '["me <-> any:80 tcp"]', auth: "", start: "" },
    { name: '"smb"', action: '"block"', filters: '["me <-> any:445 tcp"]', auth: "", start: "" },
  ]);
const to = (world: World, port: number): string => world.ping(world.host("A"), { ...packet(A, B), destinationPort: port });

test(
  "a soft SA opens what its rule is about, and nothing that a narrower rule blocks, although its policy names both hosts",
  scene(pair(walled(request), towards(A, respond)), (world) => {
    world.run(STANDING);
    silence(world);
    assert.equal(to(world, 22), "acquire");
    world.run(3100);
    assert.deepEqual([to(world, 22), to(world, 445), to(world, 80)], ["clear", "refused", "clear"]);
  }),
);

for (const [what, rule] of [
  ["discovery", discovery],
  [
    "other protocols than the first offer has",
    { start: '"on-traffic"', "quick-mode": '{ proposals = ["ah:sha256", "esp:aes128-sha256"] }' },
  ],
] as const)
  test(
    `what stands in front because of ${what} leaves narrower rules their traffic`,
    scene(pair(walled(rule), towards(A, respond)), (world) => {
      world.run(STANDING);
      to(world, 22);
      world.run(1000);
      assert.deepEqual([to(world, 22), to(world, 445), to(world, 80)], ["protected", "refused", "clear"]);
    }),
  );

test(
  "a peer may ask for everything between the hosts although narrower rules permit or block a part; that part stays theirs",
  scene(pair(walled({ start: '"on-traffic"' }), towards(A)), (world) => {
    bringUp(world, world.host("B"));
    assert.deepEqual([to(world, 22), to(world, 445)], ["protected", "refused"]);
  }),
);

test(
  "what a permit is about as a whole can't be asked for",
  scene(pair(walled({ start: '"on-traffic"' }), towards(A, { filters: `["me:80 <-> ${A} tcp"]` })), (world) => {
    const id = world.host("B").initiate();
    world.run(5000);
    assert.equal(world.host("B").outcome(id).exit, 1);
    assert.ok(said(world.host("A")).some((text) => text.includes("rule web (permit) decides about that traffic")));
  }),
);

const member = '"fqdn:member.example.test"';
for (const [what, intercept] of [
  ["its proof is refused", undefined],
  ["only its first answer arrives", "MM4"],
] as const)
  test(
    `request, and a peer that speaks IKE while ${what}: nothing in clear, however often traffic asks`,
    scene(pair(towards(B, { ...request, "remote-id": member }), towards(A, respond)), (world) => {
      world.intercept = (sent) => (sent.label === intercept || sent.label === "INFO" ? DROP : undefined);
      const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
      world.run(10 * MINUTE);
      assert.ok(arrivals.every(({ arrival }) => arrival === "acquire"));
    }),
  );

test(
  "request for a subnet falls back again once five minutes have gone since the peer was protected, and leaves nothing behind",
  scene(pair(towards("192.0.2.0/24", request), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    assertTraffic(world);
    silence(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(15 * MINUTE);
    assert.ok(arrivals.slice(0, 300).every(({ arrival }) => arrival !== "clear"));
    assert.ok(arrivals.slice(-120).some(({ arrival }) => arrival === "clear"));
  }),
);

// Read before the world begins, which counts the keys that are made in it.
const LONGER = policyOf(towards(B, { ...discovery, "quick-mode": '{ lifetime = "6m" }' }));
test(
  "a reload that changes a discovery rule lets nothing out that was protected",
  scene(pair(towards(B, discovery), towards(A, respond)), (world) => {
    ping(world);
    world.run(1000);
    assertTraffic(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), 10);
    world.host("A").input({ type: "policy", policy: LONGER });
    world.run(3000);
    assert.ok(arrivals.every(({ arrival }) => arrival !== "clear"));
    assert.equal(arrivals.at(-1)?.arrival, "protected");
  }),
);

test(
  "the default response rule answers nobody about traffic for which an equal rule demands more",
  scene(
    pair(
      configuration([
        { name: '"all"', filters: '["me <-> any"]', start: '"on-traffic"', "remote-id": member },
        { name: '"default"', ...respond },
      ]),
      towards(A),
    ),
    (world) => {
      const id = world.host("B").initiate();
      world.run(5000);
      assert.equal(world.host("B").outcome(id).exit, 1);
      assert.equal(world.host("A").xfrm.inbound(packet(B, A), []), false);
    },
  ),
);

const multicast = (world: World): string => world.ping(world.host("A"), { ...packet(A, "224.0.0.251"), protocol: 17 });
test(
  "require: what goes to a multicast group, or to this host itself, is dropped, and nobody is asked",
  scene(pair(towards("any", { start: '"on-traffic"' }), towards(A, respond)), (world) => {
    world.run(STANDING);
    assert.equal(multicast(world), "acquire");
    assert.equal(world.ping(world.host("A"), packet(A, A)), "acquire");
    world.run(1000);
    assert.deepEqual(world.sent, []);
  }),
);
test(
  "request: what goes to a multicast group goes in clear at once, and nobody is asked",
  scene(pair(towards("any", request), towards(A, respond)), (world) => {
    world.run(STANDING);
    assert.equal(multicast(world), "acquire");
    world.run(100);
    // It leaves; nobody here has that address.
    assert.equal(multicast(world), "lost");
    assert.deepEqual(world.sent, []);
  }),
);

const BROADCAST = "192.0.2.255";
/** To the broadcast address of A's network, which A hears of as addresses come. */
const broadcast = (world: World): string => world.ping(world.host("A"), { ...packet(A, BROADCAST), protocol: 17 });
for (const [what, ours, then, sent] of [
  ["require", { start: '"on-traffic"' }, "acquire", 0],
  ["require with discovery", discovery, "lost", 0],
  ["request", request, "lost", 0],
] as const)
  test(
    `${what}: what goes to the broadcast address of a network of ours is as what goes to 255.255.255.255: nobody is asked`,
    scene(pair(towards("192.0.2.0/24", ours), towards(A, respond)), (world) => {
      const a = world.host("A");
      a.input({ type: "addresses", addresses: a.addresses, broadcasts: [BROADCAST] });
      world.run(STANDING);
      broadcast(world);
      world.run(1000);
      assert.equal(broadcast(world), then);
      assert.equal(world.sent.length, sent);
      assert.deepEqual(a.engine.view(world.now).ikeSas, []);
    }),
  );
test(
  "an exempt broadcast address passes in clear as soon as it is there, and is a host's as any other when it has gone",
  scene(
    pair(
      `[policy]
exempt = ["broadcast"]
${towards("192.0.2.0/24", { start: '"on-traffic"' })}`,
      towards(A, respond),
    ),
    (world) => {
      const a = world.host("A");
      for (const [broadcasts, met] of [
        [[], "acquire"],
        [[BROADCAST], "lost"],
        [[], "acquire"],
      ] as const) {
        a.input({ type: "addresses", addresses: a.addresses, broadcasts });
        world.run(STANDING);
        assert.equal(broadcast(world), met);
      }
    },
  ),
);

/** It would hear clear text, and answer it. */
const HEARS_ALL = { "inbound-clear": "true" };
for (const [what, ours, theirs] of [
  ["has another key", request, towards(A, { ...HEARS_ALL, auth: '[{ method = "psk", secret = "another throwaway key" }]' })],
  ["is not whom the rule wants", { ...request, "remote-id": member }, towards(A, HEARS_ALL)],
  ["refuses what we offer", request, towards(A, HEARS_ALL, { mainMode: ["aes256-sha512-x25519"] })],
] as const)
  test(
    `request, and a peer that is slow to answer and then ${what}: it is let through no longer`,
    scene(pair(towards(B, ours), theirs), (world) => {
      silence(world);
      ping(world);
      world.run(3500);
      assert.equal(ping(world), "clear");
      world.intercept = () => undefined;
      world.run(MINUTE);
      const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
      world.run(3 * MINUTE);
      assert.ok(arrivals.length > 100 && arrivals.every(({ arrival }) => arrival !== "clear"));
      assert.ok(said(world.host("A")).some((text) => text.includes("no longer in clear, the peer speaks IKE, and has not proved itself")));
    }),
  );

test(
  "request, and a peer that has failed its own negotiation and answers nothing: no clear text for it",
  // It would hear clear text, and answer it.
  scene(pair(towards(B, { ...request, "remote-id": member }), towards(A, { "inbound-clear": "true" })), (world) => {
    world.host("B").initiate();
    world.run(5000);
    world.intercept = () => DROP;
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(4 * MINUTE);
    assert.ok(arrivals.every(({ arrival }) => arrival !== "clear"));
  }),
);
