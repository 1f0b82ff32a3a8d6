/** A daemon that dies after any single effect and is started again, with what its journal and the kernel still know. */
import assert from "node:assert/strict";
import test from "node:test";
import { liveSecrets, Secret } from "../../ike/crypto/secret.ts";
import { USED_ID } from "../../ike/journal.ts";
import type { AuthEntry, X509Entry } from "../../policy/types.ts";
import { kerberos, OTHER_CA, withAuth, x509 } from "./credentials.ts";
import { METHODS, methodHosts, PSK_ENTRY } from "./methods.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair } from "./setting.ts";
import { against, proved } from "./versus.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const ON_DEMAND = [B, A].map((peer) => towards(peer, { start: '"on-traffic"' })) as [string, string];
const cookies = (world: World, name: string): readonly string[] =>
  ikesOf(world, name).map(({ initiatorCookie, responderCookie }) => `${initiatorCookie} ${responderCookie}`);
const spis = (world: World, name: string): readonly string[] =>
  childrenOf(world, name).flatMap(({ protections }) => protections.map(({ spiIn, spiOut }) => `${spiIn} ${spiOut}`));

/** A packet a second in either direction. */
const bothWays = (world: World) => [
  world.traffic(world.host("A"), packet(A, B), SECOND),
  world.traffic(world.host("B"), packet(B, A), SECOND),
];

/** Only A may begin. */
const ASKED = [ON_DEMAND[0], towards(A, { start: '"never"' })] as const;

/** Effects of a host in a first run, in which nobody dies. */
function count(name: string, seed: number, tell: (world: World) => void, [a, b]: readonly [string, string] = ON_DEMAND): number {
  let effects = 0;
  story(pair(a, b, { seed }), (world) => {
    tell(world);
    effects = world.host(name).effects;
  })();
  return effects;
}

for (const name of ["A", "B"]) {
  test(
    `${name} is started again: the same SAs, and not a packet lost`,
    story(pair(), (world) => {
      world.host(name).keepJournal();
      bringUp(world);
      world.run(20 * SECOND);
      const [before, pairs] = [cookies(world, name), spis(world, name)];
      const streams = [world.traffic(world.host("A"), packet(A, B), 100), world.traffic(world.host("B"), packet(B, A), 100)];
      for (let i = 0; i < 10; i++) {
        world.run(5 * SECOND);
        world.host(name).crash();
      }
      world.run(5 * SECOND);
      assert.deepEqual(cookies(world, name), before);
      assert.deepEqual(spis(world, name), pairs);
      for (const stream of streams)
        assert.deepEqual(
          stream.filter(({ arrival }) => arrival !== "protected"),
          [],
        );
      assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 1);
    }),
  );

  test(
    `${name} is started again: the journal has what it takes over, which is not written once more`,
    story(pair(), (world) => {
      const host = world.host(name);
      host.keepJournal();
      bringUp(world);
      world.run(20 * SECOND);
      const before = host.journal?.length;
      host.crash();
      assert.equal(childrenOf(world, name).length, 1);
      assert.deepEqual(
        host.journal?.slice(before).filter(({ owner }) => /^(ike|child) /.test(owner)),
        [],
      );
    }),
  );

  test(
    `${name} dies every ten minutes for six hours: renewals go on, nothing piles up, nothing is lost for long`,
    story(pair(), (world) => {
      world.host(name).keepJournal();
      bringUp(world);
      const streams = [world.traffic(world.host("A"), packet(A, B), SECOND), world.traffic(world.host("B"), packet(B, A), SECOND)];
      for (let i = 0; i < 36; i++) {
        world.run(600 * SECOND);
        world.host(name).crash();
      }
      for (const host of ["A", "B"]) {
        assert.ok(childrenOf(world, host).length <= 3, `${childrenOf(world, host).length} children`);
        assert.ok(ikesOf(world, host).length <= 3, `${ikesOf(world, host).length} IKE SAs`);
      }
      for (const stream of streams) {
        assert.deepEqual(
          stream.filter(({ arrival }) => arrival === "clear"),
          [],
        );
        const lost = stream.filter(({ arrival }) => arrival !== "protected").length;
        assert.ok(lost <= 10, `${lost} of ${stream.length} packets lost`);
      }
    }),
  );

  test(`${name} dies after each single effect of a negotiation: in the end traffic passes, and never in clear`, () => {
    const all = count(name, 1, (world) => {
      world.host(name).keepJournal();
      world.host("A").initiate();
      world.run(SECOND);
    });
    assert.ok(all > 15, `${all} effects`);
    for (let effects = 1; effects <= all; effects++)
      story(pair(ON_DEMAND[0], ON_DEMAND[1], { seed: effects }), (world) => {
        const host = world.host(name);
        host.keepJournal();
        host.crashAfter = effects;
        world.host("A").initiate();
        world.run(SECOND);
        // Who died forgot the command; traffic asks anew.
        const streams = bothWays(world);
        world.run(240 * SECOND);
        for (const stream of streams) assert.ok(stream.every(({ arrival }) => arrival !== "clear"));
        host.crashAfter = Number.POSITIVE_INFINITY;
        assertTraffic(world);
      })();
  });

  for (const [kernelOutlives, rules] of [false, true].flatMap((outlives) => [ON_DEMAND, ASKED].map((both) => [outlives, both] as const)))
    test(`${name} dies after each single effect of a renewal${rules === ASKED ? " where only A may begin" : ""}${kernelOutlives ? ", and the kernel does what it was asked for all the same" : ""}: nothing in clear, and traffic soon passes`, () => {
      // From shortly before the first of the two renews until the old pair is gone at both ends.
      const [before, renewal] = [200 * SECOND, 60 * SECOND];
      const stand = (world: World): ReturnType<typeof bothWays> => {
        const host = world.host(name);
        host.keepJournal();
        host.kernelOutlives = kernelOutlives;
        bringUp(world);
        const streams = bothWays(world);
        world.run(before);
        return streams;
      };
      let from = 0;
      const tell = (world: World): void => {
        stand(world);
        from = world.host(name).effects;
        world.run(renewal);
      };
      const all = count(name, 1, tell, rules);
      assert.ok(all - from > 10, `${all - from} effects`);
      for (let effects = 1; effects <= all - from; effects++)
        story(pair(rules[0], rules[1], { seed: effects }), (world) => {
          const host = world.host(name);
          const streams = stand(world);
          host.crashAfter = effects;
          world.run(400 * SECOND);
          for (const stream of streams) {
            assert.ok(stream.every(({ arrival }) => arrival !== "clear"));
            const lost = stream.filter(({ arrival }) => arrival !== "protected").length;
            assert.ok(lost <= 5, `${lost} packets lost after ${effects} effects`);
          }
          host.crashAfter = Number.POSITIVE_INFINITY;
          assertTraffic(world);
        })();
    });
}

for (const [what, rule] of [
  ["is gone", { name: '"another"', auth: '[{ method = "psk", secret = "another throwaway test key" }]' }],
  ["permits", { action: '"permit"', auth: "", start: "" }],
] as const)
  test(
    `an IKE SA whose rule ${what} is not taken over, the peer is told, and its keys are wiped`,
    story(pair(), (world) => {
      const host = world.host("A");
      host.keepJournal();
      bringUp(world);
      host.policy = policyOf(towards(B, rule));
      const before = liveSecrets();
      host.crash();
      assert.equal(ikesOf(world, "A").length, 0);
      assert.equal(liveSecrets(), before);
      world.run(SECOND);
      assert.equal(ikesOf(world, "B").length, 0);
      host.policy = policyOf(towards(B));
      host.crash();
      assert.equal(ikesOf(world, "A").length, 0, "what the peer was told of does not come back");
    }),
  );

test(
  "the message id of a request is written down before its answer goes out, with the child that came of it",
  story(pair(), (world) => {
    const host = world.host("B");
    host.keepJournal();
    const written: string[] = [];
    world.intercept = ({ label }) => {
      if (label === "QM2") written.push((host.journal ?? []).map(({ owner, part }) => `${owner.split(" ")[0]} ${part}`).join());
      return undefined;
    };
    bringUp(world);
    assert.equal(written.length, 1);
    assert.match(written[0] ?? "", /,ike id \d+,child $/);
  }),
);

const THREE = { "main-mode": "{ quick-modes = 3 }", start: '"on-traffic"' };
for (const order of ["in the order in which they came", "the other way round"])
  test(
    `the Quick Modes before a restart still count towards the limit of its rule, their records read ${order}`,
    against(
      {},
      (world, peer) => {
        const a = world.host("A");
        a.keepJournal();
        proved(world, peer);
        const quick = (): number => {
          peer.quick();
          world.run(2 * SECOND);
          return ikesOf(world, "A")[0]?.quickModes ?? 0;
        };
        assert.deepEqual([quick(), quick()], [1, 2]);
        // Which of the used message ids is read first must not matter.
        const used = (a.journal ?? []).filter(({ part }) => part?.startsWith(USED_ID));
        assert.ok(used.length >= 2);
        if (order === "the other way round")
          a.journal = [...(a.journal ?? []).filter((record) => !used.includes(record)), ...used.reverse()];
        a.crash();
        assert.equal(ikesOf(world, "A")[0]?.quickModes, 2);
        const refused = (): number => a.events.filter(({ reason }) => reason === "quick-mode-limit").length;
        assert.deepEqual([quick(), refused()], [3, 0]);
        quick();
        assert.equal(refused(), 1);
      },
      towards(B, THREE),
    ),
  );

test(
  "of two pairs with a peer of another kind the one that was confirmed last goes on after a restart too, whichever end made it",
  against(
    {},
    (world, peer) => {
      const a = world.host("A");
      a.keepJournal();
      bringUp(world);
      world.run(5 * SECOND);
      peer.quick();
      world.run(20 * SECOND);
      const [ours, theirs] = childrenOf(world, "A").map(({ id }) => id);
      assert.ok(ours !== undefined && theirs !== undefined);
      a.crash();
      for (const { sa } of [...a.xfrm.states.values()]) a.kernelEvents(a.xfrm.expire(sa, false));
      const left = (): readonly number[] =>
        childrenOf(world, "A")
          .filter(({ state }) => state !== "draining")
          .map(({ id }) => id);
      world.run(SECOND);
      assert.ok(left().includes(theirs) && !left().includes(ours), `of ${ours} and ${theirs}: ${left()}`);
    },
    towards(B, { start: '"on-traffic"' }),
  ),
);

for (const method of ["psk", "ECDSA P-256", "Kerberos"] as const)
  test(`${method}: a rule that has another name after the start takes over what its peer had proved`, () => {
    const [a, b] = METHODS[method];
    const [entry] = b;
    story(methodHosts(a, b), (world) => {
      const host = world.host("B");
      host.keepJournal();
      bringUp(world);
      const before = cookies(world, "B");
      host.policy = withAuth(policyOf(towards(A, { name: '"renamed"' })), entry);
      host.crash();
      assert.deepEqual(cookies(world, "B"), before);
      assert.deepEqual(
        ikesOf(world, "B").map(({ rule }) => rule),
        ["renamed"],
      );
      host.policy = withAuth(policyOf(towards(A, { name: '"renamed"' })), key("another throwaway test key"));
      host.crash();
      assert.equal(ikesOf(world, "B").length, 0);
    })();
  });

const key = (text: string): AuthEntry => ({ ...PSK_ENTRY, secret: new Secret(new TextEncoder().encode(text)) }) as AuthEntry;
const trusting = (more: Partial<X509Entry["trust"]>): X509Entry => {
  const entry = x509("B", "p256");
  return { ...entry, trust: { ...entry.trust, ...more } };
};
const AGAIN: readonly (readonly [what: string, method: keyof typeof METHODS, after: () => AuthEntry, taken: boolean])[] = [
  ["another pre-shared key", "psk", () => key("another throwaway test key"), false],
  ["another CA", "ECDSA P-256", () => trusting({ anchors: [OTHER_CA.der], names: [OTHER_CA.subject] }), false],
  ["a list of revoked certificates required", "ECDSA P-256", () => trusting({ crl: "require" }), false],
  ["a certificate of ours with another kind of key", "ECDSA P-256", () => x509("B", "rsa2048"), false],
  ["another method", "ECDSA P-256", () => key("another throwaway test key"), false],
  ["another peer-principal", "Kerberos", () => kerberos("B", { peerPrincipal: "host/c.example.test" }), false],
  ["the same CA, read anew", "ECDSA P-256", () => trusting({}), true],
  ["the same peer-principal with its realm", "Kerberos", () => kerberos("B", { peerPrincipal: "host/a.example.test@EXAMPLE.TEST" }), true],
];
for (const [what, method, after, taken] of AGAIN)
  test(`a daemon that finds ${what} in its rule ${taken ? "goes on with" : "does not go on with"} what the peer had proved before`, () => {
    const [a, b] = METHODS[method];
    story(methodHosts(a, b), (world) => {
      const host = world.host("B");
      host.keepJournal();
      bringUp(world);
      host.policy = withAuth(policyOf(towards(A)), after());
      host.crash();
      assert.equal(ikesOf(world, "B").length, taken ? 1 : 0);
    })();
  });
