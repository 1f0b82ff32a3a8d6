/** Connection security rules: whole scripts, and every word of the tables one by one. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { WORDS } from "../../../policy/windows/consec-grammar.ts";
import { blocksOf } from "../../packages/guides.ts";
import { refusals } from "./accepted.ts";
import { CONSEC_SCRIPTS, MAIN } from "./consec-scripts.ts";
import { type Summary, shown, summary } from "./imported.ts";

for (const { name, script, options = {}, rules, codes = [] } of CONSEC_SCRIPTS) {
  test(`import: ${name}`, () => {
    const got = summary(script, options);
    assert.deepEqual(got.rules, rules, shown(got));
    assert.deepEqual(got.codes, codes, shown(got));
    assert.deepEqual(refusals(got.toml), [], got.toml);
    assert.doesNotMatch(shown(got) + got.toml, /not.a.real.key/, "no finding and no configuration shows a key");
  });
}

test("there are at least twenty scripts of connection security rules", () => {
  assert.ok(CONSEC_SCRIPTS.length >= 20);
  assert.equal(new Set(CONSEC_SCRIPTS.map(({ name }) => name)).size, CONSEC_SCRIPTS.length);
});

const CERTIFICATES = { certificate: "host.pem", key: "host.key", ca: ["root.pem"] } as const;
const OFFER = "qmsecmethods=esp:sha256-aes256+60min+100000kb";
const QUICK = "esp:aes256-sha256, 3600s, 100000kB, none";

function checked(script: string, options: Parameters<typeof summary>[1] = {}): Summary {
  const got = summary(script, options);
  assert.deepEqual(refusals(got.toml), [], got.toml);
  return got;
}
const consec = (words: string, options: Parameters<typeof summary>[1] = {}): Summary =>
  checked(`${MAIN}\nnetsh advfirewall consec add rule name=R endpoint1=any endpoint2=192.0.2.2 ${words}`, options);
const TUNNEL = "mode=tunnel localtunnelendpoint=198.51.100.1 remotetunnelendpoint=203.0.113.9";
const KEY = "auth1=computerpsk auth1psk=not-a-real-key";

/** The action of a rule alone, and the codes of its line. */
const outcome = ({ rules, codes }: Summary): string =>
  [
    /^(# )?R: ([a-z -]*[a-z])/
      .exec(rules[0] ?? "")
      ?.slice(1)
      .join("") ?? "nothing",
    ...codes.map((code) => code.replace(/@.*/, "")),
  ].join(" ");

const ACTIONS: Readonly<Record<(typeof WORDS.action)[number], readonly [string, string]>> = {
  requireinrequestout: ["require discovery me W_CLEAR_ANSWERS", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  requestinrequestout: ["request inbound-clear discovery me", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  requireinrequireout: ["require me", "require any W_TUNNEL_MAIN_MODE"],
  requireinclearout: ["# require me E_SUBSET", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  noauthentication: ["permit me", "permit any"],
};

for (const action of WORDS.action)
  test(`action=${action}, in transport and in tunnel mode`, () => {
    const [transport, tunnel] = ACTIONS[action];
    assert.equal(outcome(consec(`action=${action} ${KEY} ${OFFER}`)), transport);
    assert.equal(outcome(consec(`action=${action} ${TUNNEL} ${KEY} ${OFFER}`)), tunnel);
  });

const CMDLET_ACTIONS: Readonly<Record<string, readonly [string, string]>> = {
  "None None": ["permit me", "permit any"],
  "Request None": ["respond me", "# require any E_SUBSET W_TUNNEL_MAIN_MODE"],
  "Request Request": ["request inbound-clear discovery me", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  "Require Request": ["require discovery me W_CLEAR_ANSWERS", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  "Require Require": ["require me", "require any W_TUNNEL_MAIN_MODE"],
  "Require None": ["# require me E_SUBSET", "require any W_TUNNEL_STRICT W_TUNNEL_MAIN_MODE"],
  "None Request": ["# require me E_SUBSET", "# require any E_SUBSET W_TUNNEL_MAIN_MODE"],
  "None Require": ["# require me E_SUBSET", "# require any E_SUBSET W_TUNNEL_MAIN_MODE"],
  "Request Require": ["# require me E_SUBSET", "# require any E_SUBSET W_TUNNEL_MAIN_MODE"],
};

for (const [words, [transport, tunnel]] of Object.entries(CMDLET_ACTIONS))
  test(`-InboundSecurity and -OutboundSecurity: ${words}`, () => {
    const [inbound, outbound] = words.split(" ");
    const rule = (more: string): Summary =>
      checked(
        `${MAIN}\nNew-NetIPsecRule -DisplayName R -InboundSecurity ${inbound} -OutboundSecurity ${outbound} -RemoteAddress 192.0.2.2 ${more}`,
      );
    assert.equal(outcome(rule("")), transport);
    assert.equal(outcome(rule("-Mode Tunnel -LocalTunnelEndpoint 198.51.100.1 -RemoteTunnelEndpoint 203.0.113.9")), tunnel);
  });

const AUTH1: Readonly<Record<(typeof WORDS.auth1)[number], readonly [string, string, readonly string[]]>> = {
  computerkerb: ["", "by kerberos", []],
  computercert: ['auth1ca="C=US, O=Example, CN=Root certmapping:no excludecaname:no catype:root"', "by x509", []],
  computercertecdsap256: ['auth1ecdsap256ca="CN=Root"', "by x509", ["W_SETTING@2"]],
  computercertecdsap384: ['auth1ecdsap384ca="CN=Root | CN=Other"', "by x509", ["W_SETTING@2", "W_SETTING@2"]],
  computerpsk: ["auth1psk=not-a-real-key", "by psk", []],
  computerntlm: ["", "", ["W_AUTHIP@2", "E_AUTHIP@2"]],
  anonymous: ["", "", ["W_AUTHIP@2", "E_AUTHIP@2"]],
};

for (const method of WORDS.auth1)
  test(`auth1=${method}, alone and behind Kerberos`, () => {
    const [more, by, codes] = AUTH1[method];
    const alone = consec(`action=requireinrequireout auth1=${method} ${more} ${OFFER}`, CERTIFICATES);
    assert.equal(alone.rules[0], `${by === "" ? "# " : ""}R: require me <-> 192.0.2.2${by && ` ${by}`} ${QUICK}`);
    assert.deepEqual(alone.codes, codes, shown(alone));
    if (method === "computerkerb") return;
    const behind = consec(`action=requireinrequireout auth1=computerkerb,${method} ${more} ${OFFER}`, CERTIFICATES);
    assert.equal(behind.rules[0], `R: require me <-> 192.0.2.2 by kerberos${by.replace("by ", ">")} ${QUICK}`);
    assert.ok(!behind.weakens, shown(behind));
    if (more === "") return;
    const bare = consec(`action=requireinrequireout auth1=${method} ${OFFER}`, CERTIFICATES);
    assert.deepEqual(bare.codes, ["E_SYNTAX@2"], shown(bare));
  });

for (const method of WORDS.auth2)
  test(`auth2=${method} is refused, whatever else there is`, () => {
    const got = consec(`action=requireinrequireout auth1=computerkerb auth2=${method} ${OFFER}`);
    assert.equal(got.rules[0], `# R: require me <-> 192.0.2.2 ${QUICK}`);
    assert.deepEqual(got.codes, ["E_AUTHIP@2"]);
    assert.ok(got.weakens);
  });

const GROUPS = {
  dhgroup1: "modp768",
  dhgroup2: "modp1024",
  dhgroup14: "modp2048",
  dhgroup24: null,
  ecdhp256: "ecp256",
  ecdhp384: "ecp384",
} as const;
const CIPHERS = { des: "des", "3des": "3des", aes128: "aes128", aes192: "aes192", aes256: "aes256" } as const;
const HASHES = ["md5", "sha1", "sha256", "sha384"] as const;

test("mmsecmethods: every group with every cipher and every hash", () => {
  for (const [group, ourGroup] of Object.entries(GROUPS))
    for (const [cipher, ourCipher] of Object.entries(CIPHERS))
      for (const hash of HASHES) {
        const offer = `${group}:${cipher}-${hash}`;
        const script = `netsh advfirewall set global mainmode mmsecmethods ${offer}\nnetsh advfirewall consec add rule name=R endpoint1=any endpoint2=192.0.2.2 action=requireinrequireout ${KEY} ${OFFER}`;
        const got = checked(script, { allowWeak: true });
        assert.equal(got.mainMode, `${ourGroup === null ? "" : `${ourCipher}-${hash}-${ourGroup}`}, 480m, 0, false`, offer);
        assert.deepEqual(got.codes, ourGroup === null ? ["W_UNKNOWN_ALGORITHM@1", "E_NO_METHOD@1"] : [], offer);
      }
});

test("mmsecmethods: lists, a group that goes on, dashes, default", () => {
  const main = (offers: string): string =>
    checked(
      `netsh advfirewall set global mainmode mmsecmethods ${offers}\nnetsh advfirewall consec add rule name=R endpoint1=any endpoint2=192.0.2.2 action=requireinrequireout ${KEY} ${OFFER}`,
      { allowWeak: true },
    ).mainMode;
  assert.equal(main("dhgroup14:3des-sha256,3des-sha384"), "3des-sha256-modp2048 3des-sha384-modp2048, 480m, 0, false");
  assert.equal(main("dhgroup14-aes128-sha1,ecdhp384-aes256-sha384"), "aes128-sha1-modp2048 aes256-sha384-ecp384, 480m, 0, false");
  assert.equal(main("default"), "aes128-sha1-modp1024 3des-sha1-modp1024, 480m, 0, false");
});

const INTEGRITIES = [
  "none",
  "md5",
  "sha1",
  "sha256",
  "aesgmac128",
  "aesgmac192",
  "aesgmac256",
  "aesgcm128",
  "aesgcm192",
  "aesgcm256",
] as const;
const ENCRYPTIONS = ["none", ...Object.keys(CIPHERS), "aesgcm128", "aesgcm192", "aesgcm256"] as const;

/** What an offer of ESP comes to; null: it is left out. */
function espOffer(integrity: string, cipher: string): string | null {
  const combined = /^aesgcm(\d+)$/.exec(cipher);
  if (combined) return integrity === cipher || integrity === "none" ? `esp:aes${combined[1]}gcm16` : null;
  if (!/^(md5|sha1|sha256)$/.test(integrity)) return null;
  return `esp:${cipher === "none" ? "null" : cipher}-${integrity}`;
}

test("qmsecmethods: every integrity with every cipher, and AH before each", () => {
  for (const integrity of INTEGRITIES)
    for (const cipher of ENCRYPTIONS) {
      const offer = `esp:${integrity}-${cipher}`;
      const wanted = espOffer(integrity, cipher);
      for (const [text, ours] of [
        [offer, wanted],
        [`ah:sha256+${offer}`, wanted && `ah:sha256+${wanted}`],
      ]) {
        const got = consec(`action=requireinrequireout ${KEY} qmsecmethods=${text}+15min+50000kb`, { allowWeak: true });
        assert.equal(
          got.rules[0],
          ours ? `R: require me <-> 192.0.2.2 by psk ${ours}, 900s, 50000kB, none` : "# R: require me <-> 192.0.2.2 by psk",
          `${text}\n${shown(got)}`,
        );
        assert.deepEqual([...got.codes].sort(), ours ? [] : ["E_NO_METHOD@2", "W_UNKNOWN_ALGORITHM@2"], text as string);
      }
    }
});

test("qmsecmethods: AH alone, packets without encapsulation, lists, default, and what is no offer", () => {
  const quick = (offers: string): readonly string[] => {
    const got = consec(`action=requireinrequireout ${KEY} qmsecmethods=${offers}`, { allowWeak: true });
    return [/by psk ?(.*)$/.exec(got.rules[0] ?? "")?.[1] ?? "", ...got.codes.map((code) => code.replace("@2", ""))];
  };
  for (const hash of ["md5", "sha1", "sha256"]) assert.deepEqual(quick(`ah:${hash}`), [`ah:${hash}, 3600s, 100000kB, none`]);
  assert.deepEqual(quick("ah:aesgmac128"), ["", "E_NO_METHOD", "W_UNKNOWN_ALGORITHM"]);
  assert.deepEqual(quick("authnoencap:sha1,esp:sha1-aes128"), ["esp:aes128-sha1, 3600s, 100000kB, none", "W_UNKNOWN_ALGORITHM"]);
  assert.deepEqual(quick("default"), ["esp:null-sha1 esp:aes128-sha1 esp:3des-sha1 ah:sha1, 3600s, 100000kB, none"]);
  assert.deepEqual(quick("ESP:SHA1-3DES+100000KB+60MIN"), ["esp:3des-sha1, 3600s, 100000kB, none"]);
  for (const wrong of [
    "esp:sha9-aes128",
    "esp:sha1-rot13",
    "esp:sha1-aes128-x",
    "sha1-aes128",
    "esp:sha1-aes128+5h",
    "ah:sha1+ah:sha1",
    "esp:",
    '""',
  ])
    assert.deepEqual(quick(wrong), ["", "E_NO_SUCH_OBJECT@1", "E_BAD_VALUE"], wrong);
});

test("qmpfs: every word, weak groups on request only", () => {
  const pfs = (word: string, options = {}): string => {
    const got = consec(`action=requireinrequireout ${KEY} ${OFFER} qmpfs=${word}`, options);
    return [/kB, (\S+)/.exec(got.rules[0] ?? "")?.[1] ?? "comment", ...got.codes.map((code) => code.replace("@2", ""))].join(" ");
  };
  assert.deepEqual(
    WORDS.pfs.map((word) => pfs(word)),
    ["none", "main-mode", "comment E_NO_METHOD", "comment E_NO_METHOD", "modp2048", "comment E_NO_METHOD", "ecp256", "ecp384"],
  );
  assert.equal(pfs("dhgroup1", { allowWeak: true }), "modp768");
  assert.equal(pfs("dhgroup2", { allowWeak: true }), "modp1024");
  assert.equal(pfs("dhgroup24", { allowWeak: true }), "comment E_NO_METHOD");
  assert.equal(pfs("dhgroup2", { upgradeCrypto: true }), "modp2048");
});

test("the words of the cmdlets' proposals", () => {
  const main = (words: string): string => {
    const script = `New-NetIPsecMainModeCryptoSet -DisplayName m -Default -Proposal (New-NetIPsecMainModeCryptoProposal ${words})\nNew-NetIPsecRule -DisplayName R -InboundSecurity Require -OutboundSecurity Require`;
    return checked(script, { allowWeak: true }).mainMode.split(",")[0] as string;
  };
  for (const [word, ours] of Object.entries({ DES: "des", DES3: "3des", AES128: "aes128", AES192: "aes192", AES256: "aes256" }))
    assert.equal(main(`-Encryption ${word} -Hash SHA1 -KeyExchange DH14`), `${ours}-sha1-modp2048`);
  for (const word of ["MD5", "SHA1", "SHA256", "SHA384"])
    assert.equal(main(`-Encryption AES128 -Hash ${word} -KeyExchange DH14`), `aes128-${word.toLowerCase()}-modp2048`);
  for (const [word, ours] of Object.entries({ DH1: "modp768", DH2: "modp1024", DH14: "modp2048", DH19: "ecp256", DH20: "ecp384" }))
    assert.equal(main(`-KeyExchange ${word}`), `aes256-sha384-${ours}`, "AES256 and SHA384 are what is not said");
  for (const words of [
    "-Encryption AES128 -Hash SHA1 -KeyExchange DH24",
    "-Encryption AESGCM128 -Hash SHA1 -KeyExchange DH14",
    "-Encryption AES128 -Hash AESGMAC128 -KeyExchange DH14",
  ])
    assert.equal(main(words), "", words);
});

test("no rule of a firewall, no context that is only entered, and no shown rule makes a policy", () => {
  for (const script of [
    "netsh advfirewall consec show rule name=all",
    "netsh advfirewall set allprofiles state on",
    "advfirewall\nconsec",
    "Get-NetIPsecRule",
  ]) {
    const got = summary(script);
    assert.equal(got.toml, "", script);
    assert.ok(got.codes.includes("E_NO_SUCH_OBJECT@1"), shown(got));
  }
});

test("connection security rules that --policy leaves out are said", () => {
  const script = `netsh ipsec static add policy P assign=y\n${MAIN}\nnetsh advfirewall consec add rule name=R endpoint1=any endpoint2=any action=noauthentication`;
  assert.deepEqual(summary(script, { policy: "P" }).codes, ["W_OTHER_POLICY@3"]);
  assert.deepEqual(summary("netsh ipsec static add policy P assign=y", { policy: "connection security rules" }).codes, [
    "E_NO_SUCH_OBJECT@1",
  ]);
});

test("the example of docs/windows-migration.md becomes what stands there", () => {
  const here = dirname(fileURLToPath(import.meta.url));
  const page =
    ["../../..", "../../../.."].map((up) => join(here, up, "docs/windows-migration.md")).find((path) => existsSync(path)) ??
    "docs/windows-migration.md";
  const blocks = blocksOf(readFileSync(page, "utf8"));
  const [script, toml] = ["powershell", "toml"].map((language) => blocks.find((block) => block.language === language)?.text ?? "");
  const got = summary(script ?? "", { fileName: "isolation.ps1" });
  const rule = got.toml.slice(got.toml.indexOf("[[rule]]")).trim();
  assert.equal(rule, toml?.trim());
});
