import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { blankStrings, type KeyPath, type Located, locate } from "../../policy/toml-locator.ts";

const at = (text: string, path: KeyPath, part: "key" | "value" = "value"): string => {
  const { line, column } = locate(text).find(path, part);
  return `${line}:${column}`;
};

const TEXT = `# head
title = "a # no comment"  # comment
[daemon]
  port = 500
addresses = [ "192.0.2.1", # one
  '192.0.2.2',
]
[policy.main-mode]
proposals = ["x"]
[[rule]]
name = """
two
lines ""\\""""
tunnel = { local = "a", "re\\u006dote" = 'b' }
auth = [ { method = "psk", secret = "s" }, { method = "psk" } ]
main-mode.lifetime = "1h"
[rule.quick-mode]
pfs = "none"
[[rule]]
name = "second"
[policy]
name = "late"
`;

const PLACES: readonly (readonly [KeyPath, "key" | "value", string])[] = [
  [["title"], "key", "2:1"],
  [["title"], "value", "2:9"],
  [["daemon"], "key", "3:1"],
  [["daemon", "port"], "value", "4:10"],
  [["daemon", "addresses", 0], "value", "5:15"],
  [["daemon", "addresses", 1], "value", "6:3"],
  [["policy", "main-mode"], "key", "8:1"],
  [["policy", "main-mode", "proposals", 0], "value", "9:14"],
  [["rule", 0], "value", "10:1"],
  [["rule", 0, "name"], "value", "11:8"],
  [["rule", 0, "tunnel", "remote"], "key", "14:25"],
  [["rule", 0, "tunnel", "remote"], "value", "14:41"],
  [["rule", 0, "auth", 0, "secret"], "value", "15:37"],
  [["rule", 0, "auth", 1], "value", "15:44"],
  [["rule", 0, "main-mode", "lifetime"], "key", "16:11"],
  [["rule", 0, "main-mode", "lifetime"], "value", "16:22"],
  [["rule", 0, "quick-mode", "pfs"], "value", "18:7"],
  [["rule", 1], "key", "19:1"],
  [["rule", 1, "name"], "value", "20:8"],
  [["policy"], "key", "21:1"],
  [["policy", "name"], "value", "22:8"],
];

for (const [path, part, expected] of PLACES) {
  test(`the ${part} of ${path.join(".")} stands at ${expected}`, () => {
    assert.equal(at(TEXT, path, part), expected);
  });
}

test("a path that does not exist is found at the key of what encloses it", () => {
  assert.equal(at(TEXT, ["rule", 1, "filters"]), "19:1");
  assert.equal(at(TEXT, ["daemon", "port", "deeper"]), "4:3");
  assert.equal(at(TEXT, ["metrics"]), "1:1");
});

test("a byte order mark and Windows line ends do not shift what follows", () => {
  assert.equal(at("\ufeffa = 1\r\nb = 2\r\n", ["b"]), "2:5");
});

test("quotes at the end of a long string belong to it, and do not begin another one", () => {
  const text = "a = \"\"\"x\"\"\"\"\nb = \"y\"\nc = '''z'''''\nd = 'w'\n";
  parse(text);
  assert.deepEqual([at(text, ["b"]), at(text, ["c"]), at(text, ["d"])], ["2:5", "3:5", "4:5"]);
});

/** A document as a tree of tables, and a renderer that writes it down and notes where every value went. */
type Doc = { readonly [key: string]: Value };
type Value = string | number | boolean | readonly Value[] | { readonly table: Doc };

const key = fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,6}$/), fc.string({ maxLength: 6 })).filter((text) => text !== "__proto__");
const { value: values } = fc.letrec<{ value: Value; leaf: Value }>((tie) => ({
  leaf: fc.oneof(fc.string({ maxLength: 12 }), fc.integer(), fc.boolean()),
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }).map((table) => ({ table })),
  ),
}));
const docs: fc.Arbitrary<Doc> = fc.dictionary(key, values, { maxKeys: 4, noNullPrototype: true });
const tablesOf = fc.array(fc.record({ header: key, doc: docs }), { maxLength: 5 });

class Page {
  text = "";
  readonly places: { readonly path: KeyPath; readonly offset: number }[] = [];
  readonly #blanks: readonly string[];
  #next = 0;

  constructor(blanks: readonly string[]) {
    this.#blanks = blanks;
  }

  write(text: string): void {
    this.text += text;
  }

  /** A blank where TOML allows any; `lines` where it allows line ends and comments too. */
  blank(lines: boolean): void {
    const blank = this.#blanks[this.#next++ % this.#blanks.length] ?? "";
    this.write(lines ? blank : blank.replace(/#.*|[\r\n]/g, ""));
  }

  value(path: KeyPath, value: Value): void {
    this.places.push({ path, offset: this.text.length });
    if (Array.isArray(value)) {
      this.write("[");
      for (const [i, item] of value.entries()) {
        this.blank(true);
        this.value([...path, i], item);
        this.blank(true);
        this.write(",");
      }
      this.blank(true);
      this.write("]");
    } else if (typeof value === "object" && "table" in value) {
      this.write("{");
      for (const [i, [name, item]] of Object.entries(value.table).entries()) {
        this.write(i > 0 ? "," : "");
        this.pair(path, name, item);
      }
      this.write("}");
    } else this.write(typeof value === "string" ? quote(value) : String(value));
  }

  pair(path: KeyPath, name: string, item: Value): void {
    this.blank(false);
    this.write(/^[A-Za-z0-9_-]+$/.test(name) ? name : quote(name));
    this.blank(false);
    this.write("=");
    this.blank(false);
    this.value([...path, name], item);
    this.blank(false);
  }
}

const quote = (text: string): string => {
  const literal = `'${text}'`;
  if (!/[\p{Cc}']/u.test(text)) return literal;
  return `"${[...text].map((char) => (/[\p{Cc}"\\]/u.test(char) ? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}` : char)).join("")}"`;
};

const blanks = fc.array(fc.constantFrom("", " ", "\t  ", "\n", "# c ]}\"'\n", "\r\n "), { minLength: 1, maxLength: 7 });

test("every value of a generated document is found where it was written, whatever blanks and quotes it has", () => {
  fc.assert(
    fc.property(docs, tablesOf, blanks, (top, tables, spaces) => {
      const page = new Page(spaces);
      for (const [name, item] of Object.entries(top)) {
        page.pair([], name, item);
        page.write("\n");
      }
      for (const [i, { doc }] of tables.entries()) {
        page.write(" [[ list.'of tables' ]] # header\n");
        for (const [name, item] of Object.entries(doc)) {
          page.pair(["list", "of tables", i], name, item);
          page.write("\n");
        }
      }
      fc.pre(!("list" in top));
      assert.doesNotThrow(() => parse(page.text), "the generator writes valid documents");
      const locator = locate(page.text);
      for (const { path, offset } of page.places)
        assert.deepEqual(locator.find(path, "value"), locator.position(offset), JSON.stringify(path));
    }),
    { numRuns: 300 },
  );
});

test("the tree of places has the shape of the parsed document", () => {
  const shape = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((item, i) => [i, shape(item)]);
    if (typeof value === "object" && value !== null)
      return Object.entries(value)
        .map(([name, item]) => [name, shape(item)])
        .sort(byName);
    return [];
  };
  const located = (node: Located): unknown => [...node.children].map(([name, item]) => [name, located(item)]).sort(byName);
  const byName = (a: unknown[], b: unknown[]) => (String(a[0]) < String(b[0]) ? -1 : 1);
  assert.deepEqual(located(locate(TEXT).root), shape(parse(TEXT)));
});

test("a text that is no TOML ends the scan without an exception", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("[", "]", "{", "}", "=", '"', "'", "a", ".", ",", "\n", "#", "\\", " "), { maxLength: 30 }),
      (parts) => {
        const text = parts.join("");
        const { line, column } = locate(text).find(["a", 0], "value");
        assert.ok(line >= 1 && column >= 1);
      },
    ),
    { numRuns: 2000 },
  );
});

test("strings under some keys are blanked, and all else stands where it stood", () => {
  const text = `a = "sec" # "sec"\nsecret = "a \\"b\\" c" # it\n[x]\nsecret='d'\nt = { secret = """\n  e"f""""", other = "g" }\nl = [{ secret = "" }, { secret = '''h\n''' }]\nsecret-file = "i"\n`;
  const blank = blankStrings(text, locate(text), new Set(["secret"]));
  assert.equal(
    blank,
    `a = "sec" # "sec"\nsecret = "xxxxxxxxx" # it\n[x]\nsecret='x'\nt = { secret = """\nxxxxxxx""", other = "g" }\nl = [{ secret = "" }, { secret = '''x\n''' }]\nsecret-file = "i"\n`,
  );
  assert.deepEqual(Object.keys(parse(blank)), Object.keys(parse(text)));
  assert.equal(blankStrings("", locate(""), new Set(["secret"])), "");
});
