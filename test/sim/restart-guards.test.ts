/** A flow that was protected stays out of the clear for a while although its SAs ended while no daemon ran. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelCommand } from "../../ike/kernel-contract.ts";
import type { Host } from "./host.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, childrenOf, packet, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const [SECOND, MINUTE] = [1000, 60_000];
const request: RuleText = { action: '"request"', start: '"on-traffic"' };
const discovery: RuleText = { action: '"require"', start: '"on-traffic"', discovery: "true" };
const respond: RuleText = { action: '"respond"' };
const CLEAR = [
  ["discovery", discovery],
  ["request", request],
] as const;
const WIDE = "192.0.2.0/24";

const ping = (world: World): string => world.ping(world.host("A"), packet(A, B));
const ways = {
  all: () => true,
  none: () => false,
  inbound: ({ destination }: { destination: string }) => destination === A,
  outbound: ({ destination }: { destination: string }) => destination === B,
} as const;

/** The kernel's SAs end unheard, and the daemon is started again with what its policy is by now. */
function endUnheard(a: Host, which: keyof typeof ways): void {
  for (const { sa } of [...a.xfrm.states.values()]) if (ways[which](sa)) a.xfrm.expire(sa, true);
  a.crash();
}

/** Protected traffic between the hosts, the daemon of A with a journal. */
function scene(towardsB: string, tell: (world: World, a: Host) => void, lives = {}): () => void {
  return story(pair(towardsB, towards(A, respond, lives)), (world) => {
    const a = world.host("A");
    a.keepJournal();
    world.run(10);
    ping(world);
    world.run(1000);
    assertTraffic(world);
    // So long that nobody remembers that the peer has answered.
    for (let minutes = 0; minutes < 6; minutes++) {
      world.run(MINUTE);
      assertTraffic(world);
    }
    world.intercept = () => DROP;
    tell(world, a);
  });
}

/** None in clear for `minutes`, and clear text soon afterwards. */
function assertGuarded(world: World, a: Host, minutes: number): void {
  const arrivals = world.traffic(a, packet(A, B), SECOND);
  world.run(minutes * MINUTE - 2 * SECOND);
  assert.ok(arrivals.length > 50 * minutes);
  assert.deepEqual(
    arrivals.filter(({ arrival }) => arrival === "clear"),
    [],
  );
  world.run(5 * MINUTE);
  assert.equal(arrivals.at(-1)?.arrival, "clear");
}

for (const [what, text] of CLEAR)
  for (const remote of [B, WIDE]) {
    test(`${what} with ${remote}: SAs end while no daemon runs, and nothing goes in clear for five minutes after its start`, () =>
      scene(towards(remote, text), (world, a) => {
        endUnheard(a, "all");
        assertGuarded(world, a, 5);
      })());

    test(`${what} with ${remote}: the rule has another name at the start, and guards the flow all the same, also over another restart`, () =>
      scene(towards(remote, text), (world, a) => {
        a.policy = policyOf(configuration([{ ...text, name: '"renamed"', filters: `["me <-> ${remote}"]` }]));
        endUnheard(a, "all");
        world.run(MINUTE);
        a.policy = policyOf(towards(remote, text));
        a.crash();
        assertGuarded(world, a, 4);
      })());

    test(`${what} with ${remote}: a peer that is still there takes up again under the guard, and is protected`, () =>
      scene(towards(remote, text), (world, a) => {
        world.intercept = () => undefined;
        endUnheard(a, "all");
        assert.notEqual(ping(world), "clear");
        world.run(5 * SECOND);
        assertTraffic(world);
        world.run(MINUTE);
        assertTraffic(world);
      })());
  }

const LONG = { quickLife: "8h", mainLife: "8h" };
for (const [what, text] of CLEAR)
  for (const [how, which] of [
    ["only the inbound SA is left", "outbound"],
    ["both SAs are left, but the rule has another name", "none"],
  ] as const)
    test(`${what} with SAs that live for hours: ${how}, and the guard stands for minutes`, () =>
      scene(
        towards(B, text, LONG),
        (world, a) => {
          if (which === "none") a.policy = policyOf(configuration([{ ...text, name: '"renamed"', filters: `["me <-> ${B}"]` }], LONG));
          endUnheard(a, which);
          assertGuarded(world, a, 5);
        },
        LONG,
      )());

for (const [what, text] of CLEAR) {
  test(`${what}: only the outbound SA is left at the start: it goes, and the guard stands for minutes`, () =>
    scene(towards(B, text), (world, a) => {
      endUnheard(a, "inbound");
      assert.equal(childrenOf(world, "A").length, 0);
      world.run(100);
      assert.equal(a.xfrm.states.size, 0);
      assertGuarded(world, a, 5);
    })());

  test(`${what}: what a permit is about at the start is not guarded, what a block is about stays shut`, () =>
    scene(towards(WIDE, text), (world, a) => {
      const wide = { ...text, filters: `["me <-> ${WIDE}"]` };
      const narrow = { name: '"narrow"', auth: "", start: "", filters: `["me <-> ${B}"]` };
      a.policy = policyOf(configuration([wide, { ...narrow, action: '"block"' }]));
      endUnheard(a, "all");
      world.run(1000);
      assert.equal(a.xfrm.outbound(packet(A, B)).kind, "blocked");
      a.policy = policyOf(configuration([wide, { ...narrow, action: '"permit"' }]));
      a.crash();
      world.run(1000);
      assert.equal(ping(world), "clear");
    })());
}

test("request: while one flow of a peer is guarded, no other flow of that peer goes in clear for its silence", () =>
  scene(configuration([{ ...request, filters: `["me <-> ${B}", "me <-> ${B}:443 tcp"]` }]), (world, a) => {
    endUnheard(a, "all");
    const arrivals = world.traffic(a, { ...packet(A, B), destinationPort: 443 }, SECOND);
    world.run(4.9 * MINUTE);
    assert.deepEqual(
      arrivals.filter(({ arrival }) => arrival === "clear"),
      [],
    );
    world.run(4 * MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "clear");
  })());

for (const which of ["all", "none"] as const)
  test(`discovery: a start leaves what keeps a flow from the clear where it is, also for a moment (SAs that have ended: ${which})`, () =>
    scene(towards(B, discovery), (world, a) => {
      const commands: KernelCommand[] = [];
      a.refuse = (command) => void commands.push(command);
      endUnheard(a, which);
      world.run(100);
      assert.deepEqual(
        commands.filter((command) => "policy" in command && command.policy.direction === "out"),
        [],
      );
    })());
