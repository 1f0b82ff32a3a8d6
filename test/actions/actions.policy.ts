/**
 * Every action against every kind of peer, in both directions and families, in a kernel with ESP: what a capture of the wire shows.
 * All cases run side by side, each with an address of its own: three stages of pings, in one guest.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Lab, type Packet, type Pinged, type Place, type Side, wait } from "./lab.ts";
import { CASES, type Case, type Peer, type Seen, type Stage } from "./table.ts";

const KEY = '[{ method = "psk", secret = "a throwaway key for this test" }]';
const OTHER_KEY = '[{ method = "psk", secret = "another throwaway key for this test" }]';
const US = { 4: "192.0.2.1", 6: "2001:db8::1" } as const;

interface Placed extends Case {
  readonly own: string;
  readonly other: string;
}

const PLACED: readonly Placed[] = CASES.flatMap((one, i) =>
  ([4, 6] as const).map((family) => ({
    ...one,
    name: `${one.name}, IPv${family}`,
    own: US[family],
    other: family === 4 ? `192.0.2.${10 + i}` : `2001:db8::${10 + i}`,
  })),
);

const head = (lab: Lab, side: Side): string => `[daemon]
control = "${lab.control(side)}"
keep-across-restart = false
[policy]
exempt = []
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[policy.quick-mode]
proposals = ["esp:aes128-sha256", "ah:sha256", "ah:sha1+esp:aes128-sha1"]
pfs = "none"
`;

const ourRule = ({ rule, arrow, own, other }: Placed): string => `[[rule]]
name = "${other}"
filters = ["${own} ${arrow} ${other}"]
${rule}
${/permit|block/.test(rule) ? "" : `auth = ${KEY}`}
`;

const THEIRS: Readonly<Record<Peer, string | undefined>> = {
  ike: `action = "respond"\nauth = ${KEY}`,
  asker: `action = "require"\nauth = ${KEY}`,
  stranger: `action = "respond"\nauth = ${OTHER_KEY}`,
  caller: `action = "require"\ndiscovery = true\ninbound-clear = true\nauth = ${OTHER_KEY}`,
  mute: undefined,
};
const theirRule = ({ peer, own, other }: Placed): string =>
  THEIRS[peer] === undefined ? "" : `[[rule]]\nname = "${other}"\nfilters = ["${other} <-> ${own}"]\n${THEIRS[peer]}\n`;

interface Stay {
  readonly from: number;
  readonly to: number;
  readonly answers: ReadonlyMap<Placed, number>;
}

const now = (): number => Date.now() / 1000;
let lab: Lab;
let packets: readonly Packet[] = [];
type Name = "first" | "later" | "inward";
const stages = new Map<Name, Stay>();
/** Those of whom it was clear before the later stages that they have another key. */
const failed = new Set<Placed>();

const theirPlace = ({ peer }: Case): Place => (peer === "mute" ? "mute" : "theirs");
const across = (side: Side): Side => (side === "us" ? "theirs" : "us");

/** All cases at once, each pinged from the side that `pinging` says. */
async function stage(name: Name | null, pinging: (one: Placed) => Side, count: number): Promise<Stay> {
  const from = now();
  const answers = new Map<Placed, number>();
  const ping = async (place: Place): Promise<void> => {
    const cases = PLACED.filter((one) => (pinging(one) === "us" ? "us" : theirPlace(one)) === place);
    const ends = cases.map((one): Pinged => {
      const patience = name && one[name][2] === true ? "expected" : "doubtful";
      return place === "us" ? { from: one.own, to: one.other, patience } : { from: one.other, to: one.own, patience };
    });
    const heard = ends.length > 0 ? await lab.pings(place, ends, count) : [];
    for (const [i, one] of cases.entries()) answers.set(one, heard[i] ?? 0);
  };
  await Promise.all([ping("us"), ping("theirs"), ping("mute")]);
  return { from, to: now(), answers };
}

/** Whether a peer is one that gets clear text because it is mute. */
const isSoft = ({ rule, peer }: Placed): boolean => rule.includes("request") && !rule.includes("discovery") && peer === "mute";
const isProtected = ({ later: [there] }: Placed): boolean => there === "esp" || there === "ah";

/** What the end says that finds out that a peer has another key, or is nobody that it negotiates with. */
const FAILED = /PSK mismatch|no rule for peer/;

/** Whether a peer that has another key has failed by it; one that is never asked can't. */
function hasFailed({ rule, peer, other }: Placed): boolean {
  const never = peer !== "caller" && (peer !== "stranger" || /permit|block|respond/.test(rule));
  const judge = peer === "caller" ? "us" : "theirs";
  return (
    never ||
    lab
      .log(judge)
      .split("\n")
      .some((line) => line.includes(other) && FAILED.test(line))
  );
}

/**
 * Until every negotiation that has to succeed has succeeded at both ends, those that have to fail have failed, and all who are mute are known to be.
 * What is missing then, its test says.
 */
async function settled(): Promise<void> {
  for (let i = 0; i < 300; i++) {
    const [us, theirs] = [await lab.status("us"), await lab.status("theirs")];
    const stand = [us, theirs].map(({ childSas }) => new Set(childSas.flatMap(({ rule, state }) => (state === "installed" ? [rule] : []))));
    const soft = us.softSas.map(({ remote }) => remote.split("/")[0]);
    const missing = PLACED.filter(
      (one) =>
        (isSoft(one) && !soft.includes(one.other)) ||
        (isProtected(one) && !stand.every((rules) => rules.has(one.other))) ||
        !hasFailed(one),
    );
    if (missing.length === 0) return;
    await wait(200);
  }
}

before(async () => {
  const at = (place: Place): readonly string[] => PLACED.filter((one) => theirPlace(one) === place).map(({ other }) => other);
  lab = new Lab({ us: Object.values(US), theirs: at("theirs"), mute: at("mute") });
  await lab.watch();
  await lab.start("theirs", head(lab, "theirs") + PLACED.map(theirRule).join(""));
  await lab.start("us", head(lab, "us") + PLACED.map(ourRule).join(""));
  stages.set("first", await stage("first", ({ opener }) => opener, 1));
  // Whoever has not asked yet asks.
  await stage(null, ({ opener }) => across(opener), 1);
  await settled();
  for (const one of PLACED) if (hasFailed(one)) failed.add(one);
  stages.set("later", await stage("later", () => "us", 3));
  stages.set("inward", await stage("inward", () => "theirs", 3));
  packets = await lab.packets();
});

after(() => lab.end());

const judge = (stage: Stage, { from, to, answers }: Stay, one: Placed, pinging: Side): void => {
  const [source, destination] = pinging === "us" ? [one.own, one.other] : [one.other, one.own];
  const seen = (a: string, b: string): readonly string[] => [
    ...new Set(packets.filter((p) => p.at >= from && p.at <= to && p.source === a && p.destination === b).map(({ kind }) => kind)),
  ];
  const [there, back, answered] = stage;
  assert.ok(fits(there, seen(source, destination)), `sent: ${seen(source, destination).join(", ") || "nothing"}, expected ${there}`);
  assert.ok(fits(back, seen(destination, source)), `came back: ${seen(destination, source).join(", ") || "nothing"}, expected ${back}`);
  if (answered !== null) assert.equal((answers.get(one) ?? 0) > 0, answered, "answers that were heard");
};

function fits(expected: Seen, seen: readonly string[]): boolean {
  if (expected === "any") return true;
  if (expected === "shut") return !seen.includes("clear");
  return expected === "nothing" ? seen.length === 0 : seen.length === 1 && seen[0] === expected;
}

for (const one of PLACED)
  test(one.name, () => {
    assert.ok(failed.has(one), "it did not try and fail to prove itself");
    for (const [name, pinging] of [
      ["first", one.opener],
      ["later", "us"],
      ["inward", "theirs"],
    ] as const) {
      const stay = stages.get(name);
      assert.ok(stay);
      try {
        judge(one[name], stay, one, pinging);
      } catch (error) {
        const own = lab
          .log("us")
          .split("\n")
          .filter((line) => line.includes(one.other));
        const wire = packets.flatMap(({ at, source, destination, text }) =>
          at >= stay.from && at <= stay.to && [source, destination].includes(one.other) ? [text] : [],
        );
        throw new Error(`${name}: ${(error as Error).message}\n${wire.join("\n")}\n${own.join("\n")}`, { cause: error });
      }
    }
  });

test("soft SAs are shown: one for each request rule whose peer is mute", async () => {
  const { softSas } = await lab.status("us");
  const shown = softSas.map(({ remote }) => remote.split("/")[0]);
  for (const { other } of PLACED.filter(isSoft)) assert.ok(shown.includes(other), `${other} in ${shown.join(" ")}`);
});

test("our daemon dies: what it required or blocked stays shut, and what it protected goes on protected", async () => {
  await lab.kill("us");
  const shut = PLACED.filter(({ later }) => later[0] === "nothing" || later[0] === "esp");
  const from = now();
  await lab.pings(
    "us",
    shut.map(({ own, other }): Pinged => ({ from: own, to: other, patience: "doubtful" })),
    2,
  );
  const after = (await lab.packets()).filter(({ at, source }) => at >= from && Object.values<string>(US).includes(source));
  assert.deepEqual(
    after.filter(({ kind, destination }) => kind === "clear" && shut.some(({ other }) => other === destination)),
    [],
  );
  assert.ok(after.some(({ kind }) => kind === "esp"));
});
