/**
 * Random policies of a gateway in a real kernel, between two hosts: what becomes of packets that pass through it is what a plain evaluation of the
 * rules says, and what `why` says. What is dropped is told by the kernel's counters, so that each packet has one fate and is waited for. Nobody
 * answers at the other end of a tunnel; but some packets come out of one, with an SA that the gateway has.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import type { Kernel } from "../../kernel/port.ts";
import type { Direction } from "../../policy/compile.ts";
import { directionOf, type Packet } from "../../policy/decide.ts";
import type { Policy } from "../../policy/types.ts";
import { explain, type Verdict } from "../../policy/why.ts";
import { FROM_TUNNEL, GATEWAY, PEERS, PORTS, policyText, randomGateway, randomPassing, type Sent } from "../policy/random-gateways.ts";
import { policyFrom } from "../policy/random-policies.ts";
import { evaluate, evaluateAt } from "../policy/reference-evaluator.ts";
import { RUNS, randomRuns } from "./random-runs.ts";
import { install, ipLines, kernelIn, type Post, post, REQID, sh, wait } from "./spaces.ts";

/** What becomes of a packet, and what the gateway's kernel counts then. */
const FATES = {
  arrives: [],
  "blocked as it comes": ["XfrmInPolBlock"],
  "not protected as it has to be as it comes": ["XfrmInTmplMismatch", "XfrmInNoPols"],
  "blocked as it leaves": ["XfrmOutPolBlock"],
  "without an SA as it leaves": ["XfrmOutNoStates"],
} as const;
type Fate = keyof typeof FATES;

const SPACES = { left: "gl", own: "gm", right: "gr" } as const;
const hosts = {} as Record<keyof typeof SPACES, Post>;
let kernel: Kernel;
let acquires = 0;
let serial = 0;

/** Routes lead over the link's own addresses, and neighbours are known: nobody has to be asked, whatever is blocked. */
function wire(place: "left" | "right", device: string, ours: string, theirs: string): void {
  sh(`ip link add ${device} netns ${SPACES[place]} address ${theirs} type veth peer name ${device} netns gm address ${ours}`);
  const end = (own: string, other: string, neighbour: string): readonly string[] => [
    `link set ${device} up`,
    `address add ${own}/64 dev ${device} nodad`,
    `neighbour replace ${other} lladdr ${neighbour} dev ${device} nud permanent`,
  ];
  ipLines("gm", end("fe80::1", "fe80::2", theirs));
  ipLines(SPACES[place], [
    ...end("fe80::2", "fe80::1", ours),
    ...["0.0.0.0/0", "::/0"].map((any) => `route add ${any} via inet6 fe80::1 dev ${device}`),
    ...[...GATEWAY[place], ...PEERS].map((one) => `address add ${one} dev lo`),
  ]);
  ipLines(
    "gm",
    GATEWAY[place].map((one) => `route add ${one} via inet6 fe80::2 dev ${device}`),
  );
}

const ANY = ["0.0.0.0/0", "::/0"] as const;
const KEY = `0x${"5a".repeat(20)}`;
/** Which side of the gateway the tunnels come from makes no difference. */
const SAS = PEERS.flatMap((peer, i) =>
  ANY.map((any, family) => {
    const ends = `src ${peer} dst ${GATEWAY.own[i]} proto esp`;
    return `xfrm state add ${ends} spi ${0x1000 + 2 * i + family} reqid ${REQID} mode tunnel aead 'rfc4106(gcm(aes))' ${KEY} 128 sel src ${any} dst ${any}`;
  }),
);
before(async () => {
  for (const space of Object.values(SPACES)) sh(`ip netns add ${space}; ip -n ${space} link set lo up`);
  sh("ip netns exec gm sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0");
  wire("left", "vl", "02:00:00:00:00:01", "02:00:00:00:00:02");
  wire("right", "vr", "02:00:00:00:01:01", "02:00:00:00:01:02");
  ipLines(
    "gm",
    GATEWAY.own.map((one) => `address add ${one} dev lo`),
  );
  const tunnels = [...FROM_TUNNEL].flatMap(([port, i]) =>
    ANY.map(
      (any) =>
        `xfrm policy add src ${any} dst ${any} proto udp sport ${port} dir out tmpl src ${PEERS[i]} dst ${GATEWAY.own[i]} proto esp reqid ${REQID} mode tunnel`,
    ),
  );
  for (const space of ["gl", "gr"]) ipLines(space, [...SAS, ...tunnels]);
  ipLines("gm", SAS);
  kernel = kernelIn("gm");
  kernel.listen(({ type }) => {
    if (type === "acquire") acquires++;
  });
  for (const place of ["left", "own", "right"] as const) hosts[place] = await post(SPACES[place], GATEWAY[place], [], PORTS);
});

after(async () => {
  for (const { child } of Object.values(hosts)) child.kill();
  await kernel.close();
  for (const space of Object.values(SPACES)) sh(`ip netns del ${space}`);
});

/** What has to become of a packet, from the rules alone, place after place where Linux asks. */
function fateOf(policy: Policy, packet: Sent): Fate {
  const tunnel = packet.from === "own" ? undefined : FROM_TUNNEL.get(packet.sourcePort);
  const at = (direction: Direction) => evaluateAt(policy, GATEWAY.own, packet, direction);
  const asked = directionOf(packet, GATEWAY.own);
  if (asked !== "out") {
    const { what, rule } = at(asked);
    if (what === "drop") return "blocked as it comes";
    const end = what === "clear" ? undefined : policy.rules.find(({ name }) => name === rule)?.tunnel?.remote;
    const protects = tunnel === undefined ? what !== "required" : end === PEERS[tunnel];
    if (!protects) return "not protected as it has to be as it comes";
    if (asked === "in") return "arrives";
  }
  const { what } = at("out");
  return what === "drop" ? "blocked as it leaves" : what === "required" ? "without an SA as it leaves" : "arrives";
}

/** Fates of packets that are sent together: whether each arrives is seen, and of those that do not only how many had which fate. */
interface Passed {
  readonly arrived: readonly boolean[];
  readonly others: Readonly<Record<string, number>>;
}

/** What becomes of packets: they are sent, and then each arrives or is counted, sooner or later. */
async function pass(packets: readonly Sent[]): Promise<Passed> {
  const names = packets.map(() => `p${++serial}`);
  const before = await hosts.own.listened();
  await Promise.all(
    packets.map(({ from, source, sourcePort, destination, destinationPort }, i) =>
      hosts[from].send(source, sourcePort, destination, destinationPort, names[i] as string),
    ),
  );
  for (let i = 0; ; i++) {
    const [counted] = await Promise.all([hosts.own.listened(), hosts.left.listened(), hosts.right.listened()]);
    const arrived = packets.map(({ to }, i) => hosts[to].heard.has(names[i] as string));
    const others = countedSince(before, counted);
    const sum = Object.values(others).reduce((a, b) => a + b, 0) + arrived.filter(Boolean).length;
    if (sum >= packets.length || i === 1000) return { arrived, others };
    await wait(5);
  }
}

function countedSince(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
  const others: Record<string, number> = {};
  for (const [name, count] of after) {
    const more = count - (before.get(name) ?? 0);
    const fate = (Object.keys(FATES) as Fate[]).find((one) => FATES[one].some((counter) => counter === name)) ?? name;
    if (more > 0) others[fate] = (others[fate] ?? 0) + more;
  }
  return others;
}

/** The same of what has to become of packets. */
function passed(fates: readonly Fate[]): Passed {
  const others: Record<string, number> = {};
  for (const fate of fates) if (fate !== "arrives") others[fate] = (others[fate] ?? 0) + 1;
  return { arrived: fates.map((fate) => fate === "arrives"), others };
}

/** The fate of a packet that is sent alone. */
async function fateInKernel(packet: Sent): Promise<string> {
  const { arrived, others } = await pass([packet]);
  return [...(arrived[0] ? ["arrives"] : []), ...Object.keys(others)].join(", ") || "neither arrives nor is counted";
}

const VERDICTS = { drop: "drop", required: "protect", use: "protect-if-possible", clear: "clear" } as const;

/** The rules' answer and `why`'s about a packet in clear. */
function answers(policy: Policy, { from: _, to: __, ...packet }: Sent): readonly [rules: string, why: string, says: string] {
  const { rule, what, asked } = evaluate(policy, GATEWAY.own, packet, directionOf(packet, GATEWAY.own));
  const verdict: Verdict = what === "clear" && asked ? "protect-if-asked" : VERDICTS[what];
  const said = explain(policy, GATEWAY.own, packet);
  return [`${verdict} by ${rule}`, `${said.verdict} by ${said.rule}`, said.says];
}

function textOf(packet: Packet, from: string): string {
  const tunnel = from === "own" ? undefined : FROM_TUNNEL.get(packet.sourcePort);
  const ports = `UDP port ${packet.sourcePort} to ${packet.destinationPort}`;
  return `${packet.source} to ${packet.destination}, ${ports}${tunnel === undefined ? "" : `, out of a tunnel with ${PEERS[tunnel]}`}`;
}

/** Sends packets under a policy, and holds the three answers against each other; the fates. */
async function agree(policy: Policy, packets: readonly Sent[]): Promise<readonly Fate[]> {
  await install(kernel, policy, GATEWAY.own);
  const fates = packets.map((packet) => fateOf(policy, packet));
  const equal = isDeepStrictEqual(await pass(packets), passed(fates));
  for (const [i, packet] of packets.entries()) {
    const [rules, why, says] = answers(policy, packet);
    if (equal && rules === why) continue;
    const found = await fateInKernel(packet);
    if (found === fates[i] && rules === why) continue;
    const text = `policy:\n${policyText(policy)}\npacket: ${textOf(packet, packet.from)}`;
    assert.fail(`${text}\nrules:  ${fates[i]} (${rules})\nwhy:    ${why}: ${says}\nkernel: ${found}`);
  }
  assert.ok(equal, "packets that are sent together have other fates than alone");
  return fates;
}

/** Packets of every fate. */
const EXAMPLE: [Policy, Sent[]] = [
  policyFrom([
    {
      action: "require",
      filters: ["192.0.2.1 <-> 192.0.2.9"],
      more: 'mode = "tunnel"\ntunnel = { local = "192.0.2.17", remote = "192.0.2.33" }',
    },
    { action: "require", filters: ["192.0.2.2 <-> 192.0.2.13"], more: 'mode = "tunnel"\ntunnel = { remote = "192.0.2.33" }' },
    { action: "block", filters: ["192.0.2.5 <-> any"] },
  ]),
  (
    [
      ["left", "192.0.2.2", 1, "right", "192.0.2.10"],
      ["left", "192.0.2.5", 1, "right", "192.0.2.10"],
      ["right", "192.0.2.9", 1, "left", "192.0.2.1"],
      ["left", "192.0.2.2", 1, "right", "192.0.2.13"],
      ["left", "192.0.2.1", 1, "right", "192.0.2.9"],
      ["right", "192.0.2.9", 3, "left", "192.0.2.1"],
    ] as const
  ).map(([from, source, sourcePort, to, destination]) => ({ from, source, sourcePort, to, destination, destinationPort: 1, protocol: 17 })),
];

test(`${RUNS} random policies of a gateway: of what passes through, only that arrives on the other side which the rules let pass`, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(randomGateway(5), fc.array(randomPassing, { minLength: 20, maxLength: 30 }), async (policy, packets) => {
      for (const [i, fate] of (await agree(policy, packets)).entries()) {
        const what = `${wayOf(packets[i] as Sent)} ${fate}`;
        seen.set(what, (seen.get(what) ?? 0) + 1);
      }
    }),
    randomRuns("random-gateway", [EXAMPLE]),
  );
  assert.ok(acquires > 0, "nothing ever asked for protection");
  for (const fate of Object.keys(FATES)) assert.ok(seen.has(`in clear ${fate}`), `no packet in clear ${fate}`);
  assert.ok(seen.has("out of a tunnel arrives"), "nothing came out of a tunnel");
});

const wayOf = ({ from, to, sourcePort }: Sent): string =>
  from === "own" || to === "own" ? "of the gateway" : FROM_TUNNEL.has(sourcePort) ? "out of a tunnel" : "in clear";
