import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type ConfigurationText,
  checkConfiguration,
  configurationReader,
  destroyPolicy,
  formatDiagnostic,
  loadConfiguration,
  parseLayers,
} from "../../policy/config.ts";

const AUTH = 'auth = [{ method = "psk", secret = "hush" }]';
const rule = (name: string, peer: string) => `[[rule]]\nname = "${name}"\nfilters = ["me <-> ${peer}"]\naction = "require"\n${AUTH}\n`;
const around = {
  readSecret: () => ({ ok: false, error: "none" }) as const,
  certificates: undefined,
  readFile: () => ({ ok: false, error: "none" }) as const,
};

const read = (...texts: readonly string[]) =>
  parseLayers(
    texts.map((text, i) => ({ file: `f${i}`, text })),
    around,
  );

test("later files win key by key, and their rules are added in the order of the files", () => {
  const parsed = read(
    `[policy]\nname = "base"\n[policy.main-mode]\nlifetime = "8h"\nquick-modes = 2\n${rule("a", "192.0.2.1")}`,
    `[policy]\nname = "site"\n[policy.main-mode]\nlifetime = "4h"\n${rule("b", "192.0.2.2")}`,
  );
  assert.ok(parsed.ok);
  const { policy, sources } = parsed.value;
  assert.deepEqual([policy.name, policy.rules.map(({ name }) => name)], ["site", ["a", "b"]]);
  assert.deepEqual([policy.rules[0]?.mainMode.lifetimeSeconds, policy.rules[0]?.mainMode.quickModes], [4 * 3600, 2]);
  const told = Object.fromEntries(sources.map(({ key, value, file, line }) => [key, `${value} ${file}:${line}`]));
  assert.equal(told["[policy] name"], '"site" f1:2');
  assert.equal(told["[policy.main-mode] lifetime"], '"4h" f1:4');
  assert.equal(told["[policy.main-mode] quick-modes"], "2 f0:5");
  assert.equal(told["rule b: filters"], '["me <-> 192.0.2.2"] f1:7');
  assert.ok(!JSON.stringify(sources).includes("hush"));
  destroyPolicy(policy);
});

test("a rule of a later file replaces the one of its name, and two of one name in one file stay an error", () => {
  const parsed = read(rule("a", "192.0.2.1") + rule("z", "192.0.2.9"), rule("a", "192.0.2.7"));
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.value.policy.rules.map(({ name, filters }) => `${name} ${filters[0]?.text}`),
    ["a me <-> 192.0.2.7", "z me <-> 192.0.2.9"],
  );
  destroyPolicy(parsed.value.policy);
  const double = read("", rule("a", "192.0.2.1") + rule("a", "192.0.2.2"));
  assert.ok(!double.ok);
  assert.match(double.error.map(formatDiagnostic).join("\n"), /^f1:7:8: rule "a": name: rule number 1 has this name/);
});

test("what is wrong is said with the file that it stands in", () => {
  const parsed = read(rule("a", "192.0.2.1"), '[policy]\nnmae = "x"\n', `${rule("b", "nonsense")}`);
  assert.ok(!parsed.ok);
  assert.deepEqual(
    parsed.error.map(({ file, line, column }) => `${file}:${line}:${column}`),
    ["f1:2:1", "f2:3:12"],
  );
  const broken = read("", "= 1");
  assert.ok(!broken.ok && broken.error[0]?.file === "f1");
});

const said = (...texts: readonly string[]): readonly string[] => {
  const parsed = read(...texts);
  if (!parsed.ok) return parsed.error.map(formatDiagnostic);
  destroyPolicy(parsed.value.policy);
  return parsed.value.warnings.map(formatDiagnostic);
};
const A = rule("a", "192.0.2.1");
const NO_LIST = "[rule]: rules are tables of a list; write [[rule]]";

for (const [what, texts, expected] of [
  ["[rule] in a layer", [A, rule("b", "192.0.2.2").replace("[[rule]]", "[rule]")], [`f1:1:1: ${NO_LIST}`]],
  ["rule = 3 in a layer", [A, "rule = 3\n"], [`f1:1:8: ${NO_LIST}`]],
  ["[rule] in the first file", [A.replace("[[rule]]", "[rule]"), rule("b", "192.0.2.2")], [`f0:1:1: ${NO_LIST}`]],
  ["[rule] in two layers", [A, "[rule]\n", "\n[rule]\n"], [`f1:1:1: ${NO_LIST}`, `f2:2:1: ${NO_LIST}`]],
  ["[sa] in a layer", [A, '[sa]\nname = "x"\n'], ["f1:1:1: [sa]: manual SAs are tables of a list; write [[sa]]"]],
  [
    "[rule] in one layer and a slip in another",
    [A, "[rule]\n", rule("b", "nonsense")],
    [`f1:1:1: ${NO_LIST}`, /^f2:3:12: rule "b": filters: /],
  ],
  [
    "policy = 3 between two [policy]",
    ['[policy]\nname = "x"\n', "policy = 3\n", `[policy]\ndpd = "5s"\n${A}`],
    [/^f1:1:10: \[policy\]: a table is expected/],
  ],
  [
    "a number for [policy.main-mode]",
    [A, "[policy]\nmain-mode = 3\n", "[policy.main-mode]\nquick-modes = 2\n"],
    [/^f1:2:13: \[policy.main-mode\]: a table is expected/],
  ],
  [
    "two rules of one name where an earlier file has it, the first with a slip",
    [A, rule("a", "192.0.2.7").replace('"require"', '"requier"') + rule("a", "192.0.2.8")],
    [/^f1:4:10: rule "a": action: /, /^f1:7:8: rule "a": name: rule number 1 has this name already/],
  ],
  [
    "two manual SAs of one name where an earlier file has it",
    [`${A}[[sa]]\nname = "m"\n`, '[[sa]]\nname = "m"\n[[sa]]\nname = "m"\n'],
    [/f1:1:1: .*filters is missing/, /f1:4:8: .*another \[\[sa\]\] has this name/],
  ],
] as const)
  test(`${what} is an error as in one file`, () => {
    const found = said(...texts);
    const missing = expected.filter((each) => !found.some((one) => (typeof each === "string" ? each === one : each.test(one))));
    assert.deepEqual(missing, [], found.join("\n"));
    if (!what.includes("manual")) assert.equal(found.length, expected.length, found.join("\n"));
  });

test("mainmode.toml brings the files of conf.d beside it, in the order of their names; other names bring none", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-layers-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "conf.d"));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  write("mainmode.toml", rule("a", "192.0.2.1"));
  write("other.toml", rule("a", "192.0.2.1"));
  write("conf.d/20.toml", '[policy]\nname = "twenty"\n');
  write("conf.d/10.toml", `[policy]\nname = "ten"\n${rule("b", "192.0.2.2")}`);
  write("conf.d/.hidden.toml", "= broken");
  write("conf.d/notes.txt", "= broken");
  const names = (file: string) => {
    const loaded = loadConfiguration(join(folder, file), undefined);
    assert.ok(loaded.ok);
    destroyPolicy(loaded.value.policy);
    return [loaded.value.policy.name, ...loaded.value.policy.rules.map(({ name }) => name)];
  };
  assert.deepEqual(names("mainmode.toml"), ["twenty", "a", "b"]);
  assert.deepEqual(names("other.toml"), ["default", "a"]);
  write("conf.d/30.toml", "[polcy]\n");
  assert.match(checkConfiguration(join(folder, "mainmode.toml")).map(formatDiagnostic).join("\n"), /conf\.d\/30\.toml:1:1: .*polcy/);
});

test("a key is said to stand in a file that others may read for the very file in which it stands", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "mainmode-layers-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "conf.d"));
  const write = (name: string, text: string, mode: number) => writeFileSync(join(folder, name), text, { mode });
  write("mainmode.toml", rule("a", "192.0.2.1"), 0o600);
  write("conf.d/10.toml", rule("b", "192.0.2.2"), 0o644);
  const sa = `[[sa]]\nname = "m"\nfilters = ["me <-> 192.0.2.9"]\nlocal = "192.0.2.8"\nremote = "192.0.2.9"\nprotection = "esp:null-sha1"\nspi-in = 4097\nspi-out = 4098\nkey-in = "0x${"11".repeat(20)}"\nkey-out = "0x${"22".repeat(20)}"\n`;
  write("conf.d/20.toml", sa, 0o600);
  const warned = (...runTime: readonly ConfigurationText[]) => {
    const reader = configurationReader(join(folder, "mainmode.toml"), undefined);
    const files = reader.files();
    assert.ok(files.ok);
    const loaded = reader.judge([...files.value, ...runTime]);
    assert.ok(loaded.ok);
    destroyPolicy(loaded.value.policy);
    const told = loaded.value.warnings.filter(({ message }) => message.includes("others may read"));
    return told.map(({ file, line }) => `${file.slice(folder.length + 1)}:${line}`);
  };
  assert.deepEqual(warned(), ["conf.d/10.toml:5"]);
  assert.deepEqual(warned({ file: "(run time)", text: rule("r", "192.0.2.7"), runTimeLine: 1 }), ["conf.d/10.toml:5"]);
  write("conf.d/30.toml", sa.replace('"m"', '"n"').replaceAll("2.9", "2.6").replaceAll("409", "419"), 0o644);
  assert.deepEqual(warned(), ["conf.d/10.toml:5", "conf.d/30.toml:9", "conf.d/30.toml:10"]);
});
