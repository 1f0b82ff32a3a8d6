/** Peers that read only the first transform of an offer, as strongSwan does: methods are offered one by one, never after a failed proof. */
import assert from "node:assert/strict";
import test from "node:test";
import { errorNotify } from "../../ike/notifies.ts";
import { decodeHeader, decodePayloads, encodeMessage } from "../../isakmp/message.ts";
import { EXCHANGE, IKE_ATTRIBUTE, NOTIFY } from "../../isakmp/numbers.ts";
import type { AuthEntry } from "../../policy/types.ts";
import { kerberos, withAuth, x509 } from "./credentials.ts";
import { DELIVER, DROP } from "./network.ts";
import { policyOf, towards } from "./policies.ts";
import { A, assertTraffic, B, bringUp, ikesOf, said } from "./setting.ts";
import { type Sent, story, type World, type WorldOptions } from "./world.ts";

const psk = policyOf(towards(B)).rules[0]?.auth[0] as AuthEntry;

const hosts = (a: readonly AuthEntry[], b: readonly AuthEntry[]): WorldOptions => ({
  hosts: [
    { name: "A", addresses: [A], policy: withAuth(policyOf(towards(B)), ...a) },
    { name: "B", addresses: [B], policy: withAuth(policyOf(towards(A)), ...b) },
  ],
});

/** The methods of a message 1, in order. */
function methodsOf({ bytes }: Sent): readonly number[] {
  const payloads = decodePayloads(1, bytes.subarray(28));
  const sa = payloads.ok && payloads.value.find((p) => p.name === "sa");
  assert.ok(sa);
  const numbers = sa.value.proposals.flatMap(({ transforms }) =>
    transforms.flatMap(({ attributes }) =>
      attributes
        .filter(({ type }) => type === IKE_ATTRIBUTE["Authentication Method"])
        .map(({ value }) => (value[0] ?? 0) * 256 + (value[1] ?? 0)),
    ),
  );
  return [...new Set(numbers)];
}

const offers = (world: World): readonly (readonly number[])[] =>
  world.sent
    .filter(
      ({ label, nth, bytes }, i, all) => label === "MM1" && all.findIndex((o) => Buffer.compare(o.bytes, bytes) === 0) === i && nth > 0,
    )
    .map(methodsOf);

/** B looks at the first method only: what it does not have it refuses, or (`silent`) does not answer. */
function readsFirstOnly(world: World, has: readonly number[], silent = false): void {
  world.intercept = (sent) => {
    if (sent.label !== "MM1") return undefined;
    const [first = 0] = methodsOf(sent);
    if (has.includes(first)) return DELIVER;
    const header = decodeHeader(sent.bytes);
    assert.ok(header.ok);
    const { initiatorCookie } = header.value;
    const answer = encodeMessage(
      { initiatorCookie, responderCookie: new Uint8Array(8).fill(9), exchange: EXCHANGE.Informational, flags: 0, messageId: 77 },
      [errorNotify(NOTIFY["NO-PROPOSAL-CHOSEN"], null)],
    );
    if (!silent) world.after(5, () => world.deliver(B, A, answer));
    return DROP;
  };
}

for (const [name, a, b, has, tried] of [
  ["kerberos to psk", [kerberos("A"), psk], [psk], [1], [[65001, 1], [1]]],
  ["x509 to psk", [x509("A", "rsa2048"), psk], [psk], [1], [[3, 1], [1]]],
  ["the third of three", [kerberos("A"), x509("A", "p256"), psk], [psk], [1], [[65001, 9, 1], [9], [1]]],
] as const)
  for (const silent of [false, true])
    test(
      `a peer that reads the first method only and ${silent ? "keeps silent" : "refuses"}: ${name}`,
      story(hosts(a, b), (world) => {
        readsFirstOnly(world, has, silent);
        bringUp(world, world.host("A"), "peer", 29_000);
        assertTraffic(world);
        assert.deepEqual(offers(world), tried);
        assert.deepEqual(
          ikesOf(world, "A").map(({ auth }) => auth),
          ["psk"],
        );
      }),
    );

test(
  "what a peer took alone is offered first the next time, for an hour",
  story(hosts([kerberos("A"), psk], [psk]), (world) => {
    readsFirstOnly(world, [1]);
    bringUp(world, world.host("A"), "peer", 10_000);
    const again = (): readonly number[] | undefined => {
      world.host("A").command({ name: "terminate", target: { kind: "all" } });
      world.run(100);
      bringUp(world, world.host("A"), "peer", 10_000);
      return offers(world).at(-1);
    };
    again();
    assert.deepEqual(offers(world), [[65001, 1], [1], [1]]);
    world.host("A").command({ name: "terminate", target: { kind: "all" } });
    world.run(3_700_000);
    again();
    assert.deepEqual(offers(world), [[65001, 1], [1], [1], [65001, 1], [1]]);
  }),
);

test(
  "a peer that reads all of an offer is offered one",
  story(hosts([kerberos("A"), psk], [psk]), (world) => {
    bringUp(world);
    assert.deepEqual(offers(world), [[65001, 1]]);
  }),
);

test(
  "where no offer is taken the command hears the peer's refusal, and each was made once",
  story(hosts([kerberos("A"), psk], [psk]), (world) => {
    readsFirstOnly(world, []);
    const id = world.host("A").initiate();
    world.run(29_000);
    const { exit, reason } = world.host("A").outcome(id);
    assert.deepEqual([exit, reason], [1, "peer-refused"]);
    assert.deepEqual(offers(world), [[65001, 1], [1]]);
    assert.ok(said(world.host("A"), "info").some((text) => text.includes("offering pre-shared key")));
  }),
);
