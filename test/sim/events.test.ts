/** What events say, held against the octets on the wire and the SAs in the kernels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../isakmp/hex.ts";
import { decodeHeader } from "../../isakmp/message.ts";
import { towards } from "./policies.ts";
import { A, B, bringUp, pair } from "./setting.ts";
import { story, type World } from "./world.ts";

const headers = (world: World) =>
  world.sent.flatMap(({ bytes }) => {
    const header = decodeHeader(bytes);
    return header.ok ? [header.value] : [];
  });

const eventsOf = (world: World, host: string, name: string) => world.host(host).events.filter(({ event }) => event === name);

test(
  "cookies, SPIs and message ids of events are those on the wire and in the kernels",
  story(pair(), (world) => {
    bringUp(world);
    const last = headers(world).at(-1);
    assert.ok(last);
    const cookies = [toHex(last.initiatorCookie), toHex(last.responderCookie)];
    const messageId = last.messageId.toString(16).padStart(8, "0");
    for (const name of ["A", "B"]) {
      const [established] = eventsOf(world, name, "ike.established");
      assert.deepEqual([established?.initiatorCookie, established?.responderCookie], cookies);
      assert.equal(eventsOf(world, name, "child.started")[0]?.messageId, messageId);
      const [child] = eventsOf(world, name, "child.established");
      const spis = [...world.host(name).xfrm.states.values()].map(({ sa }) => `0x${sa.spi.toString(16).padStart(8, "0")}`);
      assert.deepEqual([child?.spiIn, child?.spiOut].sort(), spis.sort());
      assert.deepEqual([child?.initiatorCookie, child?.responderCookie, child?.messageId], [...cookies, messageId]);
    }
  }),
);

test(
  "an established SA is described in full: identities, method, algorithms, lifetimes, ids as in status",
  story(pair(), (world) => {
    bringUp(world);
    const [ike] = eventsOf(world, "A", "ike.established");
    const [view] = world.host("A").engine.view(world.now).ikeSas;
    const [child] = eventsOf(world, "A", "child.established");
    const [childView] = world.host("A").engine.view(world.now).childSas;
    assert.ok(view && childView);
    assert.deepEqual(
      [ike?.ike, ike?.role, ike?.local, ike?.peer, ike?.localId, ike?.remoteId, ike?.auth, ike?.encryption, ike?.hash, ike?.group],
      [view.id, "initiator", `${A}:500`, `${B}:500`, `ip:${A}`, `ip:${B}`, "psk", view.encryption, view.hash, view.group],
    );
    assert.equal(ike?.lifetimeSeconds, view.lifetimeSeconds);
    const { protections } = childView;
    assert.equal(
      child?.protection,
      protections.map(({ protocol, encryption, integrity }) => `${protocol}:${encryption}-${integrity}`).join(),
    );
    assert.deepEqual(
      [child?.child, child?.ike, child?.mode, child?.lifetimeSeconds, child?.rule],
      [childView.id, view.id, "transport", childView.lifetimeSeconds, "peer"],
    );
  }),
);

test(
  "keys that differ: the initiator's ike.failed has failure point, reason and hint, and the responder's refusals go on",
  story(
    pair(
      towards(B, { auth: `[{ method = "psk", secret = "one key" }]` }),
      towards(A, { auth: `[{ method = "psk", secret = "another key" }]` }),
    ),
    (world) => {
      world.host("A").initiate();
      world.run(300_000);
      const [failed, ...others] = eventsOf(world, "A", "ike.failed");
      assert.ok(failed && others.length === 0);
      assert.ok(failed.reason?.includes("psk") && failed.hint && failed.failurePoint === "peer");
      assert.deepEqual([failed.exchange, failed.role, failed.state], ["main-mode", "initiator", "auth-sent"]);
      const there = eventsOf(world, "B", "ike.failed");
      assert.ok(there.some(({ goesOn }) => goesOn));
      assert.equal(there.filter(({ goesOn }) => !goesOn).length, 1);
    },
  ),
);
