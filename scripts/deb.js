/**
 * `npm run deb`: a Debian package of what is built, without any tool but dpkg's own. Its architecture is that of koffi's binary.
 *   node scripts/deb.js [--arch amd64] [--version 0.1.0-2] [--output FOLDER]
 * The same sources give the same octets: files carry the date of SOURCE_DATE_EPOCH or of the last commit.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { sourceDate, writeDocuments } from "./documents.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (...names) => join(root, ...names);
const manifest = JSON.parse(readFileSync(at("package.json"), "utf8"));

/** Debian's names of architectures, and koffi's. */
const KOFFI = { amd64: "linux-x64", arm64: "linux-arm64", riscv64: "linux-riscv64", ppc64el: "linux-ppc64", loong64: "linux-loong64" };
const HERE = { x64: "amd64", arm64: "arm64", riscv64: "riscv64", ppc64: "ppc64el", loong64: "loong64" }[process.arch];
/** Of this build: whoever makes a package for others says who, as with Debian's own tools. */
const MAINTAINER = `${process.env["DEBFULLNAME"] ?? "mainmode"} <${process.env["DEBEMAIL"] ?? "mainmode@localhost"}>`;

const { values } = parseArgs({ options: { arch: { type: "string" }, version: { type: "string" }, output: { type: "string" } } });
const arch = values.arch ?? HERE;
if (!(arch in KOFFI)) fail(`deb: no koffi for ${arch}; there is one for ${Object.keys(KOFFI).join(", ")}`);
const version = values.version ?? `${manifest.version.replace("-", "~")}-1`;
const output = values.output ?? at(".build");

const date = sourceDate();
const stage = mkdtempSync(join(tmpdir(), "mainmode-deb-"));
const made = mkdtempSync(join(tmpdir(), "mainmode-documents-"));
try {
  writeDocuments(made);
  program();
  modules();
  units();
  documents();
  control();
  dateEverything();
  mkdirSync(output, { recursive: true });
  const file = join(output, `mainmode_${version}_${arch}.deb`);
  run("dpkg-deb", ["--root-owner-group", "-Zxz", "--build", stage, file], { SOURCE_DATE_EPOCH: String(date) });
  console.log(file);
} finally {
  for (const folder of [stage, made]) rmSync(folder, { recursive: true, force: true });
}

/** What Node runs. */
function program() {
  const keep = (from) => !/\.map$|(^|\/)dist\/(test|bench|man|completion)(\/|$)|\.built$/.test(relative(root, from));
  copy(at("dist"), "usr/lib/mainmode/dist", keep);
  put(
    "usr/lib/mainmode/package.json",
    `${JSON.stringify({ name: manifest.name, version: manifest.version, type: "module" }, undefined, 2)}\n`,
  );
  const main = staged("usr/lib/mainmode/dist/cli/main.js");
  writeFileSync(main, readFileSync(main, "utf8").replace(/^#!.*\n/, "#!/usr/bin/node\n"));
  chmodSync(main, 0o755);
  copy(at("demo/uml-run"), "usr/lib/mainmode/demo/uml-run");
  copy(at("packaging/stop"), "usr/lib/mainmode/packaging/stop");
  mkdirSync(staged("usr/bin"), { recursive: true });
  symlinkSync("../lib/mainmode/dist/cli/main.js", staged("usr/bin/mainmode"));
}

/** The npm packages that the program needs, without their sources, types and papers. */
function modules() {
  const keep = (from) => {
    const path = from.slice(at("node_modules").length);
    if (
      /\/(@noble|zod)\/.*\bsrc(\/|$)|\/(doc|vendor|flash|musl_\w+|typings|lib\/native)(\/|$)|koffi\/lib$|node-forge\/dist|cnoke/.test(path)
    )
      return false;
    return statSync(from).isDirectory() || /\.(js|cjs|mjs|json|node)$/.test(path);
  };
  for (const name of runtimePackages()) copy(at("node_modules", name), `usr/lib/mainmode/node_modules/${name}`, keep);
  const native = `@koromix/koffi-${KOFFI[arch]}`;
  copy(nativePackage(native), `usr/lib/mainmode/node_modules/${native}`, keep);
  dropEmpty(staged("usr/lib/mainmode/node_modules"));
  for (const file of walk(staged("usr/lib/mainmode"))) {
    const executable =
      file === staged("usr/lib/mainmode/dist/cli/main.js") ||
      /\/(stop|uml-run)$/.test(file) ||
      readFileSync(file).toString("latin1", 0, 3) === "#!/";
    chmodSync(file, executable ? 0o755 : 0o644);
    // binutils know this machine's binaries only.
    if (file.endsWith(".node") && arch === HERE) run("strip", ["--strip-unneeded", file]);
  }
}

/** A folder of which nothing is left. */
function dropEmpty(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) dropEmpty(join(folder, entry.name));
  if (readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
}

/** Of the lock file, without koffi's binaries for all the world. */
function runtimePackages() {
  const { packages } = JSON.parse(readFileSync(at("package-lock.json"), "utf8"));
  return Object.entries(packages)
    .filter(([path, { dev, optional }]) => path.startsWith("node_modules/") && !dev && !optional)
    .map(([path]) => path.slice("node_modules/".length));
}

/** koffi's binary: installed with the rest for this machine, else from the registry. */
function nativePackage(name) {
  if (existsSync(at("node_modules", name))) return at("node_modules", name);
  const folder = at(".build/koffi", name);
  if (existsSync(folder)) return join(folder, "package");
  mkdirSync(folder, { recursive: true });
  const { packages } = JSON.parse(readFileSync(at("package-lock.json"), "utf8"));
  const packed = execFileSync("npm", ["pack", "--silent", `${name}@${packages[`node_modules/${name}`].version}`], {
    cwd: folder,
    encoding: "utf8",
  }).trim();
  run("tar", ["-xzf", join(folder, packed), "-C", folder]);
  return join(folder, "package");
}

function units() {
  copy(at("packaging/mainmode.service"), "usr/lib/systemd/system/mainmode.service");
  copy(at("packaging/mainmode.socket"), "usr/lib/systemd/system/mainmode.socket");
  copy(at("packaging/mainmode.sysusers"), "usr/lib/sysusers.d/mainmode.conf");
  copy(at("packaging/mainmode.toml"), "etc/mainmode/mainmode.toml");
}

function documents() {
  for (const page of readdirSync(join(made, "man")))
    packed(`usr/share/man/man${page.at(-1)}/${page}`, readFileSync(join(made, "man", page)));
  copy(join(made, "completion/mainmode"), "usr/share/bash-completion/completions/mainmode");
  copy(join(made, "completion/_mainmode"), "usr/share/zsh/vendor-completions/_mainmode");
  copy(join(made, "completion/mainmode.fish"), "usr/share/fish/vendor_completions.d/mainmode.fish");
  for (const name of ["docs", "examples"]) copy(at(name), `usr/share/doc/mainmode/${name}`);
  for (const name of ["README.md", "SECURITY.md"]) copy(at(name), `usr/share/doc/mainmode/${name}`);
  packed("usr/share/doc/mainmode/changelog.gz", readFileSync(at("CHANGELOG.md")), true);
  const when = new Date(date * 1000).toUTCString().replace("GMT", "+0000");
  packed(
    "usr/share/doc/mainmode/changelog.Debian.gz",
    `mainmode (${version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- ${MAINTAINER}  ${when}\n`,
    true,
  );
  put("usr/share/doc/mainmode/copyright", copyright());
  const overrides = readFileSync(at("packaging/debian/lintian-overrides"), "utf8");
  if (overrides.trim() !== "") put("usr/share/lintian/overrides/mainmode", overrides);
}

/** Our licence by Debian's copy of it, the packages' own as they came. */
function copyright() {
  const texts = [...runtimePackages()].sort().map((name) => {
    const folder = at("node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const { version: theirs, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `npm package ${name} ${theirs} (${license}):\n\n${file ? ownTerms(readFileSync(join(folder, file), "utf8")) : license}\n`;
  });
  return `mainmode is under the Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0
Copyright: the mainmode developers

It comes with these npm packages in /usr/lib/mainmode/node_modules.

${texts.join(`\n${"-".repeat(78)}\n\n`)}`;
}

/** Where a package leaves the choice between its terms and the GPL, its terms are ours. */
function ownTerms(text) {
  return text.split(/^\s*GNU GENERAL PUBLIC LICENSE/m)[0].trim();
}

function control() {
  const folder = staged("DEBIAN");
  mkdirSync(folder);
  for (const name of ["postinst", "prerm", "postrm"]) {
    copy(at("packaging/debian", name), `DEBIAN/${name}`);
    chmodSync(join(folder, name), 0o755);
  }
  writeFileSync(join(folder, "conffiles"), "/etc/mainmode/mainmode.toml\n");
  const files = [...walk(stage)].filter((file) => !file.startsWith(`${folder}/`)).sort();
  const sums = files.map((file) => [relative(stage, file), createHash("md5").update(readFileSync(file)).digest("hex")]);
  writeFileSync(
    join(folder, "md5sums"),
    sums
      .filter(([name]) => !name.startsWith("etc/"))
      .map(([name, sum]) => `${sum}  ${name}\n`)
      .join(""),
  );
  const kilobytes = files.reduce((sum, file) => sum + Math.ceil(statSync(file).size / 1024), 0);
  writeFileSync(join(folder, "control"), fields(kilobytes));
}

function fields(kilobytes) {
  return `Package: mainmode
Version: ${version}
Architecture: ${arch}
Maintainer: ${MAINTAINER}
Installed-Size: ${kilobytes}
Depends: nodejs (>= 20.19), iproute2, libc6, libgcc-s1, libstdc++6, systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: libgssapi-krb5-2
Suggests: krb5-user, openssl
Section: net
Priority: optional
Description: IKEv1 keying daemon
 mainmode negotiates IPsec security associations with peers that speak nothing
 newer than IKE version 1: Windows server and domain isolation, old firewalls,
 fixed appliances. Main Mode and Quick Mode, pre-shared keys, certificates and
 Kerberos, ESP and AH in transport and tunnel mode through the kernel's xfrm.
 .
 A restart or an upgrade of the daemon costs no security association.
`;
}

/** Everything of one date, folders and links too; nothing for others to write. */
function dateEverything() {
  const all = (folder) =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? [...all(path), path] : [path];
    });
  for (const path of [...all(stage), stage]) lutimesSync(path, date, date);
}

function* walk(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield path;
  }
}

function staged(path) {
  return join(stage, path);
}

function copy(from, to, filter = () => true) {
  mkdirSync(dirname(staged(to)), { recursive: true });
  cpSync(from, staged(to), { recursive: true, filter });
}

function put(to, text) {
  mkdirSync(dirname(staged(to)), { recursive: true });
  writeFileSync(staged(to), text);
}

function packed(to, text, named = false) {
  put(named ? to : `${to}.gz`, gzipSync(text, { level: 9 }));
}

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...env } });
  if (status !== 0) fail(`deb: ${basename(command)} failed${error ? `: ${error.message}` : ""}`);
}

function fail(text) {
  console.error(text);
  process.exit(1);
}
