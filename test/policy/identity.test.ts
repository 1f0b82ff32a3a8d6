import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ID_TYPE } from "../../isakmp/numbers.ts";
import { decodeName, encodeName } from "../../policy/distinguished-name.ts";
import { formatIdentity, identityKey, identityOf, idPayloadValue, parseIdentity, sameIdentity } from "../../policy/identity.ts";
import type { Identity } from "../../policy/types.ts";

const hex = (data: Uint8Array) => Buffer.from(data).toString("hex");
const octets = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));
const identity = (text: string): Identity => {
  const result = parseIdentity(text);
  assert.ok(result.ok, result.ok ? "" : result.error);
  return result.value;
};

/** The subject of a certificate made with `openssl req -subj "/C=DE/O=Example/OU=Zwei, drei/CN=b"`. */
const OPENSSL_NAME =
  "3040310b30090603550406130244453110300e060355040a0c074578616d706c6531133011060355040b0c0a5a7765692c2064726569310a300806035504030c0162";

const PAYLOADS: readonly (readonly [string, number, string])[] = [
  ["ip:192.0.2.1", 1, "c0000201"],
  ["ip:2001:DB8:0::1", 5, "20010db8000000000000000000000001"],
  ["fqdn:a.example.test", 2, "612e6578616d706c652e74657374"],
  ["user:me@example.test", 3, "6d65406578616d706c652e74657374"],
  ["dn:C=DE, O=Example, OU=Zwei\\, drei, CN=b", 9, OPENSSL_NAME],
  ['dn:C=DE,O=Example,OU="Zwei, drei",CN=b', 9, OPENSSL_NAME],
  ["key:office", 11, "6f6666696365"],
  ["key:0x0001ff", 11, "0001ff"],
];
for (const [text, type, data] of PAYLOADS) {
  test(`${text} is an ID payload of type ${type}, and comes back from it`, () => {
    const id = idPayloadValue(identity(text));
    assert.deepEqual({ ...id, data: hex(id.data) }, { type, protocol: 0, port: 0, data });
    assert.deepEqual(identityOf(id), identity(text));
  });
}

const REFUSED: readonly (readonly [string, string])[] = [
  ["192.0.2.1", '"192.0.2.1" does not say what kind of identity it is; write "ip:192.0.2.1"'],
  ["2001:db8::1", '"2001:db8::1" does not say what kind of identity it is; write "ip:2001:db8::1"'],
  ["a.example.test", '"a.example.test" does not say what kind of identity it is; write "fqdn:a.example.test"'],
  ["me@example.test", '"me@example.test" does not say what kind of identity it is; write "user:me@example.test"'],
  ["C=DE, CN=b", '"C=DE, CN=b" does not say what kind of identity it is; write "dn:C=DE, CN=b"'],
  ["email:me@example.test", '"email:me@example.test" does not say what kind of identity it is; write "user:email:me@example.test"'],
  ["ip:192.0.2", '"192.0.2" is no IPv4 or IPv6 address'],
  ["ip:", '"ip:" is empty after the colon'],
  ["fqdn:two words", '"two words" is no host name, such as "fqdn:a.example.test"'],
  ["fqdn:me@example.test", '"me@example.test" is no host name, such as "fqdn:a.example.test"'],
  ["user:a\u0007b", '"a\\u0007b" is no user name, such as "user:me@example.test"'],
  ["key:0xabc", '"0xabc" is no even number of hex digits'],
  ["dn:b", '"b" is not NAME=value; a comma inside a value is written "\\,"'],
  ["dn:C=DE,,CN=b", '"" is not NAME=value; a comma inside a value is written "\\,"'],
  ["dn:CN=", 'CN: "" is no value of it'],
  ["dn:CN=b\\", 'CN: "b\\\\" is no value of it'],
  ["dn:CN=\\ff", 'CN: "\\\\ff" is no value of it'],
  ["dn:DC=ü", 'DC: "ü" is no value of it'],
  [
    "dn:XY=b",
    'unknown attribute "XY"; known are CN, SURNAME, serialNumber, C, L, ST, STREET, O, OU, T, GN, UID, DC, E, and dotted numbers',
  ],
];
for (const [text, message] of REFUSED) {
  test(`the identity ${JSON.stringify(text)} is refused with a reason`, () =>
    assert.deepEqual(parseIdentity(text), { ok: false, error: message }));
}

test("any text is an identity or a refusal, and what is an identity reads back from its own text as the same one", () => {
  const prefixed = fc.tuple(
    fc.constantFrom("ip:", "fqdn:", "user:", "dn:CN=", "dn:", "key:", "key:0x", ""),
    fc.string({ unit: "binary", maxLength: 40 }),
  );
  fc.assert(
    fc.property(prefixed, ([prefix, rest]) => {
      const result = parseIdentity(prefix + rest);
      if (!result.ok) return;
      const again = parseIdentity(formatIdentity(result.value));
      assert.ok(again.ok, formatIdentity(result.value));
      assert.equal(sameIdentity(again.value, result.value), true);
      assert.equal(sameIdentity(identityOf(idPayloadValue(result.value)), result.value), true);
    }),
    { numRuns: 1000 },
  );
});

test("any ID payload is an identity that keeps its octets and prints no control characters", () => {
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: "binary", maxLength: 40 }).map((text) => new TextEncoder().encode(text)),
    fc.tuple(fc.nat(octets(OPENSSL_NAME).length - 1), fc.nat(255)).map(([at, value]) => octets(OPENSSL_NAME).with(at, value)),
  );
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant(9)), data, (type, value) => {
      const found = identityOf({ type, data: value });
      const back = idPayloadValue(found);
      assert.equal(back.type, type);
      assert.equal(hex(back.data), hex(value));
      assert.match(formatIdentity(found), /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u);
      assert.ok(formatIdentity(found).length < 1200);
    }),
    { numRuns: 1000 },
  );
});

test("identities that no rule can name are shown and never match, not even themselves", () => {
  const subnet = identityOf({ type: 4, data: octets("0a010000ffff0000") });
  assert.equal(formatIdentity(subnet), "ID_IPV4_ADDR_SUBNET:10.1.0.0/16");
  assert.equal(formatIdentity(identityOf({ type: 2, data: octets("61000a62") })), "ID_FQDN:0x61000a62");
  assert.equal(formatIdentity(identityOf({ type: 200, data: new Uint8Array(70) })), `200:0x${"00".repeat(64)}… (70 octets)`);
  assert.equal(sameIdentity(subnet, subnet), false);
});

test("octets of a key that would read as hex are written as hex", () => {
  const key = identityOf({ type: 11, data: new TextEncoder().encode("0xab") });
  assert.equal(formatIdentity(key), "key:0x30786162");
  assert.equal(sameIdentity(identity(formatIdentity(key)), key), true);
});

test("host names are the same whatever their case, users and keys are not, and no type equals another", () => {
  assert.equal(sameIdentity(identity("fqdn:A.Example.test"), identity("fqdn:a.example.TEST")), true);
  assert.equal(sameIdentity(identity("fqdn:a.example.test"), identity("fqdn:b.example.test")), false);
  assert.equal(sameIdentity(identity("user:Me@example.test"), identity("user:me@example.test")), false);
  assert.equal(sameIdentity(identity("key:a"), identity("key:A")), false);
  assert.equal(sameIdentity(identity("key:a"), identity("key:ab")), false);
  assert.equal(sameIdentity(identity("ip:2001:db8:0::1"), identity("ip:2001:db8::1")), true);
  assert.equal(sameIdentity(identity("ip:192.0.2.1"), identity("ip:192.0.2.2")), false);
  assert.equal(sameIdentity(identity("dn:C=DE,CN=b"), identity("dn:c=DE, cn=b")), true);
  assert.equal(sameIdentity(identity("dn:C=DE,CN=b"), identity("dn:CN=b,C=DE")), false);
  assert.equal(sameIdentity(identity("fqdn:office"), identity("key:office")), false);
});

const NAMES: readonly (readonly [string, string])[] = [
  [OPENSSL_NAME, "C=DE, O=Example, OU=Zwei\\, drei, CN=b"],
  ["3000", ""],
  ["300c310a300806035504031301" + "62", "CN=b"],
  ["3014311230070603550403" + "0c00" + "30070603550403" + "0c00", "CN=#0c00+CN=#0c00"],
  ["300c310a3008060355042a0c01" + "62", "GN=b"],
  ["300c310a3008060355046f0c01" + "62", "2.5.4.111=b"],
  ["300c310a300806035504030c01" + "07", "CN=\\07"],
  ["300d310b300906035504030c02" + "2061", "CN=\\20a"],
  ["300e310c300a06035504031e03" + "006200", "CN=#1e03006200"],
];
for (const [der, text] of NAMES) test(`the name ${der} reads ${JSON.stringify(text)}`, () => assert.equal(decodeName(octets(der)), text));

const BROKEN: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["a length beyond the end", "300d310a300806035504030c0162"],
  ["octets after the end", "300c310a300806035504030c016200"],
  ["a length that is not minimal", "30810c310a300806035504030c0162"],
  ["an indefinite length", "3080310a300806035504030c01620000"],
  ["an empty set", "30023100"],
  ["an attribute without a value", "3009310730050603550403"],
  ["an attribute with three parts", "300f310d300b06035504030c01620c0163"],
  ["an OID that does not end", "300c310a300806035504830c0162"],
  ["an OID with a leading zero group", "300c310a300806035580030c0162"],
  ["a sequence where a set belongs", "300c300a300806035504030c0162"],
];
for (const [what, der] of BROKEN) test(`${what} makes a name unreadable`, () => assert.equal(decodeName(octets(der)), undefined));

test("a name of more than 4096 octets is neither made nor read", () => {
  const long = `CN=${"x".repeat(4100)}`;
  assert.equal(encodeName(long).ok, false);
  const fits = encodeName(`CN=${"x".repeat(4000)}`);
  assert.ok(fits.ok);
  assert.equal(decodeName(fits.value)?.length, 4003);
});

test("attributes of one set are in DER's order, whatever the order of the text", () => {
  const [a, b] = [encodeName("CN=b+OU=a"), encodeName("OU=a+CN=b")];
  assert.ok(a.ok && b.ok);
  assert.equal(hex(a.value), hex(b.value));
});

test("an identity's key is shared by those that are the same, and by no others, however long they are", () => {
  const key = (fill: number, last: number): Identity => ({ type: "key", octets: Uint8Array.of(...Array(400).fill(fill), last) });
  assert.equal(formatIdentity(key(7, 1)), formatIdentity(key(7, 2)));
  assert.notEqual(identityKey(key(7, 1)), identityKey(key(7, 2)));
  assert.equal(identityKey(identity("fqdn:A.example.test")), identityKey(identity("fqdn:a.example.test")));
  assert.notEqual(identityKey(identity("user:A@example.test")), identityKey(identity("user:a@example.test")));
  const named = (tag: number, ...octets: readonly number[]): Identity => {
    const attribute = [0x06, 3, 0x55, 4, 3, tag, octets.length, ...octets];
    const set = [0x31, attribute.length + 2, 0x30, attribute.length, ...attribute];
    return identityOf({ type: ID_TYPE.ID_DER_ASN1_DN, data: Uint8Array.of(0x30, set.length, ...set) });
  };
  const [UTF8, PRINTABLE, IA5, BMP] = [0x0c, 0x13, 0x16, 0x1e];
  const a = named(UTF8, 0x41);
  for (const same of [named(PRINTABLE, 0x41), named(BMP, 0, 0x41), named(UTF8, 0x61)]) {
    assert.ok(sameIdentity(a, same));
    assert.equal(identityKey(a), identityKey(same));
  }
  const [umlaut, mojibake] = [named(UTF8, 0xc3, 0xbc), named(IA5, 0xc3, 0xbc)];
  assert.ok(!sameIdentity(umlaut, mojibake));
  assert.notEqual(identityKey(umlaut), identityKey(mojibake));
  const different = ["ip:192.0.2.1", "fqdn:192.0.2.1", "key:192.0.2.1", "user:192.0.2.1", "dn:CN=192.0.2.1"].map((text) =>
    identityKey(identity(text)),
  );
  assert.equal(new Set(different).size, different.length);
});
