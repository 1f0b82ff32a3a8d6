/** Stories of kernels: SPIs that are taken, commands that are refused, answers that take their time. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelCommand, KernelPolicy } from "../../ike/kernel-contract.ts";
import type { Host, Refuse } from "./host.ts";
import { DROP } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const isInbound = (host: Host, command: KernelCommand): boolean =>
  command.do === "add-sa" && host.addresses.includes(command.sa.destination);
const isOutbound = (host: Host, command: KernelCommand): boolean => command.do === "add-sa" && host.addresses.includes(command.sa.source);

/** Refuses the first `times` commands that `matches` names. */
function refusing(matches: (command: KernelCommand) => boolean, reason: string, times = Number.POSITIVE_INFINITY): Refuse {
  const refused = new Set<KernelCommand>();
  return (command) => {
    if (!matches(command)) return undefined;
    if (!refused.has(command) && refused.size >= times) return undefined;
    refused.add(command);
    return reason;
  };
}

const nothingLeft = (world: World): void => {
  for (const host of world.hosts) {
    assert.deepEqual([...host.xfrm.states.keys()], [], `${host.name} keeps SAs`);
    assert.equal(childrenOf(world, host.name).length, 0, `${host.name} keeps children`);
  }
};

for (const name of ["A", "B"])
  for (const times of [1, 3])
    test(
      `${times === 1 ? "an SPI" : "three SPIs"} that ${name === "A" ? "the initiator's" : "the responder's"} kernel has already: another is taken`,
      story(pair(), (world) => {
        const host = world.host(name);
        host.refuse = refusing((command) => isInbound(host, command), "exists", times);
        bringUp(world);
        world.run(60_000);
        assertTraffic(world);
        for (const other of ["A", "B"]) {
          assert.equal(childrenOf(world, other).length, 1);
          assert.equal(world.host(other).xfrm.states.size, 2);
        }
      }),
    );

test(
  "an SA of somebody else with our SPI stays where it is",
  story(
    pair(),
    (world) => {
      bringUp(world);
      const a = world.host("A");
      const taken = [...a.xfrm.states.values()].find(({ sa }) => sa.source === A);
      assert.ok(taken);
      const foreign = { ...taken.sa, spi: 0x1234, reqid: 7 };
      a.xfrm.apply([{ do: "add-sa", sa: foreign }]);
    },
    { foreign: 1 },
  ),
);

/** What the kernel refuses, on which side, and what the command on A says. */
const REFUSALS = [
  { name: "A", what: "inbound", matches: isInbound, exit: 1, reason: "kernel-refused" },
  { name: "A", what: "outbound", matches: isOutbound, exit: 1, reason: "kernel-refused" },
  { name: "B", what: "inbound", matches: isInbound, exit: 1, reason: "peer-refused" },
] as const;

for (const { name, what, matches, exit, reason } of REFUSALS)
  test(
    `the kernel of ${name} refuses the ${what} SA: the command fails with ${reason}, both ends know, nothing is left`,
    story(pair(), (world) => {
      const host = world.host(name);
      host.refuse = refusing((command) => matches(host, command), "Requested AUTH_TRUNC algorithm not found.");
      const id = world.host("A").initiate();
      world.run(500);
      const line = world.host("A").outcome(id);
      assert.deepEqual({ exit: line.exit, reason: line.reason }, { exit, reason });
      nothingLeft(world);
      assert.ok(
        said(host, "error").some((text) => text.includes("AUTH_TRUNC")),
        "the kernel's words are in the log",
      );
    }),
  );

test(
  "the responder's kernel refuses the outbound SA: the initiator is told to take its pair down",
  story(pair(), (world) => {
    const b = world.host("B");
    b.refuse = refusing((command) => isOutbound(b, command), "Cannot allocate memory");
    world.host("A").initiate();
    world.run(500);
    nothingLeft(world);
  }),
);

test(
  "a kernel that refuses a renewal leaves the old pair at work until it ends, and the next try succeeds",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    const stream = world.traffic(a, packet(A, B), 500);
    a.refuse = refusing((command) => isInbound(a, command), "Cannot allocate memory", 2);
    world.run(5 * 60_000);
    assert.ok(stream.every(({ arrival }) => arrival === "protected"));
    assert.ok((childrenOf(world, "A").at(-1)?.rekeys ?? 0) >= 1);
  }),
);

test(
  "a renewal that fails is tried again five seconds later",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    a.refuse = refusing((command) => isInbound(a, command), "Cannot allocate memory", 1);
    const times: number[] = [];
    world.intercept = ({ label, from }) => {
      if (label === "QM1" && from === A) times.push(world.now);
      return undefined;
    };
    world.run(5 * 60_000);
    const [first, second] = times;
    assert.ok(first && second && second - first < 5100, `${times}`);
  }),
);

for (const name of ["A", "B"])
  test(
    `the outbound SA of a renewal is refused by the kernel of ${name}: the old pair carries on without a gap`,
    story(pair(), (world) => {
      bringUp(world);
      const host = world.host(name);
      const streams = [world.traffic(world.host("A"), packet(A, B), 50), world.traffic(world.host("B"), packet(B, A), 50)];
      host.refuse = refusing((command) => isOutbound(host, command), "Cannot allocate memory", 1);
      world.run(5 * 60_000);
      for (const stream of streams)
        assert.deepEqual(
          stream.find(({ arrival }) => arrival !== "protected"),
          undefined,
        );
    }),
  );

/** A policy of somebody else's. */
const foreignPolicy = (direction: "in" | "out", source: string, destination: string): KernelPolicy => ({
  direction,
  selector: { source, sourceLength: 32, destination, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 },
  action: "allow",
  priority: 1,
  templates: [],
});

for (const [direction, source, destination] of [
  ["out", B, A],
  ["in", A, B],
] as const)
  test(
    `a foreign policy (${direction}) where a responder's child needs one: the negotiation fails, the policy stays`,
    story(
      pair(towards(B), towards(A, { action: '"respond"' })),
      (world) => {
        const b = world.host("B");
        const policy = foreignPolicy(direction, source, destination);
        b.xfrm.apply([{ do: "add-policy", policy }]);
        world.host("A").initiate();
        world.run(500);
        nothingLeft(world);
        assert.deepEqual([...b.xfrm.policies.values()], [policy]);
        assert.ok(said(b, "error").some((text) => text.includes("File exists: a policy of somebody else has this selector; remove it")));
      },
      { foreign: 1 },
    ),
  );

test("a foreign policy where a rule's standing one belongs: the error names it, it stays, and so do the others of the group", () => {
  const policy = foreignPolicy("in", B, A);
  story(
    { ...pair(towards(B)), foreign: { A: [policy] } },
    (world) => {
      const a = world.host("A");
      world.run(100);
      const { text, rule, peer, failurePoint, reason } = a.events.find(({ event }) => event === "policy.failed") ?? assert.fail();
      assert.match(text, /^rule peer: the kernel refused .* somebody else/);
      assert.deepEqual({ rule, peer, failurePoint, reason }, { rule: "peer", peer: B, failurePoint: "me", reason: "kernel-refused" });
      assert.equal(a.xfrm.policies.size, 2);
    },
    { foreign: 1 },
  )();
});

for (const delays of [[0], [50], [700], [1500, 1], [4000], [0, 30, 3]])
  test(
    `kernels that take ${delays.join(", ")} ms: one pair comes up, and renewals lose no packet`,
    story({ ...pair(), kernelDelays: delays }, (world) => {
      const id = world.host("A").initiate();
      world.run(40_000);
      assert.equal(world.host("A").outcome(id).exit, 0);
      const streams = [world.traffic(world.host("A"), packet(A, B), 100), world.traffic(world.host("B"), packet(B, A), 100)];
      world.run(20 * 60_000);
      for (const stream of streams)
        assert.deepEqual(
          stream.find(({ arrival }) => arrival !== "protected"),
          undefined,
        );
      for (const name of ["A", "B"]) assert.ok(childrenOf(world, name).length <= 2);
    }),
  );

for (let ms = 0; ms <= 260; ms += 10)
  for (const target of ["all", "child", "rule"] as const)
    test(
      `terminate ${target} ${ms} ms after initiate, with slow kernels: nothing is left`,
      story({ ...pair(), kernelDelays: [45] }, (world) => {
        const a = world.host("A");
        const id = a.initiate();
        world.run(ms);
        for (const { id: child } of childrenOf(world, "A"))
          if (target === "child") a.command({ name: "terminate", target: { kind: "child", id: child } });
        if (target === "all") a.command({ name: "terminate", target: { kind: "all" } });
        if (target === "rule") a.command({ name: "terminate", target: { kind: "rule", rule: "peer" } });
        if (target === "child" && childrenOf(world, "A").length === 0) a.command({ name: "terminate", target: { kind: "all" } });
        world.run(40_000);
        assert.notEqual(a.outcome(id).exit, undefined);
        if (target === "child") return bringUp(world, a, "peer", 20_000);
        nothingLeft(world);
        assert.equal(ikesOf(world, "A").length, 0);
      }),
    );

for (let ms = 0; ms <= 60; ms += 4)
  test(
    `the peer deletes a new pair ${ms} ms after its message 3, while kernels are slow: both ends end up alike`,
    story({ ...pair(), kernelDelays: [20] }, (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      a.initiate();
      world.runUntil("QM3", () => world.sent.some(({ label }) => label === "QM3"));
      world.run(ms);
      for (const { id } of childrenOf(world, "B")) b.command({ name: "terminate", target: { kind: "child", id } });
      world.run(30_000);
      nothingLeft(world);
      assert.equal(a.replies.get(1)?.filter(({ exit }) => exit !== undefined).length, 1);
      bringUp(world);
      world.run(1000);
      assertTraffic(world);
    }),
  );

test(
  "message 3 that comes while its proof by traffic is already being acted on changes nothing",
  story({ ...pair(), kernelDelays: [300] }, (world) => {
    world.intercept = (sent) => (sent.label === "QM3" ? { kind: "delay", ms: 1140 } : undefined);
    world.host("A").initiate();
    world.runUntil("A is up", () => childrenOf(world, "A")[0]?.state === "installed");
    assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
    world.run(5000);
    assert.ok(said(world.host("B"), "debug").some((text) => text.includes("packets prove that it was sent")));
    assert.ok(world.rungs.every((rung) => rung.kind !== "note" || !rung.text.startsWith("kernel refuses")));
    assertTraffic(world);
  }),
);

test(
  "answers of the kernel that come after the daemon said goodbye hurt nobody",
  story({ ...pair(), kernelDelays: [300] }, (world) => {
    const a = world.host("A");
    a.initiate();
    world.run(350);
    a.command({ name: "shutdown", keep: false });
    world.run(5000);
    assert.ok(a.stopped);
    world.intercept = () => DROP;
  }),
);

test("a foreign policy for neighbour discovery stays, through our start and our stop", () => {
  const [a, b] = ["2001:db8::1", "2001:db8::2"];
  const any = { source: "::", sourceLength: 0, destination: "::", destinationLength: 0, protocol: 58, sourcePort: 135, destinationPort: 0 };
  const policy: KernelPolicy = { direction: "out", selector: any, action: "allow", priority: 7, templates: [] };
  const options = {
    hosts: [
      { name: "A", addresses: [a], policy: policyOf(towards(b)) },
      { name: "B", addresses: [b], policy: policyOf(towards(a)) },
    ],
    foreign: { A: [policy] },
  };
  story(
    options,
    (world) => {
      bringUp(world);
      assertTraffic(world);
      assert.ok([...world.host("A").xfrm.policies.values()].includes(policy));
      assert.equal(world.host("A").xfrm.policies.size, 10 + 8 + 3 + 2 + 2);
    },
    { foreign: 1 },
  )();
});

test(
  "an expiry of an SPI that we do not know, or of SPI 0, means nothing",
  story(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    const spi = Number(childrenOf(world, "A")[0]?.protections[0]?.spiIn);
    for (const sa of [
      { source: B, destination: A, protocol: "esp" as const, spi: 0 },
      { source: B, destination: A, protocol: "esp" as const, spi: spi ^ 1 },
      { source: "192.0.2.9", destination: "192.0.2.8", protocol: "esp" as const, spi },
    ])
      for (const hard of [true, false]) a.kernelEvents([{ type: "expire", hard, sa, reqid: 0 }]);
    world.run(1000);
    assertTraffic(world);
    assert.equal(world.sent.filter(({ label }) => label === "QM1").length, 1);
  }),
);
