import assert from "node:assert/strict";
import { test } from "node:test";
import { secretsIn } from "./secrets-scan.ts";

const KEY = Buffer.from("000102030405060708090a0b0c0d0e0f10111213", "hex");
const PSK = Buffer.from("correct horse battery staple");
const SECRETS = [KEY.toString("hex"), PSK.toString("hex"), "00".repeat(32), "aabb"];

const FORMS: Readonly<Record<string, readonly [string, string]>> = {
  "a phrase": [`key "${PSK.toString()}" is wrong`, "text"],
  "a key in hexadecimal": [`enc cbc(aes) 0x${KEY.toString("hex")}`, "hex"],
  "a key in capitals": [KEY.toString("hex").toUpperCase(), "hex"],
  "a key in base64": [`{"key":"${KEY.toString("base64")}"}`, "base64"],
  "the beginning of something longer in base64": [Buffer.concat([KEY, Buffer.from("more")]).toString("base64"), "base64"],
};
for (const [what, [text, form]] of Object.entries(FORMS))
  test(`${what} is found in text`, () => {
    assert.deepEqual(
      secretsIn(["nothing", text], SECRETS).map((one) => one.form),
      [form],
    );
  });

test("what is like a secret, or too short or too plain to be one, is none", () => {
  const texts = ["correct horse battery", `0x${KEY.toString("hex").slice(0, 38)}`, "00".repeat(40), "0xaabb", ""];
  assert.deepEqual(secretsIn(texts, SECRETS), []);
});
