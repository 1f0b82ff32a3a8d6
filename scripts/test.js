/**
 * `npm test`: lint, then every test that can run on this machine; those that need a kernel with ESP run in a guest. What can't run is named, with
 * the command that would make it possible. Fails if a test fails, if one is skipped, or if there are suspiciously few.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

/** Fewer files than this mean that the build lost some. */
const LEAST = { unit: 40, guest: 1, judged: 1, kerberos: 3, secrets: 10_000, outputs: 5 };

/**
 * What of `npm run interop` belongs here: every proof by certificate, with both peers in both roles, Kerberos that falls to a key, and what two
 * daemons of ours do with each other that nobody else can (AH and ESP together), or that every start needs.
 */
const CERTIFICATES =
  "rsa2048|rsa3072-chain-list|ecdsa256|ecdsa384-chain|not-asked|x509-or-psk|kerberos-or-psk|other-authority|expired|revoked|old-list|old-list-rsa|other-identity";
const OURS = "usual|ah-esp|ah-esp-tunnel|two-filters|on-traffic|wrong-psk|other-selectors|rsa2048";
/** Of `npm run policy` the short table of actions, and some random policies. */
const SHORT_POLICIES = ["MAINMODE_ACTIONS=short", "MAINMODE_POLICIES=12"];

const compiled = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .sort();
const judged = compiled.filter((name) => name.endsWith("tshark.test.js"));
const terminal = compiled.filter((name) => name.endsWith(".tmux.test.js"));
const unit = compiled.filter((name) => name.endsWith(".test.js") && !judged.includes(name) && !terminal.includes(name));
const kerberos = compiled.filter((name) => name.endsWith(".kdc.js"));
const kerberosGuest = compiled.filter((name) => name.endsWith(".kdc-guest.js"));
const guest = compiled.filter((name) => name.endsWith(".guest.js"));
const policies = ["imported", "random", "actions"].flatMap((file) => compiled.filter((name) => name.endsWith(`${file}.policy.js`)));
if (unit.length < LEAST.unit) fail(`only ${unit.length} test files in dist/test; expected at least ${LEAST.unit}`);
if (guest.length < LEAST.guest || policies.length < 3) fail("no tests for the guest in dist/test");
if (judged.length < LEAST.judged) fail("no tests with tshark in dist/test");
if (terminal.length < 1) fail("no tests in tmux in dist/test");
if (kerberos.length < LEAST.kerberos || kerberosGuest.length < LEAST.guest) fail("no tests with a KDC in dist/test");

/** Writes down every secret that the tests of a process use. */
const LEDGER = ["--import", "./dist/test/secrets-ledger.js"];

const reports = ".lab/reports";
const ledger = join(reports, "secrets");
rmSync(reports, { recursive: true, force: true });
mkdirSync(ledger, { recursive: true, mode: 0o700 });

/** A guest has one processor, so two of them run at a time; each one's output is shown when it is over. */
const steps = [
  { name: "lint", needs: [], run: (out) => ran(out, process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]) },
  { name: "tests", needs: [], run: (out) => testFiles(out, "unit", [], unit) },
  { name: "tshark against our decode", needs: ["/usr/bin/tshark"], run: (out) => testFiles(out, "tshark", [], judged) },
  { name: "the terminal monitor in tmux", needs: ["/usr/bin/tmux"], run: (out) => testFiles(out, "tmux", [], terminal) },
  {
    name: "Kerberos with a real KDC",
    needs: ["/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "test/peers/kerberos/node_modules/kerberos/build/Release/kerberos.node"],
    run: (out) => testFiles(out, "kerberos", [], kerberos),
  },
  {
    name: "Kerberos with a real KDC in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/bin/ping"],
    guest: true,
    run: (out) => testFiles(out, "kerberos-guest", inGuest(300), kerberosGuest),
  },
  {
    name: "kernel tests in a guest",
    needs: ["/usr/bin/linux.uml"],
    guest: true,
    run: (out) => testFiles(out, "guest", inGuest(300), guest),
  },
  {
    name: "policies in a guest: imported from Windows, random ones, and what actions do",
    needs: ["/usr/bin/linux.uml", "/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/bin/ping", "/usr/bin/tcpdump"],
    guest: true,
    // One after the other: their hosts have the same names.
    run: (out) => testFiles(out, "policies", [...inGuest(400), "env", ...SHORT_POLICIES], policies, 1),
  },
  {
    name: "demo in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/bin/ping"],
    guest: true,
    run: (out) => shown(out, "demo-guest", ["dist/cli/main.js", "demo", "--place", "uml"]),
  },
  {
    name: "demo in memory",
    needs: [],
    run: (out) => shown(out, "demo-memory", [...LEDGER, "dist/cli/main.js", "demo", "--place", "memory"]),
  },
  {
    name: "certificates with strongSwan and libreswan, and two daemons of ours, in guests",
    needs: [
      ...["/usr/bin/linux.uml", "/usr/bin/tcpdump", "/usr/bin/tshark", "/usr/sbin/charon-systemd", "/usr/sbin/swanctl"],
      ...["/usr/sbin/krb5kdc", ".lab/libreswan-root/usr/sbin/ipsec"],
    ],
    run: (out) =>
      shown(out, "interop", [
        "scripts/interop.js",
        "--only",
        `^(mainmode-initiator-(${OURS})|(strongswan|libreswan)-(initiator|responder)-(${CERTIFICATES}))$`,
        "-w",
        ".lab/test",
      ]),
  },
  // The last one: it reads what the others said.
  { name: "no secret in any output", needs: [], run: noSecrets },
];
const GUESTS = 2;
const children = new Set();

const isPossible = ({ needs }) => needs.every((file) => existsSync(file));
const possible = steps.filter(isPossible);
const missing = steps.filter((step) => !isPossible(step)).map(({ name }) => name);
const firstGuest = possible.findIndex(({ guest }) => guest);
for (const [i, step] of possible.entries())
  if (i === firstGuest) await allGuests(possible.filter(({ guest }) => guest));
  else if (!step.guest) await perform(step, "inherit").catch((error) => fail(error.message));
for (const name of missing) console.log(`\nNOT RUN: ${name}. To make it possible, as root: node scripts/setup.js test`);
console.log("\nNot a part of this: all other negotiations with strongSwan and libreswan, about a quarter of an hour: npm run interop");
if (missing.length > 0 && process.env["CI"]) fail("in CI everything has to run");

async function perform({ name, run }, out) {
  const started = Date.now();
  if (out === "inherit") console.log(`\n== ${name}`);
  await run(out);
  console.log(`== ${name}: ${((Date.now() - started) / 60_000).toFixed(1)} min`);
}

async function allGuests(waiting) {
  const next = async () => {
    for (let step = waiting.shift(); step; step = waiting.shift()) await apart(step);
  };
  await Promise.all(Array.from({ length: GUESTS }, next));
}

/** Runs a step while another one runs: what it says is kept until it is over. */
async function apart(step) {
  const file = join(reports, `${step.name.replaceAll(" ", "-")}.said`);
  const out = openSync(file, "w");
  try {
    await perform(step, out);
  } catch (error) {
    console.log(readFileSync(file, "utf8"));
    fail(error.message);
  } finally {
    closeSync(out);
  }
  console.log(`\n== ${step.name}\n${readFileSync(file, "utf8").trimEnd()}`);
}

function inGuest(seconds) {
  return ["demo/uml-run", "-t", `${seconds}`, "-w", reports];
}

/** Runs files with Node's test runner, by a command in front of it if need be, and reads its last words. */
async function testFiles(out, name, prefix, files, concurrency = 2) {
  const report = join(reports, `${name}.tap`);
  const runner = [process.execPath, ...LEDGER, "--test", `--test-concurrency=${concurrency}`, "--test-timeout=240000"];
  const told = [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    `--test-reporter-destination=${report}`,
  ];
  const [command, ...args] = [...prefix, ...runner, ...told, ...files];
  await ran(out, command, args);
  const last = readFileSync(report, "utf8");
  const count = (what) => Number(new RegExp(`^# ${what} (\\d+)$`, "m").exec(last)?.[1] ?? Number.NaN);
  if (!(count("pass") > 0)) throw new Error(`${report} counts no test that passed`);
  for (const what of ["fail", "skipped", "todo", "cancelled"])
    if (count(what) !== 0) throw new Error(`${report}: ${what} ${count(what)}; none may be`);
}

/** Runs Node, and keeps what it says besides showing it. */
async function shown(out, name, args) {
  const file = join(reports, `${name}.out`);
  const script = 'set -o pipefail; file=$1; shift; "$@" 2>&1 | tee "$file"';
  await ran(out, "bash", ["-c", script, "bash", file, process.execPath, ...args]);
}

/** Nothing that was said holds a secret that was used: what tests printed, what commands and logs of daemons said in the guests. */
async function noSecrets() {
  const { readLedger, secretsIn, whatWasLeft } = await import("../dist/test/secrets-scan.js");
  const guests = existsSync(".lab/test") ? whatWasLeft(".lab/test") : { secrets: [], outputs: new Map() };
  const secrets = new Set([...readLedger(ledger), ...guests.secrets]);
  const files = readdirSync(reports)
    .filter((name) => /\.(tap|out)$/.test(name))
    .map((name) => join(reports, name));
  const texts = [...files.map((file) => readFileSync(file, "utf8")), ...guests.outputs.values()];
  if (secrets.size < LEAST.secrets || texts.length < LEAST.outputs)
    fail(`only ${secrets.size} secrets in ${ledger}, and ${texts.length} outputs in ${reports}`);
  rmSync(ledger, { recursive: true });
  const found = secretsIn(texts, secrets);
  for (const { form, around } of found) console.error(`a secret as ${form}: … ${around} …`);
  if (found.length > 0) fail("output shows secrets");
  console.log(`none of ${secrets.size} secrets in ${texts.join("").length} letters of ${texts.length} outputs`);
}

/** `out`: "inherit", or a file's descriptor. */
function ran(out, command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", out, out] });
    children.add(child);
    child.once("error", reject);
    child.once("exit", (status) => {
      children.delete(child);
      if (status === 0) resolve();
      else reject(new Error(`failed: ${command} ${args.slice(0, 3).join(" ")} …`));
    });
  });
}

function fail(text) {
  console.error(`\n${text}`);
  for (const child of children) child.kill();
  process.exit(1);
}
