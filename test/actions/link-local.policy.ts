/**
 * Rules and link-local addresses, in a kernel with a daemon: what our link-local address sends, hears and answers on a wire that is captured, under
 * filters for one neighbour, for a part of the link, for a group and for other addresses. Nobody is asked to negotiate there.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask } from "../../cli/client.ts";
import type { WhyDocument } from "../../daemon/policy-commands.ts";
import { Lab, type Packet, type Pinged } from "./lab.ts";

const [LINK, GLOBAL] = ["fe80::a", "2001:db8::1"];
const AUTH = 'auth = [{ method = "psk", secret = "a throwaway key for this test" }]';
const REQUEST = 'action = "request"\nfallback-after = "60s"';

interface Policy {
  readonly name: string;
  /** Action and further keys, and the filters. */
  readonly rules: readonly (readonly [string, ...string[]])[];
  /** Our address, the other one, and what becomes of clear text on its way out and in. */
  readonly cases: readonly (readonly [own: string, other: string, leaves: boolean, comes: boolean])[];
  /** Groups, and whether our link-local address reaches them. */
  readonly groups: readonly (readonly [string, boolean])[];
}

const POLICIES: readonly Policy[] = [
  {
    name: "narrow rules alone",
    rules: [
      ['action = "block"', "me <-> fe80::b1", "me <-> 2001:db8::3", "me <-> ff02::114"],
      ['action = "require"', "me <-> fe80::b2", "me <-> 2001:db8::2", "me -> fe80::b6"],
      ['action = "require"\ninbound-clear = true', "me <-> fe80::b3"],
      ['action = "require"\ndiscovery = true', "me <-> fe80::b4"],
      [REQUEST, "me <-> fe80::b5"],
    ],
    cases: [
      [LINK, "fe80::b1", false, false],
      [LINK, "fe80::b2", false, false],
      [LINK, "fe80::b3", false, true],
      [LINK, "fe80::b4", true, false],
      [LINK, "fe80::b5", true, true],
      [LINK, "fe80::b6", false, true],
      [LINK, "fe80::b7", true, true],
      [LINK, "2001:db8::2", false, false],
      [LINK, "2001:db8::3", false, false],
      [LINK, "2001:db8::4", true, true],
      [GLOBAL, "fe80::b2", false, false],
      [GLOBAL, "fe80::b5", true, true],
      [GLOBAL, "fe80::b7", true, true],
    ],
    groups: [
      ["ff02::114", false],
      ["ff02::115", true],
    ],
  },
  {
    name: "permits in a rule for everything",
    rules: [
      ['action = "require"', "me <-> any", "me <-> fe80::b3"],
      ['action = "permit"', "me <-> fe80::b0-fe80::b3", "me <-> 2001:db8::4", "me <-> ff02::114"],
      ['action = "block"', "me <-> fe80::b2"],
    ],
    cases: [
      [LINK, "fe80::b1", true, true],
      [LINK, "fe80::b2", false, false],
      [LINK, "fe80::b3", false, false],
      [LINK, "fe80::b4", false, false],
      [LINK, "2001:db8::3", false, false],
      [LINK, "2001:db8::4", true, true],
      [GLOBAL, "fe80::b1", true, true],
      [GLOBAL, "fe80::b4", false, false],
    ],
    groups: [
      ["ff02::114", true],
      ["ff02::115", false],
    ],
  },
];
const THEIRS = [...new Set(POLICIES.flatMap(({ cases }) => cases.map(([, other]) => other)))];

const configuration = (lab: Lab, { rules }: Policy): string =>
  `[daemon]\ncontrol = "${lab.control("us")}"\naddresses = ["${GLOBAL}"]\nkeep-across-restart = false\n[policy]\nexempt = []\n${rules
    .map(
      ([keys, ...filters], i) =>
        `[[rule]]\nname = "r${i}"\n${keys}\nfilters = ${JSON.stringify(filters)}\n${/block|permit/.test(keys) ? "" : AUTH}\n`,
    )
    .join("")}`;

/** With its device where it says nothing without. */
const zoned = (address: string): string => (address.startsWith("f") ? `${address}%eth0` : address);

interface Seen {
  readonly out: readonly Packet[];
  readonly heard: readonly number[];
  readonly back: readonly Packet[];
  readonly answered: readonly number[];
  readonly why: readonly WhyDocument[];
}

let lab: Lab;
const seen = new Map<Policy, Seen>();
let ike: readonly string[] = [];

const since = async (at: number): Promise<readonly Packet[]> => (await lab.packets()).filter((packet) => packet.at >= at);

async function why(src: string, dst: string): Promise<WhyDocument> {
  const found: unknown[] = [];
  const request = { command: "why", src, dst, protocol: 58, sport: 128, dport: 0 } as const;
  await ask({ path: lab.control("us"), request, onDocument: (document) => found.push(document), patienceSeconds: 20 });
  return found[0] as WhyDocument;
}

/** We ping everybody and every group, everybody pings us. */
async function tryOut({ cases, groups }: Policy): Promise<Seen> {
  const pinged = (turned: boolean): readonly Pinged[] =>
    cases.map(([own, other, leaves, comes]) => {
      const [from, to] = (turned ? [other, own] : [own, other]).map(zoned) as [string, string];
      return { from, to, patience: leaves && comes ? "expected" : "doubtful" };
    });
  const first = Date.now() / 1000;
  const toGroups = groups.map(([to]): Pinged => ({ from: zoned(LINK), to: zoned(to), patience: "doubtful" }));
  // The first under a request asks in vain; that nobody can be asked is known at once, and not after a minute.
  const heard = await lab.pings("us", [...pinged(false), ...toGroups], 3);
  const out = await since(first);
  const second = Date.now() / 1000;
  const answered = await lab.pings("theirs", pinged(true), 1);
  const back = await since(second);
  return { out, heard, back, answered, why: await Promise.all(cases.map(([own, other]) => why(own, other))) };
}

before(async () => {
  lab = new Lab({ us: [GLOBAL, LINK], theirs: THEIRS });
  await lab.watch();
  for (const [i, policy] of POLICIES.entries()) {
    await (i === 0 ? lab.start("us", configuration(lab, policy)) : lab.reload("us", configuration(lab, policy)));
    seen.set(policy, await tryOut(policy));
  }
  ike = await lab.lines("udp", "port", "500", "or", "udp", "port", "4500");
});

after(() => lab.end());

for (const policy of POLICIES) {
  for (const [i, [own, other, leaves, comes]] of policy.cases.entries())
    test(`${policy.name}: ${own} ${leaves ? "reaches" : "sends nothing to"} ${other}${comes ? "" : " and is deaf to it"}, and why says so`, () => {
      const found = seen.get(policy) as Seen;
      const wire = (packets: readonly Packet[], source: string, destination: string): readonly string[] => [
        ...new Set(packets.filter((one) => one.source === source && one.destination === destination).map(({ kind }) => kind)),
      ];
      assert.deepEqual(wire(found.out, own, other), leaves ? ["clear"] : [], "sent");
      assert.equal((found.heard[i] ?? 0) > 0, leaves && comes, "answers that we heard");
      assert.deepEqual(wire(found.back, other, own), ["clear"], "sent to us");
      assert.deepEqual(wire(found.back, own, other), leaves && comes ? ["clear"] : [], "our answers");
      assert.equal((found.answered[i] ?? 0) > 0, leaves && comes, "answers that they heard");
      const { direction, verdict, negotiation } = found.why[i] as WhyDocument;
      assert.deepEqual([direction, verdict, negotiation], ["out", leaves ? "clear" : "drop", null]);
    });
  for (const [group, reached] of policy.groups)
    test(`${policy.name}: ${group} is ${reached ? "" : "not "}reached from ${LINK}`, () => {
      const { out } = seen.get(policy) as Seen;
      assert.equal(
        out.some(({ source, destination }) => source === LINK && destination === group),
        reached,
      );
    });
}

test("nobody is asked to negotiate, and what comes from a neighbour is told from what leaves", async () => {
  assert.deepEqual(ike, []);
  const [from, to, group] = [await why("fe80::b4", LINK), await why(LINK, "fe80::b4"), await why("fe80::b4", "ff02::114")];
  assert.deepEqual(
    [from, to, group].map(({ direction }) => direction),
    ["in", "out", "in"],
  );
});
