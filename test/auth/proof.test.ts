import assert from "node:assert/strict";
import { constants, createHash, privateEncrypt, sign } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { AuthReason } from "../../auth/method.ts";
import { readCertificate } from "../../auth/providers/certificate.ts";
import { readCrl } from "../../auth/providers/crl.ts";
import { type Claim, checkClaim, type ProofWorld, signHash, type Wanted } from "../../auth/providers/proof.ts";
import { ecdsaSign, ecdsaVerify } from "../../ike/crypto/ecdsa.ts";
import { fromHex } from "../../isakmp/hex.ts";
import { CERT_ENCODING, ID_TYPE } from "../../isakmp/numbers.ts";
import { ok } from "../../isakmp/result.ts";
import { idPayloadValue, parseIdentity } from "../../policy/identity.ts";
import type { Identity, Trust } from "../../policy/types.ts";
import { DAY, EXT, hierarchy, type Issued, issue, issueCrl, type KeyKind, NOW, name, newKey, pkcs7 } from "./pki.ts";

const { root, middle, leaf } = hierarchy();
const rsaHost = issue({
  subject: "C=DE, CN=rsa",
  key: newKey("rsa2048"),
  issuer: root,
  extensions: [EXT.names({ dns: "rsa.example.test" })],
});
const HASH = Uint8Array.from(createHash("sha256").update("hash").digest());

const hex = (text: string): Uint8Array => fromHex(text.replace(/\s+/g, "")) as Uint8Array;
const identity = (text: string): Identity => {
  const parsed = parseIdentity(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const trust = (anchors: readonly Issued[], more: Partial<Trust> = {}): Trust => ({
  anchors: anchors.map(({ der }) => der),
  names: [],
  intermediates: [],
  crl: "if-present",
  crlFiles: [],
  weak: { shortRsa: false, sha1: false, oldRoots: false },
  ...more,
});
const wanted = (anchors: readonly Issued[], remoteId: string | null = null): Wanted => ({
  trust: trust(anchors),
  remoteId: remoteId === null ? null : identity(remoteId),
});
const WORLD: ProofWorld = {
  milliseconds: NOW,
  lists: () => ok([]),
  parsed: (ders) =>
    ders.map((der) => {
      const read = readCertificate(der);
      if (!read.ok) throw new Error(read.error);
      return read.value;
    }),
};

const METHODS = {
  p256: ["ecdsa256", 9],
  p384: ["ecdsa384", 10],
  p521: ["ecdsa521", 11],
  rsa2048: ["rsa", 3],
  rsa1024: ["rsa", 3],
} as const;
const sent = (...certificates: readonly Issued[]) =>
  certificates.map(({ der }) => ({ encoding: CERT_ENCODING["X.509 - Signature"], data: der }));

/** What `leaf` says of itself, otherwise as given. */
function claim(more: Partial<Claim> = {}): Claim {
  return {
    entries: [wanted([root])],
    method: 9,
    hash: HASH,
    signature: signHash("ecdsa256", leaf.key.privateKey, HASH, new Uint8Array(32)),
    certificates: sent(leaf, middle),
    id: { type: ID_TYPE.ID_DER_ASN1_DN, data: leaf.subject },
    ...more,
  };
}

function accepted(one: Claim, world = WORLD) {
  const result = checkClaim(one, world);
  assert.ok(result.ok, result.ok ? "" : `${result.error.reason}: ${result.error.what}`);
  return result.value;
}

function refused(one: Claim, reason: AuthReason, what: RegExp, world = WORLD): void {
  const result = checkClaim(one, world);
  assert.ok(!result.ok, "it was accepted");
  assert.equal(result.error.reason, reason, result.error.what);
  assert.match(result.error.what, what);
}

for (const kind of ["p256", "p384", "p521", "rsa2048"] as const) {
  test(`a signature with a key of ${kind} proves its owner, and any octet changed does not`, () => {
    const [algorithm, method] = METHODS[kind];
    const host = issue({ subject: "CN=one", key: newKey(kind), issuer: root });
    const id = { type: ID_TYPE.ID_DER_ASN1_DN, data: host.subject };
    for (const octets of kind === "rsa2048" ? [16, 20, 32, 48, 64] : [{ p256: 32, p384: 48, p521: 64 }[kind]]) {
      const hash = Uint8Array.from(createHash("sha512").update(kind).digest()).subarray(0, octets);
      const signature = signHash(algorithm, host.key.privateKey, hash, new Uint8Array(32).fill(7));
      assert.equal(signature.length, { p256: 64, p384: 96, p521: 132, rsa2048: 256 }[kind]);
      const base = { method, hash, signature, id, certificates: sent(host) };
      assert.equal(accepted(claim(base)).subject, "CN=one");
      const changed = (source: Uint8Array, at: number) => source.map((octet, i) => (i === at ? octet ^ 1 : octet));
      refused(claim({ ...base, hash: changed(hash, 3) }), "signature-invalid", /signature is wrong/);
      refused(claim({ ...base, signature: changed(signature, 50) }), "signature-invalid", /signature is wrong/);
      for (const length of [0, signature.length - 1, signature.length + 1])
        refused(claim({ ...base, signature: new Uint8Array(length) }), "signature-invalid", /the signature has/);
      refused(claim({ ...base, hash: new Uint8Array() }), "signature-invalid", /wrong/);
    }
  });
}

test("an RSA signature is PKCS#1 type 1 round the bare hash: neither named hashes nor PSS are taken", () => {
  const base = { method: 3, id: { type: ID_TYPE.ID_DER_ASN1_DN, data: rsaHost.subject }, certificates: sent(rsaHost) };
  const key = rsaHost.key.privateKey;
  const bare = privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, HASH);
  accepted(claim({ ...base, signature: bare }));
  refused(claim({ ...base, signature: sign("sha256", HASH, key) }), "signature-invalid", /wrong/);
  refused(
    claim({ ...base, signature: sign("sha256", HASH, { key, padding: constants.RSA_PKCS1_PSS_PADDING }) }),
    "signature-invalid",
    /wrong/,
  );
});

test("the signature of ECDSA-256 that RFC 4754 §8.1 gives is taken, over the hash that it was made of", () => {
  const point = hex(`04 2442A5CC 0ECD015F A3CA31DC 8E2BBC70 BF42D60C BCA20085 E0822CB0 4235E970
    6FC98BD7 E50211A4 A27102FA 3549DF79 EBCB4BF2 46B80945 CDDFE7D5 09BBFD7D`);
  const hash = hex("BA7816BF 8F01CFEA 414140DE 5DAE2223 B00361A3 96177A9C B410FF61 F20015AD");
  const signature = hex(`CB28E099 9B9C7715 FD0A80D8 E47A7707 9716CBBF 917DD72E 97566EA1 C066957C
    86FA3BB4 E26CAD5B F90B7F81 899256CE 7594BB1E A0C89212 748BFF3B 3D5B0315`);
  assert.ok(ecdsaVerify("ecdsa256", point, hash, signature));
  assert.ok(
    !ecdsaVerify(
      "ecdsa256",
      point,
      hash.map((octet) => octet ^ 1),
      signature,
    ),
  );
});

test("r and s have the curve's length whatever their values, and large s is taken", () => {
  const { curveName, scalar, point } = { curveName: "ecdsa256", ...rawKey() } as const;
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), (hash, entropy) => {
      const signature = ecdsaSign(curveName, scalar, hash, entropy);
      assert.equal(signature.length, 64);
      assert.ok(ecdsaVerify(curveName, point, hash, signature));
    }),
    { numRuns: 20 },
  );
  for (const bad of [new Uint8Array(64), new Uint8Array(64).fill(255)]) assert.ok(!ecdsaVerify(curveName, point, HASH, bad));
});

function rawKey() {
  const { d = "", x = "", y = "" } = leaf.key.privateKey.export({ format: "jwk" });
  const [scalar, ...xy] = [d, x, y].map((text) => Buffer.from(text, "base64url")) as [Buffer, Buffer, Buffer];
  return { scalar: Uint8Array.from(scalar), point: Uint8Array.from(Buffer.concat([Uint8Array.of(4), ...xy])) };
}

test("the peer is any of the identities that its certificate proves, and no other", () => {
  for (const said of [
    "dn:C=DE, O=Test only, CN=host",
    "fqdn:host.example.test",
    "fqdn:HOST.example.test",
    "user:me@example.TEST",
    "ip:192.0.2.7",
  ])
    accepted(claim({ id: idPayloadValue(identity(said)) }));
  const others = [
    "dn:C=DE, O=Test only, CN=other",
    "dn:C=DE, CN=host",
    "fqdn:example.test",
    "fqdn:host",
    "user:you@example.test",
    "user:ME@example.test",
    "ip:192.0.2.8",
    "ip:2001:db8::7",
    "key:host",
  ];
  for (const said of others)
    refused(
      claim({ id: idPayloadValue(identity(said)) }),
      "identity-not-certified",
      /the peer calls itself .* and its certificate proves dn:C=DE, O=Test only, CN=host/,
    );
  refused(claim({ id: { type: 4, data: Uint8Array.of(192, 0, 2, 0, 255, 255, 255, 0) } }), "identity-not-certified", /calls itself/);
});

/** A name whose value CN is of another string type than we write. */
const retyped = (text: string, tag: number): Uint8Array =>
  hex(
    Buffer.from(name(text))
      .toString("hex")
      .replace(/(0603550403)0c/, `$1${tag.toString(16).padStart(2, "0")}`),
  );
const distinguished = (data: Uint8Array) => ({ type: ID_TYPE.ID_DER_ASN1_DN, data });

test("a DN is the certificate's subject octet by octet, or the same characters in other string types, and nothing else", () => {
  const host = (subject: Uint8Array) => issue({ subject, key: leaf.key, issuer: root });
  const says = (own: Uint8Array, said: Uint8Array) => claim({ certificates: sent(host(own)), id: distinguished(said) });
  const [usual, printable] = [name("C=DE, CN=host one"), retyped("C=DE, CN=host one", 0x13)];
  assert.notDeepEqual(printable, usual);
  for (const [own, said] of [
    [usual, usual],
    [printable, printable],
    [printable, usual],
    [usual, printable],
    [usual, retyped("C=DE, CN=host one", 0x14)],
  ] as const)
    accepted(says(own, said));
  for (const other of ["C=DE, CN=Host one", "C=DE, CN=host  one", "C=de, CN=host one", "CN=host one, C=DE", "C=DE, CN=host", "C=DE, CN=*"])
    for (const own of [usual, printable])
      refused(says(own, name(other)), "identity-not-certified", /calls itself dn:.*proves dn:C=DE, CN=host one/);
  refused(says(usual, name("C=DE, CN=Host one")), "identity-not-certified", /differ in capitals or blanks only/);
});

test("a certificate whose subject is said octet by octet is tried before those that are only written alike", () => {
  const others = Array.from({ length: 6 }, () => issue({ subject: retyped("C=DE, CN=host", 0x13), key: newKey("p256"), issuer: root }));
  const own = issue({ subject: name("C=DE, CN=host"), key: leaf.key, issuer: root });
  accepted(claim({ certificates: sent(...others, own), id: distinguished(own.subject) }));
});

test("of certificates of one identity the keys of the first four are tried", () => {
  const twins = Array.from({ length: 4 }, () => issue({ subject: leaf.subject, key: newKey("p256"), issuer: root }));
  accepted(claim({ certificates: sent(...twins.slice(1), leaf, middle) }));
  refused(claim({ certificates: sent(...twins, leaf, middle) }), "signature-invalid", /signature is wrong/);
});

test("a rule's remote-id is one of the identities that the certificate proves; what differs is said with both values", () => {
  for (const wish of ["dn:C=DE, O=Test only, CN=host", "dn:C=DE, O=*, CN=*", "fqdn:host.example.test", "ip:192.0.2.7"])
    assert.deepEqual(accepted(claim({ entries: [wanted([root], wish)] })).entries, [0]);
  for (const wish of ["dn:C=DE, O=Test only, CN=other", "dn:C=DE, O=*", "fqdn:other.example.test", "ip:192.0.2.8"])
    refused(claim({ entries: [wanted([root], wish)] }), "identity-not-wanted", /proved to be dn:C=DE, O=Test only, CN=host; wanted is /);
});

test("of several entries those are named that believe the CA and want the peer", () => {
  const { root: other } = hierarchy();
  const entries = [
    wanted([other]),
    wanted([root], "fqdn:other.example.test"),
    wanted([root], "fqdn:host.example.test"),
    wanted([root, other]),
  ];
  assert.deepEqual(accepted(claim({ entries })).entries, [2, 3]);
  refused(claim({ entries: entries.slice(0, 1) }), "certificate-untrusted", /CN=Middle: its signature is wrong: it is not of/);
  refused(claim({ entries: entries.slice(0, 2) }), "identity-not-wanted", /fqdn:other/);
});

test("a thousand entries with one set of CAs cost one search", () => {
  const shared = trust([root]);
  let parses = 0;
  const parsed: ProofWorld["parsed"] = (ders) => {
    parses += ders.length;
    return WORLD.parsed(ders);
  };
  const world = { ...WORLD, parsed };
  const entries = Array.from({ length: 1000 }, (_, i) => ({
    trust: shared,
    remoteId: i === 999 ? null : identity(`fqdn:h${i}.example.test`),
  }));
  assert.deepEqual(accepted(claim({ entries }), world).entries, [999]);
  assert.ok(parses < 10, `${parses} certificates read`);
});

test("certificates come in any order, as PKCS #7, with lists and with what nobody asked for", () => {
  const list = issueCrl({ issuer: middle, revoked: [leaf.key ? 4711 : 0] });
  accepted(claim({ certificates: sent(middle, root, leaf) }));
  accepted(claim({ certificates: [{ encoding: CERT_ENCODING["PKCS #7 wrapped X.509"], data: pkcs7([middle.der, leaf.der]) }] }));
  accepted(
    claim({
      certificates: [...sent(leaf, middle), { encoding: 2, data: Uint8Array.of(1, 2, 3) }, { encoding: 4, data: Uint8Array.of(0x30, 0) }],
    }),
  );
  refused(
    claim({ certificates: [...sent(leaf, middle), { encoding: CERT_ENCODING.CRL, data: list }] }),
    "certificate-revoked",
    /CN=host is revoked by .*CN=Middle/,
  );
  refused(
    claim({ certificates: [{ encoding: CERT_ENCODING["PKCS #7 wrapped X.509"], data: pkcs7([middle.der, leaf.der], [list]) }] }),
    "certificate-revoked",
    /revoked/,
  );
});

test("our own intermediates help, and CAs of ca that others of ca issued are not the end of the way", () => {
  const own = { trust: trust([root], { intermediates: [middle.der] }), remoteId: null };
  accepted(claim({ certificates: sent(leaf), entries: [own] }));
  const both = { trust: trust([middle, root]), remoteId: null };
  const lists = [issueCrl({ issuer: root, revoked: [Number.parseInt(serialOf(middle), 16)] })].map((der) => {
    const read = readCrl(der);
    if (!read.ok) throw new Error(read.error);
    return read.value;
  });
  accepted(claim({ entries: [both] }));
  refused(claim({ entries: [both] }), "certificate-revoked", /CN=Middle is revoked/, { ...WORLD, lists: () => ok(lists) });
});

const serialOf = (one: Issued): string => {
  const read = readCertificate(one.der);
  return read.ok ? read.value.serial : "";
};

test("a peer that sends nothing is known where its own certificate stands in ca", () => {
  accepted(claim({ certificates: [], entries: [wanted([leaf])] }));
  refused(claim({ certificates: [] }), "certificate-missing", /sent no certificate$/);
  refused(claim({ certificates: [{ encoding: 2, data: Uint8Array.of(1) }] }), "certificate-missing", /encoding 2/);
});

test("another key's certificate with the same name is no proof", () => {
  const thief = issue({ subject: leaf.subject, key: newKey("p256"), issuer: root });
  refused(claim({ certificates: sent(thief) }), "signature-invalid", /signature is wrong/);
  accepted(claim({ certificates: sent(thief, leaf, middle) }));
});

test("the method and the key have to be of one kind, and the key long enough", () => {
  refused(claim({ method: 10 }), "signature-invalid", /another kind/);
  refused(claim({ method: 3 }), "signature-invalid", /is RSA signatures, and the certificate's key is ec/);
  const short = issue({ subject: "CN=short", key: newKey("rsa1024"), issuer: root });
  const base = claim({
    method: 3,
    signature: signHash("rsa", short.key.privateKey, HASH, new Uint8Array(32)),
    certificates: sent(short),
    id: { type: 9, data: short.subject },
  });
  refused(base, "certificate-unsuitable", /1024 bits/);
  accepted({ ...base, entries: [{ trust: trust([root], { weak: { shortRsa: true, sha1: false, oldRoots: false } }), remoteId: null }] });
});

test("a flood of certificates is refused before any of them is looked at", () => {
  const many = Array.from({ length: 40 }, (_, i) => ({ encoding: 4, data: Uint8Array.of(0x30, 1, i) }));
  refused(claim({ certificates: [...sent(leaf, middle), ...many] }), "certificate-malformed", /more than 24 certificates/);
  refused(
    claim({ certificates: [...sent(leaf, middle), { encoding: 4, data: new Uint8Array(200_000) }] }),
    "certificate-malformed",
    /octets of certificates/,
  );
  refused(
    claim({ certificates: [{ encoding: 1, data: pkcs7(many.map(({ data }) => data)) }] }),
    "certificate-missing",
    /PKCS #7 payload that cannot be read/,
  );
  accepted(claim({ certificates: [...sent(leaf, middle), ...Array.from({ length: 100 }, () => sent(middle)).flat()] }));
});

test("certificates that sign each other in every way are searched to a bound", () => {
  const keys = Array.from({ length: 5 }, () => newKey("p256"));
  const subjects = keys.map((_, i) => name(`CN=tangle ${i}`));
  const tangle = keys.flatMap((key, to) =>
    keys.flatMap((signer, by) =>
      to === by
        ? []
        : [
            issue({
              subject: subjects[to] as Uint8Array,
              key,
              issuer: { subject: subjects[by] as Uint8Array, key: signer },
              extensions: [EXT.ca()],
            }),
          ],
    ),
  );
  const end = issue({
    subject: leaf.subject,
    key: leaf.key,
    issuer: { subject: subjects[0] as Uint8Array, key: keys[0] as (typeof keys)[0] },
  });
  refused(claim({ certificates: sent(end, ...tangle) }), "certificate-untrusted", /tangled/);
  const twins = Array.from({ length: 9 }, () =>
    issue({ subject: middle.subject, key: newKey("p256"), issuer: root, extensions: [EXT.ca()] }),
  );
  accepted(claim({ certificates: sent(leaf, ...twins.slice(1), middle) }));
});

test("whatever octets a peer calls certificates, the answer is one of our reasons", () => {
  const originals = [leaf.der, middle.der, issueCrl({ issuer: middle }), pkcs7([leaf.der])];
  fc.assert(
    fc.property(
      fc.nat(3),
      fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.constantFrom(1, 4, 7),
      (which, changes, encoding) => {
        const data = Uint8Array.from(originals[which] as Uint8Array);
        for (const [at, value] of changes) data[at % data.length] = value;
        const result = checkClaim(claim({ certificates: [{ encoding, data }, ...sent(middle)] }), WORLD);
        if (!result.ok) assert.ok(result.error.what.length < 2000);
      },
    ),
    { numRuns: 500 },
  );
});

const KINDS: readonly KeyKind[] = ["p256", "rsa2048"];
test("text of a peer's names is safe to print", () => {
  for (const kind of KINDS) {
    const odd = issue({ subject: "CN=\\1B[31mred\\0Anext", key: newKey(kind), issuer: root });
    const result = checkClaim(claim({ certificates: sent(odd), id: { type: 9, data: odd.subject } }), WORLD);
    assert.ok(!result.ok);
    assert.doesNotMatch(result.error.what, /[\p{Cc}]/u);
  }
});

const ca = (i: number): Issued => issue({ subject: `CN=CA ${i}`, key: leaf.key, extensions: [EXT.ca(), EXT.usage(5, 6)] });

test("of rules with forty different sets of CAs the last one counts like the first", () => {
  const entries = [...Array.from({ length: 40 }, (_, i) => wanted([ca(i)])), wanted([root])];
  assert.deepEqual(accepted(claim({ entries })).entries, [40]);
  const stranger = issue({ subject: leaf.subject, key: leaf.key, issuer: ca(99) });
  refused(claim({ entries, certificates: sent(stranger) }), "certificate-untrusted", /CN=CA 99/);
});

test("of a hundred peers whose own certificates stand in ca the last one is known like the first", () => {
  const peers = Array.from({ length: 99 }, (_, i) => issue({ subject: `CN=peer ${i}`, key: leaf.key, extensions: [EXT.noCa()] }));
  const entries = [wanted([...peers, leaf])];
  accepted(claim({ certificates: [], entries }));
  refused(
    claim({ certificates: [], entries, id: idPayloadValue(identity("dn:CN=nobody")) }),
    "identity-not-certified",
    /calls itself dn:CN=nobody, which none of the certificates in ca proves, and it sent none/,
  );
});

test("CAs of one name cost as many checks as they may together, however many rules there are", () => {
  const twins = Array.from({ length: 300 }, (_, i) =>
    issue({ subject: middle.subject, key: KEYS[i % KEYS.length] as (typeof KEYS)[0], serial: i, extensions: [EXT.ca()] }),
  );
  const entries = twins.map((twin) => wanted([twin]));
  refused(claim({ certificates: sent(leaf), entries: entries.slice(0, 100) }), "certificate-untrusted", /signature is wrong/);
  refused(
    claim({ certificates: sent(leaf), entries: [...entries, wanted([root, middle])] }),
    "certificate-untrusted",
    /more CAs than can be tried/,
  );
  assert.deepEqual(accepted(claim({ certificates: sent(leaf), entries: [...entries.slice(0, 150), wanted([middle])] })).entries, [150]);
});
const KEYS = Array.from({ length: 3 }, () => newKey("p256"));

test("a certificate in ca that is no CA's is its owner's, and whom its owner vouches for is nobody", () => {
  const old = issue({ subject: "CN=old", key: leaf.key, version: 1 });
  const vouched = issue({ subject: leaf.subject, key: leaf.key, issuer: old });
  const oldId = { type: ID_TYPE.ID_DER_ASN1_DN, data: old.subject };
  for (const pinned of [old, issue({ subject: "CN=old", key: leaf.key, extensions: [EXT.noCa()] })]) {
    for (const certificates of [[], sent(pinned)]) accepted(claim({ certificates, entries: [wanted([pinned])], id: oldId }));
    refused(
      claim({ certificates: sent(vouched), entries: [wanted([pinned])] }),
      "certificate-unsuitable",
      /CN=old: it is no CA's certificate/,
    );
    refused(claim({ certificates: sent(vouched, pinned), entries: [wanted([pinned, root])] }), "certificate-unsuitable", /no CA's/);
  }
  const named = { trust: trust([old], { weak: { shortRsa: false, sha1: false, oldRoots: true } }), remoteId: null };
  accepted(claim({ certificates: sent(vouched), entries: [named] }));
});

test("of two certificates in ca of which one names the other as its issuer, both are peers' own where neither is a CA's", () => {
  const [above, below] = [
    issue({ subject: "CN=above", key: leaf.key }),
    issue({ subject: leaf.subject, key: leaf.key, issuer: { subject: name("CN=above"), key: leaf.key } }),
  ];
  accepted(claim({ certificates: [], entries: [wanted([above, below])] }));
});

for (const [what, list, reason, words] of [
  ["current", () => issueCrl({ issuer: root }), null, null],
  ["old", () => issueCrl({ issuer: root, nextUpdate: NOW - 1000 }), "crl-expired", /ended 2026-11-21/],
  ["of the future", () => issueCrl({ issuer: root, thisUpdate: NOW + 1000 }), "crl-missing", /of the future/],
  ["somebody else's", () => issueCrl({ issuer: hierarchy().root }), "crl-missing", /signature is wrong/],
  ["missing", () => null, "crl-missing", /no revocation list of C=DE, O=Test only, CN=Root/],
  ["one that revokes the peer", () => issueCrl({ issuer: root, revoked: [4712] }), "certificate-revoked", /CN=host is revoked/],
] as const)
  test(`where lists are required, one that the peer sends counts; if it is ${what}: ${reason ?? "taken"}`, () => {
    const host = issue({ subject: leaf.subject, key: leaf.key, issuer: root, serial: 4712 });
    const der = list();
    const lists = der ? [{ encoding: CERT_ENCODING.CRL, data: der }] : [];
    const required = { trust: trust([root], { crl: "require" }), remoteId: null };
    const one = claim({ entries: [required], certificates: [...sent(host), ...lists] });
    if (reason === null) accepted(one);
    else refused(one, reason, words);
  });

test("a directory name among the alternative names proves it, in any string type, and no subject is nobody's", () => {
  const host = issue({
    subject: Uint8Array.of(0x30, 0),
    key: leaf.key,
    issuer: root,
    extensions: [EXT.names({ dn: "C=DE, CN=other name" })],
  });
  for (const data of [name("C=DE, CN=other name"), retyped("C=DE, CN=other name", 0x13)])
    accepted(claim({ certificates: sent(host), id: distinguished(data) }));
  for (const data of [Uint8Array.of(0x30, 0), name("C=DE, CN=another"), name("C=de, CN=Other  Name")])
    refused(claim({ certificates: sent(host), id: { type: 9, data } }), "identity-not-certified", /calls itself/);
});

for (const [kind, method, algorithm] of [
  ["p256", 9, "ecdsa256"],
  ["rsa2048", 3, "rsa"],
] as const) {
  const key = newKey(kind);
  const one = (more: Partial<Parameters<typeof issue>[0]> = {}): Issued =>
    issue({ subject: "CN=renewed", key, issuer: root, extensions: [EXT.names({ dns: "renewed.example.test" })], ...more });
  const [old, fresh] = [one({ from: NOW - 90 * DAY, to: NOW - DAY }), one()];
  const says = (certificates: readonly Issued[], more: Partial<Claim> = {}): Claim =>
    claim({
      method,
      signature: signHash(algorithm, key.privateKey, HASH, new Uint8Array(32)),
      certificates: sent(...certificates),
      id: idPayloadValue(identity("fqdn:renewed.example.test")),
      ...more,
    });

  test(`of several certificates of one ${kind} key the one that is believed counts, wherever it stands`, () => {
    accepted(says([fresh, old]));
    accepted(says([old, fresh]));
    accepted(says([old], { entries: [wanted([root, one({ extensions: [EXT.noCa(), EXT.names({ dns: "renewed.example.test" })] })])] }));
    const wider = one({ extensions: [EXT.names({ dns: "renewed.example.test" }, { dns: "wide.example.test" })] });
    accepted(says([fresh, wider], { entries: [wanted([root], "fqdn:wide.example.test")] }));
    const others = Array.from({ length: 3 }, () => one({ key: newKey("p256") }));
    accepted(says([...others, old, fresh]));
  });

  test(`of several certificates of one ${kind} key none of which is believed the first one's fault is said, and four are looked at`, () => {
    const { root: other } = hierarchy();
    const stranger = one({ issuer: other });
    refused(says([old, stranger]), "certificate-expired", /CN=renewed expired/);
    refused(says([stranger, old]), "certificate-untrusted", /signature is wrong/);
    const olds = Array.from({ length: 4 }, (_, i) => one({ from: NOW - 90 * DAY, to: NOW - (i + 2) * DAY }));
    accepted(says([...olds.slice(1), fresh]));
    refused(says([...olds, fresh]), "certificate-expired", /expired 2026-11-19/);
  });
}
