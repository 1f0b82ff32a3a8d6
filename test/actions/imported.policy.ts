/**
 * Policies of Windows at work in a kernel with ESP: a script is imported on one host, exported as its mirror image, and that imported on the other
 * one. An isolation policy (Kerberos, request, exemptions), and a tunnel.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask } from "../../cli/client.ts";
import { type Realm, startRealm } from "../../demo/realm.ts";
import { destroyPolicy, loadConfiguration } from "../../policy/config.ts";
import { exportPolicy } from "../../policy/windows/export.ts";
import { importScript } from "../../policy/windows/import.ts";
import { OPTIONS, shown, summary } from "../policy/windows/imported.ts";
import { Lab, type Packet, type Side, wait } from "./lab.ts";

const ADDRESS = { us: "192.0.2.1", theirs: "192.0.2.2" } as const;

const ISOLATION = `@echo off
netsh ipsec static add policy name="Isolation" mmsecmethods="3DES-SHA1-3" activatedefaultrule=no assign=yes
netsh ipsec static add filter filterlist="All IP" srcaddr=me dstaddr=any
netsh ipsec static add filter filterlist="Mail" srcaddr=me dstaddr=any protocol=TCP dstport=25
netsh ipsec static add filteraction name="Request" action=negotiate inpass=yes soft=yes qmsecmethods="ESP[3DES,SHA1]:100000k/3600s"
netsh ipsec static add filteraction name="Permit" action=permit
netsh ipsec static add rule name="Domain" policy="Isolation" filterlist="All IP" filteraction="Request" kerberos=yes
netsh ipsec static add rule name="Mail in clear" policy="Isolation" filterlist="Mail" filteraction="Permit"
`;

const TUNNEL = `set KEY=a throwaway key for this test
netsh ipsec static add policy name="Branch" mmsecmethods="3DES-SHA1-3" activatedefaultrule=no assign=yes
netsh ipsec static add filter filterlist="out" srcaddr=10.1.0.0 srcmask=16 dstaddr=10.2.0.0 dstmask=16 mirrored=no
netsh ipsec static add filter filterlist="in" srcaddr=10.2.0.0 srcmask=16 dstaddr=10.1.0.0 dstmask=16 mirrored=no
netsh ipsec static add filteraction name="Tunnel" action=negotiate qmsecmethods="ESP[3DES,SHA1]:100000k/3600s"
netsh ipsec static add rule name="to the branch" policy="Branch" filterlist="out" filteraction="Tunnel" tunnel=192.0.2.2 psk="%KEY%"
netsh ipsec static add rule name="from the branch" policy="Branch" filterlist="in" filteraction="Tunnel" tunnel=192.0.2.1 psk="%KEY%"
`;

/** One script for both hosts, as a group policy is: each host finds itself on its side of the rules. */
const RULES = `$key = 'a throwaway key for this test'
$main = New-NetIPsecMainModeCryptoSet -DisplayName "Main" -Default -Proposal (New-NetIPsecMainModeCryptoProposal -Encryption AES256 -Hash SHA384 -KeyExchange DH20)
$quick = New-NetIPsecQuickModeCryptoSet -DisplayName "Quick" -PerfectForwardSecrecyGroup DH19 -Proposal \`
  (New-NetIPsecQuickModeCryptoProposal -Encapsulation ESP -Encryption AESGCM256 -ESPHash None)
$auth = New-NetIPsecPhase1AuthSet -DisplayName "Key" -Proposal (New-NetIPsecAuthProposal -Machine -PreSharedKey $key)
New-NetIPsecRule -DisplayName "Two hosts" -LocalAddress 192.0.2.1 -RemoteAddress 192.0.2.2 -InboundSecurity Require -OutboundSecurity Require -Phase1AuthSet $auth.Name -QuickModeCryptoSet $quick.Name
netsh advfirewall consec add rule name="Branch" mode=tunnel endpoint1=10.1.0.0/16 endpoint2=10.2.0.0/16 localtunnelendpoint=192.0.2.1 remotetunnelendpoint=192.0.2.2 action=requireinrequireout auth1=computerpsk auth1psk="$key" qmsecmethods=esp:sha256-aes128
New-NetIPsecRule -DisplayName "Ping in clear" -LocalAddress 192.0.2.1 -RemoteAddress 192.0.2.2 -Protocol ICMPv4
`.replace("-Protocol ICMPv4", "-Protocol ICMPv4 -InboundSecurity None -OutboundSecurity None");

/** What an administrator does: imports the script, and names what it could not: keytab and peer. */
function imported(lab: Lab, side: Side, script: string, realm?: Realm): string {
  const read = importScript(new TextEncoder().encode(script), { ...OPTIONS, local: [ADDRESS[side]] });
  assert.ok(read.ok && !read.value.findings.some(({ weakens }) => weakens), shown(summary(script)));
  let { toml } = read.value;
  for (const { name, octets } of read.value.secrets) {
    const file = join(lab.folder, `${side}-${name}`);
    writeFileSync(file, octets, { mode: 0o600 });
    toml = toml.replaceAll(`"${name}"`, `"${file}"`);
  }
  if (realm) {
    const [own, other] = side === "us" ? ["us", "theirs"] : ["theirs", "us"];
    const keytab = realm.keytab(`${own}.keytab`, `host/${own}.example.test`);
    const entry = `{ method = "kerberos", keytab = "${keytab}", peer-principal = "host/${other}.example.test" }`;
    toml = toml.replaceAll('{ method = "kerberos" }', entry);
  }
  return `[daemon]\ncontrol = "${lab.control(side)}"\nkeep-across-restart = false\n${toml}`;
}

/** The script that the other host gets. Keys are variables in it. */
function mirrored(lab: Lab, configuration: string): string {
  const file = join(lab.folder, "exported.toml");
  writeFileSync(file, configuration, { mode: 0o600 });
  const loaded = loadConfiguration(file, undefined);
  assert.ok(loaded.ok, loaded.ok ? "" : loaded.error.map(({ message }) => message).join());
  const { script, findings } = exportPolicy(loaded.value.policy, { mirror: { local: ADDRESS.us } });
  destroyPolicy(loaded.value.policy);
  assert.deepEqual(
    findings.filter(({ weakens }) => weakens),
    [],
  );
  const keys = [...new Set(script.match(/%PSK_[A-Z0-9_]+%/g) ?? [])];
  return `${keys.map((key) => `set ${key.replaceAll("%", "")}=a throwaway key for this test\r\n`).join("")}${script}`;
}

async function between(lab: Lab, from: string, to: string, act: () => Promise<number>): Promise<readonly [number, readonly string[]]> {
  const since = Date.now() / 1000;
  const answers = await act();
  const ends = [from, to];
  const seen = (await lab.packets()).filter(
    ({ at, source, destination }: Packet) => at >= since && ends.includes(source) && ends.includes(destination),
  );
  return [answers, [...new Set(seen.map(({ kind }) => kind))]];
}

/** Pings until the negotiation that they ask for is over. */
async function reach(lab: Lab, side: Side, from: string, to: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    if ((await lab.ping(side, from, to, 1, "doubtful")) > 0) return;
    await wait(500);
  }
  assert.fail(`${to} can't be reached\n${lab.log("us")}\n${lab.log("theirs")}`);
}

test("an isolation policy and its mirror image: Kerberos proves, ESP protects, what is exempt passes, and `why` names the rules as Windows does", async () => {
  const lab = new Lab({ us: [ADDRESS.us], theirs: [ADDRESS.theirs] });
  let realm: Realm | undefined;
  try {
    realm = await startRealm({ address: ADDRESS.us, port: 88, prefix: ["ip", "netns", "exec", "us"] });
    process.env["KRB5_CONFIG"] = realm.config;
    process.env["KRB5RCACHEDIR"] = realm.folder;
    await lab.watch();
    const ours = imported(lab, "us", ISOLATION, realm);
    const theirs = imported(lab, "theirs", mirrored(lab, ours), realm);
    await lab.start("theirs", theirs);
    await lab.start("us", ours);
    await reach(lab, "us", ADDRESS.us, ADDRESS.theirs);
    const [answers, kinds] = await between(lab, ADDRESS.us, ADDRESS.theirs, () => lab.ping("us", ADDRESS.us, ADDRESS.theirs, 3));
    assert.deepEqual([answers, kinds], [3, ["esp"]]);
    const { ikeSas } = await lab.status("us");
    assert.ok(ikeSas.some(({ auth, rule }) => auth === "kerberos" && rule === "Domain"));
    let said: unknown;
    const packet = { src: ADDRESS.us, dst: ADDRESS.theirs, protocol: 6, sport: 40_000, dport: 25 };
    await ask({ path: lab.control("us"), request: { command: "why", ...packet }, onDocument: (document) => (said = document) });
    assert.equal((said as { readonly rule: string }).rule, "Mail in clear");
  } finally {
    await realm?.stop();
    await lab.end();
  }
});

/** Two hosts with a subnet behind each, and the way to the other one's. */
function withSubnets(): Lab {
  const lab = new Lab({ us: [ADDRESS.us, "10.1.0.1"], theirs: [ADDRESS.theirs, "10.2.0.1"] });
  for (const [side, net, via] of [
    ["us", "10.2.0.0/16", ADDRESS.theirs],
    ["theirs", "10.1.0.0/16", ADDRESS.us],
  ] as const)
    execFileSync("ip", ["-n", side, "route", "add", net, "via", via]);
  return lab;
}

test("a tunnel of two one-way rules and its mirror image: subnets reach each other through ESP", async () => {
  const lab = withSubnets();
  try {
    await lab.watch();
    const ours = imported(lab, "us", TUNNEL);
    const theirs = imported(lab, "theirs", mirrored(lab, ours));
    await lab.start("theirs", theirs);
    await lab.start("us", ours);
    await reach(lab, "us", "10.1.0.1", "10.2.0.1");
    const [answers, kinds] = await between(lab, ADDRESS.us, ADDRESS.theirs, () => lab.ping("theirs", "10.2.0.1", "10.1.0.1", 3));
    assert.deepEqual([answers, kinds], [3, ["esp"]]);
    const { childSas } = await lab.status("theirs");
    assert.deepEqual(childSas[0]?.tunnel, { local: ADDRESS.theirs, remote: ADDRESS.us });
  } finally {
    await lab.end();
  }
});

test("connection security rules of one script on both hosts: transport and tunnel through ESP, what is exempt in clear", async () => {
  const lab = withSubnets();
  try {
    await lab.watch();
    await lab.start("theirs", imported(lab, "theirs", RULES));
    await lab.start("us", imported(lab, "us", RULES));
    await reach(lab, "us", "10.1.0.1", "10.2.0.1");
    const [answers, kinds] = await between(lab, ADDRESS.us, ADDRESS.theirs, () => lab.ping("theirs", "10.2.0.1", "10.1.0.1", 3));
    assert.deepEqual([answers, kinds], [3, ["esp"]]);
    const [clear, seen] = await between(lab, ADDRESS.us, ADDRESS.theirs, () => lab.ping("us", ADDRESS.us, ADDRESS.theirs, 3));
    assert.equal(clear, 3);
    assert.ok(!seen.includes("esp"), seen.join());
    await ask({ path: lab.control("us"), request: { command: "initiate", rule: "Two hosts", wait: 20 }, onDocument: () => undefined });
    const { ikeSas, childSas } = await lab.status("us");
    assert.ok(
      ikeSas.every(({ encryption, hash, group }) => [encryption, hash, group].join() === "aes256,sha384,ecp384"),
      JSON.stringify(ikeSas),
    );
    const host = childSas.find(({ rule }) => rule === "Two hosts");
    assert.deepEqual([host?.protections[0]?.encryption, host?.group], ["aes256gcm16", "ecp256"]);
    assert.deepEqual(childSas.find(({ rule }) => rule === "Branch")?.tunnel, { local: ADDRESS.us, remote: ADDRESS.theirs });
  } finally {
    await lab.end();
  }
});
