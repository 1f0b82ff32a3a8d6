import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { formatRange } from "../../isakmp/address.ts";
import { type Configuration, destroyPolicy, formatDiagnostic, parseConfiguration } from "../../policy/config.ts";
import { formatIdentity } from "../../policy/identity.ts";
import { formatChildSuite, formatIkeSuite } from "../../policy/proposal.ts";
import { NO_POLICY } from "../../policy/traffic-keys.ts";
import { diagnose, RULE, reader, site } from "./configurations.ts";

function accept<T>(text: string, look: (configuration: Configuration) => T): T {
  const result = parseConfiguration(text, "F", reader);
  assert.ok(result.ok, result.ok ? "" : result.error.map(formatDiagnostic).join("\n"));
  try {
    return look(result.value);
  } finally {
    destroyPolicy(result.value.policy);
  }
}

test("a file without anything has every default, and a warning", () => {
  accept("", ({ daemon, policy, warnings }) => {
    assert.deepEqual(daemon, {
      control: "/run/mainmode/control.sock",
      addresses: null,
      port: 500,
      natPort: 4500,
      crypto: "openssl",
      keepAcrossRestart: true,
      runtimeDirectory: null,
      onStop: "remove",
      metrics: null,
      web: null,
    });
    assert.deepEqual(policy, { ...NO_POLICY, name: "default" });
    assert.deepEqual(warnings.map(formatDiagnostic), ["F:1:1: warning: there is no [[rule]]; nothing will be protected"]);
  });
});

test("the keys of [daemon] become settings", () => {
  const text = `[daemon]
control = "/tmp/c.sock"
addresses = ["192.0.2.1", "2001:DB8:0::1"]
port = 1500
nat-port = 14500
crypto = "noble"
keep-across-restart = false
runtime-directory = "/run/other"
[policy]
on-stop = "keep"
`;
  accept(text, ({ daemon }) =>
    assert.deepEqual(daemon, {
      control: "/tmp/c.sock",
      addresses: ["192.0.2.1", "2001:db8::1"],
      port: 1500,
      natPort: 14500,
      crypto: "noble",
      keepAcrossRestart: false,
      runtimeDirectory: "/run/other",
      onStop: "keep",
      metrics: null,
      web: null,
    }),
  );
});

test("a rule has the defaults of interface.md where nothing is said", () => {
  accept(RULE, ({ policy: { rules } }) => {
    const [rule] = rules;
    assert.ok(rule);
    assert.deepEqual(
      [rule.name, rule.action, rule.mode, rule.tunnel, rule.peer, rule.start],
      ["hr", "require", "transport", null, null, "on-traffic"],
    );
    assert.deepEqual(rule.mainMode.proposals.map(formatIkeSuite), ["aes256-sha256-modp2048", "aes128-sha1-modp2048", "3des-sha1-modp2048"]);
    assert.deepEqual({ ...rule.mainMode, proposals: [] }, { proposals: [], lifetimeSeconds: 28800, quickModes: 0, masterPfs: false });
    assert.deepEqual(rule.quickMode.proposals.map(formatChildSuite), ["esp:aes256-sha256", "esp:aes128-sha1", "esp:3des-sha1"]);
    const { lifetimeSeconds, volumeOctets, pfs } = rule.quickMode;
    assert.deepEqual([lifetimeSeconds, volumeOctets, pfs && typeof pfs === "object" && pfs.name], [300, 100_000_000, "modp2048"]);
    const [entry] = rule.auth;
    assert.ok(entry?.method === "psk");
    assert.deepEqual([entry.localId, entry.remoteId, entry.secret.use((key) => Buffer.from(key).toString())], [null, null, "k"]);
  });
});

test("a rule's own values come before the policy's, and those before the defaults", () => {
  const text = `[policy]
name = "P"
[policy.main-mode]
proposals = ["aes256-sha256-x25519"]
lifetime = "1h"
[policy.quick-mode]
lifetime = "2h"
volume = "none"
pfs = "none"
${RULE}main-mode = { lifetime = "30m" }
quick-mode = { proposals = ["ah:sha256"], pfs = "main-mode" }
`;
  accept(text, ({ policy }) => {
    const [rule] = policy.rules;
    assert.ok(rule);
    assert.equal(policy.name, "P");
    assert.deepEqual([rule.mainMode.proposals.map(formatIkeSuite), rule.mainMode.lifetimeSeconds], [["aes256-sha256-x25519"], 1800]);
    const { proposals, lifetimeSeconds, volumeOctets, pfs } = rule.quickMode;
    assert.deepEqual([proposals.map(formatChildSuite), lifetimeSeconds, volumeOctets, pfs], [["ah:sha256"], 7200, null, "main-mode"]);
  });
});

test("a tunnel rule has its ends, identities of an entry win over the rule's, and a key comes from its file", () => {
  const text = `[[rule]]
name = "site"
filters = ["10.1.0.0/16 <-> 10.2.0.0/16"]
action = "require"
mode = "tunnel"
tunnel = { local = "198.51.100.1", remote = "203.0.113.9" }
local-id = "fqdn:a.example.test"
remote-id = "fqdn:b.example.test"
start = "now"
[[rule.auth]]
method = "psk"
secret-file = "good.psk"
remote-id = "dn:C=DE, CN=b"
`;
  accept(text, ({ policy }) => {
    const [rule] = policy.rules;
    const [entry] = rule?.auth ?? [];
    assert.ok(rule && entry?.method === "psk" && entry.localId && entry.remoteId);
    assert.deepEqual([rule.mode, rule.tunnel, rule.start], ["tunnel", { local: "198.51.100.1", remote: "203.0.113.9" }, "now"]);
    assert.deepEqual([formatIdentity(entry.localId), formatIdentity(entry.remoteId)], ["fqdn:a.example.test", "dn:C=DE, CN=b"]);
    assert.equal(
      entry.secret.use((key) => Buffer.from(key).toString()),
      "from a file",
    );
  });
});

test("an offer that stands twice is offered once", () => {
  accept(`${RULE}quick-mode = { proposals = ["esp:aes-sha", "ah:sha1", "esp:aes128-sha1"] }\n`, ({ policy }) => {
    assert.deepEqual(policy.rules[0]?.quickMode.proposals.map(formatChildSuite), ["esp:aes128-sha1", "ah:sha1"]);
  });
});

test("a rule that only responds never starts, and a peer may be a range", () => {
  const text = `${RULE.replace("192.0.2.2", "any").replace("require", "respond")}peer = "192.0.2.0/24"\n`;
  accept(text, ({ policy }) => {
    const [rule] = policy.rules;
    assert.ok(rule?.peer);
    assert.deepEqual([rule.action, rule.start, formatRange(rule.peer)], ["respond", "never", "192.0.2.0/24"]);
  });
});

test("documented values that ask for nothing new are accepted where their feature is not built", () => {
  assert.deepEqual(
    diagnose(
      `[daemon]\nkeep-across-restart = false\n[policy]\non-stop = "remove"\n[policy.main-mode]\nquick-modes = 0\nmaster-pfs = false\n${RULE}`,
    ),
    [],
  );
});

test("a key in a file that others may read is warned about where it stands", () => {
  assert.deepEqual(diagnose(RULE, true), [
    '4:27: warning: rule "hr": auth.secret: this key stands in a file that others may read; use secret-file, or take the right to read away from others',
  ]);
  assert.deepEqual(diagnose(RULE.replace('secret = "k"', 'secret-file = "good.psk"'), true), []);
});

test("all errors are reported, in the order of the file, and none twice", () => {
  const text = `[daemon]
prot = 500
port = 70000
[policy.main-mode]
proposals = ["aes256-sha256-modp2048", "3des168-sha1-modp1024"]
[[rule]]
name = "a"
filters = ["me -> 192.0.2.2", "me <-> 192.0.2.3"]
action = "blok"
auth = [{ method = "x509", certificate = "x" }, { method = "psk" }]
[[rule]]
name = "a"
filters = ["me <-> 192.0.2.3"]
auth = [{ method = "psk", secret = "0xz" }]
`;
  const places = diagnose(text).map((line) => line.split(": ", 1)[0]);
  assert.deepEqual(places, ["2:1", "3:8", "5:40", "9:10", "10:9", "10:49", "11:1", "12:8", "13:12", "14:36"]);
});

test("no diagnostic quotes a key, and a refused configuration leaves no secret behind", () => {
  const before = liveSecrets();
  const texts = [
    RULE.replace('"k"', '"0xTOPSECRET"'),
    RULE.replace('"k"', '"0sTOP SECRET"'),
    RULE.replace('secret = "k"', 'secret = "TOPSECRET", secret-file = "x"'),
    RULE.replace('"k" }]', '"TOPSECRET" }'),
    RULE.replace('"k"', '"TOPSECRET'),
    RULE.replace('"k"', "TOPSECRET"),
    RULE.replace('"k"', '["TOPSECRET"]'),
    `${RULE.replace('"k"', '"TOPSECRET"')}nonsense = 1\n`,
    `${RULE.replace('"k"', '"TOPSECRET"')}${RULE.replace('"k"', '"TOPSECRET2"')}`,
  ];
  for (const text of texts) {
    const lines = diagnose(text);
    assert.ok(lines.length > 0);
    assert.ok(!lines.join("\n").includes("SECRET"), lines.join("\n"));
  }
  assert.equal(liveSecrets(), before);
});

test("any line of a good file may go, be doubled or be cut, and what comes out is a configuration or diagnostics inside the file", () => {
  const good = `[daemon]\nport = 500\n[policy]\nname = "P"\n[policy.quick-mode]\npfs = "none"\n${site('mode = "tunnel"\ntunnel = { local = "198.51.100.1", remote = "203.0.113.9" }\n')}${RULE.replace("hr", "b")}`;
  const lines = good.split("\n");
  const changes = fc.array(fc.tuple(fc.nat(lines.length - 1), fc.constantFrom("drop", "double", "cut", "move"), fc.nat(40)), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(changes, (all) => {
      let text = [...lines];
      for (const [at, how, where] of all) {
        const line = text[at] ?? "";
        const replacement = { drop: [], double: [line, line], cut: [line.slice(0, where)], move: [] }[how];
        text = text.toSpliced(at, 1, ...replacement);
        if (how === "move") text = text.toSpliced(where % (text.length + 1), 0, line);
      }
      const result = parseConfiguration(text.join("\n"), "F", reader);
      if (result.ok) destroyPolicy(result.value.policy);
      for (const { line, column, message } of result.ok ? result.value.warnings : result.error) {
        assert.ok(
          line >= 1 && line <= text.length && column >= 1 && column <= (text[line - 1] ?? "").length + 1,
          `${line}:${column}: ${message}`,
        );
      }
    }),
    { numRuns: 300 },
  );
  assert.equal(liveSecrets(), 0);
});

test("the web monitor listens on loopback addresses only, and says so where it is told another", () => {
  const web = (listen: string): string => `[web]\nlisten = "${listen}"\n${RULE}`;
  assert.deepEqual(diagnose(web("127.0.0.1:8500")), []);
  assert.deepEqual(diagnose(web("[::1]:8500")), []);
  assert.match(diagnose(web("0.0.0.0:8500")).join(), /2:10: .*can be reached from elsewhere/);
  assert.match(diagnose(web("192.0.2.1:8500")).join(), /can be reached from elsewhere/);
  assert.match(diagnose(web("127.0.0.1")).join(), /is no address with a port/);
});
