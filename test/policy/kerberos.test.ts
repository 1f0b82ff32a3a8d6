import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { err, ok } from "../../isakmp/result.ts";
import { compile } from "../../policy/compile.ts";
import { type Configuration, checkConfiguration, formatDiagnostic, loadConfiguration, parseConfiguration } from "../../policy/config.ts";
import { indexPolicies } from "../../policy/decide.ts";
import type { KerberosEntry } from "../../policy/types.ts";
import { host, keytabOf } from "./keytabs.ts";

const directory = mkdtempSync(join(tmpdir(), "mainmode-kerberos-"));
after(() => rmSync(directory, { recursive: true }));

function write(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const machine = { realm: "EXAMPLE.TEST", components: ["WS1$"] };
write("one.keytab", keytabOf(host("a"), host("a")));
write("many.keytab", keytabOf(machine, host("a"), { realm: "EXAMPLE.TEST", components: ["RestrictedKrbHost", "a"] }));
write("two.keytab", keytabOf(host("a"), host("b")));
write("realms.keytab", keytabOf(host("a"), { ...host("a"), realm: "OTHER.TEST" }));
write("open.keytab", keytabOf(host("a")), 0o644);
write("text.keytab", "not at all\n");

const config = (keys: string) =>
  write(
    "c.toml",
    `[[rule]]\nname = "hr"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\nauth = [{ method = "kerberos"${keys === "" ? "" : `, ${keys}`} }]\n`,
  );

/** What is said beside the warning that names travel in clear, which every one of these gets. */
function said(keys: string): readonly string[] {
  const all = checkConfiguration(config(keys)).map((each) => formatDiagnostic(each).replaceAll(`${directory}/`, ""));
  return all.filter((line) => !line.includes("in clear"));
}

function entry(keys: string): KerberosEntry {
  const loaded = loadConfiguration(config(keys), undefined);
  assert.ok(loaded.ok, loaded.ok ? "" : loaded.error.map(formatDiagnostic).join());
  const [first] = loaded.value.policy.rules[0]?.auth ?? [];
  assert.ok(first?.method === "kerberos");
  return first;
}

test("a kerberos entry has the keytab's absolute path, the principal with its realm, and the usual for what nobody knows for certain", () => {
  assert.deepEqual(entry('keytab = "one.keytab"'), {
    method: "kerberos",
    principal: "host/a.example.test@EXAMPLE.TEST",
    keytab: join(directory, "one.keytab"),
    peerPrincipal: null,
    quirks: { tokenOctet: "auto", hashTokenOctet: false, hashedName: "auto", nameEncoding: "utf-16le" },
    localId: null,
    remoteId: null,
  });
  const all =
    'keytab = "many.keytab", principal = "WS1$", peer-principal = "host/b.example.test@EXAMPLE.TEST", token-octet = "always", hash-token-octet = true, hashed-name = "wire", name-encoding = "latin-1", local-id = "fqdn:a.example.test"';
  const { principal, peerPrincipal, quirks, localId } = entry(all);
  assert.deepEqual([principal, peerPrincipal], ["WS1$@EXAMPLE.TEST", "host/b.example.test@EXAMPLE.TEST"]);
  assert.deepEqual(quirks, { tokenOctet: "always", hashTokenOctet: true, hashedName: "wire", nameEncoding: "latin-1" });
  assert.deepEqual(localId, { type: "fqdn", name: "a.example.test" });
});

test("of a keytab with many names the only host/ is ours, unless another is named", () => {
  assert.equal(entry('keytab = "many.keytab"').principal, "host/a.example.test@EXAMPLE.TEST");
  assert.equal(entry('keytab = "two.keytab", principal = "host/b.example.test"').principal, "host/b.example.test@EXAMPLE.TEST");
});

test("a keytab that is missing, open to others, or none at all is an error with its place", () => {
  const at = 'c.toml:5:41: rule "hr": auth.keytab: ';
  assert.deepEqual(said('keytab = "none.keytab"'), [`${at}none.keytab: there is no such file`]);
  assert.deepEqual(said('keytab = "open.keytab"'), [
    `${at}open.keytab: others may read or write this file, so the key is not secret; chmod o= it and choose a new key`,
  ]);
  assert.match(said('keytab = "text.keytab"').join(), /^c\.toml:5:41: .*text\.keytab: it is no keytab/);
});

test("a keytab that is not there yet is warned about where the principal is known with its realm", () => {
  const absent = join(directory, "absent.keytab");
  const { keytab, principal } = entry(`keytab = "${absent}", principal = "host/a.example.test@EXAMPLE.TEST"`);
  assert.deepEqual([keytab, principal], [absent, "host/a.example.test@EXAMPLE.TEST"]);
  const found = checkConfiguration(config(`keytab = "${absent}", principal = "host/a.example.test@EXAMPLE.TEST"`));
  assert.match(found.map(({ severity, message }) => `${severity}: ${message}`).join("\n"), /^warning: .*no such file; until there is one/m);
  assert.match(said(`keytab = "${absent}", principal = "host/a.example.test"`).join(), /there is no such file$/);
});

test("a principal that the keytab has no key of, or that could be two, is an error that lists what there is", () => {
  assert.deepEqual(said('keytab = "one.keytab", principal = "host/c.example.test"'), [
    'c.toml:5:67: rule "hr": auth.principal: there is no key of host/c.example.test: one.keytab holds host/a.example.test@EXAMPLE.TEST; mend the name, or add the key to the keytab',
  ]);
  assert.match(said('keytab = "two.keytab"').join(), /^c\.toml:5:9: .*principal is missing: two\.keytab holds host\/a.*, host\/b/);
  assert.match(said('keytab = "realms.keytab", principal = "host/a.example.test"').join(), /several realms.*add the realm/);
  for (const odd of ["b*$@EXAMPLE.TEST", "*", "*@EXAMPLE.TEST", "host/*.example.test", "*/b", "host/b@*$"]) {
    const lines = said(`keytab = "one.keytab", peer-principal = "${odd}"`);
    assert.equal(lines.length, odd === "host/b@*$" ? 0 : 1, `${odd}: ${lines.join()}`);
    for (const line of lines) assert.match(line, /^c\.toml:5:72: rule "hr": auth\.peer-principal: .*a \* stands for a whole name only/);
  }
  for (const any of ["*$@EXAMPLE.TEST", "*$", "host/*"])
    assert.deepEqual(said(`keytab = "one.keytab", peer-principal = "${any}"`), [
      `c.toml:5:72: warning: rule "hr": auth.peer-principal: whoever proves ${any} is taken for any address of this rule, so that each of them can pass itself off as another one, as on Windows; name the peer where that matters`,
    ]);
  assert.match(said('keytab = "one.keytab", peer-principal = "no such name"').join(), /^c\.toml:5:72: .*is no principal such as/);
});

const DEMANDS: readonly (readonly [string, string, string, RegExp | null])[] = [
  ["the host of a principal", "", 'remote-ids = ["fqdn:b.example.test"]', null],
  ["a principal", "", 'remote-ids = ["principal:host/b.example.test@EXAMPLE.TEST"]', null],
  ["every host of the realm", "", 'remote-ids = ["principal:host/*@EXAMPLE.TEST"]', null],
  ["an account among all of them", ', peer-principal = "*$"', 'remote-ids = ["principal:B$@EXAMPLE.TEST"]', null],
  [
    "one of two",
    "",
    'remote-ids = ["dn:CN=B", "fqdn:b.example.test"]',
    /^warning: .*remote-ids: no method of this rule can prove dn:CN=B; /,
  ],
  [
    "an address",
    "",
    'remote-ids = ["ip:192.0.2.2"]',
    /^error: .*remote-ids: no method of this rule can prove ip:192\.0\.2\.2; .*principal:/,
  ],
  ["a dn or a user", "", 'remote-ids = ["dn:CN=B", "user:b@example.test"]', /^error: .*can prove dn:CN=B, user:b@example\.test; /],
  [
    "an account without peer-principal",
    "",
    'remote-ids = ["principal:B$"]',
    /^error: .*principal:B\$; .*only host\/ of the peer's own name/,
  ],
  [
    "a host that peer-principal excludes",
    ', peer-principal = "host/c@EXAMPLE.TEST"',
    'remote-ids = ["principal:host/b"]',
    /^error: .*takes host\/c@EXAMPLE/,
  ],
  ["a host of another realm", "", 'remote-ids = ["principal:host/b@OTHER.TEST"]', /^error: .*principal:host\/b@OTHER/],
  [
    "a name that objects have",
    "",
    'remote-ids = ["principal:constructor", "principal:toString"]',
    /^error: .*principal:constructor, principal:toString; /,
  ],
  ["half a pattern", "", 'remote-ids = ["principal:host/b*"]', /^error: .*a \* stands for a whole name only/],
  ["remote-id of a host", "", 'remote-id = "fqdn:b.example.test"', null],
  ["remote-id of an address", "", 'remote-id = "ip:192.0.2.2"', null],
  ["remote-id of a dn", "", 'remote-id = "dn:CN=B"', /^error: .*remote-id: no ticket can prove dn:CN=B/],
  ["an entry's remote-id of a user", ', remote-id = "user:b@example.test"', "", /^error: .*auth\.remote-id: no ticket can prove user:b/],
];
for (const [what, keys, more, expected] of DEMANDS)
  test(`a ticket ${expected ? "can't prove" : "can prove"} what a rule demands: ${what}`, () => {
    const text = `[[rule]]\nname = "hr"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\nauth = [{ method = "kerberos", keytab = "one.keytab"${keys} }]\n${more}\n`;
    const found = checkConfiguration(write("demand.toml", text)).map(({ severity, message }) => `${severity}: ${message}`);
    const about = found.filter((line) => !/in clear|is taken for any address/.test(line));
    assert.equal(about.length, expected ? 1 : 0, about.join("\n"));
    if (expected) assert.match(about[0] ?? "", expected);
  });

test("that names travel in clear is said once for a file", () => {
  const text = ["a", "b"].map(
    (name, i) =>
      `[[rule]]\nname = "${name}"\nfilters = ["me <-> 192.0.2.${i + 2}"]\naction = "require"\nauth = [{ method = "kerberos", keytab = "one.keytab" }]\n`,
  );
  const lines = checkConfiguration(write("two.toml", text.join(""))).map(formatDiagnostic);
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0] ?? "", /two\.toml:5:20: warning: .*in clear/);
});

test("of two entries of one method check says which is offered, and which may be used", () => {
  const auth = (...entries: readonly string[]): readonly string[] => {
    const list = entries.map((keys) => `{ method = "kerberos", ${keys} }`).join(", ");
    const text = `[[rule]]\nname = "hr"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\nauth = [${list}]\n`;
    return checkConfiguration(write("twins.toml", text)).map(({ message }) =>
      message.replace(/^rule "hr": auth.method: /, "").replace(/[,;:] .*$/, ""),
    );
  };
  const [one, other] = ['keytab = "one.keytab", peer-principal = "host/b"', 'keytab = "two.keytab", principal = "host/b.example.test"'];
  assert.deepEqual(auth(one).slice(1), []);
  assert.deepEqual(auth(one, one.replace("host/b", "host/c")).slice(1), ["an entry before it is of the same method"]);
  assert.deepEqual(auth(one, other).slice(1), ["an entry before it is for kerberos"]);
});

test("a keytab may be a credential of the service, and is not checked outside of it", () => {
  mkdirSync(join(directory, "creds"), { recursive: true });
  writeFileSync(join(directory, "creds/host"), keytabOf(...Array.from({ length: 100 }, () => host("a"))));
  const file = config('keytab = "credential:host"');
  assert.match(checkConfiguration(file).map(formatDiagnostic).join("\n"), /not checked: credentials exist only inside the service/);
  const loaded = loadConfiguration(file, join(directory, "creds"));
  assert.ok(loaded.ok);
  const [first] = loaded.value.policy.rules[0]?.auth ?? [];
  assert.ok(first?.method === "kerberos" && first.keytab === join(directory, "creds/host"));
});

// Keying must not wait for what it needs the keys to get.

const HERE = ["192.0.2.1", "2001:db8::1"];
const [TCP, UDP] = [6, 17];

/** What becomes of a packet under a policy whose rule requires everything to be protected: `clear`, `required`, or `refused`. */
function under(top: string, auth: string): (packet: string, direction: "in" | "out") => string {
  const text = `${top}[[rule]]\nname = "all"\nfilters = ["me <-> any"]\naction = "require"\nauth = [${auth}]\n`;
  const index = indexPolicies(compile(parsed(text).policy, HERE));
  return (packet, direction) => {
    const [source = "", sourcePort, destination = "", destinationPort, protocol] = packet.split(" ");
    const ports = { protocol: Number(protocol), sourcePort: Number(sourcePort), destinationPort: Number(destinationPort) };
    const found = index.decide({ source, destination, ...ports }, direction);
    return found?.action === "allow" ? (found.protection?.level ?? "clear") : "refused";
  };
}

/** The configuration of a text. */
function parsed(text: string): Configuration {
  const readKeytab = () => ok({ path: "one.keytab", octets: keytabOf(host("a")), exposed: undefined });
  const result = parseConfiguration(text, "F", () => err("no secrets here"), false, undefined, readKeytab);
  assert.ok(result.ok, result.ok ? "" : result.error.map(formatDiagnostic).join());
  return result.value;
}

const KERBEROS = '{ method = "kerberos", keytab = "one.keytab", peer-principal = "host/b.example.test" }';
const PSK = '{ method = "psk", secret = "for tests only" }';
const FAMILIES = [
  ["192.0.2.1", "192.0.2.9"],
  ["2001:db8::1", "2001:db8::9"],
] as const;

/** Every way that a ticket, a password or a name takes: from us as client, and for tickets and passwords to us as server. */
const WAYS = FAMILIES.flatMap(([us, them]) =>
  [TCP, UDP].flatMap((protocol) =>
    [88, 464, 53].flatMap((port): readonly (readonly [string, "in" | "out", number])[] => [
      [`${us} 40000 ${them} ${port} ${protocol}`, "out", port],
      [`${them} ${port} ${us} 40000 ${protocol}`, "in", port],
      ...(port === 53
        ? []
        : ([
            [`${them} 40000 ${us} ${port} ${protocol}`, "in", port],
            [`${us} ${port} ${them} 40000 ${protocol}`, "out", port],
          ] as const)),
    ]),
  ),
);

for (const [name, auth] of [
  ["Kerberos alone", KERBEROS],
  ["Kerberos behind a key", `${PSK}, ${KERBEROS}`],
] as const)
  test(`where a rule with ${name} requires protection of everything, tickets (88), passwords (464) and names (53) pass in clear by default`, () => {
    const decide = under("", auth);
    for (const [packet, direction] of WAYS) assert.equal(decide(packet, direction), "clear", `${direction} ${packet}`);
    for (const [us, them] of FAMILIES)
      for (const protocol of [TCP, UDP])
        for (const [packet, direction] of [
          [`${us} 40000 ${them} 389 ${protocol}`, "out"],
          [`${them} 389 ${us} 40000 ${protocol}`, "in"],
          [`${them} 40000 ${us} 53 ${protocol}`, "in"],
          [`${us} 53 ${them} 40000 ${protocol}`, "out"],
        ] as const)
          assert.equal(decide(packet, direction), "required", `${direction} ${packet}`);
  });

test("without Kerberos in any rule nothing of this is exempt, and neither where exempt says so, of which check warns", () => {
  for (const [packet, direction] of WAYS) assert.equal(under("", PSK)(packet, direction), "required", packet);
  const decide = under("[policy]\nexempt = []\n", KERBEROS);
  for (const [packet, direction] of WAYS) assert.equal(decide(packet, direction), "required", packet);
  const filters = 'name = "all"\nfilters = ["me <-> any"]\naction = "require"\n';
  const { warnings } = parsed(`[policy]\nexempt = []\n[[rule]]\n${filters}auth = [${KERBEROS}]\n`);
  const warned = warnings.map(formatDiagnostic).join("\n");
  assert.match(warned, /a ticket would need the SA that needs the ticket; add "kerberos" to exempt/);
  const named = under('[policy]\nexempt = ["kerberos", "dns"]\n', KERBEROS);
  for (const [packet, direction] of WAYS) assert.equal(named(packet, direction), "clear", packet);
});
