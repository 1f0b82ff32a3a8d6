/** Stories of policies that can't be changed at once, since nobody knows whose they are: order is kept meanwhile, a stop waits for a look, and where there is none, what is safe is done. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, packet, pair, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const ELSEWHERE = "192.0.2.99";
const host = (address: string) => ({ address, length: 32 });
const one = (direction: "in" | "out", more: Partial<KernelPolicy>, peer = host(B)): KernelPolicy => {
  const [from, to] = direction === "out" ? [host(A), peer] : [peer, host(A)];
  const ends = { source: from.address, sourceLength: from.length, destination: to.address, destinationLength: to.length };
  const selector = { ...ends, protocol: 0, sourcePort: 0, destinationPort: 0 };
  return { direction, selector, action: "allow", priority: 500, templates: [], ...more };
};
const OUT = one("out", {});
const PLAIN = { auth: "", start: "" };
const BLOCK = policyOf(towards(B, { action: '"block"', ...PLAIN }));
const REQUIRE = policyOf(towards(B, { action: '"require"' }));
const blocked = (more = {}) => pair(towards(B, { action: '"block"', ...PLAIN }), towards(ELSEWHERE), more);

const at = (a: Host, policy: KernelPolicy) => a.xfrm.policies.get(policyName(policy));
const refused = (world: World, a: Host) => a.engine.view(world.now).refusedPolicies.map(({ direction }) => direction);
const bell = (a: Host, policy: KernelPolicy | null = null): void => a.kernelEvents([{ type: "policy-gone", policy }]);
const follow = (a: Host, policy: typeof BLOCK): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};

// Order

const NET = '["me <-> 192.0.2.0/24"]';
const PERMIT_AROUND_BLOCK = configuration([
  { name: '"wide"', filters: NET, action: '"permit"', ...PLAIN },
  { name: '"narrow"', filters: `["me <-> ${B}"]`, action: '"block"', ...PLAIN },
]);
const WIDE_REQUIRE = policyOf(configuration([{ name: '"wide"', filters: NET, action: '"require"' }]));
const WIDE_PERMIT = policyOf(configuration([{ name: '"wide"', filters: NET, action: '"permit"', ...PLAIN }]));
const WIDE = one("out", {}, { address: "192.0.2.0", length: 24 });

for (const tells of [true, false])
  test(`a wide permit becomes require and the narrow block before it goes while it is in doubt which of them is ours${tells ? "" : ", and the kernel does not tell"}: nothing goes in clear`, () =>
    story(pair(PERMIT_AROUND_BLOCK, towards(ELSEWHERE), { kernelDelays: [tells ? 40 : 1] }), (world) => {
      const a = world.host("A");
      world.run(5000);
      assert.ok(at(a, WIDE));
      a.tells = tells;
      bell(a, WIDE);
      if (!tells) world.run(1000);
      follow(a, WIDE_REQUIRE);
      for (let i = 0; i < 300; i++) {
        world.run(tells ? 5 : 1000);
        assert.notEqual(world.ping(a, packet(A, B)), "clear", `${world.now}`);
      }
      a.tells = true;
      world.run(3_600_000);
      assert.deepEqual([at(a, WIDE)?.templates.length, at(a, OUT), refused(world, a)], [1, undefined, []]);
    })());

test("a rule that goes while another one's policy is in doubt, which becomes what it was again: it goes all the same", () =>
  story(pair(PERMIT_AROUND_BLOCK, towards(ELSEWHERE)), (world) => {
    const a = world.host("A");
    world.run(1000);
    a.tells = false;
    bell(a, WIDE);
    world.run(1000);
    follow(a, WIDE_REQUIRE);
    world.run(1000);
    assert.equal(at(a, OUT)?.action, "block");
    follow(a, WIDE_PERMIT);
    world.run(1000);
    assert.deepEqual([at(a, WIDE)?.action, at(a, OUT)], ["allow", undefined]);
    a.tells = true;
  })());

// Stops

for (const delay of [0, 50, 1000])
  test(`an update is under way for ${delay} ms, a bell rings, and the daemon stops: nothing of ours stays`, () =>
    story(blocked({ kernelDelays: [delay] }), (world) => {
      const a = world.host("A");
      world.run(5000);
      follow(a, REQUIRE);
      bell(a);
    })());

test("a stop to which the kernel does not tell whose policies are tells which ones stay", () => {
  const world = blocked();
  story(
    world,
    (world) => {
      const a = world.host("A");
      world.run(1000);
      a.tells = false;
      bell(a);
      a.command({ name: "shutdown", keep: false });
      world.run(60_000);
      assert.ok(a.stopped);
      assert.match(said(a, "warning").join("\n"), /2 policies stay in the kernel, .*: out 192\.0\.2\.1.* -> 192\.0\.2\.2.*, in /);
    },
    { foreign: 2 },
  )();
});

const REQUEST = { action: '"request"', start: '"on-traffic"' };
/** Clear text goes, since the peer is silent. */
function openSoft(world: World): Host {
  const a = world.host("A");
  world.run(10);
  world.intercept = () => DROP;
  world.ping(a, packet(A, B));
  world.run(3100);
  assert.equal(world.ping(a, packet(A, B)), "clear");
  return a;
}
const soft = () => pair(towards(B, REQUEST), towards(A, { action: '"respond"' }));

for (const tells of [true, false])
  test(`a daemon that leaves its policies closes soft SAs before, also right after a bell${tells ? "" : " and where the kernel does not tell"}`, () =>
    story(soft(), (world) => {
      const a = openSoft(world);
      a.tells = tells;
      bell(a);
      a.command({ name: "shutdown", keep: true });
      world.run(600_000);
      assert.ok(a.stopped);
      assert.notEqual(world.ping(a, packet(A, B)), "clear");
      a.tells = true;
      a.crash();
      world.run(1000);
    })());

// Where the kernel does not tell

for (const wait of [0, 1000])
  test(`a soft SA that is terminated ${wait} ms after a bell is closed although the kernel does not tell`, () =>
    story(soft(), (world) => {
      const a = openSoft(world);
      a.tells = false;
      bell(a);
      world.run(wait);
      a.command({ name: "terminate", target: { kind: "rule", rule: "peer" } });
      world.run(1000);
      assert.deepEqual([world.ping(a, packet(A, B)) === "clear", a.engine.view(world.now).softSas], [false, []]);
      a.tells = true;
      world.run(3_600_000);
    })());

test("what was flushed comes back although the kernel does not tell, also after hours", () =>
  story(blocked(), (world) => {
    const a = world.host("A");
    world.run(1000);
    a.tells = false;
    for (const wait of [1000, 6 * 3_600_000]) {
      a.flush();
      world.run(wait);
      assert.notEqual(world.ping(a, packet(A, B)), "clear");
    }
    assert.deepEqual([refused(world, a), said(a, "error")], [[], []]);
  })());

test("under discovery a pair comes to be although the kernel does not tell since a bell, and none fails by our own policies", () =>
  story(
    pair(towards(B, { action: '"require"', start: '"on-traffic"', discovery: "true" }), towards(A, { action: '"respond"' })),
    (world) => {
      const a = world.host("A");
      world.run(100);
      a.tells = false;
      bell(a);
      world.run(1000);
      world.ping(a, packet(A, B));
      world.run(5000);
      assert.deepEqual([world.ping(a, packet(A, B)), said(a, "error")], ["protected", []]);
      a.tells = true;
      world.run(20_000);
      assert.equal(at(a, OUT)?.templates[0]?.level, "required");
    },
  )());

test("what is refused while the kernel does not tell is not called somebody else's", () =>
  story(blocked(), (world) => {
    const a = world.host("A");
    world.run(1000);
    a.tells = false;
    bell(a);
    world.run(1000);
    follow(a, REQUIRE);
    world.run(1000);
    const views = a.engine.view(world.now).refusedPolicies;
    assert.deepEqual(
      views.map(({ foreign }) => foreign),
      [false, false],
    );
    assert.match(views[0]?.reason ?? "", /whether that is ours/);
    assert.doesNotMatch(said(a).join("\n"), /somebody else/);
    a.tells = true;
    world.run(60_000);
    assert.deepEqual([at(a, OUT)?.templates.length, refused(world, a)], [1, []]);
  })());

/** A hundred filters. */
const many = (action: string, more = {}): string =>
  configuration(
    [100, 150].map((from) => {
      const filters = JSON.stringify(Array.from({ length: 50 }, (_, i) => `me <-> 192.0.2.${i + from}`));
      return { name: `"r${from}"`, filters, action: `"${action}"`, ...more };
    }),
  );

const MANY = policyOf(many("require"));

test("of thousands in doubt 64 are asked for in vain after each look that failed; what is free comes back at once, and in the end all of it", () =>
  story(pair(many("block", PLAIN), towards(ELSEWHERE)), (world) => {
    const a = world.host("A");
    world.run(1000);
    const wanted = a.xfrm.policies.size;
    assert.equal(wanted, 200);
    let asked = 0;
    a.refuse = (command) => {
      if (command.do === "add-policy") asked++;
      return undefined;
    };
    a.tells = false;
    bell(a);
    world.run(1000);
    assert.deepEqual([asked, a.looks], [64, 1]);
    follow(a, MANY);
    world.run(1000);
    assert.deepEqual([asked, a.looks], [128, 2]);
    // Those whose turn comes last were taken.
    a.remove(...[...a.xfrm.policies.values()].slice(-4));
    world.run(48 * 3_600_000);
    assert.deepEqual([a.xfrm.policies.size, asked <= 64 * a.looks + 4], [wanted, true]);
    a.tells = true;
    world.run(3_600_000);
    const levels = [...a.xfrm.policies.values()].map(({ templates }) => templates[0]?.level);
    assert.deepEqual([levels.filter((level) => level === "required").length, refused(world, a)], [wanted, []]);
  })());

test("a change that is taken back while the kernel does not tell leaves nothing that is called refused", () =>
  story(blocked(), (world) => {
    const a = world.host("A");
    world.run(1000);
    a.tells = false;
    bell(a);
    for (const policy of [REQUIRE, BLOCK]) {
      world.run(1000);
      follow(a, policy);
    }
    world.run(1000);
    a.tells = true;
    world.run(3_600_000);
    assert.deepEqual([at(a, OUT)?.action, refused(world, a)], ["block", []]);
  })());

// Answers that say less than was done

for (const how of ["stops", "loses an address"])
  test(`the kernel has carried out an addition of which nobody heard, and the daemon ${how}: it was ours, and goes`, () =>
    story(blocked(), (world) => {
      const a = world.host("A");
      const its = "192.0.2.7";
      world.run(1000);
      let calls = 0;
      a.refuse = (command) => {
        if (command.do !== "add-policy" || command.policy.direction !== "out" || command.policy.selector.source !== its) return undefined;
        if (calls++ === 0) a.xfrm.apply([command]);
        return calls > 2 ? undefined : "ip gave no answer for 30000 ms";
      };
      a.input({ type: "addresses", addresses: [A, its] });
      world.run(600_000);
      assert.deepEqual(refused(world, a), []);
      if (how === "stops") return;
      a.input({ type: "addresses", addresses: [A] });
      world.run(60_000);
      assert.deepEqual(
        [...a.xfrm.policies.keys()].filter((name) => name.includes(its)),
        [],
      );
    })());

for (const hears of [true, false])
  test(`an update is refused${hears ? ", and somebody changes the policy: his stays" : " and was carried out all the same: it is ours"}`, () =>
    story(
      blocked(),
      (world) => {
        const a = world.host("A");
        a.isOurs = (policy) => policy !== OUT;
        world.run(1000);
        let calls = 0;
        a.refuse = (command) => {
          if (command.do !== "update-policy" || command.policy.direction !== "out" || calls++ >= 2) return undefined;
          if (!hears) a.xfrm.apply([command]);
          return "Cannot allocate memory";
        };
        follow(a, REQUIRE);
        world.run(100);
        if (hears) a.change(OUT);
        else bell(a);
        world.run(120_000);
        if (hears) assert.deepEqual(at(a, OUT), OUT);
        else assert.deepEqual([at(a, OUT)?.templates.length, refused(world, a)], [1, []]);
      },
      { foreign: hears ? 1 : 0 },
    )());

test("a look that finds nobody in the way any more asks at once for what was refused", () =>
  story({ ...blocked(), foreign: { A: [OUT] } }, (world) => {
    const a = world.host("A");
    a.isOurs = (policy) => policy !== OUT;
    world.run(100_000);
    assert.deepEqual(refused(world, a), ["out"]);
    a.xfrm.apply([{ do: "remove-policy", policy: OUT }]);
    bell(a);
    world.run(500);
    assert.deepEqual([at(a, OUT)?.action, refused(world, a)], ["block", []]);
  })());
