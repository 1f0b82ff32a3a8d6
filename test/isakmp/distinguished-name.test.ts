import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { describeName } from "../../isakmp/distinguished-name.ts";
import { mutated, octets } from "./arbitraries.ts";
import { hex, octets as join, u16 } from "./build.ts";

const tlv = (tag: number, ...parts: readonly (string | Uint8Array)[]): Uint8Array => {
  const body = join(...parts);
  if (body.length < 0x80) return join(tag, body.length, body);
  return body.length < 0x100 ? join(tag, 0x81, body.length, body) : join(tag, 0x82, u16(body.length), body);
};
const text = (value: string): Uint8Array => tlv(0x0c, new TextEncoder().encode(value));
const attribute = (oid: string, value: Uint8Array): Uint8Array => tlv(0x30, tlv(0x06, oid), value);
const part = (oid: string, value: Uint8Array): Uint8Array => tlv(0x31, attribute(oid, value));

const NAME = tlv(0x30, part("550406", text("DE")), part("55040a", text("Example")), part("550403", text("b.example.test")));

test("a name reads as it is written in a configuration, in the order of its encoding", () => {
  assert.equal(describeName(NAME), "C=DE, O=Example, CN=b.example.test");
});

test("a name whose octets are written out by hand", () => {
  assert.equal(describeName(hex("300e 310c 300a 0603550403 0c03 612c62")), "CN=a,b");
});

test("an attribute without a name keeps its identifier, and two in one part are joined", () => {
  const both = tlv(0x31, attribute("550403", text("a")), attribute("2b0601", text("b")));
  assert.equal(describeName(tlv(0x30, both)), "CN=a+2b0601=b");
});

test("domain components and mail addresses have names", () => {
  const dc = part("0992268993f22c640119", tlv(0x16, Buffer.from("test")));
  const mail = part("2a864886f70d010901", tlv(0x16, Buffer.from("a@example.test")));
  assert.equal(describeName(tlv(0x30, dc, mail)), "DC=test, emailAddress=a@example.test");
});

test("a string of two octets a character is read", () => {
  assert.equal(describeName(tlv(0x30, part("550403", tlv(0x1e, hex("00610062"))))), "CN=ab");
});

test("what a terminal would obey is shown as digits", () => {
  assert.equal(describeName(tlv(0x30, part("550403", text("a\u001b[2J\n")))), "CN=a\\x1b[2J\\x0a");
});

test("long values are read, with lengths of one and two octets", () => {
  for (const size of [0x7f, 0x80, 0xff, 0x100, 0x1000]) {
    const described = describeName(tlv(0x30, part("550403", text("x".repeat(size)))));
    assert.ok(described?.startsWith("CN=xxx"), `${size}`);
  }
});

test("an empty name is empty, and no name is undefined", () => {
  assert.equal(describeName(hex("3000")), "");
  for (const bad of [
    "",
    "31",
    "3100",
    "3001",
    "300000",
    "3080",
    "3084ffffffff",
    "3006 3104 3002 0600",
    "3002 3000",
    "300d310b300906035504031302616200",
  ])
    assert.equal(describeName(hex(bad)), undefined, bad);
  assert.equal(describeName(tlv(0x30, tlv(0x31, tlv(0x30, tlv(0x06, "550403"), text("a"), "00")))), undefined);
  assert.equal(describeName(join(NAME, 0)), undefined);
  assert.equal(describeName(tlv(0x30, tlv(0x30))), undefined);
  assert.equal(describeName(hex("3083 000000")), undefined);
});

test("a name of more than 64 parts is not read", () => {
  const parts = (count: number) => tlv(0x30, ...Array.from({ length: count }, () => part("550403", text("a"))));
  assert.ok(describeName(parts(64)));
  assert.equal(describeName(parts(65)), undefined);
});

test("any octets are a name of printable text, or none", () => {
  fc.assert(
    fc.property(fc.oneof(octets(), mutated(fc.constant(NAME))), (bytes) => {
      assert.match(describeName(bytes) ?? "", /^[\x20-\x7e]*$/);
    }),
  );
});
