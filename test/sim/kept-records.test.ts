/**
 * Stories of a kernel that fails for a moment, when it tells, adds or removes, and of what is ours afterwards: policies of ours are known for ours by the next
 * look, the next start and the stop, and what should go goes.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, packet } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const PLAIN = { auth: "", start: "" };
const NET = '["me <-> 192.0.2.0/24"]';
const PERMIT = policyOf(towards(B, { action: '"permit"', ...PLAIN }));
const REQUIRE = policyOf(towards(B, { action: '"require"' }));
const ELSEWHERE = policyOf(towards("192.0.2.99", { action: '"block"', ...PLAIN }));
const WIDE = { name: '"wide"', filters: NET, action: '"require"' };
const WIDE_REQUIRE = policyOf(configuration([WIDE]));
const HOLE = policyOf(configuration([WIDE, { name: '"hole"', filters: `["me <-> ${B}"]`, action: '"permit"', ...PLAIN }]));
type Policy = typeof PERMIT;

function follow(a: Host, policy: Policy): void {
  a.policy = policy;
  a.input({ type: "policy", policy });
}

function restart(world: World, a: Host, policy: Policy): void {
  a.policy = policy;
  a.crash();
  world.run(200_000);
}

function stop(world: World, a: Host): void {
  a.command({ name: "shutdown", keep: false });
  world.run(20_000);
}

const about = (a: Host): readonly string[] => [...a.xfrm.policies.keys()].filter((name) => name.includes(B));
const ping = (world: World, a: Host): string => world.ping(a, packet(A, B));

/** Somebody may have touched anything, and the first look fails. */
function failLook(world: World, a: Host): void {
  a.tells = false;
  a.kernelEvents([{ type: "policy-gone", policy: null }]);
  world.run(1000);
  a.tells = true;
}

/** What leaves is added, and the answer is lost. */
function addUnheard(world: World, a: Host, policy: Policy): void {
  a.refuse = (command) => {
    if (command.do !== "add-policy" || command.policy.direction !== "out") return undefined;
    a.xfrm.apply([command]);
    return "ip was ended by SIGKILL";
  };
  follow(a, policy);
  world.run(1000);
  a.refuse = () => undefined;
}

/** A reload whose removals the kernel refuses for a moment. */
function reloadRefused(world: World, a: Host, policy: Policy, isRefused: (command: KernelCommand) => boolean): void {
  a.refuse = (command) => (command.do === "remove-policy" && isRefused(command) ? "Cannot allocate memory" : undefined);
  follow(a, policy);
  world.run(10);
  a.refuse = () => undefined;
  world.run(60_000);
}

const STORIES: readonly (readonly [what: string, first: Policy, (world: World, a: Host) => void])[] = [
  [
    "a look fails, a later one tells, and a start finds require where a permit was: nothing goes in clear",
    PERMIT,
    (world, a) => {
      failLook(world, a);
      world.run(120_000);
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
    },
  ],
  [
    "the same, and a start without the rule: nothing is left of it",
    PERMIT,
    (world, a) => {
      failLook(world, a);
      world.run(120_000);
      restart(world, a, ELSEWHERE);
      assert.deepEqual(about(a), []);
      stop(world, a);
      assert.equal(a.xfrm.policies.size, 0);
    },
  ],
  [
    "a rule changes to require while the kernel does not tell, and the daemon is killed: nothing goes in clear afterwards",
    PERMIT,
    (world, a) => {
      failLook(world, a);
      a.tells = false;
      follow(a, REQUIRE);
      world.run(1000);
      a.tells = true;
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
    },
  ],
  [
    "a start to which the kernel tells nothing has require where a permit was: nothing goes in clear, then and after the next start",
    PERMIT,
    (world, a) => {
      a.listsAtStart = false;
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
      a.listsAtStart = true;
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
    },
  ],
  [
    "a removal is refused once: the hole goes all the same",
    HOLE,
    (world, a) => {
      reloadRefused(world, a, WIDE_REQUIRE, (command) => command.do === "remove-policy" && command.policy.direction === "out");
      assert.notEqual(ping(world, a), "clear");
      stop(world, a);
      assert.equal(a.xfrm.policies.size, 0);
    },
  ],
  [
    "removals are refused, and the daemon stops at once: nothing is left",
    HOLE,
    (world, a) => {
      a.refuse = (command) => (command.do === "remove-policy" ? "Cannot allocate memory" : undefined);
      follow(a, WIDE_REQUIRE);
      world.run(10);
      a.refuse = () => undefined;
      stop(world, a);
      assert.equal(a.xfrm.policies.size, 0);
    },
  ],
  [
    "the removals of a permit are refused, and require comes in its place: nothing goes in clear, nor after a start",
    PERMIT,
    (world, a) => {
      reloadRefused(world, a, ELSEWHERE, () => true);
      follow(a, REQUIRE);
      world.run(60_000);
      assert.notEqual(ping(world, a), "clear");
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
    },
  ],
  [
    "an addition is carried out unheard, and the daemon stops at once: nothing is left",
    ELSEWHERE,
    (world, a) => {
      addUnheard(world, a, PERMIT);
      stop(world, a);
      assert.equal(a.xfrm.policies.size, 0);
    },
  ],
  [
    "an addition is carried out unheard, and a start has require there: nothing goes in clear",
    ELSEWHERE,
    (world, a) => {
      addUnheard(world, a, PERMIT);
      restart(world, a, REQUIRE);
      assert.notEqual(ping(world, a), "clear");
    },
  ],
  [
    "an addition is carried out unheard, and its rule goes: so does the policy",
    ELSEWHERE,
    (world, a) => {
      addUnheard(world, a, PERMIT);
      follow(a, ELSEWHERE);
      world.run(200_000);
      assert.deepEqual(about(a), []);
    },
  ],
];
for (const [what, first, tell] of STORIES)
  test(what, () => {
    const hosts = [
      { name: "A", addresses: [A], policy: first },
      { name: "B", addresses: [B], policy: ELSEWHERE },
    ];
    inWorld({ hosts, kernelDelays: [1] }, (world) => {
      const a = world.host("A");
      a.keepJournal();
      world.run(5000);
      tell(world, a);
    });
  });
