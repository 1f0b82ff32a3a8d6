/** What is ours in the kernel and what is not, whatever happens while the kernel has not answered yet. */
import assert from "node:assert/strict";
import test from "node:test";
import type { KernelPolicy } from "../../ike/kernel-contract.ts";
import { DOI, PROTOCOL } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import type { Host } from "../sim/host.ts";
import { Peer } from "../sim/peer.ts";
import { deleteOf } from "../sim/peer-payloads.ts";
import { policyOf, towards } from "../sim/policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, pair, said } from "../sim/setting.ts";
import { alone, proved } from "../sim/versus.ts";
import { inWorld, story, type World } from "../sim/world.ts";

/** Somebody else's, for everything from one host to another. */
const foreign = (direction: "in" | "out", source: string, destination: string): KernelPolicy => ({
  direction,
  selector: { source, sourceLength: 32, destination, destinationLength: 32, protocol: 0, sourcePort: 0, destinationPort: 0 },
  action: "allow",
  priority: 1,
  templates: [],
});

const policiesOf = (host: Host): readonly KernelPolicy[] => [...host.xfrm.policies.values()];
const RESPOND = towards(A, { action: '"respond"' });

/** Ways to end a child of B's whose outbound SAs and policies the kernel is still asked for. */
const ENDS: readonly (readonly [string, (world: World) => void])[] = [
  [
    "terminate",
    (world) => {
      for (const { id } of childrenOf(world, "B")) world.host("B").command({ name: "terminate", target: { kind: "child", id } });
    },
  ],
  ["a delete of the peer's", (world) => void world.host("A").command({ name: "terminate", target: { kind: "all" } })],
  ["a full stop", (world) => void world.host("B").command({ name: "shutdown", keep: false })],
];

for (const direction of ["out", "in"] as const)
  for (const [how, end] of ENDS)
    test(`a foreign policy (${direction}) outlives ${how} that comes before the kernel has refused ours`, () => {
      const policy = direction === "out" ? foreign("out", B, A) : foreign("in", A, B);
      story(
        { ...pair(towards(B), RESPOND, { kernelDelays: [50] }), foreign: { B: [policy] } },
        (world) => {
          world.host("A").initiate();
          world.runUntil("QM3", () => world.sent.some(({ label }) => label === "QM3"));
          world.run(10);
          end(world);
          world.run(2000);
          assert.deepEqual(policiesOf(world.host("B")), [policy]);
          assert.equal(world.host("B").xfrm.states.size, 0);
        },
        { foreign: 1 },
      )();
    });

for (const index of [0, 1])
  test(`a foreign policy where a standing one belongs outlives a stop that comes before the kernel has refused ours (${index})`, () => {
    const policy = index === 0 ? foreign("out", A, B) : foreign("in", B, A);
    inWorld({ ...pair(), foreign: { A: [policy] }, kernelDelays: [50] }, (world) => {
      world.host("A").command({ name: "shutdown", keep: false });
      world.run(2000);
      assert.ok(world.host("A").stopped);
      assert.deepEqual(policiesOf(world.host("A")), [policy]);
      world.end(1);
    });
  });

test("two Quick Modes at once where a foreign policy stands: both fail, it stays", () => {
  const policy = foreign("out", B, A);
  const options = { hosts: [{ name: "B", addresses: [B], policy: policyOf(RESPOND) }], kernelDelays: [50], foreign: { B: [policy] } };
  story(
    options,
    (world) => {
      const peer = new Peer(world, A, B);
      proved(world, peer);
      peer.quick();
      peer.quick();
      world.run(5000);
      assert.deepEqual(policiesOf(world.host("B")), [policy]);
      assert.deepEqual(childrenOf(world, "B"), []);
      assert.equal(peer.deleted.length, 2, "the peer is told of both");
    },
    { foreign: 1 },
  )();
});

test("two Quick Modes at once: both get their policies, and the policies go with the last", () => {
  const options = { hosts: [{ name: "B", addresses: [B], policy: policyOf(RESPOND) }], kernelDelays: [50] };
  story(options, (world) => {
    const peer = new Peer(world, A, B);
    proved(world, peer);
    peer.quick();
    peer.quick();
    world.run(5000);
    assert.equal(childrenOf(world, "B").length, 2);
    assert.equal(policiesOf(world.host("B")).length, 2);
    for (const { spiIn } of peer.children) {
      assert.equal(policiesOf(world.host("B")).length, 2);
      peer.inform([deleteOf(spiIn)]);
      world.run(15_000);
    }
    assert.deepEqual(policiesOf(world.host("B")), []);
  })();
});

test("an SA of somebody else with the SPI that the peer chose outlives a terminate that comes before the kernel has refused ours", () => {
  inWorld({ ...pair(towards(B), RESPOND), kernelDelays: [50] }, (world) => {
    const [a, b] = [world.host("A"), world.host("B")];
    a.initiate();
    world.runUntil("QM3", () => world.sent.some(({ label }) => label === "QM3"));
    const sa = [...a.xfrm.states.values()].find(({ sa: { destination } }) => destination === A)?.sa;
    assert.ok(sa);
    b.xfrm.apply([{ do: "add-sa", sa: { ...sa, reqid: 7 } }]);
    world.run(10);
    for (const { id } of childrenOf(world, "B")) b.command({ name: "terminate", target: { kind: "child", id } });
    world.run(2000);
    assert.deepEqual(
      [...b.xfrm.states.values()].map(({ sa: { reqid } }) => reqid),
      [7],
    );
  });
});

test("a standing policy that the kernel refused is asked for again at a reload, and for each child", () => {
  const policy = foreign("out", A, B);
  story({ ...pair(), foreign: { A: [policy] } }, (world) => {
    const a = world.host("A");
    const id = a.initiate();
    world.run(1000);
    assert.equal(a.outcome(id).reason, "kernel-refused", "a child without its policy would protect nothing");
    assert.deepEqual(childrenOf(world, "A"), []);
    a.xfrm.apply([{ do: "remove-policy", policy }]);
    a.input({ type: "policy", policy: a.policy });
    world.run(100);
    assert.equal(policiesOf(a).length, 2);
    bringUp(world);
    assertTraffic(world);
  })();
});

test("a removal that the kernel refuses keeps none of the others back", () => {
  inWorld(pair(), (world) => {
    bringUp(world);
    const a = world.host("A");
    a.refuse = (command) => (command.do === "remove-policy" && command.policy.direction === "out" ? "ip was ended by SIGKILL" : undefined);
    a.command({ name: "shutdown", keep: false });
    world.run(1000);
    assert.deepEqual(
      policiesOf(a).map(({ direction }) => direction),
      ["out"],
    );
    assert.ok(said(a, "error").some((text) => text.includes("SIGKILL")));
  });
});

test(
  "the peer deletes the IKE SA right behind message 3: the pair comes up without its parent",
  story({ ...alone(), kernelDelays: [50] }, (world) => {
    world.run(100);
    const peer = new Peer(world, B, A);
    proved(world, peer);
    peer.quick();
    world.runUntil("QM3", () => world.sent.some(({ label }) => label === "QM3"));
    const spis = [Buffer.concat([peer.cookieI, peer.cookieR])];
    peer.inform([payload("delete", { doi: DOI.IPSEC, protocol: PROTOCOL.ISAKMP, spiSize: 16, spis })]);
    world.run(1000);
    assert.deepEqual(
      childrenOf(world, "A").map(({ state, ike }) => ({ state, ike })),
      [{ state: "installed", ike: null }],
    );
    assert.equal(world.host("A").xfrm.states.size, 2);
  }),
);

test(
  "what is replaced is removed once: outbound when it gives way, inbound when it has drained",
  story(pair(), (world) => {
    bringUp(world);
    for (const host of world.hosts) {
      host.refuse = (command) => {
        if (command.do !== "remove-sa") return undefined;
        const { source, spi } = command.sa;
        const there = [...host.xfrm.states.values()].some(({ sa }) => sa.spi === spi && sa.source === source);
        assert.ok(there, `${host.name} removes an SA that is gone`);
        return undefined;
      };
    }
    world.run(20 * 60_000);
    for (const host of world.hosts) host.refuse = () => undefined;
  }),
);

test("a stop waits for what it undoes", () => {
  for (let ms = 0; ms < 400; ms += 10)
    inWorld({ ...pair(towards(B), RESPOND), kernelDelays: [45] }, (world) => {
      world.host("A").initiate();
      world.run(ms);
      for (const host of world.hosts) {
        host.command({ name: "shutdown", keep: false });
        world.runUntil("stop", () => host.stopped);
        assert.deepEqual([...host.xfrm.states.keys(), ...host.xfrm.policies.keys()], [], `${host.name} after ${ms} ms`);
      }
      world.end();
    });
});

test(
  "a rule that waits for a route waits no longer once it is terminated, nor keeps a timer beyond a stop",
  story(pair(towards("198.51.100.9", { start: '"now"', filters: '["192.0.2.99 <-> 198.51.100.9"]' })), (world) => {
    const a = world.host("A");
    world.run(100);
    assert.notEqual(a.engine.nextWake(), undefined);
    a.command({ name: "terminate", target: { kind: "all" } });
    world.run(100);
    assert.equal(a.engine.nextWake(), undefined);
  }),
);
