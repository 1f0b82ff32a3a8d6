import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { x509Loader } from "../../auth/providers/load.ts";
import { PrivateKey } from "../../auth/providers/private-key.ts";
import { signHash } from "../../auth/providers/proof.ts";
import { checkConfiguration, configurationReader, destroyPolicy, formatDiagnostic, loadConfiguration } from "../../policy/config.ts";
import { formatIdentity } from "../../policy/identity.ts";
import { keysOf } from "../../policy/known-keys.ts";
import type { X509Entry } from "../../policy/types.ts";
import { DAY, EXT, hierarchy, type Issued, issue, issueCrl, type KeyPair, NOW, newKey, pem, pkcs7 } from "./pki.ts";

const folder = mkdtempSync(join(tmpdir(), "mainmode-load-"));
after(() => rmSync(folder, { recursive: true }));

const { root, middle, leaf } = hierarchy();
const rsa = issue({ subject: "CN=rsa", key: newKey("rsa2048"), issuer: root, extensions: [EXT.names({ dns: "rsa.example.test" })] });
const keyPem = (one: Issued): string => one.key.privateKey.export({ type: "pkcs8", format: "pem" }) as string;

function put(name: string, content: string | Uint8Array, mode = 0o600): string {
  writeFileSync(join(folder, name), content, { mode });
  chmodSync(join(folder, name), mode);
  return name;
}

put("ca.pem", root.pem);
put("chain.pem", `${middle.pem}${leaf.pem}`, 0o644);
put("host.key", keyPem(leaf));
put("rsa.pem", rsa.pem, 0o644);
put("rsa.key", keyPem(rsa));

/** What openssl makes of its arguments, as an administrator would. */
function openssl(...argv: readonly string[]): void {
  const { status, stderr } = spawnSync("openssl", argv, { cwd: folder, encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

const rule = (entry: string, more = ""): string => {
  const text = `[[rule]]\nname = "hr"\nfilters = ["me <-> 192.0.2.2"]\naction = "require"\n${more}auth = [{ method = "x509", ${entry} }]\n`;
  return join(folder, put("mainmode.toml", text));
};

/** The entry that a configuration gives. */
function loaded(entry: string, more = ""): X509Entry {
  const result = loadConfiguration(
    rule(entry, more),
    undefined,
    x509Loader(() => NOW),
  );
  assert.ok(result.ok, result.ok ? "" : result.error.map(formatDiagnostic).join("\n"));
  const [found] = result.value.policy.rules[0]?.auth ?? [];
  assert.equal(found?.method, "x509");
  return found as X509Entry;
}

/** What `check` says, without the folder's name. */
const said = (entry: string, more = ""): readonly string[] =>
  checkConfiguration(
    rule(entry, more),
    undefined,
    x509Loader(() => NOW),
  ).map((one) => formatDiagnostic(one).replaceAll(`${folder}/`, ""));

const GOOD = 'certificate = "chain.pem", key = "host.key", ca = ["ca.pem"]';
const signs = ({ own }: X509Entry): boolean => {
  const key = own.privateKey instanceof PrivateKey ? own.privateKey.key : undefined;
  return key !== undefined && signHash(own.algorithm, key, new Uint8Array(32), new Uint8Array(32)).length > 0;
};

test("keys in force are known without their files, and whoever wipes his copy leaves them alone", () => {
  const reader = configurationReader(rule(GOOD), undefined, () => x509Loader(() => NOW));
  const files = reader.files();
  const first = reader.judge(files.ok ? files.value : []);
  assert.ok(first.ok);
  const { policy, texts } = first.value;
  put("host.key", "broken");
  const again = reader.judge(texts.map((text) => ({ ...text, known: keysOf(policy) })));
  put("host.key", keyPem(leaf));
  assert.ok(again.ok, again.ok ? "" : again.error.map(formatDiagnostic).join("\n"));
  const [entry, copy] = [policy, again.value.policy].map(({ rules }) => rules[0]?.auth[0] as X509Entry);
  assert.ok(entry && copy && signs(copy));
  destroyPolicy(again.value.policy);
  assert.deepEqual([signs(copy), signs(entry)], [false, true]);
  destroyPolicy(policy);
});

test("an entry has its certificate first, intermediates after it, its identities and its defaults", () => {
  const entry = loaded(GOOD);
  assert.deepEqual(entry.own.chain, [leaf.der, middle.der]);
  assert.deepEqual(entry.own.issuers, [middle.subject, root.subject]);
  assert.equal(entry.own.algorithm, "ecdsa256");
  assert.deepEqual(entry.own.identities.map(formatIdentity), [
    "dn:C=DE, O=Test only, CN=host",
    "fqdn:host.example.test",
    "user:me@Example.test",
    "ip:192.0.2.7",
  ]);
  assert.deepEqual(entry.trust.names, [root.subject]);
  const { crl, crlFiles, weak } = entry.trust;
  assert.deepEqual(
    { crl, crlFiles, weak, send: entry.sendCertificate },
    { crl: "if-present", crlFiles: [], weak: { shortRsa: false, sha1: false, oldRoots: false }, send: "asked" },
  );
  assert.ok(signs(entry));
  assert.equal(JSON.stringify(entry.own.privateKey), '"<private key>"');
  entry.own.privateKey.destroy();
  assert.ok(!signs(entry));
});

test("of an intermediate that was renewed both certificates go out: which of them a peer can use is not ours to guess", () => {
  const renewal = { subject: "CN=renewed", key: newKey("p256"), issuer: root, extensions: [EXT.ca(), EXT.usage(5, 6)] };
  const late = issue({ ...renewal, from: NOW - 20 * DAY, to: NOW - DAY });
  const renewed = issue(renewal);
  const own = issue({ subject: "CN=below", key: leaf.key, issuer: renewed, extensions: [EXT.noCa(), EXT.usage(0)] });
  const file = put("renewed.pem", own.pem + late.pem + renewed.pem);
  const entry = loaded(`certificate = "${file}", key = "host.key", ca = ["ca.pem"]`);
  assert.deepEqual(entry.own.chain, [own.der, late.der, renewed.der]);
});

test("destroying a policy destroys its private keys", () => {
  const result = loadConfiguration(
    rule(GOOD),
    undefined,
    x509Loader(() => NOW),
  );
  assert.ok(result.ok);
  const [entry] = result.value.policy.rules[0]?.auth ?? [];
  destroyPolicy(result.value.policy);
  assert.ok(entry?.method === "x509" && !signs(entry));
});

test("keys and certificates come as PEM and DER, in the forms that openssl writes", () => {
  put("ec.pem", leaf.pem);
  put("sec1.key", leaf.key.privateKey.export({ type: "sec1", format: "pem" }) as string);
  put("sec1.der", leaf.key.privateKey.export({ type: "sec1", format: "der" }));
  put("pkcs8.der", rsa.key.privateKey.export({ type: "pkcs8", format: "der" }));
  put("pkcs1.der", rsa.key.privateKey.export({ type: "pkcs1", format: "der" }));
  put("pkcs1.key", rsa.key.privateKey.export({ type: "pkcs1", format: "pem" }) as string);
  put("rsa.der", rsa.der);
  put("ca.der", root.der);
  put("ca.p7b", pkcs7([root.der]));
  put("both.pem", `text before\n${keyPem(rsa)}\n${rsa.pem}`);
  for (const [certificate, key] of [
    ["ec.pem", "sec1.key"],
    ["ec.pem", "sec1.der"],
    ["rsa.der", "pkcs8.der"],
    ["rsa.pem", "pkcs1.der"],
    ["rsa.der", "pkcs1.key"],
    ["both.pem", ""],
  ])
    for (const ca of ["ca.pem", "ca.der", "ca.p7b"]) {
      const entry = loaded(`certificate = "${certificate}", ca = ["${ca}"]${key === "" ? "" : `, key = "${key}"`}`);
      assert.ok(signs(entry), `${certificate} ${key}`);
      assert.deepEqual(entry.trust.anchors, [root.der]);
    }
});

test("certificates and keys of every size of length field are told apart", () => {
  for (let pad = 0; pad < 400; pad += 7) {
    const one = issue({
      subject: `CN=rsa, OU=${"x".repeat(pad + 1)}`,
      key: rsa.key,
      issuer: root,
      extensions: [EXT.names({ dns: `${"y".repeat(100)}` }, ...Array.from({ length: 8 }, () => ({ dns: "z".repeat(150) })))],
    });
    put("padded.der", one.der);
    assert.deepEqual(loaded('certificate = "padded.der", key = "rsa.key", ca = ["ca.pem"]').own.chain, [one.der]);
  }
});

test("PKCS #12 gives key, certificate and intermediates byte for byte, RSA and EC, today's encryption and yesterday's", () => {
  put("password", "throwaway\n");
  put("middle.pem", middle.pem);
  for (const [name, certificate, key] of [
    ["rsa", "rsa.pem", "rsa.key"],
    ["ec", "chain.pem", "host.key"],
  ] as const) {
    for (const legacy of [[], ["-legacy"]]) {
      openssl(
        "pkcs12",
        "-export",
        "-inkey",
        key,
        "-in",
        certificate,
        "-certfile",
        "middle.pem",
        "-passout",
        "pass:throwaway",
        "-out",
        `${name}.p12`,
        ...legacy,
      );
      chmodSync(join(folder, `${name}.p12`), 0o600);
      const entry = loaded(`certificate = "${name}.p12", password-file = "password", ca = ["ca.pem"]`);
      assert.deepEqual(entry.own.chain, name === "rsa" ? [rsa.der] : [leaf.der, middle.der]);
      assert.ok(signs(entry));
      assert.ok(name === "ec" || entry.trust.intermediates.some((der) => Buffer.compare(der, middle.der) === 0));
    }
  }
  assert.deepEqual(said('certificate = "rsa.p12", ca = ["ca.pem"]'), [
    'mainmode.toml:5:42: rule "hr": auth.certificate: rsa.p12: it is encrypted; add password-file',
  ]);
  put("wrong", "no such password\n");
  assert.match(
    said('certificate = "ec.p12", password-file = "wrong", ca = ["ca.pem"]')[0] ?? "",
    /^mainmode.toml:5:68: .*password-file: ec.p12: the password in password-file does not open it/,
  );
});

test("PKCS #12 opens with a password that has other letters than ASCII's, whatever encrypts its parts", () => {
  const password = "p\u00e4ssw\u00f6rd \u20ac\u{1f511}";
  put("letters", `${password}\n`);
  put("no-letters", "passw\u00f6rd\n");
  const mixed = ["-legacy", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "AES-256-CBC"];
  for (const [certificate, key] of [
    ["rsa.pem", "rsa.key"],
    ["ec.pem", "host.key"],
  ] as const) {
    put("latin", Buffer.from("p\u00e4ss\n", "latin1"));
    openssl("pkcs12", "-export", "-inkey", key, "-in", certificate, "-passout", "file:latin", "-out", "latin.p12");
    chmodSync(join(folder, "latin.p12"), 0o600);
    assert.ok(signs(loaded('certificate = "latin.p12", password-file = "latin", ca = ["ca.pem"]')));
    for (const form of [[], ["-legacy"], mixed]) {
      const argv = ["pkcs12", "-export", "-inkey", key, "-in", certificate, "-passout", `pass:${password}`, "-out", "letters.p12"];
      openssl(...argv, ...form);
      chmodSync(join(folder, "letters.p12"), 0o600);
      const entry = loaded('certificate = "letters.p12", password-file = "letters", ca = ["ca.pem"]');
      assert.deepEqual(entry.own.chain, [key === "rsa.key" ? rsa.der : leaf.der]);
      assert.ok(signs(entry), `${key} ${form}`);
      assert.match(
        said('certificate = "letters.p12", password-file = "no-letters", ca = ["ca.pem"]')[0] ?? "",
        /password-file: letters.p12: the password in password-file does not open it/,
      );
    }
  }
});

test("OpenSSL's own form of certificates with trust in them is none that is read", () => {
  const block = pem("TRUSTED CERTIFICATE", Uint8Array.from([...root.der, 0x30, 0]));
  put("trusted.pem", block);
  assert.match(said(GOOD.replace("ca.pem", "trusted.pem"))[0] ?? "", /trusted.pem: its PEM blocks are no certificates/);
  put("trusted.pem", `${block}${root.pem}`);
  assert.deepEqual(loaded(GOOD.replace("ca.pem", "trusted.pem")).trust.anchors, [root.der]);
});

test("a key of ours whose curve is written out instead of named is said to be none that peers take", () => {
  const key = newKey("p256 written out");
  const one = issue({ subject: "CN=written out", key, issuer: root });
  put("written.pem", one.pem);
  put("written.key", writtenOutKey(key));
  assert.match(
    said('certificate = "written.pem", key = "written.key", ca = ["ca.pem"]')[0] ?? "",
    /certificate: written.pem: CN=written out: its key's curve is written out/,
  );
  put("written-ca.pem", issue({ subject: "CN=written CA", key, extensions: [EXT.ca()] }).pem);
  assert.match(
    said(GOOD.replace("ca.pem", "written-ca.pem"))[0] ?? "",
    /ca: written-ca.pem: CN=written CA: its key's curve is written out/,
  );
});

/** A private key as `openssl ec -param_enc explicit` writes it. */
function writtenOutKey({ privateKey }: KeyPair): string {
  put("named.key", privateKey.export({ type: "sec1", format: "pem" }) as string);
  openssl("ec", "-in", "named.key", "-param_enc", "explicit", "-out", "explicit.key");
  return readFileSync(join(folder, "explicit.key"), "utf8");
}

test("encrypted keys open with their password only", () => {
  const encrypted = leaf.key.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "throwaway" });
  put("locked.key", encrypted as string);
  put("locked.der", leaf.key.privateKey.export({ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: "throwaway" }));
  put("old.key", rsa.key.privateKey.export({ type: "pkcs1", format: "pem", cipher: "aes-128-cbc", passphrase: "throwaway" }) as string);
  for (const key of ["locked.key", "locked.der"]) {
    const entry = `certificate = "chain.pem", key = "${key}", ca = ["ca.pem"]`;
    assert.ok(signs(loaded(`${entry}, password-file = "password"`)));
    assert.match(said(entry)[0] ?? "", /:5:\d+: .*auth.key: locked.* is encrypted; add password-file$/);
    assert.match(
      said(`${entry}, password-file = "wrong"`)[0] ?? "",
      /auth.password-file: locked.*: the password in password-file does not open it$/,
    );
  }
  assert.ok(signs(loaded('certificate = "rsa.pem", key = "old.key", ca = ["ca.pem"], password-file = "password"')));
});

const expired = issue({ subject: "CN=old", key: leaf.key, issuer: root, from: NOW - 9 * DAY, to: NOW - DAY });
const future = issue({ subject: "CN=new", key: leaf.key, issuer: root, from: NOW + DAY });
const soon = issue({ subject: "CN=soon", key: leaf.key, issuer: root, to: NOW + 3 * DAY });
const short = issue({ subject: "CN=short", key: newKey("rsa1024"), issuer: root });
const edwards = issue({ subject: "CN=edwards", key: newKey("ed25519"), issuer: root });
const mute = issue({ subject: "CN=mute", key: leaf.key, issuer: root, extensions: [EXT.usage(4)] });
const oldCa = issue({ subject: "CN=old CA", key: newKey("p256"), from: NOW - 9 * DAY, to: NOW - DAY, extensions: [EXT.ca()] });

const v1 = issue({ subject: "CN=v1", key: newKey("p256"), version: 1 });
const noSign = issue({ subject: "CN=no sign", key: newKey("p256"), extensions: [EXT.ca(), EXT.usage(0)] });
const hostCa = issue({ subject: "CN=b", key: newKey("p256"), extensions: [EXT.ca(), EXT.names({ dns: "b.example.test" })] });
const PINNED = "so it is taken as one peer's own certificate, and nothing that it signed counts";

/** Name of the case, the entry, and what is said of it after `mainmode.toml:`; other keys of the rule. */
const FAULTS: readonly (readonly [string, string, readonly string[], string?])[] = [
  ["nothing wrong", GOOD, []],
  ["no certificate", 'ca = ["ca.pem"]', ['5:9: rule "hr": auth: certificate is missing; add certificate = "/etc/mainmode/host.pem"']],
  ["no CA", 'certificate = "chain.pem", key = "host.key"', ['5:9: rule "hr": auth: ca is missing; add ca = ["/etc/mainmode/ca.pem"]']],
  ["a key of another method", `${GOOD}, secret = "x"`, ['5:90: rule "hr": auth.secret: secret belongs to the method psk']],
  ["no such file", GOOD.replace("chain", "none"), ['5:42: rule "hr": auth.certificate: none.pem: there is no such file']],
  ["no such CA", GOOD.replace("ca.pem", "none.pem"), ['5:79: rule "hr": auth.ca: none.pem: there is no such file']],
  [
    "no key at all",
    'certificate = "rsa.pem", ca = ["ca.pem"]',
    ['5:42: rule "hr": auth.certificate: rsa.pem holds no private key; add key = "…"'],
  ],
  [
    "somebody else's key",
    GOOD.replace("host.key", "rsa.key"),
    [
      '5:61: rule "hr": auth.key: the key in rsa.key belongs to no certificate of chain.pem (C=DE, O=Test only, CN=Middle; C=DE, O=Test only, CN=host)',
    ],
  ],
  ["a certificate for a key", GOOD.replace("host.key", "rsa.pem"), ['5:61: rule "hr": auth.key: rsa.pem holds no private key']],
  [
    "an expired certificate",
    GOOD.replace("chain", put("expired.pem", expired.pem).slice(0, -4)),
    ['5:42: rule "hr": auth.certificate: expired.pem: CN=old: it expired 2026-11-20T12:00:00Z; have it renewed'],
  ],
  [
    "a certificate of the future",
    GOOD.replace("chain", put("future.pem", future.pem).slice(0, -4)),
    ['5:42: rule "hr": auth.certificate: future.pem: CN=new: it is not valid before 2026-11-22T12:00:00Z; is this machine\'s clock right?'],
  ],
  [
    "a certificate that ends soon",
    GOOD.replace("chain", put("soon.pem", soon.pem).slice(0, -4)),
    ['5:42: warning: rule "hr": auth.certificate: soon.pem: CN=soon expires 2026-11-24T12:00:00Z'],
  ],
  [
    "a key that others may read",
    GOOD.replace("host.key", put("open.key", keyPem(leaf), 0o644)),
    ['5:61: rule "hr": auth.key: open.key: others may read or write this file, so the key is not secret; chmod o= it and choose a new key'],
  ],
  [
    "a key in a certificate's file that others may read",
    'certificate = "open.pem", ca = ["ca.pem"]',
    [
      '5:42: rule "hr": auth.certificate: open.pem: others may read or write this file, so the key is not secret; chmod o= it and choose a new key',
    ],
  ],
  [
    "a short key",
    'certificate = "short.pem", ca = ["ca.pem"]',
    [
      '5:42: rule "hr": auth.certificate: short.pem: CN=short: its RSA key has 1024 bits; 2048 are the least, or add allow-weak = ["rsa1024"]',
    ],
  ],
  ["a short key, allowed", 'certificate = "short.pem", ca = ["ca.pem"]', [], 'allow-weak = ["rsa1024"]\n'],
  [
    "a key that IKE has no method for",
    'certificate = "edwards.pem", ca = ["ca.pem"]',
    ['5:42: rule "hr": auth.certificate: edwards.pem: IKE signs with RSA, or ECDSA on P-256, P-384 or P-521, not with ed25519 keys'],
  ],
  [
    "a certificate that may not sign",
    GOOD.replace("chain", put("mute.pem", mute.pem).slice(0, -4)),
    [
      '5:42: rule "hr": auth.certificate: mute.pem: CN=mute: its key may not sign (key usage has neither digitalSignature nor nonRepudiation), so no peer will take it',
    ],
  ],
  [
    "an expired CA",
    GOOD.replace("ca.pem", put("oldca.pem", oldCa.pem)),
    ['5:78: rule "hr": auth.ca: CN=old CA: it expired 2026-11-20T12:00:00Z; have it renewed'],
  ],
  [
    "an expired CA beside a good one",
    GOOD.replace("ca.pem", put("cas.pem", root.pem + oldCa.pem)),
    ['5:78: warning: rule "hr": auth.ca: CN=old CA: it expired 2026-11-20T12:00:00Z; have it renewed'],
  ],
  [
    "somebody's own certificate beside a CA",
    GOOD.replace("ca.pem", put("pinned.pem", root.pem + leaf.pem)),
    [`5:79: warning: rule "hr": auth.ca: pinned.pem: C=DE, O=Test only, CN=host: it is no CA's certificate, ${PINNED}`],
  ],
  [
    "a root of version 1",
    GOOD.replace("ca.pem", put("v1.pem", v1.pem)),
    [
      `5:79: warning: rule "hr": auth.ca: v1.pem: CN=v1: it is of version 1, which does not say whether it is a CA, ${PINNED}; if it is one, add allow-weak = ["v1-ca"]`,
    ],
  ],
  [
    "a root of version 1 that is said to be a CA",
    GOOD.replace("ca.pem", "v1.pem"),
    ['5:79: warning: rule "hr": auth.ca: v1.pem: CN=v1: it is of version 1, and taken as a CA because allow-weak says so'],
    'allow-weak = ["v1-ca"]\n',
  ],
  [
    "a CA whose key may not sign certificates",
    GOOD.replace("ca.pem", put("noSign.pem", noSign.pem)),
    [`5:79: warning: rule "hr": auth.ca: noSign.pem: CN=no sign: its key may not sign certificates (key usage), ${PINNED}`],
  ],
  [
    "a host's own certificate that says it is a CA's",
    GOOD.replace("ca.pem", put("hostca.pem", hostCa.pem)),
    [
      '5:79: warning: rule "hr": auth.ca: hostca.pem: CN=b: it names a host and says that it is a CA: if it is that host\'s own, whoever has its key can vouch for anybody here; have it made anew with basicConstraints = CA:FALSE',
    ],
  ],
  [
    "many that are no CA's",
    GOOD.replace(
      "ca.pem",
      put("many.pem", Array.from({ length: 30 }, (_, i) => issue({ subject: `CN=p${i}`, key: leaf.key }).pem).join("")),
    ),
    [
      ...[0, 1, 2, 3].map((i) => `5:79: warning: rule "hr": auth.ca: many.pem: CN=p${i}: it is no CA's certificate, ${PINNED}`),
      '5:79: warning: rule "hr": auth.ca: 26 more certificates in ca are like these',
    ],
  ],
  ["no CA in the file", GOOD.replace('"ca.pem"', '"host.key"'), ['5:79: rule "hr": auth.ca: host.key holds no certificate']],
  ["something else", GOOD.replace("ca.pem", put("text", "hello\n")), ['5:79: rule "hr": auth.ca: text: it holds neither PEM nor DER']],
  [
    "a broken certificate",
    GOOD.replace("ca.pem", put("broken.pem", pem("CERTIFICATE", root.der.slice(0, 100)))),
    [
      '5:79: rule "hr": auth.ca: broken.pem: certificate number 1 cannot be read: at octet 0: certificate needs 350 octets, 96 left'
        .replace(/350/, String(root.der.length - 4))
        .replace("octet 0", "octet 4"),
    ],
  ],
  ["a current list", `${GOOD}, crl = "require", crl-files = ["${put("good.crl", pem("X509 CRL", issueCrl({ issuer: root })))}"]`, []],
  [
    "an old list",
    `${GOOD}, crl = "require", crl-files = ["${put("old.crl", issueCrl({ issuer: root, nextUpdate: NOW - DAY / 2 }))}"]`,
    [
      '5:120: warning: rule "hr": auth.crl-files: old.crl: the list of C=DE, O=Test only, CN=Root ended 2026-11-21T00:00:00Z; peers of this CA are refused until there is a new one',
    ],
  ],
  ...(
    [
      [
        "a delta list",
        "2.5.29.27",
        Uint8Array.of(2, 1, 1),
        "shows nobody to be good, it only revokes: it is a delta list, which needs its base",
      ],
      [
        "a list of a part",
        "2.5.29.28",
        Uint8Array.of(0x30, 3, 0x81, 1, 0xff),
        "shows nobody to be good, it only revokes: it is about a part of the certificates only (issuing distribution point)",
      ],
      [
        "a list of several issuers",
        "2.5.29.28",
        Uint8Array.of(0x30, 3, 0x84, 1, 0xff),
        "is of no use: it is a list of several issuers (indirect)",
      ],
    ] as const
  ).map(([name, id, value, words]): (typeof FAULTS)[number] => [
    name,
    `${GOOD}, crl-files = ["${put(`${id}-${value[2]}.crl`, issueCrl({ issuer: root, extensions: [{ id, critical: false, value }] }))}"]`,
    [`5:103: warning: rule "hr": auth.crl-files: ${id}-${value[2]}.crl: the list of C=DE, O=Test only, CN=Root ${words}`],
  ]),
  ["a CA for a list", `${GOOD}, crl-files = ["ca.pem"]`, ['5:103: rule "hr": auth.crl-files: ca.pem holds no revocation list']],
  [
    "no such mode",
    `${GOOD}, crl = "sometimes"`,
    ['5:96: rule "hr": auth.crl: unknown value "sometimes"; the nearest known one is "require"'],
  ],
  ["an identity that the certificate has", `${GOOD}, local-id = "fqdn:host.example.test"`, []],
  [
    "an identity that the certificate has not",
    `${GOOD}, local-id = "fqdn:other"`,
    [
      '5:101: warning: rule "hr": auth.local-id: local-id is fqdn:other, and the certificate proves dn:C=DE, O=Test only, CN=host, fqdn:host.example.test, user:me@Example.test, ip:192.0.2.7; most peers will refuse that',
    ],
  ],
  [
    "a pattern for ourselves",
    `${GOOD}, local-id = "dn:CN=*"`,
    ['5:101: rule "hr": auth.local-id: a * stands for any value, and we are somebody; write the value'],
  ],
  ["a pattern for the peer", `${GOOD}, remote-id = "dn:C=DE, O=*, CN=b"`, []],
  [
    "a star within a value",
    `${GOOD}, remote-id = "dn:CN=*.example.test"`,
    ['5:102: rule "hr": auth.remote-id: CN: "*.example.test": a * stands for a whole value only; a star itself is written "\\2A"'],
  ],
];
put("open.pem", leaf.pem + keyPem(leaf), 0o644);
put("short.pem", short.pem + keyPem(short));
put("edwards.pem", edwards.pem + keyPem(edwards));

for (const [name, entry, expected, more = ""] of FAULTS) {
  test(`check says of ${name}: ${expected.length === 0 ? "nothing" : "where and what"}`, () => {
    const shift = more === "" ? 0 : 1;
    assert.deepEqual(
      said(entry, more),
      expected.map((text) => `mainmode.toml:${text.replace(/^5/, `${5 + shift}`)}`),
    );
  });
}

test("check says which of two entries with keys of one kind is offered", () => {
  const [first] = said(`${GOOD} }, { method = "x509", ${GOOD}`);
  assert.match(
    first ?? "",
    /^mainmode\.toml:5:\d+: warning: rule "hr": auth\.method: an entry before it is of the same method, and that one is offered/,
  );
  assert.deepEqual(said(`${GOOD} }, { method = "x509", certificate = "rsa.pem", key = "rsa.key", ca = ["ca.pem"]`), []);
});

test("a file of a thousand certificates is a bundle like any other", () => {
  put("bundle.pem", root.pem.repeat(1000));
  assert.deepEqual(loaded(GOOD.replace("ca.pem", "bundle.pem")).trust.anchors, [root.der]);
});

test("the example makes certificates and configurations that check has nothing against", () => {
  const root =
    ["../..", "../../.."].map((up) => join(import.meta.dirname, up)).find((path) => existsSync(join(path, "package.json"))) ?? ".";
  const { status, stderr } = spawnSync("sh", [join(root, "examples/with-certificates.sh"), join(folder, "example")], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  for (const host of ["a", "b"]) assert.deepEqual(checkConfiguration(join(folder, "example", `${host}.toml`), undefined, x509Loader()), []);
});

test("no error shows anything of a key", () => {
  const secret = keyPem(leaf).split("\n")[1] ?? "";
  put("cut.key", keyPem(leaf).replace(/.{8}\n-----END/, "\n-----END"));
  const text = said(GOOD.replace("host.key", "cut.key")).join("\n");
  assert.match(text, /private key of a form that is not known/);
  assert.ok(!text.includes(secret.slice(0, 16)));
});
