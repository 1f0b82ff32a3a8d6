/**
 * Random policies in a real kernel: what becomes of packets there is what a plain evaluation of the rules says, and what `why` says. Packets
 * that leave and packets that come, in two namespaces; protection is seen by the acquire that asks for it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import type { Kernel } from "../../kernel/port.ts";
import type { Packet } from "../../policy/decide.ts";
import type { Policy } from "../../policy/types.ts";
import { explain } from "../../policy/why.ts";
import { policyText } from "../policy/random-gateways.ts";
import { policyFrom, randomPolicy } from "../policy/random-policies.ts";
import { evaluate } from "../policy/reference-evaluator.ts";
import { RUNS, randomRuns } from "./random-runs.ts";
import { install, kernelIn, type Post, post, sh, until } from "./spaces.ts";

/** Of every kind that Linux takes for an address of a host, but for link-local ones. */
const OURS = ["10.9.0.1", "240.9.0.1", "0.9.0.1", "fd09::1"];
/** The ends of the wire between the two, as each of them calls them. */
const ON_LINK = { us: ["fe80::a%va", "fe80::b%va"], them: ["fe80::b%vb", "fe80::a%vb"] } as const;
const THEIRS = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.9", "fd00::1", "fd00::2", "fd00::5"];
const PORTS = [1, 2, 3];
const [LINK_OURS, LINK_THEIRS, GROUP] = ["fe80::a", "fe80::b", "ff02::fb"] as const;
/** An address as it is called on a device: those of a link say nothing without it. */
const on = (device: "va" | "vb", address: string): string => (/^f(e80|f02):/.test(address) ? `${address}%${device}` : address);

let kernel: Kernel;
let us: Post;
let them: Post;
let acquires = 0;
let serial = 0;

before(async () => {
  sh("ip netns add ra; ip netns add rb; ip link add va netns ra type veth peer name vb netns rb");
  for (const [space, device, own, others] of [
    ["ra", "va", OURS, THEIRS],
    ["rb", "vb", THEIRS, OURS],
  ] as const) {
    sh(`ip -n ${space} link set lo up; ip -n ${space} link set ${device} up`);
    for (const one of own) sh(`ip -n ${space} addr add ${one}/${one.includes(":") ? "128 nodad" : "32"} dev ${device}`);
    for (const one of others) sh(`ip -n ${space} route add ${one} dev ${device}`);
  }
  kernel = kernelIn("ra");
  kernel.listen(({ type }) => {
    if (type === "acquire") acquires++;
  });
  sh("ip -n ra addr add fe80::a/64 dev va nodad; ip -n rb addr add fe80::b/64 dev vb nodad");
  [us, them] = await Promise.all([
    post("ra", [...OURS, ON_LINK.us[0]], [on("va", GROUP)], PORTS),
    post("rb", [...THEIRS, ON_LINK.them[0]], [on("vb", GROUP)], PORTS),
  ]);
});

after(async () => {
  for (const { child } of [us, them]) child.kill();
  await kernel.close();
  sh("ip netns del ra; ip netns del rb");
});

const ends = fc
  .record({ own: fc.constantFrom(...OURS), other: fc.constantFrom(...THEIRS), out: fc.boolean() })
  .filter(({ own, other }) => own.includes(":") === other.includes(":"));
/** One end at least is a link's own, or a group. */
const endsOnLink = fc
  .boolean()
  .chain((out) =>
    fc.record({
      own: fc.constantFrom("fd09::1", LINK_OURS, LINK_OURS, ...(out ? [] : [GROUP])),
      other: fc.constantFrom("fd00::1", LINK_THEIRS, LINK_THEIRS, ...(out ? [GROUP] : [])),
      out: fc.constant(out),
    }),
  )
  .filter(({ own, other }) => own !== "fd09::1" || other !== "fd00::1");
const packet = fc
  .record({
    ends: fc.oneof({ weight: 2, arbitrary: ends }, { weight: 1, arbitrary: endsOnLink }),
    ports: fc.tuple(fc.constantFrom(...PORTS), fc.constantFrom(...PORTS)),
  })
  .map(({ ends: { own, other, out }, ports: [a, b] }): Packet & { readonly out: boolean } => ({
    ...{ source: out ? own : other, destination: out ? other : own, protocol: 17, sourcePort: a, destinationPort: b },
    out,
  }));

/** Nobody is asked to negotiate while a question waits for its answer, so that those of an earlier policy are forgotten. */
async function installed(policy: Policy): Promise<void> {
  sh("ip -n ra xfrm state flush");
  await install(kernel, policy, OURS);
}

/** What becomes of packets: each either arrives or does not. Those that are expected are waited for. */
async function pass(packets: readonly (Packet & { readonly out: boolean })[], expected: readonly boolean[]): Promise<readonly boolean[]> {
  const names = packets.map(() => `p${++serial}`);
  for (const [i, one] of packets.entries()) {
    const [from, device] = one.out ? ([us, "va"] as const) : ([them, "vb"] as const);
    await from.send(on(device, one.source), one.sourcePort, on(device, one.destination), one.destinationPort, names[i] as string);
  }
  const arrived = (i: number): boolean => (packets[i]?.out ? them : us).heard.has(names[i] as string);
  await until(() => expected.every((one, i) => !one || arrived(i)));
  await Promise.all([us.listened(), them.listened()]);
  return packets.map((_, i) => arrived(i));
}

/** Rules under which what comes is shut; on IPv6 that is also what a host sends to itself (docs/policy.md). */
for (const [what, rule, own6] of [
  ["blocked", { action: "block", filters: ["any <-> any"] }, false],
  ["required to be protected", { action: "require", filters: ["me <-> any"] }, false],
  ["sent protected only, and heard in clear", { action: "require", filters: ["me <-> any"], more: "inbound-clear = true" }, true],
  ["asked for", { action: "request", filters: ["me <-> any"] }, true],
] as const)
  test(`everything is ${what}: a host hears itself on IPv4 and loopback${own6 ? " and IPv6" : ""}, and is not asked to negotiate with itself`, async () => {
    await installed(policyFrom([rule]));
    const before = acquires;
    const [first, second, third] = ["10.9.0.1", "240.9.0.1", "fd09::1"] as const;
    const names = ["self 1", "self 2", "self 3"].map((name) => `${name} ${++serial}`) as [string, string, string];
    await us.send(first, 1, first, 2, names[0]);
    await us.send(first, 1, second, 2, names[1]);
    await us.send(third, 1, third, 2, names[2]);
    await until(() => us.heard.has(names[1]) && (!own6 || us.heard.has(names[2])));
    sh("ip netns exec ra ping -c 1 -W 5 ::1");
    assert.deepEqual(
      names.map((name) => us.heard.has(name)),
      [true, true, own6],
    );
    assert.equal(acquires, before, "acquires for itself");
  });

/** IKE can't be spoken between link-local addresses: nothing is protected there, and what may not be in clear is dropped. */
for (const [what, rule, leaves, comes] of [
  ["block", { action: "block", filters: ["me <-> any"] }, false, false],
  ["require", { action: "require", filters: ["me <-> any"] }, false, false],
  ["require with inbound-clear", { action: "require", filters: ["me <-> any"], more: "inbound-clear = true" }, false, true],
  ["require with discovery", { action: "require", filters: ["me <-> any"], more: "discovery = true" }, true, false],
  ["request", { action: "request", filters: ["me <-> any"] }, true, true],
  ["require for other addresses", { action: "require", filters: ["me <-> fd00::/16", "me <-> fe80::5", "me <-> ff02::/16"] }, true, true],
  ["block for the neighbour alone", { action: "block", filters: ["me <-> fe80::b"] }, false, false],
  ["require for a part of the link, one way", { action: "require", filters: ["me -> fe80::/64"] }, false, true],
] as const)
  test(`${what}: between link-local addresses ${leaves ? "packets leave" : "nothing leaves"} and ${comes ? "packets are heard" : "nothing is heard"}, neighbours find each other, and nobody is asked`, async () => {
    await installed(policyFrom([rule]));
    sh("ip -n ra neigh flush all; ip -n rb neigh flush all");
    const before = acquires;
    const [out, back] = [`link ${++serial}`, `link ${++serial}`] as const;
    await us.send(ON_LINK.us[0], 1, ON_LINK.us[1], 2, out);
    await them.send(ON_LINK.them[0], 1, ON_LINK.them[1], 2, back);
    await until(() => (!leaves || them.heard.has(out)) && (!comes || us.heard.has(back)));
    // What is not heard would have been: who sent it knows where its neighbour is.
    await until(() => /fe80::a .*(REACHABLE|STALE|DELAY|PROBE)/.test(sh("ip -n rb neigh")));
    await Promise.all([us.listened(), them.listened()]);
    assert.deepEqual([them.heard.has(out), us.heard.has(back)], [leaves, comes]);
    assert.equal(acquires, before, "acquires");
  });

test(`${RUNS} random policies: packets arrive where the rules let them, and nowhere else`, async () => {
  let linked = 0;
  await fc.assert(
    fc.asyncProperty(randomPolicy(6), fc.array(packet, { minLength: 12, maxLength: 16 }), async (policy, packets) => {
      await installed(policy);
      const verdicts = packets.map(({ out, ...one }) => evaluate(policy, OURS, one, out ? "out" : "in"));
      const expected = verdicts.map(({ what }) => what === "clear" || what === "use");
      const arrived = await pass(packets, expected);
      for (const [i, { out, ...one }] of packets.entries()) {
        const { what, rule } = verdicts[i] as (typeof verdicts)[number];
        const text = `${one.source}:${one.sourcePort} > ${one.destination}:${one.destinationPort}, rule ${rule}: ${what}\n${policyText(policy)}`;
        assert.equal(arrived[i], expected[i], text);
        const said = explain(policy, OURS, one, undefined, [LINK_OURS]);
        assert.deepEqual([said.rule, said.direction], [rule, out ? "out" : "in"], text);
        if (/fe80|ff02/.test(`${one.source} ${one.destination}`)) linked++;
      }
    }),
    randomRuns("random.policy"),
  );
  assert.ok(acquires > 0, "nothing ever asked for protection");
  assert.ok(linked > 2 * RUNS, `${linked} packets with addresses of the link`);
});
