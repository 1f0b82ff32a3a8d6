/**
 * The import table of ARCHITECTURE.md as a test: arrows point down, pure folders know no clock and no system, and files stay small.
 * It reads source text: the folders beside test/, or those above dist/ when it was built.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT =
  [".", ".."].map((up) => join(dirname(fileURLToPath(import.meta.url)), "..", up)).find((path) => existsSync(join(path, "package.json"))) ??
  ".";

interface Rule {
  /** Path prefixes whose files the rule is about; the first rule that fits counts. */
  readonly of: readonly string[];
  /** Prefixes of our own files that may be imported. */
  readonly may: readonly string[];
  /** Of these types only. */
  readonly types?: readonly string[];
  /** Packages, with a star at the end for all below. */
  readonly packages?: readonly string[];
}

/** Vocabulary that every folder shares. */
const COMMON = ["isakmp/result.ts", "isakmp/address.ts", "isakmp/numbers.ts", "isakmp/registry.ts", "isakmp/hex.ts"];

const TABLE: readonly Rule[] = [
  { of: ["isakmp/"], may: ["isakmp/"] },
  { of: ["ike/crypto/"], may: ["ike/crypto/"], packages: ["@noble/*", "node:crypto", "node:util"] },
  { of: ["ike/"], may: ["ike/", "isakmp/", "sa-store/", "policy/", "auth/"], packages: ["node:crypto"] },
  { of: ["sa-store/"], may: ["sa-store/", "isakmp/", "ike/crypto/secret.ts"], types: ["ike/", "auth/", "policy/"] },
  { of: ["policy/config.ts"], may: ["policy/"], packages: ["node:fs", "node:path"] },
  { of: ["policy/parse.ts", "policy/run-time.ts"], may: ["policy/"], packages: ["smol-toml"] },
  { of: ["policy/"], may: ["policy/", "ike/crypto/suite.ts", "ike/crypto/secret.ts", "ike/crypto/compare.ts"], packages: ["zod"] },
  {
    of: ["auth/providers/"],
    may: ["auth/", "isakmp/", "ike/crypto/", "policy/identity.ts", "policy/name-match.ts", "policy/distinguished-name.ts"],
    types: ["policy/"],
    packages: [
      "node:crypto",
      "node:fs",
      "node:child_process",
      "node:dns/promises",
      "node:url",
      "node:worker_threads",
      "node:module",
      "node-forge",
      "koffi",
    ],
  },
  {
    of: ["auth/"],
    may: ["auth/", "isakmp/", "ike/crypto/", "policy/identity.ts", "policy/authorise.ts", "policy/principals.ts"],
    types: ["policy/types.ts", "ike/"],
  },
  {
    of: ["kernel/"],
    may: ["kernel/", "ike/crypto/", "ike/kernel-contract.ts"],
    types: ["policy/", "sa-store/", "ike/input.ts", "ike/effect.ts"],
    packages: ["node:child_process", "node:fs/promises"],
  },
  {
    of: ["daemon/"],
    may: ["daemon/", "isakmp/", "ike/", "auth/", "sa-store/", "policy/", "kernel/"],
    packages: ["node:*", "koffi"],
  },
  // The only files of the command line that load more than it takes to ask a daemon; `main.ts` imports them when they are run.
  { of: ["cli/commands/daemon.ts"], may: ["cli/", "daemon/main.ts"] },
  { of: ["cli/commands/check.ts", "cli/commands/offline.ts"], may: ["cli/", "policy/", "auth/providers/"] },
  { of: ["cli/commands/demo.ts"], may: ["cli/", "demo/"], packages: ["node:fs"] },
  {
    of: ["cli/commands/trace.ts", "cli/commands/last-failure.ts", "cli/commands/report.ts", "cli/trace-text.ts"],
    may: ["cli/", "daemon/control-protocol.ts", "isakmp/"],
    packages: ["node:fs"],
  },
  { of: ["cli/commands/decode.ts"], may: ["cli/", "isakmp/", "ike/"], packages: ["node:fs"] },
  { of: ["cli/"], may: ["cli/", "daemon/control-protocol.ts", "policy/"], packages: ["commander", "node:net", "node:fs", "node:util"] },
  { of: ["web/"], may: ["web/"] },
  { of: ["demo/", "bench/"], may: [""], packages: ["node:*", "koffi", "node-forge"] },
  {
    of: ["test/"],
    may: [""],
    packages: ["node:*", "fast-check", "koffi", "node-forge", "smol-toml", "zod", "@noble/*"],
  },
];

/** No clock, no chance, no timer, no process: the core decides, the shell does. */
const PURE = (path: string): boolean =>
  /^(isakmp|ike|sa-store|policy|auth)\//.test(path) && path !== "policy/config.ts" && !path.startsWith("auth/providers/");
const IMPURE =
  /\b(Date\.now|new Date\b|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|globalThis\.|fetch\()/;

const FOLDERS = [...new Set(TABLE.flatMap(({ of }) => of.map((prefix) => prefix.split("/")[0] as string)))];

const files = FOLDERS.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => {
      const path = `${folder}/${name}`;
      return { path, text: readFileSync(join(ROOT, path), "utf8") };
    }),
);

interface Import {
  readonly what: string;
  readonly typesOnly: boolean;
}

const FROM = /^(?:import|export)\s+(type\s+)?(\{[^}]*\}|\*(?:\s+as\s+\w+)?|\w+)(?:\s*,\s*\{[^}]*\})?\s+from\s+"([^"]+)"/gm;
const BARE = /^import\s+"([^"]+)"/gm;
const DYNAMIC = /\bimport\("([^"]+)"\)/g;

/** Static imports and re-exports, and `import()` of a literal; `typeof import()` counts like any other. */
function importsOf(text: string): readonly Import[] {
  const code = withoutComments(text);
  const others = [...code.matchAll(BARE), ...code.matchAll(DYNAMIC)].map(([, what = ""]) => ({ what, typesOnly: false }));
  const statics = [...code.matchAll(FROM)].map(([, type, names = "", what = ""]) => {
    const listed = names.replace(/[{}]/g, "").split(",");
    const named = listed.map((name) => name.trim()).filter((name) => name !== "");
    return { what, typesOnly: type !== undefined || (names.startsWith("{") && named.every((name) => name.startsWith("type "))) };
  });
  return [...statics, ...others];
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");

/** What the table has against an import, or undefined. */
function objection(path: string, { what, typesOnly }: Import): string | undefined {
  const rule = TABLE.find(({ of }) => of.some((prefix) => path.startsWith(prefix)));
  if (!rule) return `no rule for ${path}`;
  if (!what.startsWith(".")) {
    const allowed = rule.packages?.some((name) => (name.endsWith("*") ? what.startsWith(name.slice(0, -1)) : what === name));
    return allowed ? undefined : `${path} imports the package ${what}`;
  }
  const target = normalize(join(dirname(path), what));
  if (!what.endsWith(".ts") && !what.endsWith(".json")) return `${path} imports ${what} without its ending`;
  const allowed = [...rule.may, ...COMMON, ...(typesOnly ? (rule.types ?? []) : [])].some((prefix) => target.startsWith(prefix));
  return allowed ? undefined : `${path} imports ${typesOnly ? "types of " : ""}${target}`;
}

test("there is source to look at", () => {
  assert.ok(files.length > 50, `${files.length} files under ${relative(".", ROOT) || "."}`);
  assert.ok(files.some(({ path }) => path === "test/layers.test.ts"));
});

test("every import is one that its folder may have", () => {
  assert.deepEqual(
    files.flatMap(({ path, text }) => importsOf(text).flatMap((each) => objection(path, each) ?? [])),
    [],
  );
});

test("the table refuses what it is there to refuse", () => {
  const from = (path: string, statement: string): string | undefined => importsOf(statement).map((each) => objection(path, each))[0];
  assert.match(from("isakmp/a.ts", 'import { x } from "../ike/b.ts";') ?? "", /imports ike\/b\.ts/);
  assert.match(from("ike/a.ts", 'import { x } from "../daemon/b.ts";') ?? "", /imports daemon\/b\.ts/);
  assert.match(from("ike/a.ts", 'import { readFileSync } from "node:fs";') ?? "", /package node:fs/);
  assert.match(from("kernel/a.ts", 'import {\n  type A,\n  b,\n} from "../policy/types.ts";') ?? "", /policy\/types/);
  assert.equal(from("kernel/a.ts", 'import {\n  type A,\n  type B,\n} from "../policy/types.ts";'), undefined);
  assert.equal(from("kernel/a.ts", 'import type { A } from "../policy/types.ts";'), undefined);
  assert.match(from("cli/commands/status.ts", 'const x = await import("../../daemon/main.ts");') ?? "", /daemon\/main/);
  assert.match(from("cli/client.ts", 'export { x } from "../ike/crypto/openssl.ts";') ?? "", /ike\/crypto/);
  assert.match(from("daemon/a.ts", 'import "../cli/main.ts";') ?? "", /cli\/main/);
  assert.equal(from("daemon/a.ts", '// import { x } from "../cli/main.ts";'), undefined);
});

test("pure folders ask no clock, no chance, no timer and no process", () => {
  assert.deepEqual(
    files
      .filter(({ path }) => PURE(path))
      .flatMap(({ path, text }) => {
        const found = IMPURE.exec(withoutComments(text).replace(/"(?:[^"\\\n]|\\.)*"/g, '""'));
        return found ? [`${path}: ${found[0]}`] : [];
      }),
    [],
  );
  assert.match("const now = Date.now();", IMPURE);
  assert.match("process.env", IMPURE);
});

test("no file is longer than 400 lines", () => {
  const long = files.filter(({ path, text }) => !path.startsWith("test/") && text.split("\n").length > 401);
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  );
});

/** Functions by their last line of signature and the brace at the same depth that ends them; the formatter sees to the indentation. */
function longFunctions(path: string, text: string): readonly string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, i) => {
    if (!/(=> |\)|\)(: [^=]+)) ?\{$/.test(line) || /^\s*(\} )?(if|for|while|switch|else|catch|do)\b/.test(line)) return [];
    const indent = /^\s*/.exec(line)?.[0] ?? "";
    const length = lines.slice(i).findIndex((each, at) => at > 0 && each.startsWith(`${indent}}`)) + 1;
    // Without the lines that open and close it.
    return length - 2 > 60 ? [`${path}:${i + 1}: ${length - 2} lines`] : [];
  });
}

test("no function is longer than 60 lines", () => {
  const sources = files.filter(({ path }) => !path.startsWith("test/"));
  assert.deepEqual(
    sources.flatMap(({ path, text }) => longFunctions(path, text)),
    [],
  );
  const body = Array<string>(61).fill("  x();").join("\n");
  assert.deepEqual(longFunctions("a.ts", `export function f(): void {\n${body}\n}\n`), ["a.ts:1: 61 lines"]);
  assert.deepEqual(longFunctions("a.ts", `const f = (x: number) => {\n${body}\n};\n`), ["a.ts:1: 61 lines"]);
});

/** Exported functions, as declarations or as constants, without a docstring right above them. */
function undocumented(path: string, text: string): readonly string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, i) => {
    const constant = /^export const (\w+)/.exec(line);
    const statement = constant ? lines.slice(i, i + 14).join("\n") : "";
    const isFunction =
      /^export (async )?function/.test(line) ||
      (/^export const \w+[^=]*(?:=>[^=]*)*= *(async *)?(<[^(]*>)?\(/.test(statement) && /=>/.test(statement));
    return isFunction && !lines[i - 1]?.trimEnd().endsWith("*/") ? [`${path}:${i + 1}`] : [];
  });
}

test("every exported function says in a docstring what it does", () => {
  const sources = files.filter(({ path }) => !path.startsWith("test/"));
  assert.deepEqual(
    sources.flatMap(({ path, text }) => undocumented(path, text)),
    [],
  );
  const bare = [
    "export function f(): void {}",
    "export const f = (x: number): number => x;",
    "export const f = async <T>(\n  x: T,\n) => x;",
  ];
  for (const text of bare) {
    assert.deepEqual(undocumented("a.ts", `\n${text}`), ["a.ts:2"]);
    assert.deepEqual(undocumented("a.ts", `/** F. */\n${text}`), []);
  }
  assert.deepEqual(undocumented("a.ts", "\nexport const LIMIT = (1 + 2) * 3;\n"), []);
});
