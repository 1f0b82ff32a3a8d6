/**
 * Random stories of policies: somebody meddles with them, rules change, addresses come and go, kernels are slow or do not tell, and daemons die. What is somebody
 * else's is never touched, what should stand stands in the end, and a stop leaves nothing.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { policyName } from "../../kernel/xfrm-args.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, towards } from "./policies.ts";
import { A, B, packet, pair } from "./setting.ts";
import { inWorld, type World } from "./world.ts";

const PLAIN = { auth: "", start: "" };
const NET = '["me <-> 192.0.2.0/24"]';
const FIRST = towards(B, { action: '"block"', ...PLAIN });
const POLICIES = [
  FIRST,
  towards(B, { action: '"require"' }),
  towards(B, { action: '"request"', start: '"on-traffic"' }),
  towards(B, { action: '"require"', discovery: "true", start: '"on-traffic"' }),
  towards("192.0.2.99"),
  configuration([
    { name: '"wide"', filters: NET, action: '"permit"', ...PLAIN },
    { name: '"narrow"', filters: `["me <-> ${B}"]`, action: '"block"', ...PLAIN },
  ]),
  configuration([{ name: '"wide"', filters: NET, action: '"require"' }]),
  `[policy]\nexempt = ["dns"]\n\n${towards("192.0.2.0/24", { action: '"require"' })}`,
].map(policyOf);
const MOST = 10_000;

/** The same numbers for the same seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Story {
  readonly world: World;
  readonly a: Host;
  /** What somebody else has put into A's kernel. */
  readonly his: Map<string, KernelPolicy>;
  random(): number;
  pick<T>(all: readonly T[]): T;
}

const follow = ({ a }: Story, policy: (typeof POLICIES)[number]): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};
const ours = ({ a, his }: Story) => [...a.xfrm.policies.values()].filter((policy) => !his.has(policyName(policy)));

/** He puts one of his own in the place of one of ours. */
function takes(story: Story, put: (ours: KernelPolicy, own: KernelPolicy) => void): void {
  const all = ours(story);
  if (all.length === 0) return;
  const policy = story.pick(all);
  const own: KernelPolicy = { ...policy, action: "allow", priority: 400 + Math.floor(story.random() * 100), templates: [] };
  story.his.set(policyName(own), own);
  put(policy, own);
}

/** What somebody does, while our kernel is at rest: else nobody could tell who was first. */
const MEDDLING: readonly ((story: Story) => void)[] = [
  ({ a, his }) => {
    his.clear();
    a.flush();
  },
  (story) => takes(story, (_, own) => story.a.change(own)),
  (story) =>
    takes(story, (policy, own) => {
      story.a.xfrm.apply([
        { do: "remove-policy", policy },
        { do: "add-policy", policy: own },
      ]);
      story.a.kernelEvents([{ type: "policy-gone", policy }]);
    }),
  ({ a, his, pick }) => {
    if (a.xfrm.policies.size === 0) return;
    const policy = pick([...a.xfrm.policies.values()]);
    his.delete(policyName(policy));
    a.remove(policy);
  },
];

const OWN: readonly ((story: Story) => void)[] = [
  (story) => follow(story, story.pick(POLICIES)),
  (story) => follow(story, story.pick(POLICIES)),
  (story) => follow(story, story.pick(POLICIES)),
  ({ a }) => a.kernelEvents([{ type: "policy-gone", policy: null }]),
  ({ a, pick }) => a.input({ type: "addresses", addresses: pick([[A], [A, "192.0.2.7"], [A, "192.0.2.7", "192.0.2.8"]]) }),
  ({ a, world }) => void world.ping(a, packet(A, B)),
];
const BLINDS = ({ a }: Story): void => {
  a.tells = !a.tells;
};
const DIES = (story: Story): void => {
  const { a } = story;
  a.kernelOutlives = story.random() < 0.5;
  if (story.random() < 0.3) {
    a.crashAfter = 1 + Math.floor(story.random() * 6);
    follow(story, story.pick(POLICIES));
  }
  a.crash();
};

function check({ a, his }: Story): void {
  for (const [name, policy] of his) assert.equal(a.xfrm.policies.get(name), policy, `his ${name} is gone, or replaced`);
}

function step(story: Story, own: readonly ((story: Story) => void)[]): void {
  const { world, a, random, pick } = story;
  if (random() < 0.35) {
    // The kernel tells of what we did some time after its answer.
    for (let i = 0; i < MOST && (i < 3 || a.isKernelBusy); i++) world.run(1);
    pick(MEDDLING)(story);
  } else pick(own)(story);
  world.run(pick([0, 1, 7, 50, 120, 900, 3000, 20_000]));
  check(story);
}

/** All is as it was. */
function settle(story: Story): void {
  const { world, a, his } = story;
  for (const policy of [...his.values()]) {
    his.delete(policyName(policy));
    a.remove(policy);
  }
  a.input({ type: "addresses", addresses: [A] });
  follow(story, policyOf(FIRST));
  world.run(2 * 3_700_000);
  const stands = [...a.xfrm.policies.values()].map(({ direction, action }) => `${direction} ${action}`).sort();
  assert.deepEqual([stands, a.engine.view(world.now).refusedPolicies], [["in block", "out block"], []]);
}

function tell(seed: number, delays: readonly number[], extra: ((story: Story) => void) | null): void {
  const random = numbers(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  inWorld(pair(FIRST, towards(A, { action: '"respond"' }), { kernelDelays: delays, seed }), (world) => {
    const a = world.host("A");
    const story: Story = { world, a, his: new Map(), random, pick };
    if (extra === DIES) a.keepJournal();
    world.run(5000);
    a.isOurs = (policy) => story.his.get(policyName(policy)) !== policy;
    for (let i = 0; i < 50; i++) step(story, extra ? [...OWN, extra] : OWN);
    a.tells = true;
    if (random() < 0.5) settle(story);
    check(story);
    a.command({ name: "shutdown", keep: false });
    world.run(20_000);
    check(story);
    assert.ok(a.stopped);
    assert.deepEqual([...a.xfrm.policies.keys()].sort(), [...story.his.keys()].sort(), "left after the stop");
  });
}

const SEEDS = Number(process.env["MAINMODE_SEEDS"] ?? 5);
for (const [what, extra, all] of [
  ["", null, [[0], [1], [5], [40], [3, 80, 1], [200]]],
  [", and the kernel does not always tell", BLINDS, [[0], [5], [40], [3, 80, 1], [200]]],
  [", and the daemon dies", DIES, [[0], [1], [2]]],
] as const)
  for (const delays of all)
    test(`somebody meddles with policies at random, kernels take ${delays.join(", ")} ms${what}: his are his, ours come back, and a stop leaves none`, () => {
      for (let seed = 1; seed <= SEEDS; seed++) tell(seed, delays, extra);
    });
