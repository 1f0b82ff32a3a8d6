/** The page of commands says what the import does: each tag is tried, and does what its row says. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type ConsecTag, GLOBALS, MAIN_TAGS, RULE_TAGS } from "../../../policy/windows/consec-grammar.ts";
import { COMMANDS } from "../../../policy/windows/grammar.ts";
import { CMDLETS } from "../../../policy/windows/netipsec-grammar.ts";
import { commandsPage, STATIC_FATES, staticFate } from "../../../policy/windows/reference.ts";
import { shown, summary } from "./imported.ts";

const ROOT =
  ["../../..", "../../../.."]
    .map((up) => join(dirname(fileURLToPath(import.meta.url)), up))
    .find((path) => existsSync(join(path, "package.json"))) ?? ".";

test("docs/windows-commands.md is what the tables say (node scripts/windows-commands.js writes it)", () => {
  assert.equal(readFileSync(join(ROOT, "docs/windows-commands.md"), "utf8"), commandsPage());
});

const CERTIFICATES = { allowWeak: true, certificate: "host.pem", key: "host.key", ca: ["root.pem"] } as const;

/** Two scripts that differ in one tag; the row says what that has to change. */
function hold(what: string, fate: ConsecTag["fate"], note: string, without: string, given: string): void {
  const [before, after] = [summary(without, CERTIFICATES), summary(given, CERTIFICATES)];
  const count = (findings: typeof after.findings, code: string): number => findings.filter((finding) => finding.code === code).length;
  const said = after.findings.some(({ code }) => count(after.findings, code) > count(before.findings, code));
  const changed = before.toml !== after.toml || JSON.stringify(before.secrets) !== JSON.stringify(after.secrets);
  if (fate === "mapped") assert.ok(changed, `${what} is mapped, and changes nothing\n${shown(after)}`);
  if (fate === "read" && /; said/.test(note)) assert.ok(said, `${what} is read, and nothing is said\n${given}`);
  if (fate === "refused")
    assert.ok(said && (after.weakens || /left out/.test(note)), `${what} is refused, and nothing is said of it\n${shown(after)}`);
}

const MAIN = "netsh advfirewall set global mainmode mmsecmethods dhgroup14:aes256-sha256\n";
const VALUES: Readonly<Record<string, string>> = {
  name: "Other",
  endpoint1: "192.0.2.77",
  endpoint2: "192.0.2.0/24",
  action: "requireinrequireout",
  description: "something",
  enable: "no",
  profile: "domain",
  type: "dynamic",
  port1: "4000",
  port2: "445",
  protocol: "udp",
  interfacetype: "lan",
  auth1: "computerpsk",
  auth1psk: "other-key",
  auth1kerbproxyfqdn: "kdc.example.test",
  auth1ca: '"CN=Other"',
  auth1ecdsap256ca: '"CN=Other"',
  auth1ecdsap384ca: '"CN=Other"',
  auth2: "userkerb",
  qmpfs: "dhgroup14",
  qmsecmethods: "esp:sha256-aes128",
  mmsecmethods: "ecdhp384:aes256-sha384",
  mmkeylifetime: "60min,5sess",
};
/** What has to stand around a tag, without and with it; the tag's value replaces `@`. */
const AROUND: Readonly<Record<string, string>> = {
  auth1psk: "auth1=computerpsk auth1psk=@",
  auth1ca: "auth1=computerkerb,computercert auth1ca=@",
  auth1ecdsap256ca: "auth1=computerkerb,computercertecdsap256 auth1ecdsap256ca=@",
  auth1ecdsap384ca: "auth1=computerkerb,computercertecdsap384 auth1ecdsap384ca=@",
  auth1: "auth1=@ auth1psk=not-a-real-key",
  port1: "protocol=tcp port1=@",
  port2: "protocol=tcp port2=@",
  mode: "mode=tunnel localtunnelendpoint=198.51.100.1 remotetunnelendpoint=203.0.113.9",
  localtunnelendpoint: "mode=tunnel localtunnelendpoint=198.51.100.5 remotetunnelendpoint=203.0.113.9",
  remotetunnelendpoint: "mode=tunnel localtunnelendpoint=198.51.100.1 remotetunnelendpoint=203.0.113.9",
};
const BASE: Readonly<Record<string, string>> = { name: "R", endpoint1: "any", endpoint2: "192.0.2.2", action: "requestinrequestout" };

const consecRule = (own: string, without: string): string =>
  `${MAIN}netsh advfirewall consec add rule ${Object.entries(BASE)
    .filter(([name]) => name !== without)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ")} ${own}`;

for (const { name, fate, note } of RULE_TAGS)
  test(`consec add rule, ${name}: ${fate}`, () => {
    const value = VALUES[name] ?? "yes";
    const own = (AROUND[name] ?? `${name}=@`).replace("@", value);
    const base = BASE[name] === undefined ? own.replace(new RegExp(`\\s*${name}=("[^"]*"|\\S+)`), "") : `${name}=${BASE[name]}`;
    hold(name, fate, note, consecRule(base, name), consecRule(own, name));
  });

for (const { name, fate, note } of MAIN_TAGS)
  test(`mainmode add rule, ${name}: ${fate}`, () => {
    const rule =
      "\nnetsh advfirewall consec add rule name=R endpoint1=any endpoint2=192.0.2.2 action=requireinrequireout auth1=computerkerb";
    const own = (AROUND[name] ?? `${name}=@`).replace(
      "@",
      name === "endpoint2" ? "203.0.113.0/24" : name === "endpoint1" ? "203.0.113.1" : (VALUES[name] ?? "yes"),
    );
    const base = own.replace(new RegExp(`\\s*${name}=("[^"]*"|\\S+)`), "");
    const main = (words: string): string =>
      `${MAIN}netsh advfirewall mainmode add rule name=M ${name === "mmsecmethods" ? "" : "mmsecmethods=dhgroup14:aes128-sha256"} ${words}${rule}`;
    if (name === "name" || name === "description") return assert.equal(fate, "mapped", "names and comments show in findings only");
    hold(name, fate, note, main(base), main(own));
  });

const GLOBAL_VALUES: Readonly<Record<string, string>> = {
  mmkeylifetime: "60min,5sess",
  mmsecmethods: "ecdhp384:aes256-sha384",
  mmforcedh: "yes",
  strongcrlcheck: "2",
  saidletimemin: "10",
  defaultexemptions: "icmp,dhcp",
  ipsecthroughnat: "never",
};
for (const [section, tags] of Object.entries(GLOBALS))
  for (const { name, fate, note } of tags)
    test(`set global ${section} ${name}: ${fate}`, () => {
      const rule =
        'netsh advfirewall consec add rule name=R endpoint1=any endpoint2=192.0.2.2 action=requireinrequireout auth1=computerkerb,computercert auth1ca="CN=Root"';
      hold(
        name,
        fate,
        note,
        `${MAIN}${rule}`,
        `${MAIN}netsh advfirewall set global ${section} ${name} ${GLOBAL_VALUES[name] ?? "O:LSD:(A;;CC;;;S-1-5-21-1)"}\n${rule}`,
      );
    });

/** The frame of a parameter: what stands before the cmdlet, its other arguments, and what follows. */
const FRAMES: Readonly<Record<string, readonly [string, string, string]>> = {
  rule: ["", "-InboundSecurity Request -OutboundSecurity Request -RemoteAddress 192.0.2.2 -Protocol TCP", ""],
  "main-rule": ["", "", "\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require -RemoteAddress 192.0.2.2"],
  phase1: ["", "", "\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require -Phase1AuthSet set"],
  phase2: ["", "", "\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require -Phase2AuthSet set"],
  main: [
    "",
    "",
    "\nNew-NetIPsecMainModeRule -DisplayName M -MainModeCryptoSet set\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require",
  ],
  quick: ["", "", "\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require -QuickModeCryptoSet set"],
  "main-proposal": [
    "$p = ",
    "-KeyExchange DH14",
    "\nNew-NetIPsecMainModeCryptoSet -DisplayName m -Default -Proposal $p\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require",
  ],
  "quick-proposal": [
    "$p = ",
    "-Encapsulation ESP -ESPHash SHA256",
    "\nNew-NetIPsecQuickModeCryptoSet -DisplayName q -Default -Proposal $p\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require",
  ],
  auth: [
    "$p = ",
    "-Machine -Cert -Authority CN=Root",
    "\nNew-NetIPsecPhase1AuthSet -DisplayName a -Default -Proposal $p\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require",
  ],
  setting: [
    "New-NetIPsecPhase1AuthSet -DisplayName a -Default -Proposal (New-NetIPsecAuthProposal -Machine -Cert -Authority CN=Root)\n",
    "",
    "\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require",
  ],
};
const PROPOSALS: Readonly<Record<string, string>> = {
  phase1: "(New-NetIPsecAuthProposal -Machine -PreSharedKey not-a-real-key)",
  phase2: "(New-NetIPsecAuthProposal -User -Kerberos)",
  main: "(New-NetIPsecMainModeCryptoProposal -Encryption AES128 -Hash SHA256 -KeyExchange DH14)",
  quick: "(New-NetIPsecQuickModeCryptoProposal -Encapsulation ESP -ESPHash SHA256 -Encryption AES128)",
};
const ARGUMENTS: Readonly<Record<string, string>> = {
  DisplayName: "Other",
  Description: "something",
  Enabled: "False",
  Profile: "Domain",
  Mode: "Tunnel -LocalTunnelEndpoint 198.51.100.1 -RemoteTunnelEndpoint 203.0.113.9",
  InboundSecurity: "Require",
  OutboundSecurity: "None",
  KeyModule: "AuthIP",
  LocalTunnelEndpoint: "198.51.100.5 -Mode Tunnel -RemoteTunnelEndpoint 203.0.113.9",
  RemoteTunnelEndpoint: "203.0.113.9 -Mode Tunnel",
  RemoteTunnelHostname: "gw.example.test -Mode Tunnel -LocalTunnelEndpoint 198.51.100.1 -RemoteTunnelEndpoint 203.0.113.9",
  LocalAddress: "192.0.2.77",
  RemoteAddress: "203.0.113.0/24",
  Protocol: "UDP",
  LocalPort: "4000",
  RemotePort: "445",
  InterfaceType: "Wired",
  PolicyStore: "example.test\\policy",
  GPOSession: "$session",
  Encryption: "AES128",
  Hash: "SHA256",
  KeyExchange: "DH20",
  Encapsulation: "AH,ESP -AHHash SHA256",
  AHHash: "SHA256 -Encapsulation AH,ESP",
  ESPHash: "SHA1",
  MaxKiloBytes: "50000",
  MaxMinutes: "30",
  MaxSessions: "9",
  PerfectForwardSecrecyGroup: "DH14",
  Exemptions: "Icmp",
  CertValidationLevel: "RequireCrlCheck",
  User: '"O:LSD:(A;;CC;;;S-1-5-21-1)"',
  Machine: '"O:LSD:(A;;CC;;;S-1-5-21-1)"',
  ForwardPathLifetime: "80",
  MaxSAIdleTimeSeconds: "300",
  AllowWatchKey: "True",
  AllowSetKey: "True",
};

/** Parameters whose effect shows only in how they are named, or which stand in every row of this table. */
const NAMES = new Set([
  "Name",
  "IPsecRuleName",
  "Phase1AuthSet",
  "QuickModeCryptoSet",
  "MainModeCryptoSet",
  "Proposal",
  "Default",
  "Machine",
  "Cert",
  "Authority",
]);
const AUTH_ARGUMENTS: Readonly<Record<string, string>> = {
  User: "-User -Kerberos",
  Kerberos: "-Machine -Kerberos",
  PreSharedKey: "-Machine -PreSharedKey not-a-real-key",
  Health: "-Machine -Health -Cert -Authority CN=Root",
  Ntlm: "-Machine -Ntlm",
  Anonymous: "-Anonymous",
  SubjectNameType: "-Machine -Cert -Authority CN=Root -SubjectName a.example.test -SubjectNameType DomainName",
  Proxy: "-Machine -Kerberos -Proxy kdc.example.test",
};

for (const { name: cmdlet, verb, subject, parameters } of CMDLETS.filter((one) => one.verb === "new" || one.subject === "setting"))
  for (const { name, kind, fate, note } of parameters) {
    if (NAMES.has(name) && !(subject === "rule" && name === "Machine")) continue;
    test(`${cmdlet} -${name}: ${fate}`, () => {
      const [before, others, behind] = FRAMES[subject] as readonly [string, string, string];
      const made = subject in PROPOSALS ? `-Name set -Proposal ${PROPOSALS[subject]}` : "";
      const display = verb === "new" && !/proposal|auth|setting/.test(subject) && name !== "DisplayName" ? "-DisplayName D" : "";
      const run = (own: string, rest: string): string => `${MAIN}${before}${cmdlet} ${display} ${made} ${rest} ${own}${behind}`;
      const argument = subject === "auth" ? AUTH_ARGUMENTS[name] : undefined;
      if (argument !== undefined) return hold(name, fate, note, run("", others), run("", argument));
      const rest = others.replace(new RegExp(`-${name} \\S+`), "");
      const own = kind === "switch" ? `-${name}` : `-${name} ${ARGUMENTS[name] ?? (kind === "boolean" ? "True" : "something")}`;
      const shorter = own.includes("-Encapsulation") || name === "Encapsulation" ? rest.replace("-Encapsulation ESP", "") : rest;
      if (name === "DisplayName" && subject !== "rule") return assert.equal(fate, "mapped", "it shows in findings only");
      if (name === "DisplayName") return hold(name, fate, note, run("-DisplayName D", rest), run(own, rest));
      if ((name === "Description" || name === "Enabled") && subject !== "rule") return assert.equal(fate, "mapped");
      return hold(
        name,
        fate,
        note,
        run(name === "RemoteAddress" && subject === "rule" ? "-RemoteAddress 192.0.2.2" : "", others),
        run(own, shorter),
      );
    });
  }

test("every tag of ipsec static has its row, and no row stands for nothing", () => {
  const tags = COMMANDS.flatMap((command) => command.tags.map(({ name }) => ({ command, name })));
  assert.deepEqual(
    tags.filter(({ command, name }) => !staticFate(command, name)).map(({ name }) => name),
    [],
  );
  const used = new Set(tags.flatMap(({ command, name }) => [name, `${command.verb} ${command.object} ${name}`]));
  assert.deepEqual(
    Object.keys(STATIC_FATES).filter((key) => !used.has(key)),
    [],
  );
});

const STATIC_VALUES: Readonly<Record<string, string>> = {
  name: "Other",
  newname: "Other",
  description: "something",
  guid: "{0}",
  mmpfs: "yes",
  qmpermm: "7",
  mmlifetime: "60",
  activatedefaultrule: "yes",
  pollinginterval: "60",
  assign: "no",
  mmsecmethods: "3DES-SHA1-3",
  gponame: "x",
  protocol: "UDP",
  mirrored: "no",
  srcaddr: "192.0.2.77",
  dstaddr: "192.0.2.9",
  srcmask: "255.255.0.0",
  dstmask: "24",
  srcport: "4000",
  dstport: "445",
  qmpfs: "yes",
  inpass: "yes",
  soft: "yes",
  action: "block",
  qmsecmethods: "ESP[3DES,SHA1]:900s",
  filterlist: "L2",
  filteraction: "A2",
  conntype: "lan",
  activate: "no",
  kerberos: "yes",
  psk: "not-a-real-key",
  rootca: "CN=Root",
};
const STATIC_FRAME = [
  "add policy name=P activatedefaultrule=no mmsecmethods=3DES-SHA1-3 assign=yes",
  "add policy name=P2 activatedefaultrule=no",
  "add filter filterlist=L srcaddr=me dstaddr=192.0.2.2 protocol=TCP",
  "add filter filterlist=L2 srcaddr=me dstaddr=192.0.2.3",
  "add filteraction name=A action=negotiate qmsecmethods=ESP[3DES,SHA1]",
  "add filteraction name=A2 action=permit",
  "add rule name=R policy=P filterlist=L filteraction=A psk=a-key",
  "add rule name=R2 policy=P filterlist=L2 filteraction=A2",
];
/** Commands that are tried behind the frame, without and with a tag: `@` is where it stands. */
const TRIED: Readonly<Record<string, string>> = {
  "set policy": "set policy name=P @",
  "set filterlist": "set filterlist name=L @",
  "set filteraction": "set filteraction name=A @",
  "set rule": "set rule name=R policy=P @",
  "set defaultrule": "set defaultrule policy=P activate=yes kerberos=yes @",
  "add filter": "add filter filterlist=L srcaddr=me dstaddr=192.0.2.7 protocol=TCP @",
};
const SELF: ReadonlySet<string> = new Set(["name", "filterlist", "policy", "guid", "id"]);

for (const { verb, object, tags } of COMMANDS) {
  const tried = TRIED[`${verb} ${object}`];
  for (const { name } of tried === undefined
    ? []
    : tags.filter((tag) => !SELF.has(tag.name) || (object === "rule" && tag.name === "filterlist"))) {
    const [fate, note] = staticFate({ verb, object }, name) ?? (["read", ""] as const);
    test(`ipsec static ${verb} ${object}, ${name}: ${fate}`, () => {
      const masked = (tried ?? "").replace("srcaddr=me dstaddr=192.0.2.7", name === "srcmask" ? "srcaddr=10.1.0.0 dstaddr=me" : "$&");
      const others = masked.replace(new RegExp(` ${name}=\\S+`), "");
      const kept = object === "defaultrule" && name === "activate" ? tried : undefined;
      const run = (own: string): string =>
        [...STATIC_FRAME, others.replace("@", own)].map((line) => `netsh ipsec static ${line}`).join("\n");
      const value =
        object === "defaultrule" && name === "activate"
          ? "yes"
          : object === "defaultrule" && name === "kerberos"
            ? "no psk=x"
            : (STATIC_VALUES[name] ?? "192.0.2.200");
      const base =
        kept === undefined && new RegExp(` ${name}=`).test(tried ?? "") && object === "filter"
          ? (new RegExp(`${name}=\\S+`).exec(tried ?? "")?.[0] ?? "")
          : "";
      const mainMode = name === "mmsecmethods" ? 'mmsecmethods="3DES-SHA1-3 3DES-MD5-3"' : `${name}=${value}`;
      hold(`${verb} ${object} ${name}`, fate, note, run(base), run(mainMode));
    });
  }
}
