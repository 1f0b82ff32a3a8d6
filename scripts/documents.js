/**
 * Man pages and completions, made from the commands and from docs/configuration.md, so that they say what the program does. Writes dist/man/ and
 * dist/completion/. Dates are those of SOURCE_DATE_EPOCH, else of the last commit, else of today.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(root, name), "utf8");

/** Seconds since 1970 that everything made here carries. */
export function sourceDate() {
  if (process.env["SOURCE_DATE_EPOCH"]) return Number(process.env["SOURCE_DATE_EPOCH"]);
  const { status, stdout } = spawnSync("git", ["log", "-1", "--format=%ct"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return status === 0 ? Number(stdout) : Math.floor(Date.now() / 1000);
}

/** The pages by their file names; `tree` is what `mainmode completion tree` prints. */
export function manPages(tree, version, date) {
  const fill = (name, parts) => read(`packaging/man/${name}.in`).replace(/@(\w+)@/g, (_, key) => parts[key] ?? "");
  const common = { VERSION: version, DATE: date };
  return {
    "mainmode.8": fill("mainmode.8", { ...common, COMMANDS: commands(tree) }),
    "mainmode.toml.5": fill("mainmode.toml.5", {
      ...common,
      KEYS: fromMarkdown(read("docs/configuration.md")).replace(/^\.PP\n/, ""),
      EXAMPLE: example(read("examples/host-to-host.toml")),
    }),
  };
}

/** Text for troff: no escapes or requests of its own. */
const plain = (text) => text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replace(/^\./, "\\&.");
const bold = (text) => `\\fB${plain(text)}\\fR`;
const italic = (text) => `\\fI${plain(text)}\\fR`;

function commands(tree) {
  const lines = [".SS Options of all commands", ...tree.flags.flatMap(flag)];
  const visit = (node, path) => {
    const words = [...path, node.name];
    if (node.commands.length === 0) lines.push(...command(node, words));
    for (const child of node.commands) visit(child, words);
  };
  for (const child of tree.commands) visit(child, []);
  return lines.join("\n");
}

function command(node, words) {
  const own = node.flags.filter(({ names }) => !names.includes("--help"));
  const synopsis = [bold(["mainmode", ...words].join(" ")), ...own.map(usage), ...node.arguments.map(({ syntax }) => italic(syntax))];
  const also = node.aliases.map((alias) => bold([...words.slice(0, -1), alias].join(" "))).join(", ");
  return [
    `.SS ${words.join(" ")}`,
    ".HP",
    synopsis.join(" "),
    ".PP",
    `${sentence(node.description)}${also ? ` Also ${also}.` : ""}`,
    ...node.arguments
      .filter(({ description }) => description)
      .flatMap(({ syntax, description }) => [".TP", italic(syntax), plain(description)]),
    ...own.flatMap(flag),
  ];
}

const usage = ({ syntax, required }) => (required ? bold(syntax) : `[${bold(syntax)}]`);
const flag = ({ syntax, description, value }) => [
  ".TP",
  bold(syntax),
  `${plain(description)}${Array.isArray(value) ? ` (${value.map(bold).join(", ")})` : ""}`,
];
const sentence = (text) => `${plain(text.charAt(0).toUpperCase() + text.slice(1))}.`;

/** The Markdown of docs/configuration.md: headings, paragraphs, lists, blocks of code, and tables whose first column is a key. */
export function fromMarkdown(text) {
  const out = [];
  let [header, code, fresh] = [undefined, false, true];
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      code = !code;
      out.push(code ? ".PP\n.EX" : ".EE");
    } else if (code) out.push(plain(line));
    else if (/^# /.test(line)) continue;
    else if (/^## /.test(line)) out.push(`.SH ${inline(line.slice(3))}`);
    else if (/^### /.test(line)) out.push(`.SS ${inline(line.slice(4))}`);
    else if (/^\| *-/.test(line)) continue;
    else if (line.startsWith("|")) {
      const cells = line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll("\\|", "|"));
      if (header) out.push(...row(header, cells));
      header ??= cells;
      continue;
    } else if (line.startsWith("- ")) out.push(".IP \\(bu 2", inline(line.slice(2)));
    else if (line.trim() !== "") out.push(...(fresh ? [".PP"] : []), inline(line));
    fresh = line.trim() === "" || line.startsWith("#");
    header = undefined;
  }
  // A heading begins a paragraph by itself.
  return out.join("\n").replace(/^(\.S[HS] .*)\n\.PP$/gm, "$1");
}

function row(header, [key, ...cells]) {
  const named = cells.map((cell, i) => [header[i + 1], cell]).filter(([, cell]) => cell !== "");
  const preset = named.filter(([name]) => name === "default").map(([, cell]) => ` Default: ${inline(cell)}.`);
  const text = named.filter(([name]) => name !== "default").map(([, cell]) => inline(cell));
  return [".TP", inline(key), `${text.join(" ")}${text.length > 0 ? "." : ""}${preset.join("")}`.replace("..", ".").trim() || "\\&"];
}

/** Code becomes bold, stress italic, a link its text. */
const inline = (text) =>
  text
    .split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|\[[^\]]+\]\([^)]+\))/)
    .map((part) => {
      if (part.startsWith("`")) return bold(part.slice(1, -1));
      if (part.startsWith("**")) return bold(part.slice(2, -2));
      if (/^\*[^*\s]/.test(part)) return italic(part.slice(1, -1));
      const [, words] = /^\[([^\]]+)\]\([^)]+\)$/.exec(part) ?? [];
      return plain(words ?? part);
    })
    .join("");

const example = (text) => [".EX", ...text.trimEnd().split("\n").map(plain), ".EE"].join("\n");

/** Asks the built program. */
const mainmode = (...words) => execFileSync(process.execPath, [join(root, "dist/cli/main.js"), ...words], { encoding: "utf8" });

/** Writes man/ and completion/ into a folder. */
export function writeDocuments(folder = join(root, "dist")) {
  const date = new Date(sourceDate() * 1000).toISOString().slice(0, 10);
  const { version } = JSON.parse(read("package.json"));
  for (const kind of ["man", "completion"]) mkdirSync(join(folder, kind), { recursive: true });
  for (const [name, text] of Object.entries(manPages(JSON.parse(mainmode("completion", "tree")), version, date)))
    writeFileSync(join(folder, "man", name), text);
  for (const [shell, name] of [
    ["bash", "mainmode"],
    ["zsh", "_mainmode"],
    ["fish", "mainmode.fish"],
  ])
    writeFileSync(join(folder, "completion", name), mainmode("completion", shell));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeDocuments();
