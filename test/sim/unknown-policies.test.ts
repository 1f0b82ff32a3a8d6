/** Stories of a kernel that does not tell what policies it has: whoever asks hears that nobody knows, until it tells. */
import assert from "node:assert/strict";
import test from "node:test";
import { answerPolicy, refusalLines } from "../../daemon/policy-commands.ts";
import { METRICS } from "../../ike/statistics-table.ts";
import type { Host } from "./host.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const NOTHING = policyOf("");
const view = (world: World, a: Host) => a.engine.view(world.now);
const told = (a: Host, event: string) => a.events.filter((one) => one.event === event);
const metric = (world: World, a: Host, name: string) => {
  const source = METRICS.find((one) => one.name === name)?.source;
  const shell = { startedAt: 0, countedSince: 0, version: "1", queued: 0, handled: 0, dropped: 0, bugs: 0, socketFailures: [], octets: [] };
  const picture = { status: view(world, a), live: a.engine.live(world.now), drops: new Map(), shell: { ...shell, xfrm: null } };
  return source?.kind === "picture" ? source.read(picture)?.map(({ value }) => value) : assert.fail(name);
};
const ask = (world: World, a: Host, request: Parameters<typeof answerPolicy>[0]) => {
  const { policy, engine, addresses } = a;
  const situation = {
    ...{ policy, inForce: policy, sources: [], addresses, onLink: [], broadcasts: [], ports: [500, 4500] },
    metBy: engine.metBy.bind(engine),
  };
  const [reply] = answerPolicy(request, situation, view(world, a));
  return reply?.type === "document" ? reply.document : assert.fail();
};
const reload = (a: Host, policy = a.policy): void => {
  a.policy = policy;
  a.input({ type: "policy", policy });
};

test("while looks fail, everything that tells of policies says that nobody knows, since when, why and what to try; then that it is known", () =>
  story(pair(towards(B)), (world) => {
    const a = world.host("A");
    world.run(100);
    assert.deepEqual([view(world, a).policiesUnknown, metric(world, a, "mainmode_policies_unknown")], [null, [0]]);
    a.tells = false;
    reload(a);
    world.run(35_000);
    const unknown = view(world, a).policiesUnknown;
    assert.ok(unknown);
    assert.deepEqual([unknown.seconds, unknown.reason], [35, "Cannot allocate memory"]);
    assert.match(unknown.hint, /`ip -s xfrm policy list`/);
    assert.deepEqual(metric(world, a, "mainmode_policies_unknown"), [1]);
    const lines = refusalLines(view(world, a));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /^warning: nobody knows which policies stand, for 35 s now: Cannot allocate memory; see what `ip/);
    const why = ask(world, a, { command: "why", src: A, dst: B, protocol: 6, sport: 40000, dport: 80 });
    assert.ok("installed" in why);
    assert.deepEqual(why.unknown, unknown);
    assert.match(why.says, /; but nobody knows at present whether the kernel has this policy \(Cannot allocate memory\)$/);
    const elsewhere = ask(world, a, { command: "why", src: A, dst: "192.0.2.99", protocol: 6, sport: 40000, dport: 80 });
    assert.ok("installed" in elsewhere && elsewhere.unknown === null, "no policy, nothing in doubt");
    const shown = ask(world, a, { command: "policy" });
    assert.ok("policies" in shown);
    assert.deepEqual(shown.unknown, unknown);
    assert.equal(told(a, "policy.unknown").length, 1, "however often it is tried");
    assert.match(told(a, "policy.unknown")[0]?.text ?? "", /^whether the policies stand is not known: Cannot allocate memory$/);
    a.tells = true;
    reload(a);
    world.run(100);
    assert.deepEqual([view(world, a).policiesUnknown, metric(world, a, "mainmode_policies_unknown")], [null, [0]]);
    assert.deepEqual(refusalLines(view(world, a)), []);
    assert.deepEqual(
      told(a, "policy.known").map(({ text }) => text),
      ["the kernel tells again which policies it has, after 35 s"],
    );
  })());

test("where no rule has a policy, nothing is in doubt", () =>
  story(pair(towards(B)), (world) => {
    const a = world.host("A");
    world.run(100);
    a.tells = false;
    reload(a);
    world.run(100);
    assert.ok(view(world, a).policiesUnknown);
    reload(a, NOTHING);
    world.run(100);
    assert.equal(view(world, a).policiesUnknown, null);
  })());

test("refused policies are counted", () => {
  const selector = { source: A, sourceLength: 32, destination: B, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 };
  const foreign = { direction: "out", selector, action: "allow", priority: 500, templates: [] } as const;
  return story(
    { ...pair(towards(B)), foreign: { A: [foreign] } },
    (world) => {
      world.run(100);
      assert.deepEqual(
        ["A", "B"].map((name) => metric(world, world.host(name), "mainmode_policies_refused")),
        [[1], [0]],
      );
    },
    { foreign: 1 },
  )();
});
