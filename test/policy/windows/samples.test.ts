/** Whole scripts as they are found on disks, written for this project, with everything that comes of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { refusals } from "./accepted.ts";
import { summary as imported, shown } from "./imported.ts";

/** Whatever comes of a script, `check` accepts it. */
const summary: typeof imported = (script, options) => {
  const got = imported(script, options);
  assert.deepEqual(refusals(got.toml), [], got.toml);
  return got;
};

const SQL = `@echo off
netsh ipsec static add policy name="SQL protect" description="HR app to DB" activatedefaultrule=no mmsecmethods="3DES-SHA1-3 3DES-SHA1-2" assign=no
netsh ipsec static add filterlist name="To DB"
netsh ipsec static add filter filterlist="To DB" srcaddr=me dstaddr=10.20.0.15 protocol=TCP srcport=0 dstport=1433 mirrored=yes description="app to db"
netsh ipsec static add filteraction name="ESP only" qmpfs=yes inpass=no soft=no action=negotiate qmsecmethods="ESP[3DES,SHA1]:100000k/3600s"
netsh ipsec static add rule name="Protect SQL" policy="SQL protect" filterlist="To DB" filteraction="ESP only" conntype=all activate=yes psk="not-a-real-key-1"
netsh ipsec static set policy name="SQL protect" assign=y
`;

test("one port between two hosts, with a pre-shared key", () => {
  const got = summary(SQL, { allowWeak: true });
  assert.deepEqual(got.rules, ["Protect SQL: require me <-> 10.20.0.15:1433 tcp by psk esp:3des-sha1, 3600s, 100000kB, main-mode"]);
  assert.equal(got.mainMode, "3des-sha1-modp2048 3des-sha1-modp1024, 480m, 0, false");
  assert.deepEqual(got.secrets, ["protect-sql.psk: not-a-real-key-1"]);
  assert.deepEqual(got.codes, [], shown(got));
  assert.ok(!got.toml.includes("not-a-real-key"), "the key is not in the configuration");
  assert.match(got.toml, /^allow-weak = \["modp1024"\]$/m);
});

test("better offers stand in front, weak ones go", () => {
  const got = summary(SQL, { upgradeCrypto: true });
  assert.equal(got.mainMode, "aes256-sha256-modp2048 3des-sha1-modp2048, 480m, 0, false");
  assert.match(got.rules.join(), /esp:aes256-sha256 esp:3des-sha1/);
  assert.ok(!got.weakens, shown(got));
});

test("server isolation: request, Kerberos before a certificate, exemptions", () => {
  const script = `netsh ipsec static set store location=local
netsh ipsec static add policy name=Isolation mmlifetime=480 qmpermm=0 pollinginterval=60
netsh ipsec static add filteraction name=Permit action=permit
netsh ipsec static add filteraction name=Request inpass=yes soft=yes action=negotiate qmsec="ESP[3DES,SHA1]:100000k/3600s AH[SHA1]:204800k/3600s"
netsh ipsec static add filter filterlist=Exempt srcaddr=me dstaddr=DNS desc="infra"
netsh ipsec static add filter filterlist=Exempt srcaddr=me dstaddr=GATEWAY
netsh ipsec static add filter filterlist=Exempt srcaddr=me dstaddr=any proto=ICMP
netsh ipsec static add filter filterlist=Corp srcaddr=me dstaddr=10.0.0.0 dstmask=255.0.0.0
netsh ipsec static add rule name=r1 policy=Isolation filterlist=Exempt filteraction=Permit
netsh ipsec static add rule name=r2 policy=Isolation filterlist=Corp filteraction=Request kerberos=yes rootca="C=US,O=Example,CN=Example Root CA certmap:no excludecaname:no"
netsh ipsec static set policy name=Isolation assign=yes
`;
  const got = summary(script, { upgradeCrypto: true, certificate: "host.pem", key: "host.key", ca: ["root.pem"] });
  assert.deepEqual(got.rules, [
    "r1: permit me <-> dns | me <-> gateway | me <-> any icmp",
    "r2: request inbound-clear me <-> 10.0.0.0/8 by kerberos>x509 esp:aes256-sha256 esp:3des-sha1 ah:sha1, 3600s, 100000kB, none",
  ]);
  assert.deepEqual(got.codes, ["W_POLLING@2", "W_MIXED_OFFERS@10"], shown(got));
});

const TUNNEL = `netsh ipsec static add policy name=Branch activatedefaultrule=no mmsec="3DES-SHA1-3"
netsh ipsec static add filter filterlist=HQ-to-BR srcaddr=192.168.1.0 srcmask=24 dstaddr=192.168.9.0 dstmask=24 mirrored=no
netsh ipsec static add filter filterlist=BR-to-HQ srcaddr=192.168.9.0 srcmask=24 dstaddr=192.168.1.0 dstmask=24 mirrored=no
netsh ipsec static add filteraction name=TunnelESP action=negotiate qmsec="ESP[3DES,SHA1]:50000k/3600s"
netsh ipsec static add rule name=out policy=Branch filterlist=HQ-to-BR filteraction=TunnelESP tunnel=203.0.113.9 psk="not-a-real-key-2"
netsh ipsec static add rule name=in  policy=Branch filterlist=BR-to-HQ filteraction=TunnelESP tunnel=198.51.100.1 psk="not-a-real-key-2"
netsh ipsec static set policy name=Branch assign=yes
`;

test("two one-way rules are one tunnel, seen from either gateway", () => {
  const end = "by psk esp:3des-sha1, 3600s, 50000kB, none";
  assert.deepEqual(summary(TUNNEL, { local: ["198.51.100.1"] }).rules, [
    `out: require 192.168.1.0/24 <-> 192.168.9.0/24 tunnel 198.51.100.1..203.0.113.9 ${end}`,
  ]);
  assert.deepEqual(summary(TUNNEL, { local: ["203.0.113.9"] }).rules, [
    `in: require 192.168.9.0/24 <-> 192.168.1.0/24 tunnel 203.0.113.9..198.51.100.1 ${end}`,
  ]);
});

test("a tunnel whose own end is not known stays a comment and says how to go on", () => {
  const got = summary(TUNNEL);
  assert.deepEqual(got.codes, ["E_TUNNEL_UNPAIRED@6"], shown(got));
  assert.ok(
    got.rules.every((rule) => rule.startsWith("# ")),
    got.rules.join("\n"),
  );
  assert.match(shown(got), /--local/);
  assert.ok(got.weakens);
});

test("half a tunnel is no tunnel", () => {
  const got = summary(
    TUNNEL.split("\n")
      .filter((line) => !line.includes("name=in "))
      .join("\n"),
    { local: ["198.51.100.1"] },
  );
  assert.ok(got.codes.includes("E_TUNNEL_UNPAIRED@5"), shown(got));
});

test("a firewall of permits and blocks, with names instead of tags", () => {
  const script = `@echo off
netsh ipsec static add policy name=Shield > nul
netsh ipsec static add filter filterlist=Ports srcaddr=any dstaddr=Me dstport=445 protocol=TCP
netsh ipsec static add filter filterlist=Ports srcaddr=any dstaddr=Me dstport=135 protocol=TCP
netsh ipsec static add filter Admin 192.0.2.10 me TCP dstport=3389 || echo failed
netsh ipsec static add filteraction name=Blocked action=block
netsh ipsec static add filteraction Allowed action=permit
netsh ipsec static add rule name="Block ports" policy=Shield filterlist=Ports filteraction=Blocked
netsh ipsec static add rule "Admin" Shield Admin Allowed
netsh ipsec static set policy name=Shield assign=y
pause
`.replace("192.0.2.10 me TCP", "192.0.2.10 me protocol=TCP");
  const got = summary(script);
  assert.deepEqual(got.rules, ["Block ports: block any <-> me:445 tcp | any <-> me:135 tcp", "Admin: permit 192.0.2.10 <-> me:3389 tcp"]);
  assert.equal(got.mainMode, "none");
  assert.deepEqual(got.codes, [], shown(got));
});

test("the three stock policies", () => {
  const rule = (soft: string): string => `netsh ipsec static add policy S activatedefaultrule=yes mmsec="3DES-SHA1-3"
netsh ipsec static add filter "All IP Traffic" me any
netsh ipsec static add filter "All ICMP Traffic" me any protocol=ICMP
netsh ipsec static add filteraction Permit action=permit
netsh ipsec static add filteraction Security inpass=yes soft=${soft} qmsec="ESP[3DES,SHA1]:100000k/900s"
netsh ipsec static add rule ICMP S "All ICMP Traffic" Permit
netsh ipsec static add rule IP S "All IP Traffic" Security kerberos=yes
netsh ipsec static set defaultrule S kerberos=yes
netsh ipsec static set policy S assign=y`;
  const quick = "by kerberos esp:3des-sha1, 900s, 100000kB, none";
  const standard = "Default response: respond me <-> any by kerberos esp:3des-sha1, 3600s, 100000kB, none";
  assert.deepEqual(summary(rule("yes")).rules, ["ICMP: permit me <-> any icmp", `IP: request inbound-clear me <-> any ${quick}`, standard]);
  assert.deepEqual(summary(rule("no")).rules, ["ICMP: permit me <-> any icmp", `IP: require inbound-clear me <-> any ${quick}`, standard]);
  const client = 'netsh ipsec static add policy "Client (Respond Only)" activatedefaultrule=yes mmsec=3DES-SHA1-3 assign=y';
  assert.deepEqual(summary(client).rules, [standard]);
});

test("scripts are read in the encodings that they come in", () => {
  const script = 'netsh ipsec static add policy name="Zürich" assign=y';
  const wide = Uint8Array.from([0xff, 0xfe, ...Buffer.from(script, "utf16le")]);
  const bare = Uint8Array.from(Buffer.from(script.replace("ü", "u"), "utf16le"));
  assert.match(summary(script).toml, /name = "Zürich"/);
  assert.match(summary(wide).toml, /name = "Zürich"/);
  assert.match(summary(Uint8Array.from(Buffer.from(script, "latin1"))).toml, /name = "Zürich"/);
  assert.match(summary(bare).toml, /name = "Zurich"/);
  assert.deepEqual(summary(script, { encoding: "no-such" }).codes, ["E_NO_SUCH_OBJECT@1", "E_ENCODING@1"].reverse());
});

test("one policy of several is chosen, and the others are named", () => {
  const script = "netsh ipsec static add policy A\nnetsh ipsec static add policy B assign=y\nnetsh ipsec static add policy C";
  assert.match(summary(script).toml, /name = "B"/);
  assert.match(summary(script, { policy: "c" }).toml, /name = "C"/);
  assert.deepEqual(summary(script, { policy: "D" }).codes, ["E_NO_SUCH_OBJECT@1"]);
  assert.deepEqual(summary(script.replace(" assign=y", "")).codes, ["W_NOT_ASSIGNED@1"]);
});

test("keys that would read as something else are written as hex", () => {
  const keyed = (key: string) => summary(`${TUNNEL.replaceAll("not-a-real-key-2", key)}`, { local: ["198.51.100.1"] }).secrets;
  assert.deepEqual(keyed("0xnot"), ["out.psk: 0x30786e6f74"]);
  assert.deepEqual(keyed("äö"), ["out.psk: äö"]);
});

test("no finding and no report shows a key", () => {
  const got = summary(`${TUNNEL}netsh ipsec dynamic add rule psk="secret-word"\nnetsh ipsec static add rule x y z psk=secret-word junk\n`);
  assert.ok(!/not-a-real-key|secret-word/.test(shown(got) + got.toml), shown(got));
});
