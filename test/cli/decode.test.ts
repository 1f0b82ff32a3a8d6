import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseKeys } from "../../cli/commands/decode.ts";
import { Failure } from "../../cli/exit.ts";
import { toHex } from "../../isakmp/hex.ts";
import { encodePcap } from "../../isakmp/pcap-writer.ts";
import { keyTable } from "../captures/kept.ts";
import { meet } from "../captures/pair.ts";
import { mainmode, scratch } from "./fake-daemon.ts";
import { record } from "./recorded.ts";

const recording = record();
const KEY_LINE = `${recording.initiatorCookie},${toHex(recording.key)}`;

test("with its key a capture can be read to the end, message by message", async (t) => {
  const folder = scratch(t);
  const [pcap, keys] = [join(folder, "a.pcap"), join(folder, "keys")];
  writeFileSync(pcap, encodePcap(recording.datagrams));
  writeFileSync(keys, `# made for a test\n${KEY_LINE}\n`);
  const { exit, stdout, stderr } = await mainmode(["decode", pcap, "--keys", keys]);
  assert.deepEqual([exit, stderr], [0, ""]);
  assert.match(stdout, /^#1 0\.000000 192\.0\.2\.1:500 > 192\.0\.2\.2:500\n {2}Identity Protection, cookies [0-9a-f]{16} 0{16}/);
  assert.match(stdout, /ID: ID_IPV4_ADDR 192\.0\.2\.1/);
  assert.match(stdout, /Quick Mode, [^\n]*ENCRYPTION[^\n]*\n {4}HASH: 32 octets\n {4}SA: IPSEC/);
  assert.match(stdout, /D: ISAKMP, SPI/);
  assert.match(stdout, new RegExp(`${recording.datagrams.length} ISAKMP messages in ${recording.datagrams.length} packets\n$`));
  assert.doesNotMatch(stdout, /no key|decrypts to/);
  assert.equal(stdout.includes(toHex(recording.key)), false);
});

test("without a key headers are shown, and what is missing is said", async (t) => {
  const pcap = join(scratch(t), "a.pcap");
  writeFileSync(pcap, encodePcap(recording.datagrams));
  const { exit, stdout } = await mainmode(["decode", pcap]);
  assert.equal(exit, 0);
  assert.match(stdout, /Quick Mode, .*\n {4}\d+ encrypted octets; no key for this initiator cookie/);
});

test("as JSON the capture is one document", async (t) => {
  const folder = scratch(t);
  const [pcap, keys] = [join(folder, "a.pcap"), join(folder, "keys")];
  writeFileSync(pcap, encodePcap(recording.datagrams));
  writeFileSync(keys, KEY_LINE);
  const { exit, stdout, stderr } = await mainmode(["decode", pcap, "--json", "--keys", keys]);
  assert.deepEqual([exit, stderr], [0, ""]);
  const { packets, problem, messages } = JSON.parse(stdout);
  assert.deepEqual([packets, problem, messages.length], [recording.datagrams.length, null, recording.datagrams.length]);
  const [first] = messages;
  assert.deepEqual(
    [first.number, first.source, first.destination, first.exchange, first.initiatorCookie, first.decrypted],
    [1, "192.0.2.1:500", "192.0.2.2:500", "Identity Protection", recording.initiatorCookie, false],
  );
  assert.equal(messages[4].decrypted, true);
  assert.equal(messages[4].payloads[0].name, "ID");
});

test("messages on other ports are found where they are named, and behind the marker of the NAT port", async (t) => {
  const pcap = join(scratch(t), "a.pcap");
  const at = (port: number, marker: number) =>
    recording.datagrams.map((datagram) => ({
      ...datagram,
      source: { ...datagram.source, port },
      destination: { ...datagram.destination, port },
      payload: Buffer.concat([new Uint8Array(marker), datagram.payload]),
    }));
  writeFileSync(pcap, encodePcap([...at(10_500, 0), ...at(4500, 4)]));
  const count = recording.datagrams.length;
  assert.match((await mainmode(["decode", pcap])).stdout, new RegExp(`^${count} ISAKMP messages in ${2 * count} packets`, "m"));
  assert.match((await mainmode(["decode", pcap, "--port", "10500"])).stdout, new RegExp(`^${2 * count} ISAKMP messages`, "m"));
});

test("a capture that was cut off is shown as far as it goes", async (t) => {
  const pcap = join(scratch(t), "a.pcap");
  const whole = encodePcap(recording.datagrams);
  writeFileSync(pcap, whole.subarray(0, whole.length - 10));
  const { exit, stdout, stderr } = await mainmode(["decode", pcap]);
  assert.equal(exit, 0);
  assert.match(stderr, /malformed at octet \d+: .*; shown is what comes before/);
  assert.match(stdout, new RegExp(`^${recording.datagrams.length - 1} ISAKMP messages`, "m"));
});

test("a message of which the capture holds a part only is marked", async (t) => {
  const pcap = join(scratch(t), "a.pcap");
  const [first] = recording.datagrams;
  assert.ok(first);
  const whole = encodePcap([first]);
  const cut = Buffer.from(whole.subarray(0, whole.length - 40));
  // Octets that were captured, of the record behind the file header of 24.
  cut.writeUInt32BE(cut.length - 24 - 16, 24 + 8);
  writeFileSync(pcap, cut);
  const { exit, stdout } = await mainmode(["decode", pcap]);
  assert.equal(exit, 0);
  assert.match(stdout, /the capture holds a part of this datagram only/);
  assert.match(stdout, /malformed at octet 24: length/);
  const json = JSON.parse((await mainmode(["decode", pcap, "--json"])).stdout);
  assert.equal(json.messages[0].complete, false);
});

test("what is no capture, and what can't be read, ends with 1 and one line", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "text"), "this is no capture");
  for (const [file, complaint] of [
    [join(folder, "text"), /neither pcap nor pcapng/],
    [join(folder, "missing"), /can't be read/],
    [folder, /can't be read/],
  ] as const) {
    const { exit, stdout, stderr } = await mainmode(["decode", file]);
    assert.deepEqual([exit, stdout], [1, ""]);
    assert.match(stderr, complaint);
    assert.equal(stderr.trimEnd().split("\n").length, 1);
  }
});

test("key files are read in Wireshark's form, and errors name the line without what stands in it", () => {
  const keys = parseKeys('\n# comment\r\n"00112233445566AA","0102"\n0011223344556677, 03\n', "keys");
  assert.deepEqual(
    [...keys].map(([cookie, key]) => [cookie, key.length]),
    [
      ["00112233445566aa", 2],
      ["0011223344556677", 1],
    ],
  );
  for (const bad of [
    "secretsecret",
    "0011223344556677",
    "0011223344556677,",
    "0011223344556677,abc",
    "00112233445566,aabb",
    "0011223344556677,aa,bb",
  ])
    assert.throws(
      () => parseKeys(`\n${bad}`, "keys"),
      (error) => error instanceof Failure && error.message.startsWith("keys:2: ") && !error.message.includes(bad),
    );
  for (const key of keys.values()) key.destroy();
});

test("--svg draws the two ends and every message between them, decrypted where there is a key", async (t) => {
  const { datagrams, secrets } = meet({ ike: "aes128-sha1-modp2048", protect: "esp:aes128-sha1", pfs: "modp2048" });
  const folder = scratch(t);
  const [file, keys] = [join(folder, "met.pcap"), join(folder, "keys")];
  writeFileSync(file, encodePcap(datagrams));
  writeFileSync(keys, keyTable(secrets));
  const { exit, stdout, stderr } = await mainmode(["decode", file, "--keys", keys, "--svg"]);
  assert.deepEqual([exit, stderr], [0, ""]);
  assert.equal(stdout.match(/<path class="head"/g)?.length, datagrams.length);
  for (const text of [
    ">192.0.2.1<",
    ">192.0.2.2<",
    ">Main Mode 1<",
    ">Main Mode 6, encrypted<",
    ">Quick Mode 3, encrypted<",
    "ID: ID_IPV4_ADDR 192.0.2.1",
    "prefers-color-scheme:dark",
  ])
    assert.ok(stdout.includes(text), text);
  const both = await mainmode(["decode", file, "--svg", "--json"]);
  assert.equal(both.exit, 2);
});
