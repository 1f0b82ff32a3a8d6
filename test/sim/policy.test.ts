/** Stories of configurations: keys, identities, proposals and selectors that fit or don't. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, PSK, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, childrenOf, ikesOf, pair, said } from "./setting.ts";
import { story } from "./world.ts";

const psk = (secret: string, more = ""): string => `[{ method = "psk", secret = "${secret}"${more && `, ${more}`} }]`;
const filter = (text: string): string => `["${text}"]`;

for (const [initiator, responder] of [
  ["A", "B"],
  ["B", "A"],
] as const)
  test(
    `different keys, ${initiator} begins: both ends say "probable PSK mismatch", with peer and rule, and nothing is left`,
    story(pair(towards(B), towards(A, { auth: psk("another key altogether") })), (world) => {
      const [from, to] = [world.host(initiator), world.host(responder)];
      const id = from.initiate();
      world.run(29_999);
      const { exit, reason } = from.outcome(id);
      assert.deepEqual({ exit, reason }, { exit: 1, reason: "psk-mismatch-probable" });
      for (const host of [from, to]) {
        const line = host.events.find(({ text: t }) => t.includes("probable PSK mismatch"));
        assert.ok(line, `${host.name} says nothing`);
        assert.match(line.text, /rule peer/);
        assert.ok(line.text.includes(host.name === "A" ? B : A), line.text);
      }
      world.run(60_000);
      for (const host of world.hosts) assert.equal(host.engine.view(world.now).ikeSas.length, 0);
    }),
  );

/** Rules of the responder B for A, least specific first; each with a key of its own. */
const LADDER: readonly (readonly [string, string])[] = [
  ["any", "any"],
  ["subnet", "192.0.2.0/24"],
  ["range", "192.0.2.1-192.0.2.6"],
  ["host", A],
];

for (let known = 1; known <= LADDER.length; known++) {
  const rules = LADDER.slice(0, known);
  const [best] = rules.at(-1) ?? [""];
  test(`the key of the ${best} rule is used where there are rules for ${rules.map(([name]) => name).join(", ")}, in whatever order`, () => {
    for (const order of [rules, [...rules].reverse()]) {
      const b = configuration(
        order.map(([name, place]) => ({
          name: `"${name}"`,
          filters: filter(`me <-> ${place}`),
          auth: psk(`the key of ${name}`),
          action: '"respond"',
        })),
      );
      story(pair(towards(B, { auth: psk(`the key of ${best}`) }), b), (world) => {
        bringUp(world);
        assert.equal(ikesOf(world, "B")[0]?.rule, best);
        assertTraffic(world);
      })();
    }
  });
}

test(
  "of two rules with one key the identity decides",
  story(
    pair(
      towards(B, { auth: psk(PSK, 'local-id = "fqdn:two.example.test"') }),
      configuration(
        ["one", "two"].map((name, i) => ({
          name: `"${name}"`,
          filters: filter(`me${i === 0 ? ":80" : ""} <-> ${A}${i === 0 ? " tcp" : ""}`),
          action: '"respond"',
          auth: psk(PSK, `remote-id = "fqdn:${name}.example.test"`),
        })),
      ),
    ),
    (world) => {
      bringUp(world);
      assert.equal(ikesOf(world, "B")[0]?.rule, "two");
      assert.equal(ikesOf(world, "B")[0]?.remoteId, "fqdn:two.example.test");
    },
  ),
);

/** Two rules of one host for the ports 1 and 2 of the other's, with a key each. */
const twoRules = (side: (port: number) => string): string =>
  configuration([1, 2].map((port) => ({ name: `"r${port}"`, filters: filter(side(port)), auth: psk(`the key of ${port}`) })));

test(
  "who proved itself with one rule's key gets nothing of another rule's",
  story(
    pair(
      configuration([{ filters: JSON.stringify([`me <-> ${B}:1 tcp`, `me <-> ${B}:2 tcp`]), auth: psk("the key of 1") }]),
      twoRules((port) => `me:${port} <-> ${A} tcp`),
    ),
    (world) => {
      world.host("A").initiate();
      world.run(1000);
      assert.deepEqual(
        childrenOf(world, "B").map(({ localPort, rule }) => [localPort, rule]),
        [[1, "r1"]],
      );
    },
  ),
);

test(
  "an initiator does not carry one rule's child under an SA that another rule's key made",
  story(
    pair(
      twoRules((port) => `me <-> ${B}:${port} tcp`),
      configuration([{ filters: JSON.stringify([`me:1 <-> ${A} tcp`, `me:2 <-> ${A} tcp`]), auth: psk("the key of 1") }]),
    ),
    (world) => {
      const a = world.host("A");
      bringUp(world, a, "r1");
      const id = a.initiate("r2");
      world.run(29_999);
      assert.equal(a.outcome(id).reason, "psk-mismatch-probable");
      assert.equal(childrenOf(world, "A").length, 1);
    },
  ),
);

test(
  "an identity that no rule wants is refused with what the rules want",
  story(
    pair(
      towards(B, { auth: psk(PSK, 'local-id = "fqdn:c.example.test"') }),
      towards(A, { auth: psk(PSK, 'remote-id = "fqdn:a.example.test"') }),
    ),
    (world) => {
      const id = world.host("A").initiate();
      world.run(29_000);
      assert.equal(world.host("A").outcome(id).exit, 1);
      assert.ok(said(world.host("B"), "warning").some((t) => /says fqdn:c\.example\.test; rule peer wants fqdn:a\.example\.test/.test(t)));
    },
  ),
);

test(
  "an initiator insists on the identity of the peer too",
  story(pair(towards(B, { auth: psk(PSK, 'remote-id = "fqdn:b.example.test"') }), towards(A)), (world) => {
    const id = world.host("A").initiate();
    world.run(29_000);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual({ exit, reason }, { exit: 1, reason: "id-mismatch" });
    assert.match(text, /says ip:192\.0\.2\.2; rule peer wants fqdn:b\.example\.test/);
  }),
);

test(
  "no Main Mode proposal in common: the responder explains both sides, the initiator names the notify",
  story(
    pair(
      towards(B, {}, { mainMode: ["aes128-sha1-x25519", "aes256-sha1-x25519"] }),
      towards(A, {}, { mainMode: ["aes256-sha256-ecp256"] }),
    ),
    (world) => {
      const id = world.host("A").initiate();
      world.run(29_000);
      const { exit, reason, text, hint } = world.host("A").outcome(id);
      assert.deepEqual({ exit, reason }, { exit: 1, reason: "peer-refused" });
      assert.match(text, /unverified: NO-PROPOSAL-CHOSEN/);
      assert.ok(hint);
      const [line] = said(world.host("B"), "warning");
      for (const part of ["aes128-sha1-x25519", "aes256-sha1-x25519", "configured: aes256-sha256-ecp256 (rule peer)", A])
        assert.ok(line?.includes(part), `${part} is missing in: ${line}`);
      // One more try after the notify, then the end.
      assert.equal(world.sent.filter(({ label }) => label === "MM1").length, 2);
    },
  ),
);

test(
  "no Quick Mode proposal in common: the verified refusal ends it at once, and the responder explains",
  story(pair(towards(B, {}, { quickMode: ["esp:aes256-sha1"], pfs: "x25519" }), towards(A)), (world) => {
    const id = world.host("A").initiate();
    world.run(500);
    const { exit, reason, text } = world.host("A").outcome(id);
    assert.deepEqual({ exit, reason }, { exit: 1, reason: "peer-refused" });
    assert.match(text, /NO-PROPOSAL-CHOSEN/);
    const [line] = said(world.host("B"), "warning");
    assert.match(line ?? "", /esp:aes256-sha1.*configured: esp:aes128-sha256, transport, no PFS/);
  }),
);

test(
  "PFS that only the responder wants is missed in words",
  story(pair(towards(B), towards(A, {}, { pfs: "x25519" })), (world) => {
    world.host("A").initiate();
    world.run(500);
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("PFS group none offered, x25519 configured")));
  }),
);

test(
  "PFS that only the initiator wants is granted",
  story(pair(towards(B, {}, { pfs: "x25519" }), towards(A)), (world) => {
    bringUp(world);
    for (const name of ["A", "B"]) assert.equal(childrenOf(world, name)[0]?.group, "x25519");
    assertTraffic(world);
  }),
);

test(
  "selectors that do not mirror each other: the first difference is in the responder's log, and the command fails",
  story(pair(towards(B, { filters: filter(`me <-> ${B}:80 tcp`) }), towards(A, { filters: filter(`me:443 <-> ${A} tcp`) })), (world) => {
    const id = world.host("A").initiate();
    world.run(500);
    assert.deepEqual(world.host("A").outcome(id).reason, "peer-refused");
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("local port 80 offered, 443 configured")));
  }),
);

test(
  "a rule that the command does not find names those that there are",
  story(pair(), (world) => {
    const id = world.host("A").initiate("per");
    const { exit, text } = world.host("A").outcome(id);
    assert.equal(exit, 1);
    assert.match(text, /no rule is called per; rules: peer/);
  }),
);

test(
  "a peer that no rule knows gets a refusal and no state",
  story(pair(towards(B), towards("192.0.2.77")), (world) => {
    world.host("A").initiate();
    world.run(100);
    assert.deepEqual(ikesOf(world, "B"), []);
    assert.ok(said(world.host("B"), "warning").some((t) => t.includes("no rule for peer 192.0.2.1")));
    world.run(29_000);
  }),
);
