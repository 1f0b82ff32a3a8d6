/** A block or a permit for one way beside a rule that negotiates both: the other way is that rule's, whoever asks and whichever of them was there first. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { explain } from "../../policy/why.ts";
import { DROP } from "./network.ts";
import { configuration, policyOf, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, pair, said } from "./setting.ts";
import { inWorld, story, type World } from "./world.ts";

const rule = (name: string, action: string, filter: string, more: RuleText = {}): RuleText => ({
  ...{ name: `"${name}"`, action: `"${action}"`, filters: `["${filter}"]` },
  ...(action === "block" || action === "permit" ? { auth: "", start: "" } : {}),
  ...more,
});
const wall = (filter: string, action = "block"): RuleText => rule("wall", action, filter);
const udp = (source: string, destination: string) => ({ ...packet(source, destination), protocol: 17, sourcePort: 9, destinationPort: 9 });

/** What becomes of packets from B and to it. */
const seen = (world: World) => ({ leaves: world.host("B").xfrm.outbound(udp(B, A)).kind, comes: world.ping(world.host("A"), udp(A, B)) });

/** How a child is asked for that B's walls are, or will be, about. */
const HOW = {
  "a peer that asks": (world: World) => world.host("A").initiate(),
  "this host, as it begins": (world: World) => world.host("B").initiate("other", 30, A),
  "a reload beside a child": (world: World) => world.host("A").initiate(),
  "a restart beside a child": (world: World) => world.host("A").initiate(),
};

/** B's walls beside `me <-> 192.0.2.0/24`, and what then leaves and comes. */
const WALLS: readonly (readonly [readonly RuleText[], leaves: string, comes: string])[] = [
  [[wall("me -> 192.0.2.1")], "blocked", "protected"],
  [[wall("me <- 192.0.2.1")], "protected", "refused"],
  [[wall("192.0.2.2 -> 192.0.2.0/30")], "blocked", "protected"],
  [[wall("me <- 192.0.2.0-192.0.2.6")], "protected", "refused"],
  // Of just the same packets the block has its place in the kernel that way.
  [[wall("192.0.2.2 -> 192.0.2.0/24")], "blocked", "protected"],
  [[wall("192.0.2.2 <- 192.0.2.0/24")], "protected", "refused"],
  [[wall("me -> 192.0.2.1", "permit")], "clear", "protected"],
];
/** Of both ways nothing is left. */
const SHUT: readonly (readonly RuleText[])[] = [
  [wall("me <-> 192.0.2.1")],
  [wall("me -> 192.0.2.1"), { ...wall("me <- 192.0.2.0/30"), name: '"other wall"' }],
  [wall("192.0.2.2 <- 192.0.2.0/24"), { ...wall("me -> 192.0.2.0/30", "permit"), name: '"other wall"' }],
];
const named = (rules: readonly RuleText[]): string => rules.map(({ action, filters }) => `${action} ${filters}`).join(", ");

for (const action of ["respond", "request", "require"]) {
  const other = rule("other", action, "me <-> 192.0.2.0/24");
  for (const [how, ask] of Object.entries(HOW)) {
    /** Walls that are there from the beginning, or come to a child. */
    const run = (world: World, walls: readonly RuleText[]): void => {
      const b = world.host("B");
      b.keepJournal();
      world.run(100);
      ask(world);
      world.run(3000);
      if (!how.includes("child")) return;
      assert.equal(childrenOf(world, "B").length, 1);
      b.policy = policyOf(configuration([...walls, other]));
      if (how.includes("restart")) b.crash();
      else b.input({ type: "policy", policy: b.policy });
      world.run(3000);
    };
    const begins = (walls: readonly RuleText[]): string => configuration(how.includes("child") ? [other] : [...walls, other]);

    for (const [walls, leaves, comes] of WALLS)
      test(
        `${named(walls)} beside ${action} both ways, and ${how}: there is a child, and it carries the other way`,
        story(pair(towards(B), begins(walls)), (world) => {
          run(world, walls);
          assert.equal(childrenOf(world, "B").length, 1, said(world.host("B"), "warning", "error").join("\n"));
          assert.deepEqual(seen(world), { leaves, comes });
          const asked = explain(policyOf(configuration([...walls, other])), [B], udp(B, A));
          assert.equal(asked.verdict === "drop", leaves === "blocked");
          assert.equal(asked.answer.verdict === "drop", comes === "refused");
        }),
      );

    for (const walls of SHUT)
      test(
        `${named(walls)} beside ${action} both ways, and ${how}: there is no child, since none of its packets would come to it`,
        story(pair(towards(B), begins(walls)), (world) => {
          run(world, walls);
          assert.equal(childrenOf(world, "B").length, 0);
        }),
      );
  }
}

const SOFT = rule("other", "request", "me <-> 192.0.2.0/24", { start: '"on-traffic"' });
for (const [filter, leaves, comes] of [
  ["192.0.2.2 -> 192.0.2.0/24", "blocked", true],
  ["me -> 192.0.2.1", "blocked", true],
  ["192.0.2.2 <- 192.0.2.0/24", "clear", false],
] as const) {
  const policy = policyOf(configuration([wall(filter), SOFT]));
  test(
    `block ${filter} that comes while a silent peer is spoken with in clear: the other way stays open, and that one is shut`,
    story(pair(towards(B), configuration([SOFT])), (world) => {
      const b = world.host("B");
      world.run(100);
      world.intercept = () => DROP;
      world.ping(b, udp(B, A));
      world.run(8000);
      const now = () => ({ leaves: b.xfrm.outbound(udp(B, A)).kind, comes: b.xfrm.inbound(udp(A, B), [], "in") });
      assert.deepEqual(now(), { leaves: "clear", comes: true });
      b.input({ type: "policy", policy });
      for (let second = 0; second < 5; second++) {
        world.run(1000);
        assert.deepEqual(now(), { leaves, comes });
      }
    }),
  );
}

const TUNNEL = { mode: '"tunnel"', start: '"never"' };
/** B's blocks of what goes through its tunnel for 10.1.0.0/16 <-> 10.2.0.0/16, what is asked for, and whether packets then leave and come. */
const TUNNELS: readonly (readonly [filter: string, asked: string, leaves: boolean, comes: boolean])[] = [
  ["10.1.0.0/16 -> 10.2.0.5", "10.2.0.5", false, true],
  ["10.1.0.0/16 <- 10.2.0.5", "10.2.0.5", true, false],
  ["10.1.0.0/16 -> 10.2.0.0/24", "10.2.0.5", false, true],
  ["10.1.0.0/16 <- 10.2.0.0/24", "10.2.0.0/16", true, false],
  ["10.2.0.0/16 -> 10.1.0.0/24", "10.2.0.0/16", true, false],
];
for (const action of ["respond", "require"])
  for (const [filter, asked, leaves, comes] of TUNNELS)
    test(
      `${action} in a tunnel beside block ${filter}: ${asked} gets SAs, and the block stands before them`,
      story(
        pair(
          configuration([
            rule("peer", "require", `${asked} <-> 10.1.0.0/16`, { ...TUNNEL, tunnel: `{ local = "${A}", remote = "${B}" }` }),
          ]),
          configuration([
            wall(filter),
            rule("other", action, "10.1.0.0/16 <-> 10.2.0.0/16", { ...TUNNEL, tunnel: `{ local = "${B}", remote = "${A}" }` }),
          ]),
        ),
        (world) => {
          const [a, b] = [world.host("A"), world.host("B")];
          world.run(100);
          a.initiate();
          world.run(3000);
          assert.equal(childrenOf(world, "B").length, 1, said(b, "warning").join("\n"));
          const [out, back] = [udp("10.1.0.7", "10.2.0.5"), udp("10.2.0.5", "10.1.0.7")];
          const sent = a.xfrm.outbound(back);
          assert.ok(sent.kind === "protected");
          assert.deepEqual(
            {
              leaves: b.xfrm.inbound(out, [], "fwd") && b.xfrm.outbound(out).kind === "protected",
              comes: b.xfrm.inbound(back, sent.through, "fwd"),
            },
            { leaves, comes },
          );
        },
      ),
    );

const LOCAL = ["me", "192.0.2.2", "any"];
const REMOTE = ["192.0.2.1", "192.0.2.0/30", "192.0.2.0/24", "192.0.2.0-192.0.2.6", "any"];
const filter = fc
  .tuple(
    fc.constantFrom(...LOCAL),
    fc.constantFrom("<->", "->", "<-"),
    fc.constantFrom(...REMOTE),
    fc.constantFrom("", "", "", "", "", "", "", " udp"),
  )
  .filter(([local, , remote]) => local !== "any" || remote !== "any")
  .map((parts) => parts.slice(0, 3).join(" ") + parts[3]);
const rules = fc.uniqueArray(fc.tuple(fc.constantFrom("block", "block", "permit", "respond", "request", "require"), filter), {
  ...{ minLength: 2, maxLength: 4 },
  selector: ([, text]) => text,
});

/** The block, a rule that has the other way alone, and one that would have both: what the second has is not the third's. */
const OF_THREE: [(readonly [string, string])[], string, boolean][] = ["me -> 192.0.2.1", "me <- 192.0.2.1"].flatMap((shut) =>
  ["->", "<-"].flatMap((arrow) =>
    [true, false].map((ownStart): [(readonly [string, string])[], string, boolean] => [
      [
        ["block", shut],
        ["require", `me ${arrow} 192.0.2.0-192.0.2.6`],
        ["respond", "me <-> 192.0.2.0-192.0.2.6"],
      ],
      "me <-> 192.0.2.2",
      ownStart,
    ]),
  ),
);

/** The text of B's rules; undefined where they can't be together. */
function textOf(list: readonly (readonly [string, string])[]): string | undefined {
  const text = configuration(list.map(([action, one], i) => rule(`r${i}`, action, one)));
  try {
    policyOf(text);
    return text;
  } catch {
    return undefined;
  }
}

test("whatever rules for one way or both stand together, and whoever asks: what is shut stays shut, and a child is refused only where none of it is left", () => {
  let [granted, refused, half] = [0, 0, 0];
  fc.assert(
    fc.property(
      rules,
      fc.constantFrom("", "", "", " udp").map((protocol) => `me <-> 192.0.2.2${protocol}`),
      fc.boolean(),
      (list, asked, ownStart) => {
        const text = textOf(list);
        if (text === undefined) return;
        inWorld(pair(towards(B, { filters: `["${asked}"]` }), text), (world) => {
          world.run(100);
          if (ownStart)
            for (const [i, [action]] of list.entries()) if (!["block", "permit"].includes(action)) world.host("B").initiate(`r${i}`, 30, A);
          world.host("A").initiate();
          world.run(8000);
          const told = explain(policyOf(text), [B], udp(B, A));
          const now = seen(world);
          if (told.verdict === "drop") assert.equal(now.leaves, "blocked");
          if (told.answer.verdict === "drop") assert.ok(["refused", "acquire"].includes(now.comes), now.comes);
          // A part of the packets says nothing of all.
          if (asked.endsWith("udp") || list.some(([, one]) => one.endsWith("udp"))) return;
          const negotiated = [told.verdict, told.answer.verdict].filter((verdict) => verdict.startsWith("protect")).length;
          const { length } = childrenOf(world, "B");
          assert.equal(length > 0, negotiated > 0, `${length} children, ${told.says}, ${told.answer.verdict}`);
          if (length > 0) assert.ok(Object.values(now).includes("protected"), JSON.stringify(now));
          granted += Number(length > 0);
          half += Number(length > 0 && negotiated === 1);
          refused += Number(length === 0);
        });
      },
    ),
    { numRuns: Number(process.env["ONE_WAY"] ?? 300), includeErrorInReport: true, examples: OF_THREE },
  );
  assert.ok(granted > 20 && refused > 5 && half > 5, `${granted} ${refused} ${half}`);
});
