/** Keys for the habits of other vendors: fragmentation and sha256-96. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseConfiguration } from "../../policy/config.ts";

const text = (more: string, action = "require"): string =>
  `[[rule]]\nname = "peer"\nfilters = ["me <-> 192.0.2.2"]\naction = "${action}"\n${action === "permit" ? "" : 'auth = [{ method = "psk", secret = "a key for tests only, no more" }]\n'}${more}`;
const read = (toml: string) => parseConfiguration(toml, "t.toml", () => ({ ok: false, error: "no files here" }));

function ruleOf(more: string) {
  const parsed = read(text(more));
  assert.ok(parsed.ok);
  const [rule] = parsed.value.policy.rules;
  assert.ok(rule);
  return rule;
}

test("messages are cut when they must be, and HMAC-SHA2-256 is whole, unless a rule says otherwise", () => {
  assert.deepEqual([ruleOf("").fragmentation, ruleOf("").shortSha256], ["auto", false]);
  for (const how of ["auto", "force", "off"] as const) assert.equal(ruleOf(`fragmentation = "${how}"`).fragmentation, how);
  assert.equal(ruleOf("sha256-96 = true").shortSha256, true);
});

test("a word that is none of the three is refused with the nearest", () => {
  const parsed = read(text('fragmentation = "forced"'));
  assert.ok(!parsed.ok);
  assert.match(parsed.error.map(({ message }) => message).join("\n"), /"forced".*"force"/);
});
