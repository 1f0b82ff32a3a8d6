/** Stories of beginnings: traffic that asks, rules that start by themselves, commands that wait. */
import assert from "node:assert/strict";
import test from "node:test";
import { DROP } from "./network.ts";
import { configuration, PSK, policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair } from "./setting.ts";
import { inWorld, story, type World } from "./world.ts";

const refused = policyOf(
  configuration([
    { filters: `["me <-> ${B}"]`, start: '"on-traffic"', "quick-mode": '{ lifetime = "6m" }' },
    { name: '"web"', filters: `["me <-> ${B}:80 tcp"]`, start: '"on-traffic"' },
  ]),
);
test(
  "what the peer refuses is asked for again after waits that grow, other needs at once, and the same at once when its rule has changed",
  story(
    pair(
      configuration([
        { filters: `["me <-> ${B}"]`, start: '"on-traffic"' },
        { name: '"web"', filters: `["me <-> ${B}:80 tcp"]`, start: '"on-traffic"' },
      ]),
      towards(A, { action: '"respond"', filters: `["me:80 <-> ${A} tcp"]` }),
    ),
    (world) => {
      const a = world.host("A");
      world.run(100);
      const asked = (): number => world.sent.filter(({ label }) => label === "QM1").length;
      world.traffic(a, { ...packet(A, B), destinationPort: 22 }, 1000);
      world.run(60_000);
      assert.ok(asked() >= 3 && asked() <= 6, `${asked()} in a minute`);
      const before = asked();
      world.ping(a, packet(A, B));
      world.run(500);
      assert.equal(world.ping(a, packet(A, B)), "protected");
      assert.equal(asked(), before + 1);
      world.run(240_000);
      const later = asked();
      assert.ok(later <= before + 1 + 9, `${later - before} in four minutes`);
      a.input({ type: "policy", policy: refused });
      world.run(1500);
      assert.equal(asked(), later + 1);
    },
  ),
);

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
  "a rule with start = now waits longer after each failure, up to five minutes, and never quite as long as another",
  story(pair(towards(B, { start: '"now"' })), (world) => {
    world.intercept = () => DROP;
    world.run(60 * 60_000);
    const firsts = new Map<string, number>();
    for (const { at, text } of world.rungs.flatMap((rung) => (rung.kind === "note" ? [rung] : [])))
      if (text.includes("next try in")) firsts.set(text, at);
    const waits = [...firsts.keys()].map((text) => Number(/next try in (\d+) s/.exec(text)?.[1]));
    for (const [i, longest] of [5, 10, 20, 40, 80, 160, 300].entries()) {
      const wait = waits[i] ?? 0;
      assert.ok(wait <= longest && wait >= Math.floor(longest * 0.75), `wait ${i + 1} is ${wait} s`);
    }
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

// Commands

test(
  "a command that waits no longer has begun all the same, even before the route was known",
  story(pair(), (world) => {
    world.host("A").routeMs = 500;
    const id = world.host("A").initiate("peer", 0);
    world.run(2000);
    assert.equal(world.host("A").outcome(id).reason, "peer-silent");
    assertTraffic(world);
  }),
);

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
  story(pair(towards(B), towards(A, { auth: '[{ method = "psk", secret = "another key altogether" }]' })), (world) => {
    world.host("A").initiate();
    world.run(60_000);
    const everything = JSON.stringify(world.hosts.map((host) => [host.events, [...host.replies.values()], host.engine.view(world.now)]));
    assert.ok(everything.length > 1000);
    for (const key of [PSK, "another key altogether"]) assert.ok(!everything.includes(key));
  }),
);

test(
  "a filter that names another address of ours speaks from that one, whatever the route says",
  story(
    {
      hosts: [
        { name: "A", addresses: [A, "192.0.2.11"], policy: policyOf(configuration([{ filters: `["192.0.2.11 <-> ${B}"]` }])) },
        { name: "B", addresses: [B], policy: policyOf(configuration([{ filters: '["me <-> 192.0.2.11"]' }])) },
      ],
    },
    (world) => {
      bringUp(world);
      assert.deepEqual(
        childrenOf(world, "A").map(({ local }) => local),
        ["192.0.2.11/32"],
      );
    },
  ),
);

/** Takes every message of A's away before it leaves for so long, and says so. */
function cutOff(world: World, until: number): void {
  const path = { local: { address: A, port: 500 }, remote: { address: B, port: 500 } };
  world.intercept = ({ from }) => {
    if (from !== A || world.now >= until) return undefined;
    world.after(1, () => world.host("A").input({ type: "send-failed", path, why: "ENETUNREACH" }));
    return DROP;
  };
}

test(
  "messages that never left this machine are the reason why no answer came: the command ends with 1, not 75",
  story(pair(), (world) => {
    cutOff(world, Number.POSITIVE_INFINITY);
    const a = world.host("A");
    const hasty = a.initiate("peer", 2);
    const id = a.initiate("peer", 60);
    world.run(60_000);
    for (const command of [hasty, id]) assert.deepEqual([a.outcome(command).exit, a.outcome(command).reason], [1, "not-sent"]);
    assert.match(a.outcome(id).text, new RegExp(`nothing could be sent to ${B}:500 from ${A}: ENETUNREACH`));
    assert.match(a.replies.get(id)?.[0]?.text ?? "", /is being negotiated already/);
    // What was true then is not the reason any more once messages leave again.
    cutOff(world, world.now + 3000);
    const mute = world.intercept;
    world.intercept = (sent) => (sent.from === B ? DROP : mute(sent));
    const later = a.initiate("peer", 60);
    world.run(60_000);
    assert.deepEqual([a.outcome(later).exit, a.outcome(later).reason], [75, "peer-silent"]);
  }),
);

test(
  "a message that could not be sent changes nothing for those that follow",
  story(pair(), (world) => {
    cutOff(world, 2000);
    const id = world.host("A").initiate();
    world.run(20_000);
    assert.equal(world.host("A").outcome(id).exit, 0);
    const path = { local: { address: A, port: 500 }, remote: { address: B, port: 500 } };
    for (const host of world.hosts) host.input({ type: "send-failed", path, why: "EPERM" });
    assertTraffic(world);
  }),
);

test(
  "a rule for a subnet names no peer: the command asks for one, and with it negotiates for these two hosts",
  story(pair(towards("192.0.2.0/24"), towards("192.0.2.0/24", { action: '"respond"' })), (world) => {
    const a = world.host("A");
    const lost = a.initiate();
    assert.deepEqual([a.outcome(lost).exit, a.outcome(lost).reason], [1, "no-rule"]);
    assert.match(a.outcome(lost).text, /--peer/);
    const id = a.initiate("peer", 30, B);
    world.run(1000);
    assert.equal(a.outcome(id).exit, 0);
    assertTraffic(world);
    assert.match(a.outcome(lost).hint ?? "", /--peer/);
    const { exit, reason, text, hint } = a.outcome(a.initiate("peer", 30, "198.51.100.1"));
    assert.deepEqual([exit, reason], [1, "no-rule"]);
    assert.equal(text, "rule peer is not for 198.51.100.1; its peers are 192.0.2.0/24");
    assert.match(hint ?? "", /--peer/);
  }),
);

test("a stop that keeps leaves kernel and peer as they are, and answers nobody any more", () => {
  inWorld(pair(), (world) => {
    bringUp(world);
    const [a, b] = [world.host("A"), world.host("B")];
    const before = world.sent.length;
    a.command({ name: "shutdown", keep: true });
    world.run(1000);
    assert.ok(a.stopped);
    assert.equal(world.sent.length, before);
    assert.deepEqual([a.xfrm.states.size, a.xfrm.policies.size], [2, 2]);
    assertTraffic(world);
    b.command({ name: "terminate", target: { kind: "all" } });
    b.initiate();
    world.run(30_000);
    assert.ok(world.sent.slice(before).every(({ from }) => from === B));
  });
});

test(
  "answers to questions that nobody asked mean nothing",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    for (const id of [0, 1, 2, 99]) {
      a.input({ type: "kernel-done", id, outcome: { ok: true, value: [] } });
      a.input({ type: "route-done", id, local: A });
    }
    world.run(1000);
    assertTraffic(world);
  }),
);

const WIDE = towards("10.0.0.0/8", { action: '"request"', start: '"on-traffic"' });
policyOf(WIDE);
test(
  "our answers to clear packets of a thousand forged addresses begin Main Modes at a bounded rate, and with each address one at a time",
  story({ hosts: [{ name: "A", addresses: [A], policy: policyOf(WIDE) }] }, (world) => {
    const a = world.host("A");
    world.run(100);
    const firsts = (): readonly string[] => world.sent.filter(({ label }) => label === "MM1").map(({ to }) => to);
    const forged = (): void => {
      for (let i = 0; i < 1000; i++) world.ping(a, packet(A, `10.0.${i >> 8}.${i & 255}`));
    };
    forged();
    assert.equal(firsts().length, 101);
    world.run(900);
    assert.ok(firsts().length <= 101 + 181, `${firsts().length}`);
    // However often each is asked for: the five messages of one Main Mode, and nothing for a while after it.
    for (let second = 0; second < 30; second++) {
      forged();
      world.run(1000);
    }
    const most = new Map<string, number>();
    for (const to of firsts()) most.set(to, (most.get(to) ?? 0) + 1);
    assert.equal(Math.max(...most.values()), 5);
  }),
);
