/**
 * What it costs to look which children of many rules have a place under a policy, in steps as steps.ts counts them: ten times as many rules and
 * children may cost ten times as much.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChildSa } from "../../sa-store/child-sa.ts";
import { ran } from "./steps.ts";

/** Nothing of ours is loaded before. */
const { parseConfiguration } = await import("../../policy/config.ts");
const { concreteSelectors } = await import("../../policy/selector.ts");
const { newCore } = await import("../../ike/memory.ts");
const { endTaken } = await import("../../ike/end-taken.ts");
const { opensslCrypto } = await import("../../ike/crypto/openssl.ts");

const AUTH = 'auth = [{ method = "psk", secret = "throwaway" }]';
const at = (k: number): string => `${k >> 8}.${k & 255}`;
const FIVE = [0, 1, 2, 3, 4];

/** Rules with five filters each, but for the second kind. */
const KINDS: readonly (readonly [what: string, ruleOf: (k: number) => string])[] = [
  [
    "tunnels",
    (k) =>
      `filters = ${JSON.stringify(FIVE.map((i) => `10.0.0.0/16 <-> 11.${at(k)}.${i * 16}/28`))}\naction = "require"\n${AUTH}\nmode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "198.${at(k)}.9" }`,
  ],
  [
    "tunnels beside blocks that are written the other way round",
    (k) =>
      k % 2 === 0
        ? `filters = ["11.${at(k)}.0/25 <-> 10.0.0.0/16"]\naction = "block"`
        : `filters = ${JSON.stringify(FIVE.map((i) => `10.0.0.0/16 <-> 11.${at(k)}.${i * 16}/28`))}\naction = "respond"\n${AUTH}\nmode = "tunnel"\ntunnel = { local = "192.0.2.1", remote = "198.${at(k)}.9" }`,
  ],
  [
    "services of hosts",
    (k) => `filters = ${JSON.stringify(FIVE.map((i) => `me <-> 11.${at(k)}.1:${i + 1} tcp`))}\naction = "request"\n${AUTH}`,
  ],
];

/** What the look costs a core that has a child for each filter. */
function stepsFor(ruleOf: (k: number) => string, rules: number): number {
  const text = Array.from({ length: rules }, (_, k) => `[[rule]]\nname = "r${k}"\n${ruleOf(k)}`).join("\n\n");
  const parsed = parseConfiguration(text, "many.toml", () => ({ ok: false, error: "no files here" }));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error.slice(0, 3)));
  const core = newCore({ crypto: opensslCrypto, random: (octets) => new Uint8Array(octets), port: 500 });
  core.policy = parsed.value.policy;
  core.addresses = ["192.0.2.1"];
  core.policies.sync(core);
  for (const rule of core.policy.rules)
    for (const filter of rule.action === "block" ? [] : rule.filters)
      for (const selector of concreteSelectors(filter, rule, core.addresses)) {
        const id = core.store.newId();
        const spec = {
          rule,
          selector,
          local: "192.0.2.1",
          remote: "198.51.100.1",
          reqid: core.policies.reqidFor(rule, selector, selector, ""),
        };
        core.store.putChild({
          id,
          key: `${id}`,
          spec,
          protections: [],
          ike: null,
          outbound: "installed",
          state: "installed",
        } as unknown as ChildSa);
      }
  ran();
  endTaken(core);
  const steps = ran();
  assert.ok(core.store.children.size > rules, "none ends");
  return steps;
}

for (const [what, ruleOf] of KINDS)
  test(`ten times as many ${what} with their children cost ten times as much`, () => {
    const growth = stepsFor(ruleOf, 1000) / stepsFor(ruleOf, 100);
    assert.ok(growth > 5 && growth < 12, `${growth} times the steps`);
  });
