/** Tunnels beside permits and blocks of what passes through them, written either way round: none draws what those decide about. */
import assert from "node:assert/strict";
import test from "node:test";
import { configuration, policyOf, type RuleText } from "./policies.ts";
import { A, B, childrenOf, packet, pair, said } from "./setting.ts";
import { story, type World } from "./world.ts";

const tunnel = (name: string, action: string, [local, remote]: readonly [string, string], filter: string): RuleText => ({
  name: `"${name}"`,
  action: `"${action}"`,
  filters: `["${filter}"]`,
  mode: '"tunnel"',
  tunnel: `{ local = "${local}", remote = "${remote}" }`,
  start: '"never"',
});
const wall = (action: string, filter: string): RuleText => ({
  name: '"wall"',
  action: `"${action}"`,
  filters: `["${filter}"]`,
  auth: "",
  start: "",
});

/** What B permits or blocks, what A asks for, and whether it gets it. B's tunnel is for 10.1.0.0/16 <-> 10.2.0.0/16. */
const CASES: readonly (readonly [wall: string, asked: string, gets: boolean])[] = [
  ["10.2.0.5 <-> 10.1.0.0/16", "10.2.0.5", false],
  ["10.2.0.0/24 <-> 10.1.0.0/16", "10.2.0.0/24", false],
  ["10.2.0.0/24 <-> 10.1.0.0/16", "10.2.0.5", false],
  ["10.2.0.0/16 <-> 10.1.0.0/24", "10.2.0.0/16", true],
  ["10.2.0.0/24 <-> 10.1.0.0/16", "10.2.0.0/16", true],
  ["10.2.0.5 <-> 10.1.0.0/16 tcp", "10.2.0.5", true],
  ["10.2.0.5 -> 10.1.0.0/16", "10.2.0.5", true],
  ["any <-> 10.1.0.0/16", "10.2.0.5", true],
  ["10.2.0.6 <-> 10.1.0.0/16", "10.2.0.5", true],
  ["10.1.0.0/16 <-> 10.2.0.5", "10.2.0.5", false],
];

const six = (text: string): string =>
  text.replace(
    /10\.(\d)\.0\.(\d+)(?:\/(\d+))?/g,
    (_, net, host, length) => `2001:db8:${net}::${host}${length ? `/${Number(length) + 32}` : ""}`,
  );

for (const to of [(text: string) => text, six])
  for (const action of ["respond", "require"])
    for (const kind of ["block", "permit"])
      for (const [filter, asked, gets] of CASES) {
        const own = tunnel("other", action, [B, A], to("10.1.0.0/16 <-> 10.2.0.0/16"));
        const both = policyOf(configuration([own, wall(kind, to(filter))]));
        const a = configuration([tunnel("peer", "require", [A, B], to(`${asked} <-> 10.1.0.0/16`))]);
        const what = `${action} tunnel, ${kind} ${to(filter)}: ${to(asked)} ${gets ? "gets" : "has no"} SAs`;
        const end = (world: World): void => {
          assert.equal(childrenOf(world, "B").length, gets ? 1 : 0);
          assert.equal(childrenOf(world, "A").length, gets ? 1 : 0);
          if (!gets)
            assert.match(
              said(world.host("B")).join("\n"),
              /rule wall (\((block|permit)\) decides about|comes first for all of) that traffic/,
            );
        };
        test(
          what,
          story(pair(a, configuration([own, wall(kind, to(filter))])), (world) => {
            world.run(100);
            world.host("A").initiate();
            world.run(3000);
            end(world);
            const one = packet(to("10.2.0.5"), to("10.1.0.7"));
            const sent = world.host("A").xfrm.outbound(one);
            if (!gets && kind === "block")
              assert.equal(world.host("B").xfrm.inbound(one, sent.kind === "protected" ? sent.through : [], "fwd"), false);
          }),
        );
        for (const how of ["a reload", "a restart"])
          test(
            `${what} where it came by ${how}`,
            story(pair(a, configuration([own])), (world) => {
              const b = world.host("B");
              b.keepJournal();
              world.run(100);
              world.host("A").initiate();
              world.run(3000);
              assert.equal(childrenOf(world, "B").length, 1);
              b.policy = both;
              if (how === "a restart") b.crash();
              else b.input({ type: "policy", policy: both });
              world.run(3000);
              end(world);
            }),
          );
      }
