import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeName } from "../../policy/distinguished-name.ts";
import { fitsIdentity, parseIdentity, sameIdentity } from "../../policy/identity.ts";
import { isPattern, nameKey, nameMatches, sameName } from "../../policy/name-match.ts";
import { oid, seq, tlv } from "../auth/pki.ts";

const name = (text: string): Uint8Array => {
  const der = encodeName(text);
  if (!der.ok) throw new Error(der.error);
  return der.value;
};
/** A name of one CN with a value of any string type. */
const typed = (tag: number, octets: Uint8Array): Uint8Array => seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(tag, octets))));
const utf16 = (text: string): Uint8Array => Buffer.from(text, "utf16le").swap16();

test("the string type of a value makes no difference, its characters do", () => {
  const forms = [0x0c, 0x13, 0x14, 0x16].map((tag) => typed(tag, Buffer.from("host")));
  for (const form of [...forms, typed(0x1e, utf16("host"))]) assert.ok(sameName(form, name("CN=host")));
  assert.ok(!sameName(typed(0x13, Buffer.from("hosts")), name("CN=host")));
  assert.ok(!sameName(typed(0x04, Buffer.from("host")), name("CN=host")), "octets that are no string");
  assert.ok(!sameName(typed(0x1e, Buffer.from("hos")), name("CN=host")), "half a character");
});

test("case and blanks make no difference, order and attributes do", () => {
  assert.ok(sameName(name("C=DE, O=Example  Org, CN=Host"), name("C=de, O=example org, CN=host")));
  assert.ok(!sameName(name("C=DE, O=Example, CN=host"), name("CN=host, O=Example, C=DE")));
  assert.ok(!sameName(name("C=DE, O=host"), name("C=DE, CN=host")));
  assert.ok(!sameName(name("C=DE, CN=host"), name("C=DE, CN=host, CN=host")));
  assert.ok(sameName(name("CN=a+OU=b"), name("OU=b+CN=a")));
  assert.ok(!sameName(name("CN=a+OU=b"), name("CN=a, OU=b")));
});

test("octets that are no name equal nothing but themselves", () => {
  const broken = Uint8Array.of(0x30, 3, 1, 2, 3);
  assert.equal(nameKey(broken), undefined);
  assert.ok(sameName(broken, Uint8Array.from(broken)));
  assert.ok(!sameName(broken, name("CN=a")));
});

test("a star stands for one whole value, of one attribute, at its place", () => {
  const pattern = name("C=DE, O=Example, CN=*");
  assert.ok(isPattern(pattern) && !isPattern(name("C=DE")));
  assert.ok(nameMatches(pattern, name("C=de, O=Example, CN=b.example.test")));
  for (const other of [
    "C=DE, O=Example",
    "C=DE, O=Example, CN=a, CN=b",
    "C=DE, O=Example, OU=b",
    "C=DE, O=Other, CN=b",
    "C=DE, CN=b, O=Example",
  ])
    assert.ok(!nameMatches(pattern, name(other)), other);
  assert.ok(!nameMatches(name("CN=*+CN=*"), name("CN=a+OU=b")), "both stars of one kind");
  assert.ok(!nameMatches(name("CN=b"), name("CN=*")), "a star of the peer's is a star");
});

test("a star within a value is refused, unless it is escaped", () => {
  const refused = parseIdentity("dn:C=DE, CN=*.example.test");
  assert.ok(!refused.ok);
  assert.match(refused.error, /whole value/);
  assert.ok(parseIdentity("dn:CN=\\2A.example.test").ok);
  assert.ok(parseIdentity("dn:CN=\\*.example.test").ok);
  for (const [text, other] of [
    ["CN=host\\2A", "CN=hostile"],
    ["CN=\\2A.example.test", "CN=b.example.test"],
  ] as const) {
    assert.ok(!nameMatches(name(text), name(other)), `${text} is a name, and none of ${other}`);
    assert.ok(nameMatches(name(text), name(text)));
  }
});

test("identities fit patterns one way only", () => {
  const [pattern, one] = [parseIdentity("dn:O=Example, CN=*"), parseIdentity("dn:O=Example, CN=b")];
  assert.ok(pattern.ok && one.ok);
  assert.ok(fitsIdentity(pattern.value, one.value));
  assert.ok(!fitsIdentity(one.value, pattern.value));
  assert.ok(!sameIdentity(pattern.value, one.value));
});

test("a star that is escaped, and all there is, is refused: it would be a pattern", () => {
  for (const text of ["CN=\\2A", "CN=\\*", 'CN="*"', "C=DE, CN=\\2a"]) assert.ok(!encodeName(text).ok, text);
  assert.ok(encodeName("CN=*").ok);
  assert.ok(encodeName("CN=\\2A.example.test").ok);
});

test("equal octets are equal names, whatever they are; other octets are where RFC 5280 says so, and only there", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
      const copy = Uint8Array.from(octets);
      assert.ok(sameName(octets, copy) && nameMatches(octets, copy));
      assert.ok(!sameName(octets, Uint8Array.from([...octets, 0])) && !nameMatches(Uint8Array.from([...octets, 0]), octets));
    }),
  );
  const [printable, utf8] = [typed(0x13, Buffer.from("Host")), typed(0x0c, Buffer.from("host"))];
  assert.notDeepEqual(printable, utf8);
  assert.ok(sameName(printable, utf8) && nameMatches(printable, utf8), "the fallback");
  const long = typed(0x0c, Buffer.alloc(5000, 0x61));
  assert.equal(nameKey(long), undefined, "longer than what is read");
  assert.ok(sameName(long, Uint8Array.from(long)) && !sameName(long, typed(0x0c, Buffer.alloc(5000, 0x62))));
});
