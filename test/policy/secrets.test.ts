import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { liveSecrets } from "../../ike/crypto/secret.ts";
import { secretOfFile, secretOfText } from "../../policy/secrets.ts";

const octets = (...numbers: number[]) => Uint8Array.from(numbers);
const ascii = (text: string) => new TextEncoder().encode(text);
const read = (file: Uint8Array): Uint8Array | string => {
  const secret = secretOfFile(Uint8Array.from(file));
  if (!secret.ok) return secret.error;
  const copy = secret.value.use((bytes) => Uint8Array.from(bytes));
  secret.value.destroy();
  return copy;
};

const FILES: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
  ["plain text", ascii("swordfish"), ascii("swordfish")],
  ["one line end goes", ascii("swordfish\n"), ascii("swordfish")],
  ["a Windows line end goes", ascii("swordfish\r\n"), ascii("swordfish")],
  ["only one of two line ends goes", ascii("swordfish\n\n"), ascii("swordfish\n")],
  ["blanks stay", ascii(" sword fish "), ascii(" sword fish ")],
  ["octets that are no text stay", octets(0xff, 0x00, 0xfe), octets(0xff, 0x00, 0xfe)],
  ["hex", ascii("0x00fFa0\n"), octets(0x00, 0xff, 0xa0)],
  ["base64", ascii("0sAP+g"), octets(0x00, 0xff, 0xa0)],
  ["padded base64", ascii("0sAP8=\n"), octets(0x00, 0xff)],
  ["base64 without its padding", ascii("0sAA"), octets(0x00)],
];
for (const [what, file, key] of FILES) test(`a secret file: ${what}`, () => assert.deepEqual(read(file), key));

const REFUSED: readonly (readonly [string, string])[] = [
  ["", "the key is empty; everybody knows that one"],
  ["\n", "the key is empty; everybody knows that one"],
  ["0x", "the key is empty; everybody knows that one"],
  ["0s", "the key is empty; everybody knows that one"],
  ["0xabc", "0x wants pairs of hex digits"],
  ["0xsecret", "0x wants pairs of hex digits"],
  ["0sA", "0s wants base64"],
  ["0sA===", "0s wants base64"],
  ["0sAA=", "0s wants base64"],
  ["0sAB", "0s wants base64"],
  ["0s!!!!", "0s wants base64"],
];
for (const [text, message] of REFUSED) {
  test(`the secret ${JSON.stringify(text)} is refused without being quoted`, () => assert.equal(read(ascii(text)), message));
}

test("hex and base64 of any octets give those octets", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (key) => {
      assert.deepEqual(read(ascii(`0x${Buffer.from(key).toString("hex")}`)), key);
      assert.deepEqual(read(ascii(`0s${Buffer.from(key).toString("base64")}`)), key);
      assert.deepEqual(read(ascii(`0s${Buffer.from(key).toString("base64").replace(/=/g, "")}\n`)), key);
    }),
  );
});

test("what was read is wiped, and a refused key leaves no secret behind", () => {
  const before = liveSecrets();
  const file = ascii("swordfish\n");
  const secret = secretOfFile(file);
  assert.deepEqual(file, new Uint8Array(10));
  assert.ok(secret.ok);
  secret.value.destroy();
  assert.equal(secretOfText("0xz").ok, false);
  assert.equal(liveSecrets(), before);
});

test("a secret of the configuration keeps its line end, since nobody's editor put it there", () => {
  const secret = secretOfText("é\n");
  assert.ok(secret.ok);
  assert.deepEqual(
    secret.value.use((bytes) => [...bytes]),
    [0xc3, 0xa9, 0x0a],
  );
  secret.value.destroy();
});
