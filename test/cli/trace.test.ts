import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ask } from "../../cli/client.ts";
import { espKeyLine } from "../../cli/key-files.ts";
import { decodePcap, isakmpOf } from "../../isakmp/pcap.ts";
import { until } from "../daemon/fakes.ts";
import { PSK, startPair } from "../daemon/pair.ts";
import { mainmode } from "./fake-daemon.ts";

test("trace prints what happens and writes capture and keys for their owner only; decode reads both", async (t) => {
  const { a, folder, port } = await startPair(t);
  const path = (name: string): string => join(folder, name);
  let stop: (signal: NodeJS.Signals) => void = () => {};
  const words = ["--control", a.daemon.controlPath, "trace", "--peer", "127.0.0.3", "--pcap", path("t.pcap"), "--keys", path("keys")];
  // A file that others could read before does not stay so.
  writeFileSync(path("t.pcap"), "", { mode: 0o644 });
  const running = mainmode(words, {}, (kill) => {
    stop = kill;
  });
  await until(() => a.records.some(({ text }) => text.includes("traces 127.0.0.3, with the keys of IKE and ESP")), "the trace to begin");
  const end = await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 5 } });
  assert.equal(end.exit, 0);
  await until(() => existsSync(path("keys.esp")) && readFileSync(path("keys.esp"), "utf8").split("\n").length === 3, "the keys");
  stop("SIGINT");
  const { exit, stdout, stderr } = await running;
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /warning: .*keys that open everything/);
  assert.match(stderr, /9 messages, 3 keys/);
  assert.match(stdout, /127\.0\.0\.2:\d+ > 127\.0\.0\.3:\d+\n +Identity Protection/);
  for (const name of ["t.pcap", "keys", "keys.esp"]) assert.equal(statSync(path(name)).mode & 0o777, 0o600, name);
  const [cookie = "", key = ""] = readFileSync(path("keys"), "utf8").trim().split(",");
  assert.match(`${cookie} ${key}`, /^[0-9a-f]{16} [0-9a-f]{32}$/);
  assert.ok(!`${stdout}${stderr}`.includes(key));
  assert.match(
    readFileSync(path("keys.esp"), "utf8"),
    /^("IPv4","127\.0\.0\.[23]","127\.0\.0\.[23]","0x[0-9a-f]{8}","AES-CBC \[RFC3602\]","0x[0-9a-f]{32}","HMAC-SHA-1-96 \[RFC2404\]","0x[0-9a-f]{40}"\n){2}$/,
  );
  const recorded = decodePcap(readFileSync(path("t.pcap")));
  assert.equal(recorded.datagrams.filter((datagram) => isakmpOf(datagram, port)).length, 9);
  const decoded = await mainmode(["decode", path("t.pcap"), "--keys", path("keys"), "--port", String(port)]);
  assert.match(decoded.stdout, /ID: ID_IPV4_ADDR 127\.0\.0\.3/);
  assert.ok(!decoded.stdout.includes("no key"));
});

test("trace and report write through no link that somebody put in their way", async (t) => {
  const { a, folder } = await startPair(t);
  symlinkSync("/dev/null", join(folder, "link"));
  const link = join(folder, "link");
  for (const words of [
    ["trace", "--pcap", link],
    ["trace", "--keys", link],
    ["report", "-o", link],
  ]) {
    const { exit, stderr } = await mainmode(["--control", a.daemon.controlPath, ...words]);
    assert.equal(exit, 1);
    assert.match(stderr, /can't be written/);
  }
});

test("keys go into a folder under Wireshark's own names", async (t) => {
  const { a, folder } = await startPair(t);
  mkdirSync(join(folder, "profile"));
  const { exit } = await mainmode(["--control", a.daemon.controlPath, "trace", "--keys", join(folder, "profile"), "--for", "1"]);
  assert.equal(exit, 0);
  for (const name of ["ikev1_decryption_table", "esp_sa"]) assert.equal(statSync(join(folder, "profile", name)).mode & 0o777, 0o600);
});

test("an algorithm that Wireshark has no name for is told in a comment without its key", () => {
  const entry = { kind: "esp-key", at: 0, peer: "", cookie: "", source: "192.0.2.1", destination: "192.0.2.2", spi: "0x00001000" } as const;
  const line = espKeyLine({ ...entry, encryption: "cbc(odd)", encryptionKey: "00ff", integrity: "", integrityBits: 0, integrityKey: "" });
  assert.equal(line, "# 0x00001000 from 192.0.2.1 to 192.0.2.2: Wireshark has no name for cbc(odd)\n");
});

test("last-failure tells what went wrong first; a report has everything but the secrets", async (t) => {
  const { a, b, folder } = await startPair(t, "another secret that no output may hold");
  const control = ["--control", b.daemon.controlPath];
  const none = await mainmode([...control, "last-failure", "127.0.0.2"]);
  assert.deepEqual([none.exit, none.stdout], [1, ""]);
  assert.match(none.stderr, /no failed negotiation with 127\.0\.0\.2 is remembered/);
  await ask({ path: a.daemon.controlPath, request: { command: "initiate", rule: "peer", wait: 2 } });
  const { exit, stdout } = await mainmode([...control, "last-failure", "127.0.0.2"]);
  assert.equal(exit, 0);
  assert.match(stdout, /^127\.0\.0\.2, rule peer: begun .*\n.*\(psk-mismatch, failure point: me\)\ntry: compare the pre-shared keys/);
  const file = join(folder, "report.txt");
  const made = await mainmode([...control, "report", "-o", file]);
  assert.equal(made.exit, 0, made.stderr);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const report = readFileSync(file, "utf8");
  for (const part of [
    "== Versions\nmainmode 0.1.0, Node v",
    "== Policy test\n",
    "rule peer: filters",
    "== Statistics since 20",
    "authentication_failures method=psk",
    "== Last failures: 1",
    "psk-mismatch",
    "== Last records: ",
  ])
    assert.ok(report.includes(part), part);
  assert.ok(!report.includes("secret that no output") && !report.includes(PSK));
  const json = await mainmode([...control, "report", "--json"]);
  assert.equal(JSON.parse(json.stdout).failures[0].reason, "psk-mismatch");
  assert.ok(JSON.parse(json.stdout).stats.metrics.some(({ name }: { readonly name: string }) => name === "mainmode_xfrm_stat"));
  assert.ok(!json.stdout.includes("secret that no output"));
});
