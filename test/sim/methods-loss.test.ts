/** Every method of authentication on a bad network, message by message and in any schedule; no token, hash or signature is worked on twice. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { jobKinds, METHODS, methodHosts } from "./methods.ts";
import { DELIVER, DROP, type Fate } from "./network.ts";
import { A, assertTraffic, B, bringUp, packet } from "./setting.ts";
import { inWorld, type Sent, story, type World } from "./world.ts";

const MESSAGES = ["MM1", "MM2", "MM3", "MM4", "MM5", "MM6"] as const;

/** What each side asks for in a negotiation that succeeds, beside whether the method can be used: once each, whatever the network does. */
const ONCE: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
  psk: [[], []],
  certificate: [
    ["sign", "verify"],
    ["verify", "sign"],
  ],
  Kerberos: [
    ["gss-step", "gss-step", "gss-wrap", "gss-unwrap"],
    ["gss-step", "gss-unwrap", "gss-wrap"],
  ],
};

function assertOnce(world: World, method: string): void {
  const wanted = ONCE[method] ?? ONCE["certificate"];
  for (const [i, host] of ["A", "B"].entries())
    assert.deepEqual(
      jobKinds(world, host).filter((kind) => kind !== "usable" && kind !== "gss-drop"),
      wanted?.[i],
      host,
    );
}

/** What the network does to a message, by how often it was sent. */
const TROUBLES: readonly (readonly [string, (nth: number) => Fate])[] = [
  ["comes twice at once", () => ({ kind: "duplicate", ms: 0 })],
  ["comes again while its job runs", () => ({ kind: "duplicate", ms: 40 })],
  ["comes again after the next message", () => ({ kind: "duplicate", ms: 900 })],
  ["is late, behind its own repeats", (nth) => (nth === 1 ? { kind: "delay", ms: 6000 } : DELIVER)],
];

for (const [name, [a, b, auth]] of Object.entries(METHODS))
  for (const message of MESSAGES) {
    const on = (fate: (nth: number) => Fate) => (sent: Sent) => (sent.label === message ? fate(sent.nth) : undefined);
    test(
      `${name}: ${message} is lost, and its first repeat, too, whole or in fragments; every job is done once`,
      story(methodHosts(a, b), (world) => {
        let [from, first, lost] = ["", 0, 0];
        world.intercept = (sent) => {
          if (lost === 0 && sent.label === message) [from, first] = [sent.from, world.now];
          const again = sent.label === message || sent.label === "FRAG";
          if (sent.from !== from || !again || world.now > first + 2000) return undefined;
          lost++;
          return DROP;
        };
        bringUp(world, world.host("A"), "peer", 12_000);
        assert.ok(lost >= 2, `${lost} were lost`);
        assertTraffic(world);
        assertOnce(world, name);
      }),
    );
    for (const [trouble, fate] of TROUBLES)
      test(
        `${name}: ${message} ${trouble}; every job is done once, and there is one SA`,
        story(methodHosts(a, b, { jobDelays: [100] }), (world) => {
          world.intercept = on(fate);
          bringUp(world, world.host("A"), "peer", 12_000);
          assertTraffic(world);
          assertOnce(world, name);
          for (const host of world.hosts) {
            const { ikeSas, childSas } = host.engine.view(world.now);
            assert.deepEqual([ikeSas.map((sa) => `${sa.auth} ${sa.state}`), childSas.length], [[`${auth} established`], 1]);
          }
        }),
      );
  }

const fate: fc.Arbitrary<Fate> = fc.oneof(
  { withCrossShrink: true },
  { weight: 5, arbitrary: fc.constant(DELIVER) },
  { weight: 2, arbitrary: fc.constant(DROP) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("duplicate" as const, "delay" as const), ms: fc.constantFrom(1, 6, 30, 700, 3000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("corrupt" as const), bit: fc.nat(4000) }) },
);

/** The large curves cost tens of milliseconds a signature: fewer schedules. */
const runsOf = (name: string): number => (/P-384|P-521/.test(name) ? 40 : 120);

for (const [name, [a, b]] of Object.entries({ ...METHODS, "Kerberos in three rounds": METHODS.Kerberos }))
  test(`${name}: any schedule of loss, repetition, delay and damage with slow jobs heals`, () => {
    let ran = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.array(fate, { maxLength: 30, size: "max" }),
        fc.array(fc.constantFrom(0, 1, 30, 400, 2500), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (seed, fates, jobDelays, bothBegin) =>
          inWorld(
            methodHosts(a, b, { seed, fates, jobDelays, start: '"now"', realm: { tokens: name.endsWith("rounds") ? 5 : 2 } }),
            (world) => {
              ran++;
              if (bothBegin) world.host("B").initiate();
              world.run(120_000);
              world.traffic(world.host("A"), packet(A, B), 10_000);
              world.run(13 * 60_000);
              if (world.ping(world.host("A"), packet(A, B)) !== "protected") world.run(60_000);
              assertTraffic(world);
              world.end();
            },
          ),
      ),
      {
        numRuns: Number(process.env["MAINMODE_SIM_RUNS"] ?? runsOf(name)),
        interruptAfterTimeLimit: 5000,
        markInterruptAsFailure: false,
        ...(process.env["MAINMODE_SIM_RUNS"] === undefined ? { seed: 1 } : {}),
      },
    );
    assert.ok(ran > 0);
  });
