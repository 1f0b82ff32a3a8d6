/** NAT traversal as older peers speak it: drafts 02 and 03 have other numbers for payloads and modes (Windows 2000 SP4, XP SP2 and 2003 know nothing else). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NAT_DIALECTS, type NatDialect } from "../../ike/nat.ts";
import { bodyOf, decodeHeader, decodePayloads, encodeMessage } from "../../isakmp/message.ts";
import { ENCAPSULATION, FLAG } from "../../isakmp/numbers.ts";
import type { Payload } from "../../isakmp/payloads.ts";
import { knownVendor } from "../../isakmp/vendor-ids.ts";
import { policyOf, type RuleText, towards } from "./policies.ts";
import { bringUp, childrenOf, ikesOf, packet } from "./setting.ts";
import { story, type World, type WorldOptions } from "./world.ts";

const [CLIENT, SERVER, HIDDEN] = ["10.0.0.5", "192.0.2.2", "10.1.0.2"];
const [OUTER, FAR_OUTER] = ["198.51.100.1", "203.0.113.1"];

const host = (name: string, address: string, peer: string) => ({ name, addresses: [address] as const, policy: policyOf(towards(peer)) });

const world = (mode: "transport" | "tunnel", behind: "one" | "both"): WorldOptions => {
  const far = behind === "both" ? FAR_OUTER : SERVER;
  const tunnel: readonly [RuleText, RuleText] = [
    { mode: '"tunnel"', tunnel: `{ remote = "${far}" }`, filters: '["me <-> 10.9.0.0/16"]' },
    { mode: '"tunnel"', tunnel: `{ remote = "${OUTER}" }`, filters: '["10.9.0.0/16 <-> 10.0.0.0/24"]' },
  ];
  const [own, theirs] = mode === "tunnel" ? tunnel : [{}, {}];
  return {
    hosts: [
      { name: "A", addresses: [CLIENT], policy: policyOf(towards(far, own)) },
      {
        name: "B",
        addresses: [behind === "both" ? HIDDEN : SERVER],
        policy: policyOf(towards("198.51.100.0/24", { action: '"respond"', ...theirs })),
      },
    ],
    nats: [
      { outer: OUTER, inside: [CLIENT] },
      ...(behind === "both" ? [{ outer: FAR_OUTER, inside: [HIDDEN], forwards: { 500: HIDDEN, 4500: HIDDEN } }] : []),
    ],
  };
};

/** Nobody hears of any other dialect than these: what messages announce is in clear, and hashed by nothing. */
function speakOnly(world: World, dialects: readonly NatDialect[]): void {
  const deliver = world.deliver.bind(world);
  const others = NAT_DIALECTS.filter((name) => !dialects.includes(name)) as readonly string[];
  world.deliver = (from, to, bytes, forged, ports) => deliver(from, to, without(bytes, others), forged, ports);
}

function without(bytes: Uint8Array, vendors: readonly string[]): Uint8Array {
  const read = payloadsOf(bytes);
  const header = decodeHeader(bytes);
  if (!read || !header.ok) return bytes;
  const kept = read.filter((p) => p.name !== "vid" || !vendors.includes(knownVendor(p.value.data) ?? ""));
  return kept.length === read.length ? bytes : encodeMessage(header.value, kept);
}

/** Of a message in clear. */
function payloadsOf(bytes: Uint8Array): readonly Payload[] | undefined {
  const header = decodeHeader(bytes);
  if (!header.ok || header.value.flags & FLAG.ENCRYPTION) return undefined;
  const payloads = decodePayloads(header.value.nextPayload, bodyOf(header.value, bytes));
  return payloads.ok ? payloads.value : undefined;
}

const natPayloads = (world: World, label: string): readonly string[] =>
  payloadsOf(world.sent.find((sent) => sent.label === label)?.bytes ?? new Uint8Array(0))
    ?.map(({ name }) => name)
    .filter((name) => name.startsWith("nat")) ?? [];

for (const dialect of NAT_DIALECTS)
  for (const mode of ["transport", "tunnel"] as const)
    for (const behind of ["one", "both"] as const)
      test(
        `${dialect}, ${mode} mode, ${behind === "both" ? "both ends" : "the initiator"} behind NAT: found, moved to 4500, in UDP, and renewed`,
        story(world(mode, behind), (sim) => {
          speakOnly(sim, [dialect]);
          bringUp(sim);
          const name = dialect === "RFC 3947" ? "natD" : "natDDraft";
          for (const label of ["MM3", "MM4"]) assert.deepEqual(natPayloads(sim, label), [name, name], label);
          assert.deepEqual(
            [ikesOf(sim, "A")[0]?.nat, ikesOf(sim, "B")[0]?.nat],
            behind === "both" ? ["both", "both"] : ["local", "remote"],
          );
          assert.match(ikesOf(sim, "A")[0]?.remote ?? "", /:4500$/);
          const traffic = (): void => {
            for (const host of ["A", "B"]) for (const { sa } of sim.host(host).xfrm.states.values()) assert.ok(sa.encap, host);
            const [inner, far] = mode === "tunnel" ? ["10.9.0.1", CLIENT] : [behind === "both" ? FAR_OUTER : SERVER, OUTER];
            assert.equal(sim.ping(sim.host("A"), packet(CLIENT, inner)), "protected");
            const from = mode === "tunnel" ? "10.9.0.1" : (sim.host("B").addresses[0] ?? "");
            assert.equal(sim.ping(sim.host("B"), packet(from, far)), "protected");
          };
          traffic();
          sim.traffic(sim.host("A"), packet(CLIENT, mode === "tunnel" ? "10.9.0.1" : behind === "both" ? FAR_OUTER : SERVER), 10_000);
          sim.run(290_000);
          assert.ok((childrenOf(sim, "A")[0]?.rekeys ?? 0) > 0);
          traffic();
        }),
      );

for (const [what, options] of [
  ["IPv4", { hosts: [host("A", "192.0.2.1", "192.0.2.2"), host("B", "192.0.2.2", "192.0.2.1")] }],
  ["IPv6", { hosts: [host("A", "2001:db8::1", "2001:db8::2"), host("B", "2001:db8::2", "2001:db8::1")] }],
] as const)
  test(
    `a peer that announces none of them, over ${what}: no NAT-D, port 500, bare packets`,
    story(options, (sim) => {
      speakOnly(sim, []);
      bringUp(sim);
      for (const label of ["MM3", "MM4"]) assert.deepEqual(natPayloads(sim, label), []);
      for (const name of ["A", "B"]) {
        assert.match(ikesOf(sim, name)[0]?.remote ?? "", /:500$/);
        for (const { sa } of sim.host(name).xfrm.states.values()) assert.equal(sa.encap, null);
      }
      const [a, b] = options.hosts;
      assert.equal(sim.ping(sim.host("A"), packet(a.addresses[0], b.addresses[0])), "protected");
    }),
  );

for (const label of ["MM3", "MM4"] as const)
  test(
    `somebody takes NAT-D out of ${label}: the SA works all the same, or another one does`,
    story(world("transport", "one"), (sim) => {
      const deliver = sim.deliver.bind(sim);
      let damaged = 0;
      sim.deliver = (from, to, bytes, forged, ports) => {
        const read = payloadsOf(bytes);
        const header = decodeHeader(bytes);
        const isIt = header.ok && read?.some(({ name }) => name === "natD") && (label === "MM3") === (to === SERVER);
        if (!isIt || !read) return deliver(from, to, bytes, forged, ports);
        damaged++;
        deliver(
          from,
          to,
          encodeMessage(
            header.value,
            read.filter(({ name }) => name !== "natD"),
          ),
          forged,
          ports,
        );
      };
      sim.host("A").initiate("peer", 30);
      sim.run(31_000);
      assert.ok(damaged > 0);
      sim.deliver = deliver;
      const id = sim.host("A").initiate("peer", 30);
      sim.run(31_000);
      assert.equal(sim.host("A").outcome(id).exit, 0, sim.host("A").outcome(id).text);
      assert.equal(sim.ping(sim.host("A"), packet(CLIENT, SERVER)), "protected");
    }),
  );

test("the numbers of the drafts' modes are their own", () => {
  assert.deepEqual([ENCAPSULATION["UDP-Encapsulated-Tunnel draft"], ENCAPSULATION["UDP-Encapsulated-Transport draft"]], [61_443, 61_444]);
});
