import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { fromHex, isPrintable, printable, toHex } from "../../isakmp/hex.ts";
import { octets } from "./arbitraries.ts";

test("octets become two lower-case digits each, and come back", () => {
  assert.equal(toHex(Uint8Array.of(0, 10, 255)), "000aff");
  fc.assert(fc.property(octets(), (bytes) => assert.deepEqual(fromHex(toHex(bytes).toUpperCase()), bytes)));
});

test("half an octet and other letters are no octets", () => {
  for (const text of ["0", "000", "0g", "0x00", " 00", "00 00"]) assert.equal(fromHex(text), undefined, text);
  assert.deepEqual(fromHex(""), new Uint8Array(0));
});

test("nothing a peer sends can steer a terminal or forge a log line", () => {
  fc.assert(
    fc.property(octets(), (bytes) => {
      assert.match(printable(bytes), /^[\x20-\x7e]*$/);
    }),
  );
  assert.equal(printable(Buffer.from("a\n\u001b[2J\\x")), "a\\x0a\\x1b[2J\\x5cx");
});

test("different octets never print alike", () => {
  fc.assert(
    fc.property(octets({ maxLength: 6 }), octets({ maxLength: 6 }), (a, b) => {
      assert.equal(printable(a) === printable(b), toHex(a) === toHex(b));
    }),
  );
});

test("a long text is cut and says how long it was", () => {
  assert.equal(printable(new Uint8Array(1000).fill(97), 3), "aaa... (1000 octets)");
});

test("printable means some ASCII, and none of it a control character", () => {
  assert.deepEqual(
    [" ~", "", "a\u0007", "\u007f", "ä"].map((text) => isPrintable(Buffer.from(text))),
    [true, false, false, false, false],
  );
});
