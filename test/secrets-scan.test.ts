import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { secretsIn, whatWasLeft } from "./secrets-scan.ts";

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

test("ledgers of a run are collected and removed, and what was said is read, but not what is meant to hold keys", (t) => {
  const root = mkdtempSync(join(tmpdir(), "mainmode-left-"));
  t.after(() => rmSync(root, { recursive: true }));
  const files: Readonly<Record<string, string>> = {
    "a/secrets/1": `${SECRETS[0]}\n`,
    "b/secrets/2": `${SECRETS[1]}\n`,
    "a/us/events.jsonl": "{}",
    "a/us/said.txt": "said",
    "a/transcript.txt": `it shows ${PSK}`,
    "a/us/mainmode.toml": `secret = "${PSK}"`,
    "a/us/keys/esp_sa.txt": `0x${KEY.toString("hex")}`,
    "b/theirs/charon.log": `0x${KEY.toString("hex")}`,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const { secrets, outputs } = whatWasLeft(root);
  assert.deepEqual([...secrets].sort(), SECRETS.slice(0, 2).sort());
  assert.deepEqual(
    [...outputs.keys()].sort(),
    ["a/transcript.txt", "a/us/events.jsonl", "a/us/said.txt"].map((name) => join(root, name)),
  );
  assert.equal(secretsIn([...outputs.values()], secrets).length, 1);
  assert.equal(existsSync(join(root, "a/secrets")) || existsSync(join(root, "b/secrets")), false);
});
