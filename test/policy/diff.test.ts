import assert from "node:assert/strict";
import { test } from "node:test";
import { describeDiff, diffPolicies, refit } from "../../policy/diff.ts";
import type { Rule } from "../../policy/types.ts";
import { configuration, policyOf } from "../sim/policies.ts";

const rule = (name: string, peer: string, more: Readonly<Record<string, string>> = {}) => ({
  name: `"${name}"`,
  filters: `["me <-> ${peer}"]`,
  ...more,
});
/** Read anew each time, as a reload does: a comment makes the text another one. */
let readings = 0;
const policy = (...rules: ReturnType<typeof rule>[]) => policyOf(`${configuration(rules)}\n# ${++readings}\n`);
const names = (rules: readonly { readonly name: string }[]): readonly string[] => rules.map(({ name }) => name);

const A = rule("a", "192.0.2.1");
const B = rule("b", "192.0.2.2");

test("rules that say the same are kept, wherever they stand now", () => {
  const diff = diffPolicies(policy(A, B), policy(B, A));
  assert.deepEqual([diff.kept.map(([old]) => old.name).sort(), diff.added, diff.dropped], [["a", "b"], [], []]);
  for (const [old, again] of diff.kept) assert.notEqual(old, again);
});

test("a rule of which only something else is said is the same rule", () => {
  const diff = diffPolicies(policy(A, B), policy(rule("a", "192.0.2.1", { description: `"the first one"` }), B));
  assert.deepEqual([diff.kept.map(([old]) => old.name), diff.added, diff.dropped], [["a", "b"], [], []]);
});

for (const [what, changed] of [
  ["another key", rule("a", "192.0.2.1", { auth: '[{ method = "psk", secret = "another throwaway key" }]' })],
  ["another action", rule("a", "192.0.2.1", { action: '"respond"' })],
  ["another offer", rule("a", "192.0.2.1", { "quick-mode": '{ proposals = ["esp:aes256-sha256"] }' })],
  ["another lifetime", rule("a", "192.0.2.1", { "main-mode": '{ lifetime = "30m" }' })],
  ["an identity", rule("a", "192.0.2.1", { "remote-id": '"fqdn:a.example.test"' })],
] as const)
  test(`a rule with ${what} is another rule`, () => {
    const diff = diffPolicies(policy(A, B), policy(changed, B));
    assert.deepEqual([diff.kept.map(([old]) => old.name), names(diff.added), names(diff.dropped)], [["b"], ["a"], ["a"]]);
    assert.match(describeDiff(diff), /^1 rules kept with their SAs; changed: a; added: none; dropped: none$/);
  });

for (const [what, changed] of [
  ["the filters", rule("a", "192.0.2.9")],
  ["the start", rule("a", "192.0.2.1", { start: '"now"' })],
  ["the filters and the start", rule("a", "192.0.2.9", { start: '"now"' })],
] as const)
  test(`a rule of which only ${what} differ is known: its SAs may live on`, () => {
    const diff = diffPolicies(policy(A, B), policy(changed, B));
    const fields = ({ name, filters, start }: Rule) => [name, filters[0]?.text, start];
    assert.deepEqual(
      diff.refitted.map(([old, again]) => fields(refit(old, again))),
      policy(changed).rules.map(fields),
    );
    assert.deepEqual([diff.kept.map(([old]) => old.name), diff.added, diff.dropped], [["b"], [], []]);
    assert.match(describeDiff(diff), /^1 rules kept with their SAs; changed: a; added: none; dropped: none$/);
  });

test("a rule of which more than that differs is another rule", () => {
  const diff = diffPolicies(policy(A), policy(rule("a", "192.0.2.9", { start: '"now"', discovery: "true" })));
  assert.deepEqual([diff.refitted, names(diff.dropped)], [[], ["a"]]);
});

test("a new name is a rule that comes and one that goes", () => {
  const diff = diffPolicies(policy(A), policy(rule("z", "192.0.2.1")));
  assert.equal(describeDiff(diff), "0 rules kept with their SAs; changed: none; added: z; dropped: a");
});

const sa = (name: string, key: string): string => `
[[sa]]
name = "${name}"
local = "192.0.2.1"
remote = "192.0.2.2"
spi-in = 0x101
spi-out = 0x102
protection = "esp:aes128-sha1"
filters = ["me <-> 192.0.2.2"]
key-in = "0x${key.repeat(36)}"
key-out = "0x${"cd".repeat(36)}"
`;
for (const [what, before, after, expected] of [
  ["is what it was", sa("s", "ab"), sa("s", "ab"), "changed: none; added: none; dropped: none"],
  ["has another key, which is not told", sa("s", "ab"), sa("s", "ac"), "changed: manual SA s; added: none; dropped: none"],
  ["comes", "", sa("s", "ab"), "changed: none; added: manual SA s; dropped: none"],
  ["goes", sa("s", "ab"), "", "changed: none; added: none; dropped: manual SA s"],
  ["has another name", sa("s", "ab"), sa("t", "ab"), "changed: none; added: manual SA t; dropped: manual SA s"],
] as const)
  test(`a manual SA that ${what}: ${expected}`, () => {
    const read = (text: string) => policyOf(`${configuration([A])}${text}\n# ${++readings}\n`);
    assert.equal(describeDiff(diffPolicies(read(before), read(after))), `1 rules kept with their SAs; ${expected}`);
  });
