/**
 * `npm test`: lint, then every test that can run on this machine; those that need a kernel with ESP run in a guest. What can't run is named, with
 * the command that would make it possible. Fails if a test fails, if one is skipped, or if there are suspiciously few.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
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
/** What strongSwan shows of policies: negotiations that traffic asks for, ports, pings alone, several filters, subnets behind tunnels. */
const POLICIES = "on-traffic|on-traffic-tunnel|on-traffic-ipv6|pings-only|one-port|two-filters|office";
const OURS = "usual|ah-esp|ah-esp-tunnel|two-filters|on-traffic|wrong-psk|other-selectors|rsa2048";

const compiled = readdirSync("dist/test", { recursive: true })
  .map((name) => join("dist/test", name))
  .sort();
const judged = compiled.filter((name) => name.endsWith("tshark.test.js"));
const terminal = compiled.filter((name) => name.endsWith(".tmux.test.js"));
const unit = compiled.filter((name) => name.endsWith(".test.js") && !judged.includes(name) && !terminal.includes(name));
const kerberos = compiled.filter((name) => name.endsWith(".kdc.js"));
const kerberosGuest = compiled.filter((name) => name.endsWith(".kdc-guest.js"));
const guest = compiled.filter((name) => name.endsWith(".guest.js"));
const policies = compiled.filter((name) => name.endsWith(".policy.js"));
if (unit.length < LEAST.unit) fail(`only ${unit.length} test files in dist/test; expected at least ${LEAST.unit}`);
if (guest.length < LEAST.guest || policies.length < 4) fail("no tests for the guest in dist/test");
if (judged.length < LEAST.judged) fail("no tests with tshark in dist/test");
if (terminal.length < 1) fail("no tests in tmux in dist/test");
if (kerberos.length < LEAST.kerberos || kerberosGuest.length < LEAST.guest) fail("no tests with a KDC in dist/test");

/** In front of what guests go before: their peers have patience of their own. */
const YIELDING = ["nice", "-n", "5"];

/** Writes down every secret that the tests of a process use. */
const LEDGER = ["--import", "./dist/test/secrets-ledger.js"];

const reports = ".lab/reports";
const ledger = join(reports, "secrets");
for (const folder of [reports, ".lab/test"]) rmSync(folder, { recursive: true, force: true });
mkdirSync(ledger, { recursive: true, mode: 0o700 });

/** One scenario after the other in one guest, among those of `npm run interop`. */
const negotiations = (peer, names, needs) => ({
  name: `${peer === "mainmode" ? "two daemons of ours" : `certificates with ${peer}`} in a guest`,
  needs: ["/usr/bin/linux.uml", "/usr/bin/tcpdump", "/usr/bin/tshark", ...needs],
  run: (out) => shown(out, `interop-${peer}`, ["scripts/interop.js", "--only", `^${peer}-${names}$`, "--guests", "1", "-w", ".lab/test"]),
});

/** Files about policies in a guest of their own, one after the other: their hosts have the same names. */
const policiesOf = (what, name, are) => ({
  name: `policies in a guest: ${what}`,
  needs: ["/usr/bin/linux.uml", "/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/bin/ping", "/usr/bin/tcpdump"],
  run: (out) => testFiles(out, name, [...inGuest(), "env", `MAINMODE_LEDGER=${resolve(ledger)}`], policies.filter(are), 1),
});
const isAbroad = (file) => /(forward|gateway|imported|families)\.policy\.js$/.test(file);

/** Each has one processor, and most of them wait a good part of their time. Longest first. */
const guests = [
  policiesOf("what actions do, open sockets, random ones", "policies", (file) => !isAbroad(file)),
  policiesOf("gateways, imported from Windows", "gateways", isAbroad),
  negotiations("strongswan", `(initiator|responder)-(${CERTIFICATES}|${POLICIES})`, [
    ...["/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/usr/sbin/krb5kdc"],
  ]),
  negotiations("libreswan", `(initiator|responder)-(${CERTIFICATES})`, [".lab/libreswan-root/usr/sbin/ipsec"]),
  {
    name: "Kerberos with a real KDC in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "/usr/bin/ping"],
    run: (out) => testFiles(out, "kerberos-guest", inGuest(), kerberosGuest),
  },
  {
    name: "kernel tests in a guest",
    needs: ["/usr/bin/linux.uml"],
    run: (out) => testFiles(out, "guest", inGuest(), guest),
  },
  negotiations("mainmode", `initiator-(${OURS})`, []),
  {
    name: "demo in a guest",
    needs: ["/usr/bin/linux.uml", "/usr/bin/ping"],
    run: (out) => shown(out, "demo-guest", ["dist/cli/main.js", "demo", "--place", "uml"]),
  },
];

/** Beside the guests, one after the other. */
const steps = [
  { name: "lint", needs: [], run: (out) => ran(out, process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]) },
  { name: "tests", needs: [], run: (out) => testFiles(out, "unit", YIELDING, unit) },
  { name: "tshark against our decode", needs: ["/usr/bin/tshark"], run: (out) => testFiles(out, "tshark", YIELDING, judged) },
  { name: "the terminal monitor in tmux", needs: ["/usr/bin/tmux"], run: (out) => testFiles(out, "tmux", YIELDING, terminal) },
  {
    name: "Kerberos with a real KDC",
    needs: ["/usr/sbin/krb5kdc", "/usr/sbin/kadmin.local", "test/peers/kerberos/node_modules/kerberos/build/Release/kerberos.node"],
    run: (out) => testFiles(out, "kerberos", YIELDING, kerberos),
  },
  {
    name: "demo in memory",
    needs: [],
    run: (out) => shown(out, "demo-memory", [...LEDGER, "dist/cli/main.js", "demo", "--place", "memory"]),
  },
];
const GUESTS_AT_ONCE = 2;
const children = new Set();

const isPossible = ({ needs }) => needs.every((file) => existsSync(file));
const all = [...steps, ...guests];
const missing = all.filter((step) => !isPossible(step)).map(({ name }) => name);
/** What guests said while something else was shown. */
const kept = [];
let shownNow = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => fail(signal));
await Promise.all([theSteps(), allGuests(guests.filter(isPossible))]).catch((error) => fail(error.message));
await noSecrets();
for (const name of missing) console.log(`\nNOT RUN: ${name}. To make it possible, as root: node scripts/setup.js test`);
console.log("\nNot a part of this: all other negotiations with strongSwan and libreswan, about a quarter of an hour: npm run interop");
if (missing.length > 0 && process.env["CI"]) fail("in CI everything has to run");

async function theSteps() {
  for (const step of steps.filter(isPossible)) {
    shownNow = true;
    console.log(`\n== ${step.name}`);
    const took = await minutes(() => step.run("inherit"));
    console.log(`== ${step.name}: ${took}`);
    shownNow = false;
    for (const text of kept.splice(0)) console.log(text);
  }
}

async function minutes(run) {
  const started = Date.now();
  await run();
  return `${((Date.now() - started) / 60_000).toFixed(1)} min`;
}

async function allGuests(waiting) {
  const next = async () => {
    for (let step = waiting.shift(); step; step = waiting.shift()) await apart(step);
  };
  await Promise.all(Array.from({ length: GUESTS_AT_ONCE }, next));
}

/** Runs a step while others run: what it says is kept until it is over. */
async function apart({ name, run }) {
  const file = join(reports, `${name.replaceAll(/[^a-zA-Z]+/g, "-")}.said`);
  const out = openSync(file, "w");
  const said = () => `\n== ${name}\n${readFileSync(file, "utf8").trimEnd()}`;
  try {
    const took = await minutes(() => run(out));
    kept.push(`${said()}\n== ${name}: ${took}`);
  } catch (error) {
    fail(`${said()}\n${error.message}`);
  } finally {
    closeSync(out);
  }
  if (!shownNow) for (const text of kept.splice(0)) console.log(text);
}

/** The time is a multiple of what a slow machine needs: for a guest that hangs. */
function inGuest() {
  return ["demo/uml-run", "-t", "1500", "-w", reports];
}

/** Runs files with Node's test runner, by a command in front of it if need be, and reads its last words. */
async function testFiles(out, name, prefix, files, concurrency = 2) {
  const report = join(reports, `${name}.tap`);
  const runner = [process.execPath, ...LEDGER, "--test", `--test-concurrency=${concurrency}`, "--test-timeout=1200000"];
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
  const file = openSync(join(reports, `${name}.out`), "w");
  try {
    await ran(out, process.execPath, args, file);
  } finally {
    closeSync(file);
  }
}

/** Nothing that was said holds a secret that was used: what tests printed, what commands and logs of daemons said in the guests. */
async function noSecrets() {
  const { readLedger, secretsIn, whatWasLeft } = await import("../dist/test/secrets-scan.js");
  const guests = existsSync(".lab/test") ? whatWasLeft(".lab/test") : { secrets: [], outputs: new Map() };
  const secrets = new Set([...readLedger(ledger), ...guests.secrets]);
  const files = readdirSync(reports)
    .filter((name) => /\.(tap|out|log)$/.test(name))
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

/** `out`: "inherit", or a file's descriptor; `copy`: that of a file which gets the same. */
function ran(out, command, args, copy) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: copy === undefined ? ["ignore", out, out] : ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk) => {
        for (const to of [out === "inherit" ? 1 : out, copy]) writeSync(to, chunk);
      });
    children.add(child);
    child.once("error", reject);
    child.once("close", (status) => {
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
