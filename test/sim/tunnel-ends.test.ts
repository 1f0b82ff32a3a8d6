/** A tunnel whose own end is left to the route: what it requires to be protected never goes in clear, whether the end is known, was known or is looked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import { describeCommand } from "../../kernel/xfrm-args.ts";
import { explain } from "../../policy/why.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B, bringUp, packet, pair, said } from "./setting.ts";
import { story, type WorldOptions } from "./world.ts";

const ROAMING: RuleText = {
  filters: '["10.1.0.0/16 <-> 10.2.0.0/16"]',
  mode: '"tunnel"',
  tunnel: `{ remote = "${B}" }`,
  start: '"on-traffic"',
};
const OTHER_KEY: RuleText = { ...ROAMING, auth: '[{ method = "psk", secret = "another key, only of this test" }]' };
const THEIRS = configuration([
  { filters: '["10.2.0.0/16 <-> 10.1.0.0/16"]', mode: '"tunnel"', tunnel: `{ local = "${B}", remote = "${A}" }` },
]);
const ours = (rule: RuleText): string => configuration([rule]);
// Read here, so that the leak check counts none of their keys.
const CHANGED = policyOf(ours(OTHER_KEY));
const RENAMED = policyOf(ours({ ...OTHER_KEY, name: '"other"' }));
const ELSEWHERE = policyOf(ours({ ...OTHER_KEY, name: '"other"', tunnel: '{ remote = "192.0.2.9" }' }));
const OUT = packet("10.1.0.5", "10.2.0.5");
const INWARD = packet("10.2.0.5", "10.1.0.5");

const world = (more: Partial<WorldOptions> = {}): WorldOptions => pair(ours(ROAMING), THEIRS, more);

/** What becomes of packets that leave, and whether clear ones are let in or through. */
const verdicts = (host: Host): readonly string[] => [
  host.xfrm.outbound(OUT).kind,
  ...(["in", "fwd"] as const).map((way) => (host.xfrm.inbound(INWARD, [], way) ? "clear" : "refused")),
];
const SHUT = ["blocked", "refused", "refused"];
const ASKS = ["acquire", "refused", "refused"];

/** Commands about policies that a host's kernel hears from now on, until it shall stop; after each nothing may pass in clear. */
function follow(host: Host): readonly KernelCommand[] {
  const command = host.command.bind(host);
  let stops = false;
  host.command = (given) => {
    stops ||= given.name === "shutdown";
    return command(given);
  };
  const heard: KernelCommand[] = [];
  const apply = host.xfrm.apply.bind(host.xfrm);
  host.xfrm.apply = (commands) => {
    for (const [i, command] of commands.entries()) {
      if ("policy" in command) heard.push(command);
      const outcome = apply([command]);
      if (!outcome.ok) return { ok: false, error: { ...outcome.error, index: i } };
      assert.ok(stops || !verdicts(host).includes("clear"), `in clear after ${describeCommand(command)}`);
    }
    return apply([]);
  };
  return heard;
}

test(
  "a reload with another key changes no policy of such a tunnel",
  story(world(), (world) => {
    const a = world.host("A");
    world.run(100);
    assert.deepEqual(verdicts(a), ASKS);
    const heard = follow(a);
    a.routeMs = 500;
    a.input({ type: "policy", policy: CHANGED });
    world.run(2000);
    assert.deepEqual(heard.map(describeCommand), []);
    assert.deepEqual(verdicts(a), ASKS);
  }),
);

test(
  "after a reload under another name, and with another far end, nothing passes in clear before the route is known",
  story(world(), (world) => {
    const a = world.host("A");
    world.run(100);
    follow(a);
    a.routeMs = 500;
    a.input({ type: "policy", policy: RENAMED });
    world.run(200);
    assert.deepEqual(verdicts(a), ASKS);
    a.input({ type: "policy", policy: ELSEWHERE });
    // The answer that comes now is about the far end of before.
    world.run(400);
    assert.deepEqual(verdicts(a), SHUT);
    world.run(2000);
    assert.deepEqual(verdicts(a), ASKS);
  }),
);

for (const journal of [true, false])
  test(`a start after a crash ${journal ? "with" : "without"} a journal finds the end in the kernel's policies, and changes none of them`, () => {
    story(world(), (world) => {
      const a = world.host("A");
      if (journal) a.keepJournal();
      world.run(100);
      const heard = follow(a);
      a.routed = false;
      a.crash();
      world.run(5000);
      assert.equal(heard.filter((command) => command.do === "remove-policy").length, 0);
      assert.deepEqual(verdicts(a), ASKS);
      assert.deepEqual(said(a, "warning", "error"), []);
    })();
  });

test(
  "a start after a crash, with another far end and without a route, shuts what stood, and no packet passes in between",
  story(world(), (world) => {
    const a = world.host("A");
    a.keepJournal();
    world.run(100);
    follow(a);
    a.routed = false;
    a.policy = ELSEWHERE;
    a.crash();
    world.run(5000);
    assert.deepEqual(verdicts(a), SHUT);
  }),
);

test(
  "where the route comes late, the tunnel is shut until then and works afterwards; the log has one line for each",
  story(world(), (world) => {
    const a = world.host("A");
    a.routed = false;
    a.reboot();
    world.run(10 * 60_000);
    assert.deepEqual(verdicts(a), SHUT);
    const shut = explain(a.engine.inForce(), [A], INWARD);
    assert.equal(shut.verdict, "drop");
    assert.match(shut.says, /drops it until the route to 192\.0\.2\.2 tells this host's own end/);
    const asked = a.routeQuestions;
    assert.ok(asked > 10 && asked < 30, `${asked} questions in ten minutes`);
    const lines = a.events.filter(({ event }) => event === "policy.failed");
    assert.deepEqual(
      lines.map(({ text, rule, peer, reason }) => [text, rule, peer, reason]),
      [
        [
          `rule peer: no route to ${B} tells this host's own end of the tunnel; what the rule is about is dropped until there is one`,
          "peer",
          B,
          "no-route",
        ],
      ],
    );
    assert.match(lines[0]?.hint ?? "", /add a route to 192\.0\.2\.2.*tunnel\.local/);
    // A reload says nothing again.
    a.input({ type: "policy", policy: CHANGED });
    world.run(1000);
    a.input({ type: "policy", policy: policyOf(ours(ROAMING)) });
    world.run(1000);
    assert.equal(a.events.filter(({ event }) => event === "policy.failed").length, 1);
    a.routed = true;
    world.run(61_000);
    assert.deepEqual(verdicts(a), ASKS);
    assert.equal(explain(a.engine.inForce(), [A], INWARD).verdict, "protect");
    assert.equal(said(a).filter((text) => text.includes("its own tunnel end is 192.0.2.1")).length, 1);
    const questions = a.routeQuestions;
    bringUp(world);
    assert.equal(a.xfrm.outbound(OUT).kind, "protected");
    world.run(120_000);
    assert.ok(a.routeQuestions <= questions + 1, "nobody asks for what is known");
  }),
);

test(
  "a rule with start = now whose route comes late comes up by itself",
  story(pair(ours({ ...ROAMING, start: '"now"' }), THEIRS), (world) => {
    const a = world.host("A");
    a.routed = false;
    a.reboot();
    world.run(30_000);
    a.routed = true;
    world.run(62_000);
    assert.equal(a.xfrm.outbound(OUT).kind, "protected");
  }),
);

test(
  "a tunnel keeps its end while the route is away, and has the next one when it comes back",
  story(world(), (world) => {
    const a = world.host("A");
    world.run(100);
    a.routed = false;
    a.input({ type: "addresses", addresses: [A] });
    world.run(5000);
    assert.deepEqual(verdicts(a), ASKS);
    assert.deepEqual(said(a, "warning", "error"), []);
  }),
);

const A2 = "192.0.2.101";
for (const start of ["on-traffic", "now"])
  test(`a route that moves between two addresses of ours which both stay moves the end of such a tunnel, and of no other (start = ${start})`, () => {
    const options = world();
    const rules = [
      { ...ROAMING, start: `"${start}"` },
      { ...FIXED, tunnel: `{ local = "${A}", remote = "${B}" }` },
    ];
    const both = configuration([
      { filters: '["10.2.0.0/16 <-> 10.1.0.0/16"]', mode: '"tunnel"', tunnel: `{ local = "${B}", remote = "${A2}" }` },
    ]);
    const hosts = options.hosts.map((host) =>
      host.name === "A" ? { ...host, addresses: [A, A2], policy: policyOf(configuration(rules)) } : { ...host, policy: policyOf(both) },
    );
    story({ ...options, hosts }, (world) => {
      const a = world.host("A");
      const ends = (): readonly string[] =>
        [...a.xfrm.policies.values()]
          .flatMap(({ direction, selector, templates }) =>
            direction === "out" ? templates.map(({ source }) => `${selector.source} ${source}`) : [],
          )
          .sort();
      world.run(100);
      assert.deepEqual(ends(), [`10.1.0.0 ${A}`, `10.5.0.0 ${A}`]);
      const [heard, asked] = [follow(a), a.routeQuestions];
      a.input({ type: "routes" });
      world.run(1000);
      assert.deepEqual([heard.length, a.routeQuestions], [0, asked + 1]);
      a.routeFrom = A2;
      a.input({ type: "routes" });
      world.run(2000);
      assert.deepEqual(ends(), [`10.1.0.0 ${A2}`, `10.5.0.0 ${A}`]);
      if (start === "on-traffic") world.ping(a, OUT);
      world.run(3000);
      assert.equal(a.xfrm.outbound(OUT).kind, "protected");
      assert.equal(heard.filter((command) => command.do === "remove-policy").length, 0);
    })();
  });

test(
  "a daemon that looks for a route stops at once, with nothing left",
  story(world(), (world) => {
    const a = world.host("A");
    a.routed = false;
    a.reboot();
    world.run(5000);
  }),
);

const PLAIN: RuleText = { filters: '["me <-> 10.2.0.0/16"]', mode: '"tunnel"', start: '"on-traffic"', tunnel: `{ remote = "${B}" }` };
const FIXED: RuleText = {
  name: '"fixed"',
  filters: '["10.5.0.0/16 <-> 10.6.0.0/16"]',
  mode: '"tunnel"',
  start: '"on-traffic"',
  tunnel: `{ local = "192.0.2.7", remote = "${B}" }`,
};
const OWN = packet(A, "10.2.0.5");

for (const routed of [true, false])
  test(`a start gives such a tunnel no end that another rule names, ${routed ? "before the route tells its own" : "and without a route, too"}`, () => {
    const options = world();
    const hosts = options.hosts.map((host) =>
      host.name === "A" ? { ...host, addresses: [A, "192.0.2.7"], policy: policyOf(configuration([PLAIN, FIXED])) } : host,
    );
    story({ ...options, hosts }, (world) => {
      const a = world.host("A");
      a.keepJournal();
      world.run(100);
      assert.equal(a.xfrm.outbound(OWN).kind, "acquire");
      a.routed = routed;
      a.routeMs = 500;
      a.crash();
      for (const ms of [1, 200, 1000, 120_000]) {
        world.run(ms);
        assert.notEqual(a.xfrm.outbound(OWN).kind, "clear");
      }
    })();
  });

test("an end that is no address of ours any more is none: the tunnel is shut until the route tells another", () => {
  story(pair(configuration([PLAIN]), THEIRS), (world) => {
    const a = world.host("A");
    const moved = "192.0.2.88";
    const now = () => [
      a.xfrm.outbound(packet(moved, "10.2.0.5")).kind,
      a.xfrm.inbound(packet("10.2.0.5", moved), [], "in") ? "clear" : "refused",
    ];
    world.run(100);
    a.routed = false;
    Object.assign(a, { addresses: [moved] });
    a.input({ type: "addresses", addresses: [moved] });
    world.run(200);
    assert.deepEqual(now(), ["blocked", "refused"]);
    assert.match(said(a, "warning", "error").join(), /no route to 192\.0\.2\.2/);
    a.routed = true;
    world.run(120_000);
    assert.deepEqual(now(), ["acquire", "refused"]);
  })();
});

const ANOTHER: RuleText = {
  name: '"another"',
  filters: '["10.5.0.0/16 <-> 10.6.0.0/16"]',
  mode: '"tunnel"',
  start: '"on-traffic"',
  tunnel: '{ remote = "192.0.2.9" }',
};

for (const [what, start, initiate] of [
  ["a second at most", "on-traffic", false],
  ["a second at most, and it comes up by itself with start = now", "now", false],
  ["no command that brings it up", "on-traffic", true],
] as const)
  test(`a route that is not answered holds back the end of another tunnel for ${what}`, () => {
    story(pair(configuration([{ ...ROAMING, start: `"${start}"` }, ANOTHER]), THEIRS), (world) => {
      const a = world.host("A");
      // Of the two questions the second has its answer in ten minutes.
      let asked = 0;
      Object.defineProperty(a, "routeMs", { get: () => (asked++ % 2 === 0 ? 1 : 600_000) });
      a.reboot();
      world.run(500);
      assert.deepEqual(verdicts(a), SHUT);
      follow(a);
      if (initiate) {
        asked = 0;
        a.initiate();
        world.run(300);
      } else {
        world.run(600);
        if (start !== "now") assert.deepEqual(verdicts(a), ASKS);
        else world.run(2000);
      }
      if (start === "now" || initiate) assert.equal(a.xfrm.outbound(OUT).kind, "protected");
      assert.deepEqual(said(a, "warning", "error"), []);
    })();
  });
