import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { kept, keptNames, keyTable, pcapOf, THROWAWAY } from "./captures/kept.ts";
import { RECORDINGS } from "./captures/recordings.ts";
import { mainmode, scratch } from "./cli/fake-daemon.ts";

const names = keptNames(".pcap");

test("every kept capture has a description, and every description a capture", () => {
  assert.deepEqual(keptNames(".json"), names);
  const missing = RECORDINGS.filter(({ name }) => !names.includes(name));
  assert.deepEqual(missing, []);
});

test("descriptions say what was recorded and that the keys are worth nothing", () => {
  for (const name of names) {
    const { about, recorded, note, secrets } = kept(name);
    assert.ok(about.length > 20 && recorded.length > 20, name);
    assert.equal(note, THROWAWAY, name);
    for (const [cookie, key] of Object.entries(secrets)) assert.match(`${cookie},${key}`, /^[0-9a-f]{16},([0-9a-f]{2}){8,32}$/, name);
    const recording = RECORDINGS.find((one) => one.name === name);
    if (recording) assert.equal(about, recording.about);
  }
});

test("the keys open every message, but for those of a peer that derived other ones", () => {
  const closed = names.filter((name) => kept(name).expected.some((line) => / encrypted octets; /.test(line)));
  assert.deepEqual(closed, ["mainmode-to-strongswan-wrong-psk"]);
});

test("the ladder in the documentation is drawn of a kept capture", async (t) => {
  const name = "mainmode-to-strongswan";
  const keys = join(scratch(t), "keys");
  writeFileSync(keys, keyTable(kept(name).secrets));
  const { exit, stdout } = await mainmode(["decode", pcapOf(name), "--keys", keys, "--svg"]);
  assert.equal(exit, 0);
  assert.equal(readFileSync(join(dirname(pcapOf(name)), "../docs/images/ladder.svg"), "utf8"), stdout);
});

for (const name of names) {
  test(`${name} reads as it did when it was kept`, async (t) => {
    assert.ok(statSync(pcapOf(name)).size < 20_000);
    const { secrets, expected } = kept(name);
    const keys = join(scratch(t), "keys");
    writeFileSync(keys, keyTable(secrets));
    const { exit, stdout, stderr } = await mainmode(["decode", pcapOf(name), "--keys", keys]);
    assert.deepEqual([exit, stderr], [0, ""]);
    assert.deepEqual(stdout.trimEnd().split("\n"), expected);
  });
}
