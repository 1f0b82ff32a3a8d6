/** Rules at run time, beside those of the files. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PolicySource } from "../../daemon/policy-source.ts";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { configurationReader, destroyPolicy, loadConfiguration } from "../../policy/config.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-rules-"));
after(() => rmSync(folder, { recursive: true }));

const rule = (name: string, peer: string, secret = "a throwaway key"): string =>
  `[[rule]]\nname = "${name}"\nfilters = ["me <-> ${peer}"]\naction = "require"\nauth = [{ method = "psk", secret = "${secret}" }]\n`;

function setUp() {
  const file = join(folder, "c.toml");
  writeFileSync(file, rule("file", "192.0.2.2"), { mode: 0o600 });
  const followed: string[][] = [];
  const logged: string[] = [];
  const loaded = loadConfiguration(file, undefined);
  assert.ok(loaded.ok);
  const source = new PolicySource({
    journal: undefined,
    configuration: loaded.value,
    reader: configurationReader(file, undefined),
    log: ({ text }) => void logged.push(text),
    follow: async (policy) => void followed.push(policy.rules.map(({ name }) => name)),
  });
  return { file, source, followed, logged };
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
  await source.addRules(rule("file: other", "192.0.2.4"));
  assert.match((await source.deleteRule("file")).text, /stands in .*c\.toml:2; remove it there/);
  await source.deleteRule("file: other");
  assert.match((await source.deleteRule("nobody")).text, /there are: one$/);
  destroyPolicy(source.configuration.policy);
});

const block = (name: string, peer: string): string => `[[rule]]\nname = "${name}"\nfilters = ["me <-> ${peer}"]\naction = "block"\n`;

test("rules come and go on the policy as last read, whatever the files have become", async () => {
  const before = liveSecrets();
  const { file, source, followed } = setUp();
  writeFileSync(join(folder, "psk"), "a key in a file of its own\n", { mode: 0o600 });
  const inFile = rule("one", "192.0.2.3").replace(/secret = ".*?"/, 'secret-file = "psk"');
  assert.equal((await source.addRules(inFile + block("stop", "192.0.2.99") + rule("two", "192.0.2.4"))).exit, 0);
  // Somebody is at work on the file: what is in it counts when it is asked for.
  writeFileSync(file, rule("file", "192.0.2.2", "a new key of the file") + block("pending", "192.0.2.77"), { mode: 0o600 });
  assert.equal((await source.deleteRule("stop")).exit, 0);
  assert.deepEqual(followed.at(-1), ["file", "one", "two"]);
  writeFileSync(file, "foo = 1\n", { mode: 0o600 });
  rmSync(join(folder, "psk"));
  assert.equal((await source.addRules(block("stop", "192.0.2.98"))).exit, 0);
  assert.deepEqual(followed.at(-1), ["file", "one", "two", "stop"]);
  assert.equal((await source.reload()).exit, 78);
  const done = await source.deleteRule("stop");
  assert.deepEqual([done.exit, done.lines], [0, []]);
  assert.deepEqual(keysIn(source), ["file a throwaway key", "one a key in a file of its own", "two a throwaway key"]);
  // A reload reads the files again, and those that rules at run time name.
  writeFileSync(file, rule("file", "192.0.2.2", "a new key of the file"), { mode: 0o600 });
  assert.match((await source.reload()).lines.join(), /secret-file: .*no such file/);
  writeFileSync(join(folder, "psk"), "another key in its file\n", { mode: 0o600 });
  assert.equal((await source.reload()).exit, 0);
  assert.deepEqual(keysIn(source), ["file a new key of the file", "one another key in its file", "two a throwaway key"]);
  destroyPolicy(source.configuration.policy);
  assert.equal(liveSecrets(), before);
});

const keysIn = ({ policy }: PolicySource): readonly string[] =>
  policy.rules.map(({ name, auth: [entry] }) =>
    entry?.method === "psk" ? `${name} ${entry.secret.use((octets) => Buffer.from(octets).toString())}` : name,
  );

test("manual SAs keep their keys while rules come and go", async () => {
  const before = liveSecrets();
  const { file, source } = setUp();
  const key = (octets: string): string => `0x${octets.repeat(20)}`;
  const sa = `[[sa]]\nname = "m"\nfilters = ["me <-> 192.0.2.9"]\nlocal = "192.0.2.1"\nremote = "192.0.2.9"\nprotection = "esp:null-sha1"\nspi-in = 4097\nspi-out = 4098\nkey-in = "${key("11")}"\nkey-out = "${key("22")}"\n`;
  writeFileSync(file, rule("file", "192.0.2.2") + sa, { mode: 0o600 });
  assert.equal((await source.reload()).exit, 0);
  const [pair] = source.policy.manual;
  assert.equal((await source.addRules(block("stop", "192.0.2.99"))).exit, 0);
  // A refusal must not wipe what is in force.
  assert.equal((await source.addRules(block("again", "192.0.2.99"))).exit, 78);
  assert.equal(source.policy.manual[0], pair);
  assert.equal(
    pair?.keyOut.use((octets) => octets.every((octet) => octet === 0x22)),
    true,
  );
  assert.doesNotMatch(JSON.stringify(source.configuration.texts), /1111|2222/);
  destroyPolicy(source.configuration.policy);
  assert.equal(liveSecrets(), before);
});

test("what was read is kept without the keys that stood in it", async () => {
  const { source } = setUp();
  await source.addRules(`${rule("one", "192.0.2.3", 'with \\"quotes\\" in it')}# the end`);
  assert.doesNotMatch(JSON.stringify(source.configuration.texts), /throwaway|quotes/);
  assert.equal((await source.addRules(block("stop", "192.0.2.99"))).exit, 0);
  assert.deepEqual(keysIn(source), ["file a throwaway key", 'one with "quotes" in it', "stop"]);
  destroyPolicy(source.configuration.policy);
});

test("a rule of the file takes the place of one of its name that was added at run time, and that is said", async () => {
  const before = liveSecrets();
  const { file, source, logged } = setUp();
  await source.addRules(block("stop", "192.0.2.99") + rule("other", "192.0.2.98", "the key of run time"));
  writeFileSync(file, rule("file", "192.0.2.2") + block("stop", "192.0.2.3") + rule("other", "192.0.2.98", "the key of the file"), {
    mode: 0o600,
  });
  const done = await source.reload();
  assert.equal(done.exit, 0);
  assert.deepEqual(done.lines, [
    `${file}:7:8: warning: rule "stop": takes the place of the rule of this name that was added at run time`,
    `${file}:11:8: warning: rule "other": takes the place of the rule of this name that was added at run time`,
  ]);
  assert.match(logged.join("\n"), /rule stop of .*c\.toml:7 took the place of the one that was added at run time/);
  assert.equal(source.policy.rules.find(({ name }) => name === "stop")?.filters[0]?.text, "me <-> 192.0.2.3");
  assert.deepEqual(keysIn(source), ["file a throwaway key", "stop", "other the key of the file"]);
  assert.match((await source.deleteRule("stop")).text, /stands in .*c\.toml:7/);
  // It is gone: it does not come back with the file's.
  writeFileSync(file, rule("file", "192.0.2.2"), { mode: 0o600 });
  assert.deepEqual([(await source.reload()).exit, keysIn(source)], [0, ["file a throwaway key"]]);
  destroyPolicy(source.configuration.policy);
  assert.equal(liveSecrets(), before);
});

test("where a rule at run time is in the way of a file's, the reload is refused with its name and what helps", async () => {
  const { file, source, followed } = setUp();
  await source.addRules(`# ours\n\n${block("zwei Wörter", "192.0.2.3")}${block("rt", "192.0.2.4")}`);
  writeFileSync(file, rule("file", "192.0.2.2") + block("persistent", "192.0.2.4"), { mode: 0o600 });
  const done = await source.reload();
  assert.deepEqual([done.exit, followed.length], [78, 1]);
  assert.deepEqual(done.lines, [
    'run-time rule "rt": filters: rule "persistent" has a filter for the same traffic, "me <-> 192.0.2.4"; remove one, or make it narrower',
  ]);
  assert.match(done.hint ?? "", /^`mainmode rule delete rt`, or write a rule of that name into the file/);
  writeFileSync(file, rule("file", "192.0.2.2") + block("persistent", "192.0.2.3"), { mode: 0o600 });
  assert.match((await source.reload()).hint ?? "", /^`mainmode rule delete 'zwei Wörter'`/);
  writeFileSync(file, rule("file", "192.0.2.2") + block("rt", "192.0.2.4"), { mode: 0o600 });
  assert.equal((await source.reload()).exit, 0);
  // An error of the file's own: `mainmode check` says the same.
  writeFileSync(file, "foo = 1\n", { mode: 0o600 });
  assert.deepEqual([(await source.reload()).exit, (await source.reload()).hint], [78, undefined]);
  destroyPolicy(source.configuration.policy);
});

test("what is wrong with an added rule is said with the line of the text, and so is what it says", async () => {
  const { source } = setUp();
  const text = `# ours\n\n${block("good", "192.0.2.3")}# the next one\n  [[rule]]\nname = "bad"\n\nfilters = ["me <-> 192.0.2.4"]\naction = "blokc"\n`;
  const done = await source.addRules(text);
  assert.match(done.lines.join("\n"), /^\(run time\):12:10: rule "bad": action: unknown value/m);
  assert.equal((await source.addRules(text.replace("blokc", "block"))).exit, 0);
  const told = source.configuration.sources.filter(({ file }) => file === "(run time)").map(({ key, line }) => `${key} ${line}`);
  const rows = ["good: name 4", "good: filters 5", "good: action 6", "bad: name 9", "bad: filters 11", "bad: action 12"];
  assert.deepEqual(
    told,
    rows.map((row) => `rule ${row}`),
  );
  assert.equal((await source.addRules('rule = [{ name = "x", action = "block", filters = ["me <-> 192.0.2.5"] }]')).exit, 1);
  destroyPolicy(source.configuration.policy);
});

test("rules that are replaced do not count as further ones, and there is a bound", async () => {
  const { source } = setUp();
  const many = (from: number, count: number): string =>
    Array.from({ length: count }, (_, i) => block(`n${from + i}`, `10.${(from + i) >> 8}.${(from + i) & 255}.1`)).join("");
  assert.equal((await source.addRules(many(0, 600))).exit, 0);
  assert.equal((await source.addRules(many(0, 600))).exit, 0);
  const over = await source.addRules(many(500, 501));
  assert.deepEqual([over.exit, over.text], [1, "with these there would be 1001 rules at run time, and 1000 are possible"]);
  assert.equal((await source.addRules(many(500, 500))).exit, 0);
  destroyPolicy(source.configuration.policy);
});
