/**
 * Stories of `request` rules whose question does not leave: nothing to prove ourselves by can be used here, or it takes its time, or the wish waits for its
 * turn. Nothing goes in clear for the silence of a peer that nobody has asked.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { AuthReason } from "../../auth/method.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { kerberos, withAuth, x509 } from "./credentials.ts";
import { failure, type RunJob, simJobs } from "./jobs.ts";
import { PSK_ENTRY } from "./methods.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, assertTraffic, B, packet, pair, said } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const SECOND = 1000;
const MINUTE = 60_000;

const request: RuleText = { action: '"request"', start: '"on-traffic"' };
const respond: RuleText = { action: '"respond"' };
const softOf = (world: World) => world.host("A").engine.view(world.now).softSas;
const sentByA = (world: World) => world.sent.filter(({ from }) => from === A);
const opened = (world: World) => said(world.host("A")).filter((text) => text.includes("sends no IKE packet"));
const silence = (world: World): void => {
  world.intercept = ({ from }) => (from === B ? DROP : undefined);
};

/** How what is asked about a method here comes out: a reason, undefined for never, true where it works. */
type Usable = (entry: AuthEntry) => AuthReason | true | undefined;

interface Here {
  readonly usable: Usable;
  /** How long all that is asked takes. Milliseconds. */
  readonly delay?: number;
  readonly rule?: RuleText;
}

/** A begins, B answers by the first of A's methods that it has. */
function hosts({ usable, delay = 2, rule = {} }: Here, own: readonly AuthEntry[], theirs: readonly AuthEntry[]): WorldOptions {
  const jobs = (fail: (text: string) => never): ReturnType<typeof simJobs> => {
    const all = simJobs(fail);
    const run: RunJob = (job) => {
      const outcome = job.kind === "usable" ? usable(job.entry) : true;
      return outcome === true ? all(job) : outcome && failure(outcome, `${outcome}, as the story has it`, "me");
    };
    return Object.assign(run, { open: all.open });
  };
  return {
    hosts: [
      { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B, { ...request, ...rule })), ...own), jobs },
      { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A, respond)), ...theirs) },
    ],
    jobDelays: [delay],
  };
}

const KERBEROS = [[kerberos("A")], [kerberos("B")]] as const;
const X509 = [[x509("A", "p256")], [x509("B", "p256")]] as const;

type Entries = readonly [own: readonly AuthEntry[], theirs: readonly AuthEntry[]];
const useless: readonly (readonly [what: string, here: Here, entries: Entries, reason: AuthReason])[] = [
  ["the KDC refuses at once", { usable: () => "kerberos-kdc-unreachable" }, KERBEROS, "kerberos-kdc-unreachable"],
  ["the KDC is dead", { usable: () => "kerberos-kdc-unreachable", delay: 25 * SECOND }, KERBEROS, "kerberos-kdc-unreachable"],
  ["nobody ever says whether there is a ticket", { usable: () => undefined }, KERBEROS, "provider-timeout"],
  ["our certificate has expired", { usable: () => "certificate-expired" }, X509, "certificate-expired"],
];
for (const [what, here, entries, reason] of useless)
  test(
    `request, and ${what}: nobody is asked, nothing goes in clear, the log says why and what to try, and it is tried again with longer pauses`,
    story(hosts(here, ...entries), (world) => {
      world.run(10);
      const a = world.host("A");
      const arrivals = world.traffic(a, packet(A, B), SECOND);
      world.run(10 * MINUTE);
      assert.ok(arrivals.length > 500 && arrivals.every(({ arrival }) => arrival === "acquire"));
      assert.deepEqual([world.sent, softOf(world), opened(world)], [[], [], []]);
      const failed = a.events.filter(({ event }) => event === "child.failed");
      assert.ok(failed.length > 3 && failed.length < 20, `${failed.length} tries`);
      for (const one of failed) {
        assert.equal(one.reason, reason);
        assert.match(one.text, /; 192\.0\.2\.2 was not asked, so nothing goes in clear/);
        assert.ok(one.hint);
      }
    }),
  );

test("request, and a KDC that is there again after a while: the peer is asked by itself, and answers", () => {
  let there = false;
  return story(hosts({ usable: () => there || "kerberos-kdc-unreachable" }, ...KERBEROS), (world) => {
    world.run(10);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(3 * MINUTE);
    assert.deepEqual(world.sent, []);
    there = true;
    world.run(2 * MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "protected");
    assert.ok(arrivals.every(({ arrival }) => arrival !== "clear"));
    assertTraffic(world);
  })();
});

const slow: readonly (readonly [what: string, options: WorldOptions])[] = [
  ["a ticket takes four seconds", hosts({ usable: () => true, delay: 4 * SECOND }, ...KERBEROS)],
  [
    "a ticket fails after ten seconds, and the next method is a key",
    hosts({ usable: () => "kerberos-kdc-unreachable", delay: 10 * SECOND }, [kerberos("A"), PSK_ENTRY], [PSK_ENTRY]),
  ],
  ["a smart card takes five seconds", hosts({ usable: () => true, delay: 5 * SECOND }, ...X509)],
];
for (const [what, options] of slow) {
  test(
    `request, and ${what}: the peer is asked then, answers, and nothing ever goes in clear`,
    story(options, (world) => {
      world.run(10);
      const arrivals = world.traffic(world.host("A"), packet(A, B), 500);
      world.run(5 * MINUTE);
      assert.equal(arrivals.at(-1)?.arrival, "protected");
      assert.deepEqual([arrivals.filter(({ arrival }) => arrival === "clear"), opened(world)], [[], []]);
    }),
  );

  test(
    `request, and ${what}, with a silent peer: it has its three seconds from the first message that leaves`,
    story(options, (world) => {
      world.run(10);
      silence(world);
      const arrivals = world.traffic(world.host("A"), packet(A, B), 500);
      while (sentByA(world).length === 0 && world.now < MINUTE) world.run(100);
      assert.equal(sentByA(world).length, 1);
      assert.deepEqual(softOf(world), []);
      world.run(2800);
      assert.deepEqual(softOf(world), []);
      world.run(300);
      assert.equal(softOf(world).length, 1);
      world.run(SECOND);
      assert.equal(arrivals.at(-1)?.arrival, "clear");
    }),
  );
}

test("a soft SA, and a KDC that goes: our own failure is no sign of the peer's, so it stands on; after its end the traffic waits", () => {
  let there = true;
  return story(hosts({ usable: () => there || "kerberos-kdc-unreachable" }, ...KERBEROS), (world) => {
    world.run(10);
    silence(world);
    const a = world.host("A");
    const arrivals = world.traffic(a, packet(A, B), SECOND);
    world.run(5 * SECOND);
    assert.equal(softOf(world).length, 1);
    // Until A asks no more by itself.
    world.run(MINUTE);
    there = false;
    a.initiate();
    world.run(10 * SECOND);
    assert.ok(a.events.some(({ reason }) => reason === "kerberos-kdc-unreachable"));
    assert.equal(softOf(world).length, 1);
    assert.equal(arrivals.at(-1)?.arrival, "clear");
    world.run(5 * MINUTE);
    assert.deepEqual(softOf(world), []);
    assert.equal(arrivals.at(-1)?.arrival, "acquire");
    assert.deepEqual(
      said(a).filter((text) => text.includes("has not proved itself")),
      [],
    );
    // Nor is it remembered as one that speaks IKE.
    there = true;
    world.run(2 * MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "clear");
  })();
});

/** A's rule is for a network of hosts that nobody is, and for B. */
const many = pair(towards(B, { ...request, filters: `["me <-> 10.0.0.0/8", "me <-> ${B}"]` }), towards(A, respond));
/** A wants 3,000 peers at once. */
function crowd(world: World): void {
  world.run(10);
  const a = world.host("A");
  for (let i = 0; i < 3000; i++) {
    world.ping(a, packet(A, `10.0.${i >> 8}.${i & 255}`));
    if (i % 500 === 0) world.run(1);
  }
}
const softWithB = (world: World): boolean => softOf(world).some(({ remote }) => remote.startsWith(B));
const toB = (world: World): number => sentByA(world).filter(({ to }) => to === B).length;

test(
  "request, and a question that waits behind thousands of others: nothing goes in clear meanwhile, and the peer answers in its turn",
  story(many, (world) => {
    crowd(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    world.run(10 * SECOND);
    assert.equal(toB(world), 0);
    assert.equal(softWithB(world), false);
    world.run(MINUTE);
    assert.equal(arrivals.at(-1)?.arrival, "protected");
    assert.deepEqual(
      arrivals.filter(({ arrival }) => arrival === "clear"),
      [],
    );
  }),
);

test(
  "request, a question that waits behind thousands of others, and a silent peer: it has its three seconds from its turn",
  story(many, (world) => {
    crowd(world);
    silence(world);
    const arrivals = world.traffic(world.host("A"), packet(A, B), SECOND);
    while (toB(world) === 0 && world.now < MINUTE) world.run(100);
    assert.equal(toB(world), 1);
    world.run(2800);
    assert.equal(softWithB(world), false);
    world.run(300);
    assert.equal(softWithB(world), true);
    world.run(SECOND);
    assert.equal(arrivals.at(-1)?.arrival, "clear");
  }),
);

test("request for another host and a multicast group: what passes through here opens nothing", () => {
  const behind = "10.9.9.9";
  const text = configuration([{ filters: `["${behind} <-> 224.0.0.9"]`, ...request }]);
  story(
    {
      hosts: [
        { name: "A", addresses: [A, behind], policy: policyOf(text) },
        { name: "B", addresses: [B], policy: policyOf("") },
      ],
    },
    (world) => {
      const a = world.host("A");
      a.input({ type: "addresses", addresses: [A] });
      world.run(500);
      assert.equal(world.ping(a, packet(behind, "224.0.0.9")), "acquire");
      world.run(5 * SECOND);
      assert.deepEqual([softOf(world), opened(world)], [[], []]);
      assert.equal(said(a).filter((line) => line.includes(`${behind} is no address of this host`)).length, 1);
      // It is one of ours after all.
      a.input({ type: "addresses", addresses: [A, behind] });
      world.run(SECOND);
      assert.equal(softOf(world).length, 1);
    },
  )();
});
