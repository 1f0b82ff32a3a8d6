/** Stories of somebody on the network: forged, reflected and replayed datagrams, and a peer that meddles with another's SAs. */
import assert from "node:assert/strict";
import test from "node:test";
import { decodeHeader, encodeMessage } from "../../isakmp/message.ts";
import { DOI, EXCHANGE, NOTIFY, PROTOCOL } from "../../isakmp/numbers.ts";
import { type Payload, payload } from "../../isakmp/payloads.ts";
import { DROP, flipped } from "./network.ts";
import { deleteOf, IKE_ATTRIBUTES, notify, offerIke } from "./peer-payloads.ts";
import { towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, packet, pair, said } from "./setting.ts";
import { against, initiated, octetsOf } from "./versus.ts";
import { inWorld, type Sent, story, type World } from "./world.ts";

const C = "192.0.2.3";
const EMPTY = new Uint8Array(0);
/** Before each datagram with this label arrives, something else does. */
function before(world: World, label: string, forge: (sent: Sent) => { to: string; from: string; bytes: Uint8Array }): void {
  world.intercept = (sent) => {
    if (sent.label !== label) return undefined;
    const { from, to, bytes } = forge(sent);
    world.after(4, () => world.deliver(from, to, bytes, true));
    return undefined;
  };
}

for (const label of ["MM5", "MM6", "QM1", "QM2", "QM3"])
  test(`a sealed ${label} with any bit changed, in front of the real one, changes nothing`, () => {
    inWorld(pair(), (probe) => {
      bringUp(probe);
      const length = probe.sent.find((sent) => sent.label === label)?.bytes.length ?? 0;
      assert.ok(length > 28);
      // Nothing protects the flags (octet 19), the last block where it is padding alone, and a length that cuts it off (24 to 27).
      for (let octet = 0; octet < length - 16; octet += octet < 28 ? 1 : 5) {
        if (octet === 19 || (octet >= 24 && octet < 28)) continue;
        story(pair(), (world) => {
          before(world, label, ({ from, to, bytes }) => ({ from, to, bytes: flipped(bytes, octet * 8 + (octet % 8)) }));
          bringUp(world);
          assertTraffic(world);
          for (const name of ["A", "B"]) assert.equal(childrenOf(world, name).length, 1, `octet ${octet}`);
        })();
      }
      probe.end();
    });
  });

for (const label of ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6", "QM1", "QM2", "QM3"])
  test(
    `${label} that comes back to its sender, before the answer and after, changes nothing`,
    story(pair(), (world) => {
      before(world, label, ({ from, to, bytes }) => ({ from: to, to: from, bytes }));
      bringUp(world);
      assertTraffic(world);
      for (const { from, to, bytes } of [...world.sent]) world.deliver(to, from, bytes, true);
      world.run(1000);
      assertTraffic(world);
      for (const name of ["A", "B"]) {
        assert.equal(ikesOf(world, name).length, 1);
        assert.equal(childrenOf(world, name).length, 1);
      }
    }),
  );

test(
  "everything that was ever sent, replayed after the end: nothing changes, and only last flights are repeated",
  story(pair(), (world) => {
    bringUp(world);
    world.run(300_000);
    const recorded = [...world.sent];
    for (const { from, to, bytes } of recorded) world.deliver(from, to, bytes, true);
    world.run(1000);
    const answers = world.sent.slice(recorded.length);
    assert.ok(answers.every(({ bytes }) => recorded.some((sent) => Buffer.compare(sent.bytes, bytes) === 0)));
    assertTraffic(world);
    for (const name of ["A", "B"]) assert.equal(ikesOf(world, name).length, 1);
  }),
);

test(
  "Main Mode's last messages, repeated ten minutes later, are answered no more",
  story(pair(), (world) => {
    bringUp(world);
    const recorded = world.sent.filter(({ label }) => label.startsWith("MM"));
    world.run(600_000);
    const before = world.sent.length;
    for (const { from, to, bytes } of recorded) world.deliver(from, to, bytes, true);
    world.run(100);
    assert.equal(world.sent.length, before);
  }),
);

test(
  "everything that was ever sent, replayed after terminate: no SA comes of it, and no state outlives a minute",
  story(pair(), (world) => {
    bringUp(world);
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    for (const { from, to, bytes } of [...world.sent]) world.deliver(from, to, bytes, true);
    world.run(1000);
    for (const name of ["A", "B"]) {
      assert.ok(ikesOf(world, name).every(({ state }) => state === "negotiating"));
      assert.deepEqual(childrenOf(world, name), []);
    }
    world.run(60_000);
    for (const name of ["A", "B"]) assert.deepEqual(ikesOf(world, name), []);
  }),
);

test(
  "clear notifies and deletes with the cookies of an established SA are ignored",
  story(pair(), (world) => {
    bringUp(world);
    const header = decodeHeader(world.sent[2]?.bytes ?? EMPTY);
    assert.ok(header.ok);
    const { initiatorCookie, responderCookie } = header.value;
    const spis = childrenOf(world, "A")[0]?.protections.map(({ spiOut }) => Number(spiOut)) ?? [];
    const forgeries: readonly (readonly Payload[])[] = [
      [deleteOf(...spis)],
      [
        payload("delete", {
          doi: DOI.IPSEC,
          protocol: PROTOCOL.ISAKMP,
          spiSize: 16,
          spis: [Buffer.concat([initiatorCookie, responderCookie])],
        }),
      ],
      [notify(NOTIFY["INITIAL-CONTACT"])],
      [notify(NOTIFY["AUTHENTICATION-FAILED"])],
      [notify(NOTIFY["INVALID-COOKIE"])],
      [payload("hash", { data: octetsOf(32) }), deleteOf(...spis)],
    ];
    for (const payloads of forgeries)
      for (const exchange of [EXCHANGE.Informational, EXCHANGE["Quick Mode"], EXCHANGE["Identity Protection"], EXCHANGE.Aggressive])
        for (const messageId of [0, 77])
          world.deliver(B, A, encodeMessage({ initiatorCookie, responderCookie, exchange, flags: 0, messageId }, payloads), true);
    world.run(1000);
    assertTraffic(world);
  }),
);

test(
  "the same cookies from another address are nobody's",
  story(pair(), (world) => {
    bringUp(world);
    for (const { from, bytes } of [...world.sent]) if (from === B) world.deliver(C, A, bytes, true);
    world.run(1000);
    assertTraffic(world);
    assert.equal(ikesOf(world, "A").length, 1);
  }),
);

test(
  "an authentic message that comes from another address than its SA's is dropped",
  story(pair(), (world) => {
    bringUp(world);
    world.intercept = ({ from, to, bytes }) => {
      world.after(5, () => world.deliver(from === A ? C : from, to, bytes));
      return from === A ? DROP : undefined;
    };
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(1000);
    assert.equal(childrenOf(world, "B").length, 1);
    assert.equal(ikesOf(world, "B").length, 1);
    world.intercept = () => undefined;
  }),
);

test(
  "an old question whether we live, sent again and again, is no sign of life: a dead peer is found dead",
  story(pair(towards(B, {}, { quickLife: "60m" }), towards(A, {}, { quickLife: "60m" })), (world) => {
    bringUp(world);
    const questions = (): readonly Sent[] => world.sent.filter(({ from, label }) => from === B && label === "INFO");
    // B sends and hears nothing: it asks A, more than once.
    let alive = true;
    const talk = (): void => {
      if (!alive) return;
      world.ping(world.host("B"), packet(B, A));
      world.after(5000, talk);
    };
    talk();
    world.runUntil("questions", () => questions().length >= 2, 900_000);
    alive = false;
    const old = questions();
    world.run(200_000);
    world.intercept = ({ from }) => (from === B ? DROP : undefined);
    world.traffic(world.host("A"), packet(A, B), 5000);
    const again = (): void => {
      for (const { bytes } of old) world.deliver(B, A, bytes, true);
      world.after(3000, again);
    };
    again();
    world.run(400_000);
    assert.ok(
      said(world.host("A"), "warning").some((text) => text.includes("taken for dead")),
      said(world.host("A")).join("\n"),
    );
    world.intercept = () => undefined;
  }),
);

// Unverified notifies during Main Mode

for (const [label, exit, reason] of [
  ["MM1", 1, "peer-refused"],
  ["MM3", 1, "peer-refused"],
] as const)
  test(
    `a clear refusal after ${label} is shown at once, allows one more try, and ends the attempt with 1 if nothing better comes`,
    against({}, (world) => {
      world.intercept = (sent) => {
        if (sent.label !== label || sent.from !== A) return undefined;
        const header = decodeHeader(sent.bytes);
        assert.ok(header.ok);
        const { initiatorCookie, responderCookie } = header.value;
        const fields = { initiatorCookie, responderCookie, exchange: EXCHANGE.Informational, flags: 0, messageId: 5 };
        world.after(5, () => world.deliver(B, A, encodeMessage(fields, [notify(NOTIFY["NO-PROPOSAL-CHOSEN"])])));
        return { kind: "drop" };
      };
      const line = initiated(world);
      assert.deepEqual({ exit: line.exit, reason: line.reason }, { exit, reason });
      assert.match(line.text, /unverified: NO-PROPOSAL-CHOSEN/);
      assert.equal(world.sent.filter((sent) => sent.label === label).length, 2);
    }),
  );

test(
  "a clear refusal that was a lie delays nothing: the real answer goes on",
  story(pair(), (world) => {
    world.intercept = (sent) => {
      const header = decodeHeader(sent.bytes);
      if (!header.ok || sent.from !== A) return undefined;
      const { initiatorCookie, responderCookie } = header.value;
      const fields = { initiatorCookie, responderCookie, exchange: EXCHANGE.Informational, flags: 0, messageId: 5 };
      for (const type of [NOTIFY["NO-PROPOSAL-CHOSEN"], NOTIFY["AUTHENTICATION-FAILED"]])
        world.after(1, () => world.deliver(B, A, encodeMessage(fields, [notify(type)]), true));
      return undefined;
    };
    bringUp(world);
    assertTraffic(world);
  }),
);

test(
  "a refusal that the real answer belied is forgotten: the next message has all its tries",
  story(pair(), (world) => {
    world.intercept = (sent) => {
      if (sent.label === "MM3" && sent.nth <= 3) return DROP;
      const header = decodeHeader(sent.bytes);
      if (sent.label !== "MM1" || !header.ok) return undefined;
      const { initiatorCookie, responderCookie } = header.value;
      const fields = { initiatorCookie, responderCookie, exchange: EXCHANGE.Informational, flags: 0, messageId: 5 };
      world.after(1, () => world.deliver(B, A, encodeMessage(fields, [notify(NOTIFY["NO-PROPOSAL-CHOSEN"])]), true));
      return undefined;
    };
    bringUp(world, world.host("A"), "peer", 10_000);
  }),
);

test(
  "a clear refusal with other cookies, or for the responder, means nothing",
  story(pair(), (world) => {
    world.intercept = (sent) => {
      const fields = {
        initiatorCookie: octetsOf(8),
        responderCookie: octetsOf(8),
        exchange: EXCHANGE.Informational,
        flags: 0,
        messageId: 5,
      };
      const header = decodeHeader(sent.bytes);
      assert.ok(header.ok);
      const { initiatorCookie, responderCookie } = header.value;
      world.after(1, () => world.deliver(B, A, encodeMessage(fields, [notify(NOTIFY["NO-PROPOSAL-CHOSEN"])]), true));
      world.after(1, () =>
        world.deliver(A, B, encodeMessage({ ...fields, initiatorCookie, responderCookie }, [notify(NOTIFY["NO-PROPOSAL-CHOSEN"])]), true),
      );
      return undefined;
    };
    bringUp(world);
    for (const host of world.hosts) assert.deepEqual(said(host, "warning"), []);
  }),
);

test(
  "a forged answer in front of the real one is no excuse later: the reason is the last thing that went wrong",
  story(pair(), (world) => {
    const forgery = offerIke(IKE_ATTRIBUTES.filter(({ type }) => type !== 14));
    world.intercept = (sent) => {
      if (sent.label === "MM6") return DROP;
      const header = decodeHeader(sent.bytes);
      if (sent.label !== "MM2" || !header.ok) return undefined;
      const forged = encodeMessage({ ...header.value, responderCookie: octetsOf(8) }, [forgery]);
      world.after(4, () => world.deliver(B, A, forged, true));
      return undefined;
    };
    const line = initiated(world);
    assert.equal(line.reason, "psk-mismatch-probable");
    assert.ok(said(world.host("A"), "warning").some((text) => text.includes("we did not offer") || text.includes("no key length")));
  }),
);
