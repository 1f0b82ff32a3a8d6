/**
 * `npm test`: lint, then every test that can run on this machine; those that need a kernel with ESP run in a guest. What can't run is named, with
 * the command that would make it possible. Fails if a test fails, if one is skipped, or if there are suspiciously few.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

/** Fewer files than this mean that the build lost some. */
const LEAST = { unit: 40, guest: 1, judged: 1, kerberos: 3, secrets: 10_000, outputs: 5 };

/**
 * What of `npm run interop` says most about certificates: a chain and lists in both roles, ECDSA, and a peer that was revoked. Of two daemons of ours
 * one role is enough here: the other one is the same pair with its names exchanged.
 */
const CERTIFICATES = ["(initiator|responder)-rsa3072-chain-list", "responder-ecdsa256", "initiator-revoked"];

const compiled = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .sort();
const judged = compiled.filter((name) => name.endsWith("tshark.test.js"));
const terminal = compiled.filter((name) => name.endsWith(".tmux.test.js"));
const unit = compiled.filter((name) => name.endsWith(".test.js") && !judged.includes(name) && !terminal.includes(name));
const kerberos = compiled.filter((name) => name.endsWith(".kdc.js"));
const kerberosGuest = compiled.filter((name) => name.endsWith(".kdc-guest.js"));
const guest = compiled.filter((name) => name.endsWith(".guest.js"));
if (unit.length < LEAST.unit) fail(`only ${unit.length} test files in dist/test; expected at least ${LEAST.unit}`);
if (guest.length < LEAST.guest) fail("no tests for the guest in dist/test");
if (judged.length < LEAST.judged) fail("no tests with tshark in dist/test");
if (terminal.length < 1) fail("no tests in tmux in dist/test");
if (kerberos.length < LEAST.kerberos || kerberosGuest.length < LEAST.guest) fail("no tests with a KDC in dist/test");

/** Writes down every secret that the tests of a process use. */
const LEDGER = ["--import", "./dist/test/secrets-ledger.js"];

const reports = ".lab/reports";
const ledger = join(reports, "secrets");
rmSync(reports, { recursive: true, force: true });
mkdirSync(ledger, { recursive: true, mode: 0o700 });

const steps = [
  { name: "lint", needs: [], run: () => spawn(process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]) },
  { name: "tests", needs: [], run: () => testFiles("unit", [], unit) },
  { name: "tshark against our decode", needs: ["/usr/bin/tshark"], run: () => testFiles("tshark", [], judged) },
  { name: "the terminal monitor in tmux", needs: ["/usr/bin/tmux"], run: () => testFiles("tmux", [], terminal) },
  {
    name: "Kerberos with a real KDC",
    needs: ["/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "test/peers/kerberos/node_modules/kerberos/build/Release/kerberos.node"],
    run: () => testFiles("kerberos", [], kerberos),
  },
  {
    name: "kernel tests in a guest",
    needs: ["/usr/bin/linux.uml"],
    run: () => testFiles("guest", ["demo/uml-run", "-t", "300", "-w", reports], guest),
  },
  {
    name: "Kerberos with a real KDC in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/bin/ping"],
    run: () => testFiles("kerberos-guest", ["demo/uml-run", "-t", "300", "-w", reports], kerberosGuest),
  },
  { name: "demo in memory", needs: [], run: () => shown("demo-memory", [...LEDGER, "dist/cli/main.js", "demo", "--place", "memory"]) },
  {
    name: "demo in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/bin/ping"],
    run: () => shown("demo-guest", ["dist/cli/main.js", "demo", "--place", "uml"]),
  },
  {
    name: "two daemons on one wire, and certificates with strongSwan, in guests",
    needs: ["/usr/bin/linux.uml", "/usr/bin/tcpdump", "/usr/bin/tshark", "/usr/sbin/charon-systemd", "/usr/sbin/swanctl"],
    run: () =>
      shown("interop", [
        "scripts/interop.js",
        "--only",
        `^(mainmode-initiator-|mainmode-responder-usual$|strongswan-(${CERTIFICATES.join("|")})$)`,
        "-w",
        ".lab/test",
      ]),
  },
  // The last one: it reads what the others said.
  { name: "no secret in any output", needs: [], run: noSecrets },
];

const missing = [];
for (const { name, needs, run } of steps) {
  if (!needs.every((file) => existsSync(file))) {
    missing.push(name);
    continue;
  }
  const started = Date.now();
  console.log(`\n== ${name}`);
  await run();
  console.log(`== ${name}: ${((Date.now() - started) / 60_000).toFixed(1)} min`);
}
for (const name of missing) console.log(`\nNOT RUN: ${name}. To make it possible, as root: node scripts/setup.js test`);
console.log("\nNot a part of this: all other negotiations with strongSwan and libreswan, about a quarter of an hour: npm run interop");
if (missing.length > 0 && process.env["CI"]) fail("in CI everything has to run");

/** Runs files with Node's test runner, by a command in front of it if need be, and reads its last words. */
function testFiles(name, prefix, files) {
  const report = join(reports, `${name}.tap`);
  const runner = [process.execPath, ...LEDGER, "--test", "--test-concurrency=2", "--test-timeout=240000"];
  const told = [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    `--test-reporter-destination=${report}`,
  ];
  const [command, ...args] = [...prefix, ...runner, ...told, ...files];
  spawn(command, args);
  const last = readFileSync(report, "utf8");
  const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(last)?.[1] ?? Number.NaN);
  if (!(count("pass") > 0)) fail(`${report} counts no test that passed`);
  for (const what of ["fail", "skipped", "todo", "cancelled"])
    if (count(what) !== 0) fail(`${report}: ${what} ${count(what)}; none may be`);
}

/** Runs Node, and keeps what it says besides showing it. */
function shown(name, args) {
  const file = join(reports, `${name}.out`);
  const script = 'set -o pipefail; file=$1; shift; "$@" 2>&1 | tee "$file"';
  spawn("bash", ["-c", script, "bash", file, process.execPath, ...args]);
}

/** Nothing that was said holds a secret that was used: what tests printed, what commands and logs of daemons said in the guests. */
async function noSecrets() {
  const { readLedger, secretsIn } = await import("../dist/test/secrets-scan.js");
  const secrets = readLedger(ledger);
  const files = readdirSync(reports)
    .filter((name) => /\.(tap|out)$/.test(name))
    .map((name) => join(reports, name));
  const texts = files.map((file) => readFileSync(file, "utf8"));
  if (secrets.size < LEAST.secrets || texts.length < LEAST.outputs)
    fail(`only ${secrets.size} secrets in ${ledger}, and ${texts.length} outputs in ${reports}`);
  rmSync(ledger, { recursive: true });
  const found = secretsIn(texts, secrets);
  for (const { form, around } of found) console.error(`a secret as ${form}: … ${around} …`);
  if (found.length > 0) fail("output shows secrets");
  console.log(`none of ${secrets.size} secrets in ${texts.join("").length} letters of ${texts.length} outputs`);
}

function spawn(command, args) {
  const { status } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) fail(`failed: ${command} ${args.slice(0, 3).join(" ")} …`);
}

function fail(text) {
  console.error(`\n${text}`);
  process.exit(1);
}
