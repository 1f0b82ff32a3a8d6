/** Man pages and docs/configuration.md against the program: every command, flag and key, and none that is not there. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { CommandNode } from "../../cli/completion.ts";
import { knownKeys } from "../../policy/schema.ts";
import type { KeyPath } from "../../policy/toml-locator.ts";
import { mainmode } from "../cli/fake-daemon.ts";

const ROOT =
  ["../..", "../../.."]
    .map((up) => join(dirname(fileURLToPath(import.meta.url)), up))
    .find((path) => existsSync(join(path, "package.json"))) ?? ".";
const tree = JSON.parse((await mainmode(["completion", "tree"])).stdout) as CommandNode;
const { manPages } = (await import(pathToFileURL(join(ROOT, "scripts/documents.js")).href)) as {
  manPages(tree: CommandNode, version: string, date: string): Readonly<Record<string, string>>;
};
const pages = manPages(tree, "1.2.3", "2026-01-01");
/** Without fonts and escapes. */
const read = (text: string): string =>
  text
    .replace(/\\f[BIR]/g, "")
    .replaceAll("\\-", "-")
    .replaceAll("\\(aq", "'")
    .replaceAll("\\e", "\\");

test("mainmode(8) has every command with every flag of it", () => {
  const page = read(pages["mainmode.8"] ?? "");
  const sections = new Map(page.split(/^\.SS /m).map((section) => [section.split("\n", 1)[0] ?? "", section]));
  const visit = (node: CommandNode, path: readonly string[]): void => {
    const words = [...path, node.name];
    for (const child of node.commands) visit(child, words);
    if (node.commands.length > 0) return;
    const section = sections.get(words.join(" "));
    assert.ok(section, words.join(" "));
    for (const { names, syntax } of node.flags) if (!names.includes("--help")) assert.ok(section.includes(`.TP\n${syntax}\n`), syntax);
    for (const alias of node.aliases) assert.ok(section.includes(`Also ${alias}.`), alias);
  };
  for (const child of tree.commands) visit(child, []);
  assert.ok(sections.size > tree.commands.length);
});

test("mainmode.toml(5) holds what docs/configuration.md says", () => {
  const page = read(pages["mainmode.toml.5"] ?? "");
  for (const key of keysOf(readFileSync(join(ROOT, "docs/configuration.md"), "utf8")).flatMap(({ keys }) => keys))
    assert.ok(page.includes(key), key);
  assert.match(page, /^\.SH \[\[rule\]\]$/m);
  assert.match(page, /^\.TH MAINMODE\.TOML 5 "2026-01-01" "mainmode 1\.2\.3"/);
});

test("no line of a man page is a request that nobody meant", () => {
  const known = /^\.(TH|SH|SS|TP|PP|HP|IP|EX|EE|B|I|BR|RI|RB|\\")( |$)/;
  for (const [name, text] of Object.entries(pages))
    for (const line of text.split("\n")) if (/^[.']/.test(line)) assert.match(line, known, `${name}: ${line}`);
  for (const text of Object.values(pages)) assert.doesNotMatch(text, /@[A-Z]+@/);
});

interface Table {
  readonly heading: string;
  readonly keys: readonly string[];
}

/** The first columns of the tables under each heading: the words in code, without what stands beside them. */
function keysOf(text: string): readonly Table[] {
  return text.split(/^#{2,3} /m).map((section) => {
    const [heading = "", ...lines] = section.split("\n");
    const cells = lines.filter((line) => /^\| (?!---|key)/.test(line)).map((line) => line.split("|")[1] ?? "");
    return { heading, keys: cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, key = ""]) => key)) };
  });
}

/** Headings of docs/configuration.md, and the tables of the schema that they are about. */
function pathOf(heading: string): KeyPath | undefined {
  if (heading.startsWith("Entries of auth")) return ["rule", 0, "auth", 0];
  const [, list, table] = /^\[\[(\w+)\]\]|^\[([\w.-]+)\]/.exec(heading) ?? [];
  return list ? [list, 0] : table?.split(".");
}

test("docs/configuration.md has exactly the keys that the schema has", () => {
  const tables = keysOf(readFileSync(join(ROOT, "docs/configuration.md"), "utf8")).flatMap(({ heading, keys }) => {
    const path = pathOf(heading);
    return path ? [{ path, keys }] : [];
  });
  const own = new Set(tables.map(({ path }) => path.filter((step) => step !== 0).join(".")));
  for (const { path, keys } of tables) {
    const here = path.filter((step) => step !== 0).join(".");
    const wanted = knownKeys(path).filter((key) => !own.has(`${here}.${key}`));
    assert.deepEqual([...keys].filter((key) => !own.has(`${here}.${key}`)).sort(), [...wanted].sort(), here);
  }
  const wanted = knownKeys([]).filter((key) => knownKeys([key]).length + knownKeys([key, 0]).length > 0);
  assert.deepEqual(
    wanted.filter((key) => !own.has(key)),
    [],
  );
});
