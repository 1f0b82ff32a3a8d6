/**
 * Daemons that are killed, restarted and reloaded under traffic, as processes, in two namespaces of a kernel with ESP: nothing is lost,
 * nothing leaves in clear, and the SAs after are those before. How often, MAINMODE_RESTARTS says (npm run restarts -- --times N).
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask, type Stats, type Status } from "../../cli/client.ts";
import { readRecords } from "../../daemon/journal.ts";
import { ledgerWords } from "../ledger-words.ts";

const TIMES = Number(process.env["MAINMODE_RESTARTS"] ?? 2);
const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const SPACES = { a: "mm-restart-a", b: "mm-restart-b" } as const;
const ADDRESS = { a: "192.0.2.1", b: "192.0.2.2" } as const;
type Name = keyof typeof SPACES;

const run = (command: string): string => execFileSync("/bin/sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const folder = mkdtempSync("/dev/shm/mainmode-restart-");
const daemons = new Map<Name, ChildProcess>();
const logs: Record<Name, string> = { a: "", b: "" };

const control = (name: Name): string => join(folder, `${name}.sock`);
const file = (name: Name): string => join(folder, `${name}.toml`);

function configure(name: Name, more = ""): void {
  const peer = name === "a" ? ADDRESS.b : ADDRESS.a;
  const text = `[daemon]
control = "${control(name)}"
runtime-directory = "${join(folder, name)}"
[policy.quick-mode]
lifetime = "10m"
volume = "none"
pfs = "x25519"
[policy.main-mode]
proposals = ["aes128-sha256-x25519"]
[[rule]]
name = "peer"
filters = ["me <-> ${peer}"]
action = "require"
auth = [{ method = "psk", secret = "a throwaway key for this test" }]
${more}`;
  writeFileSync(file(name), text, { mode: 0o600 });
}

async function start(name: Name): Promise<void> {
  const argv = ["netns", "exec", SPACES[name], process.execPath, ...ledgerWords(), MAIN, "daemon", "-c", file(name)];
  const child = spawn("ip", argv, { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.on("data", (chunk: Buffer) => {
    logs[name] += chunk.toString();
  });
  daemons.set(name, child);
  for (let i = 0; i < 400; i++) {
    if (await status(name).catch(() => undefined)) return;
    await wait(50);
  }
  assert.fail(`${name} does not answer\n${logs[name]}`);
}

async function status(name: Name): Promise<Status> {
  let found: Status | undefined;
  await ask({ path: control(name), request: { command: "status" }, onStatus: (document) => (found = document), patienceSeconds: 5 });
  assert.ok(found);
  return found;
}

const cookies = ({ ikeSas }: Status): readonly string[] =>
  ikeSas.map(({ initiatorCookie, responderCookie }) => `${initiatorCookie} ${responderCookie}`);
const spis = ({ childSas }: Status): readonly string[] =>
  childSas.flatMap(({ protections }) => protections.map(({ spiIn, spiOut }) => `${spiIn} ${spiOut}`));

/** Every total of the statistics, by its name and labels. */
async function totals(name: Name): Promise<ReadonlyMap<string, number>> {
  let found: Stats | undefined;
  await ask({ path: control(name), request: { command: "stats", form: "document" }, onStats: (stats) => (found = stats) });
  const counters = (found?.metrics ?? []).filter(({ type }) => type === "counter");
  return new Map(
    counters.flatMap((one) => (one.samples ?? []).map(({ labels, value }) => [`${one.name} ${JSON.stringify(labels)}`, value])),
  );
}

/** Totals that went back. */
const gone = (before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): readonly string[] =>
  [...before].filter(([key, value]) => (now.get(key) ?? 0) < value).map(([key, value]) => `${key}: ${value}, now ${now.get(key)}`);

/** Ends a daemon by a signal to itself, not to the `ip` that started it: after exec they are one process. */
async function stop(name: Name, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  const child = daemons.get(name);
  if (!child || child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

before(async () => {
  run(`ip netns add ${SPACES.a}; ip netns add ${SPACES.b}; ip link add va netns ${SPACES.a} type veth peer name vb netns ${SPACES.b}`);
  for (const [name, device] of [
    ["a", "va"],
    ["b", "vb"],
  ] as const) {
    run(
      `ip -n ${SPACES[name]} addr add ${ADDRESS[name]}/24 dev ${device}; ip -n ${SPACES[name]} link set lo up; ip -n ${SPACES[name]} link set ${device} up`,
    );
    configure(name);
    await start(name);
  }
  const end = await ask({ path: control("a"), request: { command: "initiate", rule: "peer", wait: 30 }, patienceSeconds: 40 });
  assert.equal(end.exit, 0, `${end.text}\n${logs.a}\n${logs.b}`);
  // The responder sends only when it has message 3: a packet before that would make it begin a pair of its own.
  for (let i = 0; i < 200 && (await status("b")).childSas.every(({ state }) => state !== "installed"); i++) await wait(50);
});

after(async () => {
  for (const name of ["a", "b"] as const) await stop(name, "SIGKILL");
  run(`ip netns del ${SPACES.a}; ip netns del ${SPACES.b}`);
  rmSync(folder, { recursive: true });
});

/**
 * Pings 20 times a second while `act` runs and until later ones were answered; how many were sent up to the last that was answered, and how many of
 * those came back. Answers come in order.
 */
async function underTraffic(act: () => Promise<void>): Promise<{ readonly sent: number; readonly received: number }> {
  const ping = spawn("ip", ["netns", "exec", SPACES.a, "ping", "-n", "-i", "0.05", ADDRESS.b], { stdio: ["ignore", "pipe", "inherit"] });
  const answered = new Set<number>();
  let said = "";
  ping.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    for (const [, number] of said.matchAll(/icmp_seq=(\d+) .*\n/g)) answered.add(Number(number));
    said = said.slice(said.lastIndexOf("\n") + 1);
  });
  const gone = new Promise((resolve) => ping.once("close", resolve));
  const more = async (): Promise<void> => {
    const enough = Math.max(0, ...answered) + 10;
    for (let i = 0; i < 1200 && Math.max(0, ...answered) < enough; i++) await wait(50);
  };
  await more();
  await act();
  await more();
  ping.kill("SIGINT");
  await gone;
  return { sent: Math.max(0, ...answered), received: answered.size };
}

for (const [what, signal, name] of [
  ["kill -9 of the initiator's daemon", "SIGKILL", "a"],
  ["kill -9 of the responder's daemon", "SIGKILL", "b"],
  ["a restart of the initiator's daemon", "SIGTERM", "a"],
  ["a restart of the responder's daemon", "SIGTERM", "b"],
] as const)
  test(`${what}, ${TIMES} times under traffic: not a packet lost, the same SAs after as before, and no total went back`, async () => {
    const before = await status(name);
    assert.equal(before.childSas.length, 1);
    const { sent, received } = await underTraffic(async () => {
      for (let i = 0; i < TIMES; i++) {
        await wait(Math.random() * 300);
        const counted = await totals(name);
        assert.ok((counted.get('mainmode_child_bytes_total {"dir":"in","mode":"transport"}') ?? 0) > 0);
        await stop(name, signal);
        await start(name);
        assert.deepEqual(gone(counted, await totals(name)), []);
      }
    });
    assert.ok(sent > 10, `${sent} pings`);
    assert.equal(received, sent, logs[name].slice(-2000));
    const now = await status(name);
    assert.deepEqual([cookies(now), spis(now)], [cookies(before), spis(before)]);
    assert.equal(statSync(join(folder, name, "journal")).mode & 0o777, 0o600);
  });

test("a reload under traffic keeps what it does not touch, and refuses a file that is wrong", async () => {
  const before = await status("a");
  const { sent, received } = await underTraffic(async () => {
    configure(
      "a",
      '[[rule]]\nname = "other"\nfilters = ["me <-> 192.0.2.99"]\naction = "require"\nauth = [{ method = "psk", secret = "another throwaway key" }]\n',
    );
    const end = await ask({ path: control("a"), request: { command: "reload" } });
    assert.deepEqual([end.exit, /added: other/.test(end.text ?? "")], [0, true], end.text);
    writeFileSync(file("a"), "[daemon\n");
    assert.equal((await ask({ path: control("a"), request: { command: "reload" } })).exit, 78);
    configure("a");
    assert.equal((await ask({ path: control("a"), request: { command: "reload" } })).exit, 0);
  });
  assert.equal(received, sent);
  const now = await status("a");
  assert.deepEqual([cookies(now), spis(now)], [cookies(before), spis(before)]);
  assert.ok(!run(`ip -n ${SPACES.a} xfrm policy`).includes("192.0.2.99"));
});

const larval = (): boolean => /spi 0x00000000\b/.test(run(`ip -n ${SPACES.a} xfrm state`));

for (const signal of ["SIGKILL", "SIGTERM"] as const)
  test(`traffic that asked while no daemon ran (${signal}), whose SAs are gone, passes within 5 s of the next start`, async (t) => {
    await stop("a", signal);
    run(`ip -n ${SPACES.a} xfrm state flush`);
    let answeredAt = 0;
    const ping = spawn("ip", ["netns", "exec", SPACES.a, "ping", "-n", "-i", "0.2", ADDRESS.b], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => ping.kill("SIGINT"));
    ping.stdout?.on("data", (chunk: Buffer) => {
      if (answeredAt === 0 && /icmp_seq=\d+ ttl/.test(chunk.toString())) answeredAt = Date.now();
    });
    // The `ip` of a daemon that was killed listens until it hears something: the kernel takes this for asked, for 30 s. Where nobody listens it asks with each packet.
    await wait(1000);
    assert.equal(larval(), signal === "SIGKILL");
    await start("a");
    const startedAt = Date.now();
    for (let i = 0; i < 400 && answeredAt === 0; i++) await wait(100);
    const seconds = (answeredAt - startedAt) / 1000;
    assert.ok(answeredAt > 0 && seconds < 5, `${seconds} s\n${logs.a.slice(-2000)}`);
    // The kernel has put the SA in its place.
    assert.equal(larval(), false);
  });

test("a full stop after all that leaves nothing in the kernel, and no key in the journal", async () => {
  for (const name of ["a", "b"] as const) {
    const end = await ask({ path: control(name), request: { command: "shutdown", keep: false }, patienceSeconds: 20 });
    assert.equal(end.exit, 0);
    await stop(name, "SIGTERM");
    assert.equal(run(`ip -n ${SPACES[name]} xfrm state; ip -n ${SPACES[name]} xfrm policy list nosock`), "");
    const { records } = readRecords(readFileSync(join(folder, name, "journal")));
    assert.deepEqual(
      records.map(({ owner, secret }) => [owner.split(" ")[0], secret]),
      [
        ["mainmode-journal", null],
        ["policies", null],
      ],
    );
  }
});
