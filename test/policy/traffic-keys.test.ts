import assert from "node:assert/strict";
import { test } from "node:test";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { childSuiteName } from "../../ike/crypto/suite.ts";
import { destroyPolicy, formatDiagnostic, parseConfiguration } from "../../policy/config.ts";
import { startReport } from "../../policy/diagnostic.ts";
import { formatIdentity, parseIdentity } from "../../policy/identity.ts";
import { demandOf, encrypts } from "../../policy/traffic-keys.ts";
import type { Policy } from "../../policy/types.ts";

const parse = (text: string) => parseConfiguration(text, "F", () => ({ ok: false, error: "there is no such file" }));

function accept(text: string): Policy {
  const parsed = parse(text);
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.map(formatDiagnostic).join("\n"));
  destroyPolicy(parsed.value.policy);
  return parsed.value.policy;
}

function refuse(text: string): readonly string[] {
  const parsed = parse(text);
  if (parsed.ok) destroyPolicy(parsed.value.policy);
  assert.ok(!parsed.ok);
  return parsed.error.filter(({ severity }) => severity === "error").map(formatDiagnostic);
}

const rule = (action: string, more = "", filters = '["me <-> 192.0.2.2"]'): string =>
  `[[rule]]\nname = "hr"\naction = "${action}"\nfilters = ${filters}\n${action === "permit" || action === "block" ? "" : 'auth = [{ method = "psk", secret = "k" }]'}\n${more}`;

test("request accepts clear text in, and falls back after 3 seconds for 5 minutes unless it says otherwise", () => {
  assert.deepEqual(accept(rule("request")).rules[0]?.clear, {
    inbound: true,
    discovery: false,
    fallback: { afterSeconds: 3, forSeconds: 300 },
  });
  const own = accept(rule("request", 'fallback-after = "10s"\nfallback-for = "1h"\ndiscovery = true\n')).rules[0]?.clear;
  assert.deepEqual(own, { inbound: true, discovery: true, fallback: { afterSeconds: 10, forSeconds: 3600 } });
  assert.deepEqual(accept(rule("require", "inbound-clear = true\n")).rules[0]?.clear, { inbound: true, discovery: false, fallback: null });
});

test("permit and block ask for no authentication, and refuse the keys of a negotiation", () => {
  assert.deepEqual(accept(rule("permit")).rules[0]?.auth, []);
  assert.match(
    refuse(rule("block", 'auth = [{ method = "psk", secret = "k" }]\n')).join("\n"),
    /a block rule negotiates nothing; remove auth/,
  );
});

test("keys that the action or the mode makes meaningless are refused", () => {
  assert.match(refuse(rule("permit", "discovery = true\n")).join("\n"), /discovery has no meaning with action = "permit"/);
  assert.match(refuse(rule("require", 'fallback-for = "5m"\n')).join("\n"), /only a request rule falls back to clear text/);
  const tunnel = 'mode = "tunnel"\ntunnel = { remote = "203.0.113.9" }\n';
  assert.match(refuse(rule("request", tunnel)).join("\n"), /action = "request" is for transport mode only/);
  assert.match(refuse(rule("require", `${tunnel}discovery = true\n`)).join("\n"), /discovery is for transport mode only/);
});

test("a respond rule without filters is the default response rule, beside rules for the same traffic", () => {
  const [first, second] = accept(
    `${rule("require", "", '["me <-> any"]')}[[rule]]\nname = "d"\naction = "respond"\nauth = [{ method = "psk", secret = "k" }]\n`,
  ).rules;
  assert.deepEqual([first?.defaultResponse, second?.defaultResponse, second?.filters[0]?.text], [false, true, "me <-> any"]);
});

test("exemptions are strict unless said; windows stands for the default set of Windows 2000", () => {
  assert.deepEqual(accept(rule("permit")).exempt, []);
  assert.deepEqual(accept(`[policy]\nexempt = ["windows", "dns"]\n${rule("permit")}`).exempt, [
    "kerberos",
    "dns",
    "rsvp",
    "broadcast",
    "multicast",
  ]);
  assert.deepEqual(accept(`[policy]\nexempt = ["strict"]\n${rule("permit")}`).exempt, []);
  assert.match(refuse(`[policy]\nexempt = ["kerbreos"]\n${rule("permit")}`).join("\n"), /the nearest known one is "kerberos"/);
});

test("guaranteed encryption leaves out inherited offers that do not encrypt, and refuses a rule's own", () => {
  const top = '[policy.quick-mode]\nproposals = ["ah:sha256", "esp:null-sha256", "ah:sha256+esp:aes128-sha256", "esp:aes128-sha256"]\n';
  const { quickMode } = accept(top + rule("require", "require-encryption = true\n")).rules[0] ?? assert.fail();
  assert.deepEqual(quickMode.proposals.map(childSuiteName), ["ah:sha256+esp:aes128-sha256", "esp:aes128-sha256"]);
  assert.ok(quickMode.proposals.every(encrypts));
  const own = rule("require", 'require-encryption = true\nquick-mode = { proposals = ["esp:aes128-sha256", "ah:sha256"] }\n');
  assert.match(refuse(own).join("\n"), /this offer does not encrypt/);
  assert.match(
    refuse(`[policy.quick-mode]\nproposals = ["ah:sha256"]\n${rule("require", "require-encryption = true\n")}`).join("\n"),
    /none of the policy's offers encrypts/,
  );
});

test("a rule demands identities, principals, members of groups and issuers", () => {
  const top = '[policy.groups]\nadmins = ["fqdn:a.example.test", "principal:host/b@EXAMPLE.TEST"]\n';
  const demand = accept(top + rule("require", 'remote-ids = ["group:admins", "fqdn:c.example.test"]\n')).rules[0]?.demand;
  assert.deepEqual(demand?.identities.map(formatIdentity), ["fqdn:a.example.test", "fqdn:c.example.test"]);
  assert.deepEqual(demand?.principals, ["host/b@EXAMPLE.TEST"]);
  const authority = parseIdentity("dn:CN=CA");
  assert.ok(authority.ok);
  assert.deepEqual(demandOf({ "remote-ca": [authority.value] }, new Map(), [], startReport()).issuers, [authority.value]);
  assert.match(
    refuse(rule("require", 'remote-ids = ["group:none"]\n')).join("\n"),
    /there is no group "none"; list its members under \[policy\.groups\]/,
  );
  assert.match(refuse(`[policy.groups]\na = ["group:b"]\n${rule("require")}`).join("\n"), /a group can't be a member here/);
});

const SA = `[[sa]]
name = "printer"
filters = ["me <-> 192.0.2.9"]
local = "192.0.2.1"
remote = "192.0.2.9"
protection = "esp:aes128-sha1"
spi-in = 0x1001
spi-out = 0x1002
key-in = "0x${"11".repeat(36)}"
key-out = "0x${"22".repeat(36)}"
`;

test("a manual SA has its keys and SPIs from the file, and a key of the wrong length is refused with the right one", () => {
  const before = liveSecrets();
  const [sa] = accept(SA + rule("permit")).manual;
  assert.deepEqual([sa?.name, sa?.spiIn, sa?.spiOut, sa?.suite.protocol, sa?.mode], ["printer", 0x1001, 0x1002, "esp", "transport"]);
  assert.match(refuse(SA.replace("11".repeat(36), "11".repeat(20))).join("\n"), /the key has 20 octets, and 36 are needed/);
  assert.match(refuse(SA.replace("0x1001", "12")).join("\n"), /an SPI is from 0x100/);
  assert.match(refuse(SA.replace(/key-out.*\n/, "")).join("\n"), /the key is missing; add key-out-file/);
  assert.equal(liveSecrets(), before);
});
