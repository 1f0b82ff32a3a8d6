import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../../../policy/config.ts";
import { readPacket } from "../../../policy/decide.ts";
import { explain } from "../../../policy/why.ts";
import { refusals } from "./accepted.ts";
import { type Summary, shown, summary } from "./imported.ts";
import { SCRIPTS } from "./scripts.ts";

/** Frames make actions that a row does not use. */
const withoutFrame = ({ codes }: Summary): readonly string[] => codes.filter((code) => !/^W_UNUSED_OBJECT@[2-46]$|^W_POLLING/.test(code));

for (const { name, script, options = {}, rules, codes = [] } of SCRIPTS) {
  test(`import: ${name}`, () => {
    const got = summary(script, options);
    assert.deepEqual(got.rules, rules, shown(got));
    assert.deepEqual(
      withoutFrame(got),
      codes.filter((code) => !/^W_UNUSED_OBJECT@[2-46]$/.test(code)),
      shown(got),
    );
    assert.deepEqual(refusals(got.toml), [], got.toml);
  });
}

test("there are at least fifty scripts", () => {
  assert.ok(SCRIPTS.length >= 50, String(SCRIPTS.length));
  assert.equal(new Set(SCRIPTS.map(({ name }) => name)).size, SCRIPTS.length);
});

test("why tells the names that an imported rule's parts have on Windows", () => {
  const { toml } = summary(`netsh ipsec static add policy P assign=yes
netsh ipsec static add filter filterlist="To DB" srcaddr=me dstaddr=192.0.2.15 protocol=TCP dstport=1433 description="app to db"
netsh ipsec static add filteraction name="Stop it" action=block
netsh ipsec static add rule name="No SQL" policy=P filterlist="To DB" filteraction="Stop it" description="nobody asks it"
`);
  const parsed = parseConfiguration(toml, "F", () => ({ ok: false, error: "none" }));
  assert.ok(parsed.ok);
  const packet = readPacket("192.0.2.1", "192.0.2.15", 6, 0, 1433);
  assert.ok(typeof packet !== "string");
  const { rule, description } = explain(parsed.value.policy, ["192.0.2.1"], packet);
  assert.deepEqual([rule, description], ["No SQL", 'filter list "To DB", filter action "Stop it"; nobody asks it; app to db']);
});
