/** Stories of removals that the kernel refuses for a moment, between reloads, looks and crashes: what it may have of ours stays known, and goes. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import type { Policy } from "../../policy/types.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, packet } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const PLAIN = { auth: "", start: "" };
const NET = '["me <-> 192.0.2.0/24"]';
const OTHER = { name: '"other"', filters: '["me <-> 192.0.2.99"]', action: '"block"', ...PLAIN };
const towardsB = (rule: Record<string, string>): Policy => policyOf(configuration([OTHER, { filters: `["me <-> ${B}"]`, ...rule }]));
const ELSEWHERE = policyOf(configuration([OTHER]));
const PERMIT = towardsB({ action: '"permit"', ...PLAIN });
const BLOCK = towardsB({ action: '"block"', ...PLAIN });
const REQUIRE = towardsB({ action: '"require"' });
const WIDE = { name: '"wide"', filters: NET, action: '"block"', ...PLAIN };
const WIDE_BLOCK = policyOf(configuration([WIDE]));
const WIDE_REQUIRE = policyOf(configuration([{ name: '"wide"', filters: NET, action: '"require"' }]));
const HOLE = policyOf(configuration([WIDE, { name: '"hole"', filters: `["me <-> ${B}"]`, action: '"permit"', ...PLAIN }]));

function between(first: Policy, kernelDelays: readonly number[], tell: (world: World, a: Host) => void): void {
  const hosts = [
    { name: "A", addresses: [A], policy: first },
    { name: "B", addresses: [B], policy: policyOf("") },
  ];
  inWorld({ hosts, kernelDelays }, (world) => {
    world.host("A").keepJournal();
    world.run(5000);
    tell(world, world.host("A"));
  });
}
function follow(world: World, a: Host, policies: readonly Policy[], gap: number): void {
  for (const policy of policies) {
    a.policy = policy;
    a.input({ type: "policy", policy });
    world.run(gap);
  }
}
/** Refuses the first of its kind; the host asks twice about a command. */
function firstOnly(isMeant: (command: KernelCommand) => boolean): Host["refuse"] {
  let first: KernelCommand | undefined;
  return (command) => {
    if (first === undefined && isMeant(command)) first = command;
    return first === command ? "Cannot allocate memory" : undefined;
  };
}
const isOutbound = (command: KernelCommand): boolean => command.do === "remove-policy" && command.policy.direction === "out";
function pings(world: World, a: Host, ms: number, step = 1000): readonly string[] {
  const seen = new Set<string>();
  for (let i = 0; i < ms; i += step) {
    world.run(step);
    seen.add(world.ping(a, packet(A, B)));
  }
  return [...seen];
}

for (const [what, first, last, then] of [
  ["a permit", PERMIT, WIDE_BLOCK, "refused"],
  ["a permit, before a wide require", PERMIT, WIDE_REQUIRE, "acquire"],
  ["a block", BLOCK, ELSEWHERE, "clear"],
] as const)
  for (const gap of [300, 2000])
    test(`${what}: its update is refused, and so is the removal that the next reload wants ${gap} ms later: what was there before both goes`, () =>
      between(first, [1], (world, a) => {
        let on = true;
        a.refuse = (one) =>
          on && "policy" in one && one.policy.direction === "out" && one.policy.selector.destination === B
            ? "Cannot allocate memory"
            : undefined;
        follow(world, a, [REQUIRE, last], gap);
        on = false;
        world.run(60_000);
        assert.deepEqual(pings(world, a, 60_000), [then]);
      }));

for (const [what, last, then] of [
  ["block", BLOCK, "refused"],
  ["require", REQUIRE, "acquire"],
] as const)
  for (const after of [50, 3000])
    test(`a permit's removal is refused while the next reload to ${what} has already asked to add there, and ${after} ms later the daemon is killed: the permit is known as ours`, () =>
      between(PERMIT, [5], (world, a) => {
        a.refuse = firstOnly(isOutbound);
        follow(world, a, [ELSEWHERE, last], 2);
        world.run(after);
        a.refuse = () => undefined;
        a.crash();
        world.run(120_000);
        assert.deepEqual(pings(world, a, 60_000), [then]);
      }));

test("a permit comes and goes while a look is under way whose listing is older, and its removal is refused once: it goes all the same", () => {
  const queue: number[] = [];
  // The look, the permit that leaves, and the one that comes take 80, 80 and 1 ms.
  const delays = new Proxy([1], { get: (target, key) => (key === "0" ? (queue.shift() ?? 1) : Reflect.get(target, key)) });
  between(WIDE_BLOCK, delays, (world, a) => {
    a.refuse = firstOnly(isOutbound);
    queue.push(80, 80, 1);
    follow(world, a, [WIDE_BLOCK, HOLE, WIDE_BLOCK], 1);
    world.run(60_000);
    assert.deepEqual(pings(world, a, 10_000), ["refused"]);
  });
});

test("a removal was refused, so that a look is set for five seconds later: a flush is noticed at once all the same", () =>
  between(REQUIRE, [1], (world, a) => {
    a.refuse = firstOnly((one) => one.do === "remove-policy");
    follow(world, a, [policyOf(towards(B, { action: '"require"' }))], 1500);
    a.flush();
    world.run(1000);
    assert.deepEqual(pings(world, a, 5000, 50), ["acquire"]);
  }));
