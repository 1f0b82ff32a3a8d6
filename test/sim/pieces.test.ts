/** A range stands in the kernel as prefixes, each as strong as it is long: what is negotiated goes by those, as what the kernel asks for does. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, PSK, type RuleText, towards } from "./policies.ts";
import { A, B, childrenOf, packet, pair, said } from "./setting.ts";
import { story } from "./world.ts";

const rule = (name: string, action: string, filter: string, more: RuleText = {}): RuleText => ({
  name: `"${name}"`,
  action: `"${action}"`,
  filters: `["${filter}"]`,
  ...(action === "block" || action === "permit" ? { auth: "", start: "" } : {}),
  ...more,
});

/** A is 192.0.2.1: of the range it is a piece by itself. */
const RANGE = "me <-> 192.0.2.1-192.0.2.6";
const PREFIX = "me <-> 192.0.2.0/30";
const OTHER_NAME: RuleText = { auth: `[{ method = "psk", secret = "${PSK}", remote-id = "fqdn:another.example.test" }]` };

/** B's rules in the order of the file, and the one that A's child is under. */
const CHOSEN: readonly (readonly [what: string, first: RuleText, second: RuleText, chosen: string])[] = [
  ["a range before a smaller prefix", rule("range", "require", RANGE), rule("prefix", "require", PREFIX), "range"],
  ["a range behind a smaller prefix", rule("prefix", "require", PREFIX), rule("range", "require", RANGE), "range"],
  [
    "a range that has the same piece as a smaller one of a later rule",
    rule("range", "require", RANGE),
    rule("less", "require", "me <-> 192.0.2.1-192.0.2.2"),
    "range",
  ],
  [
    "a range that has the same piece, of the weaker action",
    rule("range", "request", RANGE),
    rule("less", "require", "me <-> 192.0.2.1-192.0.2.2"),
    "less",
  ],
  [
    "a range that has the narrower piece beside a smaller range that the peer may not use",
    rule("range", "require", RANGE),
    rule("less", "require", "me <-> 192.0.2.0-192.0.2.2", OTHER_NAME),
    "range",
  ],
];
for (const [what, first, second, chosen] of CHOSEN)
  test(
    `${what}: the child is that of the rule that the kernel asks for, and carries what both send`,
    story(pair(towards(B), configuration([first, second])), (world) => {
      world.run(100);
      world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
      world.run(3000);
      assert.deepEqual(
        childrenOf(world, "B").map((child) => child.rule),
        [chosen],
      );
      assert.equal(world.ping(world.host("A"), packet(A, B)), "protected");
      assert.equal(world.ping(world.host("B"), packet(B, A)), "protected");
    }),
  );

for (const [action, filter] of [
  ["respond", PREFIX],
  ["request", PREFIX],
  ["require", PREFIX],
] as const)
  for (const other of [rule("wall", "block", RANGE), rule("wall", "permit", RANGE), rule("wall", "require", RANGE, OTHER_NAME)])
    test(
      `${other["action"]} for a range, of which a piece is narrower than the prefix of ${action}: no child is made that could carry nothing`,
      story(pair(towards(B), configuration([other, rule("other", action, filter, { start: "" })])), (world) => {
        world.run(100);
        world.host("A").command({ name: "initiate", rule: "peer", peer: undefined, waitSeconds: 10 });
        world.run(3000);
        assert.equal(childrenOf(world, "B").length, 0);
        assert.match(
          said(world.host("B"), "error", "warning").join("\n"),
          /rule wall \("me <-> 192\.0\.2\.1-192\.0\.2\.6"\) is narrower there than "me <-> 192\.0\.2\.0\/30" of rule other, and (it decides|this peer has not)/,
        );
      }),
    );
