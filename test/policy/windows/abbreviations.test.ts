/** Every verb, object, tag and word may be shortened as far as it stays unambiguous, and no further. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startFindings } from "../../../policy/windows/diagnostics.ts";
import { ALIASES, COMMANDS, type CommandRow, type Kind, SHOWING } from "../../../policy/windows/grammar.ts";
import { parseStatic } from "../../../policy/windows/parse.ts";
import { readValue } from "../../../policy/windows/values.ts";
import { splitWords } from "../../../policy/windows/words.ts";

const VALUES: Readonly<Record<Kind, string>> = {
  name: "N",
  text: "x",
  boolean: "yes",
  number: "1",
  address: "192.0.2.1",
  mask: "24",
  port: "0",
  protocol: "TCP",
  action: "block",
  connection: "lan",
  "main-methods": "3DES-SHA1-3",
  "quick-methods": "ESP[3DES,SHA1]",
  secret: "k",
  ca: "CN=Root",
  guid: "{0}",
  location: "local",
};
const prefixes = (word: string): readonly string[] => Array.from({ length: word.length }, (_, i) => word.slice(0, i + 1));

function parse(line: string) {
  const words = splitWords(line, { line: 1, column: 1 }, "batch");
  assert.ok(words.ok, line);
  const findings = startFindings();
  return { command: parseStatic(words.value, findings, false), codes: findings.all.map(({ code }) => code) };
}

const required = ({ tags }: CommandRow, without: string): string =>
  tags
    .filter((tag) => tag.required && tag.name !== without)
    .map(({ name, kind }) => `${name}=${VALUES[kind]}`)
    .join(" ");

for (const row of COMMANDS)
  test(`${row.verb} ${row.object}: every tag, shortened at every place`, () => {
    for (const tag of row.tags)
      for (const prefix of prefixes(tag.name)) {
        const meant = row.tags.filter(({ name }) => name.startsWith(prefix));
        const one = meant.length === 1 || row.tags.some(({ name }) => name === prefix);
        const { command, codes } = parse(`${row.verb} ${row.object} ${prefix}=${VALUES[tag.kind]} ${required(row, tag.name)}`);
        if (!one) assert.ok(codes.includes("E_AMBIGUOUS_TAG"), `${prefix} can mean ${meant.map(({ name }) => name).join()}`);
        else if (tag.name.startsWith(prefix) && (meant.length === 1 || prefix === tag.name))
          assert.ok(command?.values.has(tag.name), `${prefix}: ${codes.join()}`);
      }
  });

test("every verb and object, shortened at every place", () => {
  const verbs = [...new Set([...COMMANDS.map(({ verb }) => verb), ...SHOWING])];
  for (const row of COMMANDS) {
    for (const prefix of prefixes(row.verb)) {
      const { command, codes } = parse(`${prefix} ${row.object} ${required(row, "")}`);
      const one = verbs.filter((verb) => verb.startsWith(prefix)).length === 1;
      assert.equal(command?.row, one ? row : undefined, `${prefix}: ${codes.join()}`);
      assert.equal(codes.includes("E_UNKNOWN_VERB"), !one, prefix);
    }
    const objects = COMMANDS.filter(({ verb }) => verb === row.verb).map(({ object }) => object);
    for (const prefix of prefixes(row.object)) {
      const { command, codes } = parse(`${row.verb} ${prefix} ${required(row, "")}`);
      const one = prefix === row.object || objects.filter((object) => object.startsWith(prefix)).length === 1;
      const another = objects.includes(prefix) && prefix !== row.object;
      if (!another) assert.equal(command?.row, one ? row : undefined, `${row.verb} ${prefix}: ${codes.join()}`);
    }
  }
});

test("every word of a value, shortened at every place", () => {
  for (const [kind, words] of [
    ["action", ["permit", "block", "negotiate"]],
    ["connection", ["all", "lan", "dialup"]],
    ["location", ["local", "domain", "persistent"]],
  ] as const)
    for (const word of words)
      for (const prefix of prefixes(word)) {
        const read = readValue(kind, prefix.toUpperCase());
        assert.deepEqual(read.ok && read.value, { kind: "text", text: word }, `${kind} ${prefix}`);
      }
  for (const [text, yes] of [
    ["yes", true],
    ["ye", true],
    ["y", true],
    ["Y", true],
    ["no", false],
    ["n", false],
    ["N", false],
  ] as const)
    assert.deepEqual(readValue("boolean", text), { ok: true, value: { kind: "boolean", yes } });
});

test("tags of other versions stand for those of this one", () => {
  for (const [alias, name] of ALIASES) {
    const row = COMMANDS.find(({ tags }) => tags.some((tag) => tag.name === name)) as CommandRow;
    const { command, codes } = parse(`${row.verb} ${row.object} ${alias}=192.0.2.1 ${required(row, name)}`);
    assert.ok(command?.values.has(name), `${alias}: ${codes.join()}`);
  }
});

test("values without tags fill the tags in their order, and every command takes them all that way", () => {
  for (const row of COMMANDS) {
    const { command, codes } = parse(`${row.verb} ${row.object} ${row.tags.map(({ kind }) => `"${VALUES[kind]}"`).join(" ")}`);
    assert.deepEqual(
      [...(command?.values.keys() ?? [])],
      row.tags.map(({ name }) => name),
      `${row.verb} ${row.object}: ${codes.join()}`,
    );
    if (row.tags.length > 0) {
      const junk = parse(`${row.verb} ${row.object} ${row.tags.map(({ kind }) => `"${VALUES[kind]}"`).join(" ")} more`);
      assert.deepEqual(junk.codes, ["E_JUNK"]);
    }
  }
});
