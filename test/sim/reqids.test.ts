/** Numbers by which the kernel finds SAs are given back once nothing uses them: there are 65,534, and the journal has each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { playJournal } from "../../sa-store/journal-record.ts";
import type { Host } from "./host.ts";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B, childrenOf, packet } from "./setting.ts";
import { story, type World } from "./world.ts";

const SECOND = 1000;
const T = { start: '"on-traffic"' };
const rules = (...texts: readonly RuleText[]) => policyOf(configuration(texts.map((text) => ({ ...T, ...text }))));
const STAYS = { name: '"stays"', filters: '["me <-> 203.0.113.7"]' };
const NET = '["me <-> 192.0.2.0/24"]';
const SMB = { name: '"smb"', filters: '["me <-> 192.0.0.0/8:445 tcp"]' };
const ALL = { name: '"all"', filters: '["me <-> any"]' };

/** What the journal has numbers for. */
const held = (host: Host): readonly string[] =>
  [...playJournal((host.journal ?? []).map((record) => ({ ...record, secret: null }))).keys()].filter((key) => key.startsWith("reqid "));

const scene = (
  policies: readonly [a: RuleText, b: RuleText],
  addresses: readonly string[],
  tell: (world: World, a: Host, b: Host) => void,
) =>
  story(
    {
      hosts: [
        { name: "A", addresses: [A, ...addresses], policy: rules(policies[0]) },
        { name: "B", addresses: [B], policy: rules(policies[1]) },
      ],
    },
    (world) => {
      const [a, b] = [world.host("A"), world.host("B")];
      a.keepJournal();
      world.run(100);
      tell(world, a, b);
    },
  );

/** Enough packets for a child: A asks for one, or B for a part. */
function talk(world: World, how: "idle" | "child" | "part", from = A): void {
  const [a, b] = [world.host("A"), world.host("B")];
  const smb = { source: B, destination: from, protocol: 6, sourcePort: 50_000, destinationPort: 445 };
  for (let i = 0; i < 3 && how !== "idle"; i++) {
    if (how === "part") world.ping(b, smb);
    else world.ping(a, packet(from, B));
    world.run(2 * SECOND);
  }
}

type How = "reload" | "crash" | "stop --keep";

function change(world: World, how: How, ...texts: readonly RuleText[]): void {
  const a = world.host("A");
  a.policy = rules(...texts);
  if (how === "stop --keep") a.command({ name: "shutdown", keep: true });
  if (how === "stop --keep") world.run(300);
  if (how === "reload") a.input({ type: "policy", policy: a.policy });
  else a.crash();
  world.run(500);
}

for (const traffic of ["idle", "child", "part"] as const)
  for (const how of ["reload", "crash", "stop --keep"] as const)
    test(
      `a rule that comes and goes (${how}, ${traffic}) leaves no number`,
      scene([STAYS, traffic === "part" ? SMB : ALL], [], (world, a) => {
        const before = held(a);
        assert.equal(before.length, 2);
        for (const name of ["r1", "r2"]) {
          change(world, how, STAYS, { name: `"${name}"`, filters: NET });
          talk(world, traffic);
          assert.equal(childrenOf(world, "A").length > 0, traffic !== "idle");
          change(world, how, STAYS);
          world.run(15 * SECOND);
          assert.deepEqual(held(a), before);
        }
      }),
    );

test(
  "a rule is taken out while its child is renewed: the numbers go with the last that used them",
  scene([STAYS, ALL], [], (world, a) => {
    change(world, "reload", STAYS, { name: '"r1"', filters: NET });
    talk(world, "child");
    world.run(270 * SECOND);
    change(world, "reload", STAYS);
    world.run(300 * SECOND);
    assert.equal(held(a).length, 2);
  }),
);

test(
  "a rule that was widened while a peer had SAs for a part of it: the number of what it was before goes with those",
  scene([{ name: '"r"', filters: '["me <-> 192.0.2.0/29"]' }, SMB], [], (world, a) => {
    for (const length of [28, 27, 26]) {
      talk(world, "part");
      change(world, "reload", { name: '"r"', filters: `["me <-> 192.0.2.0/${length}"]` });
      world.run(15 * SECOND);
    }
    assert.ok(held(a).length <= 3, held(a).join("; "));
  }),
);

test(
  "an address that came and went, and had SAs for a part of a rule, leaves no number",
  scene([{ name: '"r"', filters: NET }, SMB], ["192.0.2.100", "192.0.2.101"], (world, a) => {
    const here = (...addresses: readonly string[]): void => {
      a.input({ type: "addresses", addresses });
      world.run(300);
    };
    here(A);
    const before = held(a);
    for (const address of ["192.0.2.100", "192.0.2.101"]) {
      here(A, address);
      talk(world, "part", address);
      assert.ok(held(a).length > before.length);
      here(A);
      world.run(700 * SECOND);
    }
    // Until the IKE SAs of those addresses have ended: who uses a number is looked up the more rarely the more there is.
    world.run(2 * 3600 * SECOND);
    assert.deepEqual(held(a), before);
  }),
);

test("a number stays as long as a child has it: after a reload and a renewal it is what it was", () =>
  scene([{ name: '"r"', filters: NET }, ALL], [], (world, a) => {
    talk(world, "child");
    const before = held(a);
    change(world, "crash", { name: '"r"', filters: NET });
    talk(world, "child");
    world.run(600 * SECOND);
    talk(world, "child");
    assert.deepEqual([...held(a)].sort(), [...before].sort());
    assert.equal(world.ping(a, packet(A, B)), "protected");
  })());

test("a rule whose name begins as those of manual SAs do gives its children's numbers back", () =>
  scene([{ name: '"sa office"', action: '"respond"', start: '"never"', filters: '["me <-> any"]' }, ALL], [], (world, a, b) => {
    world.ping(b, packet(B, A));
    world.run(2 * SECOND);
    assert.equal(held(a).length, 1);
    b.command({ name: "terminate", target: { kind: "all" } });
    world.run(60 * SECOND);
    assert.deepEqual(held(a), []);
  })());
