/**
 * Stories with a peer that does on the wire what Windows is documented to do (`windows-peer.ts`): every release that the documents tell apart, both
 * roles, on good networks and bad ones. No real Windows took part.
 */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { encodeMessage } from "../../isakmp/message.ts";
import { NOTIFY } from "../../isakmp/numbers.ts";
import { payload } from "../../isakmp/payloads.ts";
import { saName } from "../../kernel/xfrm-args.ts";
import { DELIVER, DROP, type Fate } from "./network.ts";
import { policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, ikesOf, losing, packet, said } from "./setting.ts";
import { type WindowsOptions, WindowsPeer } from "./windows-peer.ts";
import { RELEASES, type Release } from "./windows-releases.ts";
import { bothPhases, hex, OFFERS, SECOND } from "./windows-setting.ts";
import { inWorld, type Sent, story, type World, type WorldOptions } from "./world.ts";

const linux = (more: RuleText = {}): WorldOptions => ({
  hosts: [{ name: "A", addresses: [A], policy: policyOf(towards(B, { start: '"on-traffic"', "allow-weak": "true", ...more }, OFFERS)) }],
});
const meets = (release: Release, options: WindowsOptions, tell: (world: World, windows: WindowsPeer) => void, more: RuleText = {}) =>
  story(linux(more), (world) => {
    world.run(10);
    tell(world, new WindowsPeer(world, B, A, release, options));
  });

const counted = (world: World, what: string): number => world.host("A").engine.counters().get(what) ?? 0;

/** The engine's kernel holds the keys of the peer's newest pair. */
function assertPair(world: World, windows: WindowsPeer): void {
  const child = windows.children.at(-1);
  assert.ok(child, "a pair");
  const held = (spi: number, destination: string): string => {
    const sa = world.host("A").xfrm.states.get(saName({ protocol: "esp", spi, destination }))?.sa;
    return [sa?.encryption, sa?.integrity].map((part) => part?.key.use(hex) ?? "").join("");
  };
  assert.equal(held(child.spiIn, B), hex(child.keyIn), "towards Windows");
  assert.equal(held(child.spiOut, A), hex(child.keyOut), "from Windows");
}

/** Both phases, begun by one of the two. */
function bring(world: World, windows: WindowsPeer, begins: "us" | "windows"): void {
  bothPhases(world, windows, begins);
  assertPair(world, windows);
}

/** Enough offers to make a message 1 of Quick Mode too long for 576 octets. */
const MANY = ["sha512", "sha384", "sha256", "sha1"].flatMap((hash) =>
  ["aes256", "aes192", "aes128", "3des"].map((cipher) => `esp:${cipher}-${hash}`),
);

const ROLES = ["us", "windows"] as const;
const newest = RELEASES.at(-1) as Release;
const oldest = RELEASES[0] as Release;

for (const release of RELEASES)
  for (const begins of ROLES) {
    const who = `${release.name}, ${begins === "us" ? "we begin" : "it begins"}`;

    test(
      `${who}: both phases, without a word of AuthIP from us and without a warning`,
      meets(release, {}, (world, windows) => {
        bring(world, windows, begins);
        const text = said(world.host("A"), "notice").join("\n");
        assert.ok(text.includes(release.name === "Windows 10" ? "(Windows 8 or later" : `(${release.name}`), text);
        assert.equal(text.includes("which offers AuthIP too"), release.authip);
        assert.equal(windows.authipSent > 0, release.authip && begins === "windows");
        assert.equal(counted(world, "authip ignored"), windows.authipSent);
        assert.ok(windows.vendors.includes("FRAGMENTATION") && windows.vendors.includes("Initial Contact"));
        assert.deepEqual(said(world.host("A"), "warning", "error"), []);
        assert.deepEqual(
          windows.notifies.filter((type) => type !== NOTIFY["INITIAL-CONTACT"]),
          [],
        );
      }),
    );

    test(
      `${who}: what it deletes as idle is no failure, and traffic brings it back`,
      meets(release, {}, (world, windows) => {
        bring(world, windows, begins);
        world.run(305 * SECOND);
        assert.deepEqual(childrenOf(world, "A"), []);
        assert.equal(world.host("A").xfrm.states.size, 0);
        assert.equal(windows.acknowledged.size, release.reliable ? 1 : 0);
        assert.deepEqual(said(world.host("A"), "warning", "error"), []);
        assert.match(said(world.host("A"), "notice").join("\n"), /Windows let it go as idle; traffic brings it back/);
        assert.equal(world.ping(world.host("A"), packet(A, B)), "acquire");
        world.run(SECOND);
        assert.equal(windows.children.length, 2);
        assertPair(world, windows);
        assert.equal(ikesOf(world, "A").length, 1, "under the old IKE SA");
      }),
    );

    test(
      `${who}: a deleted IKE SA leaves the pair alone, and a new one takes over from there`,
      meets(release, {}, (world, windows) => {
        bring(world, windows, begins);
        windows.removeIke();
        world.run(SECOND);
        assert.deepEqual(ikesOf(world, "A"), []);
        assertPair(world, windows);
        assert.equal(windows.acknowledged.size, release.reliable ? 1 : 0);
        bring(world, windows, "windows");
        assert.equal(windows.children.length, 2);
        assertPair(world, windows);
      }),
    );
  }

// Bad networks

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 5, arbitrary: fc.constant(DELIVER) },
  { weight: 2, arbitrary: fc.constant(DROP) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.constantFrom(1, 6, 30, 700) }),
  },
);

for (const release of RELEASES)
  for (const begins of ROLES)
    test(`${release.name}, ${begins === "us" ? "we begin" : "it begins"}: any schedule of loss, repetition and delay heals`, () => {
      fc.assert(
        fc.property(fc.array(fate, { maxLength: 24 }), (fates) => {
          inWorld({ ...linux(), fates }, (world) => {
            world.run(10);
            const windows = new WindowsPeer(world, B, A, release);
            const isUp = () => childrenOf(world, "A").some(({ state }) => state === "installed") && windows.children.length > 0;
            for (let tries = 0; tries < 4 && !isUp(); tries++) {
              if (begins === "us") world.host("A").initiate();
              else if (!windows.established) windows.begin();
              world.run(32 * SECOND);
              if (begins === "windows" && windows.established && !isUp()) {
                windows.quick();
                world.run(32 * SECOND);
              }
            }
            assertPair(world, windows);
            assert.equal(counted(world, "bug"), 0);
            world.end();
          });
        }),
        { seed: 1, numRuns: 30, interruptAfterTimeLimit: 1500, markInterruptAsFailure: false },
      );
    });

/** A path that drops what would need IP fragments. */
const narrow = (sent: Sent): Fate | undefined => (sent.bytes.length > 548 ? DROP : undefined);

for (const release of RELEASES)
  for (const begins of ROLES)
    if (begins === "windows" || release.cutsAnswers)
      test(
        `${release.name}, ${begins === "us" ? "we begin" : "it begins"}: its long proof comes in fragments where the path drops the whole one`,
        meets(release, { ballast: 1500 }, (world, windows) => {
          world.intercept = narrow;
          if (begins === "windows") {
            windows.begin();
            world.run(10 * SECOND);
          } else {
            world.host("A").initiate();
            world.run(10 * SECOND);
          }
          assert.ok(windows.established);
          assert.equal(ikesOf(world, "A")[0]?.state, "established");
          assert.ok(counted(world, "fragment whole") >= 1);
        }),
      );

test(
  "Windows takes nothing but proofs in fragments: a long Quick Mode goes whole to it, even where fragments are forced",
  meets(
    newest,
    {},
    (world, windows) => {
      bring(world, windows, "us");
      const [offer] = world.sent.filter(({ label }) => label === "QM1");
      assert.ok((offer?.bytes.length ?? 0) > 548, `${offer?.bytes.length} octets`);
      assert.ok(world.sent.every(({ label }) => label !== "FRAG"));
    },
    { fragmentation: '"force"', "quick-mode": `{ proposals = ${JSON.stringify(MANY)}, pfs = "none" }` },
  ),
);

// Deletes that want an answer

test(
  "a reliable delete whose answer is lost is answered again, the same octets, also when its IKE SA is gone",
  meets(newest, { insistent: true }, (world, windows) => {
    bring(world, windows, "us");
    const answers: Uint8Array[] = [];
    world.intercept = (sent) => {
      if (sent.from !== A || sent.label !== "INFO") return undefined;
      answers.push(sent.bytes);
      return answers.length <= 2 ? DROP : undefined;
    };
    windows.removeIke();
    world.run(10 * SECOND);
    assert.equal(answers.length, 3);
    assert.deepEqual(new Set(answers.map(hex)).size, 1);
    assert.equal(windows.acknowledged.size, 1);
    assert.equal(counted(world, "reliable delete acknowledged"), 1);
  }),
);

test(
  "an answered delete makes no room for replays: from elsewhere, or changed, it is not answered",
  meets(newest, {}, (world, windows) => {
    bring(world, windows, "us");
    windows.removeIke();
    world.run(SECOND);
    const request = world.sent.findLast(({ from, label }) => from === B && label === "INFO");
    assert.ok(request);
    const before = world.sent.length;
    world.deliver("192.0.2.66", A, request.bytes, true);
    world.deliver(
      B,
      A,
      request.bytes.map((octet, i) => (i === request.bytes.length - 1 ? octet ^ 1 : octet)),
      true,
    );
    world.run(SECOND);
    assert.equal(world.sent.length, before);
  }),
);

// AuthIP

const ordered = (world: World, first: "authip" | "main-mode"): void => {
  world.intercept = (sent) => {
    const isAuthip = sent.bytes[18] === 243;
    return sent.from === B && isAuthip === (first === "main-mode") && sent.nth <= 3 ? { kind: "delay", ms: 40 } : undefined;
  };
};

for (const first of ["authip", "main-mode"] as const)
  test(
    `AuthIP with the cookie of a Main Mode, ${first} first: Main Mode completes, AuthIP gets no answer and leaves nothing`,
    meets(newest, {}, (world, windows) => {
      ordered(world, first);
      bring(world, windows, "windows");
      assert.ok(windows.authipSent > 0);
      assert.equal(counted(world, "authip ignored"), windows.authipSent);
      assert.equal(ikesOf(world, "A").length, 1);
    }),
  );

test(
  "exchanges 243 to 246 are ignored at any time, with any body, by the thousand",
  meets(newest, {}, (world, windows) => {
    bring(world, windows, "us");
    const [ike] = ikesOf(world, "A");
    assert.ok(ike);
    const cookies = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));
    const known = { initiatorCookie: cookies(ike.initiatorCookie), responderCookie: cookies(ike.responderCookie) };
    const before = [world.host("A").engine.size, world.sent.length];
    for (let i = 0; i < 4000; i++) {
      const stranger = { initiatorCookie: new Uint8Array(8).fill(1 + (i % 255)), responderCookie: new Uint8Array(8) };
      const fields = { ...(i % 2 === 0 ? known : stranger), exchange: 243 + (i % 4), flags: i % 3 === 0 ? 1 : 0, messageId: i };
      const bytes = encodeMessage(fields, [payload("vid", { data: new Uint8Array(i % 40).fill(i & 0xff) })]);
      // A Crypto payload that says it is longer than the message.
      bytes[16] = i % 5 === 0 ? 0x85 : 132;
      if (i % 7 === 0) bytes[30] = 0xff;
      world.deliver(B, A, bytes, true);
      if (i % 1000 === 0) world.run(1);
    }
    assert.equal(counted(world, "authip ignored"), 4000);
    assert.deepEqual([world.host("A").engine.size, world.sent.length], before);
    assertPair(world, windows);
  }),
);

// Windows under attack

for (const release of RELEASES)
  test(
    `${release.name} under attack wants its cookie in message 1, and gets it`,
    meets(release, { attacked: true }, (world, windows) => {
      bring(world, windows, "us");
      assert.deepEqual(windows.offers, { without: 1, with: 1 });
    }),
  );

test(
  "a cookie demand that is lost, and an offer with the cookie that is lost, are made up for",
  meets(newest, { attacked: true }, (world, windows) => {
    world.intercept = (sent) => losing("INFO", 1)(sent) ?? (sent.label === "MM1" && sent.nth === 3 ? DROP : undefined);
    const id = world.host("A").initiate();
    world.run(20 * SECOND);
    assert.equal(world.host("A").outcome(id).exit, 0);
    assertPair(world, windows);
  }),
);

test(
  "forged cookie demands cost one message each time ours is due, and not the negotiation",
  meets(newest, {}, (world, windows) => {
    let forged = 0;
    world.intercept = (sent) => {
      if (sent.label !== "MM1" || sent.from !== A) return undefined;
      const plain = sent.bytes.subarray(8, 16).every((octet) => octet === 0);
      for (let i = 0; plain && i < 20; i++) {
        forged++;
        const data = new Uint8Array(8).fill(100 + i);
        const fields = {
          initiatorCookie: sent.bytes.slice(0, 8),
          responderCookie: new Uint8Array(8),
          exchange: 5,
          flags: 0,
          messageId: 7 + i,
        };
        const demand = encodeMessage(fields, [
          payload("notify", { doi: 1, protocol: 1, spi: new Uint8Array(0), type: NOTIFY["DOS-COOKIE"], data }),
        ]);
        world.after(1, () => world.deliver(B, A, demand, true));
      }
      // The first honest message 1 is lost.
      return plain && sent.nth > 2 ? undefined : DROP;
    };
    const id = world.host("A").initiate();
    world.run(20 * SECOND);
    assert.equal(world.host("A").outcome(id).exit, 0);
    assertPair(world, windows);
    assert.equal(counted(world, "cookie demanded"), forged / 20);
  }),
);

// What it says about failures, and clusters

test(
  "a status of Windows' ends the Quick Mode that its message id names, no other, and is told by its name",
  meets(
    newest,
    {},
    (world, windows) => {
      const a = world.host("A");
      // Both wait for their message 2; the status is about the second.
      world.intercept = (sent) => (sent.label === "QM2" ? (sent.nth === 1 ? { kind: "delay", ms: 500 } : DROP) : undefined);
      const id = a.initiate();
      world.run(100);
      windows.refuse(13_868);
      world.run(SECOND);
      assert.equal(a.outcome(id).reason, "peer-refused");
      assert.match(a.outcome(id).text, /NOTIFY_STATUS ERROR_IPSEC_IKE_POLICY_MATCH \(Windows error 13868\)/);
      const [first, second] = childrenOf(world, "A");
      assert.ok(first && !second);
      assert.equal(Number(first.protections[0]?.spiOut), windows.children[0]?.spiIn);
    },
    { filters: `["me <-> ${B} icmp", "me <-> ${B} udp"]` },
  ),
);

test("a reliable delete whose HASH covers the bare nonce is believed and answered as well; one whose HASH is wrong is neither", () => {
  for (const bareNonce of ["yes", "wrong"] as const)
    meets(newest, { bareNonce }, (world, windows) => {
      bring(world, windows, "us");
      windows.removeIke();
      world.run(SECOND);
      assert.equal(ikesOf(world, "A").length, bareNonce === "yes" ? 0 : 1);
      assert.equal(windows.acknowledged.size, bareNonce === "yes" ? 1 : 0);
    })();
});

test("with a member of a cluster an idle pair goes after a minute, with others it stays", () => {
  for (const cluster of [true, false])
    for (const begins of ROLES)
      meets(RELEASES[2] ?? oldest, { cluster }, (world, windows) => {
        bring(world, windows, begins);
        world.run(125 * SECOND);
        assert.equal(windows.children[0]?.deleted, cluster);
        assert.equal(childrenOf(world, "A").length, cluster ? 0 : 1);
        assert.deepEqual(said(world.host("A"), "warning", "error"), []);
      })();
});

test(
  "whoever offers Kerberos alone is told so in the log, and refused",
  meets(newest, {}, (world) => {
    const a = world.host("A");
    const kerberos = payload("sa", {
      doi: 1,
      situation: 1,
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            {
              number: 1,
              id: 1,
              attributes: [
                [1, 5],
                [2, 2],
                [4, 2],
                [3, 65_001],
              ].map(([type = 0, value = 0]) => ({ type, format: "basic" as const, value: Uint8Array.of(value >> 8, value & 255) })),
            },
          ],
        },
      ],
    });
    const fields = { initiatorCookie: new Uint8Array(8).fill(5), responderCookie: new Uint8Array(8), exchange: 2, flags: 0, messageId: 0 };
    const sent = world.sent.length;
    world.deliver(B, A, encodeMessage(fields, [kerberos, ...newest.vids]), true);
    assert.equal(world.sent.length, sent + 1);
    assert.deepEqual(ikesOf(world, "A"), []);
    assert.match(a.events.at(-1)?.text ?? "", /Kerberos/);
  }),
);
