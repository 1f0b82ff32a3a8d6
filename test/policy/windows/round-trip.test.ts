/** What we write is what we read: scripts of policies, policies of scripts, and nothing lost in hostile ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyCommand } from "../../../policy/windows/apply.ts";
import { findCommand } from "../../../policy/windows/context.ts";
import { startFindings } from "../../../policy/windows/diagnostics.ts";
import { writeNetsh } from "../../../policy/windows/netsh-writer.ts";
import { parseStatic } from "../../../policy/windows/parse.ts";
import { readScript } from "../../../policy/windows/script.ts";
import { emptyStore, resolvePolicy, type WindowsPolicy } from "../../../policy/windows/store.ts";
import { splitWords } from "../../../policy/windows/words.ts";
import { refusals } from "./accepted.ts";
import { shown, summary } from "./imported.ts";

const name = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
  .map((text) => `n${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\'"%]/gu, "").trim()}`);
const description = fc.oneof(fc.constant(""), name);
const octet = fc.integer({ min: 1, max: 254 });
const host = fc.tuple(octet, octet, octet).map((octets) => `10.${octets.join(".")}`);
const address = fc.oneof(
  fc.constantFrom({ kind: "me" } as const, { kind: "any" } as const, { kind: "server", server: "dns" } as const),
  host.map((text) => ({ kind: "address", address: text, length: null }) as const),
  fc.constant({ kind: "range", first: "192.0.2.1", last: "192.0.2.77" } as const),
  fc.constant({ kind: "name", name: "a.example.test" } as const),
);
const at = { line: 0, column: 0 };
const filter = fc
  .record({
    remote: address,
    protocol: fc.constantFrom(0, 1, 6, 17, 47, 255),
    port: fc.integer({ min: 0, max: 65_535 }),
    mirrored: fc.boolean(),
    description,
  })
  .map(({ remote, protocol, port, mirrored, description: text }) => ({
    ...at,
    source: { kind: "me" } as const,
    destination: remote,
    sourceMask: null,
    destinationMask: remote.kind === "address" ? 24 : null,
    protocol,
    sourcePort: 0,
    destinationPort: protocol === 6 || protocol === 17 ? port : 0,
    mirrored,
    description: text,
  }));
const cipher = fc.constantFrom("des", "3des");
const hash = fc.constantFrom("md5", "sha1");
const life = {
  kilobytes: fc.option(fc.integer({ min: 1, max: 1e6 })),
  seconds: fc.option(fc.integer({ min: 1, max: 1e5 })),
  pfs: fc.constant(false),
};
const quick = fc.oneof(
  fc.record({ ah: hash, esp: fc.constant(null), ...life }),
  fc.record({ ah: fc.option(hash), esp: fc.record({ cipher: fc.constantFrom("des", "3des", "null"), integrity: hash }), ...life }),
);
const methods = fc.option(fc.array(quick, { minLength: 1, maxLength: 4 }));
const auth = fc.oneof(
  fc.constant({ kind: "kerberos" } as const),
  name.map((key) => ({ kind: "psk", key }) as const),
  fc.record({ kind: fc.constant("ca" as const), name: fc.constant("C=US, CN=Root"), mapping: fc.boolean(), excludeName: fc.boolean() }),
);
// A command takes each tag once, a CA as often as wanted.
const auths = fc.uniqueArray(auth, { maxLength: 3, selector: ({ kind }) => kind });
const distinct = <T extends { readonly name: string }>(item: fc.Arbitrary<T>) =>
  fc.uniqueArray(item, { minLength: 1, maxLength: 4, selector: (one) => one.name.toLowerCase() });
const lists = distinct(
  fc.record({ line: fc.constant(0), column: fc.constant(0), name, description, filters: fc.array(filter, { minLength: 1, maxLength: 4 }) }),
);
const actions = distinct(
  fc.record({
    line: fc.constant(0),
    column: fc.constant(0),
    name,
    description,
    action: fc.constant("negotiate" as const),
    inpass: fc.boolean(),
    soft: fc.boolean(),
    pfs: fc.boolean(),
    methods,
  }),
);

const policies: fc.Arbitrary<WindowsPolicy> = fc
  .record({
    lists,
    actions,
    rules: distinct(
      fc.record({
        name,
        description,
        active: fc.boolean(),
        connection: fc.constantFrom("all", "lan", "dialup"),
        auth: auths,
        tunnel: fc.option(host),
      }),
    ),
    policy: fc.record({
      name,
      description,
      masterPfs: fc.boolean(),
      quickModes: fc.nat(50),
      lifetimeMinutes: fc.integer({ min: 1, max: 9999 }),
      assigned: fc.boolean(),
      methods: fc.option(
        fc.array(fc.record({ cipher, hash, group: fc.constantFrom("modp768", "modp1024", "modp2048") }), { minLength: 1, maxLength: 4 }),
      ),
    }),
    standard: fc.record({ active: fc.constant(true), pfs: fc.boolean(), methods, auth: auths, assumed: fc.constant(false) }),
  })
  .map(({ lists: filterLists, actions: filterActions, rules, policy, standard }) => ({
    ...at,
    ...policy,
    defaultRule: { ...at, ...standard },
    rules: rules.map(({ tunnel, ...rule }, i) => ({
      ...at,
      ...rule,
      filterList: filterLists[i % filterLists.length] as WindowsPolicy["rules"][number]["filterList"],
      filterAction: filterActions[i % filterActions.length] as WindowsPolicy["rules"][number]["filterAction"],
      tunnel: tunnel === null ? null : ({ kind: "address", address: tunnel, length: null } as const),
    })),
  }));

/** Reads a script back, up to the store. */
function read(script: string) {
  const findings = startFindings();
  const store = emptyStore();
  for (const line of readScript(script, { shell: "batch", findings, variables: new Map(), forget: () => undefined })) {
    const words = splitWords(line.text, line, "batch");
    assert.ok(words.ok, line.text);
    const command = findCommand(words.value, { at: "none" }, findings);
    const parsed = command && parseStatic(command.words, findings, false);
    if (parsed) applyCommand(store, parsed, findings);
  }
  const [policy] = store.policies.all();
  return { policy: policy && resolvePolicy(store, policy, findings), findings: findings.all };
}

/** Places differ, and nothing else may. */
const withoutPlaces = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, inner) => (key === "line" || key === "column" ? undefined : inner)));

test("a policy written as a script and read again is the same policy", () => {
  fc.assert(
    fc.property(policies, (policy) => {
      const script = writeNetsh(policy, ["a comment"]);
      const { policy: again, findings } = read(script);
      assert.deepEqual(
        findings.map(({ code, text }) => `${code} ${text}`),
        [],
        script,
      );
      assert.deepEqual(withoutPlaces(again), withoutPlaces(policy), script);
    }),
    { numRuns: 300 },
  );
});

test("whatever policy a script makes, `check` accepts what comes of it", () => {
  fc.assert(
    fc.property(
      policies,
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom("negotiate", "permit", "block"),
      (policy, allowWeak, upgradeCrypto, action) => {
        const rules = policy.rules.map((rule, i) =>
          i > 0 ? rule : { ...rule, filterAction: { ...rule.filterAction, action, name: "other" } },
        );
        const ends = [...policy.rules.flatMap(({ tunnel }) => (tunnel?.kind === "address" ? [tunnel.address] : []))].slice(0, 1);
        const got = summary(writeNetsh({ ...policy, rules }, []), { allowWeak, upgradeCrypto, local: ["10.1.1.1", ...ends] });
        assert.deepEqual(refusals(got.toml), [], got.toml);
      },
    ),
    { numRuns: 500 },
  );
});

const word = fc.oneof(
  fc.constantFrom(
    "netsh",
    "ipsec",
    "static",
    "add",
    "set",
    "delete",
    "policy",
    "filter",
    "filterlist",
    "rule",
    "name=P",
    "assign=y",
    "me",
    "any",
  ),
  fc.constantFrom(
    "advfirewall",
    "consec",
    "mainmode",
    "set global mainmode mmsecmethods",
    "new",
    "endpoint1=any",
    "endpoint2=192.0.2.1,localsubnet",
    "action=requireinrequireout",
    "auth1=computerpsk,computerkerb",
    "auth1psk=x",
    "qmsecmethods=esp:sha1-aes128",
    "port2=1-9",
  ),
  fc.constantFrom(
    "New-NetIPsecRule",
    "Set-NetIPsecRule",
    "New-NetIPsecPhase1AuthSet -DisplayName a -Proposal",
    "New-NetIPsecAuthProposal -Machine -Kerberos",
    "-DisplayName x",
    "-RemoteAddress",
    "192.0.2.1,192.0.2.2",
    "$x = ",
    "$x.Name",
    "+=",
    "@(",
    "(",
    ")",
    ";",
    "|",
    "`",
    "\u201c",
    '"$(',
    "@x",
    "-",
    ",",
  ),
  fc.constantFrom(
    '"',
    "'",
    "^",
    "`",
    "&&",
    "||",
    ">nul",
    "%x%",
    "$x",
    "(",
    ")",
    "{",
    "}",
    "=",
    "psk=",
    'rootca="CN=x',
    "if",
    "for",
    "goto",
    "set x=1",
    "\r\n",
    "\n",
  ),
  fc.string({ maxLength: 12 }),
);

test("whatever a script holds, reading it ends, and ends with findings or a policy", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), fc.boolean(), (words, lenient) => {
      const got = summary(words.join(" "), { lenient, fileName: words.length % 2 ? "x.ps1" : "x.cmd" });
      assert.ok(got.toml !== "" || got.findings.length > 0);
    }),
    { numRuns: 2000 },
  );
});

test("any octets are read to an end", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const got = summary(bytes);
      assert.ok(got.toml !== "" || got.findings.length > 0);
    }),
    { numRuns: 500 },
  );
});

test("every word of a command is used, or said to be wrong", () => {
  const tags = ["srcaddr=me", "dstaddr=any", "protocol=TCP", "dstport=80", "mirrored=no", "description=x", "srcport=5", "srcmask=32"];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(tags, { minLength: tags.length }),
      fc.stringMatching(/^[a-z]{1,8}=[a-z0-9]{1,5}$/),
      fc.nat(8),
      (given, stray, where) => {
        const words = [...given.slice(0, where), stray, ...given.slice(where)];
        const script = `netsh ipsec static add policy P assign=y\nnetsh ipsec static add filter filterlist=L ${words.join(" ")}`;
        const got = summary(script);
        const wrong = got.codes.some((code) => /^E_\w+@2$/.test(code));
        assert.ok(wrong, `${stray} was taken in silence\n${shown(got)}`);
      },
    ),
    { numRuns: 300 },
  );
});

test("every word of a connection security rule is used, or said to be wrong", () => {
  const tags = [
    "endpoint1=any",
    "endpoint2=192.0.2.1",
    "action=noauthentication",
    "description=x",
    "mode=transport",
    "protocol=tcp",
    "port1=80",
    "enable=yes",
  ];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(tags, { minLength: tags.length }),
      fc.oneof(fc.stringMatching(/^[b-z]{1,8}=[a-z0-9]{1,5}$/), fc.stringMatching(/^[a-z0-9]{1,8}$/)),
      fc.nat(8),
      (given, stray, where) => {
        const words = [...given.slice(0, where), stray, ...given.slice(where)];
        const got = summary(`netsh advfirewall consec add rule name=R ${words.join(" ")}`);
        // A shortened tag of its own may stand for a value that is one of its words.
        const wrong = got.codes.some((code) => /^[EW]_\w+@1$/.test(code));
        assert.ok(wrong || got.toml.includes(stray.split("=")[1] ?? " "), `${stray} was taken in silence\n${shown(got)}`);
      },
    ),
    { numRuns: 300 },
  );
});

test("every parameter and value of a cmdlet is used, or said to be wrong", () => {
  const given = [
    "-DisplayName R",
    "-RemoteAddress 192.0.2.1",
    "-InboundSecurity None",
    "-OutboundSecurity None",
    "-Protocol TCP",
    "-RemotePort 80",
  ];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(given, { minLength: given.length }),
      fc.oneof(fc.stringMatching(/^-x[a-z]{2,8} [a-z0-9]{1,5}$/), fc.stringMatching(/^[a-z0-9$]{1,8}$/)),
      fc.nat(6),
      (words, stray, where) => {
        const got = summary(`New-NetIPsecRule ${[...words.slice(0, where), stray, ...words.slice(where)].join(" ")}`);
        const wrong = got.codes.some((code) => /^[EW]_\w+@1$/.test(code));
        assert.ok(wrong, `${stray} was taken in silence\n${shown(got)}`);
      },
    ),
    { numRuns: 300 },
  );
});

const side = fc.oneof(
  fc.constantFrom(
    "any",
    "dns",
    "localsubnet",
    "defaultgateway",
    "2001:db8::/32",
    "10.0.0.0/8,2001:db8::1",
    "192.0.2.1-192.0.2.77",
    "host",
    "a.example.test",
  ),
  host,
  host.map((text) => `${text}/16`),
);
const consecRule = fc
  .record({
    endpoint1: side,
    endpoint2: side,
    action: fc.constantFrom("requireinrequestout", "requestinrequestout", "requireinrequireout", "requireinclearout", "noauthentication"),
    mode: fc.constantFrom(
      "transport",
      "tunnel localtunnelendpoint=198.51.100.1 remotetunnelendpoint=203.0.113.9",
      "tunnel localtunnelendpoint=any remotetunnelendpoint=2001:db8::9",
    ),
    protocol: fc.constantFrom(
      "any",
      "icmpv4",
      "icmpv6",
      "47",
      "tcp port2=80,443",
      "udp port1=1000-1040",
      "any port1=80",
      "udp port1=137-139 port2=137-139",
    ),
    auth1: fc.constantFrom(
      "computerkerb",
      "computerpsk auth1psk=x",
      'computercert auth1ca="CN=Root"',
      "computerkerb,anonymous",
      "computerkerb,computerpsk auth1psk=y",
    ),
    qmpfs: fc.constantFrom("none", "mainmode", "dhgroup2", "dhgroup14", "ecdhp384"),
    qmsecmethods: fc.constantFrom(
      "default",
      "esp:sha1-aes128",
      "esp:aesgcm256-aesgcm256+1min+1kb",
      "ah:sha256+esp:sha256-none,ah:md5",
      "esp:sha256-aes256+99999999min+9999999999kb",
    ),
    enable: fc.constantFrom("yes", "yes", "no"),
  })
  .map((tags) =>
    Object.entries(tags)
      .map(([tag, value]) => `${tag}=${value}`)
      .join(" "),
  );

test("whatever connection security rules a script makes, `check` accepts what comes of them", () => {
  fc.assert(
    fc.property(
      fc.array(consecRule, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("", "mmkeylifetime 9999999999min,99999sess", "mmsecmethods ecdhp384:aes256-sha384,dhgroup2:3des-md5"),
      fc.boolean(),
      fc.boolean(),
      (rules, setting, allowWeak, upgradeCrypto) => {
        const script = [
          setting && `netsh advfirewall set global mainmode ${setting}`,
          "netsh advfirewall mainmode add rule name=m endpoint2=10.0.0.0/8 mmsecmethods=dhgroup14:aes128-sha256 auth1=computerkerb",
          ...rules.map((rule, i) => `netsh advfirewall consec add rule name=r${i} ${rule}`),
        ].join("\n");
        const got = summary(script, { allowWeak, upgradeCrypto, certificate: "h.pem", key: "h.key", ca: ["r.pem"] });
        assert.deepEqual(refusals(got.toml), [], `${script}\n${got.toml}`);
        assert.equal(got.rules.length >= rules.length, true, "no rule is lost in silence");
      },
    ),
    { numRuns: 500 },
  );
});

test("twenty thousand rules with one name are read to the end", () => {
  const rules = Array.from(
    { length: 20_000 },
    (_, i) => `New-NetIPsecRule -DisplayName same -InboundSecurity None -OutboundSecurity None -RemoteAddress 10.${i >> 8}.${i & 255}.1`,
  );
  const got = summary(rules.join("\n"));
  assert.equal(got.rules.length, 20_000);
  assert.equal(new Set(got.rules.map((rule) => rule.split(":")[0])).size, 20_000);
});

test("ten thousand filters are read in one go", () => {
  const filters = Array.from({ length: 10_000 }, (_, i) => `netsh ipsec static add filter L me 10.${i >> 8}.${i & 255}.1`);
  const script = [
    "netsh ipsec static add policy P assign=y",
    ...filters,
    "netsh ipsec static add filteraction B action=block",
    "netsh ipsec static add rule R P L B",
  ];
  const got = summary(script.join("\n"));
  // A rule of ours has 64 filters at most.
  assert.equal(got.rules.length, Math.ceil(10_000 / 64));
  assert.equal(got.rules.flatMap((rule) => rule.split(" | ")).length, 10_000);
  assert.deepEqual(refusals(got.toml), []);
});
