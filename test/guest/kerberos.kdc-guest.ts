/**
 * Two daemons with Kerberos in two namespaces of a kernel with ESP; the KDC is the peer itself, behind a rule that requires protection. As root,
 * meant for demo/uml-run: it sets the clock.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { kerberosProvider } from "../../auth/providers/gssapi.ts";
import { ask, type Status } from "../../cli/client.ts";
import { type Realm, startRealm, stop, until } from "../../demo/realm.ts";
import { endOf, entryOf, must, refused, tokenOf } from "../kerberos/entries.ts";
import type { Attempt } from "./forger.ts";

type Host = "a" | "b";
const ADDRESS = { a: "10.88.0.1", b: "10.88.0.2" } as const;
const [LIAR, NEXT_TO_C, LIARS_NAME] = ["10.89.0.1", "10.89.0.2", "host/c.example.test"];
const MAIN = "dist/cli/main.js";
/** Octets of authorisation data in each ticket: message 3 needs many fragments. */
const AUTHORISATION = 8000;

const folder = mkdtempSync(join(tmpdir(), "kerberos-"));
const run = (command: string): string => execFileSync("/bin/sh", ["-c", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const on = (host: Host, command: string): string => run(`ip netns exec ka-${host} ${command}`);
let realm: Realm;
let liarsKeytab: string;
const daemons = new Map<Host, ChildProcess>();

before(async () => {
  run("ip netns add ka-a; ip netns add ka-b; ip link add va netns ka-a type veth peer name vb netns ka-b");
  for (const host of ["a", "b"] as const)
    run(
      `ip -n ka-${host} addr add ${ADDRESS[host]}/24 dev v${host}; ip -n ka-${host} link set lo up; ip -n ka-${host} link set v${host} up`,
    );
  // A third host, next to b: a peer of b's that lies.
  run("ip netns add ka-c; ip link add vc netns ka-c type veth peer name vbc netns ka-b");
  run(`ip -n ka-b addr add ${NEXT_TO_C}/24 dev vbc; ip -n ka-b link set vbc up; ip -n ka-c addr add ${LIAR}/24 dev vc`);
  run(`ip -n ka-c link set lo up; ip -n ka-c link set vc up; ip -n ka-c route add ${ADDRESS.b} via ${NEXT_TO_C}`);
  realm = await startRealm({ address: ADDRESS.b, port: 88, prefix: ["ip", "netns", "exec", "ka-b"], authorisation: AUTHORISATION });
  process.env["KRB5_CONFIG"] = realm.config;
  process.env["KRB5RCACHEDIR"] = realm.folder;
  liarsKeytab = realm.keytab("c.keytab", LIARS_NAME);
  const liar = `[[rule]]\nname = "liar"\nfilters = ["me <-> ${LIAR}"]\naction = "require"\nstart = "never"\nauth = [{ method = "kerberos", keytab = "${realm.folder}/b.keytab", peer-principal = "${LIARS_NAME}" }]\n`;
  await Promise.all([start("a"), start("b", liar)]);
});

after(async () => {
  for (const daemon of daemons.values()) await stop(daemon);
  await realm.stop();
  run("ip netns del ka-a; ip netns del ka-b; ip netns del ka-c");
});

const principal = (host: Host): string => `host/${host}.example.test@EXAMPLE.TEST`;
const control = (host: Host): string => join(folder, `${host}.sock`);
const log = (host: Host): string => readFileSync(join(folder, `${host}.log`), { encoding: "utf8", flag: "a+" });

async function start(host: Host, more = ""): Promise<void> {
  const peer = host === "a" ? "b" : "a";
  const keytab = realm.keytab(`${host}.keytab`, `host/${host}.example.test`);
  const file = join(folder, `${host}.toml`);
  writeFileSync(
    file,
    `[daemon]\ncontrol = "${control(host)}"\nruntime-directory = "${join(folder, `${host}.run`)}"\n[policy.main-mode]\nproposals = ["aes128-sha256-ecp256"]\n[policy.quick-mode]\npfs = "none"\n[[rule]]\nname = "peer"\nfilters = ["me <-> ${ADDRESS[peer]}"]\naction = "require"\nauth = [{ method = "kerberos", keytab = "${keytab}", peer-principal = "${principal(peer)}" }]\n${more}`,
    { mode: 0o600 },
  );
  const argv = ["netns", "exec", `ka-${host}`, process.execPath, MAIN, "daemon", "-c", file, "--log-format", "json"];
  // What a daemon before it wrote is not its.
  rmSync(join(folder, `${host}.log`), { force: true });
  const child = spawn("/bin/sh", ["-c", `exec "$0" "$@" 2>${join(folder, `${host}.log`)}`, "ip", ...argv], { stdio: "ignore" });
  daemons.set(host, child);
  await until(
    () => log(host).includes('"svc.started"'),
    () => `the daemon of ${host} did not start: ${log(host)}`,
  );
}

/** The control socket is a file, so that it is reached from outside of the namespace. */
const initiate = (host: Host) =>
  ask({ path: control(host), request: { command: "initiate", rule: "peer", wait: 60 }, patienceSeconds: 70 });
const terminate = (host: Host) =>
  ask({ path: control(host), request: { command: "terminate", target: { kind: "all" } }, patienceSeconds: 20 });

async function status(host: Host): Promise<Status> {
  let found: Status | undefined;
  await ask({ path: control(host), request: { command: "status" }, onStatus: (document) => (found = document) });
  assert.ok(found);
  return found;
}

/** How often something was counted in a host's IPv4. */
function counted(host: Host, name: string): number {
  const [names = "", values = ""] = on(host, "cat /proc/net/snmp").split("\n");
  return Number(values.split(" ")[names.split(" ").indexOf(name)]);
}

const ping = (host: Host): string => on(host, `ping -n -c 3 -i 0.3 -W 3 -w 20 ${ADDRESS[host === "a" ? "b" : "a"]}`);

test("whichever begins, Kerberos leads to ESP: its own traffic to the KDC passes the rule in clear, its long tokens pass in fragments", async () => {
  assert.match(on("a", "ip xfrm policy list"), /dport 88/);
  for (const host of ["a", "b"] as const) {
    const [before, joined] = [counted(host, "FragCreates"), counted(host === "a" ? "b" : "a", "ReasmOKs")];
    const { exit, text } = await initiate(host);
    assert.equal(exit, 0, `${text}\n${log("a")}\n${log("b")}`);
    const pieces = counted(host, "FragCreates") - before;
    assert.ok(pieces >= AUTHORISATION / 1500, `message 3 went out in ${pieces} fragments`);
    assert.ok(counted(host === "a" ? "b" : "a", "ReasmOKs") > joined);
    assert.match(ping(host), / 3 received/);
    const { ikeSas, childSas } = await status(host);
    assert.ok(ikeSas.some(({ auth, role, state }) => auth === "kerberos" && role === "initiator" && state === "established"));
    assert.ok(
      childSas.some(({ state, bytesOut }) => state === "installed" && bytesOut > 0),
      JSON.stringify(childSas),
    );
    await terminate(host);
  }
  assert.match(realm.log(), new RegExp(`TGS_REQ.*${ADDRESS.a}.*host/b`), "a asked nobody over the wire");
});

test("the kernel asks, Kerberos answers: traffic alone makes a negotiation", async () => {
  const before = log("a").length;
  await until(
    () => {
      // More than once: the delete of the SAs before may still be on its way, and a packet through those asks for nothing.
      on("a", `ping -n -c 1 -W 1 -w 1 ${ADDRESS.b} || true`);
      return log("a").slice(before).includes('"child.established"');
    },
    () => `no child: ${log("a")}`,
  );
  assert.match(ping("a"), / 3 received/);
});

test("a daemon whose clock has moved says so, and not that the peer is wrong", async () => {
  await terminate("a");
  // b's daemon takes message 3, and the process that reads its token sleeps until the clock has moved.
  const sleepers = processesOf("b");
  assert.ok(sleepers.length > 0);
  for (const pid of sleepers) process.kill(pid, "SIGSTOP");
  const [before, seen] = [counted("a", "FragCreates"), log("b").length];
  const asked = initiate("a");
  await until(() => counted("a", "FragCreates") > before, "message 3 did not leave");
  run('date -s "+20 minutes"');
  for (const pid of sleepers) process.kill(pid, "SIGCONT");
  await until(
    () => log("b").slice(seen).includes('"reason":'),
    () => `b did not mind: ${log("b").slice(seen)}`,
  );
  run('date -s "-20 minutes"');
  await asked;
  assert.match(log("b").slice(seen), /"reason":"kerberos-clock-skew"/);
});

/** The processes in which a host's daemon speaks to the GSS library. */
function processesOf(host: Host): readonly number[] {
  const daemon = daemons.get(host)?.pid ?? 0;
  const children = readFileSync(`/proc/${daemon}/task/${daemon}/children`, "latin1").trim().split(" ");
  return children.map(Number).filter((pid) => pid > 0 && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("gssapi-process"));
}

test("a token that is older than the clocks allow is refused as that", async () => {
  const here = await startRealm();
  process.env["KRB5_CONFIG"] = here.config;
  const provider = kerberosProvider();
  const [a, b] = (["a", "b"] as const).map((host) => entryOf(principal(host), here.keytab(`${host}.keytab`, `host/${host}.example.test`)));
  assert.ok(a && b);
  try {
    const token = await tokenOf(endOf(provider, a, principal("b")).step(null));
    await must(endOf(provider, b, null).step(token), "gss-stepped");
    const late = await tokenOf(endOf(provider, a, principal("b")).step(null));
    run('date -s "+20 minutes"');
    const what = await refused(endOf(provider, b, null).step(late), "kerberos-clock-skew");
    assert.match(what, /clock/);
  } finally {
    process.env["KRB5_CONFIG"] = realm.config;
    run('date -s "-20 minutes"');
    await provider.close();
    await here.stop();
  }
});

test("a peer with a good keytab that changes or repeats tokens and hashes gets nowhere; b says why each time, and traffic with a goes on", async () => {
  assert.equal((await initiate("a")).exit, 0);
  const before = await standing("a");
  const seen = log("b").length;
  const argv = ["netns", "exec", "ka-c", process.execPath, "dist/test/guest/forger.js", LIAR, NEXT_TO_C, `${LIARS_NAME}@EXAMPLE.TEST`];
  const child = spawn("ip", [...argv, liarsKeytab, principal("b")], { stdio: ["pipe", "pipe", "inherit"] });
  const attempts: Attempt[] = [];
  let marks = seen;
  const reasons = new Map<string, readonly string[]>();
  assert.ok(child.stdout);
  for await (const line of createInterface({ input: child.stdout })) {
    const attempt = JSON.parse(line) as Attempt;
    attempts.push(attempt);
    const said = (): readonly string[] =>
      [
        ...log("b")
          .slice(marks)
          .matchAll(/"reason":"([a-z-]+)"/g),
      ].map(([, reason = ""]) => reason);
    const expected = EXPECTED.find(([name]) => name === attempt.name)?.[1][1];
    // However slow b is: the next one begins when it has said what was wrong with this one.
    if (expected)
      await until(
        () => said().some((reason) => expected.test(reason)),
        () => `${attempt.name}: ${log("b").slice(marks)}`,
      );
    reasons.set(attempt.name, said());
    marks = log("b").length;
    child.stdin?.write("\n");
  }
  const shown = JSON.stringify({ attempts, reasons: [...reasons] });
  const reached = Object.fromEntries(attempts.map((one) => [one.name, one.reached]));
  assert.deepEqual(
    reached,
    { ...Object.fromEntries(EXPECTED.map(([name, [number]]) => [name, number])) },
    `${shown}\n${log("b").slice(seen)}`,
  );
  for (const [name, [, reason]] of EXPECTED)
    if (reason !== null)
      assert.ok(
        reasons.get(name)?.some((each) => reason.test(each)),
        `${name}: ${shown}`,
      );
  assert.match(ping("a"), / 3 received/);
  assert.deepEqual(await standing("a"), before, "the SAs with a are those of before");
});

/** How far each lie of the forger's comes, and what b says of it. */
const EXPECTED: readonly (readonly [string, readonly [Attempt["reached"], RegExp | null]])[] = [
  ["honest", [6, null]],
  ["token seen before", [2, /^kerberos-replay$/]],
  ["ticket changed", [2, /^kerberos-(token-invalid|wrong-key)$/]],
  ["authenticator changed", [2, /^kerberos-token-invalid$/]],
  ["token cut short", [2, /^unexpected-payloads$/]],
  ["hash changed", [4, /^hash-mismatch$/]],
  ["hash empty", [4, /^hash-mismatch$/]],
  ["wrapping changed", [4, /^kerberos-token-invalid$/]],
  ["wrapping seen before", [4, /^kerberos-token-invalid$/]],
  ["wrapping empty", [4, /^unexpected-payloads$/]],
  ["honest again", [6, null]],
];

/** Cookies and SPIs of what stands at a host. */
async function standing(host: Host): Promise<readonly string[]> {
  const { ikeSas, childSas } = await status(host);
  const children = childSas.flatMap(({ state, protections }) => protections.map(({ spiIn, spiOut }) => `${spiIn} ${spiOut} ${state}`));
  return [...ikeSas.map((sa) => `${sa.initiatorCookie} ${sa.state}`), ...children].sort();
}

test("a KDC that is killed when message 1 has left ends the exchange at message 3, with its reason; the next one works when it is back", async () => {
  await terminate("a");
  // A fresh process has no ticket for b.
  await stop(daemons.get("a") as ChildProcess);
  await start("a");
  const peer = daemons.get("b")?.pid ?? 0;
  const asked = realm.log().length;
  process.kill(peer, "SIGSTOP");
  const result = initiate("a");
  // Message 1 lies in b's socket: a has a ticket of its own account, and none for b.
  await until(() => /:01F4 .* [0-9A-F]{8}:(?!00000000)[0-9A-F]{8} /.test(on("b", "cat /proc/net/udp")), "message 1 did not come");
  assert.match(realm.log().slice(asked), /AS_REQ.*host\/a/);
  realm.process.kill("SIGKILL");
  process.kill(peer, "SIGCONT");
  const { exit, reason, text } = await result;
  assert.deepEqual([exit, reason], [1, "kerberos-kdc-unreachable"], `${text}\n${log("a")}`);
  assert.doesNotMatch(realm.log().slice(asked), /TGS_REQ.*host\/b/, "there was a ticket already");
  await realm.revive();
  const again = await initiate("a");
  assert.equal(again.exit, 0, `${again.text}\n${log("a")}`);
  assert.match(ping("a"), / 3 received/);
});
