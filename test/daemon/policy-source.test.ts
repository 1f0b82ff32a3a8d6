/** Rules at run time, beside those of the files. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PolicySource } from "../../daemon/policy-source.ts";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { destroyPolicy, loadConfiguration } from "../../policy/config.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-rules-"));
after(() => rmSync(folder, { recursive: true }));

const rule = (name: string, peer: string, secret = "a throwaway key"): string =>
  `[[rule]]\nname = "${name}"\nfilters = ["me <-> ${peer}"]\naction = "require"\nauth = [{ method = "psk", secret = "${secret}" }]\n`;

function setUp() {
  const file = join(folder, "c.toml");
  writeFileSync(file, rule("file", "192.0.2.2"), { mode: 0o600 });
  const followed: string[][] = [];
  const loaded = loadConfiguration(file, undefined);
  assert.ok(loaded.ok);
  const source = new PolicySource({
    journal: undefined,
    configuration: loaded.value,
    reread: (runTime) => loadConfiguration(file, undefined, undefined, runTime),
    log: () => {},
    follow: async (policy) => void followed.push(policy.rules.map(({ name }) => name)),
  });
  return { file, source, followed };
}

test("rules come and go at run time, and stay through a reload of the files", async () => {
  const before = liveSecrets();
  const { file, source, followed } = setUp();
  assert.equal((await source.addRules(rule("one", "192.0.2.3") + rule("two", "192.0.2.4"))).exit, 0);
  assert.deepEqual(followed.at(-1), ["file", "one", "two"]);
  assert.ok(source.configuration.sources.some((each) => each.key === "rule one: filters" && each.file === "(run time)"));
  writeFileSync(file, rule("other", "192.0.2.9"), { mode: 0o600 });
  assert.equal((await source.reload()).exit, 0);
  assert.deepEqual(followed.at(-1), ["other", "one", "two"]);
  assert.equal((await source.deleteRule("one")).exit, 0);
  assert.deepEqual(followed.at(-1), ["other", "two"]);
  assert.equal((await source.addRules(rule("two", "192.0.2.5"))).exit, 0);
  assert.equal(source.policy.rules.find(({ name }) => name === "two")?.filters[0]?.text, "me <-> 192.0.2.5");
  destroyPolicy(source.configuration.policy);
  assert.equal(liveSecrets(), before);
});

test("a reload keeps the keys of manual SAs that are what they were, and wipes all others", async () => {
  const before = liveSecrets();
  const { file, source } = setUp();
  const manual = (spi: number): string =>
    `${rule("file", "192.0.2.2")}[[sa]]\nname = "m"\nfilters = ["me <-> 192.0.2.9"]\nlocal = "192.0.2.1"\nremote = "192.0.2.9"\nprotection = "esp:null-sha1"\nspi-in = ${spi}\nspi-out = 4098\nkey-in = "0x${"11".repeat(20)}"\nkey-out = "0x${"22".repeat(20)}"\n`;
  for (const spi of [4097, 4097, 4099]) {
    writeFileSync(file, manual(spi), { mode: 0o600 });
    assert.equal((await source.reload()).exit, 0);
    assert.equal(source.policy.manual[0]?.keyIn.length, 20);
  }
  destroyPolicy(source.configuration.policy);
  assert.equal(liveSecrets(), before);
});

for (const [what, text, exit, says] of [
  ["what is no TOML", '[[rule]\nsecret = "TOPSECRET"', 1, /line 1: no valid TOML/],
  ["nothing", "", 1, /no \[\[rule\]\]/],
  ["settings of the daemon", "[daemon]\nport = 1\n", 1, /only \[\[rule\]\] tables can be added/],
  ["a rule without a name", "[[rule]]\n", 1, /every rule needs a name/],
  ["a rule that a file has", rule("file", "192.0.2.3"), 1, /rule "file" stands in .*c\.toml:2/],
  ["a rule for the traffic of another", rule("one", "192.0.2.2"), 78, /nothing was changed/],
  ["a rule with an unknown key", `${rule("one", "192.0.2.3")}prot = 1\n`, 78, /nothing was changed/],
] as const)
  test(`adding ${what} is refused, and changes nothing`, async () => {
    const { source, followed } = setUp();
    const done = await source.addRules(text);
    assert.equal(done.exit, exit);
    assert.match(done.text, says);
    assert.ok(!JSON.stringify(done).includes("TOPSECRET"));
    assert.equal(followed.length, 0);
    destroyPolicy(source.configuration.policy);
  });

test("deleting what a file has, or what is not there, is refused with what there is", async () => {
  const { source } = setUp();
  assert.match((await source.deleteRule("file")).text, /stands in .*c\.toml:2; remove it there/);
  await source.addRules(rule("one", "192.0.2.3"));
  assert.match((await source.deleteRule("nobody")).text, /there are: one$/);
  destroyPolicy(source.configuration.policy);
});
