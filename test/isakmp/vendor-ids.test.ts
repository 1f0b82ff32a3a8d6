import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import fc from "fast-check";
import { toHex } from "../../isakmp/hex.ts";
import { describeVendor, knownVendor, VENDOR_IDS, type VendorId, type VendorName } from "../../isakmp/vendor-ids.ts";
import { octets } from "./arbitraries.ts";
import { hex, octets as join } from "./build.ts";

const ROWS = Object.entries(VENDOR_IDS) as readonly [VendorName, VendorId][];

test("every vendor id that is said to be the MD5 of a text is", () => {
  const hashed = ROWS.filter(([, row]) => row.text !== undefined);
  for (const [name, row] of hashed)
    assert.equal(
      toHex(row.bytes),
      createHash("md5")
        .update(row.text ?? "")
        .digest("hex"),
      name,
    );
  assert.ok(hashed.length > 20);
});

test("no two rows fit the same octets", () => {
  assert.equal(new Set(ROWS.map(([, row]) => toHex(row.bytes))).size, ROWS.length);
  for (const [name, { bytes, tail }] of ROWS)
    for (const [other, row] of ROWS) {
      const longer = row.bytes.length >= bytes.length && row.bytes.length <= bytes.length + tail;
      assert.equal(longer && toHex(row.bytes).startsWith(toHex(bytes)), name === other, `${name} and ${other}`);
    }
});

test("every vendor id is known by its octets", () => {
  for (const [name, row] of ROWS) assert.equal(knownVendor(row.bytes), name);
});

test("one octet more or less is another vendor id, unless a tail is foreseen", () => {
  const { bytes } = VENDOR_IDS["RFC 3947"];
  assert.equal(knownVendor(bytes.subarray(1)), undefined);
  assert.equal(knownVendor(bytes.subarray(0, 15)), undefined);
  assert.equal(knownVendor(join(bytes, 0)), undefined);
  assert.equal(knownVendor(join(VENDOR_IDS.FRAGMENTATION.bytes, "80000000")), "FRAGMENTATION");
  assert.equal(knownVendor(join(VENDOR_IDS.FRAGMENTATION.bytes, "8000000000")), undefined);
});

test("libreswan spells its name out, its ancestors hash it", () => {
  assert.equal(knownVendor(Buffer.from("OE-Libreswan-4.12")), "libreswan");
  assert.equal(knownVendor(Buffer.from("OEkRbGXRvmPE")), "Openswan");
});

test("a description names the vendor and what it adds", () => {
  const text = (head: VendorId, tail: string) => describeVendor(join(head.bytes, tail));
  assert.equal(text(VENDOR_IDS.DPD, ""), "Dead Peer Detection (RFC 3706)");
  assert.equal(text(VENDOR_IDS["MS NT5"], "00000009"), "MS NT5 ISAKMPOAKLEY, Windows 8 or later");
  assert.equal(text(VENDOR_IDS["MS NT5"], "0000004d"), "MS NT5 ISAKMPOAKLEY, 0000004d");
  assert.equal(text(VENDOR_IDS.FRAGMENTATION, "c0000000"), "FRAGMENTATION, Main Mode and base messages");
  assert.equal(text(VENDOR_IDS["Key Mods"], "00000001"), "KEY_MODS, AuthIP");
  assert.equal(text(VENDOR_IDS["Cisco Unity"], "0100"), "Cisco Unity, 1.0");
  assert.equal(describeVendor(Buffer.from("OE-Libreswan-4.12")), "libreswan, 4.12");
});

test("an unknown vendor id is text if it is text, else digits", () => {
  assert.equal(describeVendor(Buffer.from("Some IKE 1.0")), '"Some IKE 1.0"');
  assert.equal(describeVendor(hex("00ff")), "00ff");
  assert.equal(describeVendor(hex("")), "");
});

test("any octets are described, on one line of printable text", () => {
  const head = fc.constantFrom(...ROWS.map(([, row]) => row.bytes));
  fc.assert(
    fc.property(
      fc.oneof(
        octets({ maxLength: 300 }),
        fc.tuple(head, octets()).map(([a, b]) => join(a, b)),
      ),
      (bytes) => {
        assert.match(describeVendor(bytes), /^[\x20-\x7e]*$/);
      },
    ),
  );
});
