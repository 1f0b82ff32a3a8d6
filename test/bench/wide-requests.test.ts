/**
 * What it costs to refuse a peer that asks for ranges of very many prefixes, in steps as steps.ts counts them: far fewer than to grant it a network. The bound on
 * them comes before anything is looked at prefix by prefix.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { configuration } = await import("../sim/policies.ts");
const { A, B, childrenOf, pair, said } = await import("../sim/setting.ts");
const { inWorld } = await import("../sim/world.ts");

const tunnel = (name: string, filters: readonly string[], [local, remote]: readonly [string, string]) => ({
  ...{ name: `"${name}"`, filters: JSON.stringify(filters), mode: '"tunnel"', start: '"never"' },
  tunnel: `{ local = "${local}", remote = "${remote}" }`,
});

/** Ranges that begin and end in the midst of all: each is of nearly two hundred prefixes. */
const wide = (k: number): string => `2001:db8::${k + 1}-2001:db9:ffff:ffff:ffff:ffff:ffff:${(0xfffe - k).toString(16)}`;
const FILTERS = [1, 2, 3, 4, 5, 6, 7, 8].map((k) => `2001:dba::/32 <-> ${wide(k)}`);

/** Steps from the moment at which message 1 is sent to that of its answer. */
function stepsFor(asked: string): { readonly steps: number; readonly granted: boolean; readonly told: string } {
  let steps = 0;
  let [granted, told] = [false, ""];
  const [a, b] = [
    configuration([tunnel("peer", [`${asked} <-> 2001:dba::/32`], [A, B])]),
    configuration([tunnel("other", FILTERS, [B, A])]),
  ];
  inWorld(pair(a, b), (world) => {
    world.run(100);
    let waiting = false;
    world.intercept = ({ from, label }) => {
      if (label === "QM1") ran();
      else if (waiting && from === B) steps = ran();
      waiting = label === "QM1";
      return undefined;
    };
    world.host("A").initiate();
    world.run(2000);
    granted = childrenOf(world, "B").length > 0;
    told = said(world.host("B"), "warning").join("\n");
  });
  return { steps, granted, told };
}

test("a request for hundreds of pairs of prefixes is refused before it is held against each range of a rule", () => {
  const network = stepsFor("2001:db8:1::/48");
  const refused = stepsFor(wide(20));
  assert.ok(network.granted && !refused.granted);
  assert.match(refused.told, /that is 1\d\d pairs of prefixes/);
  assert.ok(4 * refused.steps < network.steps, `${refused.steps} steps instead of ${network.steps}`);
});

test("what is just a filter's range is granted, however many prefixes that is", () => {
  const { granted, told } = stepsFor(wide(3));
  assert.ok(granted, told);
});
