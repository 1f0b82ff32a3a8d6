/** The pages that users read: links lead somewhere, configurations are valid, and every command is one that some test runs. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { x509Loader } from "../auth/providers/load.ts";
import { checkConfiguration, formatDiagnostic } from "../policy/config.ts";
import { MADE_OF, sourcesOfPage } from "./browser/looks.ts";
import { mainmode } from "./cli/fake-daemon.ts";
import { blocksOf } from "./packages/guides.ts";

const ROOT =
  [".", ".."].map((up) => join(dirname(fileURLToPath(import.meta.url)), "..", up)).find((path) => existsSync(join(path, "package.json"))) ??
  ".";
const pages = [
  "README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");

test("the pictures of the web monitor were made of the page as it is", () => {
  const made = readFileSync(join(ROOT, MADE_OF), "utf8").trim();
  assert.equal(made, sourcesOfPage(ROOT), "web/ has changed: MAINMODE_PICTURES=docs/images npm run browser, and look at them");
});

test("no page was left in the middle of a merge", () => {
  for (const page of [...pages, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md"])
    assert.doesNotMatch(read(page), /^(<{7}|>{7}) /m, page);
});

test("every source file that is named for those who work on it is there", () => {
  const folders = readdirSync(ROOT, { withFileTypes: true }).filter(
    (one) => one.isDirectory() && !/^(node_modules|dist|\..*)$/.test(one.name),
  );
  const sources = folders.flatMap(({ name }) =>
    readdirSync(join(ROOT, name), { recursive: true, encoding: "utf8" }).map((path) => `${name}/${path}`),
  );
  const named = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].flatMap((page) =>
    [...read(page).matchAll(/(?<![\w/.*-])((?:[\w-]+\/)*[\w-]+)(?:\.\{[\w,]+\})?\.ts\b/g)].map(([, path]) => `${path}.ts`),
  );
  assert.ok(named.length > 100);
  for (const path of named)
    assert.ok(
      sources.some((one) => one === path || one.endsWith(`/${path}`)),
      path,
    );
});

test("every link between pages leads to a file, and to a heading of it", () => {
  const anchors = (path: string): readonly string[] =>
    [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    );
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].flatMap(([, to = "", anchor]) => {
      const path = join(ROOT, to === "" ? page : join(dirname(page), to));
      if (!existsSync(path)) return [`${page}: ${to}`];
      return anchor === undefined || anchors(path).includes(anchor) ? [] : [`${page}: ${to}#${anchor}`];
    }),
  );
  assert.deepEqual(broken, []);
});

test("the index of docs/ names every page", () => {
  const index = read("docs/README.md");
  assert.deepEqual(
    pages.filter((page) => page.startsWith("docs/") && page !== "docs/README.md" && !index.includes(`(${page.slice("docs/".length)})`)),
    [],
  );
});

/** Files that a page speaks of are not here, and some warnings are what the page is about; everything else has to be right. */
const ELSEWHERE =
  /there is no such file|not checked: credentials exist only|there is no \[\[rule\]\]|with kerberos the names|because allow-weak says so|is taken for any address of this rule/;

const RULE = '[[rule]]\nname = "x"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\n';
const KEY = 'auth = [{ method = "psk", secret = "throwaway test key, never use it" }]\n';

/** A page may show some keys of a rule alone. */
const whole = (text: string): string => (/^\[/m.test(text) ? text : RULE + (/^auth\s*=/m.test(text) ? "" : KEY) + text);

for (const page of pages) {
  const shown = blocksOf(read(page)).filter(({ language }) => language === "toml");
  if (shown.length > 0)
    test(`${page}: its ${shown.length} configurations are valid`, () => {
      const folder = mkdtempSync(join(tmpdir(), "mainmode-docs-"));
      const file = join(folder, "mainmode.toml");
      for (const { text, line } of shown) {
        writeFileSync(file, whole(text), { mode: 0o600 });
        const found = checkConfiguration(file, undefined, x509Loader())
          .map(formatDiagnostic)
          .filter((said) => !ELSEWHERE.test(said));
        assert.deepEqual(found, [], `line ${line}`);
      }
      rmSync(folder, { recursive: true });
    });
}

test("commands stand in blocks that say who runs them, and who is named there exists", () => {
  const programs = /^ {4}(?:sudo )?(?:mainmode|npm|npx|node|apt|dpkg|systemctl|journalctl|ssh|curl|openssl|ip) /;
  const unfenced = pages.flatMap((page) => {
    const fenced = new Set(blocksOf(read(page)).flatMap(({ text, line }) => text.split("\n").map((_, i) => line + i)));
    return read(page)
      .split("\n")
      .flatMap((text, i) => (programs.test(text) && !fenced.has(i) ? [`${page}:${i + 1}`] : []));
  });
  assert.deepEqual(unfenced, []);
  const blocks = pages.flatMap((page) => blocksOf(read(page)).map((block) => ({ page, ...block })));
  assert.deepEqual(
    blocks.filter(({ language }) => /^(sh|bash|shell)$/.test(language)).map(({ page, line }) => `${page}:${line}`),
    [],
  );
  const named = blocks.flatMap(({ page, excuse = "" }) =>
    [...excuse.matchAll(/\b(test\/\S+?|\.ci\/run)(?=[,; ]|$)/g)].map(([path]) => [page, path] as const),
  );
  assert.ok(named.length > 5);
  for (const [page, path] of named) assert.ok(existsSync(join(ROOT, path)), `${page}: ${path}`);
});

test("every command is for a host of a guide that is run, or says who runs it", () => {
  const hosts = /^(a|b|a,b|demo)$/;
  const nobody = pages.flatMap((page) =>
    blocksOf(read(page)).flatMap(({ language, info, line, excuse }) =>
      language !== "console" || hosts.test(info) || excuse !== undefined ? [] : [`${page}:${line}`],
    ),
  );
  assert.deepEqual(nobody, []);
});

/** What `mainmode completion tree` tells of a command. */
interface Command {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly flags: readonly { readonly names: readonly string[] }[];
  readonly commands: readonly Command[];
}

/** What is wrong with the words after `mainmode`: a command or an option that is none. */
function unknownWords(tree: Command, words: readonly string[]): readonly string[] {
  let [node, known] = [tree, tree.flags.flatMap(({ names }) => names)];
  const rest = [...words];
  while (rest.length > 0 && node.commands.length > 0) {
    const [word = ""] = rest;
    if (/^[A-Z]+$/.test(word)) return [];
    const next = node.commands.find(({ name, aliases }) => name === word || aliases.includes(word));
    if (!next) return word.startsWith("-") && known.includes(word) ? [] : [word];
    [node, known] = [next, [...known, ...next.flags.flatMap(({ names }) => names)]];
    rest.shift();
  }
  return rest.filter((word) => /^--?[a-z]/.test(word) && !known.includes(word.replace(/=.*/, "")));
}

test("every mainmode command of a page is one that the program has, with its options", async () => {
  const { stdout } = await mainmode(["completion", "tree"]);
  const tree = JSON.parse(stdout) as Command;
  const shown = pages.flatMap((page) =>
    [...read(page).matchAll(/(?:^ {4}(?:sudo )?|^[#$] |`)mainmode ((?:[^`\n|#<>]|<[a-z]+>)+)/gm)].map(([, line = ""]) => ({
      page,
      line: line.trim(),
    })),
  );
  assert.ok(shown.length > 100, `${shown.length}`);
  const wrong = shown.flatMap(({ page, line }) =>
    unknownWords(
      tree,
      line.split(/[ ,]+/).filter((word) => word !== ""),
    ).map((word) => `${page}: mainmode ${line}: ${word}`),
  );
  assert.deepEqual(wrong, []);
});
