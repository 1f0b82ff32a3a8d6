/** Daemons with Kerberos on loopback, against a real KDC: everything of the real thing but xfrm. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { ask, type Status } from "../../cli/client.ts";
import { freePort, type Realm, startRealm } from "../../demo/realm.ts";
import { formatDiagnostic, loadConfiguration } from "../../policy/config.ts";
import { freePort as freeUdpPort, type Host, startConfigured } from "../daemon/pair.ts";

const A = "127.0.0.2";
const PEERS = Array.from({ length: 7 }, (_, i) => `127.0.0.${i + 3}`);
const [B = ""] = PEERS;
let realm: Realm;
let other: Realm;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "mainmode-kerberos-"));
  const port = await freePort();
  realm = await startRealm({ others: { "OTHER.TEST": `kdc = 127.0.0.1:${port}` } });
  other = await startRealm({ name: "OTHER.TEST", port });
  process.env["KRB5_CONFIG"] = realm.config;
  process.env["KRB5RCACHEDIR"] = realm.folder;
});

after(async () => {
  await Promise.all([realm.stop(), other.stop()]);
  rmSync(folder, { recursive: true });
});

interface Side {
  readonly addresses: readonly string[];
  readonly rules: readonly { readonly name: string; readonly filter: string; readonly auth: string }[];
}

let files = 0;

async function start(t: TestContext, { addresses, rules }: Side, [port, natPort]: readonly [number, number]): Promise<Host> {
  const file = join(folder, `${++files}.toml`);
  const quoted = addresses.map((address) => `"${address}"`).join(", ");
  const text = rules.map(
    ({ name, filter, auth }) =>
      `[[rule]]\nname = "${name}"\nfilters = ["${filter}"]\naction = "require"\nstart = "never"\nauth = [${auth}]\n`,
  );
  const head = `[daemon]\naddresses = [${quoted}]\nport = ${port}\nnat-port = ${natPort}\n[policy.main-mode]\nproposals = ["aes128-sha256-ecp256"]\n[policy.quick-mode]\npfs = "none"\n`;
  writeFileSync(file, head + text.join(""), { mode: 0o600 });
  const loaded = loadConfiguration(file, undefined);
  if (!loaded.ok) throw new Error(loaded.error.map(formatDiagnostic).join("\n"));
  return startConfigured(t, loaded.value, `${file}.sock`);
}

const ports = async (): Promise<readonly [number, number]> => [await freeUdpPort([A, ...PEERS]), await freeUdpPort([A, ...PEERS])];
const kerberos = (keytab: string, peer: string, more = ""): string =>
  `{ method = "kerberos", keytab = "${keytab}", peer-principal = "${peer}"${more} }`;
const PSK = '{ method = "psk", secret = "for tests only" }';
const principal = (name: string, of = realm): string => `host/${name}.example.test@${of.name}`;
const keytab = (name: string, of = realm): string => of.keytab(`${name}.keytab`, `host/${name}.example.test`);

/** Two daemons with a rule named "peer" about each other. */
async function startPair(t: TestContext, authOfA: string, authOfB: string): Promise<readonly [Host, Host]> {
  const at = await ports();
  const a = await start(t, { addresses: [A], rules: [{ name: "peer", filter: `${A} <-> ${B}`, auth: authOfA }] }, at);
  const b = await start(t, { addresses: [B], rules: [{ name: "peer", filter: `${B} <-> ${A}`, auth: authOfB }] }, at);
  return [a, b];
}

const initiate = (host: Host, rule = "peer", wait = 25) =>
  ask({ path: host.daemon.controlPath, request: { command: "initiate", rule, wait } });

async function status(host: Host): Promise<Status> {
  let found: Status | undefined;
  await ask({ path: host.daemon.controlPath, request: { command: "status" }, onStatus: (document) => (found = document) });
  assert.ok(found);
  return found;
}

const reasons = (host: Host): readonly string[] => host.records.flatMap(({ reason }) => (reason === undefined ? [] : [reason]));

test("two daemons prove themselves by Kerberos, whichever begins, and agree on a child", async (t) => {
  const [a, b] = await startPair(t, kerberos(keytab("a"), principal("b")), kerberos(keytab("b"), principal("a")));
  for (const host of [a, b]) {
    const { exit, text } = await initiate(host);
    assert.equal(exit, 0, `${text}\n${[...a.records, ...b.records].map((record) => record.text).join("\n")}`);
  }
  for (const host of [a, b]) {
    const { ikeSas, childSas } = await status(host);
    assert.deepEqual([...new Set(ikeSas.map(({ auth, state }) => `${auth} ${state}`))], ["kerberos established"]);
    assert.equal(childSas[0]?.state, "installed");
  }
});

test("a rule for every computer of the realm takes one that proves its account, whichever begins, and no host by its service", async (t) => {
  const account = (name: string): string => `${realm.keytab(`${name}-account.keytab`, `${name}$`)}", principal = "${name}$@EXAMPLE.TEST`;
  const any = "*$@EXAMPLE.TEST";
  const [a, b] = await startPair(t, kerberos(account("A"), any), kerberos(account("B"), any));
  for (const host of [a, b]) assert.equal((await initiate(host)).exit, 0, [...a.records, ...b.records].map(({ text }) => text).join("\n"));
  const [c, d] = await startPair(t, kerberos(keytab("c"), "B$@EXAMPLE.TEST"), kerberos(account("B"), any));
  assert.equal((await initiate(c)).exit, 1);
  assert.ok(reasons(d).includes("kerberos-wrong-peer"), reasons(d).join());
});

for (const [what, authOf] of [
  ["names in single octets", ', name-encoding = "latin-1"'],
  ["the octet before the token, and it hashed", ', token-octet = "always", hash-token-octet = true'],
  ["names hashed as on the wire", ', hashed-name = "wire"'],
] as const)
  test(`a peer that differs as Windows may is understood: ${what}`, async (t) => {
    const same = what.includes("hashed") && what.includes("octet") ? authOf : "";
    const [a, b] = await startPair(t, kerberos(keytab("a"), principal("b"), authOf), kerberos(keytab("b"), principal("a"), same));
    assert.equal((await initiate(a)).exit, 0);
    assert.equal((await initiate(b)).exit, 0);
  });

test("who the ticket proves counts, and not who the peer says it is", async (t) => {
  const [a, b] = await startPair(t, kerberos(keytab("a"), principal("b")), kerberos(keytab("b"), principal("c")));
  assert.equal((await initiate(a)).exit, 1);
  assert.ok(reasons(b).includes("kerberos-wrong-peer"), reasons(b).join());
  assert.match(b.records.map(({ text }) => text).join("\n"), /host\/a\.example\.test@EXAMPLE\.TEST/);
  assert.deepEqual(
    (await status(b)).ikeSas.filter(({ state }) => state === "established"),
    [],
  );
});

test("a peer without Kerberos gets the pre-shared key that the rule names next, in both roles", async (t) => {
  const both = `${kerberos(keytab("a"), principal("b"))}, ${PSK}`;
  const [a, b] = await startPair(t, both, PSK);
  assert.equal((await initiate(a)).exit, 0);
  assert.equal((await status(a)).ikeSas[0]?.auth, "psk");
  assert.equal((await status(b)).ikeSas[0]?.auth, "psk");
});

test("without a ticket Kerberos is left out of the offer, with one warning", async (t) => {
  const gone = keytab("gone");
  realm.admin("delprinc -force host/gone.example.test");
  const [a] = await startPair(t, `${kerberos(gone, principal("b"))}, ${PSK}`, `${kerberos(keytab("b"), principal("a"))}, ${PSK}`);
  assert.equal((await initiate(a)).exit, 0);
  assert.equal((await status(a)).ikeSas[0]?.auth, "psk");
  const warnings = a.records.filter(({ event }) => event === "auth.unusable");
  assert.deepEqual(
    warnings.map(({ reason }) => reason),
    ["kerberos-unknown-principal"],
  );
});

test("five peers behind a silent KDC hold up neither a pre-shared key nor another realm, and end with that reason", async (t) => {
  const at = await ports();
  const [kdcPeers, psk, second] = [PEERS.slice(0, 5), PEERS[5] ?? "", PEERS[6] ?? ""];
  const ends = kdcPeers.map((address, i) => ({
    name: `peer ${i}`,
    address,
    ours: kerberos(keytab("a"), principal(`p${i}`)),
    theirs: kerberos(keytab(`p${i}`), principal("a")),
  }));
  const free = [
    { name: "psk", address: psk, ours: PSK, theirs: PSK },
    {
      name: "second",
      address: second,
      ours: kerberos(keytab("a", other), principal("b", other)),
      theirs: kerberos(keytab("b", other), principal("a", other)),
    },
  ];
  const a = await start(
    t,
    { addresses: [A], rules: [...ends, ...free].map(({ name, address, ours }) => ({ name, filter: `${A} <-> ${address}`, auth: ours })) },
    at,
  );
  await start(
    t,
    {
      addresses: PEERS,
      rules: [...ends, ...free].map(({ name, address, theirs }) => ({ name, filter: `${address} <-> ${A}`, auth: theirs })),
    },
    at,
  );
  realm.process.kill("SIGSTOP");
  t.after(() => realm.process.kill("SIGCONT"));
  const order: string[] = [];
  const stuck = ends.map(async ({ name }) => {
    const result = await initiate(a, name);
    order.push(name);
    return result;
  });
  const passed = await Promise.all(free.map(({ name }) => initiate(a, name)));
  assert.deepEqual(
    passed.map(({ exit }) => exit),
    [0, 0],
    passed.map(({ text }) => text).join("\n"),
  );
  assert.deepEqual(order, [], "somebody gave up before the others were through, so that nothing was shown");
  for (const { exit, reason, text } of await Promise.all(stuck)) {
    assert.deepEqual([exit, reason], [1, "kerberos-kdc-unreachable"], text);
    assert.match(text ?? "", /EXAMPLE\.TEST/);
  }
});

test("a KDC that dies in the middle of an exchange ends that exchange with its reason, and the next one works when it is back", async (t) => {
  const dying = await startRealm({ name: "DYING.TEST" });
  t.after(() => dying.stop());
  const before = process.env["KRB5_CONFIG"];
  process.env["KRB5_CONFIG"] = dying.config;
  t.after(() => {
    process.env["KRB5_CONFIG"] = before;
  });
  const [a] = await startPair(t, kerberos(keytab("a", dying), principal("b", dying)), kerberos(keytab("b", dying), principal("a", dying)));
  dying.process.kill("SIGSTOP");
  const asked = initiate(a);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  dying.process.kill("SIGKILL");
  const { exit, reason, text } = await asked;
  assert.deepEqual([exit, reason], [1, "kerberos-kdc-unreachable"], text);
  await dying.revive();
  const again = await initiate(a);
  assert.equal(again.exit, 0, again.text);
});
