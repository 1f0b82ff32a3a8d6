/** Kerberos with peers that are not mainmode: one that does as Windows is known to, and others; each vendor id that gives 65001 its meaning. */
import assert from "node:assert/strict";
import test from "node:test";
import type { AuthJob, AuthOutcome } from "../../auth/method.ts";
import { PAYLOAD } from "../../isakmp/numbers.ts";
import { VENDOR_IDS } from "../../isakmp/vendor-ids.ts";
import { kerberos, withAuth } from "./credentials.ts";
import { seededRandom } from "./crypto.ts";
import { simJobs } from "./jobs.ts";
import { type Habits, KerberosPeer, type Means } from "./kerberos-peer.ts";
import { policyOf, towards } from "./policies.ts";
import { A, B, ikesOf, said } from "./setting.ts";
import { story, World, type WorldOptions } from "./world.ts";

const MACHINE = "B$@EXAMPLE.TEST";
const MS_NT5 = Uint8Array.from([...VENDOR_IDS["MS NT5"].bytes, 0, 0, 0, 9]);

/** What Windows sends in its first message beside these is in the table of vendor ids; here is what counts. */
const windows = (more: Partial<Habits> = {}): Habits => ({
  windows: true,
  vendorIds: [MS_NT5, VENDOR_IDS["RFC 3947"].bytes, VENDOR_IDS.FRAGMENTATION.bytes, VENDOR_IDS["Initial Contact"].bytes],
  principal: MACHINE,
  address: B,
  ...more,
});
const other = (...vendorIds: readonly Uint8Array[]): Habits => ({ windows: false, vendorIds, principal: MACHINE, address: B });

const alone = (quirks: Parameters<typeof kerberos>[2] = {}, peerPrincipal = MACHINE): WorldOptions => ({
  hosts: [{ name: "A", addresses: [A], policy: withAuth(policyOf(towards(B)), kerberos("A", { peerPrincipal }, quirks)) }],
});
const ANY_COMPUTER = "*$@EXAMPLE.TEST";

/** The simulator's Diffie-Hellman, as x25519. */
function means(seed: number): Means {
  const random = seededRandom(seed);
  return {
    group: 31,
    random,
    pair: () => {
      const x = random(32);
      return { publicValue: x.map((octet) => octet ^ 0x5a), agree: (other) => x.map((octet, i) => octet ^ (other[i] ?? 0)) };
    },
  };
}

/** The peer's own library, in the same realm as A's. */
function library(world: World, role: "initiate" | "accept") {
  const jobs = simJobs((text) => world.fail(`the peer's library: ${text}`));
  const entry = kerberos("B", { principal: MACHINE, peerPrincipal: null });
  const run = <K extends AuthOutcome["kind"]>(job: AuthJob, kind: K): AuthOutcome & { readonly kind: K } => {
    const outcome = jobs(job);
    assert.ok(outcome?.ok && outcome.value.kind === kind, outcome?.ok === false ? outcome.error.what : kind);
    return outcome.value as AuthOutcome & { readonly kind: K };
  };
  const context = "peer";
  return {
    step: (token: Uint8Array | null, target: string | null) =>
      run({ kind: "gss-step", context, role, entry, target, token, peerAddress: A, wantsNames: false }, "gss-stepped"),
    wrap: (data: Uint8Array) => run({ kind: "gss-wrap", context, data }, "gss-wrapped").data,
    unwrap: (data: Uint8Array) => run({ kind: "gss-unwrap", context, data }, "gss-unwrapped").data,
  };
}

interface Attached {
  readonly peer: KerberosPeer;
  done: boolean;
}

const FIRST_PAYLOAD = 16;
const { ID, KE, SA } = PAYLOAD;
const exchangeOf = (bytes: Uint8Array): number => bytes[18] ?? 0;

/** The peer at B's address begins. */
function begins(world: World, habits: Habits): Attached {
  const attached: Attached = { peer: new KerberosPeer(habits, means(11)), done: false };
  const { peer } = attached;
  const gss = library(world, "initiate");
  const send = (bytes: Uint8Array): void => world.send(B, A, bytes);
  const steps: ((bytes: Uint8Array) => void)[] = [
    (bytes) => {
      peer.onMessage2(bytes);
      send(peer.message3(gss.step(null, peer.target).token as Uint8Array));
    },
    (bytes) => {
      assert.equal(gss.step(peer.onMessage4(bytes), peer.target).complete, true);
      send(peer.proof(gss.wrap(peer.ownHash())));
    },
    (bytes) => {
      const { wrapped, expected } = peer.onProof(bytes);
      assert.deepEqual(gss.unwrap(wrapped), expected, "HASH_R");
      attached.done = true;
    },
  ];
  world.attach(B, (bytes) => {
    if (exchangeOf(bytes) === 2) steps.shift()?.(bytes);
  });
  send(peer.message1());
  return attached;
}

/** The peer at B's address answers; `finish` sends its message 6. */
function answers(world: World, habits: Habits, finish: (bytes: Uint8Array) => void = (bytes) => world.send(B, A, bytes)): Attached {
  const attached: Attached = { peer: new KerberosPeer(habits, means(12)), done: false };
  const { peer } = attached;
  const gss = library(world, "accept");
  const send = (bytes: Uint8Array): void => world.send(B, A, bytes);
  const steps: ((bytes: Uint8Array) => void)[] = [
    (bytes) => {
      peer.onMessage1(bytes);
      send(peer.message2());
    },
    (bytes) => send(peer.message4(gss.step(peer.onMessage3(bytes), null).token as Uint8Array)),
    (bytes) => {
      const { wrapped, expected } = peer.onProof(bytes);
      assert.deepEqual(gss.unwrap(wrapped), expected, "HASH_I");
      finish(peer.proof(gss.wrap(peer.ownHash())));
      attached.done = true;
    },
  ];
  world.attach(B, (bytes) => {
    // Repeats of what was answered are not what the next step waits for.
    if (exchangeOf(bytes) === 2 && bytes[FIRST_PAYLOAD] === [ID, KE, SA][steps.length - 1]) steps.shift()?.(bytes);
  });
  return attached;
}

/** Phase 1 stands at both ends, by Kerberos, with the machine's account. */
function assertUp(world: World, attached: Attached, role: "initiator" | "responder"): void {
  assert.ok(attached.done, "the peer saw a right proof");
  assert.deepEqual(
    ikesOf(world, "A").map((sa) => `${sa.auth} ${sa.role} ${sa.state}`),
    [`kerberos ${role} established`],
  );
  assert.equal(attached.peer.target, "host/a.example.test@EXAMPLE.TEST");
  // Without one of these Windows takes 65001 for something else.
  const announces = attached.peer.announced.filter((id) => id === Buffer.from(VENDOR_IDS.GSSAPI.bytes).toString("hex"));
  assert.equal(announces.length, 1, "we say GSSAPI");
}

function phase1As(role: "initiator" | "responder", habits: Habits): (world: World) => void {
  return (world) => {
    world.run(10);
    const attached = role === "initiator" ? answers(world, habits) : begins(world, habits);
    if (role === "initiator") world.host("A").initiate();
    world.run(2000);
    assertUp(world, attached, role);
    world.run(70_000);
  };
}

for (const role of ["initiator", "responder"] as const) {
  test(
    `a peer as Windows is known to be, ${role === "initiator" ? "which answers" : "which begins"}: octet 0 before tokens, names hashed as on the wire, MS NT5 alone`,
    story(alone(), phase1As(role, windows())),
  );
  test(
    `a rule for every computer of the realm takes a peer as Windows is known to be, which ${role === "initiator" ? "answers" : "begins"}`,
    story(alone({}, ANY_COMPUTER), phase1As(role, windows())),
  );
  for (const [name, vendorIds] of [
    ["GSSAPI", [VENDOR_IDS.GSSAPI.bytes]],
    ["the draft's text with a newline", [VENDOR_IDS["GSS-API draft"].bytes]],
    ["racoon's text without one", [VENDOR_IDS["GSS-API racoon"].bytes]],
  ] as const)
    test(
      `a peer that is not Windows and only says ${name}, as our ${role === "initiator" ? "responder" : "initiator"}: bare tokens, names in single octets`,
      story(alone(), phase1As(role, other(...vendorIds))),
    );
  for (const version of [2, 3, 4, 5, 6, 7, 8, 9])
    test(
      `MS NT5 of version ${version} is Windows and Kerberos, as our ${role === "initiator" ? "responder" : "initiator"}`,
      story(alone(), phase1As(role, windows({ vendorIds: [Uint8Array.from([...VENDOR_IDS["MS NT5"].bytes, 0, 0, 0, version])] }))),
    );
  test(
    `vendor ids of others give 65001 no meaning, from our ${role === "initiator" ? "responder" : "initiator"}`,
    story(alone(), (world) => {
      const habits = other(
        VENDOR_IDS.DPD.bytes,
        VENDOR_IDS.XAUTH.bytes,
        VENDOR_IDS["Initial Contact"].bytes,
        MS_NT5.subarray(0, 15),
        VENDOR_IDS.GSSAPI.bytes.map((octet, i) => (i === 15 ? octet ^ 1 : octet)),
      );
      world.run(10);
      const attached = role === "initiator" ? answers(world, habits) : begins(world, habits);
      const id = role === "initiator" ? world.host("A").initiate() : undefined;
      world.run(31_000);
      assert.ok(!attached.done);
      assert.equal(
        world.host("A").jobs.some(({ kind }) => kind === "gss-step"),
        false,
      );
      const words = id === undefined ? said(world.host("A"), "warning").join("\n") : world.host("A").outcome(id).text;
      assert.match(words, /XAUTH/);
      world.run(60_000);
    }),
  );
}

for (const principal of ["host/b.example.test@EXAMPLE.TEST", "somebody@EXAMPLE.TEST", "B$@OTHER.TEST"])
  test(`a rule for every computer of a realm does not take ${principal}`, () => {
    const peer = withAuth(policyOf(towards(A)), kerberos("B", { principal, peerPrincipal: "host/a.example.test@EXAMPLE.TEST" }));
    const [us] = alone({}, ANY_COMPUTER).hosts;
    assert.ok(us);
    const hosts = [us, { name: "B", addresses: [B], policy: peer }].map((host) => ({
      ...host,
      jobs: (fail: (text: string) => never) => simJobs(fail),
    }));
    story({ hosts }, (world) => {
      world.run(10);
      for (const name of ["B", "A"]) {
        world.host(name).initiate();
        world.run(70_000);
        assert.ok(ikesOf(world, "A").every(({ state }) => state !== "established"));
      }
      const words = said(world.host("A"), "warning").join("\n");
      assert.ok(words.includes(`authenticates as ${principal}; rule peer wants ${ANY_COMPUTER}`), words);
    })();
  });

test(
  "a computer that calls itself by its name without the dollar sign, as the draft's example does, gets the ticket of its account, and its words are hashed",
  story(alone(), (world) => {
    phase1As("initiator", windows({ principal: "B@EXAMPLE.TEST" }))(world);
    const targets = world.host("A").jobs.flatMap((job) => (job.kind === "gss-step" ? [job.target] : []));
    assert.deepEqual(targets, [MACHINE, MACHINE]);
  }),
);

for (const principal of ["no principal at all", "\u0001", ""])
  for (const role of ["initiator", "responder"] as const)
    test(
      `a peer whose name ${JSON.stringify(principal)} nobody can read is answered with ours, and its name is hashed as it came: our ${role}`,
      story(alone(), phase1As(role, windows({ principal }))),
    );

for (const role of ["initiator", "responder"] as const)
  test(
    `with a peer that tells no name none is hashed, and the ticket is for peer-principal: our ${role}`,
    story(alone(), phase1As(role, windows({ named: false }))),
  );

test(
  "an offer with kilobytes of a name is refused with that reason",
  story(alone(), (world) => {
    world.run(10);
    const attached = begins(world, windows({ principal: "x".repeat(600) }));
    world.run(2000);
    assert.ok(!attached.done && ikesOf(world, "A").length === 0);
    assert.match(said(world.host("A"), "warning").join("\n"), /a Kerberos name of 1200 octets; 1024 are read/);
    world.run(70_000);
  }),
);

for (const [quirks, fault] of [
  [{ tokenOctet: "never" }, /how payload 129 begins/],
  [{ hashedName: "single-octet" }, /HASH_I/],
  [{ tokenOctet: "always", hashTokenOctet: true }, /HASH_I/],
] as const)
  test(`the switches ${JSON.stringify(quirks)} decide over what the vendor id says: such a Windows does not understand us`, () => {
    const world = new World(alone(quirks));
    world.run(10);
    answers(world, windows());
    world.host("A").initiate();
    assert.throws(() => world.run(2000), fault);
  });

test(
  "a message 6 that was damaged on its way ends nothing: the right one that follows is taken, and no other method is tried",
  story(alone(), (world) => {
    world.run(10);
    const [third, header, block] = [2, 28, 16];
    const attached = answers(world, windows(), (bytes) => {
      const at = header + third * block + 3;
      world.send(
        B,
        A,
        bytes.map((octet, i) => (i === at ? octet ^ 1 : octet)),
      );
      world.after(200, () => world.send(B, A, bytes));
    });
    world.host("A").initiate();
    world.run(2000);
    assert.deepEqual(
      world.host("A").jobs.map(({ kind }) => kind),
      ["usable", "gss-step", "gss-step", "gss-wrap", "gss-unwrap", "gss-unwrap", "gss-drop"],
    );
    assertUp(world, attached, "initiator");
    world.run(70_000);
  }),
);
