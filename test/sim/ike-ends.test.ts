/** Stories of Quick Modes whose IKE SA ends in the middle of them: the pair that the peer uses already must not be taken away here. */
import assert from "node:assert/strict";
import test from "node:test";
import { deleteIke } from "../../ike/notifies.ts";
import { DROP } from "./network.ts";
import { towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, losing, packet, pair } from "./setting.ts";
import { against, proved } from "./versus.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const SHORT = { mainLife: "4m", quickLife: "60m" };
/** Both ends have IKE SAs of four minutes that nobody renews. */
const SHORT_LIVED = pair(towards(B, {}, SHORT), towards(A, {}, SHORT));

const soften = (world: World, name: string): void => {
  const host = world.host(name);
  for (const { sa } of [...host.xfrm.states.values()]) host.kernelEvents(host.xfrm.expire(sa, false));
};

/** Until `seconds` before the end of the IKE SA; then A renews its child. */
function renewLate(world: World, seconds: number): void {
  bringUp(world);
  world.intercept = losing("MM1");
  world.run(4 * 60 * SECOND - seconds * SECOND - world.now);
  const secondsLeft = ikesOf(world, "A")[0]?.secondsLeft ?? 0;
  assert.ok(Math.abs(secondsLeft - seconds) <= 1, `${secondsLeft} s are left`);
}

const protectedOnly = (streams: readonly (readonly { readonly at: number; readonly arrival: string }[])[]): void => {
  for (const stream of streams)
    assert.deepEqual(
      stream.filter(({ arrival }) => arrival !== "protected"),
      [],
    );
};

test(
  "an IKE SA that ends while the old pair still carries the traffic lasts until the new one does",
  story(SHORT_LIVED, (world) => {
    renewLate(world, 11);
    // Message 3 comes after 7 s, and the switch 5 s later: a second after the end.
    world.intercept = (sent) => (sent.label === "MM1" || (sent.label === "QM3" && sent.nth >= 2 && sent.nth <= 4) ? DROP : undefined);
    const streams = [world.traffic(world.host("A"), packet(A, B), 100), world.traffic(world.host("B"), packet(B, A), 100)];
    soften(world, "A");
    world.run(60 * SECOND);
    protectedOnly(streams);
    assert.equal(ikesOf(world, "A").filter(({ state }) => state !== "negotiating").length, 0, "it ended");
    assert.equal(childrenOf(world, "B").at(-1)?.rekeys, 1);
  }),
);

test(
  "an IKE SA that ends before message 3 has come lasts until it has, or until packets prove that it was sent",
  story(SHORT_LIVED, (world) => {
    renewLate(world, 11);
    // All but the fifth, which is due 4 s after the end; by then packets on the new pair prove to B that message 3 was sent.
    world.intercept = (sent) => (sent.label === "MM1" || (sent.label === "QM3" && sent.nth >= 2 && sent.nth <= 5) ? DROP : undefined);
    const stream = world.traffic(world.host("A"), packet(A, B), 100);
    soften(world, "A");
    world.run(12 * SECOND);
    assert.equal(ikesOf(world, "B").filter(({ state }) => state !== "negotiating").length, 1, "B waits");
    world.run(60 * SECOND);
    protectedOnly([stream]);
    assertTraffic(world);
    for (const name of ["A", "B"]) assert.equal(ikesOf(world, name).filter(({ state }) => state !== "negotiating").length, 0, name);
  }),
);

test(
  "nothing begins under an IKE SA in its last ten seconds: a new one comes first",
  story(SHORT_LIVED, (world) => {
    renewLate(world, 9);
    world.intercept = () => undefined;
    const before = world.sent.length;
    const streams = [world.traffic(world.host("A"), packet(A, B), 100), world.traffic(world.host("B"), packet(B, A), 100)];
    soften(world, "A");
    world.run(30 * SECOND);
    assert.equal(world.sent.slice(before)[0]?.label, "MM1");
    protectedOnly(streams);
    assertTraffic(world);
  }),
);

test(
  "a peer that deletes the IKE SA after message 3 keeps the new pair, and so do we",
  against(
    {},
    (world, peer) => {
      proved(world, peer);
      peer.quick();
      world.run(100);
      soften(world, "A");
      world.run(SECOND);
      const made = peer.children.at(-1);
      assert.ok(made?.confirmed, "message 3 came");
      peer.inform([deleteIke(peer.cookieI, peer.cookieR)]);
      world.run(100);
      assert.equal(ikesOf(world, "A").length, 0);
      const spis = childrenOf(world, "A").flatMap(({ protections }) => protections.map(({ spiOut }) => Number(spiOut)));
      assert.ok(spis.includes(made.spiIn), "the new pair stands");
      assert.ok(
        [...world.host("A").xfrm.states.values()].some(({ sa }) => sa.destination === B && sa.spi === made.spiIn),
        "and is used",
      );
    },
    towards(B, {}, { quickLife: "60m" }),
  ),
);
