/** `mainmode policy import` as an administrator runs it: files, their modes, exit codes, and that nothing is overwritten or half written. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative as relativePath } from "node:path";
import { test } from "node:test";
import { mainmode, scratch } from "./fake-daemon.ts";

const GOOD = `netsh ipsec static add policy name="SQL" activatedefaultrule=no mmsecmethods="3DES-SHA1-3" assign=y
netsh ipsec static add filter filterlist="To DB" srcaddr=me dstaddr=192.0.2.15 protocol=TCP dstport=1433
netsh ipsec static add filteraction name="ESP" action=negotiate qmsecmethods="ESP[3DES,SHA1]"
netsh ipsec static add rule name="Protect SQL" policy="SQL" filterlist="To DB" filteraction="ESP" psk="a throwaway key"
`;
const mode = (path: string): number => statSync(path).mode & 0o777;

test("a script becomes a configuration and a file for its key; the exit code is 0, and `check` has nothing against it", async (t) => {
  const folder = scratch(t);
  const [script, output] = [join(folder, "sql.cmd"), join(folder, "mainmode.toml")];
  writeFileSync(script, GOOD);
  const ran = await mainmode(["policy", "import", script, "-o", output]);
  assert.equal(ran.exit, 0, ran.stderr);
  assert.equal(readFileSync(join(folder, "protect-sql.psk"), "utf8"), "a throwaway key");
  assert.deepEqual([mode(output), mode(join(folder, "protect-sql.psk"))], [0o640, 0o600]);
  assert.match(readFileSync(output, "utf8"), /^# sql.cmd:4$/m);
  assert.doesNotMatch(readFileSync(output, "utf8") + ran.stdout + ran.stderr, /throwaway/);
  for (const [what, name] of [
    ["policy", "SQL"],
    ["rule", "Protect SQL"],
    ["filter list", "To DB"],
    ["filter action", "ESP"],
  ])
    assert.ok(ran.stdout.includes(`${what} "${name}"`), `the report names ${what} ${name}\n${ran.stdout}`);
  const checked = await mainmode(["check", output]);
  assert.equal(checked.exit, 0, checked.stderr);
  const why = await mainmode(["why", "-c", output, "--src", "192.0.2.1", "--dst", "192.0.2.15", "--proto", "tcp", "--dport", "1433"]);
  assert.match(why.stdout, /Protect SQL/, "`why` names the rule as Windows does");
});

test("nothing that exists is touched, and then nothing is written at all", async (t) => {
  const folder = scratch(t);
  const [script, output] = [join(folder, "sql.cmd"), join(folder, "mainmode.toml")];
  writeFileSync(script, GOOD);
  writeFileSync(output, "somebody's");
  const ran = await mainmode(["policy", "import", script, "-o", output]);
  assert.equal(ran.exit, 1);
  assert.match(ran.stderr, /mainmode.toml exists; nothing was written/);
  assert.equal(readFileSync(output, "utf8"), "somebody's");
  assert.deepEqual(readdirSync(folder).sort(), ["mainmode.toml", "sql.cmd"]);
});

test("keys go where --secrets says, and the configuration names them there; without -o it is printed", async (t) => {
  const folder = scratch(t);
  const [script, secrets] = [join(folder, "sql.cmd"), join(folder, "secrets")];
  writeFileSync(script, GOOD);
  mkdirSync(secrets);
  const ran = await mainmode(["policy", "import", script, "--secrets", `${secrets}/`]);
  assert.equal(ran.exit, 0, ran.stderr);
  assert.ok(ran.stdout.includes(`secret-file = "${secrets}/protect-sql.psk"`), ran.stdout);
  assert.equal(mode(join(secrets, "protect-sql.psk")), 0o600);
});

/** A script, options, and the exit code: 1 where something that protects was dropped. */
const EXITS: readonly (readonly [string, string, readonly string[], 0 | 1])[] = [
  ["weak offers beside a good one", GOOD.replace('"3DES-SHA1-3"', '"3DES-SHA1-3 DES-MD5-1"'), [], 0],
  ["weak offers alone", GOOD.replace('"3DES-SHA1-3"', '"DES-MD5-1"'), [], 1],
  ["weak offers alone, allowed", GOOD.replace('"3DES-SHA1-3"', '"DES-MD5-1"'), ["--allow-weak"], 0],
  ["weak offers alone, with better ones before them", GOOD.replace('"3DES-SHA1-3"', '"DES-MD5-1"'), ["--upgrade-crypto"], 0],
  ["a line under a condition", `${GOOD}if exist x netsh ipsec static add rule x SQL "To DB" ESP\n`, [], 1],
  ["a word too many", GOOD.replace("assign=y", "assign=y pollinginterval=60 description=d mmpfs=no qmpermm=0 mmlifetime=480 stray"), [], 1],
  [
    "a word too many, tolerated",
    GOOD.replace("assign=y", "assign=y pollinginterval=60 description=d mmpfs=no qmpermm=0 mmlifetime=480 stray"),
    ["--lenient"],
    0,
  ],
  ["a value that is none, skipped: what it said is missing", GOOD.replace("action=negotiate", "action=request"), ["--lenient"], 1],
  ["a certificate whose files are not named", GOOD.replace('psk="a throwaway key"', 'rootca="CN=Root"'), [], 1],
  ["another policy that is not assigned", `${GOOD}netsh ipsec static add policy Other\n`, [], 0],
  ["a policy that is not there", GOOD, ["--policy", "Other"], 1],
  ["deleting what an earlier run left", `netsh ipsec static delete policy SQL\n${GOOD}`, [], 0],
  ["rules of the dynamic context", `${GOOD}netsh ipsec dynamic add rule srcaddr=me dstaddr=any mmpolicy=x\n`, [], 1],
  ["nothing at all", "echo hello", [], 1],
];

for (const [name, script, options, exit] of EXITS)
  test(`exit code: ${name}: ${exit}`, async (t) => {
    const folder = scratch(t);
    writeFileSync(join(folder, "x.cmd"), script);
    const ran = await mainmode(["policy", "import", join(folder, "x.cmd"), "-o", join(folder, "out.toml"), ...options]);
    assert.equal(ran.exit, exit, ran.stderr + ran.stdout);
    if (existsSync(join(folder, "out.toml"))) assert.equal((await mainmode(["check", join(folder, "out.toml")])).exit, 0);
  });

test("a misspelt option and an address that is none are mistakes of usage", async (t) => {
  const script = join(scratch(t), "sql.cmd");
  writeFileSync(script, GOOD);
  assert.equal((await mainmode(["policy", "import", script, "--local", "here"])).exit, 2);
  assert.equal((await mainmode(["policy", "import", script, "--nonsense"])).exit, 2);
  assert.equal((await mainmode(["policy", "import", `${script}.missing`])).exit, 1);
});

test("UTF-16 with and without its mark, Windows-1252, and an encoding that is named", async (t) => {
  const folder = scratch(t);
  const text = GOOD.replaceAll("Protect SQL", "Schütze SQL");
  const files: readonly (readonly [string, Uint8Array, readonly string[]])[] = [
    ["utf8.cmd", Buffer.from(text), []],
    ["marked.ps1", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, "utf16le")]), []],
    ["bare.cmd", Buffer.from(text, "utf16le"), []],
    ["bare remark.cmd", Buffer.from(`rem \u7b56\u7565 \u7b56\u7565\r\n${text}`, "utf16le"), []],
    ["big.cmd", Buffer.from(text, "utf16le").swap16(), []],
    ["latin.cmd", Buffer.from(text, "latin1"), []],
    ["named.cmd", Buffer.from(text, "latin1"), ["--encoding", "windows-1252"]],
  ];
  for (const [name, octets, options] of files) {
    writeFileSync(join(folder, name), octets);
    mkdirSync(join(folder, `${name}.d`));
    const ran = await mainmode(["policy", "import", join(folder, name), "-o", join(folder, `${name}.d/x.toml`), ...options]);
    assert.equal(ran.exit, 0, ran.stderr);
    assert.match(readFileSync(join(folder, `${name}.d/x.toml`), "utf8"), /name = "Schütze SQL"/, name);
  }
});

test("a policy with Kerberos is accepted before there is a keytab, if both are named", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "x.cmd"), GOOD.replace('psk="a throwaway key"', "kerberos=yes"));
  const named = ["--keytab", join(folder, "host.keytab"), "--principal", "host/a.example.test@EXAMPLE.TEST"];
  const ran = await mainmode(["policy", "import", join(folder, "x.cmd"), "-o", join(folder, "out.toml"), ...named]);
  assert.equal(ran.exit, 0, ran.stderr);
  assert.match(readFileSync(join(folder, "out.toml"), "utf8"), /method = "kerberos", keytab = ".*host.keytab", principal = "host\/a/);
  assert.equal((await mainmode(["check", join(folder, "out.toml")])).exit, 0);
  assert.equal((await mainmode(["policy", "import", join(folder, "x.cmd"), "--principal", "host/a"])).exit, 2);
});

test("where the configuration can't be written no key is left behind", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "x.cmd"), GOOD);
  mkdirSync(join(folder, "keys"));
  const ran = await mainmode([
    "policy",
    "import",
    join(folder, "x.cmd"),
    "-o",
    join(folder, "missing/out.toml"),
    "--secrets",
    join(folder, "keys"),
  ]);
  assert.equal(ran.exit, 1);
  assert.deepEqual(readdirSync(join(folder, "keys")), []);
});

test("an encoding that is guessed is said, and so are keys beyond ASCII", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "x.cmd"), Buffer.from(GOOD.replace("a throwaway key", "Schl\u00fcssel"), "latin1"));
  const guessed = await mainmode(["policy", "import", join(folder, "x.cmd"), "--secrets", folder]);
  assert.deepEqual(
    [guessed.exit, /W_ENCODING/.test(guessed.stderr), /W_PSK_CHARACTERS/.test(guessed.stderr)],
    [0, true, true],
    guessed.stderr,
  );
  assert.doesNotMatch(guessed.stderr, /Schl/);
});

test("a folder for keys is the same with its last slash and without, and from wherever the configuration is read", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "x.cmd"), GOOD);
  for (const [i, slash] of ["", "/"].entries()) {
    mkdirSync(join(folder, `keys${i}`));
    const output = join(folder, `out${i}.toml`);
    const ran = await mainmode([
      "policy",
      "import",
      join(folder, "x.cmd"),
      "-o",
      output,
      "--secrets",
      `${join(folder, `keys${i}`)}${slash}`,
    ]);
    assert.equal(ran.exit, 0, ran.stderr);
    assert.ok(readFileSync(output, "utf8").includes(`secret-file = "${join(folder, `keys${i}`, "protect-sql.psk")}"`));
  }
  const relative = relativePath(process.cwd(), folder);
  const ran = await mainmode(["policy", "import", join(folder, "x.cmd"), "-o", join(folder, "keys0/out.toml"), "--secrets", relative]);
  assert.equal(ran.exit, 0, ran.stderr);
});
