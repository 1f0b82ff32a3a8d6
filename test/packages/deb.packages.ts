/** The Debian package as a file, the units, man pages and completions, before the judges that Debian has for them. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { buildDeb, must, ROOT, run, workFolder } from "./shell.ts";

const folder = workFolder();
const deb = buildDeb(folder);
const root = join(folder, "root");
must("dpkg-deb", ["--extract", deb, root]);

test("lintian has no error and no warning that is not explained", () => {
  const { status, text } = run("lintian", ["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", deb]);
  assert.equal(status, 0, text);
  const overrides = readFileSync(join(ROOT, "packaging/debian/lintian-overrides"), "utf8").split(/(?<=\*)\n/);
  assert.ok(overrides.length > 1);
  assert.match(overrides[0] ?? "", /^#/, "each has a reason in front");
});

test("the same sources give the same octets", () => {
  const again = join(folder, "again");
  mkdirSync(again);
  assert.ok(readFileSync(buildDeb(again)).equals(readFileSync(deb)));
});

test("a package for another architecture has that architecture's binary", () => {
  const other = buildDeb(folder, "--arch", "arm64");
  assert.match(must("dpkg-deb", ["--field", other, "Architecture"]), /^arm64$/m);
  const there = join(folder, "arm64");
  must("dpkg-deb", ["--extract", other, there]);
  const modules = join(there, "usr/lib/mainmode/node_modules/@koromix");
  assert.deepEqual(readdirSync(modules), ["koffi-linux-arm64"]);
  const binary = readFileSync(join(modules, "koffi-linux-arm64/linux_arm64/koffi.node"));
  assert.deepEqual([binary.toString("latin1", 1, 4), binary.readUInt16LE(18)], ["ELF", 183]);
});

test("the program in it runs, koffi included", () => {
  const main = join(root, "usr/lib/mainmode/dist/cli/main.js");
  assert.match(must(main, ["--version"], { cwd: folder }), /^\d/);
  must(process.execPath, [main, "demo", "--place", "memory"], { cwd: folder });
  const load = `import(${JSON.stringify(join(root, "usr/lib/mainmode/dist/daemon/native.js"))}).then((m) => m.loadNative()).then((n) => process.exit(n.ok ? 0 : 1))`;
  must(process.execPath, ["-e", load], { cwd: folder });
});

test("systemd finds nothing wrong with the units, and an exposure of at most 2.0", () => {
  // What the units name has to be there; it is not installed here.
  const units = join(folder, "units");
  mkdirSync(units);
  for (const name of ["mainmode.service", "mainmode.socket"]) {
    const text = readFileSync(join(root, "usr/lib/systemd/system", name), "utf8");
    writeFileSync(
      join(units, name),
      text
        .replaceAll("=+/usr/lib", `=+${root}/usr/lib`)
        .replaceAll("/usr/bin/mainmode", "/bin/true")
        .replace("ExecStart=/usr/bin/node", "ExecStart=/bin/true"),
    );
  }
  const files = readdirSync(units).map((name) => join(units, name));
  const { status, text } = run("systemd-analyze", ["verify", "--man=no", ...files]);
  assert.deepEqual([status, text], [0, ""]);
  const judged = run("systemd-analyze", ["security", "--offline=true", "--threshold=20", "--no-pager", join(units, "mainmode.service")]);
  assert.equal(judged.status, 0, judged.text);
  assert.match(judged.text, /Overall exposure level/);
});

test("man has no warning about its pages", () => {
  for (const page of ["man8/mainmode.8.gz", "man5/mainmode.toml.5.gz"]) {
    const env = { MANROFFSEQ: "", MANWIDTH: "80", LC_ALL: "C.UTF-8" };
    const { status, text } = run(
      "sh",
      ["-c", 'man --warnings=w --local-file "$1" 2>&1 >/dev/null', "sh", join(root, "usr/share/man", page)],
      { env },
    );
    assert.deepEqual([status, text], [0, ""], page);
  }
});

/** A folder with a `mainmode` that knows one rule. */
function knowsOneRule(): string {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "mainmode"), "#!/bin/sh\necho hr\n");
  chmodSync(join(bin, "mainmode"), 0o755);
  return `${bin}:/usr/bin:/bin`;
}

test("fish offers commands, flags, values and rules", () => {
  const script = join(root, "usr/share/fish/vendor_completions.d/mainmode.fish");
  const offered = (line: string): readonly string[] =>
    must("fish", ["--no-config", "-c", `source ${script}; complete -C ${JSON.stringify(line)}`], {
      env: { PATH: knowsOneRule(), HOME: folder },
    })
      .split("\n")
      .map((row) => row.split("\t", 1)[0] ?? "")
      .filter((word) => word !== "");
  assert.deepEqual(offered("mainmode reloa"), ["reload"]);
  assert.deepEqual(offered("mainmode daemon --log-format "), ["json", "text"]);
  assert.deepEqual(offered("mainmode initiate "), ["hr"]);
  assert.ok(offered("mainmode policy show --").includes("--specific"));
  assert.ok(!offered("mainmode ").includes("show"));
});

test("zsh offers commands, flags, values and rules", () => {
  const script = join(root, "usr/share/zsh/vendor-completions/_mainmode");
  // zsh's own functions in small: they print what they are given.
  const stubs = [
    "compdef(){ :; }",
    "_files(){ print files; }",
    `compadd(){ print -rl -- \${(P)2}; }`,
    `_describe(){ [[ $1 == -o ]] && shift; print -rl -- \${(P)\${@[-1]}}; }`,
  ].join("; ");
  const offered = (...words: readonly string[]): readonly string[] =>
    must("zsh", ["-f", "-c", `${stubs}; source ${script}; words=("$@"); CURRENT=$#; _mainmode`, "zsh", ...words], {
      env: { PATH: knowsOneRule() },
    })
      .split("\n")
      .map((row) => row.split(":", 1)[0] ?? "")
      .filter((word) => word !== "");
  assert.ok(offered("mainmode", "").includes("status"));
  assert.deepEqual(offered("mainmode", "daemon", "--log-format", ""), ["text", "json"]);
  assert.deepEqual(offered("mainmode", "initiate", ""), ["hr"]);
  assert.ok(offered("mainmode", "policy", "show", "-").includes("--specific"));
  assert.deepEqual(offered("mainmode", "check", ""), ["files"]);
});
